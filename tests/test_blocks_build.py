"""stack -> blocks: what can be written in addon.json, and what is refused, before any audio is made."""

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import polyvox
import tiny
from polyvox import blocks
from polyvox.addons import Addon
from polyvox.blocks import build, connect
from polyvox.errors import AddonError, StackError
from polyvox.networks import InputSpec
from polyvox.tensors import Rows, Specs, TensorSpec, join

TEXT = "Hello there, good people. Another one!"

ARTICLE = """
[
    {"type": "StreamablePipeline",
     "sequence_block": {"type": "Encoders"},
     "streamable_block":
        {"type": "StreamableStack",
         "stack": [
            {"type": "Upsampler"},
            {"type": "Decoder"}
        ]}
    }
]
"""
PIPELINE = json.loads(ARTICLE)[0]


def speak(folder: Path, **fields) -> polyvox.Voice:
    """A tiny voice whose acoustic addon has other fields."""
    tiny.vocoder(folder / "tom")
    return polyvox.load(tiny.acoustic(folder / "tim", **fields))


@pytest.fixture(scope="module")
def usual(voice):
    return voice.say(TEXT).samples


def test_the_article_s_stack_loads_as_it_stands_there_and_runs(tmp_path, usual):
    voice = speak(tmp_path, stack=json.loads(ARTICLE))
    (block,) = [stack.block for stack in voice.stacks[:1]]
    assert isinstance(block, blocks.StreamablePipeline)
    assert isinstance(block.sequence_block, blocks.Encoders)
    assert isinstance(block.streamable_block, blocks.StreamableStack)
    assert [type(b).__name__ for b in block.streamable_block.stack] == ["Upsampler", "Decoder"]
    got = voice.say(TEXT).samples
    assert len(got) > 1000
    assert np.std(got) > 0.05
    np.testing.assert_array_equal(got, usual)


def stack_of(*streamable):
    return {"type": "StreamableStack", "stack": list(streamable)}


def pipeline(sequence, streamable):
    return {"type": "StreamablePipeline", "sequence_block": sequence, "streamable_block": streamable}


ENCODERS, UPSAMPLER, DECODER = {"type": "Encoders"}, {"type": "Upsampler"}, {"type": "Decoder"}
CONTAINER = {
    "type": "SequenceBlockContainer",
    "blocks": [
        {"type": "Encoder", "network": "text_encoder"},
        {"type": "SequenceBlockContainer", "blocks": [{"type": "Encoder", "network": "duration_predictor"}]},
    ],
}

SAME = {
    "parallel": [pipeline({"type": "ParallelEncoders"}, stack_of(UPSAMPLER, DECODER))],
    "named": [pipeline(CONTAINER, stack_of(UPSAMPLER, {"type": "Decoder", "network": "decoder"}))],
    "stack in stack": [pipeline(ENCODERS, stack_of(stack_of(UPSAMPLER), stack_of(stack_of(DECODER))))],
    "pipeline in pipeline": [pipeline(ENCODERS, pipeline(ENCODERS, stack_of(UPSAMPLER, DECODER)))],
    "pipeline first in a stack": [stack_of(PIPELINE, {"type": "Probe"}, {"type": "Gain", "tensor": "mel"})],
    "effects in the middle": [
        pipeline(ENCODERS, stack_of(UPSAMPLER, {"type": "Collect"}, {"type": "Probe", "name": "x"}, DECODER))
    ],
    "top level of several": [PIPELINE, {"type": "Collect"}, {"type": "Gain", "decibels": 0, "tensor": "mel"}],
    "per-block target": [pipeline(ENCODERS, stack_of(UPSAMPLER, {"type": "Decoder", "target": "cpu-fixed"}))],
    "target of all inside": [{**PIPELINE, "target": "cpu-fixed"}],
}


@pytest.mark.parametrize("stack", SAME.values(), ids=SAME)
def test_anything_nests_in_anything(tmp_path, usual, stack):
    voice = speak(tmp_path, stack=stack)
    np.testing.assert_allclose(voice.say(TEXT).samples, usual, atol=1e-5)


