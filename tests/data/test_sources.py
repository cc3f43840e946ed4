"""Which source reads what a person asks for."""

from __future__ import annotations

import pytest
from PIL import Image

from headstart.data import sources
from headstart.errors import InputError


def folder_at(path):
    for label in ("cat", "dog"):
        (path / label).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(path / label / "1.png")
    return path


def refusal(data) -> str:
    with pytest.raises(InputError) as caught:
        sources.read(data)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_folder_is_read_as_one(tmp_path):
    source = sources.read(str(folder_at(tmp_path / "my photos")))
    assert [row["path"] for row in source.rows] == ["cat/1.png", "dog/1.png"]
    assert source.root == tmp_path / "my photos"


def test_the_root_is_absolute(tmp_path, monkeypatch):
    folder_at(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photos" / "cells.CSV").write_text("path,label\ncat/1.png,a\ndog/1.png,b\n")
    for data in ("photos", "./photos/", "photos/../photos", "~/photos", "~/photos/cells.CSV"):
        assert sources.read(data).root == tmp_path / "photos"


def test_a_word_comes_before_a_folder_of_that_name(tmp_path, monkeypatch):
    folder_at(tmp_path / "elpv")
    monkeypatch.chdir(tmp_path)
    assert len(sources.read("elpv").rows) == 2624
    assert len(sources.read("./elpv").rows) == 2


@pytest.mark.parametrize("data", ["nowhere", "", "a\0b", "x" * 5000, "\x1b[31mred"])
def test_nothing_is_there(tmp_path, monkeypatch, data):
    monkeypatch.chdir(folder_at(tmp_path))
    message = refusal(data)
    assert message.startswith(
        "There is no such data. Allowed: a folder with a folder for each class, a table (.csv, .tsv,"
        " .parquet), elpv, cifar10:FILE, cifar100:FILE."
    )
    assert message.endswith("Check the path.")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "cat.png").touch()
    message = refusal(str(tmp_path / "cat.png"))
    assert "neither a table nor a folder of images" in message
    assert "cat.png" in message


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("cifar10", "There is no such data."),
        ("cifar10:", "it lacks cifar-10-batches-bin/data_batch_1.bin"),
        ("cifar100:nowhere", "no such archive of cifar100. Allowed: cifar-100-binary.tar.gz,"),
        ("cifar10:" + "x" * 5000, "`headstart data download cifar10` fetches one."),
        ("cifar10:cat/1.png", "it is damaged or no tar archive"),
    ],
)
def test_an_archive_must_be_there(tmp_path, monkeypatch, data, said):
    monkeypatch.chdir(folder_at(tmp_path))
    assert said in refusal(data)


def test_a_folder_may_be_called_like_an_archive(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder_at(tmp_path / "cifar10")
    folder_at(tmp_path / "cifar10:x")
    assert sources.read("cifar10").root == tmp_path / "cifar10"
    assert sources.read("./cifar10:x").root == tmp_path / "cifar10:x"


@pytest.mark.parametrize(
    ("data", "called"),
    [
        ("photos/", "photos"),
        ("photos/cells.csv", "cells"),
        ("photos/cells.v2.Parquet", "cells.v2"),
        ("folder.csv", "folder.csv"),
        ("link", "photos"),
        ("cifar10:photos/x.tar.gz", "cifar10"),
        ("elpv", "elpv"),
    ],
)
def test_what_data_is_called(tmp_path, monkeypatch, data, called):
    monkeypatch.chdir(tmp_path)
    folder_at(tmp_path / "photos")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "link").symlink_to("photos")
    assert sources.name(data) == called
