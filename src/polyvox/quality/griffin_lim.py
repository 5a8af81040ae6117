"""The low anchor of vocoders: Griffin-Lim, which knows nothing of speech and needs no training. Numpy only."""

from __future__ import annotations

import numpy as np

from polyvox.quality.mel import Mel
from polyvox.tensors import Array

ITERATIONS = 60


def _synthesise(spectrum: Array, mel: Mel) -> Array:
    """Least-squares inverse [(frames - 1) * hop + fft] of `Mel.spectrum`: weighted overlap-add."""
    hop, fft = mel.contract.hop_length, mel.contract.fft
    steps = -(-fft // hop)
    fill = (0, steps * hop - fft)
    pieces = np.pad(np.fft.irfft(spectrum, fft, axis=1) * mel.window, ((0, 0), fill))
    square = np.pad(np.square(mel.window), fill).reshape(steps, hop)
    samples = np.zeros((len(pieces) + steps - 1, hop), dtype=np.float32)
    weights = np.zeros_like(samples)
    for i, part in enumerate(np.split(pieces, steps, axis=1)):
        samples[i : i + len(pieces)] += part
        weights[i : i + len(pieces)] += square[i]
    # The first and last few samples lie under the feet of a single window, where dividing would only raise noise.
    joined = (samples / np.maximum(weights, 1e-2)).reshape(-1)
    return np.asarray(joined[: (len(pieces) - 1) * hop + fft])


def griffin_lim(features: Array, mel: Mel, iterations: int = ITERATIONS, seed: int = 0) -> Array:
    """Audio float32 [frames * hop] of features [frames, bands] (Griffin and Lim, 1984), from random phases.

    Args:
        features: as `mel.features` makes them.
        mel: the contract that they follow.
        iterations: how often the phases are estimated again.
        seed: of the first phases.
    """
    wanted = mel.magnitude(features)
    random = np.random.default_rng(seed)
    phase = np.exp(2j * np.pi * random.random(wanted.shape)).astype(np.complex64)
    for _ in range(iterations):
        spectrum = mel.spectrum(_synthesise(wanted * phase, mel))
        phase = (spectrum / np.maximum(np.abs(spectrum), 1e-8)).astype(np.complex64)
    length = len(wanted) * mel.contract.hop_length
    audio = _synthesise(wanted * phase, mel)[mel.left : mel.left + length]
    return np.pad(audio, (0, length - len(audio))).astype(np.float32)
