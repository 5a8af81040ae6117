"""How good a model is on held-out clips: numbers to compare, and pictures of mel to look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recipes.acoustic.data import Batch, Corpus, Item, collate
from recipes.acoustic.flow import Flowing
from recipes.acoustic.model import SEMITONE, Acoustic


def _batch(items: list[Item], corpus: Corpus) -> Batch:
    return collate(items, corpus.mel_scale, None, 0, np.random.default_rng(0))


def _detail(mel: Tensor, mask: Tensor) -> Tensor:
    """Mean difference between neighbours in time: over-smoothed mel has less of it than natural mel."""
    return ((mel[:, 1:] - mel[:, :-1]).abs().mean(-1) * mask[:, 1:]).sum() / mask[:, 1:].sum()


@torch.no_grad()
def validate(model: Acoustic, corpus: Corpus, limit: int | None = None) -> dict[str, float]:
    """Measure on the dev split.

    Returns:
        mel: L1 in natural-log units, with natural pitch, energy and durations; mel_free: with predicted pitch
        and energy; flowed: what the flow makes of mel_free, where there is one;
        detail: predicted over natural change from frame to frame (1 is natural); frames: mean error
        of a sounding token's duration; length: total predicted over total natural frames; semitones: RMS error
        of voiced tokens' pitch; energy_db: RMS.
    """
    model.eval()
    items = sorted(corpus.dev, key=lambda item: len(item.mel))[:limit]
    totals: dict[str, list[tuple[float, float]]] = {}

    def add(name: str, total: Tensor, weight: Tensor) -> None:
        totals.setdefault(name, []).append((float(total), float(weight)))

    for first in range(0, len(items), 8):
        batch = _batch(items[first : first + 8], corpus)
        hidden = model.text_encoder(batch.tokens, batch.tokens_mask, batch.speaker)
        prosody = model.prosody_predictor
        pitch, energy, _ = prosody.predict(hidden, batch.tokens_mask)
        mask = batch.frames_mask
        for name, values in (("mel", (batch.pitch, batch.energy)), ("mel_free", (pitch, energy))):
            encoded = batch.gather(prosody.encode(hidden, batch.tokens_mask, *values))
            mel = model.decoder.normalised(encoded, batch.token_position, batch.token_frames, mask)
            error = ((mel - batch.mel) * corpus.mel_scale[1]).abs().mean(-1)
            add(name, (error * mask).sum(), mask.sum())
            if name == "mel_free" and isinstance(model, Flowing):
                mel = model.normalised(encoded, batch)
                add("flowed", (((mel - batch.mel) * corpus.mel_scale[1]).abs().mean(-1) * mask).sum(), mask.sum())
            if name == "mel_free":
                add("detail", _detail(mel, mask), _detail(batch.mel, mask))
        ones = torch.ones(len(batch.tokens))
        durations = model.duration_predictor(hidden, batch.tokens_mask, ones)
        sounding = (batch.durations > 0).float()
        add("frames", ((durations - batch.durations).abs() * sounding).sum(), sounding.sum())
        add("length", durations.sum(), batch.durations.sum())
        voiced = batch.voiced * sounding
        scales = prosody.scales_of(batch.speaker)
        off, louder = (pitch - batch.pitch) * scales[:, 0, 1:, None], (energy - batch.energy) * scales[:, 1, 1:]
        add("semitones", ((off**2).mean(-1) * voiced).sum(), voiced.sum())
        add("energy_db", (louder**2 * sounding).sum(), sounding.sum())
    found = {name: sum(a for a, _ in rows) / sum(b for _, b in rows) for name, rows in totals.items()}
    found["semitones"] = found["semitones"] ** 0.5 / SEMITONE
    found["energy_db"] = found["energy_db"] ** 0.5 * 20 / float(np.log(10))
    return found


@torch.no_grad()
def picture(model: Acoustic, corpus: Corpus, path: Path, clips: int = 2) -> None:
    """Draw natural mel above mel predicted from text with natural durations, for the first dev clips."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    model.eval()
    figure, axes = plt.subplots(2 * clips, 1, figsize=(12, 4.4 * clips), squeeze=False)
    for i, item in enumerate(corpus.dev[:clips]):
        batch = _batch([item], corpus)
        hidden = model.text_encoder(batch.tokens, batch.tokens_mask, batch.speaker)
        pitch, energy, _ = model.prosody_predictor.predict(hidden, batch.tokens_mask)
        encoded = batch.gather(model.prosody_predictor.encode(hidden, batch.tokens_mask, pitch, energy))
        if isinstance(model, Flowing):
            mel = (model.normalised(encoded, batch) * corpus.mel_scale[1] + corpus.mel_scale[0])[0]
        else:
            mel = model.decoder(encoded, batch.token_position, batch.token_frames, batch.frames_mask)[0]
        for row, (name, values) in enumerate((("natural", item.mel), ("predicted", mel))):
            axis = axes[2 * i + row, 0]
            axis.imshow(values.T, origin="lower", aspect="auto", vmin=-11, vmax=1)
            axis.set_title(f"{item.id}, {name}", fontsize=9)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    plt.close(figure)
