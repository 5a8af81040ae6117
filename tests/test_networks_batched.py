"""Calls that wait at the same moment run as one, and are what they are alone."""

import gc
import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import polyvox
import tiny
import tiny_attention
from polyvox.addons import Addon
from polyvox.errors import StackError, TensorError
from polyvox.networks import (
    Batched,
    Cancel,
    Cancelled,
    Device,
    InputSpec,
    Network,
    NetworkSpec,
    Target,
    cancelling,
    deadline,
    load_network,
    target,
)
from polyvox.networks.batched import PADDING
from polyvox.networks.grouping import Group
from polyvox.networks.joint import pads
from polyvox.networks.onnxruntime import OnnxNetwork
from polyvox.tensors import TensorSpec
from polyvox.tracing import Trace
from tiny_device import PATIENCE, held, until, waiting

SIZES = {"tokens": (8, 16, 64), "frames": (12, 16, 40)}
JOINT = Target("tiny-joint", "compiled for one and for four", sizes=SIZES, batches=(1, 4))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("batched")
    tiny.acoustic(folder / "tim")
    tiny.vocoder(folder / "tom")
    tiny_attention.acoustic(folder / "ada")
    addons = {name: Addon.open(folder / name) for name in ("tim", "tom", "ada")}
    return {
        "text_encoder": addons["tim"].source("text_encoder"),
        "decoder": addons["tim"].source("decoder"),
        "vocoder": addons["tom"].source("vocoder"),
        "speaker": addons["ada"].source("speaker"),
    }


def tokens(count, first=0):
    return {"tokens": (first + np.arange(count, dtype=np.int64)) % len(tiny.SYMBOLS)}


def mel(frames, seed=0):
    return {"mel": np.random.default_rng(seed).standard_normal((frames, tiny.BANDS)).astype(np.float32)}


def device(**options):
    """One slot, and whatever fits is joined."""
    return Device(1, **{"longest": math.inf, "express": 0.0, **options})


def together(network, shared, calls, *, apart=0, **options):
    """The results of calls that waited together, and in how many runs of each size they were made."""
    batched = Batched(network, shared, **options)
    futures = waiting(shared, [lambda c=c: batched.run(c) for c in calls])
    usage = shared.usage()[network.spec.name]
    assert usage.apart == apart
    return futures, batched, usage.sizes


def same(ours, theirs, atol=1e-5):
    assert ours.keys() == theirs.keys()
    for name, array in theirs.items():
        assert ours[name].shape == array.shape
        np.testing.assert_allclose(ours[name], array, atol=atol, err_msg=name)


# --- runs --------------------------------------------------------------------------------------------------------


def test_waiting_calls_of_one_size_are_one_run_and_equal_alone(sources):
    network = load_network(sources["text_encoder"], target("cpu"))
    calls = [tokens(7, i) for i in range(5)]
    futures, _, sizes = together(network, device(), calls)
    assert sizes == (0, 0, 0, 0, 0, 1)
    for future, call in zip(futures, calls, strict=True):
        same(future.result(), network.run(call))


@pytest.mark.parametrize(("options", "most"), [({}, 3), ({"most": 2}, 2)])
def test_a_run_takes_no_more_than_the_device_or_the_network_says(sources, options, most):
    network = load_network(sources["text_encoder"], target("cpu"))
    _, _, sizes = together(network, device(most=3), [tokens(7, i) for i in range(6)], **options)
    assert len(sizes) - 1 == most
    assert sizes[most] == 6 // most


def test_batching_can_be_switched_off(sources):
    network = load_network(sources["text_encoder"], target("cpu"))
    _, _, sizes = together(network, device(most=1), [tokens(7, i) for i in range(4)])
    assert sizes == (0, 4)


