"""Batches to train on: whole token sequences, and a crop of frames of each clip."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recipes.acoustic.model import MARK, PAUSE, PHONE, upsample
from recipes.acoustic.symbols import is_mark, is_pause, symbol_table
from recipes.features import Features


@dataclass(slots=True)
class Item:
    """One clip. Pitch and energy are normalised."""

    id: str
    tokens: Tensor  # int64 [tokens]
    durations: Tensor  # int64 [tokens]
    pitch: Tensor  # [tokens, 3]
    voiced: Tensor  # [tokens]
    energy: Tensor  # [tokens]
    mel: Tensor  # [frames, bands]
    token_index: Tensor  # int64 [frames]
    token_position: Tensor  # [frames]
    token_frames: Tensor  # [frames]
    speaker: int = 0


@dataclass(slots=True)
class Batch:
    """Clips side by side (B); frames are crops, `loss_mask` leaves out what a crop's cut edge spoils."""

    tokens: Tensor  # int64 [B, T]
    tokens_mask: Tensor  # [B, T]
    durations: Tensor  # int64 [B, T]
    pitch: Tensor  # [B, T, 3]
    voiced: Tensor  # [B, T]
    energy: Tensor  # [B, T]
    mel: Tensor  # [B, F, bands]
    token_index: Tensor  # int64 [B, F]
    token_position: Tensor  # [B, F]
    token_frames: Tensor  # [B, F]
    frames_mask: Tensor  # [B, F]
    loss_mask: Tensor  # [B, F]
    speaker: Tensor  # int64 [B]

    def gather(self, encoded: Tensor) -> Tensor:
        """The encoding of every frame's token: [B, T, C] -> [B, F, C]."""
        index = self.token_index.unsqueeze(-1).expand(-1, -1, encoded.shape[-1])
        return torch.gather(encoded, 1, index)


def classes_of(symbols: list[str]) -> Tensor:
    """PAUSE, PHONE or MARK of every symbol, int64 [symbols]."""
    return torch.tensor([PAUSE if is_pause(s) else MARK if is_mark(s) else PHONE for s in symbols])


@dataclass(slots=True)
class Corpus:
    """The clips of one corpus or, with several speakers, of one for each; and what the model needs to know of them."""

    train: list[Item]
    dev: list[Item]
    symbols: list[str]
    seen: Tensor  # bool [symbols]: in the train split
    scales: Tensor  # [[mean, deviation] of log F0, [mean, deviation] of energy]; [speakers, 2, 2] if several
    mel_scale: Tensor  # [2, bands]

    @property
    def speakers(self) -> int:
        """How many."""
        return len(self.scales) if self.scales.dim() == 3 else 1

    def scales_of(self, item: Item) -> Tensor:
        """The scales [2, 2] of an item's speaker."""
        return self.scales[item.speaker] if self.scales.dim() == 3 else self.scales

    @property
    def classes(self) -> Tensor:
        """PAUSE, PHONE or MARK of every symbol."""
        return classes_of(self.symbols)

    @classmethod
    def load(cls, *folders: Path) -> Corpus:
        """Open work folders that `recipes.features` and `recipes.align` have been through, one for each speaker."""
        for folder in folders:
            if not (folder / "prosody.npz").is_file():
                raise SystemExit(f"{folder}: no alignment here; run `python -m recipes.align` first")
        symbols = _symbols(folders)
        ids = {symbol: i for i, symbol in enumerate(symbols)}
        parts: dict[str, list[Item]] = {"train": [], "dev": []}
        scales, mels = [], []
        for speaker, folder in enumerate(folders):
            features = Features.load(folder)
            mel = torch.tensor(np.asarray(features.mel))
            prosody = np.load(folder / "prosody.npz")
            scales.append(torch.tensor(np.stack([prosody["pitch_scale"], prosody["energy_scale"]])).float())
            mels.append(mel)
            for split, item in _items(folder, features, mel, prosody, ids, speaker):
                parts[split].append(item)
        seen = torch.zeros(len(symbols), dtype=torch.bool)
        for item in parts["train"]:
            seen[item.tokens] = True
        mel = torch.cat(mels) if len(mels) > 1 else mels[0]
        mel_scale = torch.stack([mel.mean(0), mel.std(0).clamp(min=0.1)])
        every = torch.stack(scales) if len(scales) > 1 else scales[0]
        return cls(parts["train"], parts["dev"], symbols, seen, every, mel_scale)


