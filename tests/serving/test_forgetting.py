"""What is older than it may be is forgotten, a few rows at a time; what goes wrong is told in one line."""

from __future__ import annotations

import hashlib
import logging
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event
from tests import models

from headstart.errors import InputError
from headstart.inference.predictor import Prediction
from headstart.serving import history as histories
from headstart.serving.history import History, Wanted, url_of

SAID = Prediction("", "cat", 0.75, {}, "accept", 1.5)
STAY = "create trigger stay before delete on answers begin select raise(abort, 'they stay'); end"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A history of five answers, eight days old; the last is corrected, the first was asked again today."""
    place = url_of(str(tmp_path / "answers"))
    history, long_ago = History(place), datetime.now(UTC) - timedelta(days=8)
    with monkeypatch.context() as patch:
        patch.setattr(histories, "_now", lambda: histories._iso(long_ago))
        for number in range(5):
            (called,) = history.add("m", [(f"{number}.png", models.picture(number))], [SAID])
            history.keep(models.picture(number))
        history.correct(called, "dog")
    history.add("m", [("again.png", models.picture(0))], [SAID])
    history.close()
    return place


def names(history):
    return [row.name for row in history.every(Wanted())]


def test_what_is_old_is_forgotten_but_for_corrections(place):
    """With its picture, unless a younger answer has the same one."""
    history = History(place, days=7)

    assert names(history) == ["4.png", "again.png"]
    kept = [history.picture(hashlib.sha256(models.picture(i)).hexdigest()) is not None for i in range(5)]
    assert kept == [True, False, False, False, True]
    history.close()


def test_a_few_are_forgotten_at_a_time(place, monkeypatch):
    """Each time in a transaction of its own, else a large history would never be done in time."""
    monkeypatch.setattr(histories, "BATCH", 2)
    history, done = History(place, days=0), []
    history.days = 7
    event.listen(history.engine, "after_cursor_execute", lambda *of: done.append(of[1].rowcount))
    event.listen(history.engine, "commit", lambda _: done.append("committed"))

    history.forget()

    assert [one for one in done if one != -1] == [2, "committed", 2, "committed", 0, "committed",
                                                  2, "committed", 1, "committed", 0, "committed"]  # fmt: skip
    assert names(history) == ["4.png", "again.png"]
    history.close()


def test_what_cannot_be_forgotten_is_told_in_one_line(place, caplog):
    history = History(place)
    with history.engine.begin() as connection:
        connection.exec_driver_sql(STAY)

    with pytest.raises(InputError, match=r"The history cannot be opened: .*they stay.* Change --history\.$"):
        History(place, days=7)

    history.days, history.swept = 7, histories.time.monotonic() - 3601
    with caplog.at_level(logging.WARNING):
        history.add("m", [("one more.png", b"")], [SAID])  # is answered all the same
    (record,) = caplog.records
    assert "could not be forgotten" in record.message
    assert "they stay" in record.message
    assert record.exc_info is None
    assert "\n" not in record.message
    history.close()


def test_old_answers_are_looked_for_again_after_an_hour(place, monkeypatch):
    history, swept = History(place), []
    monkeypatch.setattr(history, "forget", lambda: swept.append(True))
    history.swept = histories.time.monotonic()
    history.add("m", [("a", b"")], [SAID])
    history.swept -= 3601
    history.add("m", [("a", b"")], [SAID])

    assert swept == [True]
    history.close()
