"""The front end of models that read letters: every letter is a symbol."""

from __future__ import annotations

from polyvox.text.clauses import clauses
from polyvox.text.normalize import normalize
from polyvox.text.types import FrontEnd, Phonemes, Word


class CharacterFrontEnd(FrontEnd):
    """Gives the normalised text letter by letter, with one space between words and the kept marks."""

    def __init__(self, language: str) -> None:
        self.language = language

    def phonemes(self, text: str, offset: int = 0) -> Phonemes:
        """Return the letters of `text`; see `FrontEnd.phonemes`."""
        symbols: list[str] = []
        index: list[int] = []
        words: list[Word] = []
        for clause in clauses(normalize(text, self.language)):
            for piece in clause.words:
                if symbols:
                    symbols.append(" ")
                    index.append(-1)
                symbols.extend(piece.spoken)
                index.extend([len(words)] * len(piece.spoken))
                words.append(Word(piece.spoken, piece.start + offset, piece.end + offset))
            if clause.mark:
                symbols.append(clause.mark)
                index.append(-1)
        return Phonemes(tuple(symbols), tuple(index), tuple(words))
