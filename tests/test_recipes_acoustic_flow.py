"""The acoustic recipe with several speakers and a decoder by flow matching, on made-up data. Seconds, no corpus."""

import copy
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the recipes need torch")
pytest.importorskip("scipy", reason="the recipes need scipy")
pytest.importorskip("tqdm", reason="the recipes need tqdm")

from recipes.acoustic import export  # noqa: E402
from recipes.acoustic.about import About, manifest, tag_of  # noqa: E402
from recipes.acoustic.data import Corpus, Item, collate  # noqa: E402
from recipes.acoustic.flow import Flowing, flow_loss, made  # noqa: E402
from recipes.acoustic.model import MARK, PAUSE, PHONE, Acoustic, Config, upsample  # noqa: E402
from recipes.acoustic.validate import validate  # noqa: E402

SYMBOLS = ["_", "^", "$", " ", ",", ".", "ˈ", "ː", "a", "b", "d", "i"]
CLASSES = torch.tensor([PAUSE] * 6 + [MARK] * 2 + [PHONE] * 4)
SCALES = torch.tensor([[[5.0, 0.2], [-3.0, 1.0]], [[4.0, 0.4], [-2.0, 0.5]]])
MEL_SCALE = torch.stack([torch.full((80,), -5.0), torch.full((80,), 2.0)])


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = Config(
        len(SYMBOLS), width=32, predictor_width=24, decoder_width=32, encoder_blocks=2, expansion=2, speakers=2,
        condition=16, flow_width=32, flow_kernels=(5, 3),
    )  # fmt: skip
    model = made(config, CLASSES, SCALES, MEL_SCALE).eval()
    assert isinstance(model, Flowing)
    with torch.no_grad():
        model.duration_predictor.predictor.line.bias.fill_(1.5)
        model.prosody_predictor.predictor.line.bias[4] = 9  # all voiced
        torch.nn.init.normal_(model.velocity.leave.weight, std=0.3)
        torch.nn.init.normal_(model.velocity.told.weight, std=0.3)
    return model


@pytest.fixture
def tokens():
    return torch.tensor([SYMBOLS.index(s) for s in "^ˈabaː, did.$"])


def make_item(rng, tokens, speaker):
    durations = torch.tensor(rng.integers(1, 6, len(tokens)))
    count = len(tokens)
    mel = torch.tensor(rng.normal(-5, 2, size=(int(durations.sum()), 80))).float()
    return Item(
        f"x{speaker}", tokens, durations, torch.zeros(count, 3), torch.ones(count), torch.zeros(count), mel,
        *upsample(durations), speaker,
    )  # fmt: skip


@pytest.fixture
def batch(tokens):
    rng = np.random.default_rng(0)
    return collate([make_item(rng, tokens, speaker) for speaker in (0, 1, 1)], MEL_SCALE, None, 0, rng)


def encoded(model, batch):
    hidden = model.text_encoder(batch.tokens, batch.tokens_mask, batch.speaker)
    return batch.gather(model.prosody_predictor.encode(hidden, batch.tokens_mask, batch.pitch, batch.energy))


def test_one_speaker_without_flow_is_the_plain_model():
    plain = made(Config(len(SYMBOLS), width=32), CLASSES, SCALES[0], MEL_SCALE)
    assert type(plain) is Acoustic
    assert plain.text_encoder.speakers is None


def test_speakers_sound_different_and_have_their_own_pitch(model, tokens):
    mask = torch.ones(2, len(tokens))
    both, who = tokens.repeat(2, 1), torch.tensor([0, 1])
    hidden = model.text_encoder(both, mask, who)
    assert not torch.allclose(hidden[0], hidden[1])
    same = hidden[:1].repeat(2, 1, 1)
    _, pitch, energy = model.prosody_predictor(same, mask, torch.zeros(2), torch.zeros(2), who)
    first = torch.log(pitch[0])
    assert torch.allclose(torch.log(pitch[1]), (first - 5.0) / 0.2 * 0.4 + 4.0, atol=1e-4)
    assert torch.allclose(energy[1], (energy[0] + 3.0) * 0.5 - 2.0, atol=1e-4)
    _, high, _ = model.prosody_predictor(same, mask, torch.full((2,), 12.0), torch.zeros(2), who)
    assert torch.allclose(high, 2 * pitch, rtol=1e-3)


def test_the_networks_do_what_the_flow_in_training_does(model, batch):
    model.finish()
    with torch.no_grad():
        frames = encoded(model, batch)
        wanted = model.normalised(frames, batch, steps=3, temperature=0.5, seed=1)
        placed = frames, batch.token_position, batch.token_frames, batch.frames_mask
        prior, spread, condition = model.decoder(*placed)
        noise = torch.randn(prior.shape, generator=torch.Generator().manual_seed(1))
        state = prior + 0.5 * spread * noise
        for k in range(3):
            time = torch.full((len(state),), k / 3)
            state = state + model.velocity(state, prior, condition, time, batch.frames_mask) / 3
    mask = batch.frames_mask.unsqueeze(-1)
    assert torch.allclose((wanted * MEL_SCALE[1] + MEL_SCALE[0]) * mask, state * mask, atol=1e-3)
    assert not torch.allclose(state, prior, atol=0.1)


