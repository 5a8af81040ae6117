"""German figures: what agrees with its noun, ordinals, dates, fractions, and the number words themselves."""

from __future__ import annotations

import re
from collections.abc import Sequence

from polyvox.text import german_grammar as grammar
from polyvox.text import german_words as table
from polyvox.text.continental_figures import NUMBER, Figures, Numbers
from polyvox.text.normalize import LETTER, Rule, Said
from polyvox.text.numbers import words_of
from polyvox.text.shared_rules import any_of, closing, rule

_PARTS = {2: "Halb", 3: "Drittel", 4: "Viertel", 7: "Siebtel", 8: "Achtel", 20: "Zwanzigstel"}
_MONTH_SHORT = rf"(?:{any_of(table.MONTH_SHORT)})\.?(?!\w)"
# Behind these a number is a name, not a quantity: "Kapitel 1", "Formel 1".
_LABELS = table.words(
    """
    kapitel band teil platz nummer seite kanal gleis tor zimmer raum stufe phase gruppe liga klasse formel tag woche
    version typ linie artikel paragraf absatz punkt halle block haus abbildung tabelle schritt stand level station
    runde folge staffel akt szene bild figur anlage variante option team bereich frage aufgabe übung regel lektion
    """
)
# In small letters behind a number, though no adjectives.
_NO_ADJECTIVES = table.words("oder aber über unter eine einen einer weder wider außer wieder immer bitte heute ohne")
_COMPOUND = (
    rf"(?i:(?:jähr|täg|wöch|monat|stünd|minüt|sekünd|stell|köpf|prozent|teil|stöck|seit|sprach|bänd|zeil|tür|spur|"
    rf"gäng|strahl|sitz|eck|geschoss|achs|bein|kern|klass|zylindr)ig{LETTER}*|(?:tägl|jährl)ich{LETTER}*|mal(?:ig{LETTER}*|s)?|"
    rf"fach{LETTER}*|dimensional{LETTER}*)(?!\w)"
)


class GermanNumbers(Numbers):
    """German number words."""

    language = "de"
    comma = "Komma"
    point = "Punkt"

    def cardinal(self, number: int) -> list[str]:
        """Return "fünfundzwanzig" for 25, "zwei", "Millionen", "eins" for 2000001."""
        return [word.replace("einstausend", "eintausend") for word in words_of(number, "de")]

    def compound(self, number: int) -> str:
        """Return the number as the first part of a word: "ein", "zwanzig"."""
        words = "".join(self.cardinal(number)).lower()
        return words.removesuffix("s") if words.endswith("eins") else words

    def ordinal(self, number: int, ending: str) -> str:
        """Return "dritte", "dritten", "dritter" for 3."""
        words = "".join(words_of(number, "de", "ordinal")).lower().replace("einstausend", "eintausend")
        return words.removesuffix("e") + ending

    def year(self, year: int) -> list[str]:
        """Return a year as it is said: "neunzehnhundertachtundneunzig", "zweitausendzehn"."""
        century, rest = divmod(year, 100)
        if not 11 <= century <= 19:
            return self.cardinal(year)
        return [self.cardinal(century)[0] + "hundert" + (self.cardinal(rest)[0] if rest else "")]


