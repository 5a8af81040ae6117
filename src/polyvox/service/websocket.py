"""`/v1/stream`: text in pieces in, audio out as soon as a clause can be spoken. The protocol is docs/websocket.md."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from polyvox.errors import PolyvoxError
from polyvox.service.dictation import Dictation
from polyvox.service.engine import Engine, Request
from polyvox.service.errors import BadRequest, Forbidden, ServiceError, Unauthorised, as_service_error
from polyvox.service.handshake import welcome
from polyvox.service.keys import Client, Keys
from polyvox.service.logs import event, request_id
from polyvox.service.messages import Auth, Cancel, End, Flush, Message, Start, Text, parse
from polyvox.service.problems import problem
from polyvox.service.responses import Encoding
from polyvox.service.settings import Settings
from polyvox.service.utterance import Utterance
from polyvox.speech import Chunk

log = logging.getLogger("polyvox.service.stream")

PATH = "/v1/stream"

AUTH_WITHIN = 10.0
"""Seconds within which the key must come where it does not come with the handshake."""

UTTERANCES = 16
"""Utterances of one connection that may be begun and not done."""

RUBBISH = 100
"""Wrong messages one after another, after which the connection is closed."""

SLICE = 0.25
"""Seconds of audio in one frame at most: a player can begin, and a cancel meets, between any two."""

CLOSE_NORMAL, CLOSE_POLICY, CLOSE_FAILED = 1000, 1008, 1011


def router(engine: Engine, settings: Settings, keys: Keys) -> APIRouter:
    """The endpoint."""
    executors: list[ThreadPoolExecutor] = []

    @asynccontextmanager
    async def threads(_: object) -> AsyncIterator[None]:
        with ThreadPoolExecutor(max(2, os.cpu_count() or 1), "polyvox-encode") as executor:
            executors.append(executor)
            try:
                yield
            finally:
                executors.remove(executor)

    routes = APIRouter(lifespan=threads)

    @routes.websocket(PATH)
    async def stream(websocket: WebSocket) -> None:
        try:
            client = welcome(websocket, settings, keys)
        except ServiceError as error:
            await websocket.send_denial_response(problem(error).answer())
            return
        await websocket.accept()
        await Connection(websocket, engine, keys, client, executors[0] if executors else None).run()

    return routes


class _Gone(Exception):
    """The connection is over."""


class Connection:
    """One client. One task reads what it says, another one speaks; an utterance's mistake ends that utterance alone."""

    def __init__(
        self,
        websocket: WebSocket,
        engine: Engine,
        keys: Keys,
        client: Client | None,
        executor: ThreadPoolExecutor | None,
    ) -> None:
        """Of an accepted WebSocket; `client` is None if its key is still to come. `executor`: threads that encode."""
        self._websocket, self._engine, self._keys = websocket, engine, keys
        self._settings = engine.settings
        self._client, self._executor = client, executor
        self._open: Utterance | None = None  # takes text
        self._live: dict[str, Utterance] = {}  # begun and not done, in order
        self._queue: asyncio.Queue[Utterance] = asyncio.Queue()
        self._count = self._wrong = 0
        self._active = time.monotonic()
        self._own = request_id.get()

    async def run(self) -> None:
        """Serve until the client leaves, or must."""
        speaking = asyncio.create_task(self._speak_all())
        reading = asyncio.create_task(self._read_all())
        try:
            # Whichever ends first ends the other.
            await asyncio.wait({speaking, reading}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (speaking, reading):
                task.cancel()
            results = await asyncio.gather(speaking, reading, return_exceptions=True)
        for error in results:
            if isinstance(error, Exception) and not isinstance(error, _Gone):
                log.error("a defect", exc_info=error)
                await self._close(CLOSE_FAILED, "the service failed")

    # --- reading -------------------------------------------------------------------------------------------------

    async def _read_all(self) -> None:
        limit = self._settings.limits.idle_connection
        await self._ready()
        while True:
            idle = self._active + limit - time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, idle)):
                    received = await self._receive()
            except TimeoutError:
                if self._active + limit > time.monotonic():
                    continue
                await self._fail(ServiceError(f"nothing happened for {limit:g} s", status=408, code="idle"))
                await self._close(CLOSE_NORMAL, "idle")
                return
            self._active = time.monotonic()
            try:
                if received is None:
                    raise BadRequest("a message is a text frame, and this one is binary", code="invalid_message")
                self._take(parse(received))
                self._wrong = 0
            except PolyvoxError as error:
                self._wrong += 1
                await self._fail(error, self._about(error))
                if self._wrong >= RUBBISH:
                    await self._close(CLOSE_POLICY, "too many wrong messages")
                    return

    async def _ready(self) -> None:
        """Learn who it is, and say that it can begin."""
        if self._client is None:
            try:
                async with asyncio.timeout(AUTH_WITHIN):
                    received = await self._receive()
                message = None if received is None else parse(received)
                if not isinstance(message, Auth):
                    raise Unauthorised(
                        "a key is needed: send the header 'authorization: Bearer <key>' or first of all"
                        ' {"type": "auth", "key": "<key>"}'
                    )
                self._client = self._keys.who(message.key)
            except TimeoutError:
                await self._refuse(Unauthorised(f"no key came within {AUTH_WITHIN:g} s"))
            except ServiceError as error:
                await self._refuse(error)
        limits = self._settings.limits
        await self._send({"type": "ready", "protocol": 1, "characters": limits.text, "utterances": UTTERANCES})

    async def _refuse(self, error: ServiceError) -> None:
        await self._fail(error)
        await self._close(CLOSE_POLICY, error.code)
        raise _Gone

    def _about(self, error: PolyvoxError) -> str | None:
        """The utterance that an error is about, if it is the text's."""
        if self._open is not None and as_service_error(error).code == "text_too_long":
            return self._open.id
        return None

    def _take(self, message: Message) -> None:
        match message:
            case Start():
                self._start(message)
            case Cancel():
                self._cancel(message)
            case Auth():
                assert self._client is not None
                if self._keys.required and self._keys.who(message.key) != self._client:
                    raise Forbidden("a connection is one client's: open another one for another key")
            case Text():
                self._taking("text").dictation.feed(message.text)
            case Flush():
                self._taking("flush").dictation.flush()
            case End():
                self._taking("end").dictation.end()
                self._open = None

    def _taking(self, what: str) -> Utterance:
        if self._open is None:
            raise BadRequest(
                f"'{what}' belongs to an utterance, and none is open; send 'start' first", code="not_started"
            )
        return self._open

    def _start(self, message: Start) -> None:
        if self._open is not None and not self._open.dictation.ended:
            raise BadRequest(
                f"utterance '{self._open.id}' still takes text; send 'end' or 'cancel' before another 'start'",
                code="already_started",
            )
        if len(self._live) >= UTTERANCES:
            raise BadRequest(f"{UTTERANCES} utterances are waiting, and no more may", code="too_many_utterances")
        if message.id in self._live:
            raise BadRequest(f"utterance '{message.id}' is not done yet", code="already_started", param="id")
        own = message.id
        while own is None or own in self._live:
            self._count += 1
            own = f"u{self._count}"
        assert self._client is not None
        request = Request(
            "",
            voice=message.voice,
            speaker=message.speaker,
            language=message.language,
            controls=message.all_controls(),
            realtime=message.realtime,
            client=self._client.name,
            id=f"{self._own}:{own}",
        )
        utterance = Utterance(own, message, Dictation(self._engine, request))
        self._open = self._live[own] = utterance
        self._queue.put_nowait(utterance)

    def _cancel(self, message: Cancel) -> None:
        if message.id is not None and message.id not in self._live:
            return  # it was done a moment ago
        for utterance in list(self._live.values()) if message.id is None else [self._live[message.id]]:
            utterance.dictation.cancel()

    # --- speaking ------------------------------------------------------------------------------------------------

    async def _speak_all(self) -> None:
        while True:
            utterance = await self._queue.get()
            error: PolyvoxError | None = None
            try:
                await self._speak(utterance)
            except PolyvoxError as caught:
                error = caught
            except BaseException:
                utterance.report("left")
                raise
            outcome = "failed" if error else "cancelled" if utterance.dictation.cancelled else "done"
            del self._live[utterance.id]
            utterance.report(outcome, error)
            if error is not None:
                await self._fail(error, utterance.id)
            else:
                await self._send(utterance.result(outcome))

    async def _speak(self, utterance: Utterance) -> None:
        dictation, start = utterance.dictation, utterance.start
        encoding = Encoding(self._executor)
        begun = False
        try:
            async with aclosing(dictation.chunks()) as chunks:
                async for chunk in chunks:
                    if not begun:
                        begun = True
                        await encoding.open(start.format, dictation.sample_rate, start.sample_rate)
                        await self._send(utterance.started(encoding.media_type))
                    await self._send_chunk(utterance, encoding, chunk)
                    if dictation.cancelled:
                        return
            if not dictation.cancelled and begun:
                await self._send_audio(utterance, await encoding.finish())
        finally:
            encoding.close()

    async def _send_chunk(self, utterance: Utterance, encoding: Encoding, chunk: Chunk) -> None:
        dictation = utterance.dictation
        for warning in chunk.warnings:
            await self._send({"type": "warning", "id": utterance.id, "message": warning})
        if told := utterance.timings(chunk):
            await self._send(told)
        size = max(1, round(SLICE * chunk.sample_rate))
        for first in range(0, len(chunk.samples), size):
            if dictation.cancelled:
                return
            slice = chunk.samples[first : first + size]
            utterance.samples += len(slice)
            await self._send_audio(utterance, await encoding.encode(slice))

    async def _send_audio(self, utterance: Utterance, data: bytes) -> None:
        if data and not utterance.dictation.cancelled:
            await self._send(data)
            if not utterance.bytes:
                await self._send(utterance.first_audio())
            utterance.bytes += len(data)

    # --- the wire ------------------------------------------------------------------------------------------------

    async def _fail(self, error: PolyvoxError, utterance: str | None = None) -> None:
        known = as_service_error(error)
        said: dict[str, Any] = {"type": "error", "id": utterance, "code": known.code, "message": str(known)}
        if known.param is not None:
            said["param"] = known.param
        if known.retry_after is not None:
            said["retry_after"] = known.retry_after
        await self._send(said)

    async def _send(self, data: bytes | dict[str, Any]) -> None:
        """Send a frame, when the socket has room."""
        try:
            async with asyncio.timeout(self._settings.streams.stall):
                if isinstance(data, bytes):
                    await self._websocket.send_bytes(data)
                else:
                    await self._websocket.send_json(data)
        except (WebSocketDisconnect, RuntimeError):
            raise _Gone from None
        except TimeoutError:
            event(log, logging.INFO, "the client read nothing for too long")
            raise _Gone from None
        self._active = time.monotonic()

    async def _receive(self) -> str | None:
        """The next text frame; None for a binary one."""
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise _Gone
        text: str | None = message.get("text")
        return text

    async def _close(self, code: int, why: str) -> None:
        with suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(self._settings.streams.stall):
                await self._websocket.close(code, why)
