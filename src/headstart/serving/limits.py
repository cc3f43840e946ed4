"""What a server allows, declared once: for the command, the gate and the application."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on what one request and all of them together may take.

    Attributes:
        body: bytes of a request.
        images: of one request.
        requests: that wait or are answered at the same time; more are refused at once.
        readers: requests that are being read at the same time.
        held: bytes of all requests that are being read, or wait for their answer.
        reading: seconds from the first byte of a request to its last.
        deadline: seconds that a complete request may wait for its answer.
        rate: requests a minute of one client; 0 for any number; None for what suits the address.
    """

    body: int = 20_000_000
    images: int = 32
    requests: int = 64
    readers: int = 512
    held: int = 500_000_000
    reading: float = 15.0
    deadline: float = 30.0
    rate: int | None = None
