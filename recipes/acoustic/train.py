"""Stage 3: train the acoustic model of one or several speakers within a time budget.

    python -m recipes.acoustic.train work/kathleen --out work/acoustic/kathleen --minutes 75
    python -m recipes.acoustic.train work/nathalie work/flemishguy --flow --out work/acoustic/lowlands --minutes 75

The learning rate falls to nothing when the budget is used up, so a run that ended is finished. A run that was
stopped goes on from its last checkpoint with the same command. In the last part (`--adversary`) a small patch
discriminator works against over-smoothing; the model from before is kept as `plain.pt`. With `--flow` the decoder
goes on from its mel by flow matching (`recipes.acoustic.flow`), and there is no adversary.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from recipes.acoustic.adversary import PatchDiscriminator, discriminator_loss, generator_loss
from recipes.acoustic.data import Batch, Corpus, batches
from recipes.acoustic.flow import Flowing, flow_loss, made
from recipes.acoustic.model import MARK, Acoustic, Config
from recipes.acoustic.validate import picture, validate

WEIGHTS = {"mel": 1.0, "duration": 0.2, "pitch": 0.1, "energy": 0.1, "voiced": 0.05, "flow": 0.5}
FLOW_KERNELS = (7, 7, 5, 5, 5)
FLOW_DROPOUT = 0.1  # in the decoder and of what it tells the flow: the guess should err as it does on new sentences
PREDICTORS_DROPOUT = 0.3  # of what they hear of the encoder, besides their own
ADVERSARY_WARMUP = 300  # steps in which only the discriminator learns


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask` (same shape, weights) says."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def losses_of(model: Acoustic, batch: Batch, classes: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """All plain losses of a batch, and the predicted normalised mel [B, F, bands]."""
    hidden = model.text_encoder(batch.tokens, batch.tokens_mask, batch.speaker)
    # An hour of speech has few sentences: given a say in the encoder, the predictors learn melodies by heart.
    heard = functional.dropout(hidden.detach(), PREDICTORS_DROPOUT, model.training)
    logs = model.duration_predictor.log_durations(heard, batch.tokens_mask).float()
    pitch, energy, voiced = (v.float() for v in model.prosody_predictor.predict(heard, batch.tokens_mask))
    # The decoder learns from natural pitch and energy; the predictors learn to say them.
    encoded = model.prosody_predictor.encode(hidden, batch.tokens_mask, batch.pitch, batch.energy)
    placed = batch.gather(encoded), batch.token_position, batch.token_frames, batch.frames_mask
    extra = {}
    if isinstance(model, Flowing):
        mel, condition = model.decoder.both(*placed)
        extra["flow"] = masked_mean(flow_loss(model, mel, condition, batch, FLOW_DROPOUT), batch.loss_mask)
        mel = mel.float()
    else:
        mel = model.decoder.normalised(*placed).float()

    timed = batch.tokens_mask * (classes[batch.tokens] != MARK)
    sounding = (batch.durations > 0).float()
    sung = sounding * (0.1 + 0.9 * batch.voiced)
    share = functional.binary_cross_entropy_with_logits(voiced, batch.voiced, reduction="none")
    return {
        "mel": masked_mean((mel - batch.mel).abs().mean(-1), batch.loss_mask),
        "duration": masked_mean((logs - torch.log1p(batch.durations.float())) ** 2, timed),
        "pitch": masked_mean(((pitch - batch.pitch) ** 2).mean(-1), sung),
        "energy": masked_mean((energy - batch.energy) ** 2, sounding),
        "voiced": masked_mean(share, sounding),
        **extra,
    }, mel


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line says."""

    minutes: float
    batch: int
    crop: int
    rate: float
    adversary: float
    flow: bool


