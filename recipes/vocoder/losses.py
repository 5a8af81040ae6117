"""How far made audio is from recorded audio: magnitudes only, for phase is the oscillator's matter."""

from __future__ import annotations

import torch
from torch import Tensor

from recipes.features import HOP, mel_filters, window
from recipes.vocoder.refine import to_spectrum

RESOLUTIONS = ((2048, 512), (1024, 256), (512, 128), (256, 64), (128, 32))


class SpectralLoss(torch.nn.Module):
    """Distance of magnitudes: logarithmic and relative L1 at each resolution, and the log-mel's L1."""

    def __init__(self) -> None:
        super().__init__()
        self.windows = [torch.hann_window(n) for n, _ in RESOLUTIONS]
        self.filters = torch.from_numpy(mel_filters())

    def forward(self, made: Tensor, true: Tensor) -> Tensor:
        """made, true [batch, samples] -> [] (the first and last half frame, cut by the crop, do not count)."""
        total = torch.zeros(())
        for (n_fft, hop), weights in zip(RESOLUTIONS, self.windows, strict=True):
            scale = float(weights.square().sum().rsqrt())
            a, b = (
                torch.stft(x, n_fft, hop, window=weights, center=False, return_complex=True).abs() * scale
                for x in (made, true)
            )
            log = (torch.log(a + 1e-4) - torch.log(b + 1e-4)).abs().mean()
            relative = ((a - b).square().sum().sqrt()) / (b.square().sum().sqrt() + 1e-3)
            total = total + log + 0.5 * relative
            if n_fft == 1024:
                mels = [torch.log((m / scale).transpose(1, 2) @ self.filters.T + 1e-5) for m in (a, b)]
                total = total + (mels[0] - mels[1]).abs().mean()
        return total / len(RESOLUTIONS)


class MagnitudeLoss(torch.nn.Module):
    """Distance of the magnitude that the network says from the recording's, in its own frames."""

    def __init__(self) -> None:
        super().__init__()
        self.window = torch.from_numpy(window())
        self.scale = float(self.window.square().sum().rsqrt())

    def forward(self, made: Tensor, audio: Tensor) -> Tensor:
        """made [batch, frames, bins], audio [batch, samples] -> []."""
        true = to_spectrum(audio.view(len(audio), -1, HOP), self.window).abs()
        # The first and last two frames reach beyond the crop.
        a, b = made[:, 2:-2] * self.scale, true[:, 2:-2] * self.scale
        log = (torch.log(a + 1e-4) - torch.log(b + 1e-4)).abs().mean()
        return log + 0.5 * (a - b).square().sum().sqrt() / (b.square().sum().sqrt() + 1e-3)
