"""`headstart predict`."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from headstart.config import Engine
from headstart.errors import InputError, harmless, printable, sentence

UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
NUMBERS = ("confidence", "distance")
REMARK = {"accept": "", "abstain": "  not sure enough", "unfamiliar": "  unlike the training images"}
COLUMNS = ("path", "label", "confidence", "decision", "distance", "error")


def predict(
    run: Path,
    /,
    *paths: Path,
    format: Literal["table", "json", "csv", "parquet"] = "table",
    out: Path | None = None,
    engine: Engine = "auto",
) -> int:
    """Predict the class of images.

    A file that is not a usable image gets a row that says why, and the exit code is then 2.

    Args:
        run: Run directory, or its model folder.
        paths: Images, or folders of images.
        format: Form of the answer.
        out: File for the answer instead of the screen; needed for parquet.
        engine: Another engine than the one the model was trained with.
    """
    from headstart.pipeline import load

    if format == "parquet" and out is None:
        raise InputError(sentence("Parquet is not for the screen.", remedy="Add --out FILE.parquet."))
    files = images_of(paths)
    from headstart.progress import shown, track

    predictor = load(run, "" if engine == "auto" else engine)
    with shown(len(files) > 1):
        answers = list(track(predictor.stream(files), "Predicting", len(files)))
    rows = [vars(answer) for answer in answers]
    if format == "parquet":
        _write_parquet(rows, out)
    else:
        _write_text(FORMATS[format](rows), out)
    return 2 if any(row["error"] for row in rows) else 0


def images_of(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, and the images of folders.

    Raises:
        InputError: there is none.
    """
    files = [file for path in paths for file in _images(path)]
    if not files:
        raise InputError(
            sentence(
                "There is no image to look at.",
                allowed="files, or folders with images in them",
                received=", ".join(map(str, paths)) or "nothing",
                remedy="Name at least one after the run.",
            )
        )
    return files


def _images(path: Path) -> list[Path]:
    """A file as it is; of a folder all that is an image by content, or should be one by its name."""
    from headstart.data.images import is_image

    if not path.is_dir():
        return [path]
    files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    images = [file for file in files if is_image(file)]
    if not images:
        raise InputError(sentence("There is no image in this folder.", received=str(path)))
    if len(images) < len(files):
        print(f"{printable(path)}: {len(files) - len(images)} files are no images.", file=sys.stderr)
    return images


def _write_text(text: str, out: Path | None) -> None:
    from headstart.rundir import write_text

    if out is None:
        print(text, end="")
    else:
        write_text(out, text)


def _write_parquet(rows: list[dict[str, object]], out: Path | None) -> None:
    import pandas as pd

    from headstart.rundir import atomic_file

    assert out is not None
    table = pd.DataFrame(rows).drop(columns="probabilities")
    table["path"] = [printable(row["path"]) for row in rows]  # a name that is no text cannot be written
    names = next((row["probabilities"] for row in rows if row["probabilities"]), {})
    assert isinstance(names, dict)
    for name in names:
        table[f"p_{name}"] = [row["probabilities"].get(name) for row in rows]  # type: ignore[attr-defined]
    with atomic_file(out) as temporary:
        table.to_parquet(temporary, index=False)


def _as_table(rows: list[dict[str, object]]) -> str:
    width = max(len(printable(row["path"])) for row in rows)
    lines = []
    for row in rows:
        answer = (
            f"error: {row['error']}"
            if row["error"]
            else f"{row['confidence']:>7.1%}  {printable(row['label'])}{REMARK[str(row['decision'])]}"
        )
        lines.append(f"{printable(row['path']):<{width}}  {answer}\n")
    return "".join(lines)


def _as_json(rows: list[dict[str, object]]) -> str:
    """Probabilities are rounded to 6 digits here and in every other JSON answer."""

    def rounded(row: dict[str, object]) -> dict[str, object]:
        probabilities = row["probabilities"]
        assert isinstance(probabilities, dict)
        return row | {
            "confidence": round(float(str(row["confidence"])), 6),
            "distance": None if row["distance"] is None else round(float(str(row["distance"])), 4),
            "probabilities": {name: round(p, 6) for name, p in probabilities.items()},
        }

    text = json.dumps([rounded(row) for row in rows], ensure_ascii=False, indent=2)
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def _as_csv(rows: list[dict[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([row[name] if name in NUMBERS else harmless(str(row[name])) for name in COLUMNS])
    return text.getvalue()


FORMATS = {"table": _as_table, "json": _as_json, "csv": _as_csv}
