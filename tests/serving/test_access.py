"""Who is let in: by the name that the server is called by, and by a token."""

from __future__ import annotations

import base64
import hashlib

import pytest

from headstart.serving.access import Access

SECRET = "a long random text, with = and ü"  # noqa: S105
ACCESS = Access(frozenset({"cells.example"}), hashlib.sha256(SECRET.encode()).hexdigest())


def status(access, **headers):
    found = access.refusal({"host": "localhost"} | headers)
    return 0 if found is None else int(found.status)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", 0),
        ("LocalHost:8000", 0),
        ("127.0.0.1:8000", 0),
        ("[::1]:8000", 0),
        ("192.168.1.5", 0),  # an address cannot be pointed elsewhere
        ("cells.example", 0),
        ("Cells.Example:443", 0),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("evil.example:127.0.0.1", 421),
        ("127.0.0.1.evil.example", 421),
        ("", 421),
        ("[::1", 0),  # what a browser would never send is no harm
        ("[evil.example]", 421),
        ("localhost:80@evil.example", 421),  # where a link to this host would lead
        ("[::1].evil.example", 421),
        ("localhost:", 0),
        ("localhost.:8000", 0),  # a name that is whole, as one may type it
        ("Cells.Example.", 0),
        ("cells.example..", 421),
        ("evil.example.", 421),
    ],
)
def test_by_a_foreign_name_nobody_is_let_in(host, expected):
    """As a page that has its own name point here would have the visitor's browser ask."""
    assert status(Access(frozenset({"cells.example"})), host=host) == expected


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer guess",
        "Bearer",
        "Bearer ",
        "Basic !",
        "Basic",
        "Basic Og==",
        "Digest x",
        SECRET,
        "\xff",
        "Basic \xe9",
    ],
)
def test_without_the_token_nobody_is_let_in(shown):
    assert status(ACCESS, authorization=shown) == 401


def test_a_token_is_taken_in_two_ways():
    basic = base64.b64encode(f"anyone:{SECRET}".encode()).decode()

    bearer = f"Bearer {SECRET}".encode().decode("latin-1")  # as bytes come through

    assert status(ACCESS, authorization=bearer) == 0
    assert status(ACCESS, authorization=f"Basic {basic}") == 0


def test_a_browser_is_told_to_ask_for_it():
    found = ACCESS.refusal({"host": "localhost"})

    assert found.headers["WWW-Authenticate"].startswith("Basic ")
