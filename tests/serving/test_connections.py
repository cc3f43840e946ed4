"""The server fetches nothing: whatever addresses it is sent, it asks nobody (R27)."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from tests.serving.running import asked, served

# Python runs a module of this name at each of its starts, in workers, too. What is written in Rust or C
# raises no such events; for that there is the listener, which all the addresses lead to.
WATCH = """
import os, sys

def heard(event, arguments):
    if event in {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
                 "socket.gethostbyname", "socket.gethostbyaddr", "urllib.Request", "http.client.connect",
                 "ftplib.connect", "smtplib.connect", "subprocess.Popen", "os.exec", "os.posix_spawn",
                 "os.system", "webbrowser.open"}:
        with open(os.environ["HEARD"], "a") as file:
            print(event, arguments[1:], file=file)

sys.addaudithook(heard)
"""

# PORT is the listener's.
ADDRESSES = r"""
http://127.0.0.1:PORT/
http://localhost:PORT/
http://LOCALHOST:PORT/
http://localhost.:PORT/
HTTP://127.0.0.1:PORT/
http:127.0.0.1:PORT/
http:/127.0.0.1:PORT/
http:///127.0.0.1:PORT/
http:\\127.0.0.1:PORT\
//127.0.0.1:PORT/
127.0.0.1:PORT
127.0.0.1:PORT/a.png
http://127.1:PORT/
http://127.0.1:PORT/
http://0:PORT/
http://0.0.0.0:PORT/
http://2130706433:PORT/
http://017700000001:PORT/
http://0177.0.0.1:PORT/
http://0x7f.0.0.1:PORT/
http://0x7f000001:PORT/
http://127.000.000.001:PORT/
http://127.255.255.254:PORT/
http://[::1]:PORT/
http://[::]:PORT/
http://[0:0:0:0:0:0:0:1]:PORT/
http://[::ffff:127.0.0.1]:PORT/
http://[::ffff:7f00:1]:PORT/
http://[::127.0.0.1]:PORT/
http://[64:ff9b::127.0.0.1]:PORT/
http://[::1%25lo]:PORT/
http://a@127.0.0.1:PORT/
http://a:b@127.0.0.1:PORT/
http://allowed.example@127.0.0.1:PORT/
http://127.0.0.1:PORT#@allowed.example/
http://127.0.0.1:PORT?@allowed.example/
http://127.0.0.1:PORT\@allowed.example/
http://127.0.0.1%00.allowed.example:PORT/
http://127%2e0%2e0%2e1:PORT/
http://127。0。0。1:PORT/
http://①②⑦.⓪.⓪.①:PORT/
http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:PORT/
http://127.0.0.1.rebound.invalid:PORT/
http://127.0.0.1:PORT/redirect?to=http://127.0.0.1:PORT/
http://127.0.0.1:PORT/slow
http://127.0.0.1:PORT/huge.png
https://127.0.0.1:PORT/a.png
ftp://127.0.0.1:PORT/a.png
sftp://127.0.0.1:PORT/a.png
tftp://127.0.0.1:PORT/a.png
gopher://127.0.0.1:PORT/_GET%20/
dict://127.0.0.1:PORT/d:a
ldap://127.0.0.1:PORT/dc=a
ws://127.0.0.1:PORT/
git://127.0.0.1:PORT/a
rtsp://127.0.0.1:PORT/a
s3://127.0.0.1:PORT/a
jdbc:postgresql://127.0.0.1:PORT/a
postgresql+psycopg://a@127.0.0.1:PORT/a
jar:http://127.0.0.1:PORT/a.jar!/a
view-source:http://127.0.0.1:PORT/
url:http://127.0.0.1:PORT/
\\127.0.0.1@PORT\share\a.png
\\127.0.0.1\share\a.png
file://127.0.0.1:PORT/etc/passwd
file:/dev/tcp/127.0.0.1/PORT
/dev/tcp/127.0.0.1/PORT
|nc 127.0.0.1 PORT
$(curl http://127.0.0.1:PORT/)
`curl http://127.0.0.1:PORT/`
http://169.254.169.254/latest/meta-data/
http://[fd00:ec2::254]/latest/meta-data/
http://metadata.invalid/computeMetadata/v1/
""".strip().splitlines()


@contextmanager
def listener():
    """Its port, and who has come."""
    came = []

    def wait(waiting):
        while True:
            try:
                came.append(waiting.accept()[0])
            except OSError:  # closed
                return

    with socket.create_server(("127.0.0.1", 0)) as waiting:
        thread = threading.Thread(target=wait, args=[waiting], daemon=True)
        thread.start()
        yield waiting.getsockname()[1], came
        waiting.shutdown(socket.SHUT_RDWR)
    thread.join(10)
    for one in came:
        one.close()


def questions(address):
    """The address in every place that something may be in: method, path, content, type of it, headers."""
    raw, coded = address.encode(), base64.b64encode(address.encode()).decode()
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n' % raw.replace(
        b'"', b""
    )
    drawing = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "%s">]><svg><image href="%s"/>&b;</svg>'
    form, plain = "multipart/form-data; boundary=x", "application/json"
    tensor = {"name": address, "datatype": "UINT8", "shape": [1], "data": address}
    for path in ("/v1/predict", "/v1/explain", "/"):
        yield "POST", path, head + raw + b"\r\n--x--\r\n", form, {}
        yield "POST", f"{path}?class={quote(address)}&url={quote(address)}", raw, "image/png", {}
        yield "POST", path, drawing % (raw, raw), "image/svg+xml", {}
        for images in (
            [{"name": address, "data": coded}],
            [{"url": address, "data": address}],
            address,
            [address],
        ):
            yield "POST", path, json.dumps({"images": images, "url": address}).encode(), plain, {}
    for wrong in ({"id": address, "label": "cat"}, {"id": "0" * 32, "label": address, "image": coded}):
        yield "POST", "/v1/feedback", json.dumps(wrong).encode(), plain, {}
    yield (
        "POST",
        "/v2/models/model/infer",
        json.dumps({"id": address, "inputs": [tensor]}).encode(),
        plain,
        {},
    )
    for path in ("/history?name=", "/history/answers.csv?name=", "/?url=", "/v2/models/", "/static/", "/"):
        yield "GET", path + quote(address), None, plain, {}
    for name in ("Referer", "Origin", "X_Forwarded_For", "X_Original_URL", "Destination", "Link"):
        yield "POST", "/v1/predict", raw, "image/png", {name: address.encode()}


@pytest.fixture
def watched(tmp_path):
    """The environment of a Python that is watched, and the file of what it did."""
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    heard = tmp_path / "heard"
    heard.touch()
    return {"PYTHONPATH": str(tmp_path), "HEARD": str(heard)}, heard


@pytest.mark.parametrize("step", [12, pytest.param(1, marks=pytest.mark.serving)])
def test_no_address_makes_it_ask_anybody(model, tmp_path, watched, step):
    environment, heard = watched
    history = str(tmp_path / "answers")
    with listener() as (where, came), served(model, "--history", history, **environment) as (port, _):
        began = heard.read_text()  # it looks up its own address, and starts its worker
        statuses = set()
        for address in ADDRESSES[::step]:
            for method, path, body, kind, headers in questions(address.replace("PORT", str(where))):
                statuses.add(asked(port, method, path, body, Content_Type=kind, **headers)[0])
        assert heard.read_text() == began
        assert came == []

    assert len(ADDRESSES) >= 60
    assert "getaddrinfo" in began  # so something is heard
    assert {200, 400, 403, 404, 422} <= statuses <= {200, 308, 400, 403, 404, 409, 415, 422}


def test_who_did_ask_would_be_noticed(watched):
    environment, heard = watched
    with listener() as (where, came):
        code = f"import urllib.request; urllib.request.urlopen('http://127.0.0.1:{where}/', timeout=0.5)"
        subprocess.run([sys.executable, "-c", code], env=environment, stderr=subprocess.DEVNULL, check=False)
        assert len(came) == 1

    assert "socket.connect" in heard.read_text()
