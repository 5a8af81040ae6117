"""What the place of a German number asks for: whether it ranks ("am 3. Oktober"), and its ending."""

from __future__ import annotations

import re
from functools import lru_cache

from polyvox.text import german_words as table
from polyvox.text.german_words import words

# A noun that is not listed has the gender of its last part that is.
_GENDERS = {
    "m": words(
        """
        januar februar märz april mai juni juli august september oktober november dezember tag montag dienstag mittwoch
        donnerstag freitag samstag sonntag monat platz rang stock akt band teil gang satz sieg versuch geburtstag
        weltkrieg krieg kreuzzug advent spieltag weihnachtstag mann sohn präsident kanzler könig kaiser papst fc sv sc
        euro cent dollar franken meter kilometer zentimeter liter löffel becher apfel punkt schritt stern name junge
        gast herr hund tisch stuhl ball film artikel absatz abschnitt grad ort weg zug bus urlaub abend morgen
        kunde kollege pate besuch eintrag jahrgang fall treffer durchgang lauf titel stich strich erfolg student
        """
    ),
    "f": words(
        """
        frau tochter klasse etage liga bundesliga runde auflage person woche stunde minute sekunde million milliarde
        mannschaft staffel folge hälfte stufe stelle nacht zahl hand stadt mark tür kraft sicht bank wand prise dosis
        nummer mutter schwester katze maus uhr tonne silbe feder reise zeit art macht wahl fahrt arbeit schuld angst
        """
    ),
    "n": words(
        """
        jahrhundert jahrtausend jahrzehnt jahr halbjahr schuljahr lebensjahr quartal semester kapitel kind mal haus
        drittel viertel achtel prozent kilogramm kilo gramm pfund stück zimmer glas bier wort buch gebot tor spiel bild
        team mitglied geschäftsjahr jh jhd land problem beispiel auto schiff tier pferd ei brötchen brot büro gebäude
        ergebnis ende auge finale viertelfinale halbfinale ziel heft gleis
        """
    ),
}
_GENDER_OF = {noun: gender for gender, nouns in _GENDERS.items() for noun in nouns}
_GENDER_BY_END = re.compile(
    r"(?P<f>(?:ung|heit|keit|schaft|tion|sion|tät|erin|anz|enz|ik|ei|ur|e))$|(?P<n>(?:chen|lein|ment|um|tum|nis))$"
)
# What is ranked also without an article in front ("3. Platz"); their last part counts, too.
_RANKED = words(
    """
    platz rang stock geburtstag jahrestag jahrhundert jahrtausend jahrzehnt weltkrieg mal etage liga bundesliga
    spieltag runde auflage semester klasse quartal halbjahr lebensjahr schuljahr mannschaft staffel gang weihnachtstag
    advent hälfte stufe generation tür reihe lesung satz strophe fassung tag woche monat jahr
    fc sv sc jh jhd jahrh finale akt person kapitel versuch obergeschoss
    """
)
# In front of a noun; what they make of the ending of what follows.
_WITH_EN = words(
    """
    den dem des am im vom zum zur beim einem einer eines einen jeden jedem diesem diesen jenem jenen meinem meinen
    meiner meines deinem deinen deiner seinem seinen seiner seines ihrem ihren ihrer ihres unserem unseren unserer
    eurem keinem keinen keiner welchem welchen
    """
)
_LIKE_DER = words("der dieser jeder jener welcher")
_WITH_E = words(
    "die das diese dieses jede jedes jene jenes eine keine meine deine seine ihre unsere eure ins ans aufs durchs fürs"
)
_LIKE_EIN = words("ein kein mein dein sein ihr unser euer")
_DETERMINERS = _WITH_EN | _LIKE_DER | _WITH_E | _LIKE_EIN
_WITH_DATIVE = words(
    "in an aus bei mit nach seit von vor zu ab unter zwischen binnen innerhalb neben hinter während wegen trotz"
)
_WITH_ACCUSATIVE = words("für um ohne gegen durch über auf pro bis je")
_RULERS = table.ROMAN_RANKED | table.ROMAN_RANKED_SHE
_OPENING_DATES = _WITH_DATIVE | _WITH_ACCUSATIVE

_MONTHS = "|".join([*table.MONTHS, *(rf"{short}\b\.?" for short in table.MONTH_SHORT), "Jänner"])
_MONTH = re.compile(rf"(?:{_MONTHS})(?!\w)")
_JOIN = r"\s?(?:,|und|oder|bis|sowie|bzw\.|[-–/])\s?"
_CHAIN_BEFORE = re.compile(rf"(?:\d{{1,4}}\.(?:\d{{1,2}}\.)?{_JOIN}){{1,6}}$")
_CHAIN_AFTER = re.compile(rf"(?:{_JOIN}(?:zum |zur |der |die |den )?\d{{1,4}}\.(?:\s?\d{{1,2}}\.)?){{1,6}}(?=\D|$)")
_BEFORE = re.compile(r"(?:([^\W\d_]+)[,:]?\s+)?([^\W\d_]+)\s+$")
_NEXT = re.compile(r"""[\s"'“„»(]*([^\W\d_][\w-]*)""")
_NOUN = re.compile(r"\s*(?:[a-zäöüß]\w*\s+){0,2}([A-ZÄÖÜ][\w-]*)")


@lru_cache(maxsize=4096)
def gender(noun: str) -> str:
    """Return the gender of a noun in the singular, "m", "f" or "n", as far as it can be told; else "m"."""
    name = noun.lower().rpartition("-")[2]
    for start in range(len(name)):
        if name[start:] in _GENDER_OF:
            return _GENDER_OF[name[start:]]
    found = _GENDER_BY_END.search(name)
    return (found.lastgroup or "m") if found else "m"


