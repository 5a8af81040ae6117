"""Cuts the phonemes of a sentence into parts that a model can take."""

from __future__ import annotations

from collections.abc import Iterator

from polyvox.text.types import Phonemes

_CLAUSE_MARKS = frozenset(",.;:!?—–…")


def parts(phonemes: Phonemes, room: int) -> Iterator[tuple[int, int]]:
    """Yield the spans of symbols, each at most `room` long, that `phonemes` is cut into.

    Cuts fall behind clause marks, else between words; inside a word only where it is longer than `room`.
    The parts are about equally long where the choice allows. Every symbol is in one part, in order, but for
    the spaces at the parts' ends, which are in none.
    """
    symbols = phonemes.symbols
    first, last = 0, len(symbols)
    while last and symbols[last - 1] == " ":
        last -= 1
    while first < last:
        if symbols[first] == " ":
            first += 1
            continue
        if last - first <= room:
            yield first, last
            return
        cut = end = _cut(phonemes, first, last, room)
        while symbols[end - 1] == " ":
            end -= 1
        yield first, end
        first = cut


def _cut(phonemes: Phonemes, first: int, last: int, room: int) -> int:
    """Return where the part that begins at `first` ends; what follows is longer than `room` as yet."""
    symbols, index = phonemes.symbols, phonemes.word_index
    limit = first + room
    count = -(-(last - first) // room)
    target = first + -(-(last - first) // count)
    clauses: list[int] = []
    spaces: list[int] = []
    joints: list[int] = []
    for place in range(first + 1, limit + 1):
        inside = index[place] >= 0 and index[place] == index[place - 1]
        if inside or symbols[place] in _CLAUSE_MARKS:  # a mark stays with its word
            continue
        if symbols[place - 1] in _CLAUSE_MARKS:
            clauses.append(place)
        elif symbols[place] == " " and not _within_word(index, place):
            spaces.append(place)
        elif index[place] >= 0 and index[place - 1] >= 0:
            joints.append(place)  # two words that are spoken as one ("of the")
    # A clause of a few symbols is no part of its own.
    clauses = [place for place in clauses if place - first >= room // 4]
    for places in (clauses, spaces, joints):
        if places:
            return min(places, key=lambda place: abs(place - target))
    # A word longer than the room, or its mark: as much as fits, but no modifier without its letter.
    for place in range(limit, first + room // 2, -1):
        if symbols[place] == " " or (index[place] < 0 <= index[place - 1]):
            return place
    place = limit
    while place > first + 1 and (symbols[place] == "ː" or symbols[place - 1] in "ˈˌ"):
        place -= 1
    return place


def _within_word(index: tuple[int, ...], place: int) -> bool:
    """Whether the space at `place` stands between two groups of symbols of one word."""
    return 0 < place < len(index) - 1 and index[place - 1] >= 0 and index[place - 1] == index[place + 1]
