"""Dutch figures: ordinals, dates, fractions, postcodes, scores, and the number words themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence

from polyvox.text import dutch_words as table
from polyvox.text.continental_figures import NUMBER, Figures, Numbers
from polyvox.text.normalize import LETTER, Letters, Rule, Said
from polyvox.text.numbers import words_of
from polyvox.text.shared_rules import rule

_COMPOUND = (
    r"(?:jarig|daags|weeks|maands|delig|voudig|koppig|sporig|persoons|kamer|deurs|baans|cijferig|dimensiona|talig|"
    rf"zijdig|urig|minuten|traps|procents|gangen|sterren|maal){LETTER}*(?!\w)"
)
_NOT_IN_POSTCODES = table.words("VS NS WK TV PC SA SD SS MB GB KB MW")
_HALF_OF = re.compile(r"\s?([^\W\d_]+\.?)")


class DutchNumbers(Numbers):
    """Dutch number words."""

    language = "nl"
    comma = "komma"
    point = "punt"

    def cardinal(self, number: int) -> list[str]:
        """Return "vijfentwintig" for 25, "tweeduizend", "tien" for 2010."""
        return self._said(number, "cardinal")

    def ordinal(self, number: int) -> list[str]:
        """Return "derde" for 3."""
        return self._said(number, "ordinal")

    def _said(self, number: int, form: str) -> list[str]:
        # A space stands behind "duizend"; within a word "een" has no accents.
        parts = [part for word in words_of(number, "nl", form) for part in _after_thousand(word)]
        return [part if part == "één" else part.replace("één", "een") for part in parts]

    def part(self, digits: str) -> list[str]:
        """Return what is said behind the comma: one number where it is short."""
        return self.digits(digits) if len(digits) > 2 or digits[0] == "0" else self.cardinal(int(digits))

    def year(self, year: int) -> list[str]:
        """Return a year as it is said: "negentienhonderdachtennegentig", "tweeduizend", "tien"."""
        century, rest = divmod(year, 100)
        if not 11 <= century <= 19:
            return self.cardinal(year)
        return [self.cardinal(century)[0] + "honderd" + (self._joined(rest) if rest else "")]

    def compound(self, number: int) -> str:
        """Return the number as the first part of a word."""
        return "".join(self.cardinal(number)).replace("één", "een")

    def _joined(self, number: int) -> str:
        return self.cardinal(number)[0].replace("één", "een")


def _after_thousand(word: str) -> list[str]:
    return [part for part in re.split(r"(?<=duizend)(?!ste)", word) if part]


class DutchFigures(Figures):
    """The rules of Dutch for what begins with a digit or a sign."""

    to, minus, plus, ratio, by, slash = "tot", "min", "plus", "op", "maal", "slash"
    hour = "uur"
    oclock = r"(?:uur|u\.?|h)(?!\w)"
    seconds = ("en", "seconde", "seconden")

    def __init__(self, numbers: DutchNumbers) -> None:
        super().__init__(numbers, table)
        self.dutch = numbers

    def digit_rules(self) -> Sequence[Rule]:
        """Return the rules for tokens that begin with a digit; the first one that applies is taken."""
        return (
            *self.date_rules(),
            *self.clock_rules(),
            rule(r"(\d{1,2})\s?[uh](\d{2})()(?!\w)", self._time),
            rule(r"(\d{1,9})(?:ste|de|e)(?!\w)", lambda match: self.dutch.ordinal(int(match[1]))),
            rule(r"([1-9]\d{3})\s?([A-Z]{2})(?![\w'-])", self._postcode),
            *self.phone_rules(),
            *self.version_rules(),
            *self.fraction_rules(),
            rule(rf"(\d{{1,6}})-({_COMPOUND})", lambda match: [self.dutch.compound(int(match[1])) + match[2]]),
            *self.money_rules(),
            *self.unit_rules(),
            rule(r"(\d{1,2})-(\d{1,2})(?![\d,.-]*\d|\s?[^\W\d_]*(?:jarig|uur|%))", self._score),
            rule(NUMBER, lambda match: self.numbers.count(match[0])),
        )

    def date(self, match: re.Match[str], day: int, month: int, year: str) -> list[str]:
        """Return "drie oktober tweeduizend vierentwintig"."""
        return [*self.numbers.cardinal(day), table.MONTHS[month - 1], *self.short_year(year)]

    def fraction(self, match: re.Match[str], above: int, below: int) -> list[str] | None:
        """Return "drie", "kwart" for 3/4."""
        if not (2 <= below <= 20 or below in (50, 100, 1000)):
            return None
        if (above, below) == (1, 2):
            return ["een", _half(match)]
        part = {2: ["halve"], 4: ["kwart"]}.get(below) or self.dutch.ordinal(below)
        return [*(["een"] if above == 1 else self.numbers.cardinal(above)), *part]

    def mixed(self, match: re.Match[str], whole: str, above: int, below: int) -> Said:
        """Return "anderhalf" for 1 1/2, "twee en een half" for 2 1/2; "halve" in front of most nouns."""
        if (above, below, whole) == (1, 2, "1"):
            return ["ander" + _half(match)]
        part = self.fraction(match, above, below) if above < below else None
        return [*self.numbers.number(whole), "en", *part] if part else None

    def times(self, match: re.Match[str]) -> Said:
        """Return "drie keer" for 3x."""
        return [*self.numbers.number(match[1]), "keer"]

    def _postcode(self, match: re.Match[str]) -> Said:
        """Read 1012 AB by pairs."""
        if match[2] in table.SPELLED | _NOT_IN_POSTCODES:
            return None
        first, second = match[1][:2], match[1][2:]
        said = [*self.numbers.cardinal(int(first)), *self.numbers.number(second)]
        return [*said, Letters.of(match[2])]

    def _score(self, match: re.Match[str]) -> Said:
        """Read 3-1 as a score: a range would go upwards, and not begin with 0."""
        one, other = int(match[1]), int(match[2])
        if one > 20 or (one < other and one > 0):
            return None
        return [*self.numbers.cardinal(one), *self.numbers.cardinal(other)]


def _half(match: re.Match[str]) -> str:
    """Return "half" in front of a word with "het", and alone; else "halve"."""
    noun = _HALF_OF.match(match.string, match.end(), match.end() + 30)
    if noun is None:
        return "half"
    name = table.UNITS[noun[1]][0] if noun[1] in table.UNITS else noun[1]
    return "half" if name in table.HET_WORDS or name in ("en", "of", "is") else "halve"
