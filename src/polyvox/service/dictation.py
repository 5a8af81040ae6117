"""One speech whose text comes in pieces: its clauses are spoken one after another, as one stream of chunks.

dictation = Dictation(engine, Request("", voice="kathleen"))
dictation.feed("Good mor")                      # as the text is written, from any task of the loop
dictation.feed("ning. How are you?")
dictation.end()
async with aclosing(dictation.chunks()) as chunks:
    async for chunk in chunks: ...              # positions and timings count from the start of the whole
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import numpy as np

from polyvox.errors import PolyvoxError
from polyvox.service.engine import Engine, Request, Speaking
from polyvox.service.errors import as_service_error
from polyvox.service.pieces import Clause, Pieces
from polyvox.speech import Chunk, Timing

HURRY = 0.35
"""Seconds of audio in the listener's hand below which a clause is spoken before its sentence is whole."""

HURRY_WORDS = 0.15
"""The same for words before a clause mark."""

SETTLE = 0.03
"""Seconds for which text waits for more though the listener has nothing to hear: more often comes right behind it."""

PATIENCE = 0.3
"""Seconds that words without a clause mark wait for one, though the listener has nothing to hear."""

TOGETHER = 1000
"""Characters up to which clauses that are ready are spoken as one."""


@dataclass(slots=True)
class Totals:
    """What a dictation took so far; seconds, but for the counts.

    Attributes:
        first_audio: from the first text, or from when its turn came if that was later, to the first chunk; None before.
        stages: of that: `waiting` for enough text and for a place, then `text`, `networks` and `signal` as below.
        characters: fed.
        clauses: spoken.
        audio: given.
        compute, text, networks, signal: as in `StreamTiming`, of all clauses.
        underruns: gaps that the service made; not those in which there was no text.
    """

    first_audio: float | None = None
    stages: dict[str, float] = field(default_factory=dict)
    characters: int = 0
    clauses: int = 0
    audio: float = 0.0
    compute: float = 0.0
    text: float = 0.0
    networks: float = 0.0
    signal: float = 0.0
    underruns: int = 0


