"""The espeak front end: phonemes in IPA from the espeak-ng library.

espeak-ng is GPL-3. It is not part of Polyvox: the package `espeakng_loader` installs it as a shared
library of its own, which is loaded through ctypes here and used behind the `FrontEnd` interface only.
Another front end takes its place by name.
"""

from __future__ import annotations

import ctypes
import re
import threading
import unicodedata
from functools import lru_cache

from polyvox.errors import TextError
from polyvox.text.align import align
from polyvox.text.clauses import clauses
from polyvox.text.normalize import Kind, Piece, normalize
from polyvox.text.types import FrontEnd, Phonemes, Word

_SYNCHRONOUS = 2  # AUDIO_OUTPUT_SYNCHRONOUS: no sound device is opened
_DONT_EXIT = 0x8000  # espeakINITIALIZE_DONT_EXIT: report missing data instead of ending the process
_UTF8 = 1  # espeakCHARS_UTF8
_IPA = 2  # phoneme mode: International Phonetic Alphabet
_LANGUAGE_FLAG = re.compile(r"\([a-z][a-z0-9-]*\)")
_LANGUAGE = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
# espeak cuts a clause by itself, wherever it stands, after some 800 bytes; ours stay below that.
_MAX_CLAUSE = 400
# Words that espeak says better as they are written here.
_SPELLINGS = {
    "en": {"Missus": "Mrs"},
    "de": {"Dollar": "Dollahr", "US-Dollar": "U.S Dollahr"},
    "nl": {"mevrouw": "me vrouw", "Mevrouw": "me vrouw", "megabyte": "megabait", "gigabyte": "gigabait"},
}
# Long number words, which espeak stresses right only where hundreds and thousands stand apart.
_NUMBER_WORDS = {
    "de": re.compile(r"(hundert|tausend)(?=und|ein|zwei|drei|vier|fünf|sech|sieb|acht|neun|zehn|elf|zwölf)"),
    "nl": re.compile(
        r"(honderd|duizend)(?=een|eer|twee|drie|vier|vijf|zes|zeven|acht|negen|tien|elf|twaalf|dert|veert)"
    ),
}


class _Espeak:
    """The library, loaded once; its language is global state, so one lock guards every call."""

    def __init__(self) -> None:
        try:
            import espeakng_loader
        except ImportError as error:
            raise TextError(
                "the text front end 'espeak' needs the package 'espeakng-loader', which is not installed: "
                "pip install espeakng-loader"
            ) from error
        try:
            library = ctypes.CDLL(espeakng_loader.get_library_path())
            data = espeakng_loader.get_data_path()
        except (OSError, RuntimeError) as error:
            raise TextError(f"the espeak-ng library cannot be loaded: {error}") from error
        if library.espeak_Initialize(_SYNCHRONOUS, 0, str(data).encode(), _DONT_EXIT) < 0:
            raise TextError(f"espeak-ng cannot read its data in {data}")
        library.espeak_SetVoiceByName.argtypes = [ctypes.c_char_p]
        library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._library = library
        self._lock = threading.Lock()
        self._language = ""

    def knows(self, language: str) -> bool:
        with self._lock:
            return self._set(language)

    def phonemes(self, text: str, language: str) -> str:
        """Return the IPA of `text`; words are separated by one space."""
        held = ctypes.create_string_buffer(text.replace("\0", " ").encode("utf-8", "ignore"))
        pointer = ctypes.c_char_p(ctypes.addressof(held))
        parts = []
        with self._lock:
            if not self._set(language):
                raise TextError(f"espeak-ng has no language {language!r}")
            # One call reads one clause and moves the pointer behind it; NULL says the text is used up.
            while pointer.value is not None:
                part = self._library.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, _IPA)
                if part:
                    parts.append(part.decode("utf-8", "ignore"))
        return _LANGUAGE_FLAG.sub("", unicodedata.normalize("NFD", " ".join(parts)))

    def _set(self, language: str) -> bool:
        if language != self._language:
            if self._library.espeak_SetVoiceByName(language.encode()) != 0:
                self._language = ""  # a failed call may leave any language behind
                return False
            self._language = language
        return True


