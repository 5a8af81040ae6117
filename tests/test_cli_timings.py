"""Timings as subtitles: which words stand together, and the clock."""

import itertools
import json

from polyvox.cli import timings
from polyvox.speech import Timing


def words(text, pace=0.3, gaps=None):
    """A timing for each word of `text`, one after the other."""
    made, at, place = [], 0.0, 0
    for number, raw in enumerate(text.split()):
        first = text.index(raw, place)
        place = first + len(raw)
        core = raw.strip(".,?!\"'()“”:;…")
        first += raw.index(core)
        at += (gaps or {}).get(number, 0.0)
        if any(c.isalnum() for c in core):
            made.append(Timing(core, at, at + pace, first, first + len(core)))
            at += pace
    return made


def lines(text, **more):
    return [c.text for c in timings.captions(text, words(text, **more))]


def test_a_sentence_is_a_caption_with_its_marks():
    assert lines("“Wait!” she said. (Then nothing.) Go on…") == ["“Wait!”", "she said.", "(Then nothing.)", "Go on…"]


def test_long_sentences_break_before_the_limit_and_lose_nothing():
    text = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    made = lines(text)
    assert len(made) > 1
    assert all(len(line) <= timings.LONGEST_TEXT for line in made)
    assert " ".join(made) == text
    # Full lines: the next line's first word would not have fitted.
    for line, following in itertools.pairwise(made):
        assert len(line) + 1 + len(following.split()[0]) > timings.LONGEST_TEXT


def test_a_long_pause_or_time_breaks():
    assert lines("one two three", gaps={2: 0.7}) == ["one two", "three"]
    assert lines("one two three", gaps={2: 0.5}) == ["one two three"]
    assert lines("one two three", pace=2.5) == ["one two", "three"]


def test_a_paragraph_ends_a_caption_even_without_a_mark():
    assert lines("A heading\n \nAnd the text\ngoes on.") == ["A heading", "And the text goes on."]


def test_captions_neither_overlap_nor_hold_line_ends():
    text = "First line\nsecond line, and a dash - here. " * 5
    made = timings.captions(text, words(text))
    assert all("\n" not in c.text for c in made)
    assert all(a.end <= b.start for a, b in itertools.pairwise(made))
    assert " ".join(c.text for c in made) == " ".join(text.split())


def test_no_words_make_no_captions():
    assert timings.captions("...", []) == []
    assert timings.render(".srt", "...", [], [], {}) == ""
    assert timings.render(".vtt", "...", [], [], {}) == "WEBVTT\n\n"


def test_srt_and_vtt_clocks_and_escapes():
    text = "R&D <b>"
    spoken = [Timing("R&D", 3661.0015, 3661.9996, 0, 3), Timing("b", 3662.0, 3662.5, 5, 6)]
    assert timings.render(".srt", text, spoken, [], {}) == "1\n01:01:01,002 --> 01:01:02,500\nR&D <b>\n\n"
    vtt = timings.render(".vtt", text, spoken, [], {})
    assert vtt == "WEBVTT\n\n01:01:01.002 --> 01:01:02.500\nR&amp;D &lt;b&gt;\n\n"


def test_json_keeps_the_callers_letters():
    made = timings.render(".json", "Grüße", [Timing("Grüße", 0.0, 1 / 3, 0, 5)], [], {"voice": "v"})
    assert "Grüße" in made
    assert json.loads(made)["words"] == [{"text": "Grüße", "start": 0.0, "end": 0.3333, "first": 0, "last": 5}]
