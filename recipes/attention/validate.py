"""How good a model is on held-out clips, told the frames before and speaking alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from polyvox.quality.distances import time_warp
from recipes.attention.data import Corpus, collate
from recipes.attention.model import Attentive

ALONE = 6
"""Clips that are spoken alone each time."""


def warped_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean L1 distance of two sequences of frames [frames, bands] along their best path (dynamic time warping)."""
    i, j = time_warp(a, b)
    return float(np.abs(a[i] - b[j]).mean())


def diagonality(alignment: np.ndarray) -> float:
    """Share of steps [steps, tokens] whose most attended token is at, or up to four after, the one before."""
    moves = np.diff(alignment.argmax(1))
    return float(np.mean((moves >= 0) & (moves <= 4))) if len(moves) else 1.0


@torch.no_grad()
def validate(model: Attentive, corpus: Corpus) -> dict[str, float]:
    """Measure on the dev split.

    Returns:
        coarse, mel: L1 in natural-log units when told natural frames; near: share of the attention within two tokens
        of the true place; and of some clips spoken alone: alone, the warped L1 distance of mel to the recording;
        monotone, the share of steps that go on orderly; reached, the share of tokens that were attended (0.3 of a
        step at least, together with their neighbours); stopped, the share that stopped by itself; length, over the
        natural one.
    """
    model.eval()
    scale = corpus.mel_scale
    items = sorted(corpus.dev, key=lambda item: len(item.mel))
    batch = collate(items[::3], model.config.reduction, 0.0, 0.0, np.random.default_rng(0))
    memory, keys = model.encoder(batch.tokens, batch.tokens_mask)
    coarse, features, _, alignment = model.attention_decoder.taught(memory, keys, batch.tokens_mask, batch.told)
    coarse = coarse.flatten(1, 2)
    mel = model.postnet.normalised(coarse, features.flatten(1, 2), batch.frames_mask)
    mask = batch.frames_mask.unsqueeze(-1) / (batch.frames_mask.sum() * coarse.shape[-1])
    near = (torch.arange(alignment.shape[-1]) - batch.place.unsqueeze(-1)).abs() <= 2
    found = {
        "coarse": float(((coarse - batch.mel).abs() * scale[1] * mask).sum()),
        "mel": float(((mel - batch.mel).abs() * scale[1] * mask).sum()),
        "near": float(((alignment * near).sum(-1) * batch.steps_mask).sum() / batch.steps_mask.sum()),
    }
    rows = []
    for item in items[2 :: max(1, len(items) // ALONE)][:ALONE]:
        spoken, alignment, stopped = model.speak(item.tokens, most=len(item.place) * 3 // 2)
        path = alignment.numpy()
        summed = np.convolve(path.sum(0), np.ones(3), mode="same")
        rows.append(
            (
                warped_distance((spoken * scale[1]).numpy()[::2], (item.mel * scale[1]).numpy()[::2]),
                diagonality(path),
                float(np.mean(summed > 0.3)),
                float(stopped),
                len(spoken) / len(item.mel),
            )
        )
    names = ("alone", "monotone", "reached", "stopped", "length")
    return found | dict(zip(names, np.mean(rows, axis=0).tolist(), strict=True))


@torch.no_grad()
def picture(model: Attentive, corpus: Corpus, path: Path) -> None:
    """Draw a dev clip: natural mel, mel spoken alone, and its alignment."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    model.eval()
    item = sorted(corpus.dev, key=lambda item: len(item.mel))[len(corpus.dev) // 2]
    spoken, alignment, _ = model.speak(item.tokens, most=len(item.place) * 3 // 2)
    figure, axes = plt.subplots(3, 1, figsize=(11, 9))
    axes[0].imshow(item.mel.T, origin="lower", aspect="auto", vmin=-2, vmax=2)
    axes[1].imshow(spoken.T, origin="lower", aspect="auto", vmin=-2, vmax=2)
    axes[2].imshow(alignment.T, origin="lower", aspect="auto", vmin=0, vmax=1)
    for axis, title in zip(axes, (item.text, "spoken alone", "its alignment"), strict=True):
        axis.set_title(title, fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=80)
    plt.close(figure)
