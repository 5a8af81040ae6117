"""The networks: text encoder, duration predictor, prosody predictor, decoder.

All tensors have a leading batch axis here (B); T counts tokens, F frames, C is the width of the encodings.
Masks are float32, 1 where real and 0 where padded, and every layer that looks sideways sees zeros where the
mask is 0: a padded run and an unpadded one give the same numbers.

    tokens -> text_encoder -> hidden -> duration_predictor -> durations
                                 |  \\-> prosody_predictor -> encoded -> (each repeated `durations` times)
                                                                              -> decoder -> mel

With `Config.flow_kernels` the decoder's mel is a first guess only, which `recipes.acoustic.flow` goes on from. With
several speakers the text encoder and the prosody predictor are told which (`speaker` [B]).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from recipes.onnx_tools import convolve_rows

# Classes of symbols, which decide about durations: a phone sounds at least one frame, a mark none.
PAUSE, PHONE, MARK = 0, 1, 2
# How `encoded` says so to the networks behind it: its last channels, one for phones and one for marks.
FLAGS = 2
SEMITONE = math.log(2) / 12
DECIBEL = math.log(10) / 20


@dataclass(frozen=True, slots=True)
class Config:
    """Sizes of the networks."""

    symbols: int
    bands: int = 80
    width: int = 192
    heads: int = 2
    encoder_blocks: int = 4
    predictor_width: int = 256
    decoder_width: int = 256
    decoder_kernels: tuple[int, ...] = (7, 7, 5, 5, 5, 5)
    expansion: int = 4
    dropout: float = 0.1
    decoder_dropout: float = 0.0
    speakers: int = 1
    condition: int = 128  # what the decoder tells the flow beside its guess
    flow_width: int = 192
    flow_kernels: tuple[int, ...] = ()  # empty: the decoder's mel is the mel

    @property
    def context(self) -> int:
        """Frames that the decoder depends on, on each side."""
        return sum(kernel // 2 for kernel in self.decoder_kernels)

    @property
    def flow_context(self) -> int:
        """Frames that one step of the flow depends on, on each side."""
        return sum(kernel // 2 for kernel in self.flow_kernels)

    def to_dict(self) -> dict[str, object]:
        """For the checkpoint."""
        return asdict(self)


class Depthwise(nn.Conv1d):
    """A convolution of every channel by itself over time: [B, T, C] -> [B, T, C]."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__(width, width, kernel, padding=kernel // 2, groups=width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Convolve; padded steps (mask [B, T, 1] is 0) act as the zeros beyond an edge."""
        return super().forward((x * mask).transpose(1, 2)).transpose(1, 2)