def before(text: str, start: int) -> tuple[str, str]:
    """Return the two words right before `start`, in small letters; "" where there is none."""
    found = _BEFORE.search(text[max(0, start - 60) : start])
    return ((found[1] or "").lower(), found[2].lower()) if found else ("", "")


def noun_after(text: str, end: int) -> str:
    """Return the noun that belongs to what ends at `end`, behind adjectives; "" where there is none."""
    found = _NOUN.match(text, end, end + 80)
    return found[1] if found else ""


def ranks(text: str, start: int, dot: int) -> bool:
    """Whether the figures from `start`, with the dot at `dot` behind them, rank something ("der 3. Mann")."""
    end = dot + 1
    size = dot - start
    if size > 4 or (text[start] == "0" and size > 2):
        return False
    chain = _CHAIN_AFTER.match(text, end, end + 60)
    if size <= 2 and chain:
        end = chain.end()
    rest = text[end : end + 60]
    if _MONTH.match(rest.lstrip()):
        return size <= 2
    following = _NEXT.match(rest)
    determined = _determined(text, start)
    if following is None:
        if rest[:1] and rest[:1] in ",;:)":
            return size <= 3
        # The end of the text, or no word.
        return determined and size <= 2 and not rest.strip(" \n\"'“”)»")
    word = following[1]
    if rest[:1] and rest[:1] in ",;:":
        return size <= 3
    if word[0].islower():
        return size <= 3 and not (size == 3 and not determined)
    return determined or (size <= 3 and _is_ranked(word))


def ranks_or_dates(text: str, start: int, dot: int) -> bool:
    """Whether a dot belongs to what is written before it: "3.", "3.10." or, behind a name, "XIV."."""
    if text[dot - 1].isdecimal():
        return not text[start:dot].isdecimal() or ranks(text, start, dot)
    name = before(text, start)[1]
    return name in _RULERS or name.removesuffix("s") in _RULERS or ranks_as_numeral(text, dot + 1)


def ranks_as_numeral(text: str, end: int) -> bool:
    """Whether a Roman numeral whose dot ends at `end` ranks the noun behind it ("im II. Weltkrieg")."""
    return _is_ranked(noun_after(text, end))


def without_chain(text: str, end: int) -> str:
    """Return what follows `end`, without the ordinals that share a noun with the one before ("3. und 4. Mai")."""
    chain = _CHAIN_AFTER.match(text, end, end + 60)
    return text[chain.end() if chain else end :][:80]


def _determined(text: str, start: int) -> bool:
    near = _CHAIN_BEFORE.sub("", text[max(0, start - 60) : start])
    earlier, word = before(near, len(near))
    return word in _DETERMINERS and not (word == "die" and earlier in ("um", "an", "auf", "über"))


@lru_cache(maxsize=4096)
def _is_ranked(noun: str) -> bool:
    name = noun.lower().rpartition("-")[2]
    return any(name[start:] in _RANKED for start in range(len(name)))


def ending(text: str, start: int, noun: str) -> str:
    """Return what an adjective or an ordinal at `start` ends in, in front of `noun` ("" where there is none)."""
    near = _CHAIN_BEFORE.sub("", text[max(0, start - 60) : start])
    earlier, word = before(near, len(near))
    its = gender(noun) if noun else "m"
    if word in _WITH_EN:
        return "en"
    if word in _LIKE_DER:
        # "der Experte": a bare -e tells too little of the gender.
        sure = noun and its != "m" and not (noun.endswith("e") and noun.lower() not in _GENDER_OF)
        return "en" if earlier in _WITH_DATIVE or earlier == "auf" or sure else "e"
    if word in _WITH_E:
        return "e"
    if word in _LIKE_EIN:
        return {"f": "e", "n": "es"}.get(its, "er")
    if word in _OPENING_DATES and (not noun or _MONTH.fullmatch(noun)):
        return "en"
    if word in _WITH_DATIVE:
        return "er" if its == "f" else "em"
    if word in _WITH_ACCUSATIVE:
        return {"f": "e", "n": "es"}.get(its, "en")
    return {"f": "e", "n": "es"}.get(its, "er")


def article(text: str, start: int, its: str) -> str:
    """Return "ein" with the ending that it takes at `start` in front of a noun of the gender `its`."""
    word = before(text, start)[1]
    if not its:
        return "ein"
    if word in _WITH_DATIVE:
        return "einer" if its == "f" else "einem"
    if its == "m" and word in _WITH_ACCUSATIVE:
        return "einen"
    return "eine" if its == "f" else "ein"


def ruler(text: str, start: int, *, she: bool) -> str:
    """Return the article between a ruler's name and the number at `start`: "von Ludwig dem Vierzehnten"."""
    found = re.search(
        r"(?:([^\W\d_]+)\s+)?(?:(?:König|Königin|Kaiser|Kaiserin|Papst|Zar)s?\s+)?([^\W\d_]+)\s+$",
        text[max(0, start - 60) : start],
    )
    earlier, name = ((found[1] or "").lower(), found[2].lower()) if found else ("", "")
    if earlier in _WITH_DATIVE or earlier in ("vom", "zum", "zur", "beim"):
        return "der" if she else "dem"
    if name.endswith("s") and name not in table.ROMAN_RANKED:
        return "der" if she else "des"
    if earlier in _WITH_ACCUSATIVE:
        return "die" if she else "den"
    return "die" if she else "der"
