"""One text with several voices: who speaks what, in order, with times that are right."""

import difflib
import os

import numpy as np
import pytest

import polyvox
import tiny
import tiny_speakers
from polyvox import Choice, script, tags
from polyvox.addons import library
from polyvox.errors import AddonError, TextError, VoiceError
from polyvox.script import Script

TEXT = "Hello there.\n[ger] Guten Tag.\nWie geht es?\n\n[low/guy] Goeiedag.\n[nat] Hallo daar.\n"
TIM, GER = Choice("tim", "ann", "en-US"), Choice("ger", "gerda", "de")
NAT, GUY = Choice("low", "nat", "nl"), Choice("low", "guy", "nl-BE")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_speakers.library(tmp_path_factory.mktemp("voices"))


@pytest.fixture
def shelf(folder, tmp_path, monkeypatch):
    """Voices in three languages; a second folder, empty, for what a test adds."""
    monkeypatch.setenv("POLYVOX_PATH", os.pathsep.join([str(folder), str(tmp_path)]))
    monkeypatch.setattr(library, "SHIPPED", tmp_path / "shipped")
    return tmp_path


def parts(text, voice="tim", **more):
    return [(p.choice, p.text.strip()) for p in Script.parse(text, voice, **more).parts]


def test_lines_go_on_with_the_voice_before(shelf):
    assert parts(TEXT) == [
        (TIM, "Hello there."),
        (GER, "Guten Tag.\nWie geht es?"),
        (GUY, "Goeiedag."),
        (NAT, "Hallo daar."),
    ]


@pytest.mark.parametrize(
    ("tag", "choice"),
    [
        ("ger", GER),
        ("low", NAT),
        ("low/guy", GUY),
        ("guy", GUY),
        ("nl-BE", GUY),
        ("nl", NAT),
        ("low/nl-BE", GUY),
        ("de-AT", GER),
        ("tim/ben", Choice("tim", "ben", "en-US")),
    ],
)
def test_tags_are_voices_speakers_and_languages(shelf, tag, choice):
    assert parts(f"[{tag}] Text.") == [(choice, "Text.")]
    assert parts(f"One.\r\n\t[{tag}]\r\nText.\r\n") == [(TIM, "One."), (choice, "Text.")]
    assert parts(f"[{tag}]“Text.”") == [(choice, "“Text.”")]


@pytest.mark.parametrize(
    "text",
    [
        "[1] A note.",
        "[12]",
        "[a b] Text.",
        "[] Text.",
        "[Applause] Thank you.",
        "[and/or] Text.",
        "[ed] Text.",
        "Said [ger] in a line.",
        "[ger](http://example.org) is a link.",
        "[ger]: so it is.",
        "[[ger]] Text.",
        "[ger Text.",
        "[DE] is no tag in capitals.",
        "[tom] is a vocoder.",
        "[./ger] Text.",
        "[../x/ger] Text.",
        "[ger/] Text.",
    ],
)
def test_other_brackets_are_text(shelf, text):
    assert parts(text) == [(TIM, text)]


