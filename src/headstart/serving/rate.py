"""How often one client may ask: a sliding window a minute wide (https://limits.readthedocs.io)."""

from __future__ import annotations

import math
import time
from http import HTTPStatus
from ipaddress import ip_address, ip_network

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from headstart.serving.problems import Problem

HOME = 64  # leading bits of an IPv6 address that one subscriber has for himself (RFC 6177)


class Rate:
    """Counts the requests of each client.

    Args:
        most: requests that each may send a minute, at least 1.
    """

    def __init__(self, most: int) -> None:
        self.most = RateLimitItemPerMinute(most)
        self.window = SlidingWindowCounterRateLimiter(MemoryStorage())

    def refusal(self, client: str) -> Problem | None:
        """Why the client at this address has to wait; None, and it is counted, if it hasn't to."""
        who = subscriber(client)
        if self.window.hit(self.most, who):
            return None
        seconds = max(1, math.ceil(self.window.get_window_stats(self.most, who).reset_time - time.time()))
        text = f"These are more than {self.most.amount} requests a minute; try again in {seconds} s."
        return Problem(HTTPStatus.TOO_MANY_REQUESTS, text, seconds)


def subscriber(client: str) -> str:
    """Who is behind an address: of IPv6 the network that one subscriber is given.

    >>> subscriber("2001:db8:1:2:3:4:5:6"), subscriber("::ffff:192.0.2.1"), subscriber("192.0.2.1")
    ('2001:db8:1:2::/64', '192.0.2.1', '192.0.2.1')
    """
    try:
        address = ip_address(client)
    except ValueError:
        return client  # a proxy may call its clients as it likes
    if address.version == 4:
        return str(address)
    return str(address.ipv4_mapped or ip_network((int(address), HOME), strict=False))
