"""What the benchmarks share: one core, a warm voice, texts of a known length."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

SENTENCE = "The harbour lay quiet in the morning, and a small boat went out over the grey water to the islands. "


def text_of(seconds: float) -> str:
    """A text that takes about so long to say (one sentence of it takes about 6 s)."""
    return SENTENCE * max(1, round(seconds / 6))


def arguments(description: str | None) -> argparse.Namespace:
    """The options of every benchmark."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", default="kathleen", help="a name or a path (default: kathleen)")
    parser.add_argument("--vocoder", default=None, help="another vocoder than the voice's own")
    parser.add_argument("--target", default="cpu")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--core", type=int, default=0, help="the one core to run on (default: 0)")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {args.core})
    return args


@contextmanager
def table(*columns: str) -> Iterator[None]:
    """Print a Markdown table's head; rows follow with `row`."""
    print("| " + " | ".join(columns) + " |")
    print("|" + " --- |" * len(columns))
    yield
    sys.stdout.flush()


def row(*cells: object) -> None:
    """Print one row."""
    print("| " + " | ".join(f"{c:.3g}" if isinstance(c, float) else str(c) for c in cells) + " |")


def percentile(values: list[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]
