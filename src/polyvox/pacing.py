"""How large the next chunk may be: as large as a listener in real time can wait for."""

from __future__ import annotations

import time
from collections.abc import Callable

from polyvox.windows import Pace

SHARE = 0.75
"""How much of the audio that a listener has in hand may be spent on making the next chunk."""


class Listener:
    """Follows one stream's listener, who began to play when the first chunk came.

    Chunks grow as the pace says while the listener is ahead, and no faster: on a slow or busy machine a chunk that
    takes longer to make than the audio in hand would be a gap.
    """

    def __init__(self, pace: Pace, clock: Callable[[], float] = time.perf_counter) -> None:
        """`clock` counts seconds."""
        self._pace = pace
        self._clock = clock
        self._asked = 0.0
        self._playing_since: float | None = None
        self._given = 0.0
        self._size = 0
        self._cost = 0.0  # seconds for one frame, of the last chunk

    def ask(self) -> int:
        """How many frames the next chunk should have; the time to make it counts from now."""
        now = self._asked = self._clock()
        pace = self._pace
        if self._playing_since is None:
            self._size = pace.first
        else:
            ahead = self._given - (now - self._playing_since)
            most = min(self._size * pace.growth, pace.maximum)
            affordable = ahead * SHARE / self._cost if self._cost > 0 else most
            self._size = int(max(pace.first, min(most, affordable)))
        return max(1, self._size)

    def give(self, frames: int, seconds: float) -> None:
        """A chunk was made."""
        now = self._clock()
        if self._playing_since is None:
            self._playing_since = now
        self._given += seconds
        if frames:
            self._cost = (now - self._asked) / frames
