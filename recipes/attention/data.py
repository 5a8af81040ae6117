"""Batches to train on: whole clips of like length, and what the decoder is told of the frames before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recipes.features import Features


@dataclass(slots=True)
class Item:
    """One clip; frames are a whole number of decoder steps."""

    id: str
    text: str
    tokens: Tensor  # int64 [tokens]
    mel: Tensor  # [frames, bands], normalised
    place: Tensor  # [steps]: which token each step speaks by the hidden Markov model, moving on smoothly between them
    said: Tensor | None = None  # [frames, bands] float16: what the model made of it the last time


@dataclass(slots=True)
class Batch:
    """Clips side by side (B), padded."""

    tokens: Tensor  # int64 [B, T]
    tokens_mask: Tensor  # [B, T]
    mel: Tensor  # [B, F, bands]
    frames_mask: Tensor  # [B, F]
    told: Tensor  # [B, S, bands]: the last frame before each step, as the decoder is told it
    place: Tensor  # [B, S]
    steps_mask: Tensor  # [B, S]
    items: list[Item]


@dataclass(slots=True)
class Corpus:
    """A corpus's clips by split, its symbols, and the scale of its mel [2, bands]."""

    train: list[Item]
    dev: list[Item]
    symbols: list[str]
    seen: Tensor  # bool [symbols]: in the train split
    mel_scale: Tensor

    @classmethod
    def load(cls, folder: Path, reduction: int) -> Corpus:
        """Open a work folder that `recipes.features` and `recipes.align` have been through."""
        if not (folder / "prosody.npz").is_file():
            raise SystemExit(f"{folder}: no alignment here; run `python -m recipes.align` first")
        features = Features.load(folder)
        clips = {clip.id: clip for clip in features.clips}
        symbols = (folder / "symbols.txt").read_text("utf-8").split("\n")[:-1]
        ids = {symbol: i for i, symbol in enumerate(symbols)}
        mel = torch.tensor(np.asarray(features.mel))
        scale = torch.stack([mel.mean(0), mel.std(0).clamp(min=0.1)])
        mel = (mel - scale[0]) / scale[1]
        parts: dict[str, list[Item]] = {"train": [], "dev": []}
        seen = torch.zeros(len(symbols), dtype=torch.bool)
        for row in json.loads((folder / "alignment.json").read_text("utf-8")):
            clip = clips[row["id"]]
            tokens = torch.tensor([ids[s] for s in row["symbols"]])
            steps = clip.frames // reduction
            place = _places(row["durations"], steps, reduction)
            frames = mel[clip.first_frame : clip.first_frame + steps * reduction]
            parts[clip.split].append(Item(clip.id, clip.text, tokens, frames, place))
            if clip.split == "train":
                seen[tokens] = True
        return cls(parts["train"], parts["dev"], symbols, seen, scale)


def _places(durations: list[int], steps: int, reduction: int) -> Tensor:
    """Where each step stands between tokens: at token i in the middle of its frames, in between linearly.

    So tokens without frames of their own (stress, length) are passed over, not leapt over.
    """
    length = np.array(durations)
    middles = np.cumsum(length) - length / 2
    sounding = np.flatnonzero(length)
    at = (np.arange(steps) + 0.5) * reduction
    return torch.from_numpy(np.interp(at, middles[sounding], sounding).astype(np.float32))


def alignment_of(place: Tensor, tokens: int, width: float | Tensor) -> Tensor:
    """Alignments [..., tokens] that lie round places [...], `width` tokens wide."""
    near = torch.exp(-(((torch.arange(tokens) - place.unsqueeze(-1)) / width) ** 2) / 2)
    return near / near.sum(-1, keepdim=True).clamp(min=1e-6)


def blurred(place: Tensor, tokens: int, rng: np.random.Generator) -> Tensor:
    """Alignments [B, S, tokens] a little beside `place` [B, S], sharper or softer: as a model's own may be."""
    knots = rng.normal(0, 0.6, (len(place), place.shape[1] // 6 + 2))
    along = np.linspace(0, knots.shape[1] - 1, place.shape[1])
    drift = np.stack([np.interp(along, np.arange(knots.shape[1]), row) for row in knots]).astype(np.float32)
    width = torch.from_numpy(rng.uniform(0.4, 1.0, (len(place), 1, 1)).astype(np.float32))
    return alignment_of((place + torch.from_numpy(drift)).clamp(min=0), tokens, width)


def _told(item: Item, reduction: int, share: float, noise: float, rng: np.random.Generator) -> Tensor:
    """The last frame before every step [steps, bands]: zeros, then natural ones, and what training makes of them.

    A decoder that only ever hears natural frames does not know how to go on from its own. So a `share` of them is
    what the model itself said there the last time this clip came by (scheduled sampling, Bengio et al., 2015, but
    in parallel and for nothing), and all have `noise`.
    """
    frames = item.mel[reduction - 1 :: reduction].clone()
    if item.said is not None and share > 0:
        # In stretches, as a model that speaks alone stays with its own frames.
        own = torch.from_numpy(np.repeat(rng.random(-(-len(frames) // 8)) < share, 8)[: len(frames)])
        frames[own] = item.said[reduction - 1 :: reduction][own].float()
    if noise > 0:
        frames += torch.from_numpy(rng.normal(0, noise * rng.random(), frames.shape).astype(np.float32))
    return torch.cat([torch.zeros(1, frames.shape[1]), frames[:-1]])


def collate(items: list[Item], reduction: int, share: float, noise: float, rng: np.random.Generator) -> Batch:
    """Put clips side by side; see `_told` for `share` and `noise`."""

    def padded(rows: list[Tensor]) -> Tensor:
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    return Batch(
        tokens=padded([i.tokens for i in items]),
        tokens_mask=padded([torch.ones(len(i.tokens)) for i in items]),
        mel=padded([i.mel for i in items]),
        frames_mask=padded([torch.ones(len(i.mel)) for i in items]),
        told=padded([_told(i, reduction, share, noise, rng) for i in items]),
        place=padded([i.place for i in items]),
        steps_mask=padded([torch.ones(len(i.place)) for i in items]),
        items=items,
    )


def groups(items: list[Item], frames: int, seed: int) -> Iterator[list[Item]]:
    """Endless groups of clips of like length that hold about `frames` frames together."""
    rng = np.random.default_rng(seed)
    while True:
        # A little disorder, so that neighbours change from epoch to epoch.
        order = sorted(range(len(items)), key=lambda i: len(items[i].mel) * rng.uniform(0.95, 1.05))
        made: list[list[Item]] = [[]]
        longest = 0
        for i in order:
            longest = max(longest, len(items[i].mel))
            if made[-1] and longest * (len(made[-1]) + 1) > frames:
                made.append([])
                longest = len(items[i].mel)
            made[-1].append(items[i])
        for i in rng.permutation(len(made)):
            yield made[i]
