"""What limits a voice: put the recorded thing in the place of the predicted one, one at a time, and measure.

    python -m recipes.acoustic.diagnose --checkpoint work/acoustic/kathleen/last.pt --corpus work/kathleen \
        --vocoder work/addons/universal

Speaks the held-out clips with recorded and predicted durations, pitch and energy in their combinations and prints
three tables: of the audio, of the mel (is it over-smoothed?) and of the tokens (how far a prediction lies from the
recording, beside how far the speaker's own takes of a sentence lie from each other). The last lines judge the
alignment, against word boundaries by PocketSphinx, which knows nothing of it. Audio and figures are kept under
`--cache`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
from tqdm import tqdm

from polyvox.addons import Addon
from polyvox.blocks import connect
from polyvox.quality import distances as d
from polyvox.quality.instruments import Measurement, analyse, dnsmos, word_errors
from recipes.acoustic.data import Corpus, Item
from recipes.acoustic.export import SPREAD, add_voters, load, set_pace
from recipes.acoustic.gaps import alignment, constant, smoothness, takes_of, token_row
from recipes.acoustic.model import SEMITONE, Acoustic, upsample
from recipes.acoustic.predictors import Guess, guess
from recipes.corpus import SAMPLE_RATE
from recipes.features import HOP, Features

RECORDED, PREDICTED = "recorded", "predicted"


@dataclass(frozen=True, slots=True)
class Case:
    """What is recorded and what is predicted in one row of the table."""

    name: str
    durations: str
    pitch: str
    energy: str


CASES = (
    Case("recorded durations, pitch, energy", RECORDED, RECORDED, RECORDED),
    Case("predicted energy", RECORDED, RECORDED, PREDICTED),
    Case("predicted pitch", RECORDED, PREDICTED, RECORDED),
    Case("predicted durations", PREDICTED, RECORDED, RECORDED),
    Case("all predicted: the voice", PREDICTED, PREDICTED, PREDICTED),
)


@torch.no_grad()
def speak(model: Acoustic, item: Item, said: Guess, case: Case) -> np.ndarray:
    """Mel [frames, bands] of a clip in this case."""
    durations = item.durations if case.durations == RECORDED else said.durations
    pitch = item.pitch if case.pitch == RECORDED else said.pitch
    energy = item.energy if case.energy == RECORDED else said.energy
    mask = torch.ones(1, len(item.tokens))
    hidden = model.text_encoder(item.tokens[None], mask)
    encoded = model.prosody_predictor.encode(hidden, mask, pitch[None], energy[None])
    index, position, length = upsample(durations)
    mel = model.decoder(encoded[:, index], position[None], length[None], torch.ones(1, len(index)))
    return mel[0].numpy()


def vocode(vocoder: Addon, mels: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Audio [samples] of each mel [frames, bands], by an addon's own blocks."""
    block = vocoder.stack().block
    controls = {name: np.float32(c.default) for name, c in vocoder.manifest.controls.items()}
    for mel in mels:
        stream = connect(block, controls, iter([{"mel": np.ascontiguousarray(mel)}]))
        chunks = []
        while True:
            stream.ask(200 * HOP)
            chunk = next(stream, None)
            if chunk is None:
                break
            chunks.append(chunk["audio"])
        yield np.concatenate(chunks)


