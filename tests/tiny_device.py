"""A device that a test holds busy, so that calls wait and run together when the test says so."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from polyvox.networks import Batched, Device, Network, NetworkSpec
from polyvox.tensors import Array, Tensors, TensorSpec

PATIENCE = 30.0
"""Seconds after which a test that hangs fails."""


def until(condition: Callable[[], bool]) -> None:
    """Wait for what other threads do."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.0005)


class Gate(Network):
    """Runs until it is opened."""

    def __init__(self) -> None:
        self.spec = NetworkSpec("gate", "encoder", {}, {"y": TensorSpec("float32", ())})
        self.entered, self.opened = threading.Event(), threading.Event()

    def run(self, tensors: Tensors) -> dict[str, Array]:
        self.entered.set()
        assert self.opened.wait(PATIENCE)
        return {"y": np.zeros((), np.float32)}


@contextmanager
def held(device: Device) -> Iterator[None]:
    """All slots of the device are busy in the body."""
    gates = [Gate() for _ in range(device.slots)]
    threads = [threading.Thread(target=Batched(g, device, name="gate").run, args=({},)) for g in gates]
    for thread, gate in zip(threads, gates, strict=True):
        thread.start()
        assert gate.entered.wait(PATIENCE)
    try:
        yield
    finally:
        for thread, gate in zip(threads, gates, strict=True):
            gate.opened.set()
            thread.join(PATIENCE)


def waiting(device: Device, works: Sequence[Callable[[], object]]) -> list[Future]:
    """Run each in a thread of its own while the device is busy; they wait, in this order, until it is not."""
    pool = ThreadPoolExecutor(len(works))
    futures = []
    with held(device):
        for work in works:
            futures.append(pool.submit(work))
            until(lambda: device.waiting == sum(not future.done() for future in futures))
    pool.shutdown()
    return futures
