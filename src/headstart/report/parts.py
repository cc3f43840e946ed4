"""What a page is put together from; the template turns each of these into HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from headstart.report import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from headstart.report.findings import Finding


@dataclass(frozen=True)
class Table:
    """Cells as text. The first `text_columns` are words, the others numbers; `label` says what it is.

    `links` are the names, in this page, of what the rows lead to; `filtered` gives it a field to search by;
    `sortable` lets its columns be sorted; `full` gives it the width of the page.
    """

    label: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1
    links: tuple[str, ...] = ()
    filtered: bool = False
    sortable: bool = False
    full: bool = False

    @property
    def wide(self) -> bool:
        """Whether it needs the width of the page."""
        return self.full or self.text_columns > 2


def value_table(label: str, values: Mapping[str, Any]) -> Table:
    """A table of names and their values."""
    rows = tuple((name.replace("_", " "), _word(value)) for name, value in values.items())
    return Table(label, ("", ""), rows, text_columns=2)


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
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
class Cell:
    """A cell of the confusion matrix: its count, its share of the row, and its words for a screen reader.

    `name` is what its images are called in the page; empty where there are none.
    """

    text: str
    share: float
    right: bool
    label: str
    name: str


@dataclass(frozen=True)
class Matrix:
    """A confusion matrix: names of the classes, and a row of cells for each true one."""

    names: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Card:
    """An image of the gallery, its answer and its truth, and what speaks for each.

    Attributes:
        src: data URI of the image as the network sees it; empty where it can't be read any more.
        path, true, answer: where it lies, and the classes.
        confidence, truth: the probabilities of the answer and of the true class.
        heats: data URIs to lay over it: of the answer, and for a mistake of the truth.
        cell: its cell of the confusion matrix.
        right: whether the answer is the truth.
        decision: accept, abstain or unfamiliar.
        nearest: class of the most similar training image, where it is known.
    """

    src: str
    path: str
    true: str
    answer: str
    confidence: str
    truth: str
    heats: tuple[str, ...]
    cell: str
    right: bool
    decision: str
    nearest: str


@dataclass(frozen=True)
class Slider:
    """Counts by probability, for trying thresholds and costs.

    Attributes:
        names: of the classes to choose from.
        own, rest: for each, how many images of it and of the others fall into each of equally wide steps of
            its probability.
        start: which is chosen at first.
        two: whether there are only two classes.
    """

    names: tuple[str, ...]
    own: tuple[tuple[int, ...], ...]
    rest: tuple[tuple[int, ...], ...]
    start: int
    two: bool


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
    findings: tuple[Finding, ...] = ()
    matrix: Matrix | None = None
    cards: tuple[Card, ...] = ()
    slider: Slider | None = None
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
    place: tuple[float, ...]
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
