"""From a template and values to a page's text, in which nothing from outside is obeyed."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any

from headstart.errors import printable
from headstart.report import figures

ISOLATES = "\N{FIRST STRONG ISOLATE}\N{POP DIRECTIONAL ISOLATE}"


def fill(template: str, **values: Any) -> str:
    """The page as text: every value is escaped, and a value that is missing is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("headstart.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=shown,
    )
    # The SVG is Matplotlib's, which escapes all text in it.
    environment.filters["inline"] = lambda drawing: Markup(  # noqa: S704
        figures.inline(drawing.svg, drawing.name, drawing.caption)
    )
    environment.filters["json"] = json.dumps
    return environment.get_template(template).render(**values)


def scripted(*names: str) -> dict[str, Any]:
    """Our own scripts for a page, and their hash: the page's policy lets them and nothing else run."""
    from markupsafe import Markup

    folder = files("headstart.report").joinpath("templates")
    text = "".join(folder.joinpath(name).read_text("utf-8") for name in names)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return {"script": Markup(text), "script_hash": digest}  # noqa: S704 - our own files


def shown(value: Any) -> Any:
    """Control characters as escapes, in all text that comes from outside; `Markup` is our own."""
    if type(value) is not str or (value.isascii() and value.isprintable()):
        return value
    return "".join(c if c in ISOLATES else printable(c) for c in value)
