"""Stage 3: train an attention-based voice within a budget of processor time.

    python -m recipes.attention.train work/kerstin --out work/attention/kerstin --minutes 45

The learning rate falls to nothing when the budget is used up, so a run that ended is finished. What counts is the
processor's time, not the clock's: on a busy machine training takes longer and ends up the same. A run that was
stopped goes on from its last checkpoint with the same command (a larger `--minutes` stretches the schedule).

The hidden Markov model of `recipes.align` shows the attention the way: at first every step is told where the steps
before it looked (which needs no loop, so it is fast) and learns to look where the true token is; later part of the
batches find their own way, as the model must when it speaks. (Guided attention as by Tachibana et al., 2018, but
round the tokens' true places.)
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from recipes.attention.data import Batch, Corpus, alignment_of, blurred, collate, groups
from recipes.attention.model import Attentive, Config
from recipes.attention.validate import picture, validate

LEAD_WIDTH = 0.6  # tokens: how wide the attention should be
WEIGHTS = {"coarse": 1.0, "mel": 1.0, "guide": 0.3, "own": 0.1, "stop": 0.2}
STOP_WEIGHT = 8.0  # of the one step a clip at which to stop
LED_STEPS = 300  # in which every batch is led
LED_STRIDE = 3  # of the steps that are led, how many go by until one is asked where it would look
CHECKPOINT_SECONDS = 240.0
VALIDATE_STEPS = 150


def losses_of(model: Attentive, batch: Batch, own: bool, rng: np.random.Generator) -> tuple[dict[str, Tensor], Tensor]:
    """All losses of a batch, and the coarse normalised mel [B, F, bands].

    `own`: whether the attention finds its own way or is led.
    """
    decoder = model.attention_decoder
    memory, keys = model.encoder(batch.tokens, batch.tokens_mask)
    lead = alignment_of(batch.place, batch.tokens.shape[1], LEAD_WIDTH)
    asked = torch.arange(0 if own else int(rng.integers(LED_STRIDE)), lead.shape[1], 1 if own else LED_STRIDE)
    if own:
        made = decoder.taught(memory, keys, batch.tokens_mask, batch.told)
    else:
        beside = blurred(batch.place, batch.tokens.shape[1], rng)
        made = decoder.led(memory, keys, batch.tokens_mask, batch.told, lead, beside, asked)
    coarse, features, stop, alignment = made
    coarse, features = coarse.flatten(1, 2).float(), features.flatten(1, 2)
    mel = model.postnet.normalised(coarse, features, batch.frames_mask).float()
    frames = batch.frames_mask.unsqueeze(-1) / (batch.frames_mask.sum() * coarse.shape[-1])
    steps = batch.steps_mask / batch.steps_mask.sum()
    asked_steps = batch.steps_mask[:, asked] / batch.steps_mask[:, asked].sum()
    last = torch.zeros_like(steps)
    last[torch.arange(len(last)), batch.steps_mask.sum(1).long() - 1] = 1
    ending = functional.binary_cross_entropy_with_logits(
        stop.float(), last, reduction="none", pos_weight=torch.tensor(STOP_WEIGHT)
    )
    losses = {
        "coarse": ((coarse - batch.mel).abs() * frames).sum(),
        "mel": ((mel - batch.mel).abs() * frames).sum(),
        "own" if own else "guide": (-(torch.log(alignment + 1e-5) * lead[:, asked]).sum(-1) * asked_steps).sum(),
        "stop": (ending * steps).sum(),
    }
    return losses, coarse


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says."""

    minutes: float
    frames: int
    rate: float
    share: float
    own: float
    noise: float


