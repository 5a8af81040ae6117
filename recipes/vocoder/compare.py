"""Compare vocoder checkpoints by PESQ, with any number of refining iterations: what the choice of phase rests on.

    python -m recipes.vocoder.compare work/vocoder/last.pt --corpora work/kathleen --iterations 0 4 8

From recorded features of the split dev. "Recorded phase" and "recorded magnitude" put the recording's own in place of
the network's: how much each of the two costs. Needs `pesq`; the tables in docs/voices.md come from recipes.evaluate.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from recipes.features import HOP, Features, StoredClip
from recipes.vocoder.export import load
from recipes.vocoder.listening import wideband_pesq
from recipes.vocoder.model import PitchNetwork, Vocoder
from recipes.vocoder.refine import BALANCE, refine, to_hops, to_spectrum
from recipes.vocoder.train import shape


def versions(
    vocoder: Vocoder,
    pitch: PitchNetwork,
    mel: Tensor,
    true: Tensor,
    iterations: list[int],
    balances: list[float],
) -> Iterator[tuple[str, Tensor]]:
    """Audio [1, frames, HOP] by each way to make it of mel [1, frames, 80]; `true` is the recording's spectrum."""
    torch.manual_seed(0)
    spectrum, magnitude = shape(vocoder, pitch, mel)
    window = vocoder.window
    yield "network alone", to_hops(spectrum, window)
    for count in iterations:
        for balance in balances:
            yield f"{count} iterations, balance {balance:g}", refine(spectrum, magnitude, window, count, balance)
    yield "recorded phase", to_hops(magnitude * true / true.abs().clamp(min=1e-9), window)
    yield "recorded magnitude", refine(spectrum, true.abs(), window)


def main() -> None:
    """Print a table for each checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", type=Path)
    parser.add_argument("--corpora", nargs="+", type=Path, required=True, help="corpora after recipes.features")
    parser.add_argument("--iterations", nargs="*", type=int, default=[4, 8])
    parser.add_argument("--balances", nargs="+", type=float, default=[BALANCE])
    parser.add_argument("--limit", type=int, default=20, help="clips of each corpus (default: 20)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    for checkpoint in args.checkpoints:
        vocoder, pitch, step = load(checkpoint)
        scores: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        work: list[tuple[Features, StoredClip, str]] = []
        for corpus in args.corpora:
            features = Features.load(corpus)
            clips = [c for c in features.clips if c.split == "dev"]
            work += [(features, c, corpus.name) for c in clips[:: max(1, len(clips) // args.limit)][: args.limit]]
        for features, clip, name in tqdm(work, checkpoint.name):
            mel = torch.from_numpy(features.mel[clip.rows][None].copy())
            audio = features.audio[clip.samples].astype(np.float32) / 32768
            with torch.no_grad():
                true = to_spectrum(torch.from_numpy(audio).view(1, -1, HOP), vocoder.window)
                for version, made in versions(vocoder, pitch, mel, true, args.iterations, args.balances):
                    scores[version][name].append(wideband_pesq(made.flatten().numpy(), audio))
        print(f"\n{checkpoint}, step {step}, PESQ-WB on {args.limit} clips of each speaker")
        print(f"{'':28}" + "".join(f"{corpus.name:>12}" for corpus in args.corpora))
        for version, by_corpus in scores.items():
            print(f"{version:28}" + "".join(f"{np.mean(by_corpus[c.name]):12.2f}" for c in args.corpora))


if __name__ == "__main__":
    main()
