"""`polyvox bench`: how fast a voice is here."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from statistics import median
from typing import Any

import click

from polyvox.cli import common

SHORT = "Good morning."
LONG = (
    "The lighthouse keeper climbed the stairs each evening, lamp in hand, and counted the steps aloud. "
    "There were one hundred and ninety-nine of them, though the map in the hall said two hundred. "
    "Nobody had ever found the missing one. On clear nights he could see the ships far out at sea, "
    "small lights that moved so slowly that they seemed to stand still; on other nights there was only the wind."
)


@click.command(short_help="Measure how fast a voice is here.", epilog="Example: polyvox bench kathleen --repeat 30")
@click.argument("voice")
@click.option("--vocoder", metavar="NAME|PATH", help="Another vocoder than the voice's own.")
@click.option("--target", default="cpu", show_default=True, help="Where and how to run.")
@click.option("--repeat", default=10, show_default=True, type=click.IntRange(1), help="How often each is measured.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def bench(voice: str, vocoder: str | None, target: str, repeat: int, as_json: bool) -> None:
    """Measure VOICE, a name or a path: loading, first audio, real-time factor, memory, and each stage's share."""
    began = time.perf_counter()
    import numpy as np
    import onnxruntime  # noqa: F401 - so that loading the voice is not charged for importing it

    from polyvox.cli import stages
    from polyvox.tracing import Trace
    from polyvox.voice import load

    imports = time.perf_counter() - began
    before = _peak()
    trace = Trace()
    began = time.perf_counter()
    loaded = load(voice, vocoder=vocoder, target=target, trace=trace)
    loading = time.perf_counter() - began
    try:
        began = time.perf_counter()
        stages.speak(loaded, SHORT)
        warming = time.perf_counter() - began
        first: dict[str, list[float]] = {"short": [], "long": []}
        factors: dict[str, list[float]] = {"streamed": [], "whole": []}
        for turn in range(repeat):
            _progress(f"first audio {turn + 1} of {repeat}")
            for name, text in (("short", SHORT), ("long", LONG)):
                first[name].append(stages.speak(loaded, text, only_first=True).first)
        seconds = 0.0
        for turn in range(repeat):
            for name, whole in (("streamed", False), ("whole", True)):
                _progress(f"long text, {name}, {turn + 1} of {repeat}")
                spoken = stages.speak(loaded, LONG, whole=whole)
                factors[name].append(spoken.factor)
                seconds = spoken.audio
        spoken = stages.speak(loaded, LONG, trace=trace)
        found = stages.stages(trace, spoken.took)
    finally:
        _progress("")
        loaded.close()
    peak = _peak()
    figures: dict[str, Any] = {
        "voice": loaded.name,
        "target": target,
        "repeat": repeat,
        "import_s": round(imports, 4),
        "load_s": round(loading, 4),
        "first_speech_s": round(warming, 4),
        "first_audio_ms": {
            name: {"median": round(1e3 * median(times), 3), "p95": round(1e3 * float(np.percentile(times, 95)), 3)}
            for name, times in first.items()
        },
        "long_text_s": round(seconds, 4),
        "real_time_factor": {
            name: {"median": round(median(f), 4), "p95": round(float(np.percentile(f, 95)), 4)}
            for name, f in factors.items()
        },
        "stages": [s.json() for s in found],
        "peak_memory_mb": None if peak is None else round(peak / 1e6, 1),
        "peak_memory_before_load_mb": None if before is None else round(before / 1e6, 1),
    }
    if as_json:
        common.print_json(figures)
    else:
        _print(figures, stages.HEAD, stages.rows(found))


def _print(figures: dict[str, Any], head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    click.echo(f"{common.clean(figures['voice'])} on {figures['target']}, each measured {figures['repeat']} times\n")
    lines = [
        ("importing", f"{figures['import_s']:.2f} s", "Python modules and the runtime, once a process"),
        ("loading", f"{figures['load_s']:.2f} s", "opening, checking and loading the addons"),
        ("first speech", f"{figures['first_speech_s']:.2f} s", "the short text from a cold start, whole"),
    ]
    for name, text in (("short", SHORT), ("long", LONG)):
        measured = figures["first_audio_ms"][name]
        lines.append(
            (
                f"first audio, {name} text",
                f"{measured['median']:.1f} ms (p95 {measured['p95']:.1f})",
                f"from the text ({len(text)} characters) to the first chunk",
            )
        )
    for name, how in (("streamed", "chunk by chunk"), ("whole", "each sentence at once")):
        measured = figures["real_time_factor"][name]
        lines.append(
            (
                f"real-time factor, {name}",
                f"{measured['median']:.3f} (p95 {measured['p95']:.3f})",
                f"seconds of work for a second of speech, the long text ({figures['long_text_s']:.1f} s), {how}",
            )
        )
    if figures["peak_memory_mb"] is not None:
        before = figures["peak_memory_before_load_mb"]
        lines.append(
            ("peak memory", f"{figures['peak_memory_mb']:.0f} MB", f"of the process; {before:.0f} MB before loading")
        )
    for line in common.table(("figure", "measured", "what it is"), lines):
        click.echo(line)
    click.echo("\nWhere the time goes, the long text streamed once:\n")
    for line in common.table(head, rows, right=(1, 2, 3, 4)):
        click.echo(line)


def _progress(what: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"\r\033[K{what}", nl=False, err=True)


def _peak() -> int | None:
    """Most memory that this process ever had, in bytes; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
