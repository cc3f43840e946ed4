"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

State = Literal["ok", "missing", "broken", "slower"]
"""``missing``: not installed or not there; ``broken``: there, but doesn't work; ``slower``: works, but could
be faster."""


class Verdict(NamedTuple):
    """State, what was found, and the command that would change it: "" where there is nothing to change."""

    state: State
    what: str
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """One line of the doctor's report: a verdict on what is called `name`.

    `needed` says whether training and prediction need it.
    """

    name: str
    state: State
    what: str
    remedy: str = ""
    needed: bool = False

    @property
    def works(self) -> bool:
        """Whether it can be used, if slowly."""
        return self.state in ("ok", "slower")


def gigabytes(count: float) -> str:
    """Bytes for people, in units of 10⁹.

    >>> gigabytes(2.34e9)
    '2.3 GB'
    """
    return f"{count / 1e9:.1f} GB"
