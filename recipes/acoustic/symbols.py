"""The symbols of a corpus: what they are, and which a model's table holds."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from polyvox.text.sentences import sentences
from polyvox.text.types import FrontEnd

PAD, START, END, SPACE = "_", "^", "$", " "
PUNCTUATION = ",.!?;:"
MARKS = "ˈˌː\u0303\u0329ʲ"
# What espeak writes for English, words of other languages included. The export gives unseen ones a neighbour's
# sound, so that a rare name does not lose a phone.
PHONES = "aæɐɑɒbdðeəɚɛɜfɡhiɪjklmnŋoɔpɹrsʃtɾθuʊʌvwxzʒʔᵻɬyøœçɣʁɲ"


def is_mark(symbol: str) -> bool:
    """Whether a symbol modifies its neighbour (ˈ ˌ ː ʲ ̩ ...) and so has no time of its own."""
    return unicodedata.category(symbol) in ("Lm", "Mn", "Sk")


def is_pause(symbol: str) -> bool:
    """Whether a symbol may be silent: the ends, spaces, punctuation."""
    return symbol in (PAD, START, END) or unicodedata.category(symbol)[0] in "PZ"


def clip_symbols(front_end: FrontEnd, text: str) -> list[str]:
    """The symbols of a clip: "^", the phonemes of its sentences joined by spaces, "$"."""
    spoken = [front_end.phonemes(sentence.text).symbols for sentence in sentences(text)]
    joined = [symbol for part in spoken if part for symbol in (SPACE, *part)]
    return [START, *joined[1:], END]


def symbol_table(seen: Iterable[str]) -> list[str]:
    """All symbols in the order of their ids: padding, ends, space, punctuation, marks, phones."""
    table = dict.fromkeys([PAD, START, END, SPACE, *PUNCTUATION, *MARKS, *PHONES])
    return [*table, *sorted(set(seen) - set(table))]
