"""The scheduler: who is next, back-pressure, cancelling, failures. Streams are plain generators; nothing is timed."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from polyvox.networks import Batched, Device
from polyvox.pacing import Listener
from polyvox.service.costs import Cost
from polyvox.service.meter import Meter
from polyvox.service.scheduler import Scheduler
from polyvox.service.stream import CLOSING, OVER, QUEUED, RESTING, Ear, Stream
from polyvox.speech import Chunk
from polyvox.windows import Pace

RATE = 100
PATIENCE = 30


def chunk(seconds: float = 1.0, value: float = 0.0) -> Chunk:
    return Chunk(np.full(round(seconds * RATE), value, dtype=np.float32), RATE)


def stream(chunks: Callable[[Listener], Iterator[Chunk]] | None = None, **options) -> Stream:
    options.setdefault("cost", Cost())
    return Stream(chunks, **options)


def saying(name: str, log: list[str], count: float = 1, seconds: float = 1.0) -> Callable[[Listener], Iterator[Chunk]]:
    """So many chunks; every pull is written to `log`."""

    def begin(listener: Listener) -> Iterator[Chunk]:
        made = 0
        while made < count:
            log.append(name)
            yield chunk(seconds, made)
            made += 1

    return begin


class Gate:
    """A stream that holds its thread until it is let go."""

    def __init__(self) -> None:
        self.entered, self.go, self.closed_by = threading.Event(), threading.Event(), None
        self.pulls = 0

    def begin(self, listener: Listener) -> Iterator[Chunk]:
        self.source = self._chunks()
        return self.source

    def _chunks(self) -> Iterator[Chunk]:
        try:
            while True:
                self.pulls += 1
                self.entered.set()
                assert self.go.wait(PATIENCE)
                yield chunk()
        finally:
            self.closed_by = threading.current_thread()


def run(test, workers: int = 1, slots: int = 1, **options) -> None:
    """Run `test(scheduler)` in a loop, with a scheduler that is stopped afterwards and leaves no thread."""
    before = set(threading.enumerate())

    async def body() -> None:
        scheduler = Scheduler(workers, slots, **options)
        scheduler.start()
        try:
            await test(scheduler)
        finally:
            assert await scheduler.stop()

    asyncio.run(asyncio.wait_for(body(), PATIENCE))
    assert not set(threading.enumerate()) - before


async def entered(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.entered.wait, PATIENCE)


async def finished(scheduler: Scheduler, *streams: Stream) -> None:
    for each in streams:
        await scheduler.closed(each)


async def settled(scheduler: Scheduler) -> None:
    """All that is to be done in real time is done: with one worker, a bulk stream is behind everything else."""
    last = stream(saying("", []), realtime=False)
    scheduler.add(last)
    await finished(scheduler, last)


async def all_of(scheduler: Scheduler, one: Stream) -> list[Chunk]:
    found = []
    while True:
        made = scheduler.take(one)
        if made is not None:
            found.append(made)
        elif one.dropped or not one.computing:
            return found
        else:
            await scheduler.wait(one)


# --- order -------------------------------------------------------------------------------------------------------


def orders(order: str, streams: Callable[[list[str]], list[Stream]]) -> list[str]:
    """The order in which a single worker pulls streams that were added while it was busy."""
    log: list[str] = []

    async def test(scheduler: Scheduler) -> None:
        gate = Gate()
        blocker = stream(gate.begin)
        scheduler.add(blocker)
        await entered(gate)
        waiting = streams(log)
        for each in waiting:
            scheduler.add(each)
        scheduler.cancel(blocker)
        gate.go.set()
        await finished(scheduler, *waiting)

    run(test, order=order)
    return log


def three(log: list[str]) -> list[Stream]:
    return [
        stream(saying("late", log, 2), target=500.0),
        stream(saying("bulk", log, 2), realtime=False),
        stream(saying("soon", log, 2), target=100.0),
        stream(saying("later", log, 2), target=900.0),
    ]


def test_the_earliest_deadline_is_first():
    # Deadlines are hundreds of seconds apart, and a chunk puts one off by a second: nobody overtakes.
    assert orders("deadline", three) == ["soon", "soon", "late", "late", "later", "later", "bulk", "bulk"]


def test_in_turn_whoever_has_waited_longest_is_first():
    assert orders("turn", three) == ["late", "soon", "later", "late", "soon", "later", "bulk", "bulk"]


def test_by_arrival_whoever_came_first_is_made_to_the_end():
    assert orders("arrival", three) == ["late", "late", "soon", "soon", "later", "later", "bulk", "bulk"]


def test_a_new_stream_goes_before_one_whose_listener_is_well_ahead():
    def streams(log: list[str]) -> list[Stream]:
        old = stream(saying("old", log), ahead=1000.0)
        old.put(chunk(100.0), old.admitted)
        assert old.pop(old.admitted) is not None
        return [old, stream(saying("new", log))]

    assert orders("deadline", streams) == ["new", "old"]


def test_a_listener_about_to_run_dry_goes_before_a_new_stream():
    def streams(log: list[str]) -> list[Stream]:
        dry = stream(saying("dry", log))
        dry.put(chunk(0.01), dry.admitted)
        dry.pop(dry.admitted)
        return [stream(saying("new", log), target=50.0), dry]

    assert orders("deadline", streams) == ["dry", "new"]


def test_the_first_chunk_taken_changes_a_waiting_streams_place():
    """Until it is taken nobody listens, and its deadline moves on with the clock; then it is fixed."""
    log: list[str] = []

    async def test(scheduler: Scheduler) -> None:
        gate = Gate()
        blocker = stream(gate.begin)
        scheduler.add(blocker)
        await entered(gate)
        heard, other = stream(saying("heard", log)), stream(saying("other", log), target=2.0)
        heard.put(chunk(5.0), heard.admitted)
        scheduler.add(heard)
        scheduler.add(other)
        heard.made = 1.0  # its listener has only a second in hand once it begins to play
        assert scheduler.take(heard) is not None
        scheduler.cancel(blocker)
        gate.go.set()
        await finished(scheduler, heard, other)

    run(test)
    assert log == ["heard", "other"]


def test_who_took_late_plays_later_and_is_less_urgent():
    log: list[str] = []

    async def test(scheduler: Scheduler) -> None:
        gate = Gate()
        blocker = stream(gate.begin)
        scheduler.add(blocker)
        await entered(gate)
        stalled, other = stream(saying("stalled", log)), stream(saying("other", log), target=0.5)
        stalled.put(chunk(1.0), 0.0)
        stalled.put(chunk(1.0), 0.0)
        stalled.pop(stalled.admitted - 100.0)
        scheduler.add(stalled)  # a hundred seconds late
        scheduler.add(other)
        scheduler.take(stalled)  # but it was the client who did not take
        scheduler.cancel(blocker)
        gate.go.set()
        await finished(scheduler, stalled, other)

    run(test)
    assert log == ["other", "stalled"]


# --- back-pressure -----------------------------------------------------------------------------------------------


def test_what_nobody_takes_is_not_made():
    log: list[str] = []

    async def test(scheduler: Scheduler) -> None:
        endless = stream(saying("a", log, math.inf), ahead=4.0)
        scheduler.add(endless)
        await settled(scheduler)
        assert len(log) == 4
        assert endless.state == RESTING
        for taken in range(1, 4):
            assert scheduler.take(endless) is not None
            await settled(scheduler)
            assert len(log) == 4 + taken

    run(test)


def test_every_chunk_comes_once_and_in_order_while_it_is_made():
    async def test(scheduler: Scheduler) -> None:
        streams = [stream(saying("", [], 40, 0.5), ahead=2.0) for _ in range(6)]
        for each in streams:
            scheduler.add(each)
        for made in await asyncio.gather(*(all_of(scheduler, each) for each in streams)):
            assert [c.samples[0] for c in made] == list(range(40))
        assert not scheduler.streams()

    run(test, workers=4, slots=2)


@given(st.lists(st.sampled_from(["take", "wait", "cancel", "settle"]), max_size=12), st.integers(0, 6))
def test_whatever_a_client_does_chunks_come_in_order_and_the_stream_ends(steps, count):
    async def test(scheduler: Scheduler) -> None:
        log: list[str] = []
        one, other = stream(saying("", log, count), ahead=2.0), stream(saying("", [], 3))
        scheduler.add(one)
        scheduler.add(other)
        got = []
        for step in steps:
            if step == "take":
                made = scheduler.take(one)
                got += [] if made is None else [made.samples[0]]
            elif step == "wait":
                await scheduler.wait(one)
            elif step == "cancel":
                scheduler.cancel(one)
                assert scheduler.take(one) is None
            else:
                await settled(scheduler)
        got += [c.samples[0] for c in await all_of(scheduler, one)]
        assert got == list(range(len(got)))
        assert len(got) == count or "cancel" in steps
        assert len(await all_of(scheduler, other)) == 3
        await finished(scheduler, one)

    run(test)


# --- cancelling --------------------------------------------------------------------------------------------------


def test_a_cancelled_stream_that_waits_is_closed_by_a_worker_and_never_pulled():
    log: list[str] = []

    async def test(scheduler: Scheduler) -> None:
        gate = Gate()
        blocker, one = stream(gate.begin), stream(saying("one", log))
        scheduler.add(blocker)
        await entered(gate)
        scheduler.add(one)
        scheduler.cancel(one)
        scheduler.cancel(one)
        assert one.state == CLOSING
        gate.go.set()
        await finished(scheduler, one)
        assert one.begin is None

    run(test)
    assert log == []


def test_a_cancelled_stream_that_rests_is_closed_by_a_worker():
    async def test(scheduler: Scheduler) -> None:
        gate = Gate()
        gate.go.set()
        one = stream(gate.begin, ahead=2.0)
        scheduler.add(one)
        await settled(scheduler)
        assert one.state == RESTING
        pulls = gate.pulls
        scheduler.cancel(one)
        assert scheduler.take(one) is None
        await finished(scheduler, one)
        assert gate.pulls == pulls
        assert gate.closed_by is not None
        assert gate.closed_by is not threading.current_thread()

    run(test)


def test_a_cancelled_stream_that_computes_ends_when_its_thread_is_out_of_it():
    over: list[Stream] = []

    async def test(scheduler: Scheduler) -> None:
        gate = Gate()
        one = stream(gate.begin, on_over=over.append)
        scheduler.add(one)
        await entered(gate)
        scheduler.cancel(one)
        waiting = asyncio.ensure_future(scheduler.closed(one))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert over == []
        gate.go.set()
        await waiting
        assert one.state == OVER
        assert gate.pulls == 1
        assert scheduler.take(one) is None  # what it made in the end is for nobody
        await asyncio.sleep(0)
        assert over == [one]

    run(test)


def test_a_cancelled_call_that_waits_for_the_device_is_given_up_while_the_device_is_busy():
    device = Device(1)
    calls = threading.Semaphore(0)
    go = threading.Event()
    network = tiny.blur()
    plain = network._run

    def slow(tensors):
        calls.release()
        assert go.wait(PATIENCE)
        return plain(tensors)

    network._run = slow
    batched = Batched(network, device)
    mel = {"mel": np.zeros((8, 2), dtype=np.float32)}

    def begin(listener: Listener) -> Iterator[Chunk]:
        batched.run(mel)
        yield chunk()

    async def test(scheduler: Scheduler) -> None:
        busy, one = stream(begin), stream(begin)
        scheduler.add(busy)
        assert await asyncio.to_thread(calls.acquire, timeout=PATIENCE)
        scheduler.add(one)
        while not device.waiting:
            await asyncio.sleep(0)
        scheduler.cancel(one)
        await finished(scheduler, one)  # though the device is busy with the other
        assert network.calls == 1
        go.set()
        assert len(await all_of(scheduler, busy)) == 1

    run(test, workers=2)
    assert network.calls == 1


def test_nothing_further_is_computed_of_a_cancelled_stream_even_without_a_device():
    """Between two networks the meter looks whether anybody still listens."""
    meter = Meter()
    gate, passed = Gate(), []

    def begin(listener: Listener) -> Iterator[Chunk]:
        with meter.span("first", "networks"):
            next(gate.begin(listener))
        with meter.span("second", "networks"):
            passed.append("second")
        yield chunk()

    async def test(scheduler: Scheduler) -> None:
        one = stream(begin)
        scheduler.add(one)
        await entered(gate)
        scheduler.cancel(one)
        gate.go.set()
        await finished(scheduler, one)
        assert one.error is None

    run(test, meter=meter)
    assert passed == []


def test_whoever_waits_is_woken_by_cancelling():
    async def test(scheduler: Scheduler) -> None:
        gate = Gate()
        one = stream(gate.begin)
        scheduler.add(one)
        await entered(gate)
        taking = asyncio.ensure_future(all_of(scheduler, one))
        await asyncio.sleep(0)
        scheduler.cancel(one)
        assert await taking == []  # while its thread is still in it
        gate.go.set()

    run(test)


def test_stopping_cancels_what_runs():
    async def test(scheduler: Scheduler) -> None:
        gate = Gate()
        gate.go.set()
        scheduler.add(stream(gate.begin))
        scheduler.add(stream(saying("", [], math.inf)))
        await entered(gate)

    run(test, workers=2)


# --- failures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(1), KeyboardInterrupt()])
def test_a_stream_that_fails_fails_alone(error):
    told = []

    class Observer:
        def first_audio(self, stream: Stream) -> None: ...
        def underrun(self, stream: Stream, silence: float) -> None: ...
        def failed(self, stream: Stream, error: BaseException) -> None:
            told.append((stream, error))

    def begin(listener: Listener) -> Iterator[Chunk]:
        yield chunk()
        raise error

    async def test(scheduler: Scheduler) -> None:
        bad, good = stream(begin), stream(saying("", [], 5), ahead=100.0)
        scheduler.add(bad)
        scheduler.add(good)
        assert len(await all_of(scheduler, bad)) == 1  # what was made before is heard
        assert bad.error is error
        assert told == [(bad, error)]
        assert len(await all_of(scheduler, good)) == 5
        assert good.error is None

    run(test, observer=Observer())


def test_a_stream_that_cannot_begin_fails_alone():
    def begin(listener: Listener) -> Iterator[Chunk]:
        raise ValueError("nothing to speak")

    async def test(scheduler: Scheduler) -> None:
        bad = stream(begin)
        scheduler.add(bad)
        assert await all_of(scheduler, bad) == []
        assert isinstance(bad.error, ValueError)
        good = stream(saying("", []))
        scheduler.add(good)
        assert len(await all_of(scheduler, good)) == 1

    run(test)


# --- what can wait -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"realtime": False}, {"target": 500.0}])
def test_what_can_wait_has_no_more_threads_than_slots_so_that_what_is_urgent_always_finds_one(options):
    async def test(scheduler: Scheduler) -> None:
        gates = [Gate() for _ in range(5)]
        bulk = [stream(g.begin, **options) for g in gates]
        for each in bulk:
            scheduler.add(each)
        heard = stream(saying("", []))
        scheduler.add(heard)
        assert len(await all_of(scheduler, heard)) == 1  # while bulk holds all the threads that it may
        assert sum(g.entered.is_set() for g in gates) <= 2
        for gate in gates:
            gate.go.set()
        for each in bulk:
            scheduler.cancel(each)

    run(test, workers=4, slots=2)


# --- the listener ------------------------------------------------------------------------------------------------


def test_a_listener_who_has_nothing_to_hear_is_an_underrun_and_hears_all_else_later():
    one = stream(saying("", []))
    one.put(chunk(1.0), 10.0)
    assert one.pop(20.0) is not None  # plays from 20 to 21
    assert one.put(chunk(1.0), 20.5) == 0.0  # and on to 22
    assert one.put(chunk(1.0), 22.25) == 0.25
    assert (one.timing.underruns, one.timing.silence) == (1, 0.25)
    assert one.deadline(0.0) == 23.25


def test_a_listener_who_takes_late_has_no_underrun():
    one = stream(saying("", []))
    for _ in range(3):
        one.put(chunk(1.0), 10.0)
    one.pop(20.0)
    one.pop(30.0)  # stalled for nine seconds, of its own will
    assert one.put(chunk(1.0), 31.5) == 0.0
    assert one.timing.underruns == 0
    assert one.deadline(0.0) == 29.0 + 4.0


def test_words_without_audio_are_no_underrun():
    one = stream(saying("", []))
    one.put(chunk(1.0), 10.0)
    one.pop(10.0)
    assert one.put(chunk(0.0), 50.0) == 0.0


def test_deadlines_before_anybody_listens():
    one = stream(saying("", []), target=0.5)
    assert one.deadline(0.0) == one.admitted + 0.5
    one.put(chunk(2.0), 10.0)
    assert one.deadline(100.0) == 102.0
    assert stream(saying("", []), realtime=False).deadline(0.0) == math.inf


# --- sizes of chunks ---------------------------------------------------------------------------------------------


def learned(fixed: float, each: float) -> Cost:
    cost = Cost()
    for frames in (32, 128, 64, 256) * 3:
        cost.made(frames, fixed + each * frames, frames * 0.01)
    return cost


def test_what_a_chunk_costs_besides_its_frames_is_learned():
    cost = learned(0.008, 0.0001)
    assert cost.frames(0.028) == pytest.approx(200, abs=1)
    assert cost.frames(0.001) == 1
    assert Cost().frames(1.0) is None


def test_chunks_of_one_size_say_what_a_frame_costs_on_average():
    cost = Cost()
    for _ in range(5):
        cost.made(100, 0.01, 1.0)
    assert cost.frames(0.02) == pytest.approx(200, abs=1)
    assert cost.rate < 0.05


def asked(one: Stream, monkeypatch, now: float) -> int:
    monkeypatch.setattr("polyvox.service.stream.time.monotonic", lambda: now)
    return Ear(one, Pace(32, 8.0, 768)).ask()


def test_the_first_chunk_is_small_and_the_next_as_large_as_one_turn_may_cost(monkeypatch):
    one = stream(saying("", []), cost=learned(0.008, 0.0001), longest=0.028, frame=0.01)
    assert asked(one, monkeypatch, one.admitted) == 32
    one.put(chunk(1.0), one.admitted)
    assert asked(one, monkeypatch, one.admitted) == pytest.approx(200, abs=1)


def test_a_listener_who_has_little_in_hand_gets_a_small_chunk(monkeypatch):
    one = stream(saying("", []), cost=learned(0.0, 0.001), longest=10.0, frame=0.01, ahead=100.0)
    one.put(chunk(1.0), 100.0)
    one.pop(100.0)
    assert asked(one, monkeypatch, 100.1) == pytest.approx(90, abs=1)  # a tenth of what is in hand
    assert asked(one, monkeypatch, 100.9) == pytest.approx(64, abs=1)
    assert asked(one, monkeypatch, 101.5) == pytest.approx(64, abs=1)  # late: twice the time of the smallest


def test_while_nothing_is_known_chunks_stay_small(monkeypatch):
    one = stream(saying("", []))
    one.put(chunk(1.0), one.admitted)
    assert asked(one, monkeypatch, one.admitted) == 32


def test_no_more_is_made_than_there_is_room_for(monkeypatch):
    one = stream(saying("", []), cost=learned(0.008, 0.0001), longest=0.028, frame=0.01, ahead=3.0)
    one.put(chunk(2.0), 100.0)
    assert asked(one, monkeypatch, 100.0) == 100


def test_bulk_is_as_short_as_the_others(monkeypatch):
    one = stream(saying("", []), cost=learned(0.008, 0.0001), longest=0.028, frame=0.01, realtime=False)
    assert asked(one, monkeypatch, 100.0) == pytest.approx(200, abs=1)


def test_a_stream_in_the_queue_is_there_once():
    async def test(scheduler: Scheduler) -> None:
        gate = Gate()
        blocker = stream(gate.begin)
        scheduler.add(blocker)
        await entered(gate)
        log: list[str] = []
        one = stream(saying("one", log), ahead=100.0)
        for _ in range(3):
            one.put(chunk(), 0.0)
        scheduler.add(one)
        for _ in range(3):
            scheduler.take(one)
            assert one.state == QUEUED
        scheduler.cancel(blocker)
        gate.go.set()
        await finished(scheduler, one)
        assert log == ["one"]

    run(test)
