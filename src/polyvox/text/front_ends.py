"""Front ends by name: the built-in ones, and those that installed packages add."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from polyvox.errors import TextError
from polyvox.text.types import FrontEnd

ENTRY_POINTS = "polyvox.frontends"


def _espeak(language: str) -> FrontEnd:
    from polyvox.text.espeak import EspeakFrontEnd

    return EspeakFrontEnd(language)


def _characters(language: str) -> FrontEnd:
    from polyvox.text.characters import CharacterFrontEnd

    return CharacterFrontEnd(language)


_BUILT_IN: dict[str, Callable[[str], FrontEnd]] = {"espeak": _espeak, "characters": _characters}


@lru_cache(maxsize=64)
def front_end(name: str, language: str) -> FrontEnd:
    """Return the front end `name` for `language` ("en-us"), the same one at every call.

    Packages add front ends through the entry-point group `polyvox.frontends`: a callable that takes the
    language. Raises `TextError` where the name is unknown or the front end does not know the language.
    """
    if name in _BUILT_IN:
        return _BUILT_IN[name](language)
    from importlib.metadata import entry_points

    found = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name not in found:
        valid = ", ".join(sorted({*_BUILT_IN, *found}))
        raise TextError(f"there is no text front end {name!r}; the front ends are: {valid}")
    made = found[name].load()(language)
    if not isinstance(made, FrontEnd):
        raise TextError(f"the text front end {name!r} made a {type(made).__name__}, not a FrontEnd")
    return made
