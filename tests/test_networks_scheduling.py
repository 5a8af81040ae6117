"""Which call is next on a shared device: order, slots, cancelling, counters."""

import math
import threading
import time

import numpy as np
import pytest

from polyvox.errors import TensorError
from polyvox.networks import (
    Batched,
    Cancel,
    Cancelled,
    Device,
    InputSpec,
    Network,
    NetworkSpec,
    cancelling,
    deadline,
)
from polyvox.networks.calls import Call
from polyvox.tensors import TensorSpec
from tiny_device import PATIENCE, Gate, held, until, waiting


class Double(Network):
    """x [n] -> y [n], twice as large; says who ran it and how many did at once."""

    def __init__(self, name="double", fail=None):
        self.spec = NetworkSpec(
            name, "encoder", {"x": InputSpec("float32", ("n",))}, {"y": TensorSpec("float32", ("n",))}
        )
        self.ran, self.threads = [], []
        self.now = self.highest = 0
        self.fail = fail
        self._lock = threading.Lock()

    def run(self, tensors):
        self.measure(tensors)
        with self._lock:
            self.now += 1
            self.highest = max(self.highest, self.now)
            self.ran.append(float(tensors["x"][0]))
            self.threads.append(threading.get_ident())
        if self.fail is not None:
            raise self.fail
        time.sleep(0.0005)
        with self._lock:
            self.now -= 1
        return {"y": 2 * tensors["x"]}


def x(value, n=1):
    return {"x": np.full(n, value, np.float32)}


def call(network, value, at=None):
    def work():
        if at is None:
            return network.run(x(value))
        with deadline(at):
            return network.run(x(value))

    return work


def test_an_idle_device_runs_in_the_callers_thread():
    double = Double()
    assert Batched(double, Device(1)).run(x(3))["y"].tolist() == [6]
    assert double.threads == [threading.get_ident()]


def test_a_call_that_waited_runs_in_its_own_thread():
    device, double = Device(1, express=0), Double()
    found = waiting(device, [lambda: (threading.get_ident(), Batched(double, device).run(x(1)))])
    assert double.threads == [found[0].result()[0]]


@pytest.mark.parametrize(("by_deadline", "order"), [(True, [4, 2, 1, 3, 5]), (False, [1, 2, 3, 4, 5])])
def test_the_earliest_deadline_goes_first_and_ties_by_arrival(by_deadline, order):
    device, double = Device(1, express=0, by_deadline=by_deadline), Double()
    networks = [Batched(double, device), Batched(double, device)]  # of several networks, as of one
    works = [call(networks[i % 2], i + 1, at) for i, at in enumerate((30.0, 20.0, None, 10.0, math.inf))]
    for future in waiting(device, works):
        future.result()
    assert double.ran == order


def test_a_generators_calls_have_the_deadline_of_who_pulls():
    device, double = Device(1, express=0), Double()
    batched = Batched(double, device)

    def stream(value):
        while True:
            yield batched.run(x(value))

    early, late = stream(1), stream(2)

    def pull(chunks, at):
        with deadline(at):
            next(chunks)

    for future in waiting(device, [lambda: pull(late, 9.0), lambda: pull(early, 5.0)]):
        future.result()
    for future in waiting(device, [lambda: pull(early, 9.0), lambda: pull(late, 5.0)]):
        future.result()
    assert double.ran == [1, 2, 2, 1]


def test_a_deadline_ends_with_its_body_and_is_a_number():
    device, double = Device(1, express=0), Double()
    batched = Batched(double, device)

    def after():
        with deadline(1.0):
            pass
        batched.run(x(1))

    for future in waiting(device, [after, call(batched, 2, 5.0)]):
        future.result()
    assert double.ran == [2, 1]
    with pytest.raises(ValueError, match="nan"), deadline(math.nan):
        pass


