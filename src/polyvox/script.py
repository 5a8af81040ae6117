"""One text with several voices: `[kerstin] Guten Tag.` at the start of a line says who speaks from there on.

from polyvox import script

for chunk in script.stream("[kathleen] Good morning.\\n[kerstin] Guten Morgen."):
    play(chunk.samples, chunk.sample_rate)

`polyvox.tags` says what counts as a tag.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from polyvox.addons import Manifest, find, open_addon, read_manifest
from polyvox.addons.joining import check_controls, check_join, joined_controls
from polyvox.choosing import Catalogue, Choice
from polyvox.errors import TextError, VoiceError
from polyvox.networks import Target
from polyvox.speech import Chunk, Speech, Timing
from polyvox.tags import Turn, turns
from polyvox.text import front_end, utterances
from polyvox.voice import Voice, load

PAUSE = 0.5
"""Seconds of silence where the speaker changes."""

Load = Callable[[str | Path], Voice]
"""Gives the loaded voice for what a `Choice` names."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of a script that one speaker speaks.

    Attributes:
        choice: who.
        text: what: script.text[first:last], where every tag is blanked by as many characters of white space.
        first, last: where it stands in the script's text.
        line: on which line it begins, from 1.
    """

    choice: Choice
    text: str
    first: int
    last: int
    line: int


@dataclass(frozen=True, slots=True)
class Role:
    """A voice of a script, known from addon.json alone.

    Attributes:
        voice: what `load` takes.
        manifest: of its acoustic or speech addon.
        vocoder: of the vocoder that it speaks through; None for a speech addon.
    """

    voice: str | Path
    manifest: Manifest
    vocoder: Manifest | None


@dataclass(frozen=True, slots=True)
class Script:
    """A text whose tags were read and whose voices fit together; nothing is loaded yet.

    Attributes:
        text: the script as it was given.
        spoken: the same with every tag blanked by a paragraph's break of equal length.
        parts: who speaks what, in order.
        roles: the voices, each once, in the order in which they first speak.
        vocoder: what all of them speak through, if not their own vocoder.
        where: put before messages, such as "play.txt: ".
    """

    text: str
    spoken: str
    parts: tuple[Part, ...]
    roles: tuple[Role, ...]
    vocoder: str | Path | None = None
    where: str = ""

    @classmethod
    def parse(
        cls,
        text: str,
        voice: str | Path | None = None,
        *,
        language: str | None = None,
        speaker: str | None = None,
        vocoder: str | Path | None = None,
        source: str | None = None,
    ) -> Script:
        """Read a script, and check all that can be without loading a network.

        Args:
            text: the script; without any tag, a text like any other.
            voice, language, speaker: who speaks what stands before the first tag, as for `polyvox.choose`. Tags find
                the speakers of this voice before those of the library.
            vocoder: another vocoder for all voices than each one's own.
            source: where the text is from, for messages: a file's name.

        Raises:
            VoiceError: a tag is misspelt, a voice has no vocoder that fits, or the voices' sample rates differ.
            TextError: a part has nothing to speak.
            AddonError: an addon.json is wrong.
        """
        if not isinstance(text, str):
            raise TextError(f"a text to speak must be a str, not {type(text).__name__}")
        where = f"{source}: " if source else ""
        catalogue = Catalogue(voice)
        opening = partial(catalogue.choose, voice, language=language, speaker=speaker)
        if voice is not None or language is not None or speaker is not None:
            opening()  # a mistake in them is one even where tags leave them nothing to speak
        spoken, found = turns(text, catalogue, opening, where)
        if not found:
            raise TextError(f"{where}the text is empty")
        parts = tuple(Part(t.choice, spoken[t.first : t.last], t.first, t.last, t.line) for t in found)
        roles = _roles(found, vocoder, where)
        script = cls(text, spoken, parts, roles, vocoder, where)
        script._check_rates()
        script._check_texts()
        return script

    @property
    def sample_rate(self) -> int:
        """Samples a second, of every voice."""
        return self.roles[0].manifest.features.sample_rate

    def stream(
        self,
        *,
        target: str | Target = "cpu",
        pause: float = PAUSE,
        whole: bool = False,
        load: Load | None = None,
        **controls: float,
    ) -> Generator[Chunk, None, None]:
        """Speak all parts in order, as one speech.

        The first voice is loaded at once, each other one when it first speaks, and all are closed when the stream ends.
        Nothing is spoken before the first chunk is pulled, nor what nobody pulls; closing the generator stops the work.

        Args:
            target: where and how to run.
            pause: seconds of silence between parts.
            whole: run every network once over each sentence, for comparison.
            load: gives loaded voices in place of `polyvox.load`; they are not closed, and `target` and the script's
                vocoder are its own affair.
            **controls: controls that every voice of the script has, such as `speed=1.1`.

        Returns:
            Chunks whose positions and timings count from the start of the speech, and whose `first` and `last` are
            places in the script's text. The times in `warnings` count from the start of the part that they name.

        Raises:
            VoiceError: a voice lacks a control, its value is out of range, or `pause` is.
            AddonError, TargetError: the first voice cannot be loaded. The others raise when it is their turn.
        """
        if not 0 <= pause <= 60:
            raise VoiceError(f"the pause between speakers must be 0 to 60 seconds, not {pause!r}")
        for role in self.roles:
            check_controls(role.manifest.name, joined_controls(role.manifest, role.vocoder), controls)
        cast = _Cast(load, target, self.vocoder)
        opening = self.parts[0]

        def start(part: Part) -> Iterator[Chunk]:
            voice = cast.get(part.choice.voice)
            return voice.stream(part.text, speaker=part.choice.speaker, whole=whole, pace=None, **controls)

        try:
            first = start(opening)
        except BaseException:
            cast.close()
            raise
        return self._speak(cast, first, start, round(pause * self.sample_rate))

    def _speak(
        self, cast: _Cast, first: Iterator[Chunk], start: Callable[[Part], Iterator[Chunk]], silence: int
    ) -> Generator[Chunk, None, None]:
        position = 0
        alone = len(self.parts) == 1 and self.parts[0].first == 0
        try:
            for number, part in enumerate(self.parts):
                if number and silence:
                    yield Chunk(np.zeros(silence, dtype=np.float32), self.sample_rate, position)
                    position += silence
                chunks = start(part) if number else first
                began = position
                try:
                    for chunk in chunks:
                        yield chunk if alone else self._moved(chunk, part, began)
                        position += len(chunk.samples)
                finally:
                    _close(chunks)
        finally:
            cast.close()

    def _moved(self, chunk: Chunk, part: Part, began: int) -> Chunk:
        """A part's chunk as the script's."""
        seconds = began / self.sample_rate

        def moved(timings: Sequence[Timing]) -> tuple[Timing, ...]:
            return tuple(
                Timing(t.text, t.start + seconds, t.end + seconds, t.first + part.first, t.last + part.first)
                for t in timings
            )

        place = f"{self.where}line {part.line} ({part.choice.voice})"
        return replace(
            chunk,
            position=chunk.position + began,
            words=moved(chunk.words),
            phonemes=moved(chunk.phonemes),
            warnings=tuple(f"{place}: {warning}" for warning in chunk.warnings),
        )

    def _check_rates(self) -> None:
        ours = self.roles[0].manifest
        for role in self.roles[1:]:
            rate = role.manifest.features.sample_rate
            if rate != self.sample_rate:
                raise VoiceError(
                    f"{self.where}'{ours.name}' speaks at {self.sample_rate} Hz and '{role.manifest.name}' at"
                    f" {rate} Hz; the voices of one text need the same sample rate"
                )

    def _check_texts(self) -> None:
        """That each part's model can speak it, and is not broken; an only part's own stream sees to both at once."""
        if len(self.parts) == 1:
            return
        addons = {role.voice: open_addon(role.voice) for role in self.roles}
        for part in self.parts:
            addon = addons[part.choice.voice]
            settings = addon.manifest.text
            assert settings is not None
            try:
                next(utterances(part.text, front_end(settings.frontend, settings.language), addon.symbols))
            except TextError as error:
                raise TextError(f"{self.where}line {part.line} ({part.choice.voice}): {error}") from None


def stream(
    text: str,
    voice: str | Path | None = None,
    *,
    language: str | None = None,
    speaker: str | None = None,
    vocoder: str | Path | None = None,
    target: str | Target = "cpu",
    pause: float = PAUSE,
    whole: bool = False,
    load: Load | None = None,
    **controls: float,
) -> Generator[Chunk, None, None]:
    """Speak a script: `Script.parse` and `Script.stream` in one, with their arguments and errors."""
    script = Script.parse(text, voice, language=language, speaker=speaker, vocoder=vocoder)
    return script.stream(target=target, pause=pause, whole=whole, load=load, **controls)


def say(
    text: str,
    voice: str | Path | None = None,
    *,
    language: str | None = None,
    speaker: str | None = None,
    vocoder: str | Path | None = None,
    target: str | Target = "cpu",
    pause: float = PAUSE,
    whole: bool = False,
    load: Load | None = None,
    **controls: float,
) -> Speech:
    """Speak a script and wait for all of it: the same chunks as `stream`'s, joined."""
    script = Script.parse(text, voice, language=language, speaker=speaker, vocoder=vocoder)
    chunks = script.stream(target=target, pause=pause, whole=whole, load=load, **controls)
    return Speech.join(chunks, script.sample_rate)


