"""R1: hostile model files never run code, read or write elsewhere, or connect; they are refused in one line.

Every file is tried in every place where somebody else's file can come in, by every verb that would read it.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from tests import models
from tests.safety import hostile

import headstart as hs
from headstart import pipeline
from headstart.backbones import foreign, foreign_reader, weights
from headstart.errors import HeadstartError, InputError
from headstart.inference import bundle
from headstart.report.render import render
from headstart.rundir import RunDir

FORBIDDEN = ("pickle.find_class", "os.system", "socket.connect", "os.exec", "os.posix_spawn", "ctypes.dlopen")
seen: list[str] = []
watching = False


def hook(event: str, _: object) -> None:
    if watching and event in FORBIDDEN:
        seen.append(event)


sys.addaudithook(hook)  # for the rest of the process; it counts only while somebody watches


@pytest.fixture(scope="module")
def canary(tmp_path_factory):
    return tmp_path_factory.mktemp("outside") / "canary"


@pytest.fixture(scope="module")
def files(canary) -> Iterator[dict[str, bytes]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        found = dict(hostile.files(canary, server.getsockname()[1]))
        yield found
        with pytest.raises(BlockingIOError):  # nobody has connected
            server.accept()


@contextmanager
def unharmed(canary):
    """No canary, and none of the forbidden events while the block runs."""
    global watching  # noqa: PLW0603
    watching = True
    try:
        yield
    finally:
        watching = False
    assert not canary.exists()
    assert seen == []


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run."""
    root = tmp_path_factory.mktemp("runs")
    for name in ("cat", "dog"):
        models.pictures(root / "data" / name, 12)
        for i, file in enumerate((root / "data" / name).iterdir()):
            file.write_bytes(models.picture(i + 100 * (name == "dog")))
    return hs.train(root / "data", root / "run", backbone="vgg-tiny", image_size=32, engine="ncnn").root


def test_there_are_enough_of_them(files):
    assert len(files) >= 60


def test_the_canaries_would_sing(files, canary):
    """Trusted, one of each kind does what it is there for."""
    import pickle

    pickle.loads(files["exec-2.pkl"])
    assert canary.exists()
    canary.unlink()


VERBS = {
    "predict": lambda root: hs.load(root).predict([]),
    "describe": pipeline.spec,
    "explain": lambda root: list(hs.explain(root, [])),
}
OF_A_RUN = {
    "evaluate": hs.evaluate,
    "export": lambda root: hs.export(root, "onnx"),
    "quantize": pipeline.quantize,
}
ANSWERS = {"golden": lambda root: bundle.load(root).golden()}  # what the other verbs don't read
IN_A_BUNDLE = (
    "weights.safetensors", "reference.safetensors", "model.json", "int8.safetensors", "extra",
    "golden/answers.json",
)  # fmt: skip
IN_A_RUN = (
    "run.json", "manifest.parquet", "history.csv", "parity.json", "data_report.csv",
    "evaluation/test/predictions.parquet", "evaluation/test/metrics.json", "evaluation/test/confusion.csv",
)  # fmt: skip


@pytest.mark.parametrize("verb", VERBS | OF_A_RUN | ANSWERS)
def test_what_is_sound_is_not_refused(run, tmp_path, verb):
    """So that a refusal below is one of the spoilt file."""
    copy = shutil.copytree(run, tmp_path / "run")
    (VERBS | OF_A_RUN | ANSWERS)[verb](copy if verb in OF_A_RUN else copy / "model")


