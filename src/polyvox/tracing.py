"""Tracing: what ran when, for timelines and for knowing the cost of each stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from polyvox.networks import Network, Stepper, Wrapper
from polyvox.networks.stepping import Saved
from polyvox.tensors import Array, Tensors


@dataclass(frozen=True, slots=True)
class Span:
    """One stretch of work: `start` and `end` in seconds since the trace began."""

    name: str
    track: str
    start: float
    end: float
    details: dict[str, Any] = field(default_factory=dict)


class Trace:
    """Collects spans from any thread."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """`clock` counts seconds; `time.thread_time` counts only those in which this thread had a processor."""
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()
        self.spans: list[Span] = []

    def restart(self) -> None:
        """Forget what was collected and count from now."""
        with self._lock:
            self.spans = []
            self._began = self._clock()

    @contextmanager
    def span(self, name: str, track: str, **details: Any) -> Iterator[None]:
        """Record the body's time."""
        start = self._clock()
        try:
            yield
        finally:
            end = self._clock()
            with self._lock:
                self.spans.append(Span(name, track, start - self._began, end - self._began, details))

    def mark(self, name: str, track: str, **details: Any) -> None:
        """Record a moment."""
        now = self._clock() - self._began
        with self._lock:
            self.spans.append(Span(name, track, now, now, details))

    def seconds(self, track: str) -> float:
        """The time spent on a track."""
        return sum(s.end - s.start for s in self.spans if s.track == track)

    def wrap(self, network: Network, name: str | None = None) -> Network:
        """The network, with every call recorded on the track `networks` under `name`, or its own name."""
        return _Traced(network, self, name or network.spec.name)

    def perfetto(self) -> dict[str, Any]:
        """The trace in the Trace Event Format, which https://ui.perfetto.dev opens."""
        tracks = {name: i + 1 for i, name in enumerate(dict.fromkeys(s.track for s in self.spans))}
        events: list[dict[str, Any]] = [
            {"ph": "M", "name": "thread_name", "pid": 1, "tid": tid, "args": {"name": name}}
            for name, tid in tracks.items()
        ]
        for span in self.spans:
            event: dict[str, Any] = {
                "name": span.name,
                "pid": 1,
                "tid": tracks[span.track],
                "ts": span.start * 1e6,
                "args": span.details,
            }
            if span.end > span.start:
                event |= {"ph": "X", "dur": (span.end - span.start) * 1e6}
            else:
                event |= {"ph": "i", "s": "t"}
            events.append(event)
        return {"traceEvents": events, "displayTimeUnit": "ms"}


class _Traced(Wrapper):
    def __init__(self, inner: Network, trace: Trace, name: str) -> None:
        super().__init__(inner)
        self._trace = trace
        self._name = name

    def run(self, tensors: Tensors) -> dict[str, Array]:
        shapes = {name: list(tensors[name].shape) for name in self.spec.inputs if name in tensors}
        with self._trace.span(self._name, "networks", **shapes):
            return self.inner.run(tensors)

    def stepper(self, tensors: Tensors) -> Stepper:
        return _TracedStepper(self.inner.stepper(tensors), self._trace, self._name)


class _TracedStepper(Stepper):
    def __init__(self, inner: Stepper, trace: Trace, name: str) -> None:
        self._inner, self._trace, self._name = inner, trace, name

    def step(self, changed: Tensors | None = None) -> Tensors:
        with self._trace.span(self._name, "networks"):
            return self._inner.step(changed)

    def save(self) -> Saved:
        return self._inner.save()

    def restore(self, saved: Saved) -> None:
        self._inner.restore(saved)
