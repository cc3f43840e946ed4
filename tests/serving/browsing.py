"""The page as a person works with it, in a window of a desktop or of a phone."""

from __future__ import annotations

from typing import Any

import pytest
from tests.report.browser import PHONE


def opened(browser: Any, address: str, **settings: Any) -> Any:
    """The page at an address; `said` of it lists what it complains of."""
    page = browser.new_context(**settings).new_page()
    page.set_default_timeout(10_000)
    page.said = []
    page.on("pageerror", lambda error: page.said.append(str(error)))
    page.on("console", lambda line: page.said.append(line.text) if line.type == "error" else None)
    page.goto(address)
    return page


def choose(page: Any, *files: Any) -> None:
    """Chooses files, and waits until each has its answer."""
    before = page.locator(".answer").count()
    page.set_input_files("#file", [str(file) for file in files])
    page.wait_for_function(
        "n => document.querySelectorAll('.answer:not(.waiting)').length == n", arg=before + len(files)
    )


WINDOWS = pytest.mark.parametrize(
    "settings", [{}, {"viewport": PHONE, "color_scheme": "dark"}], ids=["desktop", "phone"]
)
