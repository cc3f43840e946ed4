"""Keras, imported once and set up the same way everywhere."""

from __future__ import annotations

import os
from typing import Any


def keras() -> Any:
    """Imports Keras with float32, channels last and without TensorFlow's chatter.

    The user's ``~/.keras/keras.json`` may say otherwise, so the settings are made here. TensorFlow
    writes to file descriptor 2 while it is imported whatever its log level is, which would tear
    progress bars: the descriptor points to the null device for that moment.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    saved, null = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        import keras
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    return keras
