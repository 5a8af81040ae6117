import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from polyvox.errors import TextError
from polyvox.text import FrontEnd, Symbols, front_end, sentences, utterances

IPA = [chr(code) for code in range(0x250, 0x2B0)] + [chr(code) for code in range(0x300, 0x370)]
TABLE = Symbols(list("^$_ ,.!?;:ˈˌːˑʰʲʷ") + list("abcdefghijklmnopqrstuvwxyzæçðøħŋœθβχ") + IPA)
LETTERS = Symbols([chr(code) for code in range(32, 127)])


@pytest.fixture(scope="module")
def english():
    return front_end("espeak", "en-us")


@pytest.fixture(scope="module")
def letters():
    return front_end("characters", "en-us")


def test_one_utterance_a_sentence(english):
    text = "Hello there.  I am 5!"
    first, second = utterances(text, english, TABLE)
    assert "".join(first.symbols) == "həlˈoʊ ðˈɛɹ."
    assert (first.text, first.start, first.end) == ("Hello there.", 0, 12)
    assert (second.text, second.start, second.end) == ("I am 5!", 14, 21)
    assert [(word.spoken, text[word.start : word.end]) for word in second.words][-1] == ("five", "5")
    assert first.tokens.dtype == first.word_index.dtype == np.int64
    assert first.tokens.tolist() == TABLE.encode(first.symbols).tolist()
    assert [first.words[i].spoken if i >= 0 else "" for i in first.word_index] == (
        ["Hello"] * 6 + [""] + ["there"] * 4 + [""]
    )


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ({}, "hi yo."),
        ({"start": "^", "end": "$"}, "^hi yo.$"),
        ({"between": "_"}, "h_i_ _y_o_."),
        ({"start": "^", "end": "$", "between": "_"}, "^_h_i_ _y_o_._$"),
        ({"start": "_", "end": "_", "between": "_"}, "_h_i_ _y_o_._"),
    ],
)
def test_what_stands_around_and_between(letters, frame, expected):
    (found,) = utterances("hi yo.", letters, LETTERS, **frame)
    assert "".join(found.symbols) == expected
    assert len(found.tokens) == len(found.word_index) == len(expected)
    assert [s for s, i in zip(found.symbols, found.word_index, strict=True) if i >= 0] == list("hiyo")


def test_only_the_last_part_ends_the_sentence(letters):
    found = list(utterances("aaaa bbbb cccc. dddd", letters, LETTERS, max_tokens=6))
    assert [(one.text, one.ends_sentence) for one in found] == [
        ("aaaa", False),
        ("bbbb", False),
        ("cccc.", True),
        ("dddd", True),
    ]


@pytest.mark.parametrize("bad", ["", "  \n", "?!…", "\U0001f600 \U0001f680", "\x00\x07", "\ud800", "\u200b", "***"])
def test_what_cannot_be_spoken_is_refused_at_once(english, bad):
    with pytest.raises(TextError):
        utterances(bad, english, TABLE)


@pytest.mark.parametrize("bad", [None, 5, b"hello", ["hello"]])
def test_what_is_no_text_is_refused_at_once(english, bad):
    with pytest.raises(TextError, match="must be a str, not"):
        utterances(bad, english, TABLE)


def test_a_model_without_any_of_the_symbols_is_an_error(letters):
    with pytest.raises(TextError, match="no symbols for any"):
        list(utterances("hello", letters, Symbols(["q"])))


def test_a_frame_must_be_in_the_table_and_leave_room(letters):
    with pytest.raises(TextError, match="start symbol '€'"):
        utterances("hello", letters, LETTERS, start="€")
    with pytest.raises(TextError, match="max_tokens 2"):
        utterances("hello", letters, LETTERS, start="^", end="$", max_tokens=2)


def test_silent_sentences_are_skipped(english):
    found = list(utterances("Hello. \U0001f600! ... & Bye.\n\n&\n\nBye.", english, TABLE))
    assert [one.text for one in found] == ["Hello.", "& Bye.", "Bye."]


def test_unknown_symbols_are_left_out(letters):
    (found,) = utterances("naïve", letters, LETTERS)
    assert "".join(found.symbols) == "nave"
    assert found.word_index.tolist() == [0, 0, 0, 0]


class Counting(FrontEnd):
    def __init__(self, inner):
        self.inner, self.calls = inner, 0

    def phonemes(self, text, offset=0):
        self.calls += 1
        return self.inner.phonemes(text, offset)


def test_sentences_are_phonemised_when_asked_for(letters):
    counting = Counting(letters)
    found = utterances("One is here. " * 200_000, counting, LETTERS)
    assert counting.calls == 0
    for expected in (1, 2):
        next(found)
        assert counting.calls == expected


def test_cuts_prefer_clause_marks_then_spaces(letters):
    def parts(text, room):
        return [one.text for one in utterances(text, letters, LETTERS, max_tokens=room)]

    assert parts("some words here, and then some more here.", 30) == ["some words here,", "and then some more here."]
    assert parts("aaaa bbbb cccc dddd eeee", 20) == ["aaaa bbbb cccc", "dddd eeee"]
    assert parts("aaaa bbbb", 4) == ["aaaa", "bbbb"]
    assert parts("a, bbbb cccc dddd", 12) == ["a, bbbb", "cccc dddd"]


