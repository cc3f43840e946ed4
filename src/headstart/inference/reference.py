"""What the training images look like to the network: for distances and nearest neighbours."""

from __future__ import annotations

import numpy as np

from headstart.backbones.specs import Backbone
from headstart.data.manifest import Manifest
from headstart.inference.bundle import Reference

LIMIT = 50_000  # embeddings kept; a larger set is thinned evenly


def reference(backbone: Backbone, manifest: Manifest, features: np.ndarray) -> Reference:
    """Builds the reference of the training images from their (N, views, D) features.

    The embedding is the last map's mean in the first view: the features end with the last map's mean and
    maximum, C numbers each.
    """
    channels = backbone.channels(backbone.last_map)
    embeddings = features[:, 0, -2 * channels : -channels].astype(np.float64)
    kept = np.unique(np.linspace(0, len(embeddings) - 1, min(LIMIT, len(embeddings))).astype(int))
    table = manifest.table.iloc[kept]
    hashes = np.frombuffer(bytes.fromhex("".join(table["sha256"])), np.uint8).reshape(-1, 32)
    return Reference(
        mean=embeddings.mean(axis=0).astype(np.float32),
        covariance=np.cov(embeddings, rowvar=False).astype(np.float32),
        embeddings=embeddings[kept].astype(np.float16),
        sha256=hashes,
        paths=tuple(table["path"]),
    )