class Dictation:
    """Text in, by `feed`, `flush` and `end`; chunks out, by `chunks`. Belongs to one event loop.

    What can be spoken is spoken: whole sentences as they come, and where the listener would hear nothing, clauses and
    words (see `Pieces.hurry`). Where no sentence had to be cut, the chunks joined are those of the whole text.

    Attributes:
        voice, version, speaker, language: who speaks.
        sample_rate: samples a second.
    """

    def __init__(self, engine: Engine, request: Request, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Choose who speaks; nothing is computed yet.

        Args:
            engine: computes.
            request: who speaks and how; its text is the beginning of the text, and may be empty.
            clock: counts seconds.

        Raises:
            UnknownVoice: nobody here is whom it asks for.
            TooLong: the text is longer than the service allows.
        """
        self._engine, self._clock = engine, clock
        pick = engine.shelf.choose(request.voice, speaker=request.speaker, language=request.language, id=request.id)
        manifest = pick.revision.entry.manifest
        self._request = request
        self.voice, self.version = manifest.name, manifest.version
        self.speaker, self.language = pick.speaker, pick.language
        self.sample_rate = manifest.features.sample_rate
        self._pause = manifest.text.pause if manifest.text is not None else 0.0
        self._pieces = Pieces(pick.language or "en", limit=engine.settings.limits.text)
        self._ready: deque[Clause] = deque()
        self._news = asyncio.Event()
        self._ended = self._cancelled = self._over = False
        self._waiting_since: float | None = None  # since when there is text that no clause holds
        self._asked: float | None = None
        self._dry = float("-inf")  # when the listener has heard everything
        self._position = 0
        self._speaking: Speaking | None = None
        self.totals = Totals()
        if request.text:
            self.feed(request.text)

    @property
    def cancelled(self) -> bool:
        """Whether nobody listens any more."""
        return self._cancelled

    @property
    def ended(self) -> bool:
        """Whether no more text is taken."""
        return self._ended or self._cancelled or self._over

    def feed(self, piece: str) -> None:
        """Take the next piece of the text.

        Raises:
            TooLong: the text would be longer than the service allows; nothing of the piece was taken.
        """
        if self.ended:
            return
        clauses = self._pieces.feed(piece)
        if clauses:
            self._ready.extend(clauses)
            self._waiting_since = None
        self.totals.characters = self._pieces.fed
        if self._asked is None and piece:
            self._asked = self._clock()
        self._told()

    def flush(self) -> None:
        """What was fed is to be spoken now, as if the text ended with it; more may follow."""
        if not self.ended:
            self._ready.extend(self._pieces.flush())
            self.totals.characters = self._pieces.fed
            self._told()

    def end(self) -> None:
        """The text is whole."""
        self.flush()
        self._ended = True
        self._told()

    def cancel(self) -> None:
        """Nobody listens any more: nothing further is computed, and `chunks` comes to its end. Returns at once."""
        self._cancelled = True
        self._ready.clear()
        if self._speaking is not None:
            self._speaking.cancel()
        self._news.set()

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """The speech, to be iterated once and closed (`contextlib.aclosing`). Ends with the text, or when cancelled.

        A stretch for which the voice has no symbols is left out, and a warning says so.

        Raises:
            ServiceError: what went wrong.
        """
        begun = self._clock()
        pause = False
        self._place = self._engine.place()
        try:
            while (clause := await self._next()) is not None:
                if clause.speakable:
                    if pause and self._pause:
                        yield self._given(Chunk(np.zeros(round(self._pause * self.sample_rate), np.float32), 0))
                    async with aclosing(self._spoken(clause)) as chunks:
                        async for chunk in chunks:
                            if self.totals.first_audio is None and len(chunk.samples):
                                self._heard_since(max(begun, self._asked or begun))
                            yield chunk
                # A pause only behind what was heard.
                pause = self._position > 0 and (clause.ends_sentence or (pause and not clause.speakable))
        finally:
            self._over = True
            self._place.close()

    async def _spoken(self, clause: Clause) -> AsyncGenerator[Chunk, None]:
        base, samples = self._position / self.sample_rate, self._position
        try:
            speaking = await self._open(clause)
            if speaking is None:
                return
            async with speaking:
                self._speaking = speaking
                async for chunk in speaking:
                    if self._cancelled:
                        return
                    yield self._given(_moved(chunk, samples, base, clause.start))
        except PolyvoxError as error:
            known = as_service_error(error, self.voice)
            if known.code != "text_unspeakable":
                raise known from error
            yield self._given(Chunk(np.zeros(0, np.float32), 0, warnings=(f"left out: {known}",)))
        finally:
            if self._speaking is not None:
                self._count(self._speaking)
            self._speaking = None

    async def _open(self, clause: Clause) -> Speaking | None:
        """The stream of a clause; None if nobody listens any more."""
        speaking = await self._engine.open(replace(self._request, text=clause.text), self._place)
        if self._cancelled:
            await speaking.aclose()
            return None
        self._keep_voice(speaking)
        return speaking

    def _keep_voice(self, speaking: Speaking) -> None:
        """One speech has one voice, whatever becomes of aliases and versions meanwhile."""
        self.voice, self.version = speaking.voice, speaking.version
        self.speaker, self.language = speaking.speaker, speaking.language
        self.sample_rate = speaking.sample_rate
        self._request = replace(
            self._request, voice=f"{self.voice}@{self.version}", speaker=self.speaker, language=self.language
        )

    def _given(self, chunk: Chunk) -> Chunk:
        """The chunk in its place; the listener has it now."""
        given = replace(chunk, sample_rate=self.sample_rate, position=self._position)
        self._position += len(chunk.samples)
        self._dry = max(self._clock(), self._dry) + given.seconds
        self.totals.audio = self._position / self.sample_rate
        return given

    def _heard_since(self, asked: float) -> None:
        """The first audio is there."""
        totals = self.totals
        totals.first_audio = self._clock() - asked
        if self._speaking is not None:
            timing = self._speaking.timing
            totals.stages = {
                "waiting": max(0.0, timing.admitted - asked),
                "text": timing.text,
                "networks": timing.networks,
                "signal": timing.signal,
            }

    def _count(self, speaking: Speaking) -> None:
        totals, timing = self.totals, speaking.timing
        totals.clauses += 1
        totals.compute += timing.compute
        totals.text += timing.text
        totals.networks += timing.networks
        totals.signal += timing.signal
        totals.underruns += timing.underruns

    # --- which text is next --------------------------------------------------------------------------------------

    def _told(self) -> None:
        if not self._pieces.waiting:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = self._clock()
        self._news.set()

    async def _next(self) -> Clause | None:
        """What is to be spoken next, when it is time; None at the end."""
        while not self._cancelled:
            self._news.clear()
            if self._ready:
                return self._together()
            if self._ended:
                return None
            clause, wake = self._hurried()
            if clause is not None:
                self._waiting_since = None
                self._told()
                return clause
            try:
                async with asyncio.timeout(None if wake is None else max(0.0, wake - self._clock())):
                    await self._news.wait()
            except TimeoutError:
                pass
        return None

    def _together(self) -> Clause:
        """The clauses that are ready, as one: what is known to follow one another needs no seam."""
        first = self._ready.popleft()
        parts, size, last = [first.text], len(first.text), first
        while self._ready and size + len(self._ready[0].text) <= TOGETHER:
            last = self._ready.popleft()
            parts.append(last.text)
            size += len(last.text)
        return Clause("".join(parts), first.start, last.end, last.ends_sentence)

    def _hurried(self) -> tuple[Clause | None, float | None]:
        """Part of a sentence that is still being written, if it cannot wait; else when to look again."""
        if self._waiting_since is None or not self._request.realtime:
            return None, None
        now = self._clock()
        marks = max(self._dry - HURRY, self._waiting_since + SETTLE)
        words = max(self._dry - HURRY_WORDS, self._waiting_since + PATIENCE)
        if now >= marks and (clause := self._pieces.hurry(words=now >= words)) is not None:
            return clause, None
        return None, next((moment for moment in (marks, words) if moment > now), None)


def _moved(chunk: Chunk, samples: int, seconds: float, characters: int) -> Chunk:
    """A clause's chunk as one of the whole speech."""

    def moved(timings: tuple[Timing, ...]) -> tuple[Timing, ...]:
        return tuple(
            replace(
                timing,
                start=timing.start + seconds,
                end=timing.end + seconds,
                first=timing.first + characters,
                last=timing.last + characters,
            )
            for timing in timings
        )

    if not samples and not characters:
        return chunk
    warnings = tuple(f"{warning}, counted from {seconds:.2f} s" for warning in chunk.warnings)
    return replace(chunk, words=moved(chunk.words), phonemes=moved(chunk.phonemes), warnings=warnings)
