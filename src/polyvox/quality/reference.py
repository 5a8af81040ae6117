"""A folder of recordings and texts, in any of three layouts, to measure a voice against.

metadata.csv  id|split|duration_s|text    audio/<id>.(wav|flac|ogg|opus)     Polyvox's recipes
metadata.csv  id|text|normalized text     wavs/<id>.(wav|flac|ogg|opus)      LJSpeech, without a header
<name>.txt                                <name>.(wav|flac|ogg|opus)         pairs of files
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from polyvox.errors import QualityError
from polyvox.quality.measuring import digest
from polyvox.quality.mel import Mel
from polyvox.quality.recordings import Recordings, Spoken
from polyvox.tensors import Array

SUFFIXES = (".wav", ".flac", ".ogg", ".opus")
METADATA = "metadata.csv"
DEFAULT_SPLIT = "dev"
SHORTEST = 0.5
"""Seconds below which a recording is refused: PESQ and STOI find nothing to measure in less."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording; `split` is None where the layout has no splits."""

    id: str
    text: str
    path: Path
    split: str | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """The clips of one folder: those to measure on, and what every clip of the folder says."""

    folder: Path
    clips: tuple[Clip, ...]
    texts: tuple[str, ...]
    available: int

    @classmethod
    def open(cls, folder: str | Path, split: str | None = None, limit: int | None = None) -> Reference:
        """Read the folder's list, choose clips, and look into every chosen file.

        Args:
            folder: in one of the three layouts.
            split: which split to measure on; "dev" unless given, where the layout has splits.
            limit: at most so many clips, spread evenly.

        Raises:
            QualityError: one sentence that names the file and what is wrong with it.
        """
        folder = Path(folder)
        clips = read_folder(folder)
        chosen = _of_split(folder, clips, split)
        available = len(chosen)
        if limit is not None and limit < available:
            chosen = [chosen[i * available // limit] for i in range(limit)]
        for clip in chosen:
            _look_into(clip)
        return cls(folder, tuple(chosen), tuple(c.text for c in clips), available)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.resolve().name


def read_folder(folder: Path) -> list[Clip]:
    """Every clip of a folder, in the order of its metadata or of its names.

    Raises:
        QualityError: there is none, or one lacks its audio or its text.
    """
    if not folder.is_dir():
        raise QualityError(f"{folder}: is no folder; a reference is a folder of recordings and texts")
    table = folder / METADATA
    clips = list(_from_table(table) if table.is_file() else _from_pairs(folder))
    if not clips:
        raise QualityError(
            f"{table if table.is_file() else folder}: lists no recordings; expected {METADATA} (with audio/ or wavs/),"
            " or pairs <name>.wav and <name>.txt"
        )
    seen: set[str] = set()
    for clip in clips:
        if clip.id in seen:
            raise QualityError(f"{folder}: there are two recordings called '{clip.id}'")
        seen.add(clip.id)
        if not clip.text:
            raise QualityError(f"{folder}: the text of '{clip.id}' is missing")
    return clips


def _from_table(table: Path) -> Iterator[Clip]:
    lines = [line.split("|") for line in _text(table).splitlines() if line.strip()]
    if not lines:
        return
    head = [name.strip() for name in lines[0]]
    if head[0] != "id":  # LJSpeech has no header
        for line in lines:
            if len(line) not in (2, 3):
                raise QualityError(f"{table}: expected id|text or id|text|normalized text, not {'|'.join(line)[:80]!r}")
            said = line[-1].strip() or line[1].strip()
            yield Clip(line[0], said, _audio(table, "wavs", line[0]))
        return
    absent = [name for name in ("split", "text") if name not in head]
    if absent:
        raise QualityError(f"{table}: has no column '{absent[0]}'; expected id|split|duration_s|text")
    for line in lines[1:]:
        if len(line) != len(head):
            raise QualityError(f"{table}: expected {len(head)} columns, not {'|'.join(line)[:80]!r}")
        row = dict(zip(head, (value.strip() for value in line), strict=True))
        yield Clip(row["id"], row["text"], _audio(table, "audio", row["id"]), row["split"])


def _audio(table: Path, inside: str, id_: str) -> Path:
    if not id_ or Path(id_).name != id_ or "\\" in id_:
        raise QualityError(f"{table}: '{id_}' is no name of a recording; expected a file name without its ending")
    for suffix in SUFFIXES:
        path = table.parent / inside / f"{id_}{suffix}"
        if path.is_file():
            return path
    raise QualityError(
        f"{table}: no audio for '{id_}': there is no {inside}/{id_}{SUFFIXES[0]} ({', '.join(SUFFIXES)})"
    )


def _from_pairs(folder: Path) -> Iterator[Clip]:
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and path.is_file():
            text = path.with_suffix(".txt")
            if not text.is_file():
                raise QualityError(f"{path}: its text is missing; expected it in {text.name}")
            yield Clip(path.stem, " ".join(_text(text).split()), path)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise QualityError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _of_split(folder: Path, clips: list[Clip], split: str | None) -> list[Clip]:
    there = sorted({c.split for c in clips if c.split is not None})
    if not there:
        if split is not None:
            raise QualityError(f"{folder}: its recordings have no splits, so there is no '{split}'")
        return clips
    wanted = split or DEFAULT_SPLIT
    chosen = [c for c in clips if c.split == wanted]
    if not chosen:
        raise QualityError(f"{folder}: no recording is of the split '{wanted}'; there are {', '.join(there)}")
    return chosen


def _look_into(clip: Clip) -> None:
    import soundfile

    try:
        seconds = soundfile.info(clip.path).duration
    except (soundfile.LibsndfileError, OSError) as error:
        raise QualityError(f"{clip.path}: cannot be read: {error}") from None
    if seconds < SHORTEST:
        raise QualityError(f"{clip.path}: is {seconds:.2f} s long, too short to measure on (at least {SHORTEST:g} s)")


class Corpus(Recordings):
    """The clips of a Reference, as recordings by a feature contract."""

    def __init__(self, reference: Reference, cache: Path, mel: Mel) -> None:
        """`cache` is where every system's audio is kept, in a folder that no other reference or contract shares."""
        stats = [(str(c.path.resolve()), c.path.stat().st_size, c.path.stat().st_mtime_ns) for c in reference.clips]
        texts = [c.text for c in reference.clips]
        key = digest(repr((stats, texts, reference.texts)), mel.contract.model_dump_json())
        super().__init__(reference.name, reference.clips, cache / f"{reference.name}-{key}", mel)
        self._texts = reference.texts
        self._paths = {c.id: c.path for c in reference.clips}
        self._kept = lru_cache(maxsize=256)(self._read)

    def texts(self) -> Iterable[str]:
        """Every sentence of the folder."""
        return self._texts

    def natural(self, clip: Spoken) -> Array:
        """The recording, float32 [frames * hop]: one channel, at the contract's sample rate.

        Raises:
            QualityError: the file holds something else than sound.
        """
        return self._kept(clip.id)

    def _read(self, id_: str) -> Array:
        import soundfile
        import soxr

        path = self._paths[id_]
        try:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, OSError) as error:
            raise QualityError(f"{path}: cannot be read: {error}") from None
        audio = samples.mean(axis=1)
        if not np.isfinite(audio).all() or not audio.any():
            raise QualityError(f"{path}: holds {'only silence' if np.isfinite(audio).all() else 'no numbers'}")
        if rate != self.sample_rate:
            audio = soxr.resample(audio, rate, self.sample_rate, quality="VHQ")
        return np.asarray(audio[: len(audio) // self.hop * self.hop])
