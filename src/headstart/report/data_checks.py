"""What each check of the ledger is called on the page, and what to do about it: the worst first."""

from __future__ import annotations

from typing import NamedTuple


class Check(NamedTuple):
    """Words for a check: its title, what to do, and what its rows in the ledger are about."""

    title: str
    remedy: str
    noun: str = "file"


CHECKS = {
    # labels and splits that lie
    "two-labels": Check("One image, two labels", "Decide which label is right and remove the other copy."),
    "near-duplicate-two-labels": Check(
        "Near duplicates with different labels", "Look at both: one of the labels is probably wrong."
    ),
    "crosses-splits": Check(
        "Copies across splits",
        "They were moved to one split, so that the test stays honest. Mend the split they came with.",
    ),
    "bridges-splits": Check(
        "New images that connect splits", "They went to train, so that the test stays honest."
    ),
    "no-split": Check("No split can be made", "Mend this first: without a split nothing can be trained."),
    "large-cluster": Check(
        "A cluster too large to be copies",
        "Look at it: pictures that are merely alike, or one burst of shots.",
    ),
    # files that are lost
    "unreadable": Check("Cannot be read", "Copy the files again from where they came, or save them anew."),
    "truncated": Check("Cut short", "The end of the file is missing: copy it again from where it came."),
    "empty": Check("Zero bytes", "Copy the files again from where they came."),
    "missing-file": Check("Not there", "Put the files where the table says, or remove their rows."),
    "missing": Check("Not there any more", "Put the files back, and check again."),
    "not-an-image": Check("Not an image", "Remove the files, or save them as images."),
    "too-large": Check("Too large", "Scale the images down."),
    "empty-class": Check("A class without images", "Put images there, or remove the folder.", "class"),
    "no-class": Check("In no class", "Move the files into the folder of their class."),
    "no-label": Check("Without a label", "Give the rows a label."),
    "no-path": Check("Rows without a file", "Name the file, or remove the row."),
    "undecodable-name": Check("Names that are not text", "Rename the files."),
    "name-collision": Check(
        "Names that collide", "Rename them: other systems would take them for one file, or overwrite one."
    ),
    "linked-folder": Check("Links to folders", "Put the folders themselves here.", "folder"),
    # images that are doubtful
    "tiny-class": Check("Tiny classes", "Collect more images, or join the class with another.", "class"),
    "imbalance": Check("Unequal classes", "Collect more of the small classes, or weight them."),
    "near-duplicate": Check(
        "Near duplicates",
        "They stay in one split, but for clusters too large to be believed. Remove what says nothing new.",
        "pair",
    ),
    "exact-duplicate": Check(
        "Exact duplicates", "They stay in one split, so they do no harm. Keep one of each."
    ),
    "blank": Check("Almost blank", "Remove what shows nothing: it weakens its class."),
    "dark": Check("Dark", "Remove what a person could not label either."),
    "bright": Check("Bright", "Remove what a person could not label either."),
    "blurred": Check("Blurred", "Remove what a person could not label either."),
    "odd-shape": Check("Odd shapes", "Long thin images are mostly padding to the network: cut them."),
    "wrong-extension": Check("Wrong extension", "Read by their content. Rename them for other programs."),
    # files of no consequence
    "listed-twice": Check("Listed twice", "Nothing needs to be done."),
    "system-file": Check("System files", "Nothing needs to be done."),
}
"""By the ledger's word; a check that is not here is shown under its own name."""

_NAMES = list(CHECKS)
UNKNOWN = _NAMES.index("tiny-class")  # after the files that are lost


def words(check: str) -> Check:
    """What to say about a check; what isn't known speaks for itself.

    >>> words("looks-odd")
    Check(title='Looks odd', remedy='See the reasons in the ledger.', noun='file')
    """
    plain = check.replace("-", " ")
    return CHECKS.get(check) or Check(plain[:1].upper() + plain[1:], "See the reasons in the ledger.")


def severity(check: str, action: str) -> tuple[bool, float]:
    """Sorts the worst first; what was ignored comes last."""
    place = _NAMES.index(check) if check in CHECKS else UNKNOWN - 0.5
    return action == "ignored", place
