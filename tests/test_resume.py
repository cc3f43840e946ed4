"""Where a run directory stands: what is refused, with which difference, and what `--force` takes over."""

from __future__ import annotations

import errno
import fcntl
import json
import os

import pytest

from headstart import resume
from headstart.errors import InputError
from headstart.rundir import RunDir

FACTS = {
    "config": {
        "data": {},
        "model": {},
        "training": {"epochs": 12, "strategy": "finetune"},
        "evaluation": {},
        "seed": 0,
    },
    "dataset": {"fingerprint": "aa", "images": 90},
    "versions": {"keras": "3.15.1", "numpy": "2.4.0"},
    "hardware": {"cores": 2, "instructions": "AVX2, AVX-512", "gpu": "", "processor": "a fast one"},
}


def facts(**changes):
    """The facts with some values replaced: ``config__training__epochs=3``."""
    found = json.loads(json.dumps(FACTS))
    for place, value in changes.items():
        *path, last = place.split("__")
        part = found
        for name in path:
            part = part[name]
        part[last] = value
    return found


@pytest.fixture
def unfinished(tmp_path):
    run = RunDir(tmp_path / "run")
    run.root.mkdir()
    run.run_json.write_text(json.dumps(facts() | {"finished": False}))
    return run


@pytest.fixture
def finished(unfinished):
    unfinished.run_json.write_text(json.dumps(facts() | {"finished": True}))
    unfinished.model.mkdir()
    (unfinished.model / "MANIFEST.sha256").touch()
    unfinished.report.touch()
    return unfinished


def refusal(run, now, images=()):
    with pytest.raises(InputError) as error:
        resume.standing(run, now, images)
    line = str(error.value)
    assert "\n" not in line
    assert line.endswith("Choose another folder with --out, delete this one, or take it over with --force.")
    return line


def test_where_nothing_was_written_it_is_new(tmp_path):
    assert resume.standing(RunDir(tmp_path), facts()) == "new"


def test_the_same_again_goes_on_or_is_done(unfinished):
    assert resume.standing(unfinished, facts()) == "unfinished"


def test_what_is_finished_is_finished(finished):
    assert resume.standing(finished, facts()) == "finished"


@pytest.mark.parametrize(
    ("lost", "standing"), [("report.html", "finished"), ("model/MANIFEST.sha256", "unfinished")]
)
def test_without_its_model_a_run_is_not_finished(finished, lost, standing):
    """A report alone is made again, and takes no training."""
    (finished.root / lost).unlink()

    assert resume.standing(finished, facts()) == standing


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"config__training__epochs": 3}, "--epochs was 12, is 3"),
        ({"config__seed": 1}, "--seed was 0, is 1"),
        ({"dataset__fingerprint": "bb"}, "dataset.fingerprint was aa, is bb"),
        ({"dataset__images": 91}, "dataset.images was 90, is 91"),
    ],
)
@pytest.mark.parametrize("state", ["unfinished", "finished"])
def test_other_options_or_data_are_refused_and_begun_anew_by_force(request, state, change, named):
    run = request.getfixturevalue(state)

    line = refusal(run, facts(**change))

    assert "holds a run with other options or data:" in line
    assert named in line
    assert resume.standing(run, facts(**change), force=True) == "new"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"versions__keras": "3.16.0"}, "versions.keras was 3.15.1, is 3.16.0"),
        ({"hardware__cores": 4}, "hardware.cores was 2, is 4"),
        ({"hardware__gpu": "NVIDIA H200"}, "hardware.gpu was none, is NVIDIA H200"),
        ({"hardware__instructions": "AVX2"}, "hardware.instructions was AVX2, AVX-512, is AVX2"),
    ],
)
def test_other_versions_or_cores_would_give_other_bits(unfinished, change, named):
    """An unfinished run is not gone on with unless by force; it is not thrown away for it either."""
    line = refusal(unfinished, facts(**change))

    assert "holds a run with other versions:" in line
    assert named in line
    assert resume.standing(unfinished, facts(**change), force=True) == "unfinished"


def test_a_finished_run_stays_so_under_newer_versions(finished):
    assert resume.standing(finished, facts(versions__keras="3.16.0", hardware__cores=4)) == "finished"


def test_another_name_of_the_processor_changes_nothing(unfinished):
    assert resume.standing(unfinished, facts(hardware__processor="another")) == "unfinished"


