"""Speaking: one admitted stream, as protocols see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol

from polyvox.service.catalogue import Entry
from polyvox.service.errors import as_service_error
from polyvox.service.scheduler import Scheduler
from polyvox.service.stream import Stream, StreamTiming
from polyvox.service.versions import Pick
from polyvox.speech import Chunk


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for.

    Attributes:
        text: what to say.
        voice: a name, an alias, `name@version`, `name/speaker`; None leaves it to language and speaker, or the default.
        speaker: one of the voice's speakers; the first that fits unless given.
        language: a BCP 47 tag.
        controls: the voice's controls, `speed` and others.
        realtime: whether somebody listens as it is made; False is bulk, which uses what is left.
        client: whose limits count.
        id: the request's, for logs and for canaries: the same id meets the same version.
    """

    text: str
    voice: str | None = None
    speaker: str | None = None
    language: str | None = None
    controls: Mapping[str, float] = field(default_factory=dict)
    realtime: bool = True
    client: str = "anonymous"
    id: str = ""


class Counted(Protocol):
    """Who counts the streams that are open."""

    def left(self, stream: Stream) -> None:
        """Nobody takes from the stream any more."""
        ...

    def forgotten(self, stream: Stream) -> None:
        """A `Speaking` was collected, in whatever thread; perhaps nobody had closed it."""
        ...


class Speaking:
    """One admitted stream: an asynchronous iterator of chunks. One task uses it at a time; any task may `cancel`.

    Attributes:
        request: what was asked for.
        voice, version, speaker, language: who speaks.
        sample_rate: samples a second.
    """

    def __init__(
        self, request: Request, pick: Pick, entry: Entry, stream: Stream, scheduler: Scheduler, counted: Counted
    ) -> None:
        """Made by `Engine.open`."""
        self.request = request
        self.voice, self.version = entry.key
        self.speaker, self.language = pick.speaker, pick.language
        self.sample_rate = entry.manifest.features.sample_rate
        self._stream, self._scheduler, self._counted = stream, scheduler, counted

    @property
    def timing(self) -> StreamTiming:
        """What it took so far."""
        return self._stream.timing

    async def first(self) -> Chunk | None:
        """Wait for the first chunk without taking it; None if there is none, or it was cancelled.

        Raises:
            ServiceError: what went wrong.
        """
        stream = self._stream
        while not stream.buffer:
            if stream.dropped or not stream.computing:
                self._finish()
                return None
            await self._scheduler.wait(stream)
        return stream.buffer[0]

    def __aiter__(self) -> Speaking:
        return self

    async def __anext__(self) -> Chunk:
        stream = self._stream
        while True:
            chunk = self._scheduler.take(stream)
            if chunk is not None:
                return chunk
            if stream.dropped or not stream.computing:
                self._finish()
                raise StopAsyncIteration
            await self._scheduler.wait(stream)

    def cancel(self) -> None:
        """Nobody listens any more: nothing further is computed, and what was made is dropped. Returns at once.

        Whoever iterates comes to the end.
        """
        self._scheduler.cancel(self._stream)
        self._counted.left(self._stream)

    async def aclose(self) -> None:
        """Cancel, and wait until no thread works for it."""
        self.cancel()
        await self._scheduler.closed(self._stream)

    async def __aenter__(self) -> Speaking:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        # Whoever forgets to close it is not computed for.
        self._counted.forgotten(self._stream)

    def _finish(self) -> None:
        self._counted.left(self._stream)
        error = self._stream.error
        if error is not None:
            raise as_service_error(error, self.voice)
