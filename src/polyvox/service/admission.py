"""Admission: whether a further real-time stream can be kept, by what the running ones cost."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable

from polyvox.service.costs import Cost
from polyvox.service.errors import Busy
from polyvox.service.settings import Settings
from polyvox.service.stream import Stream

SETTLED = 1.0
"""Seconds that a listener has listened before it counts as one who should be well ahead."""
SLACK = 2.0
"""Seconds ahead below which such a listener may soon run dry: then the estimate was too good."""
BEGUN = 0.5
"""Seconds ahead below which a listener has hardly begun."""
EVERY = 0.25
"""Seconds over which it is measured what the loop takes."""
SLOW = 0.7
"""Processors above which a voice is too slow to be ahead of its listener, however few others there are."""


class Admission:
    """Judges by three things, of which each alone refuses:

    - what all real-time streams that still compute cost a second, by their voices' costs, against the slots, of which
      the loop's own work is taken off;
    - how long those wait that have no audio yet: a burst of starts may ask for more than the average does;
    - whether somebody who has listened for a while has little in hand, whatever the estimates say.

    A stream that has computed all it needs costs nothing, though its listener still listens. Where nothing runs, a
    stream is admitted even if its voice is slower than real time.
    """

    def __init__(self, settings: Settings) -> None:
        self._slots = settings.slots
        self._first_audio_limit = settings.streams.first_audio_limit
        self._headroom = settings.compute.headroom
        self.capacity = settings.slots * settings.compute.headroom
        self._beside = 0.0
        self._at, self._spent = time.monotonic(), time.thread_time()

    def load(self, streams: Iterable[Stream]) -> float:
        """Processors that the streams need, on average."""
        return sum(s.cost.rate for s in streams if s.realtime and s.computing)

    def check(self, cost: Cost, streams: Iterable[Stream]) -> None:
        """Admit a real-time stream of a voice of that cost beside those that are open.

        Raises:
            Busy: it cannot be kept; `retry_after` is when a place may be free.
        """
        running = [s for s in streams if s.realtime and s.computing]
        if not running:
            return
        if self.load(running) + cost.rate > self.capacity - self._loop() * self._headroom:
            raise Busy("as many streams run as can be kept in real time", retry_after=self._free(running))
        now = time.monotonic()
        # Whoever has just begun needs its second chunk as urgently as others their first.
        starting = sum(
            s.cost.first
            for s in running
            if s.timing.first_audio is None or (_ahead(s, now) < BEGUN and s.cost.rate <= SLOW)
        )
        if starting and (starting + cost.first) / self._slots > self._first_audio_limit:
            raise Busy("too many streams start at this moment", retry_after=1)
        for stream in running:
            since = stream.playing_since
            if since is None or stream.cost.rate > SLOW:
                continue
            # Whoever listens for less long need not be as far ahead, but on the way there: many who start at once cost
            # more than they will later, because their chunks are small.
            if _ahead(stream, now) < SLACK * min(1.0, (now - since) / SETTLED):
                raise Busy("the running streams need all there is", retry_after=self._free(running))

    def _loop(self) -> float:
        """The share of a processor that the loop takes, where this is called: refusing many is work too."""
        now = time.monotonic()
        if now - self._at >= EVERY:
            spent = time.thread_time()
            share = (spent - self._spent) / (now - self._at)
            # Up at once, down slowly: what is admitted stays for a while.
            self._beside = max(share, 0.9 * self._beside)
            self._at, self._spent = now, spent
        return self._beside

    def _free(self, running: Iterable[Stream]) -> int:
        """Whole seconds after which one of the streams may have computed all it needs."""
        left = min(max(0.0, s.expected - s.made) for s in running)
        return max(1, min(30, math.ceil(left)))


def _ahead(stream: Stream, now: float) -> float:
    """Seconds that the listener has in hand. What it could take and does not is no want of ours."""
    return max(stream.deadline(now) - now, stream.buffered)
