"""Answers are noted, can be corrected by people and programs, looked through and taken along."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import re
import threading
from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError
from tests import models
from tests.report.browser import HOSTILE

from headstart.inference.predictor import Predictor
from headstart.serving import history as past_answers
from headstart.serving import past
from headstart.serving.app import create_app
from headstart.serving.application import Settings
from headstart.serving.history import History, Wanted, url_of
from headstart.serving.limits import Limits
from headstart.serving.service import Service

PICTURE = models.picture(3)


@pytest.fixture
def history(tmp_path):
    made = History(url_of(str(tmp_path / "served.sqlite3")))
    yield made
    made.close()


@pytest.fixture
def noted(service, history):
    """Settings → a client of an application that notes."""
    return lambda **changes: create_app(service, Settings("animals", **changes), history).test_client()


def asked(client, *names, where="/v1/predict", **headers):
    files = {
        "file": [
            (io.BytesIO(PICTURE if name.endswith("png") else b"hello"), name.replace('"', "%22"))
            for name in names
        ]
    }
    return client.post(where, data=files, headers=headers)


def test_every_answer_is_noted_once_and_named(noted, history):
    found = asked(noted(), "a.png", "b.txt")

    rows = {row.id: row for row in history.every(Wanted())}
    first, second = (rows[name] for name in found.headers["X-Answer-Ids"].split(","))
    assert (first.name, first.label) == ("a.png", found.json[0]["label"])
    assert first.confidence == pytest.approx(found.json[0]["confidence"], abs=1e-6)
    assert first.sha256 == hashlib.sha256(PICTURE).hexdigest()
    assert (second.name, second.error) == ("b.txt", found.json[1]["error"])
    assert len(rows) == 2
    assert history.picture(first.sha256) is None


def test_a_program_corrects_and_the_picture_is_kept(noted, history):
    client = noted()
    name = asked(client, "a.png").headers["X-Answer-Ids"]
    image = base64.b64encode(PICTURE).decode()

    assert (
        client.post("/v1/feedback", json={"id": name, "label": "dög", "image": image}).json["label"] == "dög"
    )

    (row,) = history.every(Wanted(corrected=True))
    assert row.correction == "dög"
    kept = client.get(f"/history/pictures/{row.sha256}.png")
    assert kept.content_type == "image/png"
    other = base64.b64encode(models.picture(9)).decode()
    for wrong, status in (
        ({"id": name, "label": "dog"}, 400),
        ({"id": "x", "label": "cat"}, 404),
        ({"id": "\ud800", "label": "cat"}, 404),
        ({"id": "0" * 32, "label": "cat"}, 404),
        ([], 400),
        ({"id": name, "label": "cat", "image": "!"}, 400),
        ({"id": name, "label": "cat", "image": other}, 409),  # another picture than that answer's
    ):
        assert client.post("/v1/feedback", json=wrong).status_code == status
    assert history.picture(hashlib.sha256(models.picture(9)).hexdigest()) is None


@pytest.mark.parametrize(
    ("threshold", "words"), [(0.1, "Sure enough"), (0.0, "was not settled"), (1.0, "Not sure enough")]
)
def test_it_is_called_sure_only_where_that_was_settled(service, monkeypatch, threshold, words):
    rule = replace(service.predictor.rule, confidence=threshold, distance=None)
    monkeypatch.setattr(service.predictor, "rule", rule)

    assert words in asked(create_app(service, Settings("animals")).test_client(), "a.png", where="/").text


def test_a_person_corrects_on_the_page(noted, history):
    client = noted()
    page = asked(client, "a.png", where="/", X_Part="1").text
    (row,) = history.every(Wanted())
    other = next(name for name in models.SPEC.class_names if name != row.label)

    assert f'value="{row.id}"' in page
    assert f'<button name="label" value="{other}">' in page
    form = {"id": row.id, "label": other, "file": (io.BytesIO(PICTURE), "a.png")}
    said = client.post("/feedback", data=form, headers={"X-Part": "1"}).text

    assert f"it is <strong>{other}</strong>" in said
    assert next(history.every(Wanted())).correction == other
    assert history.picture(row.sha256)


def test_corrections_can_be_switched_off(noted, client):
    without = noted(feedback=False)
    name = asked(without, "a.png").headers["X-Answer-Ids"]

    assert "Wrong?" not in asked(without, "a.png", where="/").text
    assert without.post("/v1/feedback", json={"id": name, "label": "cat"}).status_code == 403
    assert client.post("/v1/feedback", json={"id": name, "label": "cat"}).status_code == 403
    assert client.get("/history").status_code == 404  # no history at all
    assert "nothing that is sent here is kept" in client.get("/").text


def test_all_pictures_are_kept_where_that_was_asked_for_and_said(noted, history):
    client = noted(keep_images=True)
    asked(client, "a.png")

    assert history.picture(hashlib.sha256(PICTURE).hexdigest())
    assert "Pictures that are sent here are kept" in client.get("/").text


def test_an_answer_does_not_wait_for_its_picture_to_be_kept(noted, history, monkeypatch, caplog):
    """Where all encoders are taken for longer than an answer may take, it is given and noted all the same."""
    monkeypatch.setattr(past_answers, "_ENCODERS", threading.BoundedSemaphore(1))
    client = noted(keep_images=True, limits=replace(Limits(), deadline=0.5))

    with past_answers._ENCODERS:
        found = asked(client, "a.png", "b.png")

    assert found.status_code == 200
    assert history.count(Wanted()) == 2
    assert history.picture(hashlib.sha256(PICTURE).hexdigest()) is None
    assert "2 pictures were not kept" in caplog.text


def test_an_answer_does_not_depend_on_its_picture_being_kept(noted, history, monkeypatch, caplog):
    """Where the database has no room for pictures; else it would be asked for again, and noted again."""

    def full(*_):
        raise OperationalError("insert", None, OSError("database or disk is full"))

    monkeypatch.setattr(history, "keep", full)
    assert asked(noted(keep_images=True), "a.png").status_code == 200
    assert history.count(Wanted()) == 1
    assert "1 pictures were not kept: (builtins.OSError) database or disk is full" in caplog.text


def test_a_correction_does_not_depend_on_its_picture_being_kept(noted, history, monkeypatch, caplog):
    monkeypatch.setattr(past_answers, "_ENCODERS", threading.BoundedSemaphore(1))
    client = noted(limits=replace(Limits(), deadline=0.2))
    name = asked(client, "a.png").headers["X-Answer-Ids"]
    image = base64.b64encode(PICTURE).decode()

    with past_answers._ENCODERS:
        said = client.post("/v1/feedback", json={"id": name, "label": "dög", "image": image})

    assert said.status_code == 200
    assert "The picture of a correction was not kept: The answer took longer" in caplog.text
    assert [one.correction for one in history.every(Wanted(corrected=True))] == ["dög"]


def test_the_history_can_be_looked_through_and_taken_along(noted):
    client = noted()
    asked(client, "a.png", "=1+1.png", "b.txt", *(f"{name}.png" for name in HOSTILE))

    page = client.get("/history").text
    assert "9 answers." in page
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    only = client.get("/history?decision=error").text
    assert "1 answer." in only
    assert "b.txt" in only
    table = list(csv.DictReader(io.StringIO(client.get("/history/answers.csv", buffered=True).text)))
    assert {"a.png", "'=1+1.png", "b.txt"} <= {row["name"] for row in table}
    only = client.get("/history/answers.csv?name=1%2B1", buffered=True)
    assert len(only.text.splitlines()) == 2
    assert only.headers["Content-Disposition"] == "attachment; filename=animals.csv"
    assert only.content_length == len(only.data)
    assert client.get("/history?endpoint=x&_method=POST&page=99999&name=%00").status_code == 200
    assert client.get(f"/history?name={'_' * 60_000}").status_code == 200  # too long for SQLite
    assert client.get("/history/pictures/0.png").status_code == 404


UNSEEN = ("zwnj\u200cname", "soft\u00adhyphen", 'quo"te&amp;', *(f"class {i}" for i in range(8)))


@pytest.mark.parametrize("count", [3, len(UNSEEN)])
def test_classes_with_characters_that_nobody_sees_can_be_chosen(tmp_path, history, count):
    """Shown they are spelled out; what is sent back names the class."""
    bundle = models.saved(tmp_path / "model", models.spec(class_names=UNSEEN[:count]))
    service = Service(Predictor(bundle), deadline=10)
    client = create_app(service, Settings("animals"), history).test_client()
    page = asked(client, "a.png", where="/").text
    (row,) = history.every(Wanted())

    tag = "button" if count == 3 else "option"
    values = {html.unescape(one) for one in re.findall(rf'<{tag} [^>]*value="([^"]*)">', page)}
    assert values == {name for name in UNSEEN[:count] if name != row.label}
    filters = re.findall(r'<option value="([^"]*)"', client.get("/history").text)
    assert set(UNSEEN[:count]) <= {html.unescape(one) for one in filters}
    for name in values:
        assert client.post("/feedback", data={"id": row.id, "label": name}).status_code == 200
        found = client.get("/history", query_string={"label": name}).text
        assert "1 answer." in found
        assert len(re.findall(" selected>", found)) == 1
    service.end()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors"}, 200),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}, 403),
    ],
)
def test_another_site_can_lead_to_the_history_and_load_nothing_of_it(noted, headers, status):
    """As a page would by many pictures, each of which holds a connection to the database."""
    for path in ("/history", "/history/answers.csv"):
        assert noted().get(path, headers=headers, buffered=True).status_code == status


def test_a_table_that_can_never_leave_is_refused_with_a_word_on_what_to_do(noted):
    client = noted(limits=Limits(held=1000))
    asked(client, *(f"{i}.png" for i in range(9)))

    refused = client.get("/history/answers.csv")
    assert refused.status_code == 400
    assert "larger than the 0.001 MB" in refused.text
    assert "Ask for less" in refused.text
    assert client.get("/history/answers.csv?name=7.png", buffered=True).status_code == 200


def test_one_table_is_written_at_a_time(noted, monkeypatch):
    """Until it is out of the application's hands."""
    monkeypatch.setattr(past, "WAITING", 0.01)
    client = noted()
    asked(client, "a.png")
    first = client.get("/history/answers.csv")

    refused = client.get("/history/answers.csv")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    first.close()
    assert client.get("/history/answers.csv", buffered=True).status_code == 200
    assert client.head("/history/answers.csv", buffered=True).status_code == 200
    assert client.get("/history/answers.csv", buffered=True).status_code == 200


