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
    for data in ("photos", "./photos/", "photos/../photos", "~/photos"):
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
        "There is no such data. Allowed: a folder with a folder for each class, or a word: elpv."
    )
    assert message.endswith("Check the path.")


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "cat.png").touch()
    message = refusal(str(tmp_path / "cat.png"))
    assert "is a file, not a folder" in message
    assert "cat.png" in message
