"""The universal vocoder's networks.

A regression-trained vocoder knows how loud each frequency is but not its phase: nothing in a steady mel
tells where in its period a voice stands. So phase is made, not guessed: a small network reads F0 out of the
mel, an oscillator (outside the networks: it has state) turns F0 into a pulse train, and a ConvNeXt backbone
at frame rate shapes the spectra of that pulse train and of white noise into speech: the neural source-filter
idea (Wang, Takaki and Yamagishi, 2019) with a Vocos-like backbone (Siuzdak, 2023) and an inverse-STFT head.

Every tensor here has a leading batch axis; every time axis is masked after each layer, so that padding acts as
the zero padding at an utterance's own edges does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from recipes.features import BANDS, HOP, N_FFT, mel_filters, window
from recipes.onnx_tools import convolve_rows
from recipes.vocoder.refine import frames_of

BINS = N_FFT // 2 + 1
OVERLAP = N_FFT // HOP
LOUDEST = 4.0


@dataclass(frozen=True, slots=True)
class VocoderSize:
    """How large the networks are."""

    width: int = 256
    blocks: int = 8
    kernel: int = 7
    expansion: int = 3

    @property
    def context(self) -> int:
        """Frames of mel on each side that a frame of audio can depend on."""
        return max((self.blocks + 1) * (self.kernel // 2), OVERLAP // 2)


class ConvNeXt(nn.Module):
    """Depthwise convolution over time, then a channel mixer (Liu et al., 2022). [batch, frames, width]."""

    def __init__(self, width: int, kernel: int, expansion: int, scale: float) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm = nn.LayerNorm(width)
        self.grow = nn.Linear(width, width * expansion)
        self.shrink = nn.Linear(width * expansion, width)
        self.scale = nn.Parameter(torch.full((width,), scale))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """[batch, frames, width], mask [batch, frames, 1] -> [batch, frames, width]."""
        y = self.depthwise(x.transpose(1, 2)).transpose(1, 2)
        y = self.shrink(F.gelu(self.grow(self.norm(y)), approximate="tanh"))
        return (x + self.scale * y) * mask


class PitchNetwork(nn.Module):
    """Log-mel -> F0 in Hz, also where there is no voice (there it says what it likes)."""

    LOW, HIGH = 50.0, 600.0

    def __init__(self, width: int = 96, kernel: int = 5, blocks: int = 3) -> None:
        super().__init__()
        self.enter = nn.Conv1d(BANDS, width, kernel, padding=kernel // 2)
        self.blocks = nn.ModuleList(ConvNeXt(width, kernel, 2, 1 / blocks) for _ in range(blocks))
        self.leave = nn.Linear(width, 1)
        self.context = (blocks + 1) * (kernel // 2)

    def features(self, mel: Tensor, frames_mask: Tensor) -> Tensor:
        """What the last layer reads, [batch, frames, width]."""
        mask = frames_mask.unsqueeze(2)
        x = self.first((mel + 5) / 3 * mask) * mask
        for block in self.blocks:
            x = block(x, mask)
        return x

    def first(self, x: Tensor) -> Tensor:
        """The first convolution, [batch, frames, 80] -> [batch, frames, width]."""
        return self.enter(x.transpose(1, 2)).transpose(1, 2)

    def forward(self, mel: Tensor, frames_mask: Tensor) -> Tensor:
        """mel [batch, frames, 80], mask [batch, frames] -> f0 [batch, frames] in Hz."""
        return self.scaled(self.leave(self.features(mel, frames_mask))).squeeze(2)

    def scaled(self, x: Tensor) -> Tensor:
        """What the last layer says, in Hz."""
        return torch.exp(math.log(self.LOW) + math.log(self.HIGH / self.LOW) * torch.sigmoid(x))


class ExportedPitch(PitchNetwork):
    """The same, written so that a frame's F0 is the same to the last bit in whatever window it is computed.

    The oscillator adds F0 up over the utterance, and would add up differences of rounding. Runtimes round differently
    where a convolution over few frames takes another path, in products with one column, and at the ends of vectors
    that do not fill a register. So the first convolution is a matrix product with the frames as rows, and the last
    layer is computed 16 times over.
    """

    def first(self, x: Tensor) -> Tensor:
        """As PitchNetwork."""
        return convolve_rows(self.enter, x)

    def forward(self, mel: Tensor, frames_mask: Tensor) -> Tensor:
        """As PitchNetwork."""
        wide = nn.Linear(self.leave.in_features, 16)
        wide.weight = nn.Parameter(self.leave.weight.expand(16, -1).contiguous())
        wide.bias = nn.Parameter(self.leave.bias.expand(16).contiguous())
        return self.scaled(wide(self.features(mel, frames_mask)))[:, :, 0]


class Vocoder(nn.Module):
    """mel, pulse train and noise -> audio."""

    def __init__(self, size: VocoderSize = VocoderSize()) -> None:
        super().__init__()
        self.size = size
        width = size.width
        self.enter = nn.Conv1d(BANDS + 1, width, size.kernel, padding=size.kernel // 2)
        self.enter_norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            ConvNeXt(width, size.kernel, size.expansion, 1 / size.blocks) for _ in range(size.blocks)
        )
        self.leave_norm = nn.LayerNorm(width)
        # Per bin, for the phase: log gain of the pulses, their phase as a complex number, log gain of the noise.
        self.head = nn.Linear(width, 4 * BINS)
        # Per bin, for the magnitude: log gains of the pulses and of the noise.
        self.level = nn.Linear(width, 2 * BINS)
        nn.init.normal_(self.head.weight, std=0.01)
        with torch.no_grad():
            bias = torch.zeros(4, BINS)
            bias[1] = 1.0  # the pulses' own phase
            bias[3] = -1.0
            self.head.bias.copy_(bias.flatten())
        # From mel bands back to a smooth magnitude at every bin: where the gains start from.
        filters = torch.from_numpy(mel_filters())
        spread = filters / filters.sum(0, keepdim=True).clamp(min=1e-8)
        top = int(torch.nonzero(filters.sum(0) > 0)[-1])
        spread[:, top + 1 :] = spread[:, top : top + 1]
        self.register_buffer("spread", spread / filters.sum(1, keepdim=True), persistent=False)
        self.window: Tensor
        self.register_buffer("window", torch.from_numpy(window()), persistent=False)

    def first(self, x: Tensor) -> Tensor:
        """The first convolution, [batch, frames, 81] -> [batch, frames, width]."""
        return self.enter(x.transpose(1, 2)).transpose(1, 2)

    def _dft(self, hops: Tensor) -> tuple[Tensor, Tensor]:
        spectrum = torch.fft.rfft((frames_of(hops) * self.window).float())
        return spectrum.real, spectrum.imag

    def forward(
        self, mel: Tensor, f0: Tensor, harmonics: Tensor, noise: Tensor, frames_mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Shape pulses and noise.

        mel [batch, frames, 80]; f0 [batch, frames] in Hz; harmonics (a pulse train: cosines of amplitude 1) and noise
        (unit variance) [batch, frames, 256]; mask [batch, frames] -> the real and imaginary part of a spectrum whose
        phase is to be believed, and the magnitude to be believed, each [batch, frames, 513].
        """
        mask = frames_mask.unsqueeze(2)
        # Nothing speaks as loud as e^4: without a bound, features that are no speech would shake the networks.
        mel = mel.clamp(max=LOUDEST)
        pitch = torch.log(f0.clamp(min=20.0)).unsqueeze(2) - 5.0
        x = torch.cat([(mel + 5) / 3, pitch], dim=2) * mask
        x = self.enter_norm(self.first(x)) * mask
        for block in self.blocks:
            x = block(x, mask)
        x = self.leave_norm(x)
        gain, real, imag, noise_gain = self.head(x).float().chunk(4, dim=2)
        level, noise_level = self.level(x).float().chunk(2, dim=2)
        base = torch.log(torch.exp(mel) @ self.spread + 1e-5)
        # A pulse's spectrum has peaks of half the window's sum; noise has the window's root energy.
        pulse_base, noise_base = base - math.log(N_FFT / 4), base - 0.5 * math.log(N_FFT * 3 / 8)
        loud = torch.exp((pulse_base + gain).clamp(max=4.0))
        turn = loud * torch.rsqrt(real * real + imag * imag + 1e-6)
        hiss = torch.exp((noise_base + noise_gain).clamp(max=4.0)) * mask
        turn = turn * mask
        pulse_real, pulse_imag = self._dft(harmonics * mask)
        noise_real, noise_imag = self._dft(noise * mask)
        out_real = turn * (real * pulse_real - imag * pulse_imag) + hiss * noise_real
        out_imag = turn * (real * pulse_imag + imag * pulse_real) + hiss * noise_imag
        floor = torch.exp((noise_base + noise_level).clamp(max=4.0)) * math.sqrt(N_FFT * 3 / 8)
        combs = torch.exp((pulse_base + level).clamp(max=4.0)).square() * (pulse_real.square() + pulse_imag.square())
        magnitude = torch.sqrt(combs + floor.square() + 1e-12) * mask
        return out_real, out_imag, magnitude


class ExportedVocoder(Vocoder):
    """The same with the DFT as matrix products, which every runtime and chip has."""

    def __init__(self, size: VocoderSize = VocoderSize()) -> None:
        super().__init__(size)
        angle = torch.outer(torch.arange(N_FFT), torch.arange(BINS)).remainder(N_FFT) * (2 * math.pi / N_FFT)
        self.cos: Tensor
        self.sin: Tensor
        self.hann: Tensor
        # Persistent, for the exporter keeps only such buffers under their names.
        self.register_buffer("cos", torch.cos(angle))
        self.register_buffer("sin", torch.sin(angle))
        self.register_buffer("hann", self.window.view(4, HOP).clone(), persistent=False)

    def first(self, x: Tensor) -> Tensor:
        """As Vocoder."""
        return convolve_rows(self.enter, x)

    def _dft(self, hops: Tensor) -> tuple[Tensor, Tensor]:
        frames = frames_of(hops) * self.hann.view(N_FFT)
        return frames @ self.cos, -(frames @ self.sin)