def test_few_look_through_the_history_at_a_time(noted, monkeypatch):
    """Of a million answers each look takes seconds, and a connection that answers wait for."""
    monkeypatch.setattr(past, "WAITING", 0.01)
    client = noted()
    with past._LOOKS:
        assert client.get("/history").status_code == 200
        with past._LOOKS:
            refused = client.get("/history")
            assert asked(client, "a.png").status_code == 200
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert client.get("/history").status_code == 200


def test_a_file_that_was_moved_away_is_noticed(noted, history, tmp_path, caplog):
    """What is written into it would be lost, or be somebody else's."""
    client, place = noted(), tmp_path / "served.sqlite3"
    assert asked(client, "a.png").status_code == 200
    place.rename(tmp_path / "moved.sqlite3")
    for replaced in (False, True):
        if replaced:
            place.touch()
        for _ in range(3):  # a new connection must not make a new file, nor empty the log of the moved one
            refused = asked(client, "b.png")
            assert refused.status_code == 503
            assert "history cannot be reached" in refused.json["detail"]
        assert place.exists() == replaced
        assert not replaced or place.stat().st_size == 0
    (tmp_path / "moved.sqlite3").rename(place)
    assert asked(client, "c.png").status_code == 200
    assert [one.name for one in history.every(Wanted())] == ["a.png", "c.png"]
    assert "moved, deleted or replaced" in caplog.text


def test_a_name_is_looked_for_as_names_are_noted(noted):
    client = noted()
    asked(client, "a\u200bb.png", "c.png")

    page = client.get("/history", query_string={"name": "A\u200bB"}).text
    assert "1 answer." in page
    assert 'value="A\\u200bB"' in page


def test_an_answer_that_cannot_be_noted_is_not_given(noted, history):
    from sqlalchemy import text

    client = noted()
    with history.engine.begin() as connection:
        connection.execute(text("drop table answers"))

    found = asked(client, "a.png")

    assert (found.status_code, found.headers["Retry-After"]) == (503, "5")
    assert "history cannot be reached" in found.json["detail"]
    assert "headstart_decisions_total{" not in client.get("/metrics").text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Origin": "http://localhost"}, 200),
        ({"Origin": "https://localhost", "Sec-Fetch-Site": "same-origin"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
def test_another_site_cannot_ask_in_its_visitor_s_name(noted, history, headers, status):
    found = noted().post("/v1/predict", data=PICTURE, content_type="image/png", headers=headers)

    assert found.status_code == status
    assert history.count(Wanted()) == (status == 200)
