"""English number words: counting, ranking, years, decimals, fractions, digits one by one."""

from __future__ import annotations

from dataclasses import dataclass

from polyvox.text.numbers import MAX_DIGITS, words_of

# Denominators that are read as parts ("three quarters", "five eighths").
_PARTS = frozenset((2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16, 20, 32, 64, 100, 1000))
_DECADES = {
    "00": "hundreds", "10": "tens", "20": "twenties", "30": "thirties", "40": "forties", "50": "fifties",
    "60": "sixties", "70": "seventies", "80": "eighties", "90": "nineties",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class EnglishNumbers:
    """Number words of one variety: American English says no "and" within a number."""

    with_and: bool

    def _said(self, number: int, form: str) -> list[str]:
        words = [part for word in words_of(number, "en", form) for part in word.split("-")]
        return words if self.with_and else [word for word in words if word != "and"]

    def cardinal(self, number: int) -> list[str]:
        """Return "twenty", "five" for 25."""
        return self._said(number, "cardinal")

    def ordinal(self, number: int) -> list[str]:
        """Return "twenty", "fifth" for 25."""
        return self._said(number, "ordinal")

    def digits(self, digits: str) -> list[str]:
        """Return the digits one by one; what is not a digit is left out."""
        return [words_of(int(digit), "en")[0] for digit in digits if digit.isdecimal()]

    def year(self, year: int) -> list[str]:
        """Return a year of four digits as it is said: "nineteen", "eighty", "four"."""
        century, rest = divmod(year, 100)
        if rest == 0 and century % 10 != 0:
            return [*self.cardinal(century), "hundred"]
        if century % 10 == 0 and rest < 10:
            return self.cardinal(year)
        return [
            *self.cardinal(century),
            *(["oh", *self.cardinal(rest)] if rest < 10 else self.cardinal(rest)),
        ]

    def decade(self, digits: str) -> list[str]:
        """Return a decade ("1980" or "80") in the plural: "nineteen", "eighties"."""
        if len(digits) == 2:
            return [_DECADES[digits]]
        if digits[1:] == "000":
            return [*self.cardinal(int(digits[0])), "thousands"]
        return [*self.cardinal(int(digits[:2])), _DECADES[digits[2:]]]

    def number(self, written: str) -> list[str]:
        """Return the words of an unsigned number as written: "1,234.5", "007", "12"."""
        whole, point, part = written.replace(",", "").partition(".")
        # Ten figures without a comma are a telephone or a serial number, unless they are round.
        serial = len(whole) >= 10 and "," not in written and not whole.endswith("000")
        zeros = len(whole) > 1 and whole[0] == "0"
        if serial or zeros or len(whole) > MAX_DIGITS:
            words = self.digits(whole)
        else:
            words = self.cardinal(int(whole or "0"))
        return [*words, "point", *self.digits(part)] if point and part else words

    def count(self, written: str) -> list[str]:
        """Return a number that stands alone: four digits without a comma are a year where they can be."""
        if len(written) == 4 and written.isdecimal() and (1100 <= int(written) <= 2099):
            return self.year(int(written))
        return self.number(written)

    def fraction(self, above: int, below: int) -> list[str] | None:
        """Return "three", "quarters" for 3/4; None where nobody says it as parts."""
        if below not in _PARTS or above >= 1000:
            return None
        one = {2: ["half"], 4: ["quarter"]}.get(below) or self.ordinal(below)
        many = {2: "halves"}.get(below) or one[-1] + "s"
        return [*self.cardinal(above), *(one if above == 1 else [*one[:-1], many])]
