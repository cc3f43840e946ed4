"""What the API says of itself is true: schemathesis finds nothing that is answered in another way (R26)."""

from __future__ import annotations

import base64
import json
import subprocess
import sys

import pytest
from tests import models
from tests.serving.running import asked, served

SECRET = "a long random text"  # noqa: S105
PICTURE = base64.b64encode(models.picture(3)).decode()
SIZE = 32  # pixels; hypothesis gives up drawing as many numbers as there are in larger pictures
CONFIG = """
[cache]
enabled = false

[generation]
database = "none"

# Stricter than by itself, which lets valid requests be answered with 4xx and 5xx, too.
[checks.positive_data_acceptance]
expected-statuses = ["200"]

# 413: more pictures than are allowed in one request.
[checks.negative_data_rejection]
expected-statuses = ["400", "404", "413", "415", "422"]

# JSON Schema cannot say which bytes are a picture,
[[operations]]
include-path = ["/v1/predict", "/v1/explain"]
[operations.checks.positive_data_acceptance]
expected-statuses = ["200", "422"]

# which answers there are, and whose picture it is,
[[operations]]
include-path = "/v1/feedback"
[operations.checks.positive_data_acceptance]
expected-statuses = ["200", "404", "409"]

# or that there are as many numbers as another list says.
[[operations]]
include-path = "/v2/models/{name}/infer"
[operations.checks.positive_data_acceptance]
expected-statuses = ["200", "400"]
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """Of a server that asks for a token, and notes."""
    folder = tmp_path_factory.mktemp("described")
    run = models.answering(folder / "animals", models.spec(image_size=SIZE))
    with served(run, "--history", str(folder / "answers"), HEADSTART_TOKEN=SECRET) as (found, _):
        yield found


def ask(port, method, path, body=None):
    sent = {"Content_Type": "application/json", "Authorization": f"Bearer {SECRET}"}
    status, headers, content = asked(port, method, path, body and json.dumps(body), **sent)
    assert status == 200
    return headers, json.loads(content)


def described(port):
    """The document, and in it requests that are answered: drawn ones are hardly pictures."""
    document = ask(port, "GET", "/openapi.json")[1]
    pictures = {"images": [{"name": "a.png", "data": PICTURE}]}
    headers, _ = ask(port, "POST", "/v1/predict", pictures)
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, SIZE, SIZE, 3], "data": [7] * 3 * SIZE**2}
    correction = {"id": headers["X-Answer-Ids"], "label": "cat", "image": PICTURE}
    for path, example in {
        "/v1/predict": pictures,
        "/v1/explain": pictures,
        "/v1/feedback": correction,
        "/v2/models/{name}/infer": {"id": "7", "inputs": [tensor]},
    }.items():
        content = document["paths"][path]["post"]["requestBody"]["content"]
        content["application/json"]["examples"] = {"one": {"value": example}}
    return document


@pytest.mark.parametrize(
    ("bound", "least"),
    [("--max-examples=30", 200), pytest.param("--max-time=600", 10_000, marks=pytest.mark.serving)],
)
def test_nothing_is_answered_but_as_the_document_says(port, tmp_path, bound, least):
    """With all of its checks; examples, boundaries and random requests, some or until the time is over."""
    document = described(port)
    (tmp_path / "openapi.json").write_text(json.dumps(document))
    (tmp_path / "config.toml").write_text(CONFIG)
    command = [
        sys.executable, "-m", "schemathesis.cli", "--config-file=config.toml", "--no-color", "run",
        "openapi.json", f"--url=http://127.0.0.1:{port}", f"--header=Authorization: Bearer {SECRET}",
        bound, "--seed=1", "--request-timeout=30", "--continue-on-failure",
        "--report-json-path=report.json",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=900)

    report = json.loads((tmp_path / "report.json").read_text())
    assert (done.returncode, report["failures"], report["errors"]) == (0, [], []), done.stdout
    assert not any(report["warnings"].values())
    assert report["operations"]["tested"] == len(document["paths"])
    assert report["test_cases"]["generated"] >= least
    answered = {name for name, phases in report["valid_rates"].items() if _accepted(phases)}
    assert answered == {
        f"{verb.upper()} {path}" for path, verbs in document["paths"].items() for verb in verbs
    }


def _accepted(phases):
    return sum(rate["accepted"] for rate in phases.values())


def test_the_document_says_whether_a_token_is_asked_for(client, client_with):
    """And how it may be refused, which nobody is where none is."""
    open_, closed = client.get("/openapi.json").json, client_with(protected=True).get("/openapi.json").json

    assert open_["security"] == []
    assert closed["security"] == [{"bearer": []}, {"basic": []}]
    assert "401" not in open_["paths"]["/v1/model"]["get"]["responses"]
    assert "401" in closed["paths"]["/v1/model"]["get"]["responses"]
    for path in ("/health", "/ready"):
        assert closed["paths"][path]["get"]["security"] == []
