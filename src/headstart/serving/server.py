"""Starts the server: granian accepts connections; one worker process, which comes back by itself, answers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sys
import threading
from dataclasses import dataclass, field, replace
from functools import partial
from ipaddress import ip_address, ip_network
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from sqlalchemy import URL

from headstart.errors import GateError, HeadstartError, InputError, sentence
from headstart.inference import bundle
from headstart.inference.predictor import Predictor
from headstart.rundir import RunDir
from headstart.serving.access import Access
from headstart.serving.history import History, url_of
from headstart.serving.limits import Limits
from headstart.serving.service import Service, require_golden

HISTORY = "served.sqlite3"
LARGEST, LONGEST, MOST_DAYS = 1e9, 600, 36_500  # bytes, seconds, days
SWITCH = 0.0005  # seconds; by Python's 5 ms the engine's thread waits for its turn, and the cores with it
RATE = 600  # requests a minute of one client, where others than this machine can ask


@dataclass(frozen=True)
class Place:
    """What is served, and where.

    Attributes:
        run: a run directory, or a bundle.
        engine: another one than that of the training; empty for that one.
        called, port: the address as it was given.
        token: SHA-256 of the token in hexadecimal digits; empty for none.
        names: others by which the server may be called, as behind a reverse proxy.
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


def checked(place: Place) -> Place:
    """The same with the address and port that will be listened on, if it can be served there.

    Raises:
        InputError: no model, a history that cannot be opened, limits that allow nothing, a port that is
            taken, an address beyond this machine without a token, or a proxy that has no address.
        GateError: the model answers otherwise here than where it was trained.
    """
    place = replace(place, **_address(place))
    _require_token(place)
    _require_sense(place)
    if place.limits.rate is None:
        place = replace(place, limits=replace(place.limits, rate=RATE if place.public else 0))
    predictor = _predictor(place)
    require_golden(predictor)
    settings(place)
    if place.noted:
        History(place.noted, place.keep_days).close()
    return replace(place, digest=predictor.bundle.digest)


def serve(place: Place) -> None:
    """Serves until a signal asks for the end; requests under way are answered first.

    Raises:
        GateError: a worker that came back has not found the model that was checked.
    """
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces, Loops
    from granian.http import HTTP1Settings

    limits = place.limits
    multiprocessing.set_start_method("spawn", force=True)  # OpenMP's threads don't survive a fork
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # small products, beside which others want the cores
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # else glibc keeps what each of many threads decoded
    server = Granian(
        "headstart", place.host, place.port,
        interface=Interfaces.ASGI, workers=1, respawn_failed_workers=True, respawn_interval=0.2,
        http=HTTPModes.http1, websockets=False, loop=Loops.asyncio, log_enabled=False,
        http1_settings=HTTP1Settings(header_read_timeout=int(1000 * limits.reading)),
        workers_kill_timeout=int(limits.reading + limits.deadline) + 5,
    )  # fmt: skip
    server.respawned_wrks = _Forgetful()
    lost: SimpleQueue[str] = multiprocessing.SimpleQueue()
    server.serve(target_loader=partial(application, place, lost), wrap_loader=False)
    if not lost.empty():
        raise GateError(lost.get())


class _Forgetful(dict[int, float]):
    """When workers were started again. Granian ends where one of them dies twice within 5.5 s.

    So two pictures that kill a decoder would end the service; as nothing is remembered, it always comes back.
    """

    def __setitem__(self, worker: int, moment: float) -> None:
        pass


def application(place: Place, lost: SimpleQueue[str]) -> Any:
    """What a worker process runs: the gate, and Flask behind it.

    Where the model is not there any more it says so in `lost`, and the server ends as a whole.
    """
    from a2wsgi import WSGIMiddleware
    from granian.utils.proxies import wrap_asgi_with_proxy_headers

    from headstart.serving.app import create_app
    from headstart.serving.gate import Gate
    from headstart.serving.log import Logged, to_stderr

    threading.Thread(target=_end_with_parent, daemon=True).start()
    limits = place.limits
    sys.setswitchinterval(SWITCH)
    service = Service(_found(place, lost), deadline=limits.deadline)
    history = History(place.noted, place.keep_days, known=True) if place.noted else None
    app: Any = create_app(service, settings(place), history)
    inner: Any = WSGIMiddleware(app, workers=limits.requests + 4)  # four for what is always answered
    access = Access(frozenset(name.lower() for name in (place.called, *place.names)), place.token)
    gate: Any = Gate(inner, limits, access, service.end)
    if place.log_json:
        to_stderr()
        gate = Logged(gate)
    return wrap_asgi_with_proxy_headers(gate, list(place.proxies)) if place.proxies else gate


def _end_with_parent() -> None:
    """Else the worker of a server that was killed would answer on, and hold the port."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _found(place: Place, lost: SimpleQueue[str]) -> Predictor:
    """The model that was checked when the server started, and no other that lies there by now."""
    try:
        predictor = _predictor(place)
        if predictor.bundle.digest != place.digest:
            raise GateError(
                sentence(
                    "The model's folder holds another model than the one that was served.",
                    received=predictor.bundle.digest,
                    remedy="Start the server again; it checks a model before.",
                )
            )
    except HeadstartError as error:
        lost.put(str(error))
        if (parent := multiprocessing.parent_process()) and parent.pid:
            os.kill(parent.pid, signal.SIGTERM)
        threading.Event().wait()  # the end is on its way
        raise
    return predictor


def _predictor(place: Place) -> Predictor:
    return Predictor(bundle.load(place.model), place.engine)


def settings(place: Place) -> Any:
    """Of the application."""
    from headstart.data import manifest
    from headstart.serving.application import Settings

    run = RunDir(place.run)
    return Settings(
        name=place.run.resolve().name,
        limits=place.limits,
        report=run.report.read_text(encoding="utf-8") if run.report.exists() else "",
        images=manifest.load(run.manifest).root if run.manifest.exists() else None,
        feedback=place.feedback,
        keep_images=place.keep_images,
        protected=bool(place.token),
    )


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
    if not (0 < place.limits.body <= LARGEST and 0 < place.limits.deadline <= LONGEST):
        raise InputError(
            sentence(
                "Within these limits nothing could be answered, or no end would come.",
                allowed=f"--max-mb up to {LARGEST / 1e6:g}, --deadline up to {LONGEST}, both above 0",
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


def _require_address(proxy: str) -> None:
    try:
        ip_network(proxy)
    except ValueError:
        allowed = "an address or a network, such as 127.0.0.1 or 10.0.0.0/8"
        raise InputError(sentence("This is no --proxy.", allowed=allowed, received=proxy)) from None


def _address(place: Place) -> dict[str, Any]:
    """The host as a number, and the port, or one that is free where it is 0."""
    try:
        family, *_, known = socket.getaddrinfo(place.called, None, type=socket.SOCK_STREAM)[0]
        with socket.socket(family) as tried:
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind((known[0], place.port, *known[2:]))
            host, port = tried.getsockname()[:2]
            return {"host": host, "port": port}
    except (OSError, OverflowError, UnicodeError) as error:
        raise InputError(
            sentence(
                f"The server cannot listen there: {getattr(error, 'strerror', None) or error}.",
                received=f"{place.called}:{place.port}",
                remedy="Choose another --host or --port, or end the program that has this one.",
            )
        ) from None
