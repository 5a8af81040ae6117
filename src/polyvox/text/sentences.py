"""Cuts a text into sentences, one by one, without reading ahead."""

from __future__ import annotations

import re
from collections.abc import Iterator

from polyvox.text.types import Sentence

# Nobody writes sentences this long (characters); cutting there keeps a text without marks speakable soon.
MAX_SENTENCE = 3000

# Places where a sentence may end: marks with the closing quotes and brackets behind them, or a line's end.
# The quantifiers are possessive: a run of 100,000 dots is one match, never tried again.
_PLACE = re.compile(r"""(?P<marks>[.!?…。！？｡]++)(?P<closers>["'”’»)\]}*_`]*+)|(?P<line>[ \t\r\f\v]*+\n)""")
_BLANK = re.compile(r"[ \t\r\f\v]*(?:\n|$)")
_LIST_ITEM = re.compile(r"[ \t]*(?:[-*+•–—‣◦]|\(?\d{1,3}[.)]|[a-zA-Z][.)])[ \t]|[ \t]*#{1,6}[ \t]")
_WORD_BEFORE = re.compile(r"""[^\s"'“”‘’(\[{<*_`/]+$""")
_NEXT_WORD = re.compile(r"""[\s"'“‘«(\[{*_`]*([^\W_]+)""")
_INITIALS = re.compile(r"(?:[^\W\d_]\.)*[^\W\d_]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# A dot behind these never ends a sentence: something that belongs to them follows.
_TITLES = _words(
    """
    dr mr mrs ms mx prof rev fr gen sen rep gov capt cpt lt col maj sgt cpl cmdr adm hon pres messrs mme mlle e.g i.e
    eg ie vs viz cf ca approx al
    """
)
# Not in front of a number.
_NUMBERED = _words("no nos nr fig figs vol vols ch chap sec art p pp pg par eq ref ed op")
_MONTHS = _words("jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu thur thurs fri sat")
# These end one only if a word that usually opens a sentence follows.
_SHORT = _words("st ave blvd rd mt ft inc ltd co corp jr sr bros dept est assn univ etc esq phd")
_OPENERS = _words(
    """
    the a an it its he she they we you i this that these those there then but and so or if when while after before as
    at in on for from with his her their our my your what who why how where which is are was were do does did can
    could will would should may not no yes however meanwhile although because since once today now here one some many
    most all every each another both to by let please
    """
)
# A line that ends in one of these goes on in the next one.
_JOINING = _words("a an the and or but nor of for to in on at by with from as than that my your his her its our their")
_TIME_ZONES = _words("est edt cst cdt mst mdt pst pdt gmt utc bst cet cest et pt ct")
_WEEK = _words(
    """
    monday tuesday wednesday thursday friday saturday sunday january february march april may june july august
    september october november december
    """
)


def sentences(text: str) -> Iterator[Sentence]:
    """Yield the sentences of `text` in order, lazily.

    Nothing is dropped: only white space lies between one sentence's `end` and the next one's `start`,
    before the first and behind the last. Sentences end at `. ! ? …` (not behind abbreviations and initials
    nor within numbers), at blank lines, and at the ends of lines that are headings or list items.
    """
    start = 0
    for end in _ends(text):
        yield from _stretch(text, start, end)
        start = end
    yield from _stretch(text, start, len(text))


def _ends(text: str) -> Iterator[int]:
    for place in _PLACE.finditer(text):
        if place["line"] is not None:
            if _line_ends(text, place.start(), place.end()):
                yield place.end()
        elif _mark_ends(text, place):
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


def _mark_ends(text: str, place: re.Match[str]) -> bool:
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
        return _dot_ends(text, place.start(), word)
    lower = word[:1].islower()
    if marks[0] in ".…" and (len(marks) > 1 or marks == "…"):
        return not lower  # an ellipsis goes on in small letters
    # "Stop!" he said.
    return not (lower and place["closers"])


def _dot_ends(text: str, dot: int, following: str) -> bool:
    """Whether the dot at `dot`, with a space and then `following` behind it, ends a sentence."""
    found = _WORD_BEFORE.search(text[max(0, dot - 40) : dot])
    word = found[0].lower() if found else ""
    opener = following.lower() in _OPENERS and following[:1].isupper()
    if word in _TITLES:
        return False
    if word in _NUMBERED:
        return not following[:1].isdecimal()
    if word in _MONTHS:
        return not (following[:1].isdecimal() or following[:1].islower())
    if word in ("a.m", "p.m"):
        lower = following.lower()
        return following[:1].isupper() and lower not in _TIME_ZONES and lower not in _WEEK
    if word in _SHORT or (len(word) > 1 and _INITIALS.fullmatch(word)):
        return opener
    if len(word) == 1 and word.isalpha():
        # An initial, but for "I", which more often ends a sentence ("It was I."), and behind a small word.
        return opener or (word == "i" and found is not None and following[:1].isupper() and dot > 2)
    if word.isdecimal() and len(word) <= 3 and found is not None:
        line = text.rfind("\n", max(0, dot - 40), dot) + 1
        return bool(text[line : dot - len(word)].strip()) or (line == 0 and dot > 40)
    return True


def _line_ends(text: str, start: int, end: int) -> bool:
    """Whether the line break from `start` to `end` ends a sentence."""
    if _BLANK.match(text, end):
        return True
    if _LIST_ITEM.match(text, end):
        return True
    line = text[max(text.rfind("\n", 0, start) + 1, start - 200) : start].strip()
    if not line or line[-1] in ",;:-–—(&":
        return bool(line) and line[-1] == ":" and len(line) < 50
    if line.rpartition(" ")[2] in _JOINING:
        return False
    following = text[end : end + 200].partition("\n")[0].strip()
    opens = following[:1].isupper() or following[:1].isdecimal() or following[:1] in "\"'“‘([*_"
    if _LIST_ITEM.match(line):
        return opens
    # Lines wrapped at a width are long; headings, addresses and verse are short.
    return (len(line) < 50 and opens) or (len(line) < 30 and len(following) < 30)
