"""Requests that mean harm, as bytes, and the statuses that each is to be answered with (R26).

After each of them comes `AFTER` on the same connection. Whoever got past the server's reading of where a
request ends would get another number of answers: 200 at the end of `statuses` is that to `AFTER`; where it
is missing, the connection was closed.
"""

from __future__ import annotations

import base64
import io
import json
from typing import NamedTuple
from urllib.parse import quote

from PIL import Image
from tests import models

MODEL = "<img src=x onerror=alert(1)>"  # the served folder is called so
CLASSES = ("cat", "</script><script>alert(2)</script>", "\"'><svg onload=alert(3)>", "javascript:alert(4)")
INFER = f"/v2/models/{quote(MODEL)}/infer"
AFTER = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: localhost\r\n\r\n"  # would be answered 404
PICTURE = models.picture(3)
LONG = 60_000  # characters; an address may have 65,534


class Attack(NamedTuple):
    """One of them; `bare` is what granian refuses by itself, before the gate: a status and nothing else."""

    name: str
    sent: bytes
    statuses: tuple[int, ...]
    bare: bool = False


def request(method, path, *lines, body=b"", host="localhost"):
    length = [f"Content-Length: {len(body)}"] * bool(body)
    head = [f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, *length, "", ""]
    return "\r\n".join(head).encode("latin-1") + body


def get(path, *lines, **more):
    return request("GET", path, *lines, **more)


def post(path, body=PICTURE, kind="image/png", *lines):
    return request("POST", path, f"Content-Type: {kind}", *lines, body=body)


def form(name, content=PICTURE, path="/"):
    """A picture as browsers send it."""
    head = f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name.replace(chr(34), "%22")}"'
    return post(path, head.encode() + b"\r\n\r\n" + content + b"\r\n--x--\r\n", FORM)


def named(name, path="/v1/predict"):
    """A picture as programs send it."""
    sent = {"images": [{"name": name, "data": base64.b64encode(PICTURE).decode()}]}
    return post(path, json.dumps(sent).encode(), "application/json")


def fields(count, more=""):
    """A form of so many parts."""
    part = f'--x\r\nContent-Disposition: form-data; name="file"{more}\r\n\r\n\r\n'
    return part.encode() * count + b"--x--\r\n"


def chunked(*lines, body):
    """A request whose body says by itself how long it is."""
    return request("POST", "/v1/predict", "Content-Type: image/png", *lines) + body


def tensor(**changes):
    one = {"name": "image", "datatype": "UINT8", "shape": [1, 64, 64, 3], "data": [0] * 64 * 64 * 3}
    return json.dumps({"inputs": [one | changes]}).encode()


def tagged(kind, **info):
    """A picture that says more than its pixels."""
    content = io.BytesIO()
    Image.open(io.BytesIO(PICTURE)).convert("RGB").save(content, kind, **info)
    return content.getvalue()


FORM = "multipart/form-data; boundary=x"
SCRIPT = "<script>alert(5)</script>"
CHUNKED, END = "Transfer-Encoding: chunked", b"0\r\n\r\n"

# --- What a page might be made to obey ------------------------------------------------------------------

