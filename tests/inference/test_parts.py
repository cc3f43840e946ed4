"""An interrupted prediction goes on where it stopped, and nothing else is taken for its answers."""

import os

import pytest
from tests import models

from headstart.inference import parts
from headstart.inference.parts import Parts
from headstart.inference.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    return Predictor(models.saved(tmp_path_factory.mktemp("bundle") / "model"))


@pytest.fixture
def files(tmp_path):
    return models.pictures(tmp_path / "images", 10)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(parts, "ROWS", 3)


@pytest.fixture
def asked(monkeypatch):
    """Files that the model was asked about, in order."""
    found = []
    stream = Predictor.stream

    def watched(self, sources):
        found.extend(sources)
        return stream(self, sources)

    monkeypatch.setattr(Predictor, "stream", watched)
    return found


def answers(folder, predictor, files):
    return [one for some in Parts(folder, predictor).answers(files) for one in some]


def test_answers_are_those_of_the_model_in_order(predictor, files, tmp_path):
    files[4].write_text("no image")

    found = answers(tmp_path / "parts", predictor, files)

    assert found == predictor.predict(files)
    assert [one.path for one in found] == list(map(str, files))
    assert "not an image" in found[4].error
    assert found == answers(tmp_path / "parts", predictor, files)  # read back, every field and bit


def test_what_was_answered_is_not_asked_again(predictor, files, tmp_path, asked):
    stream = Parts(tmp_path / "parts", predictor).answers(files)
    first = [next(stream), next(stream)]  # two parts, then it is killed
    stream.close()
    assert asked == files[:6]
    asked.clear()

    whole = answers(tmp_path / "parts", predictor, files)

    assert asked == files[6:]
    assert whole[:6] == [one for some in first for one in some]
    assert len({one.path for one in whole}) == len(whole) == 10


def test_it_says_how_many_it_has(predictor, files, tmp_path):
    told = []
    for _ in Parts(tmp_path / "parts", predictor).answers(files, told.append):
        pass
    assert told == [1] * 10
    told.clear()
    for _ in Parts(tmp_path / "parts", predictor).answers(files, told.append):
        pass
    assert told == [3, 3, 3, 1]


@pytest.mark.parametrize("change", ["content", "time", "in place", "gone", "new", "renamed"])
def test_a_file_that_changed_is_asked_again_with_its_part(predictor, files, tmp_path, asked, change):
    answers(tmp_path / "parts", predictor, files)
    listed = list(files)
    if change == "content":
        files[4].write_bytes(models.picture(99))
    elif change == "time":
        os.utime(files[4], (1, 1))
    elif change == "in place":  # as a tool does that keeps times, and here even the size
        before, content = files[4].stat(), models.picture(99)
        files[4].write_bytes((content + bytes(before.st_size))[: before.st_size])
        os.utime(files[4], ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "gone":
        files[4].unlink()
    elif change == "new":
        listed.append(models.pictures(tmp_path / "more", 1)[0])
    elif change == "renamed":
        listed[4] = files[4].rename(files[4].with_name("zebra.png"))
    asked.clear()

    found = answers(tmp_path / "parts", predictor, listed)

    assert asked == (listed[9:] if change == "new" else listed[3:6])
    assert [one.path for one in found] == list(map(str, listed))
    assert found == predictor.predict(listed)


def test_another_model_or_engine_begins_anew(predictor, files, tmp_path, asked):
    answers(tmp_path / "parts", predictor, files)
    other = Predictor(models.saved(tmp_path / "other", seed=1))
    asked.clear()

    found = answers(tmp_path / "parts", other, files)

    assert asked == files
    assert found == other.predict(files)
    asked.clear()
    answers(tmp_path / "parts", Predictor(other.bundle, "openvino"), files)
    assert asked == files


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.9])
def test_a_damaged_part_is_asked_again(predictor, files, tmp_path, asked, keep):
    answers(tmp_path / "parts", predictor, files)
    part = tmp_path / "parts" / "000001.parquet"
    part.write_bytes(part.read_bytes()[: int(part.stat().st_size * keep)])
    asked.clear()

    assert answers(tmp_path / "parts", predictor, files) == predictor.predict(files)
    assert asked[:3] == files[3:6]


def test_what_a_kill_left_half_written_is_swept(predictor, files, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / ".000000.parquet.abcd1234.headstart").write_bytes(b"half")

    answers(tmp_path / "parts", predictor, files)

    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == [
        "000000.parquet", "000001.parquet", "000002.parquet", "000003.parquet", "facts.json",
    ]  # fmt: skip
