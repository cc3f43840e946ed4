"""Fetches a published archive: resumed where it broke off, and in its place only if its hash is right."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import http.client
import math
import os
import shutil
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit

from headstart.errors import InputError, printable, sentence
from headstart.progress import note, track

HOME = "https://www.cs.toronto.edu/~kriz/"
"""Where the authors of CIFAR-10 and CIFAR-100 publish them."""

BLOCK = 1_000_000
TIMEOUT = 30.0
"""Seconds without a byte after which a connection counts as broken."""
CONNECTIONS = 20
"""Most connections of one call; one that breaks is followed by another if it had brought something."""


@dataclass(frozen=True)
class Published:
    """One published file: its size in bytes, and its MD5 as its authors give it (for identity alone)."""

    name: str
    size: int
    md5: str


ARCHIVES = {
    "cifar10": (
        Published("cifar-10-binary.tar.gz", 170_052_171, "c32a1d4ab5d03f1284b67883e8d87530"),
        Published("cifar-10-python.tar.gz", 170_498_071, "c58f30108f718f92721af3b95e74349a"),
    ),
    "cifar100": (
        Published("cifar-100-binary.tar.gz", 168_513_733, "03b5dce01913d631647c71ecec9e9cb8"),
        Published("cifar-100-python.tar.gz", 169_001_437, "eb9058c3a382ffc7106e4002c42a8d85"),
    ),
}
"""Each data set's archives; the first is the one to fetch unless another is named."""


def download(dataset: str, folder: Path, url: str = "") -> Path:
    """Fetches an archive of `dataset` into `folder`; a file that is there already is only checked.

    A broken download leaves ``NAME.part``, and the same call goes on with it where the server can.

    Args:
        dataset: a key of `ARCHIVES`.
        folder: made if it is missing.
        url: where to fetch it instead, https, or http from this very machine. Its last part says which of
            the published archives it is.

    Returns:
        The file, which has the published size and hash.

    Raises:
        InputError: the address is not secure, the server does not deliver, or what it delivers is another
            file (it is removed).
        OSError: `folder` cannot be written, or the disk is full.
    """
    archive = next((a for a in ARCHIVES[dataset] if url.endswith(f"/{a.name}")), ARCHIVES[dataset][0])
    url = url or HOME + archive.name
    _require_secure(url)
    target = folder / archive.name
    if target.exists():
        _require_published(target, archive, "Move it away, and run the same command again.")
        note(f"{printable(target)} is already there, whole.")
        return target
    folder.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    with _alone(part) as file:
        _fill(file, url, archive)
        try:
            _require_published(part, archive, "It was removed. Run the command again, or try another --url.")
        except InputError:
            part.unlink()
            raise
        os.fsync(file.fileno())
        part.replace(target)
    return target


def _fill(file: BinaryIO, url: str, archive: Published) -> None:
    """Appends to `file` what it lacks, and says before what will be fetched."""
    done = file.tell()
    if done >= archive.size:
        return
    part = Path(file.name)
    _require_space(part.parent, archive.size - done)
    here = f", {done / 1e6:,.0f} MB of them are here" if done else ""
    note(f"Fetching {url} ({archive.size / 1e6:,.0f} MB{here}) to {part.parent}")
    blocks = _blocks(file, url, archive.size)
    file.writelines(track(blocks, "Downloading, in MB", math.ceil(archive.size / BLOCK), done // BLOCK))
    file.flush()


def _blocks(file: BinaryIO, url: str, size: int) -> Iterator[bytes]:
    """What `file` lacks; each block is in it before the next is asked for."""
    for _ in range(CONNECTIONS):
        start = file.tell()
        with _connected(url, start) as response:
            if start and response.status != http.HTTPStatus.PARTIAL_CONTENT:  # it sends all of it again
                start = file.truncate(0)
            # One byte more than announced is enough to tell that it is another file.
            while block := _read(response, min(BLOCK, size + 1 - file.tell())):
                yield block
        if file.tell() >= size:
            return
        if file.tell() == start:
            break
    problem = "The connection broke, and breaks again."
    remedy = f"The same command goes on with the {file.tell() / 1e6:,.0f} MB that are here."
    raise InputError(sentence(problem, received=url, remedy=remedy))


def _connected(url: str, start: int) -> http.client.HTTPResponse:
    """The answer to a request for what comes after `start`."""
    headers = {"User-Agent": "headstart", "Accept-Encoding": "identity"} | (
        {"Range": f"bytes={start}-"} if start else {}
    )
    proxies = urllib.request.ProxyHandler({} if _is_loopback(url) else None)
    opener = urllib.request.build_opener(proxies, _SecureRedirects())
    try:
        response: http.client.HTTPResponse = opener.open(
            urllib.request.Request(url, headers=headers),  # noqa: S310 - `_require_secure` has looked at it
            timeout=TIMEOUT,
        )
    except HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            return _connected(url, 0)  # it is shorter there than what is here
        problem = f"The server answers {error.code} {error.reason}."
        raise InputError(
            sentence(problem, received=url, remedy="Check the address, or try later.")
        ) from error
    except (OSError, http.client.HTTPException) as error:
        reason = str(getattr(error, "reason", "") or error) or type(error).__name__
        remedy = "Check the network; the same command goes on where it stopped."
        problem = f"The server cannot be reached: {reason}."
        raise InputError(sentence(problem, received=url, remedy=remedy)) from error
    return response


def _read(response: http.client.HTTPResponse, most: int) -> bytes:
    """The next bytes; none where the answer is at its end, or the connection broke."""
    try:
        return response.read(most)
    except (OSError, http.client.HTTPException):
        return b""


# --- what is trusted -----------------------------------------------------------------------------------


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a server that sends us elsewhere by https, and nowhere else."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            fp.close()
            problem = "The server sends us to an address that is not https."
            raise InputError(sentence(problem, allowed="https", received=newurl, remedy="Try another --url."))
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _require_secure(url: str) -> None:
    try:
        parts = urlsplit(url)
        secure = bool(parts.hostname) and (parts.scheme == "https" or _is_loopback(url))
    except ValueError:
        secure = False
    if not secure or any(c.isspace() or not c.isprintable() for c in url):
        problem, allowed = "The address is not one to fetch from.", "https://…, or http:// of this machine"
        raise InputError(sentence(problem, allowed=allowed, received=url, remedy="Give another --url."))


def _is_loopback(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in ("localhost", "127.0.0.1", "::1")


def _require_published(file: Path, archive: Published, remedy: str) -> None:
    """Raises InputError if `file` is another one than was published."""
    with file.open("rb") as content:
        found = hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    size = file.stat().st_size
    if (size, found) != (archive.size, archive.md5):
        raise InputError(
            sentence(
                f"{printable(file)} is not the published archive.",
                allowed=f"{archive.size} bytes with MD5 {archive.md5}",
                received=f"{size} bytes with MD5 {found}",
                remedy=remedy,
            )
        )


def _require_space(folder: Path, wanted: int) -> None:
    if shutil.disk_usage(folder).free < wanted:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))


@contextmanager
def _alone(part: Path) -> Iterator[BinaryIO]:
    """`part`, opened to be appended to, by no other command at the same time."""
    with part.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            problem = "Another command is fetching this file."
            raise InputError(sentence(problem, received=str(part), remedy="Wait for it.")) from error
        try:
            yield file
        finally:
            if not file.tell():
                part.unlink(missing_ok=True)