def test_the_most_urgent_of_one_size_come_along(sources, monkeypatch):
    network = load_network(sources["text_encoder"], target("cpu"))
    shared = device(most=2)
    batched = Batched(network, shared)
    runs = []
    inner = network.run_many
    monkeypatch.setattr(network, "run_many", lambda calls: runs.append([c["tokens"][0] for c in calls]) or inner(calls))

    def work(at, count, first):
        with deadline(at):
            batched.run(tokens(count, first))

    works = [(9.0, 7, 1), (1.0, 7, 2), (2.0, 30, 3), (3.0, 7, 4)]
    for future in waiting(shared, [lambda w=w: work(*w) for w in works]):
        future.result()
    assert runs == [[2, 4]]


@pytest.mark.parametrize("name", ["text_encoder", "decoder", "vocoder"])
def test_sizes_that_differ_little_are_padded_and_equal_alone(sources, name):
    network = load_network(sources[name], target("cpu"))
    assert pads(network.spec)
    counts = [20, 20 + PADDING, 20 + PADDING // 2, 20]

    def call(i, count):
        if name == "text_encoder":
            return tokens(count, i)
        if name == "vocoder":
            return mel(count, i)
        encoded = np.random.default_rng(i).standard_normal((count, 8)).astype(np.float32)
        return {"encoded": encoded, "token_position": encoded[:, 0].copy(), "brightness": np.float32(0.1 * i)}

    calls = [call(i, n) for i, n in enumerate(counts)]
    futures, _, sizes = together(network, device(), calls)
    assert sizes == (0, 0, 0, 0, 1)
    for future, tensors in zip(futures, calls, strict=True):
        same(future.result(), network.run(tensors))


def test_sizes_that_differ_much_run_apart(sources):
    network = load_network(sources["text_encoder"], target("cpu"))
    counts = (10, 10 + PADDING + 1, 10 + PADDING, 40)
    futures, _, sizes = together(network, device(), [tokens(n) for n in counts])
    assert sizes == (0, 2, 1)
    assert [len(f.result()["hidden"]) for f in futures] == list(counts)


def without_mask():
    from onnx import helper

    mean = helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=1)
    data = tiny.graph({"x": ("float32", ["n"])}, {"y": ("float32", [1])}, [mean], {})
    return OnnxNetwork(
        NetworkSpec("mean", "encoder", {"x": InputSpec("float32", ("n",))}, {"y": TensorSpec("float32", (1,))}),
        data,
        "mean.onnx",
    )


def test_a_network_without_masks_is_never_padded():
    calls = [{"x": np.full(n, n, np.float32)} for n in (3, 3, 4)]
    futures, batched, sizes = together(without_mask(), device(), calls)
    assert [f.result()["y"].tolist() for f in futures] == [[3], [3], [4]]
    assert sizes == (0, 1, 1)
    assert [made["y"].tolist() for made in batched.inner.run_many(calls)] == [[3], [3], [4]]


def test_calls_that_take_long_are_not_joined(sources):
    network = load_network(sources["text_encoder"], target("cpu"))
    for longest, expected in ((1e-9, (0, 5)), (60.0, (0, 1, 0, 0, 1))):
        shared = device(longest=longest)
        batched = Batched(network, shared)
        batched.run(tokens(7))  # now it is known how long it takes
        for future in waiting(shared, [lambda b=batched, i=i: b.run(tokens(7, i)) for i in range(4)]):
            future.result()
        assert shared.usage()["text_encoder"].sizes == expected


# --- errors ------------------------------------------------------------------------------------------------------


def test_a_wrong_call_is_refused_before_it_meets_others(sources):
    network = load_network(sources["text_encoder"], target("cpu"))
    calls = [tokens(7), {"tokens": np.zeros(7, np.float32)}, {}, tokens(7, 3)]
    futures, _, sizes = together(network, device(), calls)
    for i in (0, 3):
        same(futures[i].result(), network.run(calls[i]))
    for i in (1, 2):
        assert isinstance(futures[i].exception(), TensorError)
    assert "is float32, expected int64" in str(futures[1].exception())
    assert sizes == (0, 0, 1)


