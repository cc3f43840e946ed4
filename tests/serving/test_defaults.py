"""However it is started, it is safe or refuses to start, and tells nobody what is nobody's business (R28)."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.serving.running import asked, served, workers

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sockets are found in /proc")

SECRET = "correct horse battery staple"  # noqa: S105
TOKEN = {"HEADSTART_TOKEN": SECRET}
ALL = "0.0.0.0"  # noqa: S104
EVERYWHERE, HERE = ("--host", ALL), {"0100007F"}  # addresses as the kernel has them
NO_TOKEN, GUESSED = "nobody would have to show a token", "This token is easily guessed."
TELLING = ("Traceback", "site-packages", 'File "', "Debugger", "werkzeug", "/pytest-", ".sqlite", SECRET)

# Options and environment; the status without a token, or the words of the refusal; where it listens.
STARTS = {
    "as it is": ((), {}, 200, HERE),
    "with a token": ((), TOKEN, 401, HERE),
    "with an empty token": ((), {"HEADSTART_TOKEN": ""}, 200, HERE),
    "with a short token": ((), {"HEADSTART_TOKEN": "guess"}, GUESSED, None),
    "by a name of this machine": (("--host", "localhost"), {}, 200, HERE),
    "everywhere": (EVERYWHERE, {}, NO_TOKEN, None),
    "everywhere in another way": (("--host", "0"), {}, NO_TOKEN, None),
    "everywhere with an empty token": (EVERYWHERE, {"HEADSTART_TOKEN": ""}, NO_TOKEN, None),
    "everywhere with a short token": (EVERYWHERE, {"HEADSTART_TOKEN": "guess"}, GUESSED, None),
    "everywhere with another token": (EVERYWHERE, {"TOKEN": SECRET, "FLASK_TOKEN": SECRET}, NO_TOKEN, None),
    "everywhere behind a name": ((*EVERYWHERE, "--name", "cells.example"), {}, NO_TOKEN, None),
    "everywhere behind a proxy": ((*EVERYWHERE, "--proxy", "127.0.0.1"), {}, NO_TOKEN, None),
    "behind a proxy": (("--proxy", "127.0.0.1"), {}, NO_TOKEN, None),
    "everywhere with a token": (EVERYWHERE, TOKEN, 401, {"00000000"}),
    "to be debugged": ((), {"FLASK_DEBUG": "1", "FLASK_ENV": "development"}, 200, HERE),
    "to be debugged with a token": ((), TOKEN | {"FLASK_DEBUG": "1", "WERKZEUG_DEBUG_PIN": "off"}, 401, HERE),
    "with Flask's settings": ((), {"FLASK_RUN_HOST": ALL, "FLASK_APP": "x", "FLASK_TESTING": "1"}, 200, HERE),
    "with granian's settings": ((), {"GRANIAN_HOST": ALL, "GRANIAN_LOG_LEVEL": "debug"}, 200, HERE),
    "with its logs": ((), {"GRANIAN_LOG_ENABLED": "1", "GRANIAN_LOG_ACCESS_ENABLED": "1"}, 200, HERE),
    "with other servers' settings": ((), dict.fromkeys(("HOST", "BIND", "UVICORN_HOST"), ALL), 200, HERE),
    "with a log": (("--log-json",), TOKEN, 401, HERE),
    "without feedback": (("--no-feedback",), TOKEN, 401, HERE),
    "keeping all": (("--keep-images", "--keep-days", "7"), TOKEN, 401, HERE),
    "in another place": ((), {"SCRIPT_NAME": "/model"}, 200, HERE),
}  # fmt: skip
COUNTED = [
    pytest.param(*start, id=name, marks=[] if name == "everywhere" else pytest.mark.serving)
    for name, start in STARTS.items()
]


def listening(port):
    """Addresses that the kernel has sockets at, waiting for others."""
    lines = [line for file in ("tcp", "tcp6") for line in Path(f"/proc/net/{file}").read_text().splitlines()]
    found = [line.split()[1].split(":") for line in lines if line.split()[3] == "0A"]
    return {address for address, number in found if int(number, 16) == port}


def said(port, **headers):
    """What it answers to questions, sensible ones and others."""
    asking = [
        ("GET", path, None)
        for path in (
            "/",
            "/api",
            "/history",
            "/history?page=x&name=%00",
            "/metrics",
            "/openapi.json",
            "/v1/model",
            "/health",
            "/ready",
            "/nothing",
            "/console",
            "/?__debugger__=yes&cmd=resource&f=debugger.js",
        )
    ]
    asking += [("POST", path, body) for path in ("/v1/predict", "/v1/feedback", "/v1/explain", "/")
               for body in (b"", b"{", b'{"images": 1, "id": 1, "label": 2}', b"hello")]  # fmt: skip
    for kind in ("application/json", "image/png", "multipart/form-data; boundary=x"):
        for method, path, body in asking:
            status, answered, content = asked(port, method, path, body, Content_Type=kind, **headers)
            assert 200 <= status < 500
            yield f"{answered}\n{content.decode()}"


def refused(model, options, environment):
    command = [sys.executable, "-m", "headstart", "serve", str(model), "--port=0", *options]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 2
    return done.stderr


@pytest.mark.parametrize(("options", "environment", "expected", "addresses"), COUNTED)
def test_it_is_safe_or_refuses_to_start(model, tmp_path, options, environment, expected, addresses):
    if isinstance(expected, str):
        told = refused(model, options, environment)
        assert expected in told
        assert [word for word in TELLING if word in told] == []
        return
    log, history = tmp_path / "log", tmp_path / "answers.sqlite3"
    shown = {"Authorization": f"Bearer {SECRET}"}
    with served(model, "--history", str(history), *options, output=log, **environment) as (port, process):
        assert asked(port, "GET", "/v1/model")[0] == expected
        assert listening(port) == addresses
        heard = [*said(port), *said(port, **shown), *said(port, Authorization="Bearer guess")]
        inside = [Path(f"/proc/{pid}/{file}").read_bytes().decode(errors="replace")
                  for pid in workers(process) for file in ("environ", "cmdline")]  # fmt: skip

    first, *lines = log.read_text().splitlines()
    assert " is served at http://" in first
    heard += lines
    assert {word for word in TELLING for text in heard if word in text} == set()
    assert hashlib.sha256(SECRET.encode()).hexdigest() not in "".join(heard)
    assert SECRET not in "".join(inside)


@pytest.mark.parametrize("name", ["FLASK_DEBUG", "FLASK_ENV", "FLASK_TESTING"])
def test_no_environment_makes_it_tell_more_of_its_errors(client_with, monkeypatch, name):
    monkeypatch.setenv(name, "development" if name == "FLASK_ENV" else "1")
    client = client_with()

    assert client.application.debug is False
    told = client.post("/v1/predict", data=b"{", content_type="application/json").json["detail"]
    assert "line 1" not in told  # as Flask says while it is debugged
