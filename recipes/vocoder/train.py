"""Stage 3: train the universal vocoder on any number of corpora.

    python -m recipes.vocoder.train work/kathleen work/kerstin --out work/vocoder --minutes 90

Resumes from `work/vocoder/last.pt`. The learning rate follows wall-clock time, so that a run of any length ends well.
Only magnitudes are compared (several STFT resolutions and the mel): the phase comes from the oscillator, and from its
refinement, which the last part of the training goes through. `curve.jsonl` gets a row every five minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recipes.features import HOP, Features
from recipes.vocoder.data import Crops
from recipes.vocoder.listening import wideband_pesq
from recipes.vocoder.losses import MagnitudeLoss, SpectralLoss
from recipes.vocoder.model import PitchNetwork, Vocoder, VocoderSize
from recipes.vocoder.refine import TRAINED_ITERATIONS, refine, to_hops
from recipes.vocoder.source import pulses


def shape(vocoder: Vocoder, pitch: PitchNetwork, mel: Tensor, f0: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """mel [batch, frames, 80] -> spectrum (complex) and magnitude, with F0 from the mel unless it is given."""
    mask = torch.ones(mel.shape[:2])
    if f0 is None:
        with torch.no_grad():
            f0 = pitch(mel, mask).float()
    harmonics = pulses(f0, torch.rand(len(f0)))
    real, imag, magnitude = vocoder(mel, f0, harmonics, torch.randn_like(harmonics), mask)
    return torch.complex(real, imag), magnitude


def _dev(vocoder: Vocoder, pitch: PitchNetwork, folders: list[Path]) -> dict[str, float]:
    """Each corpus's loss and PESQ, over a few clips of its split dev."""
    state = torch.random.get_rng_state()
    torch.manual_seed(1)
    rows: dict[str, float] = {}
    loss = SpectralLoss()
    with torch.no_grad():
        for folder in folders:
            features = Features.load(folder)
            losses, scores = [], []
            for clip in [c for c in features.clips if c.split == "dev"][:8]:
                mel = torch.from_numpy(features.mel[clip.rows][None].copy())
                true = torch.from_numpy(features.audio[clip.samples].astype(np.float32) / 32768)
                made = refine(*shape(vocoder, pitch, mel), vocoder.window).flatten(1)
                losses.append(float(loss(made, true[None])))
                scores.append(wideband_pesq(made[0].numpy(), true.numpy()))
            rows[folder.name] = float(np.mean(losses))
            rows[f"{folder.name}_pesq"] = float(np.mean(scores))
    torch.random.set_rng_state(state)
    return rows


