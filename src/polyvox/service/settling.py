"""Which ends of sentences are certain while a text is still being written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from polyvox.text import german_words, sentences
from polyvox.text.sentence_words import habits_of

CONTEXT = 256
"""Characters before a sentence that can have a say in where it ends."""

_NEAR = 96
"""The same where there are no line breaks."""

BEYOND = 256
"""Characters behind an end that can have a say in whether it is one."""

_FAR = 8192

_MARK = re.compile(r"[.!?…。！？｡\n]")
_WORD = re.compile(r"[^\W_]+\Z")

# How a text may go on: glued to what is there, or behind a space. Between them they meet every question that is asked
# of what follows an end (polyvox/text/sentences.py): more marks or closing quotes, space or not, a small or a capital
# letter, a digit, no word at all, a line that is blank, short, long or an item of a list.
_GLUED = ("。", ". Qq qq", '" Qq qq', ") qq", "\n\nQq", "\nqq qq", "\nQq qq", "\n- qq", "\n5. qq", "q" * 40)
_EITHER = ("qq qq", "Qq qq", "5 qq", ", qq", "— qq", "(5", "\nqq", "- qq", "\nqq " + "qq " * 20)
_GERMAN_CHAINS = ("und", "oder", "bis", "sowie", "bzw.", ", ", "-", "/")
_GERMAN_NOUNS = ("Platz qq", "platz qq", "Oktober qq", "qq qq Platz", "qq Platz", "4. Mai qq", ". Mai qq", ". Platz qq")


def settled_end(text: str, start: int, language: str) -> int | None:
    """Where the first sentence that reaches beyond `start` ends, if nothing that may still follow `text` can change it.

    Where None comes back, more text will tell: at most `BEYOND` characters more, unless most of them are white space.

    Args:
        text: what is there, with at least `CONTEXT` characters before `start`, or all that there are.
        start: an earlier end, or 0.
        language: whose sentences, "de-at".
    """
    if not _MARK.search(text, start):
        return None
    low = max(0, start - (CONTEXT if "\n" in text[start:] else _NEAR))
    near, begin = text[low:], start - low
    end: int | None = None
    for future in _futures(near, language):
        found = _first_end(near + future, begin, language)
        if found >= len(near) or (end is not None and found != end):
            return None
        end = found
    return None if end is None else low + end


def far_ends(text: str, start: int, language: str) -> Iterator[int]:
    """The next ends of sentences beyond `start` that have so much text behind them that they are settled.

    It is the same as asking `settled_end` again and again, and takes a hundredth of the time. Arguments as there.
    """
    low = max(0, start - CONTEXT)
    near = text[low : start + _FAR]
    for sentence in sentences(near, language):
        end = sentence.end
        if len(near) - end < BEYOND or near[end : end + BEYOND // 4].isspace():
            return
        if low + end > start:
            yield low + end


def _first_end(text: str, start: int, language: str) -> int:
    return next((sentence.end for sentence in sentences(text, language) if sentence.end > start), len(text))


def _futures(text: str, language: str) -> tuple[str, ...]:
    found = _WORD.search(text, max(0, len(text) - 40))
    return _completions(found[0] if found else "", language.lower().replace("_", "-").partition("-")[0])


@lru_cache(maxsize=1024)
def _completions(word: str, language: str) -> tuple[str, ...]:
    """How a text whose last, maybe unfinished word is `word` may go on; what disagrees most often comes first."""
    habits = habits_of(language)
    named = [_any(habits.openers, word), _any(habits.behind_times, word)]
    bodies = [*_EITHER, _any(habits.openers, "").title() + " qq", _any(habits.behind_times, "").title() + " qq"]
    glued = [*_GLUED, *(f"{name[len(word) :]} qq" for name in named if name)]
    if language == "de":
        chains = [f"{join}{space}4. Mai qq" for join in _GERMAN_CHAINS for space in ("", " ")]
        bodies += [*_GERMAN_NOUNS, *chains]
        known = [*german_words.MONTHS, *chains]
        glued += [f"{name[len(word) :]} qq" for name in known if word and name.startswith(word)]
    return tuple(dict.fromkeys([*bodies, *(f" {body}" for body in bodies), *glued]))


def _any(names: frozenset[str], start: str) -> str:
    """Any of the names that begins so, always the same one; "" where there is none."""
    return min((name for name in names if name.isalpha() and name.startswith(start.lower())), default="")
