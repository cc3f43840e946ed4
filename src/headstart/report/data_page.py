"""From what a check of the data found to one self-contained page."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator
from pathlib import Path

from headstart.data.check import DataCheck
from headstart.report import data_numbers as numbers
from headstart.report import data_pictures as pictures
from headstart.report import data_sections as sections
from headstart.report.page import fill, scripted
from headstart.report.parts import Section
from headstart.report.thumbnails import Album
from headstart.rundir import write_text

ROOM = 8_000_000
"""Bytes that the pictures of a page may take, as text."""


def render(check: DataCheck, path: Path, title: str, fingerprint: str = "") -> None:
    """Writes the page about a data set: what was found in it, and what it looks like.

    The page loads nothing from anywhere, and its policy forbids it to; of the images it holds shrunken
    pixels, never their metadata. The same data give the same bytes.

    Args:
        check: what was found. Images that have vanished since are said to have.
        path: of the page, an HTML file of at most about 10 MB.
        title: what the person calls the data.
        fingerprint: of the data, where it was computed.
    """
    version = importlib.metadata.version("headstart")
    found = numbers.findings(check.ledger)
    page = fill(
        "data.html.j2",
        name=title,
        version=version,
        verdict=sections.verdict(check, found),
        facts=sections.facts(check),
        sections=tuple(_sections(check, found, version, fingerprint)),
        **scripted("filter.js"),
    )
    write_text(path, page)


def _sections(
    check: DataCheck, found: list[numbers.Finding], version: str, fingerprint: str
) -> Iterator[Section]:
    """All sections in the order of the page; the first ones have the first claim to its room."""
    album = Album(ROOM)
    sample = numbers.sample(check.manifest)
    seen = pictures.see(check, found, sample)
    yield pictures.findings(found, seen, album)
    yield sections.classes(check)
    yield sections.sizes(check)
    yield pictures.colours(seen, sample)
    yield pictures.mosaics(check.manifest, seen, sample, album)
    yield pictures.shapes(check.manifest, sample, album)
    yield pictures.pairs(check, seen, album)
    yield sections.ledger(check)
    yield sections.made(check, version, fingerprint, album.refused)
