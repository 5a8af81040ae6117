"""Stage 3b, optional: teach the postnet of a trained attention voice to make mel as detailed as natural mel.

    python -m recipes.attention.sharpen work/kerstin --checkpoint work/attention/kerstin/last.pt --minutes 12

L1 losses make the average of all ways to say something, which sounds muffled. Here everything but the postnet stays as
it is, and a small adversary tells patches of its mel from natural ones (recipes.acoustic.adversary). The result is a
checkpoint beside the first, `sharp.pt`, which `recipes.attention.export` takes. Minutes are processor time.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from recipes.acoustic.adversary import PatchDiscriminator, discriminator_loss, generator_loss
from recipes.attention.data import Batch, Corpus, alignment_of, collate, groups
from recipes.attention.model import Attentive, Config
from recipes.attention.train import LEAD_WIDTH
from recipes.attention.validate import picture, validate

CROP = 120  # frames of each clip that the adversary sees
WARMUP = 150  # steps in which only the adversary learns


@torch.no_grad()
def spoken(model: Attentive, items: list, rng: np.random.Generator) -> tuple[Batch, Tensor, Tensor]:
    """A batch, and the coarse mel [B, F, bands] and features [B, F, E] that the decoder makes of it.

    It is told its own frames where it was led by natural ones first: nearly as when it speaks alone.
    """
    batch = collate(items, model.config.reduction, 0.0, 0.0, rng)
    decoder = model.attention_decoder
    lead = alignment_of(batch.place, batch.tokens.shape[1], LEAD_WIDTH)
    memory, keys = model.encoder(batch.tokens, batch.tokens_mask)
    none = torch.zeros(1, dtype=torch.int64)
    coarse, *_ = decoder.led(memory, keys, batch.tokens_mask, batch.told, lead, lead, none)
    for item, said in zip(items, coarse.flatten(1, 2), strict=True):
        item.said = said[: len(item.mel)].half()
    told = collate(items, model.config.reduction, 0.7, 0.0, rng).told
    coarse, features, *_ = decoder.led(memory, keys, batch.tokens_mask, told, lead, lead, none)
    return batch, coarse.flatten(1, 2).float(), features.flatten(1, 2).float()


def crop(batch: Batch, tensors: list[Tensor], rng: np.random.Generator, frames: int = CROP) -> list[Tensor]:
    """The same random stretch of every clip of each tensor [B, F, ...], within the clip where it is long enough."""
    lengths = batch.frames_mask.sum(1).long()
    frames = min(frames, batch.mel.shape[1])
    starts = [int(rng.integers(0, max(1, int(length) - frames + 1))) for length in lengths]
    return [torch.stack([row[first : first + frames] for row, first in zip(t, starts, strict=True)]) for t in tensors]


def sharpen(
    corpus: Corpus, model: Attentive, out: Path, state: dict, minutes: float, rate: float, frames: int, weight: float
) -> None:
    """Train the postnet against the adversary and write `out`."""
    judge = PatchDiscriminator()
    ours = torch.optim.AdamW(model.postnet.parameters(), rate, betas=(0.8, 0.95), foreach=True)
    theirs = torch.optim.AdamW(judge.parameters(), 3e-4, betas=(0.5, 0.9), foreach=True)
    rng, source = np.random.default_rng(0), groups(corpus.train, frames, seed=1)
    begun, step = time.process_time(), 0
    print(f"before: {validate(model, corpus)}", flush=True)
    model.eval()
    while (progress := (time.process_time() - begun) / (60 * minutes)) < 1:
        for optimizer, full in ((ours, rate), (theirs, 3e-4)):
            for group in optimizer.param_groups:
                group["lr"] = full * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * progress)))
        batch, coarse, features = spoken(model, next(source), rng)
        natural, coarse, features, mask = crop(batch, [batch.mel, coarse, features, batch.frames_mask], rng)
        with torch.autocast("cpu", torch.bfloat16):
            mel = model.postnet.normalised(coarse, features, mask).float()
        # A cut edge is no fault of the postnet's.
        edge = model.config.context
        seen = mask.unsqueeze(-1).clone()
        seen[:, :edge], seen[:, -edge:] = 0, 0
        near = ((mel - natural).abs() * seen).sum() / (seen.sum() * mel.shape[-1]).clamp(min=1)
        with torch.autocast("cpu", torch.bfloat16):
            judged = discriminator_loss(judge, natural * seen, mel * seen)
        theirs.zero_grad()
        judged.backward()
        theirs.step()
        step += 1
        if step > WARMUP:
            judge.requires_grad_(False)
            with torch.autocast("cpu", torch.bfloat16):
                fooling, matching = generator_loss(judge, natural * seen, mel * seen)
            judge.requires_grad_(True)
            ours.zero_grad()
            (near + weight * (0.05 * fooling + 0.2 * matching)).backward()
            torch.nn.utils.clip_grad_norm_(model.postnet.parameters(), 1.0)
            ours.step()
        if step % 50 == 0:
            print(f"step {step} at {progress * minutes:.1f} min: mel {near:.4f}  judge {judged:.4f}", flush=True)
    torch.save({**state, "average": model.state_dict()}, out)
    print(f"after: {validate(model, corpus)}", flush=True)
    picture(model, corpus, out.with_suffix(".png"))
    print(f"done: {out}", flush=True)


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the corpus's work folder")
    parser.add_argument("--checkpoint", type=Path, required=True, help="a checkpoint of recipes.attention.train")
    parser.add_argument("--minutes", type=float, default=12, help="processor time (default: 12)")
    parser.add_argument("--rate", type=float, default=3e-4, help="highest learning rate (default: 0.0003)")
    parser.add_argument("--frames", type=int, default=6000, help="frames a step, padding included (default: 6000)")
    parser.add_argument("--weight", type=float, default=1.0, help="of the adversary (default: 1)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    state = torch.load(args.checkpoint, weights_only=False)
    corpus = Corpus.load(args.folder, state["config"]["reduction"])
    model = Attentive(Config(**state["config"]), corpus.mel_scale)
    model.load_state_dict(state["average"])
    for name in ("model", "optimizer"):
        state.pop(name)
    out = args.checkpoint.with_name("sharp.pt")
    sharpen(corpus, model, out, state, args.minutes, args.rate, args.frames, args.weight)


if __name__ == "__main__":
    main()