class _Cast:
    """The loaded voices of one stream, each loaded when it first speaks.

    Loading the next one in a thread while the one before speaks was tried: a stream runs so far ahead of its listener
    that nothing is gained.
    """

    def __init__(self, given: Load | None, target: str | Target, vocoder: str | Path | None) -> None:
        self._load: Load = given or partial(load, target=target, vocoder=vocoder)
        self._own = given is None
        self._voices: dict[str | Path, Voice] = {}

    def get(self, voice: str | Path) -> Voice:
        """A voice, loaded; errors as `polyvox.load`."""
        if voice not in self._voices:
            self._voices[voice] = self._load(voice)
        return self._voices[voice]

    def close(self) -> None:
        """Close the voices that were loaded here."""
        if self._own:
            for voice in self._voices.values():
                voice.close()
        self._voices.clear()


def _roles(found: Sequence[Turn], vocoder: str | Path | None, where: str) -> tuple[Role, ...]:
    """The voices of a script, joined to their vocoders as `load` will."""
    roles: dict[str | Path, Role] = {}
    for turn in found:
        voice = turn.choice.voice
        if voice in roles:
            continue
        path = find(voice)
        manifest = read_manifest(path)
        wanted = vocoder or manifest.vocoder
        if manifest.kind == "acoustic" and wanted is None:
            raise VoiceError(f"'{manifest.name}' names no vocoder; give one: load(..., vocoder='universal')")
        try:
            other = None if wanted is None else read_manifest(find(wanted, None if vocoder else path.parent))
            check_join(manifest, other)
        except VoiceError as error:
            raise VoiceError(f"{where}line {turn.line}: {error}" if len(found) > 1 else str(error)) from None
        roles[voice] = Role(voice, manifest, other)
    return tuple(roles.values())


def _close(chunks: Iterator[Chunk]) -> None:
    """Stop a stream, if it is one that can be stopped."""
    stop = getattr(chunks, "close", None)
    if stop is not None:
        stop()
