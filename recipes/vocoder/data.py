"""What the vocoder is trained on: random crops of recordings with their features, recorded or predicted."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recipes.features import HOP, LOG_FLOOR, Features, StoredClip
from recipes.vocoder.source import continuous_f0


@dataclass(frozen=True, slots=True)
class Corpus:
    """One speaker's recordings: F0 and voicing by frame, clips long enough to crop, and how likely each is."""

    features: Features
    f0: np.ndarray
    voiced: np.ndarray
    clips: list[StoredClip]
    lengths: np.ndarray
    predicted: np.ndarray | None

    @classmethod
    def open(cls, folder: Path, frames: int, predicted: bool) -> Corpus:
        """Open what recipes.features and recipes.pitch made, and `predicted.npy` beside it if that is wanted."""
        features = Features.load(folder)
        raw = np.load(folder / "f0.npy")
        f0 = np.concatenate([continuous_f0(raw[c.rows]) for c in features.clips])
        clips = [c for c in features.clips if c.split == "train" and c.frames > frames]
        path = folder / "predicted.npy"
        guessed = np.load(path, mmap_mode="r") if predicted and path.exists() else None
        return cls(features, f0, raw > 0, clips, np.array([c.frames for c in clips], np.float64), guessed)


class Crops:
    """Random crops of equal length from several corpora; every speaker is drawn by its square-rooted share.

    With `predicted` above 0, that share of the crops of a corpus which has `predicted.npy` gets the features that an
    acoustic model predicted for them, frame by frame, with the recording to be made of them.
    """

    def __init__(self, folders: list[Path], frames: int, seed: int, predicted: float = 0.0) -> None:
        self.frames, self.predicted = frames, predicted
        self.random = np.random.default_rng(seed)
        self.corpora = [Corpus.open(folder, frames, predicted > 0) for folder in folders]
        shares = np.sqrt([c.lengths.sum() for c in self.corpora])
        self.shares = shares / shares.sum()

    def draw(self, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """audio [batch, samples], mel [batch, frames, 80], f0 and voiced [batch, frames]."""
        audio, mel, f0, voiced = [], [], [], []
        for which in self.random.choice(len(self.corpora), batch, p=self.shares):
            corpus = self.corpora[which]
            clip = corpus.clips[self.random.choice(len(corpus.clips), p=corpus.lengths / corpus.lengths.sum())]
            first = clip.first_frame + int(self.random.integers(0, clip.frames - self.frames + 1))
            rows = slice(first, first + self.frames)
            # Loudness is not the speaker: spread it, so that quiet and loud features are known ones.
            gain = float(np.exp(self.random.normal(0, 0.4)))
            guessed = corpus.predicted is not None and self.random.random() < self.predicted
            source = corpus.predicted if corpus.predicted is not None and guessed else corpus.features.mel
            audio.append(corpus.features.audio[rows.start * HOP : rows.stop * HOP].astype(np.float32) / 32768 * gain)
            mel.append(np.maximum(source[rows] + math.log(gain), math.log(LOG_FLOOR)))
            f0.append(corpus.f0[rows])
            voiced.append(corpus.voiced[rows])
        return tuple(torch.from_numpy(np.stack(x)).float() for x in (audio, mel, f0, voiced))  # type: ignore[return-value]
