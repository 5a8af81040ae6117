"""The window planner: pure, and the most tested file of the project."""

import itertools

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from polyvox.windows import WHOLE, Context, Planner, Window

CONTEXTS = st.builds(Context, st.integers(0, 20), st.integers(0, 20), st.integers(1, 4))
WANTED = st.lists(st.integers(1, 60), min_size=1, max_size=8)
TOTALS = st.integers(1, 400)


@st.composite
def fixed(draw):
    """A planner of fixed sizes."""
    context = draw(CONTEXTS)
    largest = draw(st.integers(context.left + context.right + 1, context.left + context.right + 120))
    others = draw(st.sets(st.integers(1, largest), max_size=3))
    return Planner(context, tuple(sorted({*others, largest})))


DYNAMIC = st.builds(Planner, CONTEXTS)
PLANNERS = st.one_of(DYNAMIC, fixed())


def check_cover(planner, windows, total):
    """Every frame once, in order, each with its whole context or the true edge, and steady progress."""
    context = planner.context
    done = 0
    for window in windows:
        assert window.first == done < window.last <= total
        assert 0 <= window.start <= max(0, window.first - context.left)
        assert min(total, window.last + context.right) <= window.stop <= total
        done = window.last
    assert done == total


@given(PLANNERS, TOTALS, WANTED)
def test_windows_keep_every_frame_once_in_order_with_its_context_or_the_true_edge(planner, total, wanted):
    check_cover(planner, list(planner.windows(total, wanted)), total)


@given(DYNAMIC, TOTALS, WANTED)
def test_dynamic_windows_read_no_more_than_context_and_keep_what_was_wanted(planner, total, wanted):
    sizes = itertools.chain(wanted, itertools.repeat(wanted[-1]))
    for window, asked in zip(planner.windows(total, wanted), sizes, strict=False):
        assert window.start == max(0, window.first - planner.context.left)
        assert window.stop == min(total, window.last + planner.context.right)
        # The end is reached by the window whose right context would touch it.
        assert window.last - window.first == asked or window.stop == window.last == total
        assert window.last - window.first <= asked + planner.context.right


@given(fixed(), TOTALS, WANTED)
@example(Planner(Context(2, 2), (8, 16)), 12, [60])  # between two sizes: two windows of 8, not one of 16 padded
def test_fixed_windows_have_a_compiled_size_where_the_utterance_is_that_long(planner, total, wanted):
    margin = planner.context.left + planner.context.right
    # One that keeps at least a quarter of what it reads.
    smallest = next((size for size in planner.sizes if 4 * (size - margin) >= size), WHOLE)
    windows = list(planner.windows(total, wanted))
    if total >= smallest:
        assert {w.stop - w.start for w in windows} <= set(planner.sizes)
    elif total < planner.sizes[0]:
        assert windows == [Window(0, total, 0, total)]


@given(fixed(), TOTALS, WANTED)
def test_a_fixed_window_is_the_smallest_that_yields_what_is_wanted(planner, total, wanted):
    window = planner.window(0, wanted[0], total, ended=False)
    enough = [s for s in planner.sizes if s >= wanted[0] + planner.context.right]
    if window is not None:
        assert window.stop == (enough[0] if enough else planner.sizes[-1])


@given(PLANNERS, TOTALS, WANTED, st.lists(st.integers(1, 50), min_size=1, max_size=10))
def test_planning_without_knowing_the_end_covers_the_same_and_reads_only_what_was_announced(
    planner, total, wanted, arrivals
):
    sizes, arriving = itertools.cycle(wanted), itertools.cycle(arrivals)
    asked, known, ended, kept_from, made = next(sizes), 0, False, 0, []
    while True:
        window = planner.window(made[-1].last if made else 0, asked, known, ended=ended)
        if window is None:
            if ended:
                break
            # Every further frame that is read is one that the planner announced.
            reach = planner.reach(made[-1].last if made else 0, asked)
            assert known < reach
            known = min(total, known + next(arriving), reach)
            ended = known == total
            continue
        assert kept_from <= window.start
        assert window.stop <= known
        made.append(window)
        kept_from = planner.keep_from(window.last)
        assert kept_from <= window.last
        asked = next(sizes)
        assert len(made) <= total  # no stall
    check_cover(planner, made, total)


@given(PLANNERS, st.integers(0, 100), st.integers(1, 60))
def test_the_planner_waits_exactly_until_its_reach(planner, done, wanted):
    reach = planner.reach(done, wanted)
    assert reach > done + planner.context.right
    assert planner.window(done, wanted, reach - 1, ended=False) is None
    window = planner.window(done, wanted, reach, ended=False)
    assert window is not None
    assert window.stop == reach
    assert planner.window(done, wanted, done, ended=True) is None


@given(PLANNERS, TOTALS)
def test_asking_for_everything_gives_one_dynamic_window_or_the_largest_fixed_ones(planner, total):
    windows = list(planner.windows(total, [WHOLE]))
    if not planner.sizes:
        assert windows == [Window(0, total, 0, total)]
    elif total >= planner.sizes[-1]:
        assert {w.stop - w.start for w in windows[:-1]} <= {planner.sizes[-1]}
    check_cover(planner, windows, total)


@given(st.integers(0, 50), st.integers(1, 50), st.integers(0, 50), st.integers(0, 50), st.integers(1, 9))
def test_kept_counts_in_output_steps(start, keep, left, right, hop):
    window = Window(start, start + left + keep + right, start + left, start + left + keep)
    output = [frame for frame in range(window.start, window.stop) for _ in range(hop)]
    assert output[window.kept(hop)] == [f for f in range(window.first, window.last) for _ in range(hop)]


@pytest.mark.parametrize("sizes", [(8, 4), (4, 4), (0, 4), (-1,)])
def test_sizes_that_do_not_ascend_are_refused(sizes):
    with pytest.raises(ValueError, match="ascend"):
        Planner(Context(0, 0), sizes)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(1, 40))
def test_a_largest_size_without_room_between_the_contexts_is_refused(left, right, size):
    assume(size <= left + right)
    with pytest.raises(ValueError, match="leaves none"):
        Planner(Context(left, right), (size,))
    Planner(Context(left, right), (left + right + 1,))


@pytest.mark.parametrize("bad", [(-1, 0, 1), (0, -1, 1), (0, 0, 0)])
def test_an_impossible_context_is_refused(bad):
    with pytest.raises(ValueError, match="context needs"):
        Context(*bad)


def test_wanting_nothing_is_refused():
    with pytest.raises(ValueError, match="at least 1"):
        Planner(Context(1, 1)).window(0, 0, 10, ended=True)
