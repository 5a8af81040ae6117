"""What is compared: every system speaks the same held-out clips, into WAV files that can be listened to."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

import polyvox
from polyvox import Voice
from polyvox.addons import Addon
from polyvox.blocks import connect
from polyvox.errors import PolyvoxError
from polyvox.windows import Pace
from recipes import features
from recipes.corpus import SAMPLE_RATE
from recipes.evaluation import formant, griffin_lim
from recipes.evaluation.tables import FORMANT, GRIFFIN_LIM, NATURAL
from recipes.features import HOP, Features, StoredClip

Render = Callable[[list[StoredClip]], Iterator[np.ndarray]]
# Parts of the package that make no audio.
_BESIDE = ("service", "cli", "importers", "voices")


def digest(*parts: bytes | str | Path) -> str:
    """A short name for what the parts hold: bytes, text, files, or folders with all the files in them."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            found = sorted(part.rglob("*")) if part.is_dir() else [part]
            for file in found:
                if file.is_file() and file.suffix != ".pyc":
                    total.update(file.name.encode() + b"\0" + file.read_bytes())
        else:
            total.update(part.encode() if isinstance(part, str) else part)
    return total.hexdigest()[:10]


def _code() -> str:
    """The package's own code makes the audio as much as the networks do; a change of it makes the cache stale."""
    package = Path(polyvox.__file__).parent
    return digest(*(p for p in sorted(package.rglob("*.py")) if p.relative_to(package).parts[0] not in _BESIDE))


