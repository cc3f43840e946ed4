"""What the training images look like to the network: for distances and nearest neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from headstart.backbones.specs import Backbone
from headstart.inference.bundle import Reference

if TYPE_CHECKING:
    from headstart.data.manifest import Manifest

LIMIT = 50_000  # embeddings kept; a larger set is thinned evenly
FLOOR = 1e-9  # variance of a channel that says the same of every image; of others it is about 1e-5


def embedding(backbone: Backbone, features: np.ndarray) -> np.ndarray:
    """(N, E) float32 directions of (N, views, D) features, of length 1: of the view of the image as it is.

    They are the square roots of the last map's means, whose dot product compares two images as histograms are
    compared (RootSIFT: Arandjelović and Zisserman 2012). Without the roots and the length, pictures of one
    colour, which excite the network little, would pass for familiar (docs/decisions/0008-evaluation.md). The
    features end with the last map's mean and maximum, E numbers each.
    """
    channels = backbone.channels(backbone.last_map)
    mean = features[:, 0, -2 * channels : -channels]
    roots = np.sign(mean) * np.sqrt(np.abs(mean))
    lengths = np.linalg.norm(roots, axis=1, keepdims=True)
    return np.asarray(roots / np.where(lengths > 0, lengths, 1), np.float32)


def reference(backbone: Backbone, manifest: Manifest, features: np.ndarray) -> Reference:
    """Builds the reference of the training images from their (N, views, D) features.

    The covariance is shrunk (Ledoit and Wolf 2004), so that few images tell of all directions.
    """
    from sklearn.covariance import ledoit_wolf

    embeddings = embedding(backbone, features).astype(np.float64)
    kept = np.unique(np.linspace(0, len(embeddings) - 1, min(LIMIT, len(embeddings))).astype(int))
    table = manifest.table.iloc[kept]
    hashes = np.frombuffer(bytes.fromhex("".join(table["sha256"])), np.uint8).reshape(-1, 32)
    covariance, _ = ledoit_wolf(embeddings)
    return Reference(
        mean=embeddings.mean(axis=0).astype(np.float32),
        covariance=(covariance + FLOOR * np.eye(embeddings.shape[1])).astype(np.float32),
        embeddings=embeddings[kept].astype(np.float16),
        classes=manifest.y[kept].astype(np.int32),
        sha256=hashes,
        paths=tuple(table["path"]),
    )
