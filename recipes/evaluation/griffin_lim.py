"""The low anchor of vocoders: Griffin-Lim, which knows nothing of speech and needs no training."""

from __future__ import annotations

from functools import cache

import numpy as np
import scipy.fft

from recipes.features import EDGE, HOP, LOG_FLOOR, N_FFT, mel_filters, window

ITERATIONS = 60


@cache
def _from_mel() -> np.ndarray:
    return np.linalg.pinv(mel_filters()).T.astype(np.float32)


def magnitude(log_mel: np.ndarray) -> np.ndarray:
    """Magnitude spectrogram [frames, bins] of log-mel [frames, bands], by the pseudo-inverse of the mel filters."""
    return np.maximum(np.exp(np.asarray(log_mel, dtype=np.float32)) @ _from_mel(), LOG_FLOOR)


def _analyse(padded: np.ndarray) -> np.ndarray:
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    return scipy.fft.rfft(frames * window(), axis=1)


def _synthesise(spectrum: np.ndarray) -> np.ndarray:
    """Least-squares inverse [frames * HOP + 2 * EDGE] of `_analyse`: weighted overlap-add."""
    pieces = scipy.fft.irfft(spectrum, N_FFT, axis=1) * window()
    samples = np.zeros((len(pieces) + N_FFT // HOP - 1, HOP), dtype=np.float32)
    weights = np.zeros_like(samples)
    square = np.square(window()).reshape(-1, HOP)
    for i, quarter in enumerate(np.split(pieces, N_FFT // HOP, axis=1)):
        samples[i : i + len(pieces)] += quarter
        weights[i : i + len(pieces)] += square[i]
    # The first and last few samples lie under the feet of a single window, where dividing would only raise noise.
    return (samples / np.maximum(weights, 1e-2)).reshape(-1)


def griffin_lim(log_mel: np.ndarray, iterations: int = ITERATIONS, seed: int = 0) -> np.ndarray:
    """Audio float32 [frames * HOP] of log-mel [frames, bands] (Griffin and Lim, 1984), from random phases."""
    wanted = magnitude(log_mel)
    random = np.random.default_rng(seed)
    phase = np.exp(2j * np.pi * random.random(wanted.shape)).astype(np.complex64)
    for _ in range(iterations):
        spectrum = _analyse(_synthesise(wanted * phase))
        phase = spectrum / np.maximum(np.abs(spectrum), 1e-8)
    return _synthesise(wanted * phase)[EDGE:-EDGE]