def test_numbers_are_text_in_a_script_too_even_if_a_speaker_is_called_so(shelf):
    tiny.acoustic(shelf / "numbered", speakers=["1", "2"])
    assert parts("[ger] Ja.\n[1] Text.\n[2024] Text.") == [(GER, "Ja.\n[1] Text.\n[2024] Text.")]
    assert parts("[numbered/2] Text.") == [(Choice("numbered", "2", "en-US"), "Text.")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("One.\n\n[gerd] Ja.", "line 3: [gerd] is no voice, speaker or language here; did you mean [gerda]? (as"),
        ("[Gerda] Ja.", "line 1: [Gerda] is no voice, speaker or language here; did you mean [gerda]?"),
        ("[low/gui] Ja.", "line 1: [low/gui] is no voice, speaker or language here; did you mean [low/guy]?"),
        ("[fr-FR] Oui.", "line 1: [fr-FR] is no voice, speaker or language here; there are ann, ben, de, en-US, ger,"),
        ("[ger] Ja.\n[narrator] Then.", "line 2: [narrator] is no voice, speaker or language here; there are ann, "),
        ("[narrator]\n[ger] Ja.", "line 1: [narrator] is no"),
        ("[ger] Ja.\n[fr] Oui.", "line 2: [fr] is no"),
        ("[ger] Ja.\n[ger/nat] Oui.", "line 2: [ger/nat] is no"),
        ("[ger] Ja.\n[Müller] Nein.", "line 2: [Müller] is no"),
    ],
)  # fmt: skip
def test_a_misspelt_tag_is_refused_with_its_line(shelf, text, message):
    with pytest.raises(VoiceError) as caught:
        Script.parse(text, "tim")
    assert str(caught.value).startswith(message)
    with pytest.raises(VoiceError) as caught:
        Script.parse(text, "tim", source="play.txt")
    assert str(caught.value).startswith(f"play.txt: {message}")


def test_a_backslash_makes_text_of_a_bracket(shelf):
    made = Script.parse("[ger] Ja.\n\\[nat] Nein.\n  \\[x] Doch.", "tim")
    assert [p.choice for p in made.parts] == [GER]
    assert made.spoken == "\n\n    Ja.\n [nat] Nein.\n   [x] Doch."


def test_a_tag_for_who_speaks_anyway_starts_a_paragraph(shelf):
    made = Script.parse("[ger] Ja\n[ger] Nein", "tim")
    assert [(p.choice, p.text) for p in made.parts] == [(GER, " Ja\n\n\n    Nein")]
    assert len(script.say("[ger] Ja\n[ger] Nein", "tim").words) == 2


def test_tags_without_text_say_nothing(shelf):
    assert parts("[ger]\n[nat]\n \n[guy] Ja.\n[ger]") == [(GUY, "Ja.")]
    for text in ("", " \n", "[ger]", "[ger]\n\n[nat] "):
        with pytest.raises(TextError, match="the text is empty"):
            Script.parse(text, "tim")


def test_who_opens_is_chosen_as_by_choose(shelf):
    assert parts("Ja.\n[ger] Ja.", None, language="nl-BE")[0] == (GUY, "Ja.")
    assert parts("Ja.", None, speaker="guy") == [(GUY, "Ja.")]
    assert parts("[ger] Ja.", None) == [(GER, "Ja.")]  # nobody opens, so nobody need be there
    with pytest.raises(VoiceError, match="'kathleen' is no addon here"):
        parts("Ja.", None)
    with pytest.raises(VoiceError, match="has no speaker 'zoe'"):
        parts("[ger] Ja.", "tim", speaker="zoe")


def test_a_voice_by_path_is_known_by_its_name_and_goes_first(shelf):
    tiny.vocoder(shelf / "own" / "tom")
    path = tiny_speakers.acoustic(shelf / "own" / "mine", languages=["nl", "nl-BE"])
    assert parts("One.\n[guy] Two.\n[mine] Three.\n[nl-BE] Four.\n[low/guy] Five.", path) == [
        (Choice(path, "nat", "nl"), "One."),
        (Choice(path, "guy", "nl-BE"), "Two."),
        (Choice(path, "nat", "nl"), "Three."),
        (Choice(path, "guy", "nl-BE"), "Four."),
        (GUY, "Five."),
    ]


