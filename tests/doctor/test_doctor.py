"""The whole report is judged by what is needed, and no check can spoil it."""

import pytest

from headstart import doctor
from headstart.doctor.verdict import Check, Verdict


def fail():
    raise RuntimeError("half a library")


def test_a_check_that_fails_is_a_finding():
    check = doctor.guarded("Moon", True, fail)

    assert check == Check("Moon", "broken", "RuntimeError: half a library", "", needed=True)


@pytest.mark.parametrize(
    ("state", "expected"), [("ok", True), ("slower", True), ("missing", False), ("broken", False)]
)
def test_what_is_only_slower_works(state, expected):
    check = doctor.guarded("x", True, lambda: Verdict(state, "found", "command"))

    assert check == Check("x", state, "found", "command", needed=True)
    assert check.works is expected
