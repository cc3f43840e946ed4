"""What went wrong with a request, as problem details (RFC 9457), in one place for API and gate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from headstart.errors import HeadstartError, ImageError
from headstart.serving.service import BusyError, ChangedError
from headstart.serving.turns import LateError

KIND = "application/problem+json"


@dataclass(frozen=True)
class Problem:
    """A status, what it means here in one sentence, and after how many seconds it is worth another try.

    `more` are further headers of the answer.
    """

    status: HTTPStatus
    detail: str
    retry_after: int = 0
    more: Mapping[str, str] = field(default_factory=dict)

    @property
    def headers(self) -> dict[str, str]:
        """Of the answer, its content aside."""
        return dict(self.more) | ({"Retry-After": str(self.retry_after)} if self.retry_after else {})

    def text(self) -> str:
        """The members of RFC 9457; `type` is ``about:blank``, as the status says it all.

        And `error`, which clients of the Open Inference Protocol show.
        """
        title, status, detail = self.status.phrase, int(self.status), self.detail
        members = {"type": "about:blank", "title": title, "status": status, "detail": detail, "error": detail}
        return json.dumps(members)


STATUS = {
    BusyError: (HTTPStatus.SERVICE_UNAVAILABLE, 1),
    ChangedError: (HTTPStatus.CONFLICT, 0),
    LateError: (HTTPStatus.GATEWAY_TIMEOUT, 5),
    ImageError: (HTTPStatus.UNPROCESSABLE_ENTITY, 0),
}


def kind_at(path: str) -> str:
    """The content type of a problem: the Open Inference Protocol, version 2, knows nothing but JSON.

    >>> kind_at("/v2/health/ready"), kind_at("/v1/predict")
    ('application/json', 'application/problem+json')
    """
    return "application/json" if f"{path}/".startswith("/v2/") else KIND


def problem(error: HeadstartError) -> Problem:
    """Of an error that was foreseen; what isn't in the table is the request's fault."""
    status, seconds = STATUS.get(type(error), (HTTPStatus.BAD_REQUEST, 0))
    return Problem(status, str(error), seconds)
