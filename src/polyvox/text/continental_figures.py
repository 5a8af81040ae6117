"""Figures as most of the European continent writes them: 1.234,56, the day before the month, 24 hours.

German and Dutch are such languages: each brings its tables and its words, and overrides what it says differently.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from polyvox.text.normalize import Rule, Said
from polyvox.text.numbers import MAX_DIGITS, words_of
from polyvox.text.shared_rules import any_of, closing, dash, rule

# Groups of three have a dot, a space or (in Switzerland) an apostrophe between; a comma begins the decimals.
NUMBER = r"(?:\d{1,3}(?:\.\d{3})+(?!\d)|[1-9]\d{0,2}(?:[ ']\d{3})+(?!\d)|\d++)(?:,\d+)?"
# Prices come with a decimal point, too.
_PRICE = rf"(?:\d++\.\d{{2}}(?![\d.])|{NUMBER})"
# The dash of a round price: "5,-".
_EVEN = r",(?:--?|–|—)(?![\w])"
_FRACTIONS = {
    "½": (1, 2), "¼": (1, 4), "¾": (3, 4), "⅓": (1, 3), "⅔": (2, 3), "⅛": (1, 8), "⅜": (3, 8), "⅝": (5, 8),
    "⅞": (7, 8),
}  # fmt: skip


class Numbers(ABC):
    """The number words of a language."""

    language: str
    # What stands for the comma of 1,5 and the dot of 1.5.
    comma: str
    point: str

    @abstractmethod
    def cardinal(self, number: int) -> list[str]:
        """Return the words of a whole number."""

    @abstractmethod
    def year(self, year: int) -> list[str]:
        """Return a year of four digits as it is said."""

    def part(self, digits: str) -> list[str]:
        """Return what is said behind the comma."""
        return self.digits(digits)

    def digits(self, digits: str) -> list[str]:
        """Return the digits one by one; what is not a digit is left out."""
        return [words_of(int(digit), self.language)[0] for digit in digits if digit.isdecimal()]

    def number(self, written: str) -> list[str]:
        """Return the words of an unsigned number as written: "1.234,5", "007", "12"."""
        whole, comma, part = written.partition(",")
        figures = re.sub(r"\D", "", whole)
        # Ten figures without groups are a telephone or a serial number, unless they are round.
        serial = len(figures) >= 10 and figures == whole and not whole.endswith("000")
        zeros = len(figures) > 1 and figures[0] == "0"
        if serial or zeros or len(figures) > MAX_DIGITS:
            words = self.digits(figures)
        else:
            words = self.cardinal(int(figures or "0"))
        return [*words, self.comma, *self.part(part)] if comma and part else words

    def count(self, written: str) -> list[str]:
        """Return a number that stands alone: four digits without a dot are a year where they can be."""
        if len(written) == 4 and written.isdecimal() and 1100 <= int(written) <= 2099:
            return self.year(int(written))
        return self.number(written)


class FigureTables(Protocol):
    """The tables that a language's module of words brings for figures."""

    MONTHS: tuple[str, ...]
    # sign: one, many, gender
    UNITS: dict[str, tuple[str, str, str]]
    MULTIPLIERS: dict[str, tuple[str, str, str]]
    # sign: one, many, gender, hundredths
    CURRENCIES: dict[str, tuple[str, str, str, str]]


