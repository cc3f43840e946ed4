"""A page in Debian's Chromium, offline; what it asks for or complains of is an error of the test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

PAIR = ("cat", "dog's tail")
HOSTILE = (
    "</script><script>alert(1)</script>",
    "\"><img src=x onerror='alert(2)'>",
    "' onmouseover='alert(3)",
    "{{ 7 * 7 }}${alert(4)}`",
    "صورة",
    "z" * 80,
)
PHONE = {"width": 390, "height": 844}
CHROMIUM = shutil.which("chromium")
PLAIN = ".scroll { background: none !important }"  # axe cannot judge letters over a gradient

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium; try: apt-get install chromium")


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser; tests that use it are marked `needs_chromium`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, path: Path, **settings: Any) -> Iterator[Any]:
    """The file in a window of its own; `settings` are those of Playwright's `new_context`.

    Raises:
        AssertionError: the page asked for more than its file, threw, opened a dialog, or the console has a
            warning or an error.
    """
    context = browser.new_context(**{"offline": True, "reduced_motion": "reduce"} | settings)
    page = context.new_page()
    page.set_default_timeout(5000)
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("console", lambda line: said.append(line.text) if line.type in ("error", "warning") else None)
    page.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    try:
        page.goto(path.as_uri())
        yield page
        assert asked == [path.as_uri()], asked
        assert said == [], said
    finally:
        context.close()


def violations(page: Any) -> list[str]:
    """What axe-core finds at fault in the page as it stands, minor things too; a line each."""
    from axe_playwright_python.sync_playwright import Axe

    page.add_style_tag(content=PLAIN)
    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {' '.join(node['target'])} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


def paths(page: Any) -> list[str]:
    """Of the images that the gallery shows, in alphabetical order."""
    return sorted(page.locator(".card:not([hidden]) .path").all_inner_texts())


def part(page: Any, name: str) -> Any:
    return page.locator(f".slider [data-part={name}]")


def put(page: Any, **values: object) -> None:
    """Sets fields of the slider and tells the page, as typing and dragging do."""
    for name, value in values.items():
        part(page, name).evaluate(
            "(field, value) => { field.value = value; field.dispatchEvent(new Event('input')); }", str(value)
        )
