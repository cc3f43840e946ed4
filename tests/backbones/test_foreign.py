"""Weights come out of every kind of file as arrays by name; whatever doesn't fit is refused in one line."""

import ctypes
import io
import json
import os
import resource
import socket
import struct
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file
from tests import models

from headstart.backbones import foreign, heads, specs, vgg, weights
from headstart.backbones.classifier import build_classifier
from headstart.backbones.framework import keras
from headstart.errors import InputError
from headstart.exports.formats import FORMATS

TINY = specs.backbone("vgg-tiny")
SHAPES = weights.shapes(TINY)


def arrays():
    return weights.random(TINY, 3)


def as_h5(path, found):
    """Keras Applications' layout: a group a layer, datasets named after it."""
    with h5py.File(path, "w") as file:
        for name, _, _ in vgg.conv_names(TINY):
            group = file.create_group(name)
            group[f"{name}_W_1:0"] = found[f"{name}/kernel"]
            group[f"{name}_b_1:0"] = found[f"{name}/bias"]


def as_keras(path, found):
    """Whatever Keras 3 writes, of a whole classifier that was compiled and has an optimizer's state."""
    head = heads.random(TINY, "gap", 64, 2, 0)
    model = build_classifier(TINY, "gap", 64, found | head)
    model.compile("adam", "mse")
    model.train_on_batch(np.zeros((1, 64, 64, 3), np.uint8), np.zeros((1, 2)))
    for name, _, _ in vgg.conv_names(TINY):  # the step has moved them
        model.get_layer(name).set_weights([found[f"{name}/kernel"], found[f"{name}/bias"]])
    model.save_weights(path) if path.name.endswith(".weights.h5") else model.save(path)


def as_safetensors(path, found):
    save_file({name.replace("/", "."): array for name, array in found.items()}, path)


def as_onnx(path, found):
    from onnx import helper, numpy_helper

    made = []
    for name, _, channels in vgg.conv_names(TINY):
        kernel = np.ascontiguousarray(found[f"{name}/kernel"].transpose(3, 2, 0, 1))
        made.append(numpy_helper.from_array(kernel, f"functional_1/{name}_1/convolution/ReadVariableOp:0"))
        bias = found[f"{name}/bias"].reshape(1, channels, 1, 1)
        made.append(numpy_helper.from_array(bias, f"functional_1/{name}_1/Squeeze:0"))
    model = helper.make_model(helper.make_graph([], "g", [], [], made))
    path.write_bytes(model.SerializeToString())


WRITERS = {
    "w.h5": as_h5, "w.weights.h5": as_keras, "w.keras": as_keras, "w.safetensors": as_safetensors,
    "w.onnx": as_onnx,
}  # fmt: skip


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_file_gives_the_same_arrays(tmp_path, name):
    WRITERS[name](tmp_path / name, arrays())

    found = foreign.read(tmp_path / name, SHAPES)

    assert list(found) == list(SHAPES)
    for key, array in arrays().items():
        np.testing.assert_array_equal(found[key], array)


def test_a_name_says_nothing_of_the_kind(tmp_path):
    as_h5(tmp_path / "weights.onnx", arrays())

    assert foreign.read(tmp_path / "weights.onnx", SHAPES).keys() == SHAPES.keys()


def test_dense_layers_are_taken_where_they_fit(tmp_path):
    wanted = heads.shapes(TINY, "vgg", 64, 2)
    hidden = {name: shape for name, shape in wanted.items() if not name.startswith("head/")}
    drawn = heads.random(TINY, "vgg", 64, 2, 5)
    build_classifier(TINY, "vgg", 64, arrays() | drawn).save(tmp_path / "w.keras")

    found = weights.dense(str(tmp_path / "w.keras"), hidden)

    assert found.keys() == hidden.keys()
    np.testing.assert_array_equal(found["fc2/kernel"], drawn["fc2/kernel"])
    assert weights.dense(str(tmp_path / "w.keras"), {"fc1/kernel": (7, 7), "fc1/bias": (7,)}) == {}


