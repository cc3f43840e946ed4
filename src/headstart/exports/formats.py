"""The table of formats that a model can leave headstart in."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from headstart.backbones.weights import Arrays
from headstart.errors import InputError, sentence
from headstart.inference.bundle import BundleSpec


@dataclass(frozen=True)
class Format:
    """A row of the table.

    Attributes:
        name: as on the command line.
        file: what is written into the export's folder.
        module, function: in this package, imported only when used: (spec, arrays, folder) → None.
        writes: the module that writing needs.
        runs: the distribution that runs it, by the names that it has.
        extra: of headstart, that brings what is missing.
    """

    name: str
    file: str
    module: str
    function: str
    writes: str
    runs: tuple[str, ...]
    extra: str

    @property
    def save(self) -> Callable[[BundleSpec, Arrays, Path], None]:
        """What writes it."""
        module = importlib.import_module(f"headstart.exports.{self.module}")
        found: Callable[..., None] = getattr(module, self.function)
        return found

    @property
    def version(self) -> str:
        """Of what runs it."""
        return self._library[1]

    @property
    def library(self) -> str:
        """Name of what runs it."""
        return self._library[0]

    @property
    def _library(self) -> tuple[str, str]:
        """Name and version; both empty where it is not installed."""
        for name in self.runs:
            with suppress(importlib.metadata.PackageNotFoundError):
                return name, importlib.metadata.version(name)
        return "", ""

    def require(self) -> None:
        """Raises InputError where a library is missing that writes the format or proves it."""
        writes = importlib.util.find_spec(self.writes) is not None
        if not (writes and self.library):
            raise InputError(
                sentence(
                    f"The format {self.name} needs another library, which is not installed.",
                    received=f"no {self.runs[0] if writes else self.writes}",
                    remedy=f"Run `pip install 'headstart[{self.extra}]'`.",
                )
            )


FORMATS = {
    row.name: row
    for row in (
        Format("keras", "model.keras", "keras_formats", "save_keras", "keras", ("keras",), "cpu"),
        Format("onnx", "model.onnx", "onnx_format", "save", "onnx", ("onnxruntime",), "export"),
        Format("openvino", "model.xml", "openvino_format", "save", "openvino", ("openvino",), "cpu"),
        Format("litert", "model.tflite", "keras_formats", "save_litert", "tensorflow",
               ("ai-edge-litert",), "export"),
        Format("saved-model", "saved_model", "keras_formats", "save_saved_model", "tensorflow",
               ("tensorflow-cpu", "tensorflow"), "cpu"),
    )
}  # fmt: skip