_loading = threading.Lock()
_loaded: list[_Espeak] = []


def _espeak() -> _Espeak:
    with _loading:  # the library must be initialised once, whichever threads ask for it first
        if not _loaded:
            _loaded.append(_Espeak())
        return _loaded[0]


class EspeakFrontEnd(FrontEnd):
    """Single code points of IPA: letters, stress and length marks, spaces, and `, . ! ? ; :`."""

    def __init__(self, language: str) -> None:
        self.language = language
        self._espeak = _espeak()
        self._voice = self._find_voice(language)
        self._base = self._voice.partition("-")[0]
        # Words alone are asked for only to align; the same ones come again and again.
        self._alone = lru_cache(maxsize=16384)(self._groups)
        # Number words and the language's patterns load at their first use: better now than before a sentence.
        self.phonemes("1 a")

    def phonemes(self, text: str, offset: int = 0) -> Phonemes:
        """Return the phonemes of `text`; see `FrontEnd.phonemes`."""
        symbols: list[str] = []
        index: list[int] = []
        words: list[Word] = []
        for clause in clauses(normalize(text, self.language)):
            for run in _runs(clause.words):
                for group in self._run(run, len(words)):
                    if symbols:
                        symbols.append(" ")
                        index.append(-1)
                    for symbol, word in group:
                        symbols.append(symbol)
                        index.append(word)
                words.extend(Word(piece.spoken, piece.start + offset, piece.end + offset) for piece in run)
            if clause.mark and symbols:
                symbols.append(clause.mark)
                index.append(-1)
        return Phonemes(tuple(symbols), tuple(index), tuple(words))

    def _run(self, run: list[Piece], first: int) -> list[list[tuple[str, int]]]:
        """Return the groups of symbols that espeak makes of `run`, each symbol with its word's index."""
        forms = [_form(piece, self._base) for piece in run]
        groups = self._groups(" ".join(forms))
        owners = align(groups, [self._alone(form) for form in forms])
        return [
            [(symbol, first + owner) for symbol, owner in zip(group, owned, strict=True)]
            for group, owned in zip(groups, owners, strict=True)
        ]

    def _groups(self, text: str) -> tuple[str, ...]:
        return tuple(self._espeak.phonemes(text, self._voice).split())

    def _find_voice(self, language: str) -> str:
        name = language.lower().replace("_", "-")
        # espeak's British English is plain "en".
        names = ["en"] if name == "en-gb" else [name, name.partition("-")[0]]
        for candidate in names:
            # A name is no path: espeak would look for a voice file there.
            if _LANGUAGE.fullmatch(candidate) and self._espeak.knows(candidate):
                return candidate
        raise TextError(f"the text front end 'espeak' does not know the language {language!r}")


def _form(piece: Piece, language: str) -> str:
    """Return what espeak is given for a piece: letters with dots between are read as letters."""
    if piece.kind is not Kind.LETTERS:
        spelled = _SPELLINGS.get(language, {}).get(piece.spoken, piece.spoken)
        apart = _NUMBER_WORDS.get(language)
        return apart.sub(r"\1 ", spelled) if apart else spelled
    if piece.spoken in ("A", "a") and language == "en":
        return "eh"  # alone, the letter would be read as the article
    letters = piece.spoken.split(" ")
    if len(letters[-1]) > 1:
        last = letters.pop()[0] + "'s"  # espeak names the letters of "D.V.D's", not of "D.V.Ds"
        return ".".join(letters) + ("." if language == "en" else " ") + last
    return ".".join(letters)


def _runs(words: tuple[Piece, ...]) -> list[list[Piece]]:
    """Cut the words of a clause into runs short enough for one espeak clause."""
    runs: list[list[Piece]] = []
    size = 0
    for piece in words:
        if not runs or size + len(piece.spoken) > _MAX_CLAUSE:
            runs.append([])
            size = 0
        runs[-1].append(piece)
        size += len(piece.spoken) + 1
    return runs
