"""Blocks made of blocks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from polyvox.blocks.block import SequenceBlock, StreamableBlock, Upstream, connect
from polyvox.blocks.build import Parts
from polyvox.blocks.encoder import Encoder
from polyvox.blocks.registry import block
from polyvox.errors import StackError
from polyvox.networks import NetworkSpec
from polyvox.tensors import Specs, Tensors
from polyvox.windows import WHOLE


@block("SequenceBlockContainer")
class SequenceBlockContainer(SequenceBlock):
    """Runs nested sequence blocks in order; each adds its outputs to the tensors."""

    def __init__(self, blocks: list[SequenceBlock]) -> None:
        self.blocks = blocks

    def run(self, tensors: Tensors) -> Tensors:
        """Run all; the result holds everything that they made."""
        made: dict[str, object] = {}
        seen = dict(tensors)
        for nested in self.blocks:
            out = nested.run(seen)
            seen.update(out)
            made.update(out)
        return {name: seen[name] for name in made}

    def specs(self, available: Specs) -> Specs:
        """What the nested blocks make, together."""
        made = Specs()
        for nested in self.blocks:
            out = nested.specs(available)
            available, made = available.plus(out), made.plus(out)
        return made


def ordered(specs: Sequence[NetworkSpec], where: str) -> list[list[NetworkSpec]]:
    """Sort networks into ranks: each reads only outputs of earlier ranks (or what no network here makes).

    Raises:
        StackError: they read each other in a circle, or two make the same tensor.
    """
    maker: dict[str, str] = {}
    for spec in specs:
        for name in spec.outputs:
            if name in maker:
                raise StackError(f"{where}: networks '{maker[name]}' and '{spec.name}' both make '{name}'")
            maker[name] = spec.name
    needs = {s.name: {maker[i] for i in s.wanted() if maker.get(i, s.name) != s.name} for s in specs}
    ranks: list[list[NetworkSpec]] = []
    done: set[str] = set()
    left = list(specs)
    while left:
        rank = [s for s in left if needs[s.name] <= done]
        if not rank:
            circle = ", ".join(s.name for s in left)
            raise StackError(f"{where}: networks {circle} read each other's outputs in a circle")
        ranks.append(rank)
        done.update(s.name for s in rank)
        left = [s for s in left if s.name not in done]
    return ranks


@block("Encoders")
class Encoders(SequenceBlockContainer):
    """All networks of the addon whose role is `encoder`, ordered by which network's output another one reads."""

    def __init__(self, parts: Parts) -> None:
        specs = [parts.network_specs[name] for name in parts.with_role("encoder")]
        if not specs:
            raise StackError(f"{parts.where}: the addon has no network with role 'encoder'")
        self.ranks = [[Encoder(parts.network(s.name)) for s in rank] for rank in ordered(specs, parts.where)]
        super().__init__([encoder for rank in self.ranks for encoder in rank])
        for encoder in self.blocks:
            encoder.where = parts.where


@block("ParallelEncoders")
class ParallelEncoders(Encoders):
    """The same as Encoders, with those that do not read each other run at the same time."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts)
        widest = max(map(len, self.ranks))
        # The caller's thread takes one encoder of each rank itself.
        self._pool = ThreadPoolExecutor(widest - 1, "polyvox-encoders") if widest > 1 else None

    def run(self, tensors: Tensors) -> Tensors:
        """Run rank after rank."""
        seen = dict(tensors)
        made: dict[str, object] = {}
        for first, *others in self.ranks:
            # Threads of a pool do not know by themselves how urgent the caller is.
            waiting = [self._pool.submit(copy_context().run, e.run, dict(seen)) for e in others] if self._pool else []
            for out in [first.run(seen), *(w.result() for w in waiting)]:
                seen.update(out)
                made.update(out)
        return {name: seen[name] for name in made}


@block("StreamableStack")
class StreamableStack(StreamableBlock):
    """A list of streamable blocks; each one's upstream is the one before."""

    def __init__(self, stack: list[StreamableBlock]) -> None:
        self.stack = stack

    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """The last block's stream."""
        port = Upstream.of(upstream)
        source: Iterator[Tensors] = port
        for nested in self.stack[:-1]:
            source = connect(nested, tensors, source)
        last = connect(self.stack[-1], tensors, source)
        try:
            while True:
                last.ask(port.wanted)
                chunk = next(last, None)
                if chunk is None:
                    return
                yield chunk
        finally:
            last.close()

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """What the last block's stream carries."""
        for nested in self.stack:
            upstream = nested.specs(tensors, upstream)
        return upstream


@block("StreamablePipeline")
class StreamablePipeline(StreamableBlock):
    """Exactly one sequence block and one streamable block: prepare, then generate on demand.

    In the middle of a stream it is a sequence-to-sequence stage: it gathers its upstream whole first.
    """

    def __init__(self, sequence_block: SequenceBlock, streamable_block: StreamableBlock) -> None:
        self.sequence_block = sequence_block
        self.streamable_block = streamable_block

    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """Gather, run, generate."""
        port = Upstream.of(upstream)
        gathered, _ = port.read(WHOLE)
        prepared = {**tensors, **gathered}
        prepared.update(self.sequence_block.run(prepared))
        made = connect(self.streamable_block, prepared)
        try:
            while True:
                made.ask(port.wanted)
                chunk = next(made, None)
                if chunk is None:
                    return
                yield chunk
        finally:
            made.close()

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """What the streamable block's stream carries."""
        prepared = tensors.plus(upstream)
        prepared = prepared.plus(self.sequence_block.specs(prepared))
        return self.streamable_block.specs(prepared, Specs())
