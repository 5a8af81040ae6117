"""Text in, utterances out: sentences turned into tokens, and cut where they do not fit a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from polyvox.errors import TextError
from polyvox.text.cutting import parts
from polyvox.text.sentences import sentences
from polyvox.text.symbols import Symbols
from polyvox.text.types import FrontEnd, Phonemes, Sentence, Utterance


@dataclass(frozen=True, slots=True)
class _Frame:
    """What stands around and between an utterance's symbols."""

    head: tuple[str, ...]
    between: str | None
    tail: tuple[str, ...]

    @classmethod
    def of(cls, start: str | None, end: str | None, between: str | None) -> _Frame:
        pad = () if between is None else (between,)
        head = () if start is None else (start,) if start == between else (start, *pad)
        tail = () if end is None else (end,) if end == between else (*pad, end)
        return cls(head, between, tail)

    def room(self, tokens: int) -> int:
        """Return how many symbols of the text fit into `tokens` tokens."""
        left = tokens - len(self.head) - len(self.tail)
        return left if self.between is None else (left + 1) // 2

    def around(self, symbols: tuple[str, ...], index: list[int]) -> tuple[list[str], list[int]]:
        """Return the symbols and their words with the frame's own symbols, which belong to no word."""
        named, owners = list(self.head), [-1] * len(self.head)
        for place, (symbol, owner) in enumerate(zip(symbols, index, strict=True)):
            if place and self.between is not None:
                named.append(self.between)
                owners.append(-1)
            named.append(symbol)
            owners.append(owner)
        return [*named, *self.tail], [*owners, *([-1] * len(self.tail))]


def utterances(
    text: str,
    front_end: FrontEnd,
    symbols: Symbols,
    *,
    max_tokens: int | None = None,
    start: str | None = None,
    end: str | None = None,
    between: str | None = None,
) -> Iterator[Utterance]:
    """Yield what a model reads, sentence by sentence; nothing is phonemised before it is asked for.

    `start` and `end` are symbols put before and behind each utterance's own, `between` one that stands
    between all of them (a `start` or `end` equal to `between` is not doubled by it). A sentence of more than
    `max_tokens` tokens, these symbols counted, is cut behind clause marks, else between words; a word is cut
    only where it is too long by itself, and then stands in the words of both parts. The parts' symbols joined
    are the sentence's, but for the spaces at the cuts.

    Raises `TextError` at once for what cannot be spoken: not a string, empty, without a letter or digit; and
    at the end if the model had a symbol for none of it.
    """
    if not isinstance(text, str):
        raise TextError(f"a text to speak must be a str, not {type(text).__name__}")
    if not text.strip():
        raise TextError("the text is empty")
    if not _speakable(text):
        raise TextError("the text has nothing to speak: it holds no letter and no digit")
    for name, symbol in (("start", start), ("end", end), ("between", between)):
        if symbol is not None and symbol not in symbols:
            raise TextError(f"the {name} symbol {symbol!r} is not in the model's symbol table")
    frame = _Frame.of(start, end, between)
    room = None if max_tokens is None else frame.room(max_tokens)
    if room is not None and room < 1:
        raise TextError(f"max_tokens {max_tokens} leaves no room for a symbol of the text")
    return _utterances(text, front_end, symbols, frame, room)


def _utterances(
    text: str, front_end: FrontEnd, symbols: Symbols, frame: _Frame, room: int | None
) -> Iterator[Utterance]:
    spoken = False
    for sentence in sentences(text, front_end.language):
        if not _speakable(sentence.text):
            continue
        phonemes = _known(front_end.phonemes(sentence.text, sentence.start), symbols)
        if all(word < 0 for word in phonemes.word_index):
            continue
        spoken = True
        spans = [(0, len(phonemes.symbols))] if room is None else list(parts(phonemes, room))
        yield from _made(text, sentence, phonemes, spans, symbols, frame)
    if not spoken:
        raise TextError("the text has nothing to speak: the model has no symbols for any of it")


def _speakable(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _known(phonemes: Phonemes, symbols: Symbols) -> Phonemes:
    """Return `phonemes` without the symbols that the model does not have."""
    kept = [place for place, symbol in enumerate(phonemes.symbols) if symbols.id(symbol) is not None]
    if len(kept) == len(phonemes.symbols):
        return phonemes
    return Phonemes(
        tuple(phonemes.symbols[place] for place in kept),
        tuple(phonemes.word_index[place] for place in kept),
        phonemes.words,
    )


def _made(
    text: str,
    sentence: Sentence,
    phonemes: Phonemes,
    spans: list[tuple[int, int]],
    symbols: Symbols,
    frame: _Frame,
) -> Iterator[Utterance]:
    """Yield the utterance of each span of symbols, with the words and the stretch of text that it speaks."""
    import numpy as np

    words = phonemes.words
    owned = [[word for word in phonemes.word_index[first:last] if word >= 0] for first, last in spans]
    # The first word of every part; a part of marks only begins with the word that would come next. Words
    # without symbols go with those before them, but at the start of the sentence.
    firsts = [0]
    for before, mine in pairwise(owned):
        firsts.append(mine[0] if mine else max(firsts[-1], before[-1] + 1 if before else 0))
    begin = sentence.start
    for number, (first, last) in enumerate(spans):
        low = firsts[number]
        if number == len(spans) - 1:
            high, finish, following = len(words), sentence.end, sentence.end
        else:
            high = max(firsts[number + 1], owned[number][-1] + 1 if owned[number] else 0)
            following = words[firsts[number + 1]].start if firsts[number + 1] < len(words) else sentence.end
            following = max(begin, following)
            # Where both parts speak one written word ("25"), both hold it.
            finish = max([begin + len(text[begin:following].rstrip()), *(word.end for word in words[low:high])])
        index = [word - low if word >= 0 else -1 for word in phonemes.word_index[first:last]]
        named, owners = frame.around(phonemes.symbols[first:last], index)
        yield Utterance(
            tokens=symbols.encode(named),
            word_index=np.array(owners, dtype=np.int64),
            symbols=tuple(named),
            words=words[low:high],
            text=text[begin:finish],
            start=begin,
            end=finish,
            ends_sentence=number == len(spans) - 1,
        )
        begin = following
