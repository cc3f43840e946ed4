"""The real server, started as a person would, on this machine alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from tests import models
from tests.serving.running import asked, children, served, workers

from headstart.serving.server import _Asked

PICTURE = models.picture(3)


@pytest.fixture(scope="module")
def server(model):
    """Under nohup, which only one of the tests is about."""
    program = (sys.executable, "-m", "headstart")
    with served(model, "--max-mb", "1", "--deadline", "20", python="nohup", program=program) as found:
        yield found


def test_it_answers_with_the_headers_of_the_gate(server, predictor):
    status, headers, content = asked(server[0], "POST", "/v1/predict", PICTURE, Content_Type="image/png")

    assert status == 200
    assert predictor.predict([PICTURE])[0].label in content.decode()
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_a_request_that_is_too_large_is_refused_before_it_is_sent(server):
    with socket.create_connection(("127.0.0.1", server[0]), timeout=10) as client:
        client.sendall(b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000001\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_worker_that_is_killed_comes_back(server):
    port, process = server
    (worker,) = workers(process)

    os.kill(worker, signal.SIGKILL)

    until = time.monotonic() + 60
    while time.monotonic() < until and (
        asked(port, "GET", "/health")[0] != 200 or workers(process) == [worker]
    ):
        time.sleep(0.1)
    assert workers(process) != [worker]
    assert asked(port, "POST", "/v1/predict", PICTURE, Content_Type="image/png")[0] == 200


def test_asked_to_end_it_answers_what_is_under_way_and_ends_with_0(model):
    """The signal comes when half of a request is there."""
    head = f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(PICTURE)}\r\n"
    with (
        served(model) as (port, process),
        socket.create_connection(("127.0.0.1", port), timeout=20) as client,
    ):
        client.sendall(head.encode() + b"Content-Type: image/png\r\n\r\n" + PICTURE[:1000])
        time.sleep(0.5)
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        client.sendall(PICTURE[1000:])
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        assert process.wait(60) == 0
        assert asked(port, "GET", "/health")[0] == 0


def test_at_its_end_the_history_is_one_file(model, tmp_path):
    """SQLite's other two hold what was noted last until it is closed."""
    history = tmp_path / "answers.sqlite3"
    with served(model, f"--history={history}") as (port, _):
        assert asked(port, "POST", "/v1/predict", PICTURE, Content_Type="image/png")[0] == 200
        assert len(list(tmp_path.iterdir())) == 3

    assert list(tmp_path.iterdir()) == [history]


def test_a_worker_ends_without_python_s_end():
    """Which granian's threads do not survive; all else has ended before."""
    code = """
import atexit
from headstart.serving import server

class Told:
    def end(self):
        print("answered", flush=True)
    def close(self):
        print("noted", flush=True)

atexit.register(print, "Python's end", flush=True)
server._end(Told(), Told())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, "answered\nnoted\n", "")


def test_when_its_terminal_ends_it_ends(model, tmp_path):
    """The terminal tells all processes; the others leave it to the server."""
    said = tmp_path / "said"
    with served(model, output=said) as (port, process):
        before = children(process)
        for child in before:
            os.kill(child, signal.SIGHUP)
        time.sleep(0.2)
        assert asked(port, "GET", "/ready")[0] == 200
        assert children(process) == before
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 0
        assert asked(port, "GET", "/health")[0] == 0
    assert len(said.read_text().splitlines()) == 1  # that it is served


@pytest.mark.parametrize("times", [2, pytest.param(40, marks=pytest.mark.serving)])
def test_two_signals_at_once_end_it(model, times):
    """As when a terminal is closed, by its shell and by the system. An event's lock was then waited for."""
    for _ in range(times):
        with served(model) as (_, process):
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def test_what_is_waited_for_is_found_however_a_signal_comes():
    class Granian:
        interrupt_signal = False

    asked = _Asked(Granian())
    asked.set()
    asked.wait()
    asked.clear()
    later = threading.Timer(0.2, setattr, (asked.server, "interrupt_signal", True))
    later.start()
    asked.wait()  # granian had taken the flag back with a worker's
    assert asked.server.interrupt_signal


def test_nobody_gets_the_port_while_a_worker_is_gone(server, model):
    """Neither by asking plainly nor as another headstart would; granian lets its workers share it."""
    port, process = server
    (worker,) = workers(process)
    os.kill(worker, signal.SIGKILL)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
    until = time.monotonic() + 60
    while time.monotonic() < until and asked(port, "GET", "/ready")[0] != 200:
        time.sleep(0.1)
    assert f"Received: '127.0.0.1:{port}'" in line(model, "--port", port)
    assert asked(port, "GET", "/ready")[0] == 200


def test_under_nohup_it_goes_on_when_its_terminal_ends(server):
    port, process = server
    before = workers(process)
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)

    assert asked(port, "GET", "/ready")[0] == 200
    assert workers(process) == before


def test_a_body_in_chunks_is_read(server):
    with socket.create_connection(("127.0.0.1", server[0]), timeout=20) as client:
        head = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"
        chunk = b"%x\r\n%s\r\n" % (len(PICTURE), PICTURE)
        client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_module_in_the_current_folder_is_not_taken_for_a_library(model, tmp_path, monkeypatch):
    (tmp_path / "a2wsgi.py").write_text("raise SystemExit('ran what lay around')")
    (tmp_path / "__init__.py").touch()
    monkeypatch.chdir(tmp_path)
    with served(model, program=("-P", "-m", "headstart")) as (port, _):
        assert asked(port, "GET", "/v1/model")[0] == 200


def line(*arguments, **environment):
    command = [sys.executable, "-m", "headstart", "serve", *map(str, arguments)]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    return done.stderr


def test_what_cannot_be_served_is_told_in_one_line(model, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Received: '127.0.0.1:{port}'" in line(model, "--port", port)
    assert "The server cannot listen there" in line(model, "--port", 70000)
    for option, wrong in (("--deadline", 0), ("--deadline", "nan"), ("--max-mb", "inf"), ("--max-mb", -1)):
        assert "Within these limits" in line(model, option, wrong)
    for days in (-1, 400_000):
        assert "--keep-days cannot be that" in line(model, "--keep-days", days)
    assert "cannot listen there" in line(model, "--host", "no.such.host.invalid")
    assert "There is no trained model here." in line(tmp_path)
    assert "Put a long random text into HEADSTART_TOKEN" in line(model, "--host", "0.0.0.0")  # noqa: S104
    assert "This token is easily guessed." in line(model, HEADSTART_TOKEN="guess")  # noqa: S106
    assert "begins or ends with white space" in line(model, HEADSTART_TOKEN=f"{16 * 'x'}\r")
    for memory in ("sqlite://", "sqlite:///:memory:"):
        assert "this is no URL of a database" in line(model, "--history", memory)


def test_a_token_is_asked_for_by_the_real_server(model):
    secret = "a long random text"  # noqa: S105
    with served(model, HEADSTART_TOKEN=secret) as (port, _):
        assert asked(port, "GET", "/v1/model")[0] == 401
        assert asked(port, "GET", "/v1/model", Authorization=f"Bearer {secret}")[0] == 200
