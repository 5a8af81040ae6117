"""What the rules of several languages have in common: addresses, markup, initials, capitals, Roman numerals."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Protocol

from polyvox.text.normalize import LETTER, Letters, Rule, Said, Say

_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100}
_ROMAN_FORM = re.compile(r"(?:C{0,3})(?:XC|XL|L?X{0,3})(?:IX|IV|V?I{0,3})")
_VOWEL = re.compile(r"[AEIOUaeiouyÀ-ÿ]")
# Endings of bare names that are addresses or files, so that their dot is said.
_DOMAINS = (
    "com|org|net|edu|gov|mil|int|info|biz|io|ai|dev|app|co|uk|de|nl|fr|eu|ca|au|jp|ch|at|tv|me|ly|fm|xyz|blog|"
    "txt|pdf|py|js|json|md|html|htm|csv|exe|zip|png|jpg|jpeg|gif|svg|doc|docx|xls|xlsx|ppt|wav|onnx|yaml|toml|sh"
)
# An address ends before the mark that ends its sentence.
_ENDED = r"""[^\s<>".,;:!?)\]'}]"""
_ADDRESS = (
    rf"""(?<![\w.@])(?:(?:https?|ftp)://[^\s<>"]*{_ENDED}|[wW]{{3}}\.[^\s<>"]*{_ENDED}"""
    r"""|(?:[A-Za-z0-9_-]++\.){1,8}(?:%s)(?![\w@-])(?!\.\w)(?:/(?:[^\s<>"]*%s)?)?)"""
)
_EMAIL = r"(?<![\w.])[A-Za-z0-9._%+-]++@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
_DASHED = re.compile(r"\d(?:%|°|st|nd|rd|th|[ap]\.?m\.?)?\s?$")


def rule(pattern: str, say: Say) -> Rule:
    """Return the rule that says `say` of what `pattern` matches."""
    return Rule(re.compile(pattern), say)


def fixed(pattern: str, *said: str) -> Rule:
    """Return the rule that says the same for every match of `pattern`."""
    return Rule(re.compile(pattern), lambda match: said)


def any_of(words: Iterable[str]) -> str:
    """Return a pattern for the keys of a table, the longest first."""
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


def abbreviations(table: Mapping[str, str], not_last: Container[str]) -> Sequence[Rule]:
    """Return the rule for abbreviations with a dot ("usw.", "z. B."); one in small letters may begin with a capital.

    Those of `not_last` are words of their own at the end of a sentence.
    """
    said = {_compact(short): spoken for short, spoken in table.items()}
    forms = []
    for short in sorted(table, key=len, reverse=True):
        first = short[0] if short in not_last else f"[{short[0].upper()}{short[0]}]"
        forms.append(first + re.sub(r"\\\.(?=.)", r"\.\\s?", re.escape(short[1:])))

    def say(match: re.Match[str]) -> Said:
        short = _compact(match[0])
        words, end = said[short].split(), closing(match)
        if end and short in not_last:
            return None
        if match[0][0].isupper():
            words[0] = words[0][0].upper() + words[0][1:]
        return [*words, *end]

    return (rule(rf"(?:{'|'.join(forms)})(?!\w)", say),)


def _compact(short: str) -> str:
    return re.sub(r"\s", "", short).lower()


def closing(match: re.Match[str]) -> list[str]:
    """Return the full stop that a match ending in a dot swallowed, if the sentence ends there."""
    rest = match.string[match.end() : match.end() + 40].strip(" \t\r\n\"')]}*_`")
    return ["."] if match[0].endswith(".") and not rest else []


def roman(numeral: str) -> int | None:
    """Return the value of a Roman numeral in capitals, up to 399; None where it is not well formed."""
    if not _ROMAN_FORM.fullmatch(numeral):
        return None
    number = 0
    for letter, following in zip(numeral, numeral[1:] + " ", strict=True):
        value = _ROMAN[letter]
        number += -value if _ROMAN.get(following, 0) > value else value
    return number or None


def dash(match: re.Match[str], *, to: str, minus: str, signs: str, before_to: re.Pattern[str] = _DASHED) -> Said:
    """Read a dash: a range between figures, minus before one, nothing within a compound.

    `signs` are the currencies that stand in front of figures; `before_to` is what a range goes on from.
    """
    text, place = match.string, match.start()
    before, after = text[max(0, place - 12) : place], text[place + 1 : place + 12]
    if re.match(rf"\s?[{signs}]?\d", after) and before_to.search(before):
        spaces = before[-1:].isspace() + after[:1].isspace()
        # A range stands close or evenly apart; "5 -3" is a sum.
        if spaces != 1:
            return [to]
    if match[0] == "—":
        return None
    if re.match(rf"[{signs}]?[.,]?\d", after) and (not before or before[-1] in ' \t\n\r(=:,"'):
        return [minus]
    if before[-1:].isalnum() and after[:1].isalnum():
        return [] if match[0] == "-" else None
    return None


class WordTables(Protocol):
    """The tables that a language's module of words brings for these rules."""

    # Capitals that are named one by one though they could be read as a word.
    SPELLED: frozenset[str]
    # Signs of addresses, and signs that are said wherever they stand.
    URL_SIGNS: dict[str, str]
    SIGNS: dict[str, str]


class SharedWords:
    """Rules for words and signs; `count` says a number that stands alone, `digits` its figures one by one."""

    # Whether the two letters behind an address's last dot are named ("Punkt D E").
    names_countries = True
    # Capitals that are no letters to be named though they have no vowel.
    unspelled: frozenset[str] = frozenset(("HMM", "SHH", "PSST", "BRRR"))
    # More endings of bare names, for a language of other countries.
    domains = ""

    def __init__(
        self, table: WordTables, count: Callable[[str], list[str]], digits: Callable[[str], list[str]]
    ) -> None:
        self.table = table
        self.count = count
        self.digits = digits

    def address_rules(self) -> Sequence[Rule]:
        """Return the rules for e-mail addresses and URLs."""
        return (rule(_EMAIL, self._address), rule(_ADDRESS % (_DOMAINS + self.domains, _ENDED), self._address))

    def initials_rules(self) -> Sequence[Rule]:
        """Return the rules for letters with dots: "U.S.", "i.e", "J. Smith"."""
        return (
            rule(rf"(?:{LETTER}\.){{2,8}}(?!{LETTER}\.)", self.dotted),
            rule(rf"(?:{LETTER}\.){{1,7}}{LETTER}(?![\w.])", self.dotted),
            rule(r"([A-ZÄÖÜ])\.(?=\s+(?:[A-ZÄÖÜ]|v\.|van\s|von\s))", lambda match: [Letters.of(match[1])]),
        )

    def capitals_rules(self, *, plus: str, conjunction: str) -> Sequence[Rule]:
        """Return the rules for words in capitals: "BBC", "AT&T", "C++"."""
        return (
            rule(r"([A-Z]+)&([A-Z]+)\b", lambda match: [Letters.of(match[1]), conjunction, Letters.of(match[2])]),
            rule(r"([A-Za-z])\+\+", lambda match: [Letters.of(match[1]), plus, plus]),
            rule(r"([A-ZÄÖÜ]{2,})('?s)?(?![\w])", self.capitals),
            rule(r"([A-ZÄÖÜ]+)(?=\d)", self.capitals),
        )

    def markup_rules(self, conjunction: str, times: str) -> Sequence[Rule]:
        """Return the rules for what is not spoken: tags, link targets, emoticons; and HTML's entities."""
        return (
            fixed(r"</?[a-zA-Z][^<>]{0,200}>"),
            fixed(r"\]\([^)\s]*\)"),
            fixed(r"!?\[(?=[^\]\n]{0,200}\]\()"),
            fixed(r"&(?:nbsp|quot|apos|lt|gt|#\d{1,6});"),
            fixed(r"&amp;", conjunction),
            fixed(r"[:;]-?[)(DPp](?=\s|$)"),
            fixed(r"#{1,6}(?=\s)"),
            rule(r"[*_~`]+", lambda match: _emphasis(match, times)),
        )

    def sign_rules(self, slash: str) -> Sequence[Rule]:
        """Return the rules for a slash and for the signs of the table."""
        signs = re.escape("".join(self.table.SIGNS))
        return (
            rule(r"/", lambda match: _slash(match, slash)),
            rule(rf"[{signs}]", lambda match: self.table.SIGNS[match[0]].split()),
        )

    def dotted(self, match: re.Match[str]) -> Said:
        """Name letters that have dots behind them."""
        return [Letters.of(match[0].replace(".", "").upper()), *closing(match)]

    def capitals(self, match: re.Match[str]) -> Said:
        """Spell capitals without a vowel, and known ones; the rest are words ("NASA") or shouted."""
        letters, plural = match[1], (match[2] or "") if match.re.groups > 1 else ""
        if letters not in self.table.SPELLED and (len(letters) > 5 or _VOWEL.search(letters)):
            return None
        if letters in self.unspelled:
            return None
        return [Letters.of(letters, plural)]

    def _address(self, match: re.Match[str]) -> Said:
        """Read an e-mail address or a URL: names as words, signs by name, the scheme left out."""
        if len(match[0]) > 200:
            return None
        said: list[str] = []
        written = re.sub(r"^\w+://", "", match[0]).rstrip("/")
        country = re.search(r"(?<=\.)[a-z]{2}(?=/|$)", written) if self.names_countries else None
        for part in re.finditer(r"[^\W\d_]+|\d+|[^\w\s]|_", written):
            sign = part[0]
            if sign.isdecimal():
                said += self.count(sign) if len(sign) <= 4 else self.digits(sign)
            elif sign.isalpha():
                short = len(sign) == 1 or (sign.isascii() and len(sign) <= 5 and not _VOWEL.search(sign))
                named = short or (country is not None and part.start() == country.start())
                said.append(Letters.of(sign.upper()) if named else sign)
            elif sign in self.table.URL_SIGNS:
                said += self.table.URL_SIGNS[sign].split()
        return said


def _emphasis(match: re.Match[str], times: str) -> Said:
    """Read a star between figures as "times"; leave out what marks emphasis or code."""
    text = match.string
    around = text[: match.start()].rstrip()[-1:] + text[match.end() :].lstrip()[:1]
    if match[0] == "*" and len(around) == 2 and around.isdecimal():
        return [times]
    return None if match[0] == "~" else []


def _slash(match: re.Match[str], said: str) -> Said:
    before = match.string[match.start() - 1 : match.start()]
    after = match.string[match.end() : match.end() + 1]
    return [said] if before.isalnum() and after.isalnum() else []
