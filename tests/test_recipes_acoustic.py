"""The acoustic recipe on made-up data: alignment, networks, export. Seconds, no corpus."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the recipes need torch")
pytest.importorskip("scipy", reason="the recipes need scipy")
pytest.importorskip("tqdm", reason="the recipes need tqdm")

from recipes.acoustic import export  # noqa: E402
from recipes.acoustic.data import Item, batches, collate  # noqa: E402
from recipes.acoustic.hmm import STATES, Utterance, train  # noqa: E402
from recipes.acoustic.model import MARK, PAUSE, PHONE, Acoustic, Config, upsample  # noqa: E402
from recipes.acoustic.prosody import token_means, token_pitch  # noqa: E402
from recipes.acoustic.symbols import clip_symbols, is_mark, is_pause, symbol_table  # noqa: E402
from recipes.align import durations_of, units_of  # noqa: E402
from recipes.features import StoredClip  # noqa: E402

SYMBOLS = ["_", "^", "$", " ", ",", ".", "ˈ", "ː", "a", "b", "d", "i"]
CLASSES = torch.tensor([PAUSE] * 6 + [MARK] * 2 + [PHONE] * 4)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = Config(len(SYMBOLS), width=32, predictor_width=24, decoder_width=32, encoder_blocks=2, expansion=2)
    scales = torch.tensor([[5.0, 0.2], [-3.0, 1.0]])
    made = Acoustic(config, CLASSES, scales, torch.stack([torch.full((80,), -5.0), torch.full((80,), 2.0)])).eval()
    with torch.no_grad():  # durations of a few frames, not of one
        made.duration_predictor.predictor.line.bias.fill_(1.5)
    return made


@pytest.fixture
def tokens():
    return torch.tensor([SYMBOLS.index(s) for s in "^ˈabaː, did.$"])


def test_symbols_are_phones_marks_or_pauses():
    table = symbol_table("ˈqa̩")
    assert table[:4] == ["_", "^", "$", " "]
    assert len(set(table)) == len(table)
    assert "q" in table
    assert all(is_mark(s) for s in "ˈˌːʲ̩̃")
    assert all(is_pause(s) for s in "_^$ ,.!?;:")
    assert not any(is_mark(s) or is_pause(s) for s in "aɪðŋɚᵻʔɡ")


def test_a_clip_of_two_sentences_is_one_sequence():
    class Speller:
        def phonemes(self, text, offset=0):
            return type("P", (), {"symbols": tuple(text.lower())})

    assert "".join(clip_symbols(Speller(), "Oh no. It is.")) == "^oh no. it is.$"


def test_neighbouring_pauses_share_one_silence():
    symbols = list("^a, b c.$")
    assert [(u.name, symbols[u.symbol]) for u in units_of(symbols)] == [
        ("_", "^"), ("a", "a"), ("_", ","), ("b", "b"), ("_", " "), ("c", "c"), ("_", "$"),
    ]  # fmt: skip
    assert [u.penalty > 0 for u in units_of(symbols)] == [False, False, False, False, True, False, False]


def make_utterance(rng, text, centres, frames=14):
    """Frames drawn around a centre for every phone, and around another one for silence."""
    symbols = ["^", *text, "$"]
    units = units_of(symbols)
    names = ["_", *sorted(set(text) - {" ", ",", "ː"})]
    states = np.concatenate([names.index(u.name) * STATES + np.arange(STATES) for u in units])
    rows, truth = [], []
    for i, unit in enumerate(units):
        count = 0 if symbols[unit.symbol] == " " else int(frames * rng.uniform(0.7, 1.3)) * 2
        rows.append(centres[names.index(unit.name)] + rng.normal(0, 0.4, (count, 4)))
        truth += [i] * count
    clip = StoredClip("x", "train", text, 0, len(truth) // 2)
    features = np.concatenate(rows).astype(np.float32)
    return Utterance(clip, symbols, units, features, states, np.zeros(len(features), int)), np.array(truth)


def test_the_aligner_finds_boundaries_without_being_told_any():
    rng = np.random.default_rng(0)
    # The first feature is loudness: silence is quiet.
    centres = np.concatenate([np.array([[-6, 0, 0, 0]]), rng.normal(0, 2, (4, 4)) + np.array([3, 0, 0, 0])])
    texts = ["".join(rng.permutation(list("abcdabcd"))) for _ in range(30)]
    texts = [f"{t[:3]} {t[3:5]}, {t[5:]}ː" for t in texts]
    made = [make_utterance(rng, text, centres) for text in texts]
    utterances = [u for u, _ in made]
    train(utterances, 5 * STATES, (6, 2))
    right = np.concatenate([u.path // STATES == truth for u, truth in made])
    assert right.mean() > 0.95
    for u in utterances:
        durations = durations_of(u)
        assert sum(durations) == u.clip.frames
        assert all(d > 0 for s, d in zip(u.symbols, durations, strict=True) if s in "abcd")
        assert all(d == 0 for s, d in zip(u.symbols, durations, strict=True) if s in " ː")


def test_durations_stay_possible_where_the_path_is_tight():
    symbols = list("^abcdab$")
    units = units_of(symbols)
    path = np.repeat(np.arange(1, 7), [3, 3, 3, 3, 3, 3])  # six phones of 1.5 frames, no silence
    clip = StoredClip("x", "train", "", 0, 9)
    u = Utterance(clip, symbols, units, np.zeros((18, 4)), np.zeros(0, int), path * STATES)
    assert sum(durations_of(u)) == 9
    assert min(durations_of(u)[1:-1]) >= 1
    assert durations_of(u)[0] == durations_of(u)[-1] == 0


def test_prosody_of_tokens():
    f0 = np.array([0, 0, 100, 100, 100, 0, 0, 200], np.float32)
    pitch, voiced = token_pitch(f0, np.array([2, 0, 3, 3]))
    assert voiced == pytest.approx([0, 0, 1, 1 / 3])
    assert np.exp(pitch[2]) == pytest.approx([100, 100, 100], rel=0.1)
    assert np.exp(pitch[3, 0]) < np.exp(pitch[3, 2])
    assert token_means(np.array([1.0, 3, 5]), np.array([2, 0, 1])) == pytest.approx([2, 5, 5])


def test_upsampling():
    index, position, length = upsample(torch.tensor([2, 0, 3]))
    assert index.tolist() == [0, 0, 2, 2, 2]
    assert position.tolist() == pytest.approx([0.25, 0.75, 1 / 6, 0.5, 5 / 6])
    assert length.tolist() == [2, 2, 3, 3, 3]


def test_durations_obey_classes_and_speed(model, tokens):
    mask = torch.ones(1, len(tokens))
    hidden = model.text_encoder(tokens[None], mask)
    slow, fast, very = (model.duration_predictor(hidden, mask, torch.tensor([s]))[0] for s in (0.5, 1.0, 100.0))
    kind = CLASSES[tokens]
    assert (very[kind == PHONE] == 1).all()
    assert (slow[kind == MARK] == 0).all()
    assert slow.sum() > 1.7 * fast.sum()


def test_pitch_is_shifted_in_semitones(model, tokens):
    mask = torch.ones(1, len(tokens))
    hidden = model.text_encoder(tokens[None], mask)
    with torch.no_grad():
        model.prosody_predictor.predictor.line.bias[4] = 9  # all voiced
    low, high = (model.prosody_predictor(hidden, mask, torch.tensor([p]), torch.zeros(1)) for p in (0.0, 12.0))
    assert torch.allclose(high[1], 2 * low[1], rtol=1e-4)
    assert not torch.allclose(high[0], low[0])


def test_windows_with_context_give_the_whole(model):
    made = export.example(model, [torch.tensor([8, 9, 10, 11] * 12)])
    inputs = [made[name] for name in export.SIGNATURES["decoder"][0]]
    context, frames = model.config.context, made["encoded"].shape[1]
    assert context <= 16
    whole = model.decoder(*inputs)
    middle = frames // 2
    inner = model.decoder(*(value[:, middle - context : middle + 5 + context] for value in inputs))
    assert torch.allclose(inner[:, context : context + 5], whole[:, middle : middle + 5], atol=1e-5)


def test_the_context_declared_is_the_context_needed(model):
    made = export.example(model, [torch.tensor([8, 9, 10, 11] * 12)])
    encoded, *others = (made[name] for name in export.SIGNATURES["decoder"][0])
    encoded.requires_grad_(True)
    context, middle = model.config.context, encoded.shape[1] // 2
    model.decoder(encoded, *others)[0, middle].sum().backward()
    felt = encoded.grad[0].abs().sum(-1).nonzero().squeeze(-1) - middle
    assert (felt.min(), felt.max()) == (-context, context)


def make_item(rng, tokens):
    durations = torch.tensor(rng.integers(0, 8, len(tokens)))
    count = len(tokens)
    mel = torch.tensor(rng.normal(size=(int(durations.sum()), 80))).float()
    return Item(
        "x", tokens, durations, torch.zeros(count, 3), torch.ones(count), torch.zeros(count), mel, *upsample(durations)
    )


def test_crops_leave_out_what_their_edges_spoil(tokens):
    rng = np.random.default_rng(1)
    items = [make_item(rng, tokens.repeat(3)) for _ in range(6)]
    scale = torch.stack([torch.zeros(80), torch.ones(80)])
    batch = next(batches(items, scale, 4, 40, 5, seed=0))
    assert batch.mel.shape == (4, 40, 80)
    assert batch.loss_mask.sum() < batch.frames_mask.sum() == 160
    assert batch.gather(torch.zeros(4, batch.tokens.shape[1], 7)).shape == (4, 40, 7)
    whole = collate(items, scale, None, 5, rng)
    assert torch.equal(whole.loss_mask, whole.frames_mask)


def test_unseen_symbols_take_a_neighbours_place(model):
    import copy

    model = copy.deepcopy(model)
    seen = torch.tensor([s not in "iˈ" for s in SYMBOLS])
    symbols = [{"i": "ɒ", "ˈ": "\u0303"}.get(s, s) for s in SYMBOLS]
    export.adopt_unseen(model, symbols, seen)
    rows = model.text_encoder.embedding.weight
    assert torch.equal(rows[symbols.index("ɒ")], rows[symbols.index("a")])
    assert not rows[symbols.index("\u0303")].any()


def test_the_exported_networks_make_an_addon(model, tokens, tmp_path):
    pytest.importorskip("onnx", reason="the recipes need onnx")
    entries = export.export_networks(model, [tokens, tokens[:5]], tmp_path)
    written = json.dumps(
        export.manifest(export.About("tim", "en-us", {"tim": "en-US"}, "CC0-1.0", "Made up", 64), 0, entries)
    )
    assert entries["decoder"]["stream"] == {"axis": "frames", "left": 14, "right": 14, "hop": 1}
    addons = pytest.importorskip("polyvox.addons.manifest")
    manifest = addons.Manifest.model_validate_json(written)
    assert manifest.networks["text_encoder"].inputs["tokens_mask"].fill == "mask"
