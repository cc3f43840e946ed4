"""`headstart predict`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from headstart.config import AnyEngine
from headstart.errors import InputError, printable, sentence

if TYPE_CHECKING:
    from headstart.cli.listing import Listing
    from headstart.inference.predictor import Prediction, Predictor


def predict(
    run: Path,
    /,
    *paths: Path,
    format: Literal["auto", "table", "json", "csv", "parquet"] = "auto",
    out: Path | None = None,
    engine: AnyEngine = "auto",
) -> int:
    """Predict the class of images.

    A file that is not a usable image gets a row that says why, and the exit code is then 2. With --out an
    interrupted prediction goes on where it stopped.

    Args:
        run: Run directory, or its model folder.
        paths: Images, or folders of images.
        format: Form of the answer. `auto`: as --out ends, or a table.
        out: File for the answer instead of the screen; needed for parquet.
        engine: Another engine than the one the model was trained with.
    """
    from headstart.cli.listing import Listing
    from headstart.pipeline import load
    from headstart.progress import shown

    form = _form(format, out)
    if form == "parquet" and out is None:
        raise InputError(sentence("Parquet is not for the screen.", remedy="Add --out FILE.parquet."))
    listing = Listing.of(paths)
    predictor = load(run, "" if engine == "auto" else engine)
    # Rows that appear on a terminal say how far it is.
    with shown(listing.count > 1 and (out is not None or not sys.stdout.isatty())):
        errors = _print(predictor, listing, form) if out is None else _write(predictor, listing, form, out)
    return 2 if errors else 0


def _form(format: str, out: Path | None) -> str:
    if format != "auto":
        return format
    suffix = out.suffix.lower().removeprefix(".") if out else ""
    return suffix if suffix in ("json", "csv", "parquet") else "table"


def _print(predictor: Predictor, listing: Listing, form: str) -> int:
    """Answers on the screen as they come; returns how many are errors."""
    from headstart.inference.forms import TEXTS
    from headstart.progress import track

    seen: Counter[str] = Counter()
    each = ([answer] for answer in track(predictor.stream(listing), "Predicting", listing.count))
    for text in TEXTS[form](_counted(each, seen), listing.width):
        sys.stdout.write(text)
    return seen["errors"]


def _write(predictor: Predictor, listing: Listing, form: str, out: Path) -> int:
    """Answers in a file, by way of parts beside it that outlive an interrupted command; as `_print`."""
    from headstart.inference.forms import TEXTS, write_parquet
    from headstart.inference.parts import Parts
    from headstart.progress import bar, note
    from headstart.resume import locked
    from headstart.rundir import atomic_file

    folder, seen = out.with_name(f".{out.name}.parts"), Counter[str]()
    with locked(folder):
        parts = Parts(folder, predictor)
        with bar("Predicting", listing.count) as shown_bar:
            answers = _counted(parts.answers(listing, shown_bar.advance), seen)
            if form == "parquet":
                write_parquet(answers, predictor.spec.class_names, out)
            else:
                with atomic_file(out) as temporary, temporary.open("w", encoding="utf-8") as file:
                    file.writelines(TEXTS[form](answers, listing.width))
        parts.remove()
    bad = f", {seen['errors']:,} of them no usable images" if seen["errors"] else ""
    note(f"{seen['answers']:,} files{bad} → {printable(out)}")
    return seen["errors"]


def _counted(answers: Iterable[Sequence[Prediction]], seen: Counter[str]) -> Iterator[Sequence[Prediction]]:
    for some in answers:
        seen["answers"] += len(some)
        seen["errors"] += sum(bool(one.error) for one in some)
        yield some