def test_a_sequence_to_sequence_stack_replaces_one_block_in_the_middle_of_a_stream(tmp_path, usual, registered):
    @registered("Again")
    class Again(polyvox.SequenceBlock):
        """Turns gathered frames into tokens of one frame each."""

        def run(self, tensors):
            assert "token_index" in tensors  # the gathered upstream
            return {"durations": np.ones(len(tensors["encoded"]), np.int64)}

        def specs(self, available):
            frames = available["encoded"]
            return Specs(
                {
                    "durations": TensorSpec("int64", ("tokens",)),
                    "encoded": TensorSpec(frames.dtype, ("tokens", *frames.axes[1:])),
                }
            )

    inner = pipeline({"type": "Again"}, stack_of(UPSAMPLER, {"type": "Probe"}))
    voice = speak(tmp_path, stack=[pipeline(ENCODERS, stack_of(UPSAMPLER, inner, {"type": "Decoder"}))])
    got = voice.say(TEXT).samples
    assert got.shape == usual.shape
    assert [c.seconds for c in voice.stream(TEXT)]  # each inner token is one frame: its middle is its position
    assert not np.allclose(got, usual)


def test_a_target_in_a_block_loads_the_networks_inside_it_there(tmp_path):
    tiny.vocoder(tmp_path / "tom")
    stack = [pipeline(ENCODERS, {**stack_of(UPSAMPLER, DECODER), "target": "cpu-fixed"})]
    loaded = Addon.open(tiny.acoustic(tmp_path / "tim", stack=stack)).stack("cpu").networks
    assert set(loaded) == {
        ("text_encoder", "cpu"),
        ("duration_predictor", "cpu"),
        ("prosody", "cpu"),
        ("decoder", "cpu-fixed"),
    }
    assert loaded["decoder", "cpu-fixed"].sizes["frames"]


def test_only_named_networks_are_loaded(tmp_path):
    stack = [pipeline(CONTAINER, stack_of(UPSAMPLER, DECODER))]
    loaded = Addon.open(tiny.acoustic(tmp_path / "tim", stack=stack)).stack().networks
    assert {name for name, _ in loaded} == {"text_encoder", "duration_predictor", "decoder"}


# What is refused


def deep(levels: int):
    block = {"type": "Probe"}
    for _ in range(levels):
        block = stack_of(block)
    return block


IN_STACK = "stack[0].streamable_block.stack"

