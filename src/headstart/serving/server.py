"""Starts the server: granian accepts connections; one worker process, which comes back by itself, answers."""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from typing import Any

from headstart.errors import GateError, HeadstartError, InputError, printable, sentence
from headstart.inference import bundle
from headstart.inference.predictor import Predictor
from headstart.rundir import RunDir
from headstart.serving.access import Access
from headstart.serving.history import History
from headstart.serving.place import Place, settled, trusted
from headstart.serving.service import Service, require_golden

LOOK = 0.1  # seconds between two looks at whether a signal has come
SWITCH = 0.0005  # seconds; by Python's 5 ms the engine's thread waits for its turn, and the cores with it


def checked(place: Place) -> Place:
    """The same as `settled`, and with the model's digest, if it can be served there.

    Raises:
        InputError: no model, a history that cannot be opened, or what `settled` refuses.
        GateError: the model answers otherwise here than where it was trained.
    """
    place = settled(place)
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
    os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")  # weights in large pages, if Linux may
    server = Granian(
        "headstart", place.host, place.port,
        interface=Interfaces.ASGI, workers=1, respawn_failed_workers=True, respawn_interval=0.2,
        http=HTTPModes.http1, websockets=False, loop=Loops.asyncio, log_enabled=False,
        http1_settings=HTTP1Settings(header_read_timeout=int(1000 * limits.reading)),
        workers_kill_timeout=int(limits.reading + limits.deadline) + 5,
    )  # fmt: skip
    server.respawned_wrks = _Forgetful()
    server.main_loop_interrupt = _Asked(server)  # type: ignore[assignment]
    with _hanging_up(server):
        lost: SimpleQueue[str] = multiprocessing.SimpleQueue()
    server.serve(target_loader=partial(application, place, lost), wrap_loader=False)
    if not lost.empty():
        raise GateError(lost.get())


@contextmanager
def _hanging_up(server: Any) -> Iterator[None]:
    """From here on SIGHUP ends the server as SIGTERM does, unless it is ignored, as under nohup.

    Granian would start a new worker. A terminal sends it to all processes, and helpers that are started
    meanwhile ignore it: the server ends them.
    """
    server.signal_handler_reload = None
    hang_up = getattr(signal, "SIGHUP", None)  # Windows has none
    before = signal.signal(hang_up, signal.SIG_IGN) if hang_up else None
    yield
    if hang_up and before is not signal.SIG_IGN:
        signal.signal(hang_up, server.signal_handler_interrupt)


class _Asked:
    """What granian's main process waits for; as `threading.Event`, but looked at instead of waited for.

    A handler of signals sets it. An event's own lock is then taken where two signals come together, as when a
    terminal closes, and one that another thread was given wakes nobody: the server would never end.
    """

    def __init__(self, server: Any) -> None:
        self.server, self.asked = server, False

    def set(self) -> None:
        """As an event's."""
        self.asked = True

    def clear(self) -> None:
        """As an event's."""
        self.asked = False

    def wait(self) -> None:
        """Until it is set; or a signal came, which granian may have cleared with something else."""
        while not (self.asked or self.server.interrupt_signal):
            time.sleep(LOOK)


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
    from granian.utils.proxies import wrap_asgi_with_proxy_headers

    from headstart.serving.app import create_app
    from headstart.serving.gate import Gate
    from headstart.serving.log import Logged, to_stderr
    from headstart.serving.whole import Threads

    if hasattr(signal, "SIGHUP"):  # a terminal sends it to all; who started this will end it
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    limits = place.limits
    sys.setswitchinterval(SWITCH)
    predictor, chosen = _found(place, lost)
    service = Service(predictor, deadline=limits.deadline)
    history = History(place.noted, place.keep_days, known=True) if place.noted else None
    app = create_app(service, chosen, history)
    inner = Threads(app, limits.requests + 4)  # four for what is always answered
    access = Access(frozenset(place.names), place.token)
    gate: Any = Gate(inner, limits, access, partial(_end, service, history))
    gc.collect()
    gc.freeze()  # else all that is there by now is looked through again and again, which takes 60 ms
    if place.log_json:
        to_stderr()
        gate = Logged(gate)
    return wrap_asgi_with_proxy_headers(gate, trusted(place.proxies)) if place.proxies else gate


def _end(service: Service, history: History | None) -> None:
    """The last that a worker does.

    Python's own end is left out: until 3.14 it ends threads that want its lock, and granian's, which don't
    survive that, abort the process then, once in some sixty times.
    """
    service.end()
    if history:
        history.close()
    atexit.register(os._exit, 0)


def _end_with_parent() -> None:
    """Else the worker of a server that was killed would answer on, and hold the port."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _found(place: Place, lost: SimpleQueue[str]) -> tuple[Predictor, Any]:
    """The model that was checked when the server started, and no other that lies there by now; settings."""
    try:
        predictor, chosen = _predictor(place), settings(place)
        if predictor.bundle.digest != place.digest:
            raise GateError(
                sentence(
                    "The model's folder holds another model than the one that was served.",
                    received=predictor.bundle.digest,
                    remedy="Start the server again; it checks a model before.",
                )
            )
    except (HeadstartError, OSError, ValueError) as error:  # whatever it is, it would be so the next time
        lost.put(printable(error))
        if (parent := multiprocessing.parent_process()) and parent.pid:
            os.kill(parent.pid, signal.SIGTERM)
        threading.Event().wait()  # the end is on its way
        raise
    return predictor, chosen


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
        report=_text(run.report) if run.report.exists() else "",
        images=manifest.load(run.manifest).root if run.manifest.exists() else None,
        feedback=place.feedback,
        keep_images=place.keep_images,
        protected=bool(place.token),
    )


def _text(report: Path) -> str:
    try:
        return report.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        remedy = "Delete it, or write it again with `headstart evaluate`."
        raise InputError(sentence("This report is damaged.", received=str(report), remedy=remedy)) from None
