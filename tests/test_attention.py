"""AttentionDecoder and stepping: real graphs, state, shapes, errors."""

import json

import numpy as np
import pytest

import polyvox
import tiny
import tiny_attention
from polyvox import blocks
from polyvox.addons import Addon
from polyvox.blocks import connect
from polyvox.checking import TOLERANCE
from polyvox.errors import AddonError, StackError, TensorError
from polyvox.networks import InputSpec, Wrapper
from polyvox.networks.stepping import PlainStepper
from polyvox.tensors import TensorSpec
from polyvox.tracing import Trace
from polyvox.windows import Pace

TEXT = "hello there, how are you today? fine. and you."


def speaker(folder, target="cpu"):
    addon = Addon.open(tiny_attention.acoustic(folder / "ada"))
    stack = addon.stack(target)
    (network,) = [n for (name, _), n in stack.networks.items() if name == "speaker"]
    return network


def inputs(tokens=9):
    random = np.random.default_rng(0)
    return {
        "memory": random.standard_normal((tokens, tiny_attention.WIDTH)).astype(np.float32),
        "place": np.arange(tokens, dtype=np.float32),
        "last": np.asarray(tokens - 1, dtype=np.float32),
        "attention_mask": np.ones(tokens, dtype=np.float32),
    }


def run(stepper, steps=12, changes=None):
    rows = []
    for step in range(steps):
        made = stepper.step((changes or {}).get(step))
        rows.append({name: np.array(array) for name, array in made.items()})
    return rows


@pytest.mark.parametrize("target", ["cpu", "cpu-fixed"])
def test_bound_buffers_step_as_plain_runs_do(tmp_path, target):
    network, plain = speaker(tmp_path, target), speaker(tmp_path)
    barred = np.ones(9, dtype=np.float32)
    barred[:5] = 0
    changes = {6: {"attention_mask": barred}}
    bound = network.stepper(inputs())
    assert not isinstance(bound, PlainStepper)
    got, expected = run(bound, 12, changes), run(PlainStepper(plain, inputs()), 12, changes)
    for ours, theirs in zip(got, expected, strict=True):
        assert ours.keys() == theirs.keys()
        for name, array in theirs.items():
            assert ours[name].shape == array.shape
            np.testing.assert_allclose(ours[name], array, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("target", ["cpu", "cpu-fixed", "plain"])
def test_a_stepper_comes_back_to_what_was_saved(tmp_path, target):
    network = speaker(tmp_path, "cpu" if target == "plain" else target)
    stepper = PlainStepper(network, inputs()) if target == "plain" else network.stepper(inputs())
    run(stepper, 3)
    saved = stepper.save()
    first = run(stepper, 5)
    for _ in range(2):  # as often as one likes
        stepper.restore(saved)
        again = run(stepper, 5)
        for a, b in zip(first, again, strict=True):
            np.testing.assert_array_equal(a["mel"], b["mel"])


def test_steppers_of_one_network_do_not_disturb_each_other(tmp_path):
    network = speaker(tmp_path)
    alone = run(network.stepper(inputs()), 8)
    one, two = network.stepper(inputs()), network.stepper(inputs(5))
    for row in alone:
        two.step()
        np.testing.assert_array_equal(one.step()["mel"], row["mel"])


def test_state_begins_as_the_tensor_of_its_name(tmp_path):
    network = speaker(tmp_path)
    later = {**inputs(), "position": np.array([3.0], dtype=np.float32)}
    assert network.stepper(later).step()["alignment"].argmax() == 3


def test_a_callers_arrays_are_its_own(tmp_path):
    given = inputs()
    stepper = speaker(tmp_path).stepper(given)
    stepper.step({"attention_mask": np.zeros(9, dtype=np.float32)})
    assert given["attention_mask"].all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("memory"), "input 'memory' is missing; given are"),
        (lambda t: t.update(place=np.zeros(4, np.float32)), "'place' has shape [4], expected float32 [tokens]"),
        (lambda t: t.update(frame=np.zeros(3, np.float32)), "'frame' has shape [3], expected float32 [8]"),
        (lambda t: t.update(last=np.float64(3)), "'last' is float64, expected float32"),
    ],
)
@pytest.mark.parametrize("target", ["cpu", "cpu-fixed"])
def test_a_stepper_names_what_does_not_fit(tmp_path, change, message, target):
    tensors = inputs()
    change(tensors)
    with pytest.raises(TensorError, match=r"network 'speaker'|speaker\.onnx") as caught:
        speaker(tmp_path, target).stepper(tensors)
    assert message in str(caught.value)


