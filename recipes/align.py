"""Stage 2: which frames speak which symbol, by a hidden Markov model that this stage trains from nothing.

    python -m recipes.align work/kathleen --language en-us

writes into the corpus's work folder `alignment.json` (symbols and durations in frames of every clip kept),
`symbols.txt` (one symbol a line, the line number is its id) and `prosody.npz` (see `recipes.acoustic.prosody`).

Nothing here knows a language. Every phone is three states with Gaussian mixtures over MFCCs, 5.8 ms apart;
silence may stand at both ends, at spaces and at punctuation, and may be skipped. Training starts from phones
of equal length laid over the loud frames and repeats: best path (Viterbi), then new Gaussians from it.
Symbols that modify their neighbour (stress, length, combining marks) get no frames of their own.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import scipy.fft
from tqdm import tqdm

from polyvox.text.front_ends import front_end
from recipes.acoustic.hmm import STATES, Unit, Utterance, train
from recipes.acoustic.prosody import write_prosody
from recipes.acoustic.symbols import END, PAD, SPACE, START, clip_symbols, is_mark, is_pause, symbol_table
from recipes.corpus import SAMPLE_RATE
from recipes.features import HOP, N_FFT, Features, mel_filters

FINE_HOP = HOP // 2
FINE_WINDOW = 512
SPACE_PENALTY = 8.0  # log likelihood that a silence between words must gain before it is believed
# A shorter "silence" between words is the closure of the plosive that follows it.
SHORTEST_PAUSE = 5
COEFFICIENTS = 13


def units_of(symbols: list[str]) -> list[Unit]:
    """Phones and silences of a clip, alternating at will; neighbouring pause symbols share one silence."""
    units: list[Unit] = []
    slot: list[int] = []

    def close_slot() -> None:
        if slot:
            # The ends keep their silence; a comma beats the space after it.
            ranked = sorted(slot, key=lambda i: (symbols[i] not in (START, END), symbols[i] == SPACE, i))
            silent = symbols[ranked[0]]
            units.append(Unit(PAD, ranked[0], SPACE_PENALTY if silent == SPACE else 0.0))
            slot.clear()

    for i, symbol in enumerate(symbols):
        if is_pause(symbol):
            slot.append(i)
        elif not is_mark(symbol):
            close_slot()
            units.append(Unit(symbol, i))
    close_slot()
    return units


def mfcc(audio: np.ndarray) -> np.ndarray:
    """MFCCs with first and second differences, float32 [2 * frames, 39], of int16 audio [frames * HOP].

    Fine frame t is centred on sample (t + 1/2) FINE_HOP, so that fine frames 2i and 2i + 1 are frame i.
    """
    edge = (FINE_WINDOW - FINE_HOP) // 2
    padded = np.pad(audio.astype(np.float32) / 32768, edge, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, FINE_WINDOW)[::FINE_HOP]
    power = np.abs(np.fft.rfft(frames * np.hamming(FINE_WINDOW).astype(np.float32), N_FFT)) ** 2
    logs = np.log(power @ mel_filters().T + 1e-8)
    static = scipy.fft.dct(logs, norm="ortho")[:, :COEFFICIENTS].astype(np.float32)
    slope = _slope(static)
    return np.concatenate([static, slope, _slope(slope)], axis=1)


def _slope(rows: np.ndarray, reach: int = 3) -> np.ndarray:
    """Regression slope over 2 reach + 1 rows."""
    padded = np.pad(rows, ((reach, reach), (0, 0)), mode="edge")
    n = len(rows)
    total = sum(
        k * (padded[reach + k : reach + k + n] - padded[reach - k : reach - k + n]) for k in range(1, reach + 1)
    )
    return total / (2 * sum(k * k for k in range(1, reach + 1)))


def durations_of(utterance: Utterance) -> list[int]:
    """Frames of every symbol: they sum to the clip's frames; phones have at least one, marks none."""
    fine = np.bincount(utterance.path // STATES, minlength=len(utterance.units))
    units, frames = utterance.units, len(utterance.features) // 2
    shortest = [0 if unit.name == PAD else 1 for unit in units]
    for i, unit in enumerate(units[:-1]):
        if unit.penalty and fine[i] < 2 * SHORTEST_PAUSE:
            fine[i + 1] += fine[i]
            fine[i] = 0
    ends = np.floor(np.cumsum(fine) / 2 + 0.5).astype(int)
    ends[-1] = frames
    # Forward: everybody gets their least; backward: without running past the clip's end.
    for i, least in enumerate(shortest):
        ends[i] = max(ends[i], (ends[i - 1] if i else 0) + least)
    ends[-1] = frames
    for i in range(len(units) - 2, -1, -1):
        ends[i] = min(ends[i], ends[i + 1] - shortest[i + 1])
    durations = [0] * len(utterance.symbols)
    for unit, length in zip(units, np.diff(ends, prepend=0), strict=True):
        durations[unit.symbol] = int(length)
    return durations


def outliers(utterances: list[Utterance], reach: float = 6.0) -> set[str]:
    """Ids of clips whose score lies far below the others': the text is not what was said, or it was cut."""
    scores = np.array([u.score for u in utterances])
    middle = np.median(scores)
    spread = 1.4826 * np.median(np.abs(scores - middle))
    return {u.clip.id for u in utterances if u.score < middle - reach * spread}


def report(symbols: dict[str, list[str]], durations: dict[str, list[int]]) -> None:
    """Print the mean duration of every symbol in milliseconds, for the eye."""
    found = defaultdict(list)
    for clip, row in symbols.items():
        for symbol, frames in zip(row, durations[clip], strict=True):
            found[symbol].append(frames * 1000 * HOP / SAMPLE_RATE)
    for symbol, values in sorted(found.items(), key=lambda item: -float(np.mean(item[1]))):
        if not is_mark(symbol):
            low, high = np.quantile(values, (0.05, 0.95))
            print(f"{symbol!r:>6} x {len(values):5d}: {np.mean(values):6.1f} ms  ({low:.0f} to {high:.0f})")


def align(folder: Path, language: str, iterations: tuple[int, ...]) -> None:
    """Align the corpus in the work folder `folder` and write what the module's docstring lists."""
    if (folder / "prosody.npz").exists():
        print(f"{folder}: already aligned; delete prosody.npz to do it again")
        return
    features = Features.load(folder)
    speaker = front_end("espeak", language)
    symbols = {clip.id: clip_symbols(speaker, clip.text) for clip in features.clips}
    units = {clip: units_of(row) for clip, row in symbols.items()}
    names = [PAD, *sorted({unit.name for row in units.values() for unit in row} - {PAD})]
    first_state = {name: i * STATES for i, name in enumerate(names)}
    utterances = []
    for clip in tqdm(features.clips, desc="MFCC"):
        rows = mfcc(features.audio[clip.samples])
        states = np.concatenate([first_state[u.name] + np.arange(STATES) for u in units[clip.id]])
        if len(rows) < STATES * sum(u.name != PAD for u in units[clip.id]):
            print(f"{clip.id}: shorter than its text; left out")
            continue
        utterances.append(Utterance(clip, symbols[clip.id], units[clip.id], rows, states, np.zeros(len(rows), int)))
    train(utterances, len(names) * STATES, iterations)

    durations = {u.clip.id: durations_of(u) for u in utterances}
    dropped = outliers(utterances)
    for u in utterances:
        if u.clip.id in dropped:
            print(f"{u.clip.id}: score {u.score:.2f}, left out: {u.clip.text}")
    kept = [u for u in utterances if u.clip.id not in dropped]
    report({u.clip.id: u.symbols for u in kept}, durations)
    table = symbol_table(s for row in symbols.values() for s in row)
    (folder / "symbols.txt").write_text("".join(f"{s}\n" for s in table), "utf-8")
    rows = [
        {"id": u.clip.id, "score": round(u.score, 3), "symbols": "".join(u.symbols), "durations": durations[u.clip.id]}
        for u in kept
    ]
    (folder / "alignment.json").write_text(
        "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n", "utf-8"
    )
    # Last, so that its presence means done.
    write_prosody(features, [u.clip for u in kept], durations, folder / "prosody.npz")
    print(f"{len(kept)} of {len(features.clips)} clips aligned, {len(table)} symbols")


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a corpus's work folder, as `recipes.features` wrote it")
    parser.add_argument("--language", required=True, help="espeak's name of the language, such as en-us")
    parser.add_argument(
        "--iterations", type=int, nargs="+", default=(8, 4, 4), help="rounds with 1, 2, 4 mixtures (default: 8 4 4)"
    )
    args = parser.parse_args()
    align(args.folder, args.language, tuple(args.iterations))


if __name__ == "__main__":
    main()