REFUSED = {
    "unknown type": (
        [pipeline(ENCODERS, stack_of(UPSAMPLER, {"type": "Decodr"}))],
        f"{IN_STACK}[1].type: 'Decodr' is no block type; there are ",
        "Decoder",
    ),
    "sequence block where a stream is wanted": (
        [pipeline(ENCODERS, stack_of(ENCODERS, DECODER))],
        f"{IN_STACK}[0].type: 'Encoders' is a SequenceBlock, expected a StreamableBlock: ",
        "Upsampler",
    ),
    "stream where a sequence block is wanted": (
        [pipeline(DECODER, UPSAMPLER)],
        "stack[0].sequence_block.type: 'Decoder' is a StreamableBlock, expected a SequenceBlock: ",
        "ParallelEncoders",
    ),
    "sequence block at the top": ([ENCODERS], "stack[0].type: 'Encoders' is a SequenceBlock", "Decoder"),
    "no block at all": (
        [pipeline(ENCODERS, stack_of(UPSAMPLER, "Decoder"))],
        f"{IN_STACK}[1]: expected a block, an object with the field 'type', got 'Decoder'",
    ),
    "type is no text": ([{"type": 3}], "stack[0]: expected a block, an object with the field 'type'"),
    "missing network by name": (
        [pipeline({"type": "Encoder", "network": "ghost"}, UPSAMPLER)],
        "stack[0].sequence_block.network: network 'ghost' is not in the addon; it has ",
        "text_encoder",
    ),
    "network is no text": (
        [pipeline({"type": "Encoder", "network": 5}, UPSAMPLER)],
        "stack[0].sequence_block.network: expected the name of a network, got 5",
    ),
    "decoder by a missing name": (
        [pipeline(ENCODERS, stack_of(UPSAMPLER, {"type": "Decoder", "network": "ghost"}))],
        f"{IN_STACK}[1]: network 'ghost' is not in the addon; it has ",
        "decoder",
    ),
    "no network with the role": (
        [pipeline(ENCODERS, stack_of(UPSAMPLER, {"type": "Vocoder"}))],
        f"{IN_STACK}[1]: expected one network with role 'vocoder', found none",
        "decoder",
    ),
    "network that cannot be streamed": (
        [pipeline(ENCODERS, stack_of(UPSAMPLER, {"type": "Decoder", "network": "text_encoder"}))],
        f"{IN_STACK}[1]: network 'text_encoder' cannot be streamed, it lacks the field 'stream'",
    ),
    "unknown field": (
        [pipeline(ENCODERS, stack_of({"type": "Upsampler", "repeats": ["encoded"]}, DECODER))],
        f"{IN_STACK}[0].repeats: 'Upsampler' has no such field; it has ",
        "repeat, durations, longest, target, type",
    ),
    "field of the injected argument": (
        [pipeline({"type": "Encoders", "parts": {}}, stack_of(UPSAMPLER, DECODER))],
        "stack[0].sequence_block.parts: 'Encoders' has no such field",
    ),
    "missing field": (
        [{"type": "StreamablePipeline", "sequence_block": ENCODERS}],
        "stack[0]: 'StreamablePipeline' lacks the field 'streamable_block'",
    ),
    "plain field of another type": (
        [PIPELINE, {"type": "Gain", "decibels": "loud"}],
        "stack[1].decibels: ",
        "'loud'",
    ),
    "list of another type": (
        [pipeline(ENCODERS, stack_of({"type": "Upsampler", "repeat": [1]}, DECODER))],
        f"{IN_STACK}[0].repeat: ",
        "[1]",
    ),
    "number too large for the block": ([PIPELINE, {"type": "Gain", "decibels": 1e9}], "stack[1]: block 'Gain': "),
    "block's own check": (
        [PIPELINE, {"type": "Excitation", "sample_rate": 0, "hop": 4}],
        "stack[1]: block 'Excitation': expected sample_rate >= 1",
    ),
    "list instead of a block": ([pipeline([ENCODERS], UPSAMPLER)], "stack[0].sequence_block: expected a block"),
    "block instead of a list": (
        [{"type": "StreamableStack", "stack": UPSAMPLER}],
        "stack[0].stack: expected a list of at least one block",
    ),
    "empty list": (
        [{"type": "StreamableStack", "stack": []}],
        "stack[0].stack: expected a list of at least one block",
    ),
    "too deep": ([deep(70)], "blocks are nested deeper than 64"),
    "tensor that nobody makes": (
        [pipeline({"type": "Encoder", "network": "duration_predictor"}, stack_of(UPSAMPLER, DECODER))],
        "stack[0].sequence_block: network 'duration_predictor' reads 'hidden', which nobody before it makes; there are",
        "tokens",
    ),
    "upsampler without durations": (
        [pipeline({"type": "Encoder", "network": "text_encoder"}, stack_of(UPSAMPLER, DECODER))],
        f"{IN_STACK}[0]: 'Upsampler' reads 'durations', which nobody before it makes; there are ",
        "encoded, hidden",
    ),
    "upsampler of another axis": (
        [pipeline(ENCODERS, stack_of({"type": "Upsampler", "durations": "hidden"}, DECODER))],
        f"{IN_STACK}[0]: 'Upsampler' reads 'hidden' with axes [tokens], but it is float32 [tokens, 8]",
    ),
    "decoder without upsampler": (
        [pipeline(ENCODERS, DECODER)],
        "stack[0].streamable_block: network 'decoder' streams over 'encoded', but that is float32 [tokens, 8]",
    ),
    "excitation without f0": (
        [PIPELINE, {"type": "Excitation", "sample_rate": 8000, "hop": 16, "top": 4000}],
        "stack[1]: 'Excitation' reads 'f0' from the stream; that carries ",
    ),
    "decoder of a tensor that was read": (
        [PIPELINE, DECODER],
        "stack[1]: network 'decoder' reads 'encoded', which nobody before it makes; there are ",
        "mel",
    ),
    "no mel": (
        [pipeline(ENCODERS, UPSAMPLER)],
        "stack: its stream carries encoded, token_index, token_position, token_frames; an addon of kind 'acoustic'"
        " must make 'mel'",
    ),
    "unknown target": (
        [pipeline(ENCODERS, stack_of(UPSAMPLER, {"type": "Decoder", "target": "gpux"}))],
        f"{IN_STACK}[1].target: target 'gpux' is unknown; there are ",
        "cpu-fixed",
    ),
    "unknown target of a block without networks": (
        [PIPELINE, {"type": "Probe", "target": "gpux"}],
        "stack[1].target: target 'gpux' is unknown; there are ",
        "cpu-fixed",
    ),
    "target is no text": (
        [PIPELINE, {"type": "Probe", "target": 3}],
        "stack[1].target: expected the name of a target, got 3",
    ),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_a_stack_that_cannot_work_is_refused_in_one_sentence(tiny_folder, tmp_path, case):
    stack, *words = case
    addon = Addon.open(tiny.acoustic(tmp_path / "tim", stack=stack))
    with pytest.raises(StackError) as caught:
        addon.stack()
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'tim'}/addon.json: stack")
    assert "\n" not in message
    assert len(message) < 1500
    for word in words:
        assert word in message


