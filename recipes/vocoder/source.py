"""The vocoder's excitation for training; `polyvox.blocks.excitation` makes the same one while streaming."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from recipes.corpus import SAMPLE_RATE
from recipes.features import HOP

TOP = 8000.0  # Hz: above it speech is noise


def continuous_f0(f0: np.ndarray) -> np.ndarray:
    """Fill unvoiced frames (0) of F0 [frames] by interpolating its logarithm; without any voice: 150 Hz."""
    voiced = np.flatnonzero(f0 > 0)
    if len(voiced) == 0:
        return np.full_like(f0, 150.0)
    return np.exp(np.interp(np.arange(len(f0)), voiced, np.log(f0[voiced]))).astype(np.float32)


def pulses(f0: Tensor, start: Tensor) -> Tensor:
    """Pulse train [batch, frames, HOP]: equal cosines at every multiple of F0 up to TOP.

    f0 [batch, frames] in Hz at the frames' centres, start [batch]: cycles at the first centre. Between centres
    F0 is linear, so phase is quadratic and unbroken.
    """
    before = torch.cat([f0[:, :1], f0[:, :-1]], dim=1).unsqueeze(2)
    after = torch.cat([f0[:, 1:], f0[:, -1:]], dim=1).unsqueeze(2)
    steps = (f0[:, 1:] + f0[:, :-1]).double() / 2 * HOP / SAMPLE_RATE
    centre = (torch.cat([start.double().unsqueeze(1), steps], dim=1).cumsum(1) % 1.0).float().unsqueeze(2)
    u = (torch.arange(HOP, dtype=torch.float32) - HOP / 2) / HOP
    now = f0.unsqueeze(2)
    slope = torch.where(u < 0, now - before, after - now)
    cycles = centre + HOP / SAMPLE_RATE * (now * u + slope * u * u / 2)
    cycles = cycles - torch.round(cycles)
    count = torch.floor(TOP / now)
    half = math.pi * cycles
    near = cycles.abs() < 1e-5
    ratio = torch.sin((2 * count + 1) * half) / torch.where(near, 1.0, 2 * torch.sin(half))
    return torch.where(near, count, ratio - 0.5)
