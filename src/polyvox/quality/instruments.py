"""The instruments, each held to one file and its recording."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from polyvox.errors import MissingExtraError
from polyvox.quality import distances as d
from polyvox.quality import words
from polyvox.quality.pitch import WIDE, f0_of, world
from polyvox.quality.requirements import EXTRA
from polyvox.tensors import Array

RATE = 16_000
"""What PESQ, DNSMOS and the recogniser listen at."""
Values = dict[str, float | None]
Range = tuple[float, float]
# Lowest F0 that the spectral envelope has to resolve (Hz); fixes WORLD's FFT size.
_LOWEST = 50.0
# Seconds between two frames of F0 and envelope where a contract's own hop is not of this order.
_HOP, _SHORTEST_HOP, _LONGEST_HOP = 0.01, 0.005, 0.02


@dataclass(frozen=True, slots=True)
class Measurement:
    """One instrument held to one file.

    Attributes:
        instrument: a key of INSTRUMENTS.
        clip: the clip's id, which groups the work.
        audio: a 16-bit mono WAV file.
        reference: the recording, likewise and at the same rate; None where the instrument needs none.
        f0_range: where F0 is searched in `audio` and in `reference`, in Hz.
        text: for `words`, what is said.
        sentences: for `words`, the file with the sentences of the language model.
        hop: samples a frame of the feature contract.
    """

    instrument: str
    clip: str
    audio: Path
    reference: Path | None = None
    f0_range: tuple[Range, Range] = (WIDE, WIDE)
    text: str = ""
    sentences: Path | None = None
    hop: int = 256

    def key(self, folder: Path) -> str:
        """What its result depends on, besides the instruments' code and the files in `folder`, named with care."""
        paths = (p and str(p.relative_to(folder)) for p in (self.audio, self.reference, self.sentences))
        ranges = (self.f0_range, self.hop) if self.reference else ""
        return json.dumps([self.instrument, *paths, ranges, self.text], ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Analysis:
    """F0 [frames] in Hz, mel cepstrum [frames, order + 1], which frames are speech, and the length in seconds."""

    f0: Array
    cepstrum: Array
    speech: Array
    seconds: float


def read(path: Path) -> tuple[Array, int]:
    """A 16-bit WAV file: int16 [samples], and its sample rate."""
    import soundfile

    samples, rate = soundfile.read(path, dtype="int16")
    return samples, rate


def _at_16_khz(path: Path) -> Array:
    import soxr

    samples, rate = read(path)
    audio = samples.astype(np.float32) / 32768
    if rate != RATE:
        audio = soxr.resample(audio, rate, RATE, quality="VHQ")
    return np.clip(audio, -1, 1)


def analysis_hop(sample_rate: int, hop: int) -> int:
    """Samples between two frames of an analysis: the contract's, unless that is too fine or too coarse for F0."""
    return hop if _SHORTEST_HOP <= hop / sample_rate <= _LONGEST_HOP else round(_HOP * sample_rate)


@lru_cache(maxsize=8)
def analyse(path: Path, f0_range: Range, contract_hop: int) -> Analysis:
    """F0 by DIO and StoneMask, envelope by CheapTrick (Morise, 2015), every `analysis_hop` samples."""
    audio, rate = read(path)
    hop = analysis_hop(rate, contract_hop)
    audio = np.pad(audio, (0, max(0, 4 * hop - len(audio))))
    f0 = f0_of(audio, rate, hop, *f0_range)
    # As in `f0_of`: WORLD's frames stand at multiples of the period, ours half a hop later.
    shifted = np.pad(audio[hop // 2 :].astype(np.float64) / 32768, (0, hop))
    # WORLD divides by the spectrum: digital silence needs a floor, far below anything audible.
    shifted += 1e-5 * np.random.default_rng(0).standard_normal(len(shifted))
    times = np.arange(len(f0)) * hop / rate
    size = world().get_cheaptrick_fft_size(rate, _LOWEST)
    envelope = world().cheaptrick(shifted, f0.astype(np.float64), times, rate, fft_size=size)
    heard = envelope[:, : round(min(d.TOP, rate / 2) / rate * size) + 1]
    speech = d.speech_frames(audio, hop)[: len(f0)]
    return Analysis(f0, d.mel_cepstrum(heard), speech, len(audio) / rate)


def copy(m: Measurement) -> Values:
    """PESQ-WB, STOI, MCD (dB), F0 error (cents) and voicing error (%) of audio aligned with its recording."""
    from pesq import PesqError, pesq
    from pystoi import stoi

    assert m.reference is not None
    clean, other = _at_16_khz(m.reference), _at_16_khz(m.audio)
    length = min(len(clean), len(other))
    clean, other = clean[:length], other[:length]
    score = pesq(RATE, clean, other, "wb", on_error=PesqError.RETURN_VALUES)
    a, b = analyse(m.reference, m.f0_range[1], m.hop), analyse(m.audio, m.f0_range[0], m.hop)
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
    a, b = analyse(m.reference, m.f0_range[1], m.hop), analyse(m.audio, m.f0_range[0], m.hop)
    i, j = d.time_warp(a.cepstrum[:, 1:], b.cepstrum[:, 1:])
    distortion = d.mel_cepstral_distortion(a.cepstrum[i], b.cepstrum[j])[a.speech[i]]
    return {
        "mcd": float(distortion.mean()),
        "f0_correlation": d.f0_correlation(a.f0[i], b.f0[j]),
        "seconds": b.seconds,
        "natural_seconds": a.seconds,
    }


@cache
def _dnsmos_model() -> Any:
    import onnxruntime

    found = importlib.util.find_spec("speechmos")
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError("speechmos", EXTRA, "DNSMOS")
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