class Trainer:
    """The state of a run: what a checkpoint holds."""

    def __init__(self, corpus: Corpus, config: Config, out: Path, settings: Settings) -> None:
        self.corpus, self.config, self.out, self.settings = corpus, config, out, settings
        self.model = Attentive(config, corpus.mel_scale)
        self.average = copy.deepcopy(self.model)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), settings.rate, betas=(0.9, 0.98), weight_decay=0.01, foreach=True
        )
        self.step, self.seconds = 0, 0.0
        self.running: dict[str, float] = {}
        self.random = np.random.default_rng(0)

    @property
    def progress(self) -> float:
        """How much of the budget is used, 0 to 1."""
        return min(1.0, self.seconds / (60 * self.settings.minutes))

    def save(self) -> None:
        """Write a checkpoint; a half-written one never takes the place of a good one."""
        state = {
            "config": self.config.to_dict(),
            "symbols": self.corpus.symbols,
            "seen": self.corpus.seen,
            "average": self.average.state_dict(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
        }
        part = self.out / "last.part"
        torch.save(state, part)
        part.replace(self.out / "last.pt")

    def resume(self) -> None:
        """Go on from the last checkpoint if there is one."""
        path = self.out / "last.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=False)
        if state["symbols"] != self.corpus.symbols or state["config"] != self.config.to_dict():
            raise SystemExit(f"{path}: made with other symbols or sizes; choose another --out or delete it")
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        print(f"{path}: going on from step {self.step}, {self.seconds / 60:.1f} minutes used", flush=True)

    def train_step(self, batch: Batch, own: bool) -> None:
        """One step."""
        warmup = min(1.0, (self.step + 1) / 200)
        rate = warmup * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.progress)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate * rate
        self.model.train()
        with torch.autocast("cpu", torch.bfloat16):
            losses, coarse = losses_of(self.model, batch, own, self.random)
        total = sum(WEIGHTS[name] * value for name, value in losses.items())
        self.optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        decay = min(0.998, (1 + self.step) / (20 + self.step))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.model.parameters()), 1 - decay)
        for item, said in zip(batch.items, coarse.detach().half(), strict=True):
            item.said = said[: len(item.mel)].clone()
        self.step += 1
        for name, value in losses.items():
            number = float(value.detach())
            self.running[name] = 0.98 * self.running.get(name, number) + 0.02 * number

    def run(self) -> None:
        """Train until the budget is used up."""
        settings = self.settings
        source = groups(self.corpus.train, settings.frames, seed=self.step)
        self.random = np.random.default_rng(self.step)  # a resumed run goes on with other draws
        bar = tqdm(total=round(60 * settings.minutes), initial=round(self.seconds), unit="s", disable=None)
        begun, before, saved = time.process_time(), self.seconds, time.monotonic()
        while self.progress < 1:
            # Its own frames come in once it says something worth hearing.
            share = settings.share * min(1.0, max(0.0, (self.step - 300) / 1500))
            items = next(source)
            own = self.step >= LED_STEPS and self.random.random() < settings.own
            self.train_step(collate(items, self.config.reduction, share, settings.noise, self.random), own)
            self.seconds = before + time.process_time() - begun
            bar.update(round(self.seconds) - bar.n)
            if self.step % 50 == 0:
                self._print("train", self.running)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                self.save()
                saved = time.monotonic()
            if self.step % VALIDATE_STEPS == 0:
                self._validate()
        self.save()
        self._validate()
        bar.close()
        print(f"done: {self.out / 'last.pt'}", flush=True)

    def _validate(self) -> None:
        self._print("dev  ", validate(self.average, self.corpus))
        picture(self.average, self.corpus, self.out / f"dev-{self.step:06d}.png")

    def _print(self, what: str, values: dict[str, float]) -> None:
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        print(f"{what} step {self.step} at {self.seconds / 60:.1f} min: {numbers}", flush=True)


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a corpus's work folder, after `recipes.align`")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints and pictures go")
    parser.add_argument("--minutes", type=float, default=45, help="processor time, over all runs (default: 45)")
    parser.add_argument("--frames", type=int, default=6000, help="frames a step, padding included (default: 6000)")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate (default: 0.001)")
    parser.add_argument("--share", type=float, default=0.5, help="of the model's own frames (default: 0.5)")
    parser.add_argument("--own", type=float, default=0.3, help="batches that find their own way (default: 0.3)")
    parser.add_argument("--noise", type=float, default=0.5, help="on the frames told, in deviations (default: 0.5)")
    parser.add_argument("--reduction", type=int, default=3, help="frames a decoder step makes (default: 3)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: 1)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    args.out.mkdir(parents=True, exist_ok=True)
    corpus = Corpus.load(args.folder, args.reduction)
    settings = Settings(args.minutes, args.frames, args.rate, args.share, args.own, args.noise)
    trainer = Trainer(corpus, Config(len(corpus.symbols), reduction=args.reduction), args.out, settings)
    trainer.resume()
    trainer.run()


if __name__ == "__main__":
    main()
