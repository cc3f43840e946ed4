"""Lists, dicts and byte arrays out of a pickle without unpickling it: nothing that the file names is called.

`pickletools` names the opcodes and runs none of them. Understood are those with which cPickle wrote the
Python version of CIFAR (protocol 2): plain values, and uint8 NumPy arrays. Everything else is refused.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from typing import Any

import numpy as np

OPCODES = 1_000_000
"""Most opcodes of a pickle; the largest of CIFAR has about 300,000."""

_MARK = object()
_NDARRAY, _DTYPE = object(), object()
_RECONSTRUCT = object()
_UINT8 = object()
_UNBUILT = object()
"""An array whose shape and bytes are still to come."""

# The names that numpy's pickles hold, with a space between module and name as `pickletools` gives them.
_NAMES = {
    "numpy ndarray": _NDARRAY,
    "numpy dtype": _DTYPE,
    "numpy.core.multiarray _reconstruct": _RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": _RECONSTRUCT,
}


def load(data: bytes) -> object:
    """What the pickle holds: None, bool, int, str (a character a byte), list, tuple, dict or (…) uint8 array.

    Raises:
        ValueError: it holds anything else, or is damaged.
    """
    reader = _Reader()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data), 1):
            reader.step(count, opcode.name, argument)
        (value,) = reader.pop(len(reader.stack))
    except (ValueError, TypeError, LookupError) as error:
        problem = f"a pickle is damaged, or holds more than numbers, texts and arrays of bytes: {error}"
        raise ValueError(problem) from error
    return value


class _Reader:
    """The stack and the memo that a pickle's opcodes work on."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def step(self, count: int, name: str, argument: Any) -> None:
        """Does what opcode number `count` says, if it is one of those that are understood."""
        if count > OPCODES:
            raise ValueError(f"more than {OPCODES} opcodes")
        if name in ("BININT", "BININT1", "BININT2", "BINSTRING", "SHORT_BINSTRING"):
            self.stack.append(argument)
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name == "GLOBAL":
            if argument not in _NAMES:
                raise ValueError(f"the name {argument!r}")
            self.stack.append(_NAMES[argument])
        elif name in _PUSHED:
            self.stack.append(_PUSHED[name]())
        elif name in _STEPS:
            _STEPS[name](self)
        elif name not in ("PROTO", "STOP"):
            raise ValueError(f"the opcode {name}")

    def pop(self, count: int) -> list[Any]:
        """The last `count` values, in their order."""
        values = self.stack[-count:]
        if len(values) < count or any(value is _MARK for value in values):
            raise ValueError("a value is missing")
        del self.stack[-count:]
        return values

    def pop_to_mark(self) -> list[Any]:
        """The values after the last mark."""
        values: list[Any] = []
        while (value := self.stack.pop()) is not _MARK:
            values.append(value)
        return values[::-1]


def _append(reader: _Reader, values: list[Any]) -> None:
    if type(reader.stack[-1]) is not list:
        raise ValueError("a list is missing")
    reader.stack[-1] += values


def _set(reader: _Reader, values: list[Any]) -> None:
    keys = values[::2]
    if type(reader.stack[-1]) is not dict or not all(type(key) is str for key in keys):
        raise ValueError("a dict of names is missing")
    reader.stack[-1].update(zip(keys, values[1::2], strict=True))


def _reduce(reader: _Reader) -> None:
    """An array or its type, as far as it is known by now; the only two "calls" there are."""
    called, arguments = reader.pop(2)
    if called is _RECONSTRUCT and arguments == (_NDARRAY, (0,), "b"):
        reader.stack.append(_UNBUILT)
    elif called is _DTYPE and type(arguments) is tuple and arguments[:1] == ("u1",):
        reader.stack.append(_UINT8)
    else:
        raise ValueError("a call")


def _build(reader: _Reader) -> None:
    """Completes what `_reduce` began; the state of uint8, byte order and the like, says nothing more."""
    begun, state = reader.pop(2)
    if begun is _UNBUILT:
        _, shape, kind, fortran, content = state
        if kind is not _UINT8 or type(content) is not str:
            raise ValueError("an array of another type than uint8")
        flat = np.frombuffer(content.encode("latin-1"), np.uint8)
        begun = flat.reshape(shape, order="F" if fortran else "C")
    elif begun is not _UINT8:
        raise ValueError("a state")
    reader.stack.append(begun)


_PUSHED: dict[str, Callable[[], object]] = {
    "MARK": lambda: _MARK,
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
}
_STEPS: dict[str, Callable[[_Reader], None]] = {
    "TUPLE1": lambda reader: reader.stack.append(tuple(reader.pop(1))),
    "TUPLE2": lambda reader: reader.stack.append(tuple(reader.pop(2))),
    "TUPLE3": lambda reader: reader.stack.append(tuple(reader.pop(3))),
    "TUPLE": lambda reader: reader.stack.append(tuple(reader.pop_to_mark())),
    "APPEND": lambda reader: _append(reader, reader.pop(1)),
    "APPENDS": lambda reader: _append(reader, reader.pop_to_mark()),
    "SETITEM": lambda reader: _set(reader, reader.pop(2)),
    "SETITEMS": lambda reader: _set(reader, reader.pop_to_mark()),
    "REDUCE": _reduce,
    "BUILD": _build,
}
