"""What a voice is measured against: recordings of sentences, wherever they come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np

from polyvox.quality.mel import Mel
from polyvox.quality.pitch import range_of
from polyvox.tensors import Array


class Spoken(Protocol):
    """One clip: its id, which is a file name too, and the sentence that is said."""

    @property
    def id(self) -> str:
        """Unique among the recordings."""

    @property
    def text(self) -> str:
        """What is said."""


class Recordings(ABC):
    """The clips to measure on, and the folder where every system's audio for them is kept."""

    def __init__(self, name: str, clips: Sequence[Spoken], folder: Path, mel: Mel) -> None:
        """`mel` makes the features of the recordings, by the contract of what is measured."""
        self.name, self.clips, self.folder, self.mel = name, list(clips), folder, mel

    @abstractmethod
    def natural(self, clip: Spoken) -> Array:
        """The recording, float32 [frames * hop]."""

    @abstractmethod
    def texts(self) -> Iterable[str]:
        """Every sentence of the corpus, whether measured on or not."""

    def features(self, clip: Spoken) -> Array:
        """The recording's features, float32 [frames, bands]."""
        return self.mel.features(self.natural(clip))

    @property
    def sample_rate(self) -> int:
        """Samples a second."""
        return self.mel.contract.sample_rate

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return self.mel.contract.hop_length

    @cached_property
    def f0_range(self) -> tuple[float, float]:
        """Where the speaker's F0 is searched, in Hz."""
        some = self.clips[:: max(1, len(self.clips) // 12)]
        return range_of((pcm16(self.natural(c)) for c in some), self.sample_rate, self.hop)

    def takes(self) -> dict[str, str]:
        """For every clip whose sentence was recorded more than once, another clip of it."""
        said: dict[str, list[str]] = defaultdict(list)
        for clip in self.clips:
            said[clip.text].append(clip.id)
        pairs = (zip(ids, [*ids[1:], ids[0]], strict=True) for ids in said.values() if len(ids) > 1)
        return dict(chain.from_iterable(pairs))

    def sentences(self) -> Path:
        """A file with every sentence of the corpus, one a line."""
        path = self.folder / "sentences.txt"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(sorted(set(self.texts()))), "utf-8")
        return path


def pcm16(audio: Array) -> Array:
    """Audio float [samples] as 16-bit samples; beyond full scale is clipped."""
    return np.round(np.clip(audio, -1, 1) * 32767).astype(np.int16)
