"""Durations, pitch and energy of tokens, predicted from the symbols and their place in word, phrase and clip.

An hour of speech has a thousand sentences, and a predictor that hears the text encoder knows each of them by its
sound: it learns their melodies by heart. These networks are small, see only what may be expected to say something
about other sentences (`Layout`), and several of them, which learnt from different sentences, vote.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from recipes.acoustic.model import MARK, PHONE, Acoustic, ConvNeXt, DurationPredictor, ProsodyPredictor
from recipes.acoustic.symbols import END, SPACE, START, is_pause

# log(1 + frames), three values of pitch, energy, logit of being voiced.
OUTPUTS = 6
PITCH = slice(1, 4)
ENERGY, VOICED = 4, 5
VOWELS = "aæɐɑɒeəɚɛɜiɪoɔuʊʌᵻyøœ"
KINDS = ("phone", "mark", "vowel", "stress", "second stress", "boundary", "pause", "stop", "question", "end")


def kinds_of(symbols: list[str], classes: Tensor) -> Tensor:
    """What `Layout` knows of every symbol: float32 [symbols, len(KINDS)]."""
    rows = []
    for symbol, kind in zip(symbols, classes.tolist(), strict=True):
        punctuation = is_pause(symbol) and symbol != SPACE
        rows.append([
            kind == PHONE, kind == MARK, symbol in VOWELS, symbol == "ˈ", symbol == "ˌ", is_pause(symbol), punctuation,
            symbol in ".!?", symbol == "?", symbol in (START, END),
        ])  # fmt: skip
    return torch.tensor(rows, dtype=torch.float32)


class Layout(nn.Module):
    """tokens [B, T], tokens_mask [B, T] -> where each token stands [B, T, WIDTH], by counting.

    In its word, in its phrase (up to the next punctuation) and in the clip: how many phones and how many stresses come
    before and after. Words and phrases are told apart by running counts of their boundaries.
    """

    kinds: Tensor
    WIDTH = 24 + len(KINDS)

    def __init__(self, kinds: Tensor) -> None:
        super().__init__()
        self.register_buffer("kinds", kinds)

    def forward(self, tokens: Tensor, tokens_mask: Tensor) -> Tensor:
        """See the class."""
        kinds = functional.embedding(tokens, self.kinds) * tokens_mask.unsqueeze(-1)
        boundary, pause, stop, question = (
            kinds[..., KINDS.index(k)] for k in ("boundary", "pause", "stop", "question")
        )
        counted = torch.stack([kinds[..., 0], kinds[..., 3]], dim=-1)  # phones, stresses
        place = torch.cumsum(torch.ones_like(tokens_mask), dim=1)
        before = (place.unsqueeze(1) < place.unsqueeze(2)).float() * tokens_mask.unsqueeze(1)
        after = (place.unsqueeze(1) > place.unsqueeze(2)).float() * tokens_mask.unsqueeze(1)
        # Punctuation belongs to the phrase that it ends.
        phrase = torch.cumsum(pause, dim=1) - pause
        found = [kinds]
        for group in (torch.cumsum(boundary, dim=1), phrase, torch.zeros_like(phrase)):
            same = (torch.abs(group.unsqueeze(1) - group.unsqueeze(2)) < 0.5).float()
            left, right = (same * before) @ counted, (same * after) @ counted
            found += [torch.log1p(left), torch.log1p(right), left / (left + right + 1)]
        same = (torch.abs(phrase.unsqueeze(1) - phrase.unsqueeze(2)) < 0.5).float() * tokens_mask.unsqueeze(1)
        total = (pause * tokens_mask).sum(1, keepdim=True)
        found.append((same @ torch.stack([stop, question], dim=-1)).clamp(max=1))
        found.append(torch.stack([torch.log1p(phrase), torch.log1p((total - phrase).clamp(min=0))], dim=-1))
        # The first and the last stress of a phrase carry its melody's beginning and end.
        phrase_left, phrase_right = (same * before) @ counted[..., 1:], (same * after) @ counted[..., 1:]
        found += [(phrase_left < 0.5).float(), (phrase_right < 0.5).float()]
        return torch.cat(found, dim=-1) * tokens_mask.unsqueeze(-1)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of one network."""

    symbols: int
    embedding: int = 48
    width: int = 96
    kernels: tuple[int, ...] = (5, 5, 5)
    expansion: int = 2
    dropout: float = 0.12
    speakers: int = 1

    def to_dict(self) -> dict[str, object]:
        """For the checkpoint."""
        return asdict(self)