@pytest.mark.parametrize("slots", [1, 3])
def test_no_more_runs_at_once_than_there_are_slots(slots):
    device, double = Device(slots, express=0), Double()
    batched = Batched(double, device)
    threads = [threading.Thread(target=lambda: [batched.run(x(i)) for i in range(20)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert double.highest == slots
    assert device.usage()["double"].calls == len(double.ran) == 160
    assert (device.running, device.waiting) == (0, 0)


def test_an_idle_slot_never_waits_for_company():
    device, gate, double = Device(2), Gate(), Double()
    other = threading.Thread(target=Batched(gate, device).run, args=({},))
    other.start()
    gate.entered.wait(PATIENCE)
    assert Batched(double, device).run(x(1))["y"].tolist() == [2]
    gate.opened.set()
    other.join(PATIENCE)


# --- short calls beside long runs --------------------------------------------------------------------------------


def known(device):
    """A network of which the device knows that it is short."""
    double = Double()
    batched = Batched(double, device)
    batched.run(x(0))
    return batched


@pytest.mark.parametrize(
    ("express", "mine", "runs"), [(5.0, math.inf, True), (5.0, 5.0, True), (0.0, 5.0, False), (1e-9, 5.0, False)]
)
def test_a_short_call_runs_beside_long_runs_that_are_no_more_urgent(express, mine, runs):
    device = Device(1, express=express)
    short = known(device)
    done = []

    def work():
        with deadline(mine):
            done.append(short.run(x(1)))

    thread = threading.Thread(target=work)
    with held(device):  # without a deadline
        thread.start()
        until(lambda: done or device.waiting == 1)
        assert bool(done) == runs
    thread.join(PATIENCE)
    assert len(done) == 1


def test_a_short_call_waits_for_long_runs_that_are_more_urgent():
    device = Device(1, express=0.5)
    short = known(device)
    thread = threading.Thread(target=short.run, args=(x(1),))
    gate = Gate()

    def work():
        with deadline(3.0):
            Batched(gate, device).run({})

    urgent = threading.Thread(target=work)
    urgent.start()
    gate.entered.wait(PATIENCE)
    thread.start()
    until(lambda: device.waiting == 1)
    gate.opened.set()
    for each in (urgent, thread):
        each.join(PATIENCE)
    assert device.waiting == device.running == 0


def test_one_call_at_a_time_runs_beside():
    device = Device(1, express=5.0)
    short = known(device)
    double = short.inner
    threads = [threading.Thread(target=lambda: [short.run(x(1)) for _ in range(10)]) for _ in range(4)]
    with held(device):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
    assert double.highest == 1
    assert len(double.ran) == 41


# --- cancelling --------------------------------------------------------------------------------------------------


def test_a_waiting_call_is_given_up_while_the_device_is_busy():
    device, double, cancel = Device(1, express=0), Double(), Cancel()
    batched = Batched(double, device)
    raised = []

    def work():
        with cancelling(cancel):
            try:
                batched.run(x(1))
            except Cancelled:
                raised.append(True)

    thread = threading.Thread(target=work)
    with held(device):
        thread.start()
        until(lambda: device.waiting == 1)
        cancel.set()
        thread.join(PATIENCE)
        assert raised == [True]
        assert device.waiting == 0
    assert double.ran == []
    assert batched.run(x(2))["y"].tolist() == [4]
    assert device.usage()["double"].cancelled == 1


def test_no_call_begins_once_it_is_cancelled():
    device, double, cancel = Device(1), Double(), Cancel()
    cancel.set()
    with cancelling(cancel), pytest.raises(Cancelled):
        Batched(double, device).run(x(1))
    assert double.ran == []
    assert Batched(double, device).run(x(1))


def test_cancelling_one_of_many_leaves_the_others_in_order():
    device, double = Device(1, express=0), Double()
    batched = Batched(double, device)
    cancels = [Cancel() for _ in range(5)]
    caught = []

    def work(i):
        with cancelling(cancels[i]), deadline(10.0 - i):
            try:
                batched.run(x(i))
            except Cancelled:
                caught.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(5)]
    with held(device):
        for thread in threads:
            thread.start()
        until(lambda: device.waiting == 5)
        for i in (4, 1):
            cancels[i].set()
        until(lambda: len(caught) == 2)
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(caught) == [1, 4]
    assert double.ran == [3, 2, 0]


def test_cancels_from_everywhere_leave_the_device_whole():
    device, double = Device(2, express=0), Double()
    batched = Batched(double, device)
    counted = {"ran": 0, "cancelled": 0}
    lock = threading.Lock()

    def work(seed):
        random = np.random.default_rng(seed)
        for _ in range(40):
            cancel = Cancel()
            timer = threading.Timer(float(random.uniform(0, 0.003)), cancel.set)
            timer.start()
            with cancelling(cancel), deadline(float(random.uniform(0, 9))):
                try:
                    batched.run(x(1))
                    what = "ran"
                except Cancelled:
                    what = "cancelled"
            with lock:
                counted[what] += 1
            timer.join()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sum(counted.values()) == 240
    assert len(double.ran) == counted["ran"]
    assert (device.running, device.waiting) == (0, 0)
    assert batched.run(x(1))


# --- failing -----------------------------------------------------------------------------------------------------


def test_a_failing_run_frees_its_slot():
    device = Device(1, express=0)
    broken = Batched(Double("broken", fail=TensorError("broken")), device)
    with pytest.raises(TensorError, match="broken"):
        broken.run(x(1))
    futures = waiting(device, [lambda: broken.run(x(1)), lambda: Batched(Double(), device).run(x(2))])
    assert isinstance(futures[0].exception(), TensorError)
    assert futures[1].result()["y"].tolist() == [4]
    assert device.running == 0


def test_an_interrupt_passes_the_slot_on():
    device = Device(1, express=0)
    broken = Batched(Double("broken", fail=KeyboardInterrupt()), device)
    futures = waiting(device, [lambda: broken.run(x(1)), lambda: Batched(Double(), device).run(x(2))])
    assert isinstance(futures[0].exception(), KeyboardInterrupt)
    assert futures[1].result()["y"].tolist() == [4]


@pytest.mark.parametrize("arguments", [{"slots": 0}, {"most": 0}, {"longest": -1.0}, {"express": math.nan}])
def test_a_device_of_nothing_is_refused(arguments):
    with pytest.raises(ValueError, match="a device needs"):
        Device(**arguments)


# --- counters ----------------------------------------------------------------------------------------------------


def test_usage_counts_each_networks_calls():
    device = Device(1, express=0)
    one, other = Batched(Double("one"), device), Batched(Double("other"), device, name="a.other")
    one.run(x(1))
    for future in waiting(device, [call(one, 1), call(other, 2), call(one, 3)]):
        future.result()
    usage = device.usage()
    assert (usage["one"].calls, usage["one"].runs, usage["one"].queued) == (3, 3, 2)
    assert usage["one"].sizes == (0, 3)
    assert (usage["a.other"].calls, usage["a.other"].queued, usage["a.other"].waiting) == (1, 1, 0)
    assert usage["one"].busy > 0
    assert usage["one"].waited >= usage["one"].longest > 0
    with held(device):
        thread = threading.Thread(target=call(other, 1))
        thread.start()
        until(lambda: device.usage()["a.other"].waiting == 1)
    thread.join(PATIENCE)


def test_what_a_closed_network_did_stays_counted():
    device = Device(1)
    for _ in range(2):
        network = Batched(Double(), device)
        network.run(x(1))
        network.close()
        network.close()
    assert device.usage()["double"].calls == 2


# --- what lies between a call's turn and its run -----------------------------------------------------------------


def test_a_leader_that_cannot_lead_passes_its_slot_on():
    device = Device(1, express=0)
    lane = device.lane("n")

    def company(call, waiting):
        raise RuntimeError("no")

    def lead():
        device.end(lane, time.perf_counter(), device.wait(Call(lane, None, 0, 1.0), company))

    futures = waiting(device, [lead, lead, call(Batched(Double(), device), 2)])  # the second has nobody to choose
    assert [type(f.exception()) for f in futures] == [RuntimeError, type(None), type(None)]
    assert (device.running, device.waiting) == (0, 0)


def test_a_call_that_is_cancelled_on_its_way_to_the_device_does_not_wait():
    device, cancel = Device(1, express=0), Cancel()
    cancel.set()
    with held(device), cancelling(cancel), pytest.raises(Cancelled):
        device.wait(Call(device.lane("n"), None, 0, 1.0), lambda *_: [])
    assert device.usage()["n"].queued == 0


def test_what_is_as_urgent_runs_beside_only_if_it_is_much_shorter():
    device = Device(1, express=1.0)
    for seconds, beside in ((0.05, True), (0.5, False)):
        lane = device.lane("n")
        call = Call(lane, None, 0, seconds)

        def lead(call=call, lane=lane):
            device.end(lane, time.perf_counter(), device.wait(call, lambda *_: []))

        thread = threading.Thread(target=lead)
        with held(device):
            thread.start()
            until(lambda c=call, t=thread: c in c.lane.waiting or not t.is_alive())
            assert thread.is_alive() != beside
        thread.join(PATIENCE)


def test_a_call_does_not_run_beside_one_that_is_over_soon():
    device = Device(1, express=5.0)
    short, lane = known(device), device.lane("other")
    for seconds, beside in ((1.0, True), (1e-9, False)):
        done = []
        thread = threading.Thread(target=lambda d=done: d.append(short.run(x(1))))
        assert device.begin(lane, seconds)
        thread.start()
        until(lambda d=done: d or device.waiting)
        assert bool(done) == beside
        device.end(lane, time.perf_counter())
        thread.join(PATIENCE)
        assert done
