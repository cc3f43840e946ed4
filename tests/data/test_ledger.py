"""The ledger's rows and its CSV."""

from __future__ import annotations

import csv
import math

import pandas as pd

from headstart.data import ledger


def test_rows_become_an_ordered_table():
    rows = [
        ledger.row("b.png", "truncated", "Cut.", "left out"),
        ledger.row("a.png", "exact-duplicate", "Copy.", "kept", score=1.0),
    ]
    table = ledger.table(rows)
    assert table.columns.tolist() == ["path", "check", "score", "reason", "action"]
    assert table["path"].tolist() == ["a.png", "b.png"]
    assert table["score"][0] == 1.0
    assert math.isnan(table["score"][1])
    assert ledger.table([]).dtypes.equals(table.dtypes)


def test_the_csv_says_what_the_table_says(tmp_path):
    path = tmp_path / "new" / "data_report.csv"
    rows = [ledger.row("Ærø, ü.png", "truncated", 'Says "cut", twice.', "left out", 0.5)]
    ledger.save(ledger.table(rows), path)
    assert pd.read_csv(path).to_dict("records") == [
        {
            "path": "Ærø, ü.png",
            "check": "truncated",
            "score": 0.5,
            "reason": 'Says "cut", twice.',
            "action": "left out",
        }
    ]
    assert [child.name for child in path.parent.iterdir()] == ["data_report.csv"]
    ledger.save(ledger.table([]), path)
    assert path.read_text() == "path,check,score,reason,action\n"


def test_no_cell_is_a_formula_or_a_terminal_command(tmp_path):
    names = [
        "=cmd|' /C calc'!A0.png",
        "+1.png",
        "-1.png",
        "@SUM(A1).png",
        "\t=1.png",
        "a\r\n=1.png",
        "\x1b]0;x\x07.png",
    ]
    path = tmp_path / "data_report.csv"
    ledger.save(ledger.table([ledger.row(name, "x", name, "kept") for name in names]), path)
    text = path.read_bytes().decode()
    assert text.replace("\n", "").isprintable()
    with path.open(newline="") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert len(cells) == 5 * (len(names) + 1)
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_a_name_that_is_no_text_can_be_written(tmp_path):
    row = ledger.row(
        b"caf\xe9.png".decode("utf-8", "surrogateescape"), "undecodable-name", "Rename.", "left out"
    )
    ledger.save(ledger.table([row]), tmp_path / "report.csv")
    assert "caf\\udce9.png" in (tmp_path / "report.csv").read_text(encoding="utf-8")
