"""What a page is put together from; the template turns each of these into HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.report import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Table:
    """Cells as text. The first `text_columns` are words, the others numbers; `label` says what it is.

    `links` are the names, in this page, of what the rows lead to; `filtered` gives it a field to search by.
    """

    label: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1
    links: tuple[str, ...] = ()
    filtered: bool = False

    @property
    def wide(self) -> bool:
        """Whether it needs the width of the page."""
        return self.text_columns > 2


def value_table(label: str, values: Mapping[str, Any]) -> Table:
    """A table of names and their values."""
    rows = tuple((name.replace("_", " "), _word(value)) for name, value in values.items())
    return Table(label, ("", ""), rows, text_columns=2)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, float) else str(value) or "–"


@dataclass(frozen=True)
class Drawing:
    """A figure: the name of its file, that file's text, and a caption that says what to see."""

    name: str
    svg: str
    caption: str

    @classmethod
    def of(cls, name: str, figure: Figure, caption: str) -> Drawing:
        """Draws `figure`."""
        return cls(name, figures.to_svg(figure), caption)

    @property
    def wide(self) -> bool:
        """Whether it needs the width of the page."""
        return figures.width(self.svg) > 400


@dataclass(frozen=True)
class Picture:
    """An image of the gallery; `src` is a data URI, or empty where the file can't be read any more."""

    src: str
    path: str
    true: str
    predicted: str
    confidence: str


@dataclass(frozen=True)
class Tile:
    """A picture among others; where `src` is empty, `words` stand in its place. `lines` are its caption."""

    src: str
    alt: str
    lines: tuple[str, ...] = ()
    words: str = ""


@dataclass(frozen=True)
class Strip:
    """Pictures that belong together, under a heading.

    Attributes:
        title: of the heading.
        tiles: the pictures; may be empty.
        tags: a few words beside the title; the ones in `alarming` stand out.
        note: what it means and what to do.
        names: paths, where there is nothing to look at.
        name: to link to, "" for none.
    """

    title: str
    tiles: tuple[Tile, ...] = ()
    tags: tuple[str, ...] = ()
    alarming: tuple[str, ...] = ()
    note: str = ""
    names: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Bar:
    """A metric in words, and where its interval lies in percent of the scale (None without a scale)."""

    name: str
    note: str
    value: str
    interval: str
    place: tuple[float, float, float] | None


@dataclass(frozen=True)
class Section:
    """A part of a page; `code` is shown as it would be typed.

    `layout` says how strips are set: ``rows`` of captioned pictures, ``mosaic`` (pictures alone, heard as
    one), ``compared`` (three beside each other, small) or ``studied`` (large). `footnote` ends it.
    """

    name: str
    title: str
    caption: str
    bars: tuple[Bar, ...] = ()
    figures: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    code: str = ""
    strips: tuple[Strip, ...] = ()
    layout: str = "rows"
    footnote: str = ""


@dataclass(frozen=True)
class Verdict:
    """The first thing one reads: the share that is right, and the rest of its sentence."""

    value: str
    claim: str
    baseline: str
    caution: str
    place: tuple[float, float, float]
    baseline_place: float


@dataclass(frozen=True)
class DataVerdict:
    """The first thing one reads about data.

    Attributes:
        value: the share of the images that can be used.
        claim: the rest of its sentence.
        shares: (name, images, percent of all) of the parts that all images fall into.
        worst: (link, words) of what to look at first.
        advice: what that means.
    """

    value: str
    claim: str
    shares: tuple[tuple[str, int, float], ...]
    worst: tuple[tuple[str, str], ...]
    advice: str
