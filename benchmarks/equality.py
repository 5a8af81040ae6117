"""Equality: chunked against whole and fixed against dynamic, for texts from one phoneme to ten minutes.

    python benchmarks/equality.py

Asked for: equal lengths to the sample, and at most 1e-4 of full scale apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

import numpy as np

import polyvox
from common import arguments, row, table, text_of
from polyvox.windows import Pace

CHUNKS = (1, 3, 8, 24, 64, 200, 768)


def pieces(chunks: Iterator[polyvox.voice.Chunk], size: int = 1 << 16) -> Iterator[np.ndarray]:
    """The same samples in pieces of one size, so that two long speeches are compared without holding either."""
    held = np.zeros(0, dtype=np.float32)
    for chunk in chunks:
        held = np.concatenate([held, chunk.samples])
        while len(held) >= size:
            yield held[:size]
            held = held[size:]
    yield held


def compare(a: Iterator[polyvox.voice.Chunk], b: Iterator[polyvox.voice.Chunk]) -> tuple[float, int]:
    """Largest difference (infinite where lengths differ) and samples."""
    worst, count = 0.0, 0
    for one, other in zip_longest(pieces(a), pieces(b)):
        if one is None or other is None or len(one) != len(other):
            return float("inf"), count
        worst = max(worst, float(np.max(np.abs(one - other), initial=0.0)))
        count += len(one)
    return worst, count


def main() -> None:
    """Print the table."""
    args = arguments(__doc__)
    voice = polyvox.load(args.voice, vocoder=args.vocoder, target="cpu")
    fixed = polyvox.load(args.voice, vocoder=args.vocoder, target="cpu-fixed")
    texts = {"one phoneme": "A", "one word": "Hello.", "6 s": text_of(6), "1 min": text_of(60), "10 min": text_of(600)}
    with table("text", "samples", "chunked - whole", "worst chunk, frames", "fixed - dynamic"):
        for name, text in texts.items():
            sizes = CHUNKS if name != "10 min" else (24, 768)
            found = {}
            for size in sizes:
                found[size], count = compare(
                    voice.stream(text, pace=Pace(size, 1.0, size)), voice.stream(text, whole=True)
                )
            worst = max(found, key=lambda s: found[s])
            apart, _ = compare(fixed.stream(text), voice.stream(text))
            row(name, count, f"{found[worst]:.1e}", worst, f"{apart:.1e}")


if __name__ == "__main__":
    main()
