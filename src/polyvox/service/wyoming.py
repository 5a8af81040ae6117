"""The Wyoming protocol over TCP, which Home Assistant and its satellites speak.

Events in: `describe`, `ping`, `synthesize`, and for a text that is still being written `synthesize-start`,
`synthesize-chunk` and `synthesize-stop`. Others are ignored, as the protocol asks. Out: `info`, `pong`, `audio-start`,
`audio-chunk`, `audio-stop`, `synthesize-stopped`, `error`.

The protocol knows no keys: whoever reaches the port may speak. See `Settings.wyoming_host` for where it listens.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, async_write_event
from wyoming.info import Attribution, Describe, Info, TtsProgram, TtsVoice, TtsVoiceSpeaker
from wyoming.ping import Ping, Pong
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped

from polyvox import __version__
from polyvox.audio import pcm16
from polyvox.errors import PolyvoxError
from polyvox.service.connections import hold_little
from polyvox.service.dictation import Dictation
from polyvox.service.engine import Engine, Request, VoiceInfo
from polyvox.service.errors import BadRequest, Busy, Gone, TooLarge, as_service_error
from polyvox.service.keys import Keys
from polyvox.service.logs import event as logged
from polyvox.service.logs import reason, request_id
from polyvox.service.settings import Settings

log = logging.getLogger("polyvox.service.wyoming")

WAITING = 16
"""Texts of one connection that may be asked for and not yet spoken."""

SLICE = 0.1
"""Seconds of audio in one event at most."""

LINGER = 1.0
"""Seconds for which a client that was told to go may still talk."""


async def serve(engine: Engine, settings: Settings, keys: Keys) -> None:
    """Serve until cancelled; errors as `serving`."""
    async with serving(engine, settings, keys):
        await asyncio.Event().wait()


@asynccontextmanager
async def serving(engine: Engine, settings: Settings, keys: Keys) -> AsyncIterator[str]:
    """Serve while the body runs; gives where: `tcp://127.0.0.1:10200`.

    `keys` are not asked for, because the protocol has no place for one.

    Raises:
        PolyvoxError: the address is unknown or taken.
    """
    host, port = settings.wyoming_host, settings.wyoming.port
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        hold_little(writer.transport)
        try:
            await Connection(engine, reader, writer, full=len(tasks) > settings.limits.connections).run()
        except asyncio.CancelledError:
            pass  # the service ends; asyncio's server would log it as an error
        except Exception:
            log.exception("a defect")
        finally:
            writer.transport.abort()
            tasks.discard(task)

    try:
        server = await asyncio.start_server(connected, host, port, limit=settings.limits.request_bytes)
    except OSError as error:
        why = error.strerror or str(error)
        raise PolyvoxError(f"cannot listen for Wyoming at {host}:{port}: {why[:1].lower()}{why[1:]}") from None
    try:
        bound = server.sockets[0].getsockname()
        yield f"tcp://{f'[{bound[0]}]' if ':' in bound[0] else bound[0]}:{bound[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


def info(voices: list[VoiceInfo]) -> Info:
    """What can be asked for.

    A voice with several speakers is listed once with all of them, and once for each as `voice/speaker`: Home Assistant
    offers voices by language and knows no speakers. The languages are those that the listed name speaks by itself.
    """
    attribution = Attribution(name="Polyvox", url="")
    listed = []
    for voice in voices:
        if not voice.usual or (voice.refused is not None and not voice.loaded):
            continue
        names = [s.name for s in voice.speakers if s.name is not None]
        common: dict[str, Any] = {"attribution": attribution, "installed": True, "version": voice.version}
        first = list(voice.speakers[0].languages if voice.speakers else voice.languages)
        speakers = [TtsVoiceSpeaker(name=name) for name in names] or None
        listed.append(TtsVoice(name=voice.name, description=voice.name, languages=first, speakers=speakers, **common))
        for speaker in voice.speakers if len(names) > 1 else ():
            listed.append(
                TtsVoice(
                    name=f"{voice.name}/{speaker.name}",
                    description=f"{voice.name}: {speaker.name}",
                    languages=list(speaker.languages),
                    **common,
                )
            )
    program = TtsProgram(
        name="polyvox",
        description="Polyvox",
        attribution=attribution,
        installed=True,
        version=__version__,
        voices=listed,
        supports_synthesize_streaming=True,
    )
    return Info(tts=[program])


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    dictation: Dictation
    streamed: bool


class Connection:
    """One client. One task reads, another one speaks what was asked for, in order."""

    def __init__(
        self, engine: Engine, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, full: bool = False
    ) -> None:
        """`full`: there are too many connections, and this one is told so."""
        self._engine, self._settings = engine, engine.settings
        self._reader, self._writer = reader, writer
        self._full = full
        peer = writer.get_extra_info("peername")
        self._client = f"{peer[0]}" if isinstance(peer, tuple) else "wyoming"
        self._open: Dictation | None = None  # takes text
        self._live: set[_Job] = set()
        self._queue: asyncio.Queue[_Job] = asyncio.Queue()
        self._active = time.monotonic()
        self._own = uuid.uuid4().hex
        self._count = 0

    async def run(self) -> None:
        """Serve until the client leaves, or must."""
        request_id.set(self._own)
        speaking = asyncio.create_task(self._speak_all())
        reading = asyncio.create_task(self._read_all())
        try:
            await asyncio.wait({speaking, reading}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (speaking, reading):
                task.cancel()
            results = await asyncio.gather(speaking, reading, return_exceptions=True)
        if isinstance(results[1], PolyvoxError):  # what was spoken, or failed to be, is in the log by now
            code = as_service_error(results[1]).code
            logged(log, logging.WARNING, "refused", client=self._client, code=code, error=reason(results[1]))
        for error in results:
            if isinstance(error, PolyvoxError):
                await self._fail(error)
            elif isinstance(error, Exception) and not isinstance(error, OSError | TimeoutError):
                raise error

    async def _fail(self, error: PolyvoxError) -> None:
        """Say why, and end: clients wait for audio, and only the connection's end tells them that none comes."""
        known = as_service_error(error)
        with suppress(OSError, TimeoutError):
            await self._write(Error(text=str(known), code=known.code).event())
            self._writer.write_eof()
            # What the client still sends is read: unread, it would make the system drop our sentence.
            async with asyncio.timeout(LINGER):
                while await self._reader.read(1 << 16):
                    pass

    # --- reading -------------------------------------------------------------------------------------------------

    async def _read_all(self) -> None:
        if self._full:
            raise Busy("there are too many connections", retry_after=1)
        limit = self._settings.limits.idle_connection
        while True:
            try:
                async with asyncio.timeout(max(0.0, self._active + limit - time.monotonic())):
                    event = await read_event(self._reader, self._settings.limits.request_bytes)
            except TimeoutError:
                if self._active + limit > time.monotonic():
                    continue  # it is spoken to
                raise Gone(f"nothing happened for {limit:g} s") from None
            if event is None:
                return
            self._active = time.monotonic()
            await self._take(event)

    async def _take(self, event: Event) -> None:
        kind = event.type
        if Describe.is_type(kind):
            await self._write(info(self._engine.voices()).event())
        elif Ping.is_type(kind):
            text = event.data.get("text")
            await self._write(Pong(text=text if isinstance(text, str) else None).event())
        elif SynthesizeStart.is_type(kind):
            if self._open is not None:
                raise BadRequest("'synthesize-start' came before the 'synthesize-stop' of the one before")
            self._open = self._begin(event.data, "", streamed=True)
        elif SynthesizeChunk.is_type(kind):
            if self._open is not None:
                self._open.feed(_text(event.data))
        elif SynthesizeStop.is_type(kind):
            if self._open is not None:
                self._open.end()
                self._open = None
        elif Synthesize.is_type(kind) and self._open is None:
            # Within a streamed text the whole of it comes, too, for servers that do not know streaming.
            self._begin(event.data, _text(event.data), streamed=False).end()

    def _begin(self, data: dict[str, Any], text: str, *, streamed: bool) -> Dictation:
        if len(self._live) >= WAITING:
            raise BadRequest(f"{WAITING} texts are waiting, and no more may")
        if data.get("text_format") not in (None, "text"):
            raise BadRequest("'text_format': expected 'text'; markup is not known here")
        voice = data.get("voice")
        if not isinstance(voice, dict | None):
            raise BadRequest("'voice': expected an object with 'name', 'speaker' or 'language'")
        self._count += 1
        request = Request(
            text,
            voice=_name(voice, "name"),
            speaker=_name(voice, "speaker"),
            language=_name(voice, "language"),
            client=self._client,
            id=f"{self._own}:{self._count}",
        )
        job = _Job(Dictation(self._engine, request), streamed)
        self._live.add(job)
        self._queue.put_nowait(job)
        return job.dictation

    # --- speaking ------------------------------------------------------------------------------------------------

    async def _speak_all(self) -> None:
        while True:
            job = await self._queue.get()
            dictation = job.dictation
            outcome: BaseException | None = None
            try:
                await self._speak(dictation)
                if job.streamed:
                    await self._write(SynthesizeStopped().event())
            except BaseException as error:
                outcome = error
                raise
            finally:
                dictation.cancel()
                self._live.discard(job)
                self._report(dictation, outcome)

    async def _speak(self, dictation: Dictation) -> None:
        begun = False
        form = {"width": 2, "channels": 1}
        async with aclosing(dictation.chunks()) as chunks:
            async for chunk in chunks:
                if not begun:
                    begun = True
                    await self._write(AudioStart(rate=chunk.sample_rate, timestamp=0, **form).event())
                size = max(1, round(SLICE * chunk.sample_rate))
                for first in range(0, len(chunk.samples), size):
                    data = pcm16(chunk.samples[first : first + size])
                    at = round(1e3 * (chunk.position + first) / chunk.sample_rate)
                    await self._write(AudioChunk(rate=chunk.sample_rate, audio=data, timestamp=at, **form).event())
        if not begun:  # nothing to speak: no audio, but an end of it
            await self._write(AudioStart(rate=dictation.sample_rate, timestamp=0, **form).event())
        await self._write(AudioStop(timestamp=round(1e3 * dictation.totals.audio)).event())

    def _report(self, dictation: Dictation, error: BaseException | None) -> None:
        totals = dictation.totals
        outcome = "done" if error is None else "failed" if isinstance(error, PolyvoxError) else "left"
        logged(
            log,
            logging.WARNING if outcome == "failed" else logging.INFO,
            "speech",
            outcome=outcome,
            voice=f"{dictation.voice}@{dictation.version}",
            speaker=dictation.speaker,
            characters=totals.characters,
            audio_s=round(totals.audio, 3),
            first_audio_ms=None if totals.first_audio is None else round(1e3 * totals.first_audio, 1),
            underruns=totals.underruns,
            error=reason(error) if isinstance(error, PolyvoxError) else None,
        )

    async def _write(self, event: Event) -> None:
        """Send an event, and wait until the socket has room; errors as a socket's, and TimeoutError."""
        async with asyncio.timeout(self._settings.streams.stall):
            await async_write_event(event, self._writer)
        self._active = time.monotonic()


