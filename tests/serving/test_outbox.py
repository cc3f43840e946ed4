"""Answers on their way: in pieces and in bounded memory, and nobody waits for who takes them slowly."""

from __future__ import annotations

import asyncio

import pytest
from tests.serving.test_gate import Client, let, start

from headstart.serving.outbox import PIECE, Outbox


async def large(*_):
    return start(), b"a" * PIECE + b"b"


async def unheld(*_):
    """What `Threads` says of an answer that there is no room for."""


@pytest.mark.parametrize(
    ("size", "pieces"), [(0, [0]), (1, [1]), (PIECE, [PIECE]), (2 * PIECE + 3, [PIECE, PIECE, 3])]
)
def test_an_answer_is_handed_over_in_pieces_and_held_until_they_are_taken(size, pieces):
    outbox, body, sent = Outbox(0), bytes(i % 251 for i in range(size)), []

    async def send(message):
        sent.append(message | {"held": outbox.held})

    asyncio.run(outbox.hand({"type": "http.response.start"}, body, send))

    assert [message["type"] for message in sent] == ["http.response.start"] + ["http.response.body"] * len(
        pieces
    )
    assert [len(message["body"]) for message in sent[1:]] == pieces
    assert b"".join(message["body"] for message in sent[1:]) == body
    assert [message["more_body"] for message in sent[1:]] == [True] * (len(pieces) - 1) + [False]
    assert [message["held"] for message in sent[1:]] == [size - sum(pieces[:i]) for i in range(len(pieces))]
    assert outbox.held == 0


def test_who_takes_slowly_has_nobody_wait():
    """Two requests may be with the application at the same time; six answers are taken."""
    clients = [Client(b"x", taking=0.1) for _ in range(6)]
    let(*clients)

    assert [client.status for client in clients] == [200] * 6


def test_beyond_its_bytes_only_answers_of_one_piece_are_held():
    assert let(Client(b""), inner=large).status == 503
    assert let(Client(b""), inner=unheld).status == 503
    assert let(Client(b"x" * 1000)).status == 200

    outbox = Outbox(3 * PIECE)
    outbox.held = PIECE
    assert outbox.has_room(2 * PIECE)
    assert not outbox.has_room(2 * PIECE + 1)


def test_the_application_is_told_how_much_can_leave():
    async def says(_, __, room):
        return start(), f"{room(PIECE)} {room(PIECE + 1)}".encode()

    assert let(Client(b""), inner=says).said[1]["body"] == b"True False"