class Trainer:
    """The state of a run: what a checkpoint holds."""

    def __init__(self, corpus: Corpus, out: Path, settings: Settings) -> None:
        self.corpus, self.out, self.settings = corpus, out, settings
        flow = {"flow_kernels": FLOW_KERNELS, "decoder_dropout": FLOW_DROPOUT} if settings.flow else {}
        self.config = Config(len(corpus.symbols), speakers=corpus.speakers, **flow)  # type: ignore[arg-type]
        self.model = made(self.config, corpus.classes, corpus.scales, corpus.mel_scale)
        self.average = copy.deepcopy(self.model)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), settings.rate, betas=(0.9, 0.98), weight_decay=0.01, foreach=True
        )
        self.judge = PatchDiscriminator()
        self.judge_optimizer = torch.optim.AdamW(self.judge.parameters(), 3e-4, betas=(0.5, 0.9), foreach=True)
        self.step, self.seconds, self.adversary_step = 0, 0.0, 0
        self.running: dict[str, float] = {}

    @property
    def progress(self) -> float:
        """How much of the budget is used, 0 to 1."""
        return min(1.0, self.seconds / (60 * self.settings.minutes))

    def save(self, name: str = "last.pt") -> None:
        """Write a checkpoint; a half-written one never takes the place of a good one."""
        path = self.out / name
        state = {
            "config": self.config.to_dict(),
            "symbols": self.corpus.symbols,
            "seen": self.corpus.seen,
            "average": self.average.state_dict(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "judge": self.judge.state_dict(),
            "judge_optimizer": self.judge_optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "adversary_step": self.adversary_step,
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)

    def resume(self) -> None:
        """Go on from the last checkpoint if there is one."""
        path = self.out / "last.pt"
        if not path.exists():
            return
        state = torch.load(path, weights_only=False)
        if state["symbols"] != self.corpus.symbols:
            raise SystemExit(f"{path}: made with other symbols; choose another --out or delete it")
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.judge.load_state_dict(state["judge"])
        self.judge_optimizer.load_state_dict(state["judge_optimizer"])
        self.step, self.seconds = state["step"], state["seconds"]
        self.adversary_step = state["adversary_step"]
        print(f"{path}: going on from step {self.step}, {self.seconds / 60:.1f} minutes used", flush=True)

    def train_step(self, batch: Batch) -> None:
        """One step of the model, and of the adversary when its time has come."""
        warmup = min(1.0, (self.step + 1) / 400)
        rate = warmup * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * self.progress)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.rate * rate
        self.model.train()
        with torch.autocast("cpu", torch.bfloat16):
            losses, mel = losses_of(self.model, batch, self.corpus.classes)
        total = sum(WEIGHTS[name] * value for name, value in losses.items())
        if self.progress >= self.settings.adversary:
            total = total + self._adversary(batch, mel, losses)
        self.optimizer.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        decay = min(0.999, (1 + self.step) / (20 + self.step))
        with torch.no_grad():
            new, old = list(self.model.parameters()), list(self.average.parameters())
            torch._foreach_lerp_(old, new, 1 - decay)
            if isinstance(self.average, Flowing):
                self.average.decoder.spread.copy_(self.model.decoder.spread)  # type: ignore[arg-type]
        self.step += 1
        for name, value in losses.items():
            number = float(value.detach())
            self.running[name] = 0.98 * self.running.get(name, number) + 0.02 * number

    def _adversary(self, batch: Batch, mel: Tensor, losses: dict[str, Tensor]) -> Tensor:
        """Train the discriminator on this batch and return what it adds to the model's loss."""
        if not self.adversary_step:
            self.save("plain.pt")
        self.adversary_step += 1
        # Both are blank where a crop's edge spoils the prediction, so that this tells nothing.
        mask = batch.loss_mask.unsqueeze(-1)
        natural, predicted = batch.mel * mask, mel * mask
        with torch.autocast("cpu", torch.bfloat16):
            judged = discriminator_loss(self.judge, natural, predicted)
        self.judge_optimizer.zero_grad()
        judged.backward()
        self.judge_optimizer.step()
        losses["judge"] = judged.detach()
        if self.adversary_step <= ADVERSARY_WARMUP:
            return mel.new_zeros(())
        ramp = min(1.0, (self.adversary_step - ADVERSARY_WARMUP) / 500)
        for parameter in self.judge.parameters():
            parameter.requires_grad_(False)
        with torch.autocast("cpu", torch.bfloat16):
            fooling, matching = generator_loss(self.judge, natural, predicted)
        for parameter in self.judge.parameters():
            parameter.requires_grad_(True)
        losses["fooling"], losses["matching"] = fooling.detach(), matching.detach()
        return ramp * (0.05 * fooling + 0.2 * matching)

    def run(self, validate_every: int) -> None:
        """Train until the budget is used up."""
        settings, corpus = self.settings, self.corpus
        context = self.config.context + self.config.flow_context
        source = batches(corpus.train, corpus.mel_scale, settings.batch, settings.crop, context, seed=self.step)
        bar = tqdm(total=round(60 * settings.minutes), initial=round(self.seconds), unit="s", disable=None)
        begun, before = time.monotonic(), self.seconds
        while self.progress < 1:
            self.train_step(next(source))
            self.seconds = before + time.monotonic() - begun
            bar.update(round(self.seconds) - bar.n)
            if self.step % 100 == 0:
                self._print("train", self.running)
            if self.step % 500 == 0:
                self.save()
            if self.step % validate_every == 0:
                self._validate()
        self.save()
        self._validate()
        bar.close()
        print(f"done: {self.out / 'last.pt'}", flush=True)

    def _validate(self) -> None:
        self._print("dev  ", validate(self.average, self.corpus))
        picture(self.average, self.corpus, self.out / f"mel-{self.step:06d}.png")

    def _print(self, what: str, values: dict[str, float]) -> None:
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        tqdm.write(f"{what} step {self.step} at {self.seconds / 60:.1f} min: {numbers}")


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="corpora's work folders, after `recipes.align`")
    parser.add_argument("--flow", action="store_true", help="decode by flow matching")
    parser.add_argument("--out", type=Path, required=True, help="where checkpoints and pictures go")
    parser.add_argument("--minutes", type=float, default=75, help="training time, over all runs (default: 75)")
    parser.add_argument("--batch", type=int, default=12, help="clips a step (default: 12)")
    parser.add_argument("--crop", type=int, default=144, help="frames of each clip a step (default: 144)")
    parser.add_argument("--rate", type=float, default=1e-3, help="highest learning rate (default: 0.001)")
    parser.add_argument(
        "--adversary", type=float, default=0.6, help="part of the time after which it starts; 1: never (default: 0.6)"
    )
    parser.add_argument("--validate-every", type=int, default=1000, help="steps (default: 1000)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads (default: 1)")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    args.out.mkdir(parents=True, exist_ok=True)
    adversary = 1.0 if args.flow else args.adversary
    settings = Settings(args.minutes, args.batch, args.crop, args.rate, adversary, args.flow)
    trainer = Trainer(Corpus.load(*args.folders), args.out, settings)
    trainer.resume()
    trainer.run(args.validate_every)


if __name__ == "__main__":
    main()
