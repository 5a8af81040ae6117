"""Groups normalised pieces into clauses: the words up to a mark, and that mark."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from polyvox.text.normalize import Kind, Piece

# Where marks meet ("?!", '.",'), the one that says most stays.
_STRENGTH = {"?": 6, "!": 5, ".": 4, ":": 3, ";": 2, ",": 1}


@dataclass(frozen=True, slots=True)
class Clause:
    """At least one word, and the mark that ends the clause: one of `, . ! ? ; :`, or "" at the end."""

    words: tuple[Piece, ...]
    mark: str


def clauses(pieces: Iterable[Piece]) -> Iterator[Clause]:
    """Yield the clauses of `pieces`; marks before the first word are dropped."""
    words: list[Piece] = []
    mark = ""
    for piece in pieces:
        if piece.kind is Kind.MARK:
            if words and _STRENGTH[piece.spoken] > _STRENGTH.get(mark, 0):
                mark = piece.spoken
            continue
        if mark:
            yield Clause(tuple(words), mark)
            words, mark = [], ""
        words.append(piece)
    if words:
        yield Clause(tuple(words), mark)
