"""What the networks alone could carry: the network calls of streams in a loop, and nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import polyvox
from engine import Recorder
from polyvox.networks import Network
from polyvox.tensors import Tensors
from polyvox.windows import Pace
from serving.texts import SENTENCES

PACE = Pace(32, 8.0, 256)
"""Chunks as a listener gets them who is well ahead."""


def alone(voices: Sequence[str], slots: int, seconds: float) -> tuple[float, float]:
    """The calls of one stream of each voice again and again, in as many threads as there are slots.

    Returns:
        Seconds of audio made in a second, and in a processor second.
    """
    calls: list[tuple[Network, Tensors]] = []
    audio = 0.0
    for name in voices:
        recorder = Recorder()
        recorder.calls = []
        base, _, speaker = name.partition("/")
        voice = polyvox.load(base, trace=recorder)
        audio += voice.say(" ".join(SENTENCES[name]), speaker=speaker or None, pace=PACE).seconds
        calls += recorder.calls
    rounds = [0.0] * slots
    until = time.monotonic() + seconds

    def run(index: int) -> None:
        while True:
            for done, (network, tensors) in enumerate(calls):
                if time.monotonic() > until:
                    rounds[index] += done / len(calls)
                    return
                network.run(tensors)
            rounds[index] += 1

    threads = [threading.Thread(target=run, args=(i,)) for i in range(slots)]
    began, cpu = time.monotonic(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = sum(rounds) * audio
    return made / (time.monotonic() - began), made / (time.process_time() - cpu)
