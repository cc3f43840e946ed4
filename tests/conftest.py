"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One cache for the whole session, so features with the true weights are computed once.

    It is a fresh one, never the user's own, unless HEADSTART_TEST_CACHE names one to keep between sessions.
    """
    kept = os.environ.get("HEADSTART_TEST_CACHE")
    path = Path(kept) if kept else tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEADSTART_CACHE", str(path))
        yield path
