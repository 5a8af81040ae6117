"""How an exported attention addon speaks held-out clips: figures to compare exports by.

    python -m recipes.attention.measure work/kerstin work/addons/kerstin [another addon ...]

Every dev clip's text is spoken by each addon's acoustic blocks. `distance` is the mean L1 distance of log mel to the
recording along their best path (dynamic time warping), `length` is over the natural one, `faults` counts what the
guard found (all of it repaired unless `left`), `rtf` is the real-time factor of the acoustic blocks on one thread.
"""

from __future__ import annotations

import argparse
import logging
import time
from pathlib import Path

import numpy as np

from polyvox.addons import open_addon
from polyvox.blocks import attention_guard, connect
from polyvox.tensors import join
from polyvox.windows import WHOLE
from recipes.attention.data import Corpus, Item
from recipes.attention.validate import warped_distance
from recipes.features import HOP, SAMPLE_RATE


def measure(addon_path: Path, items: list[Item], mel_scale: np.ndarray) -> dict[str, float]:
    """The figures of one addon; see the module."""
    addon = open_addon(addon_path)
    stack = addon.stack()
    attention_guard.metrics.reset()
    distances, lengths, spent, frames = [], [], 0.0, 0
    for item in items:
        began = time.thread_time()
        stream = connect(stack.block, {"tokens": item.tokens.numpy(), "speaker": np.asarray(0)})
        stream.ask(WHOLE)
        mel = join(list(stream))["mel"]
        spent += time.thread_time() - began
        natural = item.mel.numpy() * mel_scale[1] + mel_scale[0]
        distances.append(warped_distance(mel, natural))
        lengths.append(len(mel) / len(natural))
        frames += len(mel)
    stack.close()
    found = {n: c for n, c in attention_guard.metrics.snapshot().items() if n not in ("utterances", "steps")}
    return {
        "distance": float(np.mean(distances)),
        "length": float(np.mean(lengths)),
        "faults": sum(found.values()),
        "left": sum(count for name, count in found.items() if name.endswith("left")),
        "rtf": spent / (frames * HOP / SAMPLE_RATE),
    }


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="the corpus's work folder")
    parser.add_argument("addons", type=Path, nargs="+", help="addons made by recipes.attention.export")
    args = parser.parse_args()
    logging.getLogger("polyvox.attention").setLevel(logging.ERROR)
    corpus = Corpus.load(args.corpus, 1)
    scale = corpus.mel_scale.numpy()
    for path in args.addons:
        figures = measure(path, corpus.dev, scale)
        print(f"{path}: " + "  ".join(f"{name} {value:.4g}" for name, value in figures.items()), flush=True)


if __name__ == "__main__":
    main()