class Figures(ABC):
    """The rules for what begins with a digit or a sign; a language puts them into its order."""

    to: str
    minus: str
    plus: str
    ratio: str
    by: str
    slash: str
    hour: str
    # What stands behind 14:30, as a pattern, and the seconds of 14:30:15: what joins them, one, many.
    oclock: str
    seconds: tuple[str, str, str]
    # What a dash is read as a range behind.
    before_range = re.compile(r"\d(?:\s?(?:%|°C?|€|Uhr|uur|h|km|m|kg)|\.|,-)?\s?$")

    def __init__(self, numbers: Numbers, table: FigureTables) -> None:
        self.numbers = numbers
        self.table = table
        self.signs = re.escape("".join(sign for sign in table.CURRENCIES if len(sign) == 1))
        self.currencies = any_of(table.CURRENCIES)
        self.multipliers = any_of(table.MULTIPLIERS)

    @abstractmethod
    def date(self, match: re.Match[str], day: int, month: int, year: str) -> list[str]:
        """Return a date; `year` has four or two digits, or none."""

    @abstractmethod
    def fraction(self, match: re.Match[str], above: int, below: int) -> list[str] | None:
        """Return "drei", "Viertel" for 3/4; None where nobody says it as parts."""

    @abstractmethod
    def mixed(self, match: re.Match[str], whole: str, above: int, below: int) -> Said:
        """Return what is said for 2 1/2."""

    @abstractmethod
    def times(self, match: re.Match[str]) -> Said:
        """Return what is said for 3x."""

    def counted(self, match: re.Match[str], written: str, gender: str) -> list[str]:
        """Return a number in front of a noun of that gender."""
        return self.numbers.number(written)

    def hours(self, hour: int) -> list[str]:
        """Return the number of an hour."""
        return self.numbers.cardinal(hour)

    # The rules, by what they are about.

    def date_rules(self) -> Sequence[Rule]:
        """Return the rules for 2024-10-03 and 3.10.2024, 3-10-2024, 3/10/24."""
        return (
            rule(r"(\d{4})-(\d{2})-(\d{2})(?![\d-])", lambda match: self._date(match, match[3], match[2], match[1])),
            rule(
                r"(\d{1,2})([./-])\s?(\d{1,2})\2\s?'?(\d{4}|\d{2})(?![\d/]|[.,:-]\d)",
                lambda match: self._date(match, match[1], match[3], match[4]),
            ),
        )

    def phone_rules(self) -> Sequence[Rule]:
        """Return the rules for telephone numbers, and for other groups of digits."""
        return (
            rule(r"0\d{1,5}(?:\s?[-/]\s?|\s)\d{2,}(?:[ -]\d{2,}){0,6}(?!\d|[.,:/]\d)", self._phone),
            rule(r"\d+(?:-\d+){2,}", self._groups),
        )

    def clock_rules(self) -> Sequence[Rule]:
        """Return the rules for 14:30, 14.30 Uhr, and for 3:1."""
        clock = rf"\s?(?:{self.oclock})"
        later = rf"(?=\s?(?:[-–]|{self.to})\s?\d{{1,2}}[.:]\d{{2}}{clock})"
        return (
            rule(rf"(\d{{1,2}}):(\d{{2}})(?::(\d{{2}}))?(?![\d:])(?:{clock})?", self._time),
            rule(rf"(\d{{1,2}})\.(\d{{2}})()(?:{later}|{clock})", self._time),
            rule(r"(\d{1,9}):(\d{1,9})(?![\d:])", self._ratio),
        )

    def version_rules(self) -> Sequence[Rule]:
        """Return the rules for numbers with dots that are no groups of three: 3.11.2, 2.0."""
        return (
            rule(r"\d+(?:\.\d+){2,}", self._version),
            rule(r"\d+\.\d+(?![\d,])", self._version),
        )

    def fraction_rules(self) -> Sequence[Rule]:
        """Return the rules for 2 1/2, 2½, ½, 3/4."""
        signs = "".join(_FRACTIONS)
        return (
            rule(
                r"(\d{1,3})\s+(\d{1,2})/(\d{1,2})(?![\d/])",
                lambda match: self.mixed(match, match[1], int(match[2]), int(match[3])),
            ),
            rule(rf"(\d{{1,3}})\s?([{signs}])", lambda match: self.mixed(match, match[1], *_FRACTIONS[match[2]])),
            rule(r"(\d{1,4})/(\d{1,4})(?![\d/])", self._fraction),
        )

    def money_rules(self) -> Sequence[Rule]:
        """Return the rules for an amount and its currency, in this order: 12,50 €, 5,- €, 5,-."""
        return (
            rule(rf"(?P<low>{_PRICE})(?:{_EVEN})?\s?(?P<sign>{self.currencies})(?!\w)", self._money),
            rule(rf"({NUMBER}){_EVEN}", self._even),
        )

    def unit_rules(self) -> Sequence[Rule]:
        """Return the rules for 3 x 4, 3x, 5 Mio., 5 km, 5-km-."""
        units = any_of(self.table.UNITS)
        return (
            rule(rf"({NUMBER})\s?[x×]\s?(?=\d)", lambda match: [*self.numbers.number(match[1]), self.by]),
            rule(r"(\d{1,6})\s?[x×](?!\w)", self.times),
            rule(rf"({NUMBER})\s?({self.multipliers})(?!\w)", lambda match: self._noun(match, self.table.MULTIPLIERS)),
            rule(
                rf"(?<![^\W\d_])({NUMBER})\s?({units})(?![\w']|/m(?!\w))",
                lambda match: self._noun(match, self.table.UNITS),
            ),
            rule(rf"(\d{{1,6}})-({units})(?=-[^\W\d_])", self._joined_unit),
        )

    def unit_behind_fraction(self) -> Rule:
        """Return the rule for the unit of 1/2 l, whose figures are said by then."""
        figures = re.compile(rf"(?:\d/\d{{1,2}}|[{''.join(_FRACTIONS)}])\s?$")

        def say(match: re.Match[str]) -> Said:
            before = match.string[max(0, match.start() - 6) : match.start()]
            if not figures.search(before):
                return None
            one, many, _ = self.table.UNITS[match[1]]
            return [*(one if re.search(r"(?<!\d)(?:1/2|½)\s?$", before) else many).split(), *closing(match)]

        return rule(rf"({any_of(self.table.UNITS)})(?![\w'])", say)

    def sign_rules(self) -> Sequence[Rule]:
        """Return the rules for tokens that begin with a sign."""
        signs = "".join(_FRACTIONS)
        return (
            self.price_rule(),
            rule(r"\+\d{1,3}(?:[ /-]?\(?\d{1,8}\)?){1,6}(?!\d)", self._phone),
            rule(r"\(0\d{1,5}\)\s?[-/]?\s?\d{2,}(?:[ -]\d{2,}){0,6}(?!\d)", self._phone),
            rule(rf"[{signs}]", lambda match: self.fraction(match, *_FRACTIONS[match[0]])),
            rule(r"[-–—]", self.dash),
        )

    def price_rule(self) -> Rule:
        """Return the rule for a currency and its amount, in this order: € 12,50, EUR 5 Mio."""
        high = rf"(?:\s?[-–]\s?(?:(?:{self.currencies})\s?)?(?P<high>{_PRICE})(?:{_EVEN})?)?"
        return rule(
            rf"(?P<sign>{self.currencies})\s?(?P<low>{_PRICE})(?:{_EVEN})?{high}"
            rf"(?:\s?(?P<multiplier>{self.multipliers})(?!\w))?",
            self._money,
        )

    # What they say.

    def dash(self, match: re.Match[str]) -> Said:
        """Read a dash: a range, minus, or nothing."""
        return dash(match, to=self.to, minus=self.minus, signs=self.signs, before_to=self.before_range)

    def short_year(self, year: str) -> list[str]:
        """Return the year of a date: four digits, or two that stay two."""
        if len(year) != 2:
            return self.numbers.count(year) if year else []
        return self.numbers.digits(year) if year[0] == "0" else self.numbers.cardinal(int(year))

    def _date(self, match: re.Match[str], day: str, month: str, year: str) -> Said:
        if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
            return None
        return self.date(match, int(day), int(month), year)

    def _phone(self, match: re.Match[str]) -> Said:
        if not 6 <= sum(character.isdecimal() for character in match[0]) <= 20:
            return None
        said: list[str] = []
        # The 0 of +49 (0)30 is dialled only without what stands before it.
        for group in re.findall(r"\d+", match[0].replace("(0)", "") if match[0][0] == "+" else match[0]):
            said += [",", *self.numbers.digits(group)] if said else self.numbers.digits(group)
        return [self.plus, *said] if match[0][0] == "+" else said

    def _groups(self, match: re.Match[str]) -> Said:
        said: list[str] = []
        for group in match[0].split("-"):
            words = self.numbers.number(group) if len(group) <= 2 else self.numbers.digits(group)
            said += [",", *words] if said else words
        return said

    def _time(self, match: re.Match[str]) -> Said:
        hour, minute, second = int(match[1]), int(match[2]), match[3]
        if hour > 24 or minute > 59 or (second and int(second) > 59):
            return None
        said = [*self.hours(hour), self.hour, *(self.numbers.cardinal(minute) if minute else [])]
        if second:
            joined, one, many = self.seconds
            said += [joined, *self.counted(match, str(int(second)), "f"), one if int(second) == 1 else many]
        return [*said, *closing(match)]

    def _ratio(self, match: re.Match[str]) -> Said:
        return [*self.numbers.number(match[1]), *self.ratio.split(), *self.numbers.number(match[2])]

    def _version(self, match: re.Match[str]) -> Said:
        parts = match[0].split(".")
        if any(len(part) > 6 for part in parts) or re.fullmatch(r"[1-9]\d{0,2}(?:\.\d{3})+", match[0]):
            return None
        said: list[str] = []
        for part in parts:
            said += [self.numbers.point, *self.numbers.number(part)] if said else self.numbers.number(part)
        return said

    def _fraction(self, match: re.Match[str]) -> Said:
        above, below = int(match[1]), int(match[2])
        if (above, below) == (24, 7) or above == below:
            return [*self.numbers.cardinal(above), *self.numbers.cardinal(below)]
        if len(match[1]) == 4 and len(match[2]) in (2, 4):  # the season of 2019/20
            return [*self.numbers.count(match[1]), *self.short_year(match[2])]
        if "0" not in (match[1][0], match[2][0]) and above < 100:
            part = self.fraction(match, above, below)
            if part is not None:
                return part
        return [*self.numbers.number(match[1]), *self.slash.split(), *self.numbers.number(match[2])]

    def _even(self, match: re.Match[str]) -> Said:
        one, many, gender, _ = self.table.CURRENCIES["€"]
        return [*self.counted(match, match[1], gender), one if match[1] == "1" else many]

    def _money(self, match: re.Match[str]) -> Said:
        found = match.groupdict()
        one, many, gender, hundredths = self.table.CURRENCIES[match["sign"]]
        low, high, multiplier = match["low"], found.get("high"), found.get("multiplier")
        last = _price(high or low)
        said = [*self.numbers.number(_price(low)), self.to] if high else []
        if multiplier:
            name, names, its_gender = self.table.MULTIPLIERS[multiplier]
            return [*said, *self.counted(match, last, its_gender), name if last == "1" else names, many]
        whole, _, part = last.partition(",")
        if len(part) != 2 or not hundredths:
            return [*said, *self.counted(match, last, gender), one if last == "1" else many]
        if whole.strip("0") or part == "00":
            said += [*self.counted(match, whole, gender), one if whole == "1" else many]
            return said if part == "00" else [*said, *self.numbers.cardinal(int(part))]
        return [*said, *self.counted(match, str(int(part)), gender), hundredths]

    def _noun(self, match: re.Match[str], nouns: dict[str, tuple[str, str, str]]) -> Said:
        one, many, gender = nouns[match[2]]
        said = (one if match[1] == "1" else many).split()
        return [*self.counted(match, match[1], gender), *said, *closing(match)]

    def _joined_unit(self, match: re.Match[str]) -> Said:
        return [*self.counted(match, match[1], ""), *self.table.UNITS[match[2]][0].split()]


def _price(written: str) -> str:
    """Return a price with a comma before its hundredths, whatever it was written with."""
    return re.sub(r"^(\d+)\.(\d{2})$", r"\1,\2", written)
