"""The run report as a person works with it, in a browser: cells, words, tables, thresholds, hostile names."""

from __future__ import annotations

import shlex

import numpy as np
import pandas as pd
import pytest
from tests.report.browser import HOSTILE, PAIR, PHONE, needs_chromium, opened, part, paths, put, violations

from headstart.evaluation.thresholds import costs
from headstart.rundir import RunDir

pytestmark = needs_chromium


def said_of(run: RunDir) -> pd.DataFrame:
    return pd.read_parquet(run.evaluation("test") / "predictions.parquet")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("<img src='http://127.0.0.1:9/x.png'>", "x.png"),
        ("<script>throw Error('mine')</script>", "mine"),
        ("<script>alert('mine')</script>", "dialog: mine"),
    ],
)
def test_what_a_page_does_wrong_is_noticed(browser, tmp_path, body, told):
    path = tmp_path / "page.html"
    path.write_text(f"<title>t</title>{body}")
    with pytest.raises(AssertionError, match=told), opened(browser, path) as page:
        page.wait_for_timeout(50)


def test_what_cannot_be_read_or_heard_is_noticed(browser, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(
        "<title>t</title><main><h1>t</h1><p class=scroll style='color:#999'>pale</p><input></main>"
    )
    with opened(browser, path) as page:
        rules = {line.partition(":")[0] for line in violations(page)}
    assert rules == {"color-contrast", "html-has-lang", "label"}


def test_a_cell_shows_its_images_by_mouse_and_by_key(browser, pair):
    said = said_of(pair)
    wrong = sorted(said[~said["correct"]]["path"])
    with opened(browser, pair.report) as page:
        assert paths(page) == wrong
        for i, true in enumerate(PAIR):
            for j, answer in enumerate(PAIR):
                cell = page.locator(f".matrix a[data-cell=cell-{i}-{j}]")
                theirs = sorted(said[(said["label"] == true) & (said["predicted"] == answer)]["path"])
                if not theirs:
                    assert cell.count() == 0
                    continue
                assert cell.inner_text() == str(len(theirs))
                words = f"{len(theirs)} shown of {len(theirs)} images of {true}"
                for choose in (cell.click, lambda cell=cell: cell.press("Enter")):
                    choose()
                    assert paths(page) == theirs
                    assert words in page.inner_text("output")
                    assert page.evaluate("document.activeElement.id") == "mistakes-title"
                    page.get_by_role("button", name="Show all mistakes").click()
                    assert paths(page) == wrong


def test_words_choose_images_and_heat_can_be_hidden(browser, pair):
    with opened(browser, pair.report) as page:
        field, heat = page.locator(".choices input[type=search]"), page.locator(".view img").first
        field.fill("003.PNG")
        assert paths(page) == ["003.png"]
        assert page.inner_text("output") == "1 shown with these words"
        field.fill("nothing like it")
        assert paths(page) == []
        page.get_by_role("button", name="Show all mistakes").press("Enter")
        assert len(paths(page)) == 7
        assert heat.is_visible()
        page.get_by_label("hidden").check()
        assert not heat.is_visible()
        page.get_by_label("shown").check()
        assert heat.is_visible()


def test_of_sixty_classes_fifty_are_in_the_matrix(browser, sixty):
    said = said_of(sixty)
    with opened(browser, sixty.report, viewport=PHONE) as page:
        assert page.locator(".matrix tbody tr").count() == 50
        assert page.locator(".matrix tbody tr:first-child td").count() == 50
        assert part(page, "class").locator("option").count() == 50
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        link = page.locator(".matrix td:not(.diagonal) a").last
        i, j = link.get_attribute("data-cell").split("-")[1:]
        link.press("Enter")
        theirs = said[(said["label"] == f"class {i}") & (said["predicted"] == f"class {j}")]["path"]
        assert paths(page) == sorted(theirs)


def test_each_column_is_sorted_up_and_down(browser, sixty):
    table = pd.read_csv(sixty.evaluation("test") / "per_class.csv")
    columns = {"Images": "n", "Precision": "precision", "Recall": "recall", "F1": "f1"}
    columns |= {"AUC": "roc_auc", "AP": "average_precision"}
    values = {label: dict(zip(table["class"], table[name], strict=True)) for label, name in columns.items()}
    values["Class"] = {f"class {i}": i for i in range(60)}
    assert np.isnan(values["AUC"]["class 59"])
    with opened(browser, sixty.report) as page:
        for label, known in values.items():
            heading = page.locator("table.sortable th[scope=col]").filter(has_text=label)
            for order, sign in (("ascending", 1), ("descending", -1)):
                heading.get_by_role("button").press("Enter")
                assert heading.get_attribute("aria-sort") == order
                assert page.locator("[aria-sort]").count() == 1
                names = page.locator("table.sortable tbody th").all_inner_texts()
                assert sorted(names) == sorted(known)
                shown = [sign * round(known[name], 3) for name in names if not np.isnan(known[name])]
                assert np.all(np.diff(shown) >= -0.0011), label  # the page shows one or three decimals
                if label in ("AUC", "AP"):
                    assert names[-1] == "class 59"


def counts(said: pd.DataFrame, wanted: int, threshold: float) -> np.ndarray:
    """Caught, missed and false alarms per image, as one would count them."""
    own = (said["label"] == PAIR[wanted]).to_numpy()
    called = np.stack(said["probabilities"].to_list())[:, wanted] >= threshold
    return np.array([(own & called).sum(), (own & ~called).sum(), (~own & called).sum()]) / len(said)


def test_the_slider_counts_what_the_predictions_say(browser, pair):
    said = said_of(pair)
    with opened(browser, pair.report) as page:
        assert part(page, "class").input_value() == "1"
        assert part(page, "at").inner_text() == "50.0 %"
        for wanted in (1, 0):
            put(page, **{"class": wanted})
            for step in (0, 20, 61, 100, 150, 185, 190, 200):
                put(page, threshold=step)
                assert part(page, "at").inner_text() == f"{step / 2:.1f} %"
                shown = [part(page, name).inner_text() for name in ("caught", "missed", "false")]
                assert shown == [f"{1000 * count:.0f}" for count in counts(said, wanted, step / 200)]


def test_costs_move_the_best_threshold_and_give_a_command(browser, pair):
    said, bests = said_of(pair), set()
    table = np.stack([counts(said, 1, step / 200) for step in range(201)])
    with opened(browser, pair.report) as page:
        for miss, alarm in ((1, 1), (50, 1), (1, 4), (0.5, 2)):
            price = np.round(table @ (0, miss, alarm), 9)
            least, shown = int(price.argmin()), f"{1000 * price.min():.0f}"
            part(page, "miss").fill(str(miss))
            part(page, "alarm").fill(str(alarm))
            assert part(page, "least").inner_text() == f"{least / 2:.1f} % (cost {shown})"
            part(page, "use").press("Enter")
            assert part(page, "threshold").input_value() == str(least)
            assert part(page, "cost").inner_text() == shown
            bests.add(least)
            words = shlex.split(part(page, "command").text_content())
            if (miss, alarm) == (1, 1):
                assert words == []
            else:
                assert [*words[:3], *words[3::2]] == ["headstart", "evaluate", "RUN", "--cost", "--cost"]
                assert costs(tuple(words[4::2]), PAIR) == ((1, 0, miss), (0, 1, alarm))
    assert len(bests) > 1


def test_the_slider_listens_to_keys_and_bears_an_empty_field(browser, pair):
    with opened(browser, pair.report) as page:
        part(page, "threshold").press("ArrowRight")
        assert part(page, "threshold").get_attribute("aria-valuetext") == "50.5 %"
        part(page, "miss").fill("")
        words = shlex.split(part(page, "command").text_content())
        assert words[4] == f"{PAIR[1]}:{PAIR[0]}=0"


def test_hostile_names_run_nothing_in_a_browser(browser, hostile):
    with opened(browser, hostile.report, viewport=PHONE) as page:
        assert page.locator(".matrix tbody th").all_inner_texts() == list(HOSTILE)
        assert part(page, "class").locator("option").all_inner_texts() == list(HOSTILE)
        page.locator(".matrix a[data-cell=cell-0-1]").click()
        assert HOSTILE[1] in page.inner_text("output")
        page.locator(".matrix").hover()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        assert page.locator("script").count() == 1
        assert page.locator("img:not([src^='data:'])").count() == 0
