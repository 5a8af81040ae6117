"""Calls that wait for a device, and what those of each network came to."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from polyvox.networks.urgency import urgency

if TYPE_CHECKING:
    from polyvox.networks.scheduling import Device

WAITING, LEADING, JOINED, DONE, GIVEN_UP = range(5)
"""What becomes of a call that could not run at once."""


class Call:
    """One call that waits, or comes along, with its result once there is one."""

    __slots__ = (
        "beside",
        "deadline",
        "error",
        "key",
        "lane",
        "number",
        "result",
        "seconds",
        "since",
        "state",
        "wake",
        "work",
    )

    def __init__(self, lane: Lane, work: Any, key: Any, seconds: float) -> None:
        """`key` is equal for calls that may run together as they are; `seconds` is what it will take alone."""
        self.lane, self.work, self.key, self.seconds = lane, work, key, seconds
        self.deadline = urgency()
        self.beside = False  # whether it leads a run that holds no slot
        self.number = 0
        self.since = 0.0
        self.state = WAITING
        self.result: Any = None
        self.error: Exception | None = None
        self.wake = threading.Lock()  # released by whoever has news for the caller
        self.wake.acquire()

    def give_up(self) -> None:
        """Let it wait no more, nor for its leader."""
        self.lane.device.give_up(self)

    def taken(self) -> Any:
        """The result that another thread made; raises its error instead."""
        if self.error is not None:
            raise self.error
        return self.result


@dataclass(frozen=True, slots=True)
class Usage:
    """What a network's calls on a device amounted to. Everything but `waiting` only ever grows."""

    calls: int = 0
    """Calls that ran."""
    runs: int = 0
    """Runs that these took."""
    sizes: tuple[int, ...] = ()
    """Runs by the number of calls in them: of none (always 0), of 1, of 2 ..."""
    busy: float = 0.0
    """Seconds of running, summed over slots."""
    waited: float = 0.0
    """Seconds that calls waited for a slot, summed."""
    queued: int = 0
    """Calls that had to wait at all."""
    longest: float = 0.0
    """Seconds that the call that waited longest did."""
    apart: int = 0
    """Joint runs that failed, and whose calls then ran one by one."""
    cancelled: int = 0
    """Calls that were given up."""
    waiting: int = 0
    """Calls that wait now."""

    def __add__(self, other: Usage) -> Usage:
        long, short = sorted((self.sizes, other.sizes), key=len, reverse=True)
        sizes = tuple(n + (short[i] if i < len(short) else 0) for i, n in enumerate(long))
        return Usage(
            self.calls + other.calls,
            self.runs + other.runs,
            sizes,
            self.busy + other.busy,
            self.waited + other.waited,
            self.queued + other.queued,
            max(self.longest, other.longest),
            self.apart + other.apart,
            self.cancelled + other.cancelled,
            self.waiting + other.waiting,
        )


class Lane:
    """One network on a device: its calls that wait, and what they came to. The device's lock guards all of it."""

    __slots__ = ("apart", "busy", "cancelled", "device", "longest", "name", "queued", "sizes", "waited", "waiting")

    def __init__(self, device: Device, name: str) -> None:
        self.device, self.name = device, name
        self.waiting: list[Call] = []
        self.sizes = [0, 0]
        self.busy = self.waited = self.longest = 0.0
        self.queued = self.apart = self.cancelled = 0

    def usage(self) -> Usage:
        """The counters now."""
        calls = sum(n * size for size, n in enumerate(self.sizes))
        return Usage(
            calls,
            sum(self.sizes),
            tuple(self.sizes),
            self.busy,
            self.waited,
            self.queued,
            self.longest,
            self.apart,
            self.cancelled,
            len(self.waiting),
        )
