"""Networks on ONNX Runtime, dynamic and compiled to fixed sizes."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import polyvox
import tiny
from polyvox.addons import Addon
from polyvox.errors import AddonError, TargetError, TensorError
from polyvox.networks import InputSpec, NetworkSpec, StreamSpec, Target, load_network, target
from polyvox.networks.fixed import FixedShape
from polyvox.networks.onnxruntime import OnnxNetwork
from polyvox.tensors import TensorSpec
from polyvox.windows import Context, Pace

SIZES = {"tokens": (8, 16, 64), "frames": (12, 16, 40)}
FIXED = Target("tiny-fixed", "small fixed sizes", sizes=SIZES)


@pytest.fixture(scope="module")
def addon(tiny_folder):
    return Addon.open(tiny_folder / "tim")


@pytest.fixture(scope="module")
def encoders(addon):
    """The text encoder, dynamic and fixed."""
    source = addon.source("text_encoder")
    return load_network(source, target("cpu")), load_network(source, FIXED)


def tokens(count: int) -> dict:
    return {"tokens": np.arange(count, dtype=np.int64) % len(tiny.SYMBOLS)}


def test_a_batch_axis_is_added_and_taken_away(encoders):
    made = encoders[0].run(tokens(5))
    assert {n: a.shape for n, a in made.items()} == {"hidden": (5, 8), "encoded": (5, 8)}


def test_a_graph_without_a_batch_axis_runs_as_it_is():
    from onnx import helper

    data = tiny.graph(
        {"x": ("float32", ["t", 2]), "gain": ("float32", [])},
        {"y": ("float32", ["t", 2]), "total": ("float32", [])},
        [
            helper.make_node("Mul", ["x", "gain"], ["y"]),
            helper.make_node("ReduceSum", ["y"], ["total"], keepdims=0),
        ],
        {},
        batch=False,
    )
    spec = NetworkSpec(
        "n",
        "encoder",
        {"x": InputSpec("float32", ("t", 2)), "gain": InputSpec("float32", ())},
        {"y": TensorSpec("float32", ("t", 2)), "total": TensorSpec("float32", ())},
    )
    made = OnnxNetwork(spec, data, "n.onnx").run({"x": np.ones((3, 2), np.float32), "gain": np.float32(2)})
    assert made["y"].tolist() == [[2, 2]] * 3
    assert isinstance(made["total"], np.ndarray)
    assert made["total"].shape == ()
    assert made["total"] == 12


def test_masks_and_lengths_are_filled():
    real, padded = {"t": 3}, {"t": 5}
    from polyvox.networks.network import filled

    assert filled(InputSpec("float32", ("t",), "mask"), real, padded).tolist() == [1, 1, 1, 0, 0]
    length = filled(InputSpec("int64", (), "length", "t"), real, padded)
    assert (length.tolist(), length.dtype, length.shape) == (3, np.int64, ())


def test_a_batched_scalar_stays_an_array():
    from onnx import helper

    total = helper.make_node("ReduceSum", ["x", "axis"], ["y"], keepdims=0)
    data = tiny.graph({"x": ("float32", ["t"])}, {"y": ("float32", [])}, [total], {"axis": np.array([1])})
    spec = NetworkSpec("n", "encoder", {"x": InputSpec("float32", ("t",))}, {"y": TensorSpec("float32", ())})
    made = OnnxNetwork(spec, data, "n.onnx").run({"x": np.ones(3, np.float32)})["y"]
    assert isinstance(made, np.ndarray)
    assert (made.shape, made.tolist()) == ((), 3)


def test_inputs_that_share_an_axis_must_agree_on_its_size(addon):
    network = load_network(addon.source("decoder"), target("cpu"))
    feed = {
        "encoded": np.zeros((4, 8), np.float32),
        "token_position": np.zeros(5, np.float32),
        "brightness": np.float32(0),
    }
    with pytest.raises(TensorError, match=r"'token_position' has shape \[5\], .*frames = 4"):
        network.run(feed)


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({}, r"input 'tokens' is missing; given are \[\]"),
        ({"other": np.zeros(3)}, r"input 'tokens' is missing; given are \['other'\]"),
        ({"tokens": np.zeros(3, np.float32)}, "tokens"),
        ({"tokens": np.zeros((3, 1), np.int64)}, "tokens"),
        ({"tokens": np.int64(3).reshape(())}, "tokens"),
    ],
)
def test_missing_and_wrong_inputs_are_refused(encoders, fixed, given_, words):
    with pytest.raises(TensorError, match=words):
        encoders[fixed].run(given_)


def test_a_missing_input_is_named_even_where_a_mask_of_its_axis_comes_first(addon):
    manifest_inputs = {
        "tokens_mask": InputSpec("float32", ("tokens",), "mask"),
        "tokens": InputSpec("int64", ("tokens",)),
    }
    source = addon.source("text_encoder")
    spec = NetworkSpec("e", "encoder", manifest_inputs, source.spec.outputs)
    with pytest.raises(TensorError, match="tokens"):
        OnnxNetwork(spec, source.data, "e.onnx").run({})


def test_a_broken_graph_is_refused_with_its_file(addon):
    source = addon.source("text_encoder")
    with pytest.raises(AddonError, match=r"e.onnx: ONNX Runtime cannot load it"):
        OnnxNetwork(source.spec, source.data[:-300], "e.onnx")


def test_cpu_fixed_refuses_other_shapes_in_the_runtime_itself(addon):
    source = addon.source("text_encoder")
    compiled = OnnxNetwork(source.spec, source.data, "e.onnx", dims={"batch": 1, "tokens": 8})
    assert compiled.run(tokens(8))["hidden"].shape == (8, 8)
    with pytest.raises(TensorError, match=r"Got: 9 Expected: 8|invalid dimensions"):
        compiled.run(tokens(9))


def test_every_network_of_a_fixed_target_is_compiled(addon, tiny_folder):
    for other in (addon, Addon.open(tiny_folder / "tom"), Addon.open(tiny_folder / "tam")):
        for network in other.stack(FIXED).networks.values():
            axis = "frames" if network.spec.stream else "tokens"
            assert network.sizes == {axis: SIZES[axis]}
            for (size,), inner in network._compiled.items():
                shapes = [i.shape for i in inner._session.get_inputs()]
                assert all(isinstance(dim, int) for shape in shapes for dim in shape)
                assert any(size in shape for shape in shapes)


@pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 17, 63, 64])
def test_fixed_equals_dynamic_for_every_length(encoders, count):
    dynamic, fixed = encoders
    expected, got = dynamic.run(tokens(count)), fixed.run(tokens(count))
    for name, array in expected.items():
        np.testing.assert_allclose(got[name], array, atol=1e-5)


def test_more_than_the_largest_compiled_size_is_refused(encoders):
    with pytest.raises(TensorError, match="network 'text_encoder': 65 tokens exceed the largest compiled size, 64"):
        encoders[1].run(tokens(65))


def padding_spy(sizes=(4, 10), fill="mask", axes=("t",)):
    """A FixedShape over networks that only tell what they were given."""
    fills = {"mask": InputSpec("float32", ("t",), "mask"), "length": InputSpec("int64", (), "length", "t")}
    spec = NetworkSpec(
        "spy",
        "decoder",
        {"x": InputSpec("float32", ("t", 2)), "gain": InputSpec("float32", ()), "m": fills[fill]},
        {"y": TensorSpec("float32", ("t", 2)), "audio": TensorSpec("float32", ("samples",))},
        StreamSpec("t", Context(0, 0, 3)),
    )
    seen = []

    class Spy(polyvox.networks.Network):
        def __init__(self):
            self.spec = spec

        def run(self, tensors):
            seen.append(tensors)
            return {"y": tensors["x"] * 2, "audio": np.repeat(tensors["x"][:, 0], 3)}

    return FixedShape({(s,): Spy() for s in sizes}, axes), seen


@pytest.mark.parametrize(("count", "bucket"), [(1, 4), (3, 4), (4, 4), (5, 10), (10, 10)])
@pytest.mark.parametrize("fill", ["mask", "length"])
def test_fixed_shape_pads_masks_and_trims(count, bucket, fill):
    network, seen = padding_spy(fill=fill)
    x = np.random.default_rng(count).standard_normal((count, 2)).astype(np.float32)
    made = network.run({"x": x, "gain": np.float32(1).reshape(()), "unread": np.zeros(3)})
    assert np.array_equal(made["y"], x * 2)
    assert np.array_equal(made["audio"], np.repeat(x[:, 0], 3))
    (feed,) = seen
    assert feed.keys() == {"x", "gain", "m"}
    assert feed["x"].shape == (bucket, 2)
    assert not feed["x"][count:].any()
    assert feed["m"].tolist() == ([1] * count + [0] * (bucket - count) if fill == "mask" else count)


def test_fixed_shape_refuses_tensors_that_do_not_fit_instead_of_spreading_them():
    network, seen = padding_spy()
    gain = np.float32(1).reshape(())
    for bad in (np.zeros(2, np.float32), np.zeros((3, 1), np.float32), np.zeros((3, 2), np.float64)):
        with pytest.raises(TensorError, match="network 'spy': tensor 'x' "):
            network.run({"x": bad, "gain": gain})
    assert not seen


def test_fixed_shape_needs_every_combination():
    inner, _ = padding_spy()
    with pytest.raises(ValueError, match=r"no network is compiled for {'a': 1, 'b': 4}"):
        FixedShape({(1, 2): inner, (3, 4): inner, (3, 2): inner}, ("a", "b"))


def test_an_axis_without_sizes_is_refused_unless_the_addon_gives_some(addon, tmp_path):
    without = Target("odd", "no frames", sizes={"tokens": (8, 256)})
    with pytest.raises(TargetError, match="target 'odd' has no sizes for axis 'frames' of network 'decoder'; it fixes"):
        addon.stack(without)
    folder = tiny.acoustic(tmp_path / "tim")
    tiny.edit(folder, lambda m: m["networks"]["decoder"].update(sizes={"frames": [30, 20, 30]}))
    networks = Addon.open(folder).stack(without).networks
    assert networks["decoder", "odd"].sizes == {"frames": (20, 30)}


def test_sizes_too_small_for_the_context_are_refused_before_any_audio(addon):
    small = Target("small", "windows as small as their context", sizes={"tokens": (256,), "frames": (4,)})
    with pytest.raises(AddonError, match="network 'decoder': the largest window of 4 frames leaves none between"):
        addon.stack(small)


def test_targets():
    assert target("cpu").sizes == {}
    assert target(FIXED) is FIXED
    with pytest.raises(TargetError, match="target 'tpu' is unknown; there are cpu, cpu-fixed"):
        target("tpu")


# Whole voices: fixed equals dynamic


@pytest.fixture(scope="module")
def fixed_voice(tiny_folder):
    return polyvox.load(tiny_folder / "tim", target=Target("f", "", sizes={"tokens": (8, 64), "frames": (12, 16, 40)}))


TEXTS = ["a", "Hi.", "Hello there", "Hello there, good people. A second sentence, and a third!", "abcdefg", "abcdefgh"]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("text", TEXTS)
def test_a_fixed_voice_equals_a_dynamic_one(voice, fixed_voice, text, whole):
    expected = voice.say(text)
    for speed in (0.5, 1.0, 2.0):
        expected = voice.say(text, speed=speed)
        got = fixed_voice.say(text, whole=whole, speed=speed)
        assert got.words == expected.words
        np.testing.assert_allclose(got.samples, expected.samples, atol=1e-5)


@settings(max_examples=25)
@given(st.text("abcdefg ,.", min_size=1, max_size=40).map(lambda t: f"a{t}"), st.integers(1, 60))
def test_a_fixed_voice_equals_a_dynamic_one_at_any_length_and_pace(voice, fixed_voice, text, first):
    expected = voice.say(text, whole=True)
    got = fixed_voice.say(text, pace=Pace(first, 1.7, 60))
    np.testing.assert_allclose(got.samples, expected.samples, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 5, 11, 12, 13, 15, 16, 17, 24, 39, 40, 41, 79, 80, 81, 200])
def test_decoders_at_and_around_the_window_sizes(addon, frames):
    from polyvox.blocks import Decoder, connect
    from polyvox.tensors import join
    from polyvox.windows import WHOLE

    x = np.random.default_rng(frames).standard_normal((frames, 8)).astype(np.float32)
    upstream = {"encoded": x, "token_position": x[:, 0].copy()}
    outputs = []
    for on in ("cpu", FIXED):
        network = load_network(addon.source("decoder"), target(on))
        block = Decoder(tiny.parts(network))
        for wanted in (1, 7, 30, WHOLE):
            stream = connect(block, {"brightness": np.float32(0.5).reshape(())}, iter([upstream]))
            chunks = []
            while True:
                stream.ask(wanted)
                if (chunk := next(stream, None)) is None:
                    break
                chunks.append(chunk)
            outputs.append(join(chunks)["mel"])
    for other in outputs:
        np.testing.assert_allclose(other, outputs[3], atol=1e-5)


def test_a_network_is_shared_by_threads(encoders):
    expected = [encoders[0].run(tokens(n))["hidden"] for n in range(1, 9)]
    wrong = []

    def work(network):
        for _ in range(5):
            for n, array in enumerate(expected, start=1):
                if not np.allclose(network.run(tokens(n))["hidden"], array, atol=1e-5):
                    wrong.append(n)

    threads = [threading.Thread(target=work, args=(encoders[i % 2],)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_closing_a_voice_closes_its_networks(tiny_folder):
    closing = polyvox.load(tiny_folder / "tim")
    closing.close()
    with pytest.raises(polyvox.PolyvoxError):
        closing.say("Hello")


def test_a_closed_network_says_so():
    from onnx import helper

    ends = {"x": ("float32", ["t"])}, {"y": ("float32", ["t"])}
    data = tiny.graph(*ends, [helper.make_node("Neg", ["x"], ["y"])], {}, batch=False)
    spec = NetworkSpec("n", "encoder", {"x": InputSpec("float32", ("t",))}, {"y": TensorSpec("float32", ("t",))})
    network = OnnxNetwork(spec, data, "n.onnx")
    assert network.run({"x": np.ones(1, np.float32)})["y"] == -1
    network.close()
    with pytest.raises(TensorError, match=r"n\.onnx: its voice was closed"):
        network.run({"x": np.ones(1, np.float32)})
