"""What the images are, and which files were left out."""

from __future__ import annotations

from collections import Counter

from headstart.report import figures
from headstart.report.files import RunFiles
from headstart.report.parts import Drawing, Section, Table
from headstart.report.wording import many

LEDGER_ROWS = 20
"""At most so many rows of the ledger are shown."""


def data(files: RunFiles) -> Section:
    """Images by class and split."""
    if files.manifest is None:
        return Section("data", "Data", "The run has no manifest of its images.")
    counts = files.manifest.counts()
    caption = f"{len(files.manifest):,} images in {len(counts):,} classes."
    if fingerprint := files.info.get("dataset", {}).get("fingerprint"):
        caption += f" Fingerprint of the data: {fingerprint}."
    seen = "Images of each class by split."
    if len(counts) > figures.SHOWN:
        seen += f" Shown are the {figures.SHOWN} smallest of {len(counts):,}."
    counted = counts.assign(total=counts.sum(axis=1))
    rows = [
        (str(name), *(f"{n:,}" for n in row))
        for name, row in zip(counted.index, counted.to_numpy(), strict=True)
    ]
    rows.append(("all classes", *(f"{n:,}" for n in counted.sum(axis=0))))
    header = ("Class", *(str(name) for name in counted.columns))
    return Section(
        "data",
        "Data",
        caption,
        figures=(Drawing.of("class_counts", figures.class_counts(counts), seen),),
        tables=(Table("Images by class and split", header, tuple(rows)),),
    )


def ledger(files: RunFiles) -> Section:
    """Files left out, ignored, or kept although doubtful."""
    title, rows = "Ledger", files.ledger
    if rows is None:
        return Section("ledger", title, "The run has no ledger of its files.")
    if rows.empty:
        return Section("ledger", title, "Every file was used, and none is doubtful.")
    counts = Counter(zip(rows["action"], rows["check"], strict=True))
    paths = rows["path"].drop_duplicates()
    folders = int(paths.str.endswith("/").sum())
    counted = [many(n, kind) for n, kind in ((len(paths) - folders, "file"), (folders, "folder")) if n]
    verb = "is" if len(paths) == 1 else "are"
    caption = (
        f"{' and '.join(counted)} {verb} left out, ignored or doubtful. Nothing was changed or replaced."
    )
    if len(rows) > LEDGER_ROWS:
        caption += f" The first {LEDGER_ROWS} are shown; all are in data_report.csv."
    summary = tuple((action, check, f"{n:,}") for (action, check), n in counts.most_common())
    first = rows.head(LEDGER_ROWS)[["path", "check", "action", "reason"]]
    return Section(
        "ledger",
        title,
        caption,
        tables=(
            Table("Files by action and check", ("Action", "Check", "Files"), summary, text_columns=2),
            Table(
                "The first rows of the ledger",
                ("Path", "Check", "Action", "Reason"),
                tuple(first.itertuples(index=False, name=None)),
                text_columns=4,
            ),
        ),
    )
