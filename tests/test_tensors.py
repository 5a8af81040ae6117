import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polyvox.errors import TensorError
from polyvox.tensors import Rows, Specs, TensorSpec, check, fits, join, steps


def rising(first, count, rate=1):
    """A chunk whose values are their own absolute positions."""
    frames = np.arange(first, first + count)
    audio = np.arange(first * rate, (first + count) * rate)
    return {"mel": np.stack([frames, -frames], axis=1), "audio": audio}


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 5), st.data())
def test_rows_hold_what_came_by_absolute_position(counts, rate, data):
    rows, total, dropped = Rows("mel"), 0, 0
    for count in counts:
        rows.append(rising(total, count, rate), "here")
        total += count
        assert rows.stop == total
        if data.draw(st.booleans()):
            dropped = max(dropped, data.draw(st.integers(0, total)))
            rows.drop(dropped)
        assert rows.start == dropped
        first = data.draw(st.integers(dropped, total))
        last = data.draw(st.integers(first, total))
        if last > first:
            assert rows.names() == ["mel", "audio"]
            assert rows.cut("mel", first, last)[:, 0].tolist() == list(range(first, last))
            assert rows.cut("audio", first, last).tolist() == list(range(first * rate, last * rate))


def test_rows_forget_what_was_dropped():
    rows = Rows("mel")
    for i in range(100):
        rows.append(rising(i * 10, 10), "here")
        rows.drop(i * 10 + 5)
    held = sum(rows.cut(name, rows.start, rows.stop).base.nbytes for name in rows.names())
    assert held < 40 * 3 * 8


def test_rows_refuse_chunks_that_cannot_be_lined_up():
    rows = Rows("mel")
    with pytest.raises(TensorError, match=r"here: the stream carries \['audio'\], expected 'mel'"):
        rows.append({"audio": np.zeros(3)}, "here")
    with pytest.raises(TensorError, match="here: 'audio' has 7 steps beside 3 of 'mel'"):
        rows.append({"mel": np.zeros((3, 2)), "audio": np.zeros(7)}, "here")
    with pytest.raises(TensorError, match="'audio' has 0 steps beside 3"):
        rows.append({"mel": np.zeros((3, 2)), "audio": np.zeros(0)}, "here")
    with pytest.raises(TensorError, match="'audio' has 5 steps beside 0"):
        rows.append({"mel": np.zeros((0, 2)), "audio": np.zeros(5)}, "here")
    rows.append({"mel": np.zeros((0, 2)), "audio": np.zeros(0)}, "here")
    assert (rows.start, rows.stop) == (0, 0)


def test_join_is_along_the_first_axis():
    assert join([]) == {}
    a, b = rising(0, 3, 2), rising(3, 4, 2)
    both = join([a, b])
    assert both["mel"].tolist() == rising(0, 7, 2)["mel"].tolist()
    assert both["audio"].tolist() == list(range(14))
    assert join([a])["mel"] is a["mel"]


@pytest.mark.parametrize(
    "second", [{"mel": np.zeros(2)}, {"mel": np.zeros(2), "audio": np.zeros(2), "f0": np.zeros(2)}]
)
def test_join_refuses_chunks_of_different_tensors(second):
    with pytest.raises(TensorError, match="one stream carries"):
        join([{"mel": np.zeros(2), "audio": np.zeros(2)}, second])


def test_steps_are_counted_on_the_finest_axis():
    assert steps({}) == 0
    assert steps({"mel": np.zeros((3, 80)), "audio": np.zeros(12)}) == 12
    assert steps({"speed": np.float32(1)}) == 0


def test_check_gathers_the_sizes_of_named_axes():
    sizes = {}
    check("a", np.zeros((3, 8), np.float32), TensorSpec("float32", ("tokens", 8)), sizes, "here")
    assert sizes == {"tokens": 3}
    with pytest.raises(TensorError, match=r"here: tensor 'b' has shape \[4\].*tokens = 3"):
        check("b", np.zeros(4, np.int64), TensorSpec("int64", ("tokens",)), sizes, "here")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 8), np.float64), "is float64, expected float32"),
        (np.zeros(3, np.float32), r"shape \[3\], expected float32 \[tokens, 8\]"),
        (np.zeros((3, 9), np.float32), r"shape \[3, 9\], expected float32 \[tokens, 8\]"),
    ],
)
def test_check_names_what_was_expected_and_what_came(array, words):
    with pytest.raises(TensorError, match=words):
        check("a", array, TensorSpec("float32", ("tokens", 8)), {}, "here")


@pytest.mark.parametrize(
    ("dtype", "axes", "expected"),
    [
        ("float32", ("frames", 8), True),
        ("float32", ("tokens", 8), False),
        ("float32", ("frames", 9), False),
        ("float32", ("frames",), False),
        ("int64", ("frames", 8), False),
    ],
)
def test_fits(dtype, axes, expected):
    assert fits(TensorSpec("float32", ("frames", 8)), TensorSpec(dtype, axes)) is expected


def test_specs_add_and_take_away_and_remember_that_they_are_open():
    f0, mel = TensorSpec("float32", ("frames",)), TensorSpec("float32", ("frames", 8))
    some = Specs({"f0": f0})
    assert dict(some.plus({"mel": mel})) == {"f0": f0, "mel": mel}
    assert dict(some.plus({"f0": mel})) == {"f0": mel}
    assert dict(some.plus({"mel": mel}).without(["f0", "other"])) == {"mel": mel}
    assert not some.plus(Specs({"mel": mel})).open
    assert some.plus(Specs(open=True)).open
    assert Specs(open=True).plus(some).without(["f0"]).open
