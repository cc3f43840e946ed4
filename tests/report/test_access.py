"""The run report by keyboard and screen reader, in the dark, on paper and without scripts."""

from __future__ import annotations

from typing import Any

import pytest
from tests.report.browser import needs_chromium, opened, put, violations

pytestmark = needs_chromium
PLACE = """() => {
  const now = document.activeElement;
  const name = now.dataset.cell || now.dataset.part || now.getAttribute("href") || now.textContent;
  return [now.tagName, now.closest("section, nav, body").id || now.closest("nav, body").tagName, name.trim()];
}"""  # of the focus: its tag, its section, what it is called


def test_all_is_reached_by_keyboard(browser, pair):
    with opened(browser, pair.report) as page:
        seen = []
        for _ in range(150):
            page.keyboard.press("Tab")
            seen.append(tuple(page.evaluate(PLACE)))
            if seen[-1][0] == "BODY":
                break
        assert seen[0] == ("A", "BODY", "#findings")
        assert len([one for one in seen if one[1] == "NAV"]) == 13
        cells = {f"cell-{i}-{j}" for i, j in ((0, 0), (0, 1), (1, 1))}
        assert {one[2] for one in seen if one[1] == "confusion"} >= cells
        headings = {"Class", "Images", "Precision", "Recall", "F1", "AUC", "AP"}
        assert {one[2] for one in seen if one[:2] == ("BUTTON", "classes")} == headings
        assert {one[0] for one in seen if one[1] == "mistakes"} == {"INPUT"}
        parts = {one[2] for one in seen if one[1] == "decisions"}
        assert parts >= {"class", "miss", "alarm", "threshold", "use"}
        assert seen[-1][0] == "BODY"


def test_the_skip_link_skips(browser, pair):
    with opened(browser, pair.report) as page:
        page.keyboard.press("Tab")
        box = page.locator(".skip").bounding_box()
        assert box["x"] >= 0
        assert box["y"] >= 0
        page.keyboard.press("Enter")
        assert page.url.endswith("#findings")
        top = page.locator("#findings").bounding_box()["y"]
        assert 0 <= top < 100
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.closest('main') !== null")


def brightness(page: Any, of: str) -> float:
    colour = page.evaluate(f"getComputedStyle(document.body).{of}")
    return sum(int(c) for c in colour.strip("rgb()").split(",")) / 765


def test_the_page_is_dark_in_the_dark_and_white_on_paper(browser, pair):
    with opened(browser, pair.report, color_scheme="dark") as page:
        assert brightness(page, "backgroundColor") < 0.15
        assert brightness(page, "color") > 0.8
        page.emulate_media(media="print", color_scheme="dark")
        assert brightness(page, "backgroundColor") == 1
        assert brightness(page, "color") == 0
        for control in ("nav", ".choices", ".slider", ".skip"):
            assert not page.locator(control).is_visible(), control
        assert len([card for card in page.locator(".card").all() if card.is_visible()]) == 7
        page.set_viewport_size({"width": 673, "height": 950})  # A4 between its margins
        value, plot = (page.locator(f".bars {one}").first.bounding_box() for one in (".value", ".plot"))
        assert abs(value["y"] + value["height"] / 2 - plot["y"] - plot["height"] / 2) < 2  # in one line
        checks = page.locator(".findings li").all()
        assert [check.inner_text() for check in checks if not check.is_visible()] == []


def test_without_scripts_the_page_is_complete(browser, pair):
    with opened(browser, pair.report, java_script_enabled=False) as page:
        assert len([card for card in page.locator(".card").all() if card.is_visible()]) == 7
        assert page.locator("table.sortable tbody tr").count() == 2
        controls = page.locator("button, input, select, output").all()
        assert [control.inner_text() for control in controls if control.is_visible()] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser, pair, scheme):
    with opened(browser, pair.report, color_scheme=scheme) as page:
        page.locator("summary").first.click()
        page.locator(".matrix a").first.click()
        put(page, miss=9)
        for width in (1200, 390):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") == width
            assert violations(page) == []
