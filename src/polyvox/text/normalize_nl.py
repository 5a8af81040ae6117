"""Dutch: what is written in figures, abbreviations and signs, as it is spoken."""

from __future__ import annotations

import re
from collections.abc import Sequence

from polyvox.text import dutch_words as table
from polyvox.text.dutch_figures import DutchFigures, DutchNumbers
from polyvox.text.normalize import LETTER, Letters, Rule, Rules, Said
from polyvox.text.shared_rules import SharedWords, abbreviations, any_of, closing, fixed, roman, rule


def dutch() -> Rules:
    """Return the rules of Dutch, as written in the Netherlands and in Belgium."""
    numbers = DutchNumbers()
    figures = DutchFigures(numbers)
    words = _Words(numbers)
    addresses = words.address_rules()
    return Rules(
        number=numbers.number,
        digit=(*addresses, *figures.digit_rules()),
        letter=(*addresses, figures.price_rule(), figures.unit_behind_fraction(), *words.letter_rules()),
        sign=(
            *words.markup_rules("en", "maal"),
            *figures.sign_rules(),
            *words.own_sign_rules(),
            *words.sign_rules("slash"),
        ),
        special=frozenset(
            (*table.UNITS, *table.CURRENCIES, *table.MONTH_SHORT, *table.DAY_SHORT, *table.SPELLED_MIXED)
        ),
    )


class _Words(SharedWords):
    """The rules for abbreviations, initials, acronyms, Roman numerals, addresses and signs."""

    domains = "|be|lu|sr|amsterdam|vlaanderen|brussels|gent"

    def __init__(self, numbers: DutchNumbers) -> None:
        super().__init__(table, numbers.count, numbers.digits)
        self.numbers = numbers

    def letter_rules(self) -> Sequence[Rule]:
        months, days = any_of(table.MONTH_SHORT), any_of(table.DAY_SHORT)
        return (
            *abbreviations(table.ABBREVIATIONS, table.NOT_LAST),
            fixed(r"St\.[\s-]?(?=[A-Z])", "Sint"),
            fixed(r"v\.(?=\s+(?:d\.\s+)?[A-Z])", "van"),
            rule(rf"([A-Z]{LETTER}+?)str\.(?!\w)", lambda match: [match[1] + "straat", *closing(match)]),
            rule(rf"({any_of(table.NUMBERED)})\.\s?(?=\d)", lambda match: [table.NUMBERED[match[1]]]),
            rule(rf"({months})\.(?!\w)", self._month),
            rule(rf"(?<=\d\s)({months})(?!\w)", self._month),
            rule(rf"({days})\.?\s?(?:[-–]|t/m)\s?({days})(?![\w'])\.?", self._days),
            rule(rf"({days})\.(?=,|\s+\d)", lambda match: [table.DAY_SHORT[match[1]]]),
            fixed(r"t/m(?!\w)", "tot", "en", "met"),
            fixed(r"en/of(?!\w)", "en", "of"),
            fixed(r"PvdA(?!\w)", Letters.of("P"), "van", "de", Letters.of("A")),
            rule(rf"({any_of(table.SPELLED_MIXED)})('?s)?(?![\w'])", lambda m: [Letters.of(m[1].upper(), m[2] or "")]),
            *self.initials_rules(),
            rule(r"([IVXLC]+)e(?=\s+(?:eeuw|eeuwse)\b)", self._century),
            rule(r"[IVXLC]+(?![\w'])", self._roman),
            rule(r"[A-Z]{2}\d{2}\s?[A-Z]{4}(?:\s?\d{2,4}){2,5}(?!\d)", self._account),
            fixed(r"[vV](?=\d+\.\d)", "versie"),
            fixed(r"C#", Letters.of("C"), "sharp"),
            *self.capitals_rules(plus="plus", conjunction="en"),
            rule(rf"({LETTER}{{2,}})/(?={LETTER}{{2}})", lambda match: [match[1], "slash"]),
        )

    def own_sign_rules(self) -> Sequence[Rule]:
        return (
            rule(rf"'(?:[sS]|[tnkmr]|ns)(?:-{LETTER}+)?(?![\w'])", lambda match: [match[0]]),
            rule(r"'(\d{2})(?![\d'])", lambda match: self.numbers.cardinal(int(match[1]))),
            fixed(r"§§", "paragrafen"),
            fixed(r"(?<=[€$%])/(?=\s?[^\W\d_])", "per"),
            fixed(r"#(?=[^\W\d_])", "hashtag"),
            fixed(r"#\s?(?=\d)", "nummer"),
            fixed(r"\+\s?(?=\w)", "plus"),
            rule(r"\+(?=\s|$)", lambda match: ["plus"] if match.start() else None),
            fixed(r"=(?!=)", "is"),
            fixed(r"~(?=\d)", "circa"),
            fixed(r"<=?(?=\s?\d)", "kleiner", "dan"),
            rule(r">=?(?=\s?\d)", lambda match: ["groter", "dan"] if match.start() else []),
        )

    def _month(self, match: re.Match[str]) -> Said:
        return [table.MONTHS[table.MONTH_SHORT[match[1]] - 1], *closing(match)]

    def _days(self, match: re.Match[str]) -> Said:
        """Read ma-vr; "zo-zo" is no range."""
        if match[1] == match[2]:
            return None
        to = ["tot", "en", "met"] if "t/m" in match[0] else ["tot"]
        return [table.DAY_SHORT[match[1]], *to, table.DAY_SHORT[match[2]], *closing(match)]

    def _century(self, match: re.Match[str]) -> Said:
        number = roman(match[1])
        return self.numbers.ordinal(number) if number else None

    def _roman(self, match: re.Match[str]) -> Said:
        """Read a Roman numeral behind a word that it belongs to; elsewhere it is letters or a word."""
        number = roman(match[0])
        before = re.search(r"([^\W\d_]+)\s+$", match.string[max(0, match.start() - 30) : match.start()])
        if before is None or number is None:
            return None
        name = before[1].lower()
        if name in table.ROMAN_COUNTED:
            return self.numbers.cardinal(number)
        if name in table.ROMAN_RANKED and before[1][0].isupper():
            return ["de", "".join(self.numbers.ordinal(number)).capitalize()]
        return None

    def _account(self, match: re.Match[str]) -> Said:
        said: list[str] = []
        for group in re.findall(r"\d+|[A-Z]+", match[0]):
            said += [Letters.of(group)] if group.isalpha() else [*self.digits(group), ","]
        return said[:-1]
