"""What is asked for makes sense, or is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
from granian.utils.proxies import _Forwarders

from headstart.errors import InputError
from headstart.serving.access import Access
from headstart.serving.limits import Limits
from headstart.serving.place import Place, held, settled, trusted


def place(**changes):
    return Place(Path("model"), port=0, **changes)


def test_a_request_may_be_as_large_as_all_of_them_together():
    """A larger one would be told for ever that there is too much to do."""
    assert settled(place(limits=Limits(body=500_000_000))).limits.body == 500_000_000
    with pytest.raises(InputError, match="--max-mb up to 500"):
        settled(place(limits=Limits(body=500_000_001)))


def test_names_are_as_requests_have_them():
    found = settled(place(called="localhost", names=("B\u00fccher.Example", "cells.example.")))

    assert found.names == ("localhost", "xn--bcher-kva.example", "cells.example")
    assert Access(frozenset(found.names)).refusal({"host": "xn--bcher-kva.example:443"}) is None


def test_of_two_that_want_a_port_one_gets_it():
    first = settled(place())
    with held(first):
        with pytest.raises(InputError, match="in use"):
            settled(Place(Path("model"), port=first.port))
        with pytest.raises(InputError, match="in use"), held(first):
            pass
    settled(Place(Path("model"), port=first.port))


@pytest.mark.parametrize("proxy", ["192.0.2.7", "192.0.2.0/24", "::1"])
def test_a_proxy_is_known_by_the_address_that_connections_have(proxy):
    """Where the server listens on `::`, an IPv4 address comes as IPv6."""
    known = _Forwarders(trusted((proxy,)))
    assert ("::ffff:192.0.2.7" in known) == ("192.0.2.7" in known) == (proxy != "::1")
    assert "::ffff:192.0.3.7" not in known


@pytest.mark.parametrize(
    "name", ["cells.example:8443", "https://cells.example", "a b", "", ".", "a..b", "x" * 64]
)
def test_what_no_request_can_call_it_is_refused(name):
    with pytest.raises(InputError, match=r"This is no --name\. .*without a port"):
        settled(place(names=(name,)))
