"""Archives, good and hostile: only what is asked for comes out, and only into memory."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import time

import pytest

from headstart.data import archive
from headstart.errors import InputError


def member(name, size=0, kind=tarfile.REGTYPE, **more):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for key, value in more.items():
        setattr(info, key, value)
    return info


def tar(path, *entries, compressed=True, form=tarfile.GNU_FORMAT):
    """Writes (name or TarInfo, content) pairs."""
    with tarfile.open(path, "w:gz" if compressed else "w", format=form) as out:
        for name, content in entries:
            info = member(name, len(content)) if isinstance(name, str) else name
            out.addfile(info, io.BytesIO(content))
    return path


def raw(path, *blocks):
    path.write_bytes(gzip.compress(b"".join(blocks) + bytes(1024)))
    return path


def block(info, form=tarfile.USTAR_FORMAT):
    return info.tobuf(form)


def padded(content):
    return content + bytes(-len(content) % 512)


def refusal(path, names=("a/b",)) -> str:
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        archive.members(path, names)
    assert time.monotonic() - start < 5
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT])
def test_what_is_asked_for_comes_out(tmp_path, compressed, form):
    entries = [
        (member("./a", kind=tarfile.DIRTYPE), b""),
        ("./a/b", b"one"),
        ("a/c", b"two"),
        ("d", b"three"),
    ]
    entries += [(member("a/" + "e" * 90, 4, mtime=1.5), b"four")]
    path = tar(tmp_path / "x", *entries, compressed=compressed, form=form)
    wanted = ["a/b", "a/" + "e" * 90, "nowhere"]
    assert archive.members(path, wanted) == {"a/b": b"one", "a/" + "e" * 90: b"four"}


def test_of_two_members_of_a_name_the_last_counts(tmp_path):
    path = tar(tmp_path / "x", ("a/b", b"one"), ("a/b", b"two"))
    assert archive.members(path, ["a/b"]) == {"a/b": b"two"}


def test_nothing_is_written_whatever_the_names(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    names = ["../up", f"{tmp_path}/absolute", "a/../../up", "a/b", "C:\\x", "a\nb", "..", "x" * 99]
    path = tar(tmp_path / "x", *((name, b"evil") for name in names))
    assert archive.members(path, ["a/b"]) == {"a/b": b"evil"}
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "here", path]


@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.SOLARIS_XHDTYPE,
        b"V",
    ],
)
def test_only_files_and_folders(tmp_path, kind):
    info = member("a/b", kind=kind, linkname="/etc/passwd")
    path = raw(tmp_path / "x", block(info), block(member("a/c")))
    assert "its member 'a/b' is neither a file nor a folder" in refusal(path)


def pax(records, name="a/b", size=0):
    """A pax header of these records, and the member that it describes."""
    header = member("pax", len(records), tarfile.XHDTYPE)
    return block(header), padded(records), block(member(name, size))


def record(key, value):
    line = f" {key}={value}\n"
    length = len(line) + 2 if len(line) + 2 > 9 else len(line) + 1
    return f"{length}{line}".encode()


@pytest.mark.parametrize("size", ["-1024", "-1", str(10**18)])
def test_sizes_that_lead_back_or_nowhere(tmp_path, size):
    assert "cannot be used" in refusal(raw(tmp_path / "x", *pax(record("size", size))))


@pytest.mark.parametrize("real", [3, 10**12])
def test_sparse_files_by_pax(tmp_path, real):
    records = record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0")
    records += record("GNU.sparse.realsize", str(real)) + record("GNU.sparse.name", "a/b")
    content = padded(f"1\n0\n{real}\n".encode()) + padded(b"one")
    assert "cannot be used" in refusal(raw(tmp_path / "x", *pax(records, size=len(content)), content))


def test_a_huge_header_is_refused_before_it_is_read(tmp_path):
    for kind in (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
        path = raw(tmp_path / "x", block(member("pax", 5000, kind)), b"1 " * 2500)
        assert "a header of it has 5000 bytes" in refusal(path)


def test_bombs_are_refused_at_the_cap(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "LIMIT", 1_000_000)
    bomb = tar(tmp_path / "x", ("skipped", bytes(900_000)), ("a/b", bytes(900_000)))
    assert bomb.stat().st_size < 5_000
    assert "unpacks to more than 1000000 bytes" in refusal(bomb)
    liar = raw(tmp_path / "y", block(member("a/b", 999_999_999)))
    assert "'a/b' has no plain size" in refusal(liar)


def test_too_many_members(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MEMBERS", 10)
    assert archive.members(tar(tmp_path / "x", *[("a", b"")] * 10), ["b"]) == {}
    assert "more than 10 members" in refusal(tar(tmp_path / "x", *[("a", b"")] * 11))


def test_damaged_archives(tmp_path):
    path = tar(tmp_path / "x", ("a/b", os.urandom(5000)))
    whole = path.read_bytes()
    for content in (b"", b"\x1f\x8b", b"PK\x03\x04" + bytes(600), b"text\n" * 200, whole[:-1000], whole[:30]):
        path.write_bytes(content)
        assert "The archive cannot be used: it is damaged or no tar archive" in refusal(path)
    path.write_bytes(whole[:2000] + bytes([whole[2000] ^ 255]) + whole[2001:])
    assert "damaged" in refusal(path)


def test_no_change_of_a_header_does_more_than_refuse(tmp_path):
    """Each byte of the first header, set to 0, 1 less, 0x80 and 0xFF: an answer or a refusal, at once."""
    whole = bytearray(gzip.decompress(tar(tmp_path / "x", ("a/b", b"one")).read_bytes()))
    path = tmp_path / "y"
    start = time.monotonic()
    for place in range(512):
        for value in (0, (whole[place] - 1) % 256, 0x80, 0xFF):
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                assert set(archive.members(path, ["a/b"])) <= {"a/b"}
            except InputError as error:
                assert "cannot be used" in str(error)  # noqa: PT017 - it may be raised or not
    assert time.monotonic() - start < 60
