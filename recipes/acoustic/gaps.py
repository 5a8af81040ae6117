"""Distances between what a model says and what the speaker did: of mel, of tokens, of the alignment."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from itertools import combinations, pairwise

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from recipes.acoustic.data import Corpus, Item
from recipes.acoustic.model import DECIBEL, PHONE, SEMITONE
from recipes.acoustic.predictors import Guess
from recipes.acoustic.symbols import is_pause
from recipes.corpus import SAMPLE_RATE
from recipes.features import HOP, StoredClip

FRAME_MS = 1000 * HOP / SAMPLE_RATE
# Edges of modulation bands in Hz: slower than syllables, syllables, phones, and what makes transitions crisp.
MODULATION = (0.5, 4, 8, 16, 43)


def smoothness(pairs: list[tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """Predicted over natural, for pairs of mel (predicted, natural): 1 is natural, less is smoothed.

    variance: of every band within a clip, geometric mean over bands and clips; modulation_<low>-<high>: power of the
    bands' movement at so many Hz; distance: mean absolute difference, where the pair is equally long.
    """
    variance, powers, distances = [], defaultdict(list), []
    for made, natural in pairs:
        variance.append(np.log((made.var(0) + 1e-3) / (natural.var(0) + 1e-3)).mean())
        a, b = (_modulation(mel) for mel in (made, natural))
        for (low, high), x, y in zip(pairwise(MODULATION), a, b, strict=True):
            powers[f"modulation_{low:g}-{high:g}"].append(np.log(x / y))
        if len(made) == len(natural):
            distances.append(float(np.abs(made - natural).mean()))
    found = {"variance": float(np.exp(np.mean(variance)))}
    found |= {name: float(np.exp(np.mean(values))) for name, values in powers.items()}
    return found | ({"distance": float(np.mean(distances))} if distances else {})


def _modulation(mel: np.ndarray) -> list[float]:
    """Power of the bands' movement, per second, in each of the MODULATION bands."""
    window = np.hanning(len(mel))[:, None]
    power = np.square(np.abs(np.fft.rfft((mel - mel.mean(0)) * window, axis=0))).mean(1) / len(mel)
    hertz = np.fft.rfftfreq(len(mel), FRAME_MS / 1000)
    return [float(power[(hertz >= low) & (hertz < high)].mean()) for low, high in pairwise(MODULATION)]


def token_row(pairs: list[tuple[Item | Guess, Item]], kinds: dict[str, Tensor], corpus: Corpus) -> dict[str, float]:
    """How far durations, pitch and energy of tokens lie from the recording: (other, recording) pairs."""
    frames, pitch, spread, correlation, energy = [], [], [], [], []
    for other, item in pairs:
        phone = kinds[item.id] == PHONE
        sung = (item.voiced > 0.5) & (item.durations > 0)
        frames.append((_logs(other) - _logs(item))[phone])
        a, b = other.pitch[sung].mean(-1), item.pitch[sung].mean(-1)
        pitch.append(a - b)
        spread.append(float(a.std()))
        correlation.append(float(torch.corrcoef(torch.stack([a, b]))[0, 1]))
        energy.append((other.energy - item.energy)[phone])
    semitone, decibel = float(corpus.scales[0, 1]) / SEMITONE, float(corpus.scales[1, 1]) / DECIBEL
    return {
        "log duration": _rms(frames),
        "pitch, semitones": _rms(pitch) * semitone,
        "pitch correlation": float(np.mean(correlation)),
        "pitch spread, semitones": float(np.mean(spread)) * semitone,
        "energy, dB": _rms(energy) * decibel,
    }


def _logs(one: Item | Guess) -> Tensor:
    return one.log_durations if isinstance(one, Guess) else torch.log1p(one.durations.float())


def _rms(parts: list[Tensor]) -> float:
    return float(torch.cat(parts).square().mean().sqrt())