async def read_event(reader: asyncio.StreamReader, limit: int) -> Event | None:
    """The next event; None at the end. The package's own reader would take in as much as a stranger announces.

    Raises:
        BadRequest: what comes is no event.
        TooLarge: a part of it has more than `limit` bytes.
    """
    try:
        line = await reader.readuntil(b"\n")
        header = _json(line)
        kind, data = header.get("type"), header.get("data")
        if not isinstance(kind, str) or not isinstance(data, dict | None):
            raise BadRequest("an event has a 'type' that is a text, and 'data' that are an object")
        more = await _part(reader, header, "data_length", limit)
        payload = await _part(reader, header, "payload_length", limit)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError:
        raise TooLarge(f"an event has more than {limit} bytes on its first line") from None
    return Event(type=kind, data={**(data or {}), **(_json(more) if more else {})}, payload=payload or None)


async def _part(reader: asyncio.StreamReader, header: dict[str, Any], name: str, limit: int) -> bytes:
    length = header.get(name) or 0
    if not isinstance(length, int) or length < 0:
        raise BadRequest(f"'{name}' of an event: expected a number of bytes")
    if length > limit:
        raise TooLarge(f"'{name}' of an event is {length}; this service takes {limit} bytes")
    return await reader.readexactly(length) if length else b""


def _json(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadRequest("an event begins with a line that is a JSON object, and this is none")
    return found


def _text(data: dict[str, Any]) -> str:
    text = data.get("text")
    if not isinstance(text, str):
        raise BadRequest("'text': expected a text")
    return text


def _name(voice: dict[str, Any] | None, field: str) -> str | None:
    name = (voice or {}).get(field)
    if name is not None and not isinstance(name, str):
        raise BadRequest(f"'voice': '{field}': expected a text")
    return name or None
