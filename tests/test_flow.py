"""FlowDecoder: flow matching over windows."""

import threading
from itertools import cycle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import polyvox
import tiny
import tiny_flow
from polyvox import blocks
from polyvox.addons import Addon
from polyvox.blocks import connect
from polyvox.checking import TOLERANCE, check
from polyvox.errors import StackError, TensorError
from polyvox.networks import InputSpec
from polyvox.tensors import Specs, TensorSpec, join
from polyvox.tracing import Trace
from polyvox.windows import WHOLE, Pace

TEXT = "hello there, how are you today? fine. and you."


def upstream(total=60, seed=0):
    random = np.random.default_rng(seed)
    return {
        "prior": random.standard_normal((total, 2)).astype(np.float32),
        "spread": random.uniform(0.2, 1, (total, 2)).astype(np.float32),
        "token_index": np.arange(total),
    }


def source(tensors, size=WHOLE):
    total = len(next(iter(tensors.values())))
    for first in range(0, total, size):
        yield {name: array[first : first + size] for name, array in tensors.items()}


def flow(network=None, **fields):
    network = tiny_flow.moving(prior="prior") if network is None else network
    return blocks.FlowDecoder(tiny.parts(network), **fields)


def pull(stream, wanted=(WHOLE,)):
    chunks = []
    for size in cycle(wanted):
        stream.ask(size)
        chunk = next(stream, None)
        if chunk is None:
            return join(chunks)
        chunks.append(chunk)
    return {}


def run(block, given=None, tensors=None, sizes=WHOLE, wanted=(WHOLE,)):
    return pull(connect(block, tensors or {}, source(upstream() if given is None else given, sizes)), wanted)


def noise(total, seed=0, bands=2):
    """The noise as its documentation says: drawn frame by frame from PCG64."""
    random = np.random.Generator(np.random.PCG64(seed))
    return np.stack([random.standard_normal(bands, dtype=np.float32) for _ in range(total)])


def close(got, expected, tolerance=1e-5):
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, atol=tolerance, rtol=0)


# --- what is computed


def test_one_step_is_the_guess_and_noise_and_the_velocity_there():
    network, came = tiny_flow.moving(prior="prior"), upstream()
    begun = came["prior"] + np.float32(0.5) * came["spread"] * noise(60, seed=3)
    velocity = network.run({"state": begun, "prior": came["prior"], "time": np.float32(0)})["velocity"]
    got = run(flow(network, steps=1, temperature=0.5, seed=3))
    close(got["mel"], begun + velocity)
    assert list(got) == ["token_index", "mel"]


@pytest.mark.parametrize("steps", [2, 3, 10])
def test_steps_follow_eulers_method(steps):
    network, came = tiny_flow.moving(prior="prior"), upstream()
    state = came["prior"] + np.float32(0.667) * came["spread"] * noise(60)
    for k in range(steps):
        now = {"state": state, "prior": came["prior"], "time": np.float32(k / steps)}
        state = state + network.run(now)["velocity"] / np.float32(steps)
    close(run(flow(network, steps=steps))["mel"], state)


def test_without_start_and_spread_the_flow_starts_at_noise():
    network, came = tiny_flow.moving(prior="condition"), {"condition": upstream()["prior"]}
    begun = np.float32(0.667) * noise(60)
    velocity = network.run({"state": begun, **came, "time": np.float32(0)})["velocity"]
    close(run(flow(network, steps=1, start=None, spread=None), came)["mel"], begun + velocity)


@pytest.mark.parametrize("start", ["prior", None])
def test_temperature_0_needs_no_noise(start):
    network, came = tiny_flow.moving(prior="prior"), upstream()
    begun = came["prior"] if start else np.zeros((60, 2), np.float32)
    velocity = network.run({"state": begun, "prior": came["prior"], "time": np.float32(0)})["velocity"]
    for seed in (0, 1):
        got = run(flow(network, steps=1, start=start, temperature=0, seed=seed))
        close(got["mel"], begun + velocity)


def test_the_upstreams_tensors_are_not_written_to():
    came = upstream()
    copies = {name: array.copy() for name, array in came.items()}
    for temperature in (0.0, 1.0):
        run(flow(temperature=temperature, keep=["prior"]), came)
    for name, array in copies.items():
        np.testing.assert_array_equal(came[name], array)


