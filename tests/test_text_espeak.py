import subprocess
import sys
import threading
import unicodedata
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from polyvox.errors import TextError
from polyvox.text import FrontEnd, Phonemes, Word, front_end
from polyvox.text import espeak as espeak_module
from polyvox.text.align import align
from polyvox.text.espeak import EspeakFrontEnd


@pytest.fixture(scope="module")
def english():
    return front_end("espeak", "en-us")


def said(phonemes):
    """The phonemes of each word, by the index."""
    return [
        (word.spoken, "".join(s for s, i in zip(phonemes.symbols, phonemes.word_index, strict=True) if i == place))
        for place, word in enumerate(phonemes.words)
    ]


def test_marks_stay_behind_their_words(english):
    found = english.phonemes("“Hello, world!” he said — fine…")
    assert "".join(found.symbols) == "həlˈoʊ, wˈɜːld! hiː sˈɛd, fˈaɪn."


def test_of_several_marks_the_strongest_stays(english):
    assert "".join(english.phonemes("Yes!?").symbols) == "jˈɛs?"
    assert "".join(english.phonemes("Yes, … no.,").symbols) == "jˈɛs, nˈoʊ."


def test_symbols_are_single_code_points(english):
    found = english.phonemes("Judge, the children of the naïve café sing: why?")
    assert all(len(symbol) == 1 for symbol in found.symbols)
    assert {",", ":", "?", " ", "ˈ", "ʒ"} <= set(found.symbols)
    german = front_end("espeak", "de").phonemes("ich")
    assert german.symbols == tuple(unicodedata.normalize("NFD", "ɪç"))
    assert len(german.symbols) == 3
    assert len(found.symbols) == len(found.word_index)
    assert all((index < 0) == (symbol in " ,:?") for symbol, index in zip(found.symbols, found.word_index, strict=True))


def test_words_that_espeak_joins_are_told_apart(english):
    assert said(english.phonemes("the end of the house")) == [
        ("the", "ðɪ"), ("end", "ˈɛnd"), ("of", "ʌv"), ("the", "ðə"), ("house", "hˈaʊs"),
    ]  # fmt: skip
    assert "ʌvðə" in "".join(english.phonemes("the end of the house").symbols)


def test_words_that_espeak_divides_stay_one(english):
    assert said(english.phonemes("my iPhone of the day")) == [
        ("my", "maɪ"), ("iPhone", "ˈaɪfˈoʊn"), ("of", "ʌv"), ("the", "ðə"), ("day", "dˈeɪ"),
    ]  # fmt: skip


def test_words_span_the_original_text(english):
    text = "We have 25 dogs."
    found = english.phonemes(text, offset=100)
    assert found.words == (
        Word("We", 100, 102),
        Word("have", 103, 107),
        Word("twenty", 108, 110),
        Word("five", 108, 110),
        Word("dogs", 111, 115),
    )


def test_letters_are_named(english):
    assert said(english.phonemes("the FBI, A. Milne")) == [
        ("the", "ðɪ"), ("F B I", "ˌɛfbˌiːˈaɪ"), ("A", "ˈeɪ"), ("Milne", "mˈɪlni"),
    ]  # fmt: skip


def test_the_plural_of_letters_is_no_letter(english):
    assert said(english.phonemes("DVDs")) == [("D V Ds", "dˌiːvˈiːdˈiːz")]


def test_foreign_scripts_leave_no_language_flags(english):
    for language in ("en-us", "ru", "de"):
        found = "".join(front_end("espeak", language).phonemes("hello Привет 你好 computer שלום").symbols)
        assert not set("()-") & set(found)
        assert len(found) > 20
    assert "".join(front_end("espeak", "ru").phonemes("hello Привет").symbols) == "həlˈəʊ prʲivʲˈet"


def test_each_front_end_keeps_its_language(english):
    british = front_end("espeak", "en-gb")
    assert "".join(british.phonemes("going").symbols) == "ɡˈəʊɪŋ"
    assert "".join(english.phonemes("going").symbols) == "ɡˈoʊɪŋ"
    assert "".join(british.phonemes("going").symbols) == "ɡˈəʊɪŋ"


