"""Overhead: the framework's own time against the networks', and streaming against whole, on one core.

    python benchmarks/overhead.py

Asked for, over a 10 s utterance: the framework's own time at most 5% of the networks'; streaming at most 15% more
compute than whole. Phase refinement is the model's own computing, as its networks are, and is counted with them.
"""

from __future__ import annotations

import time
from statistics import median

import polyvox
from common import SENTENCE, arguments, row, table
from polyvox.tracing import Trace

TEN_SECONDS = (
    SENTENCE.replace(". ", ", ")
    + "where the light of the old tower goes round and round through the whole of the long and quiet night."
)


def run(voice: polyvox.Voice, trace: Trace, text: str, *, whole: bool) -> tuple[float, float, float, float]:
    """CPU seconds in all, seconds in networks with phase refinement and in the text front end, and seconds of audio."""
    trace.restart()
    began = time.thread_time()
    samples = sum(len(chunk.samples) for chunk in voice.stream(text, whole=whole))
    return (
        time.thread_time() - began,
        trace.seconds("networks") + trace.seconds("signal"),
        trace.seconds("text"),
        samples / voice.sample_rate,
    )


def main() -> None:
    """Print the tables."""
    args = arguments(__doc__)
    trace = Trace(time.thread_time)
    voice = polyvox.load(args.voice, vocoder=args.vocoder, target=args.target, trace=trace)
    runs: dict[bool, list[tuple[float, float, float, float]]] = {False: [], True: []}
    for whole in (False, True):
        run(voice, trace, TEN_SECONDS, whole=whole)
    for _ in range(args.repeat):
        for whole in (False, True):
            runs[whole].append(run(voice, trace, TEN_SECONDS, whole=whole))
    middle = {w: [median(r[i] for r in rows) for i in range(4)] for w, rows in runs.items()}
    with table("10 s utterance", "streamed", "whole"):
        row("audio, s", *(round(middle[w][3], 2) for w in (False, True)))
        row("all, ms of one core", *(round(1000 * middle[w][0], 1) for w in (False, True)))
        row("of that in networks and phase refinement, ms", *(round(1000 * middle[w][1], 1) for w in (False, True)))
        row("of that in the text front end, ms", *(round(1000 * middle[w][2], 2) for w in (False, True)))
        own = {w: median(r[0] - r[1] for r in runs[w]) / middle[w][1] for w in runs}
        row("everything else / those", *(f"{own[w]:.1%}" for w in (False, True)))
        row("real-time factor", *(round(middle[w][0] / middle[w][3], 4) for w in (False, True)))
    ratio = median(s[0] / w[0] for s, w in zip(runs[False], runs[True], strict=True))
    print(f"\nstreaming costs {ratio - 1:+.1%} against whole (median of {args.repeat} pairs)")


if __name__ == "__main__":
    main()
