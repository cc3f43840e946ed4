"""The history: every answer once, corrections, filters, forgetting, and nothing but pixels of pictures."""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import create_engine, inspect
from tests import models

from headstart.data import images
from headstart.errors import InputError
from headstart.inference.predictor import Prediction
from headstart.serving import history as histories
from headstart.serving.history import History, Wanted, url_of
from headstart.serving.tables import Base

PICTURE = models.picture(3)


def said(label="cat", decision="accept", error=""):
    return Prediction("", label, 0.75 if label else 0.0, {}, decision, 1.5 if label else None, error)


@pytest.fixture
def place(tmp_path):
    return tmp_path / "100%25 of it?.sqlite3"


@pytest.fixture
def history(place):
    made = History(url_of(str(place)))
    yield made
    made.close()


def test_what_was_answered_is_there_with_all_that_was_said(history, place):
    before = datetime.now(UTC).isoformat()
    names = history.add("m" * 64, [("a.png", b"a"), ("b\n.txt", b"b")], [said(), said("", "", "no image")])

    with sqlite3.connect(place) as connection:
        connection.row_factory = sqlite3.Row
        first, second = map(dict, connection.execute("select * from answers order by name"))
    connection.close()

    assert before < first.pop("at") <= datetime.now(UTC).isoformat().replace("+00:00", "Z")
    assert first == {
        "id": names[0], "model": "m" * 64, "sha256": hashlib.sha256(b"a").hexdigest(), "name": "a.png",
        "label": "cat", "confidence": 0.75, "decision": "accept", "distance": 1.5, "error": "",
        "correction": None, "corrected_at": None,
    }  # fmt: skip
    assert (second["name"], second["label"], second["distance"]) == ("b\\n.txt", "", None)
    assert second["error"] == "no image"


def test_of_a_name_without_end_the_beginning_is_noted(history):
    history.add("m" * 64, [("x" * 1_000_000, b"a")], [said()])

    assert [one.name for one in history.every(Wanted())] == ["x" * histories.LONGEST]


def test_many_write_at_once(history):
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: history.add("m", [(f"{i}", b"x")] * 3, [said()] * 3), range(60)))

    assert len({name for names in found for name in names}) == history.count(Wanted()) == 180
    assert len(list(history.every(Wanted()))) == 180


def test_filters(history):
    rows = [("a 1.png", said()), ("a%2.png", said("dog", "abstain")), ("b.txt", said("", "", "no image"))]
    names = history.add("m", [(name, b"") for name, _ in rows], [answer for _, answer in rows])
    assert history.correct(names[1], "cat")

    def found(**wanted):
        return sorted(row.name for row in history.page(Wanted(**wanted), 1))

    assert found() == ["a 1.png", "a%2.png", "b.txt"]
    assert found(decision="abstain") == found(corrected=True) == found(name="%") == ["a%2.png"]
    assert found(decision="error") == ["b.txt"]
    assert found(label="cat") == ["a 1.png", "a%2.png"]  # what it was taken for, and what it is
    assert found(label="cat", decision="accept") == found(name="A 1") == ["a 1.png"]
    assert history.count(Wanted(label="dog")) == 1


def test_a_name_is_found_in_upper_and_lower_case(history):
    """SQLite by itself knows that of ASCII alone."""
    for name in ("Größe.png", "ΑΘΉΝΑ.png", "cat.png"):
        history.add("m", [(name, b"")], [said()])

    for name, count in (("GRÖß", 1), ("αθήνα", 1), ("CAT", 1), (".PNG", 3), ("grosse", 0)):
        assert history.count(Wanted(name=name)) == count, name


def test_pages_go_from_the_newest_to_the_oldest(history, monkeypatch):
    monkeypatch.setattr(histories, "PAGE", 2)
    for i in range(5):
        history.add("m", [(str(i), b"")], [said()])

    assert [[row.name for row in history.page(Wanted(), n)] for n in (1, 2, 3)] == [
        ["4", "3"],
        ["2", "1"],
        ["0"],
    ]


def test_an_answer_can_be_corrected_and_again(history):
    (name,) = history.add("m", [("a", b"")], [said()])

    assert history.correct(name, "dog") == hashlib.sha256(b"").hexdigest()
    assert history.correct(name, "bird")
    assert history.correct("nothing", "dog") == ""
    (row,) = history.page(Wanted(), 1)
    assert (row.label, row.correction) == ("cat", "bird")
    assert row.corrected_at >= row.at


