"""Errors on the wire, in OpenAI's shape: `{"error": {"message", "type", "param", "code"}}`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from polyvox.errors import PolyvoxError
from polyvox.service.errors import as_service_error

SHOWN = 60
"""Characters of a wrong value that an answer repeats."""

TYPES = {401: "authentication_error", 429: "rate_limit_error", 503: "overloaded_error"}

_HTTP = {
    400: ("the body is not JSON", "invalid_json"),
    404: ("there is nothing at this address", "not_found"),
    405: ("this address does not take that method", "method_not_allowed"),
    413: ("the request is larger than this service takes", "request_too_large"),
}


class ErrorBody(BaseModel):
    """What went wrong."""

    message: str = Field(description="One sentence.")
    type: str = Field(description="The kind of error.")
    param: str | None = Field(None, description="The field of the request that it is about.")
    code: str | None = Field(None, description="The error's name, for programs.")


class ErrorAnswer(BaseModel):
    """The body of every error."""

    error: ErrorBody


@dataclass(frozen=True, slots=True)
class Problem:
    """An error as an answer.

    Attributes:
        status: of HTTP.
        message: one sentence.
        code: the error's name.
        param: the field that it is about.
        headers: further headers of the answer.
    """

    status: int
    message: str
    code: str
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self) -> dict[str, Any]:
        """What OpenAI's clients read."""
        kind = TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "server_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}

    def answer(self) -> JSONResponse:
        """The whole answer."""
        return JSONResponse(self.body(), self.status, dict(self.headers))


def problem(error: Exception) -> Problem:
    """What to answer when `error` came up before anything was sent."""
    match error:
        case RequestValidationError():
            return _invalid(error.errors())
        case HTTPException():
            message, code = _HTTP.get(error.status_code, (str(error.detail), "bad_request"))
            return Problem(error.status_code, message, code, headers=error.headers or {})
        case PolyvoxError():
            known = as_service_error(error)
            headers = {}
            if known.retry_after is not None:
                headers["retry-after"] = str(max(1, math.ceil(known.retry_after)))
            if known.status == 401:
                headers["www-authenticate"] = "Bearer"
            # What the engine calls the text is `input` here.
            param = "input" if known.param == "text" else known.param
            return Problem(known.status, str(known), known.code, param, headers)
    return Problem(500, "something went wrong in the service; its log says what", "internal_error")


def _invalid(errors: Sequence[Any]) -> Problem:
    first = errors[0]
    place = [str(part) for part in first["loc"][1:]]
    match first["type"], place:
        case "json_invalid", _:
            return Problem(400, f"the body is not JSON: {first['ctx']['error']}", "invalid_json")
        case "missing", []:
            return Problem(400, "the body is missing; expected a JSON object", "invalid_json")
        case (("model_attributes_type" | "dict_type"), []):
            if isinstance(first.get("input"), bytes):
                sentence = "the body must be JSON, with the header 'content-type: application/json'"
                return Problem(415, sentence, "unsupported_media_type")
            return Problem(400, "the body must be a JSON object", "invalid_json")
        case "missing", _:
            return Problem(400, f"field '{'.'.join(place)}' is missing", "missing_field", place[0])
    name = place[0] if place else None
    # An error of a union says which of its members it is about, behind the field's name.
    said = f"field '{name}': {first['msg'][:1].lower()}{first['msg'][1:]}"
    if name == "voice":
        said = "field 'voice': expected a name, or an object with an 'id' that is one"
    if name != "input":
        said += f", found {_shown(first.get('input'))}"
    return Problem(400, said, "invalid_value", name)


def _shown(value: object) -> str:
    text = "".join(c if c.isprintable() else " " for c in repr(value)[: SHOWN + 1])
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
