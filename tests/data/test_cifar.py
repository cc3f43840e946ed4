"""CIFAR-10 and CIFAR-100 on small archives in the layouts of the official ones, which are not at hand."""

from __future__ import annotations

import hashlib
import tarfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from headstart.data import archive, images, sources
from headstart.data.sources import cifar as source
from headstart.errors import InputError

VERSIONS = [(dataset, version) for dataset in ("cifar10", "cifar100") for version in ("binary", "python")]


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


def read(dataset, path):
    return sources.read(f"{dataset}:{path}")


def refusal(dataset, path) -> str:
    with pytest.raises(InputError) as caught:
        read(dataset, path)
    assert str(caught.value).isprintable()
    assert str(caught.value).count("Received:") == 1
    return str(caught.value)


@pytest.mark.parametrize(
    ("dataset", "member", "md5"),
    [
        ("cifar10", "cifar-10-batches-py/batches.meta", "5ff9c542aee3614f3951f8cda6e48888"),
        ("cifar100", "cifar-100-python/meta", "7973b15100ade9c7d40fb424638fde48"),
    ],
)
def test_the_small_archives_are_made_as_the_official_ones_were(cifar, dataset, member, md5):
    """The lists of class names are byte for byte those of the official archives, by their published MD5."""
    content = archive.members(cifar(dataset, "python"), [member])[member]
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() == md5


@pytest.mark.parametrize(("dataset", "version"), VERSIONS)
def test_labels_and_parts(cifar, dataset, version):
    found = read(dataset, cifar(dataset, version))
    counts = Counter((row["label"], row["split"]) for row in found.rows)
    every_tenth = "apple bowl chair dolphin lamp mouse plain rose squirrel train"
    names = ("airplane automobile bird cat deer dog frog horse ship truck", every_tenth)
    expected = names[dataset == "cifar100"].split()
    train = 10 if dataset == "cifar10" else 6
    assert counts == {(n, "train"): train for n in expected} | {(n, "test"): 2 for n in expected}
    assert {row["source"] for row in found.rows} == {dataset}
    assert found.ledger == []


def test_the_pixels_are_those_of_the_archive(cifar):
    """The first record of the second batch, worked out by hand: rows of red, then of green, then of blue."""
    path = cifar("cifar10", "binary")
    with tarfile.open(path) as tar:
        file = tar.extractfile("cifar-10-batches-bin/data_batch_2.bin")
        assert file is not None
        record = file.read(3073)
    found = read("cifar10", path)
    assert record[0] == 0
    pixels = np.asarray(Image.open(found.root / "train/airplane/00020.png"))
    assert pixels.shape == (32, 32, 3)
    for y, x, channel in ((0, 0, 0), (0, 31, 1), (31, 0, 2), (17, 5, 1)):
        assert pixels[y, x, channel] == record[1 + 1024 * channel + 32 * y + x]


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_both_versions_give_the_same_files(cifar, dataset):
    binary, python = (read(dataset, cifar(dataset, version)) for version in ("binary", "python"))
    assert binary.rows == python.rows
    assert binary.root != python.root
    for row in binary.rows:
        assert (binary.root / row["path"]).read_bytes() == (python.root / row["path"]).read_bytes()


@pytest.mark.parametrize(("dataset", "version"), VERSIONS)
def test_an_unpacked_archive_is_read_as_well(cifar, tmp_path, dataset, version):
    path = cifar(dataset, version)
    with tarfile.open(path) as tar:
        for member in tar.getmembers():
            content = tar.extractfile(member)
            if content:
                (tmp_path / member.name).parent.mkdir(exist_ok=True)
                (tmp_path / member.name).write_bytes(content.read())
        inner = tmp_path / member.name.split("/")[0]
    whole = read(dataset, path)
    for folder in (tmp_path, inner):
        assert read(dataset, folder).rows == whole.rows
    next(inner.glob("*test*")).unlink()
    assert "it lacks" in refusal(dataset, inner)


def test_images_are_written_once_and_again_where_some_are_gone(cifar):
    path = cifar("cifar10", "binary")
    root = read("cifar10", path).root
    first = root / "train/cat/00003.png"
    before = first.stat()
    assert read("cifar10", path).root == root
    assert first.stat().st_mtime_ns == before.st_mtime_ns
    assert root.parent.name == f"cifar10-{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}"
    content = first.read_bytes()
    first.unlink()
    assert len(read("cifar10", path).rows) == 120
    assert first.read_bytes() == content