def test_a_picture_is_kept_once_and_as_pixels_alone(history):
    """What a camera has written into the file is gone; it stands upright."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a camera"  # turned, made by
    content = io.BytesIO()
    Image.open(io.BytesIO(PICTURE)).save(content, "JPEG", exif=exif)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: history.keep(content.getvalue()), range(8)))
    history.keep(b"no image")

    kept = history.picture(hashlib.sha256(content.getvalue()).hexdigest())
    assert b"a camera" not in kept
    assert not Image.open(io.BytesIO(kept)).getexif()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(kept))), images.decode(content.getvalue()))
    assert history.picture(hashlib.sha256(b"no image").hexdigest()) is None


def test_the_migrations_make_the_tables_that_the_code_has(history, place):
    History(url_of(str(place))).close()  # a second time changes nothing
    made, expected = inspect(history.engine), create_engine("sqlite://")
    Base.metadata.create_all(expected)
    wanted = inspect(expected)

    assert set(made.get_table_names()) == {*wanted.get_table_names(), "alembic_version"}
    for table in wanted.get_table_names():
        for facts in ("get_columns", "get_pk_constraint", "get_indexes"):
            assert shown(getattr(made, facts)(table)) == shown(getattr(wanted, facts)(table)), facts
    expected.dispose()


def shown(facts):
    return sorted(map(repr, facts)) if isinstance(facts, list) else repr(facts)


def test_reading_goes_on_while_another_writes(history, place):
    history.add("m", [("a", b"")], [said()])
    with sqlite3.connect(place, isolation_level=None) as other:
        other.execute("begin immediate")
        other.execute("delete from answers")
        assert history.count(Wanted()) == 1
        other.execute("rollback")
    other.close()


def test_a_file_that_is_no_database_is_left_alone(tmp_path):
    (tmp_path / "x").write_text("my notes, which are long enough to be taken for the head of a database" * 20)
    before = (tmp_path / "x").read_bytes()

    with pytest.raises(InputError, match="file is not a database"):
        History(url_of(str(tmp_path / "x")))

    assert (tmp_path / "x").read_bytes() == before


def test_a_database_of_a_later_version_is_told_in_one_line(history, place):
    with history.engine.begin() as connection:
        connection.exec_driver_sql("update alembic_version set version_num = '9999'")

    with pytest.raises(InputError, match=r"The history cannot be opened: .*9999"):
        History(url_of(str(place)))


def test_what_is_killed_while_tables_are_made_did_not_happen(place, monkeypatch):
    from headstart.serving.migrations.versions import v0001_answers_and_pictures as first

    made = first.op.create_table

    def killed(name, *columns):
        if name == "pictures":
            raise InterruptedError
        return made(name, *columns)

    with monkeypatch.context() as patch:
        patch.setattr("alembic.op.create_table", killed)
        with pytest.raises(InterruptedError):
            History(url_of(str(place)))

    history = History(url_of(str(place)))
    history.add("m", [("a", b"")], [said()])
    history.close()


@pytest.mark.skipif(
    "HEADSTART_TEST_POSTGRES" not in os.environ, reason="HEADSTART_TEST_POSTGRES names no database"
)
def test_the_same_in_postgresql():
    """In an empty database of a real server; names that PostgreSQL would not take are escaped before."""
    history = History(os.environ["HEADSTART_TEST_POSTGRES"], days=7)
    rows = [("a%.png", said()), ("b\0.txt", said("", "", "no image")), ("\ud800", said("dog", "abstain"))]
    names = history.add("m" * 64, [(name, b"a") for name, _ in rows], [answer for _, answer in rows])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: history.add("m", [(f"{i}", b"x")] * 3, [said()] * 3), range(60)))
        list(pool.map(lambda _: history.keep(PICTURE), range(8)))

    assert history.correct(names[0], "dog") == hashlib.sha256(b"a").hexdigest()
    counts = [
        history.count(Wanted(name="%")),
        history.count(Wanted(decision="error")),
        history.count(Wanted()),
    ]
    assert counts == [1, 1, 183]
    assert {row.name for row in history.every(Wanted(label="dog"))} == {"a%.png", "\\ud800"}
    assert history.picture(hashlib.sha256(PICTURE).hexdigest()).startswith(b"\x89PNG")
    history.close()
    History(os.environ["HEADSTART_TEST_POSTGRES"]).close()  # a second time changes nothing
