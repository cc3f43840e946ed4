"""`headstart explain`."""

from __future__ import annotations

from pathlib import Path

from headstart.config import AnyEngine, Whole
from headstart.errors import InputError, sentence


def explain(
    run: Path,
    /,
    *paths: Path,
    out: Path = Path("explained"),
    of: tuple[str, ...] = (),
    neighbours: Whole = 5,
    engine: AnyEngine = "auto",
) -> int:
    """Show what answers rest on: heatmaps (Grad-CAM) and the most similar training images.

    Writes a picture for each image, which replaces an earlier one but no other file. A file that is not a
    usable image gets a row that says why, and the exit code is then 2.

    Args:
        run: Run directory, or its model folder.
        paths: Images, or folders of images.
        out: Folder for the pictures.
        of: Another class whose heat is shown beside that of the answer; may be repeated.
        neighbours: Training images shown.
        engine: Another engine than the one the model was trained with.
    """
    from headstart import pipeline
    from headstart.cli.listing import Listing
    from headstart.cli.tables import explained, print_explanations
    from headstart.progress import shown, track
    from headstart.report import overlay

    if out.exists() and not out.is_dir():
        line = "--out is a file, and the pictures need a folder."
        raise InputError(sentence(line, received=str(out), remedy="Choose another name."))
    files = list(Listing.of(paths))
    places = overlay.places(files, out)
    found = pipeline.explain(run, files, of, neighbours, "" if engine == "auto" else engine)
    root, rows, failed = pipeline.image_root(run), [], False
    out.mkdir(parents=True, exist_ok=True)
    with shown(len(files) > 1):
        for one, place in zip(track(found, "Explaining", len(files)), places, strict=True):
            if not one.prediction.error:
                overlay.draw(one, root, place)
            failed |= bool(one.prediction.error)
            rows.append(explained(one, place))
    print_explanations(rows)
    return 2 if failed else 0
