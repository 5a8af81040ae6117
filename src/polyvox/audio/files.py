"""Audio files, written as the audio comes, and whole or not at all."""

from __future__ import annotations

import contextlib
import os
import struct
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from io import BufferedRandom
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

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
_WAV_HEADER = 44
_WAV_LARGEST = 0xFFFFFFFF - 36
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
            raise AudioError(f"{self.path}: cannot be written: {error.strerror or error}") from None
        finally:
            self.discard()

    def discard(self) -> None:
        """Remove what was written, unless it is complete and in its place."""
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


def _wav_header(sample_rate: int, size: int) -> bytes:
    """The header of a WAV file with `size` bytes of 16-bit mono samples."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, sample_rate, 2 * sample_rate, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size)


class _WavWriter(_RawWriter):
    def __init__(self, path: Path, sample_rate: int) -> None:
        super().__init__(path)
        self._rate = sample_rate
        self._file.write(_wav_header(sample_rate, 0))

    def _finish(self) -> None:
        size = self._file.tell() - _WAV_HEADER
        if size > _WAV_LARGEST:
            raise OSError(f"a WAV file holds at most {_WAV_LARGEST} bytes of audio, not {size}")
        self._file.seek(0)
        self._file.write(_wav_header(self._rate, size))
        self._file.flush()


class _Kept:
    """A file for libsndfile, whose callbacks cannot raise: keeps the first error for the writer to raise."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.error: OSError | None = None

    def _try(self, call: Callable[..., int], *arguments: Any) -> int:
        try:
            return call(*arguments)
        except OSError as error:
            self.error = self.error or error
            return 0

    def write(self, data: bytes) -> int:
        return self._try(self._file.write, data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._try(self._file.seek, offset, whence)

    def tell(self) -> int:
        return self._try(self._file.tell)

    def readinto(self, buffer: Any) -> int:
        return self._try(cast(BufferedRandom, self._file).readinto, buffer)


class _SoundfileWriter(AudioWriter):
    def __init__(self, path: Path, sample_rate: int) -> None:
        try:
            import soundfile
        except ImportError:
            raise MissingExtraError("soundfile", "files", f"writing {path.suffix} files") from None
        super().__init__(path)
        kind, subtype = _WITH_SOUNDFILE[path.suffix.lower()]
        self._kept = _Kept(self._file)
        self._sound: Any = None
        try:
            self._sound = soundfile.SoundFile(self._kept, "w", sample_rate, 1, subtype, format=kind)
        except soundfile.LibsndfileError as error:
            self.discard()
            raise AudioError(f"{path}: cannot be written: {error}") from None

    def write(self, samples: Samples) -> None:
        with self._refusals():
            self._sound.write(np.clip(samples, -1.0, 1.0))

    def _finish(self) -> None:
        with self._refusals():
            self._sound.close()
            self._file.flush()

    @contextlib.contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
            error: Exception | None = self._kept.error
        except (OSError, RuntimeError, AssertionError) as raised:  # AssertionError: fewer samples were written
            error = self._kept.error or raised
        if error is not None:
            why = getattr(error, "strerror", None) or error
            raise AudioError(f"{self.path}: cannot be written: {why}") from None

    def discard(self) -> None:
        if self._sound is not None:
            with contextlib.suppress(OSError, RuntimeError):
                self._sound.close()
        super().discard()


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
    data = pcm16(samples)
    return _wav_header(sample_rate, len(data)) + data
