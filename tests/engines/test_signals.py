"""A signal finds the process alive, whatever became of the engines before it, and in which thread."""

import os
import subprocess
import sys

CODE = """
import faulthandler, os, signal, threading
faulthandler.enable()  # gives the main thread a stack for signals, as pytest does
came = []
signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
import numpy as np
from headstart.backbones import specs, weights
from headstart.engines import open_engine
tiny = specs.backbone("vgg-tiny")
engines = [open_engine("openvino", tiny, "gap", 32, weights.random(tiny, 0)) for _ in range(3)]
for thread in (threading.Thread(target=engines.pop), None, None):
    if thread:
        thread.start(), thread.join()
    else:
        del engines[0]

from headstart.engines.openvino_engine import openvino, same_signal_stack
with same_signal_stack():
    cores = [openvino().Core() for _ in range(2)]
    for core in cores:
        core.get_property("CPU", "FULL_DEVICE_NAME")
del core, cores[0], cores[0]
os.kill(os.getpid(), signal.SIGTERM)
assert came == [signal.SIGTERM]
"""


def test_a_signal_is_heard_after_engines_are_gone():
    """OpenVINO's plugin lends the thread that makes it a stack for signals, and takes it away at its end."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", CODE]

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)

    assert done.returncode == 0, done.stderr or done.returncode
