"""Stream: one utterance of one client between the threads that make it and the task that takes it."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from polyvox.networks import Cancel
from polyvox.networks.urgency import check_cancelled
from polyvox.pacing import Listener
from polyvox.service.costs import Cost
from polyvox.speech import Chunk
from polyvox.windows import Pace

QUEUED, RUNNING, RESTING, CLOSING, OVER = range(5)
"""A stream waits for a thread, has one, has made enough for now, waits for a thread to close it, or is over."""

SHARE = 0.1
"""How much of the time for which a listener has audio in hand may be computed for its next chunk: others who have as
little wait for the same processors. At a half, second chunks were late under load, and nobody else's."""


@dataclass(slots=True)
class StreamTiming:
    """What a stream took, so far. All in seconds.

    Attributes:
        admitted: when it was admitted, on the clock of `time.monotonic`.
        first_audio: from then to the first chunk, made but perhaps not taken; None before.
        compute: of a processor, for all of it.
        text, networks, signal: spent in the front end, in networks (waiting for the device included), in blocks.
        audio: made.
        underruns: how often the listener had nothing to hear.
        silence: how long in all.
    """

    admitted: float
    first_audio: float | None = None
    compute: float = 0.0
    text: float = 0.0
    networks: float = 0.0
    signal: float = 0.0
    audio: float = 0.0
    underruns: int = 0
    silence: float = 0.0


Begin = Callable[[Listener], Iterator[Chunk]]
"""Starts to speak. Called in a worker, because the front end's work for the first sentence is done here."""


class Stream:
    """Everything but `take`, `wait` and `closed` is read and written under the scheduler's lock.

    The listener is taken to start to play when the first chunk is taken, and to play in real time from then on.
    """

    def __init__(
        self,
        begin: Begin | None = None,
        *,
        cost: Cost,
        frame: float = 0.0116,
        voice: str = "",
        expected: float = 0.0,
        realtime: bool = True,
        ahead: float = 10.0,
        target: float = 0.1,
        longest: float = 0.04,
        on_over: Callable[[Stream], None] | None = None,
    ) -> None:
        """Set up.

        Args:
            begin: starts to speak; may be set later, but before it is scheduled.
            cost: what the voice's streams cost; learns from this one.
            frame: seconds of a frame.
            voice: the voice's name, for metrics.
            expected: seconds of audio that it will have, by a guess.
            realtime: False is bulk.
            ahead: seconds of audio that are made before they are taken.
            target: seconds to the first audio that are aimed at.
            longest: processor seconds that one chunk may take.
            on_over: called in the loop when no thread works for the stream any more, exactly once.
        """
        self.begin = begin
        self.cost, self.frame, self.realtime = cost, frame, realtime
        self.voice, self.expected = voice, expected
        self.ahead, self.target, self.longest = ahead, target, longest
        self.on_over = on_over
        self.admitted = time.monotonic()
        self.timing = StreamTiming(self.admitted)
        self.cancel = Cancel()
        self.source: Iterator[Chunk] | None = None
        self.buffer: deque[Chunk] = deque()
        self.buffered = self.made = self.taken = 0.0
        self.playing_since: float | None = None
        self.goes_on = False  # the listener hears it behind another one
        self.last_taken = self.admitted
        self.state = QUEUED
        self.error: BaseException | None = None
        self.dropped = False  # cancelled: what is made is for nobody
        self.number = self.turn = self.entry = 0
        self.calm = False  # whether it could have waited when it was given its thread
        self.frames = 0  # of the chunk that is being made
        self.waiters: list[asyncio.Future[None]] = []

    def follow(self, before: Stream) -> None:
        """The listener hears this one when all of `before` was heard, which was made and taken by now."""
        self.goes_on = True
        if before.playing_since is not None and before.playing_since + before.made > self.admitted:
            self.playing_since = before.playing_since + before.made

    @property
    def computing(self) -> bool:
        """Whether there is more to make."""
        return self.state in (QUEUED, RUNNING, RESTING)

    @property
    def full(self) -> bool:
        """Whether it rests until some of what was made is taken. A quarter is left free, so that chunks stay large."""
        return self.buffered > 0.75 * self.ahead

    def deadline(self, now: float) -> float:
        """When the listener has nothing more to hear; before there is anything, when there should be."""
        if not self.realtime:
            return math.inf
        if self.playing_since is not None:
            return self.playing_since + self.made
        return now + self.buffered if self.made else self.admitted + self.target

    # --- within, under the scheduler's lock ----------------------------------------------------------------------

    def put(self, chunk: Chunk, now: float) -> float:
        """A chunk was made.

        Returns:
            Seconds for which the listener had nothing to hear; 0 is as it should be.
        """
        seconds, silence = chunk.seconds, 0.0
        if self.timing.first_audio is None and seconds:
            self.timing.first_audio = now - self.admitted
        if self.playing_since is not None and seconds and self.realtime:
            silence = max(0.0, now - (self.playing_since + self.made))
            if silence:
                self.playing_since += silence
                self.timing.underruns += 1
                self.timing.silence += silence
        self.buffer.append(chunk)
        self.buffered += seconds
        self.made += seconds
        self.timing.audio = self.made
        return silence

    def pop(self, now: float) -> Chunk | None:
        """Take the next chunk, if there is one: the listener hears it as soon as it has heard what came before."""
        if not self.buffer:
            return None
        chunk = self.buffer.popleft()
        self.last_taken = now
        if self.playing_since is None:
            self.playing_since = now
        # Whoever takes late has heard nothing meanwhile, and plays later from then on.
        self.playing_since = max(self.playing_since, now - self.taken)
        self.taken += chunk.seconds
        self.buffered -= chunk.seconds
        if not self.buffer:
            self.buffered = 0.0  # no dust of rounding
        return chunk

    def drop(self) -> None:
        """Forget what was made."""
        self.dropped = True
        self.buffer.clear()
        self.buffered = 0.0


class Ear(Listener):
    """Tells a voice how large its next chunk may be, from what the stream's listener has in hand. Used by workers."""

    def __init__(self, stream: Stream, pace: Pace | None = None) -> None:
        """`pace` has the sizes of the first and of the largest chunk."""
        self._pace = pace or Pace()
        super().__init__(self._pace)
        self._stream = stream

    def ask(self) -> int:
        """Frames of the next chunk: few while the listener waits, then as many as one turn may cost.

        Raises:
            Cancelled: nobody listens any more.
        """
        check_cancelled()
        stream, pace = self._stream, self._pace
        if stream.realtime and not stream.made and stream.playing_since is None:
            return pace.first
        cost = stream.cost
        least = cost.seconds(pace.first)
        if least is None:
            return pace.first
        most = min(pace.maximum, cost.frames(stream.longest) or 1)
        if stream.realtime:
            now = time.monotonic()
            # However late it is, twice the time of the smallest chunk hardly makes it later, and saves many.
            in_time = cost.frames(max((stream.deadline(now) - now) * SHARE, 2 * least))
            most = min(most, in_time or 1, int((stream.ahead - stream.buffered) / stream.frame))
        return max(1, pace.first, most)

    def give(self, frames: int, seconds: float) -> None:
        """A chunk was made; the scheduler counts its seconds."""
        self._stream.frames += frames
