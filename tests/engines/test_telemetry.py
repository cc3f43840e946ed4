"""OpenVINO reports nothing: shown in a child process that looks like neither CI nor a test run."""

import os
import subprocess
import sys

CODE = """
import os, socket, sys
def refuse(*arguments):
    os.write(2, b"a socket was opened")
    os._exit(7)  # an exception in a thread would go unnoticed
network = ("socket.connect", "socket.getaddrinfo")
sys.addaudithook(lambda name, arguments: refuse() if name in network else None)
import numpy as np
from headstart.backbones import specs, weights
from headstart.engines import open_engine
tiny = specs.backbone("vgg-tiny")
engine = open_engine("openvino", tiny, "gap", 32, weights.random(tiny, 0))
engine.run(np.zeros((1, 32, 32, 3), np.uint8))
import threading
names = [thread.name for thread in threading.enumerate()]
assert names == ["MainThread"], names
assert not getattr(sys.modules.get("openvino_telemetry"), "__file__", None)
"""


def test_no_file_no_socket_no_thread(tmp_path):
    innocent = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}

    done = subprocess.run(
        [sys.executable, "-c", CODE], env=innocent, capture_output=True, text=True, check=False, timeout=120
    )

    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("*"))  # no ~/intel, no analytics id