def test_a_vocoder_must_make_audio(tmp_path):
    addon = Addon.open(tiny.vocoder(tmp_path / "tom", stack=[{"type": "Probe"}]))
    with pytest.raises(StackError, match="an addon of kind 'vocoder' must make 'audio'"):
        addon.stack()


def test_mel_of_another_number_of_bands_is_refused(tmp_path):
    addon = Addon.open(tiny.acoustic(tmp_path / "tim", features={**tiny.FEATURES, "bands": 9}))
    with pytest.raises(StackError, match=r"makes 'mel' as float32 \[frames, 8\], expected float32 \[frames, 9\]"):
        addon.stack()


def test_axes_that_do_not_fit_are_refused(tmp_path):
    def other(manifest):
        made = manifest["networks"]["text_encoder"]["outputs"]["hidden"]
        read = manifest["networks"]["duration_predictor"]["inputs"]["hidden"]
        assert made == read
        prosody = manifest["networks"]["prosody"]
        for tensor in (*prosody["inputs"].values(), *prosody["outputs"].values()):
            tensor["axes"] = ["words" if axis == "tokens" else axis for axis in tensor["axes"]]

    folder = tiny.edit(tiny.acoustic(tmp_path / "tim"), other)
    words = r"network 'prosody' reads 'hidden' as float32 \[words, 8\], but it is float32 \[tokens, 8\]"
    with pytest.raises(StackError, match=words):
        Addon.open(folder).stack()


@pytest.mark.parametrize("stack", ["Decoder", [], {}, None])
def test_a_stack_is_a_list(stack):
    with pytest.raises(StackError, match="stack: expected a list of at least one block"):
        build(stack, tiny.parts())


# Encoders


def encoder(name: str, reads: list[str], makes: list[str], run=None) -> tiny.Counted:
    spec = TensorSpec("float32", ("tokens",))
    return tiny.Counted(
        name,
        run or (lambda t: {m: sum(t[r] for r in reads) * 2 + len(name) for m in makes}),
        {r: InputSpec(spec.dtype, spec.axes) for r in reads},
        dict.fromkeys(makes, spec),
        role="encoder",
    )


def test_encoders_run_in_the_order_in_which_they_read_each_other():
    order = []

    def traced(name, reads, makes):
        def run(tensors):
            order.append(name)
            return dict.fromkeys(makes, tensors[reads[0]])

        return encoder(name, reads, makes, run)

    networks = [traced("last", ["b", "a"], ["c"]), traced("second", ["a"], ["b"]), traced("first", ["x"], ["a"])]
    out = blocks.Encoders(tiny.parts(*networks)).run({"x": np.ones(3, np.float32)})
    assert order == ["first", "second", "last"]
    assert set(out) == {"a", "b", "c"}


def test_encoders_that_read_each_other_in_a_circle_are_refused():
    networks = [encoder("one", ["b"], ["a"]), encoder("two", ["a"], ["b"]), encoder("free", ["x"], ["y"])]
    with pytest.raises(StackError, match="stack: networks one, two read each other's outputs in a circle"):
        blocks.Encoders(tiny.parts(*networks))


def test_two_makers_of_one_tensor_are_refused():
    networks = [encoder("one", ["x"], ["a"]), encoder("two", ["x"], ["b", "a"])]
    with pytest.raises(StackError, match="stack: networks 'one' and 'two' both make 'a'"):
        blocks.Encoders(tiny.parts(*networks))


def test_an_addon_without_encoders_is_refused():
    with pytest.raises(StackError, match="no network with role 'encoder'"):
        blocks.Encoders(tiny.parts(tiny.blur()))


def test_several_decoders_need_a_name():
    one, two = tiny.blur(), tiny.blur()
    two.spec = type(two.spec)("other", "decoder", two.spec.inputs, two.spec.outputs, two.spec.stream)
    with pytest.raises(StackError, match="found 2: blur, other; name one in the field 'network'"):
        blocks.Decoder(tiny.parts(one, two))
    assert blocks.Decoder(tiny.parts(one, two), network="other").network is two


