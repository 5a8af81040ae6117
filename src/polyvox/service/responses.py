"""Speech as an HTTP answer: encoded as it is made, sent as the client reads, stopped when the client leaves."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fastapi import Response
from starlette.types import Receive, Scope, Send

from polyvox.audio import Encoder, encoder
from polyvox.service import tracing
from polyvox.service.logs import event, reason
from polyvox.service.problems import problem

if TYPE_CHECKING:
    from polyvox.service.engine import Engine, Request, Speaking

log = logging.getLogger("polyvox.service.speech")

INLINE = ("wav", "pcm")
"""Formats whose encoding costs less than handing it to a thread."""


class Cut(Exception):
    """The answer cannot be completed: its connection must end in a way that the client sees."""


@dataclass(frozen=True, slots=True)
class Form:
    """How speech is sent.

    Attributes:
        format: one of `polyvox.audio.FORMATS`.
        sample_rate: of the audio in the stream, in Hz; the voice's own if None.
        framing: the bytes as they are, or server-sent events that hold them.
        headers: further headers of the answer.
        stall: seconds for which the client may read nothing.
        texts: whether the log may hold what is said.
    """

    format: str
    sample_rate: int | None = None
    framing: Literal["audio", "sse"] = "audio"
    headers: Mapping[str, str] = field(default_factory=dict)
    stall: float = 60.0
    texts: bool = False


class SpeechResponse(Response):
    """Opens a stream of the engine and sends it.

    An error before the first audio is raised, and nothing has been sent then. One after it ends the connection with
    the body unfinished: a client that reads a chunked body sees that it is cut.
    """

    def __init__(self, engine: Engine, request: Request, form: Form, executor: Callable[[], Executor | None]) -> None:
        """`executor`: the threads that encode."""
        super().__init__()
        self._engine, self._request, self._form = engine, request, form
        self._executor = executor
        self._speaking: Speaking | None = None
        self._sent = 0
        self._samples = 0
        self._asked = time.perf_counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Speak, until the end or until the client has left."""
        work = asyncio.create_task(self._speak(send))
        left = asyncio.create_task(_left(receive))

        def stop(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and not work.done():
                # Here and not in the task: whatever it waits for, computing ends now.
                if self._speaking is not None:
                    self._speaking.cancel()
                work.cancel()

        left.add_done_callback(stop)
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.wait({work})
            raise
        finally:
            left.cancel()
        if work.cancelled():
            self._report("left")
            return
        error = work.exception()
        if error is not None:
            self._report("failed" if isinstance(error, Cut) else "refused", error.__cause__ or error)
            raise error
        self._report("done")

    async def _speak(self, send: Send) -> None:
        form = self._form
        with tracing.span("polyvox.speech", format=form.format, characters=len(self._request.text)) as span:
            async with await self._engine.open(self._request) as speaking:
                self._speaking = speaking
                span.set(voice=speaking.voice, speaker=speaking.speaker, realtime=self._request.realtime)
                encoding = Encoding(self._executor())
                try:
                    await encoding.open(form.format, speaking.sample_rate, form.sample_rate)
                    await speaking.first()
                    span.event("first audio")
                    await self._send_all(send, speaking, encoding)
                finally:
                    encoding.close()
                span.set(seconds=self._samples / speaking.sample_rate)

    async def _send_all(self, send: Send, speaking: Speaking, encoding: Encoding) -> None:
        frame = _Events() if self._form.framing == "sse" else _Bytes(encoding.media_type)
        await send({"type": "http.response.start", "status": 200, "headers": self._head(speaking, frame.media_type)})
        try:
            await self._body(send, b"")
            async for chunk in speaking:
                for warning in chunk.warnings:
                    event(log, logging.WARNING, "the voice warns", voice=speaking.voice, warning=warning)
                self._samples += len(chunk.samples)
                await self._body(send, frame.audio(await encoding.encode(chunk.samples)))
                # Nothing is taken from the engine before the socket has room again: an empty part waits for that. And
                # where much is ready, the loop has its turn between two parts.
                await self._body(send, b"")
                await asyncio.sleep(0)
            rest = frame.audio(await encoding.finish())
            seconds = self._samples / speaking.sample_rate
            await self._body(send, rest + frame.end(len(self._request.text), seconds), more=False)
        except Exception as error:
            if not isinstance(error, _Stalled):
                # An event can still say why; a stream of bytes can only end.
                await self._body(send, frame.error(error))
            raise Cut from error

    async def _body(self, send: Send, data: bytes, more: bool = True) -> None:
        try:
            async with asyncio.timeout(self._form.stall):
                await send({"type": "http.response.body", "body": data, "more_body": more})
        except TimeoutError:
            raise _Stalled(f"the client read nothing for {self._form.stall:g} s") from None
        self._sent += len(data)

    def _head(self, speaking: Speaking, media_type: str) -> list[tuple[bytes, bytes]]:
        headers = {
            "content-type": media_type,
            "cache-control": "no-store",
            "x-accel-buffering": "no",
            "x-polyvox-voice": f"{speaking.voice}@{speaking.version}",
            "server-timing": f"first-audio;dur={1e3 * (time.perf_counter() - self._asked):.1f}",
            **self._form.headers,
        }
        if speaking.speaker is not None:
            headers["x-polyvox-speaker"] = speaking.speaker
        return [(name.encode("ascii"), value.encode("latin-1", "replace")) for name, value in headers.items()]

    def _report(self, outcome: str, error: BaseException | None = None) -> None:
        speaking = self._speaking
        if speaking is None:  # refused: the answer's own line says so
            return
        timing = speaking.timing
        first = timing.first_audio
        event(
            log,
            logging.WARNING if outcome == "failed" else logging.INFO,
            "speech",
            outcome=outcome,
            voice=f"{speaking.voice}@{speaking.version}",
            speaker=speaking.speaker,
            realtime=self._request.realtime,
            format=self._form.format,
            characters=len(self._request.text),
            text=self._request.text if self._form.texts else None,
            audio_s=round(self._samples / speaking.sample_rate, 3),
            first_audio_ms=None if first is None else round(1e3 * first, 1),
            underruns=timing.underruns,
            bytes=self._sent,
            error=None if error is None else reason(error),
        )


class _Stalled(Exception):
    """The client does not read."""


async def _left(receive: Receive) -> None:
    """Return when the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Encoding:
    """An encoder whose work is done in a thread, if it is worth one. One call at a time."""

    def __init__(self, executor: Executor | None = None) -> None:
        self._executor = executor
        self._encoder: Encoder | None = None
        self._running: asyncio.Future[Any] | None = None
        self._inline = False
        self.media_type = ""

    async def open(self, format: str, sample_rate: int, output_rate: int | None) -> None:
        """Begin; errors as `polyvox.audio.encoder`."""
        self._inline = format in INLINE and output_rate in (None, sample_rate)

        def make() -> None:
            self._encoder = encoder(format, sample_rate, output_rate=output_rate)

        await self._run(make)
        assert self._encoder is not None
        self.media_type = self._encoder.media_type
        self._inline = format in INLINE

    async def encode(self, samples: Any) -> bytes:
        """As `Encoder.encode`."""
        assert self._encoder is not None
        data: bytes = await self._run(self._encoder.encode, samples)
        return data

    async def finish(self) -> bytes:
        """As `Encoder.finish`."""
        assert self._encoder is not None
        data: bytes = await self._run(self._encoder.finish)
        return data

    def close(self) -> None:
        """Free what the encoder holds, once no thread is in it."""
        running, self._running = self._running, None
        if running is not None and not running.done():
            running.add_done_callback(lambda _: self.close())
        elif self._encoder is not None:
            self._encoder.close()

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        if self._inline:
            return function(*arguments)
        self._running = asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
        # The thread goes on when the task is cancelled: the encoder may not be freed under it.
        return await asyncio.shield(self._running)


class _Bytes:
    """The audio as it is."""

    def __init__(self, media_type: str) -> None:
        self.media_type = media_type

    def audio(self, data: bytes) -> bytes:
        return data

    def end(self, characters: int, seconds: float) -> bytes:
        return b""

    def error(self, error: Exception) -> bytes:
        return b""


class _Events:
    """Server-sent events: the audio in pieces, then what it took, or what went wrong."""

    media_type = "text/event-stream; charset=utf-8"

    def audio(self, data: bytes) -> bytes:
        if not data:
            return b""
        return _event({"type": "speech.audio.delta", "audio": base64.b64encode(data).decode("ascii")})

    def end(self, characters: int, seconds: float) -> bytes:
        made = round(seconds * TOKENS_PER_SECOND)
        usage = {"input_tokens": characters, "output_tokens": made, "total_tokens": characters + made}
        return _event({"type": "speech.audio.done", "usage": usage})

    def error(self, error: Exception) -> bytes:
        return _event({"type": "error", **problem(error).body()})


TOKENS_PER_SECOND = 20
"""Polyvox counts no tokens; `usage` has characters for input, and pieces of 50 ms for output."""


def _event(data: Mapping[str, object]) -> bytes:
    return b"data: " + json.dumps(data, separators=(",", ":")).encode() + b"\n\n"
