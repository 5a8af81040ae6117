"""Streams of samples from one rate to another."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from polyvox.errors import AudioError, MissingExtraError

if TYPE_CHECKING:
    from av.filter import Graph

Samples = NDArray[np.float32]

EXTRA = "serve"
RATES = (1_000, 384_000)

# libswresample's filter, chosen by measurement (benchmarks/encoders.py prints it): it passes 0.9 of the lower Nyquist
# frequency unchanged, keeps everything else 100 dB below, and holds 64 samples back. The library's default of 32 taps
# leaves images of what lies above 0.9 only 27 dB down; soxr's fixed-rate stream holds 40 ms back.
_TAPS = 128
_FILTER = {
    "filter_size": str(_TAPS),
    "filter_type": "kaiser",
    "kaiser_beta": "10",
    "cutoff": "0.97",
    "exact_rational": "1",
}


def check_rate(rate: int, what: str) -> None:
    """Raise AudioError if no stream of audio has this rate; `what` names it in the sentence."""
    if not RATES[0] <= rate <= RATES[1]:
        raise AudioError(f"{what}: expected {RATES[0]} to {RATES[1]} Hz, found {rate}")


class Resampler:
    """A stream of samples at another rate, by libswresample through PyAV.

    Output sample k is the signal at k / output_rate seconds, with silence assumed before the first and after the last
    input. n samples in make ceil(n x output_rate / input_rate) out, and the same ones however the input is cut.

    A low-pass filter rings: the output may exceed the input's peak.
    """

    def __init__(self, input_rate: int, output_rate: int) -> None:
        """Make a stream.

        Raises:
            AudioError: a rate is out of range.
            MissingExtraError: PyAV is not installed.
        """
        check_rate(input_rate, "the rate to resample from")
        check_rate(output_rate, "the rate to resample to")
        self.input_rate, self.output_rate = input_rate, output_rate
        self._graph = _graph(input_rate, output_rate)
        self._taken = self._given = 0
        # libswresample mirrors the signal at its edges and drops a stream shorter than its filter. So it never meets
        # an edge: silence goes in before and after, and exactly what the silence became is cut off again.
        #
        #     in   | silence | samples ............ | silence |
        #     out  |  skip   | ceil(n x out / in)   |  rest   |
        period = input_rate // math.gcd(input_rate, output_rate)
        reach = math.ceil(_TAPS * max(1.0, input_rate / output_rate))
        self._silence = np.zeros(period * math.ceil(reach / period), np.float32)
        self._skip = len(self._silence) * output_rate // input_rate
        self._begun = self._finished = False

    def process(self, samples: Samples) -> Samples:
        """Samples [n] in; those out that are final now, maybe none."""
        if self._finished:
            raise AudioError("the resampler: samples came after its end")
        if not len(samples):
            return samples[:0]
        self._taken += len(samples)
        parts = [] if self._begun else self._push(self._silence)
        self._begun = True
        return self._keep([*parts, *self._push(samples)])

    def finish(self) -> Samples:
        """The rest; nothing may be processed after it."""
        self._finished = True
        if not self._taken:
            return np.zeros(0, np.float32)
        rest = self._keep(self._push(self._silence))
        left = math.ceil(self._taken * self.output_rate / self.input_rate) - self._given
        if left > 0:
            rest = np.concatenate([rest, self._keep(self._push(None))])
        return rest

    def _push(self, samples: Samples | None) -> list[Samples]:
        import av

        if samples is None:
            self._graph.push(None)
        else:
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples)[None], format="flt", layout="mono")
            frame.sample_rate = self.input_rate
            self._graph.push(frame)
        parts: list[Samples] = []
        while True:
            try:
                frame = self._graph.pull()  # type: ignore[assignment]
            except (av.error.BlockingIOError, av.error.EOFError):
                return parts
            parts.append(frame.to_ndarray()[0])

    def _keep(self, parts: list[Samples]) -> Samples:
        """What of the filter's output belongs to the samples taken."""
        joined = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        skipped = min(self._skip, len(joined))
        self._skip -= skipped
        total = -(-self._taken * self.output_rate // self.input_rate)
        kept = joined[skipped : skipped + total - self._given]
        self._given += len(kept)
        return kept


def _graph(input_rate: int, output_rate: int) -> Graph:
    """A filter graph from one rate to the other, float samples of one channel."""
    try:
        import av.filter
    except ImportError:
        raise MissingExtraError("av", EXTRA, f"resampling from {input_rate} to {output_rate} Hz") from None
    graph = av.filter.Graph()
    graph.threads = 1  # by default each graph starts as many as there are processors
    source = graph.add(
        "abuffer", sample_rate=str(input_rate), sample_fmt="flt", channel_layout="mono", time_base=f"1/{input_rate}"
    )
    resample = graph.add("aresample", sample_rate=str(output_rate), **_FILTER)
    form = graph.add("aformat", sample_fmts="flt", channel_layouts="mono", sample_rates=str(output_rate))
    sink = graph.add("abuffersink")
    graph.link_nodes(source, resample, form, sink).configure()
    return graph
