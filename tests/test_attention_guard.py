"""AttentionGuard: what it notices, what it repairs, what it says about it."""

import logging
import re

import numpy as np
import pytest

import tiny
import tiny_attention
from polyvox import blocks
from polyvox.addons import Addon
from polyvox.blocks import attention_guard, connect
from polyvox.blocks.attention_guard import FAULTS, Limits, Watch
from polyvox.errors import StackError
from polyvox.tensors import join
from polyvox.windows import WHOLE

TOKENS = 40
LIMITS = Limits(back=4, skip=3, covered=0.1, stall=20, tail=10)


def path(*places, tokens=TOKENS):
    """An alignment [steps, tokens] that attends to these tokens, nearly."""
    rows = np.full((len(places), tokens), 0.05 / tokens, dtype=np.float32)
    rows[np.arange(len(places)), list(places)] += np.float32(0.95)
    return rows


def seen(places, limits=LIMITS, tokens=TOKENS):
    return Watch(tokens, limits).see(path(*places, tokens=tokens))


# --- what it notices ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("places", "fault"),
    [
        (range(TOKENS), None),
        (range(0, TOKENS, 2), None),  # marks between phones have no time of their own
        ([0, 0, 3, 3, 6, 6, 9, 9], None),
        ([0, 1, 2, 3, 3, 9, 9], "skip"),
        ([0, 4, 8, 12], "skip"),
        ([0, 2, 4, 6, 8, 5, 6, 8, 9], None),  # a glance back
        ([0, 2, 4, 6, 8, 3, 4], "repeat"),
        ([0, 1, *[2] * 20], None),
        ([0, 1, *[2] * 22], "stall"),
        ([*range(TOKENS), *[TOKENS - 1] * 9], None),
        ([*range(TOKENS), *[TOKENS - 1] * 12], "runaway"),
    ],
)
def test_a_watch_sees_faults(places, fault):
    assert seen(list(places))[0] == fault


def test_a_watch_sees_the_same_step_by_step_and_at_once():
    random = np.random.default_rng(0)
    compared = 0
    for _ in range(300):
        places = np.clip(np.cumsum(random.choice([-6, -1, 0, 0, 1, 1, 2], size=40)), 0, TOKENS - 1).tolist()
        single = Watch(TOKENS, LIMITS)
        one_by_one = next(((f, single.count) for row in path(*places) if (f := single.see(row[None])[0])), None)
        if one_by_one is not None:
            assert seen(places) == one_by_one
            compared += 1
    assert compared > 100


def test_a_forgiven_watch_goes_on():
    watch = Watch(TOKENS, LIMITS)
    assert watch.see(path(0, 1, 9, 9, 9)) == ("skip", 5)
    watch.forgive()
    assert watch.see(path(9, 10, 11, 12, 13)) == (None, 5)


# --- what it repairs ---------------------------------------------------------------------------------------------


def guarded(network, wanted=WHOLE, tokens=TOKENS, **options):
    """Everything that a guarded decoder makes, and what the guard counted."""
    attention_guard.metrics.reset()
    guard = blocks.AttentionGuard(blocks.AttentionDecoder(tiny.parts(network)), **options)
    stream = connect(guard, tiny_attention.encoded(tokens))
    chunks = []
    while True:
        stream.ask(wanted)
        chunk = next(stream, None)
        if chunk is None:
            break
        chunks.append(chunk)
    return join(chunks), attention_guard.metrics.snapshot()


def faults(snapshot):
    return {name: count for name, count in snapshot.items() if count and name not in ("utterances", "steps")}


def is_orderly(made, tokens=TOKENS):
    """From the first token to the last, leaping over one at most, never back, never for too long on one."""
    places = made["attention"].argmax(axis=1)
    moves = np.diff(places)
    assert moves.min() >= -2
    assert moves.max() <= 2
    assert places[0] == 0
    assert places[-1] >= tokens - 2
    assert np.bincount(places).max() <= 54 // 2 + 2
    assert not made["attention_fault"].any()
    return True


def test_where_nothing_is_wrong_nothing_changes():
    network = tiny_attention.Scripted()
    made, snapshot = guarded(network)
    plain = join(list(connect(blocks.AttentionDecoder(tiny.parts(network)), tiny_attention.encoded(TOKENS))))
    np.testing.assert_array_equal(made["mel"], plain["mel"])
    np.testing.assert_array_equal(made["token_index"], plain["token_index"])
    assert snapshot["utterances"] == 1
    assert snapshot["steps"] == len(plain["mel"]) / 2
    assert not faults(snapshot)


@pytest.mark.parametrize(
    ("network", "found"),
    [
        (lambda: tiny_attention.Scripted(tiny_attention.skips), {"skip repaired": 1}),
        (lambda: tiny_attention.Scripted(tiny_attention.repeats), {"repeat repaired": 1}),
        (lambda: tiny_attention.Scripted(tiny_attention.stalls), {"stall repaired": 1}),
        (lambda: tiny_attention.Scripted(never=True), {"runaway repaired": 1}),
        (lambda: tiny_attention.Scripted(early=8.0), {"early stop repaired": 1}),
        (
            lambda: tiny_attention.Scripted(tiny_attention.repeats, never=True),
            {"repeat repaired": 1, "runaway repaired": 1},
        ),
    ],
    ids=["skip", "repeat", "stall", "runaway", "early stop", "repeat and runaway"],
)
@pytest.mark.parametrize("wanted", [1, 7, 33, WHOLE])
def test_bad_attention_is_repaired(network, found, wanted):
    made, snapshot = guarded(network(), wanted)
    assert is_orderly(made)
    if "early stop repaired" not in found:  # which stops again and again until the end is reached
        assert len(made["mel"]) <= 2 * 2 * TOKENS + 2 * 60
    assert faults(snapshot) == found