def test_a_call_that_fails_in_the_run_fails_alone(sources):
    network = load_network(sources["text_encoder"], target("cpu"))
    calls = [tokens(7), {"tokens": np.full(7, 10**6)}, tokens(7, 3)]  # beyond the table: the runtime finds out
    for order in ([0, 1, 2], [1, 0, 2]):
        futures, _, _ = together(network, device(), [calls[i] for i in order], apart=1)
        for i, future in zip(order, futures, strict=True):
            if i == 1:
                assert isinstance(future.exception(), TensorError)
            else:
                same(future.result(), network.run(calls[i]))


def test_one_who_came_along_can_be_cancelled_and_the_others_go_on():
    entered, opened = threading.Event(), threading.Event()

    class Slow(OnnxNetwork):
        def run_batch(self, feed):
            entered.set()
            assert opened.wait(PATIENCE)
            return super().run_batch(feed)

    plain = without_mask()
    network = plain
    network.__class__ = Slow
    shared, cancel = device(), Cancel()
    batched = Batched(network, shared)
    results = {}

    def work(i):
        try:
            with cancelling(cancel if i == 1 else Cancel()):
                results[i] = batched.run({"x": np.full(3, i, np.float32)})["y"].tolist()
        except Cancelled:
            results[i] = "cancelled"

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    with held(shared):
        for count, thread in enumerate(threads, 1):
            thread.start()
            until(lambda n=count: shared.waiting == n)
    entered.wait(PATIENCE)
    cancel.set()
    until(lambda: results == {1: "cancelled"})
    opened.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert results == {0: [0], 1: "cancelled", 2: [2]}
    assert shared.running == 0


def test_who_came_along_with_an_interrupted_leader_runs_later(monkeypatch):
    network, shared = without_mask(), device()
    inner = network.run_many
    interrupts = [KeyboardInterrupt()]

    def run_many(calls):
        if interrupts:
            raise interrupts.pop()
        return inner(calls)

    monkeypatch.setattr(network, "run_many", run_many)
    futures, _, sizes = together(network, shared, [{"x": np.full(3, i, np.float32)} for i in range(4)])
    assert isinstance(futures[0].exception(), KeyboardInterrupt)
    assert [f.result()["y"].tolist() for f in futures[1:]] == [[1], [2], [3]]
    assert sizes == (0, 0, 0, 1, 0)


# --- runtimes ----------------------------------------------------------------------------------------------------


def test_one_run_of_the_graph_makes_them_all(sources, monkeypatch):
    network = load_network(sources["vocoder"], target("cpu"))
    alone = [network.run(mel(9, i)) for i in range(3)]
    fed = []
    inner = network.run_batch
    monkeypatch.setattr(network, "run_batch", lambda feed: fed.append(feed["mel"].shape) or inner(feed))
    monkeypatch.setattr(network, "run", None)
    for ours, theirs in zip(network.run_many([mel(9, i) for i in range(3)]), alone, strict=True):
        same(ours, theirs)
    assert fed == [(3, 9, tiny.BANDS)]


def test_a_graph_whose_batch_is_one_runs_one_by_one(sources):
    source = sources["text_encoder"]
    fixed = OnnxNetwork(source.spec, source.data, "e.onnx", dims={"batch": 1})
    assert fixed.rows == 1
    made = fixed.run_many([tokens(5), tokens(9)])
    assert [len(m["hidden"]) for m in made] == [5, 9]
    _, _, sizes = together(fixed, device(), [tokens(5), tokens(5)])
    assert sizes == (0, 2)


