"""A block of one's own: install this package, and any stack may say {"type": "Sparkle"}."""

from collections.abc import Iterator

import numpy as np

from polyvox import StreamableBlock
from polyvox.tensors import Tensors


class Sparkle(StreamableBlock):
    """Adds a quiet echo of the audio to itself."""

    def __init__(self, samples: int = 2205, gain: float = 0.3) -> None:
        if samples < 1:
            raise ValueError("expected samples of at least 1")
        self.samples, self.gain = samples, np.float32(gain)

    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """The same chunks; the echo's memory lives here, in the generator."""
        past = np.zeros(self.samples, dtype=np.float32)
        for chunk in upstream:
            heard = np.concatenate([past, chunk["audio"]])
            yield {**chunk, "audio": chunk["audio"] + self.gain * heard[: len(chunk["audio"])]}
            past = heard[len(heard) - self.samples :]
