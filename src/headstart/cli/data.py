"""`headstart data`: what is done with data before training."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import cyclopts

from headstart.errors import printable

app = cyclopts.App(name="data", help="Fetch and prepare data.")


Dataset = Literal["cifar10", "cifar100"]


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