def test_compiled_batches_take_several_and_pad_rows_nobody_asked_for(sources, monkeypatch):
    network, dynamic = (
        load_network(sources["text_encoder"], JOINT),
        load_network(sources["text_encoder"], target("cpu")),
    )
    assert network.rows == 4
    rows = []
    for batch, compiled in network._batches.items():
        for inner in compiled.values():
            name = "run" if batch == 1 else "run_batch"
            call = getattr(inner, name)
            monkeypatch.setattr(inner, name, lambda feed, b=batch, c=call: rows.append(b) or c(feed))
    counts = [3, 8, 5, 1, 8, 2, 7]  # all of the compiled size 8
    for ours, i in zip(network.run_many([tokens(n, n) for n in counts]), counts, strict=True):
        same(ours, dynamic.run(tokens(i, i)))
    assert rows == [4, 4]
    rows.clear()
    network.run_many([tokens(3), tokens(4)])
    network.run_many([tokens(3)])
    assert rows == [4, 1]


def test_compiled_networks_join_what_has_the_same_compiled_size(sources):
    network, dynamic = (
        load_network(sources["text_encoder"], JOINT),
        load_network(sources["text_encoder"], target("cpu")),
    )
    counts = (1, 30, 8, 9, 60, 4)  # of sizes 8, 64, 8, 16, 64, 8
    futures, batched, sizes = together(network, device(), [tokens(n, n) for n in counts])
    assert sizes == (0, 1, 1, 1)
    for future, n in zip(futures, counts, strict=True):
        same(future.result(), dynamic.run(tokens(n, n)))
    assert batched.sizes == network.sizes
    with pytest.raises(TensorError, match="65 tokens exceed the largest compiled size, 64"):
        batched.run(tokens(65))


def test_windows_of_a_compiled_size_are_joined_without_padding(sources):
    network = load_network(sources["vocoder"], JOINT)
    calls = [mel(16, i) for i in range(4)]
    futures, _, sizes = together(network, device(), calls)
    assert sizes == (0, 0, 0, 0, 1)
    for future, call in zip(futures, calls, strict=True):
        same(future.result(), network.run(call))


# --- steppers ----------------------------------------------------------------------------------------------------


def start(count, seed=0):
    random = np.random.default_rng(seed)
    return {
        "memory": random.standard_normal((count, tiny_attention.WIDTH)).astype(np.float32),
        "place": np.arange(count, dtype=np.float32),
        "last": np.asarray(count - 1, dtype=np.float32),
        "attention_mask": np.ones(count, dtype=np.float32),
    }


def step_together(shared, steppers, changes=None):
    """One step of each, in one run if they fit."""
    changes = changes or {}

    def work(i):
        return {n: np.array(a) for n, a in steppers[i].step(changes.get(i)).items()}

    return [f.result() for f in waiting(shared, [lambda i=i: work(i) for i in range(len(steppers))])]


@pytest.mark.parametrize("on", [target("cpu"), JOINT], ids=lambda on: on.name)
def test_steps_of_several_are_one_run_and_equal_alone(sources, on):
    network = load_network(sources["speaker"], on)
    shared = device()
    batched = Batched(network, shared)
    counts = (9, 14, 12, 16)  # all of the compiled size 16
    mixed = [batched.stepper(start(n, n)) for n in counts]
    alone = [network.stepper(start(n, n)) for n in counts]
    barred = np.zeros(14, np.float32)
    barred[3:6] = 1
    for step in range(10):
        changes = {1: {"attention_mask": barred}} if step == 4 else {}
        for i, made in enumerate(step_together(shared, mixed, changes)):
            same(made, alone[i].step(changes.get(i)))
        barred = barred.copy()
    usage = shared.usage()["speaker"]
    assert (usage.sizes, usage.apart) == ((0, 0, 0, 0, 10), 0)


