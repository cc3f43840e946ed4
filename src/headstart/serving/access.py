"""Who may ask: by the name that the server is called by, and by a token."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from ipaddress import ip_address

from werkzeug.datastructures import Authorization

from headstart.serving.problems import Problem


def host_name(name: str) -> str:
    """A name as requests have it: in ASCII (IDNA) and lower case, without the dot that it may end with.

    Raises:
        ValueError: it is none, or has a port.

    >>> host_name("Bücher.example."), host_name("localhost")
    ('xn--bcher-kva.example', 'localhost')
    """
    found = name.encode("idna").decode().lower().removesuffix(".")
    if not re.fullmatch(r"[\w-]+(\.[\w-]+)*", found):
        raise ValueError(name)
    return found


@dataclass(frozen=True)
class Access:
    """What a request must show.

    Attributes:
        names: by which the server may be called beside `localhost` and its addresses, in lower case. To any
            other name a foreign page may point here, and have its visitor's browser ask (DNS rebinding);
            with an address it cannot.
        token: SHA-256 of what clients must show, in hexadecimal digits; empty for nothing.
    """

    names: frozenset[str] = frozenset()
    token: str = ""

    def refusal(self, headers: Mapping[str, str]) -> Problem | None:
        """Why a request with these headers (names in lower case) is not let in; None if it is."""
        if not self._called(headers.get("host", "")):
            text = "The server isn't called that; start it with --name if it should be."
            return Problem(HTTPStatus.MISDIRECTED_REQUEST, text)
        if self.token and not self._shown(headers.get("authorization", "")):
            ways = {"WWW-Authenticate": 'Basic realm="headstart", charset="UTF-8"'}
            return Problem(HTTPStatus.UNAUTHORIZED, "This server asks for a token.", more=ways)
        return None

    def _called(self, host: str) -> bool:
        name, _, port = host[1:].partition("]") if host.startswith("[") else host.partition(":")
        if port.removeprefix(":").strip("0123456789"):
            return False  # as `localhost:80@evil.example`, which a link would lead to
        name = name.lower().removesuffix(".")  # of a name that is whole, which a search list adds nothing to
        try:
            ip_address(name)
        except ValueError:
            return name in self.names | {"localhost"}
        return True

    def _shown(self, authorization: str) -> bool:
        """As a bearer token, or as the password that a browser asks for; compared in constant time."""
        scheme, _, rest = authorization.strip(" \t").partition(" ")
        if scheme.lower() == "bearer":
            shown = rest.strip(" \t").encode("latin-1", "replace")  # the bytes that came
        else:
            given = None
            with suppress(ValueError):  # what is not ASCII is no base64, which werkzeug leaves to its caller
                given = Authorization.from_header(authorization)
            shown = ((given.password if given else None) or "").encode()
        return hmac.compare_digest(hashlib.sha256(shown).hexdigest(), self.token)
