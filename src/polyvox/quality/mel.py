"""Log-mel features as any addon's feature contract says. Numpy only."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from polyvox.addons.manifest import Features
from polyvox.errors import QualityError
from polyvox.tensors import Array


def _to_mel(hz: Array, scale: str) -> Array:
    """Mel of frequencies in Hz.

    `slaney` (Auditory Toolbox, 1998): linear below 1 kHz (15 mel), logarithmic above (27 steps per factor 6.4);
    `htk` (the HTK Book): 2595 log10(1 + f / 700).
    """
    if scale == "htk":
        return np.asarray(2595 * np.log10(1 + hz / 700))
    return np.where(hz < 1000, hz * 3 / 200, 15 + 27 * np.log(np.maximum(hz, 1e-9) / 1000) / np.log(6.4))


def _to_hz(mel: Array, scale: str) -> Array:
    if scale == "htk":
        return np.asarray(700 * (10 ** (mel / 2595) - 1))
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


class Mel:
    """The features of one contract: audio [frames * hop_length] and features [frames, bands] are the same time.

    Frame t's FFT window, over the padded audio:

        uncentred  |<- (fft - hop) / 2 ->|<- hop: frame t ->|<- (fft - hop) / 2 ->|
        centred    |<- fft / 2 ->|<- sample t * hop ...     ->|
    """

    def __init__(self, contract: Features) -> None:
        """Raises QualityError where windows would leave gaps: 0 < hop_length <= window <= fft must hold."""
        c = self.contract = contract
        if not 0 < c.hop_length <= c.window <= c.fft:
            raise QualityError(
                f"features with hop {c.hop_length}, window {c.window} and FFT {c.fft} cannot be made of recordings;"
                " expected hop <= window <= FFT"
            )
        self.left = c.fft // 2 if c.centered else (c.fft - c.hop_length) // 2
        self.right = max(0, c.fft - c.hop_length - self.left)

    @cached_property
    def filters(self) -> Array:
        """Triangular filters float32 [bands, fft // 2 + 1]; with the Slaney norm, each with unit area."""
        c = self.contract
        bins = np.linspace(0, c.sample_rate / 2, c.fft // 2 + 1)
        ends = _to_mel(np.array([c.f_min, c.f_max]), c.mel_scale)
        edges = _to_hz(np.linspace(ends[0], ends[1], c.bands + 2), c.mel_scale)
        rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
        fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
        triangles = np.maximum(0, np.minimum(rise, fall))
        if c.norm == "slaney":
            triangles = triangles * (2 / (edges[2:] - edges[:-2]))[:, None]
        return np.asarray(triangles, dtype=np.float32)

    @cached_property
    def window(self) -> Array:
        """The periodic Hann window float32 [fft]; one that is shorter stands in the middle."""
        c = self.contract
        hann = np.hanning(c.window + 1)[:-1].astype(np.float32)
        before = (c.fft - c.window) // 2
        return np.pad(hann, (before, c.fft - c.window - before))

    def spectrum(self, padded: Array) -> Array:
        """Complex spectrogram [frames, fft // 2 + 1] of audio that is padded already."""
        frames = np.lib.stride_tricks.sliding_window_view(padded, self.contract.fft)[:: self.contract.hop_length]
        return np.asarray(np.fft.rfft(frames * self.window, axis=1))

    def features(self, audio: Array) -> Array:
        """Features float32 [frames, bands] of audio [frames * hop_length]."""
        c = self.contract
        padded = np.pad(audio, (self.left, self.right), mode="reflect")
        magnitude = np.abs(self.spectrum(padded)[: len(audio) // c.hop_length])
        made = np.maximum((magnitude if c.power == 1 else magnitude**c.power) @ self.filters.T, c.floor)
        if c.log != "none":
            made = np.log(made) if c.log == "natural" else np.log10(made)
        return np.asarray(made, dtype=np.float32)

    @cached_property
    def _from_bands(self) -> Array:
        return np.asarray(np.linalg.pinv(self.filters).T, dtype=np.float32)

    def magnitude(self, features: Array) -> Array:
        """Magnitude spectrogram [frames, fft // 2 + 1] of features [frames, bands], by the filters' pseudo-inverse."""
        c = self.contract
        made = np.asarray(features, dtype=np.float32)
        if c.log != "none":
            made = np.exp(made) if c.log == "natural" else np.power(np.float32(10), made)
        spectrum = np.maximum(made @ self._from_bands, np.float32(c.floor))
        return np.asarray(spectrum if c.power == 1 else spectrum ** np.float32(1 / c.power))