MARKUP = r"""
<script>alert(1)</script>
<ScRiPt >alert(1)</ScRiPt >
<img src=x onerror=alert(1)>
<svg/onload=alert(1)>
"><script>alert(1)</script>
' onmouseover='alert(1)
" autofocus onfocus="alert(1)
</title><script>alert(1)</script>
</textarea><script>alert(1)</script>
<iframe srcdoc="<script>alert(1)</script>">
<base href="javascript:alert(1)//">
<meta http-equiv=refresh content="0;javascript:alert(1)">
<!--<img src="--><img src=x onerror=alert(1)//">
<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>
<noscript><p title="</noscript><img src=x onerror=alert(1)>">
&lt;script&gt;alert(1)&lt;/script&gt;
javascript:alert(1)
{{ 7*7 }}{% include "/etc/passwd" %}
""".strip().splitlines()
EXIF = Image.Exif()
EXIF[0x010E] = EXIF[0x013B] = EXIF[0x8298] = SCRIPT  # description, artist, copyright
PICTURES = {
    "a script in EXIF": tagged("JPEG", exif=EXIF),
    "a script in a comment": tagged("JPEG", comment=SCRIPT.encode()),
    "a script in XMP": tagged("WEBP", xmp=SCRIPT.encode()),
    "a script in a colour profile": tagged("PNG", icc_profile=SCRIPT.encode()),
    "a script behind the picture": tagged("GIF") + SCRIPT.encode(),
    "a GIF that is a script, too": b"GIF89a/*" + tagged("GIF")[8:] + b"*/=1;alert(5)",
    "a drawing with a script": f'<svg xmlns="http://www.w3.org/2000/svg">{SCRIPT}</svg>'.encode(),
    "a page": f"<!doctype html>{SCRIPT}".encode(),
}

# --- Who asks, and by what name -------------------------------------------------------------------------

HOSTS = """
evil.example:8000
evil.example#localhost
evil.example?localhost
localhost@evil.example
localhost:80@evil.example
localhost:evil
localhost, evil.example
localhost/evil.example
localhost\\evil.example
localhost%00.evil.example
127.0.0.1.evil.example:80
[::1].evil.example
[::1]:80@evil.example
http://localhost
2130706433
0x7f000001
0177.0.0.1
127.1
xn--lcalhost-54a
*
""".split()
ORIGINS = """
http://evil.example
https://evil.example:443
null
http://localhost.evil.example
http://localhost@evil.example
http://localhost:1
https://localhost:8443
http://127.0.0.1
http://localhost/
http://localhost,http://evil.example
HTTP://LOCALHOST
file://
chrome-extension://abcdefghijklmnop
""".split()
POSTS = ("/", "/feedback", "/explanation", "/v1/predict", "/v1/explain", "/v1/feedback", INFER)
FORWARDED = (
    "X-Forwarded-Host: evil.example",
    "X-Host: evil.example",
    "Forwarded: host=evil.example;proto=https",
    "X-Forwarded-For: evil.example",
    "X-Forwarded-Prefix: //evil.example",
    "X-Original-URL: /nothing",
    "X-Rewrite-URL: /nothing",
)

# --- Where one may not go -------------------------------------------------------------------------------

PLACES = f"""
/static/../server.py
/static/..%2f..%2fserver.py
/static/%2e%2e/%2e%2e/server.py
/static/..%5c..%5cserver.py
/static/../../../../../../../../etc/passwd
/static/..%252f..%252fserver.py
/static/%c0%ae%c0%ae/server.py
/static/page.css%00.png
/static/%00
/static/..
/static/.
/static/page.css::$DATA
/static/C:/Windows/win.ini
/static/~/.ssh/id_rsa
/history/../served.sqlite3
/history/pictures/../../../../etc/passwd.png
/history/pictures/..%2f..%2fserved.sqlite3.png
/history/pictures/%2e%2e.png
/history/pictures/%00.png
/history/pictures/'%20or%201=1--.png
/history/pictures/{"0" * 64}.png
/history/pictures/{"0" * LONG}.png
/v2/models/..%2f..%2fetc%2fpasswd
/v2/models/%2e%2e
/v2/models/%2e%2e/ready
/v2/models/%00
/v2/models/{"a/" * (LONG // 2)}
/report/../../etc/passwd
/etc/passwd
/proc/self/environ
/templates/page.html.j2
/model.json
/served.sqlite3
/.env
/.git/config
/console
""".split()
NEW_LINES = """
/%0d%0aX-Evil:%201
/%0aX-Evil:%201
/%E5%98%8A%E5%98%8DX-Evil:%201
/static/%0d%0aSet-Cookie:%20evil=1
/v2/models/%0d%0aX-Evil:%201
/history/pictures/%0d%0aX-Evil:%201.png
""".split()
QUERIES = """
/?x=%0d%0aX-Evil:%201
/history?name=%0d%0aX-Evil:%201&page=%0d%0a
/history/answers.csv?name=%0d%0aX-Evil:%201
/?__debugger__=yes&cmd=resource&f=debugger.js
/history?name='%20or%201=1--&label=%00&decision=%00
/history?name=%00%ff%fe%c0%80
/history?page=-1
/history?page=1e309
/v1/model?callback=alert(1)
/v1/model?url=http://evil.example/
""".split()
METHODS = {
    "PUT": "/v1/model", "DELETE": "/history", "PATCH": "/v1/feedback", "TRACE": "/", "PROPFIND": "/",
    "MOVE": "/v1/model", "GET": "/v1/predict", "POST": "/history", "post": "/health", "A" * 1000: "/",
    "CHECKIN": "/static/page.css",
}  # fmt: skip

