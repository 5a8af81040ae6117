"""What each stage of a speech cost, out of a trace."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from polyvox.tracing import Span, Trace
from polyvox.voice import Voice

FRAMEWORK = "framework"


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage's cost: the text's, a network's, or the framework's own, which is what the others leave over."""

    name: str
    calls: int
    seconds: float
    share: float

    def json(self) -> dict[str, Any]:
        """As plain data."""
        each = 1e3 * self.seconds / self.calls if self.calls else None
        return {
            "stage": self.name,
            "calls": self.calls,
            "ms": round(1e3 * self.seconds, 3),
            "ms_per_call": None if each is None else round(each, 3),
            "share": round(self.share, 4),
        }


@dataclass(frozen=True, slots=True)
class Spoken:
    """One speech: the time it took, its first audio, its length, all in seconds."""

    took: float
    first: float
    audio: float

    @property
    def factor(self) -> float:
        """The real-time factor: seconds of work for a second of speech."""
        return self.took / self.audio if self.audio else 0.0


def speak(
    voice: Voice, text: str, *, whole: bool = False, trace: Trace | None = None, only_first: bool = False
) -> Spoken:
    """Speak once as fast as it goes, marking each chunk on the trace's track `chunks`."""
    if trace is not None:
        trace.restart()
    began = time.perf_counter()
    first, samples = 0.0, 0
    stream = voice.stream(text, whole=whole)
    for chunk in stream:
        if len(chunk.samples):
            first = first or time.perf_counter() - began
            samples += len(chunk.samples)
            if trace is not None:
                trace.mark("chunk", "chunks", seconds=chunk.seconds)
            if only_first:
                break
    took = time.perf_counter() - began
    close = getattr(stream, "close", None)
    if close is not None:
        close()
    return Spoken(took, first, samples / voice.sample_rate)


def stages(trace: Trace, took: float) -> list[Stage]:
    """The text's cost, each network's and signal stage's in the order of first calls, and the rest."""
    spans = sorted(
        (s for s in trace.spans if s.track in ("text", "networks", "signal")),
        key=lambda s: (s.track != "text", s.start),
    )
    made = []
    for name in dict.fromkeys(s.name for s in spans):
        mine = [s for s in spans if s.name == name]
        seconds = sum(s.end - s.start for s in mine)
        made.append(Stage(name, len(mine), seconds, seconds / took if took else 0.0))
    rest = max(0.0, took - _covered(spans))
    made.append(Stage(FRAMEWORK, 0, rest, rest / took if took else 0.0))
    return made


def _covered(spans: Iterable[Span]) -> float:
    """Seconds in which at least one span ran: networks may run at the same time."""
    total, until = 0.0, 0.0
    for span in sorted(spans, key=lambda s: s.start):
        total += max(0.0, span.end - max(until, span.start))
        until = max(until, span.end)
    return total


def rows(found: Iterable[Stage]) -> list[tuple[str, str, str, str, str]]:
    """For a table."""
    return [
        (
            s.name,
            str(s.calls) if s.calls else "-",
            f"{1e3 * s.seconds:.2f}",
            f"{1e3 * s.seconds / s.calls:.2f}" if s.calls else "-",
            f"{100 * s.share:.1f} %",
        )
        for s in found
    ]


HEAD = ("stage", "calls", "ms", "ms per call", "share")
