"""How loud a stream of audio is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


class Levels:
    """Peak and mean level of a stream, in decibels below full scale, and the samples beyond it."""

    def __init__(self) -> None:
        self.samples = 0
        self.clipped = 0
        self._peak = 0.0
        self._power = 0.0

    def add(self, samples: NDArray[np.float32]) -> None:
        """Count samples [n] in."""
        if not len(samples):
            return
        size = np.abs(samples)
        self.samples += len(samples)
        self.clipped += int(np.count_nonzero(size > 1.0))
        self._peak = max(self._peak, float(size.max()))
        self._power += float(np.dot(samples.astype(np.float64), samples))

    @property
    def peak(self) -> float:
        """The largest sample; minus infinity for silence."""
        return 20 * math.log10(self._peak) if self._peak else -math.inf

    @property
    def rms(self) -> float:
        """The root mean square; minus infinity for silence. A full-scale sine has -3.01."""
        return 10 * math.log10(self._power / self.samples) if self._power else -math.inf