def test_what_is_padded_is_not_attended_to(sources, monkeypatch):
    network = load_network(sources["speaker"], target("cpu"))
    made = []
    inner = network.run_batch
    monkeypatch.setattr(network, "run_batch", lambda feed: made.append(inner(feed)) or made[-1])
    shared = device()
    batched = Batched(network, shared)
    counts = (5, 31)
    steppers = [batched.stepper(start(n, n)) for n in counts]
    for _ in range(5):
        step_together(shared, steppers)
    for batch in made:
        (short,) = [row for row in batch["alignment"] if row[5:].sum() == 0]
        assert short.sum() == pytest.approx(1)


def test_a_lone_stepper_is_the_networks_own(sources, monkeypatch):
    network = load_network(sources["speaker"], target("cpu"))
    monkeypatch.setattr(network, "run_batch", None)
    stepper, plain = Batched(network, Device(1)).stepper(start(9)), network.stepper(start(9))
    for _ in range(5):
        same(stepper.step(), plain.step(), atol=0)


def test_steppers_that_cannot_share_a_run_take_turns():
    network = tiny_attention.Scripted()
    shared = device()
    batched = Batched(network, shared)
    steppers = [batched.stepper(tiny_attention.encoded(n) | {"attention_mask": np.ones(n, np.float32)}) for n in (5, 9)]
    made = step_together(shared, steppers)
    assert [len(m["alignment"]) for m in made] == [5, 9]
    assert shared.usage()["scripted"].sizes == (0, 2)


def test_steppers_without_a_mask_meet_only_their_like():
    from onnx import helper

    nodes = [
        helper.make_node("Add", ["x", "sum"], ["next_sum"]),
        helper.make_node("ReduceMean", ["next_sum"], ["y"], axes=[1], keepdims=0),
    ]
    data = tiny.graph(
        {"x": ("float32", ["n"]), "sum": ("float32", ["n"])},
        {"y": ("float32", []), "next_sum": ("float32", ["n"])},
        nodes,
        {},
    )
    values = TensorSpec("float32", ("n",))
    spec = NetworkSpec(
        "adder",
        "attention_decoder",
        {n: InputSpec("float32", ("n",)) for n in ("x", "sum")},
        {"y": TensorSpec("float32", ()), "next_sum": values},
        state={"sum": "next_sum"},
    )
    network, shared = OnnxNetwork(spec, data, "adder.onnx"), device()
    batched = Batched(network, shared)
    steppers = [batched.stepper({"x": np.full(n, n, np.float32)}) for n in (3, 4, 3)]
    for step in (1, 2, 3):
        assert [float(m["y"]) for m in step_together(shared, steppers)] == [3 * step, 4 * step, 3 * step]
    usage = shared.usage()["adder"]
    assert (usage.sizes, usage.apart) == ((0, 3, 3), 0)


def test_a_wrong_change_is_its_own_streams_error(sources):
    network = load_network(sources["speaker"], target("cpu"))
    shared = device()
    batched = Batched(network, shared)
    one, other = batched.stepper(start(9)), batched.stepper(start(9))
    works = [lambda: one.step({"attention_mask": np.ones(3, np.float32)}), other.step]
    futures = waiting(shared, works)
    assert "has shape [3] now, expected [9]" in str(futures[0].exception())
    same(futures[1].result(), network.stepper(start(9)).step())


def test_a_joint_step_that_fails_is_made_alone(sources, monkeypatch):
    network = load_network(sources["speaker"], target("cpu"))
    shared = device()
    batched = Batched(network, shared)
    steppers, alone = ([n.stepper(start(c, c)) for c in (6, 9)] for n in (batched, network))
    inner = network.run_batch
    fails = []

    def run_batch(feed):
        if fails:
            raise TensorError("the runtime fails")
        return inner(feed)

    monkeypatch.setattr(network, "run_batch", run_batch)
    for step in range(6):
        fails[:] = [True] if step in (2, 3) else []
        for ours, theirs in zip(step_together(shared, steppers), alone, strict=True):
            same(ours, theirs.step())
    assert shared.usage()["speaker"].apart == 2


