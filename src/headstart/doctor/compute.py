"""What computes: Keras with its backend, GPUs, engines."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping

from headstart import machine
from headstart.backbones import framework
from headstart.doctor.processes import Trial
from headstart.doctor.verdict import Verdict
from headstart.engines import ENGINES
from headstart.engines.choice import CANDIDATES, GAIN
from headstart.engines.trial import CHOICE

NEED_GPU = {
    "tensorflow": "pip uninstall --yes tensorflow tensorflow-cpu && pip install 'headstart[gpu]'",
    "jax": "pip install 'jax[cuda12]'",
    "torch": "pip install --force-reinstall torch",
}
"""What brings each backend's build for NVIDIA GPUs. Both of TensorFlow's builds write the same files."""


def backend(keras: Trial) -> Verdict:
    """Keras with the backend that `KERAS_BACKEND` names; it trains."""
    name = framework.backend()
    if name not in framework.BACKENDS:
        allowed = ", ".join(framework.BACKENDS)
        return Verdict("broken", f"KERAS_BACKEND is {name}, not one of {allowed}", "unset KERAS_BACKEND")
    if not framework.has_backend():
        for_gpu = name == "tensorflow" and machine.nvidia_gpus()
        package = "headstart[gpu]" if for_gpu else framework.BACKENDS[name]
        there = [other for other in framework.BACKENDS if importlib.util.find_spec(other)]
        instead = f", or export KERAS_BACKEND={there[0]}" if there else ""
        return Verdict("missing", f"{name} is not installed", f"pip install '{package}'{instead}")
    if keras.error:
        package = importlib.metadata.packages_distributions().get(name, [name])[0]
        reinstall = f"pip install --force-reinstall --no-deps {package}"
        return Verdict("broken", f"{name}: {keras.error}", keras.remedy or reinstall)
    return Verdict("ok", f"{ENGINES['keras'].version} on {name} {keras.facts['backend_version']}")


def gpu(keras: Trial) -> Verdict:
    """A GPU that the machine has is one that Keras's backend can use."""
    name, there = framework.backend(), machine.nvidia_gpus()
    if seen := keras.facts.get("gpus"):
        return Verdict("ok", f"{', '.join(seen)}, used by {name}")
    if not there:
        return Verdict("ok", "none; the processor does all the work")
    remedy = NEED_GPU.get(name, "") if machine.visible_gpus() else "unset CUDA_VISIBLE_DEVICES"
    return Verdict("slower", f"{', '.join(there)}, which {name} cannot use", remedy)


def precision(keras: Trial) -> Verdict:
    """What ``--precision auto`` trains in."""
    if keras.error:
        return Verdict("missing", "not known while Keras does not run", backend(keras).remedy)
    name = keras.facts["precision"]
    why = "half precision would not be faster here" if name == "float32" else "faster here than float32"
    return Verdict("ok", f"{name} for training: {why}")


def engine(name: str, found: Trial | None) -> Verdict:
    """An engine runs here; how fast, VGG16 at 224 pixels."""
    spec = ENGINES[name]
    if found is None:
        if spec.library == "keras":
            return Verdict("missing", "Keras has no backend", backend(Trial()).remedy)
        return Verdict("missing", f"{spec.library} is not installed", f"pip install {spec.library}")
    if found.error:
        exact = f"pip install --force-reinstall --no-deps {spec.library}=={spec.version}"
        return Verdict("broken", found.error, found.remedy or exact)
    rate = found.facts.get("images_per_second")
    speed = f"{rate:.1f} images/s" if rate else "runs"
    return Verdict("ok", f"{speed}, {spec.precision}, {spec.library} {spec.version}")


def engine_in_use(trials: Mapping[str, Trial]) -> Verdict:
    """What ``--engine auto`` takes: the fastest whose features are right, measured once and remembered."""
    running = [name for name in CANDIDATES if name in trials and not trials[name].error]
    if not running:
        return Verdict("missing", "no engine runs", "pip install ncnn openvino")
    if CHOICE not in trials:
        return Verdict("ok", f"the fastest of {', '.join(running)}, measured when it is first needed")
    if error := trials[CHOICE].error:
        return Verdict("broken", error, f"headstart train … --engine {running[0]}")
    name = trials[CHOICE].facts["engine"]
    return Verdict("ok", f"{name}; another must be {GAIN:g} times as fast")
