"""Who speaks: chosen by voice, language and speaker, in an order that is documented."""

import os
from pathlib import Path

import pytest

import polyvox
import tiny
import tiny_speakers
from polyvox import Choice, choose
from polyvox.addons import library
from polyvox.choosing import fit
from polyvox.errors import AddonError, VoiceError


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A library of its own: two folders, and no shipped addon."""
    tiny_speakers.library(tmp_path / "one")
    (tmp_path / "two").mkdir()
    monkeypatch.setenv("POLYVOX_PATH", os.pathsep.join([str(tmp_path / "one"), str(tmp_path / "two")]))
    monkeypatch.setattr(library, "SHIPPED", tmp_path / "shipped")
    return tmp_path


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"voice": "low"}, Choice("low", "nat", "nl")),
        ({"voice": "low", "speaker": "guy"}, Choice("low", "guy", "nl-BE")),
        ({"voice": "low", "language": "nl-BE"}, Choice("low", "guy", "nl-BE")),
        ({"speaker": "guy"}, Choice("low", "guy", "nl-BE")),
        ({"speaker": "guy", "language": "nl"}, Choice("low", "guy", "nl-BE")),
        ({"language": "de"}, Choice("ger", "gerda", "de")),
        ({"language": "de-AT"}, Choice("ger", "gerda", "de")),
        ({"language": "de_at"}, Choice("ger", "gerda", "de")),
        ({"language": "en"}, Choice("tim", "ann", "en-US")),
        ({"language": "EN-us"}, Choice("tim", "ann", "en-US")),
        ({"language": "nl"}, Choice("low", "nat", "nl")),
        ({"language": "nl-NL"}, Choice("low", "nat", "nl")),
        ({"language": "nl-BE"}, Choice("low", "guy", "nl-BE")),
        ({"language": "nl-BE-x-old"}, Choice("low", "guy", "nl-BE")),
        ({"speaker": "nat", "language": "nl-BE"}, Choice("low", "nat", "nl")),
    ],
)
def test_what_fits_best_is_chosen(shelf, wanted, expected):
    assert choose(**wanted) == expected


def test_every_choice_loads_and_speaks(shelf):
    for language in ("de", "nl-BE", "en"):
        choice = choose(language=language)
        assert polyvox.load(choice.voice).say("Hello", speaker=choice.speaker).seconds > 0


def test_nothing_asked_for_is_kathleen_wherever_it_is_found(shelf):
    with pytest.raises(VoiceError, match="'kathleen' is no addon here; there are ger, low, tim, tom"):
        choose()
    tiny.acoustic(shelf / "shipped" / "kathleen", speakers=[])
    assert choose() == Choice("kathleen", None, "en-US")


def test_the_library_s_order_decides_between_equals(shelf):
    tiny.acoustic(shelf / "shipped" / "aaa", languages=["de"])
    assert choose(language="de").voice == "ger"
    tiny.acoustic(shelf / "two" / "abe", languages=["de-AT"], speakers=["gerda"])
    assert choose(language="de").voice == "ger"
    assert choose(speaker="gerda").voice == "ger"
    assert choose(language="de-AT").voice == "abe"  # fits better, though it comes later
    tiny.acoustic(shelf / "one" / "dan", languages=["de"])
    assert choose(language="de").voice == "dan"


def test_a_speaker_without_a_list_speaks_every_language(shelf):
    tiny.edit(shelf / "one" / "low", lambda m: m.update(speaker_languages={"guy": ["nl-BE"]}))
    assert choose(language="nl-BE") == Choice("low", "nat", "nl-BE")
    assert choose(language="nl-BE", speaker="guy") == Choice("low", "guy", "nl-BE")


def test_a_path_is_chosen_as_it_is(shelf, monkeypatch):
    path = shelf / "one" / "low"
    assert choose(path, speaker="guy") == Choice(path, "guy", "nl-BE")
    packed = str(tiny.archive(path, shelf / "packed.addon"))
    assert choose(packed, language="nl-BE") == Choice(packed, "guy", "nl-BE")
    with pytest.raises(AddonError, match="not found"):
        choose("./no/such")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"voice": "nobody"}, "'nobody' is no addon here; there are ger, low, tim, tom"),
        (
            {"voice": "tom"},
            "'tom' is a vocoder, which speaks no text; there are ger (de), low/nat (nl), low/guy (nl-BE)",
        ),
        ({"voice": "low", "speaker": "zoe"}, "voice 'low' has no speaker 'zoe'; it has nat, guy"),
        (
            {"voice": "low", "language": "de"},
            "voice 'low' does not speak 'de'; there are low/nat (nl), low/guy (nl-BE)",
        ),
        (
            {"voice": "low", "speaker": "nat", "language": "de"},
            "speaker 'nat' of voice 'low' does not speak 'de'; there are",
        ),
        (
            {"language": "fr"},
            "no voice here speaks 'fr'; there are ger (de), low/nat (nl), low/guy (nl-BE), tim/ann (en-US), tim/ben",
        ),
        ({"language": "en-GB"}, "no voice here speaks 'en-GB'; there are"),
        ({"language": ""}, "no voice here speaks ''; there are"),
        ({"speaker": "zoe"}, "no voice here has a speaker 'zoe'; there are"),
        ({"speaker": "nat", "language": "de"}, "no voice here speaks 'de' and has a speaker 'nat'; there are"),
    ],
)
def test_a_refusal_is_one_sentence_that_lists_what_there_is(shelf, wanted, message):
    with pytest.raises(VoiceError) as caught:
        choose(**wanted)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_list_of_very_many_is_cut(shelf):
    tiny.acoustic(shelf / "two" / "many", speakers=[f"p{i}" for i in range(900)])
    for wanted in ({"language": "fr"}, {"voice": "many", "speaker": "zoe"}):
        with pytest.raises(VoiceError, match=r" and \d\d\d more$") as caught:
            choose(**wanted)
        assert len(str(caught.value)) < 700


def test_a_broken_addon_hinders_nobody_and_is_named(shelf):
    (shelf / "one" / "ada").mkdir()
    (shelf / "one" / "ada" / "addon.json").write_text("{}")
    assert choose(language="de").voice == "ger"
    with pytest.raises(VoiceError, match=r"; broken: ada \('polyvox voices' says why\)$"):
        choose(language="fr")
    with pytest.raises(AddonError, match=r"addon\.json: field 'format' is missing"):
        choose("ada")


def test_choosing_reads_no_network(shelf, monkeypatch):
    """A library may hold gigabytes."""
    read = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: (read.append(self.name), real(self))[1])
    choose(language="nl-BE")
    assert set(read) == {"addon.json"}


@pytest.mark.parametrize(
    ("wanted", "order"),
    [
        ("de-CH-1901", ["de-CH-1901", "de-CH", "de", "de-CH-1901-x-a"]),
        ("de", ["de", "de-AT", "de-AT-1996"]),
    ],
)
def test_a_nearer_language_fits_better(wanted, order):
    ranks = [fit(wanted, tag) for tag in order]
    assert None not in ranks
    assert ranks == sorted(set(ranks))
    assert all(fit(wanted, tag) is None for tag in ("en", "d", "deu", "de-DE-1901", "") if wanted != "de")
    assert all(fit(wanted, tag) is None for tag in ("en", "d", "deu", "gsw-de"))
