"""What the report says: the sections in the order of the page, each a short function of the run's files."""

from __future__ import annotations

from collections.abc import Iterator

from headstart.report.files import RunFiles
from headstart.report.findings import findings
from headstart.report.parts import Section
from headstart.report.run.card import card
from headstart.report.run.confusion import confusion
from headstart.report.run.data import data, ledger
from headstart.report.run.mistakes import mistakes
from headstart.report.run.numbers import classes, numbers
from headstart.report.run.provenance import parity, provenance
from headstart.report.run.training import training
from headstart.report.run.trust import calibration, decisions
from headstart.report.wording import many


def sections(files: RunFiles) -> Iterator[Section]:
    """All of them."""
    gallery = mistakes(files)
    pictured = frozenset(card.cell for card in gallery.cards)
    yield found(files)
    yield numbers(files)
    yield confusion(files, pictured)
    yield gallery
    yield classes(files)
    yield calibration(files)
    yield decisions(files)
    yield training(files)
    yield data(files)
    yield ledger(files)
    yield parity(files)
    yield card(files)
    yield provenance(files)


def found(files: RunFiles) -> Section:
    """The findings; what calls for attention first."""
    every = tuple(findings(files))
    counts = {
        state: sum(one.state == state for one in every) for state in ("attention", "fine", "not applicable")
    }
    if counts["attention"]:
        caption = f"{many(counts['attention'], 'finding')} to look at; {counts['fine']} checks found nothing."
    else:
        caption = f"Nothing calls for attention: {counts['fine']} checks found nothing."
    if counts["not applicable"]:
        caption += f" {counts['not applicable']} cannot be made here."
    return Section("findings", "Findings", caption, findings=every)