def test_a_part_says_which_words_it_speaks(english):
    text = "We met twenty people of the town, and 25 more of them came later on."
    found = list(utterances(text, english, TABLE, max_tokens=30, start="^", end="$"))
    assert len(found) > 2
    spoken = [word.spoken for one in found for word in one.words]
    (whole,) = utterances(text, english, TABLE)
    assert spoken == [word.spoken for word in whole.words]
    for one in found:
        assert one.text == text[one.start : one.end]
        assert len(one.tokens) <= 30
        assert all(one.start <= word.start < word.end <= one.end for word in one.words)
        assert set(one.word_index.tolist()) == {-1, *range(len(one.words))}


def joined(found, around):
    return "".join(s for one in found for s in one.symbols if s not in around and s != " ")


PIECES = ["the", "of", "to", "in", "a", "iPhone", "incomprehensibilities", "FBI", "25", "$3.50", "10:30", "Привет"]
PIECES += ["naïve", "a.b", ",", ";", "—", ".", "?", "\n\n", "word,", "end.", "and/or", "x" * 40, "'90s", "U.S.", "😀"]
WORDS = st.lists(
    st.sampled_from(PIECES),
    min_size=1,
    max_size=25,
).map(" ".join)


@settings(max_examples=150, deadline=None)
@given(WORDS, st.integers(3, 60), st.booleans())
def test_cutting_loses_nothing(text, max_tokens, between):
    assume(any(character.isalnum() for character in text))
    voice = front_end("espeak", "en-us")
    frame = {"start": "^", "end": "$"} | ({"between": "_"} if between and max_tokens >= 5 else {})
    whole = list(utterances(text, voice, TABLE, **frame))
    found = list(utterances(text, voice, TABLE, max_tokens=max_tokens, **frame))
    assert joined(found, "^$_") == joined(whole, "^$_")
    assert all(len(one.tokens) <= max_tokens for one in found)
    for one in found:
        own = [s for s in one.symbols if s not in "^$_"]
        assert own
        assert own[0] != " " != own[-1]
        assert one.symbols[0] == "^"
        assert one.symbols[-1] == "$"
        assert one.text == text[one.start : one.end]
        assert one.word_index.max() < len(one.words)
    assert all(one.start <= other.start for one, other in itertools.pairwise(found))


@settings(max_examples=100, deadline=None)
@given(WORDS)
def test_no_word_that_fits_is_cut(text):
    assume(any(character.isalnum() for character in text))
    assume("x" * 40 not in text)
    voice = front_end("espeak", "en-us")
    parts = list(utterances(text, voice, TABLE, max_tokens=50))
    spoken = [word for one in parts for word in one.words]
    unsplit = [word for one in utterances(text, voice, TABLE) for word in one.words]
    assert spoken == unsplit


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_spoken_or_refused(text):
    voice = front_end("espeak", "en-us")
    try:
        found = list(utterances(text, voice, TABLE, max_tokens=40))
    except TextError:
        return
    assert found
    for one in found:
        assert one.text == text[one.start : one.end]
        assert len(one.tokens) == len(one.word_index) == len(one.symbols) <= 40


@pytest.mark.parametrize(
    "text",
    [
        "a" * 100_000,
        "ab " * 30_000,
        "你" * 5_000,
        "a.b" * 30_000,
        ".a" * 15_000,
        "a-" * 30_000,
        "1" * 20_000,
        "1," * 10_000,
        "1:" * 10_000,
        "1/" * 10_000,
        "a@" * 10_000,
        "$" * 50_000 + "a",
        "(" * 50_000 + "a",
        "[" * 10_000 + "a",
        "<a" * 10_000,
        "*" * 50_000 + "a",
        "\u0301" * 50_000 + "a",
        "a" + "\u0301" * 50_000,
        "http://" + "a/" * 10_000,
        "Привет мир " * 1_000,
        "\x00a\x00" * 5_000,
        "😀a" * 5_000,
        "of the " * 3_000,
    ],
    ids=lambda text: ascii(text[:6]),
)
def test_long_strange_texts_are_spoken_in_pieces_that_fit(english, text):
    found = list(utterances(text, english, TABLE, max_tokens=200))
    assert found
    assert max(len(part.tokens) for part in found) <= 200


def test_every_letter_of_a_long_run_is_spoken(letters):
    found = list(utterances("x" * 10_000, letters, LETTERS, max_tokens=64))
    # A sentence ends at 3,000 characters and a word at 100, wherever they stand.
    assert joined(found, "") == "x" * 10_000


def test_utterances_compare_by_content(letters):
    one, other = (next(utterances("Hi there.", letters, LETTERS)) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != next(utterances("Hi here.", letters, LETTERS))


def test_spans_cover_the_sentences(english):
    text = "First, of all the things, these 25 ones. Second of the things."
    found = list(utterances(text, english, TABLE, max_tokens=20))
    whole = list(sentences(text))
    assert found[0].start == whole[0].start
    assert found[-1].end == whole[-1].end


@pytest.mark.parametrize("language", ["de", "nl"])
@pytest.mark.parametrize(
    "part", ["1.", "1. ", "3. und ", "1,", "01 11-", "I.", "z. ", "1½", "€ 1 ", "AB&", "'", "a/", "12-"]
)
def test_long_strange_figures_are_spoken_in_other_languages(language, part):
    found = list(utterances(part * 2_000 + "a", front_end("espeak", language), TABLE, max_tokens=200))
    assert found
    assert max(len(one.tokens) for one in found) <= 200


def test_sentences_are_cut_by_the_habits_of_the_language():
    text = "Am 3. Oktober, z. B. um 14.30 Uhr, kam Dr. Mai. Er ging."
    german = front_end("characters", "de")
    letters = Symbols(sorted({*map(chr, range(32, 127)), *"äöüÄÖÜß"}))
    assert [one.text for one in utterances(text, german, letters)] == [text[:-9], "Er ging."]