@pytest.mark.parametrize("place", IN_A_BUNDLE)
def test_in_a_bundle_whose_manifest_lists_it(files, canary, run, tmp_path, place):
    """As the person would write it who made the file: every hash is right."""
    copy = shutil.copytree(run, tmp_path / "run")
    model, member = copy / "model", copy / "model" / place
    before = member.read_bytes() if member.exists() else None
    for name, content in files.items():
        member.write_bytes(content)
        (model / bundle.MANIFEST).unlink()
        bundle.seal(model)
        with unharmed(canary):
            for verb, ask in (ANSWERS if place == "golden/answers.json" else VERBS | OF_A_RUN).items():
                with pytest.raises(HeadstartError) as caught:
                    ask(copy if verb in OF_A_RUN else model)
                assert caught.value.exit_code == 2, (name, verb)
                assert "\n" not in str(caught.value)
        member.unlink() if before is None else member.write_bytes(before)


@pytest.mark.parametrize("place", IN_A_RUN)
def test_in_a_run(files, canary, run, tmp_path, place):
    """Refused, or taken for the plain text that it is."""
    copy = shutil.copytree(run, tmp_path / "run")
    for content in files.values():
        (copy / place).write_bytes(content)
        with unharmed(canary), suppress(InputError):  # whose exit code is 2
            render(RunDir(copy))


def test_as_a_checkpoint(files, canary, tmp_path):
    from headstart.training.checkpoint import Checkpoints

    (tmp_path / "checkpoints").mkdir()
    for name, content in files.items():
        (tmp_path / "checkpoints" / "last.safetensors").write_bytes(content)
        with unharmed(canary), pytest.raises(HeadstartError, match="The checkpoint is damaged") as caught:
            Checkpoints(tmp_path / "checkpoints").load()
        assert caught.value.exit_code == 2, name


# Its process ends with the files still open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_as_weights_to_import(files, canary, tmp_path):
    """By the reader itself, in this process, where the hook sees what it does."""
    shapes = weights.shapes(models.TINY)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with unharmed(canary):
            try:
                found = foreign_reader._named(dict(foreign_reader._arrays(tmp_path / name)), shapes)
                assert not found, name
            except foreign_reader.Refused:
                pass
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)


@pytest.mark.parametrize(
    "name",
    [
        "system-2.pkl",
        "CVE-2024-3660.keras",
        "CVE-2025-1550.h5",
        "link-external.h5",
        "external-above.onnx",
        "model.npz",
    ],
)
def test_as_weights_by_the_confined_process(files, canary, tmp_path, name):
    (tmp_path / name).write_bytes(files[name])

    with pytest.raises(HeadstartError) as caught:
        foreign.read(tmp_path / name, weights.shapes(models.TINY))

    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert not canary.exists()


def test_the_reader_may_not_write_or_take_more_memory(tmp_path):
    """What is left to a process that has confined itself."""
    code = (
        "import os\n"
        "from headstart.backbones.foreign_reader import _confine\n"
        "_confine(2**31)\n"
        "file = os.open('x', os.O_CREAT | os.O_WRONLY)\n"
        "for act in (lambda: os.write(file, b'y'), lambda: bytearray(2**32)):\n"
        "    try:\n"
        "        act()\n"
        "        print('could')\n"
        "    except (OSError, MemoryError):\n"
        "        print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.stdout.split() == ["refused", "refused"], done.stderr
    assert (tmp_path / "x").stat().st_size == 0


def test_members_that_are_links(canary, tmp_path):
    models.saved(tmp_path / "model")
    outside = tmp_path / "outside.json"
    shutil.copy(tmp_path / "model" / "model.json", outside)
    for link in (lambda path: path.symlink_to(outside), lambda path: path.symlink_to("/etc/passwd"),
                 lambda path: path.symlink_to(tmp_path / "model")):  # fmt: skip
        (tmp_path / "model" / "model.json").unlink()
        link(tmp_path / "model" / "model.json")
        with unharmed(canary), pytest.raises(HeadstartError):
            bundle.load(tmp_path / "model")
    shutil.move(tmp_path / "model" / "golden", tmp_path / "golden")
    (tmp_path / "model" / "golden").symlink_to(tmp_path / "golden")
    with pytest.raises(HeadstartError):
        bundle.load(tmp_path / "model")
