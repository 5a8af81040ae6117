"""Reduces the characters of a text to the few that normalisation knows, remembering where each stood."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

# Signs outside ASCII that rules may read; every other symbol or mark becomes one of ASCII, or a space.
SIGNS = "–—…°£€¥¢₹₩₽×÷±≈≤≥≠½¼¾⅓⅔⅛⅜⅝⅞²³µ§№‰"

_SAME_AS = {
    "‘": "'", "’": "'", "‛": "'", "ʼ": "'", "´": "'", "′": "'", "“": "\"", "”": "\"", "„": "\"", "‟": "\"",
    "«": "\"", "»": "\"", "″": "\"", "‹": "\"", "›": "\"", "‐": "-", "‑": "-", "‒": "–", "―": "—", "−": "-",
    "﹣": "-", "。": ".", "｡": ".", "、": ",", "،": ",", "؛": ";", "؟": "?", "।": ".", "॥": ".", "։": ".",
    "⁄": "/", "∕": "/", "·": " ", "•": ",", "¿": " ", "¡": " ", "‥": "…", "⸺": "—", "〜": "–", "μ": "µ",
    "º": "°", "ª": "a", "˚": "°", "℃": "°C", "℉": "°F", "™": " ", "®": " ", "©": " ", "×": "×", "⋅": "×",
    "¹": "1", "\u2028": " ", "\u2029": " ",
}  # fmt: skip
# Ranges whose characters are only other shapes of common ones: low figures, ligatures, full width, mathematical
# letters.
_SHAPES = ((0x2080, 0x2089), (0xFB00, 0xFB06), (0xFF01, 0xFFEF), (0x1D400, 0x1D7FF))


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A cleaned text: `text[i]` stands for the original characters from `starts[i]` to `ends[i]`."""

    text: str
    starts: Sequence[int]
    ends: Sequence[int]


def clean(text: str) -> Cleaned:
    """Return `text` without control characters, emoji, surrogates and characters of no width.

    Letters with marks behind them are composed; quotes, dashes and foreign marks become the common ones.
    """
    if text.isascii() and text.isprintable():
        return Cleaned(text, range(len(text)), range(1, len(text) + 1))
    made: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for place, character in enumerate(text):
        if made and unicodedata.combining(character):
            composed = unicodedata.normalize("NFC", made[-1] + character)
            if len(composed) == 1:
                made[-1] = composed
                ends[-1] = place + 1
                continue
        for shown in _shown(character):
            made.append(shown)
            starts.append(place)
            ends.append(place + 1)
    return Cleaned("".join(made), starts, ends)


@lru_cache(maxsize=8192)
def _shown(character: str) -> str:
    """Return what a character is read as: itself, another one, a space, or nothing."""
    if character in _SAME_AS:
        return _SAME_AS[character]
    if character in SIGNS or (character.isascii() and character.isprintable()):
        return character
    code = ord(character)
    if any(low <= code <= high for low, high in _SHAPES):
        plain = unicodedata.normalize("NFKC", character)
        return plain if plain.isalnum() or plain.isascii() else " "
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.digit(character))
    if category == "Cf" or 0xFE00 <= code <= 0xFE0F:  # no width, direction marks, variation selectors
        return ""
    if category[0] in "LM" or category == "Nl":
        return character
    return {"Pd": "—", "Ps": "(", "Pe": ")", "Pi": '"', "Pf": '"'}.get(category, " ")
