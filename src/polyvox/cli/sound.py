"""Playing on the sound device while the next chunks are made."""

from __future__ import annotations

import queue
import threading
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from polyvox.errors import AudioError, MissingExtraError

Samples = NDArray[np.float32]

AHEAD = 4
"""Chunks that may wait for the device: enough to never starve it, few enough that nothing is made for nobody."""


class Player:
    """Plays chunks in a thread of its own; as a context manager it ends when the last sample was heard.

    An error in the body, ^C among them, stops the sound at once.
    """

    def __init__(self, sample_rate: int) -> None:
        """Open the device.

        Raises:
            MissingExtraError: the package `sounddevice` is not installed.
            AudioError: there is no device.
        """
        try:
            import sounddevice
        except ImportError:
            raise MissingExtraError("sounddevice", "play", "playing on the sound device") from None
        except OSError as error:  # the package is there, the library PortAudio is not
            raise _no_device(error) from None
        try:
            self._device: Any = sounddevice.OutputStream(samplerate=sample_rate, channels=1, dtype="float32")
            self._device.start()
        except (sounddevice.PortAudioError, OSError, ValueError) as error:
            raise _no_device(error) from None
        self._waiting: queue.Queue[Samples | None] = queue.Queue(AHEAD)
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._play, name="polyvox-player", daemon=True)
        self._thread.start()

    def write(self, samples: Samples) -> None:
        """Play `samples` [n] after what was given before; waits while enough is in hand."""
        if self._error is not None:
            raise AudioError(f"the sound device failed: {self._error}")
        if len(samples):
            self._waiting.put(np.clip(samples, -1.0, 1.0).astype(np.float32))

    def _play(self) -> None:
        while (samples := self._waiting.get()) is not None:
            if self._error is None:
                try:
                    self._device.write(samples.reshape(-1, 1))
                except Exception as error:  # of the device's own kinds; told to the writer
                    self._error = error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._waiting.put(None)
                self._thread.join()
                self._device.stop()  # waits until the buffers were heard
            else:
                self._device.abort()
        finally:
            self._device.close()
        if kind is None and self._error is not None:
            raise AudioError(f"the sound device failed: {self._error}")


def _no_device(error: Exception) -> AudioError:
    return AudioError(
        f"there is no sound device to play on ({error}); write a file instead: polyvox say ... -o out.wav"
    )
