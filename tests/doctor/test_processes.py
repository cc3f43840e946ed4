"""Whatever a library does to its process, it is a finding."""

import pytest

from headstart.doctor import compute, processes
from headstart.engines.choice import CANDIDATES
from headstart.engines.trial import CHOICE

HARM = {
    "raise ImportError('libcudart.so.12: cannot open')": "ImportError: libcudart.so.12: cannot open",
    "import os, signal; os.kill(os.getpid(), signal.SIGILL)": "ended by SIGILL",
    "import sys; sys.exit(3)": "ended without a word",
}


@pytest.fixture
def harmful(tmp_path, monkeypatch):
    """(code) → a library of that code can be imported."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return (tmp_path / "harmful.py").write_text


@pytest.mark.parametrize(("code", "error"), HARM.items())
def test_a_harmful_library_is_survived(harmful, code, error):
    harmful(code)

    assert processes.run(["-c", "import harmful"]).error == error


def test_a_library_that_hangs_is_not_waited_for(harmful):
    harmful("import time; time.sleep(60)")

    found = processes.run(["-c", "import harmful"], limit=1)

    assert found.error == "did not answer within 1 seconds"
    assert "when the machine has less to do" in found.remedy


def test_a_library_that_is_killed_for_memory_is_not_to_be_installed_again(harmful):
    harmful("import os, signal; os.kill(os.getpid(), signal.SIGKILL)")

    found = processes.run(["-c", "import harmful"])

    assert found.error == "ended by SIGKILL"
    for verdict in (compute.backend(found), compute.engine("ncnn", found)):
        assert verdict.state == "broken"
        assert "lack memory" in verdict.remedy
        assert "pip" not in verdict.remedy


def test_the_last_line_counts():
    assert processes.run(["-c", "print('noise'); print('{\"a\": [1]}')"]).facts == {"a": [1]}


def test_files_of_the_folder_we_are_in_are_no_modules(tmp_path, monkeypatch):
    (tmp_path / "ncnn.py").write_text("raise SystemExit('not this one')")
    monkeypatch.chdir(tmp_path)

    assert processes.run(["-c", "import ncnn; print('{}')"]).error == ""


def test_an_engine_is_timed_in_its_own_process(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))

    found = processes.trial("openvino-bf16", quick=False)

    assert 0.1 < found.facts["images_per_second"] < 1e4
    assert list(tmp_path.iterdir()) == []


def test_the_choice_of_an_engine_is_asked_for_and_not_settled(tmp_path, monkeypatch):
    """A doctor that is called while the machine is busy must not decide what later runs use."""
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path))

    assert processes.trial(CHOICE, quick=True).facts["engine"] in CANDIDATES
    assert list(tmp_path.iterdir()) == []
