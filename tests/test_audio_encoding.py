"""Streams of audio for the wire: nothing lost, nothing held back, the same bytes however the input is cut."""

import io
import math
import os
import subprocess
import sys
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
from hypothesis import example, given, settings
from hypothesis import strategies as st

from polyvox.audio import FORMATS, Encoder, Levels, Resampler, encoder, pcm16
from polyvox.errors import AudioError, MissingExtraError

COMPRESSED = [f for f in FORMATS if f not in ("wav", "pcm")]
RATE = 24000
PROCESSORS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
# What a decoder puts before the first sample.
DELAY = {"mp3": 1105, "aac": 1024}
FRAME = {"mp3": 576, "aac": 1024}


def speechlike(count, rate=RATE):
    """Tones under 4 kHz that start and end abruptly, as no lost sample would survive."""
    t = np.arange(count) / rate
    tones = sum(np.sin(2 * np.pi * f * t + f) / (1 + k) for k, f in enumerate((140.0, 433.0, 1210.0, 3301.0)))
    return (0.2 * tones * (1 + 0.5 * np.sin(2 * np.pi * 3 * t))).astype(np.float32)


def cut(samples, places):
    return np.split(samples, sorted(p % (len(samples) + 1) for p in places))


def encoded(format, pieces, rate=RATE, **options):
    with encoder(format, rate, **options) as stream:
        return b"".join(stream.encode(piece) for piece in pieces) + stream.finish()


def decoded(format, data):
    """Samples and their rate, by FFmpeg."""
    if format == "pcm":
        return np.frombuffer(data, "<i2") / 32767, RATE
    with av.open(io.BytesIO(data), format="aac" if format == "aac" else None) as file:  # a short one is not guessed
        parts = [frame.to_ndarray().reshape(-1) for frame in file.decode(audio=0)]
        rate = file.streams.audio[0].rate
    samples = np.concatenate(parts) if parts else np.zeros(0, np.float32)
    return (samples / 32767 if samples.dtype == np.int16 else samples), rate


@given(st.integers(0, 9000), st.lists(st.integers(0, 9000), max_size=6))
@example(1, [])
@example(9000, [1, 2, 3, 8999])
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("format", FORMATS)
def test_any_cutting_gives_the_same_audio(format, count, places):
    samples = speechlike(count)
    whole, pieces = encoded(format, [samples]), encoded(format, cut(samples, places))
    if format in ("opus", "webm"):  # the containers number each stream at random
        assert len(whole) == len(pieces)
        if count:
            np.testing.assert_array_equal(decoded(format, whole)[0], decoded(format, pieces)[0])
    else:
        assert whole == pieces


@given(st.integers(1, 30_000))
@example(1)
@settings(max_examples=15, deadline=None)
@pytest.mark.parametrize("format", FORMATS)
def test_no_sample_is_lost(format, count):
    if format == "webm":
        count += 480  # FFmpeg reads a WebM stream of less than a frame as a whole one
    samples = speechlike(count)
    back, rate = decoded(format, encoded(format, np.array_split(samples, 3)))
    if format in DELAY:
        total = len(back) - DELAY[format]
        assert count <= total < count + 2 * FRAME[format]
        assert len(back) % FRAME[format] == 0
    else:
        assert len(back) == count * rate / RATE