class ConvNeXt(nn.Module):
    """Depthwise convolution, normalisation per step, two dense layers; residual. [B, T, C] -> [B, T, C]."""

    def __init__(self, width: int, kernel: int, expansion: int, dropout: float = 0.0, scale: float = 0.25) -> None:
        super().__init__()
        self.depthwise = Depthwise(width, kernel)
        self.norm = nn.LayerNorm(width)
        self.grow = nn.Linear(width, width * expansion)
        self.shrink = nn.Linear(width * expansion, width)
        self.scale = nn.Parameter(torch.full((width,), scale))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Mask: [B, T, 1]."""
        y = self.norm(self.depthwise(x, mask))
        y = self.shrink(functional.gelu(self.grow(y)))
        return x + self.dropout(y * self.scale)


class Attention(nn.Module):
    """Self-attention whose scores fall with distance, each head at its own rate (ALiBi, both directions).

    There are no position embeddings, so nothing changes at lengths that training never saw.
    """

    slopes: Tensor

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.size = heads, width // heads
        self.norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        rates = [2.0 ** -(1 + 4 * i) for i in range(heads)]
        self.register_buffer("slopes", torch.tensor(rates).view(1, heads, 1, 1), persistent=False)

    def forward(self, x: Tensor, mask: Tensor, distance: Tensor) -> Tensor:
        """x: [B, T, C]; mask: [B, T, 1]; distance: |i - j| [1, 1, T, T]."""
        batch, tokens, width = x.shape
        mixed = self.mix(self.norm(x)).view(batch, tokens, 3, self.heads, self.size)
        query, key, value = mixed.permute(2, 0, 3, 1, 4).unbind(0)
        scores = query @ key.transpose(-1, -2) / math.sqrt(self.size) - distance * self.slopes
        # Far below any score, yet finite: a row of padding must not become NaN.
        scores = scores - (1 - mask.transpose(1, 2).unsqueeze(1)) * 1e4
        mixed = torch.softmax(scores, dim=-1) @ value
        return x + self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, tokens, width)))


class TextEncoder(nn.Module):
    """tokens [B, T], tokens_mask [B, T], speaker int64 [B] if there are several -> hidden [B, T, C]."""

    classes: Tensor

    def __init__(self, config: Config, classes: Tensor) -> None:
        super().__init__()
        self.embedding = nn.Embedding(config.symbols, config.width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.speakers = nn.Embedding(config.speakers, config.width) if config.speakers > 1 else None
        if self.speakers is not None:
            nn.init.normal_(self.speakers.weight, std=0.3)
        self.prenet = nn.ModuleList(ConvNeXt(config.width, 5, config.expansion, config.dropout) for _ in range(2))
        self.attention = nn.ModuleList(
            Attention(config.width, config.heads, config.dropout) for _ in range(config.encoder_blocks)
        )
        self.blocks = nn.ModuleList(
            ConvNeXt(config.width, 5, config.expansion, config.dropout) for _ in range(config.encoder_blocks)
        )
        self.norm = nn.LayerNorm(config.width)
        self.out = nn.Linear(config.width, config.width - FLAGS)
        # Which class each symbol has, as the flags that end `hidden`: [symbols, FLAGS].
        self.register_buffer("classes", torch.stack([classes == PHONE, classes == MARK], dim=1).float())

    def forward(self, tokens: Tensor, tokens_mask: Tensor, speaker: Tensor | None = None) -> Tensor:
        """See the class."""
        mask = tokens_mask.unsqueeze(-1)
        x = self.embedding(tokens)
        if self.speakers is not None:
            assert speaker is not None
            x = x + self.speakers(speaker).unsqueeze(1)
        place = torch.cumsum(torch.ones_like(tokens_mask[:1]), dim=1)
        distance = (place.unsqueeze(1) - place.unsqueeze(2)).abs().unsqueeze(1)
        for block in self.prenet:
            x = block(x, mask)
        for attention, block in zip(self.attention, self.blocks, strict=True):
            x = block(attention(x, mask, distance), mask)
        hidden = self.out(self.norm(x))
        return torch.cat([hidden, functional.embedding(tokens, self.classes)], dim=-1) * mask


class Predictor(nn.Module):
    """Two convolutions over tokens and a line: hidden [B, T, C], mask [B, T, 1] -> [B, T, outputs]."""

    def __init__(self, config: Config, outputs: int, dropout: float = 0.5) -> None:
        super().__init__()
        width = config.predictor_width
        self.convolutions = nn.ModuleList(
            [nn.Conv1d(config.width, width, 3, padding=1), nn.Conv1d(width, width, 3, padding=1)]
        )
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.dropout = nn.Dropout(dropout)
        self.line = nn.Linear(width, outputs)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """See the class."""
        x = hidden
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = x * mask
            # In the exported graph as a product of rows, so that padded and unpadded runs round the same.
            if torch.onnx.is_in_onnx_export():
                x = convolve_rows(convolution, x)
            else:
                x = convolution(x.transpose(1, 2)).transpose(1, 2)
            x = self.dropout(norm(functional.relu(x)))
        return self.line(x)


class DurationPredictor(nn.Module):
    """hidden [B, T, C], tokens_mask [B, T], speed [B] -> durations int64 [B, T] in frames."""

    pace: Tensor

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.predictor = Predictor(config, 1)
        # A mean of logarithms is below the logarithm of the mean: what the export measured that phones lack.
        self.register_buffer("pace", torch.ones(()))

    def log_durations(self, hidden: Tensor, tokens_mask: Tensor) -> Tensor:
        """log(1 + frames) [B, T]: what is trained."""
        return self.predictor(hidden, tokens_mask.unsqueeze(-1)).squeeze(-1)

    def frames(self, logs: Tensor, hidden: Tensor, tokens_mask: Tensor, speed: Tensor) -> Tensor:
        """Whole frames of log(1 + frames) [B, T]: a phone has one at least, a mark none."""
        phone, mark = hidden[..., -FLAGS], hidden[..., -FLAGS + 1]
        frames = (torch.exp(logs) - 1) * (1 + (self.pace - 1) * phone) / speed.unsqueeze(-1)
        # Half up, a hair beside the half, where clamped values and speeds like 2 would sit exactly.
        whole = torch.floor(frames + 0.5003)
        whole = torch.maximum(whole, phone.round()) * (1 - mark.round()) * tokens_mask
        return whole.to(torch.int64)

    def forward(self, hidden: Tensor, tokens_mask: Tensor, speed: Tensor) -> Tensor:
        """See the class."""
        return self.frames(self.log_durations(hidden, tokens_mask), hidden, tokens_mask, speed)


class ProsodyPredictor(nn.Module):
    """hidden [B, T, C], tokens_mask [B, T], pitch [B], energy [B] -> encoded [B, T, C], token_pitch, token_energy.

    Pitch is three values a token (the middles of its thirds) of normalised log F0; energy one.
    """

    scales: Tensor

    def __init__(self, config: Config, scales: Tensor) -> None:
        super().__init__()
        self.predictor = Predictor(config, 5)
        self.embed = nn.Sequential(nn.Linear(4, 64), nn.GELU(), nn.Linear(64, config.width))
        # [[mean, deviation] of log F0, [mean, deviation] of energy]; of every speaker where there are several
        self.register_buffer("scales", scales)

    def scales_of(self, speaker: Tensor | None) -> Tensor:
        """The scales of every clip's speaker [B, 2, 2], or [1, 2, 2] where there is one speaker."""
        if self.scales.dim() == 2:
            return self.scales.unsqueeze(0)
        assert speaker is not None
        return self.scales[speaker]

    def predict(self, hidden: Tensor, tokens_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised pitch [B, T, 3], normalised energy [B, T], logit of being voiced [B, T]."""
        values = self.predictor(hidden, tokens_mask.unsqueeze(-1))
        return values[..., :3], values[..., 3], values[..., 4]

    def encode(self, hidden: Tensor, tokens_mask: Tensor, pitch: Tensor, energy: Tensor) -> Tensor:
        """Hidden [B, T, C] with pitch [B, T, 3] and energy [B, T] told to it; token by token, nothing leaks."""
        told = self.embed(torch.cat([pitch, energy.unsqueeze(-1)], dim=-1))
        return (hidden + told) * tokens_mask.unsqueeze(-1)

    def forward(
        self, hidden: Tensor, tokens_mask: Tensor, pitch: Tensor, energy: Tensor, speaker: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """pitch: shift in semitones; energy: shift in decibels. token_pitch is in Hz, 0 where unvoiced."""
        return self.shift(hidden, tokens_mask, self.predict(hidden, tokens_mask), pitch, energy, speaker)

    def shift(
        self,
        hidden: Tensor,
        tokens_mask: Tensor,
        predicted: tuple[Tensor, Tensor, Tensor],
        pitch: Tensor,
        energy: Tensor,
        speaker: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """What `forward` returns, of what `predict` returns."""
        values, loudness, voiced = predicted
        scales = self.scales_of(speaker)
        values = values + (pitch * (SEMITONE / scales[:, 0, 1])).view(-1, 1, 1)
        loudness = loudness + (energy * (DECIBEL / scales[:, 1, 1])).unsqueeze(-1)
        hertz = torch.exp(values.mean(-1) * scales[:, 0, 1:] + scales[:, 0, :1])
        token_pitch = hertz * (voiced > 0).to(hertz.dtype) * tokens_mask
        token_energy = (loudness * scales[:, 1, 1:] + scales[:, 1, :1]) * tokens_mask
        return self.encode(hidden, tokens_mask, values, loudness), token_pitch, token_energy


class Decoder(nn.Module):
    """encoded [B, F, C], token_position, token_frames, frames_mask [B, F] -> mel [B, F, bands].

    Only depthwise convolutions look sideways, `Config.context` frames in all.
    """

    mel_scale: Tensor

    def __init__(self, config: Config, mel_scale: Tensor) -> None:
        super().__init__()
        self.enter = nn.Linear(config.width + 6, config.decoder_width)
        self.blocks = nn.ModuleList(
            ConvNeXt(config.decoder_width, kernel, config.expansion, config.decoder_dropout)
            for kernel in config.decoder_kernels
        )
        self.norm = nn.LayerNorm(config.decoder_width)
        self.leave = nn.Linear(config.decoder_width, config.bands)
        # [mean, deviation] of every band: [2, bands]. The layers see normalised mel only.
        self.register_buffer("mel_scale", mel_scale)

    @staticmethod
    def place(token_position: Tensor, token_frames: Tensor) -> Tensor:
        """Where a frame stands in its token, as six features [..., 6]."""
        turn = token_position * math.pi
        features = [
            token_position,
            torch.sin(turn),
            torch.cos(turn),
            torch.log(token_frames.clamp(min=1)),
            (token_position * token_frames).clamp(max=20) * 0.1,
            ((1 - token_position) * token_frames).clamp(max=20) * 0.1,
        ]
        return torch.stack(features, dim=-1)

    def trunk(self, encoded: Tensor, token_position: Tensor, token_frames: Tensor, frames_mask: Tensor) -> Tensor:
        """What the last layer makes mel of [B, F, decoder_width]."""
        mask = frames_mask.unsqueeze(-1)
        if torch.onnx.is_in_onnx_export():
            # Runtimes compute sines at the end of a vector, where it does not fill a register, by another way, which
            # rounds differently. 16 times over, no vector has an end, and a frame is the same in every window.
            wide = [t.unsqueeze(-1).expand(-1, -1, 16) for t in (token_position, token_frames)]
            place = self.place(*wide)[:, :, 0]
        else:
            place = self.place(token_position, token_frames)
        x = self.enter(torch.cat([encoded, place], dim=-1))
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x)

    def normalised(self, encoded: Tensor, token_position: Tensor, token_frames: Tensor, frames_mask: Tensor) -> Tensor:
        """The mel in units of its bands' deviations: what is trained."""
        return self.leave(self.trunk(encoded, token_position, token_frames, frames_mask)) * frames_mask.unsqueeze(-1)

    def forward(self, encoded: Tensor, token_position: Tensor, token_frames: Tensor, frames_mask: Tensor) -> Tensor:
        """See the class."""
        mel = self.normalised(encoded, token_position, token_frames, frames_mask)
        return (mel * self.mel_scale[1] + self.mel_scale[0]) * frames_mask.unsqueeze(-1)


class Acoustic(nn.Module):
    """All four networks: a container for training."""

    def __init__(self, config: Config, classes: Tensor, scales: Tensor, mel_scale: Tensor) -> None:
        """Make the networks.

        Args:
            config: their sizes.
            classes: PAUSE, PHONE or MARK of every symbol, int64 [symbols].
            scales: [[mean, deviation] of log F0, [mean, deviation] of energy].
            mel_scale: mean and deviation of every band [2, bands].
        """
        super().__init__()
        self.config = config
        self.text_encoder = TextEncoder(config, classes)
        self.duration_predictor = DurationPredictor(config)
        self.prosody_predictor = ProsodyPredictor(config, scales)
        self.decoder = Decoder(config, mel_scale)


def upsample(durations: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """For one utterance's durations [T]: token_index, token_position and token_frames of every frame."""
    index = torch.repeat_interleave(torch.arange(len(durations)), durations)
    first = torch.cumsum(durations, 0) - durations
    length = durations[index].float()
    position = (torch.arange(len(index)) - first[index] + 0.5) / length
    return index, position, length