def test_parallel_encoders_give_the_same_and_really_overlap():
    meeting = threading.Barrier(3, timeout=20)

    def slow(name):
        def run(tensors):
            meeting.wait()  # passes only if three are inside at once
            return {name: tensors["a"] + len(name)}

        return encoder(name, ["a"], [name], run)

    rest = [encoder("first", ["x"], ["a"]), encoder("last", ["p", "rrr"], ["z"])]
    x = {"x": np.arange(4, dtype=np.float32)}
    together = blocks.ParallelEncoders(tiny.parts(*rest, slow("p"), slow("qq"), slow("rrr"))).run(x)
    simple = [encoder(n, ["a"], [n], lambda t, n=n: {n: t["a"] + len(n)}) for n in ("p", "qq", "rrr")]
    alone = blocks.Encoders(tiny.parts(*rest, *simple)).run(x)
    assert together.keys() == alone.keys()
    for name, array in alone.items():
        np.testing.assert_array_equal(together[name], array)


def test_an_error_in_a_parallel_encoder_reaches_the_caller():
    def broken(tensors):
        time.sleep(0.01)
        raise AddonError("broken on purpose")

    networks = [encoder("one", ["x"], ["a"]), encoder("two", ["x"], ["b"], broken)]
    with pytest.raises(AddonError, match="on purpose"):
        blocks.ParallelEncoders(tiny.parts(*networks)).run({"x": np.ones(2, np.float32)})


def test_a_decoder_reads_a_streamed_tensor_from_the_stream_and_the_others_from_the_sequence_blocks():
    network = tiny.blur(bias="loud")
    block = blocks.Decoder(tiny.parts(network))
    x = np.random.default_rng(0).standard_normal((9, 2)).astype(np.float32)
    got = join(list(connect(block, {"loud": np.float32(2), "mel": np.zeros((3, 2))}, iter([{"mel": x}]))))
    np.testing.assert_allclose(got["mel"], network.run({"mel": x, "loud": np.float32(2)})["mel"], atol=1e-6)


@pytest.mark.parametrize("sizes", [(), (8, 16)])
def test_a_decoder_forgets_what_no_window_reads_any_more(sizes, monkeypatch):
    held = []

    class Watched(Rows):
        def append(self, chunk, where):
            super().append(chunk, where)
            held.append(self.stop - self.start)

    monkeypatch.setattr("polyvox.blocks.windowed.Rows", Watched)
    upstream = ({"mel": np.full((5, 2), n, np.float32)} for n in range(200))
    stream = connect(blocks.Decoder(tiny.parts(tiny.blur(sizes=sizes))), {}, upstream)
    stream.ask(10)
    assert sum(len(chunk["mel"]) for chunk in stream) == 1000
    assert max(held) < 60


def test_a_decoder_keeps_what_it_is_told_to():
    block = blocks.Decoder(tiny.parts(tiny.blur(hop=4, made="audio")), keep=["mel"])
    x = np.ones((9, 2), np.float32)
    got = join(list(connect(block, {}, iter([{"mel": x}]))))
    assert got["mel"].shape == (9, 2)
    assert got["audio"].shape == (36,)


def test_a_decoder_whose_network_makes_another_number_of_steps_says_so():
    network = tiny.blur(hop=4, made="audio")
    network._run = lambda t: {"audio": np.zeros(4 * len(t["mel"]) - 1, np.float32)}
    stream = connect(blocks.Decoder(tiny.parts(network)), {}, iter([{"mel": np.ones((9, 2), np.float32)}]))
    with pytest.raises(
        polyvox.PolyvoxError, match="network 'blur' made 35 steps of 'audio' from 9 frames, expected 36"
    ):
        next(stream)


def test_durations_that_are_broken_are_refused():
    block = blocks.Upsampler(longest=100)
    encoded = np.ones((3, 2), np.float32)
    for bad in ([1, -1, 2], [1, 101, 2], [1.0, np.nan, 2.0], [np.inf, 1, 1]):
        with pytest.raises(polyvox.PolyvoxError, match="'durations' must be 0 to 100 frames a token"):
            next(connect(block, {"durations": np.array(bad), "encoded": encoded}))
    with pytest.raises(polyvox.PolyvoxError, match="'encoded' has 3 tokens, 'durations' has 2"):
        next(connect(block, {"durations": np.array([1, 2]), "encoded": encoded}))
    rounded = join(list(connect(block, {"durations": np.array([0.4, 1.6, 2.0]), "encoded": encoded})))
    assert rounded["token_index"].tolist() == [1, 1, 2, 2]