@pytest.mark.parametrize("rate", [22050, 24000, 44100])
@pytest.mark.parametrize("format", FORMATS)
def test_the_waveform_comes_back_in_its_place(format, rate):
    count = rate // 2
    samples = speechlike(count, rate)
    data = encoded(format, np.array_split(samples, 40), rate, bitrate=96_000 if format in (*DELAY, "opus") else None)
    back, got = decoded(format, data)
    got = rate if format == "pcm" else got
    back = back[DELAY.get(format, 0) :]
    expected = np.interp(np.arange(math.floor(count * got / rate)) / got, np.arange(count) / rate, samples)
    if got > rate:  # a straight line between samples is no waveform; FFmpeg's own resampling is
        expected = resampled(samples, rate, got, [])[: len(expected)]
    error = back[: len(expected)] - expected
    # To the very end: the last 10 ms as well as all. Opus makes up much of what is above 8 kHz, and smears the edges.
    for part in (slice(None), slice(-got // 100, None)):
        ratio = 10 * np.log10(np.mean(expected[part] ** 2) / np.mean(error[part] ** 2))
        assert ratio > (70 if format in ("wav", "pcm", "flac") else 8), (format, ratio)


# Audio that may be held back, in ms, at any time: what the formats' frames and look-ahead need.
HELD = {"wav": 0, "pcm": 0, "mp3": 101, "opus": 50, "aac": 130, "flac": 28, "webm": 70}


@pytest.mark.parametrize("format", FORMATS)
def test_what_was_sent_is_enough_to_hear_nearly_all(format):
    sent, held = b"", []
    with encoder(format, RATE) as stream:
        for k, piece in enumerate(np.split(speechlike(RATE // 2), 50)):
            sent += stream.encode(piece)
            back, rate = decoded(format, sent) if k > 15 else ((), RATE)  # FFmpeg guesses no format from little
            held.append(10 * (k + 1) - 1000 * (len(back) - DELAY.get(format, 0)) / rate)
    assert max(held[16:]) <= HELD[format]


@pytest.mark.parametrize("format", FORMATS)
def test_loud_audio_is_clipped(format):
    with np.errstate(all="raise"):
        data = encoded(format, [4 * speechlike(4000)], RATE)
    back, _ = decoded(format, data)
    assert 0.9 < np.abs(back).max() < 1.6
    if format in ("wav", "pcm", "flac"):
        np.testing.assert_array_equal(np.rint(back * 32767), np.frombuffer(pcm16(4 * speechlike(4000)), "<i2"))


def test_a_wav_stream_is_read_to_its_end_by_others():
    samples = speechlike(5000)
    data = encoded("wav", np.array_split(samples, 7))
    assert data[44:] == pcm16(samples)
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, RATE)
        assert file.readframes(file.getnframes()) == pcm16(samples)
    back, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    assert (back.tobytes(), rate) == (pcm16(samples), RATE)


@pytest.mark.parametrize("format", ["opus", "mp3"])
def test_libsndfile_reads_it_too(format):
    back, _ = soundfile.read(io.BytesIO(encoded(format, [speechlike(12_000)])))
    assert len(back) == len(decoded(format, encoded(format, [speechlike(12_000)]))[0]) * (
        0.5 if format == "opus" else 1
    )


@pytest.mark.parametrize(
    ("format", "rate", "wanted", "got"),
    [
        ("pcm", 22050, 24000, 24000),
        ("wav", 22050, None, 22050),
        ("wav", 7919, None, 7919),
        ("mp3", 22050, None, 22050),
        ("mp3", 96000, None, 48000),
        ("mp3", 10_000, None, 11025),
        ("aac", 96000, None, 96000),
        ("opus", 22050, None, 24000),
        ("webm", 22050, 48000, 48000),
        ("opus", 44100, None, 48000),
        ("opus", 16000, None, 16000),
        ("opus", 1000, None, 8000),
        ("flac", 22050, 24000, 24000),
    ],
)
def test_the_rate_is_the_nearest_that_keeps_everything(format, rate, wanted, got):
    count = rate // 4 + 1
    with encoder(format, rate, output_rate=wanted) as stream:
        assert (stream.sample_rate, stream.output_rate) == (rate, got)
        data = stream.encode(speechlike(count, rate)) + stream.finish()
    back, at = decoded(format, data)
    at = got if format == "pcm" else at
    expected = math.ceil(count * got / rate) * at / got
    assert expected <= len(back) - DELAY.get(format, 0) <= expected + (3000 if format in DELAY else 0)


def test_media_types():
    types = {f: encoder(f, 24000).media_type for f in FORMATS}
    assert types == {
        "wav": "audio/wav",
        "pcm": "audio/pcm;rate=24000",
        "mp3": "audio/mpeg",
        "opus": "audio/ogg; codecs=opus",
        "aac": "audio/aac",
        "flac": "audio/flac",
        "webm": "audio/webm; codecs=opus",
    }


def test_a_bitrate_is_kept():
    low, high = (len(encoded("mp3", [speechlike(RATE)], bitrate=b)) * 8 for b in (32_000, 96_000))
    assert low == pytest.approx(32_000, rel=0.1)
    assert high == pytest.approx(96_000, rel=0.1)


@pytest.mark.parametrize("format", FORMATS)
def test_a_stream_without_samples(format):
    data = encoded(format, [np.zeros(0, np.float32)])
    assert len(data) == len(encoded(format, []))
    if format in ("mp3", "aac", "pcm"):
        assert data == b""
    else:
        assert 40 < len(data) < 500
        if format in ("wav", "flac"):
            assert len(decoded(format, data)[0]) == 0


@pytest.mark.parametrize("format", FORMATS)
def test_after_its_end_a_stream_takes_nothing(format):
    stream: Encoder = encoder(format, 22050, output_rate=24000)
    stream.encode(speechlike(100))
    stream.finish()
    for call in (lambda: stream.encode(speechlike(1)), stream.finish):
        with pytest.raises(AudioError, match=f"{format}: the stream has ended"):
            call()
    stream.close()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((2, 3), np.float32), r"expected samples \[n\], found 2 axes"),
        (np.array([0, np.nan], np.float32), "expected finite samples, found infinity or not a number"),
        (np.array([0, -np.inf], np.float32), "expected finite samples"),
    ],
)
def test_what_is_no_audio_is_refused_and_the_stream_goes_on(format, samples, message):
    with encoder(format, RATE) as stream:
        with pytest.raises(AudioError, match=f"{format}: {message}"):
            stream.encode(samples)
        data = stream.encode(speechlike(1000)) + stream.finish()
    assert len(decoded(format, data)[0]) >= 1000


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("ogg", 22050), {}, "unknown audio format 'ogg'; known are wav, pcm, mp3, opus, aac, flac, webm"),
        (("wav", 0), {}, "sample_rate: expected 1000 to 384000 Hz, found 0"),
        (("mp3", 22050), {"output_rate": 10**9}, "output_rate: expected 1000 to 384000 Hz, found 1000000000"),
        (("mp3", 22050), {"bitrate": 1}, "mp3: bitrate: expected 16000 to 160000 bits a second, found 1"),
        (("flac", 22050), {"bitrate": 64000}, "flac: has no bitrate, found 64000"),
        (("pcm", 22050), {"bitrate": 64000}, "pcm: has no bitrate, found 64000"),
    ],
)
def test_a_wrong_wish_is_one_sentence(arguments, options, message):
    with pytest.raises(AudioError) as caught:
        encoder(*arguments, **options)
    assert str(caught.value) == message


