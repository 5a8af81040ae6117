"""English figures: dates, times, money, units, telephone and version numbers, ranges, fractions."""

from __future__ import annotations

import re
from collections.abc import Sequence

from polyvox.text import english_words as table
from polyvox.text.english_numbers import EnglishNumbers
from polyvox.text.normalize import Letters, Rule, Said
from polyvox.text.shared_rules import any_of, closing, dash, rule

_NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d++)(?:\.\d+)?"
_DAYTIME = r"(?P<half>[ap]\.\s?m\.|[ap]m|[AP]\.?M\.?)(?![\w])"
_MONTH_NAMES = "|".join([*table.MONTHS, *(rf"{short}\.?" for short in table.MONTH_SHORT)])
_AFTER_MONTH = re.compile(rf"(?:^|[^\w])(?:{_MONTH_NAMES})\s+(?:the\s+)?$")
_UNIT_NAMES = any_of(table.UNITS)
_MULTIPLIER_NAMES = r"(?:\s(?:hundred|thousand|million|billion|trillion)|(?:bn|mn|mm|tn|[kKmMbBtT]))(?!\w)"
_SIGN_NAMES = re.escape("".join(table.CURRENCIES))


class Figures:
    """The rules for what begins with a digit or a sign, in American or in other English."""

    def __init__(self, numbers: EnglishNumbers, *, month_first: bool) -> None:
        self.numbers = numbers
        self.month_first = month_first

    def digit_rules(self) -> Sequence[Rule]:
        """Return the rules for tokens that begin with a digit; the first one that applies is taken."""
        return (
            rule(r"(\d{4})-(\d{2})-(\d{2})(?![\d-])", self._iso_date),
            rule(r"(\d{1,2})([/.])(\d{1,2})\2(\d{4}|\d{2})(?![\d/])", self._date),
            rule(r"(?:\d{1,3}[ .-])?\d{3}[ .-]\d{3}[ .-]\d{4}(?![\d-])", self._phone),
            rule(r"\d{3}-\d{4}(?![\d-])", self._phone),
            rule(rf"(\d{{1,2}}):(\d{{2}})(?::(\d{{2}}))?(?![\d:])(?:\s?{_DAYTIME})?", self._time),
            rule(rf"(\d{{1,2}})\s?{_DAYTIME}", self._hour),
            rule(r"(\d+):(\d+)(?![\d:])", self._ratio),
            rule(r"\d+(?:\.\d+){2,}", self._version),
            rule(r"(\d{1,3}(?:,\d{3})+|\d{1,9})(?:st|nd|rd|th)\b", self._ordinal),
            rule(r"(\d[1-9]00|\d{2}[1-9]0|\d000|[2-9]0)['’]?s\b", self._decade),
            rule(r"(\d{1,3})\s+(\d{1,2})/(\d{1,3})(?![\d/])", self._mixed),
            rule(r"(\d{1,3})\s?([½¼¾⅓⅔⅛⅜⅝⅞])", self._mixed_sign),
            rule(r"(\d{1,4})/(\d{1,4})(?![\d/])", self._fraction),
            rule(r"(\d{1,2})'\s?(\d{1,2})(?:\"|'')", self._feet),
            rule(rf"({_NUMBER})\s?x\s?(?=\d)", self._by),
            rule(rf"({_NUMBER})x\b", self._times),
            rule(rf"(?<![^\W\d_])({_NUMBER})\s?({_UNIT_NAMES})(?![\w'])", self._unit),
            rule(r"(\d{1,2})(?:st|nd|rd|th)?(?=\s+(?:" + _MONTH_NAMES + r")(?:\W|$))", self._day_before_month),
            rule(r"\d{1,2}(?!\d|[.,]\d)", self._day_after_month),
            rule(r"\d+(?:-\d+){2,}", self._groups),
            rule(rf"({_NUMBER})[kK]\b", self._thousands),
            rule(_NUMBER, lambda match: self.numbers.count(match[0])),
        )

    def sign_rules(self) -> Sequence[Rule]:
        """Return the rules for tokens that begin with a sign."""
        number = rf"(?P<low>{_NUMBER})(?:(?P<dash>\s?[-–]\s?)[{_SIGN_NAMES}]?(?P<high>{_NUMBER}))?"
        return (
            rule(rf"(?P<sign>[{_SIGN_NAMES}])\s?{number}(?P<multiplier>\s?{_MULTIPLIER_NAMES})?", self._money),
            rule(r"\+?\(?\d{1,4}\)?(?:[ .-]?\(?\d{2,4}\)?){2,5}(?!\d)", self._phone_with_sign),
            rule(r"\(\d{3}\)[ .-]?\d{3}[ .-]?\d{4}(?!\d)", self._phone_with_sign),
            rule(r"'(\d0)['’]?s\b", self._decade),
            rule(r"\.(\d+)", lambda match: ["point", *self.numbers.digits(match[1])]),
            rule(r"[-–—]", lambda match: dash(match, to="to", minus="minus", signs=_SIGN_NAMES)),
            rule(r"#\s?(?=\d)", lambda match: ["number"]),
        )

    def _iso_date(self, match: re.Match[str]) -> Said:
        return self._spoken_date(int(match[2]), int(match[3]), match[1])

    def _date(self, match: re.Match[str]) -> Said:
        first, second, year = int(match[1]), int(match[3]), match[4]
        if match[2] == "." and len(year) == 2:
            return None  # a version number
        month_first = self.month_first and match[2] == "/"
        month, day = (first, second) if (month_first and first <= 12) or second > 12 else (second, first)
        return self._spoken_date(month, day, year)

    def _spoken_date(self, month: int, day: int, year: str) -> Said:
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return None
        name = table.MONTHS[month - 1]
        if not year:
            said = []
        elif len(year) == 4:
            said = self.numbers.year(int(year)) if int(year) >= 1000 else self.numbers.cardinal(int(year))
        else:
            said = self.numbers.year((2000 if int(year) < 50 else 1900) + int(year))
        if self.month_first:
            return [name, *self.numbers.ordinal(day), *([",", *said] if said else [])]
        return ["the", *self.numbers.ordinal(day), "of", name, *([",", *said] if said else [])]

    def _time(self, match: re.Match[str]) -> Said:
        hour, minute, second = int(match[1]), int(match[2]), match[3]
        if hour > 24 or minute > 59 or (second and int(second) > 59):
            return None
        half = _half(match)
        said = self.numbers.cardinal(hour)
        if minute:
            said += ["oh"] * (minute < 10) + self.numbers.cardinal(minute)
        elif hour > 12 or hour == 0:
            said += ["hundred"]
        elif not half and not second:
            said += ["o'clock"]
        if second:
            said += ["and", *self.numbers.cardinal(int(second)), "second" if int(second) == 1 else "seconds"]
        return [*said, *half, *closing(match)]

    def _hour(self, match: re.Match[str]) -> Said:
        if not 1 <= int(match[1]) <= 12:
            return None
        return [*self.numbers.cardinal(int(match[1])), *_half(match), *closing(match)]

    def _ratio(self, match: re.Match[str]) -> Said:
        if len(match[1]) > 9 or len(match[2]) > 9:
            return None
        return [*self.numbers.number(match[1]), "to", *self.numbers.number(match[2])]

    def _phone(self, match: re.Match[str]) -> Said:
        groups = re.findall(r"\d+", match[0])
        said: list[str] = []
        for group in groups:
            said += [",", *self.numbers.digits(group)] if said else self.numbers.digits(group)
        return said

    def _phone_with_sign(self, match: re.Match[str]) -> Said:
        digits = sum(character.isdecimal() for character in match[0])
        if match[0][0].isdecimal() or digits < 7 or match[0].count("(") != match[0].count(")"):
            return None
        said = list(self._phone(match) or ())
        return ["plus", *said] if match[0][0] == "+" else said

    def _version(self, match: re.Match[str]) -> Said:
        parts = match[0].split(".")
        if any(len(part) > 6 for part in parts):
            return None
        between = "dot" if len(parts) == 4 else "point"
        said: list[str] = []
        for part in parts:
            said += [between, *self.numbers.number(part)] if said else self.numbers.number(part)
        return said

    def _ordinal(self, match: re.Match[str]) -> Said:
        return self.numbers.ordinal(int(match[1].replace(",", "")))

    def _decade(self, match: re.Match[str]) -> Said:
        digits = match[1]
        if digits in ("10", "00") or (len(digits) == 4 and not 1000 <= int(digits) <= 2999):
            return None
        return self.numbers.decade(digits)

    def _mixed(self, match: re.Match[str]) -> Said:
        above, below = int(match[2]), int(match[3])
        part = self.numbers.fraction(above, below) if above < below else None
        if part is None:
            return None
        return [*self.numbers.number(match[1]), "and", *(["a", *part[1:]] if above == 1 else part)]

    def _mixed_sign(self, match: re.Match[str]) -> Said:
        part = table.FRACTIONS[match[2]].split()
        return [*self.numbers.number(match[1]), "and", *(["a", *part[1:]] if part[0] == "one" else part)]

    def _fraction(self, match: re.Match[str]) -> Said:
        above, below = int(match[1]), int(match[2])
        if (above, below) in ((24, 7), (9, 11), (50, 50), (20, 20), (360, 360)):
            return [*self.numbers.cardinal(above), *self.numbers.cardinal(below)]
        part = self.numbers.fraction(above, below) if below and match[2][0] != "0" else None
        # 12/25 is Christmas; 11/12, whichever it is, is read as a fraction.
        month, day = (above, below) if self.month_first else (below, above)
        if 1 <= month <= 12 and 12 < day <= 31 and (part is None or above > below or day == 20):
            return self._spoken_date(month, day, "")
        if part is not None and above:
            return part
        if len(match[1]) == 4 and len(match[2]) in (2, 4):  # the season of 2019/20
            return [*self.numbers.count(match[1]), *self.numbers.count(match[2])]
        return [*self.numbers.number(match[1]), "over", *self.numbers.number(match[2])]

    def _feet(self, match: re.Match[str]) -> Said:
        feet, inches = int(match[1]), int(match[2])
        said = [*self.numbers.cardinal(feet), "foot" if feet == 1 else "feet", *self.numbers.cardinal(inches)]
        return [*said, "inch" if inches == 1 else "inches"]

    def _by(self, match: re.Match[str]) -> Said:
        return [*self.numbers.number(match[1]), "by"]

    def _times(self, match: re.Match[str]) -> Said:
        return [*self.numbers.number(match[1]), "time" if match[1] == "1" else "times"]

    def _unit(self, match: re.Match[str]) -> Said:
        one, many = table.UNITS[match[2]]
        said = (one if match[1] == "1" else many).split()
        return [*self.numbers.number(match[1]), *said]

    def _day_before_month(self, match: re.Match[str]) -> Said:
        day = int(match[1])
        if not 1 <= day <= 31:
            return None
        the = [] if re.search(r"\bthe\s+$", match.string[max(0, match.start() - 8) : match.start()]) else ["the"]
        if match[0] != match[1] and self.month_first:
            return self.numbers.ordinal(day)  # "3rd March" is said as it is written
        return [*the, *self.numbers.ordinal(day), "of"]

    def _day_after_month(self, match: re.Match[str]) -> Said:
        before = match.string[max(0, match.start() - 20) : match.start()]
        before = re.sub(r"\d{1,2}(?:st|nd|rd|th)?\s?[-–]\s?$", "", before)  # March 3-5
        if not 1 <= int(match[0]) <= 31 or not _AFTER_MONTH.search(before):
            return None
        return self.numbers.ordinal(int(match[0]))

    def _groups(self, match: re.Match[str]) -> Said:
        said: list[str] = []
        for group in match[0].split("-"):
            words = self.numbers.number(group) if len(group) <= 2 else self.numbers.digits(group)
            said += [",", *words] if said else words
        return said

    def _thousands(self, match: re.Match[str]) -> Said:
        return [*self.numbers.number(match[1]), "thousand"]

    def _money(self, match: re.Match[str]) -> Said:
        one, many, cent, cents = table.CURRENCIES[match["sign"]]
        low, high = match["low"], match["high"]
        multiplier = table.MULTIPLIERS[match["multiplier"].strip()] if match["multiplier"] else ""
        if high:
            said = [*self.numbers.number(low), "to", *self.numbers.number(high)]
            return [*said, *([multiplier] if multiplier else []), many]
        if multiplier:
            return [*self.numbers.number(low), multiplier, many]
        whole, _, part = low.partition(".")
        if len(part) != 2 or not cent:
            return [*self.numbers.number(low), one if low == "1" else many]
        units, parts = int(whole.replace(",", "") or "0"), int(part)
        said = [*self.numbers.number(whole), one if units == 1 else many] if units or not parts else []
        if parts:
            said += [*(["and"] if said else []), *self.numbers.cardinal(parts), cent if parts == 1 else cents]
        return said


def _half(match: re.Match[str]) -> list[str]:
    if match["half"] is None:
        return []
    return [Letters.of("AM" if match["half"][0] in "aA" else "PM")]
