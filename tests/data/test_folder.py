"""A folder of class folders, and what else lies about in real ones."""

from __future__ import annotations

import os
import unicodedata

import pytest

from headstart.data import sources
from headstart.errors import InputError


def tree(root, *paths):
    """Makes empty files, and folders where a path ends in a slash: the source opens none of them."""
    for path in paths:
        if path.endswith("/"):
            (root / path).mkdir(parents=True, exist_ok=True)
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).touch()
    return root


def read(root):
    return sources.read(str(root))


def labels(source) -> dict[str, str]:
    return {str(row["path"]): str(row["label"]) for row in source.rows}


def splits(source) -> dict[str, str]:
    return {str(row["path"]): str(row["split"]) for row in source.rows}


def entries(source):
    return sorted((entry["path"], entry["check"], entry["action"]) for entry in source.ledger)


def refusal(root) -> str:
    with pytest.raises(InputError) as caught:
        read(root)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_folder_a_class_at_any_depth(tmp_path):
    tree(tmp_path, "cat/1.jpg", "cat/home/sofa/2.jpg", "dog/dog/cat/3.jpg", "Hund & Katz'/ü b/4 (1).PNG")
    source = read(tmp_path)
    assert labels(source) == {
        "Hund & Katz'/ü b/4 (1).PNG": "Hund & Katz'",
        "cat/1.jpg": "cat",
        "cat/home/sofa/2.jpg": "cat",
        "dog/dog/cat/3.jpg": "dog",
    }
    assert list(labels(source)) == sorted(labels(source))
    assert set(splits(source).values()) == {""}
    assert source.ledger == []


def test_every_file_is_a_row_or_in_the_ledger(tmp_path):
    tree(
        tmp_path,
        "cat/1.jpg",
        "cat/notes.txt",
        "dog/1.jpg",
        "dog/.DS_Store",
        "dog/Thumbs.db",
        "README.md",
        ".git/config",
    )
    tree(tmp_path, "__MACOSX/cat/._1.jpg", "desktop.ini", "bird/", "fish/deep/er/", "ghost/.hidden.jpg")
    source = read(tmp_path)
    assert list(labels(source)) == ["cat/1.jpg", "cat/notes.txt", "dog/1.jpg"]
    assert entries(source) == [
        (".git/", "system-file", "ignored"),
        ("README.md", "no-class", "left out"),
        ("__MACOSX/", "system-file", "ignored"),
        ("bird/", "empty-class", "left out"),
        ("desktop.ini", "system-file", "ignored"),
        ("dog/.DS_Store", "system-file", "ignored"),
        ("dog/Thumbs.db", "system-file", "ignored"),
        ("fish/", "empty-class", "left out"),
        ("ghost/", "empty-class", "left out"),
        ("ghost/.hidden.jpg", "system-file", "ignored"),
    ]


@pytest.mark.parametrize(
    ("train", "val", "test"),
    [
        ("train", "val", "test"),
        ("Training", "validation", "TESTING"),
        ("train", "valid", "test"),
        ("train", "dev", "test"),
        ("train", "Eval", "test"),
    ],
)
def test_split_folders_and_their_synonyms(tmp_path, train, val, test):
    names = [f"{part}/{label}/x/1.png" for part in (train, val, test) for label in ("cat", "dog")]
    tree(tmp_path, *names, f"{train}/loose.png", "loose.png")
    source = read(tmp_path)
    expected = dict(zip(names, ["train"] * 2 + ["val"] * 2 + ["test"] * 2, strict=True))
    assert splits(source) == expected
    assert set(labels(source).values()) == {"cat", "dog"}
    assert entries(source) == sorted(
        [(f"{train}/loose.png", "no-class", "left out"), ("loose.png", "no-class", "left out")]
    )


def test_parts_may_be_missing(tmp_path):
    tree(tmp_path, "train/cat/1.png", "train/dog/1.png")
    assert set(splits(read(tmp_path)).values()) == {"train"}
    tree(tmp_path, "test/cat/1.png", "test/dog/1.png", "val/")
    assert set(splits(read(tmp_path)).values()) == {"train", "test"}


def test_a_class_may_be_called_train(tmp_path):
    tree(tmp_path, "train/1.png", "plane/1.png", "car/1.png")
    assert set(labels(read(tmp_path)).values()) == {"train", "plane", "car"}
    assert set(splits(read(tmp_path)).values()) == {""}


def test_split_folders_with_different_classes_are_refused_with_the_difference(tmp_path):
    tree(tmp_path, "train/cat/1.png", "train/dog/1.png", "val/cat/1.png", "val/dog/1.png")
    tree(tmp_path, "test/cat/1.png", "test/eel/1.png", "test/dog/")
    message = refusal(tmp_path)
    assert "test lacks dog; test alone has eel" in message
    assert "val" not in message.split("Allowed")[0]


def test_split_folders_beside_others_are_refused(tmp_path):
    tree(tmp_path, "train/cat/1.png", "train/dog/1.png", "test/cat/1.png", "test/dog/1.png", "masks/1.png")
    assert "Beside the split folders test, train there are others: masks." in refusal(tmp_path)


