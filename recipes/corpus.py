"""A single-speaker corpus: `metadata.csv` with `id|split|duration_s|text`, audio in `audio/<id>.<ext>`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SAMPLE_RATE = 22_050
AUDIO_SUFFIXES = (".opus", ".flac", ".wav", ".ogg")


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording: `split` is "train" or "dev"."""

    id: str
    split: str
    text: str
    path: Path


def read_corpus(folder: Path) -> list[Clip]:
    """List the clips of the corpus in `folder`, in the order of its metadata.

    Raises:
        SystemExit: metadata or an audio file is missing.
    """
    table = folder / "metadata.csv"
    if not table.is_file():
        raise SystemExit(f"{table}: not found; a corpus is a folder with metadata.csv (id|split|duration_s|text)")
    clips = []
    with table.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="|", quoting=csv.QUOTE_NONE):
            candidates = (folder / "audio" / f"{row['id']}{suffix}" for suffix in AUDIO_SUFFIXES)
            path = next((p for p in candidates if p.is_file()), None)
            if path is None:
                raise SystemExit(f"{table}: no audio file for '{row['id']}' ({', '.join(AUDIO_SUFFIXES)})")
            clips.append(Clip(row["id"], row["split"], row["text"], path))
    return clips


def read_audio(path: Path, sample_rate: int = SAMPLE_RATE) -> np.ndarray:
    """Read a recording as mono float32 [samples] at `sample_rate`."""
    import soundfile
    import soxr

    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    return mono if rate == sample_rate else soxr.resample(mono, rate, sample_rate, quality="VHQ")
