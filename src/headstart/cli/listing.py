"""The images that a command was given, as files and folders, one after the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from headstart.data.names import of_a_system
from headstart.errors import InputError, printable, sentence


@dataclass(frozen=True)
class Listing:
    """Files as they are, and of folders all that is an image by content, or should be one by its name.

    Attributes:
        paths: as they were given.
        count: how many images there are.
        width: characters of the longest path.
    """

    paths: tuple[Path, ...]
    count: int
    width: int

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Listing:
        """Looks through all of it once; what is no image is said.

        Raises:
            InputError: there is no image, or none in one of the folders.
        """
        count = width = 0
        for path in paths:
            images, others = 0, 0
            for file, is_image in _files(path):
                images, others = images + is_image, others + (not is_image)
                width = max(width, len(printable(file)) if is_image else 0)
            if not images:
                raise InputError(sentence("There is no image in this folder.", received=str(path)))
            if others:
                said = "1 file is no image" if others == 1 else f"{others} files are no images"
                print(f"{printable(path)}: {said}, by name or content, and passed over.", file=sys.stderr)
            count += images
        if not count:
            raise InputError(
                sentence(
                    "There is no image to look at.",
                    allowed="files, or folders with images in them",
                    received="nothing",
                    remedy="Name at least one after the run.",
                )
            )
        return cls(tuple(paths), count, width)

    def __iter__(self) -> Iterator[Path]:
        return (file for path in self.paths for file, is_image in _files(path) if is_image)


def _files(path: Path) -> Iterator[tuple[Path, bool]]:
    """Every file below a folder in the order of their names, and whether it is an image; a file itself is."""
    if not path.is_dir():
        yield path, True
        return
    from headstart.data.images import is_image

    yield from ((file, is_image(file)) for file in _walk(path))


def _walk(folder: Path) -> Iterator[Path]:
    """Holds the names of one folder at a time; links to folders are not followed."""
    with os.scandir(folder) as entries:
        found = sorted((entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries)
    for name, is_folder in found:
        path = folder / name
        if of_a_system(name):  # as training passes them over
            continue
        if is_folder:
            yield from _walk(path)
        elif path.is_file() or not path.exists():  # or a link to nowhere
            yield path
