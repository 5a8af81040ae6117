"""Versions: which version of which voice a request meets, by name, alias, canary, language or speaker."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from polyvox.choosing import DEFAULT, fit
from polyvox.service.catalogue import Entry, newest
from polyvox.service.costs import Cost
from polyvox.service.errors import UnknownVoice
from polyvox.service.settings import Voices
from polyvox.voice import Voice

LISTED = 20
"""Voices that a message lists."""
SHOWN = 64
"""Characters of what a caller said that a message repeats."""


@dataclass(eq=False)
class Revision:
    """One state of the files of one version. Changed files are another revision.

    Attributes:
        voice: it is in memory, and takes about `memory` bytes.
        users: streams that use it; `used` is when the last one came or went, on the clock of `time.monotonic`.
        refused: why it cannot be loaded; found at `refused_at`.
        changed: why what lies in its place now was refused. It cannot be loaded again, so it stays.
        gone: not to be had any more; it is unloaded as soon as nobody uses it.
    """

    entry: Entry
    cost: Cost = field(default_factory=Cost)
    voice: Voice | None = None
    memory: int = 0
    users: int = 0
    used: float = field(default_factory=time.monotonic)
    loading: asyncio.Task[None] | None = None
    refused: str | None = None
    refused_at: float = 0.0
    changed: str | None = None
    gone: bool = False


@dataclass(frozen=True, slots=True)
class Pick:
    """Who speaks."""

    revision: Revision
    speaker: str | None
    language: str | None
    exact: bool
    """Whether the version was asked for: then no other takes its place."""


class Versions:
    """The versions that can be asked for, each in its newest state."""

    def __init__(self, settings: Voices) -> None:
        self._settings = settings
        self.by_key: dict[tuple[str, str], Revision] = {}

    def __iter__(self) -> Iterator[Revision]:
        return iter(list(self.by_key.values()))

    @property
    def default(self) -> str | None:
        """Who speaks where nothing is asked for, if there is any voice."""
        if self._settings.default is not None:
            return self._settings.default
        names = self.names()
        return DEFAULT if DEFAULT in names else next(iter(names), None)

    def names(self) -> list[str]:
        """All voices, in the order of search."""
        ordered = sorted(self.by_key.values(), key=lambda r: (r.entry.place, r.entry.manifest.name))
        return list(dict.fromkeys(r.entry.manifest.name for r in ordered))

    def _default_first(self) -> list[str]:
        default = self._split(self.default)[0] if self.default else None
        return sorted(self.names(), key=lambda n: n != default)

    def of(self, name: str) -> list[Revision]:
        """All versions of a voice."""
        return [r for (n, _), r in self.by_key.items() if n == name]

    def usual(self, name: str) -> Revision | None:
        """What a name alone means: the newest version of the first folder that has it; a refused one only for want."""
        found = self.of(name)
        found = [r for r in found if r.refused is None] or found
        first = min((r.entry.place for r in found), default=0)
        return max(
            (r for r in found if r.entry.place == first),
            key=lambda r: newest(r.entry.manifest.version),
            default=None,
        )

    def meant(self, wanted: str) -> Revision | None:
        """What a name or alias means, canaries aside."""
        name, version, _ = self._split(wanted)
        return self.usual(name) if version is None else self.by_key.get((name, version))

    def _canary(self, name: str, id: str) -> Revision | None:
        shares = self._settings.canaries.get(name)
        if shares:
            if id:
                digest = hashlib.sha256(f"{name}\0{id}".encode()).digest()
                point = int.from_bytes(digest[:8], "big") / 2**64
            else:
                point = random.random()
            for version, share in shares.items():
                if point < share:
                    revision = self.by_key.get((name, version))
                    if revision is not None and revision.refused is None:
                        return revision
                    break
                point -= share
        return self.usual(name)

    def _split(self, wanted: str) -> tuple[str, str | None, str | None]:
        """Name, version and speaker of what a caller or an alias says."""
        wanted = self._settings.aliases.get(wanted, wanted)
        rest, _, speaker = wanted.partition("/")
        rest = self._settings.aliases.get(rest, rest)
        name, _, version = rest.partition("@")
        return name, version or None, speaker or None

    def _unknown(self, wanted: str) -> str:
        name, version, _ = self._split(wanted)
        versions = [r.entry.manifest.version for r in self.of(name)]
        if version is not None and versions:
            return f"voice '{name}' has no version '{version[:SHOWN]}'; there are {', '.join(versions[:LISTED])}"
        names = self.names()
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        return f"there is no voice '{wanted[:SHOWN]}'; there are {', '.join(names[:LISTED]) or 'none'}{more}"

    def choose(
        self, voice: str | None = None, *, speaker: str | None = None, language: str | None = None, id: str = ""
    ) -> Pick:
        """Choose a version and a speaker by any of voice, speaker and language.

        Args:
            voice: a name, an alias, `name@version`, `name/speaker` or both.
            speaker: a speaker's name.
            language: a BCP 47 tag, matched as `polyvox.choosing.fit` says.
            id: with the same one, canaries choose the same version.

        Raises:
            UnknownVoice: nothing fits; the message lists what there is.
        """
        asked = voice
        if voice is None and speaker is None and language is None:
            voice = self.default
        if voice is None:
            exact = False
            candidates = [r for n in self._default_first() if (r := self.usual(n)) is not None]
        else:
            name, version, of_name = self._split(voice)
            if of_name is not None and speaker not in (None, of_name):
                raise UnknownVoice(
                    f"voice '{voice[:SHOWN]}' names another speaker than '{(speaker or '')[:SHOWN]}'", param="speaker"
                )
            speaker = speaker or of_name
            exact = version is not None
            revision = self.by_key.get((name, version)) if version is not None else self._canary(name, id)
            if revision is None:
                raise UnknownVoice(self._unknown(voice), param="voice")
            candidates = [revision]
        if not candidates:
            raise UnknownVoice("there are no voices here")
        best: tuple[int, Pick] | None = None
        for revision in candidates:
            manifest = revision.entry.manifest
            speakers: Sequence[str | None] = manifest.speakers or [None]
            for each in speakers:
                if speaker not in (None, each):
                    continue
                for rank, tag in _ranks(language, manifest.languages_of(each)):
                    if best is None or rank < best[0]:
                        best = rank, Pick(revision, each, tag, exact)
        if best is not None:
            return best[1]
        raise self._refusal(asked, candidates, speaker, language)

    def _refusal(
        self, asked: str | None, candidates: Sequence[Revision], speaker: str | None, language: str | None
    ) -> UnknownVoice:
        who = "no voice here" if asked is None else f"voice '{asked[:SHOWN]}'"
        manifests = [r.entry.manifest for r in candidates]
        if speaker is not None and not any(speaker in m.speakers for m in manifests):
            there = ", ".join([s for m in manifests for s in m.speakers][:LISTED]) or "one without a name"
            if asked is None:
                return UnknownVoice(f"{who} has a speaker '{speaker[:SHOWN]}'; there are {there}", param="speaker")
            return UnknownVoice(f"{who} has no speaker '{speaker[:SHOWN]}'; it has {there}", param="speaker")
        wanted = str(language)[:SHOWN]
        spoken = ", ".join(list(dict.fromkeys(t for m in manifests for t in m.languages))[:LISTED]) or "not named"
        speaks = f"speaks '{wanted}'" if asked is None else f"does not speak '{wanted}'"
        return UnknownVoice(f"{who} {speaks}; the languages are {spoken}", param="language")


def _ranks(wanted: str | None, spoken: Sequence[str]) -> Iterable[tuple[int, str | None]]:
    """How well each language of a speaker fits, and its tag."""
    if wanted is None:
        return [(0, next(iter(spoken), None))]
    return [(rank, tag) for tag in spoken if (rank := fit(wanted, tag)) is not None]