def test_a_changed_input_must_keep_its_shape(tmp_path):
    network = speaker(tmp_path)
    for stepper in (network.stepper(inputs()), PlainStepper(network, inputs())):
        with pytest.raises(TensorError, match=r"'attention_mask' has shape \[3\] now, expected \[9\]"):
            stepper.step({"attention_mask": np.ones(3, dtype=np.float32)})


def test_a_wrapper_steps_through_its_own_run(tmp_path):
    class Counting(Wrapper):
        runs = 0

        def run(self, tensors):
            self.runs += 1
            return self.inner.run(tensors)

    counting = Counting(speaker(tmp_path))
    run(counting.stepper(inputs()), 4)
    assert counting.runs == 4


# --- the voice ---------------------------------------------------------------------------------------------------


def test_chunked_equals_whole(tmp_path):
    voice = tiny_attention.voice(tmp_path)
    whole = voice.say(TEXT, whole=True)
    assert whole.seconds > 0.05
    for size in (1, 3, 7, 50):
        got = voice.say(TEXT, pace=Pace(size, 1.0, size))
        np.testing.assert_allclose(got.samples, whole.samples, atol=1e-6)
        assert got.words == whole.words
    assert [w.text for w in whole.words] == ["hello", "there", "how", "are", "you", "today", "fine", "and", "you"]
    assert whole.warnings == ()


def test_fixed_shapes_equal_dynamic_ones(tmp_path):
    whole = tiny_attention.voice(tmp_path / "a").say(TEXT)
    fixed = tiny_attention.voice(tmp_path / "b", target="cpu-fixed").say(TEXT)
    np.testing.assert_allclose(fixed.samples, whole.samples, atol=TOLERANCE)


def test_a_trace_shows_every_step(tmp_path):
    trace = Trace()
    voice = tiny_attention.voice(tmp_path, trace=trace)
    voice.say("hello")
    assert sum(s.name == "speaker" for s in trace.spans) > 8


def test_closing_a_stream_stops_stepping(tmp_path):
    trace = Trace()
    voice = tiny_attention.voice(tmp_path, trace=trace)
    stream = voice.stream(TEXT * 3, pace=Pace(4, 1.0, 4))
    next(stream)
    steps = len(trace.spans)
    stream.close()
    assert len(trace.spans) == steps
    trace.restart()
    voice.say(TEXT * 3)
    assert steps < len(trace.spans) / 2


def test_the_network_that_never_stops_is_ended(tmp_path):
    network = tiny_attention.Scripted(never=True)
    decoder = blocks.AttentionDecoder(tiny.parts(network), longest=4.0)
    chunks = list(connect(decoder, tiny_attention.encoded(10)))
    assert sum(len(c["mel"]) for c in chunks) == 4 * 10 + blocks.attention.SPARE_FRAMES


def test_frames_know_their_token(tmp_path):
    decoder = blocks.AttentionDecoder(tiny.parts(tiny_attention.Scripted()))
    stream = connect(decoder, tiny_attention.encoded(5))
    stream.ask(100)
    chunk = next(stream)
    assert chunk["attention"].shape == (len(chunk["mel"]), 5)
    assert chunk["token_index"].tolist() == [0, 0, *np.repeat([1, 2, 3, 4], 4).tolist(), 4, 4]


# --- what is refused ---------------------------------------------------------------------------------------------


