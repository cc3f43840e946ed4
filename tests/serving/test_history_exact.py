"""Who got an answer finds it in the history, once, whatever is killed meanwhile (R25)."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import signal
import sqlite3
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Event
from typing import NamedTuple

import pytest
from tests import models
from tests.serving.postgres import cluster, needs_postgres
from tests.serving.running import asked, served, workers

from headstart.serving.history import History, Wanted, url_of

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are found in /proc")

PICTURES = [models.picture(i) for i in range(8)]
CLIENTS = 4


class Told(NamedTuple):
    """What a client heard of its picture; status 0: the connection was lost."""

    name: str
    status: int
    headers: dict[str, str]
    content: bytes


def ask(port, number):
    """A request of its own name, of one of the pictures."""
    picture = base64.b64encode(PICTURES[number % len(PICTURES)]).decode()
    body = json.dumps({"images": [{"name": f"{number}", "data": picture}]})
    return Told(f"{number}", *asked(port, "POST", "/v1/predict", body, Content_Type="application/json"))


def shaken(port, least, blows):
    """What clients were told while all the blows fell, one after the other, with answers in between."""
    numbers, over, told = count(), Event(), []

    def client():
        while not over.is_set():
            one = ask(port, next(numbers))
            told.append(one)
            time.sleep(0 if one.status == 200 else 0.02)

    with ThreadPoolExecutor(CLIENTS) as pool:
        asking = [pool.submit(client) for _ in range(CLIENTS)]
        try:
            for number, blow in enumerate(blows, 1):
                wait_for(told, number / (len(blows) + 1) * least)
                blow()
                wait_for(told, answered(told) + CLIENTS + 1)
            wait_for(told, least)
        finally:
            over.set()
        for one in asking:
            one.result()
    return told


def answered(told):
    return sum(one.status == 200 for one in list(told))


def wait_for(told, least):
    """Until so many were answered."""
    until = time.monotonic() + 300
    while answered(told) < least:
        assert time.monotonic() < until
        time.sleep(0.05)


def kill(process):
    os.kill(workers(process)[0], signal.SIGKILL)


def judge(told, rows, predictor):
    """Nothing is lost, nothing is there twice, and everything is as it was said."""
    given = {one.name: one for one in told if one.status == 200}
    noted = Counter(row.name for row in rows)
    assert set(noted.values()) == {1}
    assert given.keys() - noted.keys() == set()
    assert noted.keys() - {one.name for one in told} == set()
    right = {hashlib.sha256(picture).hexdigest(): predictor.predict([picture])[0] for picture in PICTURES}
    for row in rows:
        one = right[row.sha256]
        assert (row.label, row.decision, row.error) == (one.label, one.decision, "")
        assert (row.confidence, row.distance) == pytest.approx((one.confidence, one.distance), abs=1e-6)
        if row.name in given:
            (answer,) = json.loads(given[row.name].content)
            assert (given[row.name].headers["X-Answer-Ids"], answer["label"]) == (row.id, row.label)


def refusals(told):
    """Who was told something else was told to come again; others heard nothing at all."""
    said = [one for one in told if one.status not in (0, 200)]
    shown = {(one.status, one.headers["Content-Type"], one.headers["Retry-After"]) for one in said}
    assert shown <= {(503, "application/problem+json", "5")}
    return said


def rows_of(url):
    history = History(url)
    try:
        return list(history.every(Wanted()))
    finally:
        history.close()


@pytest.mark.parametrize(("least", "kills"), [(100, 1), pytest.param(10_000, 20, marks=pytest.mark.serving)])
def test_in_sqlite_when_workers_are_killed(model, predictor, tmp_path, least, kills):
    place, log = tmp_path / "answers", tmp_path / "log"
    with served(model, "--history", str(place), output=log) as (port, process):
        told = shaken(port, least, [lambda: kill(process)] * kills)

    refusals(told)
    judge(told, rows_of(url_of(str(place))), predictor)
    assert answered(told) >= least
    assert 0 in {one.status for one in told}  # so it did hurt
    with sqlite3.connect(place) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    connection.close()
    assert "locked" not in log.read_text()


@needs_postgres
@pytest.mark.serving
def test_in_postgresql_when_workers_are_killed_and_the_database_is(model, predictor, tmp_path):
    log = tmp_path / "log"
    with cluster() as database:
        with served(model, "--history", database.url, output=log) as (port, process):
            blows = [lambda: kill(process), database.restart] * 20
            told = shaken(port, 10_000, blows)
        rows = rows_of(database.url)

    judge(told, rows, predictor)
    assert len(refusals(told)) >= 20  # while there was no database
    assert answered(told) >= 10_000


@needs_postgres
@pytest.mark.serving
def test_while_there_is_no_database_nothing_is_answered(model, predictor):
    """Not by a worker that starts meanwhile, either; and nothing is noted later of what was refused."""
    with cluster() as database, served(model, "--history", database.url) as (port, process):
        told = [ask(port, number) for number in range(10)]
        database.stop()
        told += [ask(port, number) for number in range(10, 15)]
        kill(process)
        while asked(port, "GET", "/ready")[0] != 200:
            time.sleep(0.1)
        told += [ask(port, number) for number in range(15, 20)]
        database.start()
        told += [ask(port, number) for number in range(20, 30)]
        rows = rows_of(database.url)

    assert [one.status for one in told] == [200] * 10 + [503] * 10 + [200] * 10
    assert len(refusals(told)) == 10
    judge(told, rows, predictor)
    assert len(rows) == 20
