"""From a run to one self-contained page, and its figures as files."""

from __future__ import annotations

from typing import Any

from headstart.errors import printable
from headstart.report import figures, sections
from headstart.report.files import RunFiles, read
from headstart.report.parts import Section
from headstart.rundir import RunDir, write_text

ISOLATES = "\N{FIRST STRONG ISOLATE}\N{POP DIRECTIONAL ISOLATE}"


def render(run: RunDir, split: str = "test") -> None:
    """Writes ``report.html`` and ``evaluation/<split>/figures/*.svg`` from the files of the run.

    The page loads nothing from anywhere, and its policy forbids it to. The same files give the same bytes.

    Args:
        run: a run that was evaluated; its manifest, ledger, history and parity certificate may be missing.
        split: whose evaluation is reported.

    Raises:
        InputError: the split was not evaluated, or a file is damaged.
    """
    files = read(run, split)
    parts = tuple(sections.sections(files))
    for drawing in (drawing for part in parts for drawing in part.figures):
        write_text(run.evaluation(split) / "figures" / f"{drawing.name}.svg", drawing.svg)
    write_text(run.report, page(files, parts))


def page(files: RunFiles, parts: tuple[Section, ...]) -> str:
    """The page as text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("headstart.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    # The SVG is Matplotlib's, which escapes all text in it.
    environment.filters["inline"] = lambda drawing: Markup(  # noqa: S704
        figures.inline(drawing.svg, drawing.name, drawing.caption)
    )
    return environment.get_template("report.html.j2").render(
        name=files.run.root.resolve().name,
        split=files.split,
        version=files.info.get("versions", {}).get("headstart", ""),
        verdict=sections.verdict(files),
        facts=sections.facts(files),
        sections=parts,
    )


def _shown(value: Any) -> Any:
    """Control characters as escapes, in all text that comes from outside; `Markup` is our own."""
    if type(value) is not str or (value.isascii() and value.isprintable()):
        return value
    return "".join(c if c in ISOLATES else printable(c) for c in value)
