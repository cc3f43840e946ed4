"""Clusters of images of several classes, as of patients with sound and ill organs, spread over parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence


def stratified(clusters: Sequence[Mapping[str, int]], shares: Mapping[str, float]) -> list[str]:
    """The part of each cluster, so that each part gets its share of every class.

    Iterative stratification (Sechidis et al. 2011, doi:10.1007/978-3-642-23808-6_10): the class of which the
    fewest clusters are left comes first, and each of these, the largest first, goes where most of it is
    lacking; the last ones go where there is none of it yet.

    Args:
        clusters: how many images of each class are in it; of equals the first come first.
        shares: of the images, for each part; 1 in all.

    >>> stratified([{"a": 2, "b": 1}, {"a": 2}, {"b": 1}, {"a": 1, "b": 1}], {"train": 0.5, "test": 0.5})
    ['train', 'test', 'test', 'train']
    """
    totals: Counter[str] = Counter()
    holding: dict[str, list[int]] = {}
    for place, counts in enumerate(clusters):
        totals.update(counts)
        for name in counts:
            holding.setdefault(name, []).append(place)
    wants = {part: {name: share * n for name, n in totals.items()} for part, share in shares.items()}
    lacking = {name: list(shares) for name in totals}
    left = Counter({name: len(places) for name, places in holding.items()})
    found = [""] * len(clusters)
    while holding:
        rarest = min(holding, key=lambda name: (left[name], name))
        mine = [place for place in holding.pop(rarest) if not found[place]]
        mine.sort(key=lambda place: -clusters[place][rarest])  # the largest while there is room for it
        for done, place in enumerate(mine):
            empty = lacking[rarest]
            parts = empty if len(mine) - done <= len(empty) else list(shares)
            part = max(parts, key=lambda one: wants[one][rarest])
            found[place] = part
            for name, images in clusters[place].items():
                wants[part][name] -= images
                left[name] -= 1
                if part in lacking[name]:
                    lacking[name].remove(part)
    return found
