"""Scheduler: worker threads that pull chunks from streams, the one whose listener runs dry first before all others.

Networks run in these threads and nowhere else. A worker takes one chunk of one stream, and then looks again who is
most urgent. Where calls of networks are joined there are more workers than slots of the device, so that calls meet;
the device orders those by the same deadlines.
"""

from __future__ import annotations

import asyncio
import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import count
from typing import Literal, Protocol

from polyvox.networks import Cancelled, cancelling, deadline
from polyvox.service.meter import Meter
from polyvox.service.stream import CLOSING, OVER, QUEUED, RESTING, RUNNING, Ear, Stream
from polyvox.speech import Chunk

Order = Literal["deadline", "turn", "arrival"]

CALM = 1.0
"""Seconds that a listener has in hand above which a stream can wait."""
PATIENCE = 10.0
"""Seconds that a network may take at the end to give a thread back."""


class Observer(Protocol):
    """Who hears, in workers, what becomes of streams; it must not block."""

    def first_audio(self, stream: Stream) -> None:
        """The first audio was made."""
        ...

    def underrun(self, stream: Stream, silence: float) -> None:
        """The listener had nothing to hear for `silence` seconds."""
        ...

    def failed(self, stream: Stream, error: BaseException) -> None:
        """The voice raised `error`; the one who takes is told too."""
        ...


