"""The model behind a bounded queue, from which one thread takes what is there, decodes and computes it.

A network that keeps all cores busy gains nothing by waiting for company: what is queued is taken at once, as
many images as the engine's batch holds, or a few more. They are decoded on all cores while the engine rests,
and then each is computed on all cores; or where many wait and the engine has lanes, each on a core of its
own, which other threads hold up less. Large pictures are decoded on the threads of their requests, so that
none holds others up. Whatever waited longer than its deadline is not computed any more.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np

from headstart.data import images
from headstart.engines import INT8_MARGIN, TOLERANCE, threads
from headstart.engines import row as engine_row
from headstart.errors import GateError, HeadstartError, ImageError, sentence
from headstart.evaluation.explain import Explainer, Explanation
from headstart.inference import bundle
from headstart.inference.predictor import Prediction, Predictor
from headstart.serving.turns import LATE, LateError, decoding, turn

T = TypeVar("T")
Upload = tuple[str, bytes]
"""A picture that came: its name, as it was given or empty, and its bytes."""

Picture = bytes | np.ndarray | ImageError
"""A file's bytes, or of one that is decoded already (size, size, 3) uint8, or why it cannot be."""

ROUND = 8  # images that are decoded before the engine goes on
LARGE = 1_000_000  # pixels, which a PNG's decoder takes some 15 ms for


class BusyError(HeadstartError):
    """The queue is full, or the server ends; nothing was computed."""


class ChangedError(HeadstartError):
    """The model's folder holds another model by now, or none; nothing but a new start helps."""


@dataclass(frozen=True)
class _Job:
    """An image to be answered, or other work for the engine's thread, and who waits for it until when."""

    until: float
    answer: Future[Any]
    image: Picture | None = None
    work: Callable[[], object] | None = None

    @property
    def late(self) -> bool:
        """Whether nobody waits for it any more."""
        return time.monotonic() >= self.until


class Looked(NamedTuple):
    """An answer, and the (size, size, 3) uint8 square that the network saw; None where it is no image."""

    said: Prediction
    square: np.ndarray | None


