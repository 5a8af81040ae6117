"""PhaseRefiner: from a spectrum's phase and a magnitude to a signal that agrees with both."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from polyvox.blocks.registry import block
from polyvox.blocks.windowed import WindowedBlock
from polyvox.errors import StackError, TensorError
from polyvox.tensors import Rows, Specs, Tensors, TensorSpec
from polyvox.windows import Context, Planner, Window

Float = NDArray[np.float32]
Complex = NDArray[np.complex64]

MOST_ITERATIONS = 64


@block("PhaseRefiner")
class PhaseRefiner(WindowedBlock):
    """Turns spectra into audio, after a few iterations that make phase and magnitude agree.

    Reads, frame by frame, `real` and `imag [frames, fft / 2 + 1]`, a spectrum whose phase is to be believed, and
    `magnitude [frames, fft / 2 + 1]`, which is to be believed instead of the spectrum's own. Makes `audio [samples]`,
    `hop` samples a frame: frame t is centred on samples t hop to (t + 1) hop, under a periodic Hann window. Everything
    else passes through.

    No signal has just any spectrum: overlapping frames must agree. Relaxed averaged alternating reflections (Luke,
    2005; for speech: Peer, Welker and Gerkmann, 2022) look for a signal that agrees with phase and magnitude. With X
    the spectrum, P(X) the same with the magnitude imposed, R = 2 P(X) - X, C(R) the spectrum of R's signal and b the
    relaxation, an iteration takes X to `b (C(R) + (X - R) / 2) + (1 - b) P(X)`. It descends from Griffin and Lim's
    X -> C(P(X)) (1984) and gets further in few steps.

    With `balance` b' above 0 the magnitude imposed is not the given one but its geometric mean with that which the
    spectrum's own signal has, weighted by b'. A network's magnitude is smooth, for it cannot know how noise will fall;
    that of a signal made with noise is as rough as real noise is.

    Each iteration needs the frames that overlap, so n of them need `n (fft / hop - 1)` frames of context and a little
    more for the last overlap: limited, so that chunks join to the whole.
    """

    def __init__(self, fft: int, hop: int, iterations: int = 8, relaxation: float = 0.9, balance: float = 0.0) -> None:
        """Set up.

        Args:
            fft: samples in a frame, a multiple of `hop`, at least twice and at most 16 times it.
            hop: samples from one frame to the next, even.
            iterations: 0 makes the audio of the imposed magnitude at once.
            relaxation: b, above 0 and at most 1.
            balance: b', from 0 (the given magnitude) to below 1.
        """
        if not 2 <= hop <= 1 << 14 or hop % 2 or fft % hop or not 2 <= fft // hop <= 16:
            raise ValueError(f"expected an even hop and fft 2 to 16 times as long, not hop {hop} and fft {fft}")
        if not 0 <= iterations <= MOST_ITERATIONS or not 0 < relaxation <= 1:
            raise ValueError(f"expected 0 to {MOST_ITERATIONS} iterations, and relaxation above 0, at most 1")
        if not 0 <= balance < 1:
            raise ValueError(f"expected balance from 0 to below 1, not {balance}")
        self.fft, self.hop, self.bins = fft, hop, fft // 2 + 1
        self.iterations, self.relaxation, self.balance = iterations, relaxation, balance
        overlap = fft // hop
        self._reach = overlap - 1
        width = (iterations + (balance > 0)) * self._reach + overlap // 2
        self.context = Context(width, width, hop)
        self.planner = Planner(self.context)
        self.leader = "magnitude"
        self._window: Float = np.hanning(fft + 1)[:-1].astype(np.float32)
        # The squared windows of the frames over a sample add up to the same everywhere.
        self._synthesis: Float = self._window / np.float32(np.square(self._window).sum() / hop)
        # Where the first frame's samples start before the first hop.
        self._lead = (fft - hop) // 2

    def transform(self, window: Window, rows: Rows, tensors: Tensors) -> Tensors:
        """The audio of the kept frames, and what passes through."""
        magnitude: Float = rows.cut("magnitude", window.start, window.stop)
        spectrum: Complex = np.empty(magnitude.shape, np.complex64)
        for part, name in ((spectrum.real, "real"), (spectrum.imag, "imag")):
            if name not in rows.names():
                raise TensorError(f"{self.where}: 'PhaseRefiner' reads '{name}', which is not in the stream")
            part[:] = rows.cut(name, window.start, window.stop)
        chunk = {
            name: rows.cut(name, window.first, window.last)
            for name in rows.names()
            if name not in ("magnitude", "real", "imag")
        }
        at_start, at_end = window.start == 0, window.stop == window.last
        chunk["audio"] = self._refine(spectrum, magnitude, window.first - window.start, at_start, at_end)[
            : (window.last - window.first) * self.hop
        ]
        return chunk

    def _refine(self, spectrum: Complex, magnitude: Float, first: int, at_start: bool, at_end: bool) -> Float:
        """Audio from frame `first` on. Where the utterance goes on, the outermost frames are given up each time."""
        reach, relaxation = self._reach, np.float32(self.relaxation)
        # Beyond the utterance's own ends there is no frame, and nothing to give up.
        before, after = 0 if at_start else reach, 0 if at_end else reach
        if self.balance:
            signal = self._signal(spectrum, at_start, at_end)
            spectrum = self._spectrum(signal[before * self.hop : len(signal) - after * self.hop])
            magnitude = self._balanced(spectrum, magnitude[before : len(magnitude) - after])
            first -= before
        for _ in range(self.iterations):
            # P(X) is X, bin by bin, times a real number; so is every term but C(R).
            ratio = self._ratio(spectrum, magnitude)
            signal = self._signal(spectrum * (2 * ratio - 1), at_start, at_end)
            inner = slice(before, len(spectrum) - after)
            made = self._spectrum(signal[before * self.hop : len(signal) - after * self.hop])
            made *= relaxation
            made += spectrum[inner] * (relaxation + (1 - 2 * relaxation) * ratio[inner])
            spectrum, magnitude, first = made, magnitude[inner], first - before
        signal = self._signal(spectrum * self._ratio(spectrum, magnitude), at_start, at_end)
        audio: Float = signal[self._lead + first * self.hop :]
        # Features that are no speech may ask for anything; a listener's ears are not to pay for it.
        return np.clip(audio, -1.0, 1.0, out=audio)

    def _balanced(self, spectrum: Complex, magnitude: Float) -> Float:
        """The geometric mean of the magnitude and the spectrum's own."""
        balance = np.float32(self.balance)
        mean: Float = np.exp(
            (1 - balance) * np.log(np.maximum(magnitude, 1e-6)) + balance / 2 * np.log(_power(spectrum))
        )
        return mean

    @staticmethod
    def _ratio(spectrum: Complex, magnitude: Float) -> Float:
        """What the spectrum has to be multiplied by to have the magnitude."""
        power = _power(spectrum)
        np.sqrt(power, out=power)
        ratio: Float = np.divide(magnitude, power, out=power)
        return ratio

    def _signal(self, spectrum: Complex, at_start: bool, at_end: bool) -> Float:
        """Inverse STFT: all samples under the frames, the utterance's outside silent."""
        frames = np.fft.irfft(spectrum, n=self.fft).astype(np.float32, copy=False)
        frames *= self._synthesis
        count, overlap = len(frames), self.fft // self.hop
        signal: Float = np.zeros((count + overlap - 1, self.hop), np.float32)
        for i in range(overlap):
            signal[i : i + count] += frames[:, i * self.hop : (i + 1) * self.hop]
        flat = signal.reshape(-1)
        if at_start:
            flat[: self._lead] = 0
        if at_end:
            flat[len(flat) - self._lead :] = 0
        return flat

    def _spectrum(self, signal: Float) -> Complex:
        """STFT of the frames that lie whole within the signal."""
        frames = np.lib.stride_tricks.sliding_window_view(signal, self.fft)[:: self.hop]
        spectrum: Complex = np.fft.rfft(frames * self._window).astype(np.complex64, copy=False)
        return spectrum

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """What passes through, and the audio."""
        for name in ("magnitude", "real", "imag"):
            spec = upstream.get(name)
            if spec is None and not upstream.open:
                raise StackError(
                    f"{self.where}: 'PhaseRefiner' reads '{name}' from the stream;"
                    f" that carries {', '.join(upstream) or 'nothing'}"
                )
            if spec is not None and (len(spec.axes) != 2 or spec.axes[1] not in (self.bins,)):
                raise StackError(
                    f"{self.where}: 'PhaseRefiner' with fft {self.fft} reads '{name}' with axes [frames, {self.bins}],"
                    f" but it is {spec}"
                )
        made = {"audio": TensorSpec("float32", ("samples",))}
        return upstream.without({"magnitude", "real", "imag"}).plus(made)


def _power(spectrum: Complex) -> Float:
    """Squared magnitude, never quite 0."""
    power: Float = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    power += np.float32(1e-12)
    return power
