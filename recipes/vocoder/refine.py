"""Phase refinement for training; `polyvox.blocks.refiner` does the same while streaming.

A spectrum with a believable phase and a believable magnitude are two different signals. Relaxed averaged alternating
reflections (Luke, 2005; for phase retrieval of speech: Peer, Welker and Gerkmann, 2022) look for one signal that
agrees with both, in far fewer iterations than Griffin and Lim's alternating projections, from which they descend.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from recipes.features import HOP, N_FFT

ITERATIONS = 8
BALANCE = 0.5
TRAINED_ITERATIONS = 4
"""Iterations that training goes through. More make its gradients wild, and no better networks."""
RELAXATION = 0.9


def frames_of(signal: Tensor) -> Tensor:
    """Cut hops [batch, frames, HOP] into overlapping analysis frames [batch, frames, N_FFT].

    Frame t covers hops t - 1.5 .. t + 2.5 (see EDGE in recipes.features):

        hops        |  t-2  |  t-1  |   t   |  t+1  |  t+2  |
        frame t         [ half | t-1  |  t  | t+1 | half ]
    """
    half = HOP // 2
    padded = F.pad(signal, (0, 0, 2, 2))
    before, after = padded[:, :-4, half:], padded[:, 4:, :half]
    return torch.cat([before, padded[:, 1:-3], padded[:, 2:-2], padded[:, 3:-1], after], dim=2)


def overlap_add(frames: Tensor) -> Tensor:
    """Add overlapping frames [batch, frames, N_FFT] up into hops [batch, frames, HOP]; inverse of `frames_of`."""
    half = HOP // 2
    padded = F.pad(frames, (0, 0, 2, 2))
    # The parts of neighbours' frames that fall into this hop.
    later, earlier = padded[:, 4:, :half], padded[:, :-4, -half:]
    out = (
        padded[:, 3:-1, half : half + HOP]
        + padded[:, 2:-2, half + HOP : half + 2 * HOP]
        + padded[:, 1:-3, half + 2 * HOP : half + 3 * HOP]
    )
    return out + torch.cat([earlier, later], dim=2)


def to_hops(spectrum: Tensor, window: Tensor) -> Tensor:
    """Inverse STFT: complex [batch, frames, bins] -> audio by hops [batch, frames, HOP]."""
    # Four overlapping squared Hann windows sum to 1.5.
    return overlap_add(torch.fft.irfft(spectrum, n=N_FFT) * (window / 1.5))


def to_spectrum(hops: Tensor, window: Tensor) -> Tensor:
    """STFT: audio by hops [batch, frames, HOP] -> complex [batch, frames, bins]."""
    return torch.fft.rfft(frames_of(hops) * window)


def refine(
    spectrum: Tensor, magnitude: Tensor, window: Tensor, iterations: int = ITERATIONS, balance: float = BALANCE
) -> Tensor:
    """Audio by hops [batch, frames, HOP] from a spectrum (complex) and a magnitude, both [batch, frames, bins]."""
    own = to_spectrum(to_hops(spectrum, window), window)
    real, imag = own.real, own.imag
    # The two magnitudes' weighted geometric mean: one is smooth, the other rough as real noise is.
    power = real * real + imag * imag + 1e-12
    magnitude = torch.exp((1 - balance) * torch.log(magnitude.clamp(min=1e-6)) + 0.5 * balance * torch.log(power))
    for _ in range(iterations):
        # Real and imaginary parts apart, and one real gain for all terms but one: gradients cost a third less.
        ratio = magnitude * torch.rsqrt(real * real + imag * imag + 1e-12)
        gain = 2 * ratio - 1
        of_signal = to_spectrum(to_hops(torch.complex(real * gain, imag * gain), window), window)
        gain = RELAXATION + (1 - 2 * RELAXATION) * ratio
        real = RELAXATION * of_signal.real + gain * real
        imag = RELAXATION * of_signal.imag + gain * imag
    ratio = magnitude * torch.rsqrt(real * real + imag * imag + 1e-12)
    return to_hops(torch.complex(real * ratio, imag * ratio), window)
