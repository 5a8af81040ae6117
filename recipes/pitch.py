"""Stage 2: F0 of every frame, by WORLD's DIO and StoneMask (Morise et al., 2016; 2009).

    python -m recipes.pitch work/kathleen

writes `work/kathleen/f0.npy`: float32 [frames] in Hz, 0 where unvoiced, at the frames' centres.
"""

from __future__ import annotations

import argparse
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from tqdm import tqdm

from recipes.corpus import SAMPLE_RATE
from recipes.features import HOP, Features


def f0_of(audio: np.ndarray, low: float, high: float) -> np.ndarray:
    """F0 in Hz, float32 [frames], of int16 audio [frames * HOP]; the search is limited to `low`..`high` Hz."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pyworld

    frames = len(audio) // HOP
    # WORLD's frames stand at 0, 1, 2 ... periods; ours are centred half a hop later.
    shifted = np.pad(audio[HOP // 2 :].astype(np.float64) / 32768, (0, HOP))
    coarse, times = pyworld.dio(shifted, SAMPLE_RATE, low, high, frame_period=1000 * HOP / SAMPLE_RATE)
    return pyworld.stonemask(shifted, coarse, times, SAMPLE_RATE)[:frames].astype(np.float32)


def speaker_range(f0: np.ndarray) -> tuple[float, float]:
    """A search range for one speaker from a first, wide pass: half to twice the median."""
    median = float(np.median(f0[f0 > 0]))
    return max(50.0, median * 0.5), min(600.0, median * 2.0)


def _task(job: tuple[np.ndarray, float, float]) -> np.ndarray:
    return f0_of(*job)


def extract(folder: Path, jobs: int) -> None:
    """Write `f0.npy` for the corpus in `folder`."""
    if (folder / "f0.npy").exists():
        print(f"{folder / 'f0.npy'}: already there")
        return
    features = Features.load(folder)
    probe = np.concatenate([f0_of(features.audio[c.samples], 55, 500) for c in features.clips[::60]])
    low, high = speaker_range(probe)
    work = ((np.asarray(features.audio[c.samples]), low, high) for c in features.clips)
    with ProcessPoolExecutor(jobs) as pool:
        f0 = list(tqdm(pool.map(_task, work, chunksize=16), total=len(features.clips), desc=folder.name))
    np.save(folder / "f0.npy", np.concatenate(f0))


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="what `python -m recipes.features` wrote")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    args = parser.parse_args()
    for folder in args.folders:
        extract(folder, args.jobs)


if __name__ == "__main__":
    main()
