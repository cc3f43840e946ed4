"""Whether a run directory may be written: free, left unfinished, finished just so, or another's."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TextIO

from headstart.errors import InputError, printable, sentence, word
from headstart.rundir import RunDir, write_json

NO_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)
"""What file systems answer that know no locks."""

TREES = ("dataset", "decided", "hardware", "seconds", "versions")
SECTIONS = ("data", "model", "training", "evaluation")
"""What of ``run.json``, and of the options in it, has parts."""

FACTS_LIMIT = 16 * 2**20
"""Bytes of ``run.json``, many times what is ever written."""


def require_outside(run: RunDir, data: str | Path) -> None:
    """Refuses to write among the images."""
    home = os.path.expanduser(data)  # noqa: PTH111 - ~unknown stays
    source, target = Path(os.path.realpath(home)), Path(os.path.realpath(run.root))
    if str(data) and source.is_dir() and target.is_relative_to(source):
        raise InputError(
            sentence(
                "The run would be written into the folder of images, and become a class.",
                received=str(run.root),
                remedy="Choose another folder with --out.",
            )
        )


def require_no_other(run: RunDir) -> None:
    """Refuses a folder that is not a check's: a training, whose manifest must stay, or anything else."""
    if run.root.exists() and not _only_a_check(run):
        what = "a training, whose manifest must stay" if run.run_json.exists() else "something else"
        raise InputError(
            sentence(
                f"This folder holds {what}.",
                allowed="a new or empty folder, or that of an earlier check",
                received=str(run.root),
                remedy="Choose another with --out.",
            )
        )


def require_free(run: RunDir, data: str | Path) -> None:
    """Refuses to write among the images, or into a folder that is something else than a run."""
    require_outside(run, data)
    if run.root.exists() and not run.run_json.exists() and not _only_a_check(run):
        raise InputError(
            sentence(
                "The output folder exists and is not a run.",
                allowed="a new or empty folder, or an earlier run or check",
                received=str(run.root),
                remedy="Choose another with --out.",
            )
        )


def _only_a_check(run: RunDir) -> bool:
    """Whether nothing is in it but what `headstart data check` writes, which is not missed.

    What a killed command may leave behind has a name with a dot, see `rundir.atomic_file`.
    """
    known = {run.manifest, run.data_report, run.data_page}
    return run.root.is_dir() and all(
        path in known or path.name.startswith(".") for path in run.root.iterdir()
    )


Standing = Literal["new", "unfinished", "finished"]

BEGUN: dict[str, Any] = {"config": {}, "finished": False}
"""What ``run.json`` says while a run is being taken over."""


def standing(run: RunDir, facts: dict[str, Any], images: Sequence[str] = (), force: bool = False) -> Standing:
    """Where a run directory stands with these options and data.

    Args:
        run: its place.
        facts: ``config``, ``dataset`` and ``files``; ``versions`` and ``hardware``, which count until it is
            finished.
        images: those that have changed since, in words; a mere new name counts until it is finished, too,
            as the order of training goes by the names.
        force: begin anew where options or data differ, and go on where only versions do.

    Raises:
        InputError: it holds a run with others, and `force` isn't given.
    """
    before = read_facts(run) if run.run_json.exists() else BEGUN
    if before == BEGUN:
        return "new"
    finished = before.get("finished") is True and (run.model / "MANIFEST.sha256").exists()
    deciding: dict[str, Any] = {name: facts[name] for name in ("config", "dataset", "files") if name in facts}
    changed = _differences(before, deciding)
    if images and not changed and not finished:
        changed = ["images have other names"]
    newer = [] if finished else _differences(_under(before, facts), _under(facts, before))
    if not changed and not newer:
        return "finished" if finished else "unfinished"
    if force:
        return "new" if changed else "unfinished"
    more = f" and {len(images) - 5} more" if len(images) > 5 else ""
    named = f" Images: {', '.join(map(printable, images[:5]))}{more}." if images else ""
    what = "other options or data" if changed else "other versions"
    remedy = "Choose another folder with --out, delete this one, or take it over with --force."
    if finished and (asked := _other_rule(before, deciding)):
        remedy += f" To change how the model decides, `headstart evaluate {word(run.root)} {asked}`."
    raise InputError(
        sentence(
            f"{printable(run.root)} holds a run with {what}: {'; '.join(changed + newer)}.{named}",
            remedy=remedy,
        )
    )