def constant(corpus: Corpus) -> Callable[[Item], Guess]:
    """The prediction that knows only which symbol it is: its mean over the train split."""
    count = len(corpus.symbols)
    totals, seen = torch.zeros(count, 5), torch.zeros(count, 1)
    for item in corpus.train:
        values = torch.cat([torch.log1p(item.durations.float())[:, None], item.pitch, item.energy[:, None]], dim=1)
        totals.index_add_(0, item.tokens, values)
        seen.index_add_(0, item.tokens, torch.ones(len(values), 1))
    means = totals / seen.clamp(min=1)

    def of(item: Item) -> Guess:
        row = means[item.tokens]
        return Guess(torch.expm1(row[:, 0]), row[:, 0], row[:, 1:4], row[:, 4], item.voiced)

    return of


def takes_of(items: list[Item], texts: dict[str, str]) -> list[tuple[Item, Item]]:
    """All pairs of clips that say the same."""
    said: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        said[texts[item.id]].append(item)
    pairs = [pair for group in said.values() for pair in combinations(group, 2)]
    return [(a, b) for a, b in pairs if torch.equal(a.tokens, b.tokens)]


def word_starts(symbols: list[str], durations: np.ndarray) -> np.ndarray:
    """Where words begin, in ms, by the alignment."""
    begin = (np.cumsum(durations) - durations) * FRAME_MS
    first = [i for i in range(1, len(symbols)) if is_pause(symbols[i - 1]) and not is_pause(symbols[i])]
    return begin[first]


def sphinx_starts(audio: np.ndarray, text: str) -> np.ndarray | None:
    """Where words begin, in ms, by PocketSphinx's forced alignment of int16 audio; None where it finds no way."""
    import soxr
    from pocketsphinx import Decoder

    from polyvox.quality.words import dictionary, spoken_words

    words = spoken_words(text)
    if not words or not set(words) <= dictionary():
        return None
    decoder = Decoder(loglevel="FATAL", lm=None)
    decoder.set_align_text(" ".join(words))
    decoder.start_utt()
    low = soxr.resample(audio.astype(np.float32) / 32768, SAMPLE_RATE, 16_000)
    decoder.process_raw(np.round(low * 32767).astype(np.int16).tobytes(), full_utt=True)
    decoder.end_utt()
    found = [s.start_frame * 10.0 for s in decoder.seg() or () if not s.word.startswith(("<", "["))]
    return np.array(found) if found else None


def alignment(corpus: Corpus, clips: list[StoredClip], audio: np.ndarray) -> str:
    """How far word boundaries lie from PocketSphinx's, and how many phones have unlikely lengths."""
    items = {item.id: item for item in (*corpus.dev, *corpus.train)}
    gaps = []
    for clip in tqdm([c for c in clips if c.id in items], desc="alignment", disable=None):
        item = items[clip.id]
        theirs = sphinx_starts(np.asarray(audio[clip.samples]), clip.text)
        if theirs is None:
            continue
        ours = word_starts([corpus.symbols[t] for t in item.tokens], item.durations.numpy())
        # espeak joins some words ("of the"): each of our starts is held to the nearest of theirs.
        gaps.append(np.abs(theirs[None] - ours[:, None]).min(1))
    near = np.concatenate(gaps)
    kinds = corpus.classes
    phones = torch.cat([i.durations[kinds[i.tokens] == PHONE] for i in corpus.train]).float() * FRAME_MS
    return (
        f"Alignment: {len(near)} word beginnings lie {np.median(near):.0f} ms (median; 90%:"
        f" {np.quantile(near, 0.9):.0f}, over 50 ms: {100 * np.mean(near > 50):.1f}%) from PocketSphinx's."
        f" Of {len(phones)} phones {100 * float((phones < 15).float().mean()):.1f}% last one frame,"
        f" {100 * float((phones > 300).float().mean()):.2f}% over 300 ms."
    )
