"""The history, to be looked through and taken along."""

from __future__ import annotations

import csv
import io
import math
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import IO

import flask

from headstart.errors import harmless, printable
from headstart.serving.api import app
from headstart.serving.history import PAGE, History, Wanted
from headstart.serving.page import about
from headstart.serving.service import BusyError
from headstart.serving.turns import LateError, Places, turn

blueprint = flask.Blueprint("past", __name__, url_prefix="/history")

SPOOLED = 5_000_000  # bytes of a table that are held in memory
LONGEST = 1000  # characters of what is looked for
WAITING = 2.0  # seconds for those before
_TABLE = threading.Lock()
# For a name all answers are read, a million perhaps; the database's other connections are for new ones.
_LOOKS = threading.BoundedSemaphore(2)
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


@blueprint.before_request
def _invited() -> None:
    """Another site's page may lead a visitor here, but not load things: the database has few connections."""
    site, mode, goal = (flask.request.headers.get(f"Sec-Fetch-{name}") for name in ("Site", "Mode", "Dest"))
    led = mode == "navigate" and goal in (None, "document")
    if site not in (None, "same-origin", "none") and not led:
        flask.abort(403, "Another site's page may lead here, but take nothing from here.")


@blueprint.get("")
def look() -> str:
    """A page of answers, the newest first."""
    wanted, number = _wanted(), max(1, flask.request.args.get("page", 1, int))
    with _alone(_LOOKS, "Others are looking through the history; try again in a moment."):
        count = _history().count(wanted)
        last = max(1, math.ceil(count / PAGE))
        rows = _history().page(wanted, min(number, last))
    return flask.render_template(
        "history.html.j2", rows=rows, wanted=wanted, count=count,
        number=min(number, last), last=last, asked=_asked(), **about(),
    )  # fmt: skip


@blueprint.get("/answers.csv")
def table() -> flask.Response:
    """All that are wanted, as a table that no spreadsheet takes for formulas; first whole, then sent.

    One at a time: each takes long, and meanwhile a connection to the database and the bytes of an answer.
    """
    with ExitStack() as held:
        held.enter_context(_alone(_TABLE, "Another table is being written; try again in a moment."))
        file = held.enter_context(tempfile.SpooledTemporaryFile(SPOOLED, "w+b"))
        length = _write(file, app().settings.limits.held)
        file.seek(0)
        name = "".join(c for c in app().settings.name if c.isprintable()) or "answers"
        response = flask.send_file(file, "text/csv", as_attachment=True, download_name=f"{name}.csv")
        response.content_length = length
        response.headers["Cache-Control"] = "no-store"  # as by the gate, which keeps what Flask says of files
        response.direct_passthrough = False  # else Flask would close the file, and nothing beside it
        response.call_on_close(held.pop_all().close)
    return response


@contextmanager
def _alone(places: Places, said: str) -> Iterator[None]:
    try:
        with turn(places, WAITING):
            yield
    except LateError:
        raise BusyError(said) from None


@blueprint.get("/pictures/<sha256>.png")
def picture(sha256: str) -> flask.Response:
    """A picture that was kept."""
    found = _history().picture(sha256) if re.fullmatch(SHA256, sha256) else None
    if found is None:
        flask.abort(404, "This picture was not kept.")
    return flask.Response(found, content_type="image/png")


def _write(file: IO[bytes], most: int) -> int:
    """How many bytes the table has.

    Raises:
        HTTPException: they are more than can ever leave (400).
    """
    size = 0
    for row in _rows(_history(), _wanted()):
        size += file.write(row.encode())
        if size > most:
            flask.abort(
                400,
                f"This table is larger than the {most / 1e6:g} MB that an answer may have. Ask for less:"
                " one decision, one class or a part of the name; all of it is in the database itself.",
            )
    return size


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

    A name is looked for as names are noted. Of the rest NUL alone is escaped, and all that is long is cut:
    databases refuse the one, and take long for the other.
    """
    given = {key: flask.request.args.get(key) for key in ("decision", "label", "name", "corrected")}
    clean = {key: value.replace("\0", printable("\0")) for key, value in given.items() if value is not None}
    return {key: (printable(text) if key == "name" else text)[:LONGEST] for key, text in clean.items()}


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
