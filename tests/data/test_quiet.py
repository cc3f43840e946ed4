"""Nothing but an ImageError tells of a bad image: no warning, no log line, no word on descriptor 2."""

from __future__ import annotations

import os
import struct
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from tests.data.pictures import blocks, check_of, saved, tiff

from headstart.data import images, quiet


def test_libtiff_does_not_write_to_descriptor_2(capfd):
    quiet.hush_libtiff()
    for compression in ("tiff_lzw", "tiff_adobe_deflate"):
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        data = bytearray(saved(Image.fromarray(noise), "TIFF", compression=compression))
        data[2000:2400] = b"\xff" * 400
        assert check_of(bytes(data)) == "unreadable"
    assert capfd.readouterr().err == ""
    os.write(2, b"others may")
    assert capfd.readouterr().err == "others may"


def test_pillows_warnings_stay_inside():
    entry = struct.pack("<HHI", 257, 3, 1)
    warned = tiff(blocks(), 8, 2).replace(entry, entry[:4] + b"\2\0\0\0")  # two heights instead of one
    with pytest.warns(UserWarning, match="too many entries"):
        Image.open(BytesIO(warned))
    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:  # warnings are errors here, so one that leaks would be raised
        decoded = list(pool.map(images.decode, [warned] * 64))
    assert all(np.array_equal(one, blocks()) for one in decoded)
    assert list(warnings.filters) == before
