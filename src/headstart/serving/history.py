"""What was answered, and what people said of it: in SQLite, or in PostgreSQL by its URL.

An answer is noted before it is given, in one transaction a request: whoever got one finds it here, once, even
if the server was killed a moment later.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Delete, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session, aliased

from headstart.data import images
from headstart.engines import threads
from headstart.errors import ImageError, printable
from headstart.inference.predictor import Prediction
from headstart.serving import database
from headstart.serving.service import Upload
from headstart.serving.tables import Answer, Picture
from headstart.serving.turns import decoding, turn

SWEEP = 3600  # seconds after which old answers are looked for again
PAGE = 50  # rows of a page
LONGEST = 500  # letters of a name that are noted
BATCH = 500  # rows that are forgotten in one transaction
PATIENCE = 60.0  # seconds that a picture may wait for being kept
_ENCODERS = threading.BoundedSemaphore(threads())
log = logging.getLogger("headstart.serving")


@dataclass(frozen=True)
class Wanted:
    """Which answers: of a decision (`error` for none), a class, a part of a name; only corrected ones."""

    decision: str = ""
    label: str = ""
    name: str = ""
    corrected: bool = False


class History:
    """The database.

    Args:
        url: as SQLAlchemy takes it, ``postgresql+psycopg://…``; see `url_of` for SQLite's.
        days: 0 to 36,500; answers are forgotten after so many, with their pictures; 0 keeps all. Corrections
            stay.
        known: it was opened before, by another process; it may be out of reach for a while.

    Raises:
        InputError: there is no such database, or it cannot be reached.
    """

    def __init__(self, url: str | URL, days: int = 0, known: bool = False) -> None:
        self.days, self.swept = days, -math.inf
        place = database.parsed(url)
        with database.worded(place):
            self.engine = database.engine(place)
            if not known:
                database.migrate(self.engine)
                self.forget()

    def add(self, model: str, sent: Sequence[Upload], answers: Sequence[Prediction]) -> list[str]:
        """Notes answers of a model, and returns what each is called."""
        at = _now()
        rows = [
            {
                "id": uuid.uuid4().hex, "at": at, "model": model,
                "sha256": hashlib.sha256(content).hexdigest(), "name": printable(name)[:LONGEST],
                "label": one.label, "confidence": one.confidence, "decision": one.decision,
                "distance": one.distance, "error": printable(one.error),
            }
            for (name, content), one in zip(sent, answers, strict=True)
        ]  # fmt: skip
        with self.engine.begin() as connection:
            connection.execute(insert(Answer), rows)
        if time.monotonic() - self.swept > SWEEP:
            try:
                self.forget()
            except SQLAlchemyError as error:  # what was noted is noted; it is tried again
                log.warning("Old answers could not be forgotten: %s", database.reason(error))
        return [str(row["id"]) for row in rows]

    def correct(self, name: str, label: str) -> str:
        """Notes what the picture of an answer shows; returns its SHA-256, empty for no such answer."""
        change = update(Answer).where(Answer.id == name).values(correction=label, corrected_at=_now())
        with self.engine.begin() as connection:
            connection.execute(change)
            return connection.scalar(select(Answer.sha256).where(Answer.id == name)) or ""

    def keep(self, content: bytes, seconds: float = PATIENCE) -> None:
        """Keeps the pixels of a picture, once; what is none is passed over.

        Raises:
            LateError: it wasn't its turn in so many seconds.
        """
        try:
            encoded = _as_png(content, time.monotonic() + seconds)
            row = {"sha256": hashlib.sha256(content).hexdigest(), "at": _now(), "content": encoded}
        except ImageError:
            return
        with suppress(IntegrityError), self.engine.begin() as connection:  # it is there
            connection.execute(insert(Picture), row)

    def picture(self, sha256: str) -> bytes | None:
        """A PNG that was kept."""
        with self.engine.connect() as connection:
            return connection.scalar(select(Picture.content).where(Picture.sha256 == sha256))

    def count(self, wanted: Wanted) -> int:
        """How many answers are wanted."""
        with self.engine.connect() as connection:
            return connection.scalar(_of(select(func.count()).select_from(Answer), wanted)) or 0

    def page(self, wanted: Wanted, number: int) -> list[Answer]:
        """Those of a page, the newest first; pages count from 1."""
        asked = _of(select(Answer), wanted).order_by(Answer.at.desc(), Answer.id)
        with Session(self.engine) as session:
            return list(session.scalars(asked.limit(PAGE).offset(PAGE * (number - 1))))

    def every(self, wanted: Wanted) -> Iterator[Answer]:
        """All of them, in the order of time."""
        asked = _of(select(Answer), wanted).order_by(Answer.at, Answer.id)
        with Session(self.engine) as session:
            yield from session.scalars(asked.execution_options(yield_per=1000))

    def forget(self) -> None:
        """Removes what is older than it may be, a few rows at a time, so that nobody waits long."""
        self.swept = time.monotonic()
        if not self.days:
            return
        oldest = _iso(datetime.now(UTC) - timedelta(days=self.days))
        old, left = aliased(Picture), Answer.correction.is_(None)
        answers = select(Answer.id).where(Answer.at < oldest, left).limit(BATCH)
        answered = select(Answer.id).where(Answer.sha256 == old.sha256).exists()
        pictures = select(old.sha256).where(old.at < oldest, ~answered).limit(BATCH)
        while self._removed(delete(Answer).where(Answer.id.in_(answers), left)):
            pass
        while self._removed(delete(Picture).where(Picture.sha256.in_(pictures))):
            pass

    def _removed(self, some: Delete) -> int:
        with self.engine.begin() as connection:
            return connection.execute(some).rowcount

    def close(self) -> None:
        """Lets go of the database."""
        self.engine.dispose()


def url_of(place: str) -> str | URL:
    """A URL as it is, and a file as SQLite's."""
    return place if "://" in place else URL.create("sqlite", database=str(Path(place).absolute()))


def _of(asked: Any, wanted: Wanted) -> Any:
    if wanted.decision:
        asked = asked.where(Answer.decision == ("" if wanted.decision == "error" else wanted.decision))
    if wanted.label:
        asked = asked.where(or_(Answer.label == wanted.label, Answer.correction == wanted.label))
    if wanted.name:
        asked = asked.where(Answer.name.icontains(wanted.name, autoescape=True))
    if wanted.corrected:
        asked = asked.where(Answer.correction.is_not(None))
    return asked


def _as_png(content: bytes, until: float) -> bytes:
    """Encoded in turns of its own: it takes longer than decoding, and answers shall not wait for it."""
    from PIL import Image

    encoded = BytesIO()
    with turn(_ENCODERS, until - time.monotonic()):
        with decoding(until - time.monotonic()):
            picture = Image.fromarray(images.decode(content))
        picture.save(encoded, "PNG", compress_level=1)  # quick before small
    return encoded.getvalue()


def _now() -> str:
    return _iso(datetime.now(UTC))


def _iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
