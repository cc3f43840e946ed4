"""Exports a trained model, with what its users need beside it, and proves it before it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from headstart.data import images
from headstart.data.names import SYSTEM_NAMES
from headstart.engines import INT8, TOLERANCE
from headstart.errors import InputError, sentence
from headstart.exports import example, parity, plain, settings
from headstart.exports.formats import FORMATS, Format
from headstart.inference.predictor import Predictor
from headstart.rundir import atomic_dir, write_json

PARITY = "parity.json"


def export(
    predictor: Predictor, to: str, out: Path, contents: Sequence[bytes], reference: np.ndarray
) -> Path:
    """Writes the model in the format `to`, and in 8-bit integers if the predictor's engine runs it so.

    Beside it lie ``labels.txt``, ``settings.json``, ``example.py`` and ``parity.json``. All of it is written
    next to its place, proved there by the format's own library, and only then moved.

    Args:
        predictor: of the bundle.
        to: a name of `FORMATS`.
        out: the folder, which is new, empty or an earlier export.
        contents: held-out image files.
        reference: (N, C) probabilities that Keras gives them.

    Returns:
        The file or folder of the model.

    Raises:
        InputError: there is no such format, a library or an image to prove it by is missing, or `out` holds
            something else.
        GateError: the export would not answer as Keras does.
    """
    row = known(to)
    row.require()
    _require_free(out)
    _require_proof(contents)
    spec, arrays = predictor.spec, dict(predictor.weights())
    with atomic_dir(out) as folder:
        row.save(spec, arrays, folder)
        settings.save(spec, folder)
        example.save(spec, to, row.file, folder)
        certificate = parity.certify(predictor, contents, reference, process=True)
        by = (row.library, "int8" if predictor.engine_name == INT8.name else "f32", row.version)
        squares = np.stack([images.square(content, spec.image_size, spec.fit) for content in contents])
        said = plain.ask(folder, squares)
        route = parity.compared(f"export {to}", by, said, reference, TOLERANCE[by[1]])
        routes = (*certificate.routes, route)
        certificate = parity.Certificate(certificate.reference, routes)
        write_json(folder / PARITY, certificate.to_dict())
        parity.require(certificate)
    return out / row.file


def known(to: str, int8: bool = False) -> Format:
    """The row of a format.

    Raises:
        InputError: there is none of that name, or it takes no 8-bit integers.
    """
    if to not in FORMATS:
        raise InputError(sentence("There is no such format.", allowed=", ".join(FORMATS), received=to))
    if int8 and to != "openvino":
        raise InputError(
            sentence(
                "This format is not written in 8-bit integers.",
                allowed="--to openvino",
                received=to,
                remedy="Leave out --int8, or export to OpenVINO.",
            )
        )
    return FORMATS[to]


def _require_free(out: Path) -> None:
    """An export may replace one, and nothing else."""
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise _taken(out, "")
    names = {path.name for path in out.iterdir()} if out.is_dir() else set()
    if names and not (out / settings.SETTINGS).is_file():
        raise _taken(out, "")
    if others := sorted(
        name for name in names - _written() if name.lower() not in {".ds_store", *SYSTEM_NAMES}
    ):
        raise _taken(out, others[0])


def _written() -> set[str]:
    """All names that an export may have: those of the model in any format, and what lies beside it."""
    models = {row.file for row in FORMATS.values()}
    weights = {str(Path(name).with_suffix(".bin")) for name in models}
    return models | weights | {settings.LABELS, settings.SETTINGS, example.EXAMPLE, PARITY}


def _require_proof(contents: Sequence[bytes]) -> None:
    if not contents:
        raise InputError(
            sentence(
                "There is no image to prove the export by.",
                allowed="a run whose images are here, or a model that carries some",
                received="a model without any",
                remedy="Export it where its run and the images are, or train it again.",
            )
        )


def _taken(out: Path, other: str) -> InputError:
    return InputError(
        sentence(
            "The export would replace something that is none.",
            allowed="a new or empty folder, or that of an earlier export with nothing else in it",
            received=str(out / other),
            remedy="Name another with --out.",
        )
    )
