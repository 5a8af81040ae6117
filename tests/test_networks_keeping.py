"""A thread keeps its slot of a device from one network of a chunk to the next, unless somebody more urgent wants it."""

import contextvars
import math
import threading
import time

import numpy as np
import pytest

from polyvox.networks import Batched, Device, InputSpec, Network, NetworkSpec, deadline, scheduling
from polyvox.networks.calls import Call
from polyvox.tensors import TensorSpec
from tiny_device import PATIENCE, held, until


class Named(Network):
    """Says in which order calls ran."""

    def __init__(self):
        self.spec = NetworkSpec("named", "encoder", {"x": InputSpec("float32", ())}, {"y": TensorSpec("float32", ())})
        self.ran = []

    def run(self, tensors):
        self.ran.append(int(tensors["x"]))
        return {"y": tensors["x"]}


def x(value):
    return {"x": np.float32(value)}


def at_once(work, *arguments):
    """Call it in a thread that has ended, or waits, when this returns."""
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    return thread


def all_free(device):
    """Whether every slot can be had."""
    with held(device):
        return True


@pytest.mark.parametrize(
    ("keep", "by_deadline", "mine", "other", "order"),
    [
        (True, True, 20.0, math.inf, [1, 2, 9]),  # bulk waits until the chunk is made
        (True, True, 20.0, 30.0, [1, 2, 9]),
        (True, True, 20.0, 10.0, [1, 9, 2]),  # more urgent: at once
        (True, True, math.inf, math.inf, [1, 9, 2]),  # bulk keeps nothing
        (False, True, 20.0, math.inf, [1, 9, 2]),
        (True, False, 20.0, 30.0, [1, 9, 2]),  # whoever comes first
    ],
)
def test_between_two_calls_the_slot_is_the_more_urgent_one_s(monkeypatch, keep, by_deadline, mine, other, order):
    monkeypatch.setattr(scheduling, "KEPT", PATIENCE)
    device = Device(1, express=0, keep=keep, by_deadline=by_deadline)
    named = Named()
    batched, theirs = Batched(named, device), Batched(named, device)

    def work():
        with deadline(other):
            theirs.run(x(9))

    with deadline(mine):
        batched.run(x(1))
        thread = at_once(work)
        until(lambda: device.waiting or not thread.is_alive())
        batched.run(x(2))
    thread.join(PATIENCE)
    assert named.ran == order
    assert all_free(device)


def test_work_that_the_keeper_gives_to_another_thread_gets_its_slot(monkeypatch):
    """As encoders that run at the same time do: nothing is slower for it, and nothing waits for ever."""
    monkeypatch.setattr(scheduling, "KEPT", PATIENCE)
    device, named = Device(1, express=0), Named()
    batched = Batched(named, device)
    with deadline(20.0):
        batched.run(x(1))
        thread = at_once(contextvars.copy_context().run, batched.run, x(2))
        thread.join(PATIENCE / 2)
        assert not thread.is_alive()
        batched.run(x(3))
    assert named.ran == [1, 2, 3]
    assert all_free(device)


def test_a_slot_that_is_kept_and_not_used_goes_to_whoever_waits_for_long():
    device, named = Device(1, express=0), Named()
    batched = Batched(named, device)
    with deadline(20.0):
        batched.run(x(1))
        began = time.perf_counter()
        thread = at_once(batched.run, x(2))  # a thread of which nobody knows that the keeper waits for it
        thread.join(PATIENCE)
        assert time.perf_counter() - began >= scheduling.KEPT
        assert named.ran == [1, 2]
        batched.run(x(3))
    assert all_free(device)


def test_a_chunk_within_another_ones_deadline_ends_nothing_early(monkeypatch):
    monkeypatch.setattr(scheduling, "KEPT", PATIENCE)
    device, named = Device(1, express=0), Named()
    batched = Batched(named, device)
    with deadline(20.0):
        with deadline(10.0):
            batched.run(x(1))
        thread = at_once(batched.run, x(9))
        until(lambda: device.waiting)
        batched.run(x(2))
    thread.join(PATIENCE)
    assert named.ran == [1, 2, 9]


def test_who_keeps_a_slot_takes_along_whose_calls_of_the_same_network_wait():
    device = Device(1, express=0, longest=math.inf)
    sizes = []

    class Rows(Named):
        rows = 8

        def run(self, tensors):
            sizes.append(1)
            return super().run(tensors)

        def run_many(self, calls):
            sizes.append(len(calls))
            return [{"y": call["x"]} for call in calls]

    batched = Batched(Rows(), device)
    with deadline(20.0):
        batched.run(x(1))
        threads = [at_once(batched.run, x(n)) for n in (7, 8)]
        until(lambda: device.waiting == 2)
        batched.run(x(2))
    for thread in threads:
        thread.join(PATIENCE)
    assert sizes == [1, 3]
    assert all_free(device)


def test_a_thread_that_is_given_another_slot_keeps_only_one(monkeypatch):
    device = Device(2, express=0)
    lane, other = device.lane("mine"), device.lane("other")

    def others_run():
        """Somebody ends a run, and hands its slot to the call that is announced."""

        def run():
            assert device.begin(other, 1.0)
            device.end(other, time.perf_counter())

        at_once(run).join(PATIENCE)

    monkeypatch.setattr(scheduling, "let_others_run", others_run)
    with deadline(20.0):
        assert device.begin(lane, 1.0)
        device.end(lane, time.perf_counter())
        call = Call(lane, None, 0, 1.0)
        calls = device.wait(call, lambda *_: [], after_you=True)
        device.end(lane, time.perf_counter(), calls)
    assert device.running == 0
    assert all_free(device)
