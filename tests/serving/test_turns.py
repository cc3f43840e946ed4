"""What waits for its turn, and what needs none: large pictures would take all of the memory at once."""

from __future__ import annotations

import threading
import time

import pytest
from PIL import Image
from tests import models
from tests.data.test_images import HEIC

from headstart.data import images
from headstart.serving import turns
from headstart.serving.history import _as_png
from headstart.serving.turns import LateError, decoding, turn


def test_who_waits_longer_than_somebody_waits_for_it_is_told():
    lock, began = threading.Lock(), time.monotonic()
    with turn(lock, 1), pytest.raises(LateError, match="longer than the server waits"), turn(lock, 0.05):
        pass

    assert 0.05 <= time.monotonic() - began < 1
    assert not lock.locked()


def test_the_size_of_a_heic_is_read_without_its_pixels():
    """Which are none here; it is read before there is a turn for decoding."""
    pytest.importorskip("pi_heif")
    at = HEIC.index(b"mdat") + 4
    hollow = HEIC[:at] + bytes(len(HEIC) - at)

    assert images.dimensions(hollow) == images.dimensions(HEIC) == (64, 48)
    with pytest.raises(images.ImageError):
        images.decode(hollow)


def test_while_a_picture_is_encoded_others_can_be_decoded(monkeypatch):
    monkeypatch.setattr(turns, "_DECODERS", threading.BoundedSemaphore(1))
    content, free, save = models.picture(3), [], Image.Image.save

    def watched(*arguments, **options):
        with decoding(0):
            free.append(True)
        save(*arguments, **options)

    monkeypatch.setattr(Image.Image, "save", watched)

    assert _as_png(content, time.monotonic() + 60).startswith(b"\x89PNG")
    assert free == [True]
