"""Lines of JSON about requests, by the formatter alone and from a real server behind a proxy."""

from __future__ import annotations

import asyncio
import json
import logging
import time

import pytest
from tests import models
from tests.serving.running import asked, served
from tests.serving.test_gate import Client, echo

from headstart.serving.gate import Gate
from headstart.serving.limits import Limits
from headstart.serving.log import Lines, Logged

PICTURE = models.picture(3)
FORGED = 'x"\n{"forged": true}\x1b[2J'


def lines(records):
    return [Lines().format(record) for record in records]


def test_a_request_is_one_line_that_says_how_it_ended(caplog):
    client = Client(b"body", path="/v2/models/" + FORGED, query=b"name=Secret.png")
    client.scope["client"] = ("192.0.2.7", 50000)
    with caplog.at_level(logging.INFO, "headstart.requests"):
        asyncio.run(client.through(Logged(Gate(echo, Limits()))))

    (line,) = lines(caplog.records)
    found = json.loads(line)
    assert line.isprintable()
    assert found.pop("at")[10] == "T"
    assert 0 <= found.pop("ms") < 1000
    assert found == {
        "level": "info", "client": "192.0.2.7", "method": "POST", "path": "/v2/models/" + FORGED,
        "status": 200, "bytes": 4,
    }  # fmt: skip


def test_a_client_that_went_away_has_no_status(caplog):
    async def silent(*_):
        pass

    with caplog.at_level(logging.INFO, "headstart.requests"):
        asyncio.run(Client().through(Logged(silent)))

    assert json.loads(lines(caplog.records)[0])["status"] is None


def test_an_error_is_one_line_too(caplog):
    try:
        int("none")
    except ValueError:
        logging.getLogger("headstart.serving").exception("%s %s", "GET", "/")

    found = json.loads(lines(caplog.records)[0])
    assert found["message"] == "GET /"
    assert found["error"].splitlines()[-1].startswith("ValueError: ")


@pytest.mark.slow
def test_a_server_behind_a_proxy_notes_and_counts_whom_the_proxy_names(model, tmp_path):
    log = tmp_path / "log"
    options = ("--log-json", "--proxy", "127.0.0.1", "--rate", "2", "--history", "none")
    token = "a long word that nobody guesses"  # noqa: S105
    own = {"Content_Type": "image/png", "Authorization": f"Bearer {token}"}
    with served(model, *options, output=log, HEADSTART_TOKEN=token) as (port, _):
        if time.time() % 60 > 50:  # the count begins anew with the minute
            time.sleep(60 - time.time() % 60)
        for client in ["192.0.2.1"] * 3 + ["192.0.2.2", "198.51.100.9, 192.0.2.3"]:
            asked(port, "POST", "/v1/predict?a=b", PICTURE, X_Forwarded_For=client, **own)

    noted = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    assert [(one["client"], one["status"]) for one in noted if one["path"] == "/v1/predict"] == [
        ("192.0.2.1", 200), ("192.0.2.1", 200), ("192.0.2.1", 429), ("192.0.2.2", 200), ("192.0.2.3", 200),
    ]  # fmt: skip