# --- Where a request ends -------------------------------------------------------------------------------

# None of these gets as far as the gate.
MALFORMED = {
    "a header that is folded": get("/", "X: a", " b"),
    "a space before the colon": get("/", "X : a"),
    "a header without a colon": get("/", "X"),
    "a header without a name": get("/", ": a"),
    "a space in a header's name": get("/", "X Y: a"),
    "NUL in a header": get("/", "X: a\0b"),
    "NUL in a header's name": get("/", "X\0: a"),
    "a bell in a header": get("/", "X: \a"),
    "DEL in a header": get("/", "X: \x7f"),
    "a bare CR in a header": get("/", "X: a\rX-Evil: 1"),
    "a tab before the version": get("/").replace(b" HTTP", b"\tHTTP"),
    "two spaces before the address": get("/").replace(b" / ", b"  / "),
    "a space in the address": get("/a b"),
    "NUL in the address": get("/\0"),
    "a bracket in the method": request("GE(T", "/"),
    "no method": request("", "/"),
    "no version": b"GET /\r\n\r\n",
    "a version to come": get("/").replace(b"1.1", b"9.9"),
    "a version in small letters": get("/").replace(b"HTTP/", b"http/"),
    "a file for an address": get(f"file:{3 * chr(47)}etc/passwd"),
    "TLS": b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00\r\n\r\n",
    "SSH": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "two lengths": post("/", b"hello", "image/png", "Content-Length: 6"),
    "a length and a half": post("/", b"", "image/png", "Content-Length: 5, 6") + b"hello",
    "a length with a plus": post("/", b"", "image/png", "Content-Length: +5") + b"hello",
    "a length below nothing": post("/", b"", "image/png", "Content-Length: -1"),
    "a length in hexadecimal digits": post("/", b"", "image/png", "Content-Length: 0x5") + b"hello",
    "a length of no digits": post("/", b"", "image/png", "Content-Length:"),
    "a length with a space": post("/", b"", "image/png", "Content-Length: 5 5") + b"hello",
    "a length of thirty digits": post("/", b"", "image/png", f"Content-Length: {'9' * 30}"),
    "another coding": chunked("Transfer-Encoding: identity", body=END),
    "chunks, and then another coding": chunked("Transfer-Encoding: chunked, identity", body=END),
    "chunks, and another header that is none": chunked(CHUNKED, "Transfer-Encoding: x", body=END),
    "almost chunks": chunked("Transfer-Encoding: xchunked", body=END),
    "chunks after a vertical tab": chunked("Transfer-Encoding: \x0bchunked", body=END),
    "chunks with a space before the colon": chunked("Transfer-Encoding : chunked", body=END),
    "chunks in HTTP/1.0": chunked(CHUNKED, body=END).replace(b"/1.1", b"/1.0"),
}  # fmt: skip
# The chunks count, as RFC 9112 has it; what follows is nobody's request.
SMUGGLED = {
    "a length, then chunks": chunked(f"Content-Length: {len(HIDDEN) + 5}", CHUNKED, body=END + HIDDEN),
    "chunks, then a length": chunked(CHUNKED, "Content-Length: 4", body=END + HIDDEN),
    "chunks twice": chunked(CHUNKED, CHUNKED, body=END + HIDDEN),
    "chunks in large letters": chunked("TRANSFER-ENCODING: CHUNKED", body=END + HIDDEN),
    "chunks after a tab": chunked("Transfer-Encoding:\tchunked", body=END + HIDDEN),
    "chunks after a coding that is none": chunked("Transfer-Encoding: x, chunked", body=END + HIDDEN),
    "a header behind the chunks": chunked(CHUNKED, body=b"0\r\nContent-Length: 99\r\nX-Evil: 1\r\n\r\n"),
}  # fmt: skip
CHUNKS = {
    "no number": b"xyz\r\nhello\r\n0\r\n\r\n",
    "less than nothing": b"-1\r\nhello\r\n0\r\n\r\n",
    "0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "two numbers": b"5 5\r\nhello\r\n0\r\n\r\n",
    "no number at all": b"\r\nhello\r\n0\r\n\r\n",
    "more than there is": b"FFFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n",
    "a chunk that goes on": b"5\r\nhello there\r\n0\r\n\r\n",
    "a chunk that is too short": b"9\r\nhello\r\n0\r\n\r\n",
    "lines that end in LF alone": b"5\nhello\n0\n\n",
    "a remark that doesn't end": b"5;" + b"a" * LONG + b"\r\nhello\r\n0\r\n\r\n",
    "trailers that don't end": b"0\r\n" + b"X: a\r\n" * 10_000 + b"\r\n",
}
"""What stands where the length of a chunk should, or doesn't keep to it."""

