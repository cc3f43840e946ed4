"""The database behind the history: how it is reached, and brought to the newest tables."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import SQLITE_BUSY, OperationalError
from typing import Any

from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.exc import OperationalError as SQLError

from headstart.errors import InputError, printable, sentence

ALLOWED = "a file for SQLite, or a URL such as postgresql+psycopg://user@host/name"
PATIENCE = 10  # seconds that a file of SQLite's may be in other hands
TIMEOUT = "-c statement_timeout=10000"  # milliseconds
LOCK = "SELECT pg_advisory_xact_lock(hashtext('headstart'))"


def parsed(url: str | URL) -> URL:
    """The URL; what is none isn't shown, as it may hold a password all the same.

    Raises:
        InputError: it is none.
    """
    try:
        found = make_url(url)
        lasts = found.get_backend_name() != "sqlite" or found.database not in (None, "", ":memory:")
        if "@" not in (found.host or "") and lasts:  # else a part of a password was taken for the host
            return found
    except (ArgumentError, ValueError):
        pass
    remedy = "In a password write %40 for @. Change --history."
    line = "The history cannot be opened: this is no URL of a database."
    raise InputError(sentence(line, allowed=ALLOWED, remedy=remedy))


@contextmanager
def worded(url: URL) -> Iterator[None]:
    """Says in one line why a database cannot be opened.

    Raises:
        InputError: it cannot.
    """
    try:
        yield
    except (SQLAlchemyError, CommandError, ImportError, ValueError) as error:
        raise InputError(
            sentence(
                f"The history cannot be opened: {reason(error)}.",
                allowed=ALLOWED,
                received=named(url),
                remedy="Change --history.",
            )
        ) from None


def reason(error: Exception) -> str:
    """What an error says first: further lines show the statement, and what was in it."""
    return printable((str(error).splitlines() or [type(error).__name__])[0])


def named(url: URL) -> str:
    """Driver, host and database, and neither a password nor options, which may hold one.

    >>> named(make_url("postgresql+psycopg://me:secret@host:5432/answers?password=secret"))
    'postgresql+psycopg://host:5432/answers'
    """
    return URL.create(url.drivername, host=url.host, port=url.port, database=url.database).render_as_string()


def engine(url: URL) -> Engine:
    """Connections to the database; none is opened yet."""
    made = create_engine(url, pool_pre_ping=True, connect_args=_patience(url))
    if made.dialect.name == "sqlite":
        event.listen(made, "connect", _several_at_once)
        event.listen(made, "begin", _begun)
        if url.database and "uri" not in url.query:  # else it is no path
            _stay_with_file(made, Path(url.database))
    return made


def _identity(place: Path) -> tuple[int, int]:
    status = place.stat()
    return status.st_dev, status.st_ino


def _stay_with_file(made: Engine, place: Path) -> None:
    """Refuses to go on where the file was moved, deleted or replaced, until it is back.

    What is written into one that was moved is lost; and a new connection would make an empty file in its
    place, and take what the log beside it holds (`-wal`) from the one that was moved.
    """
    opened: list[tuple[int, int]] = []

    def require(*_: object) -> None:
        try:
            there = not opened or _identity(place) == opened[0]
        except OSError:
            there = False
        if not there:
            lost = OSError("the file of the history was moved, deleted or replaced")
            raise SQLError("connect", None, lost)

    def remember(*_: object) -> None:
        if not opened:
            opened.append(_identity(place))

    event.listen(made, "do_connect", require)
    event.listen(made, "connect", remember)
    event.listen(made, "checkout", require)


def _patience(url: URL) -> dict[str, Any]:
    """PostgreSQL's client would wait minutes for a server that is gone; what the URL says goes before."""
    if url.get_backend_name() != "postgresql":
        return {}
    options = url.query.get("options", ())
    given = [options] if isinstance(options, str) else options
    waiting = {"connect_timeout": 5, "tcp_user_timeout": 10_000}
    own = {name: value for name, value in waiting.items() if name not in url.query}
    return own | {"options": " ".join([TIMEOUT, *given])}


def _several_at_once(connection: Any, _: object) -> None:
    """SQLite lets others read while one writes (WAL), and waits for its turn instead of giving up.

    Python's module would begin transactions by itself, and tables outside of any; SQLAlchemy shall. And to
    SQLite alone ä and Ä are not the same letter in two cases.
    """
    connection.isolation_level = None
    for setting in (f"busy_timeout = {1000 * PATIENCE}", "synchronous = NORMAL"):
        connection.execute(f"PRAGMA {setting}")
    _write_ahead(connection, time.monotonic() + PATIENCE)
    connection.create_function("lower", 1, _lower, deterministic=True)


def _write_ahead(connection: Any, until: float) -> None:
    """Of several that turn a new file to WAL at once, SQLite refuses all but one, without waiting."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except OperationalError as error:
            if error.sqlite_errorcode & 0xFF != SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


def _begun(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))


def _lower(text: object) -> str | None:
    return None if text is None else str(text).lower()


def migrate(engine: Engine) -> None:
    """Brings it to the newest tables; of several machines that start at once one does, while others wait."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    place = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", place.replace("%", "%%"))
    # SQLite waits for its turn to write at the beginning alone, and not where it has read before.
    with engine.execution_options(begin="BEGIN IMMEDIATE").begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(LOCK)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