class Training:
    """Networks, their running averages, the optimizer and the losses: what a checkpoint holds and a step changes."""

    def __init__(self, size: VocoderSize, rate: float, weight: float) -> None:
        self.size, self.weight = size, weight
        self.vocoder, self.pitch = Vocoder(size), PitchNetwork()
        self.networks = nn.ModuleList([self.vocoder, self.pitch])
        self.average = torch.optim.swa_utils.AveragedModel(
            self.networks, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999)
        )
        self.parameters = list(self.networks.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
        self.spectral, self.magnitudes = SpectralLoss(), MagnitudeLoss()
        self.done, self.before = 0, 0  # steps of this training, and of those whose weights it started from

    def start_from(self, checkpoint: Path) -> None:
        """Take over a checkpoint's averaged weights, and nothing else of it."""
        saved = torch.load(checkpoint, weights_only=True)
        averaged, self.before = saved["average"], saved.get("before", 0) + saved["step"]
        weights = {n.removeprefix("module."): w for n, w in averaged.items() if n.startswith("module.")}
        self.networks.load_state_dict(weights)
        self.average.module.load_state_dict(weights)

    def save(self, path: Path, seconds: float) -> None:
        """Write a checkpoint, whole or not at all."""
        state = {
            "networks": self.networks.state_dict(), "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(), "step": self.done, "before": self.before, "seconds": seconds,
            "size": asdict(self.size),
        }  # fmt: skip
        torch.save(state, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").replace(path)

    def resume(self, path: Path) -> float:
        """Go on from a checkpoint; returns the seconds spent so far."""
        saved = torch.load(path, weights_only=True)
        self.networks.load_state_dict(saved["networks"])
        self.average.load_state_dict(saved["average"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.done, self.before = saved["step"], saved.get("before", 0)
        return float(saved["seconds"])

    def step(self, crops: tuple[Tensor, Tensor, Tensor, Tensor], rate: float, refined: bool) -> tuple[float, ...]:
        """One step at a learning rate; returns the losses of the audio, the magnitude and F0."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        audio, mel, f0, voiced = crops
        mask = torch.ones(mel.shape[:2])
        with torch.autocast("cpu", torch.bfloat16):
            heard = self.pitch(mel, mask)
        pitch_loss = ((torch.log(heard.float()) - torch.log(f0)).abs() * voiced).sum() / voiced.sum().clamp(min=1)
        # Recorded F0 at first; then what the pitch network hears, as it will be when speaking.
        given = f0 if self.done + self.before < 2000 else heard.detach().float()
        harmonics = pulses(given, torch.rand(len(f0)))
        with torch.autocast("cpu", torch.bfloat16):
            real, imag, magnitude = self.vocoder(mel, given, harmonics, torch.randn_like(harmonics), mask)
        spectrum, window = torch.complex(real, imag), self.vocoder.window
        truth = audio.view(len(audio), -1, HOP)
        spectral = self.spectral(to_hops(spectrum, window).flatten(1), audio)
        if refined:
            # The crop's ends lack neighbours, and refinement spreads that a little.
            made = refine(spectrum, magnitude, window, TRAINED_ITERATIONS)[:, 3:-3]
            spectral = 0.5 * (spectral + self.spectral(made.flatten(1), truth[:, 3:-3].flatten(1)))
        magnitudes = self.magnitudes(magnitude, audio)
        self.optimizer.zero_grad(set_to_none=True)
        (spectral + self.weight * magnitudes + pitch_loss).backward()
        nn.utils.clip_grad_norm_(self.parameters, 5.0)
        self.optimizer.step()
        self.average.update_parameters(self.networks)
        self.done += 1
        return spectral.item(), magnitudes.item(), pitch_loss.item()


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="corpora after recipes.features and recipes.pitch")
    parser.add_argument("--out", type=Path, default=Path("work/vocoder"))
    parser.add_argument("--minutes", type=float, default=90, help="the length of the whole schedule")
    parser.add_argument("--steps", type=int, help="end the schedule after so many steps instead")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--frames", type=int, default=80, help="frames a crop")
    parser.add_argument("--rate", type=float, default=8e-4, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=Path, help="a checkpoint to take the weights of, with a schedule of its own")
    parser.add_argument("--magnitude", type=float, default=1.0, help="weight of the magnitude's own loss")
    parser.add_argument("--refine-from", type=float, default=0.5, help="share of the schedule without refinement")
    parser.add_argument(
        "--predicted", type=float, default=0.0, help="share of crops with predicted features, where there are any"
    )
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    training = Training(VocoderSize(), args.rate, args.magnitude)
    last, spent = args.out / "last.pt", 0.0
    if last.exists():
        spent = training.resume(last)
        print(f"resumed at step {training.done}, minute {spent / 60:.1f}")
    elif args.start:
        training.start_from(args.start)
    crops = Crops(args.folders, args.frames, args.seed + training.done, args.predicted)
    started = time.monotonic() - spent
    recent: list[tuple[float, ...]] = []
    next_save, first = spent + 120, training.done

    def keep() -> None:
        training.save(last, spent)
        row = {"minute": spent / 60, "step": training.done, **_dev(*training.average.module, args.folders)}
        print("dev " + json.dumps({k: round(v, 4) for k, v in row.items()}), flush=True)
        with (args.out / "curve.jsonl").open("a") as curve:
            curve.write(json.dumps(row) + "\n")

    while True:
        spent = time.monotonic() - started
        progress = training.done / args.steps if args.steps else spent / (args.minutes * 60)
        if progress >= 1:
            break
        warm = min(1.0, (training.done - first + 1) / 200)
        rate = args.rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        recent.append(training.step(crops.draw(args.batch), rate, progress >= args.refine_from))
        if training.done % 100 == 0:
            audio, magnitude, f0 = np.mean(recent, axis=0)
            recent.clear()
            print(
                f"minute {spent / 60:6.1f} step {training.done} loss {audio:.4f} magnitude {magnitude:.4f}"
                f" pitch {f0:.4f} rate {rate:.1e}",
                flush=True,
            )
        if spent >= next_save:
            next_save = spent + 300
            keep()
    keep()


if __name__ == "__main__":
    main()
