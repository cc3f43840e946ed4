"""Tables as people make them: by hand, by a spreadsheet, by a script (tabular.py and sources/table.py)."""

from __future__ import annotations

import math
import unicodedata

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headstart.data import sources
from headstart.errors import InputError


def files(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def table(root, text, name="cells.csv"):
    """A table, and empty files a.png to d.png in img/: the source opens none of them."""
    files(root, *(f"img/{letter}.png" for letter in "abcd"))
    path = root / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path):
    return sources.read(str(path))


def labels(source) -> dict[str, object]:
    return {str(row["path"]): row["label"] for row in source.rows}


def entries(source):
    return [(entry["path"], entry["check"], entry["action"]) for entry in source.ledger]


def refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_two_columns_are_enough(tmp_path):
    source = read(table(tmp_path, "path,label\nimg/b.png,dog\nimg/a.png,cat\n"))
    assert labels(source) == {"img/a.png": "cat", "img/b.png": "dog"}
    assert list(labels(source)) == ["img/a.png", "img/b.png"]
    assert source.root == tmp_path
    assert source.rows[0] == {
        "path": "img/a.png",
        "label": "cat",
        "split": "",
        "group": "",
        "weight": 1.0,
        "source": "table",
    }
    assert source.ledger == []


def test_all_columns_in_any_order_beside_others(tmp_path):
    text = "Weight, group,Notes,label,split,PATH\n"
    text += '0.5,07,"a, ""b""\nc",cat,Training,img/a.png\n,,,dog,valid,img/b.png\n0,7,,dog,TEST,img/c.png\n'
    rows = read(table(tmp_path, text)).rows
    assert [row["split"] for row in rows] == ["train", "val", "test"]
    assert [row["group"] for row in rows] == ["07", "", "7"]
    assert [row["weight"] for row in rows] == [0.5, 1.0, 0.0]


def test_every_cell_is_text(tmp_path):
    text = "path,label\nimg/a.png,007\nimg/b.png,NA\nimg/c.png,None\nimg/d.png,7\n"
    assert list(labels(read(table(tmp_path, text))).values()) == ["007", "NA", "None", "7"]


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_byte_order_mark_and_the_ends_of_lines_do_not_count(tmp_path, start, end):
    lines = ["path,label", "img/a.png,Äpfel", "img/b.png,梨", "", ""]
    path = table(tmp_path, start + end.join(line.encode() for line in lines))
    assert list(labels(read(path)).values()) == ["Äpfel", "梨"]


def test_spaces_and_the_coding_of_accents_do_not_make_a_class(tmp_path):
    text = f"path,label\nimg/a.png, é \nimg/b.png,{unicodedata.normalize('NFD', 'é')}\nimg/c.png,e\n"
    assert set(labels(read(table(tmp_path, text))).values()) == {"é", "e"}


@pytest.mark.parametrize("name", ["cells.csv", "cells.parquet"])
def test_another_column_may_say_what_belongs_together(tmp_path, name):
    path = table(tmp_path, "path,label,Patient,group\nimg/a.png,cat,07,x\nimg/b.png,dog,8,y\n", name)
    if name == "cells.parquet":
        rows = [("img/a.png", "cat", "07", "x"), ("img/b.png", "dog", "8", "y")]
        pd.DataFrame(rows, columns=["path", "label", "Patient", "group"]).to_parquet(path)
    assert [row["group"] for row in sources.read(str(path), "patient").rows] == ["07", "8"]
    assert [row["group"] for row in sources.read(str(path), "label").rows] == ["cat", "dog"]
    assert [row["group"] for row in sources.read(str(path)).rows] == ["x", "y"]
    with pytest.raises(
        InputError, match=r"must have one column 'doctor'.*Received: 'path,label,Patient,group'"
    ):
        sources.read(str(path), "doctor")
    with pytest.raises(InputError, match="--group-column needs a table"):
        sources.read(str(tmp_path / "img"), "patient")


