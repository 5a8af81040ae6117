"""Compressed streams, by the encoders and containers of FFmpeg through PyAV."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from polyvox.audio.encoding import Encoder, Samples
from polyvox.audio.pcm import pcm16
from polyvox.audio.resampling import EXTRA
from polyvox.errors import AudioError, MissingExtraError

if TYPE_CHECKING:
    import av
    from av.packet import Packet


@dataclass(frozen=True, slots=True)
class Codec:
    """How one format is made. The options are those of `ffmpeg -h encoder=...` and `ffmpeg -h muxer=...`."""

    format: str
    media_type: str
    container: str
    codec: str
    sample_format: str
    rates: tuple[int, ...]
    bitrate: int | None = None
    bitrates: tuple[int, int] = (0, 0)
    options: Mapping[str, str] = field(default_factory=dict)
    container_options: Mapping[str, str] = field(default_factory=dict)

    def rate_for(self, rate: int) -> int:
        """The lowest rate of the codec that keeps all of `rate`, or its highest."""
        return min((r for r in self.rates if r >= rate), default=max(self.rates))

    def bitrate_for(self, bitrate: int | None) -> int | None:
        """The asked or the usual bitrate; AudioError if out of range."""
        if bitrate is None:
            return self.bitrate
        low, high = self.bitrates
        if self.bitrate is None:
            raise AudioError(f"{self.format}: has no bitrate, found {bitrate}")
        if not low <= bitrate <= high:
            raise AudioError(f"{self.format}: bitrate: expected {low} to {high} bits a second, found {bitrate}")
        return bitrate


_MPEG_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
_OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
_OPUS: dict[str, Any] = {
    "codec": "libopus",
    "sample_format": "flt",
    "rates": _OPUS_RATES,
    "bitrate": 40_000,
    "bitrates": (6_000, 256_000),
}

# What they are set to is low latency: no packet waits for company.
CODECS = {
    codec.format: codec
    for codec in (
        Codec(
            "mp3",
            "audio/mpeg",
            "mp3",
            "libmp3lame",
            "fltp",
            _MPEG_RATES,
            64_000,
            (16_000, 160_000),
            # Without the bit reservoir a frame's data lies in the frame, and comes out 26 ms earlier.
            options={"reservoir": "0"},
            # No ID3 header. A Xing header, which tells a file's length, is not written where nothing can seek.
            container_options={"id3v2_version": "0"},
        ),
        # One packet a page.
        Codec("opus", "audio/ogg; codecs=opus", "ogg", **_OPUS, container_options={"page_duration": "20000"}),
        Codec(
            "webm",
            "audio/webm; codecs=opus",
            "webm",
            **_OPUS,
            container_options={"live": "1", "cluster_time_limit": "20"},
        ),
        Codec("aac", "audio/aac", "adts", "aac", "fltp", (*_MPEG_RATES, 96000), 64_000, (16_000, 160_000)),
        # Level 2 is the highest whose blocks last 26 ms instead of 105.
        Codec(
            "flac",
            "audio/flac",
            "flac",
            "flac",
            "s16",
            (*_MPEG_RATES, 88200, 96000, 192000),
            options={"compression_level": "2"},
            container_options={"metadata_header_padding": "0"},  # else 8 KiB of it come first
        ),
    )
}


class _Bytes:
    """The file that a container is written to. It cannot seek, and gives away what it has."""

    def __init__(self) -> None:
        self._written = bytearray()

    def write(self, data: bytes) -> int:
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


class CodecEncoder(Encoder):
    """One compressed stream."""

    def __init__(self, codec: Codec, sample_rate: int, output_rate: int, bitrate: int | None) -> None:
        """Begin; errors as `polyvox.audio.encoder`."""
        bits = codec.bitrate_for(bitrate)
        try:
            import av
        except ImportError:
            raise MissingExtraError("av", EXTRA, f"encoding {codec.format}") from None
        super().__init__(sample_rate, codec.rate_for(output_rate))
        self.format, self.media_type = codec.format, codec.media_type
        self._codec = codec
        self._bytes = _Bytes()
        self._taken = 0
        self._container: av.container.OutputContainer | None = None
        with self._failures():
            options = {"flush_packets": "1", **codec.container_options}
            self._container = av.open(self._bytes, "w", format=codec.container, container_options=options)
            self._stream = self._container.add_stream(codec.codec, rate=self.output_rate, options=dict(codec.options))
            context = self._context = cast("av.AudioCodecContext", self._stream.codec_context)
            context.layout, context.format, context.thread_count = "mono", codec.sample_format, 1
            context.time_base = Fraction(1, self.output_rate)
            if bits is not None:
                context.bit_rate = bits
            self._container.start_encoding()

    def _encode(self, samples: Samples) -> bytes:
        import av

        if len(samples):
            if self._codec.sample_format == "s16":
                data = np.frombuffer(pcm16(samples), "<i2")
            else:
                data = np.clip(samples, -1.0, 1.0)
            with self._failures():
                frame = av.AudioFrame.from_ndarray(data[None], format=self._codec.sample_format, layout="mono")
                frame.sample_rate, frame.time_base = self.output_rate, Fraction(1, self.output_rate)
                frame.pts = self._taken
                with contextlib.nullcontext() if self._taken else _one_processor():
                    packets = self._context.encode(frame)
                self._taken += len(samples)
                self._mux(packets)
        return self._bytes.take()

    def _finish(self) -> bytes:
        with self._failures():
            if self._taken:
                self._mux(self._context.encode(None))
            assert self._container is not None
            self._container.close()
        return self._bytes.take()

    def _mux(self, packets: list[Packet[Any]]) -> None:
        assert self._container is not None
        for packet in packets:
            packet.stream = self._stream
            self._container.mux(packet)

    def close(self) -> None:
        """Free the codec and the container."""
        super().close()
        container, self._container = self._container, None
        if container is not None:
            import av

            with contextlib.suppress(av.FFmpegError):
                container.close()

    @contextlib.contextmanager
    def _failures(self) -> Iterator[None]:
        import av

        try:
            yield
        except (av.FFmpegError, ValueError) as error:
            self.close()
            why = getattr(error, "strerror", None) or error
            raise AudioError(f"{self._codec.format}: cannot be encoded: {why}") from None


@contextlib.contextmanager
def _one_processor() -> Iterator[None]:
    """Let this thread see one processor only.

    PyAV cuts samples into a codec's frames with a filter graph of its own, made at the first call, and FFmpeg gives
    every graph as many threads as there are processors, up to 16. They would sleep there, by the hundred in a service.
    PyAV has no setting for that graph (its issue 1468).
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(mine)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)
