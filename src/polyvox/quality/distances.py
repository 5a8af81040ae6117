"""Distances between two utterances: spectra, F0, and alignment in time. Numpy only."""

from __future__ import annotations

import numpy as np

from polyvox.tensors import Array

ORDER = 24
# Spectra are compared up to here, in Hz (or to half the sample rate): above, mel features say nothing, and whether a
# system puts noise or nothing there would outweigh all that is heard.
TOP = 8000.0
# All-pass constant at which the warped frequency axis from 0 to TOP lies closest to the mel scale (SPTK's choice); kept
# for a lower TOP too, where distances are comparable within one table only.
WARP = 0.42
# A frame this far below the recording's loudest one (dB) is pause: its noise says nothing about the voice.
PAUSE_DB = 40.0


def mel_cepstrum(power: Array, order: int = ORDER, warp: float = WARP) -> Array:
    """Mel cepstrum [frames, order + 1] of smooth power spectra [frames, bins], whose bins run from 0 Hz to TOP.

    The coefficients are those of log|H| = sum of c[m] cos(m w), where
    w is the frequency axis warped by a first-order all-pass (Tokuda, Kobayashi, Masuko and Imai, 1994).
    """
    omega = np.linspace(0, np.pi, power.shape[1])
    warped = omega + 2 * np.arctan2(warp * np.sin(omega), 1 - warp * np.cos(omega))
    # Trapezoid rule over the warped axis: half the distance between a bin's two neighbours.
    widths = np.gradient(warped)
    widths[[0, -1]] /= 2
    basis = np.cos(np.outer(warped, np.arange(order + 1))) * (widths / np.pi)[:, None]
    basis[:, 0] /= 2
    return np.asarray(np.log(np.maximum(power, 1e-16)) @ basis)


def mel_cepstral_distortion(a: Array, b: Array) -> Array:
    """Mel-cepstral distortion in dB of each pair of frames of a, b [frames, order + 1] (Kubichek, 1993).

    Coefficient 0, the level, is left out.
    """
    return np.asarray(10 / np.log(10) * np.sqrt(2 * np.square(a[:, 1:] - b[:, 1:]).sum(axis=1)))


def speech_frames(audio: Array, hop: int, below: float = PAUSE_DB) -> Array:
    """Which frames [len(audio) // hop] lie within `below` dB of the loudest one."""
    frames = np.asarray(audio, dtype=np.float64)[: len(audio) // hop * hop].reshape(-1, hop)
    level = 10 * np.log10(np.square(frames).mean(axis=1) + 1e-12)
    return np.asarray(level > level.max(initial=-np.inf) - below)


def time_warp(a: Array, b: Array) -> tuple[Array, Array]:
    """Dynamic time warping of a [n, k] and b [m, k]: indices into both along the cheapest path.

    Euclidean distance; steps (1, 1), (1, 0) and (0, 1) cost the same (Sakoe and Chiba, 1978, without slope limits).
    """
    n, m = len(a), len(b)
    squares = np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1) - 2 * a @ b.T
    total = np.full((n + 1, m + 1), np.inf)
    total[0, 0] = 0
    cost = np.sqrt(np.maximum(squares, 0))
    # The cells of an anti-diagonal do not depend on each other: one numpy call each.
    for diagonal in range(2, n + m + 1):
        i = np.arange(max(1, diagonal - m), min(n, diagonal - 1) + 1)
        j = diagonal - i
        before = np.minimum(total[i - 1, j - 1], np.minimum(total[i - 1, j], total[i, j - 1]))
        total[i, j] = cost[i - 1, j - 1] + before
    path = [(n, m)]
    while path[-1] != (1, 1):
        x, y = path[-1]
        path.append(min(((x - 1, y - 1), (x - 1, y), (x, y - 1)), key=lambda cell: float(total[cell])))
    found = np.array(path[::-1]) - 1
    return found[:, 0], found[:, 1]


def f0_error(reference: Array, other: Array) -> float | None:
    """RMS difference of F0 [frames] (Hz, 0 = unvoiced) in cents, over frames voiced in both; None without any."""
    both = (reference > 0) & (other > 0)
    if not both.any():
        return None
    cents = 1200 * np.log2(other[both] / reference[both])
    return float(np.sqrt(np.square(cents).mean()))


def voicing_error(reference: Array, other: Array) -> float:
    """Share of frames, in percent, that are voiced in one and unvoiced in the other."""
    return float(100 * np.mean((reference > 0) != (other > 0)))


def f0_correlation(reference: Array, other: Array) -> float | None:
    """Pearson's correlation of log F0 over aligned frames voiced in both; None where there are too few."""
    both = (reference > 0) & (other > 0)
    if both.sum() < 10:
        return None
    a, b = np.log(reference[both]), np.log(other[both])
    return None if a.std() == 0 or b.std() == 0 else float(np.corrcoef(a, b)[0, 1])
