"""Encoders: how much audio goes in before any comes out, what is held back, and the processor time.

    python benchmarks/encoders.py

Speech of the voice goes in by 5 ms (by 20 ms where processor time is counted). "Held back" is the audio that went in
and that a decoder of the bytes so far does not give yet; a decoder that takes a stream as it comes may hold back more.
The second table is how the resampler was chosen: tones between two rates, beside soxr's streams (where soxr is
installed) and libswresample as it is.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from statistics import median
from typing import Any

import av
import numpy as np

import polyvox
from common import arguments, row, table, text_of
from polyvox.audio import FORMATS, Resampler, encoder

STEP = 0.005
# Samples that a decoder of these gives before the first one of ours.
DELAY = {"mp3": 1105, "aac": 1024}
Process = Callable[[Any], Any]


def decoded_seconds(format: str, data: bytes, rate: int) -> float:
    """Audio in the bytes so far."""
    if format == "pcm":
        return len(data) / 2 / rate
    if format == "wav":
        return max(0, len(data) - 44) / 2 / rate
    count = 0
    with suppress(av.FFmpegError), av.open(io.BytesIO(data), format="aac" if format == "aac" else None) as file:
        rate = file.streams.audio[0].rate
        for frame in file.decode(audio=0):
            count += frame.samples
    return max(0, count - DELAY.get(format, 0)) / rate


def one_format(format: str, samples: Any, rate: int, output_rate: int | None, repeat: int) -> None:
    """A row of the first table."""

    def cut(step: float) -> list[Any]:
        size = round(rate * step)
        return [samples[k : k + size] for k in range(0, len(samples), size)]

    pieces, seconds, begin = cut(0.02), [], []
    for _ in range(repeat):
        began = time.thread_time()
        stream = encoder(format, rate, output_rate=output_rate)
        stream.encode(pieces[0])
        begun = time.thread_time()
        size = len(b"".join(stream.encode(piece) for piece in pieces[1:]) + stream.finish())
        seconds.append((time.thread_time() - begun) / (len(samples) / rate))
        begin.append(begun - began)
    sent, first_bytes, first_audio, held = b"", 0.0, 0.0, []
    with encoder(format, rate, output_rate=output_rate) as stream:
        for k, piece in enumerate(cut(STEP)[: round(1 / STEP)]):
            sent += stream.encode(piece)
            given = (k + 1) * STEP
            first_bytes = first_bytes or (given if sent else 0)
            heard = decoded_seconds(format, sent, stream.output_rate)
            first_audio = first_audio or (given if heard else 0)
            held.append(given - heard)
        rates = f"{rate} to {stream.output_rate}"
    row(
        format,
        rates,
        *(round(1000 * t) for t in (first_bytes, first_audio, max(held))),
        round(size * 8 / (len(samples) / rate) / 1000, 1),
        *(round(1000 * median(t), 2) for t in (begin, seconds)),
    )


def bare_swresample(source: int, target: int) -> Process:
    """libswresample with its own settings."""
    stream = av.AudioResampler(format="flt", layout="mono", rate=target)

    def process(samples: Any) -> Any:
        frame = av.AudioFrame.from_ndarray(samples[None], format="flt", layout="mono")
        frame.sample_rate, frame.time_base = source, Fraction(1, source)
        parts = [f.to_ndarray()[0] for f in stream.resample(frame)]
        return np.concatenate(parts) if parts else samples[:0]

    return process


def resamplers() -> dict[str, Callable[[int, int], Process]]:
    """What is compared: a name, and what makes a stream."""
    made: dict[str, Callable[[int, int], Process]] = {
        "polyvox (libswresample, 128 taps)": lambda a, b: Resampler(a, b).process,
        "libswresample as it is": bare_swresample,
    }
    with suppress(ImportError):
        import soxr

        made["soxr HQ"] = lambda a, b: soxr.ResampleStream(a, b, 1).resample_chunk
        made["soxr VHQ"] = lambda a, b: soxr.ResampleStream(a, b, 1, quality="VHQ").resample_chunk
        made["soxr HQ, variable rate"] = lambda a, b: soxr.ResampleStream(a, b, 1, vr=True).resample_chunk
    return made


def stepped(process: Process, samples: Any, rate: int, step: float) -> tuple[Any, list[int]]:
    """What comes out, and how much had by each step."""
    size = round(rate * step)
    parts = [process(samples[k : k + size]) for k in range(0, len(samples), size)]
    return np.concatenate(parts), np.cumsum([len(p) for p in parts]).tolist()


def tone(make: Callable[[int, int], Process], source: int, target: int, share: float) -> tuple[float, float]:
    """Gain of a tone at a share of the lower Nyquist frequency and all that is not the tone, in dB."""
    frequency = share * min(source, target) / 2
    samples = (0.5 * np.sin(2 * np.pi * frequency * np.arange(2 * source) / source)).astype(np.float32)
    inner = stepped(make(source, target), samples, source, 0.02)[0][target // 2 : target * 3 // 2].astype(np.float64)
    t = np.arange(len(inner)) / target
    basis = np.stack([np.sin(2 * np.pi * frequency * t), np.cos(2 * np.pi * frequency * t)], 1)
    found, *_ = np.linalg.lstsq(basis, inner, rcond=None)
    rest = np.sqrt(np.mean((inner - basis @ found) ** 2) * 2)
    return 20 * np.log10(np.hypot(*found) / 0.5), 20 * np.log10(rest / 0.5)


def one_resampler(name: str, make: Callable[[int, int], Process], source: int, target: int, repeat: int) -> None:
    """A row of the second table."""
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * source).astype(np.float32)
    given = stepped(make(source, target), noise, source, 0.001)[1]
    size = round(source * 0.001)
    held = max((k + 1) * size / source - out / target for k, out in enumerate(given[:-1]))
    times = []
    for _ in range(repeat):
        process, began = make(source, target), time.thread_time()
        stepped(process, noise, source, 0.02)
        times.append((time.thread_time() - began) / 2)
    tones = [tone(make, source, target, share) for share in (0.01, 0.1, 0.5, 0.8, 0.9)]
    row(
        name,
        f"{source} to {target}",
        round(1000 * held, 1),
        f"{min((t[0] for t in tones), key=lambda gain: -abs(gain)):+.3f}",
        round(max(t[1] for t in tones)),
        round(1000 * median(times), 2),
    )


def main() -> None:
    """Print the tables."""
    args = arguments(__doc__)
    voice = polyvox.load(args.voice, vocoder=args.vocoder, target=args.target)
    samples = np.concatenate([chunk.samples for chunk in voice.stream(text_of(6))])
    with table(
        "format",
        "Hz",
        "ms in before the first bytes",
        "before the first audio",
        "ms held back at most",
        "kbit/s",
        "CPU ms to begin",
        "CPU ms per s of audio",
    ):
        for format in FORMATS:
            one_format(format, samples, voice.sample_rate, None, args.repeat)
        one_format("pcm", samples, voice.sample_rate, 24_000, args.repeat)
    print()
    with table("resampler", "Hz", "ms held back", "gain to 0.9, worst dB", "all else, dB", "CPU ms per s"):
        for source, target in ((22_050, 24_000), (22_050, 48_000), (44_100, 24_000)):
            for name, make in resamplers().items():
                one_resampler(name, make, source, target, args.repeat)


if __name__ == "__main__":
    main()