def test_the_tensor_temperature_is_used_instead():
    expected = run(flow(temperature=0.25))["mel"]
    got = run(flow(temperature=1.0), tensors={"temperature": np.float32(0.25)})["mel"]
    close(got, expected)
    assert np.abs(got - run(flow(temperature=1.0))["mel"]).max() > 0.01


def test_the_same_seed_draws_the_same_and_another_does_not():
    first = run(flow(seed=1))["mel"]
    np.testing.assert_array_equal(run(flow(seed=1))["mel"], first)
    assert np.abs(run(flow(seed=2))["mel"] - first).max() > 0.1


def test_static_inputs_come_from_the_tensors():
    network = tiny_flow.moving(prior="prior", bias="loud")
    quiet, loud = (run(flow(network), tensors={"loud": np.float32(x)})["mel"] for x in (0, 1))
    assert np.abs(quiet - loud).max() > 0.1


def test_a_network_may_have_time_as_its_last_axis():
    plain, turned = flow(), flow(tiny_flow.moving(prior="prior", turned=True))
    close(run(turned)["mel"], run(plain)["mel"])
    specs = Specs({n: TensorSpec("float32", ("frames", 2)) for n in ("prior", "spread")})
    assert turned.specs(Specs(), specs) == plain.specs(Specs(), specs)


def test_what_is_kept_and_what_passes():
    came = {**upstream(), "velocity": np.ones(60, np.float32), "state": np.zeros((60, 5))}
    got = run(flow(output="drawn", keep=["spread"]), came)
    assert set(got) == {"drawn", "spread", "token_index", "velocity", "state"}
    np.testing.assert_array_equal(got["spread"], came["spread"])
    np.testing.assert_array_equal(got["state"], came["state"])
    said = flow(output="drawn", keep=["spread"]).specs(Specs(), specs(pitch=TensorSpec("float32", ("frames",))))
    assert set(said) == {"drawn", "spread", "pitch"}


def test_flows_can_follow_each_other():
    first, second = tiny_flow.moving(prior="prior"), tiny_flow.moving(3, 1, prior="mel")
    both = blocks.StreamableStack(
        [flow(first, keep=["spread"]), blocks.FlowDecoder(tiny.parts(second), start="mel", seed=1)]
    )
    expected = run(both)["mel"]
    close(run(both, sizes=7, wanted=(3, 11))["mel"], expected)


# --- in chunks

SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(
    total=st.integers(1, 90),
    sizes=st.integers(1, 50),
    wanted=SIZES,
    context=st.tuples(st.integers(0, 6), st.integers(0, 6)),
    steps=st.integers(1, 6),
    compiled=st.sampled_from([(), (16,), (13, 40), (14, 27, 64)]),
)
def test_chunks_of_any_size_join_to_the_whole(total, sizes, wanted, context, steps, compiled):
    came = upstream(total)
    expected = run(flow(tiny_flow.moving(*context, prior="prior"), steps=steps), came)
    network = tiny_flow.moving(*context, prior="prior", sizes=compiled)
    got = run(flow(network, steps=steps), came, sizes=sizes, wanted=wanted)
    close(got["mel"], expected["mel"])
    assert got["token_index"].tolist() == list(range(total))


