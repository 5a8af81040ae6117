"""The two abstractions that carry everything, and how blocks are connected."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

from polyvox.tensors import Specs, Tensors, join, steps

DEFAULT_STEPS = 64
"""Steps that a reader asks for who does not say how many."""


class SequenceBlock(ABC):
    """Whole tensors in, whole tensors out. Shared by all utterances and threads: `run` keeps nothing."""

    where: str = "stack"
    """The block's place in the JSON, for messages."""

    @abstractmethod
    def run(self, tensors: Tensors) -> Tensors:
        """Transform the tensors of one utterance; the result is added to what there was."""

    def specs(self, available: Specs) -> Specs:
        """Say what `run` makes out of `available`; raise StackError if it cannot run on that.

        Called once, when the stack is built. A block that does not say makes the checks behind it lenient.
        """
        return Specs({}, open=True)


class StreamableBlock(ABC):
    """Generates tensors chunk by chunk, on demand. State lives in the generator that `stream` returns."""

    where: str = "stack"
    """The block's place in the JSON, for messages."""

    @abstractmethod
    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """Generate the chunks of one utterance.

        Args:
            tensors: what sequence blocks made; may be empty.
            upstream: another block's stream, which may be empty. Every tensor of a chunk has time as its first axis,
                and all tensors of a chunk cover the same stretch of time. It is an `Upstream` when the framework
                connects blocks: `upstream.read(n)` reads n steps at once, `upstream.wanted` says what is asked for.

        Yields:
            Chunks; joined along the first axis they are the block's whole output.
        """

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """Say what the stream carries; raise StackError if it cannot run on that.

        Called once, when the stack is built. A block that does not say passes on what comes and may add anything.
        """
        return Specs(upstream.known, open=True)


Block = SequenceBlock | StreamableBlock


class Upstream(Iterator[Tensors]):
    """What a block reads from, and how much its own reader wants.

    A block that simply iterates passes the wish on: each pull asks its source for `wanted` steps. So demand flows
    from the listener to the first block, and nobody computes what nobody asked for.
    """

    __slots__ = ("_source", "wanted")

    def __init__(self, source: Iterator[Tensors] | None = None, wanted: int = DEFAULT_STEPS) -> None:
        # Another block's port: this reader asks that block's source itself, for what it needs and no more.
        while isinstance(source, Upstream):
            source = source._source
        self._source: Iterator[Tensors] = iter(()) if source is None else source
        self.wanted = wanted

    @classmethod
    def of(cls, upstream: Iterable[Tensors]) -> Upstream:
        """`upstream` itself if it is one, else a wrapper around any iterable of chunks."""
        return upstream if isinstance(upstream, Upstream) else cls(iter(upstream))

    def __next__(self) -> Tensors:
        if isinstance(self._source, Stream):
            self._source.ask(self.wanted)
        return next(self._source)

    def read(self, count: int) -> tuple[Tensors, bool]:
        """Read at least `count` steps, fewer only at the end.

        Returns:
            The chunks joined (empty if there are none left), and whether the stream has ended.
        """
        chunks: list[Tensors] = []
        missing = count
        while missing > 0:
            if isinstance(self._source, Stream):
                self._source.ask(missing)
            chunk = next(self._source, None)
            if chunk is None:
                return join(chunks), True
            chunks.append(chunk)
            missing -= steps(chunk)
        return join(chunks), False

    def close(self) -> None:
        """Stop the work upstream at once."""
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


class Stream(Iterator[Tensors]):
    """A connected block's output: pull chunks; `ask` first to say how large. Closing it stops all work upstream."""

    __slots__ = ("_chunks", "_upstream")

    def __init__(self, block: StreamableBlock, tensors: Tensors, source: Iterator[Tensors] | None = None) -> None:
        self._upstream = Upstream(source)
        self._chunks = iter(block.stream(tensors, self._upstream))

    def ask(self, count: int) -> None:
        """Say how many steps the next chunk should have."""
        self._upstream.wanted = count

    def __next__(self) -> Tensors:
        return next(self._chunks)

    def close(self) -> None:
        """Stop this block and everything upstream of it."""
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()
        self._upstream.close()


def connect(block: StreamableBlock, tensors: Tensors, source: Iterator[Tensors] | None = None) -> Stream:
    """Start `block` on `tensors` and on another block's stream. Nothing is computed before the first pull."""
    return Stream(block, tensors, source)
