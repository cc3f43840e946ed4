"""Flask on threads: what it is told of a request, what comes back, and what it never has to hold."""

from __future__ import annotations

import asyncio
import threading
import time

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

    assert start["type"], start["status"] == ("http.response.start", 201)
    assert body == "/straßeäa,b192.0.2.1localhost".encode() + b"\x00\r\n\xff"
    assert (b"x-name", "ü".encode("latin-1")) in start["headers"]


def test_an_answer_without_a_body_has_none(app):
    app.add_url_rule("/", view_func=lambda: "text")
    (start, body), (missing, _) = ask(app, scope(method="HEAD"), scope("/none", "GET"))

    assert (start["status"], body) == (200, b"")
    assert (b"content-length", b"4") in start["headers"]
    assert missing["status"] == 404


def test_what_the_application_raises_is_raised():
    def broken(*_):
        raise OSError("secret")

    def breaks_off(_, start_response):
        start_response("200 OK", [])
        yield b"a"
        raise OSError("secret")

    for application in (broken, breaks_off):
        (error,) = ask(application, scope())
        assert isinstance(error, OSError)


def test_what_cannot_leave_is_neither_held_nor_computed():
    made, closed = [], []

    class Endless:
        def __iter__(self):
            while True:
                made.append(300)
                yield bytes(300)

        def close(self):
            closed.append(True)

    def endless(_, start_response):
        start_response("200 OK", [])
        return Endless()

    assert ask(endless, scope()) == [None]
    assert sum(made) == 1200  # the first beyond the thousand that there is room for
    assert closed == [True]


def test_a_plain_list_is_an_answer_too():
    def plain(_, start_response):
        start_response("200 OK", [("A", "b")])
        return [b"a", b"b"]

    assert ask(plain, scope()) == [
        ({"type": "http.response.start", "status": 200, "headers": [(b"a", b"b")]}, b"ab")
    ]


def test_only_so_many_are_answered_at_once():
    under_way, most, lock = 0, 0, threading.Lock()

    def counted(_, start_response):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.05)
        with lock:
            under_way -= 1
        start_response("200 OK", [])
        return [b"x"]

    assert [body for _, body in ask(counted, *[scope()] * 6, most=3)] == [b"x"] * 6
    assert most == 3
