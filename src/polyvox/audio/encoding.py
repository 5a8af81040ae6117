"""Streams of audio for the wire: chunks of samples in, bytes of one format out.

What a decoder gets back, for n samples at the output rate:

| format | samples | where the first one is |
| --- | --- | --- |
| wav, pcm, flac | n, 16 bits | at the start |
| opus, webm | the same duration at 48 kHz, to the sample | at the start (the container says what to cut) |
| mp3 | a whole number of frames, 1105 + n or more | 1105 late: the encoder's 576 and the decoder's 529 |
| aac | a whole number of frames, 1024 + n or more | 1024 late |

MP3 and ADTS have no place for those delays in a stream. None loses a sample. A FLAC stream does not say how long it is:
FFmpeg and Chromium read it, the package soundfile 0.14 does not.
"""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from polyvox.audio.pcm import pcm16
from polyvox.audio.resampling import Resampler, check_rate
from polyvox.errors import AudioError

Samples = NDArray[np.float32]

FORMATS = ("wav", "pcm", "mp3", "opus", "aac", "flac", "webm")


class Encoder(ABC):
    """One stream of mono audio, encoded as it comes. Not for two threads at once.

    As a context manager it frees what it holds; the bytes of a stream that is not finished are dropped.
    """

    format: str
    media_type: str

    def __init__(self, sample_rate: int, output_rate: int) -> None:
        self.sample_rate, self.output_rate = sample_rate, output_rate
        self._resampler = None if sample_rate == output_rate else Resampler(sample_rate, output_rate)
        self._closed = False

    def encode(self, samples: Samples) -> bytes:
        """Take samples [n] at `sample_rate`; give the bytes that can be sent now, maybe none.

        What lies beyond full scale is clipped.

        Raises:
            AudioError: the samples are not one channel of numbers, or came after the end.
        """
        self._check_open()
        samples = np.asarray(samples, np.float32)
        if samples.ndim != 1:
            raise AudioError(f"{self.format}: expected samples [n], found {samples.ndim} axes")
        if not np.isfinite(samples).all():
            raise AudioError(f"{self.format}: expected finite samples, found infinity or not a number")
        return self._encode(samples if self._resampler is None else self._resampler.process(samples))

    def finish(self) -> bytes:
        """The last bytes; the encoder is closed then. A stream without a sample is its headers: MP3 and AAC have none.

        Raises:
            AudioError: the stream had ended.
        """
        self._check_open()
        try:
            rest = b"" if self._resampler is None else self._encode(self._resampler.finish())
            return rest + self._finish()
        finally:
            self.close()

    def close(self) -> None:
        """Free what the encoder holds; again does nothing."""
        self._closed = True
        self._resampler = None

    def _check_open(self) -> None:
        if self._closed:
            raise AudioError(f"{self.format}: the stream has ended")

    @abstractmethod
    def _encode(self, samples: Samples) -> bytes:
        """Encode samples [n] at the output rate."""

    @abstractmethod
    def _finish(self) -> bytes:
        """End the stream."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PcmEncoder(Encoder):
    """Signed 16-bit little-endian samples without a header."""

    format = "pcm"

    @property
    def media_type(self) -> str:  # type: ignore[override]
        """With the rate, which nothing else tells."""
        return f"audio/pcm;rate={self.output_rate}"

    def _encode(self, samples: Samples) -> bytes:
        return pcm16(samples)

    def _finish(self) -> bytes:
        return b""


class WavEncoder(Encoder):
    """WAV whose sizes say "unknown": 0xFFFFFFFF in both places, as ffmpeg writes to a pipe and OpenAI to its clients.

    FFmpeg, libsndfile, Python's wave, scipy and Chromium read such a stream to its end. With zeros it is empty to
    libsndfile and no WAV at all to Python's wave.
    """

    format = "wav"
    media_type = "audio/wav"

    _UNKNOWN = 0xFFFFFFFF

    def __init__(self, sample_rate: int, output_rate: int) -> None:
        super().__init__(sample_rate, output_rate)
        form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, output_rate, 2 * output_rate, 2, 16)
        riff = struct.pack("<4sI4s", b"RIFF", self._UNKNOWN, b"WAVE")
        self._header = riff + form + struct.pack("<4sI", b"data", self._UNKNOWN)

    def _encode(self, samples: Samples) -> bytes:
        header, self._header = self._header, b""
        return header + pcm16(samples)

    def _finish(self) -> bytes:
        return self._header


def encoder(
    format: str,
    sample_rate: int,
    *,
    output_rate: int | None = None,
    bitrate: int | None = None,
) -> Encoder:
    """Begin a stream of audio in one of `FORMATS`.

    Args:
        format: what to make; `opus` is Opus in Ogg, `aac` is ADTS, `webm` is Opus in WebM.
        sample_rate: of the samples that will come, in Hz.
        output_rate: of the audio in the stream, in Hz; as it comes if None. A codec that cannot do the rate gets the
            next higher one that it can, or its highest; the encoder's `output_rate` says which it is.
        bitrate: of a lossy codec, in bits a second, or the nearest that it can; its default suits speech.

    Raises:
        AudioError: the format is unknown, or a rate is out of range.
        MissingExtraError: the format, or the change of rate, needs PyAV, which is not installed.
    """
    if format not in FORMATS:
        raise AudioError(f"unknown audio format '{format}'; known are {', '.join(FORMATS)}")
    check_rate(sample_rate, "sample_rate")
    rate = sample_rate if output_rate is None else output_rate
    check_rate(rate, "output_rate")
    if format in ("wav", "pcm"):
        if bitrate is not None:
            raise AudioError(f"{format}: has no bitrate, found {bitrate}")
        return (WavEncoder if format == "wav" else PcmEncoder)(sample_rate, rate)
    from polyvox.audio.codecs import CODECS, CodecEncoder

    return CodecEncoder(CODECS[format], sample_rate, rate, bitrate)
