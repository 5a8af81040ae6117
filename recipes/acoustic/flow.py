"""A decoder by flow matching: a first guess of the mel, and a network that carries noise around it to natural mel.

    encoded, token_position, token_frames -> Guess -> prior, spread, condition
    state = prior + temperature * spread * noise
    some times: state += velocity(state, prior, condition, time) / times

Conditional flow matching on straight paths (Lipman et al., 2023, as Mehta et al., 2024, use it for speech). The paths
start around the guess, within what it usually errs by in each band (as in Lee et al., 2022, PriorGrad), and not at
noise alone: they are short, and a few steps of Euler's method follow them.

Where a convolutional decoder's mel is the mean of all that might have been said, and so too smooth, this one draws
one of them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from recipes.acoustic.data import Batch
from recipes.acoustic.model import Acoustic, Config, Decoder, Depthwise

TIMES = 64  # features of the time
SPREAD = 0.5  # of the guess's errors at the beginning of training, in the bands' deviations


class Guess(Decoder):
    """The decoder with something to say beside its mel: see the module. Its mel is trained as any decoder's."""

    spread: Tensor

    def __init__(self, config: Config, mel_scale: Tensor) -> None:
        super().__init__(config, mel_scale)
        self.tell = nn.Linear(config.decoder_width, config.condition)
        # How far the guess is from natural mel, in every band's deviations: measured along the way. [bands]
        self.register_buffer("spread", torch.full((config.bands,), SPREAD))

    def both(
        self, encoded: Tensor, token_position: Tensor, token_frames: Tensor, frames_mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Normalised mel [B, F, bands] and condition [B, F, D]: what is trained."""
        mask = frames_mask.unsqueeze(-1)
        x = self.trunk(encoded, token_position, token_frames, frames_mask)
        return self.leave(x) * mask, self.tell(x) * mask

    def forward(  # type: ignore[override]
        self, encoded: Tensor, token_position: Tensor, token_frames: Tensor, frames_mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """prior [B, F, bands] and spread [B, F, bands] in natural-log units, condition [B, F, D]."""
        mel, condition = self.both(encoded, token_position, token_frames, frames_mask)
        mask = frames_mask.unsqueeze(-1)
        spread = (self.spread * self.mel_scale[1]).expand_as(mel) * mask
        return (mel * self.mel_scale[1] + self.mel_scale[0]) * mask, spread, condition


class TimedBlock(nn.Module):
    """A ConvNeXt block that is told a scale and a shift after its normalisation. [B, F, C] -> [B, F, C]."""

    def __init__(self, width: int, kernel: int, expansion: int) -> None:
        super().__init__()
        self.depthwise = Depthwise(width, kernel)
        self.norm = nn.LayerNorm(width)
        self.grow = nn.Linear(width, width * expansion)
        self.shrink = nn.Linear(width * expansion, width)
        self.scale = nn.Parameter(torch.full((width,), 0.25))

    def forward(self, x: Tensor, mask: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
        """mask: [B, F, 1]; scale, shift: [B, 1, C]."""
        y = self.norm(self.depthwise(x, mask)) * (1 + scale) + shift
        return x + self.shrink(functional.gelu(self.grow(y))) * self.scale


class Velocity(nn.Module):
    """state, prior [B, F, bands], condition [B, F, D], time [B] (0 to 1), frames_mask [B, F] -> velocity [B, F, bands].

    All in natural-log units; looks `Config.flow_context` frames to each side.
    """

    mel_scale: Tensor
    spread: Tensor

    def __init__(self, config: Config, mel_scale: Tensor) -> None:
        super().__init__()
        width = config.flow_width
        self.enter = nn.Linear(2 * config.bands + config.condition, width)
        self.time = nn.Sequential(nn.Linear(TIMES, width), nn.SiLU())
        self.blocks = nn.ModuleList(TimedBlock(width, kernel, config.expansion) for kernel in config.flow_kernels)
        self.told = nn.Linear(width, 2 * width * len(config.flow_kernels))
        nn.init.normal_(self.told.weight, std=0.01)
        nn.init.zeros_(self.told.bias)
        self.norm = nn.LayerNorm(width)
        self.leave = nn.Linear(width, config.bands)
        nn.init.normal_(self.leave.weight, std=0.01)
        self.register_buffer("mel_scale", mel_scale)
        # The guess's, for export.
        self.register_buffer("spread", torch.full((config.bands,), SPREAD))

    def normalised(self, place: Tensor, prior: Tensor, condition: Tensor, time: Tensor, mask: Tensor) -> Tensor:
        """What is trained.

        Args:
            place: where the state lies beside the guess, in units of the spread [B, F, bands].
            prior: the guess, normalised [B, F, bands].
            condition: of the guess [B, F, D].
            time: 0 to 1 [B].
            mask: [B, F].

        Returns:
            The velocity in units of the spread [B, F, bands].
        """
        rates = torch.exp(torch.arange(TIMES // 2, device=time.device) * (-math.log(1000.0) / (TIMES // 2 - 1)))
        turns = time.unsqueeze(-1) * 1000 * rates
        told = self.told(self.time(torch.cat([torch.sin(turns), torch.cos(turns)], dim=-1)))
        mask = mask.unsqueeze(-1)
        x = self.enter(torch.cat([place, prior, condition], dim=-1))
        for block, pair in zip(self.blocks, told.unsqueeze(1).chunk(len(self.blocks), dim=-1), strict=True):
            scale, shift = pair.chunk(2, dim=-1)
            x = block(x, mask, scale, shift)
        return self.leave(self.norm(x)) * mask

    def forward(self, state: Tensor, prior: Tensor, condition: Tensor, time: Tensor, frames_mask: Tensor) -> Tensor:
        """See the class."""
        spread = self.spread * self.mel_scale[1]
        guess = (prior - self.mel_scale[0]) / self.mel_scale[1]
        place = (state - prior) / spread * frames_mask.unsqueeze(-1)
        return self.normalised(place, guess, condition, time, frames_mask) * spread


class Flowing(Acoustic):
    """All five networks: a container for training."""

    decoder: Guess

    def __init__(self, config: Config, classes: Tensor, scales: Tensor, mel_scale: Tensor) -> None:
        super().__init__(config, classes, scales, mel_scale)
        self.decoder = Guess(config, mel_scale)
        self.velocity = Velocity(config, mel_scale)

    def normalised(
        self, encoded: Tensor, batch: Batch, steps: int = 4, temperature: float = 0.667, seed: int = 0
    ) -> Tensor:
        """The mel that the flow ends at, normalised [B, F, bands]: what FlowDecoder makes."""
        prior, condition = self.decoder.both(encoded, batch.token_position, batch.token_frames, batch.frames_mask)
        noise = torch.randn(prior.shape, generator=torch.Generator().manual_seed(seed))
        place = temperature * noise * batch.frames_mask.unsqueeze(-1)
        for step in range(steps):
            time = torch.full((len(prior),), step / steps)
            place = place + self.velocity.normalised(place, prior, condition, time, batch.frames_mask) / steps
        return prior + place * self.decoder.spread

    def finish(self) -> None:
        """Tell the velocity what the guess knows, before export."""
        self.velocity.spread.copy_(self.decoder.spread)


def made(config: Config, classes: Tensor, scales: Tensor, mel_scale: Tensor) -> Acoustic:
    """The model that the configuration asks for."""
    return (Flowing if config.flow_kernels else Acoustic)(config, classes, scales, mel_scale)


def flow_loss(model: Flowing, prior: Tensor, condition: Tensor, batch: Batch, dropped: float = 0.0) -> Tensor:
    """How far the velocity errs, in units of the spread squared, [B, F].

    Args:
        model: its decoder's spread follows the guess's errors.
        prior, condition: what its decoder made of the batch, normalised.
        batch: with normalised mel.
        dropped: how much of the condition is dropped.
    """
    prior = prior.detach().float()
    spread, mask = model.decoder.spread, batch.loss_mask.unsqueeze(-1)
    if model.training:
        with torch.no_grad():
            error = (((batch.mel - prior) ** 2 * mask).sum((0, 1)) / mask.sum().clamp(min=1)).sqrt()
            spread.lerp_(error, 0.01)
    goal = (batch.mel - prior) / spread
    noise = torch.randn_like(goal)
    # One time a clip, spread evenly over the batch: with few clips, chance alone would leave gaps.
    count = len(goal)
    time = (torch.randperm(count) + torch.rand(count)) / count
    turned = time.view(-1, 1, 1)
    place = (1 - turned) * noise + turned * goal
    condition = functional.dropout(condition, dropped, model.training)
    found = model.velocity.normalised(place, prior, condition, time, batch.frames_mask)
    return ((found.float() - (goal - noise)) ** 2).mean(-1)
