"""The values that pass from the text to a model's encoders."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Word:
    """One word as it is spoken, and where it stands in the caller's text.

    `start` and `end` span the characters of the original text that made the word: both "twenty" and
    "five" point at "25".
    """

    spoken: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Phonemes:
    """The symbols of one sentence or clause.

    `symbols[i]` belongs to `words[word_index[i]]`, or to no word where the index is -1 (marks, spaces).
    """

    symbols: tuple[str, ...]
    word_index: tuple[int, ...]
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Sentence:
    """One sentence: `text` is the original text from `start` to `end`, without the space around it."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """What a model's encoders read: one sentence, or a part of one that fits.

    `tokens`, `word_index` (both int64) and `symbols` have one entry a token; `word_index` is -1 where a
    token belongs to no word. `start` and `end` span the stretch of the original text that `text` holds.
    `ends_sentence` is false for the parts of a cut sentence but the last one.
    """

    tokens: npt.NDArray[np.int64]
    word_index: npt.NDArray[np.int64]
    symbols: tuple[str, ...]
    words: tuple[Word, ...]
    text: str
    start: int
    end: int
    ends_sentence: bool = True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Utterance):
            return NotImplemented
        # Arrays compare element by element, which a generated `__eq__` cannot use as a truth value.
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        arrays = (tuple(self.tokens.tolist()), tuple(self.word_index.tolist()))
        return (*arrays, self.symbols, self.words, self.text, self.start, self.end, self.ends_sentence)


class FrontEnd(ABC):
    """Turns the text of one language into the symbols that models are trained on."""

    # Whose abbreviations the sentences are cut by.
    language: str = "en"

    @abstractmethod
    def phonemes(self, text: str, offset: int = 0) -> Phonemes:
        """Return the symbols of `text`, one sentence or clause that starts at `offset` in the original.

        The words' spans count from the start of the original text. A text without anything speakable
        gives no symbols.
        """
