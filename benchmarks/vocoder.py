"""The vocoder by itself: real-time factor by the size of its chunks, on one core, and where the time goes.

    python benchmarks/vocoder.py

Asked for: a real-time factor of at most 0.04, in chunks of 20 frames too, whatever refines the phase included.
"""

from __future__ import annotations

import time
from functools import partial
from statistics import median

import numpy as np

from common import arguments, row, table
from polyvox.addons import Addon
from polyvox.addons.library import open_addon
from polyvox.blocks import StreamableBlock, connect, time_own_work
from polyvox.quality.griffin_lim import griffin_lim
from polyvox.quality.mel import Mel
from polyvox.tensors import Array
from polyvox.tracing import Trace

SIZES = (20, 32, 100, 768)
SECONDS = 10


def features(addon: Addon) -> Array:
    """Log-mel [frames, bands] of a voiced sound that wanders as speech does."""
    contract = addon.manifest.features
    time_ = np.arange(SECONDS * contract.sample_rate) / contract.sample_rate
    f0 = 140 + 40 * np.sin(2 * np.pi * 0.7 * time_)
    phase = 2 * np.pi * np.cumsum(f0) / contract.sample_rate
    voice = sum(np.sin(n * phase) / n for n in range(1, 25)) * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time_))
    noise = np.random.default_rng(0).standard_normal(len(time_))
    return Mel(contract).features((0.1 * voice + 0.005 * noise).astype(np.float32))


def run(block: StreamableBlock, mel: Array, samples: int) -> float:
    """Seconds of one core for all of it, asking for so many samples at a time."""
    stream = connect(block, {}, iter([{"mel": mel}]))
    began = time.thread_time()
    stream.ask(samples)
    while next(stream, None) is not None:
        stream.ask(samples)
    return time.thread_time() - began


def main() -> None:
    """Print the table."""
    args = arguments(__doc__)
    addon = open_addon(args.vocoder or "universal")
    trace = Trace(time.thread_time)
    stack = addon.stack(args.target, trace.wrap)
    time_own_work(stack.block, partial(trace.span, track="signal"))
    mel, hop = features(addon), addon.manifest.features.hop_length
    seconds = len(mel) * hop / addon.manifest.features.sample_rate
    run(stack.block, mel, 100 * hop)
    stages = list(dict.fromkeys(span.name for span in trace.spans))
    spent: dict[int, list[float]] = {size: [] for size in SIZES}
    parts: dict[int, dict[str, list[float]]] = {size: {name: [] for name in stages} for size in SIZES}
    for _ in range(args.repeat):
        for size in SIZES:
            trace.restart()
            spent[size].append(run(stack.block, mel, size * hop) / seconds)
            for name in stages:
                parts[size][name].append(sum(s.end - s.start for s in trace.spans if s.name == name) / seconds)
    with table("frames a chunk", "real-time factor", *stages, "the rest"):
        for size in SIZES:
            each = [median(parts[size][name]) for name in stages]
            total = median(spent[size])
            row(size, f"{total:.4f}", *(f"{part:.4f}" for part in each), f"{total - sum(each):.4f}")
    began = time.thread_time()
    griffin_lim(mel, Mel(addon.manifest.features))
    print(f"\nGriffin-Lim, 60 iterations over the whole, same run: {(time.thread_time() - began) / seconds:.4f}")


if __name__ == "__main__":
    main()
