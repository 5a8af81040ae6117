"""What every registered block must keep, found through the registry so that a new one cannot be forgotten."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import count, cycle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
import tiny_attention
import tiny_flow
from polyvox import blocks
from polyvox.blocks import SequenceBlock, StreamableBlock, Upstream, connect, registry
from polyvox.networks import InputSpec
from polyvox.tensors import Specs, TensorSpec, join, steps
from polyvox.windows import WHOLE

FRAMES = 41


def frames(seed: int = 0, total: int = FRAMES) -> dict:
    """A whole upstream: what a stream may carry beside what a block reads."""
    random = np.random.default_rng(seed)
    return {
        "mel": random.standard_normal((total, 2)).astype(np.float32),
        "f0": random.uniform(500, 900, total).astype(np.float32),
        "token_index": np.arange(total),
        "fine": np.arange(total * 3, dtype=np.float32),
        **{n: random.standard_normal((total, 9)).astype(np.float32) / 9 for n in ("real", "imag", "magnitude")},
    }


def refined(networks, upstream) -> dict:
    """Three relaxed averaged alternating reflections, frame by frame over the whole."""
    total, magnitude = len(upstream["magnitude"]), upstream["magnitude"].astype(np.float64)
    window = np.hanning(17)[:-1]

    def signal(spectrum):
        frames = np.fft.irfft(spectrum) * window / 1.5
        samples = np.zeros(total * 4 + 12)
        for t in range(total):
            samples[t * 4 : t * 4 + 16] += frames[t]
        samples[:6] = samples[-6:] = 0
        return samples

    def imposed(spectrum):
        return spectrum / np.abs(spectrum) * magnitude

    spectrum = upstream["real"] + 1j * upstream["imag"]
    for _ in range(3):
        reflected = 2 * imposed(spectrum) - spectrum
        samples = signal(reflected)
        consistent = np.array([np.fft.rfft(samples[t * 4 : t * 4 + 16] * window) for t in range(total)])
        spectrum = 0.8 * (consistent + (spectrum - reflected) / 2) + 0.2 * imposed(spectrum)
    return {"audio": signal(imposed(spectrum))[6:-6].astype(np.float32)}


class Twice(SequenceBlock):
    """Makes what an upsampler reads from what a stream carried."""

    def run(self, tensors):
        mel = tensors.get("mel", np.zeros((0, 2), np.float32))
        return {"encoded": mel * 2, "durations": np.arange(len(mel)) % 3}

    def specs(self, available):
        return Specs({"encoded": TensorSpec("float32", ("tokens", 2)), "durations": TensorSpec("int64", ("tokens",))})


@dataclass
class Streamed:
    """One configuration of a streamable block."""

    make: Callable[..., StreamableBlock]
    """Makes the block from the networks in `networks`."""
    networks: Callable[[], list] = list
    hop: int = 1
    """Steps of the output for one frame."""
    ahead: int = 0
    """Frames that the block may read beyond those asked for."""
    gathers: bool = False
    """Whether it reads its whole upstream first, on purpose."""
    calls: Callable[[int], int] = lambda frames: 1
    """Most calls of a network for the first chunk, of as many frames."""
    source: bool = False
    """Whether it makes its stream from `tensors` alone."""
    passes: bool = True
    """Whether what it does not read passes through."""
    expected: Callable[[list, dict], dict] | None = None
    """The whole output of some tensors, computed another way."""
    tensors: Callable[[int], dict] = field(default=lambda seed: {"loud": np.float32(0.3)})


def whole_run(networks, upstream):
    network = networks[0]
    return network.run({**upstream, "loud": np.float32(0.3)})


def decoder(**options) -> Streamed:
    network = partial(tiny.blur, **options)
    sizes = options.get("sizes", ())
    context = network().spec.stream.context
    return Streamed(
        lambda n: blocks.Decoder(tiny.parts(*n)),
        lambda: [network()],
        hop=context.hop,
        ahead=max(context.right, *sizes) if sizes else context.right,
        expected=whole_run,
    )


def turned() -> tiny.Counted:
    """A decoder whose network has time as the last axis."""
    plain = tiny.blur()

    def run(tensors):
        return {"mel": plain.run({"mel": tensors["mel"].T})["mel"].T}

    inputs, outputs = {"mel": InputSpec("float32", (2, "frames"))}, {"mel": TensorSpec("float32", (2, "frames"))}
    return tiny.Counted("turned", run, inputs, outputs, stream=plain.spec.stream)


def flow(steps: int = 4, start: str | None = "mel", **options) -> Streamed:
    """A flow that starts around `mel`, or at noise alone."""
    network = partial(tiny_flow.moving, bias="loud", **options)
    sizes = options.get("sizes", ())
    ahead = steps * max(network().spec.stream.context.right, *sizes, 0)
    return Streamed(
        lambda n: blocks.FlowDecoder(tiny.parts(*n), steps=steps, start=start, spread=None),
        lambda: [network()],
        ahead=ahead,
        calls=lambda frames: steps * (-(-(frames + ahead) // min(sizes)) if sizes else 1),
    )


def durations(seed: int) -> dict:
    random = np.random.default_rng(seed)
    return {
        "durations": random.integers(0, 6, 17),
        "encoded": random.standard_normal((17, 2)).astype(np.float32),
        "energy": random.standard_normal(17).astype(np.float32),
    }


def upsampled(networks, tensors):
    counts = tensors["durations"]
    return {
        "encoded": np.repeat(tensors["encoded"], counts, axis=0),
        "energy": np.repeat(tensors["energy"], counts),
        "token_index": np.repeat(np.arange(len(counts)), counts),
        "token_frames": np.repeat(counts, counts).astype(np.float32),
        "token_position": np.concatenate([(np.arange(n) + 0.5) / n for n in counts if n]).astype(np.float32),
    }


def attending(guard: dict | None = None, path=tiny_attention.well, **script) -> Streamed:
    """An attention decoder, under guard or not; half a token a step and two frames a step."""

    def make(networks):
        decoder = blocks.AttentionDecoder(tiny.parts(*networks))
        return decoder if guard is None else blocks.AttentionGuard(decoder, **guard)

    # What is held back, the stride between states, and what is taken back twice where something goes wrong.
    ahead = 0 if guard is None else 60 + 2 * 2 * 24 if path is tiny_attention.well else 3 * (60 + 2 * 2 * 24)
    return Streamed(
        make,
        lambda: [tiny_attention.Scripted(path, **script)],
        calls=lambda frames: -(-(frames + ahead) // 2),
        source=True,
        passes=False,
        tensors=lambda seed: tiny_attention.encoded(40, seed),
    )


STREAMED: dict[str, list[Streamed]] = {
    "AttentionDecoder": [attending(), attending(path=tiny_attention.repeats)],
    "AttentionGuard": [
        attending({}),
        attending({"repair": False}, tiny_attention.repeats),
        attending({}, tiny_attention.skips),
        attending({}, tiny_attention.repeats),
        attending({}, tiny_attention.stalls, never=True),
        attending({}, early=8.0),
    ],
    "Upsampler": [
        Streamed(
            lambda n: blocks.Upsampler(repeat=["encoded", "energy"]),
            source=True,
            passes=False,
            expected=upsampled,
            tensors=durations,
        )
    ],
    "Decoder": [
        decoder(),
        decoder(left=0, right=0),
        decoder(left=0, right=6, bias="loud"),
        decoder(left=5, right=0, hop=4, made="audio"),
        decoder(sizes=(9, 16)),
        decoder(sizes=(8, 64), hop=4, made="audio"),
        Streamed(
            lambda n: blocks.Decoder(tiny.parts(*n)),
            lambda: [turned()],
            ahead=2,
            expected=lambda n, upstream: {"mel": tiny.blur().run(upstream)["mel"]},
        ),
    ],
    "FlowDecoder": [flow(), flow(1), flow(3, None, left=0, right=3), flow(2, sizes=(8, 16)), flow(2, turned=True)],
    "Vocoder": [
        Streamed(
            lambda n: blocks.Vocoder(tiny.parts(*n)),
            lambda: [tiny.blur(hop=4, made="audio", role="vocoder")],
            hop=4,
            ahead=2,
            expected=whole_run,
        )
    ],
    "StreamableStack": [
        Streamed(
            lambda n: blocks.StreamableStack(
                [blocks.Gain(6, "mel"), blocks.Decoder(tiny.parts(n[0])), blocks.Decoder(tiny.parts(n[1]))]
            ),
            lambda: [tiny.blur(), tiny.blur(2, 1, hop=4, made="audio")],
            hop=4,
            ahead=3,
        ),
        Streamed(lambda n: blocks.StreamableStack([blocks.StreamableStack([blocks.Probe()])])),
    ],
    "StreamablePipeline": [
        Streamed(
            lambda n: blocks.StreamablePipeline(Twice(), blocks.Upsampler()),
            gathers=True,
            passes=False,
        )
    ],
    "Emit": [
        Streamed(
            lambda n: blocks.Emit(["encoded", "energy"]),
            source=True,
            passes=False,
            expected=lambda n, tensors: {name: tensors[name] for name in ("encoded", "energy")},
            tensors=durations,
        )
    ],
    "Collect": [Streamed(lambda n: blocks.Collect(), gathers=True)],
    "Gain": [
        Streamed(
            lambda n: blocks.Gain(20, "mel"),
            expected=lambda n, upstream: {"mel": upstream["mel"] * 10},
        ),
        Streamed(lambda n: blocks.Gain(20), expected=lambda n, upstream: {}),
    ],
    # At other speeds frames do not stay what they are: tests/test_tempo.py.
    "Tempo": [Streamed(lambda n: blocks.Tempo(), expected=lambda n, upstream: upstream)],
    "Probe": [Streamed(lambda n: blocks.Probe("here"), expected=lambda n, upstream: upstream)],
    "Excitation": [Streamed(lambda n: blocks.Excitation(8000, 16, 4000.0), ahead=1)],
    "PhaseRefiner": [
        Streamed(lambda n: blocks.PhaseRefiner(16, 4, 3, 0.8), hop=4, ahead=11, expected=refined),
        Streamed(lambda n: blocks.PhaseRefiner(16, 4, 1), hop=4, ahead=5),
        Streamed(lambda n: blocks.PhaseRefiner(16, 4, 2, balance=0.5), hop=4, ahead=11),
        Streamed(lambda n: blocks.PhaseRefiner(16, 8, 0), hop=8, ahead=1),
    ],
}


def own_blocks(kind) -> list[str]:
    """The names of Polyvox's own block types, not those that tests or other packages registered."""
    return [n for n in registry.names(kind) if registry.find(n, "test").__module__.split(".")[0] == "polyvox"]


