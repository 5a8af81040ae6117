"""Meter: where a stream's time goes, and the place where one that nobody wants is stopped before each network call."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from polyvox.networks.urgency import check_cancelled
from polyvox.tracing import Trace


class Stages(Protocol):
    """What times are added to, in seconds."""

    text: float
    networks: float
    signal: float


class Meter(Trace):
    """A trace that keeps no spans: it adds them to the stream that the thread works for."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.local()

    @contextmanager
    def measuring(self, stages: Stages) -> Iterator[None]:
        """What this thread does in the body is for `stages`."""
        self._thread.stages = stages
        try:
            yield
        finally:
            self._thread.stages = None

    @contextmanager
    def span(self, name: str, track: str, **details: Any) -> Iterator[None]:
        """Add the body's time to the stage `track`; raise `Cancelled` instead if the stream is not wanted any more."""
        check_cancelled()
        stages: Stages | None = getattr(self._thread, "stages", None)
        if stages is None:  # a thread of a block's own, or a trial
            yield
            return
        began = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            if track == "networks":
                stages.networks += took
            elif track == "signal":
                stages.signal += took
            elif track == "text":
                stages.text += took

    def mark(self, name: str, track: str, **details: Any) -> None:
        """Moments are not kept."""