def _symbols(folders: Sequence[Path]) -> list[str]:
    """All symbols of the corpora in the order of their ids; one corpus's own table if there is one."""
    tables = [(folder / "symbols.txt").read_text("utf-8").split("\n")[:-1] for folder in folders]
    if len(tables) == 1:
        return tables[0]
    return symbol_table([symbol for table in tables for symbol in table])


def _items(
    folder: Path,
    features: Features,
    mel: Tensor,
    prosody: Mapping[str, np.ndarray],
    ids: Mapping[str, int],
    speaker: int,
) -> Iterator[tuple[str, Item]]:
    """Every clip of a corpus with its split."""
    clips = {clip.id: clip for clip in features.clips}
    rows = json.loads((folder / "alignment.json").read_text("utf-8"))
    pitch = torch.tensor((prosody["pitch"] - prosody["pitch_scale"][0]) / prosody["pitch_scale"][1]).float()
    energy = torch.tensor((prosody["energy"] - prosody["energy_scale"][0]) / prosody["energy_scale"][1]).float()
    voiced = torch.tensor(prosody["voiced"]).float()
    first = 0
    for row in rows:
        clip, durations = clips[row["id"]], torch.tensor(row["durations"])
        span = slice(first, first + len(durations))
        first = span.stop
        tokens = torch.tensor([ids[symbol] for symbol in row["symbols"]])
        yield clip.split, Item(
            clip.id, tokens, durations, pitch[span].clamp(-4, 4), voiced[span], energy[span].clamp(-5, 5),
            mel[clip.rows], *upsample(durations), speaker,
        )  # fmt: skip


def collate(items: list[Item], mel_scale: Tensor, crop: int | None, context: int, rng: np.random.Generator) -> Batch:
    """Put clips side by side.

    Args:
        items: the clips.
        mel_scale: mean and deviation of every band; the batch's mel is normalised.
        crop: frames of each clip, from a random place; all of them if None.
        context: frames beside a cut edge that the decoder cannot get right.
        rng: draws the places.
    """
    longest = max(len(item.tokens) for item in items)
    frames = crop or max(len(item.mel) for item in items)
    empty: dict[str, list[Tensor]] = {field.name: [] for field in fields(Batch)}
    for item in items:
        tokens = longest - len(item.tokens)
        for name in ("tokens", "durations", "voiced", "energy", "pitch"):
            value = getattr(item, name)
            empty[name].append(torch.cat([value, value.new_zeros(tokens, *value.shape[1:])]))
        empty["speaker"].append(torch.tensor(item.speaker))
        empty["tokens_mask"].append(torch.cat([torch.ones(len(item.tokens)), torch.zeros(tokens)]))

        length = len(item.mel)
        # Draw beyond both ends and clip, so that the ends are seen as often as the middle.
        start = int(
            np.clip(rng.integers(-frames // 4, max(1, length - frames + frames // 4)), 0, max(0, length - frames))
        )
        stop = min(length, start + frames)
        missing = frames - (stop - start)
        for name in ("mel", "token_index", "token_position", "token_frames"):
            value = getattr(item, name)[start:stop]
            if name == "mel":
                value = (value - mel_scale[0]) / mel_scale[1]
            empty[name].append(torch.cat([value, value.new_zeros(missing, *value.shape[1:])]))
        mask = torch.cat([torch.ones(stop - start), torch.zeros(missing)])
        empty["frames_mask"].append(mask)
        loss_mask = mask.clone()
        if start > 0:
            loss_mask[:context] = 0
        if stop < length:
            loss_mask[stop - start - context :] = 0
        empty["loss_mask"].append(loss_mask)
    return Batch(**{name: torch.stack(values) for name, values in empty.items()})


def batches(
    items: list[Item], mel_scale: Tensor, size: int, crop: int | None, context: int, seed: int
) -> Iterator[Batch]:
    """Endless batches of clips of like length; `seed` makes a resumed run go on with other draws."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(items))
        groups = []
        for first in range(0, len(order), size * 16):
            pool = sorted(order[first : first + size * 16], key=lambda i: len(items[i].tokens))
            groups += [pool[i : i + size] for i in range(0, len(pool), size)]
        for i in rng.permutation(len(groups)):
            if len(groups[i]) == size:
                yield collate([items[j] for j in groups[i]], mel_scale, crop, context, rng)
