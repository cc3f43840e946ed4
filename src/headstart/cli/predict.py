"""`headstart predict`."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO, get_args

from headstart.config import AnyEngine
from headstart.errors import InputError, printable, sentence

if TYPE_CHECKING:
    from headstart.cli.listing import Listing
    from headstart.inference.predictor import Prediction, Predictor

Form = Literal["auto", "table", "json", "csv", "tsv", "parquet"]
FORMS = tuple(f".{name}" for name in get_args(Form) if name not in ("auto", "table"))


def predict(
    run: Path,
    /,
    *paths: Path,
    format: Form = "auto",
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
        out: File for the answer instead of the screen; needed for parquet. A pipe or a device is written to.
        engine: Another engine than the one the model was trained with.
    """
    from headstart.cli.listing import Listing
    from headstart.pipeline import load
    from headstart.progress import shown

    listing = Listing.of(paths)
    _require_no_image(listing, out)
    form = _form(format, out)
    _check(form, out)
    _require_no_other(out)
    predictor = load(run, "" if engine == "auto" else engine)
    # Rows that appear on a terminal say how far it is.
    with shown(listing.count > 1 and (out is not None or not sys.stdout.isatty())):
        if out is None:
            errors = _print(predictor, listing, form, sys.stdout)
        elif _is_stream(out):
            errors = _send(predictor, listing, form, out)
        else:
            errors = _write(predictor, listing, form, out)
    return 2 if errors else 0


def _form(format: str, out: Path | None) -> str:
    if format != "auto":
        return format
    suffix = out.suffix.lower() if out else ""
    if suffix in FORMS:
        return suffix.removeprefix(".")
    if out is None or suffix in ("", ".txt", ".log") or _is_stream(out):
        return "table"
    raise InputError(
        sentence(
            f"There is no form of answers for {printable(suffix)}.",
            allowed=f"{', '.join(FORMS)}, or .txt for a table to look at",
            received=str(out),
            remedy="Choose another ending, or add --format.",
        )
    )


def _check(form: str, out: Path | None) -> None:
    if out is not None and (not out.name or out.is_dir()):
        allowed = "the name of a file"
        raise InputError(sentence("--out is a folder.", allowed=allowed, received=str(out)))
    if form == "parquet" and (out is None or _is_stream(out)):
        problem = "Parquet is not for the screen, a pipe or a device."
        raise InputError(sentence(problem, remedy="Add --out FILE.parquet."))


def _require_no_image(listing: Listing, out: Path | None) -> None:
    """Refuses to replace an image by answers: a pattern after --out may have become several names."""
    from headstart.data.images import is_image

    if out is None or _is_stream(out):
        return
    target = os.path.realpath(out)
    if is_image(out) or (out.exists() and any(os.path.realpath(path) == target for path in listing)):
        raise InputError(
            sentence(
                "--out is an image, or called one, and answers are not written over images.",
                allowed="another name, such as answers.csv",
                received=str(out),
            )
        )


def _require_no_other(out: Path | None) -> None:
    """Refuses to replace a file of another kind: a table of labels, or what belongs to a run."""
    from headstart.inference.forms import are_answers

    if out is not None and out.is_file() and not are_answers(out):
        raise InputError(
            sentence(
                "--out is a file that `headstart predict` did not write.",
                allowed="a new name, or that of earlier answers",
                received=str(out),
                remedy="Choose another name, or remove the file.",
            )
        )


def _is_stream(out: Path) -> bool:
    """Whether it is a pipe or a device, such as `/dev/null`: written to, and never replaced."""
    return out.exists() and not out.is_file()


def _print(predictor: Predictor, listing: Listing, form: str, stream: TextIO) -> int:
    """Answers as they come, to the screen say; returns how many are errors."""
    from headstart.inference.forms import TEXTS
    from headstart.progress import track

    seen: Counter[str] = Counter()
    with closing(track(predictor.stream(listing), "Predicting", listing.count)) as answers:
        each = ([answer] for answer in answers)
        stream.writelines(TEXTS[form](_counted(each, seen), listing.width))
    return seen["errors"]


def _send(predictor: Predictor, listing: Listing, form: str, out: Path) -> int:
    """Answers as they come, to a pipe or a device; as `_print`."""
    try:
        with out.open("w", encoding="utf-8") as stream:
            return _print(predictor, listing, form, stream)
    except BrokenPipeError as error:
        line = "What reads the answers ended before it had all of them."
        raise InputError(sentence(line, received=str(out), remedy="See what it says.")) from error


def _write(predictor: Predictor, listing: Listing, form: str, out: Path) -> int:
    """Answers in a file, by way of parts beside it that outlive an interrupted command; as `_print`."""
    from headstart.inference.forms import TEXTS, write_parquet
    from headstart.inference.parts import Parts
    from headstart.progress import bar, note
    from headstart.resume import locked
    from headstart.rundir import atomic_file

    target = Path(os.path.realpath(out))  # a link stays, and what it leads to is replaced
    folder, seen = target.with_name(f".{target.name}.parts"), Counter[str]()
    with locked(folder):
        parts = Parts(folder, predictor)
        with bar("Predicting", listing.count) as shown_bar:
            answers = _counted(parts.answers(listing, shown_bar.advance), seen)
            if form == "parquet":
                write_parquet(answers, predictor.spec.class_names, target)
            else:
                with atomic_file(target) as temporary, temporary.open("w", encoding="utf-8") as file:
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
