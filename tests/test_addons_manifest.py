"""addon.json: strict, and every refusal is one sentence that names the file and the field."""

import copy
import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tiny
from polyvox.addons import Addon, Features, parse, schema
from polyvox.errors import AddonError


@pytest.fixture(scope="module")
def usual(tiny_folder):
    return tiny.manifest(tiny_folder / "tim")


def changed(manifest, place, value):
    """A copy with the field at `place` ("text.pause") replaced, or removed if `value` is ...."""
    made = copy.deepcopy(manifest)
    *parents, last = place.split(".")
    inside = made
    for part in parents:
        inside = inside[part]
    if value is ...:
        del inside[last]
    else:
        inside[last] = value
    return made


def refusal(manifest) -> str:
    text = manifest if isinstance(manifest, str) else json.dumps(manifest)
    with pytest.raises(AddonError) as caught:
        parse(text, "here/addon.json")
    message = str(caught.value)
    assert message.startswith("here/addon.json: ")
    assert "\n" not in message
    assert len(message) < 700
    return message.removeprefix("here/addon.json: ")


def test_the_tiny_manifests_are_valid(tiny_folder):
    for name in ("tim", "tom", "tam"):
        manifest = parse(json.dumps(tiny.manifest(tiny_folder / name)), "here")
        assert manifest.name == name
        assert manifest.features.hop_length == tiny.HOP


@pytest.mark.parametrize(
    ("place", "choices"),
    [
        ("titel", "format, name, version, kind"),
        ("text.frntend", "frontend, language, symbols"),
        ("features.rate", "sample_rate"),
        ("controls.speed.max", "default, minimum, maximum, unit"),
        ("networks.decoder.file", "role, graph, inputs, outputs, stream, sizes"),
        ("networks.decoder.inputs.encoded.shape", "dtype, axes, fill, of"),
        ("networks.decoder.outputs.mel.fill", "dtype, axes"),
        ("networks.decoder.stream.context", "mode, axis, left, right, hop"),
    ],
)
def test_an_unknown_key_is_refused_and_the_valid_ones_listed(usual, place, choices):
    message = refusal(changed(usual, place, 1))
    assert message.startswith(f"field '{place}' is unknown; valid are ")
    assert choices in message


@pytest.mark.parametrize(
    "place",
    [
        "format",
        "name",
        "version",
        "kind",
        "license",
        "networks",
        "stack",
        "text.symbols",
        "text.language",
        "controls.speed.default",
        "networks.decoder.role",
        "networks.decoder.graph",
        "networks.decoder.inputs",
        "networks.decoder.inputs.encoded.axes",
        "networks.decoder.outputs.mel.dtype",
        "networks.decoder.stream.left",
    ],
)
def test_a_missing_field_is_named(usual, place):
    assert refusal(changed(usual, place, ...)) == f"field '{place}' is missing"


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("format", 2),
        ("format", "1"),
        ("name", "../x"),
        ("name", ""),
        ("name", "x\n"),
        ("name", 3),
        ("version", "1"),
        ("kind", "song"),
        ("license", None),
        ("languages", "en"),
        ("speakers", ["a b"]),
        ("speaker_languages", ["en-US"]),
        ("speaker_languages", {"ann": "en-US"}),
        ("speaker_languages", {"ann": []}),
        ("speaker_languages", {"a b": ["en-US"]}),
        ("text", "espeak"),
        ("text.pause", -1),
        ("text.pause", "0.1"),
        ("text.pause", float("nan")),
        ("text.max_tokens", 3),
        ("text.max_tokens", 20.5),
        ("text.language", "en us"),
        ("text.start", 3),
        ("features.sample_rate", 0),
        ("features.sample_rate", True),
        ("features.log", "ln"),
        ("controls.speed.default", "fast"),
        ("networks", []),
        ("networks.decoder", None),
        ("networks.decoder.graph", ""),
        ("networks.decoder.graph", ["a"]),
        ("networks.decoder.inputs", {}),
        ("networks.decoder.inputs.encoded.dtype", "float"),
        ("networks.decoder.inputs.encoded.axes", "frames"),
        ("networks.decoder.inputs.encoded.axes", ["Frames"]),
        ("networks.decoder.inputs.encoded.axes", [0]),
        ("networks.decoder.inputs.encoded.axes", [1.5]),
        ("networks.decoder.inputs.encoded.fill", "zeros"),
        ("networks.decoder.stream.left", -1),
        ("networks.decoder.stream.hop", 0),
        ("networks.decoder.stream.mode", "state2"),
        ("networks.decoder.sizes", {"frames": []}),
        ("networks.decoder.sizes", {"frames": [0]}),
        ("stack", []),
        ("stack", {}),
        ("stack", ["Decoder"]),
    ],
)
def test_a_wrong_value_is_named_with_what_came(usual, place, value):
    message = refusal(changed(usual, place, value))
    assert message.startswith(f"field '{place}")
    assert ", got " in message


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("controls.speed.default", 5.0, "field 'controls.speed': expected minimum <= default <= maximum"),
        ("controls.speed.default", float("nan"), "field 'controls.speed'"),
        (
            "networks.decoder.inputs.frames_mask.axes",
            ["frames", 2],
            "field 'networks.decoder.inputs.frames_mask': a mask has exactly one named axis",
        ),
        ("networks.decoder.inputs.frames_mask.fill", "length", "'of' belongs to 'fill': 'length'"),
        ("networks.decoder.inputs.encoded.of", "frames", "'of' belongs to 'fill': 'length'"),
        (
            "networks.decoder.inputs.frames_mask.axes",
            ["words"],
            "field 'networks.decoder': 'frames_mask' is filled for axis 'words'; the inputs that blocks provide have",
        ),
        (
            "networks.decoder.inputs.frames_mask",
            {"dtype": "int64", "axes": [], "fill": "length", "of": "words"},
            "'frames_mask' is filled for axis 'words'; the inputs that blocks provide have frames",
        ),
        ("networks.decoder.stream.axis", "words", "it streams over axis 'words'; the inputs that blocks provide have"),
        ("text", ..., "an addon of kind 'acoustic' needs the field 'text'"),
        (
            "speaker_languages",
            {"ann": ["en-US"], "zoe": ["en-US"]},
            "field 'speaker_languages': 'zoe' is no speaker; there are ann, ben",
        ),
        (
            "speaker_languages",
            {"ann": ["en-US", "nl"]},
            "field 'speaker_languages.ann': 'nl' is none of the languages; there are en-US",
        ),
        ("kind", "vocoder", "a vocoder has neither 'text' nor 'vocoder'"),
        ("kind", "speech", "an addon of kind 'speech' has no 'vocoder'"),
    ],
)
def test_values_that_do_not_go_together_are_refused(usual, place, value, words):
    assert words in refusal(changed(usual, place, value))


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "3", '"text"', "{}", "\ufeff{}", '{"format": ' + "1" * 5000 + "}", "[" * 100_000, "\0"],
)
def test_what_is_no_manifest_at_all_is_refused(text):
    assert refusal(text)