class Twin:
    """An utterance stepped on a device and, for comparison, alone."""

    def __init__(self, batched, network, count, seed):
        self.count = count
        self.ours, self.theirs = batched.stepper(start(count, seed)), network.stepper(start(count, seed))
        self.saved = None
        self.change = None

    def compare(self, made):
        same(made, self.theirs.step(self.change))
        self.change = None


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.just("join"), st.integers(1, 40)),
        st.tuples(st.just("leave"), st.integers(0, 7)),
        st.tuples(st.just("save"), st.integers(0, 7)),
        st.tuples(st.just("restore"), st.integers(0, 7)),
        st.tuples(st.just("mask"), st.integers(0, 7)),
        st.tuples(st.just("alone"), st.integers(0, 7)),
        st.tuples(st.just("step"), st.integers(1, 255)),
    ),
    min_size=5,
    max_size=25,
)


@settings(max_examples=40)
@given(actions=ACTIONS, compiled=st.booleans())
def test_streams_come_go_and_go_back_in_any_order(sources, actions, compiled):
    network = load_network(sources["speaker"], JOINT if compiled else target("cpu"))
    shared = device()
    batched = Batched(network, shared)
    twins = [Twin(batched, network, 6, 1), Twin(batched, network, 11, 2)]
    for number, (action, argument) in enumerate(actions):
        if action == "join" and len(twins) < 8:
            twins.append(Twin(batched, network, argument, number))
        elif action == "step":
            chosen = [t for i, t in enumerate(twins) if argument >> i & 1]
            if chosen:
                changes = {i: t.change for i, t in enumerate(chosen) if t.change}
                for twin, made in zip(chosen, step_together(shared, [t.ours for t in chosen], changes), strict=True):
                    twin.compare(made)
        elif twins:
            twin = twins[argument % len(twins)]
            if action == "leave":
                twins.remove(twin)
                del twin
                gc.collect()
            elif action == "save":
                twin.saved = twin.ours.save(), twin.theirs.save()
            elif action == "restore" and twin.saved is not None:
                twin.ours.restore(twin.saved[0])
                twin.theirs.restore(twin.saved[1])
            elif action == "mask":
                mask = np.ones(twin.count, np.float32)
                mask[: twin.count // 3] = 0
                twin.change = {"attention_mask": mask}
            elif action == "alone":
                twin.compare(twin.ours.step(twin.change))
    assert "speaker" not in shared.usage() or shared.usage()["speaker"].apart == 0


def test_streams_step_at_once_from_threads(sources):
    network = load_network(sources["speaker"], target("cpu"))
    shared = Device(2)
    batched = Batched(network, shared)

    def speak(seed):
        random = np.random.default_rng(seed)
        for count in random.integers(2, 40, 3).tolist():
            ours, theirs = batched.stepper(start(count, seed)), network.stepper(start(count, seed))
            kept = None
            for step in range(30):
                if step % 7 == seed % 7:
                    kept = ours.save(), theirs.save()
                elif kept is not None and step % 11 == 0:
                    ours.restore(kept[0])
                    theirs.restore(kept[1])
                same(ours.step(), theirs.step())
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(speak, range(8)))
    assert (shared.running, shared.waiting) == (0, 0)
    assert shared.usage()["speaker"].calls == 8 * 3 * 30
    assert shared.usage()["speaker"].apart == 0