def _other_rule(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The option that `evaluate` takes, where nothing but how the model decides is another."""
    rule = before["config"].get("evaluation", {})
    wanted = now["config"].get("evaluation", {})
    if _differences(before, now | {"config": now["config"] | {"evaluation": rule}}):
        return ""
    if wanted.get("top_k") != rule.get("top_k"):
        return ""
    costs = [f"--cost {word(cost)}" for cost in wanted.get("cost", ())]
    return " ".join(costs) or f"--max-error {wanted.get('max_error', 0):g}"


def _under(facts: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Under what a run computes its bits: versions, instructions, GPU, and how many cores share the sums.

    A library that only the `other` one has counts, too: TensorFlow goes by two names.
    """
    versions, hardware = facts.get("versions", {}), facts.get("hardware", {})
    lacking = dict.fromkeys(other.get("versions", {}), "not there") if versions else {}
    return {
        "versions": lacking | versions,
        "hardware": {name: hardware[name] for name in ("cores", "instructions", "gpu") if name in hardware},
    }


def read_facts(run: RunDir) -> dict[str, Any]:
    """What ``run.json`` says.

    Raises:
        InputError: it is not what was written.
    """
    try:
        if run.run_json.stat().st_size <= FACTS_LIMIT:
            facts = json.loads(run.run_json.read_text(encoding="utf-8"))
            options = facts["config"]
            trees = [facts.get(name, {}) for name in TREES] + [options.get(name, {}) for name in SECTIONS]
            if all(isinstance(tree, dict) for tree in trees):
                return dict(facts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise _damaged(run)


def _damaged(run: RunDir) -> InputError:
    return InputError(
        sentence(
            "This run.json is damaged.",
            received=str(run.run_json),
            remedy="Restore it, or delete the run and train again.",
        )
    )


def finished_facts(run: RunDir) -> dict[str, Any]:
    """As `read_facts`, of a run whose model and images belong together.

    Raises:
        InputError: it is being trained, or was interrupted: a model that is there is of the run before.
    """
    facts = read_facts(run)
    if facts.get("finished") is not True:
        raise InputError(
            sentence(
                "This run is not finished.",
                received=str(run.root),
                remedy="Repeat the command that trains it, which goes on where it stopped.",
            )
        )
    if not facts["config"].keys() >= set(SECTIONS):
        raise _damaged(run)
    return facts


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other commands from writing into a folder; the lock ends with the process, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    with _lock_file(folder / ".lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(
                sentence(
                    "Another command is writing there.",
                    received=str(folder),
                    remedy="Wait for it, or choose another place with --out.",
                )
            ) from error
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            where = printable(folder)
            sys.stderr.write(f"headstart: {where} cannot be locked; let no other command write there\n")
        yield


def _lock_file(path: Path) -> TextIO:
    """Opened to be locked, and for nothing else: in a run from elsewhere it may be a link to another file.

    Raises:
        InputError: it is one.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        line = "The lock is a link, which headstart does not make."
        raise InputError(sentence(line, received=str(path), remedy="Remove it.")) from error
    return os.fdopen(descriptor, "r+")


def begin_anew(run: RunDir) -> None:
    """Forgets a run that is taken over; killed halfway, what is left is still a run to take over.

    Its model stays until there is a new one. Where there is no run, nothing is removed.
    """
    if not run.run_json.exists():
        return
    write_json(run.run_json, BEGUN)  # first: nothing else says what the rest belongs to
    run.report.unlink(missing_ok=True)
    run.history.unlink(missing_ok=True)
    run.parity.unlink(missing_ok=True)
    for folder in (run.checkpoints, run.tensorboard, run.exports, run.evaluation("test").parent):
        shutil.rmtree(folder, ignore_errors=True)


def _shown(value: object) -> str:
    return "none" if value in ("", [], ()) else printable(value)


def _differences(before: dict[str, Any], now: dict[str, Any], path: str = "") -> list[str]:
    """Readable differences of two trees, only at keys that `now` has.

    >>> _differences({"a": {"seed": 1}}, {"a": {"seed": 2}})
    ['a.seed was 1, is 2']
    """
    found = []
    for key, value in now.items():
        if key not in before:  # an option that the version before didn't have
            continue
        old = before[key]
        if isinstance(value, dict) and isinstance(old, dict):
            found += _differences(old, value, f"{path}{key}.")
        elif old != value:
            name = f"--{key.replace('_', '-')}" if path.startswith("config.") else f"{path}{key}"
            found.append(f"{name} was {_shown(old)}, is {_shown(value)}")
    return found