def test_without_pyav_wav_and_pcm_work_and_the_rest_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    for format in ("wav", "pcm"):
        assert encoded(format, [speechlike(100)]).endswith(pcm16(speechlike(100)))
    for format in COMPRESSED:
        with pytest.raises(MissingExtraError, match=rf"encoding {format} needs .*'av'.*pip install 'polyvox\[serve\]'"):
            encoder(format, RATE)
    with pytest.raises(MissingExtraError, match=r"resampling from 22050 to 24000 Hz needs .*polyvox\[serve\]"):
        encoder("pcm", 22050, output_rate=24000)


def test_pyav_is_imported_when_it_is_needed():
    code = "import sys, polyvox.audio as a; a.encoder('wav', 8000).finish(); sys.exit('av' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="Linux lists a process's threads")
@pytest.mark.parametrize("format", COMPRESSED)
def test_a_stream_has_no_threads_and_leaves_the_processors_alone(format):
    tasks = Path("/proc/self/task")
    before = len(list(tasks.iterdir()))
    streams = [encoder(format, 22050, output_rate=24000) for _ in range(4)]
    for stream in streams:
        stream.encode(speechlike(3000))
    assert len(list(tasks.iterdir())) == before
    assert os.sched_getaffinity(0) == PROCESSORS


def resampled(samples, source, target, places):
    stream = Resampler(source, target)
    parts = [stream.process(piece) for piece in cut(samples, places)]
    return np.concatenate([*parts, stream.finish()])


