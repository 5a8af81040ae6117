"""Stage 3: train the universal vocoder on any number of corpora.

    python -m recipes.vocoder.train work/kathleen work/kerstin --out work/vocoder --minutes 90

Resumes from `work/vocoder/last.pt`. The learning rate follows wall-clock time, so that a run of any length ends well.
Only magnitudes are compared (several STFT resolutions and the mel): the phase comes from the oscillator.
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
from torch import Tensor

from recipes.features import HOP, Features, mel_filters
from recipes.vocoder.model import PitchNetwork, Vocoder, VocoderSize
from recipes.vocoder.source import continuous_f0, pulses

RESOLUTIONS = ((2048, 512), (1024, 256), (512, 128), (256, 64), (128, 32))


class Crops:
    """Random crops of equal length from several corpora; every speaker is drawn by its square-rooted share."""

    def __init__(self, folders: list[Path], frames: int, seed: int) -> None:
        self.frames = frames
        self.random = np.random.default_rng(seed)
        self.corpora = []
        for folder in folders:
            features = Features.load(folder)
            raw = np.load(folder / "f0.npy")
            f0 = np.concatenate([continuous_f0(raw[c.rows]) for c in features.clips])
            clips = [c for c in features.clips if c.split == "train" and c.frames > frames]
            lengths = np.array([c.frames for c in clips], dtype=np.float64)
            self.corpora.append((features, f0, raw > 0, clips, lengths / lengths.sum(), lengths.sum()))
        shares = np.sqrt([c[5] for c in self.corpora])
        self.shares = shares / shares.sum()

    def draw(self, batch: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """audio [batch, samples], mel [batch, frames, 80], f0 and voiced [batch, frames]."""
        audio, mel, f0, voiced = [], [], [], []
        for which in self.random.choice(len(self.corpora), batch, p=self.shares):
            features, pitch, voice, clips, weights, _ = self.corpora[which]
            clip = clips[self.random.choice(len(clips), p=weights)]
            first = clip.first_frame + int(self.random.integers(0, clip.frames - self.frames + 1))
            rows = slice(first, first + self.frames)
            # Loudness is not the speaker: spread it, so that quiet and loud features are known ones.
            gain = float(np.exp(self.random.normal(0, 0.4)))
            audio.append(features.audio[rows.start * HOP : rows.stop * HOP].astype(np.float32) / 32768 * gain)
            mel.append(np.maximum(features.mel[rows] + math.log(gain), math.log(1e-5)))
            f0.append(pitch[rows])
            voiced.append(voice[rows])
        return tuple(torch.from_numpy(np.stack(x)).float() for x in (audio, mel, f0, voiced))  # type: ignore[return-value]


class SpectralLoss(torch.nn.Module):
    """Distance of magnitudes: logarithmic and relative L1 at each resolution, and the log-mel's L1."""

    def __init__(self) -> None:
        super().__init__()
        self.windows = [torch.hann_window(n) for n, _ in RESOLUTIONS]
        self.filters = torch.from_numpy(mel_filters())

    def forward(self, made: Tensor, true: Tensor) -> Tensor:
        """made, true [batch, samples] -> [] (the first and last half frame, cut by the crop, do not count)."""
        total = torch.zeros(())
        for (n_fft, hop), window in zip(RESOLUTIONS, self.windows, strict=True):
            scale = float(window.square().sum().rsqrt())
            a, b = (
                torch.stft(x, n_fft, hop, window=window, center=False, return_complex=True).abs() * scale
                for x in (made, true)
            )
            log = (torch.log(a + 1e-4) - torch.log(b + 1e-4)).abs().mean()
            relative = ((a - b).square().sum().sqrt()) / (b.square().sum().sqrt() + 1e-3)
            total = total + log + 0.5 * relative
            if n_fft == 1024:
                mels = [torch.log((m / scale).transpose(1, 2) @ self.filters.T + 1e-5) for m in (a, b)]
                total = total + (mels[0] - mels[1]).abs().mean()
        return total / len(RESOLUTIONS)


def speak(vocoder: Vocoder, pitch: PitchNetwork, mel: Tensor, f0: Tensor | None = None) -> Tensor:
    """mel [batch, frames, 80] -> audio [batch, samples], with F0 from the mel unless it is given."""
    mask = torch.ones(mel.shape[:2])
    if f0 is None:
        with torch.no_grad():
            f0 = pitch(mel, mask).float()
    harmonics = pulses(f0, torch.rand(len(f0)))
    return vocoder(mel, f0, harmonics, torch.randn_like(harmonics), mask)


