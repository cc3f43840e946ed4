"""The queue in front of the model: order, batches, deadlines, room, and errors that don't end it."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tests import models
from tests.serving.conftest import Slow

from headstart.errors import GateError, ImageError
from headstart.evaluation.explain import Explainer
from headstart.inference import bundle
from headstart.inference.predictor import Predictor
from headstart.serving.problems import problem
from headstart.serving.service import ROUND, BusyError, ChangedError, Service, require_golden
from headstart.serving.turns import LateError

PICTURES = [(f"{i}.png", models.picture(i, 40 + i, 50)) for i in range(12)]


def test_answers_are_the_predictor_s_in_the_order_of_the_uploads(service, predictor):
    expected = predictor.predict([content for _, content in PICTURES])

    found = service.predict(PICTURES)

    assert [one.path for one in found] == [name for name, _ in PICTURES]
    for one, other in zip(found, expected, strict=True):
        assert (one.label, one.probabilities, one.distance) == (
            other.label,
            other.probabilities,
            other.distance,
        )


def test_many_at_once_get_their_own_answers(service, predictor):
    expected = {name: predictor.predict([content])[0].probabilities for name, content in PICTURES}

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda upload: service.predict([upload])[0], PICTURES * 4))

    assert all(one.probabilities == expected[one.path] for one in found)


def test_what_is_no_image_is_an_answer_with_an_error_among_others(service):
    first, broken, last = service.predict([PICTURES[0], ("notes.txt", b"hello"), PICTURES[1]])

    assert first.label
    assert last.label
    assert (broken.path, broken.label) == ("notes.txt", "")
    assert "not an image" in broken.error


def test_what_is_queued_is_taken_at_once_up_to_the_batch(predictor):
    """One is computed; of the seven that came meanwhile the engine takes four, and then the rest."""
    gate = threading.Event()
    slow = Slow(predictor, gate, batch=4)
    service = Service(slow, room=40, deadline=10)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(service.predict, PICTURES[:1])]
        while not slow.asked:
            time.sleep(0.01)
        asked += [pool.submit(service.predict, [upload]) for upload in PICTURES[1:8]]
        while service.waiting < 7:
            time.sleep(0.01)
        gate.set()
        labels = [one.result()[0].path for one in asked]
    service.end()

    assert slow.asked == [1, 4, 3]
    assert labels == [name for name, _ in PICTURES[:8]]


@pytest.mark.parametrize(
    ("lanes", "waiting", "asked"),
    [(1, 3, [1] * 4), (1, ROUND, [1, ROUND]), (2, 7, [1] * 8), (2, ROUND, [1, ROUND]), (9, ROUND, [1] * 9)],
)
def test_where_many_wait_they_are_computed_in_one_turn(predictor, lanes, waiting, asked, monkeypatch):
    """And one by one where few do, so that nobody waits for another's answer."""
    gate = threading.Event()
    slow = Slow(predictor, gate, lanes=lanes)
    service = Service(slow, room=40, deadline=10)
    turns, look = [], service._look
    monkeypatch.setattr(service, "_look", lambda squares: turns.append(len(squares)) or look(squares))
    with ThreadPoolExecutor(waiting + 1) as pool:
        answers = [pool.submit(service.predict, PICTURES[:1])]
        while not slow.asked:
            time.sleep(0.01)
        answers += [pool.submit(service.predict, [upload]) for upload in PICTURES[1 : waiting + 1]]
        while service.waiting < waiting:
            time.sleep(0.01)
        gate.set()
        names = [one.result()[0].path for one in answers]
    service.end()

    assert turns == slow.asked == asked
    assert names == [name for name, _ in PICTURES[: waiting + 1]]


def test_without_room_it_refuses_at_once(predictor):
    gate = threading.Event()
    slow = Slow(predictor, gate)
    service = Service(slow, room=2, deadline=10)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(service.predict, PICTURES[:1])]
        while not slow.asked:
            time.sleep(0.01)
        asked += [pool.submit(service.predict, PICTURES[i : i + 1]) for i in (1, 2)]
        while service.waiting < 2:
            time.sleep(0.01)
        start = time.monotonic()
        with pytest.raises(BusyError, match="try again"):
            service.predict(PICTURES[3:4])
        assert time.monotonic() - start < 1
        gate.set()
        assert all(one.result()[0].label for one in asked)
    service.end()


def test_where_there_is_no_room_for_all_none_is_computed(predictor):
    slow = Slow(predictor, threading.Event())
    slow.gate.set()
    service = Service(slow, room=2, deadline=10)

    with pytest.raises(BusyError):
        service.predict(PICTURES[:3])
    assert service.predict(PICTURES[3:4])[0].label
    assert slow.asked == [1]
    service.end()


def test_a_large_picture_that_is_broken_is_decoded_once(predictor):
    """By the thread of its request, and not again while the engine's waits."""
    slow = Slow(predictor, threading.Event())
    slow.gate.set()
    service = Service(slow, deadline=10)

    broken, good = service.predict([("a.png", models.picture(1, 1200, 900)[:-4000]), PICTURES[0]])

    assert broken.error
    assert not broken.label
    assert good.label
    assert slow.squared == 2
    service.end()