def test_threads_do_not_mix_languages():
    wrong = []

    def speak(language, expected):
        voice = EspeakFrontEnd(language)
        for _ in range(200):
            if "".join(voice.phonemes("going").symbols) != expected:
                wrong.append(language)

    threads = [threading.Thread(target=speak, args=pair) for pair in [("en-us", "ɡˈoʊɪŋ"), ("en-gb", "ɡˈəʊɪŋ")] * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_silence_gives_no_symbols(english):
    assert english.phonemes(" … !? ") == Phonemes((), (), ())


@pytest.mark.parametrize("language", ["zz-zz", "", "../lang/en", "en\0", "klingonese"])
def test_unknown_languages_are_refused(language):
    with pytest.raises(TextError, match="does not know the language"):
        front_end("espeak", language)


def test_front_ends_are_made_once(english):
    assert front_end("espeak", "en-us") is english


def test_an_unknown_front_end_names_the_valid_ones():
    with pytest.raises(TextError, match=r"'sparkle'.*characters, espeak"):
        front_end("sparkle", "en-us")


class Shouting(FrontEnd):
    def __init__(self, language):
        self.language = language

    def phonemes(self, text, offset=0):
        return Phonemes(tuple(text.upper()), (0,) * len(text), (Word(text, offset, offset + len(text)),))


def test_packages_add_front_ends(monkeypatch):
    point = EntryPoint("shouting", f"{__name__}:Shouting", "polyvox.frontends")
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point])
    assert front_end("shouting", "en").phonemes("hi").symbols == ("H", "I")


def test_a_missing_library_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(TextError, match="pip install espeakng-loader"):
        espeak_module._Espeak()


def test_characters():
    found = front_end("characters", "en-us").phonemes("Hi, 2 you", offset=3)
    assert "".join(found.symbols) == "Hi, two you"
    assert found.word_index == (0, 0, -1, -1, 1, 1, 1, -1, 2, 2, 2)
    assert [(word.start, word.end) for word in found.words] == [(3, 5), (7, 8), (9, 12)]


@pytest.mark.parametrize(
    ("groups", "alone", "owners"),
    [
        (["ab", "cd"], [["ab"], ["cd"]], ["00", "11"]),
        (["abcd"], [["ab"], ["cd"]], ["0011"]),
        (["xx", "abcd", "yy"], [["xx"], ["ab"], ["cd"], ["yy"]], ["00", "1122", "33"]),
        (["aːb"], [["a"], ["b"]], ["001"]),
        (["xx", "ab", "cd"], [["xx"], ["abcd"]], ["00", "11", "11"]),
        (["xx", "yy"], [["xx"], [], ["yy"]], ["00", "22"]),
        (["a"], [[], []], ["0"]),
        ([], [["a"]], []),
    ],
)
def test_alignment(groups, alone, owners):
    assert ["".join(map(str, group)) for group in align(groups, alone)] == owners


def test_alignment_of_strangers_is_still_in_order():
    groups = [f"q{place}" for place in range(300)]
    alone = [[f"w{place}"] for place in range(200)]
    flat = [owner for group in align(groups, alone) for owner in group]
    assert flat == sorted(flat)
    assert len(flat) == sum(map(len, groups))
    assert {flat[0] >= 0, flat[-1] < 200} == {True}


def test_importing_is_light():
    # An empty package `polyvox` stands in, so that only what `polyvox.text` itself imports counts.
    code = (
        "import sys, types; package = types.ModuleType('polyvox'); package.__path__ = [sys.argv[1]];"
        "sys.modules['polyvox'] = package; import polyvox.text;"
        "print(sorted({'numpy', 'num2words', 'espeakng_loader', 'importlib.metadata'} & set(sys.modules)))"
    )
    place = str(Path(espeak_module.__file__).parents[1])
    ran = subprocess.run([sys.executable, "-c", code, place], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