def _dev_loss(vocoder: Vocoder, pitch: PitchNetwork, folders: list[Path], loss: SpectralLoss) -> dict[str, float]:
    torch.manual_seed(1)
    rows: dict[str, float] = {}
    with torch.no_grad():
        for folder in folders:
            features = Features.load(folder)
            losses = []
            for clip in [c for c in features.clips if c.split == "dev"][:6]:
                mel = torch.from_numpy(features.mel[clip.rows][None].copy())
                true = torch.from_numpy(features.audio[clip.samples].astype(np.float32) / 32768)
                losses.append(float(loss(speak(vocoder, pitch, mel), true[None])))
            rows[folder.name] = float(np.mean(losses))
    return rows


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="corpora after recipes.features and recipes.pitch")
    parser.add_argument("--out", type=Path, default=Path("work/vocoder"))
    parser.add_argument("--minutes", type=float, default=90, help="the length of the whole schedule")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--frames", type=int, default=80, help="frames a crop")
    parser.add_argument("--rate", type=float, default=8e-4, help="peak learning rate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    size = VocoderSize()
    vocoder, pitch, loss = Vocoder(size), PitchNetwork(), SpectralLoss()
    average = torch.optim.swa_utils.AveragedModel(
        torch.nn.ModuleList([vocoder, pitch]), multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.999)
    )
    parameters = [*vocoder.parameters(), *pitch.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=args.rate, betas=(0.9, 0.98), weight_decay=0.01)
    crops = Crops(args.folders, args.frames, args.seed)
    step, spent = 0, 0.0
    last = args.out / "last.pt"
    if last.exists():
        saved = torch.load(last, weights_only=True)
        average.load_state_dict(saved["average"])
        vocoder.load_state_dict(saved["vocoder"], strict=False)
        pitch.load_state_dict(saved["pitch"])
        optimizer.load_state_dict(saved["optimizer"])
        step, spent = saved["step"], saved["seconds"]
        crops = Crops(args.folders, args.frames, args.seed + step)
        print(f"resumed at step {step}, minute {spent / 60:.1f}")
    started = time.monotonic() - spent
    recent: list[tuple[float, float]] = []
    next_save = spent + 120
    while (spent := time.monotonic() - started) < args.minutes * 60:
        progress = spent / (args.minutes * 60)
        rate = args.rate * min(1.0, (step + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        audio, mel, f0, voiced = crops.draw(args.batch)
        mask = torch.ones(mel.shape[:2])
        with torch.autocast("cpu", torch.bfloat16):
            heard = pitch(mel, mask)
        pitch_loss = ((torch.log(heard.float()) - torch.log(f0)).abs() * voiced).sum() / voiced.sum().clamp(min=1)
        # Recorded F0 at first; then what the pitch network hears, as it will be when speaking.
        given = f0 if step < 2000 else heard.detach().float()
        harmonics = pulses(given, torch.rand(args.batch))
        with torch.autocast("cpu", torch.bfloat16):
            made = vocoder(mel, given, harmonics, torch.randn_like(harmonics), mask)
        spectral = loss(made.float(), audio)
        optimizer.zero_grad(set_to_none=True)
        (spectral + pitch_loss).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        average.update_parameters(torch.nn.ModuleList([vocoder, pitch]))
        step += 1
        recent.append((spectral.item(), pitch_loss.item()))
        if step % 100 == 0:
            means = np.mean(recent, axis=0)
            recent.clear()
            print(
                f"minute {spent / 60:6.1f} step {step} loss {means[0]:.4f} pitch {means[1]:.4f} rate {rate:.1e}",
                flush=True,
            )
        if spent >= next_save or spent + 2 >= args.minutes * 60:
            next_save = spent + 300
            state = {
                "vocoder": vocoder.state_dict(), "pitch": pitch.state_dict(), "average": average.state_dict(),
                "optimizer": optimizer.state_dict(), "step": step, "seconds": spent, "size": asdict(size),
            }  # fmt: skip
            torch.save(state, last.with_suffix(".tmp"))
            last.with_suffix(".tmp").replace(last)
            dev = _dev_loss(*average.module, args.folders, loss)
            row = {"minute": spent / 60, "step": step, **dev}
            print("dev " + json.dumps({k: round(v, 4) for k, v in row.items()}), flush=True)
            with (args.out / "curve.jsonl").open("a") as curve:
                curve.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main()
