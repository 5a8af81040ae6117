"""Last stage: how good are the vocoder and the voices? Figures, with anchors and intervals, and pictures.

    pip install -r recipes/requirements.txt -r recipes/requirements-evaluation.txt
    python -m recipes.evaluate --work work --voices kathleen=work/kathleen --vocoder universal --out docs

writes `docs/voices/evaluation.json`, `docs/voices/<voice>-<n>.png` and the tables of `docs/voices.md`. What each
figure means stands there. Audio and figures are kept in `work/evaluation`: an interrupted run goes on where it
was, and only what changed (an addon, Polyvox's code, a corpus, an instrument) is made again.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import soundfile

from polyvox import Voice
from polyvox.addons import Addon
from polyvox.addons.library import SEARCH_PATH, find, survey
from polyvox.errors import PolyvoxError
from recipes.evaluation import report, systems
from recipes.evaluation.measures import Measurement, Values, measure
from recipes.evaluation.systems import Recordings, System
from recipes.evaluation.tables import ANOTHER, COPY, FORMANT, GRIFFIN_LIM, NATURAL, SPOKEN, WORDS, Table
from recipes.features import HOP, log_mel

WIDE = (55.0, 500.0)


def _open(name_or_path: str) -> Addon:
    path = Path(name_or_path)
    return Addon.open(path if (path / "addon.json").is_file() else find(name_or_path))


def _own_range(files: dict[str, Path]) -> tuple[float, float]:
    """Where to search F0 in audio whose pitch is not the recorded speaker's."""
    from recipes.pitch import f0_of, speaker_range

    some = list(files.values())[:: max(1, len(files) // 8)]
    f0 = np.concatenate([f0_of(soundfile.read(path, dtype="int16")[0], *WIDE) for path in some])
    return speaker_range(f0) if (f0 > 0).any() else WIDE


class Evaluation:
    """One run: where things lie, and how to measure a set of rows."""

    def __init__(self, cache: Path, jobs: int) -> None:
        self.cache, self.jobs = cache, jobs

    def rows(
        self, recordings: Recordings, compared: list[System], instruments: tuple[str, ...]
    ) -> dict[str, list[Values]]:
        """Every system's values of every clip; with `text`, other takes of the recordings are a row too."""
        natural = compared[0].files(recordings)
        wanted: dict[tuple[str, str], list[Measurement]] = {}
        for system in compared:
            files = system.files(recordings)
            own = _own_range(files) if system.own_pitch else recordings.f0_range
            for clip in recordings.clips:
                wanted[system.name, clip.id] = [
                    self._measurement(i, recordings, clip.id, clip.text, files[clip.id], natural[clip.id], own)
                    for i in instruments
                ]
        if "text" in instruments:
            texts = {c.id: c.text for c in recordings.clips}
            for clip, other in recordings.takes().items():
                range_ = recordings.f0_range
                wanted[ANOTHER, clip] = [
                    self._measurement("text", recordings, clip, texts[clip], natural[other], natural[clip], range_)
                ]
        every = [m for ms in wanted.values() for m in ms]
        found = measure(every, self.cache, self.jobs, f"{recordings.name}, measuring {', '.join(instruments)}")
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

    @staticmethod
    def _measurement(
        instrument: str,
        recordings: Recordings,
        clip: str,
        text: str,
        audio: Path,
        reference: Path,
        own: tuple[float, float],
    ) -> Measurement:
        if instrument == "dnsmos":
            return Measurement(instrument, clip, audio)
        if instrument == "words":
            return Measurement(instrument, clip, audio, text=text, sentences=recordings.sentences())
        return Measurement(instrument, clip, audio, reference, (own, recordings.f0_range))

    def vocoders(self, recordings: Recordings, vocoders: list[Addon]) -> report.Section:
        """Part 1: from the recorded mel back to audio."""
        compared = [
            systems.natural(recordings),
            systems.from_griffin_lim(recordings),
            *(systems.from_vocoder(recordings, addon) for addon in vocoders),
        ]
        table = Table(f"vocoders, {recordings.name}", COPY, (NATURAL, GRIFFIN_LIM))
        sentences = [c.text for c in recordings.clips]
        for name, rows in self.rows(recordings, compared, ("copy", "dnsmos")).items():
            table.add(name, sentences, rows)
        sources = {s.name: s.source for s in compared}
        return report.Section(recordings.name, "vocoders", recordings.name, table, sources)

    def voice(self, voice: Voice, recordings: Recordings, out: Path, pictures: int) -> report.Section:
        """Part 2: from text."""
        settings = voice.addon.manifest.text
        assert settings is not None
        language = settings.language
        spoken = systems.from_voice(voice)
        compared = [systems.natural(recordings), systems.from_griffin_lim(recordings), spoken]
        notes = []
        try:
            compared.append(systems.from_formant(recordings, language))
        except RuntimeError as error:
            notes.append(f"There is no row '{FORMANT}': {error}.")
        english = language.partition("-")[0] == "en"
        table = Table(f"voice, {voice.name}", (*SPOKEN, WORDS) if english else SPOKEN, (NATURAL, GRIFFIN_LIM))
        sentences = [c.text for c in recordings.clips]
        instruments = ("text", "dnsmos", "words") if english else ("text", "dnsmos")
        for name, rows in self.rows(recordings, compared, instruments).items():
            table.add(name, sentences, rows)
        section = report.Section(
            f"{voice.name} ({language})", "voices", voice.name, table, {spoken.name: spoken.source}, notes
        )
        files = spoken.files(recordings)
        for n in range(min(pictures, len(recordings.clips))):
            clip = recordings.clips[(2 * n + 1) * len(recordings.clips) // (2 * pictures)]
            audio = soundfile.read(files[clip.id], dtype="float32")[0]
            path = out / "voices" / f"{voice.name}-{n + 1}.png"
            mels = [log_mel(a[: len(a) // HOP * HOP]) for a in (audio, recordings.natural(clip))]
            report.draw_mel(path, *mels, clip.text)
            shown = f"{voice.name}: mel of “{clip.text}”, spoken by Polyvox above the recording"
            section.pictures.append((f"voices/{path.name}", shown))
        return section


def _voices(named: list[str] | None, work: Path) -> dict[str, Path]:
    """Which voices, and where the features of each one's corpus lie."""
    if named is not None:
        pairs = (
            entry.rpartition("=") if "=" in entry else (entry, "=", str(work / Path(entry).name)) for entry in named
        )
        return {name: Path(corpus) for name, _, corpus in pairs}
    acoustic = (name for name, _, a in survey() if isinstance(a, Addon) and a.manifest.kind != "vocoder")
    return {name: work / name for name in acoustic if (work / name / "clips.json").is_file()}


def _voice(name: str, vocoder: Addon) -> Voice:
    addon = _open(name)
    return Voice(addon, vocoder if addon.manifest.kind == "acoustic" else None)


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("work"), help="where the features lie (default: work)")
    parser.add_argument("--addons", type=Path, help="a folder of addons, found by name (default: WORK/addons)")
    parser.add_argument(
        "--voices",
        nargs="*",
        metavar="VOICE=FEATURES",
        help="voices by name or path, each with the features of its corpus"
        " (default: every voice found whose corpus is WORK/<name>)",
    )
    parser.add_argument(
        "--vocoder", nargs="+", default=["universal"], help="by name or path; voices speak with the first one"
    )
    parser.add_argument("--corpora", nargs="*", type=Path, help="features to measure the vocoder on (default: all)")
    parser.add_argument("--limit", type=int, help="measure on so many clips of each corpus, for a quick look")
    parser.add_argument("--pictures", type=int, default=3, help="pictures of each voice (default: 3)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="where the report goes (default: docs)")
    args = parser.parse_args()

    library = [str(args.addons or args.work / "addons"), os.environ.get(SEARCH_PATH, "")]
    os.environ[SEARCH_PATH] = os.pathsep.join(filter(None, library))
    corpora = args.corpora
    if corpora is None:
        corpora = sorted(path.parent for path in args.work.glob("*/clips.json"))
    cache = args.work / "evaluation"
    run = Evaluation(cache, max(1, args.jobs))
    sections, times = [], []
    try:
        vocoders = [_open(name) for name in args.vocoder]
        for corpus in corpora:
            began = time.monotonic()
            sections.append(run.vocoders(Recordings.open(corpus, cache, args.limit), vocoders))
            times.append((f"vocoder, {corpus.name}", time.monotonic() - began))
        for name, corpus in _voices(args.voices, args.work).items():
            began = time.monotonic()
            recordings = Recordings.open(corpus, cache, args.limit)
            sections.append(run.voice(_voice(name, vocoders[0]), recordings, args.out, args.pictures))
            times.append((f"voice, {name}", time.monotonic() - began))
    except PolyvoxError as error:
        raise SystemExit(str(error)) from error
    if not sections:
        raise SystemExit(f"{args.work}: no features here; run `python -m recipes.features` first")
    for section in sections:
        print(section.markdown().replace("<br><sub>", " (").replace("</sub>", ")"), end="\n\n")
    report.write_json(args.out / "voices" / "evaluation.json", sections)
    report.write_page(args.out / "voices.md", sections)
    print("\n".join(f"{part}: {seconds:.0f} s" for part, seconds in times))


if __name__ == "__main__":
    main()