def changed(folder, change):
    return tiny.edit(tiny_attention.acoustic(folder / "ada"), change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda n: n["state"].update(memory_x="x"), "state 'memory_x' is no input that blocks provide"),
        (lambda n: n["state"].update(frame="nothing"), "state 'frame' is next 'nothing'; the outputs are mel"),
        (
            lambda n: n["state"].update(frame="next_position"),
            "state 'frame' is float32 [8], but 'next_position', which it is next, is float32 [1]",
        ),
        (lambda n: n["state"].update(frame=3), "field 'networks.speaker.state.frame'"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_when_the_addon_is_opened(tmp_path, change, message):
    with pytest.raises(AddonError) as caught:
        Addon.open(changed(tmp_path, lambda m: change(m["networks"]["speaker"])))
    assert message in str(caught.value)


def block_fields(**fields):
    def change(data):
        pipeline = data["stack"][0]
        pipeline["streamable_block"] = {"type": "AttentionDecoder", **fields}

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["networks"]["speaker"].pop("state"), "network 'speaker' lacks the field 'state'"),
        (block_fields(stop="halt"), "has no output 'halt' (field 'stop'); it has mel, stop"),
        (block_fields(stop="alignment"), "output 'alignment' is float32 [tokens], expected float32 []"),
        (block_fields(alignment="mel"), "output 'mel' is float32 [2, 8], expected float32 [tokens]"),
        (block_fields(mask="cover"), "has no input 'cover' (field 'mask', which may be null)"),
        (block_fields(network="encoder"), "network 'encoder' lacks the field 'state'"),
        (lambda m: m["networks"]["speaker"].update(role="decoder"), "one network with role 'attention_decoder'"),
        (
            lambda m: m["networks"]["speaker"]["outputs"]["mel"].update(axes=["tokens", 8]),
            "need numbers as axes, and the same number first",
        ),
    ],
)
def test_a_stack_that_cannot_run_is_refused_when_it_is_built(tmp_path, change, message):
    addon = Addon.open(changed(tmp_path, change)) if "mel" not in json.dumps(message) else None
    with pytest.raises((StackError, AddonError)) as caught:
        (addon or Addon.open(changed(tmp_path, change))).stack()
    assert message in str(caught.value)


def test_a_missing_tensor_is_named(tmp_path):
    decoder = blocks.AttentionDecoder(tiny.parts(tiny_attention.Scripted()))
    with pytest.raises(TensorError, match="tensor 'encoded' is missing; there are \\['tokens'\\]"):
        next(connect(decoder, {"tokens": np.zeros(3, dtype=np.int64)}))


def test_a_network_whose_state_nobody_sizes_is_refused():
    network = tiny_attention.Scripted()
    spec = network.spec
    strange = {**spec.inputs, "memory": InputSpec("float32", ("slots", 2))}
    network.spec = type(spec)(
        spec.name, spec.role, strange, {**spec.outputs, "kept": TensorSpec("float32", ("slots", 2))},
        state={**spec.state, "memory": "kept"},
    )  # fmt: skip
    with pytest.raises(TensorError, match="state 'memory' is float32 \\[slots, 2\\], and no given input says how many"):
        network.stepper({**tiny_attention.encoded(), "attention_mask": np.ones(17, dtype=np.float32)})


def test_a_voice_needs_a_vocoder_as_any_other(tmp_path):
    with pytest.raises(polyvox.errors.PolyvoxError, match="tom"):
        polyvox.load(tiny_attention.acoustic(tmp_path / "ada"))


# --- pictures ----------------------------------------------------------------------------------------------------


def test_inspect_draws_the_alignment(tmp_path):
    pytest.importorskip("matplotlib")
    from click.testing import CliRunner

    from polyvox.cli import cli

    tiny.vocoder(tmp_path / "tom")
    addon, picture = tiny_attention.acoustic(tmp_path / "ada"), tmp_path / "attention.png"
    done = CliRunner().invoke(cli, ["inspect", str(addon), "--alignment", str(picture), "--text", "hello there"])
    assert done.exit_code == 0, done.output
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "attention.png: what it attended to" in done.output


def test_inspect_says_that_a_voice_has_no_attention(tmp_path):
    from click.testing import CliRunner

    from polyvox.cli import cli

    tiny.vocoder(tmp_path / "tom")
    addon = tiny.acoustic(tmp_path / "tim")
    done = CliRunner().invoke(cli, ["inspect", str(addon), "--alignment", str(tmp_path / "x.png"), "--text", "a"])
    assert done.exit_code != 0
    assert "'tim' has no attention to draw" in done.stderr


def test_a_probe_sees_the_attention(tmp_path):
    def probe(data):
        pipeline = data["stack"][0]
        pipeline["streamable_block"] = {
            "type": "StreamableStack",
            "stack": [pipeline["streamable_block"], {"type": "Probe", "name": "attention"}],
        }

    tiny.vocoder(tmp_path / "tom")
    voice = polyvox.load(tiny.edit(tiny_attention.acoustic(tmp_path / "ada"), probe))
    seen = []

    def listen(name, chunk):
        seen.append((name, chunk["attention"].shape, chunk["attention_fault"].any()))

    blocks.Probe.listeners.append(listen)
    try:
        voice.say("hello")
    finally:
        blocks.Probe.listeners.remove(listen)
    assert {name for name, _, _ in seen} == {"attention"}
    assert {shape[1] for _, shape, _ in seen} == {5}
    assert not any(fault for _, _, fault in seen)
