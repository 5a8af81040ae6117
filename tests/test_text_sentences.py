import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polyvox.text import sentences
from polyvox.text.sentences import MAX_SENTENCE


def texts(text):
    return [sentence.text for sentence in sentences(text)]


@pytest.mark.parametrize(
    "text",
    [
        "Dr. Smith met J. R. R. Tolkien here.",
        "Use one of these, e.g. this one.",
        "The U.S. Army marched.",
        "See No. 5 and Fig. 3 for it.",
        "We met at 5 p.m. on Monday.",
        "We met at 5 p.m. Monday.",
        "It costs 3.50 dollars at 10.30 o'clock.",
        "He was born on Jan. 5 in town.",
        '"Stop!" he said.',
        "Wait... what?",
        "Mr. and Mrs. Brown vs. the rest.",
        "This text is wrapped at a width of its own, which is long,\nand goes on here.",
        "A short line ends with the\nName of it.",
        "See www.example.com for it.",
    ],
)
def test_one_sentence(text):
    assert texts(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("He lives in the U.S. The end.", ["He lives in the U.S.", "The end."]),
        ("We met at 5 p.m. Bob came.", ["We met at 5 p.m.", "Bob came."]),
        ("I like plan B. Then we go.", ["I like plan B.", "Then we go."]),
        ("He said no. We left.", ["He said no.", "We left."]),
        ("lower case. no capitals. ok", ["lower case.", "no capitals.", "ok"]),
        ("A Heading\n\nThe text.", ["A Heading", "The text."]),
        ("A Heading\r\n\r\nThe text.", ["A Heading", "The text."]),
        ("A Heading\nThe text.", ["A Heading", "The text."]),
        ("To buy:\n- apples\n- pears", ["To buy:", "- apples", "- pears"]),
        ("1. First thing\n2. Second thing", ["1. First thing", "2. Second thing"]),
        ("# Title\nSome text", ["# Title", "Some text"]),
        ("(Yes.) [No.] *Maybe.* “So.” End", ["(Yes.)", "[No.]", "*Maybe.*", "“So.”", "End"]),
        ("你好。世界！", ["你好。", "世界！"]),
        ("Chapter 1.\nIt was late.", ["Chapter 1.", "It was late."]),
        ("  \n ", []),
    ],
)
def test_several_sentences(text, expected):
    assert texts(text) == expected


def test_a_blank_line_ends_any_sentence():
    line = "this line is long enough to be a wrapped one and has no mark"
    assert texts(f"{line}\nbut goes on") == [f"{line}\nbut goes on"]
    assert texts(f"{line}\n \nbut ends") == [line, "but ends"]


@settings(max_examples=400, deadline=None)
@given(st.text(alphabet=st.one_of(st.sampled_from(list('aB1. .!?\n\r\t"…。-Drp')), st.characters()), max_size=80))
def test_nothing_but_white_space_is_dropped(text):
    place = 0
    rebuilt = ""
    for sentence in sentences(text):
        gap = text[place : sentence.start]
        assert not gap.strip()
        assert sentence.text == text[sentence.start : sentence.end]
        assert sentence.text == sentence.text.strip() != ""
        rebuilt += gap + sentence.text
        place = sentence.end
    assert not text[place:].strip()
    assert rebuilt + text[place:] == text


def test_sentences_without_end_are_cut_at_spaces():
    found = texts("word, " * 2000)
    assert len(found) > 3
    assert all(len(text) <= MAX_SENTENCE and text.endswith(",") for text in found)
    assert texts("x" * (MAX_SENTENCE + 5)) == ["x" * MAX_SENTENCE, "x" * 5]


def test_sentences_are_found_one_at_a_time():
    found = sentences("One is here. " * 400_000)
    assert next(found).text == "One is here."
    assert next(found).start == len("One is here. ")


@pytest.mark.parametrize(
    "text", ["." * 100_000, "a" * 100_000, "\n" * 100_000, "a.\n" * 30_000, " ." * 50_000, '".' * 50_000]
)
def test_long_strange_texts_lose_nothing(text):
    found = list(sentences(text))
    assert "".join(s.text for s in found).split() == "".join(text.split()).split()
    assert all(text[s.start : s.end] == s.text for s in found)
