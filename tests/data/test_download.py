"""Downloads from a server on this machine that is slow of mind, breaks off, lies, or sends us elsewhere."""

from __future__ import annotations

import hashlib
import http.server
import threading
from pathlib import Path

import numpy as np
import pytest

from headstart.data import download as source
from headstart.data.download import Published, download
from headstart.errors import InputError

CONTENT = np.random.default_rng(0).bytes(2_500_000)
NAME = "cifar-10-binary.tar.gz"


def published(content=CONTENT, name=NAME):
    return Published(name, len(content), hashlib.md5(content, usedforsecurity=False).hexdigest())


class Server(http.server.ThreadingHTTPServer):
    """Delivers `content`; each request is noted with its Range.

    Attributes:
        ranges: whether it obeys a Range.
        breaks: for each connection in turn, after how many bytes it is cut; the rest are not.
        status, headers: of every answer instead, where they are given.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.ranges, self.breaks = CONTENT, True, []
        self.status, self.headers = 0, {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/{NAME}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range", "")
        server.asked.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.ranges else 0
        status = server.status or (206 if start else 200)
        if start and start >= len(server.content):
            status = 416
        rest = server.content[start:] if status in (200, 206) else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(rest)))
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(rest[: server.breaks.pop(0) if server.breaks else None])
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setitem(source.ARCHIVES, "cifar10", (published(), *source.ARCHIVES["cifar10"][1:]))
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def refusal(server, folder) -> str:
    with pytest.raises(InputError) as caught:
        download("cifar10", folder, server if isinstance(server, str) else server.url)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_file_comes_whole(server, tmp_path):
    target = download("cifar10", tmp_path / "new" / "folder", server.url)
    assert target == tmp_path / "new" / "folder" / NAME
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]
    assert server.asked == [""]


def test_what_is_there_is_not_fetched_again(server, tmp_path):
    download("cifar10", tmp_path, server.url)
    assert download("cifar10", tmp_path, server.url).read_bytes() == CONTENT
    assert server.asked == [""]


def test_another_file_of_that_name_is_left_alone(server, tmp_path):
    (tmp_path / NAME).write_bytes(b"mine")
    assert "is not the published archive" in refusal(server, tmp_path)
    assert (tmp_path / NAME).read_bytes() == b"mine"
    assert server.asked == []


def test_a_broken_connection_is_taken_up_where_it_broke(server, tmp_path):
    server.breaks = [1_200_000, 300]
    assert download("cifar10", tmp_path, server.url).read_bytes() == CONTENT
    assert server.asked == ["", "bytes=1200000-", "bytes=1200300-"]


def test_an_earlier_part_is_gone_on_with(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:700_001])
    assert download("cifar10", tmp_path, server.url).read_bytes() == CONTENT
    assert server.asked == ["bytes=700001-"]
    assert list(tmp_path.iterdir()) == [tmp_path / NAME]


def test_a_whole_part_needs_no_server(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT)
    assert download("cifar10", tmp_path, server.url).read_bytes() == CONTENT
    assert server.asked == []


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    server.ranges = False
    server.breaks = [1_500_000]
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:1000])
    assert download("cifar10", tmp_path, server.url).read_bytes() == CONTENT
    assert server.asked == ["bytes=1000-", "bytes=1500000-"]


def test_a_connection_that_brings_nothing_ends_it_and_what_is_here_stays(server, tmp_path):
    server.breaks = [1_000_000, 0]
    message = refusal(server, tmp_path)
    assert "The connection broke" in message
    assert message.endswith("The same command goes on with the 1 MB that are here.")
    assert (tmp_path / f"{NAME}.part").read_bytes() == CONTENT[:1_000_000]
    assert download("cifar10", tmp_path, server.url).read_bytes() == CONTENT


def test_a_server_that_breaks_on_and_on_is_given_up(server, tmp_path):
    server.ranges = False
    server.breaks = [10_000] * 100
    assert "The connection broke" in refusal(server, tmp_path)
    assert len(server.asked) == source.CONNECTIONS


@pytest.mark.parametrize(
    "content", [CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]), CONTENT + b"x", CONTENT + bytes(10_000_000)]
)
def test_another_content_is_removed_and_said(server, tmp_path, content):
    server.content = content
    message = refusal(server, tmp_path)
    assert f"Allowed: 2500000 bytes with MD5 {published().md5}." in message
    assert f"Received: '{min(len(content), 2_500_001)} bytes with MD5 " in message
    assert "It was removed." in message
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_another_file_is_removed_and_said(server, tmp_path):
    (tmp_path / f"{NAME}.part").write_bytes(bytes(1000))
    assert "It was removed." in refusal(server, tmp_path)
    assert download("cifar10", tmp_path, server.url).read_bytes() == CONTENT


def test_a_file_that_is_shorter_there_is_fetched_anew(server, tmp_path):
    server.content = CONTENT[:1000]
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:2000])
    assert "The connection broke" in refusal(server, tmp_path)
    assert server.asked[:2] == ["bytes=2000-", ""]


@pytest.mark.parametrize(
    ("status", "said"), [(404, "404 Not Found"), (403, "403"), (503, "503"), (500, "500")]
)
def test_refusals_of_the_server(server, tmp_path, status, said):
    server.status = status
    assert f"The server answers {said}" in refusal(server, tmp_path)


@pytest.mark.parametrize(
    "place",
    ["http://127.0.0.1:9/x", "ftp://127.0.0.1/x", "file://localhost/etc/passwd", "data:,x", "gopher://x/"],
)
def test_redirects_lead_to_https_only(server, tmp_path, place):
    server.status, server.headers = 302, {"Location": place}
    message = refusal(server, tmp_path)
    assert "that is not https. Allowed: https." in message or "is not allowed" in message
    assert place in message
    assert len(server.asked) == 1


def test_a_redirect_to_https_is_followed(server, tmp_path):
    """There is nobody: but it was tried, and not refused before."""
    server.status, server.headers = 302, {"Location": "https://127.0.0.1:9/x"}
    assert "The server cannot be reached: " in refusal(server, tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/x", "ftp://127.0.0.1/x", "file://localhost/etc/passwd", "cifar.tar.gz", "https://",
        "http://127.0.0.1.example.org/x", "http://localhost@example.org/x", "https://a b/", "https://[x",
        "https://example.org/a\nb", "//127.0.0.1/x",
    ],
)  # fmt: skip
def test_addresses_that_are_not_secure_are_refused(tmp_path, url):
    assert "The address is not one to fetch from." in refusal(url, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_server_at_all(tmp_path):
    message = refusal(f"http://127.0.0.1:9/{NAME}", tmp_path)
    assert "The server cannot be reached: " in message
    assert "Connection refused" in message


def test_a_silent_server_is_not_waited_for(server, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "TIMEOUT", 0.2)
    release = threading.Event()
    monkeypatch.setattr(Handler, "do_GET", lambda _: release.wait(20))
    try:
        assert "The server cannot be reached: timed out." in refusal(server, tmp_path)
    finally:
        release.set()


def test_a_full_disk_is_said_before(server, tmp_path, monkeypatch):
    usage = source.shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(source.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="No space left"):
        download("cifar10", tmp_path, server.url)
    assert server.asked == []


def test_two_commands_do_not_fetch_one_file(server, tmp_path):
    with source._alone(tmp_path / f"{NAME}.part"):
        assert "Another command is fetching this file." in refusal(server, tmp_path)


def test_the_last_part_of_the_address_says_which_archive_it_is(server, tmp_path, monkeypatch):
    python = published(CONTENT, "cifar-10-python.tar.gz")
    monkeypatch.setitem(source.ARCHIVES, "cifar10", (published(b""), python))
    url = server.url.replace("binary", "python")
    assert download("cifar10", tmp_path, url) == tmp_path / "cifar-10-python.tar.gz"


def test_what_is_published():
    """Names, sizes and hashes have the form they must have, and differ."""
    every = [archive for archives in source.ARCHIVES.values() for archive in archives]
    assert len({a.name for a in every}) == len({a.md5 for a in every}) == len({a.size for a in every}) == 4
    assert all(len(bytes.fromhex(archive.md5)) == 16 for archive in every)
    assert all(160e6 < archive.size < 175e6 for archive in every)
    assert Path(source.HOME).name == "~kriz"
    assert source.HOME.startswith("https://")
