"""headstart: from a folder of labelled images to a classifier you can trust and run.

>>> import headstart as hs
>>> sorted(hs.__all__)
['ImageClassifier', 'check', 'compare', 'evaluate', 'explain', 'export', 'load', 'train']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.datacheck import check
    from headstart.estimator import ImageClassifier
    from headstart.pipeline import compare, evaluate, explain, export, load, train

__version__ = "0.1.0"
__all__ = ["ImageClassifier", "check", "compare", "evaluate", "explain", "export", "load", "train"]

_HOMES = {
    "ImageClassifier": "estimator",
    "check": "datacheck",
    "compare": "pipeline",
    "evaluate": "pipeline",
    "explain": "pipeline",
    "export": "pipeline",
    "load": "pipeline",
    "train": "pipeline",
}


def __getattr__(name: str) -> Any:
    """Imports on first use, so that `import headstart` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'headstart' has no attribute '{name}'")
    return getattr(importlib.import_module(f"headstart.{_HOMES[name]}"), name)
