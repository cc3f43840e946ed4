"""How often one client may ask."""

from __future__ import annotations

import asyncio
import time

import pytest
from tests.serving.test_gate import Client, echo

from headstart.serving.access import Access
from headstart.serving.gate import Gate
from headstart.serving.limits import Limits
from headstart.serving.rate import Rate


@pytest.fixture(autouse=True)
def stopped(monkeypatch):
    """No minute begins while somebody is counted."""
    monkeypatch.setattr(time, "time", lambda: 1_700_000_030.0)


def test_one_more_than_allowed_is_refused_and_others_are_not():
    rate = Rate(3)

    assert [rate.refusal("192.0.2.1") for _ in range(3)] == [None] * 3
    refused = rate.refusal("192.0.2.1")
    assert refused.status == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert rate.refusal("192.0.2.2") is None


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("", "", True),
        ("unknown", "_hidden", False),
    ],
)
def test_a_client_is_who_has_an_address_or_a_home_s_network(first, second, same):
    rate = Rate(1)

    assert rate.refusal(first) is None
    assert (rate.refusal(second) is not None) == same


def test_after_the_seconds_that_it_says_a_client_is_let_in(monkeypatch):
    rate, real = Rate(4), time.time
    while not (refused := rate.refusal("192.0.2.1")):
        pass
    monkeypatch.setattr(time, "time", lambda: real() + int(refused.headers["Retry-After"]) + 0.1)

    assert rate.refusal("192.0.2.1") is None


def test_guesses_at_a_token_are_counted_and_health_is_not():
    async def statuses(*paths):
        gate = Gate(echo, Limits(rate=2), Access(token="0" * 64))
        return [(await Client(b"", path=path, method="GET").through(gate)).status for path in paths]

    assert asyncio.run(statuses("/", "/", "/", "/health", "/health", "/health")) == [
        401,
        401,
        429,
        200,
        200,
        200,
    ]


def test_without_a_limit_nobody_is_counted():
    assert Gate(echo, Limits()).rate is None
    assert Gate(echo, Limits(rate=0)).rate is None
