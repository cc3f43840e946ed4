"""A folder of labelled images: a folder a class, or train, val and test folders of class folders.

Images at any depth belong to the class folder above them. Links to files are followed, wherever they lead;
links to folders are not, so no loop can hang the walk and no image counts twice.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from headstart.data import ledger
from headstart.data.ledger import Row
from headstart.data.names import of_a_system
from headstart.data.sources import SPLIT_NAMES, Source
from headstart.errors import InputError, printable, sentence


def read(data: str) -> Source:
    """Lists the images of the folder `data`, an existing one.

    Raises:
        InputError: split folders that differ in their classes, or split folders
            beside other ones.
    """
    walk = _walk(Path(data))
    split_of = _splits([name for name in walk.folders if "/" not in name])
    depth = 1 if split_of else 0  # of the class's name in a path
    if split_of:
        _refuse_lost_splits(walk.entries)
    rows: list[Row] = []
    entries = walk.entries
    for path in walk.files:
        parts = PurePosixPath(path).parts
        if len(parts) < depth + 2:
            entries.append(ledger.row(path, "no-class", "It lies in no class folder.", "left out"))
            continue
        split = split_of.get(parts[0], "")
        rows.append({"path": path, "label": _label(parts[depth]), "split": split, "source": "folder"})
    entries += _empty_classes(walk, depth)
    _refuse_different_classes(rows)
    return Source(sorted(rows, key=lambda row: str(row["path"])), Path(data), entries)


def _label(name: str) -> str:
    """A class's name; the two ways to code an accented letter (macOS, Linux) give one class."""
    return unicodedata.normalize("NFC", name)


# --- what is there -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Walk:
    """Paths below the root, with forward slashes, and the ledger's rows for what was passed over."""

    files: list[str]
    folders: list[str]
    entries: list[Row]


def _walk(root: Path) -> _Walk:
    """Everything below `root`, without recursion: a tree may be deeper than Python's stack."""
    found = _Walk([], [], [])
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            children = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            if not folder:
                raise InputError(_unreadable_root(root, error)) from error
            reason = f"The folder cannot be read: {error.strerror}."
            found.entries.append(ledger.row(f"{folder}/", "unreadable", reason, "left out"))
            continue
        for entry in children:
            path = f"{folder}/{entry.name}" if folder else entry.name
            is_folder = _is_folder(entry)
            passed_over = _passed_over(entry, path + "/" * is_folder, is_folder)
            if passed_over:
                found.entries.append(passed_over)
            elif is_folder:
                found.folders.append(path)
                waiting.append(path)
            else:
                found.files.append(path)
    return found


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _passed_over(entry: os.DirEntry[str], path: str, is_folder: bool) -> Row | None:
    """The ledger's row for what is neither an image nor a folder to look into, or None."""
    if of_a_system(entry.name):
        return ledger.row(path, "system-file", "Hidden, or put there by a system.", "ignored")
    if not _is_text(entry.name):
        return ledger.row(path, "undecodable-name", "Its name is not UTF-8 text. Rename it.", "left out")
    if is_folder and entry.is_symlink():
        reason = "Links to folders are not followed. Put the folder itself here."
        return ledger.row(path, "linked-folder", reason, "left out")
    return None


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _unreadable_root(root: Path, error: OSError) -> str:
    return sentence(
        f"The folder cannot be read: {error.strerror}.",
        received=str(root),
        remedy="Check its permissions.",
    )


# --- what it means -------------------------------------------------------------------------------------


def _splits(top: list[str]) -> dict[str, str]:
    """Top-level folder → split, or {} where these folders are classes.

    A class may well be called "train" (of the railway kind), so one such name alone decides nothing.
    """
    split_of = {name: SPLIT_NAMES[name.lower()] for name in top if name.lower() in SPLIT_NAMES}
    others = [name for name in top if name not in split_of]
    parts = set(split_of.values())
    if not parts or (others and (len(parts) < 2 or "train" not in parts)):
        return {}
    if others:
        _refuse(
            f"Beside the split folders {_names(split_of)} there are others: {_names(others)}.",
            "either split folders or class folders at the top",
            "Move the others away.",
        )
    if "train" not in parts:
        _refuse(
            f"There is no train folder beside {_names(split_of)}.",
            ", ".join(SPLIT_NAMES),
            "Add one, or put the class folders at the top to have them split.",
        )
    return split_of


def _refuse_lost_splits(entries: Iterable[Row]) -> None:
    """Else another test part would be cut from train, as if there were none."""
    for entry in entries:
        name = str(entry["path"]).removesuffix("/")
        if name.lower() in SPLIT_NAMES and entry["action"] == "left out":
            _refuse(
                f"The split folder {printable(name)} cannot be used: {entry['reason']}",
                "folders that can be read, and no links",
                "Put it right, or take it away.",
            )


def _empty_classes(walk: _Walk, depth: int) -> Iterator[Row]:
    filled = {"/".join(path.split("/")[: depth + 1]) for path in walk.files}
    for name in walk.folders:
        if name.count("/") == depth and name not in filled:
            yield ledger.row(
                f"{name}/", "empty-class", "No file to use lies in this class folder.", "left out"
            )


def _refuse_different_classes(rows: list[Row]) -> None:
    classes: dict[str, set[str]] = {}
    for row in rows:
        classes.setdefault(str(row["split"]), set()).add(str(row["label"]))
    train = classes.get("train", set())
    differences = [
        f"{split} {verb} {_names(names)}"
        for split in ("val", "test")
        for verb, names in (
            ("lacks", train - classes.get(split, train)),
            ("alone has", classes.get(split, train) - train),
        )
        if names
    ]
    if differences:
        _refuse(
            f"The split folders hold different classes: {'; '.join(differences)}.",
            "the same class folders, with images, in each",
            "Add the missing ones, or put all images into train to have them split.",
        )


def _names(names: Iterable[str]) -> str:
    shown = [printable(name) for name in sorted(names)]
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")


def _refuse(problem: str, allowed: str, remedy: str) -> None:
    raise InputError(sentence(problem, allowed=allowed, remedy=remedy))
