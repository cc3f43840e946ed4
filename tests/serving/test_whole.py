"""Flask on threads: what it is told of a request, what comes back, and what it never has to hold."""

from __future__ import annotations

import asyncio
import threading

import flask
import pytest

from headstart.serving.whole import Threads

LARGEST = 1000
HEADERS = [(b"host", b"localhost:80"), (b"content-type", b"text/plain"), (b"x-two", b"a"), (b"x-two", b"b")]


def scope(path="/", method="POST", query=b""):
    return {
        "type": "http", "http_version": "1.1", "scheme": "http", "method": method, "path": path,
        "query_string": query, "headers": HEADERS, "server": ("127.0.0.1", 80), "client": ("192.0.2.1", 5),
    }  # fmt: skip


def ask(application, *asked, body=b"", most=2):
    """Answers of some requests that come at once."""

    async def all_of_them():
        threads = Threads(application, most)
        room = LARGEST.__ge__
        return await asyncio.gather(*(threads(one, body, room) for one in asked), return_exceptions=True)

    return asyncio.run(all_of_them())


@pytest.fixture
def app():
    return flask.Flask("tests.serving.whole")


def test_a_request_arrives_and_its_answer_comes_back_whole(app):
    @app.route("/straße", methods=["POST"])
    def told():
        request = flask.request
        parts = [request.path, request.args["x"], request.headers["X-Two"], request.remote_addr, request.host]
        return flask.Response(iter([*parts, request.get_data()]), 201, {"X-Name": "ü"})

    headers = [*HEADERS, (b"content-length", b"4")]
    ((start, body),) = ask(
        app, scope("/straße", query=b"x=%C3%A4") | {"headers": headers}, body=b"\x00\r\n\xff"
    )

    assert (start["type"], start["status"]) == ("http.response.start", 201)
    assert body == "/straßeäa,b192.0.2.1localhost".encode() + b"\x00\r\n\xff"
    assert (b"x-name", "ü".encode("latin-1")) in start["headers"]


def test_an_answer_without_a_body_has_none(app):
    app.add_url_rule("/", view_func=lambda: "text")
    (start, body), (missing, _) = ask(app, scope(method="HEAD"), scope("/none", "GET"))

    assert (start["status"], body) == (200, b"")
    assert (b"content-length", b"4") in start["headers"]
    assert missing["status"] == 404


class Parts:
    """An application that gives parts, until None, where it breaks off; and whether it was closed."""

    def __init__(self, *parts):
        self.parts, self.made, self.closed = parts, 0, False

    def __call__(self, _, start_response):
        start_response("200 OK", [("A", "b")])
        return self

    def __iter__(self):
        for part in self.parts:
            if part is None:
                raise OSError("secret")
            self.made += 1
            yield part

    def close(self):
        self.closed = True


@pytest.mark.parametrize("parts", [[None], [b"a", None]])
def test_what_the_application_raises_is_raised_and_it_is_closed(parts):
    """A table's lock is given back by that."""
    application = Parts(*parts)
    (error,) = ask(application, scope())

    assert isinstance(error, OSError)
    assert application.closed


def test_what_it_raises_before_it_begins_is_raised():
    def broken(*_):
        raise OSError("secret")

    assert isinstance(ask(broken, scope())[0], OSError)


def test_what_cannot_leave_is_neither_held_nor_computed():
    endless = Parts(*[bytes(300)] * 1000)

    assert ask(endless, scope()) == [None]
    assert endless.made == 4  # the first beyond the thousand bytes that there is room for
    assert endless.closed


def test_what_is_written_comes_first_and_a_second_beginning_counts():
    def old(_, start_response):
        start_response("200 OK", [])
        start_response("500 Broken", [("A", "b")])(b"a")
        return [b"b"]

    start = {"type": "http.response.start", "status": 500, "headers": [(b"a", b"b")]}
    assert ask(old, scope()) == [(start, b"ab")]


def test_only_so_many_are_answered_at_once():
    under_way, most, lock, three = 0, 0, threading.Lock(), threading.Barrier(3)

    def counted(_, start_response):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        three.wait(timeout=60)  # six come in two rounds
        with lock:
            under_way -= 1
        start_response("200 OK", [])
        return [b"x"]

    assert [body for _, body in ask(counted, *[scope()] * 6, most=3)] == [b"x"] * 6
    assert most == 3