def test_tabs(tmp_path):
    text = "path\tlabel\nimg/a.png\tcat, black\nimg/b.png\tdog\n"
    assert labels(read(table(tmp_path, text, "cells.TSV"))) == {"img/a.png": "cat, black", "img/b.png": "dog"}


def test_parquet_columns_of_any_type_become_text(tmp_path):
    table(tmp_path, "")
    frame = pd.DataFrame(
        {
            "label": pd.Categorical([7, 8, None]),
            "path": ["img/a.png", "img/b.png", "img/c.png"],
            "group": [1, 2, 2],
            "weight": [1.5, 1, math.nan],
            "split": ["train", None, ""],
            "size": [[1], [2], [3]],
        }
    )
    frame.to_parquet(tmp_path / "cells.parquet")
    source = read(tmp_path / "cells.parquet")
    assert labels(source) == {"img/a.png": "7", "img/b.png": "8"}
    assert [(row["group"], row["weight"], row["split"]) for row in source.rows] == [
        ("1", 1.5, "train"),
        ("2", 1.0, ""),
    ]
    assert entries(source) == [("img/c.png", "no-label", "left out")]


def test_paths_may_lead_out_of_the_folder(tmp_path):
    files(tmp_path, "images/x/1.png", "images/y/2.png")
    text = f"path,label\n../images/x/1.png,cat\n{tmp_path}/images/y/2.png,dog\n"
    (tmp_path / "tables").mkdir()
    source = read(table(tmp_path / "tables", text))
    assert source.root == tmp_path / "images"
    assert labels(source) == {"x/1.png": "cat", "y/2.png": "dog"}
    table(tmp_path / "tables", text + "img/a.png,cat\n")
    source = read(tmp_path / "tables" / "cells.csv")
    assert source.root == tmp_path
    assert list(labels(source)) == ["images/x/1.png", "images/y/2.png", "tables/img/a.png"]


def test_images_may_have_nothing_in_common_but_the_root(tmp_path):
    source = read(table(tmp_path, "path,label\nimg/a.png,cat\n/etc/passwd,dog\n"))
    assert str(source.root) == "/"
    assert labels(source) == {"etc/passwd": "dog", f"{tmp_path}/img/a.png".lstrip("/"): "cat"}


def test_what_cannot_be_used_is_in_the_ledger(tmp_path):
    lines = ["img/a.png,cat", "img/b.png,dog", "img/c.png,  ", "nowhere.png,dog", ",cat", "img,cat"]
    text = "\n".join(["path,label", *lines, "img\\a.png,cat"])
    source = read(table(tmp_path, text))
    assert list(labels(source)) == ["img/a.png", "img/b.png"]
    assert entries(source) == [
        ("cells.csv:6", "no-path", "left out"),
        ("img/c.png", "no-label", "left out"),
        ("nowhere.png", "missing-file", "left out"),
        ("img", "missing-file", "left out"),
        ("img\\a.png", "missing-file", "left out"),
    ]
    assert source.ledger[2]["reason"] == "Row 5 names it, and there is no such file."
    assert str(source.ledger[4]["reason"]).endswith("Separate folders by /.")


def test_a_file_that_is_listed_twice_counts_once(tmp_path):
    text = "path,label,weight\nimg/a.png,cat,1\nimg/b.png,dog,1\n./img//a.png,cat,1\nimg/x/../b.png,dog,3\n"
    text += "img/b.png,,\nimg/c.png,,\nimg/c.png,eel,2\n"
    source = read(table(tmp_path, text))
    rows = [(row["path"], row["label"], row["weight"]) for row in source.rows]
    assert rows == [("img/a.png", "cat", 1.0), ("img/b.png", "dog", 1.0), ("img/c.png", "eel", 2.0)]
    assert entries(source) == [(f"cells.csv:{row}", "listed-twice", "ignored") for row in (4, 5, 6, 7)]
    assert source.ledger[0]["reason"] == "It names img/a.png again; row 2 counts."
    assert source.ledger[1]["reason"] == "It names img/b.png otherwise; row 3 counts."


