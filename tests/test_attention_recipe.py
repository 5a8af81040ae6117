"""The attention recipe on made-up data: networks, teacher forcing, export. Seconds, no corpus."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the recipes need torch")
pytest.importorskip("tqdm", reason="the recipes need tqdm")

from recipes.attention import export  # noqa: E402
from recipes.attention.data import Item, _places, alignment_of, blurred, collate, groups  # noqa: E402
from recipes.attention.model import Attentive, Config  # noqa: E402
from recipes.attention.train import losses_of  # noqa: E402

import tiny  # noqa: E402
from polyvox.addons import Addon  # noqa: E402
from polyvox.blocks import connect  # noqa: E402
from polyvox.tensors import join  # noqa: E402

SYMBOLS = ["_", "^", "$", " ", ".", "a", "b", "d", "i"]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = Config(
        len(SYMBOLS), width=24, encoder_blocks=2, prenet=16, attention_cell=20, attention=12, location_filters=4,
        cell=28, features=8, postnet=16, postnet_kernels=(5, 3),
    )  # fmt: skip
    scale = torch.stack([torch.full((80,), -5.0), torch.full((80,), 2.0)])
    return Attentive(config, scale).eval()


def make_items(count=6):
    random = np.random.default_rng(0)
    items = []
    for number in range(count):
        tokens = torch.from_numpy(random.integers(3, len(SYMBOLS), 8 + number))
        durations = random.integers(2, 7, len(tokens)).tolist()
        steps = sum(durations) // 3
        mel = torch.from_numpy(random.standard_normal((steps * 3, 80)).astype(np.float32))
        items.append(Item(f"clip{number}", "a text", tokens, mel, _places(durations, steps, 3)))
    return items


def test_places_pass_over_tokens_without_frames():
    place = _places([6, 0, 0, 6], 4, 3)
    assert place.tolist() == pytest.approx([0.0, 0.75, 2.25, 3.0])
    assert torch.all(place[1:] >= place[:-1])


def test_alignments_sum_to_one():
    place = torch.tensor([[0.0, 1.5, 4.0]])
    for made in (alignment_of(place, 6, 0.6), blurred(place, 6, np.random.default_rng(0))):
        assert made.shape == (1, 3, 6)
        assert made.sum(-1) == pytest.approx(torch.ones(1, 3), abs=1e-5)
    assert alignment_of(place, 6, 0.6).argmax(-1).tolist() == [[0, 1, 4]]


def test_groups_hold_every_clip_once():
    items = make_items()
    made = groups(items, 90, seed=0)
    seen = []
    while len(seen) < len(items):
        group = next(made)
        assert len(group) == 1 or max(len(i.mel) for i in group) * len(group) <= 90
        seen += [i.id for i in group]
    assert sorted(seen) == sorted(i.id for i in items)


def test_what_is_told_is_natural_its_own_or_noisy():
    (item,) = make_items(1)
    random = np.random.default_rng(0)
    told = collate([item], 3, 0.0, 0.0, random).told[0]
    assert not told[0].any()
    assert torch.equal(told[1:], item.mel[2::3][:-1])
    item.said = torch.full(item.mel.shape, 7.0).half()
    own = collate([item], 3, 1.0, 0.0, random).told[0]
    assert own[1:].eq(7).all()
    noisy = collate([item], 3, 0.0, 0.5, random).told[0]
    assert 0 < (noisy - told)[1:].abs().mean() < 1


@torch.no_grad()
def test_a_step_is_what_teacher_forcing_trains(model):
    batch = collate(make_items(3), 3, 0.0, 0.0, np.random.default_rng(0))
    memory, keys = model.encoder(batch.tokens, batch.tokens_mask)
    coarse, features, stop, alignment = model.attention_decoder.taught(memory, keys, batch.tokens_mask, batch.told)
    item = batch.items[0]
    own_memory, own_keys = model.encoder(item.tokens[None], torch.ones(1, len(item.tokens)))
    state = model.attention_decoder.start(len(item.tokens))
    for step in range(len(item.place)):
        state[0] = batch.told[:1, step]
        made = model.attention_decoder(own_memory, own_keys, torch.ones(1, len(item.tokens)), *state)
        state = list(made[3:])
        torch.testing.assert_close(made[0][0], coarse[0, step], atol=1e-4, rtol=0)
        torch.testing.assert_close(made[1][0], features[0, step], atol=1e-4, rtol=0)
        torch.testing.assert_close(made[2], torch.sigmoid(stop[:1, step]), atol=1e-4, rtol=0)
        torch.testing.assert_close(state[5 - 1][0], alignment[0, step, : len(item.tokens)], atol=1e-4, rtol=0)


@torch.no_grad()
def test_led_by_its_own_attention_it_says_the_same(model):
    batch = collate(make_items(2), 3, 0.0, 0.0, np.random.default_rng(0))
    memory, keys = model.encoder(batch.tokens, batch.tokens_mask)
    alone = model.attention_decoder.taught(memory, keys, batch.tokens_mask, batch.told)
    steps = torch.arange(alone[3].shape[1])
    led = model.attention_decoder.led(memory, keys, batch.tokens_mask, batch.told, alone[3], alone[3], steps)
    for ours, theirs in zip(led, alone, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("own", [False, True])
def test_training_lowers_the_loss(model, own):
    import copy

    learner = copy.deepcopy(model).train()
    optimizer = torch.optim.Adam(learner.parameters(), 3e-3)
    batch = collate(make_items(4), 3, 0.0, 0.2, np.random.default_rng(0))
    totals = []
    for _ in range(25):
        losses, coarse = losses_of(learner, batch, own, np.random.default_rng(0))
        assert coarse.shape == batch.mel.shape
        total = sum(losses.values())
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        totals.append(total.item())
    assert totals[-1] < 0.9 * totals[0]


def test_sharpening_teaches_the_postnet_and_nothing_else(model, tmp_path, monkeypatch):
    import copy

    from recipes.attention import sharpen

    monkeypatch.setattr(sharpen, "validate", lambda *_: "")
    monkeypatch.setattr(sharpen, "picture", lambda *_: None)
    monkeypatch.setattr(sharpen, "WARMUP", 1)
    learner, corpus = copy.deepcopy(model), argparse.Namespace(train=make_items(4))
    out = tmp_path / "sharp.pt"
    sharpen.sharpen(corpus, learner, out, {"step": 7}, minutes=0.01, rate=1e-3, frames=200, weight=1.0)
    saved = torch.load(out, weights_only=True)
    assert saved["step"] == 7
    changed = {n.split(".")[0] for n, t in model.state_dict().items() if not torch.equal(t, saved["average"][n])}
    assert changed == {"postnet"}


@pytest.mark.parametrize("int8", [False, True])
def test_the_export_is_an_addon_that_speaks_as_torch_does(model, tmp_path, int8):
    rows = [item.tokens for item in make_items(3)]
    out = tmp_path / "ada"
    out.mkdir()
    networks = export.export_networks(model, rows, out, int8=int8)
    (out / "symbols.txt").write_text("".join(f"{s}\n" for s in SYMBOLS), "utf-8")
    args = argparse.Namespace(name=None, out=out, language="de", license="CC0-1.0", data="made up", corpus=Path("none"))
    (out / "addon.json").write_text(json.dumps(export.manifest(args, 7, networks, 64)), "utf-8")
    addon = Addon.open(out)
    assert addon.manifest.languages == ["de"]
    guard = addon.manifest.stack[0]["streamable_block"]["stack"][0]
    tiny.edit(out, lambda m: m["stack"][0]["streamable_block"]["stack"].__setitem__(0, guard["decoder"]))
    stack = Addon.open(out).stack()
    made = join(list(connect(stack.block, {"tokens": rows[0].numpy(), "speaker": np.asarray(0)})))
    most = -(-(15 * len(rows[0]) + 60) // 3)
    mel, alignment, _ = model.speak(rows[0], most)
    assert len(made["mel"]) == len(mel) == len(made["attention"])
    tolerance = 0.5 if int8 else 0.02
    np.testing.assert_allclose(made["mel"], mel.numpy() * 2 - 5, atol=tolerance)
    np.testing.assert_allclose(made["attention"][::3], alignment.numpy(), atol=tolerance)
