"""How a database is reached: what its URL says counts, and no password of it is shown."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import make_url
from tests.serving.postgres import cluster, needs_postgres

from headstart.errors import InputError
from headstart.serving import database
from headstart.serving.history import History, Wanted

POSTGRES = "postgresql+psycopg://me@host/answers"
START = """
import sys
from headstart.serving.history import History
print("there", flush=True)
input()
History(sys.argv[1]).close()
"""


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"connect_timeout": 5, "tcp_user_timeout": 10_000, "options": database.TIMEOUT}),
        ("?connect_timeout=30&tcp_user_timeout=1", {"options": database.TIMEOUT}),
        (
            "?options=-c%20search_path%3Down&options=-c%20statement_timeout%3D0",
            {
                "connect_timeout": 5,
                "tcp_user_timeout": 10_000,
                "options": f"{database.TIMEOUT} -c search_path=own -c statement_timeout=0",  # the last counts
            },
        ),
    ],
)
def test_what_a_url_says_counts(query, expected):
    assert database._patience(make_url(POSTGRES + query)) == expected


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////no/such/folder/x.sqlite3",
        "nothing://x",
        "://",
        "postgresql+nothing://me:secret@localhost/x",
        "postgresql+nothing://localhost/x?password=secret",
        "postgresql+psycopg://me@127.0.0.1:1/x?password=secret",
        "postgresql+psycopg://me:a@secret@127.0.0.1:1/x",
        "postgresql+psycopg://me:a@b:secret@127.0.0.1/x",
    ],
)
def test_why_it_cannot_be_opened_is_one_line_without_a_password(url):
    with pytest.raises(InputError, match=r"^The history cannot be opened: .* Change --history\.$") as told:
        History(url)

    assert "secret" not in str(told.value)
    assert "\n" not in str(told.value)


@needs_postgres
@pytest.mark.serving
def test_several_machines_may_start_at_once():
    """On an empty database all of them find no tables."""
    pipe = subprocess.PIPE
    with cluster() as found:
        command = [sys.executable, "-c", START, found.url]
        starting = [
            subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(6)
        ]
        assert [process.stdout.readline() for process in starting] == ["there\n"] * 6
        for process in starting:
            process.stdin.write("\n")
            process.stdin.flush()
        assert [process.communicate(timeout=60)[1] for process in starting] == [""] * 6
        history = History(found.url)
        assert history.count(Wanted()) == 0
        history.close()


def test_several_servers_may_start_at_once_on_a_new_file(tmp_path):
    """SQLite gives up at once where a transaction that has read wants to write after another one."""
    for trial in range(3):
        url = f"sqlite:///{tmp_path}/{trial}.sqlite3"
        command = [sys.executable, "-c", START, url]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started = [subprocess.Popen(command, text=True, **pipes) for _ in range(4)]
        for one in started:
            assert one.stdout.readline() == "there\n"
        for one in started:
            one.stdin.write("\n")
            one.stdin.flush()
        assert [one.communicate(timeout=60)[1] for one in started] == [""] * 4


def test_a_file_may_be_named_as_sqlite_names_files(tmp_path):
    history = History(f"sqlite:///file:{tmp_path}/u.sqlite3?uri=true")
    assert history.count(Wanted()) == 0
    history.close()
    assert (tmp_path / "u.sqlite3").exists()


def test_connections_may_open_at_once_on_a_new_file(tmp_path):
    """SQLite turns a new file to WAL for one connection, and refuses the others without waiting."""
    together = threading.Barrier(8)

    def opened(url):
        engine = database.engine(make_url(url))
        together.wait(timeout=60)
        with engine.connect() as connection:
            mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        engine.dispose()
        return mode

    with ThreadPoolExecutor(8) as pool:
        for trial in range(100):
            found = list(pool.map(opened, [f"sqlite:///{tmp_path}/{trial}.sqlite3"] * 8))
            assert found == ["wal"] * 8
