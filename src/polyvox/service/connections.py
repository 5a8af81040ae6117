"""HTTP connections: uvicorn's, with the limits that it leaves open."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from polyvox.service.settings import Limits, Settings

HEAD = 64 * 1024
"""Bytes of a request's line and headers."""

CLOSING = 5.0
"""Seconds for a connection to close once all of it was read."""

UNSENT = 128 * 1024
"""Bytes that the system takes of a connection and cannot send yet: seconds of audio. Unless told otherwise it takes
four megabytes, which is a quarter of an hour of Opus: the service would compute for clients that have stopped to read,
and take those who read as they hear for some that read nothing."""

REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: %d\r\n\r\n%b"
)
FULL = b'{"error":{"message":"there are too many connections","type":"overloaded_error","param":null,"code":"busy"}}'
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


def protocol(settings: Settings) -> type[HttpToolsProtocol]:
    """The class of connections under the settings' limits, for `uvicorn.Config(http=...)`."""
    return type("LimitedConnection", (Connection,), {"limits": settings.limits, "stall": settings.streams.stall})


def websocket_protocol(settings: Settings) -> type[WebSocketsSansIOProtocol]:
    """The class of WebSockets, for `uvicorn.Config(ws=...)`."""
    return type("LimitedSocket", (Socket,), {"stall": settings.streams.stall})


def hold_little(transport: asyncio.BaseTransport) -> None:
    """Have writing wait where more than `UNSENT` bytes wait to be sent, where the system knows how."""
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    made = transport.get_extra_info("socket")
    if option is not None and made is not None:
        with suppress(OSError):
            made.setsockopt(socket.IPPROTO_TCP, option, UNSENT)


class _Parting:
    """A connection that is over, but for what its client has not read yet.

    That is kept for as long as the client goes on reading, however slowly: it is the end of what somebody hears. One
    that reads nothing would keep it for ever, and is cut.
    """

    stall: float
    transport: asyncio.Transport
    loop: asyncio.AbstractEventLoop
    _look: asyncio.TimerHandle | None = None
    _gone = False

    def _part(self) -> None:
        """Nothing more is written."""
        if self._look is None and not self._gone:
            self._look_later(self.transport.get_write_buffer_size())

    def _parted(self) -> None:
        """It is closed."""
        self._gone = True
        if self._look is not None:
            self._look.cancel()

    def _look_later(self, left: int) -> None:
        self._look = self.loop.call_later(self.stall if left else CLOSING, self._look_after, left)

    def _look_after(self, before: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < before:
            self._look_later(left)
            return
        made = self.transport.get_extra_info("socket")
        if left and made is not None:
            # A reset: otherwise the system would go on offering what it holds for minutes. Where nothing is left here,
            # it is on its way to somebody who may be reading.
            with suppress(OSError):
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class Connection(_Parting, HttpToolsProtocol):
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
        hold_little(transport)
        if len(self.connections) > self.limits.connections:
            transport.write(REFUSAL % (len(FULL), FULL))
            self._close()
            return
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._wait_no_more()
        self._parted()
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
            self._close()

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

    def timeout_keep_alive_handler(self) -> None:
        """Nothing was asked for too long."""
        super().timeout_keep_alive_handler()
        self._part()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        async def answering(*arguments: Any) -> None:
            try:
                await app(*arguments)
            finally:
                self.loop.call_soon(self._answered)

        super()._start_asgi_task(cycle, answering)

    def _answered(self) -> None:
        """uvicorn has closed it by now, if it does."""
        if self.transport.is_closing():
            self._part()

    def _too_slow(self) -> None:
        if not self.transport.is_closing():
            self._close()

    def _close(self) -> None:
        self.transport.close()
        self._part()


class Socket(_Parting, WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, with an end to its closing."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._parted()
        super().connection_lost(exc)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Nobody serves it any more."""
        super().on_task_complete(task)
        self._part()
