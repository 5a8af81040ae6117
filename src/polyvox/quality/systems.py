"""What is compared: every system speaks the same clips, into WAV files that can be listened to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import polyvox
from polyvox.addons import Addon
from polyvox.blocks import connect
from polyvox.errors import PolyvoxError, QualityError
from polyvox.quality import formant, griffin_lim, mel
from polyvox.quality.measuring import Track, digest, untracked
from polyvox.quality.recordings import Recordings, Spoken, pcm16
from polyvox.quality.tables import FORMANT, GRIFFIN_LIM, NATURAL
from polyvox.tensors import Array
from polyvox.voice import Voice
from polyvox.windows import Pace

Render = Callable[[Sequence[Spoken]], Iterator[Array]]
# Parts of the package that make none of a voice's audio.
_BESIDE = ("service", "cli", "importers", "voices", "quality")


def _code() -> str:
    """The package's own code makes the audio as much as the networks do; a change of it makes the cache stale."""
    package = Path(polyvox.__file__).parent
    return digest(*(p for p in sorted(package.rglob("*.py")) if p.relative_to(package).parts[0] not in _BESIDE))


def resample(audio: Array, rate: int, wanted: int) -> Array:
    """Audio float32 [samples] at another sample rate."""
    import soxr

    return audio if rate == wanted else np.asarray(soxr.resample(audio, rate, wanted, quality="VHQ"))


@dataclass(frozen=True)
class System:
    """Something that speaks.

    Attributes:
        name: its row in the tables.
        key: its folder beside the recordings'; changes with everything that changes the audio.
        render: from clips to audio float32 at the recordings' sample rate, one after the other.
        source: what made it, for the record.
        own_pitch: it speaks at a pitch that has nothing to do with the recorded speaker's.
    """

    name: str
    key: str
    render: Render
    source: str = ""
    own_pitch: bool = False

    def files(self, recordings: Recordings, track: Track = untracked) -> dict[str, Path]:
        """The audio of every clip as 16-bit WAV; what is missing is made."""
        import soundfile

        folder = recordings.folder / self.key
        paths = {c.id: folder / f"{c.id}.wav" for c in recordings.clips}
        missing = [c for c in recordings.clips if not paths[c.id].exists()]
        if not missing:
            return paths
        folder.mkdir(parents=True, exist_ok=True)
        title = f"{recordings.name}, {self.name.replace(chr(96), '')}"
        for clip, audio in zip(missing, track(self.render(missing), title, len(missing)), strict=True):
            part = folder / f"{clip.id}.part"
            soundfile.write(part, pcm16(audio), recordings.sample_rate, format="WAV", subtype="PCM_16")
            part.rename(paths[clip.id])
        return paths


def natural(recordings: Recordings) -> System:
    """The recordings themselves: what no system can beat, and what shows that the instruments work."""
    return System(NATURAL, "natural", lambda clips: (recordings.natural(c) for c in clips))


def from_griffin_lim(recordings: Recordings) -> System:
    """Griffin-Lim from the recorded features."""

    def render(clips: Sequence[Spoken]) -> Iterator[Array]:
        for clip in clips:
            yield griffin_lim.griffin_lim(recordings.features(clip), recordings.mel)

    contract = recordings.mel.contract.model_dump_json()
    key = digest(Path(griffin_lim.__file__), Path(mel.__file__), contract)
    return System(GRIFFIN_LIM, f"griffin-lim-{key}", render)


def from_formant(recordings: Recordings, language: str) -> System:
    """espeak-ng's own voice, made as loud as the recordings.

    Raises:
        QualityError: espeak-ng is not there, or has no such language.
    """
    formant.speak(["a"], language)

    def render(clips: Sequence[Spoken]) -> Iterator[Array]:
        spoken, rate = formant.speak([c.text for c in clips], language)
        for clip, audio in zip(clips, spoken, strict=True):
            level = recordings.natural(clip).std() / max(float(audio.std()), 1e-6)
            yield resample(audio * level, rate, recordings.sample_rate)

    return System(FORMANT, f"formant-{language}-{digest(Path(formant.__file__))}", render, own_pitch=True)


def _described(addon: Addon) -> str:
    manifest = addon.manifest
    return f"{manifest.name} {manifest.version} ({(manifest.data or manifest.license).rstrip('.')})"


def _addon_digest(addon: Addon) -> str:
    return digest(Path(addon.files.where))


def from_vocoder(recordings: Recordings, addon: Addon) -> System:
    """A vocoder addon, streamed by Polyvox's own blocks from the recorded features."""
    stack = addon.stack()
    manifest = addon.manifest
    controls = {name: np.asarray(c.default, dtype=np.float32) for name, c in manifest.controls.items()}

    def render(clips: Sequence[Spoken]) -> Iterator[Array]:
        for clip in clips:
            features = np.ascontiguousarray(recordings.features(clip))
            stream = connect(stack.block, controls, iter([{"mel": features}]))
            pace = Pace()
            size: float = pace.first
            chunks = [np.zeros(0, dtype=np.float32)]
            while True:
                stream.ask(int(size) * manifest.features.hop_length)
                chunk = next(stream, None)
                if chunk is None:
                    break
                chunks.append(chunk["audio"])
                size = min(size * pace.growth, pace.maximum)
            yield _sound(np.concatenate(chunks), f"vocoder '{manifest.name}'", clip)

    key = f"vocoder-{manifest.name}-{_addon_digest(addon)}-{_code()}"
    return System(f"`{manifest.name}`", key, render, _described(addon))


def from_voice(recordings: Recordings, voice: Voice, speaker: str | None = None) -> System:
    """A voice, from text: exactly what `voice.say(text)` gives, once a sentence."""

    def render(clips: Sequence[Spoken]) -> Iterator[Array]:
        said: dict[str, Array] = {}
        for clip in clips:
            if clip.text not in said:
                try:
                    speech = voice.say(clip.text, speaker=speaker)
                except PolyvoxError as error:
                    raise QualityError(f"voice '{voice.name}' cannot say {clip.text!r}: {error}") from error
                audio = resample(speech.samples, speech.sample_rate, recordings.sample_rate)
                said[clip.text] = _sound(audio, f"voice '{voice.name}'", clip)
            yield said[clip.text]

    addons = [a for a in (voice.addon, voice.vocoder) if a is not None]
    name = " with ".join(f"`{a.manifest.name}`" for a in addons)
    who = f"-{digest(speaker)}" if speaker else ""
    key = f"voice-{voice.name}{who}-{'-'.join(map(_addon_digest, addons))}-{_code()}"
    return System(name, key, render, "; ".join(map(_described, addons)))


def _sound(audio: Array, who: str, clip: Spoken) -> Array:
    """The audio, if there is any and all of it is numbers."""
    if not len(audio) or not np.isfinite(audio).all():
        what = "audio that is no number" if len(audio) else "no audio"
        raise QualityError(f"{who} makes {what} for {clip.id}, {clip.text!r}")
    return audio