def test_all_is_spoken_in_order_with_pauses(shelf):
    made = Script.parse(TEXT, "tim")
    alone = [polyvox.load(p.choice.voice).say(p.text, speaker=p.choice.speaker).samples for p in made.parts]
    for pause in (0.0, 0.25, script.PAUSE):
        silence = np.zeros(round(pause * tiny.RATE), np.float32)
        wanted = [piece for samples in alone for piece in (silence, samples)][1:]
        spoken = script.say(TEXT, "tim", pause=pause)
        np.testing.assert_array_equal(spoken.samples, np.concatenate(wanted))
    default = script.say(TEXT, "tim")
    assert len(default.samples) == sum(map(len, alone)) + 3 * round(0.5 * tiny.RATE)
    assert not np.array_equal(alone[2], polyvox.load("low").say(made.parts[2].text, speaker="nat").samples)


def test_positions_and_timings_count_from_the_start_of_the_script(shelf):
    made = Script.parse(TEXT, "tim")
    chunks = list(made.stream(pause=0.3))
    position = 0
    for chunk in chunks:
        assert chunk.position == position
        position += len(chunk.samples)
    words = [w for c in chunks for w in c.words]
    assert [TEXT[w.first : w.last] for w in words] == [w.text for w in words]
    assert [w.text for w in words] == [
        *("Hello", "there"),
        *("Guten", "Tag", "Wie", "geht", "es"),
        *("Goeiedag", "Hallo", "daar"),
    ]
    phonemes = [p for c in chunks for p in c.phonemes]
    assert [p.start for p in phonemes] == sorted(p.start for p in phonemes)
    alone = polyvox.load("low").say(made.parts[2].text, speaker="guy")
    before = sum(len(polyvox.load(p.choice.voice).say(p.text).samples) for p in made.parts[:2]) / tiny.RATE + 0.6
    assert words[7].start == pytest.approx(before + alone.words[0].start)
    assert words[7].end == pytest.approx(before + alone.words[0].end)


def test_a_text_without_tags_is_what_the_voice_says(shelf):
    voice = polyvox.load("tim")
    text = "Hello there [1]. How are you?"
    for ours, theirs in zip(script.stream(text, "tim", speed=1.5), voice.stream(text, speed=1.5), strict=True):
        np.testing.assert_array_equal(ours.samples, theirs.samples)
        assert (ours.position, ours.words, ours.phonemes) == (theirs.position, theirs.words, theirs.phonemes)


def test_warnings_say_whose_they_are(shelf, monkeypatch):
    real = polyvox.Voice.stream

    def stream(self, *arguments, **more):
        for chunk in real(self, *arguments, **more):
            yield polyvox.speech.Chunk(chunk.samples, chunk.sample_rate, chunk.position, warnings=("It stuck.",))

    monkeypatch.setattr(polyvox.Voice, "stream", stream)
    spoken = Script.parse("One.\n[ger] Zwei.", "tim", source="play.txt")
    warnings = {w for chunk in spoken.stream() for w in chunk.warnings}
    assert warnings == {"play.txt: line 1 (tim): It stuck.", "play.txt: line 2 (ger): It stuck."}


def test_sample_rates_must_agree_before_anything_is_loaded(shelf, monkeypatch):
    features = {**tiny.FEATURES, "sample_rate": 16000}
    tiny.speech(shelf / "odd", features=features)
    monkeypatch.setattr(script, "load", None)
    with pytest.raises(VoiceError, match=r"'tim' speaks at 8000 Hz and 'odd' at 16000 Hz; .* same sample rate"):
        Script.parse("One.\n[odd] Two.", "tim")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocoder": "ghost"}, "line 2: 'ghost' is no addon here"),
        ({"vocoder": "tim"}, "line 2: 'tim' is of kind 'acoustic', expected a vocoder"),
        ({"vocoder": None}, "'bad' names no vocoder"),
        ({"features": {**tiny.FEATURES, "hop_length": 32}}, "line 2: 'bad' and 'tom' do not join"),
    ],
)
def test_a_voice_that_could_not_speak_is_found_before_the_first_one_does(shelf, change, message):
    tiny.acoustic(shelf / "bad", **change)
    with pytest.raises(VoiceError, match=message):
        Script.parse("One.\n[bad] Two.", "tim")


