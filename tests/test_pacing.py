"""How chunks grow: as the pace says while the listener is ahead, and no faster."""

from hypothesis import given
from hypothesis import strategies as st

from polyvox.pacing import Listener
from polyvox.windows import Pace

FRAME = 0.0116


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def play(pace, cost, chunks, wait=0.0):
    """Sizes of the chunks, and the least audio that the listener had in hand when one came."""
    clock = Clock()
    listener = Listener(pace, clock)
    sizes, hand, given_at = [], [], None
    given_audio = 0.0
    for _ in range(chunks):
        size = listener.ask()
        clock.now += cost(size)
        if given_at is not None:
            hand.append(given_audio - (clock.now - given_at))
        given_at = clock.now if given_at is None else given_at
        given_audio += size * FRAME
        listener.give(size, size * FRAME)
        clock.now += wait
        sizes.append(size)
    return sizes, min(hand)


def test_a_fast_machine_grows_as_the_pace_says():
    sizes, _ = play(Pace(24, 6.0, 768), lambda n: n * FRAME * 0.01, 4)
    assert sizes == [24, 144, 768, 768]


def test_a_slow_machine_grows_slowly_and_never_runs_dry():
    sizes, hand = play(Pace(24, 6.0, 768), lambda n: (n + 60) * FRAME * 0.15, 12)
    assert sizes[1] < 60
    assert sizes[-1] > 200
    assert hand > 0


@given(st.floats(0.001, 0.25), st.integers(0, 60))
def test_the_listener_never_runs_dry_on_a_machine_that_can_keep_up(factor, context):
    # The first chunk must be worth what the second costs; a machine slower than that cannot stream at this pace.
    if (24 + context) * factor > 0.9 * 24:
        return
    _, hand = play(Pace(24, 6.0, 768), lambda n: (n + context) * FRAME * factor, 30)
    assert hand > 0


def test_chunks_of_one_size_stay_so_however_late_they_are():
    sizes, _ = play(Pace(7, 1.0, 7), lambda n: 5.0, 5)
    assert sizes == [7] * 5


def test_a_listener_who_is_late_does_not_shrink_chunks_below_the_first():
    sizes, _ = play(Pace(24, 6.0, 768), lambda n: 0.01, 5, wait=30.0)
    assert min(sizes) == 24
