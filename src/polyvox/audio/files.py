"""Audio files, written as the audio comes, and whole or not at all."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import wave
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
from numpy.typing import NDArray

from polyvox.audio.pcm import pcm16
from polyvox.errors import AudioError, MissingExtraError

Samples = NDArray[np.float32]

_WITH_SOUNDFILE = {
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".mp3": ("MP3", None),
}
SUFFIXES = (".wav", ".pcm", ".raw", *_WITH_SOUNDFILE)


class AudioWriter(ABC):
    """Writes chunks of one audio file. As a context manager it keeps the file only if the body succeeds.

    The file is written beside its final place and moved there when it is complete, so nobody meets half a file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        except OSError as error:
            raise AudioError(f"{path}: cannot be written: {error.strerror or error}") from None
        self._temporary = Path(name)
        # Temporary files are private; a finished one has the permissions that any new file has.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(handle, 0o666 & ~mask)  # noqa: PTH101 - the handle, not a path
        self._file: IO[bytes] = os.fdopen(handle, "w+b")

    @abstractmethod
    def write(self, samples: Samples) -> None:
        """Append samples [n]; AudioError if the disk refuses."""

    @abstractmethod
    def _finish(self) -> None:
        """Complete the file's content."""

    def close(self) -> None:
        """Complete the file and move it to its place."""
        try:
            self._finish()
            self._file.close()
            self._temporary.replace(self.path)
        except OSError as error:
            self.discard()
            raise AudioError(f"{self.path}: cannot be written: {error.strerror or error}") from None

    def discard(self) -> None:
        """Remove what was written."""
        with contextlib.suppress(OSError):
            self._file.close()
        self._temporary.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


class _RawWriter(AudioWriter):
    def write(self, samples: Samples) -> None:
        try:
            self._file.write(pcm16(samples))
        except OSError as error:
            raise AudioError(f"{self.path}: cannot be written: {error.strerror or error}") from None

    def _finish(self) -> None:
        self._file.flush()


class _WavWriter(AudioWriter):
    def __init__(self, path: Path, sample_rate: int) -> None:
        super().__init__(path)
        self._wave = wave.open(self._file, "wb")  # noqa: SIM115 - closed in _finish
        self._wave.setnchannels(1)
        self._wave.setsampwidth(2)
        self._wave.setframerate(sample_rate)

    def write(self, samples: Samples) -> None:
        try:
            self._wave.writeframesraw(pcm16(samples))
        except OSError as error:
            raise AudioError(f"{self.path}: cannot be written: {error.strerror or error}") from None

    def _finish(self) -> None:
        self._wave.close()
        self._file.flush()


class _SoundfileWriter(AudioWriter):
    def __init__(self, path: Path, sample_rate: int) -> None:
        try:
            import soundfile
        except ImportError:
            raise MissingExtraError("soundfile", "files", f"writing {path.suffix} files") from None
        super().__init__(path)
        kind, subtype = _WITH_SOUNDFILE[path.suffix.lower()]
        try:
            self._sound = soundfile.SoundFile(self._file, "w", sample_rate, 1, subtype, format=kind)
        except soundfile.LibsndfileError as error:
            self.discard()
            raise AudioError(f"{path}: cannot be written: {error}") from None

    def write(self, samples: Samples) -> None:
        try:
            self._sound.write(np.clip(samples, -1.0, 1.0))
        except (OSError, RuntimeError) as error:
            raise AudioError(f"{self.path}: cannot be written: {error}") from None

    def _finish(self) -> None:
        self._sound.close()
        self._file.flush()


def open_writer(path: str | Path, sample_rate: int) -> AudioWriter:
    """Open an audio file for writing; its ending says the format.

    Raises:
        AudioError: the ending is unknown, or the folder cannot be written to.
        MissingExtraError: the format needs a package that is not installed.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise AudioError(f"{path}: unknown audio format '{path.suffix}'; known are {', '.join(SUFFIXES)}")
    if path.is_dir():
        raise AudioError(f"{path}: is a folder, expected a file")
    if suffix == ".wav":
        return _WavWriter(path, sample_rate)
    if suffix in _WITH_SOUNDFILE:
        return _SoundfileWriter(path, sample_rate)
    return _RawWriter(path)


def save_audio(path: str | Path, samples: Samples, sample_rate: int) -> None:
    """Write all samples [n] to a file at once; errors as `open_writer`."""
    with open_writer(path, sample_rate) as writer:
        writer.write(samples)


def wav_bytes(samples: Samples, sample_rate: int) -> bytes:
    """A whole WAV file, in memory."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(pcm16(samples))
    return buffer.getvalue()
