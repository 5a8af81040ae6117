"""Token predictors of the acoustic recipe and what measures them, on made-up data."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the recipes need torch")
pytest.importorskip("scipy", reason="the recipes need scipy")
pytest.importorskip("tqdm", reason="the recipes need tqdm")
pytest.importorskip("onnx", reason="the recipes need onnx")

from recipes.acoustic import export  # noqa: E402
from recipes.acoustic.data import Item, classes_of  # noqa: E402
from recipes.acoustic.gaps import smoothness, word_starts  # noqa: E402
from recipes.acoustic.model import Acoustic, Config, upsample  # noqa: E402
from recipes.acoustic.predict import encode_words, shake  # noqa: E402
from recipes.acoustic.predictors import (  # noqa: E402
    KINDS,
    OUTPUTS,
    Layout,
    Sizes,
    TokenPredictor,
    VotedDurations,
    VotedProsody,
    Voters,
    guess,
    kinds_of,
)

SYMBOLS = ["_", "^", "$", " ", ",", ".", "?", "ˈ", "ː", "a", "b", "d", "i"]
CLASSES = classes_of(SYMBOLS)


def ids(text):
    return torch.tensor([SYMBOLS.index(s) for s in text])


def voters(members=2):
    torch.manual_seed(1)
    sizes = Sizes(len(SYMBOLS), embedding=8, width=16)
    return Voters(Layout(kinds_of(SYMBOLS, CLASSES)), [TokenPredictor(sizes) for _ in range(members)]).eval()


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = Config(len(SYMBOLS), width=32, predictor_width=24, decoder_width=32, encoder_blocks=1, expansion=2)
    scales = torch.tensor([[5.0, 0.2], [-3.0, 1.0]])
    made = Acoustic(config, CLASSES, scales, torch.stack([torch.full((80,), -5.0), torch.full((80,), 2.0)])).eval()
    with torch.no_grad():
        made.duration_predictor.predictor.line.bias.fill_(3)
        made.prosody_predictor.predictor.line.bias[4] = 9
    return made


def voted(model):
    model.duration_predictor = VotedDurations(model.duration_predictor, voters())
    model.prosody_predictor = VotedProsody(model.prosody_predictor, voters())
    return model


def test_the_layout_counts_in_word_phrase_and_clip():
    tokens = ids("^ab, ˈda bi.$")[None]
    found = Layout(kinds_of(SYMBOLS, CLASSES))(tokens, torch.ones(tokens.shape))[0]
    assert found.shape == (tokens.shape[1], Layout.WIDTH)
    place = len(KINDS)
    second_d = 6
    assert SYMBOLS[int(tokens[0, second_d])] == "d"
    before = torch.expm1(found[second_d])
    # Phones before it: none in its word, none in its phrase, two in the clip.
    assert [round(float(before[place + 6 * group])) for group in range(3)] == [0, 0, 2]
    assert [round(float(before[place + 6 * group + 2])) for group in range(3)] == [1, 3, 3]


def test_padding_changes_nothing():
    one, long = ids("^ˈab.$"), ids("^da bi, ˈab di?$")
    both = torch.zeros(2, len(long), dtype=torch.int64)
    both[0, : len(one)], both[1] = one, long
    mask = torch.zeros(both.shape)
    mask[0, : len(one)], mask[1] = 1, 1
    together, alone = voters()(both, mask), voters()(one[None], torch.ones(1, len(one)))
    assert together.shape == (2, len(long), OUTPUTS)
    assert torch.allclose(together[0, : len(one)], alone[0], atol=1e-5)


def test_an_addon_with_voters_reads_the_tokens(model, tmp_path):
    entries = export.export_networks(voted(model), [ids("^ab, ˈda bi.$"), ids("^ab.$")], tmp_path)
    assert list(entries["prosody_predictor"]["inputs"]) == ["hidden", "tokens", "tokens_mask", "pitch", "energy"]
    assert entries["duration_predictor"]["inputs"]["tokens"] == {"dtype": "int64", "axes": ["tokens"]}


def test_symbols_never_seen_are_adopted_by_the_voters_too(model):
    seen = torch.tensor([s != "?" for s in SYMBOLS])
    voted(model)
    export.adopt_unseen(model, SYMBOLS, seen)
    for member in model.prosody_predictor.voters.members:
        table = member.embedding.weight
        assert torch.equal(table[SYMBOLS.index("?")], table[SYMBOLS.index(".")])


def item(text, frames=4, movement=1.0):
    tokens = ids(text)
    durations = torch.where(CLASSES[tokens] == 2, 0, frames)
    generator = torch.Generator().manual_seed(len(text))
    count = len(tokens)
    pitch = movement * torch.randn(count, 1, generator=generator).expand(-1, 3)
    mel = torch.zeros(int(durations.sum()), 80)
    return Item(text, tokens, durations, pitch, torch.ones(count), torch.zeros(count), mel, *upsample(durations))


def test_pace_makes_phones_as_long_as_recorded(model):
    items = [item("^ab, ˈda bi.$", 30), item("^di ab, a.$", 30)]
    export.set_pace(voted(model), items, CLASSES)
    natural = sum(int(i.durations[CLASSES[i.tokens] == 1].sum()) for i in items)
    said = sum(int(guess(model, i.tokens).durations[CLASSES[i.tokens] == 1].sum()) for i in items)
    assert said == pytest.approx(natural, rel=0.05)


def test_melodies_are_widened_to_the_share_asked_for(model):
    texts = [item("^ab, ˈda bi.$"), item("^di ab, a.$")]
    voted(model)
    gain = export.measure_gain(model, texts, texts, 0.9)
    model.prosody_predictor.gain.fill_(gain)
    assert export.measure_gain(model, texts, texts, 0.9) == pytest.approx(1, abs=1e-4)


def test_smoothed_mel_shows():
    rng = np.random.default_rng(0)
    natural = rng.normal(size=(200, 80))
    blurred = (natural[:-2] + natural[1:-1] + natural[2:]) / 3
    found = smoothness([(blurred, natural)])
    assert found["variance"] == pytest.approx(1 / 3, rel=0.2)
    assert found["modulation_16-43"] < found["modulation_4-8"]
    assert "distance" not in found
    assert smoothness([(natural, natural)])["distance"] == 0


def test_words_begin_after_pauses():
    starts = word_starts(list("^ab, ˈda.$"), np.array([2, 1, 1, 0, 0, 0, 3, 2, 1, 0]))
    assert starts / (1000 * 256 / 22050) == pytest.approx([2, 4])


def test_forgetting_keeps_a_words_own_symbols(model):
    from recipes.acoustic.data import collate

    one = item("^ab da bi di ab.$")
    batch = collate([one], model.decoder.mel_scale, None, 0, np.random.default_rng(0))
    with torch.no_grad():
        alone = encode_words(model, batch, SYMBOLS.index(" "))
        whole = model.text_encoder(batch.tokens, batch.tokens_mask)
        weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        shake(model, weights)
    assert alone.shape == whole.shape
    assert not torch.allclose(alone, whole)
    assert torch.equal(alone[..., -2:], whole[..., -2:])
    assert not torch.equal(model.decoder.leave.weight, weights["decoder.leave.weight"])
