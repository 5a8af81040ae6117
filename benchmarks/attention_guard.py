"""How often an attention voice skips, repeats or runs away on hard sentences, without its guard and with it.

    python benchmarks/attention_guard.py --voice path/to/kerstin [--limit 50] [--details]

The judge here is another than the guard: it looks at whole words after the fact, at how long each was attended to and
how often the attention came back. The last table is what watching costs, in processor time, of that of the steps.
"""

from __future__ import annotations

import argparse
import copy
import logging
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from common import row, table
from polyvox.addons import Addon, Stack, open_addon
from polyvox.blocks import attention_guard, connect
from polyvox.blocks.attention import Decoding
from polyvox.text import Utterance, front_end, utterances
from polyvox.windows import WHOLE

SENTENCES = Path(__file__).parent / "data" / "hard_sentences.de.txt"
KINDS = ("skip", "repeat", "stall", "runaway")
SKIPPED = 0.009
"""Seconds of attention for each of its tokens below which a word counts as skipped: natural are about 50 ms."""
AWAY = 4
"""Tokens behind a word's end from where a return to it counts as a repetition."""
STALLED, TAIL = 0.9, 0.7
"""Seconds on one token, and after the last word, that count as stalled and as run away."""


@dataclass(frozen=True)
class Made:
    """What a voice made of one utterance: its attention [frames, tokens]."""

    utterance: Utterance
    attention: np.ndarray