def test_split_folders_without_train_are_refused(tmp_path):
    tree(tmp_path, "val/cat/1.png", "val/dog/1.png", "test/cat/1.png", "test/dog/1.png")
    assert "no train folder beside test, val" in refusal(tmp_path)


def test_one_class_is_not_enough(tmp_path):
    tree(tmp_path, "cat/1.png", "dog/", "1.png", "2.png")
    message = refusal(tmp_path)
    assert "images of two classes or more are needed" in message
    assert "Received: 'cat; left out: 1 x empty-class, 2 x no-class'" in message
    assert len(sources.read(str(tmp_path), classes=1).rows) == 1


def test_an_archive_s_own_folder_is_named(tmp_path):
    """photos.zip unpacked into photos/ has photos/photos/cat."""
    tree(tmp_path, "photos/cat/1.png", "photos/dog/1.png")
    assert refusal(tmp_path).endswith(f"If the folders below it are the classes, give {tmp_path / 'photos'}.")


def test_split_folders_have_the_names_that_people_give(tmp_path):
    tree(
        tmp_path,
        *(f"{part}/{label}/1.png" for part in ("training_set", "Test_Set") for label in ("cat", "dog")),
    )
    assert set(labels(read(tmp_path)).values()) == {"cat", "dog"}
    assert set(splits(read(tmp_path)).values()) == {"train", "test"}


def test_an_empty_folder_is_refused(tmp_path):
    assert "Received: 'no class with files'" in refusal(tmp_path)


def test_links_to_folders_are_not_followed_and_those_to_files_are(tmp_path):
    tree(tmp_path, "elsewhere/far.png", "data/cat/1.png", "data/dog/1.png")
    root = tmp_path / "data"
    (root / "cat" / "loop").symlink_to(root)
    (root / "cat" / "self").symlink_to("self")
    (root / "dog" / "dangling.png").symlink_to("nowhere")
    (root / "dog" / "far.png").symlink_to(tmp_path / "elsewhere" / "far.png")
    (root / "bird").symlink_to(tmp_path / "elsewhere")
    source = read(root)
    # A link that leads nowhere is taken for a file: the check of the files finds and names it.
    assert list(labels(source)) == ["cat/1.png", "cat/self", "dog/1.png", "dog/dangling.png", "dog/far.png"]
    assert entries(source) == [
        ("bird/", "linked-folder", "left out"),
        ("cat/loop/", "linked-folder", "left out"),
    ]


@pytest.mark.parametrize("name", ["test", "Validation"])
def test_a_split_folder_that_is_a_link_is_refused(tmp_path, name):
    """Else the split would be cut from train, as if none had been given."""
    tree(
        tmp_path, "elsewhere/cat/1.png", "elsewhere/dog/1.png", "data/train/cat/1.png", "data/train/dog/1.png"
    )
    (tmp_path / "data" / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match=f"The split folder {name} cannot be used: Links to folders"):
        read(tmp_path / "data")


def test_a_tree_deeper_than_a_path_may_be_long(tmp_path):
    tree(tmp_path, "cat/1.png", "dog/1.png")
    here = os.getcwd()  # noqa: PTH109 - put back below
    try:
        os.chdir(tmp_path / "cat")
        for _ in range(20):
            os.mkdir("d" * 250)  # noqa: PTH102 - relative to the folder we are in
            os.chdir("d" * 250)
    finally:
        os.chdir(here)
    source = read(tmp_path)
    assert list(labels(source)) == ["cat/1.png", "dog/1.png"]
    assert [(entry["check"], entry["action"]) for entry in source.ledger] == [("unreadable", "left out")]
    assert "File name too long" in str(source.ledger[0]["reason"])


def test_names_that_are_no_text(tmp_path):
    tree(tmp_path, "cat/1.png", "dog/1.png")
    os.close(os.open(os.fsencode(tmp_path) + b"/cat/caf\xe9.png", os.O_CREAT))
    os.mkdir(os.fsencode(tmp_path) + b"/\xff\xfe")  # noqa: PTH102 - pathlib takes no bytes
    source = read(tmp_path)
    assert list(labels(source)) == ["cat/1.png", "dog/1.png"]
    assert entries(source) == [
        (r"\udcff\udcfe/", "undecodable-name", "left out"),
        (r"cat/caf\udce9.png", "undecodable-name", "left out"),
    ]


def test_two_codings_of_an_accent_are_one_class(tmp_path):
    composed, split = unicodedata.normalize("NFC", "Äpfel"), unicodedata.normalize("NFD", "Äpfel")
    assert composed != split
    tree(tmp_path, f"train/{composed}/1.png", f"test/{split}/1.png", "train/pears/1.png", "test/pears/1.png")
    source = read(tmp_path)
    assert set(labels(source).values()) == {composed, "pears"}
    assert f"test/{split}/1.png" in labels(source)  # the path stays as it is on disk


def test_control_characters_in_names_stay_in_one_line(tmp_path):
    tree(tmp_path, "train/a\nb/1.png", "train/c/1.png", "test/c/1.png")
    assert r"test lacks a\nb" in refusal(tmp_path)