NUMBERS = st.integers() | st.floats()
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@given(JSON)
@example({"\ud800": 1})
def test_arbitrary_json_raises_nothing_but_addon_errors(data):
    refusal(json.dumps(data))


SOME = [
    *(
        "format",
        "name",
        "kind",
        "speakers",
        "speaker_languages",
        "vocoder",
        "text",
        "text.symbols",
        "text.pause",
        "features",
        "features.fft",
    ),
    *("controls", "controls.speed", "networks", "networks.decoder", "networks.decoder.stream", "stack"),
    *("networks.decoder.sizes", "networks.decoder.inputs", "networks.decoder.inputs.encoded.axes"),
]


@settings(max_examples=150)
@given(st.sampled_from(SOME), JSON)
def test_any_value_anywhere_opens_or_raises_an_addon_error(tiny_folder, tmp_path_factory, place, value):
    text = json.dumps(changed(tiny.manifest(tiny_folder / "tim"), place, value))
    try:
        manifest = parse(text, "here")
    except AddonError:
        return
    try:
        Addon(manifest, Addon.open(tiny_folder / "tim").files).stack()
    except AddonError:
        return


def test_numbers_of_the_kind_that_json_has_are_accepted(usual):
    manifest = parse(json.dumps(changed(usual, "text.pause", 1)), "here")
    assert manifest.text.pause == 1.0


def test_a_speaker_speaks_what_the_manifest_says_or_all(usual):
    made = changed(usual, "languages", ["nl", "nl-BE", "de"])
    made["speaker_languages"] = {"ben": ["nl-BE", "nl"]}
    manifest = parse(json.dumps(made), "here")
    assert manifest.languages_of("ann") == ["nl", "nl-BE", "de"]
    assert manifest.languages_of("ben") == ["nl-BE", "nl"]
    assert manifest.languages_of(None) == ["nl", "nl-BE", "de"]


def test_features_say_which_fields_differ():
    assert Features().differing(Features()) == []
    assert Features(hop_length=128, f_max=7600.0).differing(Features()) == ["hop_length", "f_max"]


def test_the_schema_describes_every_field():
    text = json.dumps(schema())
    described = [schema(), *schema()["$defs"].values()]
    assert all("description" in field for model in described for field in model.get("properties", {}).values())
    assert '"additionalProperties": false' in text
    assert set(schema()["required"]) == {"format", "name", "version", "kind", "license", "networks", "stack"}


def test_an_output_s_axis_must_come_from_an_input(tmp_path):
    folder = tiny.acoustic(tmp_path / "tim")
    tiny.edit(folder, lambda m: m["networks"]["text_encoder"]["outputs"]["hidden"].update(axes=["words", 8]))
    with pytest.raises(AddonError, match="output 'hidden' has axis 'words'; without 'stream'"):
        Addon.open(folder)
