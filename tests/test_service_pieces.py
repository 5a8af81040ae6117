import functools
import random
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from polyvox.service.errors import TooLong
from polyvox.service.pieces import Clause, Pieces
from polyvox.service.settling import BEYOND, CONTEXT
from polyvox.text import sentences

# What ends of sentences, numbers, abbreviations, lines and clusters are made of, in three languages.
ENGLISH = """
    the The He he dr Dr. No. 5 3.5 U.S. a.m. p.m. Monday Bob I B. J. and, so... wait... what? " ") ( - 1. a) etc. Inc.
    St. Jan. ?! ! . … # ” “So 。 你好 yes end. late. 1990. it. vs. e.g. — *bold* `x` https://a.b/c? 👩‍🚀 é
"""
GERMAN = """
    der Der er 3. 4. 12. 3.10. Oktober Mai und bis Platz Weltkrieg XIV. II. Ludwig im großen z. B. d. h. bzw. usw. Dr.
    Nr. 5 Str. Hauptstr. , ; " „ “ Haus ging. ! ? … - 1. a) 1990. Uhr. Frau, zum 100. Mal Am kam.
"""
DUTCH = """
    de De Hij hij 3. nr. dr. blz. o.a. bijv. enz. u. mei 5 't Man man. ! … ( ) " Vandaag kwam. B. ’s
"""
WORDS = {"en": ENGLISH.split(), "de": GERMAN.split(), "nl": DUTCH.split()}
SPACES = [" "] * 8 + ["", "\n", "\n\n", "\t", "  "]


@st.composite
def writings(draw):
    """A language, a text, and the places where it is cut into pieces."""
    language = draw(st.sampled_from(sorted(WORDS)))
    word = st.one_of(st.sampled_from(WORDS[language]), st.sampled_from(WORDS[language]), st.text(max_size=3))
    parts = draw(st.lists(st.tuples(word, st.sampled_from(SPACES)), max_size=25))
    text = "".join(word + space for word, space in parts)
    cuts = draw(st.lists(st.integers(0, len(text)), max_size=30))
    return language, text, sorted(cuts)


def cut(text, places):
    return [text[first:last] for first, last in zip([0, *places], [*places, len(text)], strict=True)]


def spoken(pieces, language, **options):
    made = Pieces(language, **options)
    return [clause for piece in pieces for clause in made.feed(piece)] + made.flush()


def is_whole(clauses, text):
    place = 0
    for clause in clauses:
        assert (clause.start, clause.end) == (place, place + len(clause.text))
        assert clause.text == text[clause.start : clause.end] != ""
        place = clause.end
    assert place == len(text)


@settings(max_examples=150, deadline=None)
@given(writings())
@example(("nl", 'De u. " \n\n De u. "', list(range(18))))
@example(("de", "Am 3. und 4. Mai. Der XIV. Mann", list(range(31))))
@example(("en", "a line without an end\n" + " " * 300 + "- an item. " + "And more. " * 60, list(range(900))))
@example(("en", "a line without an end\n" + " " * 300 + "and more. " * 60, list(range(900))))
@example(("en", "He met Dr. Bob at 5 p.m. Monday. It was 3.5 e.g. so... Wait", list(range(59))))
def test_clauses_are_the_text_however_it_is_cut(writing):
    language, text, places = writing
    clauses = spoken(cut(text, places), language)
    is_whole(clauses, text)
    assert clauses == spoken([text], language)


@settings(max_examples=40, deadline=None)
@given(writings())
def test_clauses_are_the_same_character_by_character(writing):
    language, text, _ = writing
    assert spoken(list(text), language) == spoken([text], language)


@settings(max_examples=100, deadline=None)
@given(writings())
def test_clauses_end_where_the_sentences_of_the_whole_text_end(writing):
    language, text, places = writing
    clauses = [clause for clause in spoken(cut(text, places), language) if clause.text.strip()]
    ends = [clause.start + len(clause.text.rstrip()) for clause in clauses]
    assert ends == [sentence.end for sentence in sentences(text, language)]


