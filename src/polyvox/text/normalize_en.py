"""English: what is written in figures, abbreviations and signs, as it is spoken."""

from __future__ import annotations

import re
from collections.abc import Sequence

from polyvox.text import english_words as table
from polyvox.text.english_figures import Figures
from polyvox.text.english_numbers import EnglishNumbers
from polyvox.text.normalize import Letters, Rule, Rules, Said
from polyvox.text.shared_rules import SharedWords, closing, fixed, roman, rule


def english(language: str) -> Rules:
    """Return the rules of English as spoken in "en-us", "en-gb" or another variety."""
    american = language == "en-us"
    numbers = EnglishNumbers(with_and=not american)
    figures = Figures(numbers, month_first=american)
    words = _Words(numbers)
    addresses = words.address_rules()
    return Rules(
        number=numbers.number,
        digit=(*addresses, *figures.digit_rules()),
        letter=(*addresses, *words.letter_rules()),
        sign=(
            *words.markup_rules("and", "times"),
            *figures.sign_rules(),
            *words.own_sign_rules(),
            *words.sign_rules("slash"),
        ),
        special=frozenset((*table.TITLES, *table.MONTH_SHORT, "St")),
    )


class _Words(SharedWords):
    """The rules for abbreviations, initials, acronyms, Roman numerals, addresses and signs."""

    names_countries = False
    unspelled = SharedWords.unspelled | {"MR", "MRS", "DR", "ST"}

    def __init__(self, numbers: EnglishNumbers) -> None:
        super().__init__(table, numbers.count, numbers.digits)
        self.numbers = numbers

    def letter_rules(self) -> Sequence[Rule]:
        titles, short = "|".join(table.TITLES), "|".join(table.ABBREVIATIONS)
        numbered = "|".join(table.NUMBERED)
        months, days = "|".join(table.MONTH_SHORT), "|".join(table.DAY_SHORT)
        return (
            fixed(r"e\.\s?g\.", "for", "example"),
            fixed(r"i\.\s?e\.", "that", "is"),
            rule(r"Ph\.\s?D\.?", lambda match: [Letters.of("PHD"), *closing(match)]),
            rule(r"[ap]\.m\.", lambda match: [Letters.of(match[0].replace(".", "").upper()), *closing(match)]),
            *self.initials_rules(),
            rule(r"St\.?(?=\s|,|$)", self._saint_or_street),
            rule(r"Dr\.(?=\s+[a-z]|\s*[,;]|\s*$)", self._drive),
            rule(rf"({titles})(?:\.|(?=\s+[A-Z]))(?!\w)", lambda match: [table.TITLES[match[1]]]),
            rule(rf"({short})\.(?!\w)", self._abbreviation),
            rule(rf"({numbered})\.\s?(?=\d)", lambda match: [table.NUMBERED[match[1]]]),
            rule(rf"({months})\.?(?=\s+\d)", lambda match: [table.MONTHS[table.MONTH_SHORT[match[1]] - 1]]),
            rule(
                rf"({months})\.(?=\s+[a-zA-Z]|,)",
                lambda match: [table.MONTHS[table.MONTH_SHORT[match[1]] - 1]],
            ),
            rule(rf"({days})\.(?=\s+\w|,)", lambda match: [table.DAY_SHORT[match[1]]]),
            fixed(r"and/or\b", "and", "or"),
            fixed(r"w/o\b", "without"),
            fixed(r"w/(?=\s)", "with"),
            rule(r"([A-Z])#", lambda match: [Letters.of(match[1]), "sharp"]),
            fixed(r"[vV](?=\d+\.\d)", "version"),
            rule(r"[IVXLC]+(?![\w'])", self._roman),
            *self.capitals_rules(plus="plus", conjunction="and"),
            rule(r"([A-Za-z]+)/(?=[A-Za-z])", lambda match: [match[1], "slash"]),
        )

    def own_sign_rules(self) -> Sequence[Rule]:
        return (
            rule(r"'(tis|twas|em|til|cause|bout|n)\b'?", lambda match: ["'" + match[1]]),
            fixed(r"#(?=[^\W\d_])", "hashtag"),
            fixed(r"\+\s?(?=[\d\w])", "plus"),
            rule(r"\+(?=\s|$)", lambda match: ["plus"] if match.start() else None),
            fixed(r"=(?!=)", "equals"),
            fixed(r"~(?=\d)", "about"),
            fixed(r"<=?(?=\s?\d)", "is", "less", "than"),
            rule(r">=?(?=\s?\d)", lambda match: ["is", "greater", "than"] if match.start() else []),
        )

    def _saint_or_street(self, match: re.Match[str]) -> Said:
        """A capitalised word behind it makes a saint, one before it a street, both a street, but for the first word."""
        text, place = match.string, match.start()
        before = re.search(r"(\S+)\s+$", text[max(0, place - 40) : place])
        name_before = before is not None and bool(re.match(r"[A-Z]|\d+(?:st|nd|rd|th)$", before[1]))
        first = before is not None and place - len(before[0]) <= 0 and not before[1][0].isdecimal()
        name_after = bool(re.match(r"\s+[A-Z]", text[match.end() : match.end() + 10]))
        if name_after and (not name_before or first):
            return ["Saint"]
        return ["Street", *closing(match)] if name_before or match[0] == "St." else None

    def _drive(self, match: re.Match[str]) -> Said:
        named = re.search(r"[A-Z]\w*\s+$", match.string[max(0, match.start() - 40) : match.start()])
        return ["Drive", *closing(match)] if named else ["Doctor", *closing(match)]

    def _abbreviation(self, match: re.Match[str]) -> Said:
        if match[1] in ("al", "min", "max", "Co", "Sq") and not match.string[match.end() :].strip():
            # At the end of a sentence these are more often words of their own, or stand with their dot.
            return [table.ABBREVIATIONS[match[1]] if match[1] == "Co" else match[1], "."]
        return [*table.ABBREVIATIONS[match[1]].split(), *closing(match)]

    def _roman(self, match: re.Match[str]) -> Said:
        """Read a Roman numeral behind a word that it belongs to; elsewhere it is letters or a word."""
        numeral = match[0]
        before = re.search(r"([^\W\d_]+)\s+$", match.string[max(0, match.start() - 30) : match.start()])
        number = roman(numeral)
        if before is None or number is None or not before[1][0].isupper():
            return None
        word = before[1].lower()
        after = match.string[match.end() : match.end() + 5]
        if numeral == "I" and not re.match(r"\s*(?:[.,;:!?)—–]|$|of\b|was\b)", after):
            return None  # "Henry, I think": more likely the pronoun
        if word in table.ROMAN_COUNTED:
            return self.numbers.cardinal(number)
        return ["the", *self.numbers.ordinal(number)] if word in table.ROMAN_RANKED else None
