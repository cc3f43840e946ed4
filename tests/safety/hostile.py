"""Files that would run code, read, write or connect elsewhere, if somebody trusted them: (name, content).

Every payload makes the file `canary`, or connects to a port that the test listens on.
"""

from __future__ import annotations

import io
import json
import marshal
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np


class Touch:
    """Unpickled, it runs a command."""

    def __init__(self, function: object, *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call  # type: ignore[return-value]


def files(canary: Path, port: int) -> Iterator[tuple[str, bytes]]:
    """All of them, each with a name of its own."""
    yield from pickles(canary, port)
    yield from keras_archives(canary)
    yield from hdf5_files(canary)
    yield from onnx_files(canary)
    yield from archives(canary)
    yield from texts(canary, port)


def pickles(canary: Path, port: int) -> Iterator[tuple[str, bytes]]:
    import os
    import socket
    import subprocess

    touch = f"touch {canary}"
    code = f"open({str(canary)!r}, 'w').close()"
    ways = {
        "system": Touch(os.system, touch),
        "popen": Touch(subprocess.Popen, ["touch", str(canary)]),
        "exec": Touch(exec, code),
        "eval": Touch(eval, code),
        "connect": Touch(socket.create_connection, ("127.0.0.1", port)),
        "open": Touch(open, str(canary), "w"),
    }
    for name, way in ways.items():
        for protocol in (0, 2, 5):
            yield f"{name}-{protocol}.pkl", pickle.dumps(way, protocol)
    payload = pickle.dumps(ways["system"])
    yield "model.joblib", b"\x80\x04\x95" + payload
    yield "model.npy", npy(payload)
    yield "model.npz", zipped({"weights.npy": npy(payload)})
    yield "pytorch_model.bin", zipped({"archive/data.pkl": payload, "archive/version": b"3"})
    yield "legacy.pt", pickle.dumps(0x1950A86A20F9469CFC6C) + payload
    yield "payload-behind.safetensors", safetensors({"a": np.zeros(1, np.float32)}) + payload
    yield "payload-in-metadata.safetensors", safetensors({}, {"__metadata__": {"code": payload.hex()}})


def npy(payload: bytes) -> bytes:
    """An array of objects, whose data NumPy unpickles where it is allowed to."""
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (118 - len(header)) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + payload


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def safetensors(tensors: dict[str, np.ndarray], header: dict[str, object] | None = None) -> bytes:
    from safetensors.numpy import save

    if header is None:
        return save(tensors)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


def _lambda(canary: Path) -> dict[str, object]:
    """CVE-2024-3660: marshalled code inside a Lambda layer."""
    import base64

    code = compile(f"lambda x: open({str(canary)!r}, 'w')", "x", "eval").co_consts[0]
    text = base64.b64encode(marshal.dumps(code)).decode()
    function = {"class_name": "__lambda__", "config": {"code": text, "defaults": None, "closure": None}}
    return layer("Lambda", {"name": "evil", "function": function})


def layer(kind: str, config: dict[str, object], module: str = "keras.layers") -> dict[str, object]:
    return {"module": module, "class_name": kind, "config": config, "registered_name": None,
            "name": "evil", "inbound_nodes": []}  # fmt: skip


def model_config(*layers: dict[str, object]) -> dict[str, object]:
    return {"module": "keras", "class_name": "Sequential", "registered_name": None,
            "config": {"name": "m", "trainable": True, "layers": list(layers)}}  # fmt: skip


def keras_configs(canary: Path) -> dict[str, dict[str, object]]:
    """By what was reported: a name of the flaw, and the config that used it."""
    arguments = {"command": f"touch {canary}"}
    function = {"module": "os", "class_name": "function", "config": "system", "registered_name": "system"}
    return {
        "CVE-2024-3660": model_config(_lambda(canary)),
        "CVE-2025-1550": model_config(layer("Lambda", {"function": function, "arguments": arguments})),
        "CVE-2025-8747": model_config(layer("Lambda", {
            "function": {"module": "keras.utils", "class_name": "function", "config": "get_file"},
            "arguments": {"origin": "file:" + f"//{canary}"}})),
        "CVE-2025-9906": {"module": "keras.config", "class_name": "function",
                          "config": "enable_unsafe_deserialization", "registered_name": None},
        "named callable": model_config(layer("Dense", {"units": 1, "activation": function})),
        "subprocess": model_config(layer("Popen", {"args": ["touch", str(canary)]}, "subprocess")),
        "TFSMLayer": model_config(layer("TFSMLayer", {"filepath": str(canary.parent)})),
        "vocabulary": model_config(layer("StringLookup", {"vocabulary": "/etc/passwd"})),
        "custom": {"class_name": "Custom", "module": "builtins", "config": {}, "registered_name": "a>eval"},
    }  # fmt: skip


def keras_archives(canary: Path) -> Iterator[tuple[str, bytes]]:
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file["layers/dense/vars/0"] = np.zeros((1, 1), np.float32)
    for name, config in keras_configs(canary).items():
        members = {"config.json": json.dumps(config).encode(), "metadata.json": b"{}"}
        yield f"{name}.keras", zipped(members | {"model.weights.h5": weights.getvalue()})
    payload = pickle.dumps(Touch(exec, f"open({str(canary)!r}, 'w')"))
    yield "weights-are-a-pickle.keras", zipped({"config.json": b"{}", "model.weights.h5": payload})
    yield (
        "weights-are-npz.keras",
        zipped({"config.json": b"{}", "model.weights.npz": zipped({"a.npy": npy(payload)})}),
    )


def hdf5_files(canary: Path) -> Iterator[tuple[str, bytes]]:
    for name, config in keras_configs(canary).items():  # CVE-2025-9905: the older format asks nobody
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            file.attrs["model_config"] = json.dumps(config)
            file.create_group("model_weights")
        yield f"{name}.h5", content.getvalue()
    for name, link in {
        "external": h5py.ExternalLink("/etc/passwd", "/"),
        "external-above": h5py.ExternalLink("../secret.h5", "/"),
        "soft": h5py.SoftLink("/nowhere"),
        "soft-around": h5py.SoftLink("/block1_conv1"),
    }.items():
        content = io.BytesIO()
        with h5py.File(content, "w") as file:
            file["block1_conv1"] = link
        yield f"link-{name}.h5", content.getvalue()


def onnx_files(canary: Path) -> Iterator[tuple[str, bytes]]:
    from onnx import TensorProto, helper

    for name, location in {"absolute": "/etc/passwd", "above": "../../secret", "canary": str(canary)}.items():
        tensor = TensorProto(name="block1_conv1/kernel", data_type=1, dims=[3, 3, 3, 4], data_location=1)
        entry = tensor.external_data.add()
        entry.key, entry.value = "location", location
        graph = helper.make_graph([], "g", [], [], [tensor])
        yield f"external-{name}.onnx", helper.make_model(graph).SerializeToString()
    node = helper.make_node("PyOp", [], ["x"], domain="ai.onnx.contrib", code=f"open({str(canary)!r}, 'w')")
    yield (
        "custom-operation.onnx",
        helper.make_model(helper.make_graph([node], "g", [], [])).SerializeToString(),
    )


def archives(canary: Path) -> Iterator[tuple[str, bytes]]:
    """Names that lead out of the folder where somebody unpacks them."""
    names = ["../canary", str(canary), "a/../../canary", "C:\\canary", "..\\canary", "canary:stream", "CON"]
    for i, name in enumerate(names):
        yield f"name-{i}.zip", zipped({name: b"out"})
    link = zipfile.ZipInfo("model.weights.h5")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(link, str(canary))
    yield "symlink.keras", content.getvalue()
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE):
        content = io.BytesIO()
        with tarfile.open(fileobj=content, mode="w:gz") as tar:
            entry = tarfile.TarInfo("model.json")
            entry.type, entry.linkname = kind, str(canary)
            tar.addfile(entry)
        yield f"link-{kind.decode()}.tar.gz", content.getvalue()
    yield "polyglot.png", b"\x89PNG\r\n\x1a\n" + zipped({"config.json": b"{}", "../canary": b"out"})


def texts(canary: Path, port: int) -> Iterator[tuple[str, bytes]]:
    touch = f"touch {canary}"
    yield "model.yaml", f"!!python/object/apply:os.system ['{touch}']".encode()
    yield "model.py", f"import os; os.system({touch!r})".encode()
    yield "setup.pth", f"import os; os.system({touch!r})".encode()
    entity = f'<!DOCTYPE net [<!ENTITY x SYSTEM "{"file:" + "//"}/etc/passwd">]><net port="{port}"/>'
    yield "model.xml", entity.encode()
    yield "library.so", b"\x7fELF\x02\x01\x01" + b"\0" * 64
    spec = {"backbone": "vgg16", "__reduce__": ["os.system", touch], "class": "os.system"}
    yield "model.json", json.dumps(spec).encode()