@dataclass(frozen=True)
class Recordings:
    """The held-out clips of one corpus, and the folder where every system's audio for them is kept."""

    features: Features
    clips: list[StoredClip]
    folder: Path

    @classmethod
    def open(cls, corpus: Path, cache: Path, limit: int | None = None) -> Recordings:
        """Open what `python -m recipes.features` wrote; with a limit, clips spread evenly over the dev split."""
        stored = Features.load(corpus)
        dev = [c for c in stored.clips if c.split == "dev"]
        if not dev:
            raise SystemExit(f"{corpus / 'clips.json'}: no clip is of the split 'dev', nothing to measure with")
        if limit is not None and limit < len(dev):
            dev = [dev[i * len(dev) // limit] for i in range(limit)]
        audio = (stored.audio[c.samples].tobytes() for c in stored.clips if c.split == "dev")
        return cls(stored, dev, cache / f"{corpus.name}-{digest(corpus / 'clips.json', *audio)}")

    @property
    def name(self) -> str:
        """The corpus's name."""
        return self.features.folder.name

    def natural(self, clip: StoredClip) -> np.ndarray:
        """The recording, float32 [samples]."""
        return np.asarray(self.features.audio[clip.samples], dtype=np.float32) / 32767

    @cached_property
    def f0_range(self) -> tuple[float, float]:
        """Where the speaker's F0 is searched, in Hz."""
        from recipes.pitch import f0_of, speaker_range

        probe = [f0_of(self.features.audio[c.samples], 55, 500) for c in self.clips[:: max(1, len(self.clips) // 12)]]
        return speaker_range(np.concatenate(probe))

    def takes(self) -> dict[str, str]:
        """For every clip whose sentence was recorded more than once, another clip of it."""
        said: dict[str, list[str]] = defaultdict(list)
        for clip in self.clips:
            said[clip.text].append(clip.id)
        pairs = (zip(ids, [*ids[1:], ids[0]], strict=True) for ids in said.values() if len(ids) > 1)
        return dict(chain.from_iterable(pairs))

    def sentences(self) -> Path:
        """A file with every sentence of the corpus, train and dev, one a line."""
        path = self.folder / "sentences.txt"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(sorted({c.text for c in self.features.clips})), "utf-8")
        return path


@dataclass(frozen=True)
class System:
    """One row of a table.

    Attributes:
        name: the row's title.
        key: names the folder of its audio; changes with everything that changes the audio.
        render: from clips to audio float32 at 22,050 Hz, one after the other.
        source: what made it, for the record.
        own_pitch: it speaks at a pitch that has nothing to do with the recorded speaker's.
    """

    name: str
    key: str
    render: Render
    source: str = ""
    own_pitch: bool = False

    def files(self, recordings: Recordings) -> dict[str, Path]:
        """The audio of every clip as 16-bit WAV; what is missing is made."""
        folder = recordings.folder / self.key
        paths = {c.id: folder / f"{c.id}.wav" for c in recordings.clips}
        missing = [c for c in recordings.clips if not paths[c.id].exists()]
        if not missing:
            return paths
        folder.mkdir(parents=True, exist_ok=True)
        title = f"{recordings.name}, {self.name.replace(chr(96), '')}"
        for clip, audio in zip(missing, tqdm(self.render(missing), title, len(missing)), strict=True):
            part = folder / f"{clip.id}.part"
            pcm = np.round(np.clip(audio, -1, 1) * 32767).astype(np.int16)
            soundfile.write(part, pcm, SAMPLE_RATE, format="WAV", subtype="PCM_16")
            part.rename(paths[clip.id])
        return paths


def natural(recordings: Recordings) -> System:
    """The recordings themselves: what no system can beat, and what shows that the instruments work."""
    return System(NATURAL, "natural", lambda clips: (recordings.natural(c) for c in clips))


def from_griffin_lim(recordings: Recordings) -> System:
    """Griffin-Lim from the recorded mel."""

    def render(clips: list[StoredClip]) -> Iterator[np.ndarray]:
        for clip in clips:
            yield griffin_lim.griffin_lim(recordings.features.mel[clip.rows])

    key = digest(Path(griffin_lim.__file__), Path(features.__file__))
    return System(GRIFFIN_LIM, f"griffin-lim-{key}", render)


def from_formant(recordings: Recordings, language: str) -> System:
    """espeak-ng's own voice, made as loud as the recordings.

    Raises:
        RuntimeError: espeak-ng is not there, or has no such language.
    """
    formant.speak(["a"], language)

    def render(clips: list[StoredClip]) -> Iterator[np.ndarray]:
        spoken, rate = formant.speak([c.text for c in clips], language)
        for clip, audio in zip(clips, spoken, strict=True):
            level = recordings.natural(clip).std() / max(float(audio.std()), 1e-6)
            yield soxr.resample(audio * level, rate, SAMPLE_RATE, quality="VHQ")

    return System(FORMANT, f"formant-{language}-{digest(Path(formant.__file__))}", render, own_pitch=True)


def _described(addon: Addon) -> str:
    manifest = addon.manifest
    return f"{manifest.name} {manifest.version} ({(manifest.data or manifest.license).rstrip('.')})"


def _addon_digest(addon: Addon) -> str:
    return digest(Path(addon.files.where))


def from_vocoder(recordings: Recordings, addon: Addon) -> System:
    """A vocoder addon, streamed by Polyvox's own blocks from the recorded mel."""
    stack = addon.stack()
    manifest = addon.manifest
    controls = {name: np.float32(c.default) for name, c in manifest.controls.items()}

    def render(clips: list[StoredClip]) -> Iterator[np.ndarray]:
        for clip in clips:
            mel = np.ascontiguousarray(recordings.features.mel[clip.rows])
            stream = connect(stack.block, controls, iter([{"mel": mel}]))
            chunks = []
            for frames in Pace().sizes():
                stream.ask(frames * HOP)
                chunk = next(stream, None)
                if chunk is None:
                    break
                chunks.append(chunk["audio"])
            yield np.concatenate(chunks)

    key = f"vocoder-{manifest.name}-{_addon_digest(addon)}-{_code()}"
    return System(f"`{manifest.name}`", key, render, _described(addon))


def from_voice(voice: Voice) -> System:
    """A voice, from text: exactly what `voice.say(text)` gives, once a sentence."""

    def render(clips: list[StoredClip]) -> Iterator[np.ndarray]:
        said: dict[str, np.ndarray] = {}
        for clip in clips:
            if clip.text not in said:
                try:
                    speech = voice.say(clip.text)
                except PolyvoxError as error:
                    raise SystemExit(f"voice '{voice.name}' cannot say {clip.text!r}: {error}") from error
                audio = speech.samples
                if speech.sample_rate != SAMPLE_RATE:
                    audio = soxr.resample(audio, speech.sample_rate, SAMPLE_RATE, quality="VHQ")
                said[clip.text] = audio
            yield said[clip.text]

    addons = [a for a in (voice.addon, voice.vocoder) if a is not None]
    name = " with ".join(f"`{a.manifest.name}`" for a in addons)
    key = f"voice-{voice.name}-{'-'.join(map(_addon_digest, addons))}-{_code()}"
    return System(name, key, render, "; ".join(map(_described, addons)))
