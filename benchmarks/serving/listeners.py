"""Listeners: HTTP clients that hear what they are sent at the speed at which it is spoken. Many of them, in one loop.

They are written on sockets, not on an HTTP library, so that hundreds of them take little of the processors on which the
server runs too.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from common import percentile
from serving.texts import text_of

PATH = "/v1/audio/speech"
RECEIVE = 65536
"""Bytes of the socket's buffer: a listener that has enough does not let the system go on reading for it."""
ENOUGH = 2.0
"""Seconds in hand above which a listener stops reading."""
FIRST_AUDIO = 0.25
"""Seconds to the first audio that are asked for, at the 95th percentile."""
LITTLE = 1.0
"""Seconds in hand at which it reads on."""
HEADER = 44
"""Bytes of a WAV file before its samples."""


@dataclass(slots=True)
class Heard:
    """What one request met. Times are those of `time.monotonic`.

    Attributes:
        asked: when the request was sent.
        first: when the first audio came; None while there is none.
        seconds: of audio that came.
        silences: when and for how long there was nothing to hear between the first audio and the last.
        whole: whether the answer came to its end.
        data: the body, if it was to be kept.
    """

    asked: float
    status: int = 0
    first: float | None = None
    seconds: float = 0.0
    silences: list[tuple[float, float]] = field(default_factory=list)
    whole: bool = False
    answered: float = 0.0
    body: int = 0
    data: bytearray | None = None


@dataclass
class Found:
    """What many listeners met, with the moments at which they did."""

    first: list[tuple[float, float]] = field(default_factory=list)
    silences: list[tuple[float, float]] = field(default_factory=list)
    refused: list[tuple[float, float]] = field(default_factory=list)
    cut: list[float] = field(default_factory=list)
    odd: list[tuple[float, int]] = field(default_factory=list)
    audio: float = 0.0
    finished: int = 0