def test_what_is_late_is_given_up_and_not_computed(predictor):
    gate = threading.Event()
    slow = Slow(predictor, gate)
    service = Service(slow, room=9, deadline=1)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(service.predict, PICTURES[:1])]
        while not slow.asked:
            time.sleep(0.01)
        asked.append(pool.submit(service.predict, PICTURES[1:2]))
        for one in asked:
            with pytest.raises(LateError, match="longer than the server waits"):
                one.result()
    gate.set()
    service.deadline = 10

    assert service.predict(PICTURES[2:3])[0].label
    assert slow.asked == [1, 1]  # the second was never computed
    service.end()


def test_an_error_of_the_engine_is_that_of_its_request_alone(service, monkeypatch):
    def broken(_):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(service.predictor, "answers", broken)
        with pytest.raises(MemoryError):
            service.predict(PICTURES[:1])

    assert service.predict(PICTURES[:1])[0].label


def test_where_no_thread_can_be_started_others_are_answered_later(service, monkeypatch):
    """The engine's goes on."""

    def refused(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(ThreadPoolExecutor, "_adjust_thread_count", refused)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            service.predict(PICTURES[:2])

    assert service.predict(PICTURES[:2])[1].label
    assert service.alive


def test_at_its_end_it_answers_who_waits_and_takes_no_more(predictor):
    gate = threading.Event()
    slow = Slow(predictor, gate)
    service = Service(slow, room=9, deadline=10)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(service.predict, PICTURES[:1])]
        while not slow.asked:
            time.sleep(0.01)
        asked += [pool.submit(service.predict, PICTURES[i : i + 1]) for i in (1, 2)]
        while service.waiting < 2:
            time.sleep(0.01)
        ending = pool.submit(service.end)
        while not service.ending:
            time.sleep(0.01)
        with pytest.raises(BusyError):
            service.predict(PICTURES[:1])
        gate.set()
        ending.result()
        assert all(one.result()[0].label for one in asked)
    assert not service.thread.is_alive()


def test_an_explanation_is_the_explainer_s(service, predictor):
    name, content = PICTURES[0]

    found = service.explain((name, content), ["cat"])

    assert found.prediction.path == name
    assert next(iter(found.heats)) == found.prediction.label
    assert "cat" in found.heats
    np.testing.assert_array_equal(found.square, predictor.square(content))
    with pytest.raises(ImageError):
        service.explain(("x", b"hello"))


def test_others_are_answered_while_what_explains_is_opened(service, monkeypatch):
    """And it is opened once, whoever asks meanwhile."""
    opening, opened, go = threading.Event(), [], threading.Event()

    class Watched(Explainer):
        def __init__(self, predictor):
            opened.append(threading.current_thread().name)
            opening.set()
            assert go.wait(10)
            super().__init__(predictor)

    monkeypatch.setattr("headstart.serving.service.Explainer", Watched)
    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(service.explain, PICTURES[0]) for _ in range(2)]
        assert opening.wait(10)
        assert service.predict(PICTURES[:1])[0].label
        go.set()
        assert all(one.result().heats for one in asked)
    assert len(opened) == 1
    assert opened != ["engine"]


def test_a_model_that_answers_otherwise_is_not_served(predictor, monkeypatch):
    require_golden(predictor)
    other = predictor.with_engine(predictor.engine)
    monkeypatch.setattr(other, "head", other.head.__class__(other.head.kernel * 1.5, other.head.bias))

    with pytest.raises(GateError, match="answers otherwise here than where it was trained"):
        require_golden(other)


def test_nor_one_that_answers_with_no_number(predictor, monkeypatch):
    other = predictor.with_engine(predictor.engine)
    monkeypatch.setattr(other, "head", other.head.__class__(other.head.kernel * np.nan, other.head.bias))

    with pytest.raises(GateError):
        require_golden(other)


def test_nor_one_in_eight_bits_that_names_other_classes(tmp_path, monkeypatch):
    """Where the classes are not nearly as probable, which 8-bit integers may exchange."""
    sure = models.answering(tmp_path / "model", models.spec(temperature=0.05))
    other = Predictor(bundle.load(sure))
    monkeypatch.setattr(other, "engine_name", "openvino-int8")
    require_golden(other)
    monkeypatch.setattr(other, "head", other.head.__class__(-other.head.kernel, -other.head.bias))

    with pytest.raises(GateError):
        require_golden(other)


def test_what_becomes_of_its_folder_changes_no_answer(model, tmp_path):
    """But for explanations, which read the folder again: those are refused, from then on."""
    shutil.copytree(model, tmp_path / "model")
    service = Service(Predictor(bundle.load(tmp_path / "model")), deadline=10)
    before, digest = service.predict(PICTURES[:1]), service.digest
    shutil.rmtree(tmp_path / "model")

    assert service.predict(PICTURES[:1]) == before
    assert service.digest == digest == bundle.load(model).digest
    for _ in range(2):
        with pytest.raises(ChangedError, match="started again") as told:
            service.explain(PICTURES[0])
        shutil.copytree(model, tmp_path / "model", dirs_exist_ok=True)
    answer = problem(told.value)
    assert (answer.status, answer.headers) == (409, {})  # nothing says that it is worth another try
    service.end()
