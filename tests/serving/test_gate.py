"""The gate: nothing gets past it that is too large, too slow or too much; what does arrives whole."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace

import pytest

from headstart.serving.access import Access
from headstart.serving.gate import HEADERS, Gate
from headstart.serving.limits import Limits

LIMITS = Limits(body=1000, requests=2, readers=6, held=3000, reading=10, deadline=10)
IMPATIENT = replace(LIMITS, reading=0.3, deadline=0.3)


async def echo(scope, body, _):
    """Answers with the body that it got, whose length it was told."""
    lengths = [int(value) for name, value in scope["headers"] if name == b"content-length"]
    assert lengths == [len(body)]
    assert not [name for name, _ in scope["headers"] if name == b"transfer-encoding"]
    return start(), body


def start():
    """An answer's beginning."""
    return {"type": "http.response.start", "status": 200, "headers": [(b"referrer-policy", b"own")]}


class Client:
    """One request: parts that come after so many seconds each, and what was answered."""

    def __init__(
        self, *parts, path="/v1/predict", method="POST", query=b"", length=None, wait=0.0, taking=0.0
    ):
        headers = [(b"host", b"localhost"), (b"transfer-encoding", b"chunked")]
        if length is not None:
            headers = [headers[0], (b"content-length", str(length).encode("latin-1"))]
        self.scope = {
            "type": "http",
            "path": path,
            "method": method,
            "query_string": query,
            "headers": headers,
        }
        self.parts, self.wait, self.taking, self.said = list(parts), wait, taking, []

    async def receive(self):
        await asyncio.sleep(self.wait)
        if not self.parts:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.parts.pop(0), "more_body": bool(self.parts)}

    async def send(self, message):
        await asyncio.sleep(self.taking)
        self.said.append(message)

    async def through(self, gate):
        await gate(self.scope, self.receive, self.send)
        return self

    @property
    def status(self):
        return self.said[0]["status"]

    @property
    def headers(self):
        return {name.decode(): value.decode() for name, value in self.said[0]["headers"]}


def let(*clients, inner=echo, limits=LIMITS):
    async def all_of_them():
        gate = Gate(inner, limits)
        await asyncio.gather(*(client.through(gate) for client in clients))
        assert gate.open == gate.reading == gate.held == 0

    asyncio.run(all_of_them())
    return clients[0]


def test_a_body_in_parts_arrives_whole():
    client = let(Client(b"a" * 300, b"", b"b" * 700, length=1000))

    assert client.status == 200
    assert client.said[1]["body"] == b"a" * 300 + b"b" * 700


@pytest.mark.parametrize(("length", "asked"), [(0, 0), (4, 2), (None, 3)])
def test_no_more_is_asked_for_than_there_is(length, asked):
    """Only chunks say at their end that they were all."""
    client = Client(b"ab", b"cd", b"", length=length)

    assert let(client).status == 200
    assert len(client.parts) == 3 - asked
    assert client.said[1]["body"] == b"abcd"[:length]


def test_every_answer_has_the_headers_and_keeps_its_own():
    found = let(Client(b"")).headers

    assert found["referrer-policy"] == "own"
    assert {name.lower() for name in HEADERS} <= found.keys()
    assert {name.lower() for name in HEADERS} <= let(Client(length=1001)).headers.keys()


@pytest.mark.parametrize("length", [1001, 10**12, "x", "-1", "²", "9" * 5000])
def test_what_says_that_it_is_too_large_is_not_read(length):
    client = let(Client(b"a", length=length))

    assert client.status == 413
    assert client.parts  # nobody asked for them
    assert "0.001 MB are allowed" in json.loads(client.said[1]["body"])["detail"]


def test_zeros_before_a_length_are_nothing():
    """Python refuses to read 5,000 digits as a number."""
    assert let(Client(b"abc", length="0" * 5000 + "3")).status == 200


def test_what_grows_too_large_is_not_read_to_its_end():
    client = let(Client(*[b"a" * 300] * 100))

    assert client.status == 413
    assert len(client.parts) == 96


def test_who_sends_slowly_is_cut_off_by_one_deadline():
    """Each part comes in time, all of them don't."""
    client = let(Client(*[b"a"] * 100, wait=0.1), limits=IMPATIENT)

    assert client.status == 408
    assert len(client.parts) > 90


def test_who_does_not_take_an_answer_is_given_up():
    """The application isn't held up: the rest goes nowhere."""
    start = time.monotonic()

    assert let(Client(b"", taking=5), limits=IMPATIENT).said == []
    assert time.monotonic() - start < 3


def test_what_breaks_off_is_no_request():
    """Its sender may have gone, or still be there with chunks that are not as long as they say."""
    assert let(Client()).status == 400


