"""Concurrency: several streams of one voice at once from threads, on all cores, against one after the other.

python benchmarks/concurrency.py
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import polyvox
from common import arguments, row, table, text_of


def speak(voice: polyvox.Voice, text: str) -> tuple[float, float]:
    """Seconds to the first chunk, and seconds of audio."""
    began = time.perf_counter()
    chunks = voice.stream(text)
    audio = next(chunks).seconds
    first = time.perf_counter() - began
    return first, audio + sum(chunk.seconds for chunk in chunks)


def main() -> None:
    """Print the table."""
    args = arguments(__doc__)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
    voice = polyvox.load(args.voice, vocoder=args.vocoder, target=args.target)
    text = text_of(12)
    speak(voice, text)
    base = 0.0
    with table("streams at once", "first audio, ms (median)", "audio made per second, s", "against one stream"):
        for streams in (1, 2, 4, 8):
            with ThreadPoolExecutor(streams) as pool:
                began = time.perf_counter()
                found = list(pool.map(lambda _: speak(voice, text), range(streams * max(2, args.repeat // 5))))
                spent = time.perf_counter() - began
            made = sum(audio for _, audio in found) / spent
            base = base or made
            row(streams, round(1000 * median(f for f, _ in found), 1), round(made, 1), f"{made / base:.2f}")


if __name__ == "__main__":
    main()
