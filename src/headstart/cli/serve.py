"""`headstart serve`."""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from headstart.config import AnyEngine, Whole
from headstart.errors import InputError, printable, sentence
from headstart.serving.limits import Limits

TOKEN = "HEADSTART_TOKEN"  # noqa: S105 - the name of a variable
SHORTEST = 16
Names = Annotated[tuple[str, ...], Parameter(negative=())]


def serve(
    run: Path,
    /,
    *,
    host: str = "127.0.0.1",
    port: Whole = 8000,
    engine: AnyEngine = "auto",
    name: Names = (),
    proxy: Names = (),
    rate: Whole | None = None,
    max_mb: float = Limits.body / 1e6,
    deadline: float = Limits.deadline,
    history: str = "",
    keep_days: Whole = 0,
    feedback: bool = True,
    keep_images: bool = False,
    log_json: bool = False,
) -> None:
    """Serve a model: a page for people, and an API for programs.

    Listens on this machine alone unless --host says otherwise, and then asks for the token that is in the
    environment variable HEADSTART_TOKEN. Ctrl-C ends it; requests under way are answered first.

    Args:
        run: Run directory, or its model folder.
        host: Address to listen on.
        port: Its port.
        engine: Another engine than the one the model was trained with.
        name: Another name by which the server is called, as behind a reverse proxy; may be repeated.
        proxy: Address or network of a reverse proxy, whose word on where requests come from is taken; may
            be repeated.
        rate: Requests that one client may send a minute, 0 for any number; by itself 600, and any number
            where only this machine can ask.
        max_mb: Largest request in megabytes, up to 500.
        deadline: Seconds after which a request is given up.
        history: File (SQLite) or URL of a database where answers are noted; `none` for nowhere. By itself
            served.sqlite3 in the run.
        keep_days: Days after which answers are forgotten, unless they were corrected; 0 keeps them.
        feedback: People may say what a picture shows, which keeps this one picture.
        keep_images: Keep all pictures, without what their files say beside the pixels.
        log_json: Write a line of JSON for each request, and for what goes wrong, to standard error.
    """
    try:
        from headstart.serving import server
        from headstart.serving.place import Place, held
    except ModuleNotFoundError as error:
        raise InputError(
            sentence(f"Serving needs {error.name}.", remedy="pip install 'headstart[serve]'")
        ) from None

    body = int(1e6 * max_mb) if 0 < max_mb < math.inf else 0
    limits = Limits(body=body, deadline=deadline, rate=rate)
    chosen = "" if engine == "auto" else engine
    place = Place(
        run, chosen, host, port, _token(), names=name, proxies=proxy, limits=limits, history=history,
        keep_days=keep_days, feedback=feedback, keep_images=keep_images, log_json=log_json,
    )  # fmt: skip
    place = server.checked(place)
    with held(place):
        print(f"{printable(run)} is served at {place.url} (Ctrl-C ends it)", flush=True)
        server.serve(place)


def _token() -> str:
    """SHA-256 of the token, which is all that the server compares with; empty without one."""
    token = os.environ.pop(TOKEN, "")
    if token != token.strip() or not token.isprintable():
        line = "This token begins or ends with white space, or has control characters: no header carries it."
        raise InputError(sentence(line, remedy=f"Look at the ends of {TOKEN}."))
    if token and len(token) < SHORTEST:
        raise InputError(
            sentence(
                "This token is easily guessed.",
                allowed=f"{SHORTEST} characters or more",
                received=f"{len(token)} characters",
                remedy="Take what `python -c 'import secrets; print(secrets.token_urlsafe())'` prints.",
            )
        )
    return hashlib.sha256(token.encode()).hexdigest() if token else ""
