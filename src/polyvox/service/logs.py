"""Structured logs: one line an event, with the id of the request that it belongs to and nothing that anybody said."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
import sys
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import IO, Any

from polyvox.errors import PolyvoxError

ROOT = "polyvox.service"

request_id: ContextVar[str] = ContextVar("polyvox_request_id", default="")
"""Of the request that this task serves; empty elsewhere."""

_ACCEPTED_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def take_request_id(sent: str | None) -> str:
    """The client's own id if it is harmless (up to 128 letters, digits, `._:-`), else a new one."""
    if sent is not None and _ACCEPTED_ID.fullmatch(sent):
        return sent
    return uuid.uuid4().hex


def event(logger: logging.Logger, level: int, message: str, **fields: object) -> None:
    """Log `message` with `fields`; the message is fixed text, everything that varies is a field."""
    if logger.isEnabledFor(level):
        given = {"request_id": request_id.get() or None, **fields}
        logger.log(level, message, extra={"fields": {k: v for k, v in given.items() if v is not None}})


def reason(error: BaseException) -> str:
    """What a log says of an error.

    The kind of a Polyvox error without its sentence, which may quote the text that was to be spoken; of anything else,
    which is a defect, everything.
    """
    if isinstance(error, PolyvoxError):
        return type(error).__name__
    return f"{type(error).__name__}: {error}"


class _Formatter(logging.Formatter):
    def _parts(self, record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
        when = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields: dict[str, Any] = {}
        current = request_id.get()
        if current:
            fields["request_id"] = current
        given = getattr(record, "fields", None)
        if isinstance(given, Mapping):
            fields.update((k, None if isinstance(v, float) and not math.isfinite(v) else v) for k, v in given.items())
        if record.exc_info and record.exc_info[0] is not None:
            fields["trace"] = self.formatException(record.exc_info)
        return when, fields


class JsonFormatter(_Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, and the event's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        when, fields = self._parts(record)
        line = {
            "time": when,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **fields,
        }
        return json.dumps(line, ensure_ascii=True, default=str)


class PlainFormatter(_Formatter):
    """For people: `time level message field=value ...`, on one line whatever the values hold, a trace below."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        when, fields = self._parts(record)
        trace = fields.pop("trace", None)
        pairs = "".join(f" {name}={_plain(value)}" for name, value in fields.items())
        line = f"{when} {record.levelname.lower():7} {_printable(record.getMessage())}{pairs}"
        return line if trace is None else f"{line}\n{trace}"


def _plain(value: object) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else _printable(str(value))
    return json.dumps(text) if " " in text or not text else text


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)


class _NotOurs(logging.Filter):
    """Drops what uvicorn says of connections that were cut on purpose; our own events of them say more."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        cancelled = kind is not None and issubclass(kind, asyncio.CancelledError)
        return not cancelled and "returned without" not in str(record.msg)


def configure(form: str = "text", level: str = "info", stream: IO[str] | None = None, *, texts: bool = False) -> None:
    """Send the logs of this process to `stream`, standard error unless given.

    Args:
        form: "text" or "json".
        level: "debug", "info", "warning" or "error".
        stream: where to.
        texts: whether what was said may be in them.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else PlainFormatter())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("polyvox").setLevel(level.upper())
    # It warns of characters that a voice does not know, and names them.
    logging.getLogger("polyvox.text").setLevel(logging.NOTSET if texts else logging.ERROR)
    server = logging.getLogger("uvicorn.error")
    server.setLevel(logging.WARNING)
    if not any(isinstance(f, _NotOurs) for f in server.filters):
        server.addFilter(_NotOurs())
