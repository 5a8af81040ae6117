"""Windows: which frames a network is given, and which of its outputs are kept. Pure, without networks.

One mechanism serves streaming and fixed shapes. A network needs `left` and `right` frames of context around the
frames that it is asked for:

    frames          0 . . . . . . . . . . . . . . . . . . . . . . total
    already done    |---------------|done
    read                      start |<--left-->|                 |
    read                      [=====+==========+======]stop
    kept                            [done  last)      |
                                               |<right>|

At the true start and end of the utterance there is no context and none is invented: the window is cut there, so
the network sees the utterance's own edges. A window of fixed size that would pass the end is shifted left to end at
the last frame; only an utterance shorter than the smallest window (that leaves room between its contexts) is padded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WHOLE = 1 << 40
"""Asking for this many steps asks for everything."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a streamed network needs: frames to the left and right, and outputs per input step."""

    left: int
    right: int
    hop: int = 1

    def __post_init__(self) -> None:
        if self.left < 0 or self.right < 0 or self.hop < 1:
            raise ValueError(f"context needs left >= 0, right >= 0, hop >= 1, not {self}")


@dataclass(frozen=True, slots=True)
class Window:
    """Read frames [start, stop); keep the outputs of frames [first, last)."""

    start: int
    stop: int
    first: int
    last: int

    def kept(self, hop: int) -> slice:
        """The kept part of the network's output, counted in output steps."""
        return slice((self.first - self.start) * hop, (self.last - self.start) * hop)


@dataclass(frozen=True, slots=True)
class Planner:
    """Plans one window at a time, as the stream's frames become known.

    `sizes` are the compiled window sizes, ascending; empty for dynamic shapes.
    """

    context: Context
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if list(self.sizes) != sorted(set(self.sizes)) or any(s < 1 for s in self.sizes):
            raise ValueError(f"window sizes must ascend, not {self.sizes}")
        if self.sizes and self.sizes[-1] <= self.context.left + self.context.right:
            raise ValueError(
                f"the largest window of {self.sizes[-1]} frames leaves none between"
                f" {self.context.left} frames of context on the left and {self.context.right} on the right"
            )

    def _size(self, done: int, wanted: int) -> int:
        """The smallest compiled size that yields `wanted` frames after `done`, else the largest.

        Where two smaller windows, one after the other, yield them at no greater cost, it is the first of the two: its
        frames come sooner, and blocks upstream have less to make for it.
        """
        margin = done - max(0, done - self.context.left) + self.context.right
        useful = [s for s in self.sizes if s > margin]
        cover = next((s for s in useful if s >= margin + wanted), None)
        if cover is None:
            return useful[-1]
        later = self.context.left + self.context.right
        for size in useful[: useful.index(cover)]:
            rest = later + wanted - (size - margin)
            second = next((s for s in self.sizes if s >= rest), None)
            if second is not None and size + second <= cover:
                return size
        return cover

    def reach(self, done: int, wanted: int) -> int:
        """The frame before which the next window ends if the utterance is long enough: what must be read."""
        if not self.sizes:
            return done + wanted + self.context.right
        return max(0, done - self.context.left) + self._size(done, wanted)

    def keep_from(self, done: int) -> int:
        """The first frame that a later window can still read."""
        return max(0, done - max(self.context.left, self.sizes[-1] if self.sizes else 0))

    def window(self, done: int, wanted: int, available: int, *, ended: bool) -> Window | None:
        """The next window, or None if more frames must be known first.

        Args:
            done: frames whose outputs were kept so far.
            wanted: frames asked for, at least 1; fewer come at the end, other numbers with fixed sizes.
            available: frames known so far.
            ended: whether these are all.
        """
        if wanted < 1:
            raise ValueError(f"wanted must be at least 1, not {wanted}")
        stop = self.reach(done, wanted)
        start = max(0, done - self.context.left)
        if stop <= available and not (ended and stop == available):
            return Window(start, stop, done, stop - self.context.right)
        if not ended:
            return None
        if done >= available:
            return None
        if not self.sizes:
            return Window(start, available, done, available)
        # The end: the smallest size that covers what is left and its left context, shifted to end at the end.
        cover = next(s for s in self.sizes if s >= available - start)
        if cover <= available:
            return Window(available - cover, available, done, available)
        # The whole utterance lies between two sizes. Windows of the smaller one need no padding; where they would
        # keep less than a quarter of what they read, they cost more than padding does.
        margin = done - start + self.context.right
        smaller = [s for s in self.sizes if margin < s < cover and 4 * (s - margin) >= s]
        if smaller:
            return Window(start, start + smaller[-1], done, start + smaller[-1] - self.context.right)
        return Window(0, available, done, available)

    def windows(self, total: int, wanted: Sequence[int]) -> Iterator[Window]:
        """All windows of an utterance of `total` frames; the last of `wanted` repeats."""
        done, index = 0, 0
        while done < total:
            asked = wanted[min(index, len(wanted) - 1)]
            window = self.window(done, asked, total, ended=True)
            assert window is not None
            yield window
            done, index = window.last, index + 1


@dataclass(frozen=True, slots=True)
class Pace:
    """How large the chunks are that a listener is given, in frames.

    The first is small, so that it comes soon; each is up to `growth` times the one before, because a listener who has
    audio in hand can wait, and few large windows recompute less context than many small ones. What a listener can wait
    for on this machine is known to `polyvox.pacing`, which grows chunks no faster; so `growth` may be large.
    """

    first: int = 32
    growth: float = 32.0
    maximum: int = 768