def test_after_chunks_the_connection_ends():
    """Who passed it on may have gone by another length, and what follows be taken for somebody else's."""
    assert let(Client(b"")).headers["connection"] == "close"
    assert "connection" not in let(Client(b"", length=0)).headers


def test_two_names_are_none():
    client = Client(b"")
    client.scope["headers"].append((b"host", b"localhost"))

    assert let(client).status == 421


async def slow(scope, body, room):
    await asyncio.sleep(0.1)
    return await echo(scope, body, room)


def test_more_than_allowed_at_once_are_refused_but_for_health():
    clients = [Client(b"x") for _ in range(4)] + [Client(b"", path="/health", method="GET")]
    let(*clients, inner=slow)

    assert [client.status for client in clients] == [200, 200, 503, 503, 200]
    assert clients[2].headers["retry-after"] == "1"


def test_who_only_sends_takes_nobody_s_place():
    """Five that trickle, one that doesn't."""
    tricklers = [Client(*[b"a"] * 100, wait=0.1) for _ in range(5)]
    good = Client(b"x")
    let(*tricklers, good, limits=IMPATIENT)

    assert good.status == 200
    assert {client.status for client in tricklers} == {408}


def test_more_readers_and_more_bytes_than_allowed_are_refused():
    many = [Client(b"a", b"b", wait=0.02) for _ in range(8)]
    let(*many)
    large = [Client(b"a" * 900, b"b", wait=0.02) for _ in range(4)]
    let(*large)

    assert [client.status for client in many].count(503) >= 2
    assert [client.status for client in large].count(503) >= 1


def test_who_asks_slowly_for_health_takes_nobody_s_place():
    slowly = [Client(*[b""] * 100, path="/health", method="GET", wait=0.4) for _ in range(7)]
    good = Client(b"x", b"y", wait=0.05)
    let(*slowly, good, limits=replace(LIMITS, reading=2))

    assert good.status == 200
    assert {client.status for client in slowly} == {408}


def test_bytes_count_until_they_are_answered():
    """Three of 900 while the first three are computed: 3,000 may be there."""
    first = [Client(b"a" * 900) for _ in range(2)]
    later = [Client(b"a" * 900, wait=0.03) for _ in range(2)]
    last = Client(b"a" * 900, wait=0.2)
    let(*first, *later, last, inner=slow)

    assert [client.status for client in (*first, last)] == [200] * 3
    assert [client.status for client in later] == [503] * 2


def test_health_is_no_way_past_the_limits():
    assert let(Client(b"x" * 1000, path="/health", method="POST", length=1001)).status == 413
    assert let(Client(b"x", path="/health", method="GET", length=1)).status == 413
    assert let(Client(b"x", b"y", path="/health", method="GET")).status == 413


def test_who_may_not_ask_is_not_read():
    async def run():
        client = Client(b"a")
        await client.through(Gate(echo, LIMITS, Access(token="0" * 64)))
        return client

    client = asyncio.run(run())

    assert client.status == 401
    assert client.parts
    assert "www-authenticate" in client.headers


@pytest.mark.parametrize(
    ("path", "kind"), [("/v2/health/ready", "application/json"), ("/v1/model", "application/problem+json")]
)
def test_under_v2_a_refusal_is_of_the_type_that_its_clients_know(path, kind):
    refused = let(Client(b"", path=path, length=1001))

    assert refused.headers["content-type"] == kind
    assert json.loads(refused.said[1]["body"])["error"]


def test_an_error_of_the_application_is_an_answer_like_every_other(caplog):
    async def broken(*_):
        raise OSError("secret")

    client = let(Client(b""), inner=broken)

    assert client.status == 500
    assert "x-content-type-options" in client.headers
    assert b"secret" not in client.said[1]["body"]
    assert "secret" in caplog.text


def test_an_address_with_raw_bytes_is_refused():
    assert let(Client(b"", query="name=ü".encode())).status == 400


async def lived(gate):
    """What it says of the server's beginning and end."""
    said, told = [], iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive():
        return {"type": next(told)}

    async def send(message):
        said.append(message["type"])

    await gate({"type": "lifespan"}, receive, send)
    return said


def test_its_end_is_called_when_the_server_ends():
    ended = []

    said = asyncio.run(lived(Gate(echo, LIMITS, end=lambda: ended.append(True))))

    assert ended == [True]
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_its_end_waits_for_the_application():
    """Also where the client has gone, for whom the server below doesn't wait."""
    ended = []

    async def ends_while_asked():
        gate = Gate(slow, LIMITS, end=lambda: ended.append(gate.open))
        asking = asyncio.create_task(Client(b"").through(gate))
        await asyncio.sleep(0.05)
        assert gate.open == 1
        await lived(gate)
        await asking

    asyncio.run(ends_while_asked())

    assert ended == [0]