def test_a_stream_that_is_cancelled_in_a_joint_step_leaves_its_row_alone(sources, monkeypatch):
    network = load_network(sources["speaker"], target("cpu"))
    shared, cancel = device(), Cancel()
    batched = Batched(network, shared)
    entered, opened = threading.Event(), threading.Event()
    inner = network.run_batch

    def run_batch(feed):
        entered.set()
        assert opened.wait(PATIENCE)
        return inner(feed)

    monkeypatch.setattr(network, "run_batch", run_batch)
    steppers = [batched.stepper(start(9, i)) for i in range(3)]
    results = {}

    def work(i):
        try:
            with cancelling(cancel if i == 1 else Cancel()):
                results[i] = {n: np.array(a) for n, a in steppers[i].step().items()}
        except Cancelled:
            results[i] = None

    threads = [threading.Thread(target=work, args=(i,)) for i in range(3)]
    with held(shared):
        for count, thread in enumerate(threads, 1):
            thread.start()
            until(lambda n=count: shared.waiting == n)
    entered.wait(PATIENCE)
    cancel.set()
    until(lambda: 1 in results)
    with pytest.raises(Cancelled):
        steppers[1].step()
    steppers[1] = None
    opened.set()
    for thread in threads:
        thread.join(PATIENCE)
    assert results[1] is None
    plain = [network.stepper(start(9, i)) for i in range(3)]
    for i in (0, 2):
        same(results[i], plain[i].step())
    joined = batched.stepper(start(12, 5))  # takes the row that was left
    fresh = network.stepper(start(12, 5))
    for ours, theirs in zip(
        step_together(shared, [steppers[0], steppers[2], joined]), (plain[0], plain[2], fresh), strict=True
    ):
        same(ours, theirs.step())


class Adder(Network):
    """x, sum [n] -> next_sum [n], by rows; remembers what it was fed."""

    rows = 8

    def __init__(self):
        values = InputSpec("float32", ("n",))
        self.spec = NetworkSpec(
            "adder", "attention_decoder", {"x": values, "sum": values}, {"next_sum": values}, state={"sum": "next_sum"}
        )
        self.fed, self.hold = [], None

    def run(self, tensors):
        raise NotImplementedError

    def run_batch(self, feed):
        self.fed.append(feed)
        if self.hold is not None:
            assert self.hold.wait(PATIENCE)
        return {"next_sum": feed["x"] + feed["sum"]}


def fixed(value, n=3):
    return {"x": np.full(n, value, np.float32)}


def test_rows_side_by_side_run_where_they_lie():
    network = Adder()
    group = Group(network)
    rows = [group.join({"n": 3}, fixed(i)) for i in range(4)]
    for some in (rows, rows[1:3], rows[1:3]):
        group.run(some)
    assert all(np.shares_memory(network.fed[0]["x"], feed["x"]) for feed in network.fed)
    group.run([rows[0], rows[2]])
    group.run([rows[0], rows[2]])
    assert network.fed[-1]["x"] is network.fed[-2]["x"]  # gathered once
    assert group.read(rows[2], {"sum": (3,)})["sum"].tolist() == [10, 10, 10]
    group.write(rows[2], fixed(5))
    assert group.run([rows[0], rows[2]])["next_sum"].tolist() == [[0, 0, 0], [15, 15, 15]]


def test_a_row_is_taken_again_when_nothing_runs_on_it():
    network = Adder()
    group = Group(network)
    kept, left = (group.join({"n": 3}, fixed(i)) for i in range(2))
    network.hold = threading.Event()
    thread = threading.Thread(target=group.run, args=([kept, left],))
    thread.start()
    until(lambda: network.fed)
    group.leave(left)
    during = group.join({"n": 3}, fixed(7))
    assert during not in (kept, left)
    network.hold.set()
    thread.join(PATIENCE)
    assert group.read(during, {"sum": (3,)})["sum"].tolist() == [0, 0, 0]
    assert group.join({"n": 3}, fixed(8)) == left


def test_a_group_is_as_large_as_its_members_need(sources):
    network = load_network(sources["speaker"], target("cpu"))
    fed = []
    inner = network.run_batch
    network.run_batch = lambda feed: fed.append(feed["memory"].shape[1]) or inner(feed)
    shared = device()
    batched = Batched(network, shared)
    for _ in range(20):  # steppers that nobody holds give their rows back
        steppers = [batched.stepper(start(n)) for n in (9, 100)]
        step_together(shared, steppers)
    assert fed[-1] == 100
    kept = steppers.pop(0)
    del steppers
    step_together(shared, [kept, batched.stepper(start(12))])
    assert fed[-1] < 50
    (group,) = batched._groups.values()
    assert group._capacity <= 4