def keep(audio: np.ndarray, path: Path) -> Path:
    """Write audio as 16-bit WAV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.round(np.clip(audio, -1, 1) * 32767).astype(np.int16), SAMPLE_RATE, subtype="PCM_16")
    return path


def listen(audio: Path, natural: Path, text: str, sentences: Path, f0_range: tuple[float, float]) -> dict[str, float]:
    """The figures of one file: `aligned` ones only where it is as long as the recording."""
    a, b = analyse(natural, f0_range, HOP), analyse(audio, f0_range, HOP)
    i, j = d.time_warp(a.cepstrum[:, 1:], b.cepstrum[:, 1:])
    found = {
        "mcd_warped": float(d.mel_cepstral_distortion(a.cepstrum[i], b.cepstrum[j])[a.speech[i]].mean()),
        "f0_correlation": d.f0_correlation(a.f0[i], b.f0[j]),
        "f0_semitones": _semitones(a.f0[i], b.f0[j]),
        "f0_spread": _spread(b.f0),
        "seconds": b.seconds,
        "natural_seconds": a.seconds,
        **dnsmos(Measurement("dnsmos", "", audio)),
        **word_errors(Measurement("words", "", audio, text=text, sentences=sentences)),
    }
    if len(a.f0) == len(b.f0):
        found["mcd_aligned"] = float(d.mel_cepstral_distortion(a.cepstrum, b.cepstrum)[a.speech].mean())
    return {key: value for key, value in found.items() if value is not None}


def _semitones(a: np.ndarray, b: np.ndarray) -> float | None:
    both = (a > 0) & (b > 0)
    return float(np.sqrt(np.square(np.log(b[both] / a[both])).mean()) / SEMITONE) if both.any() else None


def _spread(f0: np.ndarray) -> float | None:
    return float(np.log(f0[f0 > 0]).std() / SEMITONE) if (f0 > 0).sum() > 10 else None


AUDIO_COLUMNS: tuple[tuple[str, str, Callable[[list[dict[str, float]]], float | None]], ...] = (
    ("MCD, frame by frame, dB", "{:.2f}", lambda rows: _mean(rows, "mcd_aligned")),
    ("MCD, warped, dB", "{:.2f}", lambda rows: _mean(rows, "mcd_warped")),
    ("F0 correlation", "{:.2f}", lambda rows: _mean(rows, "f0_correlation")),
    ("F0 error, semitones", "{:.2f}", lambda rows: _mean(rows, "f0_semitones")),
    ("F0 spread, semitones", "{:.2f}", lambda rows: _mean(rows, "f0_spread")),
    ("length correlation", "{:.3f}", lambda rows: _length(rows)),
    ("DNSMOS", "{:.2f}", lambda rows: _mean(rows, "dnsmos")),
    ("word errors, %", "{:.1f}", lambda rows: _words(rows)),
)


def _mean(rows: list[dict[str, float]], key: str) -> float | None:
    values = [row[key] for row in rows if key in row]
    return float(np.mean(values)) if values else None


def _length(rows: list[dict[str, float]]) -> float | None:
    pairs = np.array([(row["seconds"], row["natural_seconds"]) for row in rows])
    return float(np.corrcoef(pairs.T)[0, 1]) if len(pairs) > 2 else None


def _words(rows: list[dict[str, float]]) -> float | None:
    total = sum(row.get("words", 0.0) for row in rows)
    return 100 * sum(row.get("errors", 0.0) for row in rows) / total if total else None


def markdown(title: str, columns: list[str], rows: dict[str, list[str]]) -> str:
    """A table."""
    lines = [f"| {title} | " + " | ".join(columns) + " |", "| --- " + "| ---: " * len(columns) + "|"]
    return "\n".join([*lines, *(f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows.items())])


class Diagnosis:
    """One run over the first `limit` clips of the dev split, no sentence twice unless there is room."""

    def __init__(self, model: Acoustic, corpus: Corpus, features: Features, cache: Path, limit: int) -> None:
        self.model, self.corpus, self.cache = model, corpus, cache
        self.clips = {clip.id: clip for clip in features.clips}
        self.audio = features.audio
        self.texts = {clip.id: clip.text for clip in features.clips}
        firsts = {self.texts[item.id]: item for item in reversed(corpus.dev)}
        chosen = [*firsts.values(), *(item for item in corpus.dev if firsts[self.texts[item.id]] is not item)]
        self.items = chosen[:limit]
        middle = float(corpus.scales[0, 0].exp())
        self.f0_range = (middle * 0.5, middle * 2)
        cache.mkdir(parents=True, exist_ok=True)
        self.sentences = cache / "sentences.txt"
        self.sentences.write_text("\n".join(sorted(set(self.texts.values()))), "utf-8")

    def recording(self, item: Item) -> Path:
        """The recording as a file."""
        path = self.cache / "recording" / f"{item.id}.wav"
        return path if path.exists() else keep(np.asarray(self.audio[self.clips[item.id].samples]) / 32767, path)

    def heard(self, name: str, files: dict[str, Path]) -> list[dict[str, float]]:
        """The figures of every clip's file; a file that did not change is not measured again."""
        rows = []
        for item in tqdm(self.items, desc=name, disable=None):
            if item.id not in files:
                continue
            path = files[item.id]
            kept = path.with_suffix(f".{item.id}.json")
            stamp = hashlib.sha256(path.read_bytes()).hexdigest()
            found = json.loads(kept.read_text()) if kept.exists() else {}
            if found.get("stamp") != stamp:
                row = listen(path, self.recording(item), self.texts[item.id], self.sentences, self.f0_range)
                found = {"stamp": stamp, "row": row}
                kept.write_text(json.dumps(found))
            rows.append(found["row"])
        return rows

    def audio_table(self, vocoder: Addon, cases: tuple[Case, ...]) -> str:
        """From the recording itself, by way of its mel, to the voice."""
        table = {"recording": self.heard("recording", {i.id: self.recording(i) for i in self.items})}
        pairs = takes_of(self.items + [i for i in self.corpus.dev if i not in self.items], self.texts)
        table["another take of it"] = self.heard("takes", {a.id: self.recording(b) for a, b in pairs})
        table["recorded mel, vocoder"] = self.spoken("mel", vocoder, lambda item: item.mel.numpy())
        for case in cases:
            table[case.name] = self.spoken(case.name, vocoder, partial(self.mel, case))
        cells = {}
        for name, rows in table.items():
            values = [(form, reduce(rows)) for _, form, reduce in AUDIO_COLUMNS]
            cells[f"{name} ({len(rows)})"] = ["" if v is None else form.format(v) for form, v in values]
        return markdown("audio", [title for title, *_ in AUDIO_COLUMNS], cells)

    def mel(self, case: Case, item: Item) -> np.ndarray:
        """What the model makes of a clip in this case."""
        return speak(self.model, item, guess(self.model, item.tokens), case)

    def spoken(self, name: str, vocoder: Addon, mel: Callable[[Item], np.ndarray]) -> list[dict[str, float]]:
        """The figures of what the vocoder makes of every clip's mel."""
        folder = self.cache / name.replace(" ", "-").replace(",", "").replace(":", "")
        files = {item.id: folder / f"{item.id}.wav" for item in self.items}
        missing = [item for item in self.items if not files[item.id].exists()]
        for item, audio in zip(missing, vocode(vocoder, map(mel, missing)), strict=True):
            keep(audio, files[item.id])
        return self.heard(name, files)

    def mel_table(self, cases: tuple[Case, ...]) -> str:
        """Is it over-smoothed? In both splits, for what training knew by heart is sharper."""
        rows = {}
        some = self.corpus.train[:: max(1, len(self.corpus.train) // 60)]
        for case, split, items in (
            *((case, "dev", self.items) for case in cases),
            (cases[0], "train", some),
        ):
            found = smoothness([(self.mel(case, item), item.mel.numpy()) for item in items])
            if case.durations == PREDICTED:
                found.pop("distance", None)  # of the few clips that are equally long by chance
            rows[f"{case.name}, {split} ({len(items)})"] = found
        return _numbers("mel, over the recorded", rows)

    def token_table(self) -> str:
        """How far the predictors are from the recording, and how far they could be expected to come."""
        corpus, model = self.corpus, self.model
        kinds = {item.id: corpus.classes[item.tokens] for item in (*corpus.train, *corpus.dev)}
        plain = constant(corpus)
        some = corpus.train[:: max(1, len(corpus.train) // 60)]
        pairs = {
            "the symbol's mean, dev": [(plain(item), item) for item in corpus.dev],
            "predicted, dev": [(guess(model, item.tokens), item) for item in corpus.dev],
            "predicted, train": [(guess(model, item.tokens), item) for item in some],
            "another take, train and dev": takes_of([*corpus.dev, *corpus.train], self.texts),
        }
        rows = {f"{name} ({len(p)})": token_row(p, kinds, corpus) for name, p in pairs.items()}
        return _numbers("tokens against the recording", rows)


def _numbers(title: str, rows: dict[str, dict[str, float]]) -> str:
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    cells = {name: [f"{row[c]:.2f}" if c in row else "" for c in columns] for name, row in rows.items()}
    return markdown(title, columns, cells)


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="a checkpoint of recipes.acoustic.train")
    parser.add_argument("--corpus", type=Path, required=True, help="its corpus's work folder")
    parser.add_argument("--predictors", type=Path, help="what recipes.acoustic.train_predictors wrote")
    parser.add_argument("--vocoder", type=Path, required=True, help="a vocoder addon's folder")
    parser.add_argument("--cache", type=Path, default=Path("work/diagnosis"), help="(default: work/diagnosis)")
    parser.add_argument("--limit", type=int, default=40, help="clips whose audio is made (default: 40)")
    parser.add_argument("--no-audio", action="store_true", help="only the tables that need none")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, *_ = load(args.checkpoint)
    corpus, features = Corpus.load(args.corpus), Features.load(args.corpus)
    made_of = [args.checkpoint, args.vocoder / "addon.json"]
    if args.predictors is not None:
        made_of.append(args.predictors)
        add_voters(model, args.predictors, corpus, SPREAD)
    set_pace(model, corpus.train[:300], corpus.classes)
    name = hashlib.sha256(b"".join(path.read_bytes() for path in made_of)).hexdigest()[:10]
    diagnosis = Diagnosis(model, corpus, features, args.cache / name, args.limit)
    print(diagnosis.token_table(), end="\n\n")
    print(diagnosis.mel_table((CASES[0], CASES[2], CASES[-1])), end="\n\n", flush=True)
    if not args.no_audio:
        print(diagnosis.audio_table(Addon.open(args.vocoder), CASES), end="\n\n", flush=True)
        print(alignment(corpus, [c for c in features.clips if c.split == "dev"], features.audio))


if __name__ == "__main__":
    main()
