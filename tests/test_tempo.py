"""Tempo: faster or slower, in chunks of any size, and nothing lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvox.blocks import connect
from polyvox.blocks.tempo import Tempo
from polyvox.errors import StackError, TensorError
from polyvox.tensors import Specs, TensorSpec, join


def frames(count):
    rng = np.random.default_rng(count)
    return {
        "mel": rng.normal(size=(count, 3)).astype(np.float32),
        "token_index": np.sort(rng.integers(0, 9, count)),
        "mark": (np.arange(count) == count // 2).astype(np.int8),
    }


def spoken(whole, speed, sizes=(10**6,), asked=64):
    def chunks():
        done = 0
        for size in sizes:
            yield {n: a[done : done + size] for n, a in whole.items()}
            done += size
        if done < len(whole["mel"]):
            yield {n: a[done:] for n, a in whole.items()}

    stream = connect(Tempo(), {"speed": np.float32(speed)}, chunks())
    out = []
    stream.ask(asked)
    for chunk in stream:
        out.append(chunk)
        stream.ask(asked)
    return join(out)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 80), st.sampled_from([0.5, 0.77, 1.0, 1.3, 2.0, 3.7]),
    st.lists(st.integers(1, 30), max_size=6), st.integers(1, 40),
)  # fmt: skip
def test_chunks_of_any_size_join_to_the_same(count, speed, sizes, asked):
    whole = frames(count)
    one = spoken(whole, speed, asked=10**6)
    many = spoken(whole, speed, sizes, asked)
    if not one:
        assert not many
        assert round(count / np.float32(speed)) == 0
        return
    assert len(one["mel"]) == round(count / float(np.float32(speed)))
    for name in whole:
        np.testing.assert_array_equal(one[name], many[name])


def test_twice_as_fast_is_the_mean_of_pairs_and_keeps_every_mark():
    whole = frames(20)
    fast = spoken(whole, 2.0)
    np.testing.assert_allclose(fast["mel"], (whole["mel"][::2] + whole["mel"][1::2]) / 2, rtol=1e-6)
    assert fast["mark"].sum() == 1
    assert (fast["token_index"] == whole["token_index"][1::2]).all()


def test_half_as_fast_interpolates_between_neighbours():
    whole = {"mel": np.arange(4, dtype=np.float32)[:, None]}
    np.testing.assert_allclose(spoken(whole, 0.5)["mel"][:, 0], [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])


def test_at_its_own_pace_nothing_is_touched():
    whole = frames(9)
    for name, array in spoken(whole, 1.0).items():
        assert np.shares_memory(array, whole[name])


def test_it_reads_no_further_than_it_must():
    read = []

    def chunks():
        for i in range(100):
            read.append(i)
            yield {"mel": np.full((1, 2), i, np.float32)}

    stream = connect(Tempo(), {"speed": np.float32(2)}, chunks())
    stream.ask(4)
    next(stream)
    assert len(read) <= 10


def test_mistakes_are_told():
    with pytest.raises(TensorError, match=r"'speed' is 0, expected 0\.1 to 10"):
        spoken(frames(3), 0)
    audio = Specs({"mel": TensorSpec("float32", ("frames", 80)), "audio": TensorSpec("float32", ("samples",))})
    with pytest.raises(StackError, match="'Tempo' stretches frames, but the stream carries 'audio'"):
        Tempo().specs(Specs(), audio)
    with pytest.raises(StackError, match="'Tempo' stretches 'mel', but a stream of nothing comes"):
        Tempo().specs(Specs(), Specs())