def refused(path, match):
    with pytest.raises(InputError, match=match) as caught:
        foreign.read(path, SHAPES)
    assert "\n" not in str(caught.value)
    assert "Received: '" in str(caught.value)


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        ("missing layer", "block2_conv1/kernel of shape .3, 3, 4, 4. is missing"),
        ("wrong shape", "block2_conv1/kernel of shape .3, 3, 4, 4. is missing"),
        ("two of them", "2 arrays that could be block2_conv1/kernel"),
        ("external link", "block2_conv1 is a link to somewhere else"),
        ("soft link", "block2_conv1 is a link to somewhere else"),
        ("external data", "block2_conv1/kernel lies in another file"),
        ("virtual data", "block2_conv1/kernel lies in another file"),
        ("no number", "block2_conv1/kernel holds a value that is no number"),
    ],
)
def test_an_hdf5_file_that_does_not_fit_is_refused(tmp_path, damage, match):
    path, shape = tmp_path / "w.h5", SHAPES["block2_conv1/kernel"]
    as_h5(path, arrays())
    with h5py.File(path, "a") as file:
        bias = file["block2_conv1/block2_conv1_b_1:0"][()]
        if damage != "two of them":
            del file["block2_conv1"]
        if damage == "two of them":
            file["block2_conv1/other"] = np.zeros(shape, np.float32)
        elif damage == "wrong shape":
            file["block2_conv1/kernel"] = np.zeros((3, 3, 4, 5), np.float32)
        elif damage == "external link":
            file["block2_conv1"] = h5py.ExternalLink("/etc/passwd", "/")
        elif damage == "soft link":
            file["block2_conv1"] = h5py.SoftLink("/block1_conv1")
        elif damage == "external data":
            (tmp_path / "raw").write_bytes(b"\0" * 4096)
            group = file.create_group("block2_conv1")
            group.create_dataset("kernel", shape, "f4", external=[("raw", 0, 4096)])
        elif damage == "virtual data":
            layout = h5py.VirtualLayout(shape, "f4")
            layout[...] = h5py.VirtualSource("other.h5", "x", shape)
            file.create_group("block2_conv1").create_virtual_dataset("kernel", layout)
        elif damage == "no number":
            file["block2_conv1/kernel"] = np.full(shape, np.nan, np.float32)
            file["block2_conv1/bias"] = bias

    refused(path, match)


def test_onnx_data_in_another_file_is_refused(tmp_path):
    import onnx

    as_onnx(tmp_path / "w.onnx", arrays())
    model = onnx.load_model_from_string((tmp_path / "w.onnx").read_bytes())
    item = model.graph.initializer[0]
    item.ClearField("raw_data")
    item.data_location = onnx.TensorProto.EXTERNAL
    entry = item.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    (tmp_path / "w.onnx").write_bytes(model.SerializeToString())

    refused(tmp_path / "w.onnx", "lies in another file")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\x80\x04K\x01.",
        b"\x89HDF\r\n\x1a\n" + b"\0" * 64,
        b"PK\x03\x04nothing",
        struct.pack("<Q", 20) + b'{"a":1}' + b" " * 50,
    ],
)
def test_what_is_no_weights_file_is_refused(tmp_path, content):
    (tmp_path / "w").write_bytes(content)

    refused(tmp_path / "w", "These weights cannot be used: it is ")


def test_a_name_in_a_header_does_not_reach_the_terminal(tmp_path):
    entry = {"dtype": "F32", "shape": [9**9], "data_offsets": [0, 4]}
    header = json.dumps({"block1_conv1/kernel\x1b[31m": entry})
    (tmp_path / "w").write_bytes(struct.pack("<Q", len(header)) + header.encode() + b"\0" * 4)

    with pytest.raises(InputError) as caught:
        foreign.read(tmp_path / "w", SHAPES)

    assert "\x1b" not in str(caught.value)


def test_an_archive_that_unpacks_to_much_more_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", b"\0" * 50_000_000)

    refused(tmp_path / "w.keras", "unpacks to 50000000 bytes")


def test_an_archive_without_weights_is_refused(tmp_path):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("config.json", "{}")
    (tmp_path / "w.keras").write_bytes(content.getvalue())

    refused(tmp_path / "w.keras", "an archive without a sound model.weights.h5")


def test_a_pipe_or_nothing_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(InputError, match="it is no regular file"):
        foreign.read(tmp_path / "pipe", SHAPES)
    with pytest.raises(InputError, match="There is no such weights file"):
        foreign.read(tmp_path / "nowhere", SHAPES)


def test_imported_weights_are_known_by_a_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    as_h5(tmp_path / "w.h5", arrays())

    name = weights.import_file(TINY, tmp_path / "w.h5")
    same = weights.import_file(TINY, tmp_path / "w.h5", "rgb")

    assert name == f"vgg-tiny-{weights.digest(arrays())[:12]}"
    assert weights.names() == sorted({name, same})
    found = weights.find(TINY, name)
    np.testing.assert_array_equal(
        found["block1_conv1/kernel"][:, :, 0], arrays()["block1_conv1/kernel"][:, :, 2]
    )
    as_they_were = weights.find(TINY, same)
    for key, array in arrays().items():
        np.testing.assert_array_equal(as_they_were[key], array)
    with pytest.raises(InputError, match="No weights of this name have been imported"):
        weights.find(TINY, "vgg-tiny-0123456789ab")
    as_h5(tmp_path / "other.h5", {name: 2 * array for name, array in arrays().items()})
    other = weights.import_file(TINY, tmp_path / "other.h5")
    folder = tmp_path / "cache" / "weights"
    (folder / f"{other}.safetensors").replace(folder / f"{name}.safetensors")
    with pytest.raises(InputError, match="not what was imported under this name"):
        weights.find(TINY, name)


READ = """
import sys
from pathlib import Path
from headstart.backbones import foreign, specs, weights
from headstart.errors import InputError
try:
    foreign.read(Path(sys.argv[1]), weights.shapes(specs.backbone("vgg-tiny")))
except InputError as error:
    print(error)
"""


