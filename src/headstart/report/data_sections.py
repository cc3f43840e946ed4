"""What the page about data says of its numbers: the verdict, and one short function a section.

The sections that show images are in `data_pictures`.
"""

from __future__ import annotations

import pandas as pd

from headstart.data.check import DataCheck
from headstart.report import data_figures, figures
from headstart.report import data_numbers as numbers
from headstart.report.data_checks import words
from headstart.report.data_numbers import NO_SPLIT, Finding
from headstart.report.parts import DataVerdict, Drawing, Section, Table, value_table
from headstart.report.wording import many, percent, quoted

WORST, LEDGER_ROWS, CLASS_ROWS = 4, 500, 1000
"""At most so many findings in the verdict, rows of the ledger, classes in the table of splits."""

UNEQUAL = 10
"""From this imbalance on the page warns of accuracy."""


def verdict(check: DataCheck, found: list[Finding]) -> DataVerdict:
    """How many images can be used, and what to look at first."""
    standing = numbers.standing(check)
    if not standing.all:
        return DataVerdict("0", "images: there is nothing to train on.", (), (), "")
    met = standing.all
    shares = (
        ("used, no doubt", standing.sound, 100 * standing.sound / met),
        ("used, doubtful", standing.doubtful, 100 * standing.doubtful / met),
        ("left out", standing.left_out, 100 * standing.left_out / met),
    )
    troubles = [(i, one) for i, one in enumerate(found) if one.action != "ignored"]
    worst = tuple((link(i), _in_brief(one)) for i, one in troubles[:WORST])
    advice = "Nothing was found that should be mended before training."
    if worst:
        more = len(troubles) - len(worst)
        advice = f"and {many(more, 'more check')} below." if more else ""
    return DataVerdict(percent(standing.used / met), _claim(standing), shares, worst, advice)


def _in_brief(one: Finding) -> str:
    return words(one.check).title + (f" ({len(one.rows):,})" if one.number else "")


def _claim(standing: numbers.Standing) -> str:
    subject = "image" if standing.all == 1 else "images"
    left = "none is left out" if not standing.left_out else f"{standing.left_out:,} left out"
    doubt = "none is doubtful" if not standing.doubtful else f"{standing.doubtful:,} doubtful"
    return f"of {standing.all:,} {subject} can be used: {left}, {doubt}."


def facts(check: DataCheck) -> tuple[tuple[str, str], ...]:
    """The data set in four numbers."""
    sizes = numbers.counts(check.manifest).sum(axis=1)
    ratio = numbers.imbalance(sizes)
    return (
        ("Images used", f"{len(check.manifest):,}"),
        ("Classes", f"{len(check.manifest.class_names):,}"),
        ("Largest : smallest class", f"{ratio:,.1f} : 1" if len(sizes) > 1 and ratio == ratio else "–"),  # noqa: PLR0124 - NaN
        ("Near duplicates", many(len(check.pairs), "pair")),
    )


def link(place: int) -> str:
    """The name, in the page, of a finding."""
    return f"finding-{place + 1}"


def findings_table(found: list[Finding]) -> Table:
    """A row a check: how many there are, what was done, an example, what to do."""
    rows = tuple(
        (
            words(one.check).title,
            one.number or "the whole set",
            one.action,
            str(one.rows["path"].iloc[0]) if one.number else "",
            words(one.check).remedy,
        )
        for one in found
    )
    header = ("Check", "Found", "Action", "For example", "What to do")
    links = tuple(link(i) for i in range(len(found)))
    return Table("All checks that found something", header, rows, text_columns=5, links=links)


def classes(check: DataCheck) -> Section:
    """Images by class and split."""
    counts = numbers.counts(check.manifest)
    title = "Classes and splits"
    if counts.empty:
        return Section("classes", title, "There is no class.")
    seen = "Images of each class" + (" by split." if list(counts.columns) != [NO_SPLIT] else ".")
    if len(counts) > figures.SHOWN:
        seen += f" Shown are the {figures.SHOWN} smallest of {len(counts):,} classes."
    return Section(
        "classes",
        title,
        _balance(counts.sum(axis=1)),
        figures=(Drawing.of("class_counts", figures.class_counts(counts), seen),),
        tables=(_split_table(counts),),
        footnote=_cut_table(len(counts)),
    )


def _balance(sizes: pd.Series) -> str:
    caption = f"{many(int(sizes.sum()), 'image')} in {many(len(sizes), 'class')}."
    if len(sizes) < 2:
        return caption + " A classifier needs two classes or more."
    largest, smallest, ratio = sizes.idxmax(), sizes.idxmin(), numbers.imbalance(sizes)
    if sizes.max() == sizes.min():
        return caption + f" All classes have the same size, {sizes.max():,}."
    caption += (
        f" The largest, {quoted(largest)} with {sizes.max():,}, has {ratio:,.1f} times as many as the "
        f"smallest, {quoted(smallest)} with {sizes.min():,}."
    )
    if ratio >= UNEQUAL:
        caption += (
            " Accuracy alone would flatter a model that favours the large ones: read balanced accuracy."
        )
    return caption


