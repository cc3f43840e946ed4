"""A small model that is served, in process and by a real server."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests import models

from headstart.inference import bundle
from headstart.inference.predictor import Predictor
from headstart.serving.app import create_app
from headstart.serving.application import Settings
from headstart.serving.service import Service


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """The folder of a bundle whose golden answers are those it gives."""
    return models.answering(tmp_path_factory.mktemp("served") / "model")


@pytest.fixture(scope="session")
def predictor(model):
    return Predictor(bundle.load(model))


@pytest.fixture
def service(predictor):
    made = Service(predictor, room=40, deadline=10)
    yield made
    made.end()


@pytest.fixture
def client(service):
    """Asks the application itself; `settings` may be changed before."""
    return create_app(service, Settings("animals")).test_client()


@pytest.fixture
def client_with(service):
    """The same with other settings."""
    return lambda **changes: create_app(service, replace(Settings("animals"), **changes)).test_client()


class Slow:
    """A predictor that takes its time, and notes how many images it was asked at once."""

    def __init__(self, predictor, gate, batch=1, lanes=1):
        self.inner, self.gate, self.asked = predictor, gate, []
        self.engine, self.spec = replace_batch(predictor.engine, batch, lanes), predictor.spec
        self.bundle, self.squared = predictor.bundle, 0

    def square(self, content):
        self.squared += 1
        return self.inner.square(content)

    def answers(self, squares):
        self.asked.append(len(squares))
        assert self.gate.wait(10)
        return [answer for square in squares for answer in self.inner.answers([square])]


def replace_batch(engine, batch, lanes=1):
    """An engine that says it takes `batch` images, or computes them in lanes."""

    class Larger:
        run = engine.run

    Larger.batch, Larger.lanes = batch, lanes
    return Larger()
