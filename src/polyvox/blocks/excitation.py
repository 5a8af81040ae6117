"""Excitation: the source of a source-filter vocoder."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from polyvox.blocks.block import StreamableBlock, Upstream
from polyvox.blocks.registry import block
from polyvox.errors import StackError, TensorError
from polyvox.tensors import Rows, Specs, Tensors, TensorSpec

Float = NDArray[np.float32]

NOISE_FRAMES = 1024
"""After so many frames the noise repeats: too long to be heard, and far cheaper than making it anew."""

REST_FRAMES = 3
"""Frames without voice in a row after which phase starts anew."""


@block("Excitation")
class Excitation(StreamableBlock):
    """Makes a pulse train and white noise from F0: what a vocoder's network shapes into voice and breath.

    Reads `f0 [frames]` in Hz at the frames' centres. Adds, for every frame, the samples of its hop:
    `harmonics [frames, hop]`, equal cosines at every multiple of F0 up to `top` Hz, whose phase runs on unbroken
    through the whole utterance, and `noise [frames, hop]` of unit variance, the same for every utterance. So chunks
    of any size join to the same signal. The neural source-filter model (Wang, Takaki and Yamagishi, 2019) works
    from such a source.

    Between centres F0 is linear. A frame therefore needs the next one's F0, and is made when that is known.

    Phase adds F0 up, and so adds up the differences of rounding between one way of running the networks before it
    and another. With `rest_below` the phase starts anew in every stretch without voice, which bounds them: a
    stretch in which the mean of the lowest `rest_bands` of `mel [frames, bands]` stays below it for three frames.
    """

    def __init__(
        self,
        sample_rate: int,
        hop: int,
        top: float = 8000.0,
        seed: int = 0,
        rest_below: float | None = None,
        rest_bands: int = 16,
    ) -> None:
        if sample_rate < 1 or not 1 <= hop <= 1 << 16 or not 0 < top <= sample_rate / 2:
            raise ValueError("expected sample_rate >= 1, hop 1 to 65536, and top above 0, at most half sample_rate")
        self.sample_rate, self.hop, self.top, self.seed = sample_rate, hop, top, seed
        self.rest_below, self.rest_bands = rest_below, rest_bands
        random = np.random.Generator(np.random.Philox(seed))
        self._noise: Float = random.standard_normal((NOISE_FRAMES, hop), dtype=np.float32)
        self._u = (np.arange(hop) - hop / 2) / hop

    def stream(self, tensors: Tensors, upstream: Iterator[Tensors]) -> Iterator[Tensors]:
        """The upstream's chunks, one frame late, with the excitation beside."""
        port = Upstream.of(upstream)
        rows = Rows("f0")
        cycles, previous, done, ended = 0.0, None, 0, False
        weak = 0  # frames without voice so far, in a row
        while not ended or done < rows.stop:
            wanted = max(1, port.wanted)
            while not ended and rows.stop <= done + wanted:
                chunk, ended = port.read(done + wanted + 1 - rows.stop)
                if chunk:
                    rows.append(chunk, self.where)
            last = rows.stop if ended else rows.stop - 1
            if last <= done:
                continue
            f0 = np.asarray(rows.cut("f0", done, rows.stop), dtype=np.float64)
            if not np.all(f0 > 0) or not np.all(f0 < self.sample_rate):
                raise TensorError(f"{self.where}: F0 must lie above 0 Hz, below {self.sample_rate}, and be a number")
            count = last - done
            anew, weak = self._rests(rows, done, last, weak)
            harmonics, cycles = self._pulses(f0, count, previous, cycles, anew)
            out = {name: rows.cut(name, done, last) for name in rows.names()}
            out["harmonics"] = harmonics
            out["noise"] = self._noise.take(np.arange(done, last), axis=0, mode="wrap")
            yield out
            previous, done = f0[count - 1], last
            rows.drop(done)

    def _rests(self, rows: Rows, first: int, last: int, weak: int) -> tuple[list[int], int]:
        """The frames, counted from `first`, at which phase starts anew, and how many weak frames end the stretch."""
        if self.rest_below is None:
            return [], 0
        if "mel" not in rows.names():
            raise TensorError(f"{self.where}: 'rest_below' needs 'mel' in the stream, which carries {rows.names()}")
        anew = []
        levels = rows.cut("mel", first, last)[:, : self.rest_bands].mean(axis=1, dtype=np.float64)
        for frame, is_weak in enumerate((levels < self.rest_below).tolist()):
            weak = weak + 1 if is_weak else 0
            if weak == REST_FRAMES:
                anew.append(frame)
        return anew, weak

    def _pulses(
        self, f0: NDArray[np.float64], count: int, previous: float | None, cycles: float, anew: list[int]
    ) -> tuple[Float, float]:
        """The pulses of the first `count` frames, and the phase (in cycles) at the centre of the one after.

        `f0` holds `count` frames, and one more unless the utterance ends; `cycles` is the phase at the first centre;
        at the centres of the frames in `anew` it is 0.
        """
        after = f0[1:] if len(f0) > count else np.append(f0[1:], f0[-1])
        before = np.empty(count)
        before[0] = f0[0] if previous is None else previous
        before[1:] = f0[: count - 1]
        now = f0[:count]
        period = self.hop / self.sample_rate
        centres = cycles + np.concatenate(([0.0], np.cumsum((now + after) / 2 * period)))
        for frame in anew:
            centres[frame:] -= centres[frame]
        u, half = self._u, self.hop // 2
        bend = u * u / 2
        phase = now[:, None] * u
        phase[:, :half] += (now - before)[:, None] * bend[:half]
        phase[:, half:] += (after - now)[:, None] * bend[half:]
        phase *= period
        phase += (centres[:count] % 1.0)[:, None]
        phase -= np.rint(phase)
        # The sum of cosines in closed form (Dirichlet's kernel).
        angle = (math.pi * phase).astype(np.float32)
        harmonics = np.floor(self.top / now).astype(np.float32)[:, None]
        sine = np.sin(angle)
        near = np.abs(sine) < 3e-5
        sine[near] = 1.0
        sine *= 2
        angle *= 2 * harmonics + 1
        pulses: Float = np.sin(angle, out=angle)
        pulses /= sine
        pulses -= np.float32(0.5)
        np.copyto(pulses, harmonics, where=near)
        return pulses, float(centres[count] % 1.0)

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """What comes, and the excitation."""
        f0 = upstream.get("f0")
        if f0 is None and not upstream.open:
            raise StackError(
                f"{self.where}: 'Excitation' reads 'f0' from the stream; that carries {', '.join(upstream)}"
            )
        if f0 is not None and len(f0.axes) != 1:
            raise StackError(f"{self.where}: 'Excitation' reads 'f0' with axes [frames], but it is {f0}")
        made = TensorSpec("float32", ("frames", self.hop))
        return upstream.plus({"harmonics": made, "noise": made})