# --- voices ------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    tiny.vocoder(tmp_path / "tom")
    tiny.acoustic(tmp_path / "tim")
    tiny_attention.acoustic(tmp_path / "ada")
    return tmp_path


def test_voices_on_a_device_say_what_they_say_alone(folder):
    shared = Device(2, longest=math.inf)
    texts = ["hello there.", "how are you today?", "fine, and you. what a day.", "oh"]
    for name in ("tim", "ada"):
        alone, scheduled = polyvox.load(folder / name), polyvox.load(folder / name, device=shared)
        expected = [alone.say(text).samples for text in texts]
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda text, voice=scheduled: voice.say(text).samples, texts * 6))
        for samples, wanted in zip(made, expected * 6, strict=True):
            np.testing.assert_allclose(samples, wanted, atol=1e-4)
        alone.close()
        scheduled.close()
    assert {"tim.text_encoder", "ada.speaker", "tom.vocoder"} <= shared.usage().keys()
    assert len(shared.networks) == 0


def test_voices_share_the_networks_that_are_the_same(folder):
    shared = Device(1)
    tim = polyvox.load(folder / "tim", device=shared)
    own = len(shared.networks)
    ada = polyvox.load(folder / "ada", device=shared)
    assert len(shared.networks) == own + 2  # its encoder and decoder, not the vocoder again
    again = polyvox.load(folder / "tim", device=shared)
    fixed = polyvox.load(folder / "tim", device=shared, target=Target("f", "", sizes=SIZES))
    assert len(shared.networks) == 2 * own + 2
    fixed.close()
    tim.close()
    tim.close()
    assert again.say("hello").samples.any()
    with pytest.raises(TensorError, match="is closed"):
        tim.say("hello")
    again.close()
    assert len(shared.networks) == 3
    assert ada.say("hello").samples.any()
    ada.close()
    assert len(shared.networks) == 0


def test_a_changed_file_is_another_network(folder):
    shared = Device(1)
    before = polyvox.load(folder / "tim", device=shared)
    held_before = len(shared.networks)
    source = folder / "tim" / "prosody.onnx"
    source.write_bytes(source.read_bytes() + b"")
    stack = [
        {
            "type": "StreamablePipeline",
            "sequence_block": {"type": "Encoders"},
            "streamable_block": {"type": "Upsampler"},
        }
    ]
    assert stack
    decoder = folder / "tim" / "decoder.onnx"
    other = tiny.graph(
        {
            "encoded": ("float32", ["frames", 8]),
            "token_position": ("float32", ["frames"]),
            "brightness": ("float32", []),
            "frames_mask": ("float32", ["frames"]),
        },
        {"mel": ("float32", ["frames", 8])},
        [tiny.helper.make_node("Neg", ["encoded"], ["mel"])],
        {},
    )
    decoder.write_bytes(other)
    after = polyvox.load(folder / "tim", device=shared)
    assert len(shared.networks) == held_before + 1
    assert not np.array_equal(before.say("hello").samples, after.say("hello").samples)


def test_a_stack_that_fails_leaves_nothing_loaded(folder):
    shared = Device(1)
    tiny.edit(folder / "tim", lambda m: m["stack"][0]["streamable_block"]["stack"].append({"type": "Nonsense"}))
    with pytest.raises(StackError):
        polyvox.load(folder / "tim", device=shared)
    assert len(shared.networks) == 0


def test_a_trace_sees_each_streams_own_calls(folder):
    trace = Trace()
    voice = polyvox.load(folder / "tim", device=Device(1), trace=trace)
    voice.say("hello there")
    assert {s.name for s in trace.spans if s.track == "networks"} >= {"text_encoder", "decoder", "vocoder"}
