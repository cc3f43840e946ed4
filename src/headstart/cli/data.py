"""`headstart data`: what is done with data before training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import cyclopts
from cyclopts import Parameter

from headstart.config import DataConfig, Whole
from headstart.errors import printable

if TYPE_CHECKING:
    from headstart.data.check import DataCheck

app = cyclopts.App(name="data", help="Check, fetch and prepare data.")


Dataset = Literal["cifar10", "cifar100"]


@app.command
def check(
    data: str,
    /,
    *,
    out: Path | None = None,
    strict: bool = False,
    seed: Whole = 0,
    options: Annotated[DataConfig | None, Parameter(name="*")] = None,
) -> int:
    """Look for everything that is wrong with the images, before anything is trained on them.

    Args:
        data: As `headstart train` takes it.
        out: Folder for the page, the ledger and the manifest; `runs/<name of data>-check` by default.
        strict: Exit with 1 if anything is left out or doubtful.
        seed: Of the split that is tried.
    """
    from headstart import datacheck
    from headstart.progress import shown

    with shown():
        found, folder = datacheck.check(data, out, options, seed)
    _print_check(found)
    print(f"\n  page     {printable(folder / 'data.html')}")
    print(f"  ledger   {printable(folder / 'data_report.csv')}")
    return int(strict and bool((found.ledger["action"] != "ignored").any()))


def _print_check(found: DataCheck) -> None:
    """Images and classes, then a line for each check that found something."""
    sizes = found.manifest.table["split"].value_counts()
    parts = ", ".join(f"{split} {sizes[split]:,}" for split in ("train", "val", "test") if split in sizes)
    classes = len(found.manifest.class_names)
    print(f"  {len(found.manifest):,} usable images in {classes} classes{f' ({parts})' * bool(parts)}\n")
    for action in ("left out", "kept", "ignored"):
        checks = found.ledger.loc[found.ledger["action"] == action, "check"]
        for name, count in checks.value_counts().items():
            print(f"  {action:<9}{name:<28}{count:>8,}")
    if not len(found.ledger):
        print("  Nothing was found that is wrong with them.")


@app.command
def prepare(dataset: Dataset, source: Path, out: Path, /) -> None:
    """Write the images of a public data set's archive as PNG files: train/CLASS/00017.png, test/….

    Args:
        dataset: Which one.
        source: Its archive, as `headstart data download` fetches it, or a folder with what it unpacks to.
        out: A new folder.
    """
    from headstart.data.sources import cifar
    from headstart.progress import shown

    with shown():
        count = cifar.prepare(dataset, source, out)
    print(f"  images   {count:,} in {printable(out)}")
    print(f"  next     headstart train {printable(out)}")


@app.command
def download(dataset: Dataset, /, *, out: Path = Path(), url: str = "") -> None:
    """Fetch the archive of a public data set, about 170 MB; a broken download goes on where it stopped.

    Args:
        dataset: Which one.
        out: Folder for the archive.
        url: Fetch it from here instead of its authors' page; the hash must be the published one.
    """
    from headstart.data.download import download as fetch
    from headstart.progress import shown

    with shown():
        file = fetch(dataset, out, url)
    print(f"  archive  {printable(file)}")
    print(f"  next     headstart train {dataset}:{printable(file)}")
