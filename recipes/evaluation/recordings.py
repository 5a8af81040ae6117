"""The held-out clips of a corpus after `python -m recipes.features`, as recordings to measure on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from polyvox.addons.manifest import Features as Contract
from polyvox.quality.measuring import digest
from polyvox.quality.mel import Mel
from polyvox.quality.recordings import Recordings, Spoken
from recipes.features import CONTRACT, Features, StoredClip

MEL = Mel(Contract.model_validate(CONTRACT))


class StoredRecordings(Recordings):
    """Recordings and features as the training saw them."""

    def __init__(self, features: Features, clips: list[StoredClip], folder: Path) -> None:
        super().__init__(features.folder.name, clips, folder, MEL)
        self._stored = features
        self._clips = {c.id: c for c in clips}

    @classmethod
    def open(cls, corpus: Path, cache: Path, limit: int | None = None) -> StoredRecordings:
        """Open what `python -m recipes.features` wrote; with a limit, clips spread evenly over the dev split."""
        stored = Features.load(corpus)
        dev = [c for c in stored.clips if c.split == "dev"]
        if not dev:
            raise SystemExit(f"{corpus / 'clips.json'}: no clip is of the split 'dev', nothing to measure with")
        if limit is not None and limit < len(dev):
            dev = [dev[i * len(dev) // limit] for i in range(limit)]
        audio = (stored.audio[c.samples].tobytes() for c in stored.clips if c.split == "dev")
        return cls(stored, dev, cache / f"{corpus.name}-{digest(corpus / 'clips.json', *audio)}")

    def natural(self, clip: Spoken) -> np.ndarray:
        """The recording, float32 [samples]."""
        return np.asarray(self._stored.audio[self._clips[clip.id].samples], dtype=np.float32) / 32767

    def features(self, clip: Spoken) -> np.ndarray:
        """The stored features, float32 [frames, bands]."""
        return np.asarray(self._stored.mel[self._clips[clip.id].rows])

    def texts(self) -> Iterable[str]:
        """Every sentence, train and dev."""
        return (c.text for c in self._stored.clips)
