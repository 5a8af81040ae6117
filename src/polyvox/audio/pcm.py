"""Samples to raw bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def pcm16(samples: NDArray[np.float32]) -> bytes:
    """Signed 16-bit little-endian bytes of float samples [n]; beyond full scale is clipped."""
    scaled = np.clip(samples, -1.0, 1.0) * np.float32(32767)
    data: bytes = np.rint(scaled).astype("<i2").tobytes()
    return data
