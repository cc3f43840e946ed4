"""What is served, and where: as it was asked for, and as it makes sense."""

from __future__ import annotations

import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from headstart.errors import InputError, sentence
from headstart.rundir import RunDir
from headstart.serving.access import host_name
from headstart.serving.history import url_of
from headstart.serving.limits import Limits

HISTORY = "served.sqlite3"
LONGEST, MOST_DAYS = 600, 36_500  # seconds, days
RATE = 600  # requests a minute of one client, where others than this machine can ask


@dataclass(frozen=True)
class Place:
    """What is served, and where.

    Attributes:
        run: a run directory, or a bundle.
        engine: another one than that of the training; empty for that one.
        called, port: the address as it was given.
        token: SHA-256 of the token in hexadecimal digits; empty for none.
        names: others by which the server may be called, as behind a reverse proxy; once `settled`, all.
        proxies: addresses or networks of reverse proxies, which say whom a request really comes from.
        log_json: write a line of JSON for each request to standard error.
        limits: of requests.
        history: where answers are noted, a URL or a file; `none` for nowhere; empty for a file in the run.
        keep_days: answers are forgotten after so many; 0 keeps them.
        feedback, keep_images: see `app.Settings`.
        host: the address as a number.
        digest: of the model that was found to answer as it must.
    """

    run: Path
    engine: str = ""
    called: str = "127.0.0.1"
    port: int = 8000
    token: str = ""
    names: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    history: str = ""
    keep_days: int = 0
    feedback: bool = True
    keep_images: bool = False
    log_json: bool = False
    host: str = ""
    digest: str = ""

    @property
    def noted(self) -> str | URL:
        """The URL of the history; empty for none, as for a bundle alone, beside which nothing may lie."""
        if self.history:
            return "" if self.history == "none" else url_of(self.history)
        return url_of(str(self.run.resolve() / HISTORY)) if self.model != self.run else ""

    @property
    def url(self) -> str:
        """The address as one types it."""
        return f"http://{f'[{self.called}]' if ':' in self.called else self.called}:{self.port}"

    @property
    def public(self) -> bool:
        """Whether others than this machine can ask."""
        return not ip_address(self.host).is_loopback or bool(self.proxies)

    @property
    def model(self) -> Path:
        """The bundle's folder."""
        return RunDir(self.run).model if RunDir(self.run).model.is_dir() else self.run


def settled(place: Place) -> Place:
    """The same with the address and port that will be listened on, names as requests have them, and a rate.

    Raises:
        InputError: limits that allow nothing, a port that is taken, an address beyond this machine without a
            token, a name that is none, or a proxy that has no address.
    """
    own = [] if ":" in place.called else [place.called]
    place = replace(place, **_address(place), names=tuple(map(_name, [*own, *place.names])))
    _require_token(place)
    _require_sense(place)
    if place.limits.rate is None:
        place = replace(place, limits=replace(place.limits, rate=RATE if place.public else 0))
    return place


def _require_token(place: Place) -> None:
    if place.public and not place.token:
        raise InputError(
            sentence(
                "Others could reach this address, and nobody would have to show a token.",
                allowed="127.0.0.1 without --proxy, or a token",
                received=" ".join([place.called, *(f"--proxy {proxy}" for proxy in place.proxies)]),
                remedy="Put a long random text into HEADSTART_TOKEN, or leave --host and --proxy out.",
            )
        )


def _require_sense(place: Place) -> None:
    largest = place.limits.held  # a larger request would be refused as what is too much at once
    if not (0 < place.limits.body <= largest and 0 < place.limits.deadline <= LONGEST):
        raise InputError(
            sentence(
                "Within these limits nothing could be answered, or no end would come.",
                allowed=f"--max-mb up to {largest / 1e6:g}, --deadline up to {LONGEST}, both above 0",
            )
        )
    if (rate := place.limits.rate) is not None and rate < 0:
        allowed = "1 or more, or 0 for any number"
        raise InputError(sentence("--rate cannot be that.", allowed=allowed, received=rate))
    for proxy in place.proxies:
        _require_address(proxy)
    if not 0 <= place.keep_days <= MOST_DAYS:
        allowed = f"0 to {MOST_DAYS}; 0 keeps all"
        raise InputError(sentence("--keep-days cannot be that.", allowed=allowed, received=place.keep_days))


def _name(given: str) -> str:
    try:
        return host_name(given)
    except ValueError:
        allowed = "a name such as photos.example, without a port; addresses need none"
        raise InputError(sentence("This is no --name.", allowed=allowed, received=given)) from None


def _require_address(proxy: str) -> None:
    try:
        ip_network(proxy)
    except ValueError:
        allowed = "an address or a network, such as 127.0.0.1 or 10.0.0.0/8"
        raise InputError(sentence("This is no --proxy.", allowed=allowed, received=proxy)) from None


def trusted(proxies: tuple[str, ...]) -> list[str]:
    """Proxies as connections have them: where the server listens on IPv6, IPv4 ones are called otherwise.

    >>> trusted(("10.0.0.0/8", "::1"))
    ['10.0.0.0/8', '::ffff:10.0.0.0/104', '::1']
    """
    found = []
    for proxy in proxies:
        found.append(proxy)
        network = ip_network(proxy)
        if network.version == 4:
            found.append(f"::ffff:{network.network_address}/{96 + network.prefixlen}")
    return found


@contextmanager
def held(place: Place) -> Iterator[None]:
    """Keeps the port of a `settled` place for this server, also while a worker comes back.

    Granian's workers share a port with whoever asks for that: a second server would get half of the
    requests, and another program could take the port before a worker is back.

    Raises:
        InputError: the port was taken meanwhile.
    """
    with _bound(place) as socket_:
        if sys.platform == "linux":  # elsewhere granian's main process holds it
            socket_.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
            socket_.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        else:
            socket_.close()
        yield


def _address(place: Place) -> dict[str, Any]:
    """The host as a number, and the port, or one that is free where it is 0."""
    with _bound(place) as tried:
        host, port = tried.getsockname()[:2]
        return {"host": host, "port": port}


def _bound(place: Place) -> socket.socket:
    """A socket with that address, on which nobody listens."""
    try:
        family, *_, known = socket.getaddrinfo(place.called, None, type=socket.SOCK_STREAM)[0]
        with ExitStack() as unless_bound:
            tried = unless_bound.enter_context(socket.socket(family))
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((known[0], place.port, *known[2:]))
            unless_bound.pop_all()
            return tried
    except (OSError, OverflowError, UnicodeError) as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        raise InputError(
            sentence(
                f"The server cannot listen there: {reason}.",
                received=f"{place.called}:{place.port}",
                remedy="Choose another --host or --port"
                + (", or end the program that has this one." if taken else "."),
            )
        ) from None
