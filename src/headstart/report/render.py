"""From a run to one self-contained page, and its figures as files."""

from __future__ import annotations

from headstart.report import figures, sections
from headstart.report.files import RunFiles, read
from headstart.report.page import fill, scripted
from headstart.report.parts import Section
from headstart.report.run.verdict import facts, verdict
from headstart.rundir import RunDir, write_text


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
    drawn = {drawing.name: drawing.svg for part in parts for drawing in part.figures}
    drawn["confusion"] = figures.to_svg(figures.confusion(files.evaluation.confusion))
    for name, svg in drawn.items():
        write_text(run.evaluation(split) / "figures" / f"{name}.svg", svg)
    write_text(run.report, page(files, parts))


def page(files: RunFiles, parts: tuple[Section, ...]) -> str:
    """The page as text."""
    return fill(
        "report.html.j2",
        name=files.run.root.resolve().name,
        split=files.split,
        version=files.info.get("versions", {}).get("headstart", ""),
        verdict=verdict(files),
        facts=facts(files),
        sections=parts,
        **scripted("report.js"),
    )
