"""F0 by WORLD's DIO and StoneMask (Morise, Kawahara and Katayose, 2009; Morise, Yokomori and Ozawa, 2016)."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from types import ModuleType

import numpy as np

from polyvox.tensors import Array

WIDE = (55.0, 500.0)
"""Where F0 is searched (Hz) while nothing is known of the speaker."""


def world() -> ModuleType:
    """The package pyworld, without the warning that its import of pkg_resources makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyworld
    module: ModuleType = pyworld
    return module


def f0_of(audio: Array, sample_rate: int, hop: int, low: float, high: float) -> Array:
    """F0 in Hz, float32 [frames], 0 where unvoiced, at the frames' centres.

    Args:
        audio: int16 [frames * hop].
        sample_rate: samples a second.
        hop: samples a frame.
        low: of the search, Hz.
        high: of the search, Hz.
    """
    frames = len(audio) // hop
    # WORLD's frames stand at 0, 1, 2 ... periods; ours are centred half a hop later.
    shifted = np.pad(audio[hop // 2 :].astype(np.float64) / 32768, (0, hop))
    coarse, times = world().dio(shifted, sample_rate, low, high, frame_period=1000 * hop / sample_rate)
    return np.asarray(world().stonemask(shifted, coarse, times, sample_rate)[:frames], dtype=np.float32)


def speaker_range(f0: Array) -> tuple[float, float]:
    """A search range for one speaker from a first, wide pass: half to twice the median; WIDE if nothing is voiced."""
    if not (f0 > 0).any():
        return WIDE
    median = float(np.median(f0[f0 > 0]))
    return max(50.0, median * 0.5), min(600.0, median * 2.0)


def range_of(some: Iterable[Array], sample_rate: int, hop: int) -> tuple[float, float]:
    """`speaker_range` of some clips, int16 [samples] each."""
    found = [f0_of(audio, sample_rate, hop, *WIDE) for audio in some]
    return speaker_range(np.concatenate(found)) if found else WIDE
