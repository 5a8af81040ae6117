"""What a client may say on `/v1/stream`, checked; and one sentence for what it may not."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from polyvox.service.errors import BadRequest

SHOWN = 60
"""Characters of a wrong value that an answer repeats."""

Name = Annotated[str, Field(min_length=1, max_length=200)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Auth(_Message):
    """Who asks; the first message where no header can be sent."""

    type: Literal["auth"]
    key: Annotated[str, Field(max_length=1000)]


class Start(_Message):
    """Begin an utterance. What is not given is the service's choice."""

    type: Literal["start"]
    id: Id | None = None
    voice: Name | None = None
    speaker: Name | None = None
    language: Name | None = None
    speed: Number | None = None
    controls: Annotated[dict[Name, Number], Field(max_length=32)] = Field(default_factory=dict)
    format: Literal["wav", "pcm", "mp3", "opus", "aac", "flac", "webm"] = "pcm"
    sample_rate: Annotated[int, Field(ge=8000, le=48000, strict=True)] | None = None
    words: Annotated[bool, Field(strict=True)] = True
    phonemes: Annotated[bool, Field(strict=True)] = False
    realtime: Annotated[bool, Field(strict=True)] = True

    def all_controls(self) -> dict[str, float]:
        """The controls, `speed` among them."""
        return dict(self.controls) if self.speed is None else {**self.controls, "speed": self.speed}


class Text(_Message):
    """More of the text of the utterance that was begun last."""

    type: Literal["text"]
    text: str


class Flush(_Message):
    """Speak what there is."""

    type: Literal["flush"]


class End(_Message):
    """The text is whole."""

    type: Literal["end"]


class Cancel(_Message):
    """Be silent: one utterance, or all."""

    type: Literal["cancel"]
    id: Id | None = None


Message = Auth | Start | Text | Flush | End | Cancel

_TYPES: dict[str, TypeAdapter[Any]] = {
    "auth": TypeAdapter(Auth),
    "start": TypeAdapter(Start),
    "text": TypeAdapter(Text),
    "flush": TypeAdapter(Flush),
    "end": TypeAdapter(End),
    "cancel": TypeAdapter(Cancel),
}


def parse(text: str) -> Message:
    """The message that a text frame holds.

    Raises:
        BadRequest: it holds none; the sentence names the field and what was expected.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        why = str(error).partition(":")[0] if isinstance(error, ValueError) else "nested too deeply"
        raise BadRequest(f"a message is a JSON object, and this is not JSON: {why}", code="invalid_message") from None
    kind = data.get("type") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in _TYPES:
        known = ", ".join(_TYPES)
        found = _shown(kind) if isinstance(data, dict) else _shown(data)
        raise BadRequest(
            f"expected a JSON object whose 'type' is one of {known}, found {found}",
            code="invalid_message",
            param="type",
        )
    try:
        message: Message = _TYPES[kind].validate_python(data)
    except ValidationError as error:
        raise _explained(kind, error) from None
    return message


def _explained(kind: str, error: ValidationError) -> BadRequest:
    first = error.errors()[0]
    field = _printable(".".join(str(part) for part in first["loc"] if part != "[key]"))
    if first["type"] == "extra_forbidden":
        said = f"'{kind}' has no field {_shown(field)}"
    elif first["type"] == "missing":
        said = f"'{kind}' needs the field '{field}'"
    else:
        reason = _printable(first["msg"])
        said = f"'{kind}': field '{field}': {reason[:1].lower()}{reason[1:]}"
        if kind != "auth":
            said += f", found {_shown(first['input'])}"
    return BadRequest(said, code="invalid_message", param=field.partition(".")[0] or None)


def _shown(value: object) -> str:
    text = _printable(repr(value)[: SHOWN + 1])
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
