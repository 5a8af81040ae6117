"""Cuts a text into sentences, one by one, without reading ahead."""

from __future__ import annotations

import re
from collections.abc import Iterator

from polyvox.text.sentence_words import Habits, habits_of
from polyvox.text.types import Sentence

# Nobody writes sentences this long (characters); cutting there keeps a text without marks speakable soon.
MAX_SENTENCE = 3000

# Places where a sentence may end: marks with the closing quotes and brackets behind them, or a line's end.
# The quantifiers are possessive, and spaces are looked at from the first of them only: a run of 100,000 dots or spaces
# is one match, never tried again.
_PLACE = re.compile(
    r"""(?P<marks>[.!?…。！？｡]++)(?P<closers>["'”’»)\]}*_`]*+)|(?P<line>(?<![ \t\r\f\v])[ \t\r\f\v]*+\n)"""
)
_BLANK = re.compile(r"[ \t\r\f\v]*(?:\n|$)")
_LIST_ITEM = re.compile(r"[ \t]*(?:[-*+•–—‣◦]|\(?\d{1,3}[.)]|[a-zA-Z][.)])[ \t]|[ \t]*#{1,6}[ \t]")
# Letters with dots may have spaces between: "z. B.".
_WORD_BEFORE = re.compile(r"""(?:(?<!\w)[^\W\d_]\.[ \u00a0])*[^\s"'“”„‘’(\[{<*_`/]+$""")
_NEXT_WORD = re.compile(r"""[\s"'“‘«(\[{*_`]*([^\W_]+)""")
_RANKING = re.compile(r"\d{1,4}|\d{1,2}\.\d{1,2}|[IVXLC]+")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")


def sentences(text: str, language: str = "en") -> Iterator[Sentence]:
    """Yield the sentences of `text` in order, lazily; `language` ("de") knows its abbreviations.

    Nothing is dropped: only white space lies between one sentence's `end` and the next one's `start`,
    before the first and behind the last. Sentences end at `. ! ? …` (not behind abbreviations and initials
    nor within numbers), at blank lines, and at the ends of lines that are headings or list items.
    """
    start = 0
    for end in _ends(text, habits_of(language)):
        yield from _stretch(text, start, end)
        start = end
    yield from _stretch(text, start, len(text))


def _ends(text: str, habits: Habits) -> Iterator[int]:
    for place in _PLACE.finditer(text):
        if place["line"] is not None:
            if _line_ends(text, place.start(), place.end(), habits):
                yield place.end()
        elif _mark_ends(text, place, habits):
            yield place.end()


def _stretch(text: str, start: int, end: int) -> Iterator[Sentence]:
    """Yield `text[start:end]` without the space around it, cut where it is too long for one sentence."""
    while True:
        while start < end and text[start].isspace():
            start += 1
        if end - start <= MAX_SENTENCE:
            break
        cut = _cut(text, start, start + MAX_SENTENCE)
        yield _sentence(text, start, cut)
        start = cut
    if start < end:
        yield _sentence(text, start, end)


def _sentence(text: str, start: int, end: int) -> Sentence:
    while text[end - 1].isspace():
        end -= 1
    return Sentence(text[start:end], start, end)


def _cut(text: str, start: int, limit: int) -> int:
    """Return where to cut a sentence that is too long: behind a clause mark, else a space, else anywhere."""
    space = 0
    for place in range(limit - 1, start + MAX_SENTENCE // 2, -1):
        if text[place].isspace():
            if text[place - 1] in ",;:—–)":
                return place
            space = space or place
    return space or limit


def _mark_ends(text: str, place: re.Match[str], habits: Habits) -> bool:
    marks, end = place["marks"], place.end()
    if any(mark in "。！？｡" for mark in marks):
        return True
    if end == len(text):
        return True
    if not text[end].isspace():
        return False
    following = _NEXT_WORD.match(text, end, end + 80)
    word = following[1] if following else ""
    if marks == "." and not place["closers"]:
        return _dot_ends(text, place.start(), word, habits)
    lower = word[:1].islower()
    if marks[0] in ".…" and (len(marks) > 1 or marks == "…"):
        return not lower  # an ellipsis goes on in small letters
    # "Stop!" he said.
    return not (lower and place["closers"])


def _dot_ends(text: str, dot: int, following: str, habits: Habits) -> bool:
    """Whether the dot at `dot`, with a space and then `following` behind it, ends a sentence."""
    found = _WORD_BEFORE.search(text[max(0, dot - 40) : dot])
    written = re.sub(r"\s", "", found[0]) if found else ""
    word = written.lower()
    capital = following[:1].isupper()
    opener = capital and following.lower() in habits.openers
    if word in habits.titles:
        return False
    if word in habits.numbered:
        return not following[:1].isdecimal()
    if word in habits.months:
        return not (following[:1].isdecimal() or following[:1].islower())
    if word in habits.halves_of_day:
        return capital and following.lower() not in habits.behind_times
    if word in habits.short or word.endswith(habits.short_ends) or (len(word) > 1 and _INITIALS.fullmatch(word)):
        return opener
    if len(word) == 1 and word.isalpha():
        # An initial, but for "I", which more often ends a sentence ("It was I."), and behind a small word.
        return opener or (word == habits.pronoun and found is not None and capital and dot > 2)
    if habits.ranks is not None and _RANKING.fullmatch(written) and habits.ranks(text, dot - len(written), dot):
        return opener
    if word.isdecimal() and len(word) <= 3 and found is not None:
        line = text.rfind("\n", max(0, dot - 40), dot) + 1
        return bool(text[line : dot - len(word)].strip()) or (line == 0 and dot > 40)
    return True


def _line_ends(text: str, start: int, end: int, habits: Habits) -> bool:
    """Whether the line break from `start` to `end` ends a sentence."""
    if _BLANK.match(text, end):
        return True
    if _LIST_ITEM.match(text, end):
        return True
    line = text[max(text.rfind("\n", 0, start) + 1, start - 200) : start].strip()
    if not line or line[-1] in ",;:-–—(&":
        return bool(line) and line[-1] == ":" and len(line) < 50
    if line.rpartition(" ")[2] in habits.joining:
        return False
    following = text[end : end + 200].partition("\n")[0].strip()
    opens = following[:1].isupper() or following[:1].isdecimal() or following[:1] in "\"'“‘([*_"
    if _LIST_ITEM.match(line):
        return opens
    # Lines wrapped at a width are long; headings, addresses and verse are short.
    return (len(line) < 50 and opens) or (len(line) < 30 and len(following) < 30)
