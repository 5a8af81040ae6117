"""Stage 1: recordings -> audio and log-mel features by Polyvox's feature contract.

    python -m recipes.features path/to/speech/kathleen --out work

writes `work/kathleen/`: `audio.npy` (int16, all clips end to end), `mel.npy` (float32 [frames, 80]) and
`clips.json` (where each clip lies in both). A finished corpus is left alone.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
from tqdm import tqdm

from recipes.corpus import SAMPLE_RATE, Clip, read_audio, read_corpus

N_FFT = 1024
HOP = 256
BANDS = 80
F_MIN, F_MAX = 0.0, 8000.0
LOG_FLOOR = 1e-5
# F frames and F x HOP samples are the same stretch of time: reflect (N_FFT - HOP) / 2 samples at both ends.
EDGE = (N_FFT - HOP) // 2
# The same, as addon.json says it.
CONTRACT = {
    "kind": "mel", "sample_rate": SAMPLE_RATE, "hop_length": HOP, "bands": BANDS, "fft": N_FFT, "window": N_FFT,
    "f_min": F_MIN, "f_max": F_MAX, "mel_scale": "slaney", "norm": "slaney", "power": 1.0, "log": "natural",
    "floor": LOG_FLOOR, "centered": False,
}  # fmt: skip


def _hz_to_mel(hz: np.ndarray) -> np.ndarray:
    """Slaney's mel scale: linear below 1 kHz (15 mel), logarithmic above (27 steps per factor 6.4)."""
    linear = hz * 3 / 200
    return np.where(hz < 1000, linear, 15 + 27 * np.log(np.maximum(hz, 1e-9) / 1000) / np.log(6.4))


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))


@cache
def mel_filters() -> np.ndarray:
    """Triangular filters [BANDS, N_FFT // 2 + 1], Slaney scale, each with unit area (Slaney norm)."""
    bins = np.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1)
    ends = _hz_to_mel(np.array([F_MIN, F_MAX]))
    edges = _mel_to_hz(np.linspace(ends[0], ends[1], BANDS + 2))
    rise = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    fall = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    triangles = np.maximum(0, np.minimum(rise, fall))
    return (triangles * (2 / (edges[2:] - edges[:-2]))[:, None]).astype(np.float32)


@cache
def window() -> np.ndarray:
    """The periodic Hann window [N_FFT]."""
    return np.hanning(N_FFT + 1)[:-1].astype(np.float32)


def spectrogram(audio: np.ndarray) -> np.ndarray:
    """Complex spectrogram [frames, N_FFT // 2 + 1] of audio [frames * HOP]."""
    padded = np.pad(audio, EDGE, mode="reflect")
    frames = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP]
    return np.fft.rfft(frames * window(), axis=1)


def log_mel(audio: np.ndarray) -> np.ndarray:
    """Natural-log mel features float32 [frames, BANDS] of audio [frames * HOP]."""
    mel = np.abs(spectrogram(audio)) @ mel_filters().T
    return np.log(np.maximum(mel, LOG_FLOOR)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class StoredClip:
    """Where a clip lies in `audio.npy` (samples = frames * HOP) and `mel.npy`."""

    id: str
    split: str
    text: str
    first_frame: int
    frames: int

    @property
    def samples(self) -> slice:
        """The clip's stretch of `audio.npy`."""
        return slice(self.first_frame * HOP, (self.first_frame + self.frames) * HOP)

    @property
    def rows(self) -> slice:
        """The clip's rows of `mel.npy` and of every other per-frame array."""
        return slice(self.first_frame, self.first_frame + self.frames)


@dataclass(frozen=True, slots=True)
class Features:
    """A corpus after stage 1; the arrays are memory-mapped."""

    folder: Path
    clips: list[StoredClip]
    audio: np.ndarray
    mel: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> Features:
        """Open what `python -m recipes.features` wrote into `folder`."""
        if not (folder / "clips.json").is_file():
            raise SystemExit(f"{folder}: no features here; run `python -m recipes.features` first")
        clips = [StoredClip(**clip) for clip in json.loads((folder / "clips.json").read_text("utf-8"))]
        arrays = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("audio", "mel"))
        return cls(folder, clips, *arrays)


def _extract(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
    audio = read_audio(clip.path)
    audio = audio[: len(audio) // HOP * HOP]
    pcm = np.round(np.clip(audio, -1, 1) * 32767).astype(np.int16)
    return pcm, log_mel(audio)


def extract(corpus: Path, out: Path) -> None:
    """Write the features of one corpus into `out`; `clips.json` comes last, so that its presence means done."""
    if (out / "clips.json").exists():
        print(f"{out}: already there")
        return
    out.mkdir(parents=True, exist_ok=True)
    clips = read_corpus(corpus)
    stored, audio, mel, first = [], [], [], 0
    with ThreadPoolExecutor(2) as pool:
        for clip, (pcm, rows) in zip(
            clips, tqdm(pool.map(_extract, clips), total=len(clips), desc=corpus.name), strict=True
        ):
            stored.append(StoredClip(clip.id, clip.split, clip.text, first, len(rows)))
            first += len(rows)
            audio.append(pcm)
            mel.append(rows)
    np.save(out / "audio.npy", np.concatenate(audio))
    np.save(out / "mel.npy", np.concatenate(mel))
    (out / "clips.json").write_text(json.dumps([asdict(s) for s in stored], indent=0), "utf-8")


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+", type=Path, help="corpus folders")
    parser.add_argument("--out", type=Path, default=Path("work"), help="where the work lies (default: work)")
    args = parser.parse_args()
    for corpus in args.corpora:
        extract(corpus, args.out / corpus.name)


if __name__ == "__main__":
    main()