def _split_table(counts: pd.DataFrame) -> Table:
    whole = counts.sum(axis=0)
    rows = [
        (str(name), *(f"{n:,}" for n in row), f"{sum(row):,}")
        for name, row in zip(counts.index[:CLASS_ROWS], counts.to_numpy(), strict=False)
    ]
    total = int(whole.sum())
    rows.append(("all classes", *(f"{n:,}" for n in whole), f"{total:,}"))
    rows.append(("share", *(percent(n / max(total, 1)) for n in whole), ""))
    header = ("Class", *(str(name) for name in counts.columns), "total")
    return Table("Images by class and split", header, tuple(rows))


def _cut_table(classes: int) -> str:
    if classes <= CLASS_ROWS:
        return ""
    return f"The table shows the first {CLASS_ROWS:,} of {classes:,} classes by name."


def sizes(check: DataCheck) -> Section:
    """Sizes and aspect ratios."""
    table, title, target = numbers.sizes(check.manifest), "Sizes", check.image_size
    if table.empty:
        return Section("sizes", title, "No size is known.")
    small = int(table["n"][table[["width", "height"]].max(axis=1) < target].sum())
    caption = _range(table)
    if small:
        verb = "is" if small == 1 else "are"
        caption += (
            f" {many(small, 'image')} {verb} smaller than the {target} pixels that the network sees, and "
            "will be enlarged: that adds no detail."
        )
    drawings = []
    if len(table) > 1:
        seen = (
            "The more images, the larger or stronger the mark; histograms at the edges. On the diagonal lie "
            f"squares, on the dotted lines {target} pixels. A cloud of its own is often a source of its own."
        )
        drawings.append(Drawing.of("sizes", data_figures.sizes(table, target), seen))
    ratio = (table["width"] / table["height"]).to_numpy()
    if (ratio != ratio[0]).any():
        seen = "Width : height. What is far from square loses most when it is fitted into one."
        drawings.append(Drawing.of("aspect_ratios", data_figures.ratios(table), seen))
    return Section(
        "sizes",
        title,
        caption,
        figures=tuple(drawings),
        tables=(_size_table(table),) if len(table) > 1 else (),
    )


def _range(table: pd.DataFrame) -> str:
    first = table.iloc[0]
    commonest = f"{first['width']:,} × {first['height']:,} pixels"
    if len(table) == 1:
        return f"All images are {commonest}."
    share = percent(first["n"] / table["n"].sum())
    return f"There are {len(table):,} different sizes; the commonest is {commonest} ({share})."


def _size_table(table: pd.DataFrame) -> Table:
    columns = {
        "width": (table["width"], "{:,.0f}"),
        "height": (table["height"], "{:,.0f}"),
        "width : height": (table["width"] / table["height"], "{:.2f}"),
    }
    n = table["n"].to_numpy()
    rows = tuple(
        (
            name,
            *(
                shown.format(numbers.weighted_quantile(values.to_numpy(float), n, q))
                for q in (0.0, 0.05, 0.5, 0.95, 1.0)
            ),
        )
        for name, (values, shown) in columns.items()
    )
    return Table("From smallest to largest", ("Measure", "least", "5 %", "median", "95 %", "most"), rows)


def ledger(check: DataCheck) -> Section:
    """The first rows of the ledger."""
    title, rows = "Ledger", check.ledger
    if rows.empty:
        return Section("ledger", title, "It is empty: every file is used, and none is doubtful.")
    caption = f"{many(len(rows), 'row')}: every file that is left out, ignored or doubtful."
    caption += " Nothing was changed or replaced. All rows are in data_report.csv"
    caption += f"; the first {LEDGER_ROWS} are shown." if len(rows) > LEDGER_ROWS else "."
    columns = rows.head(LEDGER_ROWS)[["path", "check", "action", "reason", "score"]]
    cells = tuple(
        (str(path), str(word), str(action), str(reason), "" if pd.isna(score) else f"{score:.3g}")
        for path, word, action, reason, score in columns.itertuples(index=False, name=None)
    )
    header = ("Path", "Check", "Action", "Reason", "Score")
    table = Table("Rows of the ledger", header, cells, text_columns=4, filtered=True)
    return Section("ledger", title, caption, tables=(table,))


def made(check: DataCheck, version: str, fingerprint: str, refused: int) -> Section:
    """How the page was made."""
    caption = "The same files give the same page. Images to show are drawn by their content, not by chance."
    if refused:
        caption += f" {many(refused, 'picture')} found no room on it."
    lines = {
        "headstart": version,
        "images used": f"{len(check.manifest):,}",
        "classes": f"{len(check.manifest.class_names):,}",
        "rows of the ledger": f"{len(check.ledger):,}",
        "fingerprint": fingerprint,
    }
    table = value_table("What went in", {name: text for name, text in lines.items() if text})
    return Section("made", "Provenance", caption, tables=(table,))
