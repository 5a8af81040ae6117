"""What a stream says of its network calls: by when they should be done, and whether they are wanted at all."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

_deadline: ContextVar[float] = ContextVar("polyvox_deadline", default=math.inf)
_cancel: ContextVar[Cancel | None] = ContextVar("polyvox_cancel", default=None)


class Keeper(Protocol):
    """What a thread can keep something of from one network call to the next."""

    def give_back(self, thread: int) -> None:
        """That thread needs it no more; again does nothing."""


class _Thread(threading.local):
    """Of the thread that runs: how many deadlines it is in, and what it keeps until it is out of the last."""

    def __init__(self) -> None:
        self.within = [0]
        self.kept: dict[Keeper, int] = {}


_thread = _Thread()


class Cancelled(Exception):
    """Nobody wants the result any more. Not a PolyvoxError: nothing is wrong."""


@contextmanager
def deadline(at: float) -> Iterator[None]:
    """Network calls in the body should be done by `at`, on the clock of `time.monotonic`.

    Without one, or at `math.inf`, they are bulk: all that have a deadline go first. It is read at every call: a
    generator's calls have the deadline of whoever pulls. Between two calls in the body the thread keeps its place on
    the device, unless somebody more urgent wants it.
    """
    if math.isnan(at):
        raise ValueError("a deadline must be a number of seconds on the clock of time.monotonic, not nan")
    within, kept = _thread.within, _thread.kept  # this thread's, wherever the body ends
    before = _deadline.set(at)
    within[0] += 1
    try:
        yield
    finally:
        _deadline.reset(before)
        within[0] -= 1
        while kept and not within[0]:
            keeper, thread = kept.popitem()
            keeper.give_back(thread)


def keeping(keeper: Keeper, thread: int) -> bool:
    """Have `keeper` told when this thread is out of its deadlines; False if it is in none, and so must keep nothing."""
    if not _thread.within[0]:
        return False
    _thread.kept[keeper] = thread
    return True


@contextmanager
def cancelling(cancel: Cancel) -> Iterator[None]:
    """Network calls in the body raise `Cancelled` once `cancel` is set, at once if they wait for the device."""
    before = _cancel.set(cancel)
    try:
        yield
    finally:
        _cancel.reset(before)


class Waiting(Protocol):
    """What waits, and can be told to stop."""

    def give_up(self) -> None:
        """Wait no more."""


class Cancel:
    """Set from any thread (or event loop: it never blocks for long) when a stream is not wanted any more.

    It frees calls that wait. A run that has begun ends first if the call leads it; one that only came along is free.
    """

    __slots__ = ("_calls", "_lock", "_set")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: set[Waiting] = set()
        self._set = False

    @property
    def is_set(self) -> bool:
        """Whether `set` was called."""
        return self._set

    def set(self) -> None:
        """Wake the calls that wait, and let no other begin."""
        with self._lock:
            self._set = True
            calls = list(self._calls)
        for call in calls:
            call.give_up()

    def add(self, call: Waiting) -> None:
        """Have `set` give the call up; raises `Cancelled` if it was called before."""
        with self._lock:
            if self._set:
                raise Cancelled
            self._calls.add(call)

    def remove(self, call: Waiting) -> None:
        """The call does not wait any more."""
        with self._lock:
            self._calls.discard(call)


def urgency() -> float:
    """The deadline of the calls of this context."""
    return _deadline.get()


def cancel_of() -> Cancel | None:
    """What cancels the calls of this context, if anything."""
    return _cancel.get()


def check_cancelled() -> None:
    """Raise `Cancelled` if the calls of this context are not wanted any more."""
    cancel = _cancel.get()
    if cancel is not None and cancel._set:
        raise Cancelled
