"""Audio to bytes and files: exact, and whole or not at all."""

import contextlib
import io
import os
import resource
import stat
import wave

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvox.audio import files as audio_files
from polyvox.audio import open_writer, pcm16, save_audio, wav_bytes
from polyvox.errors import AudioError, MissingExtraError

RAMP = np.linspace(-1, 1, 4001, dtype=np.float32)


def read(path_or_bytes):
    source = io.BytesIO(path_or_bytes) if isinstance(path_or_bytes, bytes) else str(path_or_bytes)
    with wave.open(source) as file:
        assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
        return file.getframerate(), np.frombuffer(file.readframes(file.getnframes()), "<i2")


def test_pcm_is_exact():
    samples = np.array([0, 1, -1, 0.5, 1 / 32767, -1 / 32767, 1.5, -7], np.float32)
    assert np.frombuffer(pcm16(samples), "<i2").tolist() == [0, 32767, -32767, 16384, 1, -1, 32767, -32767]
    assert pcm16(np.zeros(0, np.float32)) == b""


@given(st.lists(st.floats(-2, 2, width=32), max_size=50))
def test_pcm_is_within_half_a_step(values):
    samples = np.array(values, np.float32)
    back = np.frombuffer(pcm16(samples), "<i2") / 32767
    assert np.all(np.abs(back - np.clip(samples, -1, 1)) <= 0.5001 / 32767)


def test_a_wav_file_reads_back(tmp_path):
    path = tmp_path / "a.wav"
    save_audio(path, RAMP, 22050)
    rate, samples = read(path)
    assert rate == 22050
    assert samples.tobytes() == pcm16(RAMP)
    assert path.read_bytes() == wav_bytes(RAMP, 22050)


@pytest.mark.parametrize("name", ["a.wav", "a.WAV", "a.pcm", "a.raw"])
def test_chunks_make_the_same_file_as_the_whole(tmp_path, name):
    whole, chunked = tmp_path / f"whole{name}", tmp_path / name
    save_audio(str(whole), RAMP, 8000)
    with open_writer(chunked, 8000) as writer:
        for part in np.array_split(RAMP, 7):
            writer.write(part)
            writer.write(part[:0])
            assert not chunked.exists()
    assert chunked.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([name, whole.name])
    if not name.lower().endswith("wav"):
        assert chunked.read_bytes() == pcm16(RAMP)


@pytest.mark.parametrize("name", ["a.wav", "a.pcm"])
def test_an_empty_file_is_a_file(tmp_path, name):
    with open_writer(tmp_path / name, 8000):
        pass
    assert (tmp_path / name).stat().st_size == (44 if name == "a.wav" else 0)


@pytest.mark.parametrize(("name", "tolerance"), [("a.flac", 1e-4), ("a.ogg", 0.3), ("a.mp3", 0.5)])
def test_other_formats_read_back(tmp_path, name, tolerance):
    soundfile = pytest.importorskip("soundfile")
    tone = np.sin(np.arange(8000) * 0.2).astype(np.float32) * 0.5
    with open_writer(tmp_path / name, 8000) as writer:
        for part in np.array_split(tone, 5):
            writer.write(part)
    samples, rate = soundfile.read(tmp_path / name)
    assert rate == 8000
    assert len(samples) == len(tone) or name == "a.mp3"
    assert np.abs(samples[1000:6000] - tone[1000:6000]).max() < tolerance or name == "a.mp3"
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.wav", "a.pcm", "a.flac"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, GeneratorExit])
def test_an_error_in_the_body_leaves_nothing(tmp_path, name, error):
    def half():
        with open_writer(tmp_path / name, 8000) as writer:
            writer.write(RAMP)
            raise error

    with pytest.raises(error):
        half()
    assert list(tmp_path.iterdir()) == []


def test_an_error_in_the_body_keeps_the_older_file(tmp_path):
    path = tmp_path / "a.wav"
    save_audio(path, RAMP, 8000)
    before = path.read_bytes()

    def half():
        with open_writer(path, 8000) as writer:
            writer.write(RAMP[:100])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half()
    assert path.read_bytes() == before
    save_audio(path, RAMP[:100], 8000)
    assert len(read(path)[1]) == 100


@contextlib.contextmanager
def full_disk():
    """Files may not grow beyond a kilobyte: what a full disk is to the writer.

    Only in the body, for the test runner writes its own output to files.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", ["a.wav", "a.pcm", "a.flac"])
@pytest.mark.parametrize("count", [700, 200_000])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, name, count):
    noise = np.random.default_rng(0).uniform(-1, 1, count).astype(np.float32)
    with full_disk(), pytest.raises(AudioError, match=f"{name}: cannot be written: ") as caught:
        save_audio(tmp_path / name, noise, 8000)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_refuses_is_one_sentence(tmp_path):
    with pytest.raises(AudioError, match=r"ghost/a.wav: cannot be written: No such file or directory"):
        save_audio(tmp_path / "ghost" / "a.wav", RAMP, 8000)
    (tmp_path / "b.wav").mkdir()
    with pytest.raises(AudioError, match=r"b.wav: is a folder, expected a file"):
        save_audio(tmp_path / "b.wav", RAMP, 8000)
    with pytest.raises(AudioError, match="cannot be written"):
        save_audio("/proc/a.wav", RAMP, 8000)


@pytest.mark.parametrize("name", ["a", "a.txt", "a.wave", ".wav", "a.wav "])
def test_an_unknown_ending_lists_the_known_ones(tmp_path, name):
    with pytest.raises(AudioError, match=r"unknown audio format '.*'; known are .wav, .pcm, .raw, .flac"):
        open_writer(tmp_path / name, 8000)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_says_what_to_install(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "soundfile", None)
    with pytest.raises(MissingExtraError, match=r"writing .flac files needs .*pip install 'polyvox\[files\]'"):
        open_writer(tmp_path / "a.flac", 8000)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_file_has_the_permissions_of_any_new_file(tmp_path):
    before = os.umask(0o027)
    try:
        save_audio(tmp_path / "a.wav", RAMP, 8000)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.wav").stat().st_mode) == 0o640


def test_every_ending_is_either_built_in_or_described():
    assert set(audio_files.SUFFIXES) == {".wav", ".pcm", ".raw", ".flac", ".ogg", ".mp3"}
