"""Copies planted among real pictures, and real pictures that are merely alike."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
import pytest
from PIL import Image

from headstart import datacheck
from headstart.config import DataConfig
from headstart.data import alignment, duplicates, images, near, prepare, quality
from headstart.data.candidates import Window
from headstart.data.manifest import from_rows
from headstart.data.sources import elpv
from headstart.data.thumbs import thumb


def jpeg(picture, quality):
    stream = BytesIO()
    picture.save(stream, "JPEG", quality=quality)
    return Image.open(stream)


def cut(picture, left, top, width, height):
    """A crop, in shares of the sides."""
    w, h = picture.size
    return picture.crop(
        (round(left * w), round(top * h), round((left + width) * w), round((top + height) * h))
    )


def copies():
    """Ways to copy a picture, each with what it is to be called."""
    flip = Image.Transpose
    return {
        "jpeg-90": (lambda p: jpeg(p, 90), "saved anew"),
        "jpeg-50": (lambda p: jpeg(p, 50), "saved anew"),
        "half": (lambda p: p.resize((p.width // 2, p.height // 2), Image.Resampling.BICUBIC), "saved anew"),
        "wider": (lambda p: p.resize((400, 300), Image.Resampling.BILINEAR), "saved anew"),
        "mirrored": (lambda p: p.transpose(flip.FLIP_LEFT_RIGHT), "mirrored left to right"),
        "upside-down": (lambda p: p.transpose(flip.FLIP_TOP_BOTTOM), "mirrored top to bottom"),
        "quarter": (lambda p: p.transpose(flip.ROTATE_90), "turned by"),  # 90° or back, by 270°
        "crop-90": (lambda p: cut(p, 0.03, 0.08, 0.9, 0.9), "cropped to"),
        "crop-90-small": (lambda p: jpeg(cut(p, 0.1, 0.0, 0.9, 0.9).resize((200, 200)), 75), "cropped to"),
        "crop-95": (lambda p: cut(p, 0.01, 0.04, 0.95, 0.95), "cropped to"),
        "no-footer": (lambda p: cut(p, 0.0, 0.0, 1.0, 0.92), "cropped to 100%"),
    }


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """1,000 pictures: 780 solar cells, and 220 copies of every third of them. Returns folder and pairs."""
    root = tmp_path_factory.mktemp("planted")
    labels = elpv.read_labels()
    chosen = labels.iloc[np.linspace(0, len(labels) - 1, 780).astype(int)]
    ways = list(copies().items())
    pairs = {}
    for at, (path, probability) in enumerate(zip(chosen["path"], chosen["probability"], strict=True)):
        folder = root / ("defective" if probability > 0.5 else "sound")
        folder.mkdir(exist_ok=True)
        source = elpv.folder() / path
        (folder / source.name).write_bytes(source.read_bytes())
        if at % 3 == 0 and len(pairs) < 220:
            name, (make, how) = ways[len(pairs) % len(ways)]
            copy = folder / f"{source.stem}-{name}.png"
            make(Image.open(source).convert("L")).save(copy)
            pairs[f"{folder.name}/{source.name}", f"{folder.name}/{copy.name}"] = how
    return root, pairs


def test_no_planted_copy_crosses_a_split_and_the_page_lists_all(planted, tmp_path):
    root, pairs = planted
    check, folder = datacheck.check(root, tmp_path / "out", DataConfig(), seed=0)
    assert len(check.manifest) == 1000
    split = check.manifest.table.set_index("path")["split"]
    assert set(split) == {"train", "val", "test"}
    assert [pair for pair in pairs if split[pair[0]] != split[pair[1]]] == []
    found = {frozenset((pair.first, pair.second)): pair.how for pair in check.pairs}
    assert set(found) == {frozenset(pair) for pair in pairs}  # all of them, and nothing else
    assert [how for pair, how in pairs.items() if not found[frozenset(pair)].startswith(how)] == []
    page = (folder / "data.html").read_text(encoding="utf-8")
    assert [pair for pair in pairs if not all(path.rpartition("/")[2] in page for path in pair)] == []


def test_the_other_way_round_is_ignored_on_request(planted):
    root, pairs = planted
    images, ledger = prepare.prepare(str(root), DataConfig(near_duplicates="ignore"), seed=0)
    split = images.table.set_index("path")["split"]
    assert any(split[one] != split[other] for one, other in pairs)
    assert "near-duplicate" not in set(ledger["check"])


def false_clusters(thumbs, pictures):
    """Share of images that are in a pair, where there are no copies."""
    matches = duplicates.find(thumbs, lambda at, side: thumb(pictures(at), side))
    return len({at for match in matches for at in (match.first, match.second)}) / len(thumbs)


@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.faults)])
def test_solar_cells_are_not_taken_for_copies(every):
    """In one of four rows of each module, neighbours stay neighbours."""
    paths = elpv.read_labels()["path"]
    files = [elpv.folder() / path for i, path in enumerate(paths) if i // 16 % every == 0]
    thumbs = np.stack([thumb(images.decode(images.read(file))) for file in files])
    assert false_clusters(thumbs, lambda at: images.decode(images.read(files[at]))) < 0.005


def test_grey_digits_of_28_pixels_are_not_taken_for_copies():
    from sklearn.datasets import load_digits

    digits = [cv2.resize((d * 15.9375).astype(np.uint8), (28, 28)) for d in load_digits().images]
    pictures = [np.repeat(digit[..., None], 3, axis=2) for digit in digits]
    assert len(pictures) == 1797
    assert false_clusters(np.stack([thumb(p) for p in pictures]), lambda at: pictures[at]) < 0.005


def test_alignment_finds_a_window_by_itself():
    rng = np.random.default_rng(0)
    large = cv2.GaussianBlur(rng.uniform(0, 255, (256, 256)).astype(np.float32), (0, 0), 6)
    large = (large - large.min()) / np.ptp(large) * 255
    window = large[16 : 16 + 230, 6 : 6 + 230]
    first = cv2.resize(large, (128, 128), interpolation=cv2.INTER_AREA)
    second = cv2.resize(window, (128, 128), interpolation=cv2.INTER_AREA)
    start = alignment.affine(Window(0.05, 0.9, 0.05, 0.9), 128)
    left, warp = alignment.align(first, second, start, 50)
    assert left < 0.5
    scale = 230 / 256
    offset = [6 / 2 + (scale - 1) / 2, 16 / 2 + (scale - 1) / 2]  # pixel centres, of 2 × 2 pixels
    assert np.allclose(warp, [[scale, 0, offset[0]], [0, scale, offset[1]]], atol=0.06)
    other = np.ascontiguousarray(first[::-1])
    assert alignment.align(other, second, start, 50)[0] > 10


def test_a_window_is_the_same_at_twice_the_size():
    window = Window(0.05, 0.9, 0.02, 0.95)
    assert np.allclose(alignment.scaled(alignment.affine(window, 64), 2), alignment.affine(window, 128))


def test_pairs_are_kept_by_content_not_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(1)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    for name in "abc":
        picture = Image.fromarray(cv2.resize(rng.integers(0, 256, (6, 6, 3), np.uint8), (80, 80)))
        picture.save(tmp_path / "one" / f"{name}.png")
    Image.open(tmp_path / "one" / "b.png").save(tmp_path / "one" / "d.jpg", quality=95)
    for name, other in (("a.png", "z.png"), ("b.png", "y.png"), ("c.png", "x.png"), ("d.jpg", "w.jpg")):
        (tmp_path / "two" / other).write_bytes((tmp_path / "one" / name).read_bytes())

    def named(folder):
        found = from_rows(
            [{"path": p.name, "label": "x"} for p in (tmp_path / folder).iterdir()], tmp_path / folder
        )
        checked = quality.check(found)
        pairs = near.pairs(checked.manifest, near.near_duplicates(checked.manifest, checked.thumbs))
        return [({pair.first, pair.second}, pair.how) for pair in pairs]

    assert named("one") == [({"b.png", "d.jpg"}, "saved anew")]
    monkeypatch.setattr(near, "find", None)  # the second time it is not needed
    assert named("two") == [({"y.png", "w.jpg"}, "saved anew")]
    monkeypatch.undo()
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    (kept,) = (tmp_path / "cache" / "near").iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    assert named("two") == [({"y.png", "w.jpg"}, "saved anew")]  # found again