def test_only_a_steps_own_context_is_computed_twice():
    left, right, steps, total = 5, 4, 4, 200
    network = tiny_flow.moving(left, right, prior="prior")
    run(flow(network, steps=steps), upstream(total), wanted=(20,))
    assert network.calls <= steps * (total // 20 + 1)
    assert sum(network.lengths) <= steps * total + network.calls * (left + right)


def test_lookahead_adds_up_over_the_steps_and_nothing_more_is_read():
    taken = []

    def one_by_one():
        for chunk in source(upstream(200), 1):
            taken.append(chunk)
            yield chunk

    block = flow(tiny_flow.moving(5, 3, prior="prior"), steps=4)
    stream = connect(block, {}, one_by_one())
    stream.ask(10)
    assert len(next(stream)["mel"]) == 10
    assert len(taken) == 10 + 4 * 3 == 10 + block.context.right
    assert block.context.left == 4 * 5


# --- as an addon


@pytest.mark.parametrize("target", ["cpu", "cpu-fixed"])
def test_a_voice_says_the_same_in_chunks_as_whole(tmp_path, target):
    whole = tiny_flow.voice(tmp_path).say(TEXT, whole=True).samples
    voice = polyvox.load(tmp_path / "flo", target=target)
    assert np.abs(whole).max() > 0.1
    for pace in (Pace(1, 1.0, 1), Pace(7, 1.0, 7), Pace(30, 2.0, 200), None):
        samples = voice.say(TEXT, pace=pace).samples
        assert samples.shape == whole.shape
        assert np.abs(samples - whole).max() < TOLERANCE


def test_a_voice_draws_the_same_speech_every_time_unless_the_seed_is_another(tmp_path):
    voice = tiny_flow.voice(tmp_path)
    first = voice.say(TEXT).samples
    np.testing.assert_allclose(voice.say(TEXT).samples, first, atol=TOLERANCE)
    other = tiny_flow.voice(tmp_path, stack=tiny_flow.stack(seed=7)).say(TEXT).samples
    assert other.shape == first.shape
    assert np.abs(other - first).max() > 0.01


def test_temperature_can_be_a_control(tmp_path):
    control = {"temperature": {"default": 0.667, "minimum": 0.0, "maximum": 1.5}, "speed": tiny._SPEED}
    voice = tiny_flow.voice(tmp_path, controls=control, stack=tiny_flow.stack(temperature=0.1))
    calm = voice.say(TEXT, temperature=0.0).samples
    plain = voice.say(TEXT).samples
    assert np.abs(plain - calm).max() > 0.01
    expected = tiny_flow.voice(tmp_path, stack=tiny_flow.stack(temperature=0)).say(TEXT).samples
    np.testing.assert_allclose(calm, expected, atol=TOLERANCE)


def test_two_threads_speak_at_once(tmp_path):
    voice = tiny_flow.voice(tmp_path)
    texts = [TEXT, "fine. and you. hello there, how are you today?"]
    alone = [voice.say(text).samples for text in texts]
    got = {}
    together = threading.Barrier(2)

    def work(number):
        together.wait()
        got[number] = voice.say(texts[number], pace=Pace(2, 1.0, 2)).samples

    threads = [threading.Thread(target=work, args=(n,)) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, expected in enumerate(alone):
        np.testing.assert_allclose(got[number], expected, atol=TOLERANCE)


def test_closing_early_stops_the_work(tmp_path):
    tiny_flow.voice(tmp_path)
    trace = Trace()
    voice = polyvox.load(tmp_path / "flo", trace=trace)
    chunks = voice.stream(TEXT, pace=Pace(4, 1.0, 4))
    next(chunks)
    runs = [s for s in trace.spans if s.name == "velocity"]
    assert len(runs) == 4  # one a step, and none for later chunks
    chunks.close()
    assert len([s for s in trace.spans if s.name == "velocity"]) == 4
    assert next(chunks, None) is None


def test_check_measures_the_context_of_a_step(tmp_path):
    tiny_flow.voice(tmp_path)
    found = {f.check: f for f in check(tmp_path / "flo")}
    assert [f.detail for f in found.values() if f.ok is False] == []
    measured = found["context of velocity"]
    assert measured.figures == {"left": tiny_flow.LEFT, "right": tiny_flow.RIGHT}
    assert {"chunked, 13 characters", "fixed shapes, 13 characters"} <= set(found)


@pytest.mark.parametrize("side", ["left", "right"])
def test_check_finds_a_context_declared_too_small(tmp_path, side):
    tiny_flow.voice(tmp_path)
    tiny.edit(tmp_path / "flo", lambda m: m["networks"]["velocity"]["stream"].update({side: 1}))
    found = {f.check: f.ok for f in check(tmp_path / "flo")}
    assert found["context of velocity"] is False
    assert not all(ok for name, ok in found.items() if name.startswith("chunked"))


# --- mistakes


def fields(**changed):
    return lambda m: m.update(stack=tiny_flow.stack(**changed))


def network(name, **changed):
    return lambda m: m["networks"][name].update(changed)


def tensor(kind, name, *axes):
    return lambda m: m["networks"]["velocity"][kind].update({name: tiny_flow.floats(*axes)})


BLOCK = "stack[0].streamable_block.stack[2]"
REFUSED = {
    "steps": (fields(steps=0), f"{BLOCK}.steps: expected 1 to 64, got 0"),
    "many steps": (fields(steps=65), f"{BLOCK}.steps: expected 1 to 64, got 65"),
    "half a step": (fields(steps=2.5), f"{BLOCK}.steps: Input should be a valid integer, got 2.5"),
    "temperature": (fields(temperature=-0.1), f"{BLOCK}.temperature: expected 0 to 10, got -0.1"),
    "no number": (fields(temperature=float("nan")), f"{BLOCK}.temperature: expected 0 to 10, got nan"),
    "seed": (fields(seed=-1), f"{BLOCK}.seed: expected 0 to 2^64 - 1, got -1"),
    "unknown field": (fields(step=4), f"{BLOCK}.step: 'FlowDecoder' has no such field; it has network, steps, "),
    "no name": (fields(network=None), f"{BLOCK}: expected one network with role 'decoder', found 2: guess, velocity"),
    "no such network": (fields(network="flow"), f"{BLOCK}: network 'flow' is not in the addon; it has"),
    "state": (
        fields(state="x"),
        f"{BLOCK}.state: network 'velocity' has no input 'x'; it has state, prior, condition, time",
    ),
    "time": (fields(time="t"), f"{BLOCK}.time: network 'velocity' has no input 't'; it has state, prior,"),
    "time is no scalar": (
        fields(time="condition"),
        f"{BLOCK}.time: input 'condition' of network 'velocity' is float32 [frames, 6]; expected a float without axes",
    ),
    "state is no stream": (
        fields(state="time", time="state"),
        f"{BLOCK}.state: input 'time' of network 'velocity' is float32 []; expected floats with axis 'frames'",
    ),
    "another state": (
        fields(state="condition"),
        f"{BLOCK}: output 'velocity' of network 'velocity' is float32 [frames, 8]; expected the velocity of"
        " 'condition', which is float32 [frames, 6]",
    ),
    "start": (
        fields(start="gues"),
        f"{BLOCK}: 'FlowDecoder' starts from 'gues', but nobody before it makes that; a stream of ",
    ),
    "start in the tensors": (
        fields(start="encoded"),
        f"{BLOCK}: 'FlowDecoder' starts from 'encoded', but that is float32 [tokens, 8] of a sequence block; a stream",
    ),
    "start of another shape": (
        fields(start="condition"),
        f"{BLOCK}: 'FlowDecoder' starts from 'condition' as float32 [frames, 8], but it is float32 [frames, 6]",
    ),
    "spread": (
        fields(spread="token_index"),
        f"{BLOCK}: 'FlowDecoder' spreads noise by 'token_index' as float32 [frames, 8], but it is int64 [frames]",
    ),
    "keep": (fields(keep=["mel"]), f"{BLOCK}.keep: 'mel' is what the block makes"),
    "keep is no list": (fields(keep="prior"), f"{BLOCK}.keep: Input should be a valid list, got 'prior'"),
    "output": (fields(output="mal"), "an addon of kind 'acoustic' must make 'mel'"),
    "not streamed": (
        network("velocity", stream=None),
        f"{BLOCK}: network 'velocity' cannot be streamed, it lacks the field 'stream' (axis, left, right, hop)",
    ),
    "hop": (
        network("velocity", stream={"axis": "frames", "left": 4, "right": 3, "hop": 2}),
        f"{BLOCK}: network 'velocity' has hop 2, but a flow's velocity needs hop 1",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_mistake_in_the_json_is_one_sentence(tmp_path, case):
    change, words = case
    folder = tiny.edit(tiny_flow.acoustic(tmp_path / "flo"), change)
    with pytest.raises(polyvox.errors.AddonError) as caught:
        Addon.open(folder).stack()
    message = str(caught.value)
    assert message.startswith(f"{folder}/addon.json: ")
    assert words in message
    assert "\n" not in message


def specs(**changed):
    known = {n: TensorSpec("float32", ("frames", 2)) for n in ("prior", "spread")}
    return Specs({n: s for n, s in {**known, **changed}.items() if s is not None})


def test_a_network_with_two_outputs_makes_no_velocity():
    out = TensorSpec("float32", ("frames", 2))
    with pytest.raises(StackError, match="makes velocity, loudness; expected one output, the velocity of 'state'"):
        flow(tiny_flow.moving(prior="prior", outputs={"velocity": out, "loudness": out}))


def test_something_must_say_how_many_frames_there_are():
    with pytest.raises(StackError, match="nothing from the stream says how many frames there are"):
        flow(tiny_flow.moving(prior=None), start=None, spread=None)


def test_a_window_must_be_larger_than_a_steps_context():
    with pytest.raises(StackError, match="network 'moving': the largest window of 7 frames leaves none between"):
        flow(tiny_flow.moving(4, 4, prior="prior", sizes=(7,)))


def test_inputs_that_nobody_makes_are_named():
    block = flow(tiny_flow.moving(inputs={"loud": InputSpec("float32", ())}, prior="guide"))
    with pytest.raises(StackError, match="network 'moving' streams over 'guide', but nobody before it makes that"):
        block.specs(Specs(), specs())
    whole = specs(guide=TensorSpec("float32", ("frames", 2)))
    with pytest.raises(StackError, match="'loud', which no sequence block before it makes; there are no tensors"):
        block.specs(Specs(), whole)
    with pytest.raises(StackError, match=r"network 'moving' reads 'loud' as float32 \[\], but it is int64 \[\]"):
        block.specs(Specs({"loud": TensorSpec("int64", ())}), whole)
    loud = Specs({"loud": TensorSpec("float32", ())})
    assert set(block.specs(loud, whole)) == {"mel"}
    assert set(block.specs(Specs({}, open=True), Specs({}, open=True))) == {"mel"}


def test_a_temperature_that_is_no_scalar_is_refused():
    with pytest.raises(StackError, match=r"tensor 'temperature', a float without axes, but that is float32 \[tokens\]"):
        flow().specs(Specs({"temperature": TensorSpec("float32", ("tokens",))}), specs())
    with pytest.raises(TensorError, match=r"'temperature' must be a number from 0 to 10, not shape \[3\]"):
        run(flow(), tensors={"temperature": np.ones(3, np.float32)})
    with pytest.raises(TensorError, match="'temperature' must be a number from 0 to 10, not nan"):
        run(flow(), tensors={"temperature": np.float32("nan")})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("prior"), "carries ['spread', 'token_index'], expected 'prior' among them"),
        (lambda t: t.update(prior=t["prior"][:, :1]), "'prior' has shape [10, 1], expected float32 [frames, 2]"),
        (lambda t: t.update(spread=t["spread"][:, 0]), "'spread' has shape [10], expected float32 [frames, 2]"),
        (lambda t: t.update(spread=t["spread"][:1]), "'spread' has shape [1, 2], expected float32 [frames, 2] with"),
        (lambda t: t.update(prior=t["prior"].astype(np.float64)), "'prior' is float64, expected float32"),
        (lambda t: t["spread"].__setitem__((3, 1), np.nan), "'spread' is not a finite number at frame 13"),
        (lambda t: t["prior"].__setitem__((3, 1), np.inf), "'prior' is not a finite number at frame 13"),
    ],
)
def test_a_stream_that_does_not_fit_is_one_sentence(change, message):
    good, bad = upstream(10), upstream(10)
    change(bad)
    with pytest.raises(TensorError) as caught:
        pull(connect(flow(), {}, iter([good, bad])))
    assert message in str(caught.value)


def broken(change):
    """A velocity whose output is changed."""
    network = tiny_flow.moving(prior="guide")
    inner = network._run
    network._run = lambda tensors: {"velocity": change(inner(tensors)["velocity"])}
    return network


def guided(frame=None):
    came = {**upstream(), "guide": np.zeros((60, 2), np.float32)}
    if frame is not None:
        came["guide"][frame, 1] = np.nan
    return came


@pytest.mark.parametrize("wanted", [4, WHOLE])
def test_numbers_that_are_none_are_found_where_they_are(wanted):
    sentence = "input 'guide' of network 'moving' is not a finite number at frame 30"
    with pytest.raises(TensorError, match=sentence):
        run(flow(tiny_flow.moving(prior="guide")), guided(30), wanted=(wanted,))


def test_a_network_that_makes_no_numbers_is_named():
    def spoil(velocity):
        velocity[5] = np.nan
        return velocity

    with pytest.raises(TensorError, match="input 'state' of network 'moving' is not a finite number at frame 5"):
        run(flow(broken(spoil)), guided())


def test_a_network_that_makes_another_number_of_frames_is_named():
    sentence = r"network 'moving' made 59 steps of 'velocity' from 60 frames, expected 60 \(hop 1\)"
    with pytest.raises(TensorError, match=sentence):
        run(flow(broken(lambda velocity: velocity[1:])), guided())