def test_every_registered_block_has_an_example_here():
    forgotten = [n for n in own_blocks(StreamableBlock) if n not in STREAMED]
    forgotten += [n for n in own_blocks(SequenceBlock) if n not in SEQUENCE]
    assert not forgotten, f"{', '.join(forgotten)}: add an example to STREAMED or SEQUENCE in {__file__}"


CASES = [
    pytest.param(name, example, id=f"{name}{number}")
    for name in own_blocks(StreamableBlock)
    for number, example in enumerate(STREAMED.get(name, ()))
]
each = pytest.mark.parametrize(("name", "example"), CASES)
each_known = pytest.mark.parametrize(("name", "example"), [c for c in CASES if c.values[1].expected])
each_lazy = pytest.mark.parametrize(("name", "example"), [c for c in CASES if not c.values[1].gathers])


class Source(StreamableBlock):
    """Gives a whole upstream in exactly the chunks asked for, and counts."""

    def __init__(self, whole: dict) -> None:
        self.whole, self.given, self.closed = whole, 0, False

    def stream(self, tensors, upstream):
        port = Upstream.of(upstream)
        total = len(self.whole["mel"])
        try:
            while self.given < total:
                last = min(total, self.given + max(1, port.wanted))
                chunk = piece(self.whole, self.given, last)
                self.given = last
                yield chunk
        finally:
            self.closed = True


