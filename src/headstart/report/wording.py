"""Numbers and names as the report words them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from headstart.report.figures import short


def percent(share: float) -> str:
    """A share with one decimal; rounding never makes it all or nothing.

    >>> [percent(share).replace(chr(0xA0), " ") for share in (0.8681, 1.0, 0.9999)]
    ['86.8 %', '100.0 %', '>99.9 %']
    """
    number = f"{100 * share:.1f}"
    if number == "100.0" and share < 1:
        number = ">99.9"
    elif number == "0.0" and share > 0:
        number = "<0.1"
    return f"{number}\N{NO-BREAK SPACE}%"


def plain(value: float) -> str:
    """A number with three decimals; a dash where there is none.

    >>> plain(0.93774), plain(float("nan"))
    ('0.938', '–')
    """
    return "–" if np.isnan(value) else f"{value:.3f}"


def interval(low: float, high: float, shown: Callable[[float], str] = percent) -> str:
    """The ends of an interval, in words where it has none.

    >>> interval(0.25, 0.5, plain), interval(1.0, 1.0)
    ('0.250 to 0.500', 'cannot be told')
    """
    if low == high:
        return "cannot be told"  # a bootstrap of images that are all alike has no spread
    return f"{shown(low).removesuffix(chr(0xA0) + '%')} to {shown(high)}"


def duration(seconds: float) -> str:
    """Seconds as a person says it.

    >>> duration(4.26), duration(119.7)
    ('4.3 s', '2 min 0 s')
    """
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"


def quoted(name: object) -> str:
    """A name inside a sentence, kept from turning the sentence's direction when it is Arabic, say."""
    return f"“\N{FIRST STRONG ISOLATE}{short(name, 60)}\N{POP DIRECTIONAL ISOLATE}”"


def many(count: int, noun: str) -> str:
    """A number with its noun.

    >>> many(1, "image"), many(2624, "image"), many(2, "class")
    ('1 image', '2,624 images', '2 classes')
    """
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"
