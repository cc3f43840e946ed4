"""The sections of the page about data that show images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from headstart.data.check import DataCheck, Pair
from headstart.data.loader import ahead
from headstart.data.manifest import Manifest
from headstart.errors import ImageError
from headstart.progress import track
from headstart.report import data_figures, data_pixels
from headstart.report import data_numbers as numbers
from headstart.report.data_checks import words
from headstart.report.data_numbers import CLASSES, PICTURED, WHOLE, Both, Finding, differ
from headstart.report.data_sections import findings_table, link
from headstart.report.figures import short
from headstart.report.parts import Drawing, Section, Strip, Tile
from headstart.report.thumbnails import Album, small
from headstart.report.wording import many, percent, quoted

EXAMPLES, PAIRS, STUDIES = 12, 100, 5
"""At most so many pictures a check, pairs of near duplicates, images with edges."""

SIDE, STUDY_SIDE = 160, 280  # of a picture, and of one with edges

Seen = Mapping[str, np.ndarray | ImageError]
"""Path → small pixels, or why there are none."""


def see(check: DataCheck, found: list[Finding], sample: Mapping[str, list[str]]) -> Seen:
    """Decodes all images that the page shows small, each once."""
    wanted = [path for paths in sample.values() for path in paths]
    wanted += [path for one in found for path in one.rows["path"].head(EXAMPLES) if _is_picture(path, one)]
    wanted += [path for both in _chosen(check) for path in (both.pair.first, both.pair.second)]
    paths = list(dict.fromkeys(wanted))
    pictures = ahead(lambda path: small(check.manifest.root / path, SIDE), paths)
    return dict(zip(paths, track(pictures, "Drawing the page", len(paths)), strict=True))


def _chosen(check: DataCheck) -> list[Both]:
    return numbers.telling(check)[:PAIRS]


def _tile(path: str, seen: Seen, album: Album, lines: tuple[str, ...] = ()) -> Tile:
    picture = seen[path]
    if isinstance(picture, ImageError):
        return Tile("", path, lines, words(picture.check).title)
    return Tile(album.uri(picture), path, lines, "No room on this page")


def findings(found: list[Finding], seen: Seen, album: Album) -> Section:
    """What was found, the worst first, with examples."""
    title = "Findings"
    if not found:
        return Section("findings", title, "None: every file is used, and none is doubtful.")
    strips = tuple(_finding(i, one, seen, album) for i, one in enumerate(found))
    caption = (
        "Each check that found something, the worst first: what would falsify a test, then what is lost, "
        "then what deserves a look. Nothing was changed or deleted."
    )
    return Section("findings", title, caption, tables=(findings_table(found),), strips=strips)


def _is_picture(path: str, finding: Finding) -> bool:
    return bool(path) and not path.endswith("/") and finding.action != "ignored"


def _finding(place: int, one: Finding, seen: Seen, album: Album) -> Strip:
    tiles, names, rows = [], [], one.rows.head(EXAMPLES)
    for path, reason, score in rows[["path", "reason", "score"]].itertuples(index=False, name=None):
        why = "" if one.reason else str(reason)
        if not _is_picture(path, one):
            name = "" if path == WHOLE else path
            names.append(": ".join(filter(None, (name, why))))
            continue
        lines = (path, why, "" if pd.isna(score) else f"score {score:.3g}")
        tiles.append(_tile(path, seen, album, tuple(line for line in lines if line)))
    said = words(one.check)
    # The reason why a file was left out says what to do already.
    note = one.reason if one.reason and one.action == "left out" else f"{one.reason} {said.remedy}".strip()
    if len(one.rows) > len(rows):
        note += f" Shown are {len(rows)} of {len(one.rows):,}; all are in the ledger as {quoted(one.check)}."
    tags = (one.number or "the whole set", one.action)
    at = 1 if one.action == "left out" else 2  # from here on they stand out
    return Strip(said.title, tuple(tiles), tags[:at], tags[at:], note, tuple(names), link(place))


def colours(seen: Seen, sample: Mapping[str, list[str]]) -> Section:
    """Histograms of colour and, class by class, of brightness."""
    pictures = {name: _pixels(seen, paths) for name, paths in sample.items()}
    pictures = {name: mine for name, mine in pictures.items() if mine}
    title, count = "Colours", sum(map(len, pictures.values()))
    if not count:
        return Section("colours", title, "There is no image to look at.")
    by_class = {
        name: np.mean([data_pixels.histograms(p) for p in mine], axis=0) for name, mine in pictures.items()
    }
    grey = all(data_pixels.is_grey(picture) for mine in pictures.values() for picture in mine)
    overall = np.mean(list(by_class.values()), axis=0)
    caption = f"Measured on {many(count, 'image')} at the size of the pictures below."
    caption += " All are grey." if grey else ""
    seen_in_it = (
        "Peaks at the ends are pixels that are wholly black or white: borders, masks, over- or underexposure."
    )
    drawings = [Drawing.of("colours", data_figures.colours(overall, grey), seen_in_it)]
    if len(by_class) > 1:
        caption += _brightest(by_class)
        drawings.append(_brightness(by_class))
    return Section("colours", title, caption, figures=tuple(drawings))


def _pixels(seen: Seen, paths: Iterable[str]) -> list[np.ndarray]:
    return [picture for path in paths if isinstance(picture := seen[path], np.ndarray)]


def _brightest(by_class: Mapping[str, np.ndarray]) -> str:
    levels = (np.arange(data_pixels.BINS) + 0.5) * 256 / data_pixels.BINS
    medians = {name: float(h[3] @ levels) for name, h in by_class.items()}
    high, low = max(medians, key=lambda name: medians[name]), min(medians, key=lambda name: medians[name])
    if medians[high] - medians[low] < 1:
        return " All classes are equally bright."
    return (
        f" The brightest class is {quoted(high)} (mean level {medians[high]:.0f} of 255), the darkest "
        f"{quoted(low)} ({medians[low]:.0f})."
    )


def _brightness(by_class: dict[str, np.ndarray]) -> Drawing:
    seen = (
        "How bright the pixels of each class are; the mark is the median. If a class stands apart for no "
        "reason of its own, a model may learn the lighting or the camera instead of what is shown."
    )
    if len(by_class) > data_figures.CURVES:
        seen += f" Shown are {data_figures.CURVES} of {len(by_class)} classes."
    return Drawing.of("brightness_of_the_classes", data_figures.brightness(by_class), seen)


def mosaics(manifest: Manifest, seen: Seen, sample: Mapping[str, list[str]], album: Album) -> Section:
    """Some images of each class."""
    title, sizes = "Class mosaics", manifest.table["label"].value_counts()
    strips = tuple(
        Strip(
            short(name, 60),
            tuple(_tile(path, seen, album) for path in paths[:PICTURED]),
            (many(sizes[name], "image"),),
        )
        for name, paths in sample.items()
    )
    if not strips:
        return Section("mosaics", title, "There is no image to look at.")
    caption = (
        f"Up to {PICTURED} images of each class, chosen by their content alone. Look for what does not "
        "belong, and for what tells the classes apart but should not: a border, a stamp, a background."
    )
    if len(sizes) > CLASSES:
        caption += f" Shown are the {CLASSES} largest of {len(sizes):,} classes."
    return Section("mosaics", title, caption, strips=strips, layout="mosaic")


def shapes(manifest: Manifest, sample: Mapping[str, list[str]], album: Album) -> Section:
    """Edges and contours of a handful of images, of as many classes as possible."""
    title = "Edges and contours"
    longest = max(map(len, sample.values()), default=0)
    in_turn = [(name, paths[i]) for i in range(longest) for name, paths in sample.items() if i < len(paths)]
    chosen = in_turn[:STUDIES]
    strips = tuple(Strip(short(name, 60), _study(manifest.root, path, album)) for name, path in chosen)
    if not strips:
        return Section("shapes", title, "There is no image to look at.")
    caption = (
        "What is left of an image when colour and shading are taken away. Left the image, in the middle "
        "its edges (Canny), right the outlines of its bright parts (Otsu's threshold). A person should still "
        "recognise what the class is about; if only frames, stamps or noise are left, so may a model."
    )
    return Section("shapes", title, caption, strips=strips, layout="studied")


def _study(root: Path, path: str, album: Album) -> tuple[Tile, ...]:
    picture = small(root / path, STUDY_SIDE)
    whole = _tile(path, {path: picture}, album, (path,))
    if isinstance(picture, ImageError):
        return (whole,)
    edges, outlined = data_pixels.edges(picture), data_pixels.contours(picture)
    share = percent(float((edges > 0).mean()))
    return (
        whole,
        Tile(album.uri(edges, "PNG"), f"Edges of {path}", (f"edges, {share} of the pixels",), "No room"),
        Tile(
            album.uri(outlined.picture),
            f"Contours of {path}",
            (many(outlined.number, "contour"),),
            "No room",
        ),
    )


def pairs(check: DataCheck, seen: Seen, album: Album) -> Section:
    """Near duplicates side by side."""
    title = "Near duplicates"
    if not check.pairs:
        return Section("pairs", title, "None: no file is another one saved, scaled, turned or cropped anew.")
    chosen = _chosen(check)
    strips = tuple(_pair(*one, seen, album) for one in chosen)
    caption = (
        f"{many(len(check.pairs), 'pair')} of files that show the same picture, the nearest first, but "
        "before them those whose labels or splits differ. At the right their difference in brightness, "
        f"{data_pixels.GAIN} times as strong: black is no difference. A cropped one is only scaled, so "
        "its shapes show twice."
    )
    if left := len(check.pairs) - len(chosen):
        caption += f" {many(left, 'pair')} more are left out here; all are in the ledger."
    return Section("pairs", title, caption, strips=strips, layout="compared")


def _pair(pair: Pair, labels: tuple[str, str], splits: tuple[str, str], seen: Seen, album: Album) -> Strip:
    paths = (pair.first, pair.second)
    tiles = [
        _tile(path, seen, album, (path, " · ".join(filter(None, (label, split))) or "left out"))
        for path, label, split in zip(paths, labels, splits, strict=True)
    ]
    first, second = (seen[path] for path in paths)
    if isinstance(first, ImageError) or isinstance(second, ImageError):
        gap = Tile("", "", (), "Cannot be compared")
    else:
        picture = album.uri(data_pixels.difference(first, second))
        gap = Tile(picture, f"Difference of {pair.first} and {pair.second}", ("difference",), "No room")
    other = [word for word, both in (("labels", labels), ("splits", splits)) if differ(both)]
    alarming = (f"{' and '.join(other)} differ",) if other else ()
    how = pair.how[:1].upper() + pair.how[1:]
    tags = (f"{pair.difference:.2f} grey levels apart",)
    return Strip(how, (*tiles, gap), tags, alarming)