def test_all_differences_are_named_and_five_of_the_images(unfinished):
    images = [f"cat{i}.png was added" for i in range(7)]

    line = refusal(unfinished, facts(config__seed=1, dataset__images=97, versions__numpy="3"), images)

    for named in ("--seed", "dataset.images", "versions.numpy was 2.4.0, is 3"):
        assert named in line
    assert "Images: cat0.png was added, " in line
    assert "cat4.png was added and 2 more." in line
    assert "cat5.png" not in line


def test_new_names_of_images_change_the_order_of_what_is_still_to_come(unfinished):
    line = refusal(unfinished, facts(), ["cat.png is now dog.png"])

    assert "images have other names" in line
    assert "Images: cat.png is now dog.png." in line


def test_new_names_of_images_change_nothing_that_is_done(finished):
    assert resume.standing(finished, facts(), ["cat.png is now dog.png"]) == "finished"


def test_an_option_of_a_later_version_is_no_difference(unfinished):
    """It did not exist when the run was begun, so it cannot have been another."""
    now = facts()
    now["config"]["training"]["new"] = 1

    assert resume.standing(unfinished, now) == "unfinished"


def test_control_characters_do_not_reach_the_terminal(unfinished):
    line = refusal(unfinished, facts(config__seed="\x1b[31m"), ["a\nb.png was added"])

    assert "is \\x1b[31m" in line
    assert "a\\nb.png" in line


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"config": 3}', '{"config": {"data": 1}}', '{"config": {}, "versions": []}', "\x00"],
)
def test_a_damaged_run_json_is_refused_in_one_line(unfinished, content):
    unfinished.run_json.write_text(content)

    with pytest.raises(InputError, match=r"run\.json is damaged\. Received: .* train again\."):
        resume.standing(unfinished, facts(), force=True)


def test_a_library_that_went_or_came_is_a_difference(unfinished):
    """TensorFlow goes by two names, of which one at a time is installed."""
    now = facts(versions__tensorflow="2.22")
    del now["versions"]["numpy"]

    line = refusal(unfinished, now)

    assert "versions.numpy was 2.4.0, is not there" in line
    assert "versions.tensorflow was not there, is 2.22" in line


def test_what_is_taken_over_leaves_no_numbers_of_the_model_before(finished):
    for folder in ("test", "elsewhere"):
        finished.evaluation(folder).mkdir(parents=True)
    finished.parity.touch()

    resume.begin_anew(finished)

    assert {path.name for path in finished.root.iterdir()} == {"model", "run.json"}
    assert resume.standing(finished, facts()) == "new"  # also if it is killed here
    with pytest.raises(InputError, match="not finished"):
        resume.finished_facts(finished)


@pytest.mark.parametrize("name", ["run.json", "manifest.parquet", "settings.json"])
def test_what_is_no_run_is_not_taken_for_one_and_loses_nothing(tmp_path, name):
    """A folder of somebody's own images, in which `data check` has written."""
    run = RunDir(tmp_path)
    (picture := run.exports / "cat" / "1.jpg").parent.mkdir(parents=True)
    picture.touch()
    if name != "run.json":
        (tmp_path / name).touch()

    with pytest.raises(InputError, match="exists and is not a run"):
        resume.require_free(run, "elsewhere")
    with pytest.raises(InputError, match="This folder holds something else"):
        resume.require_no_other(run)
    resume.begin_anew(run)

    assert picture.exists()


def test_a_lock_that_is_a_link_empties_no_other_file(tmp_path):
    """As in a run that came from elsewhere."""
    (mine := tmp_path / "mine").write_text("precious")
    (run := tmp_path / "run").mkdir()
    (run / ".lock").symlink_to(mine)

    with pytest.raises(InputError, match="The lock is a link"), resume.locked(run):
        pass

    assert mine.read_text() == "precious"


def test_only_a_finished_run_is_looked_into(finished):
    assert resume.finished_facts(finished) == facts() | {"finished": True}
    finished.run_json.write_text(json.dumps(facts() | {"finished": False}))

    with pytest.raises(InputError, match=r"This run is not finished.*Repeat the command that trains it"):
        resume.finished_facts(finished)


def test_where_the_file_system_knows_no_locks_it_goes_on_and_says_so(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)

    with resume.locked(tmp_path / "run"):
        assert (tmp_path / "run").is_dir()

    assert f"{tmp_path}/run cannot be locked" in capsys.readouterr().err
