"""A published tar archive, read member by member: nothing in it decides where anything is written.

Only regular files with the names that are asked for are looked at; the rest is passed over, under the same
caps.
"""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from headstart.errors import InputError, sentence

MEMBERS = 1_000
"""Most members of an archive."""
LIMIT = 400_000_000
"""Most bytes that are unpacked, headers and unwanted members included."""
BLOCK = 65_536
HEADER_LIMIT = 4_096
"""Most bytes of a member that only describes the next one (long names, times)."""

_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE)
_DESCRIPTIONS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME)


def members(path: Path, names: Collection[str]) -> dict[str, bytes]:
    """The contents of the members called `names`, those that are there; of two of a name the last counts.

    Args:
        path: a tar archive, compressed by gzip or not.
        names: as they stand in the archive; a ``./`` before them doesn't count.

    Raises:
        InputError: this is no such archive, it is damaged, holds links, devices or sparse files, or more
            than `MEMBERS` members or `LIMIT` bytes.
    """
    found: dict[str, bytes] = {}
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        stream = _Capped(gzip.GzipFile(fileobj=raw) if is_gzip else raw)
        try:
            # "r|" never goes back, so no header can make it turn in a circle.
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_PlainMember) as tar:  # type: ignore[call-overload]
                for count, member in enumerate(tar, 1):
                    _check(member, count)
                    name = str(PurePosixPath(member.name))
                    file = tar.extractfile(member) if name in names and member.type in _FILES else None
                    if file:
                        found[name] = file.read()
            while stream.read(BLOCK):  # gzip's checksum stands at its very end
                pass
        except _Refused as error:
            raise InputError(_unusable(path, str(error))) from error
        except (tarfile.TarError, EOFError, zlib.error, ValueError, OSError) as error:
            if isinstance(error, OSError) and error.errno:  # the system's refusal, which is worded elsewhere
                raise
            raise InputError(_unusable(path, f"it is damaged or no tar archive ({error})")) from error
    return found


class _Refused(Exception):  # noqa: N818 - not an error of the code, and no ValueError, which tarfile catches
    """What is wrong with the archive, in words."""


class _Capped:
    """A stream of at most `LIMIT` bytes."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile) -> None:
        self.stream = stream
        self.left = LIMIT

    def read(self, size: int) -> bytes:
        """The next `size` bytes, fewer at the end."""
        content = self.stream.read(min(size, self.left + 1))
        self.left -= len(content)
        if self.left < 0:
            raise _Refused(f"it unpacks to more than {LIMIT} bytes")
        return content


class _PlainMember(tarfile.TarInfo):
    """A header that is refused before tarfile follows what it says."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _PlainMember:
        """Reads one header block."""
        member = super().frombuf(buf, encoding, errors)
        if member.type in _DESCRIPTIONS:
            if not 0 <= member.size <= HEADER_LIMIT:
                raise _Refused(f"a header of it has {member.size} bytes")
        elif member.type not in (*_FILES, tarfile.DIRTYPE):
            raise _Refused(f"its member '{member.name}' is neither a file nor a folder")
        return member


def _check(member: tarfile.TarInfo, count: int) -> None:
    if count > MEMBERS:
        raise _Refused(f"it has more than {MEMBERS} members")
    if not 0 <= member.size <= LIMIT or member.issparse():
        raise _Refused(f"its member '{member.name}' has no plain size")


def _unusable(path: Path, reason: str) -> str:
    remedy = "Fetch it anew: see `headstart data download --help`."
    return sentence(f"The archive cannot be used: {reason}.", received=str(path), remedy=remedy)