def test_the_flow_learns_what_the_guess_cannot_know(model, batch):
    """Mel that is one of two at random: the guess is their mean, the flow draws one of them, the same in all bands."""
    torch.manual_seed(0)
    prior = torch.zeros_like(batch.mel)
    condition = torch.zeros(*prior.shape[:2], 16)
    model.train()
    optimizer = torch.optim.Adam(model.velocity.parameters(), 3e-3)
    for _ in range(150):
        sign = torch.sign(torch.randn(*batch.mel.shape[:1], 1, 1))
        batch.mel = sign.expand_as(prior).contiguous()
        loss = (flow_loss(model, prior, condition, batch) * batch.loss_mask).sum() / batch.loss_mask.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert model.decoder.spread.mean() == pytest.approx(0.9, abs=0.15)  # on its way from 0.5 to 1
    model.eval()
    with torch.no_grad():
        place = torch.randn_like(prior)
        for k in range(8):
            time = torch.full((len(prior),), k / 8)
            place = place + model.velocity.normalised(place, prior, condition, time, batch.frames_mask) / 8
    drawn = (place * model.decoder.spread)[batch.frames_mask > 0]
    assert drawn.mean(-1).abs().mean() == pytest.approx(1, abs=0.3)  # noise alone: 0.1


def test_validation_measures_the_flow(model, tokens):
    rng = np.random.default_rng(0)
    items = [make_item(rng, tokens, speaker) for speaker in (0, 1)]
    corpus = Corpus(items, items, SYMBOLS, torch.ones(len(SYMBOLS), dtype=torch.bool), SCALES, MEL_SCALE)
    found = validate(model, corpus)
    assert found["flowed"] != pytest.approx(found["mel_free"])
    assert all(np.isfinite(value) for value in found.values())


def write_corpus(folder, symbols, extra):
    folder.mkdir()
    clips = [
        {"id": f"{folder.name}-{n}", "split": split, "text": "a", "first_frame": 6 * n, "frames": 6}
        for n, split in enumerate(("train", "dev"))
    ]
    (folder / "clips.json").write_text(json.dumps(clips))
    np.save(folder / "audio.npy", np.zeros(12 * 256, np.int16))
    np.save(folder / "mel.npy", np.random.default_rng(0).normal(size=(12, 80)).astype(np.float32))
    rows = [{"id": c["id"], "symbols": ["^", extra, "$"], "durations": [1, 4, 1]} for c in clips]
    (folder / "alignment.json").write_text(json.dumps(rows))
    (folder / "symbols.txt").write_text("".join(f"{s}\n" for s in symbols), "utf-8")
    scale = np.array([5.0, 0.2]) if folder.name == "one" else np.array([4.0, 0.3])
    np.savez(
        folder / "prosody.npz", pitch=np.full((6, 3), 5.0), voiced=np.ones(6), energy=np.zeros(6), pitch_scale=scale,
        energy_scale=np.array([0.0, 1.0]),
    )  # fmt: skip


def test_corpora_with_other_symbols_are_joined(tmp_path):
    write_corpus(tmp_path / "one", ["_", "^", "$", "a"], "a")
    write_corpus(tmp_path / "two", ["_", "^", "$", "ж"], "ж")
    corpus = Corpus.load(tmp_path / "one", tmp_path / "two")
    assert corpus.speakers == 2
    assert [item.speaker for item in corpus.train] == [0, 1]
    assert [corpus.symbols[item.tokens[1]] for item in corpus.train] == ["a", "ж"]
    assert torch.equal(corpus.scales_of(corpus.train[1])[0], torch.tensor([4.0, 0.3]))
    alone = Corpus.load(tmp_path / "two")
    assert alone.speakers == 1
    assert alone.symbols == ["_", "^", "$", "ж"]
    assert alone.scales.shape == (2, 2)


def test_the_exported_networks_make_an_addon_that_speaks(model, tmp_path):
    pytest.importorskip("onnx", reason="the recipes need onnx")
    import polyvox

    model = copy.deepcopy(model)
    model.finish()
    folder = tmp_path / "tom"
    rows = [torch.tensor([SYMBOLS.index(s) for s in text]) for text in ("^ˈabaː, did.$", "^bad.$")]
    entries = export.export_networks(model, rows, folder)
    assert entries["decoder"]["stream"]["left"] == 14
    assert entries["velocity"]["stream"] == {"axis": "frames", "left": 3, "right": 3, "hop": 1}
    about = About("tom", "nl", {"an": "nl", "bo": "nl-BE"}, "CC0-1.0", "Made up", 64)
    written = manifest(about, 0, entries)
    assert written["languages"] == ["nl", "nl-BE"]
    assert written["speaker_languages"] == {"an": ["nl"], "bo": ["nl-BE"]}
    (folder / "addon.json").write_text(json.dumps(written))
    (folder / "symbols.txt").write_text("".join(f"{s}\n" for s in SYMBOLS), "utf-8")
    voice = polyvox.load(folder)
    one, other = (voice.say("Abba did.", speaker=speaker) for speaker in ("an", "bo"))
    assert len(one.samples)
    assert len(one.samples) != len(other.samples) or not np.allclose(one.samples, other.samples)


def test_tags_of_languages():
    assert [tag_of(name) for name in ("de", "en-us", "nl-be")] == ["de", "en-US", "nl-BE"]
