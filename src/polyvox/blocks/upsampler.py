"""Upsampler: from the pace of tokens to the pace of frames."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from polyvox.blocks.block import StreamableBlock, Upstream
from polyvox.blocks.registry import block
from polyvox.errors import StackError, TensorError
from polyvox.tensors import Array, Specs, Tensors, TensorSpec


@block("Upsampler")
class Upsampler(StreamableBlock):
    """Repeats each token's encoding for its number of frames, in chunks no larger than asked.

    Reads `durations [tokens]` (frames, whole numbers or rounded to them) and the tensors in `repeat`. Makes these
    with `frames` in place of `tokens`, and for every frame `token_index [frames]` (which token it speaks),
    `token_position [frames]` (where in the token its middle lies, 0 to 1) and `token_frames [frames]` (how many
    frames that token has).
    """

    def __init__(self, repeat: list[str] | None = None, durations: str = "durations", longest: int = 2000) -> None:
        """Set up.

        Args:
            repeat: the tensors to repeat; `encoded` if not given.
            durations: the tensor with the number of frames of each token.
            longest: frames of one token above which the durations count as broken.
        """
        self.repeat = ["encoded"] if repeat is None else repeat
        self.durations = durations
        self.longest = longest

    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """Chunks of frames."""
        port = Upstream.of(upstream)
        counts = self._counts(tensors)
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        done = 0
        while done < total:
            last = min(total, done + max(1, port.wanted))
            frames = np.arange(done, last)
            index = np.searchsorted(ends, frames, side="right")
            length = counts[index].astype(np.float32)
            chunk: dict[str, Array] = {name: tensors[name][index] for name in self.repeat}
            chunk["token_index"] = index
            chunk["token_position"] = (frames - (ends[index] - counts[index]) + np.float32(0.5)).astype(
                np.float32
            ) / length
            chunk["token_frames"] = length
            yield chunk
            done = last

    def _counts(self, tensors: Tensors) -> Array:
        for name in [self.durations, *self.repeat]:
            if name not in tensors:
                raise TensorError(f"{self.where}: tensor '{name}' is missing; there are {sorted(tensors)}")
            if len(tensors[name]) != len(tensors[self.durations]):
                raise TensorError(
                    f"{self.where}: '{name}' has {len(tensors[name])} tokens,"
                    f" '{self.durations}' has {len(tensors[self.durations])}"
                )
        given = np.asarray(tensors[self.durations])
        if not np.all(np.isfinite(given)) or np.any(given < 0) or np.any(given > self.longest):
            raise TensorError(
                f"{self.where}: '{self.durations}' must be 0 to {self.longest} frames a token,"
                f" but reach from {np.min(given)} to {np.max(given)}"
            )
        counts: Array = np.rint(given).astype(np.int64)
        return counts

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """The repeated tensors at the pace of frames, and where each frame stands in its token."""
        made: dict[str, TensorSpec] = {}
        for name in [self.durations, *self.repeat]:
            spec = tensors.get(name)
            if spec is None:
                if tensors.open:
                    continue
                raise StackError(
                    f"{self.where}: 'Upsampler' reads '{name}', which nobody before it makes;"
                    f" there are {', '.join(sorted(tensors)) or 'no tensors'}"
                )
            if not spec.axes or spec.axes[0] != "tokens" or (name == self.durations and len(spec.axes) != 1):
                wanted = "[tokens]" if name == self.durations else "[tokens, ...]"
                raise StackError(f"{self.where}: 'Upsampler' reads '{name}' with axes {wanted}, but it is {spec}")
            if name in self.repeat:
                made[name] = TensorSpec(spec.dtype, ("frames", *spec.axes[1:]))
        made["token_index"] = TensorSpec("int64", ("frames",))
        made["token_position"] = TensorSpec("float32", ("frames",))
        made["token_frames"] = TensorSpec("float32", ("frames",))
        return Specs(made, tensors.open)
