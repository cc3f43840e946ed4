"""More than 300 attacks on the real server, by its socket: it gives nothing away and goes on (R26)."""

from __future__ import annotations

import csv
import io
import random
import re
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from html.parser import HTMLParser
from typing import NamedTuple

import pytest
from tests import models
from tests.serving.attacks import AFTER, ATTACKS, CLASSES, MARKUP, MODEL, Attack, form, get, named, post
from tests.serving.running import served, workers

from headstart.serving.gate import HEADERS

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="workers are found in /proc")

GOOD = Attack("nothing", post("/v1/predict"), (200, 200))
SAFE = ("/", "#", "data:image/", "data:,", "http://localhost/")
BARE = {"connection", "content-length", "date"}
SECONDS = 5  # for an answer, while three others are attacking
SECRETS = ("Traceback", "site-packages", "/pytest-", "root:x:", "sqlite3", "Werkzeug")
TAGS = set(
    "html head meta title link script body a header p nav ul li main h1 h2 form label strong em span small"
    " input button div article img svg rect details summary option select section code dl dt dd pre table"
    " thead tr th tbody td time footer".split()
)
"""What the templates are made of."""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Page(HTMLParser):
    """What a browser would make of it: words, and what in it would be obeyed or fetched."""

    def __init__(self, text):
        super().__init__()
        self.words, self.wrong = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.words += [value for _, value in attributes if value]
        own = {"src": "/static/page.js", "defer": None}
        if tag not in TAGS or (tag == "script" and given != own) or (tag == "meta" and "http-equiv" in given):
            self.wrong.append(tag)
        targets = [given[name] or "" for name in ("href", "action", "src", "formaction") if name in given]
        self.wrong += [one for one in targets if not one.startswith(SAFE) or one.startswith("//")]
        self.wrong += [name for name in given if name.startswith("on")]

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Its port; at the end it is the same worker that answers, and the log has nothing to say."""
    folder = tmp_path_factory.mktemp("attacked")
    run = models.answering(folder / MODEL, models.spec(class_names=CLASSES))
    log, history = folder / "log", folder / "served.sqlite3"
    with served(run, "--history", str(history), output=log) as (port, process):
        before = workers(process)
        yield port
        assert workers(process) == before
    assert [line for line in log.read_text().splitlines()[1:] if line] == []


def ask(port, attack):
    """All that comes back until the connection ends, and the seconds that it took."""
    said, start = b"", time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client, suppress(ConnectionError):
        with suppress(ConnectionError):  # it is cut off while it sends
            client.sendall(attack.sent + AFTER)
        while received := client.recv(1 << 20):
            said += received
    return list(parsed(said)), time.monotonic() - start


def parsed(said):
    while said:
        head, _, rest = said.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        length = int(headers["content-length"])
        yield Answer(int(first.split()[1]), headers, rest[:length])
        said = rest[length:]


def wrong(answer):
    """What an answer gives away, lacks or would have a browser do."""
    headers, text = answer.headers, answer.body.decode("utf-8", "replace")
    all_of_it = f"{headers} {text}"
    found = [word for word in (*SECRETS, "evil.example") if word in all_of_it]
    own = {"Cache-Control": "no-cache"} if "etag" in headers else {}  # what the page is made of is no secret
    found += [name for name, value in (HEADERS | own).items() if headers.get(name.lower()) != value]
    found += [name for name in headers if name.startswith(("access-control", "set-cookie", "x-evil"))]
    if not headers.get("location", "http://localhost/").startswith("http://localhost/"):
        found.append(headers["location"])
    return found + (Page(text).wrong if headers.get("content-type", "").startswith("text/html") else [])


def finding(port, attack):
    """What came of an attack that should not have; empty for nothing."""
    answers, seconds = ask(port, attack)
    if (statuses := tuple(one.status for one in answers)) != attack.statuses:
        return [statuses]
    late = [seconds] if seconds > SECONDS else []
    if attack.bare:  # granian's own refusal
        return late + [one for one in answers if one.body or not one.headers.keys() <= BARE]
    return late + [word for one in answers for word in wrong(one)]


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.serving)])
def test_no_attack_finds_anything_and_others_are_answered_as_ever(server, rounds):
    """Several at once, in any order, with good requests among them."""
    drawn = ([*ATTACKS] + [GOOD] * (len(ATTACKS) // 5)) * rounds
    random.Random(rounds).shuffle(drawn)  # noqa: S311
    before = ask(server, GOOD)[0][0].body

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: finding(server, one), drawn))

    assert len(ATTACKS) == len({attack.name for attack in ATTACKS}) >= 300
    assert {one.name: problem for one, problem in zip(drawn, found, strict=True) if problem} == {}
    assert ask(server, GOOD)[0][0].body == before


@pytest.mark.parametrize("markup", MARKUP)
def test_markup_is_shown_as_the_words_that_it_is(server, markup):
    """Wherever a name of a file comes back; so the pages above have something in them to obey."""
    pages = [ask(server, Attack("", sent, ()))[0][0] for sent in (form(markup), get("/history"))]

    for page in pages:
        shown = Page(page.body.decode())
        assert markup in [word.strip() for word in shown.words]
        assert {MODEL, *CLASSES} <= {word.strip() for word in shown.words}
        assert shown.wrong == []


FORMULAS = (
    "=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "=cmd|' /C calc'!A0", '=HYPERLINK("x")',
    '"=1', "\uff1d1", "\uff0b1", "\uff0d1", "\uff201", ";=1", "a; =1", "a;\uff1d1;b", ",=1", "\0=1", "%=1",
)  # fmt: skip


@pytest.mark.parametrize("formula", FORMULAS)
def test_no_cell_of_the_table_is_a_formula(server, formula):
    ask(server, Attack("", named(formula), ()))

    table = ask(server, Attack("", get("/history/answers.csv"), ()))[0][0].body.decode()

    cells = [cell for row in csv.reader(io.StringIO(table)) for cell in row]
    assert any(formula.strip("\t\r\n\0") in re.sub(r"(;\s*)'", r"\1", cell) for cell in cells)
    # As a spreadsheet of many countries reads it, too: there a semicolon ends a cell.
    cells += [cell.lstrip() for row in csv.reader(io.StringIO(table), delimiter=";") for cell in row]
    assert not [cell for cell in cells if cell.startswith(tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"))]
