"""The errors a person meets, and the one way they are worded.

Every message is a single line: what is wrong → what is allowed → ``Received: …`` → what to do.
"""

from __future__ import annotations

import re
import shlex
import unicodedata


class HeadstartError(Exception):
    """Base of all errors raised on purpose; `exit_code` is what the command line returns."""

    exit_code = 2


class InputError(HeadstartError, ValueError):
    """The user's input is wrong: a path, an option, a file's content (exit code 2)."""


class ImageError(InputError):
    """A file is not a usable image.

    Attributes:
        check: name of the ledger's check that failed.
        lasting: whether it is so of these bytes; what the system refused may be granted the next time.
    """

    def __init__(self, message: str, check: str = "unreadable", lasting: bool = True) -> None:
        super().__init__(message)
        self.check, self.lasting = check, lasting


class BundleError(InputError):
    """A model bundle is damaged, changed or of an unknown format."""


class GateError(HeadstartError):
    """A gate said no: parity, ``--strict`` (exit code 1)."""

    exit_code = 1


JOINERS = "\u200c\u200d"


def printable(text: object) -> str:
    r"""`text` on one line with control characters shown as escapes, safe for a terminal.

    The joiners that words of Persian or Malayalam are written with stay.

    >>> printable("a\x1b[31m\nb"), printable("\N{ARABIC LETTER LAM}\u200c") == "\N{ARABIC LETTER LAM}\u200c"
    ('a\\x1b[31m\\nb', True)
    """
    text = str(text)
    if text.isprintable():  # quick: tables are full of such
        return text
    return "".join(
        c.encode("unicode_escape").decode() if unicodedata.category(c)[0] == "C" and c not in JOINERS else c
        for c in text
    )


def word(text: object) -> str:
    """A text as a shell takes it for one word, to be copied.

    >>> word("my photos"), word("photos")
    ("'my photos'", 'photos')
    """
    return shlex.quote(printable(text))


def last_line(said: str) -> str:
    r"""The last line that a process has written, by which it explains itself, for a terminal.

    >>> last_line("Traceback\n  ...\nOSError: no such file\n"), last_line("")
    ('OSError: no such file', 'ended without a word')
    """
    return printable((said.strip().splitlines() or ["ended without a word"])[-1])


# What a spreadsheet takes for the start of a formula; some begin a cell after a semicolon, too.
_FORMULA = re.compile("(^|;\\s*)(?=[=+\\-@\t\r＝＋－＠])")  # noqa: RUF001 - full width, as meant


def harmless(text: str) -> str:
    r"""`text` for a cell of a CSV file: no formula, no control character.

    >>> harmless("=1+1"), harmless("a;=1"), harmless("a\nb"), harmless("cat.png")
    ("'=1+1", "a;'=1", 'a\\nb', 'cat.png')
    """
    return printable(_FORMULA.sub(r"\1'", text))


def sentence(problem: str, *, allowed: object = None, received: object = None, remedy: str = "") -> str:
    """Words one error line.

    >>> sentence("Unknown fit.", allowed="crop, stretch", received="zoom", remedy="Choose one.")
    "Unknown fit. Allowed: crop, stretch. Received: 'zoom'. Choose one."
    """
    parts = [problem]
    if allowed is not None:
        parts.append(f"Allowed: {printable(allowed)}.")
    if received is not None:
        shown = printable(received)
        parts.append(f"Received: '{shown}'." if isinstance(received, str) else f"Received: {shown}.")
    if remedy:
        parts.append(remedy)
    return " ".join(parts)
