"""Names of files and folders that nobody means as data."""

from __future__ import annotations

SYSTEM_NAMES = {
    "$recycle.bin",
    "@eadir",
    "__macosx",
    "desktop.ini",
    "ehthumbs.db",
    "system volume information",
    "thumbs.db",
}


def of_a_system(name: str) -> bool:
    """Whether it is hidden, or what systems leave behind.

    >>> of_a_system(".thumbnails"), of_a_system("Thumbs.db"), of_a_system("cat.png")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in SYSTEM_NAMES