class TokenPredictor(nn.Module):
    """One voter: tokens [B, T], layout [B, T, Layout.WIDTH], mask [B, T, 1], speaker [B] -> [B, T, OUTPUTS]."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sizes.symbols, sizes.embedding)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.speakers = nn.Embedding(sizes.speakers, sizes.width) if sizes.speakers > 1 else None
        self.enter = nn.Linear(sizes.embedding + Layout.WIDTH, sizes.width)
        self.dropout = nn.Dropout(sizes.dropout)
        self.blocks = nn.ModuleList(
            ConvNeXt(sizes.width, kernel, sizes.expansion, sizes.dropout) for kernel in sizes.kernels
        )
        self.norm = nn.LayerNorm(sizes.width)
        self.leave = nn.Linear(sizes.width, OUTPUTS)

    def forward(self, tokens: Tensor, layout: Tensor, mask: Tensor, speaker: Tensor | None = None) -> Tensor:
        """See the class."""
        x = self.dropout(self.enter(torch.cat([self.embedding(tokens), layout], dim=-1)))
        if self.speakers is not None:
            assert speaker is not None
            x = x + self.speakers(speaker).unsqueeze(1)
        for block in self.blocks:
            x = block(x, mask)
        return self.leave(self.dropout(self.norm(x))) * mask


class Voters(nn.Module):
    """The mean of several networks: tokens [B, T], tokens_mask [B, T], speaker [B] -> [B, T, OUTPUTS]."""

    def __init__(self, layout: Layout, members: list[TokenPredictor]) -> None:
        super().__init__()
        self.layout = layout
        self.members = nn.ModuleList(members)

    def forward(self, tokens: Tensor, tokens_mask: Tensor, speaker: Tensor | None = None) -> Tensor:
        """See the class."""
        layout, mask = self.layout(tokens, tokens_mask), tokens_mask.unsqueeze(-1)
        total = self.members[0](tokens, layout, mask, speaker)
        for member in list(self.members)[1:]:
            total = total + member(tokens, layout, mask, speaker)
        return total / len(self.members)


# How much the voters say beside the predictor that learnt together with the text encoder. Not tuned: one half.
SHARE = 0.5


class VotedDurations(nn.Module):
    """hidden [B, T, C], tokens [B, T], tokens_mask [B, T], speed [B] -> durations int64 [B, T] in frames."""

    def __init__(self, joint: DurationPredictor, voters: Voters) -> None:
        super().__init__()
        self.joint, self.voters = joint, voters

    def log_durations(
        self, hidden: Tensor, tokens: Tensor, tokens_mask: Tensor, speaker: Tensor | None = None
    ) -> Tensor:
        """log(1 + frames) [B, T]."""
        voted = self.voters(tokens, tokens_mask, speaker)[..., 0]
        return (1 - SHARE) * self.joint.log_durations(hidden, tokens_mask) + SHARE * voted

    def forward(
        self, hidden: Tensor, tokens: Tensor, tokens_mask: Tensor, speed: Tensor, speaker: Tensor | None = None
    ) -> Tensor:
        """See the class."""
        return self.joint.frames(self.log_durations(hidden, tokens, tokens_mask, speaker), hidden, tokens_mask, speed)


class VotedProsody(nn.Module):
    """hidden [B, T, C], tokens, tokens_mask [B, T], pitch, energy [B] -> encoded, token_pitch, token_energy."""

    gain: Tensor

    def __init__(self, joint: ProsodyPredictor, voters: Voters) -> None:
        super().__init__()
        self.joint, self.voters = joint, voters
        # A mean of many likely melodies is flatter than any of them: what the export measured that it lacks.
        self.register_buffer("gain", torch.ones(()))

    def predict(
        self, hidden: Tensor, tokens: Tensor, tokens_mask: Tensor, speaker: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Normalised pitch [B, T, 3], normalised energy [B, T], logit of being voiced [B, T]."""
        voted = self.voters(tokens, tokens_mask, speaker)
        pitch, energy, voiced = self.joint.predict(hidden, tokens_mask)
        return (
            ((1 - SHARE) * pitch + SHARE * voted[..., PITCH]) * self.gain,
            (1 - SHARE) * energy + SHARE * voted[..., ENERGY],
            (1 - SHARE) * voiced + SHARE * voted[..., VOICED],
        )

    def encode(self, hidden: Tensor, tokens_mask: Tensor, pitch: Tensor, energy: Tensor) -> Tensor:
        """See ProsodyPredictor."""
        return self.joint.encode(hidden, tokens_mask, pitch, energy)

    def forward(
        self,
        hidden: Tensor,
        tokens: Tensor,
        tokens_mask: Tensor,
        pitch: Tensor,
        energy: Tensor,
        speaker: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See ProsodyPredictor."""
        predicted = self.predict(hidden, tokens, tokens_mask, speaker)
        return self.joint.shift(hidden, tokens_mask, predicted, pitch, energy, speaker)


@dataclass(frozen=True, slots=True)
class Guess:
    """What the predictors say of a clip; pitch and energy are normalised."""

    durations: Tensor  # int64 [tokens], in frames
    log_durations: Tensor  # log(1 + frames) [tokens], before the pace
    pitch: Tensor  # [tokens, 3]
    energy: Tensor  # [tokens]
    voiced: Tensor  # logit [tokens]


@torch.no_grad()
def guess(model: Acoustic, tokens: Tensor, speaker: int = 0) -> Guess:
    """The predictors' say for token ids [tokens], with voters or without."""
    mask, who = torch.ones(1, len(tokens)), torch.tensor([speaker])
    hidden = model.text_encoder(tokens[None], mask, who)
    voted = isinstance(model.prosody_predictor, VotedProsody)
    told, heard = ((tokens[None],), (who,)) if voted else ((), ())
    durations = model.duration_predictor(hidden, *told, mask, torch.ones(1), *heard)[0]
    logs = model.duration_predictor.log_durations(hidden, *told, mask, *heard)[0]
    pitch, energy, voiced = model.prosody_predictor.predict(hidden, *told, mask, *heard)
    return Guess(durations, logs, pitch[0], energy[0], voiced[0])
