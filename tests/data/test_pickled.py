"""Values out of pickles that cPickle wrote, and nothing out of any other."""

from __future__ import annotations

import contextlib
import os
import pickle  # noqa: TID251 - makes what must be refused, and reads back what was made here

import numpy as np
import pytest

from headstart.data import pickled

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3072), dtype=np.uint8)
BATCH = {b"labels": [0, 300, 70_000, -1], b"data": PIXELS, b"filenames": [b"a.png", b"x" * 300], b"none": []}


def test_a_batch_comes_out_as_it_went_in(cpickle):
    found = pickled.load(cpickle(BATCH))
    assert isinstance(found, dict)
    assert list(found) == ["labels", "data", "filenames", "none"]
    assert found["labels"] == [0, 300, 70_000, -1]
    assert found["filenames"] == ["a.png", "x" * 300]
    assert found["data"].dtype == np.uint8
    np.testing.assert_array_equal(found["data"], PIXELS)


def test_what_is_written_here_is_what_python_reads(cpickle):
    """So these tests and the small archives are made of true pickles."""
    truth = pickle.loads(cpickle(BATCH), encoding="bytes")  # noqa: S301 - made one line above
    assert truth.keys() == BATCH.keys()
    assert truth[b"labels"] == BATCH[b"labels"]
    np.testing.assert_array_equal(truth[b"data"], PIXELS)


def test_long_lists_come_in_parts(cpickle):
    assert pickled.load(cpickle({b"labels": list(range(2500))})) == {"labels": list(range(2500))}


def test_columns_first(cpickle):
    content = cpickle({b"data": np.array([[1, 2], [3, 4]], np.uint8)})
    assert content.count(b"\x89U\x04\x01\x02\x03\x04") == 1
    turned = content.replace(b"\x89U\x04\x01\x02\x03\x04", b"\x88U\x04\x01\x03\x02\x04")
    found = pickled.load(turned)
    assert isinstance(found, dict)
    assert found["data"].tolist() == [[1, 2], [3, 4]]


class Evil:
    """Makes a folder when it is unpickled."""

    def __init__(self, place):
        self.place = str(place)

    def __reduce__(self):
        return os.mkdir, (self.place,)


class EvilState(Evil):
    def __reduce__(self):
        return list, (), None, iter([Evil(self.place)])


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", [Evil, EvilState])
def test_no_protocol_calls_anything(tmp_path, kind, protocol):
    content = pickle.dumps([kind(tmp_path / "made")], protocol)
    with pytest.raises(ValueError, match="numbers, texts and arrays"):
        pickled.load(content)
    assert not (tmp_path / "made").exists()
    pickle.loads(content)  # noqa: S301 - and it would have been made
    assert (tmp_path / "made").exists()


def made(place: bytes) -> dict[str, bytes]:
    """Pickles that call os.mkdir, or try to, each by another opcode."""
    argument = b"U%c%s" % (len(place), place)
    return {
        "global": b"\x80\x02cposix\nmkdir\n" + argument + b"\x85R.",
        "inst": b"(" + argument + b"iposix\nmkdir\n.",
        "obj": b"(cposix\nmkdir\n" + argument + b"o.",
        "newobj": b"\x80\x02cposix\nmkdir\n" + argument + b"\x85\x81.",
        "stack global": b"\x80\x04\x8c\x05posix\x8c\x05mkdir\x93" + argument + b"\x85R.",
        "through reconstruct": b"cnumpy.core.multiarray\n_reconstruct\ncposix\nmkdir\nK\x00\x85U\x01b\x87R.",
        "name with a space": b"cnumpy\ndtype mkdir\n" + argument + b"\x85R.",
        "loads within": b"cpickle\nloads\n" + argument + b"\x85R.",
        "extension": b"\x82\x01.",
        "persistent": b"Pname\n.",
        "ndarray called": b"cnumpy\nndarray\n" + argument + b"\x85R.",
        "dtype of objects": b"cnumpy\ndtype\nU\x01OK\x00K\x01\x87R.",
        "function called": b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x01\x85U\x01b\x87R.",
        "state of a list": b"](K\x01tb.",
        "state of a name": b"cnumpy\ndtype\nN\x86b.",
    }


@pytest.mark.parametrize("way", made(b""))
def test_no_opcode_calls_anything(tmp_path, way):
    with pytest.raises(ValueError, match="numbers, texts and arrays"):
        pickled.load(made(os.fsencode(tmp_path / "made"))[way])
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"K\x01",
        b"K\x01K\x02.",
        b"(.",
        b"e.",
        b"](K\x01",
        b"h\x05.",
        b"\x86.",
        b"}(K\x01K\x02u.",
        b"}(U\x01au.",
        b"K\x01K\x02a.",
        b"(\x85.",
        b"\xff.",
        b"U\xffab.",
        b"T\xff\xff\xff\xffab.",
        b"K\x01" + b"h\x00" * 10,
    ],
)
def test_damaged_pickles_are_refused(content):
    with pytest.raises(ValueError, match="damaged"):
        pickled.load(content)


def test_an_array_that_is_not_what_it_says_is_refused(cpickle):
    whole = cpickle({b"data": np.zeros((2, 3), np.uint8)})
    for old, new in (
        (b"K\x02K\x03\x86", b"K\x02K\x04\x86"),
        (b"U\x02u1", b"U\x02i8"),
        (b"U\x06" + bytes(6), b"K\x06"),
    ):
        assert whole.count(old) == 1
        with pytest.raises(ValueError, match="damaged"):
            pickled.load(whole.replace(old, new))


def test_an_array_without_a_type_is_refused():
    begun = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    kind = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
    assert pickled.load(begun + b"(K\x01K\x02\x85" + kind + b"\x89U\x02abtb.").tolist() == [97, 98]
    with pytest.raises(ValueError, match="damaged"):
        pickled.load(begun + b"(K\x01K\x02\x85N\x89U\x02abtb.")


def test_endless_pickles_are_cut_short(monkeypatch):
    monkeypatch.setattr(pickled, "OPCODES", 1000)
    assert pickled.load(b"]" + b"K\x01a" * 499 + b".") == [1] * 499
    with pytest.raises(ValueError, match="more than 1000 opcodes"):
        pickled.load(b"]" + b"K\x01a" * 500 + b".")


def test_no_change_of_a_byte_does_more_than_refuse_or_alter(cpickle):
    whole = cpickle({b"labels": [1, 2], b"data": np.ones((1, 4), np.uint8), b"batch_label": b"test"})
    for place in range(len(whole)):
        for value in (0, 0x28, 0x52, 0x62, 0x63, 0xFF, whole[place] ^ 1):
            with contextlib.suppress(ValueError):
                pickled.load(whole[:place] + bytes([value]) + whole[place + 1 :])
        with pytest.raises(ValueError, match="damaged"):
            pickled.load(whole[:place])
