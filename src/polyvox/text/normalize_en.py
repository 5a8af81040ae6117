"""English: what is written in figures, abbreviations and signs, as it is spoken."""

from __future__ import annotations

import re
from collections.abc import Sequence

from polyvox.text import english_words as table
from polyvox.text.english_figures import Figures, closing
from polyvox.text.english_numbers import EnglishNumbers
from polyvox.text.normalize import Letters, Rule, Rules, Said, Say

_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_ROMAN_FORM = re.compile(r"(?:C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_VOWEL = re.compile(r"[AEIOUaeiouyÀ-ÿ]")
# An address ends before the mark that ends its sentence.
_ENDED = r"""[^\s<>".,;:!?)\]'}]"""
_ADDRESS = (
    rf"""(?<![\w.@])(?:(?:https?|ftp)://[^\s<>"]*{_ENDED}|[wW]{{3}}\.[^\s<>"]*{_ENDED}"""
    rf"""|(?:[A-Za-z0-9_-]++\.){{1,8}}(?:{table.DOMAINS})(?![\w@-])(?!\.\w)(?:/(?:[^\s<>"]*{_ENDED})?)?)"""
)
_EMAIL = r"(?<![\w.])[A-Za-z0-9._%+-]++@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"


def english(language: str) -> Rules:
    """Return the rules of English as spoken in "en-us", "en-gb" or another variety."""
    american = language == "en-us"
    numbers = EnglishNumbers(with_and=not american)
    figures = Figures(numbers, month_first=american)
    words = _Words(numbers)
    addresses = (_rule(_EMAIL, words.address), _rule(_ADDRESS, words.address))
    return Rules(
        number=numbers.number,
        digit=(*addresses, *figures.digit_rules()),
        letter=(*addresses, *words.letter_rules()),
        sign=(*words.markup_rules(), *figures.sign_rules(), *words.sign_rules()),
    )


class _Words:
    """The rules for abbreviations, initials, acronyms, Roman numerals, addresses and signs."""

    def __init__(self, numbers: EnglishNumbers) -> None:
        self.numbers = numbers

    def letter_rules(self) -> Sequence[Rule]:
        titles, short = "|".join(table.TITLES), "|".join(table.ABBREVIATIONS)
        numbered = "|".join(table.NUMBERED)
        months, days = "|".join(table.MONTH_SHORT), "|".join(table.DAY_SHORT)
        return (
            _rule(r"e\.\s?g\.", lambda match: ["for", "example"]),
            _rule(r"i\.\s?e\.", lambda match: ["that", "is"]),
            _rule(r"Ph\.\s?D\.?", lambda match: [Letters.of("PHD"), *closing(match)]),
            _rule(r"[ap]\.m\.", lambda match: [Letters.of(match[0].replace(".", "").upper()), *closing(match)]),
            _rule(r"(?:[A-Za-z]\.){2,8}(?![A-Za-z]\.)", self._dotted),
            _rule(r"(?:[A-Za-z]\.){1,7}[A-Za-z](?![\w.])", self._dotted),
            _rule(r"([A-Z])\.(?=\s+[A-Z])", lambda match: [Letters.of(match[1])]),
            _rule(r"St\.?(?=\s|,|$)", self._saint_or_street),
            _rule(r"Dr\.(?=\s+[a-z]|\s*[,;]|\s*$)", self._drive),
            _rule(rf"({titles})(?:\.|(?=\s+[A-Z]))(?!\w)", lambda match: [table.TITLES[match[1]]]),
            _rule(rf"({short})\.(?!\w)", self._abbreviation),
            _rule(rf"({numbered})\.\s?(?=\d)", lambda match: [table.NUMBERED[match[1]]]),
            _rule(rf"({months})\.?(?=\s+\d)", lambda match: [table.MONTHS[table.MONTH_SHORT[match[1]] - 1]]),
            _rule(
                rf"({months})\.(?=\s+[a-zA-Z]|,)",
                lambda match: [table.MONTHS[table.MONTH_SHORT[match[1]] - 1]],
            ),
            _rule(rf"({days})\.(?=\s+\w|,)", lambda match: [table.DAY_SHORT[match[1]]]),
            _rule(r"and/or\b", lambda match: ["and", "or"]),
            _rule(r"w/o\b", lambda match: ["without"]),
            _rule(r"w/(?=\s)", lambda match: ["with"]),
            _rule(r"([A-Z])&([A-Z]+)\b", lambda match: [Letters.of(match[1]), "and", Letters.of(match[2])]),
            _rule(r"([A-Z]{2,})&([A-Z]+)\b", lambda match: [Letters.of(match[1]), "and", Letters.of(match[2])]),
            _rule(r"([A-Za-z])\+\+", lambda match: [Letters.of(match[1]), "plus", "plus"]),
            _rule(r"([A-Z])#", lambda match: [Letters.of(match[1]), "sharp"]),
            _rule(r"[vV](?=\d+\.\d)", lambda match: ["version"]),
            _rule(r"[IVXLC]+(?![\w'])", self._roman),
            _rule(r"([A-Z]{2,})('?s)?(?![\w])", self._capitals),
            _rule(r"([A-Z]+)(?=\d)", self._capitals),
            _rule(r"([A-Za-z]+)/(?=[A-Za-z])", lambda match: [match[1], "slash"]),
        )

    def markup_rules(self) -> Sequence[Rule]:
        """Return the rules for what is not spoken: tags, link targets, emoticons; and HTML's entities."""
        return (
            _rule(r"</?[a-zA-Z][^<>]{0,200}>", lambda match: []),
            _rule(r"\]\([^)\s]*\)", lambda match: []),
            _rule(r"!?\[(?=[^\]\n]{0,200}\]\()", lambda match: []),
            _rule(r"&(?:nbsp|quot|apos|lt|gt|#\d{1,6});", lambda match: []),
            _rule(r"&amp;", lambda match: ["and"]),
            _rule(r"[:;]-?[)(DPp](?=\s|$)", lambda match: []),
            _rule(r"#{1,6}(?=\s)", lambda match: []),
            _rule(r"[*_~`]+", self._emphasis),
        )

    def sign_rules(self) -> Sequence[Rule]:
        signs = re.escape("".join(table.SIGNS))
        return (
            _rule(r"'(tis|twas|em|til|cause|bout|n)\b'?", lambda match: ["'" + match[1]]),
            _rule(r"#(?=[^\W\d_])", lambda match: ["hashtag"]),
            _rule(r"\+\s?(?=[\d\w])", lambda match: ["plus"]),
            _rule(r"\+(?=\s|$)", lambda match: ["plus"] if match.start() else None),
            _rule(r"=(?!=)", lambda match: ["equals"]),
            _rule(r"~(?=\d)", lambda match: ["about"]),
            _rule(r"<=?(?=\s?\d)", lambda match: ["is", "less", "than"]),
            _rule(r">=?(?=\s?\d)", lambda match: ["is", "greater", "than"] if match.start() else []),
            _rule(r"/", self._slash),
            _rule(rf"[{signs}]", lambda match: table.SIGNS[match[0]].split()),
        )

    def address(self, match: re.Match[str]) -> Said:
        """Read an e-mail address or a URL: names as words, signs by name, the scheme left out."""
        if len(match[0]) > 200:
            return None
        said: list[str] = []
        for part in re.findall(r"[^\W\d_]+|\d+|[^\w\s]|_", re.sub(r"^\w+://", "", match[0]).rstrip("/")):
            if part.isdecimal():
                said += self.numbers.count(part) if len(part) <= 4 else self.numbers.digits(part)
            elif part.isalpha():
                spelled = len(part) == 1 or (part.isascii() and len(part) <= 5 and not _VOWEL.search(part))
                said.append(Letters.of(part.upper()) if spelled else part)
            elif part in table.URL_SIGNS:
                said += table.URL_SIGNS[part].split()
        return said

    def _dotted(self, match: re.Match[str]) -> Said:
        return [Letters.of(match[0].replace(".", "").upper()), *closing(match)]

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
        if before is None or not _ROMAN_FORM.fullmatch(numeral) or not before[1][0].isupper():
            return None
        word = before[1].lower()
        after = match.string[match.end() : match.end() + 5]
        if numeral == "I" and not re.match(r"\s*(?:[.,;:!?)—–]|$|of\b|was\b)", after):
            return None  # "Henry, I think": more likely the pronoun
        number = 0
        for letter, following in zip(numeral, numeral[1:] + " ", strict=True):
            value = _ROMAN[letter]
            number += -value if _ROMAN.get(following, 0) > value else value
        if word in table.ROMAN_COUNTED:
            return self.numbers.cardinal(number)
        return ["the", *self.numbers.ordinal(number)] if word in table.ROMAN_RANKED else None

    def _capitals(self, match: re.Match[str]) -> Said:
        """Spell capitals without a vowel, and known ones; the rest are words ("NASA") or shouted."""
        letters, plural = match[1], (match[2] or "") if match.re.groups > 1 else ""
        if letters not in table.SPELLED and (len(letters) > 5 or _VOWEL.search(letters)):
            return None
        if letters in ("MR", "MRS", "DR", "ST", "HMM", "SHH", "PSST", "BRRR"):
            return None
        return [Letters.of(letters, plural)]

    def _emphasis(self, match: re.Match[str]) -> Said:
        """Read a star between figures as "times"; leave out what marks emphasis or code."""
        text = match.string
        around = text[: match.start()].rstrip()[-1:] + text[match.end() :].lstrip()[:1]
        if match[0] == "*" and len(around) == 2 and around.isdecimal():
            return ["times"]
        return None if match[0] == "~" else []

    def _slash(self, match: re.Match[str]) -> Said:
        before = match.string[match.start() - 1 : match.start()]
        after = match.string[match.end() : match.end() + 1]
        return ["slash"] if before.isalnum() and after.isalnum() else []


def _rule(pattern: str, say: Say) -> Rule:
    return Rule(re.compile(pattern), say)
