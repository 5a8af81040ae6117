"""Last stage: how good are the vocoder and the voices? Figures, with anchors and intervals, and pictures.

    pip install -e '.[quality]' -r recipes/requirements.txt -r recipes/requirements-evaluation.txt
    python -m recipes.evaluate --work work --voices kathleen=work/kathleen lowlands:nathalie=work/nathalie --out docs

writes `docs/voices/evaluation.json`, `docs/voices/<voice>-<n>.png` and the tables of `docs/voices.md`. What each
figure means stands there. Audio and figures are kept in `work/evaluation`: an interrupted run goes on where it
was, and only what changed (an addon, Polyvox's code, a corpus, an instrument) is made again.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import soundfile
from tqdm import tqdm

from polyvox import Voice
from polyvox.addons import Addon
from polyvox.addons.library import SEARCH_PATH, find, survey
from polyvox.errors import PolyvoxError
from polyvox.quality.comparing import Comparison
from polyvox.quality.requirements import require
from recipes.evaluation import report
from recipes.evaluation.recordings import StoredRecordings
from recipes.features import HOP, log_mel

T = TypeVar("T")


def _open(name_or_path: str) -> Addon:
    path = Path(name_or_path)
    return Addon.open(path if (path / "addon.json").is_file() else find(name_or_path))


def _track(items: Iterable[T], title: str, total: int, /) -> Iterable[T]:
    return tqdm(items, title, total)


def vocoders(run: Comparison, recordings: StoredRecordings, addons: list[Addon]) -> report.Section:
    """Part 1: from the recorded mel back to audio."""
    made = run.from_features(recordings, addons)
    return report.Section(recordings.name, "vocoders", recordings.name, made.table, made.sources)


def spoken(
    run: Comparison, voice: Voice, speaker: str | None, recordings: StoredRecordings, out: Path, pictures: int
) -> report.Section:
    """Part 2: from text."""
    made = run.from_text(recordings, voice, speaker)
    manifest = voice.addon.manifest
    who = f"{voice.name}, {speaker}" if speaker and len(manifest.speakers) > 1 else voice.name
    file = speaker or voice.name
    title = f"{who} ({', '.join(manifest.languages_of(speaker))})"
    section = report.Section(title, "voices", who, made.table, made.sources, made.notes)
    for n in range(min(pictures, len(recordings.clips))):
        clip = recordings.clips[(2 * n + 1) * len(recordings.clips) // (2 * pictures)]
        audio = soundfile.read(made.files[clip.id], dtype="float32")[0]
        path = out / "voices" / f"{file}-{n + 1}.png"
        mels = [log_mel(a[: len(a) // HOP * HOP]) for a in (audio, recordings.natural(clip))]
        report.draw_mel(path, *mels, clip.text)
        shown = f"{who}: mel of “{clip.text}”, spoken by Polyvox above the recording"
        section.pictures.append((f"voices/{path.name}", shown))
    return section


def _voices(named: list[str] | None, work: Path) -> list[tuple[str, str | None, Path]]:
    """Which voices, which speaker of each, and where the features of that one's corpus lie."""
    if named is None:
        found = [(n, a.manifest) for n, _, a in survey() if isinstance(a, Addon) and a.manifest.kind != "vocoder"]
        pairs = [(name, speaker) for name, manifest in found for speaker in manifest.speakers]
        return [(n, speaker, work / speaker) for n, speaker in pairs if (work / speaker / "clips.json").is_file()]
    every = []
    for entry in named:
        voice, _, corpus = entry.partition("=")
        name, _, speaker = voice.partition(":")
        every.append((name, speaker or None, Path(corpus) if corpus else work / (speaker or Path(name).name)))
    return every


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
        metavar="VOICE[:SPEAKER]=FEATURES",
        help="voices by name or path, each with the features of its corpus"
        " (default: every speaker of every voice found whose corpus is WORK/<speaker>)",
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
    run = Comparison(cache, max(1, args.jobs), _track)
    sections, times = [], []
    try:
        require()
        addons = [_open(name) for name in args.vocoder]
        for corpus in corpora:
            began = time.monotonic()
            sections.append(vocoders(run, StoredRecordings.open(corpus, cache, args.limit), addons))
            times.append((f"vocoder, {corpus.name}", time.monotonic() - began))
        for name, speaker, corpus in _voices(args.voices, args.work):
            began = time.monotonic()
            recordings = StoredRecordings.open(corpus, cache, args.limit)
            sections.append(spoken(run, _voice(name, addons[0]), speaker, recordings, args.out, args.pictures))
            times.append((f"voice, {speaker or name}", time.monotonic() - began))
    except PolyvoxError as error:
        raise SystemExit(str(error)) from error
    if not sections:
        raise SystemExit(f"{args.work}: no features here; run `python -m recipes.features` first")
    try:
        for section in sections:
            print(section.markdown().replace("<br><sub>", " (").replace("</sub>", ")"), end="\n\n")
        report.write_json(args.out / "voices" / "evaluation.json", sections)
        report.write_page(args.out / "voices.md", sections)
    except PolyvoxError as error:
        raise SystemExit(str(error)) from error
    print("\n".join(f"{part}: {seconds:.0f} s" for part, seconds in times))


if __name__ == "__main__":
    main()
