"""The command line: what is typed becomes a call of a verb, and whatever goes wrong becomes one line."""

from __future__ import annotations

import errno
import gc
import io
import os
import re
import signal
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import cyclopts

from headstart import __version__
from headstart.cli import (
    cache,
    compare,
    data,
    demo,
    describe,
    doctor,
    evaluate,
    explain,
    export,
    predict,
    quantize,
    serve,
    train,
    weights,
)
from headstart.errors import HeadstartError, InputError, printable, sentence
from headstart.training import interrupt

app = cyclopts.App(
    name="headstart",
    help="From a folder of labelled images to a classifier you can trust and run.",
    version=__version__,
    help_format="plaintext",
    suppress_keyboard_interrupt=False,
)
app.command(demo.demo)
app.command(train.train)
app.command(evaluate.evaluate)
app.command(predict.predict)
app.command(explain.explain)
app.command(compare.compare)
app.command(describe.describe)
app.command(quantize.quantize)
app.command(export.export)
app.command(serve.serve)
app.command(data.app)
app.command(weights.app)
app.command(cache.app)
app.command(doctor.doctor)


GOES_ON = ("train", "demo", "data")
"""Commands that keep what they have when they are interrupted; `predict` does with --out."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs one command and exits: 0 done, 1 gate, 2 wrong input, 130 interrupted, 143 terminated."""
    interrupt.raised()
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # closed by who started this, a number would go to the next file, and what is said into it
    os.close(descriptor)
    nobody = Path(os.devnull).open("w")  # noqa: SIM115 - where one is closed, as by `>&-`
    sys.stdout, sys.stderr = sys.stdout or nobody, sys.stderr or nobody
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name may hold what the terminal's encoding has not
            stream.reconfigure(errors="backslashreplace")
    code = _run([_home(a) for a in (sys.argv[1:] if arguments is None else arguments)])
    if hasattr(signal, "SIGALRM"):  # Python's end takes the handler away, and would be cut short by it
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
    if code in interrupt.EXIT.values():
        # Where the interrupt came through C code that runs Python (an import), the interpreter would end
        # itself by the signal although it was handled here.
        sys.stderr.flush()
        os._exit(code)
    gc.freeze()  # nobody looks for garbage among TensorFlow's objects then, which takes a second
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    try:
        app.config = _config_files(arguments)
        result: Any = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return int(result or 0)
    except BaseException as error:
        if number := interrupt.came() or (signal.SIGINT if isinstance(error, KeyboardInterrupt) else 0):
            return _ended(number, arguments)  # whatever C code has made of it
        code = _explained(error)
        if code is None:
            raise
        return code
    finally:
        interrupt.came()


def _home(argument: str) -> str:
    """`--out=~/runs`, of which shells leave the `~` as it is."""
    option, equals, value = argument.partition("=")
    if option.startswith("--") and value.startswith("~"):
        return f"{option}{equals}{os.path.expanduser(value)}"  # noqa: PTH111 - ~unknown stays
    return argument


def _ended(number: int, arguments: list[str]) -> int:
    code = interrupt.EXIT[signal.Signals(number)]
    command = arguments[0] if arguments else ""
    to_file = command == "predict" and any(a.partition("=")[0] == "--out" for a in arguments)
    if number == signal.SIGINT:
        more = " The same command goes on where it stopped." if command in GOES_ON or to_file else ""
        _say(f"Interrupted.{more}", code)
    return code


def _explained(error: BaseException) -> int | None:
    """Says in one line what went wrong, and returns the exit code; None for what nobody foresaw."""
    if isinstance(error, HeadstartError):
        return _say(str(error), error.exit_code)
    if isinstance(error, cyclopts.CycloptsError):
        return _say(_reworded(error), 2)
    if isinstance(error, BrokenPipeError) or (
        isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError)  # by rich
    ):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone; say nothing
        return 0
    if isinstance(error, OSError):
        return _say(_system(error), 2)
    if isinstance(error, MemoryError):
        remedy = "Close other programs, or take less at once: a smaller --image-size or --batch-size."
        return _say(sentence("There is not enough memory.", remedy=remedy), 2)
    return None


def _config_files(arguments: list[str]) -> list[Any]:
    """The file after `--config`: it has to be known before the other options are read."""
    names = [a.removeprefix("--config=") for a in arguments if a.startswith("--config=")]
    names += [name for option, name in pairwise(arguments) if option == "--config"]
    return [_options(name) for name in names]


def _options(name: str) -> Any:
    """Those of `train`, which alone takes a file: some are called as other commands are."""
    import tomllib

    try:
        content = tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            sentence("There is no such file of options.", allowed="a TOML file", received=name)
        ) from None
    except OSError as error:
        line = f"The file of options cannot be read: {error.strerror}."
        raise InputError(sentence(line, received=name)) from None
    except ValueError as error:  # no TOML, or no UTF-8
        line = f"The file of options is not TOML: {printable(error)}."
        raise InputError(sentence(line, received=name)) from None
    if "config" in content:
        line = "A file of options cannot name another."
        raise InputError(sentence(line, received=f"config in {name}", remedy="Take the line out."))
    found = cyclopts.config.Dict({"train": content}, use_commands_as_keys=True)
    found.source = name
    return found


def _say(line: str, code: int) -> int:
    print(f"headstart: {printable(line)}", file=sys.stderr)
    return code


def _reworded(error: cyclopts.CycloptsError) -> str:
    """cyclopts' message on one line, with where to look."""
    line = " ".join(printable(str(error).replace("\n", " ")).split()).replace("?.", "?")
    chain = error.command_chain or ()
    remedy = f"See `{' '.join(['headstart', *chain])} --help`."
    pattern = r'Invalid value "(.*)" for (--\S+)\. Choose from: (.*?)\.?(?: Did you mean "(.*)"\?)?'
    if choice := re.fullmatch(pattern, line):
        received, option, allowed, near = choice.groups()
        remedy = f"Did you mean {near}? {remedy}" if near else remedy
        return sentence(
            f"{option} has no such choice.",
            allowed=allowed.replace('"', ""),
            received=received,
            remedy=remedy,
        )
    return f"{line} {remedy}"


def _system(error: OSError) -> str:
    """The operating system's refusal in our words."""
    place = printable(error.filename or "the output")
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return sentence(
            "The disk is full, or a quota is reached; nothing was half-written.",
            received=place,
            remedy="Free some space and run the same command again.",
        )
    return sentence(
        f"The system refused: {error.strerror or error}.",
        received=place,
        remedy="Check path and permissions.",
    )
