"""Pictures out of a request: a form, raw bytes, or JSON with base64. Nothing is written to disk."""

from __future__ import annotations

import binascii
import math
from base64 import b64decode
from io import BytesIO
from typing import IO, Any

import flask
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from headstart.errors import InputError, sentence
from headstart.serving.service import Upload

MOST_PARTS = 10_000  # lists and objects of a request's JSON
FORMS = "a form with `file`, the bytes of an image, or JSON with `images`, a list of {name, data in base64}"


class Request(flask.Request):
    """Parts of a form stay in memory, which the limit on the body bounds."""

    max_form_parts = 64

    def _get_file_stream(self, *_: Any, **__: Any) -> IO[bytes]:
        return BytesIO()


def uploads(request: flask.Request, most: int) -> list[Upload]:
    """The pictures of a request, in their order.

    Raises:
        InputError: there are none, or they cannot be read.
        HTTPException: too many of them (413), or a form that is none of these (415).
    """
    kind = request.mimetype
    if kind == "multipart/form-data":
        files = [(file.filename or "", file.read()) for file in request.files.getlist("file")]
        found = [(name, content) for name, content in files if name or content]  # a form without a choice
    elif kind == "application/json":
        found = _from_json(shallow(request).get_json())
    elif kind.startswith("image/") or kind == "application/octet-stream":
        content = request.get_data()
        found = [("", content)] if content else []
    else:
        raise UnsupportedMediaType(
            sentence(
                "This Content-Type is that of no picture.",
                allowed=f"that of {FORMS}",
                received=kind or "none",
                remedy="For bytes use image/jpeg, say, or application/octet-stream.",
            )
        )
    if not found:
        raise InputError(sentence("There is no image in this request.", allowed=FORMS))
    if len(found) > most:
        raise RequestEntityTooLarge(f"{len(found)} images are too many; {most} are allowed in one request.")
    return found


def shallow(request: flask.Request, most: int = MOST_PARTS) -> flask.Request:
    """The request, if its JSON has not more lists and objects than `most`: each takes many times its bytes.

    Raises:
        RequestEntityTooLarge: it has.
    """
    body = request.get_data()
    if body.count(b"[") + body.count(b"{") > most:
        raise RequestEntityTooLarge(f"This JSON has too many lists and objects; {most:,} are allowed.")
    return request


def _from_json(body: Any) -> list[Upload]:
    try:
        return [(_text(one.get("name", "")), decoded(one["data"])) for one in body["images"]]
    except (AttributeError, KeyError, TypeError, ValueError, binascii.Error):
        raise InputError(
            sentence("This JSON holds no images.", allowed='{"images": [{"name": "a.jpg", "data": "…"}]}')
        ) from None


def decoded(text: str) -> bytes:
    """What a text in base64 stands for.

    Raises:
        TypeError, ValueError: it is none (RFC 4648); Python's would take one with a `=` too many.
    """
    content = b64decode(text, validate=True)
    if len(text) != 4 * math.ceil(len(content) / 3):
        raise ValueError(text)
    return content


def _text(name: object) -> str:
    if not isinstance(name, str):
        raise TypeError(name)
    return name
