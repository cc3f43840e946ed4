"""The API: what `headstart predict` says, in every form that pictures may come in, and every refusal."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from tests import models

from headstart.serving.limits import Limits

ONE, TWO = models.picture(3), models.picture(4, 90, 60)
PROBLEM = "application/problem+json"


def form(*files):
    return {"file": [(io.BytesIO(content), name) for name, content in files]}


def test_the_answer_is_the_command_line_s_byte_by_byte(client, model, tmp_path):
    """Several files and one that is no image, by the real command."""
    files = {"a.png": ONE, "b ü.png": TWO, "c.txt": b"hello"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-m", "headstart", "predict", str(model), *files, "--format", "json"]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout

    found = client.post("/v1/predict", data=form(*files.items()))

    assert found.status_code == 200
    assert found.text == said
    assert len(json.loads(said)) == 3


def test_pictures_may_come_in_three_forms(client):
    by_form = client.post("/v1/predict", data=form(("a.png", ONE))).json
    raw = client.post("/v1/predict", data=ONE, content_type="image/png").json
    encoded = {"images": [{"name": "a.png", "data": base64.b64encode(ONE).decode()}]}
    by_json = client.post("/v1/predict", json=encoded).json

    assert by_form == by_json
    assert raw == [by_form[0] | {"path": ""}]


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        ({"data": b"hello", "content_type": "image/png"}, 422, "not an image"),
        ({"data": b""}, 415, "Content-Type"),
        ({"data": b"", "content_type": "image/png"}, 400, "There is no image"),
        ({"data": {"other": "x"}, "content_type": "multipart/form-data"}, 400, "There is no image"),
        ({"data": "{", "content_type": "application/json"}, 400, ""),
        ({"json": {"images": [{"data": "no base64!"}]}}, 400, "holds no images"),
        ({"json": {"images": [{"name": 3, "data": ""}]}}, 400, "holds no images"),
        ({"json": [1]}, 400, "holds no images"),
        ({"data": "[" * 100_000, "content_type": "application/json"}, 413, "too many lists and objects"),
        ({"json": {"images": []}}, 400, "There is no image"),
        ({"json": {"images": [{"data": "aGk=="}]}}, 400, "holds no images"),
        ({"data": ONE, "content_type": "text/plain"}, 415, "Content-Type"),
    ],
)  # fmt: skip
def test_a_bad_request_is_told_why(client, sent, status, words):
    found = client.post("/v1/predict", **sent)

    assert (found.status_code, found.content_type) == (status, PROBLEM)
    assert found.json["status"] == status
    assert words in found.json["detail"]


def test_too_many_pictures_are_refused(client_with):
    client = client_with(limits=Limits(images=2))

    found = client.post("/v1/predict", data=form(*[(f"{i}.png", ONE) for i in range(3)]))

    assert found.status_code == 413
    assert "3 images are too many; 2 are allowed" in found.json["detail"]


def test_an_explanation(client):
    found = client.post("/v1/explain?class=cat", data=form(("a.png", ONE))).json
    said = client.post("/v1/predict", data=form(("a.png", ONE))).json[0]

    assert {name: found[name] for name in said} == said
    assert next(iter(found["heats"])) == said["label"]
    heat = Image.open(io.BytesIO(base64.b64decode(found["heats"]["cat"])))
    assert heat.mode == "RGBA"
    assert len(found["neighbours"]) == 4
    assert found["neighbours"][0]["similarity"] >= found["neighbours"][-1]["similarity"]
    refused = client.post("/v1/explain?class=dog", data=form(("a.png", ONE)))
    assert refused.status_code == 400
    assert "cat, dög, great ape" in refused.json["detail"]


def test_the_model_tells_of_itself(client, predictor):
    found = client.get("/v1/model").json

    assert (found["name"], found["class_names"]) == ("animals", list(models.SPEC.class_names))
    assert found["sha256"] == predictor.bundle.digest
    assert found["thresholds"] == {"confidence": 0.4, "distance": 3.0}


def test_tensors_by_the_open_inference_protocol(client, predictor):
    squares = np.stack([predictor.square(ONE), predictor.square(TWO)])
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(squares.shape)}
    expected = [list(one.probabilities.values()) for one in predictor.predict([ONE, TWO])]

    for data in (squares.ravel().tolist(), squares.tolist()):
        found = client.post(
            "/v2/models/animals/infer", json={"id": "7", "inputs": [tensor | {"data": data}]}
        ).json
        assert (found["model_name"], found["id"]) == ("animals", "7")
        assert found["outputs"][0]["shape"] == [2, 3]
        np.testing.assert_allclose(np.reshape(found["outputs"][0]["data"], (2, 3)), expected, atol=1e-6)

    untyped = json.dumps({"inputs": [tensor | {"data": data}]})  # as Triton's client sends it
    assert client.post("/v2/models/animals/infer", data=untyped).json["outputs"]
    assert client.get("/v2").json["name"] == "headstart"
    assert client.get("/v2/models/animals").json["inputs"][0]["shape"] == [-1, 64, 64, 3]
    missing = client.get("/v2/models/plants")
    assert missing.status_code == 404
    assert missing.json["error"] == "There is one model here, and it is called animals."
    halved = squares.reshape(4, 32, 64, 3).tolist()  # as many numbers, in other lists
    all_true = [True] * squares.size
    for data in ([1, 2], halved, [300] * squares.size, [1.5] * squares.size, all_true, "x", None):
        wrong = {"inputs": [tensor | {"data": data}]}
        assert client.post("/v2/models/animals/infer", json=wrong).status_code == 400
    ragged = squares.reshape(2, 64, -1).tolist()
    ragged[0], ragged[1] = ragged[0] + ragged[1][:1], ragged[1][1:]
    for data in (ragged, [[]], [[[[[[1]]]]]], [1, [2]], [[1], 2], [["a" * 50_000], *[[""]] * 16_000]):
        wrong = {"inputs": [tensor | {"data": data, "shape": [2, 64, 64, 3]}]}
        assert client.post("/v2/models/animals/infer", json=wrong).status_code == 400
    for shape in ([-1, 64, 64, 3], [True, 64, 64, 3], [1.0, 64, 64, 3], [64, 64, 3], 5, "x", None):
        wrong = {"inputs": [tensor | {"data": squares[:1].tolist(), "shape": shape}]}
        assert client.post("/v2/models/animals/infer", json=wrong).status_code == 400
    for body in ({}, [], {"inputs": []}, "x", {"id": 7, "inputs": [tensor | {"data": squares.tolist()}]}):
        assert client.post("/v2/models/animals/infer", json=body).status_code == 400


def test_what_would_take_many_times_its_bytes_is_not_parsed(client):
    """A megabyte of texts of which one is long, of brackets, or of a form without files."""
    tracemalloc.start()
    texts = {
        "inputs": [
            {"name": "image", "datatype": "UINT8", "shape": [1], "data": ["x" * 50_000, *[""] * 99_999]}
        ]
    }
    assert client.post("/v2/models/animals/infer", json=texts).status_code == 400
    brackets = "[" + "[]," * 400_000 + "[]]"
    for place in ("/v1/predict", "/v1/feedback", "/v2/models/animals/infer"):
        found = client.post(place, data=brackets, content_type="application/json")
        assert found.status_code == 413
        assert "too many lists and objects" in found.text
    pairs = client.post("/feedback", data="a&" * 500_000, content_type="application/x-www-form-urlencoded")
    assert pairs.status_code == 413
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6


def test_health_and_numbers(client, service):
    client.post("/v1/predict", data=form(("a.png", ONE), ("b.txt", b"hello")))

    assert client.get("/health").json == {"status": "alive"}
    assert client.get("/ready").status_code == 200
    numbers = client.get("/metrics").text
    assert 'headstart_requests_total{endpoint="api.predict",status="200"} 1.0' in numbers
    assert 'headstart_decisions_total{decision="error"} 1.0' in numbers
    service.ending = True
    assert client.get("/ready").status_code == 503
    late = client.post("/v1/predict", data=form(("a.png", ONE)))
    assert (late.status_code, late.headers["Retry-After"]) == (503, "1")


def test_how_it_is_by_the_open_inference_protocol(client, service):
    assert client.get("/v2/health/live").json == {"live": True}
    assert client.get("/v2/health/ready").json == {"ready": True}
    assert client.get("/v2/models/animals/ready").json == {"name": "animals", "ready": True}
    service.ending = True
    for path, status in (
        ("/v2/health/ready", 503),
        ("/v2/models/animals/ready", 503),
        ("/v2/models/plants/ready", 404),
        ("/v2/nothing", 404),
        ("/v2/models/animals/infer", 405),
    ):
        told = client.get(path, headers={"Accept": "text/html"})
        assert (told.status_code, told.content_type) == (status, "application/json"), path
        assert told.json["error"] == told.json["detail"]
        assert told.json["status"] == status


def test_where_the_model_s_thread_has_ended_it_is_not_ready(client, service):
    service.jobs.put(None)
    service.thread.join(10)

    assert client.get("/ready").status_code == 503
    assert client.get("/v2/health/ready").status_code == 503
    assert client.post("/v1/predict", data=form(("a.png", ONE))).status_code == 503


def test_tensors_are_counted_and_seconds_up_to_the_deadline(client_with, predictor):
    client = client_with(limits=Limits(deadline=30.0))
    square = predictor.square(ONE)[None]
    tensor = {"name": "image", "datatype": "UINT8", "shape": list(square.shape), "data": square.tolist()}
    assert client.post("/v2/models/animals/infer", json={"inputs": [tensor]}).status_code == 200

    numbers = client.get("/metrics").text
    decision = predictor.predict([ONE])[0].decision
    assert f'headstart_decisions_total{{decision="{decision}"}} 1.0' in numbers
    bounds = re.findall(r'api.infer",le="([^"]+)"', numbers)
    assert bounds[-4:] == ["15.0", "20.0", "30.0", "+Inf"]


def test_what_is_not_there_and_what_is_not_allowed(client):
    assert client.get("/nothing").status_code == 404
    refused = client.get("/v1/predict")
    assert refused.status_code == 405
    assert "POST" in refused.headers["Allow"]


def test_names_that_are_no_text_are_answered_all_the_same(client):
    """Half a character, as JSON can say it."""
    sent = {"images": [{"name": "\ud800", "data": base64.b64encode(ONE).decode()}]}

    for path in ("/v1/predict", "/v1/explain"):
        assert client.post(path, json=sent).status_code == 200


def test_answers_stay_with_their_pictures_where_one_is_empty(client):
    sent = {"images": [{"data": ""}, {"name": "a", "data": base64.b64encode(ONE).decode()}]}

    empty, whole = client.post("/v1/predict", json=sent).json

    assert empty["error"]
    assert whole["path"] == "a"
    assert whole["label"]


def test_where_there_is_no_heat_the_border_has_no_share_of_it(client, service, monkeypatch):
    """JSON has no word for what is no number."""
    found = service.explain(("a.png", ONE))
    monkeypatch.setattr(service, "explain", lambda *_: replace(found, border=float("nan")))

    assert client.post("/v1/explain", data=form(("a.png", ONE))).json["border_share"] is None
    assert "nan" not in client.post("/explanation", data=form(("a.png", ONE))).text.split("figcaption")[1]
