"""The history, to be looked through and taken along."""

from __future__ import annotations

import csv
import io
import math
import re
import tempfile
from collections.abc import Iterator

import flask

from headstart.errors import harmless, printable
from headstart.serving.api import app
from headstart.serving.history import PAGE, History, Wanted
from headstart.serving.page import about

blueprint = flask.Blueprint("past", __name__, url_prefix="/history")

SPOOLED = 5_000_000  # bytes of a table that are held in memory
LONGEST = 1000  # characters of what is looked for
SHA256 = "[0-9a-f]{64}"
COLUMNS = (
    "at",
    "name",
    "label",
    "confidence",
    "decision",
    "distance",
    "error",
    "correction",
    "model",
    "sha256",
    "id",
)


@blueprint.get("")
def look() -> str:
    """A page of answers, the newest first."""
    wanted, number = _wanted(), max(1, flask.request.args.get("page", 1, int))
    count = _history().count(wanted)
    last = max(1, math.ceil(count / PAGE))
    return flask.render_template(
        "history.html.j2", rows=_history().page(wanted, min(number, last)), wanted=wanted, count=count,
        number=min(number, last), last=last, asked=_asked(), **about(),
    )  # fmt: skip


@blueprint.get("/answers.csv")
def table() -> flask.Response:
    """All that are wanted, as a table that no spreadsheet takes for formulas; first whole, then sent."""
    file = tempfile.SpooledTemporaryFile(SPOOLED, "w+b")  # noqa: SIM115 - flask closes it
    for row in _rows(_history(), _wanted()):
        file.write(row.encode())
    length = file.tell()
    file.seek(0)
    name = "".join(c for c in app().settings.name if c.isprintable()) or "answers"
    response = flask.send_file(file, "text/csv", as_attachment=True, download_name=f"{name}.csv")
    response.content_length = length
    response.headers["Cache-Control"] = "no-store"  # as by the gate, which keeps what Flask says of files
    return response


@blueprint.get("/pictures/<sha256>.png")
def picture(sha256: str) -> flask.Response:
    """A picture that was kept."""
    found = _history().picture(sha256) if re.fullmatch(SHA256, sha256) else None
    if found is None:
        flask.abort(404, "This picture was not kept.")
    return flask.Response(found, content_type="image/png")


def _rows(history: History, wanted: Wanted) -> Iterator[str]:
    yield _line(COLUMNS)
    for one in history.every(wanted):
        values = [getattr(one, name) for name in COLUMNS]
        yield _line(["" if v is None else v if isinstance(v, float) else harmless(v) for v in values])


def _line(cells: object) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)  # type: ignore[arg-type]
    return text.getvalue()


def _asked() -> dict[str, str]:
    """What the address says of it, and nothing else that it says.

    NUL is as names have it, and what is long is cut: databases refuse the one, and take long for the other.
    """
    known = ("decision", "label", "name", "corrected")
    given = {name: value for name, value in flask.request.args.items() if name in known}
    return {name: value.replace("\0", printable("\0"))[:LONGEST] for name, value in given.items()}


def _wanted() -> Wanted:
    given = _asked()
    return Wanted(
        given.get("decision", ""),
        given.get("label", ""),
        given.get("name", ""),
        given.get("corrected") == "yes",
    )


def _history() -> History:
    history = app().history
    assert history is not None  # else this blueprint isn't there
    return history