def test_a_file_with_two_labels_is_left_out(tmp_path):
    text = "path,label\nimg/a.png,cat\nimg/b.png,dog\nimg/c.png,cat\nimg/c.png,\nimg/c.png,dog\n"
    source = read(table(tmp_path, text))
    assert list(labels(source)) == ["img/a.png", "img/b.png"]
    assert entries(source) == [("img/c.png", "two-labels", "left out")]
    assert source.ledger[0]["reason"] == "It is cat in row 4 and dog in row 6. Remove the wrong row."


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (
            "path,class",
            "one column 'label'. Allowed: path,label[,split,group,weight]. Received: 'path,class'.",
        ),
        ("file;label", "one column 'path'."),
        ("path,label,Label", "one column 'label'."),
        ("path,label,split,split", "one column 'split'."),
        ("", "Received: 'nothing'. Name the columns in the first row, separated by commas."),
    ],
)
def test_columns_that_are_missing_or_twice_are_named(tmp_path, header, said):
    assert said in refusal(table(tmp_path, f"{header}\n" * bool(header)))


@pytest.mark.parametrize(
    ("column", "cell", "said"),
    [
        ("split", "holdout", "Row 3 of cells.csv has an unusable split. Allowed: train, training, val,"),
        ("weight", "-1", "Row 3 of cells.csv has an unusable weight. Allowed: 0, a number from 0.000001 to "),
        ("weight", "1e39", "Received: '1e39'"),
        ("weight", "1e-7", "unusable weight"),
        ("weight", "nan", "Received: 'nan'"),
        ("weight", "inf", "unusable weight"),
        ("weight", "heavy", "Received: 'heavy'"),
    ],
)
def test_a_cell_that_cannot_be_used_is_named(tmp_path, column, cell, said):
    text = f"path,label,{column}\nimg/a.png,cat,\nimg/b.png,dog,{cell}\n"
    assert said in refusal(table(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label\n", "The table names no image."),
        ("path,label\nimg/a.png,cat\nimg/b.png\n", "Row 3 has 1 cell, the header has 2. "),
        ("path,label\nimg/a.png,cat\nimg/b.png\n", "Give it one for each column."),
        ("path,label\nimg/a.png,cat,black\n", "Row 2 has 3 cells, the header has 2. "),
        ("path,label\nimg/a.png,cat,black\n", "Put a cell that holds a separator in double quotes."),
        ('path,label\nimg/a.png,"cat\nimg/b.png,dog\n', "cannot be read: unexpected end of data"),
        ("path,label\nimg/a.png," + "x" * 200_000, "field larger than field limit"),
        (b"path,label\nimg/a.png,caf\xe9\n", "not UTF-8 text. "),
        ("path,label\nimg/a.png,cat\n".encode("utf-16"), "not UTF-8 text. "),
        (b"\x89PNG\r\n\x1a\n", "not UTF-8 text. "),
        ("path,label\nimg/a.png,cat\nimg/b.png,cat\n", "images of two classes or more are needed"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, text, said):
    assert said in refusal(table(tmp_path, text))


def test_no_number_is_no_label_and_no_group(tmp_path):
    """As PyArrow writes what pandas has as NaN."""
    files(tmp_path, *(f"img/{letter}.png" for letter in "abcd"))
    label, group = pa.array([1.5, 2.5, math.nan, 2.5]), pa.array([math.nan] * 4)
    columns = {"path": pa.array([f"img/{c}.png" for c in "abcd"]), "label": label, "group": group}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    source = read(tmp_path / "t.parquet")
    assert set(labels(source).values()) == {"1.5", "2.5"}
    assert {row["group"] for row in source.rows} == {""}
    assert [entry["check"] for entry in source.ledger] == ["no-label"]


def test_spaces_around_a_path_lose_no_file(tmp_path):
    files(tmp_path, "img/e .png")
    text = "path, label\nimg/a.png , cat\n img/b.png, dog\nimg/e .png, dog\n"
    assert set(labels(read(table(tmp_path, text)))) == {"img/a.png", "img/b.png", "img/e .png"}


def test_rows_are_counted_as_a_spreadsheet_does(tmp_path):
    """Also behind a cell of several lines."""
    text = 'path,label,note\nimg/a.png,cat,"a\nb\nc"\nimg/b.png,dog,\nimg/x.png,cat,\nimg/c.png\n'
    assert "Row 5 has 1 cell" in refusal(table(tmp_path, text))


def test_backslashes_of_all_paths_are_named(tmp_path):
    message = refusal(table(tmp_path, "path,label\nimg\\a.png,cat\nimg\\b.png,dog\n"))
    assert message.endswith("Separate folders by /.")


def test_a_class_that_would_vanish_is_named(tmp_path):
    text = "path,label\nimg/a.png,cat\nimg/b.png,dog\nimg/x.png,eel\nimg/y.png,eel\n"
    message = refusal(table(tmp_path, text))
    assert "No file of the class 'eel' can be used." in message
    assert "2 left out: img/x.png (missing-file), img/y.png (missing-file)" in message
    assert message.endswith(f"Mend these rows; paths are relative to {tmp_path}.")


@pytest.mark.parametrize("split", ["", "train"])
def test_a_class_that_weighs_nothing_is_named(tmp_path, split):
    text = (
        f"path,label,weight,split\nimg/a.png,cat,0,{split}\nimg/b.png,dog,1,{split}\nimg/c.png,cat,9,test\n"
    )
    assert "All images of the class 'cat' to train on have the weight 0." in refusal(table(tmp_path, text))
    lighter = text.replace("cat,0", "cat,0.001")
    assert len(read(table(tmp_path, lighter)).rows) == 3


def test_a_folder_that_is_called_like_a_table_is_a_folder(tmp_path):
    files(tmp_path, "cells.csv/cat/1.png", "cells.csv/dog/1.png")
    assert set(labels(read(tmp_path / "cells.csv")).values()) == {"cat", "dog"}
    (tmp_path / "empty.csv").mkdir()
    assert "no class with files" in refusal(tmp_path / "empty.csv")


def test_broken_parquet_is_refused(tmp_path):
    whole = tmp_path / "cells.parquet"
    pd.DataFrame({"path": ["a.png"] * 1000, "label": ["cat"] * 1000}).to_parquet(whole)
    content = whole.read_bytes()
    for broken in (b"", b"PAR1", b"path,label\n", content[:-20], content[:100] + content[101:]):
        whole.write_bytes(broken)
        assert "not usable Parquet" in refusal(whole)


def test_parquet_columns_that_are_no_text_are_refused(tmp_path):
    nested = pa.table({"path": ["a.png"], "label": [["cat"]]})
    pq.write_table(nested, tmp_path / "cells.parquet")
    assert "not usable Parquet" in refusal(tmp_path / "cells.parquet")
    pq.write_table(pa.table({"path": ["a.png"]}), tmp_path / "cells.parquet")
    assert "one column 'label'. Allowed: path,label[,split,group,weight]. Received: 'path'." in refusal(
        tmp_path / "cells.parquet"
    )


def test_odd_names_do_no_harm(tmp_path):
    text = (
        "path,label\nimg/a.png,=1+1\nimg/b.png,\x1b[31mred\na\0b,=1+1\n"
        + "x" * 5000
        + ",=1+1\n~/.profile,=1+1\n"
    )
    source = read(table(tmp_path, text))
    assert set(labels(source).values()) == {"=1+1", "\x1b[31mred"}
    assert [check for _, check, _ in entries(source)] == ["missing-file"] * 3
