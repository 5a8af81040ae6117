"""First audio: from a warm `voice.stream` call to its first chunk, on one core, and where the time goes.

    python benchmarks/first_audio.py

Asked for: at most 60 ms, and for a 60 s text at most 1.2 times that of a 3 s text.
"""

from __future__ import annotations

import time
from statistics import median

import polyvox
from common import arguments, percentile, row, table
from polyvox.tracing import Trace


def first_audio(voice: polyvox.Voice, text: str) -> float:
    """Seconds to the first chunk; the rest is cancelled."""
    began = time.perf_counter()
    chunks = voice.stream(text)
    next(chunks)
    spent = time.perf_counter() - began
    chunks.close()
    return spent


def main() -> None:
    """Print the table."""
    args = arguments(__doc__)
    voice = polyvox.load(args.voice, vocoder=args.vocoder, target=args.target)
    texts = {
        "one word": "Hello.",
        "3 s": "The harbour lay quiet in the cold grey morning.",
        "60 s": "The harbour lay quiet in the cold grey morning. " * 20,
        "60 s without a full stop": "The harbour lay quiet in the cold grey morning, " * 20,
    }
    for text in texts.values():
        first_audio(voice, text)
    # In turn, so that a slow moment of the machine meets all of them.
    spent: dict[str, list[float]] = {name: [] for name in texts}
    for _ in range(args.repeat):
        for name, text in texts.items():
            spent[name].append(1000 * first_audio(voice, text))
    base = median(spent["3 s"])
    with table("text", "first audio, ms (median)", "95th percentile, ms", "against the 3 s text"):
        for name, values in spent.items():
            row(name, round(median(values), 1), round(percentile(values, 0.95), 1), f"{median(values) / base:.2f}")
    print()
    trace = Trace()
    traced = polyvox.load(args.voice, vocoder=args.vocoder, target=args.target, trace=trace)
    first_audio(traced, texts["3 s"])
    trace.restart()
    first_audio(traced, texts["3 s"])
    with table("stage of the 3 s text's first audio", "ms"):
        for span in trace.spans:
            row(span.name, round(1000 * (span.end - span.start), 2))


if __name__ == "__main__":
    main()