class Line(asyncio.Protocol):
    """One connection. One request at a time; the next one on the same connection."""

    def __init__(self, found: Found | None = None) -> None:
        """`found`: where what it meets is told as it is met."""
        self._found = found
        self.transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] | None = None
        self._heard = Heard(0.0)
        self._rest = b""
        self._state = "head"
        self._left = 0  # bytes of the chunk, or of the body
        self._chunked = False
        self._rate = 0  # bytes a second
        self._header = b""
        self._began = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.eager = False
        """Whether it reads as fast as it can, and not as fast as it hears."""

    @classmethod
    async def open(cls, port: int, found: Found | None = None) -> Line:
        """Connect; errors as a socket's."""
        loop = asyncio.get_running_loop()
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setblocking(False)
        await loop.sock_connect(made, ("127.0.0.1", port))
        _, protocol = await loop.create_connection(lambda: cls(found), sock=made)
        return protocol

    async def ask(self, voice: str, text: str, *, keep: bool = False, format: str = "wav", **more: object) -> Heard:
        """Ask, and hear what comes; returns when the last of it has come.

        Raises:
            ConnectionError: the connection ended before the answer did.
        """
        body = json.dumps({"input": text, "voice": voice, "response_format": format, **more}).encode()
        head = (
            f"POST {PATH} HTTP/1.1\r\nhost: s\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        heard = self._heard = Heard(time.monotonic(), data=bytearray() if keep else None)
        self._state, self._rate, self._header = "head", 48_000 if format == "pcm" else 0, b""
        self._done = self._loop.create_future()
        if self.transport is None or self.transport.is_closing():
            raise ConnectionResetError("closed")
        self.transport.write(head.encode() + body)
        await self._done
        return heard

    @property
    def now(self) -> Heard:
        """Of the request that runs."""
        return self._heard

    @property
    def in_hand(self) -> float:
        """Seconds that came and are not yet heard."""
        return self._began + self._heard.seconds - time.monotonic()

    def close(self) -> None:
        """Leave, whatever runs."""
        if self.transport is not None:
            self.transport.abort()

    # --- the connection ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none of asyncio's

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side closed, or we did."""
        if self._timer is not None:
            self._timer.cancel()
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionResetError("the answer was cut"))

    def data_received(self, data: bytes) -> None:
        """Take the answer apart."""
        now = time.monotonic()
        data = self._rest + data if self._rest else data
        at = 0
        while True:
            if self._state == "head":
                end = data.find(b"\r\n\r\n", at)
                if end < 0:
                    break
                self._head(data[at:end])
                at = end + 4
            elif self._state == "size":
                end = data.find(b"\r\n", at)
                if end < 0:
                    break
                self._left = int(data[at:end], 16)
                at = end + 2
                self._state = "body" if self._left else "end"
            elif self._state == "body":
                part = data[at : at + self._left]
                if not part:
                    break
                at += len(part)
                self._left -= len(part)
                self._take(part, now)
                if not self._left:
                    if not self._chunked:
                        self._finish(now)
                        break
                    self._state = "gap"
            else:  # the line break behind a chunk, or behind all of them
                if len(data) - at < 2:
                    break
                at += 2
                if self._state == "end":
                    self._finish(now)
                    break
                self._state = "size"
        self._rest = data[at:]
        if not self.eager and self._heard.seconds and self._timer is None and self._state != "done":
            spare = self._began + self._heard.seconds - now
            if spare > ENOUGH and self.transport is not None:
                self.transport.pause_reading()
                self._timer = self._loop.call_later(spare - LITTLE, self._read_on)

    def _read_on(self) -> None:
        self._timer = None
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def _head(self, head: bytes) -> None:
        heard = self._heard
        heard.status = int(head[9:12])
        heard.answered = time.monotonic()
        low = head.lower()
        self._chunked = b"transfer-encoding: chunked" in low
        if self._chunked:
            self._state = "size"
        else:
            self._state = "body"
            self._left = int(low.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)

    def _take(self, part: bytes, now: float) -> None:
        heard = self._heard
        heard.body += len(part)
        if heard.data is not None:
            heard.data += part
        if heard.status != 200:
            return
        if not self._rate:
            self._header += part
            if len(self._header) < HEADER:
                return
            self._rate = 2 * int.from_bytes(self._header[24:28], "little")
            part = self._header[HEADER:]
        if not part:
            return
        if heard.first is None:
            heard.first = self._began = now
            if self._found is not None:
                self._found.first.append((now, now - heard.asked))
        elif (late := now - (self._began + heard.seconds)) > 0:
            heard.silences.append((now, late))
            self._began += late
            if self._found is not None:
                self._found.silences.append((now, late))
        seconds = len(part) / self._rate
        heard.seconds += seconds
        if self._found is not None:
            self._found.audio += seconds

    def _finish(self, now: float) -> None:
        self._state = "done"
        self._heard.whole = True
        if self._done is not None and not self._done.done():
            self._done.set_result(None)


class Crowd:
    """Listeners that come, hear text after text, and go."""

    def __init__(
        self, port: int, voices: Sequence[str], seed: int = 1, format: str = "wav", again: float = 1.0
    ) -> None:
        """Nobody is there yet.

        Args:
            voices: who is asked, in turn.
            seed: of the texts.
            again: seconds after which one who was refused asks again.
        """
        self.port, self.voices, self.format, self.again = port, tuple(voices), format, again
        self.found = Found()
        self._seed = seed
        self._count = 0
        self._tasks: dict[asyncio.Task[None], list[Line]] = {}

    def __len__(self) -> int:
        return len(self._tasks)

    async def grow(self, number: int, over: float) -> None:
        """Let `number` more come, evenly spread over so many seconds."""
        began = time.monotonic()
        for i in range(number):
            await asyncio.sleep(max(0.0, began + over * i / number - time.monotonic()))
            lines: list[Line] = []
            self._count += 1
            self._tasks[asyncio.create_task(self._listen(self._count, lines))] = lines
        await asyncio.sleep(max(0.0, began + over - time.monotonic()))

    async def leave(self) -> None:
        """Let all go at once."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    def waiting(self) -> list[float]:
        """For how long those wait that have asked and have heard nothing yet."""
        now = time.monotonic()
        return [
            now - ls[0].now.asked
            for ls in self._tasks.values()
            if ls and ls[0].now.asked and not ls[0].now.status and ls[0].now.first is None
        ]

    async def _listen(self, number: int, lines: list[Line]) -> None:
        chance = random.Random(f"{self._seed} {number}")
        voice = self.voices[number % len(self.voices)]
        found = self.found
        try:
            while True:
                if not lines:
                    lines.append(await Line.open(self.port, found))
                line = lines[0]
                try:
                    heard = await line.ask(voice, text_of(voice, chance), format=self.format)
                except ConnectionError:
                    found.cut.append(time.monotonic())
                    lines.clear()
                    continue
                if heard.status == 200:
                    found.finished += 1
                    await asyncio.sleep(max(0.0, line.in_hand))
                    continue
                if heard.status == 503:
                    found.refused.append((heard.asked, heard.answered - heard.asked))
                else:
                    found.odd.append((time.monotonic(), heard.status))
                await asyncio.sleep(self.again * chance.uniform(1.0, 1.5))  # as clients do, so as not to come together
        finally:
            for line in lines:
                line.close()


@dataclass
class Window:
    """What was met between two moments.

    Attributes:
        first: seconds to the first audio, of those that came, and of those that are still waited for.
        silences: seconds of each.
        refused: seconds until a refusal was told.
    """

    first: list[float]
    silences: list[float]
    refused: list[float]
    cut: int

    @property
    def p95(self) -> float:
        """Of the first audio."""
        return percentile(self.first, 0.95) if self.first else math.inf

    @property
    def kept(self) -> bool:
        """Whether nobody ran dry or was cut, and first audio was in time."""
        return not self.silences and not self.cut and self.p95 < FIRST_AUDIO


def between(crowd: Crowd, start: float, end: float) -> Window:
    """Between two moments, the second of which is now."""
    found = crowd.found

    def within(met: list[tuple[float, float]]) -> list[float]:
        return [value for at, value in met if start <= at < end]

    return Window(
        within(found.first) + [s for s in crowd.waiting() if s > FIRST_AUDIO],
        within(found.silences),
        within(found.refused),
        sum(start <= at < end for at in found.cut),
    )