def test_nothing_is_left_of_an_interrupted_writing(cifar, monkeypatch, tmp_path):
    path = cifar("cifar10", "binary")
    save, calls = Image.Image.save, iter(range(50))

    def interrupted(*arguments, **options):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        save(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", interrupted)
        with pytest.raises(KeyboardInterrupt):
            read("cifar10", path)
    assert list((tmp_path / "cache/data").iterdir()) == []
    assert len(read("cifar10", path).rows) == 120


def test_vgg16_sees_the_images_enlarged(cifar):
    """32 pixels become 224 by the fit of every image: bicubic, no border, since they are square."""
    found = read("cifar10", cifar("cifar10", "binary"))
    path = found.root / found.rows[0]["path"]
    square = images.load(path, 224, "letterbox")
    expected = np.asarray(Image.open(path).resize((224, 224), Image.Resampling.BICUBIC))
    assert square.shape == (224, 224, 3)
    assert np.abs(square.astype(int) - expected).max() <= 1


def test_prepare_writes_the_same_tree(cifar, tmp_path):
    path = cifar("cifar100", "python")
    assert source.prepare("cifar100", path, tmp_path / "out") == 80
    found, cached = sources.read(str(tmp_path / "out")), read("cifar100", path)
    assert [row["path"] for row in found.rows] == [row["path"] for row in cached.rows]
    assert [(row["split"], row["label"]) for row in found.rows] == [
        (row["split"], row["label"]) for row in cached.rows
    ]
    with pytest.raises(InputError, match="The output is there already"):
        source.prepare("cifar100", path, tmp_path / "out")
    (tmp_path / "empty").mkdir()
    assert source.prepare("cifar100", path, tmp_path / "empty") == 80


META10 = "cifar-10-batches-bin/batches.meta.txt"
FINE = "cifar-100-binary/fine_label_names.txt"
TEN = [b"airplane", b"b", b"c", b"d", b"e", b"f", b"g", b"h", b"i"]


@pytest.mark.parametrize(
    ("dataset", "version", "changes", "said"),
    [
        (
            "cifar10",
            "binary",
            {"cifar-10-batches-bin/data_batch_3.bin": None},
            "lacks cifar-10-batches-bin/data_b",
        ),
        ("cifar10", "binary", {META10: None}, "lacks cifar-10-batches-bin/batches.meta.txt"),
        ("cifar10", "binary", {META10: b"\n".join([*TEN, b"../../evil"])}, "10 plain class names"),
        ("cifar10", "binary", {META10: b"\n".join([*TEN, b"/evil"])}, "10 plain class names"),
        ("cifar10", "binary", {META10: b"\n".join([*TEN, b"b"])}, "10 plain class names"),
        ("cifar10", "binary", {META10: b"\n".join(TEN)}, "10 plain class names"),
        ("cifar10", "binary", {META10: b"\xff"}, "cannot be used"),
        ("cifar100", "binary", {FINE: b"apple\n"}, "100 plain class names"),
        ("cifar10", "binary", {"cifar-10-batches-bin/test_batch.bin": bytes(3000)}, "cannot be used"),
        ("cifar10", "binary", {"cifar-10-batches-bin/test_batch.bin": b""}, "does not hold an image"),
        (
            "cifar10",
            "binary",
            {"cifar-10-batches-bin/test_batch.bin": b"\x0a" * 3073},
            "label that is not 0 to 9",
        ),
        ("cifar10", "python", {"cifar-10-batches-py/test_batch": b"cos\nsystem\n."}, "the name 'os system'"),
        ("cifar10", "python", {"cifar-10-batches-py/batches.meta": b"]."}, "10 plain class names"),
        ("cifar10", "python", {"cifar-10-batches-py/batches.meta": b"N."}, "10 plain class names"),
        ("cifar10", "python", {"cifar-10-batches-py/test_batch": b"}."}, "no data or no labels"),
    ],
)
def test_archives_that_are_not_as_published_are_refused(cifar, tmp_path, dataset, version, changes, said):
    message = refusal(dataset, cifar(dataset, version, changes))
    assert said in message
    assert message.startswith("The archive cannot be used: ")
    assert not (tmp_path / "evil").exists()
    assert list((tmp_path / "cache/data").iterdir()) == []


@pytest.mark.parametrize("labels", [[], [0], [0, 10], [0, -1], [0, b"1"], [0, [1]], [[0], [1]], {b"a": 0}])
def test_pickled_labels_that_do_not_fit_are_refused(cifar, cpickle, labels):
    batch = cpickle({b"labels": labels, b"data": np.zeros((2, 3072), np.uint8)})
    path = cifar("cifar10", "python", {"cifar-10-batches-py/test_batch": batch})
    assert "cannot be used" in refusal("cifar10", path)


def test_true_and_false_are_no_labels(cifar, cpickle):
    batch = cpickle({b"labels": [0, 1], b"data": np.zeros((2, 3072), np.uint8)})
    assert batch.count(b"(K\x00K\x01e") == 1
    changes = {"cifar-10-batches-py/test_batch": batch.replace(b"(K\x00K\x01e", b"(\x89\x88e")}
    assert "a label that is not 0 to 9" in refusal("cifar10", cifar("cifar10", "python", changes))


def test_the_other_data_set_is_not_mistaken(cifar):
    assert "it lacks cifar-100-binary/train.bin" in refusal("cifar100", cifar("cifar10", "binary"))
