"""The page, in Debian's Chromium against a real server, and without scripts."""

from __future__ import annotations

import html
import re

import pytest
from tests import models
from tests.report.browser import HOSTILE, chromium, needs_chromium, violations
from tests.serving.browsing import WINDOWS, choose, opened
from tests.serving.running import served

PICTURES = {f"picture {i}.png": models.picture(i, 60 + i, 50) for i in range(3)}


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def address(model, tmp_path_factory):
    history = tmp_path_factory.mktemp("history") / "served.sqlite3"
    with served(model, "--max-mb", "1", "--history", str(history)) as (port, _):
        yield f"http://localhost:{port}/"


@pytest.fixture
def folder(tmp_path):
    for name, content in PICTURES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "notes.txt").write_bytes(b"hello")
    (tmp_path / "huge.png").write_bytes(bytes(1_000_001))
    return tmp_path


@needs_chromium
@WINDOWS
def test_pictures_get_answers_reasons_and_neighbours(browser, address, folder, predictor, settings):
    page = opened(browser, address, **settings)

    choose(page, *(folder / name for name in PICTURES))

    expected = [one.label for one in predictor.predict(PICTURES.values())]
    assert page.locator(".answer h2").all_inner_texts() == expected
    assert page.locator("#progress").inner_text() == "3 of 3 done"
    assert page.locator(".bars").first.locator("li").count() == 3
    page.locator(".why").first.click()
    page.wait_for_selector(".explained")
    assert page.locator(".near li").count() == 4
    page.get_by_text("Wrong?").last.click()
    right = page.locator(".wrong button").last.inner_text()
    page.locator(".wrong button").last.click()
    page.wait_for_selector(".corrected")
    assert page.locator(".corrected").inner_text() == f"Noted: it is {right}. Thank you."
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name="History", exact=True).click()
    page.get_by_label("corrected only").check()
    page.get_by_text("Show", exact=True).click()
    page.wait_for_url("**corrected=yes**")
    assert [cell.inner_text() for cell in page.locator("tbody tr").first.locator("td").all()][-1] == right
    assert page.said == []


@needs_chromium
@WINDOWS
def test_nothing_is_in_anybody_s_way(browser, address, folder, settings):
    """By axe-core, which the page's policy wouldn't let in."""
    page = opened(browser, address, bypass_csp=True, **settings)
    choose(page, folder / "picture 0.png", folder / "notes.txt")
    page.locator(".why").first.click()
    page.wait_for_selector(".explained")

    page.get_by_text("Wrong?").click()

    assert violations(page) == []
    for other in ("api", "history"):
        page.goto(address + other)
        assert violations(page) == [], other


@needs_chromium
def test_what_goes_wrong_is_shown_where_the_answer_would_be(browser, model, folder):
    with served(model, "--max-mb", "1") as (port, _):
        page = opened(browser, f"http://localhost:{port}/")
        choose(page, folder / "notes.txt", folder / "huge.png", folder / "picture 0.png")
        told = page.locator(".answer.error .decision").all_inner_texts()
        assert "not an image" in told[0]
        assert told[1] == "This file is too large: 1 MB are allowed."
        assert page.locator(".answer h2").last.inner_text() != "No answer"
    choose(page, folder / "picture 1.png")  # the server has gone
    assert "The connection was lost" in page.locator(".answer .decision").first.inner_text()


@needs_chromium
@WINDOWS
def test_a_correction_that_fails_can_be_tried_again(browser, address, folder, settings):
    page = opened(browser, address, **settings)
    choose(page, folder / "picture 0.png")
    page.get_by_text("Wrong?").click()
    name = page.locator(".wrong [name=id]")
    mine = name.get_attribute("value")

    name.evaluate("(input) => { input.value = 'nobody' }")
    page.locator(".wrong button").first.click()

    said = page.locator(".wrong output")
    said.wait_for()
    assert said.count() == 1
    assert said.inner_text().strip() not in ("", "The connection was lost. Is the server still running?")
    assert page.locator(".answer h2").inner_text() != "No answer"
    name.evaluate("(input, mine) => { input.value = mine }", mine)
    page.locator(".wrong button").first.click()
    page.wait_for_selector(".corrected")


@needs_chromium
def test_it_is_of_use_by_keyboard_and_by_paste(browser, address):
    page = opened(browser, address)

    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert reached == ["model", "History", "API", "file"]
    page.evaluate(
        """bytes => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], "pasted.png", { type: "image/png" }));
            dispatchEvent(new ClipboardEvent("paste", { clipboardData: data }));
        }""",
        list(PICTURES["picture 0.png"]),
    )
    page.wait_for_selector(".answer:not(.waiting)")
    assert page.locator(".file").inner_text() == "pasted.png"


@needs_chromium
def test_without_scripts_a_form_does_it(browser, address, folder):
    page = opened(browser, address, java_script_enabled=False)

    page.set_input_files("#file", str(folder / "picture 0.png"))
    page.locator("#ask button").click()

    assert page.locator(".answer h2").inner_text() in models.SPEC.class_names
    assert page.locator(".why").is_hidden()


def test_names_are_never_obeyed(client):
    for name in HOSTILE:
        sent = name.replace('"', "%22")  # as browsers do
        head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{sent}"\r\n\r\n'.encode()
        body = head + PICTURES["picture 0.png"] + b"\r\n--x--\r\n"

        found = client.post("/", data=body, content_type="multipart/form-data; boundary=x")

        assert html.unescape(re.search('<p class="file">(.*)</p>', found.text)[1]) == name
        assert "<script>alert" not in found.text
        assert "<img src=x" not in found.text


def test_the_api_can_be_read_and_the_report_is_kept_apart(client_with):
    client = client_with(report="<p>the report</p>")

    assert "POST /v1/predict" in client.get("/api").text
    report = client.get("/report")
    assert report.text == "<p>the report</p>"
    policy = report.headers["Content-Security-Policy"].split("; ")
    assert policy[0] == "sandbox allow-scripts"
    assert {"frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} <= set(policy)
    assert client_with().get("/report").status_code == 404


def test_the_example_shows_the_token_where_one_is_asked_for(client_with):
    header = html.escape('--header "Authorization: Bearer $HEADSTART_TOKEN"', quote=False)

    assert f"curl {header} --form" in client_with(protected=True).get("/api").text
    assert "curl --form" in client_with().get("/api").text


def test_the_document_is_openapi_and_names_every_path(client):
    document = client.get("/openapi.json").json
    paths = {str(rule).replace("<", "{").replace(">", "}") for rule in client.application.url_map.iter_rules()
             if rule.endpoint.startswith("api.")}  # fmt: skip

    assert document["openapi"] == "3.1.0"
    assert document["paths"].keys() == paths
