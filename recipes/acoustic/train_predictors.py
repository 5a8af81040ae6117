"""Stage 3b: small predictors of durations, pitch and energy, each stopped by sentences that it did not learn from.

    python -m recipes.acoustic.train_predictors work/kathleen --out work/acoustic/kathleen/predictors.pt

The train split's sentences are dealt into folds. One network (`recipes.acoustic.predictors`) learns from all folds
but one; of its epochs, the one that says the left-out fold's durations best is kept, and the one that says its pitch
best. The dev split has no part in this. A finished fold is kept: an interrupted run goes on with the next.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from recipes.acoustic.data import Corpus, Item
from recipes.acoustic.model import MARK, PHONE, SEMITONE
from recipes.acoustic.predictors import ENERGY, PITCH, VOICED, Layout, Sizes, TokenPredictor, Voters, kinds_of

# A clip's mean pitch is the day's, not the text's: its error counts for so much only.
CLIP_MEAN = 0.3


@dataclass(slots=True)
class Rows:
    """Clips side by side (B): tokens and mask [B, T], layout [B, T, L], wanted [B, T, OUTPUTS], durations > 0 [B, T].

    The last of `wanted` is the voiced share.
    """

    tokens: Tensor
    mask: Tensor
    layout: Tensor
    wanted: Tensor
    sounding: Tensor
    speaker: Tensor  # int64 [B]

    @classmethod
    def of(cls, items: list[Item], layouts: dict[str, Tensor]) -> Rows:
        """Pad and stack."""
        longest = max(len(item.tokens) for item in items)

        def stack(values: list[Tensor]) -> Tensor:
            return torch.stack([functional.pad(v, (0, 0) * (v.dim() - 1) + (0, longest - len(v))) for v in values])

        return cls(
            stack([i.tokens for i in items]),
            stack([torch.ones(len(i.tokens)) for i in items]),
            stack([layouts[i.id] for i in items]),
            stack([
                torch.cat([torch.log1p(i.durations)[:, None], i.pitch, i.energy[:, None], i.voiced[:, None]], dim=1)
                for i in items
            ]),
            stack([(i.durations > 0).float() for i in items]),
            torch.tensor([i.speaker for i in items]),
        )  # fmt: skip


def losses_of(said: Tensor, rows: Rows, classes: Tensor) -> dict[str, Tensor]:
    """Of durations, pitch, energy and voicing."""
    timed = rows.mask * (classes[rows.tokens] != MARK)
    sung = rows.sounding * (0.1 + 0.9 * rows.wanted[..., VOICED])
    error = said - rows.wanted
    pitch = (error[..., PITCH].square().mean(-1) * sung).sum() / sung.sum()
    mean = (error[..., PITCH].mean(-1) * sung).sum(1) / sung.sum(1).clamp(min=1)
    pitch = pitch - (1 - CLIP_MEAN) * (mean.square() * sung.sum(1)).sum() / sung.sum()
    voiced = functional.binary_cross_entropy_with_logits(said[..., VOICED], rows.wanted[..., VOICED], reduction="none")
    return {
        "duration": (error[..., 0].square() * timed).sum() / timed.sum(),
        "pitch": pitch,
        "energy": (error[..., ENERGY].square() * rows.sounding).sum() / rows.sounding.sum(),
        "voiced": (voiced * rows.sounding).sum() / rows.sounding.sum(),
    }


WEIGHTS = {"duration": 2.0, "pitch": 1.0, "energy": 1.0, "voiced": 0.3}


class School:
    """The corpus, its layouts, and which fold each sentence belongs to."""

    def __init__(self, folders: Sequence[Path], folds: int) -> None:
        self.corpus = Corpus.load(*folders)
        clips = [clip for folder in folders for clip in json.loads((folder / "clips.json").read_text("utf-8"))]
        self.texts = {clip["id"]: clip["text"] for clip in clips}
        self.layout = Layout(kinds_of(self.corpus.symbols, self.corpus.classes))
        self.layouts = {
            item.id: self.layout(item.tokens[None], torch.ones(1, len(item.tokens)))[0]
            for item in (*self.corpus.train, *self.corpus.dev)
        }
        sentences = sorted({self.texts[item.id] for item in self.corpus.train})
        order = np.random.default_rng(0).permutation(len(sentences))
        self.fold = {sentence: int(place) % folds for sentence, place in zip(sentences, order, strict=True)}

    def batches(self, items: list[Item], size: int, rng: np.random.Generator) -> Iterator[Rows]:
        """One epoch of clips of like length."""
        order = rng.permutation(len(items)).tolist()
        pools = [order[first : first + size * 8] for first in range(0, len(order), size * 8)]
        order = [i for pool in pools for i in sorted(pool, key=lambda i: len(items[i].tokens))]
        groups = [order[first : first + size] for first in range(0, len(order) - size + 1, size)]
        for group in rng.permutation(len(groups)):
            yield Rows.of([items[i] for i in groups[group]], self.layouts)

    @torch.no_grad()
    def examine(self, voters: TokenPredictor | Voters, items: list[Item]) -> dict[str, float]:
        """RMS errors of phones' log durations and of voiced tokens' pitch, in semitones, without the clips' means."""
        voters.eval()
        totals = {"duration": [0.0, 0.0], "pitch": [0.0, 0.0]}
        ordered = sorted(items, key=lambda item: len(item.tokens))
        for first in range(0, len(ordered), 32):
            rows = Rows.of(ordered[first : first + 32], self.layouts)
            if isinstance(voters, Voters):
                said = voters(rows.tokens, rows.mask, rows.speaker)
            else:
                said = voters(rows.tokens, rows.layout, rows.mask.unsqueeze(-1), rows.speaker)
            error = said - rows.wanted
            phone = (self.corpus.classes[rows.tokens] == PHONE) * rows.mask
            sung = rows.sounding * (rows.wanted[..., VOICED] > 0.5)
            pitch = error[..., PITCH].mean(-1)
            pitch = pitch - ((pitch * sung).sum(1) / sung.sum(1).clamp(min=1)).unsqueeze(1)
            scales = self.corpus.scales
            pitch = pitch * ((scales if scales.dim() == 3 else scales[None])[:, 0, 1:][rows.speaker] / SEMITONE)
            for name, values, weight in (("duration", error[..., 0], phone), ("pitch", pitch, sung)):
                totals[name][0] += float((values.square() * weight).sum())
                totals[name][1] += float(weight.sum())
        return {name: math.sqrt(total / count) for name, (total, count) in totals.items()}


