"""Collect, Gain, Probe: small blocks, and examples to copy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np

from polyvox.blocks.block import StreamableBlock, Upstream
from polyvox.blocks.registry import block
from polyvox.tensors import Specs, Tensors, steps
from polyvox.windows import WHOLE

_log = logging.getLogger(__name__)


@block("Collect")
class Collect(StreamableBlock):
    """Gathers the whole stream and passes it on as one chunk: where streaming ends on purpose."""

    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """One chunk, or none if none comes."""
        whole, _ = Upstream.of(upstream).read(WHOLE)
        if whole:
            yield whole

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """What comes."""
        return upstream


@block("Gain")
class Gain(StreamableBlock):
    """Multiplies one tensor of the stream, the audio unless told otherwise, by `decibels`."""

    def __init__(self, decibels: float = 0.0, tensor: str = "audio") -> None:
        self.factor = np.float32(10 ** (decibels / 20))
        self.tensor = tensor

    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """The same chunks, louder or quieter."""
        for chunk in upstream:
            yield {**chunk, self.tensor: chunk[self.tensor] * self.factor} if self.tensor in chunk else chunk

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """What comes."""
        return upstream


@block("Probe")
class Probe(StreamableBlock):
    """Shows every chunk that passes to whoever listens, and passes it on unchanged.

    Functions in `listeners` are called with the probe's name and the chunk; without any, the shapes are logged.
    A listener must not change the arrays.
    """

    listeners: list[Callable[[str, Tensors], None]] = []  # noqa: RUF012 - shared by all probes on purpose

    def __init__(self, name: str = "probe") -> None:
        self.name = name

    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """The same chunks."""
        for chunk in upstream:
            if self.listeners:
                for listener in self.listeners:
                    listener(self.name, chunk)
            else:
                _log.info("%s: %d steps of %s", self.name, steps(chunk), {n: a.shape for n, a in chunk.items()})
            yield chunk

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """What comes."""
        return upstream
