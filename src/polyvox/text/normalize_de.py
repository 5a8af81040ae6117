"""German: what is written in figures, abbreviations and signs, as it is spoken."""

from __future__ import annotations

import re
from collections.abc import Sequence

from polyvox.text import german_grammar as grammar
from polyvox.text import german_words as table
from polyvox.text.german_figures import GermanFigures, GermanNumbers
from polyvox.text.normalize import LETTER, Letters, Rule, Rules, Said
from polyvox.text.shared_rules import SharedWords, abbreviations, any_of, closing, fixed, roman, rule


def german() -> Rules:
    """Return the rules of German."""
    numbers = GermanNumbers()
    figures = GermanFigures(numbers)
    words = _Words(numbers)
    addresses = words.address_rules()
    return Rules(
        number=numbers.number,
        digit=(*addresses, *figures.digit_rules()),
        letter=(*addresses, figures.price_rule(), figures.unit_behind_fraction(), *words.letter_rules()),
        sign=(
            *words.markup_rules("und", "mal"),
            *figures.sign_rules(),
            *words.own_sign_rules(),
            *words.sign_rules("Schrägstrich"),
        ),
        special=frozenset(
            (*table.UNITS, *table.CURRENCIES, *table.MONTH_SHORT, *table.DAY_SHORT, *table.SPELLED_MIXED)
        ),
    )