# --- What is too deep, too large or too many --------------------------------------------------------------

DEEP = {"lists in lists": b"[" * 100_000, "objects in objects": b'{"a":' * 50_000}
JSON = {
    "a million digits": b'{"images": ' + b"9" * 1_000_000 + b"}",
    "a number beyond all": b'{"images": 1e999999}',
    "not a number": b'{"images": NaN}',
    "not UTF-8": b'{"images": "\xff\xc0\x80"}',
    "NUL": b"\0" * 1000,
    "half a character": b'{"\\ud800": "\\udfff"}',
    "a hundred thousand names": json.dumps(dict.fromkeys(map(str, range(100_000)))).encode(),
    "a name twice": b'{"images": [{"data": ""}], "images": {}}',
    "a prototype": b'{"__proto__": {"images": []}}',
    "null": b"null",
    "true": b"true",
    "text": b'"images"',
    "nothing": b" ",
    "no object": b'{"images": [null]}',
    "a list for text": b'{"images": [{"data": [], "name": {}}]}',
    "base64 with a = too many": b'{"images": [{"data": "aGk=="}]}',
}
TENSORS = {
    "a shape beyond memory": tensor(shape=[2**62, 64, 64, 3]),
    "a shape below nothing": tensor(shape=[-1, 64, 64, 3]),
    "a shape of a million sides": tensor(shape=[1] * 1_000_000),
    "True for 1": tensor(shape=[True, 64, 64, 3]),
    "a hundred lists in lists": tensor(data=json.loads("[" * 100 + "]" * 100)),
    "a million numbers": tensor(data=[0] * 1_000_000),
    "a number beyond all": tensor(data=[10**300] * 64 * 64 * 3),
    "less than nothing": tensor(data=[-1] * 64 * 64 * 3),
    "halves": tensor(data=[0.5] * 64 * 64 * 3),
    "infinities": tensor(data=[float("inf")] * 64 * 64 * 3),
    "an object": tensor(data={}, name={}, datatype=[], shape={}),
}
MANY = {
    "ten thousand parts": post("/", fields(10_000), FORM),
    "ten thousand files": post("/v1/predict", fields(10_000, '; filename="a"'), FORM),
    "33 pictures": post("/v1/predict", fields(33, '; filename="a"'), FORM),
    "a hundred thousand pictures": post(
        "/v1/predict", b'{"images": [%s{"data": ""}]}' % (b'{"data": ""},' * 99_999), "application/json"
    ),
}
FILE = fields(1, '; filename="a"').partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
FORMS = {
    "no boundary": ("multipart/form-data", fields(1)),
    "a boundary that is not ASCII": ("multipart/form-data; boundary=\xfc", fields(1)),
    "another boundary": ("multipart/form-data; boundary=y", fields(1)),
    "no end": (FORM, fields(1)[:-6]),
    "a part without a name": (FORM, b"--x\r\nContent-Disposition: form-data\r\n\r\n\r\n--x--\r\n"),
    "a part without a head": (FORM, b"--x\r\n\r\nhello\r\n--x--\r\n"),
    "a part with a head without an end": (FORM, b"--x\r\nX: " + b"a" * 1_000_000),
    "a million ends of lines": (FORM, FILE + b"\r" * 1_000_000),
    "a hundred thousand beginnings of a boundary": (FORM, FILE + b"\r\n--" * 100_000),
    "a form in a form": (FORM, fields(1, "\r\nContent-Type: multipart/mixed; boundary=x")),
    "backslashes": (FORM, fields(1, '; filename="' + "\\" * LONG)),
    "a name in many pieces": (FORM, fields(1, "".join(f"; a*{i}=b" for i in range(5_000)))),
}
SLOW = {
    "commas for what is accepted": (404, get("/nothing", f"Accept: {',' * LONG}")),
    "quotes for what is accepted": (404, get("/nothing", 'Accept: text/html;q="' + '\\"' * (LONG // 2))),
    "cookies": (200, get("/", f"Cookie: {'a=b;' * (LONG // 4)}")),
    "ranges": (416, get("/static/page.css", f"Range: bytes={'0-0,' * (LONG // 4)}0-0")),
    "tags": (200, get("/static/page.css", f"If-None-Match: {'W/' * (LONG // 2)}")),
    "a date": (200, get("/static/page.css", f"If-Modified-Since: {'1 ' * (LONG // 2)}")),
    "a password": (200, get("/", f"Authorization: Basic {'=' * LONG}")),
    "an origin": (403, post("/", PICTURE, "image/png", f"Origin: http://{'a.' * (LONG // 2)}")),
    "what a type is": (415, post("/v1/predict", PICTURE, "text/plain" + ';a="' * (LONG // 4))),
    "parameters": (200, get(f"/history?{'a=b&' * (LONG // 4)}")),
    "wild cards": (200, get(f"/history?name={'%25_' * (LONG // 4)}")),
    "underscores": (200, get(f"/history?name={'_' * LONG}")),
    "half an escape": (200, get(f"/history?name={'%' * LONG}")),
    "a page of sixty thousand digits": (200, get(f"/history?page={'9' * LONG}")),
    "tabs": (200, get("/", f"X:{chr(9) * LONG}a")),
}
"""What patterns that backtrack would take long for."""


def _group(kind, statuses, sent, bare=False):
    return [Attack(f"{kind}: {name}"[:120], content, statuses, bare) for name, content in sent.items()]


ATTACKS = [
    *_group("markup in a file's name", (200, 200), {one: form(one) for one in MARKUP}),
    *_group("markup looked for", (200, 200), {one: get(f"/history?name={quote(one)}") for one in MARKUP}),
    *_group("markup for a class", (400, 200), {
        one: post("/feedback", f"id=0&label={quote(one)}".encode(), "application/x-www-form-urlencoded")
        for one in MARKUP
    }),
    *_group("a picture with", (200, 200), {name: form("a", content) for name, content in PICTURES.items()}),
    *_group("called", (421,), {host: get("/", host=host) for host in HOSTS}),
    *_group("called", (421,), {
        "two names": get("/", "Host: evil.example"),
        "two names, the right one last": get("/", "Host: localhost", host="evil.example"),
        "nothing": get("/", host=""),
        "no name": b"GET / HTTP/1.1\r\n\r\n",
    }),
    *_group("a proxy's word", (200, 200), {line: get("/api", line) for line in FORWARDED}),
    *_group("from", (403, 200), {
        origin: post("/feedback", b"label=cat", "text/plain", f"Origin: {origin}") for origin in ORIGINS
    }),
    *_group("to", (403, 200), {
        path: post(path, PICTURE, "image/png", "Origin: http://evil.example") for path in POSTS
    }),
    *_group("fetched", (403, 200), {
        site: post("/", PICTURE, "image/png", f"Sec-Fetch-Site: {site}")
        for site in ("cross-site", "same-site", "none,cross-site", "")
    }),
    *_group("a form for JSON", (415, 200), {
        kind: post("/v1/feedback", b'{"id": "0", "label": "cat"}', kind)
        for kind in ("text/plain", "application/x-www-form-urlencoded", "text/json;application/json")
    }),
    *_group("asked before", (200, 200), {
        "by a browser": request("OPTIONS", "/v1/predict", "Origin: http://evil.example",
                                "Access-Control-Request-Method: POST"),
    }),
    *_group("a place", (404, 200), {path: get(path) for path in PLACES}),
    *_group("a second slash", (404, 200), {
        path: get(path) for path in ("//evil.example/", "/%5cevil.example")
    }),
    *_group("a second slash", (308, 200), {"/v1//model": get("/v1//model")}),
    *_group("a second slash", (200, 200), {"//v1/model": get("//v1/model")}),
    *_group("a new line", (404, 200), {path: get(path) for path in NEW_LINES}),
    *_group("a new line", (200, 200), {"in a name": named("a\r\nX-Evil: 1\r\n\r\n")}),
    *_group("a new line", (400, 200), {"in a file's name": form("a\r\nX-Evil: 1\r\nSet-Cookie: evil=1")}),
    *_group("a query", (200, 200), {path: get(path) for path in QUERIES}),
    *_group("a method", (405, 200), {
        f"{method} {path}": request(method, path, "X-Secret: evil.example")
        for method, path in METHODS.items()
    }),
    *_group("malformed", (400,), MALFORMED, bare=True),
    *_group("malformed", (), {"HTTP/2 at once": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}, bare=True),
    *_group("too long", (414,), {"an address": get("/" + "a" * 70_000)}, bare=True),
    *_group("too long", (431,), {
        "a header": get("/", "X: " + "a" * 600_000), "many headers": get("/", *["X: a"] * 1000),
    }, bare=True),
    *_group("too long", (413,), {"a length": post("/", b"", "image/png", f"Content-Length: {2**62}")}),
    *_group("smuggled", (400,), SMUGGLED),
    *_group("a chunk's length", (400,), {name: chunked(CHUNKED, body=body) for name, body in CHUNKS.items()}),
    *_group("JSON for pictures", (400, 200), {
        name: post("/v1/predict", body, "application/json") for name, body in JSON.items()
    }),
    *_group("JSON for a correction", (400, 200), {
        name: post("/v1/feedback", body, "application/json") for name, body in JSON.items()
    }),
    *_group("JSON", (413, 200), {
        f"{name} for {place}": post(place, body, "application/json")
        for name, body in DEEP.items() for place in ("/v1/predict", "/v1/feedback")
    }),
    *_group("a tensor", (400, 200), {
        name: post(INFER, body, "application/json") for name, body in (DEEP | JSON | TENSORS).items()
    }),
    *_group("a form", (400, 200), {
        name: post("/v1/predict", body, kind) for name, (kind, body) in FORMS.items()
    }),
    *_group("many", (413, 200), MANY),
    *(Attack(f"slow: {name}", sent, (status, 200)) for name, (status, sent) in SLOW.items()),
]  # fmt: skip
