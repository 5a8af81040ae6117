"""Pitch and energy of a corpus: of every frame, and of every token once durations are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tqdm import tqdm

from recipes.features import Features, StoredClip
from recipes.pitch import extract

# Where in a token its pitch is read: the middles of its thirds. Three values keep rises and falls within a token.
PITCH_POINTS = (1 / 6, 1 / 2, 5 / 6)


def frame_energy(mel: np.ndarray) -> np.ndarray:
    """Natural log of the mean magnitude over bands, float32 [frames], of log-mel [frames, bands]."""
    return np.log(np.exp(mel).mean(axis=1)).astype(np.float32)


def corpus_pitch(features: Features) -> np.ndarray:
    """F0 of every frame of the corpus, float32 [all frames], 0 where unvoiced."""
    extract(features.folder, jobs=1)
    f0 = np.load(features.folder / "f0.npy")
    # A voice spans about two octaves: what lies further from its median is an octave error.
    middle = np.median(f0[f0 > 0])
    return np.where((f0 < middle * 0.45) | (f0 > middle * 2.2), 0, f0)


def token_pitch(f0: np.ndarray, durations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Read the pitch of a clip's tokens.

    Args:
        f0: [frames], 0 where unvoiced.
        durations: [tokens], summing to frames.

    Returns:
        log F0 [tokens, 3] off a contour that runs through unvoiced stretches, and the voiced share [tokens].
    """
    voiced = f0 > 0
    frames = np.arange(len(f0))
    ends = np.cumsum(durations)
    starts = ends - durations
    if not voiced.any():
        return np.zeros((len(durations), len(PITCH_POINTS)), np.float32), np.zeros(len(durations), np.float32)
    contour = np.interp(frames, frames[voiced], np.log(f0[voiced]))
    contour = np.convolve(np.pad(contour, 1, mode="edge"), (0.25, 0.5, 0.25), mode="valid")
    points = starts[:, None] + durations[:, None] * np.array(PITCH_POINTS) - 0.5
    total = np.concatenate([[0], np.cumsum(voiced)])
    share = (total[ends] - total[starts]) / np.maximum(durations, 1)
    return np.interp(points, frames, contour).astype(np.float32), share.astype(np.float32)


def token_means(values: np.ndarray, durations: np.ndarray) -> np.ndarray:
    """Mean of per-frame values over every token, float32 [tokens]; tokens without frames read the boundary."""
    ends = np.cumsum(durations)
    starts = ends - durations
    total = np.concatenate([[0], np.cumsum(values, dtype=np.float64)])
    boundary = values[np.minimum(starts, len(values) - 1)]
    means = (total[ends] - total[starts]) / np.maximum(durations, 1)
    return np.where(durations > 0, means, boundary).astype(np.float32)


def write_prosody(features: Features, clips: list[StoredClip], durations: dict[str, list[int]], out: Path) -> None:
    """Write `prosody.npz`: per-token arrays of `clips`, end to end.

    pitch [tokens, 3] log F0, voiced [tokens] share of voiced frames, energy [tokens]; and pitch_scale and
    energy_scale: mean and standard deviation over tokens with frames (for pitch: voiced ones).
    """
    f0 = corpus_pitch(features)
    pitch, voiced, energy, lengths = [], [], [], []
    for clip in tqdm(clips, desc="tokens' prosody"):
        length = np.array(durations[clip.id])
        values, share = token_pitch(f0[clip.rows], length)
        pitch.append(values)
        voiced.append(share)
        energy.append(token_means(frame_energy(features.mel[clip.rows]), length))
        lengths.append(length)
    arrays = {"pitch": pitch, "voiced": voiced, "energy": energy}
    joined = {name: np.concatenate(parts) for name, parts in arrays.items()}
    spoken = np.concatenate(lengths) > 0
    sung = spoken & (joined["voiced"] > 0.5)
    scales = {
        "pitch_scale": np.array([joined["pitch"][sung].mean(), joined["pitch"][sung].std()]),
        "energy_scale": np.array([joined["energy"][spoken].mean(), joined["energy"][spoken].std()]),
    }
    np.savez(out, **joined, **scales)