def lose_privileges():
    """What root may do beyond others, the program that is started next may not: its bounding set is empty."""
    for capability in range(64):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def unprivileged(code, *arguments, before=lambda: None, **environment):
    """What a program in Python says, that runs as any user would run it."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True,
        env=os.environ | environment, preexec_fn=lambda: (before(), lose_privileges()),
    )  # fmt: skip
    return done.stdout


def test_a_file_that_may_not_be_read_is_called_that(tmp_path):
    as_h5(tmp_path / "w.h5", arrays())
    (tmp_path / "w.h5").chmod(0)

    assert "You may not read this weights file. Received: '" in unprivileged(READ, tmp_path / "w.h5")


def test_a_damaged_array_is_called_that(tmp_path):
    with h5py.File(tmp_path / "w.h5", "w") as file:
        for name, array in arrays().items():
            file.create_dataset(name, data=array, chunks=array.shape, fletcher32=True)
    content = bytearray((tmp_path / "w.h5").read_bytes())
    at = content.index(arrays()["block3_conv1/kernel"].tobytes())
    content[at + 100] ^= 1
    (tmp_path / "w.h5").write_bytes(content)

    refused(tmp_path / "w.h5", "an array in it is damaged")


@pytest.mark.parametrize(("of_the_user", "expected"), [(20, "(20, 20)"), (100, "(50, 50)")])
def test_limits_of_the_user_are_kept(of_the_user, expected):
    """Only root may raise them, and the reader's are upper ones."""
    wanted = "import resource; from headstart.backbones.foreign_reader import _limit"
    code = f"{wanted}; _limit(resource.RLIMIT_CPU, 50); print(resource.getrlimit(resource.RLIMIT_CPU))"

    found = unprivileged(code, before=lambda: resource.setrlimit(resource.RLIMIT_CPU, (of_the_user,) * 2))

    assert found.strip() == expected


# A library that the reader needs for HDF5, and that says by its exit code whether it came through.
CONNECTING = """
import socket, sys
try:
    socket.create_connection(("127.0.0.1", {port}), 5)
except OSError as error:
    sys.stderr.write("it met no network")
    sys.exit(3)
"""
MAY_LEAVE = "import ctypes; print(ctypes.CDLL(None).unshare(0x50000000))"


@pytest.mark.parametrize("privileged", [True, False])
def test_the_reader_has_no_network(tmp_path, monkeypatch, privileged):
    """Neither as root nor as any user; threads of NumPy's would keep it in the network."""
    if unprivileged(MAY_LEAVE) != "0\n":
        pytest.skip("a process may not leave the network here")
    (tmp_path / "w.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 64)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "8")
    with socket.create_server(("127.0.0.1", 0)) as server:
        (tmp_path / "h5py.py").write_text(CONNECTING.format(port=server.getsockname()[1]))

        if privileged:
            refused(tmp_path / "w.h5", "it met no network")
        else:
            assert "it met no network" in unprivileged(READ, tmp_path / "w.h5")


def own(folder, kind, **changes):
    """A file of weights that headstart writes, and the bundle that it is of."""
    spec = models.spec(**changes)
    bundle = models.saved(folder / "model", spec)
    if kind == "bundle":
        return folder / "model" / "weights.safetensors", bundle
    FORMATS[kind].save(spec, bundle.arrays(), folder)
    return folder / FORMATS[kind].file, bundle


@pytest.mark.parametrize("kind", ["bundle", "onnx", "keras"])
def test_weights_that_headstart_wrote_are_taken_for_what_they_are(tmp_path, monkeypatch, kind):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))
    path, bundle = own(tmp_path, kind)

    for take in (weights.find, weights.import_file):
        with pytest.raises(InputError, match=r"expect red first.*weights import FILE --colours rgb"):
            take(TINY, path if take == weights.import_file else str(path))

    found = weights.find(TINY, weights.import_file(TINY, path, "rgb"))
    for name in SHAPES:
        np.testing.assert_array_equal(found[name], bundle.arrays()[name])


@pytest.mark.parametrize("kind", ["bundle", "onnx", "keras"])
def test_weights_for_other_pixels_are_refused_whatever_is_said_of_their_colours(tmp_path, kind):
    path, _ = own(tmp_path, kind, pixels="unit")

    for colours in ("bgr", "rgb"):
        with pytest.raises(InputError, match="trained them from scratch, on pixels of another scale"):
            weights.import_file(TINY, path, colours)


@pytest.mark.parametrize("kind", ["bundle", "keras"])
def test_weights_that_do_not_say_for_which_pixels_they_are_are_refused(tmp_path, kind):
    """Without the bundle's spec, or by way of Keras in a file without a config."""
    path, _ = own(tmp_path, kind)
    if kind == "bundle":
        alone = path.rename(tmp_path / "w.safetensors")
    else:
        alone = tmp_path / "w.weights.h5"
        keras().saving.load_model(path).save_weights(alone)

    with pytest.raises(InputError, match="nothing beside them says what pixels they expect"):
        weights.import_file(TINY, alone, "rgb")