def train_fold(school: School, fold: int, epochs: int, size: int, rate: float) -> dict[str, TokenPredictor]:
    """The best networks for `duration` and for `pitch` that never heard the sentences of `fold`."""
    torch.manual_seed(fold)
    corpus, rng = school.corpus, np.random.default_rng(fold)
    learnt = [item for item in corpus.train if school.fold[school.texts[item.id]] != fold]
    left_out = [item for item in corpus.train if school.fold[school.texts[item.id]] == fold]
    network = TokenPredictor(Sizes(len(corpus.symbols), speakers=corpus.speakers))
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=0.05, foreach=True)
    steps, step = epochs * (len(learnt) // size), 0
    best: dict[str, tuple[float, TokenPredictor]] = {}
    for epoch in range(1, epochs + 1):
        network.train()
        for rows in school.batches(learnt, size, rng):
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1.0, (step + 1) / 50) * (0.01 + 0.5 * (1 + math.cos(math.pi * step / steps)))
            said = network(rows.tokens, rows.layout, rows.mask.unsqueeze(-1), rows.speaker)
            losses = losses_of(said, rows, corpus.classes)
            optimizer.zero_grad()
            torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum().backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            step += 1
        if epoch % 2 == 0 or epoch == epochs:
            found = school.examine(network, left_out)
            for name, error in found.items():
                if name not in best or error < best[name][0]:
                    best[name] = error, copy.deepcopy(network).eval()
            shown = ", ".join(f"{name} {error:.4f}" for name, error in found.items())
            print(f"fold {fold}, epoch {epoch}: left-out sentences: {shown}", flush=True)
    return {name: network for name, (_, network) in best.items()}


def load_voters(path: Path, symbols: list[str], classes: Tensor) -> dict[str, Voters]:
    """What this stage wrote: the voters for `duration` and for `pitch` (with energy and voicing)."""
    state = torch.load(path, weights_only=True)
    if state["symbols"] != symbols:
        raise SystemExit(f"{path}: made with other symbols")
    made = {}
    for name in ("duration", "pitch"):
        members = []
        for fold in state["folds"]:
            member = TokenPredictor(Sizes(**state["sizes"]))
            member.load_state_dict(fold[name])
            members.append(member)
        made[name] = Voters(Layout(kinds_of(symbols, classes)), members).eval()
    return made


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="corpora's work folders, after `recipes.align`")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--folds", type=int, default=5, help="parts of the train split (default: 5)")
    parser.add_argument("--voters", type=int, default=4, help="networks, each leaving out another part (default: 4)")
    parser.add_argument("--epochs", type=int, default=16, help="of each (default: 16)")
    parser.add_argument("--batch", type=int, default=16, help="clips a step (default: 16)")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate (default: 0.003)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    school = School(args.folders, args.folds)
    corpus = school.corpus
    sizes = Sizes(len(corpus.symbols), speakers=corpus.speakers)
    state = {"symbols": corpus.symbols, "sizes": sizes.to_dict(), "folds": []}
    if args.out.exists():
        state = torch.load(args.out, weights_only=True)
        if state.get("dealt", args.folds) != args.folds:
            raise SystemExit(f"{args.out}: made with {state['dealt']} folds; choose another --out or delete it")
    state["dealt"] = args.folds
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for fold in range(len(state["folds"]), min(args.voters, args.folds)):
        best = train_fold(school, fold, args.epochs, args.batch, args.rate)
        state["folds"].append({name: network.state_dict() for name, network in best.items()})
        torch.save(state, args.out)
    voters = load_voters(args.out, corpus.symbols, corpus.classes)
    for name in ("duration", "pitch"):
        print(f"dev split, {len(state['folds'])} votes: {name} {school.examine(voters[name], corpus.dev)[name]:.4f}")


if __name__ == "__main__":
    main()
