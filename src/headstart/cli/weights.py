"""`headstart weights`: pretrained weights from elsewhere."""

from __future__ import annotations

from pathlib import Path

import cyclopts

from headstart.config import Backbone, Colours

app = cyclopts.App(name="weights", help="See and import pretrained weights.")


@app.command(name="list")
def list_() -> None:
    """Show the weights that `headstart train --weights NAME` can take, and their size."""
    from headstart.backbones import weights
    from headstart.cli.cache import size
    from headstart.cli.tables import print_table
    from headstart.rundir import cache_dir

    folder = cache_dir() / "weights"
    rows = [(name, size((folder / f"{name}.safetensors").stat().st_size)) for name in weights.names()]
    if rows:
        print_table(("name", "size"), rows, right=("size",))
    else:
        print("There are none yet. VGG16's are fetched when they are first needed.")


@app.command(name="import")
def import_(file: Path, /, *, backbone: Backbone = "vgg16", colours: Colours = "bgr") -> None:
    """Take the weights of a backbone out of somebody's file; arrays are read by name, nothing is executed.

    The convolutions alone: dense layers are for `headstart train --head vgg --weights FILE`.

    Args:
        file: Keras's .h5, .weights.h5 or .keras, safetensors or ONNX.
        backbone: Whose weights they are.
        colours: Order of the colours that they expect: Keras's and Caffe's `bgr`; `headstart export`'s `rgb`.
    """
    from headstart.backbones import specs, weights

    name = weights.import_file(specs.backbone(backbone), file, colours)
    if name == backbone:
        print(f"These are the published weights of {name}; they are taken from now on.")
    else:
        print(f"Use them with: headstart train DATA --backbone {backbone} --weights {name}")