@settings(max_examples=100, deadline=None)
@given(writings(), st.lists(st.sampled_from(["none", "marks", "words"]), min_size=31, max_size=31))
def test_nothing_is_lost_or_spoken_twice_when_the_listener_is_in_a_hurry(writing, hurries):
    language, text, places = writing
    made = Pieces(language)
    clauses = []
    for piece, hurry in zip(cut(text, places), hurries, strict=False):
        clauses += made.feed(piece)
        if hurry != "none" and (clause := made.hurry(words=hurry == "words")) is not None:
            clauses.append(clause)
    clauses += made.flush()
    is_whole(clauses, text)


@settings(max_examples=100, deadline=None)
@given(writings(), st.integers(20, 60))
def test_what_never_ends_is_cut_and_does_not_depend_on_the_pieces_either(writing, longest):
    language, text, places = writing
    text = text.replace(".", "").replace("\n", " ") * 8
    clauses = spoken(cut(text, places), language, longest=longest)
    is_whole(clauses, text)
    assert clauses == spoken([text], language, longest=longest)
    assert all(len(clause.text) <= longest + BEYOND for clause in clauses)


def test_a_far_end_makes_no_difference_to_what_is_cut():
    text = "word " * 150 + "end. Next"
    clauses = spoken([text], "en", longest=50)
    assert clauses == spoken(list(text), "en", longest=50)
    assert all(len(clause.text) <= 50 + BEYOND for clause in clauses)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("en", "Dr. Smith is here. ", ["Dr. Smith is here."]),
        ("en", "It was late. ", ["It was late."]),
        ("en", "It was late.", []),
        ("en", "See www.example.com for it", []),
        ("en", "It is 3.5 m long. Go", ["It is 3.5 m long."]),
        ("en", "What?! ", ["What?!"]),
        ("en", '"Stop!" ', []),
        ("en", '"Stop!" He', ['"Stop!"']),
        ("en", '"Stop!" he said', []),
        ("en", "Wait... ", []),
        ("en", "Wait... Wh", ["Wait..."]),
        ("en", "at 5 p.m. ", []),
        ("en", "at 5 p.m. Mo", []),
        ("en", "at 5 p.m. Bob ", ["at 5 p.m."]),
        ("en", "A heading\n\n", ["A heading"]),
        ("en", "你好。世", ["你好。"]),
        ("de", "Das ist z. B. so. Er", ["Das ist z. B. so."]),
        ("de", "Am 3. ", []),
        ("de", "Am 3. Oktober", []),
        ("de", "Er wurde 3. Da", []),  # "Dartrunde" may come of it
        ("de", "Er wurde 3. Danach ", ["Er wurde 3."]),
        ("de", "Er wurde 3. Platz ", []),
        ("de", "Er kam am 3. und 4. Mai. E", ["Er kam am 3. und 4. Mai."]),
    ],
)
def test_a_sentence_is_given_as_soon_as_it_is_certain(language, text, expected):
    made = Pieces(language)
    given = [clause for character in text for clause in made.feed(character)]
    assert [clause.text.strip() for clause in given] == expected


def test_no_more_than_a_word_is_waited_for_in_prose():
    text = "It was late. He went home, and nobody saw him. Dr. Brown did not. "
    made = Pieces("en")
    for fed, character in enumerate(text, 1):
        for clause in made.feed(character):
            assert fed - clause.end <= 1


