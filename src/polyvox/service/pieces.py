"""Text that arrives in pieces, as a language model writes it, cut into clauses that can be spoken.

    pieces = Pieces("en")
    pieces.feed("Dr. Smith is he")      # []
    pieces.feed("re. Come")             # [Clause("Dr. Smith is here.", 0, 18)]
    pieces.feed(" in, he said, and")    # []
    pieces.hurry()                      # Clause(" Come in, he said,", 18, 36, ends_sentence=False): a listener waits
    pieces.flush()                      # [Clause(" and", 36, 40)]

What holds, for every text and every way of cutting it into pieces:

1. The clauses' texts joined are the text fed, each character once and in order; `start` and `end` are where they stand
   in it. (Halves of a surrogate pair that come in two pieces are one character; half of one alone is U+FFFD.)
2. Without `hurry` the clauses depend on the text alone, not on how it was cut nor on when it came.
3. Where no sentence is longer than `longest`, and without `hurry`, clauses end where `polyvox.text.sentences` ends the
   sentences of the whole text. With `hurry` they end at those places and at others.
4. No more than the sentence that is being written is kept, and some of what is before it: `longest + BEYOND` characters
   and a few times `CONTEXT`.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from polyvox.service.errors import TooLong
from polyvox.service.settling import BEYOND, CONTEXT, far_ends, settled_end
from polyvox.text import sentences
from polyvox.text.sentence_words import habits_of

LONGEST = 500
"""Characters that may be written without an end before they are cut all the same: half a minute of speech."""

LEAST = 6
"""Letters and digits that a clause must have to be spoken before its sentence is there."""

LEAST_WORDS = 12
"""The same where the cut falls between words."""

# Marks that a clause may end at, with what closes behind them. Those of full width need no space behind.
_CLAUSE_MARK = re.compile(r"""[^\W_]["'”’»)\]}*_`]*\s?[,;:—–…]["'”’»)\]}*_`]*(?=\s)|[，、；：]""")
_SPACE = re.compile(r"(?<=\S)(?=\s)")
# The end of what is there, if it may be one of a sentence: a word of at least two letters, and a mark.
_FULL_STOP = re.compile(r"""([^\W\d_]{2,})["'”’»)\]}*_`]*[.!?…]["'”’»)\]}*_`]*\Z""")


@dataclass(frozen=True, slots=True)
class Clause:
    """A stretch that can be spoken.

    Attributes:
        text: as it was written, white space included; that between two clauses belongs to the second.
        start, end: the text is [start:end] of all that was fed, in characters (code points).
        ends_sentence: whether a sentence ends with it, so that a pause follows.
    """

    text: str
    start: int
    end: int
    ends_sentence: bool = True

    @property
    def speakable(self) -> bool:
        """Whether it holds a letter or a digit."""
        return any(character.isalnum() for character in self.text)


class Pieces:
    """One utterance's text as it comes. Not for two threads at once."""

    def __init__(self, language: str = "en", *, limit: int | None = None, longest: int = LONGEST) -> None:
        """Begin.

        Args:
            language: whose abbreviations and ends of sentences, "de-at"; English ones where it has none of its own.
            limit: characters of the whole text; any number if None.
            longest: characters without an end of a sentence that are cut, at a clause mark or between words.
        """
        self.language = language
        self._limit, self._longest = limit, longest
        # Some text before the clause that is being written, and that clause from `_start` on.
        self._text = ""
        self._start = 0
        self._dropped = 0
        self._half = ""  # the first half of a surrogate pair

    @property
    def fed(self) -> int:
        """Characters fed so far."""
        return self._dropped + len(self._text)

    @property
    def waiting(self) -> bool:
        """Whether something to speak was fed that no clause has held yet."""
        return any(character.isalnum() for character in self._text[self._start :])

    def feed(self, piece: str) -> list[Clause]:
        """Take the next piece; give the sentences that are certainly whole by now.

        Raises:
            TooLong: the text would be longer than its limit; nothing of the piece was taken.
        """
        if self._limit is not None and self.fed + len(piece) > self._limit:
            raise TooLong(f"the text is longer than the {self._limit} characters that one may have", param="text")
        piece = self._half + piece
        self._half = ""
        if "\ud800" <= piece[-1:] <= "\udbff":
            piece, self._half = piece[:-1], piece[-1]
        self._text += _paired(piece)
        clauses = []
        most = self._longest + BEYOND
        while len(self._text) > self._start:
            for far in far_ends(self._text, self._start, self.language):
                if far - self._start > self._longest:
                    break
                clauses.append(self._take(far, ends_sentence=True))
            # Only so much, or the place of a cut would depend on how much came at once.
            low = max(0, self._start - CONTEXT)
            known = self._text[low : self._start + most]
            end = settled_end(known, self._start - low, self.language)
            if end is not None:
                clauses.append(self._take(low + end, ends_sentence=True))
            elif len(self._text) > self._start + most:
                clauses.append(self._take(self._cut(self._start + self._longest), ends_sentence=False))
            else:
                break
        self._forget()
        return clauses

    def flush(self) -> list[Clause]:
        """Give the rest. What is fed afterwards begins anew, but for its place in the text."""
        if self._half:
            self._text += "\ufffd"
            self._half = ""
        low = max(0, self._start - CONTEXT)
        ends = [low + sentence.end for sentence in sentences(self._text[low:], self.language)]
        ends = [end for end in ends if end > self._start]
        # White space at the end belongs to the last clause, or is one.
        ends = [*ends[:-1], len(self._text)] if len(self._text) > self._start else []
        clauses = [self._take(end, ends_sentence=True) for end in ends]
        self._dropped += len(self._text)
        self._text, self._start = "", 0
        return clauses

    def hurry(self, *, words: bool = False) -> Clause | None:
        """Give as much as can decently be spoken of a sentence that is still being written: a listener waits.

        That is all up to the last clause mark; with `words`, where there is none, up to the last word that does not
        need the next one ("the", "Dr.", "5"), or all of it where it reads like a whole sentence. None if there is no
        such place, or too little before it to be worth a breath.
        """
        end = self._last_mark(len(self._text))
        if words:
            if self._reads_whole():
                return self._take(len(self._text), ends_sentence=True)
            end = end or self._last_space(len(self._text), LEAST_WORDS)
        return None if end is None else self._take(end, ends_sentence=False)

    def _take(self, end: int, *, ends_sentence: bool) -> Clause:
        start, self._start = self._start, end
        return Clause(self._text[start:end], self._dropped + start, self._dropped + end, ends_sentence)

    def _forget(self) -> None:
        """Keep of what was given only what has a say in what comes."""
        if self._start > 4 * CONTEXT:
            gone = self._start - CONTEXT
            self._text = self._text[gone:]
            self._dropped += gone
            self._start = CONTEXT

    def _cut(self, limit: int) -> int:
        """Where to cut a sentence that is too long; at `limit` at the latest."""
        end = self._last_mark(limit) or self._last_space(limit, LEAST_WORDS) or self._last_space(limit, 0)
        if end is not None:
            return end
        end = limit
        # No space anywhere: between two characters that do not belong together.
        while end > self._start + self._longest // 2 and _joined(self._text[end - 1], self._text[end]):
            end -= 1
        return end

    def _last_mark(self, limit: int) -> int | None:
        ends = [found.end() for found in _CLAUSE_MARK.finditer(self._text, self._start, limit)]
        return next((end for end in reversed(ends) if self._enough(end, LEAST)), None)

    def _last_space(self, limit: int, least: int) -> int | None:
        joining = habits_of(self.language).joining
        for end in reversed([found.start() for found in _SPACE.finditer(self._text, self._start, limit)]):
            following = self._text[end:limit].lstrip()[:1]
            word = self._text[self._start : end].rpartition(" ")[2]
            bare = word.strip("\"'“”‘’«»()[]{}*_`").lower()
            needs_next = not bare or not bare[-1].isalpha() or bare in joining
            if least and (needs_next or not following.isalpha()):
                continue
            return end if self._enough(end, least) else None
        return None

    def _reads_whole(self) -> bool:
        """Whether what is there seems to be a whole sentence, though the next character may tell otherwise."""
        found = _FULL_STOP.search(self._text, max(self._start, len(self._text) - 40))
        if found is None:
            return False
        habits, word = habits_of(self.language), found[1].lower()
        short = habits.titles | habits.numbered | habits.months | habits.short
        return word not in short and not word.endswith(habits.short_ends or ("\0",))

    def _enough(self, end: int, least: int) -> bool:
        """Whether there are at least so many letters and digits before `end`."""
        return sum(map(str.isalnum, self._text[self._start : end])) >= least


def _paired(piece: str) -> str:
    """The same text with surrogate pairs as one character, and half of one alone as U+FFFD."""
    if not any("\ud800" <= character <= "\udfff" for character in piece):
        return piece
    return piece.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _joined(before: str, character: str) -> bool:
    """Whether a character belongs to the one before it: accents, joined emoji and their colours, flags."""
    if unicodedata.category(character).startswith("M") or "\U0001f3fb" <= character <= "\U0001f3ff":
        return True
    flag = "\U0001f1e6" <= character <= "\U0001f1ff" and "\U0001f1e6" <= before <= "\U0001f1ff"
    return "\u200d" in (before, character) or flag
