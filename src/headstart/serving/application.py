"""What every view finds: the application, its settings and its counters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import flask
from jinja2 import StrictUndefined
from prometheus_client import CollectorRegistry, Counter, Histogram

from headstart.inference.predictor import Prediction
from headstart.report.page import shown
from headstart.serving.history import History
from headstart.serving.limits import Limits
from headstart.serving.service import Service
from headstart.serving.uploads import Request


@dataclass(frozen=True)
class Settings:
    """How a model is served.

    Attributes:
        name: of the model, as the page and the API call it.
        limits: what requests may take.
        report: the text of the run's report; empty where there is none.
        images: folder that the paths of training images start from; None where they aren't there.
        feedback: whether people may say what a picture shows; that keeps this one picture.
        keep_images: whether all pictures are kept.
        protected: whether a token is asked for, which the gate does.
    """

    name: str
    limits: Limits = field(default_factory=Limits)
    report: str = ""
    images: Path | None = None
    feedback: bool = True
    keep_images: bool = False
    protected: bool = False


SECONDS = (*Histogram.DEFAULT_BUCKETS[:-1], 15.0, 20.0, 30.0, 60.0, 120.0, 300.0)
"""What requests may take, by which they are counted; the deadline is the last of those."""


class Metrics:
    """What `/metrics` tells, one set for each application.

    Args:
        deadline: seconds that a request may take.
    """

    def __init__(self, deadline: float) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "headstart_requests",
            "Requests by endpoint and status.",
            ("endpoint", "status"),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "headstart_request_seconds", "Seconds of a request.", ("endpoint",), registry=self.registry,
            buckets=[*(bound for bound in SECONDS if bound < deadline), deadline],
        )  # fmt: skip
        self.decisions = Counter(
            "headstart_decisions", "Answers by decision, `error` for what is no image.", ("decision",),
            registry=self.registry,
        )  # fmt: skip

    def count(self, answers: Iterable[Prediction]) -> None:
        """Notes answers that are given."""
        for one in answers:
            self.decisions.labels(one.decision or "error").inc()


class App(flask.Flask):
    """Flask, with what its views need."""

    request_class = Request
    # Everything is escaped, whatever a template's name ends with; what is missing is an error.
    jinja_options = {  # noqa: RUF012 - as Flask has it
        "autoescape": True,
        "undefined": StrictUndefined,
        "finalize": shown,
        "trim_blocks": True,
        "lstrip_blocks": True,
    }
    service: Service
    settings: Settings
    metrics: Metrics
    history: History | None
