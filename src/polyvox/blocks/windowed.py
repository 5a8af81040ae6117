"""Running anything over windows of a stream, with context: what networks and signal processing have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from polyvox.blocks.block import Block, StreamableBlock, Upstream
from polyvox.blocks.build import nested
from polyvox.tensors import Rows, Tensors
from polyvox.windows import Context, Planner, Window


class WindowedBlock(StreamableBlock):
    """A block whose output at a frame depends on so many frames to the left and right and on nothing else.

    A subclass sets `context`, `planner` and `leader` and writes `transform`; the chunks then join to the whole output.
    """

    context: Context
    """Frames to the left and right that a frame depends on, and outputs a frame."""
    planner: Planner
    """Plans the windows."""
    own_work: bool = True
    """Whether `transform` computes something itself, which a trace should show; not where it only runs a network."""
    timing: Callable[[], AbstractContextManager[None]] = nullcontext
    """What `transform` runs within: a trace's span, if there is a trace."""
    leader: str
    """The upstream's tensor whose rows are the frames."""

    @abstractmethod
    def transform(self, window: Window, rows: Rows, tensors: Tensors) -> Tensors:
        """Make the chunk of frames [window.first, window.last) from the upstream's frames [window.start, window.stop).

        At the utterance's own edges the window has no context: `window.start` is 0, or `rows.stop` is its end.
        """

    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """The windows' outputs."""
        port = Upstream.of(upstream)
        rows = Rows(self.leader)
        done, ended = 0, False
        while True:
            wanted = max(1, -(-port.wanted // self.context.hop))
            while not ended and rows.stop < (reach := self.planner.reach(done, wanted)):
                chunk, ended = port.read(reach - rows.stop)
                if chunk:
                    rows.append(chunk, self.where)
            window = self.planner.window(done, wanted, rows.stop, ended=ended)
            if window is None:
                if not ended:  # exactly to the end so far: see whether there is more
                    chunk, ended = port.read(1)
                    if chunk:
                        rows.append(chunk, self.where)
                    continue
                return
            with self.timing():
                chunk = self.transform(window, rows, tensors)
            yield chunk
            done = window.last
            rows.drop(min(done, self.planner.keep_from(done)))


def time_own_work(block: Block, timing: Callable[[str], AbstractContextManager[None]]) -> None:
    """Have `timing`, given a block's type, surround what the windowed blocks in `block` compute themselves."""
    for part in nested(block):
        if isinstance(part, WindowedBlock) and part.own_work:
            part.timing = partial(timing, type(part).__name__)
