"""What streams cost a processor, learned as they run, voice by voice."""

from __future__ import annotations

UNKNOWN_RATE = 0.05
"""Processor seconds for a second of audio, of a voice that never spoke."""
UNKNOWN_FIRST = 0.05
"""Processor seconds to the first chunk, of a voice that never spoke."""
HALF_LIFE = 120.0
"""Seconds of audio after which what was learned weighs half."""
CHUNKS = 0.95
"""How much what was learned about chunks weighs against the next one."""


class Cost:
    """One voice's. Not locked: whoever learns holds the scheduler's lock, and readers want a recent number, no more.

    A chunk of n frames costs about `fixed + each * n`: the context around it is computed again for every chunk. Both
    are found by least squares over the chunks so far, the recent ones weighing most.
    """

    def __init__(self) -> None:
        self.first = UNKNOWN_FIRST
        self._cpu, self._audio = UNKNOWN_RATE, 1.0
        self._known = False
        self._n = self._x = self._y = self._xx = self._xy = 0.0

    @property
    def rate(self) -> float:
        """Processor seconds for a second of audio, everything included."""
        return self._cpu / self._audio

    def seed(self, compute: float, audio: float) -> None:
        """The voice spoke for the first time, as a trial."""
        if audio > 0 and not self._known:
            self._known = True
            self._cpu, self._audio = compute / audio * 10.0, 10.0

    def begun(self, cpu: float, weight: float = 0.1) -> None:
        """A stream's first chunk took `cpu` seconds; `weight` is how much that says about the next one's."""
        self.first += (cpu - self.first) * weight

    def made(self, frames: int, cpu: float, seconds: float) -> None:
        """A chunk of `frames`, which lasts `seconds`, took `cpu` seconds. 0 frames: how many is not known."""
        keep = 0.5 ** (seconds / HALF_LIFE)
        self._cpu, self._audio = self._cpu * keep + cpu, self._audio * keep + seconds
        if frames > 0:
            self._n = self._n * CHUNKS + 1
            self._x = self._x * CHUNKS + frames
            self._y = self._y * CHUNKS + cpu
            self._xx = self._xx * CHUNKS + frames * frames
            self._xy = self._xy * CHUNKS + frames * cpu

    def frames(self, seconds: float) -> int | None:
        """Frames of a chunk that takes `seconds` of a processor; None if nothing is known yet."""
        known = self._fit()
        return None if known is None else max(1, int((seconds - known[0]) / known[1]))

    def seconds(self, frames: int) -> float | None:
        """Processor seconds for a chunk of `frames`; None if nothing is known yet."""
        known = self._fit()
        return None if known is None else known[0] + known[1] * frames

    def _fit(self) -> tuple[float, float] | None:
        """What a chunk costs besides its frames, and what each of them costs."""
        if self._n < 2 or self._y <= 0:
            return None
        spread = self._n * self._xx - self._x**2
        mean = self._y / self._x
        each = (self._n * self._xy - self._x * self._y) / spread if spread > 1e-6 * self._x**2 else mean
        # Chunks of one size say nothing about others: then what a frame costs is what it costs on average.
        each = min(max(each, 0.1 * mean), mean)
        return max(0.0, (self._y - each * self._x) / self._n), each
