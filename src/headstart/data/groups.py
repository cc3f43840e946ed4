"""Images that were taken together, by what is known of them and by what their names tell."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from headstart.data.sources import SPLIT_NAMES
from headstart.errors import InputError, sentence

BURSTS = re.compile(
    r""".*(?P<shot>burst[_-]?\d{8,}).*              # 00012IMG_00012_BURST20190412101500123.jpg
    | (?P<series>.*\d{8}[_-]\d{6}.*)[_-](?:burst)?\d{1,3}(?:_cover)?   # IMG_20190412_101500_BURST003, …_003
    | (?P<film>.*[^\W\d_].*?)[_-]frame[_-]?\d+     # clip07_frame_000123.png
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""Names that cameras and frame grabbers give to pictures of one moment, without their ending."""


def by_regex(table: pd.DataFrame, pattern: str) -> pd.Series:
    """The group of each path: what the first group of `pattern` that takes part matches (or all), else "".

    Raises:
        InputError: the pattern is no regular expression, or finds nothing at all.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise InputError(_refused(f"--group-regex is no regular expression ({error}).", pattern)) from error
    found = [compiled.search(path) for path in table["path"]]
    if not any(found):
        raise InputError(_refused("--group-regex matches no path.", pattern))
    groups = [_said(match) if match else "" for match in found]
    return pd.Series(groups, index=table.index, dtype="str")


def _said(match: re.Match[str]) -> str:
    """What the first group that takes part has found, or all of it.

    >>> [_said(re.search("patient_([0-9]+)|case_([0-9]+)", path)) for path in ("patient_1", "case_7")]
    ['1', '7']
    """
    return next(filter(None, match.groups()), "") if match.re.groups else match[0]


def _refused(problem: str, pattern: str) -> str:
    return sentence(
        problem, allowed="such as '(patient[0-9]+)'", received=pattern, remedy="Try it on one path first."
    )


def bursts(table: pd.DataFrame) -> np.ndarray:
    """(M, 2) positions of images whose names tell that they were taken together, and in one folder.

    A folder of a split is none: a burst that was torn apart is one.
    """
    given = zip(table["path"], table["split"], strict=True)
    names = [path.partition("/")[2] if split and _is_split(path) else path for path, split in given]
    keys = pd.Series([_burst(path) for path in names], index=table.index, dtype="str")
    rows = np.flatnonzero((keys != "").to_numpy())
    codes, _ = pd.factorize(keys.iloc[rows])
    first = np.full(codes.max(initial=-1) + 1, -1)
    first[codes[::-1]] = rows[::-1]
    pairs = np.stack([first[codes], rows], axis=1)
    return np.asarray(pairs[pairs[:, 0] != pairs[:, 1]])


def _is_split(path: str) -> bool:
    return path.partition("/")[0].lower() in SPLIT_NAMES


def _burst(path: str) -> str:
    """Folder and common part of a burst's name, or "".

    >>> _burst("a/IMG_20190412_101500_BURST003.jpg")
    'a/IMG_20190412_101500'
    >>> _burst("a/20190412_101500.jpg"), _burst("a/frame_0001.png"), _burst("a/cell0001.png")
    ('', '', '')
    """
    folder, slash, name = path.rpartition("/")
    match = BURSTS.fullmatch(name.rpartition(".")[0])
    return f"{folder}{slash}{next(filter(None, match.groups()))}" if match else ""
