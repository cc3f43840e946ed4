"""`headstart doctor`."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from headstart.doctor.verdict import Check

STYLES = {"ok": "green", "missing": "yellow", "slower": "yellow", "broken": "bold red"}


def doctor(*, quick: bool = False, format: Literal["table", "json"] = "table") -> int:
    """Say what works on this machine, what doesn't and why, and the command that would change it.

    The exit code is 1 if training or prediction cannot work here.

    Args:
        quick: Time nothing.
        format: Form of the answer.
    """
    from headstart import doctor
    from headstart.progress import shown

    with shown(sys.stderr.isatty()):
        checks = doctor.examine(quick)
    failing = [check.name for check in checks if check.needed and not check.works]
    if format == "json":
        print(json.dumps({"works": not failing, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        _print_table(checks)
        print(
            "\n"
            + (
                f"Needed, and does not work: {', '.join(failing)}."
                if failing
                else "All that is needed works."
            )
        )
    return int(bool(failing))


def _print_table(checks: tuple[Check, ...]) -> None:
    from headstart.cli.tables import print_table

    rows: list[tuple[str, str, str]] = []
    for check in checks:
        rows.append((check.state, check.name, check.what))
        if check.remedy:
            rows.append(("", "", f"→ {check.remedy}"))
    remedies = {what: "cyan" for state, _, what in rows if not state}
    print_table(("state", "check", "found"), rows, styles=STYLES | remedies)
