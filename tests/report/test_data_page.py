from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from tests.report.pages import Page

from headstart.data import ledger as ledgers
from headstart.data import manifest as manifests
from headstart.data.check import DataCheck, Pair
from headstart.data.ledger import Row
from headstart.report import data_page

SECTIONS = "findings classes sizes colours mosaics shapes pairs ledger made".split()
HOSTILE = "</script><script>alert(1)</script>"


def drawing(shape: str, number: int) -> Image.Image:
    """A circle, a square or stripes; each number gives another picture."""
    size = (120 + 10 * (number % 5), 90 + 5 * (number % 3))
    picture = Image.new("RGB", size, (200, 160 + 3 * number, 255 - 9 * number))
    pen, at = ImageDraw.Draw(picture), (20 + number, 20, 70 + number, 70)
    if shape == "circle":
        pen.ellipse(at, fill=(40, 5 * number, 90))
    elif shape == "square":
        pen.rectangle(at, fill=(90, 5 * number, 40))
    else:
        for x in range(0, size[0], 12):
            pen.line((x, 0, x + 9, size[1]), fill=(30, 60, 5 * number), width=4)
    return picture


def saved(root: Path, path: str, picture: Image.Image, split: str = "") -> Row:
    """Writes a picture, and gives its row of the manifest."""
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.save(file)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    label, (width, height) = path.partition("/")[0], picture.size
    return {
        "path": path, "label": label, "split": split, "width": width, "height": height, "sha256": sha256,
    }  # fmt: skip


def corpus(root: Path) -> DataCheck:
    """25 usable images in three classes, and one of nearly everything that can be wrong with a file."""
    rows = [
        saved(root, f"{shape}/{i:02d}.jpg", drawing(shape, i), ("train", "train", "val", "test")[i % 4])
        for shape, count in (("circle", 10), ("square", 8), ("stripes", 4))
        for i in range(count)
    ]
    first = drawing("circle", 0)
    rows.append(saved(root, "circle/again.png", first, "train"))
    rows.append(saved(root, "square/mirrored.png", first.transpose(Image.Transpose.FLIP_LEFT_RIGHT), "test"))
    rows.append(
        saved(root, "square/soft.png", drawing("square", 1).filter(ImageFilter.GaussianBlur(8)), "val")
    )
    (root / "circle/cut.jpg").write_bytes((root / "circle/01.jpg").read_bytes()[:700])
    (root / "circle/zero.png").touch()
    entries = [
        ledgers.row("circle/cut.jpg", "truncated", "The JPEG file is truncated.", "left out"),
        ledgers.row("circle/zero.png", "empty", "The file is empty.", "left out"),
        ledgers.row("square/soft.png", "blurred", "No edge is sharp.", "kept", 0.91),
        ledgers.row("square/mirrored.png", "crosses-splits", "Moved from test to train.", "kept"),
        ledgers.row("stripes/", "tiny-class", "It has 4 images.", "kept"),
        ledgers.row("./", "imbalance", "“circle” has 2.8 times as many.", "kept", 2.8),
        ledgers.row("Thumbs.db", "system-file", "Hidden, or put there by a system.", "ignored"),
    ]
    pairs = (
        Pair("circle/00.jpg", "circle/again.png", 0.5, "the same picture"),
        Pair("circle/00.jpg", "square/mirrored.png", 0.75, "mirrored left to right"),
    )
    return DataCheck(manifests.from_rows(rows, root), ledgers.table(entries), pairs)


Show = Callable[..., Page]


@pytest.fixture
def show(tmp_path) -> Show:
    def show(check: DataCheck, title: str = "shapes", fingerprint: str = "") -> Page:
        data_page.render(check, tmp_path / "page.html", title, fingerprint)
        return Page((tmp_path / "page.html").read_text("utf-8"))

    return show


@pytest.fixture(scope="module")
def check(tmp_path_factory) -> DataCheck:
    return corpus(tmp_path_factory.mktemp("shapes"))


