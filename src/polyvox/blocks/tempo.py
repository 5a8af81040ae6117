"""Tempo: faster or slower speech from a model that cannot do that itself."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from polyvox.blocks.block import StreamableBlock, Upstream
from polyvox.blocks.registry import block
from polyvox.errors import StackError, TensorError
from polyvox.tensors import Array, Rows, Specs, Tensors

SLOWEST, FASTEST = 0.1, 10.0


@block("Tempo")
class Tempo(StreamableBlock):
    """Stretches a stream of frames in time: speech gets faster or slower, and its pitch stays.

    For models without durations, between the decoder and the vocoder. Output frame i is read at the middle of the
    stretch [i * speed, (i + 1) * speed) of input frames: tensors of floats are interpolated between two frames, and
    of others (indices, marks) the largest in the stretch is taken, so that no mark is lost. At speed 1 the chunks pass
    untouched.
    """

    def __init__(self, control: str = "speed", tensor: str = "mel") -> None:
        """Set up.

        Args:
            control: the scalar that says how many times as fast; without it nothing is stretched.
            tensor: whose rows are the frames.
        """
        self.control = control
        self.tensor = tensor

    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """Chunks of stretched frames."""
        speed = float(tensors.get(self.control, 1.0))
        if not SLOWEST <= speed <= FASTEST:
            raise TensorError(f"{self.where}: '{self.control}' is {speed:g}, expected {SLOWEST:g} to {FASTEST:g}")
        port = Upstream.of(upstream)
        if speed == 1.0:
            yield from port
            return
        rows = Rows(self.tensor)
        done, ended = 0, False
        while True:
            last = done + max(1, port.wanted)
            # One frame more than the last stretch, to interpolate with.
            while not ended and rows.stop < (needed := int(np.ceil(last * speed)) + 1):
                chunk, ended = port.read(needed - rows.stop)
                if chunk:
                    rows.append(chunk, self.where)
            if ended:
                last = min(last, round(rows.stop / speed))
            if last > done:
                yield self._stretched(rows, np.arange(done, last), speed)
                done = last
                rows.drop(min(rows.stop, max(rows.start, int((done + 0.5) * speed - 0.5))))
            elif ended:
                return

    @staticmethod
    def _stretched(rows: Rows, frames: Array, speed: float) -> dict[str, Array]:
        first, stop = rows.start, rows.stop
        place = np.clip((frames + 0.5) * speed - 0.5, first, stop - 1)
        low = place.astype(np.int64)
        high = np.minimum(low + 1, stop - 1)
        share = (place - low).astype(np.float32)
        starts = np.clip((frames * speed).astype(np.int64), first, stop - 1)
        ends = np.clip(np.ceil((frames + 1) * speed).astype(np.int64), starts + 1, stop)
        made: dict[str, Array] = {}
        for name in rows.names():
            array = rows.cut(name, first, stop)
            if array.dtype.kind == "f":
                weight = share.reshape(-1, *[1] * (array.ndim - 1)).astype(array.dtype)
                made[name] = array[low - first] * (1 - weight) + array[high - first] * weight
            else:
                made[name] = np.stack([array[a:b].max(0) for a, b in zip(starts - first, ends - first, strict=True)])
        return made

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """What comes."""
        if self.tensor not in upstream and not upstream.open:
            raise StackError(
                f"{self.where}: 'Tempo' stretches '{self.tensor}', but a stream of"
                f" {', '.join(upstream) or 'nothing'} comes"
            )
        axis = upstream[self.tensor].axes[:1] if self.tensor in upstream else ()
        for name in upstream:
            if axis and upstream[name].axes[:1] != axis:
                raise StackError(
                    f"{self.where}: 'Tempo' stretches {axis[0]}, but the stream carries '{name}' as {upstream[name]};"
                    " it belongs before blocks that change the pace"
                )
        return upstream
