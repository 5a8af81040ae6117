"""Which voice speaks: chosen by its name, a speaker or a language, from what addon.json says; nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from polyvox.addons import Manifest, find, manifests, read_manifest
from polyvox.errors import VoiceError

DEFAULT = "kathleen"
"""The voice that speaks where nothing is asked for."""

LISTED = 20
"""Voices that a message lists."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Who speaks.

    Attributes:
        voice: what `load` takes: a name of the library, or the path that was asked for.
        speaker: the speaker's name, for `Voice.stream`; None if the voice's speaker has none.
        language: the BCP 47 tag of what that speaker speaks; None if the addon does not say.
    """

    voice: str | Path
    speaker: str | None
    language: str | None


@dataclass(frozen=True, slots=True)
class Offer:
    """An addon that speaks, and what `load` takes for it."""

    voice: str | Path
    manifest: Manifest

    def speakers(self) -> Sequence[str | None]:
        """The speakers' names; one None if the only speaker has no name."""
        return self.manifest.speakers or [None]

    def named(self, speaker: str | None) -> str:
        """`kathleen`, or `lowlands/nathalie` where there are several speakers."""
        return f"{self.voice}/{speaker}" if len(self.manifest.speakers) > 1 else str(self.voice)


class Catalogue:
    """The voices that can be chosen, read once; for many choices, as a script makes them."""

    def __init__(self, own: str | Path | None = None) -> None:
        """Take the library's voices, and before them `own`, a name or a path, if it is given.

        Raises:
            VoiceError: `own` is unknown or does not speak.
            AddonError: the addon.json of `own` is wrong.
        """
        self.own = None if own is None else Offer(own, read_manifest(find(own)))
        if self.own is not None and self.own.manifest.kind == "vocoder":
            raise VoiceError(f"'{own}' is a vocoder, which speaks no text; there are {self._listed(self._library[0])}")

    @cached_property
    def _library(self) -> tuple[list[Offer], list[str]]:
        offers, broken = [], []
        for name, _, manifest in manifests():
            if not isinstance(manifest, Manifest):
                broken.append(name)
            elif manifest.kind != "vocoder":
                offers.append(Offer(name, manifest))
        return offers, broken

    @property
    def offers(self) -> list[Offer]:
        """All voices: the own one first, then the library's in its order."""
        own = [] if self.own is None else [self.own]
        return [*own, *(o for o in self._library[0] if self.own is None or o.voice != self.own.voice)]

    def offer(self, voice: str | Path) -> Offer:
        """The voice of that name or path; errors as in `__init__`."""
        if self.own is not None and self.own.voice == voice:
            return self.own
        made = Catalogue(voice).own
        assert made is not None
        return made

    def choose(
        self, voice: str | Path | None = None, *, language: str | None = None, speaker: str | None = None
    ) -> Choice:
        """As the function `choose`."""
        if voice is None and language is None and speaker is None and self.own is None:
            voice = DEFAULT
        offers = self.offers if voice is None else [self.offer(voice)]
        best: tuple[int, Choice] | None = None
        for offer in offers:
            for name in offer.speakers():
                if speaker not in (None, name):
                    continue
                for rank, tag in _ranks(language, offer.manifest.languages_of(name)):
                    if best is None or rank < best[0]:
                        best = rank, Choice(offer.voice, name, tag)
        if best is None:
            raise VoiceError(self._refusal(voice, offers, language, speaker))
        return best[1]

    def _refusal(
        self, voice: str | Path | None, offers: Sequence[Offer], language: str | None, speaker: str | None
    ) -> str:
        if voice is not None:
            manifest = offers[0].manifest
            if speaker is not None and speaker not in manifest.speakers:
                there = ", ".join(manifest.speakers[:LISTED]) or "one without a name"
                more = len(manifest.speakers) - LISTED
                return f"voice '{voice}' has no speaker '{speaker}'; it has {there}{_more(more)}"
            who = f"voice '{voice}'" if speaker is None else f"speaker '{speaker}' of voice '{voice}'"
            return f"{who} does not speak '{language}'; there are {self._listed(self.offers)}"
        wanted = [
            f"speaks '{language}'" if language is not None else "",
            f"has a speaker '{speaker}'" if speaker is not None else "",
        ]
        return f"no voice here {' and '.join(w for w in wanted if w)}; there are {self._listed(offers)}"

    def _listed(self, offers: Sequence[Offer]) -> str:
        """`kathleen (en-US), lowlands/nathalie (nl), ...`, and the broken ones' names."""
        each = [
            f"{offer.named(speaker)} ({', '.join(offer.manifest.languages_of(speaker)) or 'of no named language'})"
            for offer in offers
            for speaker in offer.speakers()
        ]
        broken = self._library[1]
        bad = f"; broken: {', '.join(broken)} ('polyvox voices' says why)" if broken else ""
        return f"{', '.join(each[:LISTED]) or 'none'}{_more(len(each) - LISTED)}{bad}"


def choose(voice: str | Path | None = None, *, language: str | None = None, speaker: str | None = None) -> Choice:
    """Choose who speaks, by any of voice, language and speaker: `choose(language="nl-BE")`.

    Only addon.json is read, of every addon that could be meant; loading is left to `load(choice.voice)`. Where several
    fit, the one wins whose language fits best (see `fit`), then the first in the library (the folders of POLYVOX_PATH,
    then the shipped addons; by name within each), then the first of its speakers. Where nothing is asked for, it is
    the voice `kathleen`. A broken addon is passed over unless it is asked for by name.

    Args:
        voice: a name that the library knows, or the path of a folder or an `.addon` file.
        language: a BCP 47 tag; `de-AT` finds `de` where there is no `de-AT`, and `en` finds `en-US`.
        speaker: a speaker's name.

    Raises:
        VoiceError: nothing fits; the message lists what there is.
        AddonError: the addon.json of `voice` is wrong.
    """
    return Catalogue(voice).choose(voice, language=language, speaker=speaker)


def fit(wanted: str, spoken: str) -> int | None:
    """How well a language fits the one that is wanted; less is better, None is not at all.

    Equal tags are best. Then comes what is left of the wanted tag when it loses subtags from its end, the fewer the
    better (`de-AT` finds `de`; the lookup of RFC 4647, section 3.4), then a language that the wanted one is the
    beginning of (`en` finds `en-US`; its basic filtering, section 3.3.1). Case does not matter, and `_` is `-`.
    `en-GB` does not find `en-US`.
    """
    asked, there = (tag.replace("_", "-").lower().split("-") for tag in (wanted, spoken))
    if asked[: len(there)] == there:
        return len(asked) - len(there)
    return 1000 + len(there) - len(asked) if there[: len(asked)] == asked else None


def _ranks(wanted: str | None, spoken: Sequence[str]) -> Iterator[tuple[int, str | None]]:
    """How well each language of a speaker fits, and its tag."""
    if wanted is None:
        yield 0, next(iter(spoken), None)
        return
    for tag in spoken:
        rank = fit(wanted, tag)
        if rank is not None:
            yield rank, tag


def _more(number: int) -> str:
    return f" and {number} more" if number > 0 else ""
