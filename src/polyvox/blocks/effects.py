"""Collect, Emit, Gain, Probe: small blocks, and examples to copy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np

from polyvox.blocks.block import StreamableBlock, Upstream
from polyvox.blocks.registry import block
from polyvox.errors import StackError, TensorError
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


@block("Emit")
class Emit(StreamableBlock):
    """Streams tensors that sequence blocks made whole, as many steps at a time as are asked for.

    Time is the first axis of each. With it a `StreamablePipeline` holds a network that must see the whole utterance.
    """

    def __init__(self, tensors: list[str]) -> None:
        if not tensors:
            raise ValueError("expected the name of at least one tensor")
        self.tensors = tensors

    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """Views of the tensors: nothing is copied."""
        port = Upstream.of(upstream)
        absent = [name for name in self.tensors if name not in tensors]
        if absent:
            raise TensorError(f"{self.where}: tensor '{absent[0]}' is missing; there are {sorted(tensors)}")
        lengths = {name: len(tensors[name]) for name in self.tensors}
        if len(set(lengths.values())) > 1:
            shown = ", ".join(f"'{name}' {length}" for name, length in lengths.items())
            raise TensorError(f"{self.where}: tensors of one stream have the same number of steps, but these: {shown}")
        done, total = 0, lengths[self.tensors[0]]
        while done < total:
            last = min(total, done + max(1, port.wanted))
            yield {name: tensors[name][done:last] for name in self.tensors}
            done = last

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """The tensors."""
        made = {}
        for name in self.tensors:
            spec = tensors.get(name)
            if spec is None and not tensors.open:
                raise StackError(
                    f"{self.where}: 'Emit' reads '{name}', which nobody before it makes;"
                    f" there are {', '.join(sorted(tensors)) or 'no tensors'}"
                )
            if spec is not None and not spec.axes:
                raise StackError(f"{self.where}: 'Emit' streams '{name}', which has no axis to stream over")
            if spec is not None:
                made[name] = spec
        return Specs(made, tensors.open)


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

    Functions in `listeners` are called with the probe's name and the chunk; without any, the shapes are logged, at the
    level debug. A listener must not change the arrays.
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
                _log.debug("%s: %d steps of %s", self.name, steps(chunk), {n: a.shape for n, a in chunk.items()})
            yield chunk

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """What comes."""
        return upstream
