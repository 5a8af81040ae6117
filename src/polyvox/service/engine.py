"""Engine: what every protocol talks to. One text in, a stream of chunks out, on time or refused at once.

async with await engine.open(Request("Good morning.", voice="kathleen")) as speaking:
    await speaking.first()              # what goes wrong shows here, before a protocol answers 200
    async for chunk in speaking:
        await send(chunk.samples)       # taken only when the socket has drained
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from polyvox.addons.joining import check_controls, joined_controls
from polyvox.errors import PolyvoxError, TextError, VoiceError
from polyvox.networks import Device, Usage
from polyvox.networks import target as known_target
from polyvox.pacing import Listener
from polyvox.service.admission import Admission
from polyvox.service.catalogue import Entry
from polyvox.service.errors import BadRequest, Busy, Gone, Limited, ServiceError, Stopping, TooLong
from polyvox.service.loading import Loader
from polyvox.service.meter import Meter
from polyvox.service.metrics import Metrics
from polyvox.service.scheduler import Scheduler
from polyvox.service.settings import Settings
from polyvox.service.shelf import Held, Pick, Shelf, VoiceInfo
from polyvox.service.speaking import Request, Speaking
from polyvox.service.stream import OVER, QUEUED, Stream, StreamTiming
from polyvox.speech import Chunk
from polyvox.voice import Voice

__all__ = ["Engine", "Request", "Speaking", "StreamTiming", "VoiceInfo"]

log = logging.getLogger("polyvox.service")

CHARACTERS = 14.0
"""Characters that are spoken in a second, about: for guesses only."""
HOUSEKEEPING = 5.0
"""Seconds between looks after what nobody asks about."""


class Place:
    """Room for one speech whose text comes in pieces: its streams follow one another, and only the first is judged.

    While it is open, the service does not end within its grace, its further streams are not refused because others came
    meanwhile, and who spoke first speaks on: the voice stays in memory, though its files may change or go.
    """

    def __init__(self, engine: Engine) -> None:
        """Made by `Engine.place`."""
        self._engine = engine
        self.last: Stream | None = None
        self.pick: Pick | None = None
        self._held: Held | None = None

    def taken(self, stream: Stream, pick: Pick, held: Held) -> None:
        """A stream speaks here, with that voice."""
        self.last = stream
        if self._held is None:
            self._held = held.again()
            self.pick = replace(pick, revision=held.revision)

    def close(self) -> None:
        """Nothing more comes; again does nothing."""
        if self._held is not None:
            self._held.release()
        self._engine._closed(self)


class Engine:
    """The voices, the threads that compute, and who may use them. Belongs to one event loop."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is started or loaded before `start`.

        Raises:
            TargetError: the target is unknown.
            MissingExtraError: metrics are on and their package is not installed.
        """
        self.settings = settings
        self.metrics = Metrics(settings.metrics)
        meter = Meter()
        compute = settings.compute
        known_target(compute.target)
        self.device = Device(settings.slots, by_deadline=compute.order == "deadline") if compute.batching else None
        self.shelf = Shelf(settings, Loader(compute.target, self.device, meter))
        self.shelf.on_load, self.shelf.on_unload = self.metrics.loaded, self.metrics.unloaded
        self._scheduler = Scheduler(
            settings.workers, settings.slots, order=compute.order, meter=meter, observer=_Observer(self.metrics)
        )
        self.admission = Admission(settings)
        self.metrics.watch(_Numbers(self))
        self._open: dict[Stream, str] = {}  # the client of each stream that is not taken to its end
        self._clients: Counter[str] = Counter()
        self._places: set[Place] = set()  # in which something was spoken
        self._started = self._stopping = self._stopped = False
        self._empty = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._housekeeping: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Look for voices, load the default and the pinned ones, start the threads.

        Raises:
            SettingsError: the settings name a voice that is not there, or one that is pinned cannot be loaded.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await self.shelf.start()
        except BaseException:
            await self.shelf.stop()
            raise
        self._scheduler.start()
        self._housekeeping = asyncio.create_task(self._keep_house())
        self._started = True

    async def stop(self, grace: float | None = None) -> None:
        """Refuse new streams, let running ones finish for `grace` seconds (the settings' unless given), cut the rest.

        Afterwards no thread or task of the engine is left. Again does nothing.
        """
        if not self._started or self._stopping:
            return
        self._stopping = True
        if self._open or self._places:
            self._empty.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self.settings.grace if grace is None else grace):
                    await self._empty.wait()
        self._stopped = True
        for stream in list(self._open):
            self._scheduler.cancel(stream, Stopping("the service has stopped"))
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._housekeeping
        if not await self._scheduler.stop():
            log.error("a network does not give its thread back; it ends with the process")
            return
        await asyncio.sleep(0)  # what the threads said last
        await self.shelf.stop()

    @property
    def ready(self) -> bool:
        """Whether it is started and not stopping; what is pinned is loaded by then."""
        return self._started and not self._stopping

    def voices(self) -> list[VoiceInfo]:
        """What can be asked for, loaded or not, by name and version, the usual version of a name first."""
        return self.shelf.voices()

    def place(self) -> Place:
        """Room for streams that follow one another; who makes it closes it."""
        return Place(self)

    async def open(self, request: Request, place: Place | None = None) -> Speaking:
        """Admit a stream and begin to compute it.

        Does not wait for audio; waits for the voice if that must be loaded first. Refusing takes no time.

        Args:
            request: what to say.
            place: where the stream follows others, which were taken to their ends, and whose voice speaks on.

        Raises:
            BadRequest, UnknownVoice: the request asks for something that cannot be; see `ServiceError.param`.
            Limited: the client has as many streams as it may have.
            Busy: no further stream can be kept; `retry_after` says when to come again.
            VoiceFailed: the voice cannot be loaded.
        """
        try:
            return await self._admit(request, place)
        except ServiceError as error:
            self.metrics.refused(error.code)
            raise

    async def _admit(self, request: Request, place: Place | None) -> Speaking:
        before = None if place is None else place.last
        if not self.ready and (before is None or self._stopped):
            raise Stopping("the service is stopping" if self._stopping else "the service is starting", retry_after=5)
        limit = self.settings.limits.text
        if len(request.text) > limit:
            raise TooLong(f"the text has {len(request.text)} characters, expected at most {limit}", param="text")
        if not request.text.strip():
            raise BadRequest("the text is empty", code="text_unspeakable", param="text")
        pick = None if place is None else place.pick
        if pick is None:
            pick = self.shelf.choose(request.voice, speaker=request.speaker, language=request.language, id=request.id)
        _speakable(pick.revision.entry, request.controls)
        if before is None:
            self._check_limits(request)
            if request.realtime:
                self.admission.check(pick.revision.cost, self._open)
        stream = self._stream(request, pick)
        if before is not None:
            stream.follow(before)
        self._open[stream] = request.client
        self._clients[request.client] += 1
        try:
            held = await self.shelf.take(pick)
            try:
                if stream.dropped:
                    raise Stopping("the service has stopped")
                # Which may be another version than was picked, where that could not be loaded.
                self._start_stream(stream, request, pick, held, _speakable(held.entry, request.controls))
            except BaseException:
                held.release()
                raise
        except BaseException:
            stream.drop()
            stream.state = OVER
            self.left(stream)
            raise
        if place is not None:
            place.taken(stream, pick, held)
            self._places.add(place)
        return Speaking(request, pick, held.entry, stream, self._scheduler, self)

    def _check_limits(self, request: Request) -> None:
        limits = self.settings.limits
        if len(self._open) >= limits.streams:
            raise Busy(f"{limits.streams} streams are open, and no more may be", retry_after=1)
        if self._clients[request.client] >= limits.streams_per_client:
            raise Limited(
                f"this client has {limits.streams_per_client} streams open, and may have no more", retry_after=1
            )
        if not request.realtime and sum(not s.realtime for s in self._open) >= limits.bulk:
            raise Busy(f"{limits.bulk} bulk streams are open, and no more may be", retry_after=5)

    def _stream(self, request: Request, pick: Pick) -> Stream:
        streams = self.settings.streams
        return Stream(
            cost=pick.revision.cost,
            voice=pick.revision.entry.manifest.name,
            expected=len(request.text) / CHARACTERS / max(0.1, request.controls.get("speed", 1.0)),
            realtime=request.realtime,
            ahead=streams.ahead,
            target=streams.first_audio_target,
            longest=streams.longest,
        )

    def _start_stream(
        self, stream: Stream, request: Request, pick: Pick, held: Held, controls: Mapping[str, float]
    ) -> None:
        features = held.entry.manifest.features
        stream.cost, stream.frame = held.cost, features.hop_length / features.sample_rate
        stream.voice = held.entry.manifest.name
        voice, text, speaker = held.voice, request.text, pick.speaker
        stream.begin = lambda listener: _speak(voice, text, speaker, listener, controls)

        def over(stream: Stream) -> None:
            held.release()
            outcome = "cancelled" if stream.dropped else "failed" if stream.error else "finished"
            timing = stream.timing
            self.metrics.over(
                stream.voice, realtime=stream.realtime, outcome=outcome, compute=timing.compute, audio=timing.audio
            )

        stream.on_over = over
        self._scheduler.add(stream)

    def left(self, stream: Stream) -> None:
        """Nobody takes from the stream any more."""
        client = self._open.pop(stream, None)
        if client is not None:
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]
            self._emptied()

    def _closed(self, place: Place) -> None:
        self._places.discard(place)
        self._emptied()

    def _emptied(self) -> None:
        if not self._open and not self._places:
            self._empty.set()

    def forgotten(self, stream: Stream) -> None:
        """A `Speaking` was collected, in whatever thread; perhaps nobody had closed it."""
        if stream in self._open and self._loop is not None:
            with suppress(RuntimeError):  # the loop was closed
                self._loop.call_soon_threadsafe(self._drop, stream)

    def _drop(self, stream: Stream) -> None:
        self._scheduler.cancel(stream)
        self.left(stream)

    async def _keep_house(self) -> None:
        """Now and then: look for addons, unload what is idle, cut streams whose clients take nothing."""
        every = self.settings.voices.rescan
        scanned = time.monotonic()
        while True:
            await asyncio.sleep(min(every or HOUSEKEEPING, HOUSEKEEPING))
            now = time.monotonic()
            try:
                if every and now - scanned >= every:
                    await self.shelf.rescan()
                    scanned = time.monotonic()
                self.shelf.evict()
            except Exception:  # the service goes on with what it has
                log.exception("looking after the voices failed")
            self._cut_stalled(now)

    def _cut_stalled(self, now: float) -> None:
        """End the streams whose clients take nothing of what there is."""
        for stream in list(self._open):
            if stream.buffer and now - stream.last_taken > self.settings.streams.stall:
                self._scheduler.cancel(stream, Gone("the client took nothing for too long"))
                self.left(stream)


class _Observer:
    """What workers tell: to the metrics and the log."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def first_audio(self, stream: Stream) -> None:
        if stream.realtime and not stream.goes_on and stream.timing.first_audio is not None:
            self._metrics.first_audio(stream.voice, stream.timing.first_audio)

    def underrun(self, stream: Stream, silence: float) -> None:
        self._metrics.underrun(stream.voice, silence)

    def failed(self, stream: Stream, error: BaseException) -> None:
        if isinstance(error, (TextError, VoiceError)):
            return  # the caller's mistake, and told to the caller
        log.error("voice '%s' failed: %s", stream.voice, error, exc_info=not isinstance(error, PolyvoxError) and error)


class _Numbers:
    """What `/metrics` reads when it is asked."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def gauges(self) -> Mapping[str, float]:
        engine = self._engine
        streams = list(engine._open)
        return {
            "streams": sum(s.realtime for s in streams),
            "bulk_streams": sum(not s.realtime for s in streams),
            "queued_chunks": sum(s.state == QUEUED for s in streams),
            "load": engine.admission.load(streams),
            "capacity": engine.admission.capacity,
            "voices_loaded": engine.shelf.loaded,
            "voices_bytes": engine.shelf.memory,
        }

    def usage(self) -> Mapping[str, Usage]:
        device = self._engine.device
        return {} if device is None else device.usage()


def _speakable(entry: Entry, controls: Mapping[str, float]) -> dict[str, float]:
    """The controls for a voice; a speed of 1 is what every voice has.

    Raises:
        BadRequest: the voice has no such control, or its value is out of range.
    """
    known = joined_controls(entry.manifest, entry.vocoder_manifest)
    given = {n: v for n, v in controls.items() if n in known or n != "speed" or v != 1}
    for name, value in given.items():
        try:
            check_controls(entry.manifest.name, known, {name: value})
        except VoiceError as error:
            raise BadRequest(str(error), param=name) from None
    return given


def _speak(
    voice: Voice, text: str, speaker: str | None, listener: Listener, controls: Mapping[str, Any]
) -> Iterator[Chunk]:
    return voice.stream(text, speaker=speaker, pace=listener, **controls)
