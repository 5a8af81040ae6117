"""The marks of a script: `[kerstin] Guten Tag.` at the start of a line says who speaks from there on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from polyvox.choosing import LISTED, Catalogue, Choice, fit
from polyvox.errors import VoiceError

_BRACKET = re.compile(
    r"""^[^\S\n]*(?:(?P<escape>\\)(?=\[)|\[(?P<name>[^\[\]\s]{1,130})\](?=\s|\Z|(?P<tight>[\w"“„«¿¡])))""", re.MULTILINE
)
_NAME = re.compile(r"(?=[^/]*[A-Za-z])[A-Za-z0-9][A-Za-z0-9._-]{0,63}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,63})?")
_LIKE_A_NAME = re.compile(r"[^\W\d_][\w.-]*(?:/[\w.-]+)?")
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*")
_REGIONAL = re.compile(r"[a-z]{2,3}-[A-Z]{2}")

ALIKE = 0.75
"""How alike two names are (difflib's ratio) for one to be taken for the other, misspelt."""
COMPARED = 100
"""Names in brackets that are compared with those that there are, a bound on the work; the rest is text."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A stretch text[first:last] of a script and who speaks it; `line` counts from 1."""

    choice: Choice
    first: int
    last: int
    line: int


@dataclass(frozen=True, slots=True)
class _Found:
    name: str
    line: int
    first: int
    last: int
    tight: bool


class _Names:
    """Who can be named in a tag."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        offers = catalogue.offers
        self.voices = {str(o.voice): o.voice for o in reversed(offers)}
        if catalogue.own is not None:
            self.voices[catalogue.own.manifest.name] = catalogue.own.voice
        self.speakers = {speaker for o in offers for speaker in o.manifest.speakers}
        self.pairs = {f"{o.voice}/{speaker}" for o in offers for speaker in o.manifest.speakers}
        self.languages = {tag for o in offers for tag in o.manifest.languages}

    def resolve(self, name: str) -> Choice | None:
        """Whom a tag names; None if nobody."""
        if not _NAME.fullmatch(name):
            return None
        voice, slash, rest = name.partition("/")
        if slash:
            return self._part_of(self.voices[voice], rest) if voice in self.voices else None
        if voice in self.voices:
            return self._catalogue.choose(self.voices[voice])
        return self._part_of(None, voice)

    def _part_of(self, voice: str | Path | None, name: str) -> Choice | None:
        """The speaker of that name, else the speaker of that language, of a voice or of any."""
        try:
            if name in self.speakers:
                return self._catalogue.choose(voice, speaker=name)
            if _LANGUAGE.fullmatch(name) and any(fit(name, tag) is not None for tag in self.languages):
                return self._catalogue.choose(voice, language=name)
        except VoiceError:
            return None  # another voice's
        return None


def turns(text: str, catalogue: Catalogue, opening: Callable[[], Choice], where: str = "") -> tuple[str, list[Turn]]:
    """Cut a script into turns.

    A tag stands at the start of a line: a voice's name, `voice/speaker` or `voice/language`, a speaker's name or a
    language, looked for in that order. It holds until the next one; a tag for who speaks anyway
    starts a paragraph. Anything else in brackets is text, but what must be a misspelt tag is refused: a name that
    resembles one of a voice or speaker, or a language with a region (`[fr-FR]`); and where a text has tags, any name.
    `\\[` at the start of a line is a bracket of the text.

    Args:
        text: the script.
        catalogue: who can speak; its own voice goes before those of the library.
        opening: who speaks what stands before the first tag; called only if something does.
        where: put before messages, such as "play.txt: ".

    Returns:
        The text with every tag blanked by a paragraph's break of equal length, so that places in it are places in
        the script; and the turns that hold more than white space, in order.

    Raises:
        VoiceError: one sentence with the line's number.
    """
    if "[" not in text:
        return text, [Turn(opening(), 0, len(text), 1)] if text.strip() else []
    pieces: list[str] = []
    marks: list[tuple[_Found, Choice]] = []
    strange: list[_Found] = []
    known: dict[str, Choice | None] = {}
    names: _Names | None = None  # reads the whole library, so not for a bracket somewhere in a line
    done = 0
    for found in _brackets(text):
        if found.name and found.name not in known:
            names = names or _Names(catalogue)
            known[found.name] = names.resolve(found.name)
        choice = known.get(found.name)
        if choice is not None:
            marks.append((found, choice))
        elif found.name:
            if not found.tight:
                strange.append(found)
            continue
        pieces += [text[done : found.first], ("\n\n" if found.name else "").ljust(found.last - found.first)]
        done = found.last
    if names is not None and strange:
        _refuse_misspelt(strange, names, bool(marks), where)
    spoken = "".join([*pieces, text[done:]])
    made: list[Turn] = []
    first = marks[0][0].first if marks else len(text)
    if spoken[:first].strip():
        made.append(Turn(opening(), 0, first, 1))
    for number, (mark, choice) in enumerate(marks):
        end = marks[number + 1][0].first if number + 1 < len(marks) else len(text)
        if not spoken[mark.last : end].strip():
            continue
        if made and made[-1].choice == choice and made[-1].last == mark.first:
            made[-1] = Turn(choice, made[-1].first, end, made[-1].line)
        else:
            made.append(Turn(choice, mark.last, end, mark.line))
    return spoken, made


def _brackets(text: str) -> Iterator[_Found]:
    """What stands in brackets at the starts of lines; without a name, a backslash before a bracket."""
    line, counted = 1, 0
    for match in _BRACKET.finditer(text):
        line += text.count("\n", counted, match.start())
        counted = match.start()
        escape = match["escape"] is not None
        first = match.start("escape") if escape else match.start("name") - 1
        yield _Found(match["name"] or "", line, first, match.end(), match["tight"] is not None)


def _refuse_misspelt(strange: list[_Found], names: _Names, strict: bool, where: str) -> None:
    """Raise for the first that must be a misspelt tag; `strict`: the text has tags."""
    folded = {name.casefold(): name for name in sorted({*names.voices, *names.speakers, *names.pairs})}
    compared: set[str] = set()
    for found in strange:
        if found.name in compared or not _LIKE_A_NAME.fullmatch(found.name):
            continue
        compared.add(found.name)
        if len(compared) > COMPARED:
            return
        alike = difflib.get_close_matches(found.name.casefold(), folded, 1, ALIKE)
        if not (strict or _REGIONAL.fullmatch(found.name) or (alike and len(found.name) > 3)):
            continue
        there = sorted({*names.voices, *names.speakers, *names.languages})
        more = f" and {len(there) - LISTED} more" if len(there) > LISTED else ""
        hint = f"did you mean [{folded[alike[0]]}]?" if alike else f"there are {', '.join(there[:LISTED])}{more}"
        raise VoiceError(
            f"{where}line {found.line}: [{found.name}] is no voice, speaker or language here; {hint}"
            f" (as text, write \\[{found.name}])"
        )
