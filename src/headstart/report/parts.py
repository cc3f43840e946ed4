"""What a page is put together from; the template turns each of these into HTML."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.report import figures


@dataclass(frozen=True)
class Table:
    """Cells as text. The first `text_columns` are words, the others numbers; `label` says what it is."""

    label: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int = 1

    @property
    def wide(self) -> bool:
        """Whether it needs the width of the page."""
        return self.text_columns > 2


@dataclass(frozen=True)
class Drawing:
    """A figure: the name of its file, that file's text, and a caption that says what to see."""

    name: str
    svg: str
    caption: str

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
class Bar:
    """A metric in words, and where its interval lies in percent of the scale (None without a scale)."""

    name: str
    note: str
    value: str
    interval: str
    place: tuple[float, float, float] | None


@dataclass(frozen=True)
class Section:
    """A part of the report; `code` is shown as it would be typed."""

    name: str
    title: str
    caption: str
    bars: tuple[Bar, ...] = ()
    figures: tuple[Drawing, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    code: str = ""


@dataclass(frozen=True)
class Verdict:
    """The first thing one reads: the share that is right, and the rest of its sentence."""

    value: str
    claim: str
    baseline: str
    caution: str
    place: tuple[float, float, float]
    baseline_place: float
