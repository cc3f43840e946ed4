"""The first signal is noted, a second one ends the process at once: in a child, as a shell would do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from headstart.training.interrupt import deferred

CHILD = """
import signal, sys, time
from headstart.training.interrupt import deferred
with deferred() as asked:
    print("ready", flush=True)
    while not asked.signal:
        time.sleep(0.01)
    print("noted", asked.signal, flush=True)
    if sys.argv[1] == "ends":
        asked.heed()
    time.sleep(60)
print("went on", flush=True)
"""


@pytest.fixture
def child():
    started = []

    def start(does):
        command = [sys.executable, "-c", CHILD, does]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        assert started[0].stdout.readline() == "ready\n"
        return started[0]

    yield start
    started[0].kill()
    started[0].communicate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)])
def test_the_first_signal_is_noted_and_obeyed_when_there_is_time(child, number, code):
    """Nobody catches KeyboardInterrupt here, so Python ends by the signal itself; a shell shows 130."""
    process = child("ends")

    process.send_signal(number)

    assert process.stdout.readline() == f"noted {int(number)}\n"
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert out == ""
    assert ("KeyboardInterrupt" in err) == (number == signal.SIGINT)


@pytest.mark.parametrize(("first", "second", "code"), [("INT", "INT", 130), ("INT", "TERM", 143)])
def test_a_second_one_ends_the_process_at_once(child, first, second, code):
    process = child("stays")
    process.send_signal(signal.Signals[f"SIG{first}"])
    assert process.stdout.readline().startswith("noted")

    asked = time.monotonic()
    process.send_signal(signal.Signals[f"SIG{second}"])
    out, err = process.communicate(timeout=30)

    assert process.returncode == code
    assert time.monotonic() - asked < 10
    assert (out, err) == ("", "")


DROPPED = """
import sys, time
from headstart.training.interrupt import raised
raised()
try:
    1 / 0
except ZeroDivisionError:
    sys.excepthook(*sys.exc_info())  # as `PyErr_Print` does in C++ code
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    sys.excepthook(*sys.exc_info())
try:
    raise SystemError("<built-in function __import__> returned a result with an exception set")
except SystemError:
    sys.excepthook(*sys.exc_info())
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("again", flush=True)
"""


def test_one_that_c_code_prints_and_drops_is_not_seen_and_comes_again():
    process = subprocess.Popen(
        [sys.executable, "-c", DROPPED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"

    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)

    assert out == "again\n"
    assert "ZeroDivisionError" in err
    assert err.count("Traceback") == 1, err


def test_handlers_are_as_before_and_nothing_was_asked():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    with deferred() as asked:
        assert signal.getsignal(signal.SIGTERM) != before[signal.SIGTERM]
        assert asked.signal == 0

    assert {number: signal.getsignal(number) for number in before} == before


def test_in_another_thread_nothing_is_changed():
    """Python hands signals to the main thread alone, and refuses to set a handler elsewhere."""
    before, found = signal.getsignal(signal.SIGTERM), []

    def work():
        with deferred() as asked:
            found.append((asked.signal, signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert found == [(0, before)]


SWALLOWS = """
import signal, time
from headstart.training.interrupt import came, deferred, raised
raised()
for does in (lambda: signal.raise_signal(signal.SIGTERM), lambda: time.sleep(60)):
    try:
        does()
    except BaseException as error:
        print(type(error).__name__, flush=True)  # and nothing else, as C++ code may do
assert came() == signal.SIGTERM
time.sleep(2)
print("no more", flush=True)
with deferred():
    print("not reached", flush=True)
"""


def test_an_exception_that_was_swallowed_comes_again_until_it_is_heeded():
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWS], capture_output=True, text=True, timeout=30, check=False
    )

    assert done.stdout.splitlines() == ["SystemExit", "SystemExit", "no more"]
    assert (done.returncode, done.stderr) == (143, "")


KEEPS = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
from headstart.training import features, interrupt, maps, store

interrupt.AGAIN = 0.5
write = store.write_bytes

def slowly(path, content):
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        pass
    write(path, content)

def broken_off(rows):
    yield from rows
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    except KeyboardInterrupt:
        if sys.argv[3] == "raised":
            raise

store.write_bytes = maps.write_bytes = slowly
interrupt.raised()
row, key = np.ones(3, np.float32), bytes(33)
try:
    if sys.argv[1] == "maps":
        kept = maps.MapStore(Path(sys.argv[2]), [key], (1, 1, 3), 3, 1e9)
        kept.folder.mkdir()
        kept.fill(broken_off([(key, row, row.reshape(1, 1, 3))]))
    else:
        kept = store.Store("0", {key})
        features._keep(kept, [key], broken_off([row]))
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    interrupt.came()
"""


@pytest.mark.parametrize("comes", ["raised", "swallowed"])
@pytest.mark.parametrize("what", ["maps", "features"])
def test_what_is_written_at_an_interrupt_is_not_cut_short_by_its_repetition(tmp_path, what, comes):
    """And where C++ code dropped the interrupt, it comes again when that is done."""
    place = tmp_path / "cache"
    done = subprocess.run(
        [sys.executable, "-c", KEEPS, what, str(place), comes],
        check=False, capture_output=True, text=True, timeout=60,
        env=os.environ | {"HEADSTART_CACHE": str(place)},
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr
    assert len(list(place.rglob("*.safetensors"))) == 1
