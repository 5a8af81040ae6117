"""The instruments, and running them over all clips with a cache that survives an interruption."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import os
import warnings
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
from tqdm import tqdm

from recipes.corpus import SAMPLE_RATE
from recipes.evaluation import distances as d
from recipes.evaluation import words
from recipes.evaluation.systems import digest
from recipes.features import HOP

RATE = 16_000
Values = dict[str, float | None]
# Lowest F0 that the spectral envelope has to resolve (Hz); fixes WORLD's FFT size.
_LOWEST = 50.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """One instrument held to one file.

    Attributes:
        instrument: a key of INSTRUMENTS.
        clip: the clip's id, which groups the work.
        audio: a 16-bit WAV file at 22,050 Hz.
        reference: the recording; None where the instrument needs none.
        f0_range: where F0 is searched in `audio` and in `reference`, in Hz.
        text: for `words`, what is said.
        sentences: for `words`, the file with the sentences of the language model.
    """

    instrument: str
    clip: str
    audio: Path
    reference: Path | None = None
    f0_range: tuple[tuple[float, float], tuple[float, float]] = ((55.0, 500.0), (55.0, 500.0))
    text: str = ""
    sentences: Path | None = None

    def key(self, cache: Path) -> str:
        """What its result depends on, besides the instruments' code."""
        paths = (p and str(p.relative_to(cache)) for p in (self.audio, self.reference, self.sentences))
        ranges = self.f0_range if self.reference else ""
        return json.dumps([self.instrument, *paths, ranges, self.text], ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Analysis:
    """F0 [frames] in Hz, mel cepstrum [frames, order + 1], which frames are speech, and the length in seconds."""

    f0: np.ndarray
    cepstrum: np.ndarray
    speech: np.ndarray
    seconds: float


def _read(path: Path) -> np.ndarray:
    samples, _ = soundfile.read(path, dtype="int16")
    return samples


def _at_16_khz(path: Path) -> np.ndarray:
    audio = soxr.resample(_read(path).astype(np.float32) / 32768, SAMPLE_RATE, RATE, quality="VHQ")
    return np.clip(audio, -1, 1)


@lru_cache(maxsize=8)
def analyse(path: Path, f0_range: tuple[float, float]) -> Analysis:
    """F0 by DIO and StoneMask, envelope by CheapTrick (Morise, 2015), every HOP samples."""
    from recipes.pitch import f0_of

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyworld

    audio = _read(path)
    audio = np.pad(audio, (0, max(0, 4 * HOP - len(audio))))
    f0 = f0_of(audio, *f0_range)
    # As in `f0_of`: WORLD's frames stand at multiples of the period, ours half a hop later.
    shifted = np.pad(audio[HOP // 2 :].astype(np.float64) / 32768, (0, HOP))
    # WORLD divides by the spectrum: digital silence needs a floor, far below anything audible.
    shifted += 1e-5 * np.random.default_rng(0).standard_normal(len(shifted))
    times = np.arange(len(f0)) * HOP / SAMPLE_RATE
    size = pyworld.get_cheaptrick_fft_size(SAMPLE_RATE, _LOWEST)
    envelope = pyworld.cheaptrick(shifted, f0.astype(np.float64), times, SAMPLE_RATE, fft_size=size)
    heard = envelope[:, : round(d.TOP / SAMPLE_RATE * size) + 1]
    speech = d.speech_frames(audio, HOP)[: len(f0)]
    return Analysis(f0, d.mel_cepstrum(heard), speech, len(audio) / SAMPLE_RATE)


def copy(m: Measurement) -> Values:
    """PESQ-WB, STOI, MCD (dB), F0 error (cents) and voicing error (%) of audio aligned with its recording."""
    from pesq import PesqError, pesq
    from pystoi import stoi

    assert m.reference is not None
    clean, other = _at_16_khz(m.reference), _at_16_khz(m.audio)
    length = min(len(clean), len(other))
    clean, other = clean[:length], other[:length]
    score = pesq(RATE, clean, other, "wb", on_error=PesqError.RETURN_VALUES)
    a, b = analyse(m.reference, m.f0_range[1]), analyse(m.audio, m.f0_range[0])
    frames = min(len(a.f0), len(b.f0))
    speech = a.speech[:frames]
    distortion = d.mel_cepstral_distortion(a.cepstrum[:frames], b.cepstrum[:frames])[speech]
    return {
        # Where PESQ finds no speech at all, the lowest score that it can give.
        "pesq": float(score) if score > 0 else 1.0,
        "stoi": float(stoi(clean, other, RATE)),
        "mcd": float(distortion.mean()),
        "f0": d.f0_error(a.f0[:frames], b.f0[:frames]),
        "voicing": d.voicing_error(a.f0[:frames], b.f0[:frames]),
    }


def text(m: Measurement) -> Values:
    """MCD (dB) and correlation of log F0 along the path of dynamic time warping, and both lengths (s)."""
    assert m.reference is not None
    a, b = analyse(m.reference, m.f0_range[1]), analyse(m.audio, m.f0_range[0])
    i, j = d.time_warp(a.cepstrum[:, 1:], b.cepstrum[:, 1:])
    distortion = d.mel_cepstral_distortion(a.cepstrum[i], b.cepstrum[j])[a.speech[i]]
    return {
        "mcd": float(distortion.mean()),
        "f0_correlation": d.f0_correlation(a.f0[i], b.f0[j]),
        "seconds": b.seconds,
        "natural_seconds": a.seconds,
    }


@cache
def _dnsmos_model() -> object:
    import onnxruntime

    found = importlib.util.find_spec("speechmos")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("the package 'speechmos' is missing: pip install -r recipes/requirements-evaluation.txt")
    # Only its model file is used: importing the package would need librosa for a score that is not reported.
    model = Path(found.submodule_search_locations[0]) / "dnsmos_models" / "sig_bak_ovr.onnx"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def dnsmos(m: Measurement) -> Values:
    """DNSMOS P.835, overall (Reddy, Gopal and Cutler, 2022): the same steps as `speechmos.dnsmos.run`.

    The model hears 9.01 s at a time, once a second; shorter audio is repeated until it is as long.
    """
    length = int(9.01 * RATE)
    audio = _at_16_khz(m.audio)
    if not len(audio):
        return {"dnsmos": 1.0}
    while len(audio) < length:
        audio = np.append(audio, audio)
    scores = []
    for first in range(int(len(audio) // RATE - 9.01) + 1):
        piece = audio[first * RATE : int((first + 9.01) * RATE)]
        if len(piece) == length:
            raw = _dnsmos_model().run(None, {"input_1": piece[None]})[0][0][2]
            # The authors' polynomial from the model's output to the scale of listeners.
            scores.append(np.polyval([-0.06766283, 1.11546468, 0.04602535], raw))
    return {"dnsmos": float(np.mean(scores))}


def word_errors(m: Measurement) -> Values:
    """Word errors and words; None where the dictionary lacks one of the words, which drops the sentence."""
    assert m.sentences is not None
    reference = words.spoken_words(m.text)
    if not reference or not set(reference) <= words.dictionary():
        return {"errors": None, "words": None}
    heard = words.recogniser(_corpus(m.sentences)).hear(_at_16_khz(m.audio))
    return {"errors": float(words.word_errors(reference, heard)), "words": float(len(reference))}


@lru_cache(maxsize=4)
def _corpus(sentences: Path) -> tuple[tuple[str, ...], ...]:
    known = words.dictionary()
    said = (tuple(words.spoken_words(line)) for line in sentences.read_text("utf-8").splitlines())
    return tuple(sorted({s for s in said if s and set(s) <= known}))


INSTRUMENTS = {"copy": copy, "text": text, "dnsmos": dnsmos, "words": word_errors}


def _work(group: list[Measurement]) -> list[Values]:
    return [INSTRUMENTS[m.instrument](m) for m in group]


def measure(wanted: Iterable[Measurement], cache_folder: Path, jobs: int, title: str) -> dict[Measurement, Values]:
    """Measure, taking from the cache what it has; each clip's results are kept as soon as they are there."""
    from recipes import pitch

    code = digest(*(Path(file) for file in (__file__, d.__file__, words.__file__, pitch.__file__)))
    table = cache_folder / f"measured-{code}.jsonl"
    known: dict[str, Values] = {}
    if table.exists():
        for line in table.read_text("utf-8").splitlines():
            try:
                known.update(json.loads(line))
            except ValueError:
                continue  # a line that an interruption cut short: its clip is measured again
    keys = {m: m.key(cache_folder) for m in wanted}
    groups: dict[str, list[Measurement]] = defaultdict(list)
    for m, key in keys.items():
        if key not in known:
            groups[m.clip].append(m)
    work = list(groups.values())
    if work:
        table.parent.mkdir(parents=True, exist_ok=True)
        # One thread a process: two of them in one call gain nothing, and many clips wait.
        os.environ["OMP_NUM_THREADS"] = "1"
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, mp_context=spawn) as pool, table.open("a", encoding="utf-8") as out:
            out.write("\n")
            for group, values in zip(work, tqdm(pool.map(_work, work), title, len(work)), strict=True):
                found = {keys[m]: v for m, v in zip(group, values, strict=True)}
                known.update(found)
                out.write(json.dumps(found, ensure_ascii=False) + "\n")
                out.flush()
    return {m: known[key] for m, key in keys.items()}