class Scheduler:
    """Streams in, chunks out. `start`, `stop`, `take`, `wait`, `cancel` and `closed` belong to one event loop."""

    def __init__(
        self,
        workers: int,
        slots: int,
        *,
        order: Order = "deadline",
        meter: Meter | None = None,
        observer: Observer | None = None,
    ) -> None:
        """Set up.

        Args:
            workers: threads.
            slots: streams that have a thread at once though nobody waits for them: those whose listeners are well
                ahead, and bulk. The other threads are for those that are urgent, who so always find one.
            order: see `polyvox.service.settings.Compute.order`.
            meter: is told for which stream a thread works.
            observer: is told what becomes of streams.
        """
        self.workers, self.slots, self.order = workers, slots, order
        self.meter = meter or Meter()
        self._observer = observer
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)
        self._heap: list[tuple[float, int, int, Stream]] = []
        self._closing: deque[Stream] = deque()
        self._streams: set[Stream] = set()
        self._numbers, self._turns, self._entries = count(1), count(1), count(1)
        self._calm = 0  # streams that have a thread and could wait
        self._ended = False
        self._threads: list[threading.Thread] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    # --- in the loop ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the threads."""
        self._loop = asyncio.get_running_loop()
        for i in range(self.workers):
            thread = threading.Thread(target=self._work, name=f"polyvox-worker-{i}", daemon=True)
            self._threads.append(thread)
            thread.start()

    async def stop(self) -> bool:
        """Cancel what still runs and end the threads.

        Returns:
            Whether all ended; one that a network never gives back does not, and ends with the process.
        """
        running = self.streams()
        for stream in running:
            self.cancel(stream)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                for stream in running:
                    await self.closed(stream)
        with self._lock:
            self._ended = True
            self._news.notify_all()
            stuck = len(self._streams)
        for thread in self._threads:
            if not stuck:
                thread.join()  # they have nothing left to do
        self._threads = [t for t in self._threads if t.is_alive()]
        return not self._threads

    def add(self, stream: Stream) -> None:
        """Begin to make a stream."""
        with self._lock:
            if self._ended:
                raise RuntimeError("the scheduler has stopped")
            stream.number = next(self._numbers)
            self._streams.add(stream)
            self._push(stream)

    def streams(self) -> list[Stream]:
        """Those that are not over."""
        with self._lock:
            return list(self._streams)

    def take(self, stream: Stream) -> Chunk | None:
        """The next chunk, if it is made."""
        with self._lock:
            before = stream.playing_since
            chunk = stream.pop(time.monotonic())
            if stream.state == QUEUED:
                if stream.playing_since != before:
                    self._push(stream)  # its deadline is another now
            elif stream.state == RESTING and not stream.full:
                self._push(stream)
            return chunk

    async def wait(self, stream: Stream) -> None:
        """Until there is a chunk, or the stream is over."""
        with self._lock:
            if stream.buffer or stream.state in (CLOSING, OVER) or stream.dropped:
                return
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            stream.waiters.append(waiter)
        await waiter

    async def closed(self, stream: Stream) -> None:
        """Until no thread works for the stream."""
        while True:
            with self._lock:
                if stream.state == OVER:
                    return
                waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                stream.waiters.append(waiter)
            await waiter

    def cancel(self, stream: Stream, error: BaseException | None = None) -> None:
        """Drop what was made and make no more; returns at once. `error` is what the one who takes is told."""
        with self._lock:
            if stream.dropped or (stream.state == OVER and not stream.buffer):
                return
            stream.drop()
            stream.error = error
            if stream.state in (QUEUED, RESTING):
                # A thread closes its generator: what blocks do then is not for the loop.
                stream.state = CLOSING
                self._closing.append(stream)
                self._news.notify()
        stream.cancel.set()
        self._wake(stream)

    # --- in workers ----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            with self._lock:
                while (stream := self._next()) is None:
                    if self._ended:
                        return
                    self._news.wait()
                closing = stream.state == CLOSING
                now = time.monotonic()
                at = stream.deadline(now)
                if not closing:
                    stream.state = RUNNING
                    stream.calm = self._is_calm(stream, now)
                    self._calm += stream.calm
            if closing:
                self._close(stream)
            else:
                self._advance(stream, at)

    def _next(self) -> Stream | None:
        if self._closing:
            return self._closing.popleft()
        while self._heap:
            _, _, entry, stream = self._heap[0]
            if entry != stream.entry or stream.state != QUEUED:
                heapq.heappop(self._heap)
                continue
            if self._calm >= self.slots and self._is_calm(stream, time.monotonic()):
                return None  # those behind it can wait even longer
            heapq.heappop(self._heap)
            return stream
        return None

    def _is_calm(self, stream: Stream, now: float) -> bool:
        if self.order != "deadline":
            return not stream.realtime
        return stream.deadline(now) - now > CALM

    def _push(self, stream: Stream) -> None:
        if stream.state != QUEUED or not stream.turn:
            stream.turn = next(self._turns)
        stream.state = QUEUED
        stream.entry = next(self._entries)
        if self.order == "deadline" or not stream.realtime:
            urgency = stream.deadline(time.monotonic())
        else:
            urgency = 0.0
        place = stream.number if self.order == "arrival" else stream.turn
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._streams):
            self._heap = [e for e in self._heap if e[2] == e[3].entry and e[3].state == QUEUED]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (urgency, place, stream.entry, stream))
        self._news.notify()

    def _advance(self, stream: Stream, at: float) -> None:
        """Make one chunk."""
        chunk: Chunk | None = None
        error: BaseException | None = None
        stream.frames = 0
        began = time.thread_time()
        try:
            with deadline(at), cancelling(stream.cancel), self.meter.measuring(stream.timing):
                if stream.source is None:
                    assert stream.begin is not None
                    stream.source = stream.begin(Ear(stream))
                    stream.begin = None
                chunk = next(stream.source, None)
        except Cancelled:
            pass
        except BaseException as caught:  # whatever it is, it is this stream's alone
            error = caught
        cpu = time.thread_time() - began
        if error is not None and self._observer is not None:
            self._observer.failed(stream, error)
        ended = chunk is None
        if ended or stream.cancel.is_set:
            self._shut(stream)
        silence, first = 0.0, False
        with self._lock:
            self._calm -= stream.calm
            now = time.monotonic()
            stream.timing.compute += cpu
            if chunk is not None and not stream.dropped:
                first = bool(not stream.made and chunk.seconds)
                if first:
                    stream.cost.begun(cpu)
                stream.cost.made(0 if first else stream.frames, cpu, chunk.seconds)
                silence = stream.put(chunk, now)
            if error is not None and not stream.dropped:
                # Without its frames, which hold the voice.
                stream.error = error.with_traceback(None)
            if ended or stream.dropped:
                if stream.source is None:
                    self._end(stream)
                else:  # cancelled a moment ago
                    stream.state = CLOSING
                    self._closing.append(stream)
                    self._news.notify()
            elif stream.full:
                stream.state = RESTING
            else:
                self._push(stream)
        if self._observer is not None:
            if first:
                self._observer.first_audio(stream)
            if silence:
                self._observer.underrun(stream, silence)
        self._wake(stream)

    def _close(self, stream: Stream) -> None:
        self._shut(stream)
        with self._lock:
            self._end(stream)
        self._wake(stream)

    def _shut(self, stream: Stream) -> None:
        """Close the generator. It belongs to this thread: nobody else is in it, and nobody will be."""
        source, stream.source, stream.begin = stream.source, None, None
        close = getattr(source, "close", None)
        if close is not None:
            with suppress(Exception):  # its blocks' clean-up; the stream is over either way
                close()

    def _end(self, stream: Stream) -> None:
        stream.state = OVER
        self._streams.discard(stream)
        on_over, stream.on_over = stream.on_over, None
        if on_over is not None:
            self._call(lambda: on_over(stream))

    def _wake(self, stream: Stream) -> None:
        with self._lock:
            waiters, stream.waiters = stream.waiters, []
        if waiters:
            self._call(lambda: _resolve(waiters))

    def _call(self, what: Callable[[], object]) -> None:
        assert self._loop is not None
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(what)


def _resolve(waiters: Iterable[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