RATES = [(22050, 24000), (22050, 48000), (16000, 24000), (48000, 24000), (44100, 8000), (7919, 24000)]


@given(st.integers(0, 3000), st.lists(st.integers(0, 3000), max_size=6), st.sampled_from(RATES))
@example(1, [], (48000, 24000))
@example(10, [3], (22050, 24000))
@settings(max_examples=60, deadline=None)
def test_resampling_is_exact_in_length_and_blind_to_cutting(count, places, rates):
    samples = np.random.default_rng(count).normal(0, 0.1, count).astype(np.float32)
    whole = resampled(samples, *rates, [])
    assert len(whole) == math.ceil(count * rates[1] / rates[0])
    np.testing.assert_array_equal(resampled(samples, *rates, places), whole)


@pytest.mark.parametrize(("source", "target"), RATES)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.7, 0.9])
def test_resampling_keeps_a_tone_and_its_place(source, target, share):
    frequency = share * min(source, target) / 2
    samples = np.sin(2 * np.pi * frequency * np.arange(source) / source).astype(np.float32)
    back = resampled(samples, source, target, [source // 3])
    expected = np.sin(2 * np.pi * frequency * np.arange(target) / target)
    inner = slice(target // 10, -target // 10)
    assert np.abs(back - expected)[inner].max() < 1e-4


@pytest.mark.parametrize(("source", "target"), [(48000, 24000), (44100, 24000)])
def test_resampling_folds_nothing_down(source, target):
    samples = np.sin(2 * np.pi * 13_000 * np.arange(source) / source).astype(np.float32)
    back = resampled(samples, source, target, [])
    assert np.abs(back[target // 10 : -target // 10]).max() < 1e-4


@pytest.mark.parametrize(("source", "target"), RATES)
def test_resampling_loses_nothing_at_the_edges(source, target):
    for place in (0, 5):
        click = np.zeros(6, np.float32)
        click[place] = 1
        back = resampled(click, source, target, [])
        where = place * target / source
        assert abs(np.argmax(np.abs(back)) - where) <= 1
        assert back.max() > 0.4 * min(1, target / source)


def test_resampling_holds_little_back():
    stream = Resampler(22050, 24000)
    out = sum(len(stream.process(piece)) for piece in np.array_split(speechlike(22050), 50))
    assert out / 24000 > 1 - 0.006
    stream.finish()
    with pytest.raises(AudioError, match="samples came after its end"):
        stream.process(speechlike(1))


def test_levels():
    levels = Levels()
    assert levels.peak == levels.rms == -math.inf
    sine = np.sin(2 * np.pi * np.arange(1000) / 100).astype(np.float32)
    for piece in np.array_split(sine, 7):
        levels.add(piece)
    levels.add(sine[:0])
    assert levels.peak == pytest.approx(0, abs=1e-6)
    assert levels.rms == pytest.approx(-3.0103, abs=1e-3)
    assert (levels.samples, levels.clipped) == (1000, 0)
    levels.add(np.array([2, -1.5, 1], np.float32))
    assert levels.clipped == 2
    assert levels.peak == pytest.approx(6.0206, abs=1e-3)