@pytest.fixture(scope="module")
def html(check, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("page") / "data.html"
    data_page.render(check, path, "my <shapes>", "f00d")
    return path.read_text("utf-8")


@pytest.fixture(scope="module")
def page(html) -> Page:
    return Page(html)


def drawn(*rows: Row, root: Path, ledger: list[Row] = [], pairs: tuple[Pair, ...] = ()) -> DataCheck:  # noqa: B006
    return DataCheck(manifests.from_rows(list(rows), root), ledgers.table(ledger), pairs)


def test_the_verdict_comes_first(page):
    # 25 of 27 are used; two of them are doubtful, the class is no image.
    assert page.text().startswith("my <shapes> · data check · headstart Skip to the findings my <shapes>")
    assert "92.6 % of 27 images can be used: 2 left out, 2 doubtful." in page.text()
    assert "used, no doubt 23 used, doubtful 2 left out 2" in page.text()
    worst = (
        "Copies across splits (1), Cut short (1), Zero bytes (1), Tiny classes (1) and 2 more checks below."
    )
    assert "Look first at " + worst in page.text()
    assert "Near duplicates 2 pairs" in page.text()


def test_the_page_has_all_sections_in_order(page):
    assert list(page.sections) == ["", *SECTIONS]
    links = {value.removeprefix("#") for value in page.attributes("href")}
    assert links <= set(page.attributes("id"))
    assert {"finding-1", "finding-7"} <= links


def test_findings_say_what_was_done_and_what_to_do(page):
    text = page.text("findings")
    assert "Cut short 1 file left out circle/cut.jpg The end of the file is missing: copy it again" in text
    assert "Blurred 1 file kept square/soft.png" in text
    assert text.index("Copies across splits") < text.index("Cut short") < text.index("System files")
    assert "square/soft.png No edge is sharp. score 0.91" in text
    assert "Unequal classes the whole set kept Collect more" in text
    assert "stripes/: It has 4 images." in text
    shown = [a["alt"] for t, a in page.tags if t == "img" and a["alt"]]
    assert shown[:2] == ["square/mirrored.png", "square/soft.png"]  # the others are not images any more


def test_counts_sizes_and_colours_are_told(page):
    text = page.text("classes")
    assert "25 images in 3 classes. The largest, “circle” with 11, has 2.8 times as many as the" in text
    assert "stripes 2 1 1 4" in text
    assert "all classes 13 6 6 25" in text
    assert "25 images are smaller than the 224 pixels" in page.text("sizes")
    # The copies have sizes that are there already.
    sizes = {(120 + 10 * (i % 5), 90 + 5 * (i % 3)) for i in range(10)}
    assert f"There are {len(sizes)} different sizes" in page.text("sizes")
    assert "width 120 120" in page.text("sizes")
    assert "Measured on 25 images" in page.text("colours")
    assert "All are grey" not in page.text("colours")


def test_mosaics_show_every_class_once_for_the_ear(page):
    heard = [a["aria-label"] for _, a in page.tags if a.get("class") == "tiles" and "aria-label" in a]
    assert heard == ["Images of circle", "Images of square", "Images of stripes"]


def test_edges_and_contours_are_shown_beside_their_image(page):
    alts = [a["alt"] for t, a in page.tags if t == "img"]
    edges = [alt for alt in alts if alt.startswith("Edges of ")]
    assert len(edges) == 5
    assert {alt.removeprefix("Edges of ").partition("/")[0] for alt in edges} == {
        "circle",
        "square",
        "stripes",
    }
    assert [alt.replace("Edges", "Contours") for alt in edges] == [
        a for a in alts if a.startswith("Contours of ")
    ]


def test_near_duplicates_stand_side_by_side_the_contradiction_first(page):
    text = page.text("pairs")
    assert text.index("Mirrored left to right") < text.index("The same picture 0.50 grey levels apart")
    assert "labels and splits differ" in text
    assert "circle/00.jpg circle · train square/mirrored.png square · test difference" in text
    assert "Difference of circle/00.jpg and circle/again.png" in list(page.attributes("alt"))


def test_the_ledger_and_the_making_are_told(page):
    assert page.text("ledger").startswith("Ledger 7 rows: every file that is left out, ignored or doubtful.")
    assert "square/soft.png blurred kept No edge is sharp. 0.91" in page.text("ledger")
    assert "fingerprint f00d" in page.text("made")
    assert "headstart 0.1.0 images used 25 classes 3 rows of the ledger 7" in page.text("made")


def test_the_page_is_complete_in_itself(page, html):
    tags = {tag for tag, _ in page.tags}
    assert not tags & {"link", "iframe", "object", "embed", "form", "base", "foreignobject", "image"}
    for name in ("src", "href", "xlink:href", "action", "poster", "srcset", "data"):
        for value in page.attributes(name):
            assert value.startswith(("#", "data:image/jpeg;base64,", "data:image/png;base64,")), name
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    outside = re.sub(r'src="data:[^"]*"', "", html)
    for scheme in ("http:", "https:", "//www", "@import", "file:"):
        assert scheme not in outside


def test_no_script_runs_but_the_page_s_own(html, page):
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 1
    own = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    policy = next(a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert f"script-src 'sha256-{own}';" in policy
    assert "innerHTML" not in scripts[0]


def test_the_page_can_be_read_by_machine_and_ear(page):
    assert page.open == []  # every tag is closed, in order
    ids = list(page.attributes("id"))
    assert len(ids) == len(set(ids))
    assert all(name in ids for name in page.attributes("aria-labelledby"))
    headings = [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[:2] == ["h1", "h2"]
    assert set(headings) == {"h1", "h2", "h3"}
    assert headings.count("h2") == len(SECTIONS)
    assert all("alt" in attributes for tag, attributes in page.tags if tag == "img")
    assert all(attributes.get("aria-label") for tag, attributes in page.tags if tag == "svg")
    scrolled = [a for _, a in page.tags if a.get("class", "").startswith("scroll")]
    assert all(attributes["tabindex"] == "0" and attributes["aria-label"] for attributes in scrolled)
    assert [a["for"] for t, a in page.tags if t == "label"] == ["filter"]


def test_the_same_data_give_the_same_bytes(check, html, tmp_path):
    data_page.render(check, tmp_path / "again.html", "my <shapes>", "f00d")
    assert (tmp_path / "again.html").read_text("utf-8") == html


def test_pictures_carry_pixels_and_nothing_else(show, tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "my garden, 47.11 N"
    row = saved(tmp_path, "a/1.jpg", drawing("circle", 1))
    drawing("circle", 1).save(tmp_path / "a/1.jpg", exif=exif)
    page = show(drawn(row, root=tmp_path))
    sources = [base64.b64decode(src.partition(",")[2]) for src in page.attributes("src")]
    assert len(sources) == 4  # the mosaic; the image with its edges and contours
    assert not any(b"garden" in source or b"Exif" in source for source in sources)


def test_a_clean_set_says_so(show, tmp_path):
    row = saved(tmp_path, "only/1.png", Image.new("L", (1, 1), 77))
    page = show(drawn(row, root=tmp_path))
    assert "100.0 % of 1 image can be used: none is left out, none is doubtful." in page.text()
    assert "Nothing was found that should be mended" in page.text()
    assert "None: every file is used" in page.text("findings")
    assert "1 image in 1 class. A classifier needs two classes or more." in page.text("classes")
    assert "All images are 1 × 1 pixels." in page.text("sizes")
    assert "All are grey." in page.text("colours")
    assert "edges, 0.0 % of the pixels 0 contours" in page.text("shapes")
    assert "None: no file is another one saved" in page.text("pairs")
    assert "It is empty" in page.text("ledger")


def test_no_image_at_all_is_no_crash(show, tmp_path):
    entries = [ledgers.row("a/1.jpg", "empty", "The file is empty.", "left out")]
    assert "0.0 % of 1 image can be used" in show(drawn(root=tmp_path, ledger=entries)).text()
    assert "there is nothing to train on" in show(drawn(root=tmp_path)).text()


def test_images_that_have_vanished_are_said_to_have(show, tmp_path):
    check = corpus(tmp_path / "shapes")
    for path in check.manifest.files:
        path.unlink()
    page = show(check)
    assert not list(page.attributes("src"))
    assert page.text("findings").count("Not there any more") == 2
    assert "Cannot be compared" in page.text("pairs")
    assert "There is no image to look at." in page.text("colours")
    assert page.text("made")


def test_hostile_names_are_shown_and_never_obeyed(show, tmp_path):
    names = (HOSTILE, "صورة", "😀🎉", "x" * 90, "{{ 7 * 7 }}", "a\u202e\x1b", 'say "hi" onerror=1')
    rows = [
        saved(tmp_path, f"{i}/<b>{i}.png", drawing("circle", i)) | {"label": n} for i, n in enumerate(names)
    ]
    entries = [ledgers.row(f"0/<b>0{HOSTILE}.png", HOSTILE, f"{HOSTILE}.", "kept", 0.5)]
    pairs = (Pair("0/<b>0.png", "1/<b>1.png", 0.1, HOSTILE),)
    page = show(drawn(*rows, root=tmp_path, ledger=entries, pairs=pairs), HOSTILE)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert "onerror" not in {name for _, attributes in page.tags for name in attributes}
    for name in names:
        assert name.replace("\u202e", "\\u202e").replace("\x1b", "\\x1b") in page.text("classes")
    for section in ("", "findings", "pairs", "ledger"):
        assert HOSTILE in page.text(section)


def test_long_ledgers_and_many_pairs_are_cut_and_it_is_said(show, tmp_path):
    rows = [saved(tmp_path, f"a/{i}.png", Image.new("RGB", (8, 8), (i, 0, 0))) for i in range(120)]
    entries = [
        ledgers.row(f"void/{i:05d}.jpg", "unreadable", f"Damage {i}.", "left out") for i in range(20_000)
    ]
    pairs = tuple(Pair(f"a/{i}.png", f"a/{i + 1}.png", i / 10, "the same picture") for i in range(119))
    page = show(drawn(*rows, root=tmp_path, ledger=entries, pairs=pairs))
    assert "0.6 % of 20,120 images" in page.text()
    assert "Shown are 12 of 20,000; all are in the ledger as “unreadable”." in page.text("findings")
    assert "19 pairs more are left out here" in page.text("pairs")
    assert page.text("pairs").count("grey levels apart") == 100
    assert "20,000 rows" in page.text("ledger")
    assert "void/00499.jpg" in page.text("ledger")
    assert "void/00500.jpg" not in page.text("ledger")


def test_many_classes_fit(show, tmp_path):
    rows = [saved(tmp_path, f"{i:03d}/0.png", Image.new("L", (9 + i, 7), i)) for i in range(55)]
    page = show(drawn(*rows, root=tmp_path))
    assert "55 images in 55 classes. All classes have the same size, 1." in page.text("classes")
    assert "Shown are the 50 smallest of 55 classes." in page.text("classes")
    assert "Shown are the 20 largest of 55 classes." in page.text("mosaics")
    assert "Shown are 12 of 20 classes." in page.text("colours")


def test_a_page_stays_small_and_says_what_found_no_room(show, tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (16, 150, 150, 3), dtype=np.uint8)
    rows = [saved(tmp_path, f"a/{i}.png", Image.fromarray(picture)) for i, picture in enumerate(noise)]
    monkeypatch.setattr(data_page, "ROOM", 150_000)
    page = show(drawn(*rows, root=tmp_path))
    shown = list(page.attributes("src"))
    assert 0 < sum(map(len, shown)) <= 150_000
    left = 16 + 5 * 3 - len(shown)
    assert left > 0
    assert f"{left} pictures found no room on it." in page.text("made")
