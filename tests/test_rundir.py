"""What is written is whole whenever the writer is killed; what it left half-written goes, all else stays."""

import errno
import os
import signal
import sys
from itertools import count
from pathlib import Path

import pytest

from headstart import rundir
from headstart.errors import InputError
from headstart.rundir import atomic_dir, atomic_file, cache_dir, sweep


def test_only_what_is_half_written_goes(tmp_path):
    kept = [
        ".lock",
        "model.json",
        ".DS_Store",
        ".env.template",
        ".bashrc.original",
        ".history.csv.abcd1234",
        ".history.csv.toolong_a.headstart",
        "a.history.csv.abcd1234.headstart",
    ]
    gone = [".history.csv.abcd1234.headstart", "inner/.last.safetensors.x_9zzzzz.headstart"]
    left_of_folders = [
        ".model.abcd1234.headstart/golden/0.image",
        ".model.abcd1234.headstart/.answers.json.abcd1234.headstart",
        ".model.json.abcd1234.headstart-old/model.json",
    ]
    for name in (*kept, *gone, *left_of_folders):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "0.image").write_text("")
    (tmp_path / ".model.linked12.headstart").symlink_to(tmp_path / "outside")
    (tmp_path / ".model.linked12.headstart-old").symlink_to(tmp_path / "outside")

    sweep(tmp_path)

    left = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")}
    assert left == {*kept, "inner", "outside", "outside/0.image"}


def test_what_is_being_written_has_a_name_that_sweep_knows(tmp_path):
    with atomic_file(tmp_path / "file") as file, atomic_dir(tmp_path / "folder") as folder:
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {file.name, folder.name}
        assert all(rundir._TEMPORARY.fullmatch(name) for name in names)


def replace_killed(place, at):
    """Replaces a folder in a process that is killed at the `at`-th line of ours; whether it was."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    lines = count()

    def trace(frame, event, _):
        if frame.f_code.co_filename != rundir.__file__:
            return None
        if event == "line" and next(lines) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
    with atomic_dir(place) as folder:
        for name in "ab":
            (folder / name).write_text("new")
    os._exit(0)


def content(place):
    return {path.name: path.read_text() for path in place.iterdir()}


@pytest.mark.parametrize("in_one_call", [True, False])
def test_a_folder_that_is_replaced_is_whole_whenever_it_is_killed(tmp_path, monkeypatch, in_one_call):
    """Where names cannot be exchanged the old folder steps aside, and what begins anew brings it back."""
    place, found = tmp_path / "model", set()
    if not in_one_call:
        monkeypatch.setattr(rundir, "_exchange", lambda *_: False)
    for at in count():
        place.mkdir(exist_ok=True)
        for name in "ab":
            (place / name).write_text("old")

        killed = replace_killed(place, at)

        if not in_one_call:
            sweep(tmp_path)
        assert content(place) in ({"a": "old", "b": "old"}, {"a": "new", "b": "new"})
        found.add((place / "a").read_text())
        sweep(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["model"]
        if not killed:
            break
    assert at > 20
    assert found == {"old", "new"}


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="a file system that forces nothing to a disk")
def test_a_file_system_that_forces_no_folders_to_disk_is_good_enough():
    rundir._fsync(Path("/proc"))

    with pytest.raises(OSError, match=os.strerror(errno.EINVAL)):  # but of files it is asked in earnest
        rundir._fsync(Path("/proc/version"))


def test_the_cache_is_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("HOME", "/there/me")
    monkeypatch.setenv("HEADSTART_CACHE", "~/fast/cache")
    assert cache_dir() == Path("/there/me/fast/cache")

    monkeypatch.delenv("HEADSTART_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_dir() == Path("/there/me/.cache/headstart")


def test_who_has_no_home_is_told_what_to_set(monkeypatch):
    """As in a container that runs under a number that nobody has."""
    for name in ("HOME", "HEADSTART_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)

    with pytest.raises(InputError, match="export HEADSTART_CACHE="):
        cache_dir()
