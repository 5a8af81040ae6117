"""The real service in a thread, for tests: uvicorn, the application, the engine, tiny voices.

with serving(settings(folder)) as served:
    httpx.get(f"{served.url}/healthz")
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from polyvox.service.app import application
from polyvox.service.engine import Engine
from polyvox.service.server import Server, configuration, listen
from polyvox.service.settings import Settings

SPEECH = "/v1/audio/speech"
LONG = "All work and no play makes a dull day, as they say. " * 300
WIDE = {"input": LONG, "response_format": "wav", "sample_rate": 48000}
"""More audio than the buffers between server and client take."""


@dataclass
class Served:
    """A running service."""

    port: int
    app: FastAPI
    server: Server
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def engine(self) -> Engine:
        return self.app.state.engine

    def call(self, function, *arguments: Any) -> Any:
        """Call a function in the service's loop, and give what it returns; a coroutine is awaited."""

        async def calling() -> Any:
            result = function(*arguments)
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(calling(), self.loop).result(30)


def settings(folder: Path, **changes: Any) -> Settings:
    """Settings of a service that speaks with the tiny voices of a folder; `changes` are merged over them."""
    data: dict[str, Any] = {
        "port": 0,
        "voices": {"folders": [str(folder)], "default": "tim", "rescan": 0},
        "wyoming": {"enabled": False},
        "grace": 5,
    }
    for name, value in changes.items():
        data[name] = {**data.get(name, {}), **value} if isinstance(value, dict) else value
    return Settings.model_validate(data)


@contextlib.contextmanager
def serving(wanted: Settings) -> Iterator[Served]:
    """Run the service until the body is over; what it raises is raised here."""
    started = threading.Event()
    failure: list[BaseException] = []
    found: list[Served] = []

    async def main() -> None:
        sockets = listen(wanted.host, wanted.port)
        app = application(wanted)
        try:
            async with app.router.lifespan_context(app):
                server = Server(configuration(app, wanted), app)
                found.append(Served(sockets[0].getsockname()[1], app, server, asyncio.get_running_loop()))
                server.on_started = started.set
                await server.serve(sockets=sockets)
        finally:
            for each in sockets:
                each.close()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()) as runner:
                runner.run(main())
        except BaseException as error:
            failure.append(error)
        finally:
            started.set()

    thread = threading.Thread(target=run, name="service")
    thread.start()
    started.wait(60)
    try:
        if not failure:
            yield found[0]
    finally:
        if thread.is_alive():
            found[0].loop.call_soon_threadsafe(found[0].server.stop)
        thread.join(60)
        if failure:
            raise failure[0]
    assert not thread.is_alive()


def until(holds: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait until something holds, and give what it gave; the service does things after its client knows."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.005)
    return found


def logged(caplog, message: str, request_id: str) -> dict[str, Any]:
    """The fields of a request's event in the service's log, once it is there."""

    def found() -> list[dict[str, Any]]:
        fields = [r.fields for r in list(caplog.records) if r.message == message and hasattr(r, "fields")]
        return [f for f in fields if f.get("request_id") == request_id]

    return until(found)[0]


def metric(served: Served, start: str) -> float:
    """The value of the first metric whose line starts so; not a number if there is none."""
    text = served.engine.metrics.text().decode()
    return float(next((line.split()[-1] for line in text.splitlines() if line.startswith(start)), "nan"))


@contextlib.contextmanager
def connected(served: Served) -> Iterator[socket.socket]:
    """A socket that takes little before it is read."""
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.settimeout(20)
        made.connect(("127.0.0.1", served.port))
        yield made


def asking(body: Any, *headers: str, path: str = SPEECH, method: str = "POST") -> bytes:
    """A request as it goes over the wire."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = [
        f"{method} {path} HTTP/1.1",
        "host: service",
        "content-type: application/json",
        f"content-length: {len(data)}",
        *headers,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + data


def all_of(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while data := connection.recv(65536):
            received += data
    return received
