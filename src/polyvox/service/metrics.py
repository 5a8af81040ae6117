"""Metrics: what the engine counts, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from polyvox.errors import MissingExtraError
from polyvox.networks import Usage

FIRST_AUDIO = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0)
REALTIME_FACTOR = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Source(Protocol):
    """What is read when somebody asks, and costs nothing until then."""

    def gauges(self) -> Mapping[str, float]:
        """Numbers of now: `streams`, `bulk_streams`, `queued_chunks`, `load`, `capacity`, `voices_loaded`,
        `voices_bytes`, `connections` and what else there is."""
        ...

    def usage(self) -> Mapping[str, Usage]:
        """What the calls of each network came to."""
        ...


class Metrics:
    """A registry of its own for each engine; nothing is global. Methods may be called in any thread."""

    def __init__(self, enabled: bool = True) -> None:
        """Set up.

        Args:
            enabled: False counts nothing and needs no package.

        Raises:
            MissingExtraError: the extra `serve` is not installed.
        """
        self.enabled = enabled
        if not enabled:
            return
        try:
            import prometheus_client as prometheus
        except ImportError:
            raise MissingExtraError("prometheus-client", "serve", "counting for /metrics") from None
        self._prometheus: Any = prometheus
        self.registry: Any = prometheus.CollectorRegistry()

        def make(kind: Any, name: str, text: str, *labels: str, **more: Any) -> Any:
            return kind(f"polyvox_{name}", text, labels, registry=self.registry, **more)

        counter, histogram = prometheus.Counter, prometheus.Histogram
        by_voice = ("voice",)
        self._first = make(
            histogram, "first_audio_seconds", "From admission to the first audio", *by_voice, buckets=FIRST_AUDIO
        )
        self._factor = make(
            histogram,
            "realtime_factor",
            "Processor seconds for a second of audio, by stream",
            *by_voice,
            buckets=REALTIME_FACTOR,
        )
        self._streams = make(counter, "streams", "Streams that are over", "voice", "kind", "outcome")
        self._underruns = make(counter, "underruns", "Times that a listener had nothing to hear", *by_voice)
        self._silence = make(counter, "underrun_seconds", "Seconds that listeners had nothing to hear", *by_voice)
        self._audio = make(counter, "audio_seconds", "Seconds of audio made", *by_voice)
        self._compute = make(counter, "compute_seconds", "Processor seconds spent on streams", *by_voice)
        self._refused = make(counter, "refused", "Requests that were refused", "reason")
        self._loads = make(counter, "voice_loads", "Voices loaded, or not", "voice", "outcome")
        self._unloads = make(counter, "voice_unloads", "Voices unloaded", *by_voice)
        self._load_time = make(counter, "voice_load_seconds", "Seconds spent loading voices", *by_voice)

    def watch(self, source: Source) -> None:
        """Read `source` whenever the metrics are asked for."""
        if self.enabled:
            self.registry.register(_Watched(self._prometheus, source))

    def first_audio(self, voice: str, seconds: float) -> None:
        """A real-time stream's first audio was made."""
        if self.enabled:
            self._first.labels(voice).observe(seconds)

    def underrun(self, voice: str, seconds: float) -> None:
        """A listener had nothing to hear."""
        if self.enabled:
            self._underruns.labels(voice).inc()
            self._silence.labels(voice).inc(seconds)

    def over(self, voice: str, *, realtime: bool, outcome: str, compute: float, audio: float) -> None:
        """A stream is over: `finished`, `cancelled` or `failed`."""
        if self.enabled:
            self._streams.labels(voice, "realtime" if realtime else "bulk", outcome).inc()
            self._audio.labels(voice).inc(audio)
            self._compute.labels(voice).inc(compute)
            if audio:
                self._factor.labels(voice).observe(compute / audio)

    def refused(self, reason: str) -> None:
        """A request was refused; `reason` is the error's code."""
        if self.enabled:
            self._refused.labels(reason).inc()

    def loaded(self, voice: str, succeeded: bool, seconds: float) -> None:
        """A voice was loaded, or could not be."""
        if self.enabled:
            self._loads.labels(voice, "loaded" if succeeded else "refused").inc()
            self._load_time.labels(voice).inc(seconds)

    def unloaded(self, voice: str) -> None:
        """A voice was unloaded."""
        if self.enabled:
            self._unloads.labels(voice).inc()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format, `CONTENT_TYPE`; nothing where they are off."""
        if not self.enabled:
            return b""
        text: bytes = self._prometheus.generate_latest(self.registry)
        return text


_GAUGES = {
    "streams": "Real-time streams that are open",
    "bulk_streams": "Bulk streams that are open",
    "queued_chunks": "Streams that wait for a thread",
    "load": "Processors that the real-time streams need, by the estimate",
    "capacity": "Processors that real-time streams may need",
    "voices_loaded": "Voices in memory",
    "voices_bytes": "Bytes that the voices in memory take, by the estimate",
}


class _Watched:
    """A collector in prometheus-client's sense."""

    def __init__(self, prometheus: Any, source: Source) -> None:
        self._metrics: Any = prometheus.metrics_core
        self._source = source

    def describe(self) -> Iterable[Any]:
        """Nothing: what there is shows when it is collected."""
        return []

    def collect(self) -> Iterable[Any]:
        """Everything, as it is now."""
        gauge, counter = self._metrics.GaugeMetricFamily, self._metrics.CounterMetricFamily
        for name, value in self._source.gauges().items():
            yield gauge(f"polyvox_{name}", _GAUGES.get(name, name), value=value)
        usage = self._source.usage()
        columns: tuple[tuple[str, str, Callable[[Usage], float]], ...] = (
            ("network_calls", "Calls of networks", lambda u: u.calls),
            ("network_busy_seconds", "Seconds of running, over all slots", lambda u: u.busy),
            ("network_waited_seconds", "Seconds that calls waited for the device", lambda u: u.waited),
            ("network_cancelled", "Calls that were given up", lambda u: u.cancelled),
        )
        for name, text, value_of in columns:
            family = counter(f"polyvox_{name}", text, labels=["network"])
            for network, used in usage.items():
                family.add_metric([network], value_of(used))
            yield family
        waiting = gauge("polyvox_network_waiting", "Calls that wait for the device now", labels=["network"])
        sizes = counter("polyvox_network_runs", "Runs of networks by the calls in them", labels=["network", "calls"])
        for network, used in usage.items():
            waiting.add_metric([network], used.waiting)
            for size, runs in enumerate(used.sizes):
                if runs:
                    sizes.add_metric([network, str(size)], runs)
        yield waiting
        yield sizes