def test_what_leaps_again_and_again_is_held():
    made, snapshot = guarded(tiny_attention.Scripted(lambda at: at + 4.0))
    assert faults(snapshot) == {"skip repaired": 1}
    assert np.diff(made["attention"].argmax(axis=1)).max() == 2


def test_the_last_words_count_too():
    """A leap to the end, and a stop there."""
    made, snapshot = guarded(tiny_attention.Scripted(lambda at: 39.0 if 30 <= at < 31 else at + 0.5))
    assert faults(snapshot) == {"skip repaired": 1}
    assert is_orderly(made)


def test_what_has_to_be_pushed_from_token_to_token_is_reported():
    made, snapshot = guarded(tiny_attention.Scripted(lambda at: at), 10)
    assert faults(snapshot)["stall left"] == 1
    # Half a second on each token is longer than the decoder allows in all.
    assert [FAULTS[kind] for kind in made["attention_fault"] if kind] == ["stall", "runaway"]


@pytest.mark.parametrize(
    ("network", "kinds"),
    [
        (lambda: tiny_attention.Scripted(tiny_attention.skips), {"skip"}),
        (lambda: tiny_attention.Scripted(tiny_attention.repeats), {"repeat", "runaway"}),
        (lambda: tiny_attention.Scripted(tiny_attention.stalls), {"stall", "runaway"}),
        (lambda: tiny_attention.Scripted(early=8.0), {"early stop"}),
    ],
    ids=["skip", "repeat", "stall", "early stop"],
)
def test_without_repair_it_watches_and_reports(network, kinds, caplog):
    with caplog.at_level(logging.WARNING, "polyvox.attention"):
        made, snapshot = guarded(network(), 16, repair=False)
    plain = join(list(connect(blocks.AttentionDecoder(tiny.parts(network())), tiny_attention.encoded(TOKENS))))
    np.testing.assert_array_equal(made["mel"], plain["mel"])
    assert {FAULTS[kind] for kind in made["attention_fault"] if kind} == kinds
    assert {name.removesuffix(" left") for name in faults(snapshot)} == kinds
    assert "not repaired" in caplog.text


def test_a_repair_is_logged_as_information(caplog):
    with caplog.at_level(logging.INFO, "polyvox.attention"):
        guarded(tiny_attention.Scripted(tiny_attention.skips))
    (record,) = caplog.records
    assert record.levelname == "INFO"
    assert re.fullmatch(r"skip at token \d+ of 40, repaired", record.getMessage())


def test_one_token_and_two_are_spoken():
    for tokens in (1, 2, 3):
        made, snapshot = guarded(tiny_attention.Scripted(), tokens=tokens)
        assert len(made["mel"])
        assert not faults(snapshot)


# --- what the caller hears of it ---------------------------------------------------------------------------------


def test_the_caller_is_told_what_could_not_be_repaired(tmp_path):
    def watch_only(data):
        guard = data["stack"][0]["streamable_block"]
        # A token that is attended to for more than two frames counts as a stall: so each one does.
        guard.update(repair=False, stall=2, tail=2, hold=2)

    tiny.vocoder(tmp_path / "tom")
    tiny.edit(tiny_attention.acoustic(tmp_path / "ada"), watch_only)
    import polyvox

    speech = polyvox.load(tmp_path / "ada").say("hello there")
    assert speech.warnings
    assert all(w.startswith(("stall of the attention at 0.", "runaway of")) for w in speech.warnings)


# --- what is refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"decoder": {"type": "Gain"}}, "the field 'decoder' needs an AttentionDecoder, got a Gain"),
        (
            {"decoder": {"type": "AttentionDecoder", "mask": None}},
            "repairing needs a decoder with a mask, whose field 'mask' is null",
        ),
        ({"hold": 10}, "expected back, skip, stall, tail >= 1, covered > 0, and hold >= stall and tail"),
        ({"back": 0}, "expected back"),
        ({"stal": 3}, "'AttentionGuard' has no such field"),
    ],
)
def test_a_guard_that_cannot_work_is_refused(tmp_path, fields, message):
    def change(data):
        data["stack"][0]["streamable_block"] = {
            "type": "AttentionGuard",
            "decoder": {"type": "AttentionDecoder"},
            **fields,
        }

    addon = Addon.open(tiny.edit(tiny_attention.acoustic(tmp_path / "ada"), change))
    with pytest.raises(StackError) as caught:
        addon.stack()
    assert message in str(caught.value)


def test_without_a_mask_it_can_still_watch(tmp_path):
    network = tiny_attention.Scripted(tiny_attention.skips)
    inputs = {n: s for n, s in network.spec.inputs.items() if n != "attention_mask"}
    run = network.run
    network.spec = type(network.spec)("s", "attention_decoder", inputs, network.spec.outputs, state=network.spec.state)
    network.run = lambda t: run({**t, "attention_mask": np.ones(len(t["encoded"]), dtype=np.float32)})
    decoder = blocks.AttentionDecoder(tiny.parts(network), mask=None)
    made = join(list(connect(blocks.AttentionGuard(decoder, repair=False), tiny_attention.encoded(TOKENS))))
    assert made["attention_fault"].any()