class GermanFigures(Figures):
    """The rules of German for what begins with a digit or a sign."""

    to, minus, plus, ratio, by, slash = "bis", "minus", "plus", "zu", "mal", "Schrägstrich"
    hour = "Uhr"
    oclock = r"(?:Uhr|h)(?!\w)"
    seconds = ("und", "Sekunde", "Sekunden")

    def __init__(self, numbers: GermanNumbers) -> None:
        super().__init__(numbers, table)
        self.german = numbers

    def digit_rules(self) -> Sequence[Rule]:
        """Return the rules for tokens that begin with a digit; the first one that applies is taken."""
        return (
            *self.date_rules(),
            rule(r"(\d{1,2})\.\s?(\d{1,2})\.(?!\d)(?!\s?\d{4})", self._day_and_month),
            rule(r"(\d{1,2})\.\s?(\d{1,2})\.(?=\s\d{4})", self._day_and_month),
            rule(r"(\d{1,2})\.(\d{1,2})(?![\d.,]|\s?(?:Uhr|%|€|[Mm]))", self._day_and_month_undotted),
            *self.clock_rules(),
            rule(r"(\d{1,4})\.(?!\d)", self._ordinal),
            *self.phone_rules(),
            *self.version_rules(),
            rule(r"(\d{2,4})er(n|s)?(?![^\W\d_])", self._decade),
            *self.fraction_rules(),
            rule(rf"(\d{{1,6}})[-\s]?({_COMPOUND})", self._compound),
            rule(rf"({NUMBER})\s?%-?(ig{LETTER}*)(?!\w)", self._percentage),
            *self.money_rules(),
            *self.unit_rules(),
            rule(r"1(?![\d.,]|[ ']\d{3}(?!\d))", self._one),
            rule(r"(?<=\d, )\d{5}(?=\s[A-ZÄÖÜ][a-zäöüß])", lambda match: self.numbers.digits(match[0])),
            rule(NUMBER, lambda match: self.numbers.count(match[0])),
        )

    def counted(self, match: re.Match[str], written: str, gender: str) -> list[str]:
        """Return a number in front of a noun: "ein", "eine", "einem" for 1."""
        if written == "1":
            return [grammar.article(match.string, match.start(), gender)]
        return self.numbers.number(written)

    def hours(self, hour: int) -> list[str]:
        """Return the number of an hour: "ein" for 1."""
        return ["ein"] if hour == 1 else self.numbers.cardinal(hour)

    def date(self, match: re.Match[str], day: int, month: int, year: str) -> list[str]:
        """Return "dritten Oktober zweitausendvierundzwanzig", the day with the ending that it needs."""
        name = table.MONTHS[month - 1]
        ending = grammar.ending(match.string, match.start(), name)
        return [self.german.ordinal(day, ending), name, *self.short_year(year)]

    def fraction(self, match: re.Match[str], above: int, below: int) -> list[str] | None:
        """Return "drei", "Viertel" for 3/4; halves as adjectives of what follows: "eine halbe"."""
        if not (2 <= below <= 20 or below in (50, 100, 1000)) or above >= 1000:
            return None
        if (above, below) == (1, 2):
            noun = grammar.noun_after(match.string, match.end())
            unit = re.match(rf"\s?({any_of(table.UNITS)})(?!\w)", match.string[match.end() : match.end() + 12])
            if unit or noun:
                gender = table.UNITS[unit[1]][2] if unit else grammar.gender(noun)
                it = grammar.article(match.string, match.start(), gender or "m")
                ending = {"ein": "es" if gender == "n" else "er", "eine": "e"}.get(it, "en")
                return [it, "halb" + ending]
            return ["ein", "halb"]
        if below == 2:
            return [*self.numbers.cardinal(above), "halbe"]
        part = _PARTS.get(below) or self.german.ordinal(below, "el").capitalize()
        return [*(["ein"] if above == 1 else self.numbers.cardinal(above)), part]

    def mixed(self, match: re.Match[str], whole: str, above: int, below: int) -> Said:
        """Return "zweieinhalb" for 2 1/2, "drei drei Viertel" for 3 3/4."""
        if (above, below) == (1, 2):
            return [self.german.compound(int(whole)) + "einhalb"]
        part = self.fraction(match, above, below) if above < below else None
        return [*self.numbers.number(whole), *part] if part else None

    def times(self, match: re.Match[str]) -> Said:
        """Return "dreimal" for 3x."""
        return [self.german.compound(int(match[1])) + "mal"]

    def _day_and_month(self, match: re.Match[str]) -> Said:
        day, month = int(match[1]), int(match[2])
        if not (1 <= month <= 12 and 1 <= day <= 31):
            return None
        return [*self.date(match, day, month, ""), *closing(match)]

    def _day_and_month_undotted(self, match: re.Match[str]) -> Said:
        """Read "am 3.10": a date only where something says so."""
        if grammar.before(match.string, match.start())[1] not in (
            "am",
            "vom",
            "zum",
            "bis",
            "ab",
            "seit",
            "den",
            "dem",
        ):
            return None
        return self._day_and_month(match)

    def _ordinal(self, match: re.Match[str]) -> Said:
        text, start, dot = match.string, match.start(), match.end() - 1
        if not grammar.ranks(text, start, dot):
            return None
        noun = grammar.noun_after(grammar.without_chain(text, match.end()), 0)
        return [self.german.ordinal(int(match[1]), grammar.ending(text, start, noun)), *closing(match)]

    def _decade(self, match: re.Match[str]) -> Said:
        number = int(match[1])
        if len(match[1]) == 4 and not 1000 <= number <= 2999:
            return None
        words = self.numbers.year(number) if len(match[1]) == 4 else self.numbers.cardinal(number)
        return ["".join(words) + "er" + (match[2] or "")]

    def _compound(self, match: re.Match[str]) -> Said:
        number, rest = self.german.compound(int(match[1])), match[2]
        if re.search(r"\s", match[0]) and not rest.startswith("mal"):
            return None
        return [number.capitalize() + rest.lower() if rest[0].isupper() else number + rest]

    def _percentage(self, match: re.Match[str]) -> Said:
        words = self.numbers.number(match[1])
        last = words[-1] + "prozent" + match[2]
        return [*words[:-1], last]

    def _one(self, match: re.Match[str]) -> Said:
        """Read 1 in front of a noun as its article, else as "eins"."""
        text, end = match.string, match.end()
        word = grammar.before(text, match.start())[1]
        after = text[end : end + 60]
        if word in _LABELS or word in ("nr", "abs", "art", "s"):
            return ["eins"]
        if re.match(r"\s?(?:[-–]|bis|oder)\s?\d+(?:,\d+)?\s?(?:%|€|°|[A-Za-zÄÖÜ])", after):
            return ["ein"]  # "ein bis zwei Stunden"
        noun = re.match(r"\s([A-ZÄÖÜ][\w-]*[a-zäöüß]\b)", after)
        if noun:
            return [grammar.article(text, match.start(), grammar.gender(noun[1]))]
        if re.match(r"-[A-ZÄÖÜ]", after):
            return ["ein"]
        adjective = re.match(r"\s([a-zäöüß]{2,}(e|er|es|en|em))\s([A-ZÄÖÜ]\w+)", after)
        if adjective is None or adjective[1] in _NO_ADJECTIVES:
            return ["eins"]
        if adjective[2] == "en" and grammar.gender(adjective[3]) == "m":
            it = grammar.article(text, match.start(), "m")
            return ["einen" if it == "ein" else it]
        return [grammar.article(text, match.start(), {"e": "f", "er": "m", "es": "n"}.get(adjective[2], "n"))]
