"""Loading: a voice into memory, with a trial, and out of it."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import polyvox
from polyvox.errors import TextError
from polyvox.networks import Device
from polyvox.service.catalogue import Entry
from polyvox.service.costs import Cost
from polyvox.service.memory import resident, trim
from polyvox.service.meter import Meter
from polyvox.voice import Voice
from polyvox.windows import Pace

TRIAL = "Hello, one moment please, here I am."
"""What a voice says when it was loaded. One that cannot say it may still speak, and is not tried."""
PACES = (Pace(32, 1.0, 32), Pace(128, 1.0, 128))
"""Chunks of two sizes, so that what a chunk costs besides its frames is known from the start."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A voice, and the bytes that it takes."""

    voice: Voice
    memory: int


class Loader:
    """Loads for one engine. Its methods are called in threads."""

    def __init__(self, target: str, device: Device | None, meter: Meter) -> None:
        """`device` runs all networks; None lets each call run as it comes."""
        self._target, self._device, self._meter = target, device, meter
        self._one = threading.Lock()

    def load(self, entry: Entry, cost: Cost) -> Loaded:
        """Load and try a voice.

        The memory is the larger of what its files have and what the process grew by meanwhile, but at most four times
        the files, because streams that run at the same time grow too. A vocoder that several share counts for each.

        Raises:
            PolyvoxError: it cannot be loaded, or fails when it speaks.
        """
        with self._one:  # one at a time: of two, nobody could say which grew
            before = resident()
            voice = polyvox.load(
                entry.path, target=self._target, vocoder=entry.vocoder, trace=self._meter, device=self._device
            )
            try:
                with suppress(TextError):
                    self._try(voice, cost)
            except BaseException:
                voice.close()
                raise
            grown = resident() - before
        return Loaded(voice, max(entry.size, min(grown, 4 * entry.size)))

    def unload(self, voice: Voice) -> None:
        """Close it and give the memory back to the system."""
        voice.close()
        del voice
        trim()

    def _try(self, voice: Voice, cost: Cost) -> None:
        """Speak. The first time is slow, because the runtime allocates; what counts is the others."""
        for count, pace in enumerate((PACES[0], *PACES)):
            began = time.thread_time()
            total = audio = 0.0
            for chunk in voice.stream(TRIAL, pace=pace):
                now = time.thread_time()
                if count:
                    if not audio:
                        cost.begun(now - began, weight=1.0)
                    else:
                        cost.made(len(chunk.samples) // voice.hop_length, now - began, chunk.seconds)
                total += now - began
                audio += chunk.seconds
                began = now
        cost.seed(total, audio)
