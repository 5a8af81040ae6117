"""Writes a text out as it is spoken, keeping for every spoken word where it stands in the text.

The scan walks from token to token; the language's rules are asked first ("3:30", "Dr."), and what none of
them takes is read as words and marks. A language is a table of rules: `normalize_en` is the example.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from polyvox.text.cleaning import SIGNS, clean

MARKS = ",.!?;:"
# A run of letters longer than this is no word and may be cut anywhere (characters).
MAX_WORD = 100
# One character of a word, in cleaned text: a letter of any script, or a mark that belongs to one.
LETTER = rf"[^\s\d_!-/:-@\[-`{{-~{SIGNS}]"


class Kind(Enum):
    """What a piece is: a word, letters that are named one by one, or a mark."""

    WORD = "word"
    LETTERS = "letters"
    MARK = "mark"


@dataclass(frozen=True, slots=True)
class Piece:
    """One spoken word, letters to be named ("F B I"), or one mark of `, . ! ? ; :`, with its span."""

    spoken: str
    start: int
    end: int
    kind: Kind = Kind.WORD


class Letters(str):
    """Letters that a rule wants named one by one, as they are spoken: `Letters.of("FBI")` is "F B I"."""

    __slots__ = ()

    @classmethod
    def of(cls, letters: str, ending: str = "") -> Letters:
        """Return the names of `letters`, the last one with `ending` ("s" for a plural)."""
        return cls(" ".join(letters) + ending)


# What a rule says for its match: words, marks and Letters; None where the rule does not apply after all.
Said = Sequence[str] | None
Say = Callable[[re.Match[str]], Said]


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern, tried where a token begins, and what is said for it."""

    pattern: re.Pattern[str]
    say: Say


@dataclass(frozen=True, slots=True)
class Rules:
    """A language: its rules by the character that a token begins with, and its plain numbers.

    Common words, in small letters but for the first one and with a space or a comma behind, are read without
    asking the rules, which have nothing to say about them but for those in `special`.
    """

    number: Callable[[str], Sequence[str]]
    digit: Sequence[Rule] = ()
    letter: Sequence[Rule] = ()
    sign: Sequence[Rule] = ()
    special: frozenset[str] = frozenset()


_WORD = re.compile(rf"{LETTER}+(?:['\-]{LETTER}+)*")
_COMMON = re.compile(r"[A-Za-zÀ-ÖØ-öø-ÿ][a-zß-öø-ÿ]{1,40}(?=[ ,])")
_NUMBER = re.compile(r"\d+")
_DOTS = re.compile(r"\.{2,}|…")
_DASH = re.compile(r"[–—]|--+")


def normalize(text: str, language: str) -> list[Piece]:
    """Return what is spoken for `text`, in order, each piece with its span of characters in `text`."""
    cleaned = clean(text)
    pieces: list[Piece] = []
    rules = rules_of(language)
    for start, end, said in _scan(cleaned.text, rules):
        first, last = cleaned.starts[start], cleaned.ends[end - 1]
        for word in said:
            if isinstance(word, Letters):
                pieces.append(Piece(word, first, last, Kind.LETTERS))
            elif word in MARKS:
                pieces.append(Piece(word, first, last, Kind.MARK))
            else:
                pieces.append(Piece(word, first, last))
    return pieces


@lru_cache(maxsize=64)
def rules_of(language: str) -> Rules:
    """Return the rules of a language ("en-us"); one without rules of its own reads plain numbers."""
    name = language.lower().replace("_", "-")
    base = name.partition("-")[0]
    if base == "en":
        from polyvox.text.normalize_en import english

        return english(name)
    if base == "de":
        from polyvox.text.normalize_de import german

        return german()
    if base == "nl":
        from polyvox.text.normalize_nl import dutch

        return dutch()
    from polyvox.text.numbers import plain_number

    return Rules(number=lambda digits: plain_number(digits, name))


def _scan(text: str, rules: Rules) -> Iterator[tuple[int, int, Sequence[str]]]:
    """Yield the tokens that say something: where they start and end in `text`, and what they say."""
    place = 0
    while place < len(text):
        character = text[place]
        if character.isspace():
            place += 1
            continue
        common = _COMMON.match(text, place)
        if common and common[0] not in rules.special:
            yield place, common.end(), (common[0],)
            place = common.end()
            continue
        if character.isdecimal():
            table = rules.digit
        elif character.isalpha():
            table = rules.letter
        else:
            table = rules.sign
        for rule in table:
            match = rule.pattern.match(text, place)
            said = rule.say(match) if match and match.end() > place else None
            if match and said is not None:
                yield place, match.end(), said
                place = match.end()
                break
        else:
            end, said = _plain(text, place, rules)
            # A run of letters that is no word is handed on in lengths that a front end can take.
            if len(said) == 1 and len(said[0]) > MAX_WORD:
                for start in range(place, end, MAX_WORD):
                    stop = min(start + MAX_WORD, end)
                    yield start, stop, (text[start:stop],)
            elif said:
                yield place, end, said
            place = end


def _plain(text: str, place: int, rules: Rules) -> tuple[int, Sequence[str]]:
    """Read the token at `place` without the rules of the language: its end, and what is said."""
    word = _WORD.match(text, place)
    if word:
        return word.end(), (word[0],)
    number = _NUMBER.match(text, place)
    if number:
        return number.end(), rules.number(number[0])
    dots = _DOTS.match(text, place)
    if dots:
        # In the middle of a sentence an ellipsis is a pause, at its end a full stop.
        return dots.end(), (",",) if text[dots.end() :].strip() else (".",)
    dash = _DASH.match(text, place)
    if dash:
        return dash.end(), (",",)
    character = text[place]
    if character in MARKS:
        return place + 1, (character,)
    if character in "()[]|" or (character == "-" and text[place + 1 : place + 2].isspace()):
        return place + 1, (",",)
    return place + 1, ()
