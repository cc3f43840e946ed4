"""SQLite with several writers, and PostgreSQL beside it: nothing is lost, and both hold the same (R25)."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from itertools import count

import pytest
from tests.serving.postgres import cluster, needs_postgres

from headstart.inference.predictor import Prediction
from headstart.serving import history as histories
from headstart.serving.app import create_app
from headstart.serving.application import Settings
from headstart.serving.history import History, Wanted, url_of

CHILD = """
import sys
from headstart.inference.predictor import Prediction
from headstart.serving.history import History, url_of

place, called, least = sys.argv[1:]
history = History(url_of(place))
said = Prediction("", "cat", 0.75, {}, "accept", 1.5)
for number in range(int(least)):
    print(*history.add("m" * 64, [(f"{called}.{number}", b"x")], [said]), flush=True)
"""


def rows_of(place):
    history = History(url_of(str(place)))
    try:
        return list(history.every(Wanted()))
    finally:
        history.close()


@pytest.mark.parametrize(
    ("writers", "least", "kills"), [(2, 50, 1), pytest.param(4, 2500, 20, marks=pytest.mark.serving)]
)
def test_in_sqlite_when_several_processes_write(tmp_path, writers, least, kills):
    """Killed ones are replaced; what they printed they had noted, and at most one answer more."""
    place = tmp_path / "answers"
    History(url_of(str(place))).close()

    def writer(number):
        count = (
            10**9 if number < kills else least
        )  # who is killed would else be done before, on a quick machine
        said, wrong = (tmp_path / f"{number}.{kind}" for kind in ("out", "err"))
        with said.open("w") as out, wrong.open("w") as err:
            return subprocess.Popen(
                [sys.executable, "-c", CHILD, place, f"{number}", f"{count}"], stdout=out, stderr=err
            )

    running = {number: writer(number) for number in range(writers)}
    for number in range(kills):
        while running[number].poll() is None and (tmp_path / f"{number}.out").stat().st_size < 100:
            time.sleep(0.01)
        running[number].kill()
        running[number + writers] = writer(number + writers)
    ends = [process.wait(600) for process in running.values()]

    noted = [row.id for row in rows_of(place)]
    printed = [name for number in running for name in (tmp_path / f"{number}.out").read_text().split()]
    assert ends == [-signal.SIGKILL] * kills + [0] * writers
    assert "".join((tmp_path / f"{number}.err").read_text() for number in running) == ""
    assert len(printed) >= writers * least
    assert len(noted) == len(set(noted))
    assert set(printed) <= set(noted)
    assert len(noted) <= len(printed) + kills
    with sqlite3.connect(place) as connection:
        assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    connection.close()


WANTED = [
    Wanted(), Wanted(decision="abstain"), Wanted(decision="error"), Wanted(label="cat"), Wanted(label="dög"),
    Wanted(name="%"), Wanted(name="_"), Wanted(name="\\"), Wanted(name="B"), Wanted(name="'"),
    Wanted(name="Ü"), Wanted(corrected=True), Wanted(label="cat", corrected=True), Wanted(name="no such"),
]  # fmt: skip
NAMES = (
    "a.png",
    "b%.png",
    "B_.png",
    "c\\.png",
    "d'e\".png",
    "ü\0.png",
    "\ud800.png",
    "\U0001f408.png",
    "",
    " ",
)


def story(history, monkeypatch):
    """The same things happen to it, at the same times."""
    moments, ids = count(), count()
    with monkeypatch.context() as patch:
        patch.setattr(histories, "_now", lambda: f"2026-01-01T00:00:00.{next(moments):06}Z")
        patch.setattr(histories.uuid, "uuid4", lambda: type("", (), {"hex": f"{next(ids):032x}"}))
        for number in range(60):
            name = NAMES[number % len(NAMES)]
            said = [
                Prediction("", "dög" if number % 3 else "cat", number / 59, {}, "accept", number * 0.1),
                Prediction("", "cat", 1e-300, {}, "abstain", None),
                Prediction("", "", 0.0, {}, error="no image\0"),
            ]
            history.add("m" * 64, [(name, b"%d" % number)] * 3, said)
            history.correct(f"{number:032x}", "great ape" if number % 2 else "cat")
    return [
        [[vars(row) | {"_sa_instance_state": 0} for row in history.every(wanted)] for wanted in WANTED],
        [[row.id for row in history.page(wanted, n)] for wanted in WANTED for n in (1, 2, 3, 4)],
        [history.count(wanted) for wanted in WANTED],
    ]  # fmt: skip


@needs_postgres
@pytest.mark.serving
def test_both_databases_hold_and_find_the_same(tmp_path, service, monkeypatch):
    with cluster() as database:
        found = []
        for url in (url_of(str(tmp_path / "answers")), database.url):
            history = History(url)
            found.append(story(history, monkeypatch))
            client = create_app(service, Settings("animals"), history).test_client()
            for path in (
                "?name=%00&label=%00&decision=%00",
                "/answers.csv?name=%ff%00",
                "?name=" + "_" * 60_000,
            ):
                assert client.get(f"/history{path}", buffered=True).status_code == 200
            assert client.get("/history/pictures/%00.png").status_code == 404
            history.close()

    assert found[0] == found[1]
    assert found[0][2][0] == 180