class Service:
    """Answers many requests at once with one model.

    Args:
        predictor: the model.
        room: images that may wait.
        deadline: seconds after which a request is given up.
    """

    def __init__(self, predictor: Predictor, room: int = 256, deadline: float = 30.0) -> None:
        self.predictor, self.room, self.deadline = predictor, room, deadline
        self.digest = predictor.bundle.digest  # of what is in memory, whatever happens to its folder
        self.batch = max(1, predictor.engine.batch // predictor.spec.views)
        self.jobs: queue.Queue[_Job | None] = queue.Queue()
        self.ending = self.changed = False
        self.explainer: Explainer | None = None
        self.opening = threading.Lock()
        self.thread = threading.Thread(target=self._compute, name="engine", daemon=True)
        self.thread.start()

    @property
    def alive(self) -> bool:
        """Whether what is asked gets an answer."""
        return not self.ending and self.thread.is_alive()

    @property
    def waiting(self) -> int:
        """Images in the queue, about."""
        return self.jobs.qsize()

    def look(self, uploads: Sequence[Upload]) -> list[Looked]:
        """Answers in the order of the uploads; what is no image is an answer with an error.

        Raises:
            BusyError: there is no room for them.
            LateError: it took too long.
        """
        until = time.monotonic() + self.deadline
        asked = self._ask([self._prepared(content, until) for _, content in uploads], until)
        looked = [_result(answer, until) for answer in asked]
        return [
            one._replace(said=replace(one.said, path=name))
            for one, (name, _) in zip(looked, uploads, strict=True)
        ]

    def predict(self, uploads: Sequence[Upload]) -> list[Prediction]:
        """As `look`, the answers alone."""
        return [one.said for one in self.look(uploads)]

    def predict_squares(self, squares: Iterable[np.ndarray]) -> list[Prediction]:
        """As `predict`, for (size, size, 3) uint8 images that are decoded and fitted."""
        until = time.monotonic() + self.deadline
        return [_result(answer, until).said for answer in self._ask(squares, until)]

    def explain(self, upload: Upload, classes: Sequence[str] = (), k: int = 5) -> Explanation:
        """As `Explainer.explain`; raises what `predict` raises, ImageError and ChangedError."""
        name, content = upload
        until = time.monotonic() + self.deadline
        square = self._decoded(content, until)
        if isinstance(square, ImageError):
            raise square
        explainer = self._explainer(until)
        answer: Future[Explanation] = Future()
        self._put([_Job(until, answer, work=lambda: explainer.explain(square, classes, k))])
        found = _result(answer, until)
        return replace(found, prediction=replace(found.prediction, path=name))

    def end(self) -> None:
        """Takes no more, answers what is waiting, and ends."""
        self.ending = True
        self.jobs.put(None)
        self.thread.join(self.deadline)

    def _explainer(self, until: float) -> Explainer:
        """Opened by who asks first, while others are answered: it holds the network a second time."""
        with turn(self.opening, until - time.monotonic()):
            if self.explainer is None and not self.changed:
                try:
                    self.changed = bundle.load(self.predictor.bundle.folder).digest != self.digest
                    self.explainer = None if self.changed else Explainer(self.predictor)
                except HeadstartError:
                    self.changed = True
            if self.explainer is None:
                raise ChangedError(
                    "The model's folder holds another one by now; the server must be started again."
                )
            return self.explainer

    def _decoded(self, content: bytes, until: float) -> np.ndarray | ImageError:
        with decoding(until - time.monotonic()):
            try:
                return self.predictor.square(content)
            except ImageError as error:
                return error

    def _prepared(self, content: bytes, until: float) -> Picture:
        """A large picture, decoded, or what is wrong with it; of others, and of what is none, the bytes."""
        try:
            width, height = images.dimensions(content)
        except ImageError:
            return content
        return self._decoded(content, until) if width * height > LARGE else content

    def _ask(self, pictures: Iterable[Picture], until: float) -> list[Future[Looked]]:
        jobs = [_Job(until, Future(), picture) for picture in pictures]
        self._put(jobs)
        return [job.answer for job in jobs]

    def _put(self, jobs: Sequence[_Job]) -> None:
        """All of them or none; others may be quicker, and then a few more than there is room for wait."""
        if not self.alive or self.waiting + len(jobs) > self.room:
            raise BusyError("The server has more to do than it can; try again in a moment.")
        for job in jobs:
            self.jobs.put(job)

    def _compute(self) -> None:
        most = max(self.batch, self.predictor.engine.lanes, ROUND)
        with ThreadPoolExecutor(threads(), thread_name_prefix="decode") as decoders:
            while (job := self.jobs.get()) is not None:
                jobs = [job]
                while len(jobs) < most and not self.jobs.empty():
                    if (following := self.jobs.get()) is None:
                        self.jobs.put(None)  # the end, after these
                        break
                    jobs.append(following)
                try:
                    self._answer(jobs, decoders)
                except Exception as error:  # noqa: BLE001 - no thread can be started, say; later one may be
                    for job in jobs:
                        if not job.answer.done():
                            job.answer.set_exception(error)

    def _answer(self, jobs: Sequence[_Job], decoders: ThreadPoolExecutor) -> None:
        asked = [job for job in jobs if job.image is not None and not job.late]
        spread = decoders.map if len(asked) > 1 else map  # one alone is quicker where it is
        squares = list(spread(self._square, (job.image for job in asked)))
        for job, square in zip(asked, squares, strict=True):
            if isinstance(square, ImageError):
                job.answer.set_result(Looked(Prediction("", "", 0.0, {}, error=str(square)), None))
            elif isinstance(square, Exception):
                job.answer.set_exception(square)
        there = [(job, one) for job, one in zip(asked, squares, strict=True) if isinstance(one, np.ndarray)]
        size = self._together(len(there))
        for start in range(0, len(there), size):
            group = [(job, one) for job, one in there[start : start + size] if not job.late]
            if group:
                _settle([job.answer for job, _ in group], partial(self._look, [one for _, one in group]))
        for job in jobs:
            if job.work and not job.late:
                _settle([job.answer], partial(_alone, job.work))

    def _together(self, waiting: int) -> int:
        """How many of them to answer at once: few where few wait, many where few turns let others run."""
        return waiting if waiting >= max(ROUND, self.predictor.engine.lanes) else self.batch

    def _square(self, image: Picture | None) -> np.ndarray | Exception:
        """An error is that of its picture alone."""
        assert image is not None
        try:
            return self.predictor.square(image) if isinstance(image, bytes) else image
        except Exception as error:  # noqa: BLE001 - see above
            return error

    def _look(self, squares: Sequence[np.ndarray]) -> list[Looked]:
        return [Looked(*pair) for pair in zip(self.predictor.answers(squares), squares, strict=True)]


def _alone(work: Callable[[], object]) -> list[object]:
    return [work()]


def _settle(answers: Sequence[Future[Any]], compute: Callable[[], Sequence[object]]) -> None:
    """Hands out results; an error is raised again in the threads that wait, and the engine's goes on."""
    try:
        found = compute()
    except Exception as error:  # noqa: BLE001 - see above
        for answer in answers:
            answer.set_exception(error)
    else:
        for answer, result in zip(answers, found, strict=True):
            answer.set_result(result)


def _result(answer: Future[T], until: float) -> T:
    try:
        return answer.result(max(0.0, until - time.monotonic()))
    except TimeoutError:
        raise LateError(LATE) from None


def require_golden(predictor: Predictor) -> None:
    """Asks the images in the bundle whose answers are known, as every machine must give them again.

    Raises:
        GateError: an answer differs by more than the parity table allows.
    """
    golden, row = predictor.bundle.golden(), engine_row(predictor.engine_name)
    if not golden.images:
        return
    names = predictor.spec.class_names
    found = np.array([[one.probabilities[n] for n in names] for one in predictor.predict(golden.images)])
    expected = np.array(golden.probabilities)
    difference = float(np.abs(found - expected).max(initial=0.0))
    runner_up, best = np.sort(expected, axis=1)[:, -2:].T
    same = (found.argmax(axis=1) == expected.argmax(axis=1)) | (best - runner_up < INT8_MARGIN)
    alike = row.precision != "int8" or same.all()
    if not (alike and difference <= TOLERANCE[row.precision]):  # which no NaN is
        raise GateError(
            sentence(
                "The model answers otherwise here than where it was trained.",
                allowed=f"probabilities that differ by {TOLERANCE[row.precision]:g} at most",
                received=round(difference, 6),
                remedy="Try another --engine; `headstart doctor` says which work.",
            )
        )