def piece(whole: dict, first: int, last: int) -> dict:
    total = len(whole["mel"])
    rates = {name: len(array) // total for name, array in whole.items()}
    return {name: array[first * rates[name] : last * rates[name]] for name, array in whole.items()}


def chunked(whole: dict, sizes) -> Iterator[dict]:
    """A whole upstream in chunks of any sizes, empty ones among them."""
    done, sizes = 0, cycle(sizes)
    while done < len(whole["mel"]):
        last = done + next(sizes)
        yield piece(whole, done, last)
        done = last


def pull(stream, wanted) -> dict:
    """Join a stream, asking for these sizes in turn."""
    chunks = []
    for size in cycle(wanted):
        stream.ask(size)
        chunk = next(stream, None)
        if chunk is None:
            return join(chunks)
        chunks.append(chunk)
        assert len(chunks) < 2000, "the stream stalls"
    return {}


def start(example: Streamed, source=None, seed: int = 0, networks=None):
    made = example.networks() if networks is None else networks
    return connect(example.make(made), example.tensors(seed), None if example.source else source)


def whole(example: Streamed, seed: int = 0) -> dict:
    return pull(start(example, iter([frames(seed)]), seed), [WHOLE])


def same(got: dict, expected: dict) -> None:
    assert got.keys() == expected.keys()
    for name, array in expected.items():
        assert got[name].dtype == array.dtype
        np.testing.assert_allclose(got[name], array, atol=1e-5, rtol=0, err_msg=name)


SIZES = st.lists(st.integers(0, 30), min_size=1, max_size=6).filter(any)
WANTED = st.lists(st.sampled_from([1, 2, 3, 5, 8, 13, 40, 100, 1000]), min_size=1, max_size=6)


@each
@settings(max_examples=20)
@given(sizes=SIZES, wanted=WANTED)
def test_chunked_equals_whole(name, example, sizes, wanted):
    same(pull(start(example, chunked(frames(), sizes)), wanted), whole(example))


@each_known
def test_the_whole_is_what_it_should_be(name, example):
    networks = example.networks()
    inputs = example.tensors(0) if example.source else frames()
    got, expected = whole(example), example.expected(networks, inputs)
    assert len(got) > 1
    same({n: got[n] for n in expected}, expected)


@each
def test_a_plain_iterator_a_list_and_another_block_do_as_upstream(name, example):
    expected = whole(example)
    plain = example.make(example.networks()).stream(example.tensors(0), chunked(frames(), [7]))
    same(join(list(plain)), expected)
    same(pull(start(example, iter(list(chunked(frames(), [5, 0])))), [4]), expected)
    same(pull(start(example, connect(Source(frames()), {})), [6]), expected)


@each
def test_chunks_stay_aligned(name, example):
    stream = start(example, chunked(frames(), [7]))
    done = 0
    for size in count(1):
        stream.ask(size)
        chunk = next(stream, None)
        if chunk is None:
            break
        if example.passes:
            here = len(chunk["token_index"])
            assert chunk["token_index"].tolist() == list(range(done, done + here))
            assert chunk["fine"].tolist() == list(range(done * 3, (done + here) * 3))
            assert steps(chunk) == here * max(3, example.hop)
            done += here
        else:
            assert len({len(array) for array in chunk.values()}) == 1
    assert done == (FRAMES if example.passes else 0)


@each
def test_two_streams_of_one_block_do_not_disturb_each_other(name, example):
    block = example.make(example.networks())
    streams = [
        connect(block, example.tensors(seed), None if example.source else chunked(frames(seed), [4 + seed]))
        for seed in (0, 1)
    ]
    got = [[], []]
    left = {0, 1}
    for turn in cycle([0, 1, 1, 0, 0, 1]):
        if turn in left:
            streams[turn].ask(3)
            chunk = next(streams[turn], None)
            if chunk is None:
                left.discard(turn)
            else:
                got[turn].append(chunk)
        if not left:
            break
    for seed in (0, 1):
        same(join(got[seed]), whole(example, seed))
    # The check can only mean something if the two differ.
    assert any(
        a.shape != b.shape or not np.array_equal(a, b) for a, b in zip(*(join(g).values() for g in got), strict=1)
    )


@each
def test_threads_share_a_block(name, example):
    block = example.make(example.networks())
    results: dict[int, dict] = {}

    def work(seed):
        source = None if example.source else chunked(frames(seed), [1, 2])
        results[seed] = pull(connect(block, example.tensors(seed), source), [1, 2])

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        same(results[seed], whole(example, seed))


@each
def test_closing_stops_everything_upstream_at_once(name, example):
    source, networks = Source(frames()), example.networks()
    stream = start(example, connect(source, {}), networks=networks)
    stream.ask(2)
    assert next(stream, None) is not None
    before = source.given, [n.calls for n in networks]
    stream.close()
    assert (source.given, [n.calls for n in networks]) == before
    assert source.closed or example.source
    assert next(stream, None) is None
    stream.close()


@each
def test_closing_before_the_first_pull_computes_nothing(name, example):
    source, networks = Source(frames()), example.networks()
    stream = start(example, connect(source, {}), networks=networks)
    assert source.given == 0
    stream.close()
    assert next(stream, None) is None
    assert source.given == 0
    assert not any(n.calls for n in networks)


@each_lazy
@pytest.mark.parametrize("frames_wanted", [1, 4])
def test_nothing_is_computed_that_nobody_asked_for(name, example, frames_wanted):
    source, networks = Source(frames()), example.networks()
    stream = start(example, connect(source, {}), networks=networks)
    stream.ask(frames_wanted * example.hop)
    chunk = next(stream)
    assert source.given <= frames_wanted + example.ahead
    assert all(1 <= n.calls <= example.calls(frames_wanted) for n in networks)
    reference = "token_index" if example.passes else next(iter(chunk))
    assert len(chunk[reference]) == frames_wanted or any(n.sizes for n in networks)


@each
def test_an_empty_upstream_gives_an_empty_stream(name, example):
    networks = example.networks()
    if example.source:
        empty = {n: a[:0] for n, a in example.tensors(0).items()}
        stream = connect(example.make(networks), empty)
    else:
        stream = start(example, networks=networks)
    assert next(stream, None) is None
    if not example.source:
        assert next(start(example, iter(()), networks=networks), None) is None
    assert not any(n.calls for n in networks)


@each
def test_a_block_says_what_its_stream_carries(name, example):
    def described(tensors, axis):
        return Specs({n: TensorSpec(str(a.dtype), (axis, *a.shape[1:]) if a.ndim else ()) for n, a in tensors.items()})

    upstream = Specs() if example.source else described(frames(), "frames")
    said = example.make(example.networks()).specs(described(example.tensors(0), "tokens"), upstream)
    got = whole(example)
    assert said.keys() == got.keys()
    assert not said.open
    for tensor, spec in said.items():
        assert str(got[tensor].dtype) == spec.dtype
        axes = zip(got[tensor].shape[1:], spec.axes[1:], strict=True)
        assert all(isinstance(axis, str) or size == axis for size, axis in axes)


# Sequence blocks


def linear(name: str, source: str, made: str, role: str = "encoder") -> tiny.Counted:
    return tiny.Counted(
        name,
        lambda t: {made: t[source] * np.float32(1.5) + 1},
        {source: InputSpec("float32", ("tokens", 2))},
        {made: TensorSpec("float32", ("tokens", 2))},
        role=role,
    )


def chain():
    """Encoders in an order in which they cannot run, and one network that is none."""
    return [linear("c", "b", "c"), linear("a", "x", "a"), linear("b", "a", "b"), linear("other", "x", "o", "decoder")]


SEQUENCE = {
    "Encoder": lambda: blocks.Encoder(linear("a", "x", "a")),
    "Encoders": lambda: blocks.Encoders(tiny.parts(*chain())),
    "ParallelEncoders": lambda: blocks.ParallelEncoders(tiny.parts(*chain(), linear("d", "a", "d"))),
    "SequenceBlockContainer": lambda: blocks.SequenceBlockContainer(
        [blocks.Encoder(linear("a", "x", "a")), blocks.Encoder(linear("b", "a", "b"))]
    ),
}


def utterance(seed: int = 0) -> dict:
    return {"x": np.random.default_rng(seed).standard_normal((5 + seed, 2)).astype(np.float32), "speed": np.float32(1)}


each_sequence = pytest.mark.parametrize("name", [n for n in own_blocks(SequenceBlock) if n in SEQUENCE])


@each_sequence
def test_a_sequence_block_changes_nothing_and_says_what_it_makes(name):
    block, given = SEQUENCE[name](), utterance()
    copies = {n: np.copy(a) for n, a in given.items()}
    out = block.run(given)
    assert given.keys() == copies.keys()
    assert all(np.array_equal(given[n], copies[n]) for n in copies)
    said = block.specs(Specs({"x": TensorSpec("float32", ("tokens", 2)), "speed": TensorSpec("float32", ())}))
    assert said.keys() == out.keys()
    assert out
    assert not said.open
    assert not out.keys() & given.keys()


@each_sequence
def test_a_sequence_block_is_shared_by_threads(name):
    block = SEQUENCE[name]()
    alone = {seed: SEQUENCE[name]().run(utterance(seed)) for seed in range(4)}
    failed = []

    def work(seed):
        for _ in range(10):
            try:
                same(dict(block.run(utterance(seed))), dict(alone[seed]))
            except AssertionError as error:
                failed.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in alone]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
