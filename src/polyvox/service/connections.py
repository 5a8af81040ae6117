"""HTTP connections: uvicorn's, with the limits that it leaves open."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from polyvox.service.settings import Limits

HEAD = 64 * 1024
"""Bytes of a request's line and headers."""

LAST_BYTES = 5.0
"""Seconds for what is written and not yet read, once a WebSocket is over."""

REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b"
)
FULL = b'{"error":{"message":"there are too many connections","type":"overloaded_error","param":null,"code":"busy"}}'
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def protocol(limits: Limits) -> type[HttpToolsProtocol]:
    """The class of connections under `limits`, for `uvicorn.Config(http=...)`."""
    return type("LimitedConnection", (Connection,), {"limits": limits})


class Connection(HttpToolsProtocol):
    """Refused if there are too many; closed if its request comes too slowly or has too long a head."""

    limits: Limits

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # Bytes of a request's head, but for those that came with its first: None outside of one.
        self._head: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.write(REFUSAL % (len(FULL), FULL))
            transport.close()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._wait_no_more()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self.transport.is_closing():
            return
        if self._head is not None:
            self._head += len(data)
        super().data_received(data)
        if self._head is not None and self._head > HEAD and not self.transport.is_closing():
            self.transport.write(TOO_LONG)
            self.transport.close()

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head = 0
        self._wait()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._head = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of it is there."""
        self._wait_no_more()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """Somebody else's connection from here on."""
        self._head = None
        self._wait_no_more()
        super().handle_websocket_upgrade()

    def _wait(self) -> None:
        self._wait_no_more()
        self._timer = self.loop.call_later(self.limits.idle_connection, self._too_slow)

    def _wait_no_more(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self.transport.close()


class Socket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket. One whose client does not read its last bytes is cut; otherwise it would stay for ever."""

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Nobody serves it any more."""
        super().on_task_complete(task)
        self.loop.call_later(LAST_BYTES, self.transport.abort)
