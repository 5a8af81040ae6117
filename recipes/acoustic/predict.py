"""Mel that the model makes of recorded durations, pitch and energy: frame by frame beside the recording.

    python -m recipes.acoustic.predict --checkpoint work/acoustic/kathleen/last.pt --corpus work/kathleen \
        --out work/kathleen/predicted.npy --forget

writes float32 [all frames, bands], whose rows are those of `mel.npy`, to fine-tune a vocoder on what it will be
given. Clips that the aligner left out keep their recorded mel. The stage prints how far the prediction lies from
the recording in both splits. Training knew its sentences by heart, so they come out closer to the recording than
others do; a vocoder that learnt from those would trust its input too much. `--forget` makes train clips harder: every
word is encoded with three symbols of its sentence on each side only, and each batch meets other noise on the weights.
That leaves the change from frame to frame as it is, where dropout would add jitter.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from recipes.acoustic.data import Batch, Corpus, Item, collate
from recipes.acoustic.export import load
from recipes.acoustic.model import Acoustic
from recipes.features import Features

NOISE = 0.1  # of a weight matrix's standard deviation
BESIDE = 3  # symbols that a word knows of its sentence, on each side


def encode_words(model: Acoustic, batch: Batch, space: int) -> Tensor:
    """`hidden` [B, T, C] where every word is encoded with BESIDE symbols on each side and nothing else."""
    hidden = torch.zeros(*batch.tokens.shape, model.config.width)
    for b, row in enumerate(batch.tokens):
        count = int(batch.tokens_mask[b].sum())
        ends = [*(i + 1 for i in range(count - 1) if row[i] == space), count]
        for first, end in zip([0, *ends[:-1]], ends, strict=True):
            low, high = max(0, first - BESIDE), min(count, end + BESIDE)
            alone = model.text_encoder(row[None, low:high], torch.ones(1, high - low))[0]
            hidden[b, first:end] = alone[first - low : end - low]
    return hidden


@torch.no_grad()
def predict(model: Acoustic, items: list[Item], corpus: Corpus, forget: bool = False) -> list[Tensor]:
    """Mel [frames, bands] of every item, from its recorded durations, pitch and energy."""
    batch = collate(items, corpus.mel_scale, None, 0, np.random.default_rng(0))
    if forget:
        hidden = encode_words(model, batch, corpus.symbols.index(" "))
    else:
        hidden = model.text_encoder(batch.tokens, batch.tokens_mask)
    encoded = model.prosody_predictor.encode(hidden, batch.tokens_mask, batch.pitch, batch.energy)
    mel = model.decoder(batch.gather(encoded), batch.token_position, batch.token_frames, batch.frames_mask)
    return [row[: len(item.mel)] for row, item in zip(mel, items, strict=True)]


@torch.no_grad()
def shake(model: Acoustic, weights: dict[str, Tensor]) -> None:
    """Put `weights` with fresh noise into the text encoder and the decoder."""
    for name, parameter in model.named_parameters():
        if parameter.dim() > 1 and name.startswith(("text_encoder", "decoder")):
            parameter.copy_(weights[name] + NOISE * weights[name].std() * torch.randn_like(parameter))


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="a checkpoint of recipes.acoustic.train")
    parser.add_argument("--corpus", type=Path, required=True, help="its corpus's work folder")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--forget", action="store_true", help="make train clips harder, see above")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, *_ = load(args.checkpoint)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    corpus, features = Corpus.load(args.corpus), Features.load(args.corpus)
    rows = {clip.id: clip.rows for clip in features.clips}
    made = np.array(features.mel)
    for split, items in (("dev", corpus.dev), ("train", corpus.train)):
        forget = args.forget and split == "train"
        error, change, natural_change, frames = 0.0, 0.0, 0.0, 0
        ordered = sorted(items, key=lambda item: len(item.mel))
        for first in tqdm(range(0, len(ordered), 8), desc=split, disable=None):
            part = ordered[first : first + 8]
            if forget:
                shake(model, weights)
            for item, mel in zip(part, predict(model, part, corpus, forget), strict=True):
                made[rows[item.id]] = mel.numpy()
                error += float((mel - item.mel).abs().mean(-1).sum())
                change += float(mel.diff(dim=0).abs().mean(-1).sum())
                natural_change += float(item.mel.diff(dim=0).abs().mean(-1).sum())
                frames += len(mel)
        print(
            f"{split}: {len(items)} clips, L1 {error / frames:.4f} (natural log);"
            f" change from frame to frame {change / natural_change:.3f} of the recordings'"
        )
    part_file = args.out.with_name(args.out.name + ".part")
    with part_file.open("wb") as file:
        np.save(file, made.astype(np.float32))
    part_file.replace(args.out)
    print(f"{args.out}: {len(made)} frames")


if __name__ == "__main__":
    main()
