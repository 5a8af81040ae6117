"""Fills the tables: what is compared with what, and with which instruments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from polyvox.addons import Addon
from polyvox.errors import QualityError
from polyvox.quality import systems
from polyvox.quality.instruments import Measurement, Range, Values, read
from polyvox.quality.measuring import Track, measure, untracked
from polyvox.quality.pitch import range_of
from polyvox.quality.recordings import Recordings
from polyvox.quality.systems import System
from polyvox.quality.tables import ANOTHER, COPY, FORMANT, GRIFFIN_LIM, NATURAL, SPOKEN, WORDS, Table
from polyvox.voice import Voice


@dataclass
class Compared:
    """A filled table.

    Attributes:
        table: the figures.
        sources: what the systems are, row by row.
        notes: sentences for below the table.
        files: where the last system of our own left the audio of every clip.
    """

    table: Table
    sources: dict[str, str]
    notes: list[str] = field(default_factory=list)
    files: dict[str, Path] = field(default_factory=dict)


class Comparison:
    """How to measure: where things are kept (all recordings' folders lie in it), and with how many processes."""

    def __init__(self, cache: Path, jobs: int, track: Track = untracked) -> None:
        self.cache, self.jobs, self.track = cache, jobs, track

    def from_features(self, recordings: Recordings, vocoders: Sequence[Addon]) -> Compared:
        """From the recorded features back to audio.

        Raises:
            QualityError: a vocoder makes no audio of them.
        """
        compared = [
            systems.natural(recordings),
            systems.from_griffin_lim(recordings),
            *(systems.from_vocoder(recordings, addon) for addon in vocoders),
        ]
        table = Table(f"vocoders, {recordings.name}", COPY, (NATURAL, GRIFFIN_LIM))
        sentences = [c.text for c in recordings.clips]
        for name, rows in self._rows(recordings, compared, ("copy", "dnsmos")).items():
            table.add(name, sentences, rows)
        return Compared(table, {s.name: s.source for s in compared}, [], compared[-1].files(recordings))

    def from_text(self, recordings: Recordings, voice: Voice, speaker: str | None = None) -> Compared:
        """From text, in the voice's language; word errors in English only.

        Raises:
            QualityError: the voice cannot say one of the sentences.
        """
        settings = voice.addon.manifest.text
        assert settings is not None
        language = settings.language
        spoken = systems.from_voice(recordings, voice, speaker)
        compared = [systems.natural(recordings), systems.from_griffin_lim(recordings), spoken]
        notes = []
        try:
            compared.append(systems.from_formant(recordings, language))
        except QualityError as error:
            notes.append(f"There is no row '{FORMANT}': {error}.")
        english = language.partition("-")[0] == "en"
        measured = self._rows(recordings, compared, ("text", "dnsmos", "words") if english else ("text", "dnsmos"))
        if english and all(values.get("words") is None for values in measured[NATURAL]):
            english = False
            notes.append("There are no word errors: every sentence has a word that the recogniser does not know.")
        table = Table(f"voice, {voice.name}", (*SPOKEN, WORDS) if english else SPOKEN, (NATURAL, GRIFFIN_LIM))
        sentences = [c.text for c in recordings.clips]
        for name, rows in measured.items():
            table.add(name, sentences, rows)
        return Compared(table, {spoken.name: spoken.source}, notes, spoken.files(recordings))

    def _rows(
        self, recordings: Recordings, compared: list[System], instruments: tuple[str, ...]
    ) -> dict[str, list[Values]]:
        """Every system's values of every clip; with `text`, other takes of the recordings are a row too."""
        natural = compared[0].files(recordings, self.track)
        wanted: dict[tuple[str, str], list[Measurement]] = {}
        for system in compared:
            files = system.files(recordings, self.track)
            own = _own_range(files, recordings.hop) if system.own_pitch else recordings.f0_range
            for clip in recordings.clips:
                wanted[system.name, clip.id] = [
                    _measurement(i, recordings, clip.id, clip.text, files[clip.id], natural[clip.id], own)
                    for i in instruments
                ]
        if "text" in instruments:
            texts = {c.id: c.text for c in recordings.clips}
            for id_, other in recordings.takes().items():
                range_ = recordings.f0_range
                wanted[ANOTHER, id_] = [
                    _measurement("text", recordings, id_, texts[id_], natural[other], natural[id_], range_)
                ]
        every = [m for ms in wanted.values() for m in ms]
        title = f"{recordings.name}, measuring {', '.join(instruments)}"
        found = measure(every, self.cache, self.jobs, title, self.track)
        names = [compared[0].name, ANOTHER, *(s.name for s in compared[1:])]
        table: dict[str, list[Values]] = {}
        for name in names:
            rows = [
                {key: value for m in wanted.get((name, clip.id), ()) for key, value in found[m].items()}
                for clip in recordings.clips
            ]
            if any(rows):
                table[name] = rows
        return table


def _own_range(files: dict[str, Path], hop: int) -> Range:
    """Where to search F0 in audio whose pitch is not the recorded speaker's."""
    some = [read(path) for path in list(files.values())[:: max(1, len(files) // 8)]]
    return range_of((audio for audio, _ in some), some[0][1], hop)


def _measurement(
    instrument: str, recordings: Recordings, clip: str, text: str, audio: Path, reference: Path, own: Range
) -> Measurement:
    hop = recordings.hop
    if instrument == "dnsmos":
        return Measurement(instrument, clip, audio, hop=hop)
    if instrument == "words":
        return Measurement(instrument, clip, audio, text=text, sentences=recordings.sentences(), hop=hop)
    return Measurement(instrument, clip, audio, reference, (own, recordings.f0_range), hop=hop)