def read(limit: int | None) -> list[str]:
    """The sentences; `limit` takes as many, evenly from all kinds."""
    lines = [line for line in SENTENCES.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return lines if limit is None else [lines[i * len(lines) // limit] for i in range(min(limit, len(lines)))]


def without_guard(stack: Any) -> Any:
    """The stack with every guard replaced by the decoder that it nests."""
    if isinstance(stack, list):
        return [without_guard(item) for item in stack]
    if isinstance(stack, dict):
        if stack.get("type") == "AttentionGuard":
            return stack["decoder"]
        return {name: without_guard(value) for name, value in stack.items()}
    return stack


def parts(addon: Addon, text: str) -> Iterator[Utterance]:
    """The utterances of a text, as the voice would cut it."""
    settings = addon.manifest.text
    assert settings is not None
    speaker = front_end(settings.frontend, settings.language)
    yield from utterances(
        text, speaker, addon.symbols, max_tokens=settings.max_tokens, start=settings.start, end=settings.end
    )


def speak(stack: Stack, utterance: Utterance) -> Made:
    """Run the acoustic blocks."""
    stream = connect(stack.block, {"tokens": utterance.tokens, "speaker": np.int64(0)})
    stream.ask(WHOLE)
    return Made(utterance, np.concatenate([chunk["attention"] for chunk in stream]))


def judge(made: Made, seconds: float) -> set[str]:
    """The kinds of faults of one utterance; `seconds` is a frame's length."""
    found = set()
    places = made.attention.argmax(axis=1)
    amounts = made.attention.sum(axis=0) * seconds
    owners = made.utterance.word_index
    for word in range(int(owners.max(initial=-1)) + 1):
        tokens = np.flatnonzero(owners == word)
        if not len(tokens):
            continue
        if amounts[tokens].sum() < SKIPPED * len(tokens):
            found.add("skip")
        inside = np.flatnonzero((places >= tokens[0]) & (places <= tokens[-1]))
        beyond = np.flatnonzero(places > tokens[-1] + AWAY)
        if len(inside) and len(beyond) and inside[-1] > beyond[0]:
            found.add("repeat")
    last = np.flatnonzero(owners >= 0)
    end = int(last[-1]) + 1 if len(last) else len(owners)
    stays = np.diff(np.flatnonzero(np.diff(places, prepend=-1, append=-1)))
    if len(stays) and stays.max() * seconds > STALLED:
        found.add("stall")
    reached = np.flatnonzero(places >= end)
    if len(reached) and (len(places) - reached[0]) * seconds > TAIL:
        found.add("runaway")
    return found


def count(addon: Addon, stack: Stack, texts: list[str], details: bool) -> Counter[str]:
    """How many texts have each kind of fault, and any."""
    features = addon.manifest.features
    seconds = features.hop_length / features.sample_rate
    counts: Counter[str] = Counter()
    for text in texts:
        found: set[str] = set()
        for utterance in parts(addon, text):
            found |= judge(speak(stack, utterance), seconds)
        counts.update(found)
        counts["any"] += bool(found)
        if details and found:
            print(f"    {', '.join(sorted(found))}: {text}")
    return counts


def cost(stacks: dict[str, Stack], addon: Addon, texts: list[str]) -> tuple[float, float]:
    """Microseconds of processor time that a step takes, and that guarding takes for each step.

    That is what it takes to make frames under guard, without the steps in it, less the same without guard, where
    nothing is wrong; what it takes to repair is steps, which the table before counts.
    """
    clock = time.thread_time
    plain, guarded, step = Decoding.until, attention_guard._Guarded.until, Decoding.step
    spent: Counter[str] = Counter()

    def timed_step(self: Decoding, changed: Any = None) -> float:
        began = clock()
        stop = step(self, changed)
        spent["step"] += clock() - began
        spent["steps"] += 1
        return stop

    def timed(until: Any) -> Any:
        def run(self: Any, wanted: int) -> int:
            began = clock()
            frames = until(self, wanted)
            spent["until"] += clock() - began
            return frames

        return run

    Decoding.step, Decoding.until = timed_step, timed(plain)  # type: ignore[method-assign]
    attention_guard._Guarded.until = timed(guarded)  # type: ignore[method-assign]
    each: dict[str, list[float]] = {"off": [], "on": []}
    try:
        for text in texts:
            for utterance in parts(addon, text):
                attention_guard.metrics.reset()
                rows = {}
                for name, stack in stacks.items():
                    spent.clear()
                    speak(stack, utterance)
                    rows[name] = [spent["until"] - spent["step"], spent["step"], spent["steps"]]
                found = attention_guard.metrics.snapshot()
                if sum(found.values()) == found["utterances"] + found["steps"]:
                    for name, row_ in rows.items():
                        each[name] += row_
    finally:
        Decoding.step, Decoding.until = step, plain  # type: ignore[method-assign]
        attention_guard._Guarded.until = guarded  # type: ignore[method-assign]
    if not each["on"]:
        return float("nan"), float("nan")  # there is no utterance in which nothing is wrong
    around = {name: sum(rows[0::3]) / sum(rows[2::3]) for name, rows in each.items()}
    of_step = sum(each["off"][1::3]) / sum(each["off"][2::3])
    return of_step * 1e6, (around["on"] - around["off"]) * 1e6


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", default="kerstin", help="an attention voice, a name or a path (default: kerstin)")
    parser.add_argument("--target", default="cpu")
    parser.add_argument("--limit", type=int, help="so many sentences, evenly from all kinds (default: all 500)")
    parser.add_argument("--details", action="store_true", help="print the texts that fail")
    parser.add_argument("--core", type=int, default=0, help="the one core to run on (default: 0)")
    args = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {args.core})
    logging.getLogger("polyvox.attention").setLevel(logging.ERROR)  # the tables say it
    texts = read(args.limit)
    guarded = open_addon(args.voice)
    bare_manifest = guarded.manifest.model_copy(update={"stack": without_guard(copy.deepcopy(guarded.manifest.stack))})
    bare = Addon(bare_manifest, guarded.files)
    attention_guard.metrics.reset()
    with table("guard", "texts", *KINDS, "any"):
        stacks = {}
        for name, addon in (("off", bare), ("on", guarded)):
            stacks[name] = addon.stack(args.target)
            counts = count(addon, stacks[name], texts, args.details)
            row(name, len(texts), *(counts[kind] for kind in KINDS), counts["any"])
    print("\nWhat the guard says that it did:\n")
    with table("what", "count"):
        for name, number in attention_guard.metrics.snapshot().items():
            row(name, number)
    print("\nWhat watching costs, where nothing is wrong:\n")
    with table("a step, us", "guarding it, us", "share, %"):
        of_step, of_guard = cost(stacks, guarded, texts[:: max(1, len(texts) // 100)])
        row(of_step, of_guard, 100 * of_guard / of_step)


if __name__ == "__main__":
    main()
