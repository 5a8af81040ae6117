"""A small adversary against over-smoothed mel: it tells patches of predicted mel from natural ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class PatchDiscriminator(nn.Module):
    """Normalised mel [B, F, bands] -> a score for every patch, and the layers' features."""

    def __init__(self, channels: tuple[int, ...] = (24, 48, 96, 96)) -> None:
        super().__init__()
        strides = ((1, 2), (2, 2), (2, 2), (1, 1))
        kernels = (5, 3, 3, 3)
        self.layers = nn.ModuleList()
        before = 1
        for width, stride, kernel in zip(channels, strides, kernels, strict=True):
            layer = nn.Conv2d(before, width, kernel, stride, padding=kernel // 2)
            self.layers.append(nn.utils.parametrizations.spectral_norm(layer))
            before = width
        self.score = nn.Conv2d(before, 1, 3, padding=1)

    def forward(self, mel: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See the class."""
        x = mel.unsqueeze(1)
        features = []
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.2)
            features.append(x)
        return self.score(x), features


def discriminator_loss(judge: PatchDiscriminator, natural: Tensor, predicted: Tensor) -> Tensor:
    """Least squares: natural patches towards 1, predicted ones towards 0."""
    scores, _ = judge(torch.cat([natural, predicted.detach()]))
    real, fake = scores.float().chunk(2)
    return ((real - 1) ** 2).mean() + (fake**2).mean()


def generator_loss(judge: PatchDiscriminator, natural: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
    """How far predicted patches are from passing, and from the natural ones' features (relative to their size)."""
    with torch.no_grad():
        _, wanted = judge(natural)
    scores, found = judge(predicted)
    matching = sum(
        (f.float() - w.float()).abs().mean() / w.float().abs().mean().clamp(min=1e-3)
        for f, w in zip(found, wanted, strict=True)
    )
    return ((scores.float() - 1) ** 2).mean(), matching / len(found)
