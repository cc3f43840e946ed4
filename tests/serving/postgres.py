"""A PostgreSQL of the test's own, by a socket in a folder of its own; nobody else can reach it."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

FOUND = shutil.which("initdb") or next(
    (str(one) for one in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None
)
needs_postgres = pytest.mark.skipif(
    FOUND is None or importlib.util.find_spec("psycopg") is None,
    reason='no PostgreSQL; try: apt-get install postgresql-15, and pip install "psycopg[binary]"',
)


@dataclass(frozen=True)
class Cluster:
    """A running server; its programs refuse to be run by root."""

    folder: Path
    user: str

    @property
    def url(self):
        return f"postgresql+psycopg://{self.user}@/postgres?host={self.folder}"

    def run(self, program, *words):
        before = ["runuser", "-u", self.user, "--"] if os.geteuid() == 0 else []
        command = [
            *before,
            str(Path(FOUND).resolve().with_name(program)),
            "-D",
            f"{self.folder}/data",
            *words,
        ]
        subprocess.run(command, check=True, cwd=self.folder, stdout=subprocess.DEVNULL)

    def start(self):
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder}"
        self.run("pg_ctl", "-w", "-l", f"{self.folder}/log", "-o", options, "start")

    def stop(self):
        """As if it had been killed: it recovers when it starts again."""
        self.run("pg_ctl", "-w", "-m", "immediate", "stop")

    def restart(self):
        self.stop()
        self.start()


@contextmanager
def cluster():
    """An empty one."""
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:  # pytest's own lets no other user in
        if os.geteuid() == 0:
            shutil.chown(folder, user)
        made = Cluster(Path(folder), user)
        made.run("initdb", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        made.start()
        try:
            yield made
        finally:
            made.stop()