def test_a_broken_network_is_found_before_the_first_voice_speaks(shelf):
    tiny.acoustic(shelf / "bad")
    (shelf / "bad" / "decoder.onnx").write_bytes(b"no network")
    with pytest.raises(AddonError, match=r"decoder\.onnx"):
        Script.parse("One.\n[bad] Two.", "tim")


@pytest.mark.parametrize("text", ["One.\n[ger] ...\n[nat] Drie.", "One.\n[ger] 你好。\n[nat] Drie."])
def test_a_part_that_cannot_be_spoken_is_found_before_the_first_is(shelf, text):
    with pytest.raises(TextError, match=r"line 2 \(ger\): the text has nothing to speak"):
        Script.parse(text, "tim")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"speed": 1.2}, "voice 'ger' has no control 'speed'; it has none"),
        ({"brightness": 0.5}, "voice 'ger' has no control 'brightness'"),
        ({"pause": -1.0}, "the pause between speakers must be 0 to 60 seconds, not -1.0"),
        ({"pause": float("nan")}, "the pause between speakers"),
    ],
)
def test_settings_must_fit_every_voice(shelf, settings, message):
    with pytest.raises(VoiceError, match=message):
        script.stream("One.\n[ger] Zwei.", "tim", **settings)


def test_controls_reach_every_voice(shelf):
    fast, slow = (script.say("One.\n[guy] Twee.", "tim", speed=speed).seconds for speed in (2.0, 0.5))
    assert fast < slow
    with pytest.raises(VoiceError, match=r"'speed' of voice 'tim' must be 0\.5 to 2 times, not 9"):
        script.stream("One.\n[guy] Twee.", "tim", speed=9)


def test_voices_are_loaded_when_they_first_speak_once_and_closed(shelf, monkeypatch):
    loaded, closed = [], []
    real, close = script.load, polyvox.Voice.close
    monkeypatch.setattr(script, "load", lambda name, **more: (loaded.append(name), real(name, **more))[1])
    monkeypatch.setattr(polyvox.Voice, "close", lambda self: (closed.append(self.name), close(self)))
    stream = script.stream("One.\n[ger] Zwei.\n[tim] Three.\n[guy] Vier.", "tim")
    assert loaded == ["tim"]
    seen = []
    for _ in stream:
        seen.append(list(loaded))
    assert seen[0] == ["tim"]
    assert seen[-1] == ["tim", "ger", "low"]
    assert closed == ["tim", "ger", "low"]
    loaded.clear()
    stream = script.stream("One.\n[ger] Zwei.", "tim")
    next(stream)
    stream.close()
    assert (loaded, closed[3:]) == (["tim"], ["tim"])


def test_a_service_gives_its_own_voices_and_keeps_them(shelf, monkeypatch):
    voices = {name: polyvox.load(name) for name in ("tim", "ger")}
    monkeypatch.setattr(polyvox.Voice, "close", lambda self: pytest.fail("closed"))
    monkeypatch.setattr(script, "load", None)
    assert script.say("One.\n[ger] Zwei.", "tim", load=voices.__getitem__).seconds > 0


def test_the_vocoder_may_be_another_for_all(shelf):
    other = tiny.vocoder(shelf / "other")
    made = Script.parse("One.\n[ger] Zwei.", "tim", vocoder=other)
    assert [role.vocoder.name for role in made.roles] == ["other", "other"]
    assert sum(len(c.samples) for c in made.stream()) > 0


def test_the_work_for_strange_brackets_is_bounded(shelf, monkeypatch):
    compared = []
    real = difflib.get_close_matches
    monkeypatch.setattr(difflib, "get_close_matches", lambda name, *more: (compared.append(name), real(name, *more))[1])
    text = "".join(f"[xyzzy{i}qq] Text.\n" for i in range(20_000))
    assert len(Script.parse(text, "tim").parts) == 1
    assert len(compared) == tags.COMPARED
