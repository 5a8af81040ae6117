"""PESQ while training: a curve that people read. The tables come from recipes.evaluate."""

from __future__ import annotations

import numpy as np
import soxr

from recipes.corpus import SAMPLE_RATE


def wideband_pesq(made: np.ndarray, true: np.ndarray) -> float:
    """PESQ-WB of audio against a recording, both [samples] at 22,050 Hz; NaN where `pesq` is not installed."""
    try:
        from pesq import pesq
    except ImportError:
        return float("nan")
    narrow = [soxr.resample(np.clip(x, -1, 1).astype(np.float32), SAMPLE_RATE, 16000) for x in (true, made)]
    return float(pesq(16000, *narrow, "wb"))