@pytest.mark.parametrize(
    ("text", "marks", "words"),
    [
        ("Come in, he sa", "Come in,", None),
        ("Come in, he said, an", "Come in, he said,", None),
        ("Oh, I am", None, None),
        ("I went to the house", None, None),
        ("I quickly went to the house", None, "I quickly went"),
        ("There were usually exactly 12 apples", None, "There were usually"),
        ("Yesterday I met Dr. Smith", None, "Yesterday I met"),
        ("It was very late.", None, "It was very late."),
        ("Yesterday I met Dr.", None, "Yesterday I met"),
        ("The price of it is 3.", None, "The price of it"),
        ("It was — as you know — la", "It was — as you know —", None),
        ("今日は、良い", None, None),
        ("今日は良い天気、ですね", "今日は良い天気、", None),
    ],
)
def test_in_a_hurry_it_is_cut_where_one_may_breathe(text, marks, words):
    def hurried(**how):
        made = Pieces("en")
        assert made.feed(text) == []
        clause = made.hurry(**how)
        return clause and clause.text

    assert hurried() == marks
    assert hurried(words=True) == (marks or words)


def test_a_hurried_sentence_goes_on_where_it_was_cut():
    made = Pieces("en")
    made.feed("Come in, he sa")
    assert made.hurry() == Clause("Come in,", 0, 8, ends_sentence=False)
    assert made.hurry() is None
    assert made.feed("id. Then") == [Clause(" he said.", 8, 17)]
    assert made.waiting
    assert made.flush() == [Clause(" Then", 17, 22)]
    assert not made.waiting


def test_behind_a_flush_the_text_goes_on():
    made = Pieces("en")
    assert made.feed("One, two") == []
    assert made.flush() == [Clause("One, two", 0, 8)]
    assert made.flush() == []
    assert made.feed(" three. F") == [Clause(" three.", 8, 15)]
    assert made.fed == 17


def test_halves_of_surrogate_pairs_meet():
    smile = "\U0001f600"
    high, low = "\ud83d", "\ude00"
    made = Pieces("en")
    assert made.feed("a" + high) == []
    assert made.feed(low + "b") == []
    assert made.flush() == [Clause(f"a{smile}b", 0, 3)]
    assert [c.text for c in spoken(["a", high, "b", low, "c" + high], "en")] == ["a\ufffdb\ufffdc\ufffd"]


def test_a_text_that_is_too_long_is_refused_piece_by_piece():
    made = Pieces("en", limit=10)
    made.feed("12345678")
    with pytest.raises(TooLong, match="the text is longer than the 10 characters"):
        made.feed("abc")
    made.feed("ab")
    assert [c.text for c in made.flush()] == ["12345678ab"]


@pytest.mark.parametrize("unit", ["a", " ", ".", "\n", '".', "👩\u200d🚀", "a, ", "word "])
def test_memory_and_time_are_bounded(unit):
    made = Pieces("en")
    text = unit * (60_000 // len(unit))
    place = 0
    for first in range(0, len(text), 1000):
        for clause in made.feed(text[first : first + 1000]):
            assert clause.start == place
            place = clause.end
        assert len(made._text) <= 500 + BEYOND + 1000 + 4 * CONTEXT
    assert sum(len(c.text) for c in made.flush()) == len(text) - place


def test_clusters_are_not_torn():
    astronaut = "👩🏽\u200d🚀"
    for clause in spoken([astronaut * 400], "en", longest=50)[:-1]:
        assert clause.text == astronaut * (len(clause.text) // len(astronaut))


@functools.cache
def _prose():
    rng = random.Random(5)
    words = re.findall(
        r"\S+", "Yes we went home early because Dr. Smith was late and the 5 p.m. train did not come at all today"
    )
    marks = [".", ".", "!", "?", ",", ",", "", "", "", "", "", ""]
    return " ".join(rng.choice(words) + rng.choice(marks) for _ in range(400))


def test_prose_in_tokens_of_a_language_model():
    text = _prose()
    rng = random.Random(6)
    places = sorted(rng.sample(range(1, len(text)), len(text) // 4))
    clauses = spoken(cut(text, places), "en")
    assert [c.text.strip() for c in clauses] == [s.text for s in sentences(text)]
