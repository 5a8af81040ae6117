"""The process that serves: listens, runs the application and Wyoming, and stops without cutting anybody off."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import math
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from polyvox.errors import PolyvoxError
from polyvox.service import logs, memory, tracing
from polyvox.service.app import application
from polyvox.service.connections import protocol, websocket_protocol
from polyvox.service.engine import Engine
from polyvox.service.settings import Settings, loopback

log = logging.getLogger("polyvox.service")

SIGNALS = (signal.SIGINT, signal.SIGTERM)

SWITCH = 0.0005
"""Seconds for which a worker may keep Python to itself while the loop waits for it; 0.005 unless told otherwise."""

LAST_BYTES = 5
"""Seconds for what is written and not yet read, once all streams have ended."""


def run(settings: Settings, announce: Callable[[str], None] = print) -> None:
    """Serve until SIGTERM or SIGINT; then let running streams finish, for the grace of the settings.

    Args:
        settings: what to serve, and where.
        announce: takes one line once requests are answered: where they may be sent.

    Raises:
        PolyvoxError: it cannot start: an address is taken, a setting names what is not there, an extra is missing.
    """
    sys.setswitchinterval(SWITCH)
    memory.few_heaps()
    logs.configure(settings.log.format, settings.log.level, texts=settings.log.texts)
    tracing.start()
    try:
        app = application(settings)
        config = configuration(app, settings)
        loop = config.get_loop_factory()
        memory.set_aside()
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(_serve(app, config, settings, announce))
    finally:
        memory.take_back()
        tracing.stop()


def configuration(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How uvicorn serves the application."""
    return uvicorn.Config(
        app,
        http=protocol(settings),
        # The lifespan is entered by whoever runs the server, so that its errors arrive as what they are.
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ws=websocket_protocol(settings),
        ws_max_size=settings.limits.request_bytes,
        # Audio does not get smaller by it.
        ws_per_message_deflate=False,
        timeout_keep_alive=math.ceil(settings.limits.idle_connection),
        timeout_graceful_shutdown=LAST_BYTES,
    )


async def _serve(app: FastAPI, config: uvicorn.Config, settings: Settings, announce: Callable[[str], None]) -> None:
    sockets = listen(settings.host, settings.port)
    server = Server(config, app)
    try:
        # From here on: a signal that comes while voices are loaded waits for them.
        with server.capture_signals():
            log.debug("starting")
            async with app.router.lifespan_context(app), contextlib.AsyncExitStack() as beside:
                said = f"polyvox serves {_count(app.state.engine)} at {_url(sockets[0])}"
                if settings.wyoming.enabled:
                    from polyvox.service import wyoming

                    place = wyoming.serving(app.state.engine, settings, app.state.keys)
                    said += f", Wyoming at {await beside.enter_async_context(place)}"
                if settings.insecure and not loopback(settings.host):
                    log.warning(
                        "anybody who can reach this address may speak: insecure = true, and no key is asked for"
                    )
                server.cut, server.on_started = beside.aclose, lambda: announce(said)
                if not server.should_exit:
                    await server.serve(sockets=sockets)
    finally:
        for each in sockets:
            each.close()


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets on all addresses that `host` means; of port 0, all on the same free one.

    Raises:
        PolyvoxError: the address is unknown or taken.
    """
    made: list[socket.socket] = []
    refused: OSError | None = None
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, _, proto, _, address in dict.fromkeys(found):
            bound = made[0].getsockname()[1] if made else port
            try:
                made.append(_bind(family, proto, (address[0], bound, *address[2:])))
            except OSError as error:
                if error.errno != errno.EADDRNOTAVAIL:  # as of ::1 where there is no IPv6
                    raise
                refused = error
        if refused is not None and not made:
            raise refused
    except OSError as error:
        for each in made:
            each.close()
        why = error.strerror or str(error)
        raise PolyvoxError(f"cannot listen at {host}:{port}: {why[:1].lower()}{why[1:]}") from None
    return made


def _bind(family: int, proto: int, address: tuple[str | int, ...]) -> socket.socket:
    # Of sockets whose protocol is not named asyncio does not know that they are TCP, and leaves Nagle's algorithm on:
    # the second part of every answer would come 40 ms late.
    made = socket.socket(family, socket.SOCK_STREAM, proto)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    made.set_inheritable(True)
    return made


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def _count(engine: Engine) -> str:
    names = sorted({info.name for info in engine.voices() if info.refused is None})
    return f"{len(names)} voice{'' if len(names) == 1 else 's'}"


class Server(uvicorn.Server):
    """uvicorn's server; it goes on listening while running streams finish, so that new ones get an answer."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Task[None] | None = None
        self._cutting: asyncio.Task[None] | None = None
        self.on_started: Callable[[], None] = lambda: None
        self.cut: Callable[[], Coroutine[Any, Any, None]] | None = None
        """Ends what serves beside it, when there is no more time."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals that end a service; ending because of one is no error, so they are not raised again."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal lets streams finish; a second SIGINT does not.

        A second SIGTERM does: supervisors send it to a process and to its group.
        """
        again = sig == signal.SIGINT
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.stop, again)
        elif self.should_exit and again:
            raise KeyboardInterrupt
        self.should_exit = self.should_exit or self._loop is None

    def stop(self, again: bool = True) -> None:
        """Begin to stop; if that was begun and `again` is meant, cut what runs."""
        if self._stopping is None:
            log.info("stopping: running streams finish, new ones are refused")
            self._stopping = asyncio.get_running_loop().create_task(self._finish())
        elif again:
            self.force_exit = True
            for task in self.server_state.tasks:
                task.cancel()
            if self.cut is not None and self._cutting is None:
                self._cutting = asyncio.get_running_loop().create_task(self.cut())

    async def _finish(self) -> None:
        try:
            await self._app.state.engine.stop()
        finally:
            self.should_exit = True