class _Words(SharedWords):
    """The rules for abbreviations, initials, acronyms, Roman numerals, addresses and signs."""

    domains = "|ag|li|berlin|hamburg|koeln|wien|bayern|nrw"

    def __init__(self, numbers: GermanNumbers) -> None:
        super().__init__(table, numbers.count, numbers.digits)
        self.numbers = numbers

    def letter_rules(self) -> Sequence[Rule]:
        months, days = any_of(table.MONTH_SHORT), any_of(table.DAY_SHORT)
        return (
            *abbreviations(table.ABBREVIATIONS, table.NOT_LAST),
            rule(r"St\.(?=[\s-])", self._saint),
            rule(r"Fr\.(?=\s+(?:Dr\.|Prof\.|[A-ZÄÖÜ][a-zäöüß]))", lambda match: ["Frau"]),
            rule(r"s\.(?=\s+(?:[A-ZÄÖÜ]|auch\b))", lambda match: ["siehe"]),
            rule(r"(?<=[a-zäöüß] )v\.(?=\s+(?:d\.\s+)?[A-ZÄÖÜ])", lambda match: ["von"]),
            rule(
                rf"([A-ZÄÖÜ](?:{LETTER}|-)*?)(-?)([sS])tr\.(?!\w)", lambda m: [f"{m[1]}{m[2]}{m[3]}traße", *closing(m)]
            ),
            rule(rf"({any_of(table.ADJECTIVES)})\.(?=\s+[^\W\d_])", self._adjective),
            rule(rf"({any_of(table.NUMBERED)})\.\s?(?=\d)", lambda match: [table.NUMBERED[match[1]]]),
            rule(r"ff?\.(?!\w)", self._following),
            rule(rf"({months})(?:\.|(?=\s+\d))(?!\w)", self._month),
            rule(rf"({days})\.?\s?[-–]\s?({days})(?!\w)\.?", self._days),
            rule(rf"({days})\.(?=,|\s+(?:\d|den\b|dem\b|ab\b|bis\b|um\b|von\b|und\b))", self._day),
            rule(rf"({any_of(table.SPELLED_MIXED)})('?s)?(?!\w)", lambda m: [Letters.of(m[1].upper(), m[2] or "")]),
            rule(r"([IVXLC]+)\.", self._ranking_numeral),
            *self.initials_rules(),
            rule(r"[IVXLC]+(?![\w'])", self._roman),
            rule(r"[A-Z]{2}\d{2}(?:\s?\d{4}){3,5}(?:\s?\d{1,4})?(?!\d)", self._account),
            fixed(r"und/oder\b", "und", "oder"),
            fixed(r"C#", Letters.of("C"), "Sharp"),
            fixed(r"[vV](?=\d+\.\d)", "Version"),
            *self.capitals_rules(plus="plus", conjunction="und"),
            rule(rf"({LETTER}{{2,}})/(?={LETTER}{{2}})", lambda match: [match[1], "Schrägstrich"]),
        )

    def own_sign_rules(self) -> Sequence[Rule]:
        return (
            fixed(r"§§", "Paragrafen"),
            fixed(r"§", "Paragraf"),
            rule(r"'(\d{2})(?![\d'])(?!er)", lambda match: self.numbers.cardinal(int(match[1]))),
            fixed(r"(?<=[€$%])/(?=\s?[^\W\d_])", "pro"),
            fixed(r"#(?=[^\W\d_])", "Hashtag"),
            fixed(r"#\s?(?=\d)", "Nummer"),
            fixed(r"\+\s?(?=\w)", "plus"),
            rule(r"\+(?=\s|$)", lambda match: ["plus"] if match.start() else None),
            fixed(r"=(?!=)", "gleich"),
            fixed(r"~(?=\d)", "zirka"),
            fixed(r"<=?(?=\s?\d)", "kleiner", "als"),
            rule(r">=?(?=\s?\d)", lambda match: ["größer", "als"] if match.start() else []),
        )

    def _saint(self, match: re.Match[str]) -> Said:
        return ["Sankt"] if re.match(r"[\s-]+[A-ZÄÖÜ]", match.string[match.end() : match.end() + 5]) else None

    def _adjective(self, match: re.Match[str]) -> Said:
        noun = grammar.noun_after(match.string, match.end())
        return [table.ADJECTIVES[match[1]] + grammar.ending(match.string, match.start(), noun)]

    def _following(self, match: re.Match[str]) -> Said:
        """Read the f. and ff. of "S. 12 f."."""
        if not re.search(r"\d\s?$", match.string[max(0, match.start() - 2) : match.start()]):
            return None
        return ["folgende" if match[0] == "f." else "fortfolgende", *closing(match)]

    def _month(self, match: re.Match[str]) -> Said:
        return [table.MONTHS[table.MONTH_SHORT[match[1]] - 1], *closing(match)]

    def _day(self, match: re.Match[str]) -> Said:
        return [table.DAY_SHORT[match[1]], *closing(match)]

    def _days(self, match: re.Match[str]) -> Said:
        return [table.DAY_SHORT[match[1]], "bis", table.DAY_SHORT[match[2]], *closing(match)]

    def _ranking_numeral(self, match: re.Match[str]) -> Said:
        """Read a Roman numeral with a dot: behind a ruler's name, or in front of what it ranks."""
        text, start, number = match.string, match.start(), roman(match[1])
        name = grammar.before(text, start)[1]
        for names, she in ((table.ROMAN_RANKED, False), (table.ROMAN_RANKED_SHE, True)):
            if number and (name in names or name.removesuffix("s") in names):
                it = grammar.ruler(text, start, she=she)
                ending = "e" if it == "die" or (it == "der" and not she) else "en"
                return [it, self.numbers.ordinal(number, ending).capitalize(), *closing(match)]
        if number and grammar.ranks_as_numeral(text, match.end()):
            noun = grammar.noun_after(text, match.end())
            return [self.numbers.ordinal(number, grammar.ending(text, start, noun))]
        return None

    def _roman(self, match: re.Match[str]) -> Said:
        """Read a Roman numeral without a dot behind a word that it belongs to; elsewhere it is letters or a word."""
        number, name = roman(match[0]), grammar.before(match.string, match.start())[1]
        if number and name in table.ROMAN_COUNTED:
            return self.numbers.cardinal(number)
        if number and len(match[0]) > 1 and name in table.ROMAN_RANKED | table.ROMAN_RANKED_SHE:
            she = name in table.ROMAN_RANKED_SHE
            return ["die" if she else "der", self.numbers.ordinal(number, "e").capitalize()]
        return None

    def _account(self, match: re.Match[str]) -> Said:
        said: list[str] = [Letters.of(match[0][:2])]
        for group in re.findall(r"\d+", match[0]):
            said += [*self.digits(group), ","]
        return said[:-1]
