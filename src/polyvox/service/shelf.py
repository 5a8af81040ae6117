"""Shelf: which voices are in memory. Loads on demand, unloads what is idle, and lets new versions take their place.

All of it belongs to one event loop; files are read and networks loaded in threads.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from polyvox.addons import Addon
from polyvox.addons.library import folders as library_folders
from polyvox.errors import PolyvoxError
from polyvox.service.catalogue import (
    Broken,
    ControlInfo,
    Entry,
    Mark,
    SpeakerInfo,
    VoiceInfo,
    newest,
    scan,
    without_paths,
)
from polyvox.service.errors import Busy, Stopping, UnknownVoice, VoiceFailed
from polyvox.service.loading import Loader
from polyvox.service.settings import Settings, SettingsError
from polyvox.service.versions import Pick, Revision, Versions
from polyvox.voice import Voice

__all__ = ["ControlInfo", "Held", "Pick", "Shelf", "SpeakerInfo", "VoiceInfo"]

T = TypeVar("T")

log = logging.getLogger("polyvox.service")

AGAIN = 60.0
"""Seconds after which a voice that could not be loaded is tried again though nobody touched its files."""
SUPERSEDED = 60.0
"""Seconds after which a version that its name no longer means is unloaded if nobody uses it."""


class Held:
    """A voice in use: it stays in memory until it is released."""

    def __init__(self, shelf: Shelf, revision: Revision) -> None:
        assert revision.voice is not None
        self.voice: Voice = revision.voice
        self.entry, self.cost = revision.entry, revision.cost
        self._shelf, self.revision = shelf, revision
        revision.users += 1
        revision.used = time.monotonic()
        self._released = False

    def again(self) -> Held:
        """Another hold on the same voice, which must not be released yet."""
        return Held(self._shelf, self.revision)

    def release(self) -> None:
        """Give it back; again does nothing."""
        if not self._released:
            self._released = True
            del self.voice
            self._shelf._release(self.revision)


class Shelf:
    """The voices of the folders: the settings' first, then those of POLYVOX_PATH, then the shipped ones."""

    def __init__(self, settings: Settings, loader: Loader) -> None:
        """Nothing is read before `start`."""
        self._settings = settings.voices
        self._budget = math.inf if settings.voices.memory is None else settings.voices.memory * 1e6
        self._loader = loader
        self._folders = [Path(f).expanduser() for f in self._settings.folders]
        self._versions = Versions(settings.voices)
        self._retired: set[Revision] = set()
        self._broken: dict[Path, Broken] = {}
        self._refused: dict[Path, tuple[Mark, str]] = {}
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="polyvox-load")
        self._scanning = asyncio.Lock()
        self._ended = False
        self.on_load: Callable[[str, bool, float], None] = lambda voice, succeeded, seconds: None
        self.on_unload: Callable[[str], None] = lambda voice: None
        self.choose = self._versions.choose

    # --- what there is -------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Look for voices, and load the default one and those that are pinned.

        Raises:
            SettingsError: the settings name a voice that is not there, or a pinned one cannot be loaded.
        """
        await self.rescan()
        for place, wanted in self._named():
            try:
                self.choose(wanted)
            except UnknownVoice as error:
                raise SettingsError(f"settings: field '{place}': {error}") from None
        default = self._versions.default
        for wanted in dict.fromkeys([*self._settings.pinned, *([default] if default else [])]):
            try:
                (await self.take(self.choose(wanted))).release()
            except (VoiceFailed, Busy) as error:
                if wanted in self._settings.pinned:
                    raise SettingsError(f"settings: field 'voices.pinned': {error}") from None
                log.warning("the default voice cannot be loaded: %s", error)

    async def stop(self) -> None:
        """Unload everything; nobody may use a voice any more."""
        self._ended = True
        for revision in self._all():
            if revision.loading is not None:
                with suppress(Exception):
                    await revision.loading
        for revision in self._all():
            self._unload(revision)
        await self._in_thread(lambda: None)
        self._threads.shutdown(wait=True)

    def voices(self) -> list[VoiceInfo]:
        """All versions that can be asked for, by name in the order of search, the usual one of a name first."""
        aliases: dict[tuple[str, str], list[str]] = {}
        for alias in self._settings.aliases:
            if (meant := self._versions.meant(alias)) is not None:
                aliases.setdefault(meant.entry.key, []).append(alias)
        found = []
        for name in self._versions.names():
            usual = self._versions.usual(name)
            of_name = sorted(self._versions.of(name), key=lambda r: newest(r.entry.manifest.version), reverse=True)
            for revision in sorted(of_name, key=lambda r: r is not usual):
                reason = revision.refused or revision.changed
                found.append(
                    revision.entry.info(
                        usual=revision is usual,
                        aliases=tuple(aliases.get(revision.entry.key, ())),
                        loaded=revision.voice is not None,
                        refused=None if reason is None else without_paths(reason),
                    )
                )
        return found

    def refused(self) -> dict[str, str]:
        """What lies in the folders and cannot be used: its path, and why. For the operator, not for callers."""
        found = {str(path): broken.reason for path, broken in self._broken.items()}
        found.update({str(path): reason for path, (_, reason) in self._refused.items()})
        found.update({str(r.entry.path): r.refused for r in self._versions if r.refused})
        return found

    @property
    def memory(self) -> int:
        """Bytes that the voices in memory take, by the estimate that `Loader.load` makes."""
        return sum(r.memory for r in self._all() if r.voice is not None)

    @property
    def loaded(self) -> int:
        """Voices in memory, those included that only finish their streams."""
        return sum(r.voice is not None for r in self._all())

    # --- in memory -----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def borrow(self, name: str | None = None) -> AsyncIterator[Held]:
        """A voice, in memory for the body; errors as in `choose` and `take`."""
        held = await self.take(self.choose(name))
        try:
            yield held
        finally:
            held.release()

    async def take(self, pick: Pick) -> Held:
        """The voice, loaded if it is not; at once if it is. Whoever takes it must release it.

        If it cannot be loaded and no version was asked for, the next best version takes its place.

        Raises:
            VoiceFailed: it cannot be loaded.
            Busy: there is no memory left for it.
        """
        revision = pick.revision
        name = revision.entry.manifest.name
        while True:
            if revision.voice is None and (revision.refused is None or time.monotonic() - revision.refused_at > AGAIN):
                revision.users += 1  # so that nobody unloads it before it is taken
                try:
                    await self._loaded(revision)
                finally:
                    self._release(revision)
            if self._ended:
                raise Stopping("the service has stopped")
            if revision.voice is not None:
                return Held(self, revision)
            other = None if pick.exact else self._versions.usual(name)
            if other is None or other is revision or other.refused is not None:
                raise VoiceFailed(f"voice '{name}' cannot be loaded; the reason is in the service's log")
            revision = other

    async def rescan(self) -> None:
        """Look for addons that are new, changed or gone.

        A version of a voice that is in use is loaded before its name means it. If that fails, or if the files of one
        are broken now, the old one goes on, and `voices` says why.
        """
        async with self._scanning:
            entries, broken = await self._in_thread(lambda: scan([*self._folders, *library_folders()]))
            for one in broken:
                if self._broken.get(one.path) != one:
                    log.warning("refused: %s", one.reason)
            self._broken = {one.path: one for one in broken}
            marks = {entry.path: entry.mark for entry in entries}
            self._refused = {path: known for path, known in self._refused.items() if marks.get(path) == known[0]}
            there = {entry.key for entry in entries}
            for key, revision in list(self._versions.by_key.items()):
                if key in there:
                    continue
                one_broken = self._broken.get(revision.entry.path)
                if one_broken is not None and revision.voice is not None:
                    revision.changed = one_broken.reason
                else:
                    del self._versions.by_key[key]
                    self._retire(revision)
            started = bool(self._versions.by_key)
            for entry in entries:
                await self._consider(entry, trial=started)

    def evict(self) -> None:
        """Unload what has been idle for too long, and idle ones where all together take too much."""
        now = time.monotonic()
        for revision in self._idle():
            name, version = revision.entry.key
            limit = math.inf if self._settings.idle is None else self._settings.idle * 60
            if self._versions.usual(name) is not revision and not self._settings.canaries.get(name, {}).get(version):
                limit = min(limit, SUPERSEDED)
            if now - revision.used >= limit or self.memory > self._budget:
                self._unload(revision)

    # --- within --------------------------------------------------------------------------------------------------

    def _named(self) -> Iterator[tuple[str, str]]:
        """The voices that the settings name, and where."""
        voices = self._settings
        if voices.default is not None:
            yield "voices.default", voices.default
        for alias, wanted in voices.aliases.items():
            yield f"voices.aliases.{alias}", wanted
        for name in voices.pinned:
            yield "voices.pinned", name
        for name in voices.canaries:
            yield f"voices.canaries.{name}", name

    def _all(self) -> list[Revision]:
        return [*self._versions, *self._retired]

    async def _in_thread(self, what: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, what)

    async def _loaded(self, revision: Revision) -> None:
        """Load it, once however many ask; afterwards it has a voice, or `refused` says why not."""
        if self._ended:
            raise Stopping("the service has stopped")
        if revision.loading is None:
            self._make_room(revision)
            revision.loading = asyncio.create_task(self._load(revision))
        await asyncio.shield(revision.loading)

    async def _load(self, revision: Revision) -> None:
        began = time.monotonic()
        entry = revision.entry
        try:
            loaded = await self._in_thread(lambda: self._loader.load(entry, revision.cost))
            revision.voice, revision.memory = loaded.voice, loaded.memory
            revision.refused = None
            revision.used = time.monotonic()
            log.info("loaded %s in %.2f s", entry.label, time.monotonic() - began)
        except Exception as error:
            if isinstance(error, PolyvoxError):
                log.warning("refused: %s: %s", entry.label, error)
            else:
                log.exception("loading %s failed", entry.label)
            revision.refused = str(error) or type(error).__name__
            revision.refused_at = time.monotonic()
        finally:
            revision.loading = None
            # It may take more than its files said.
            for other in self._idle():
                if other is not revision and self.memory > self._budget:
                    self._unload(other)
            self.on_load(entry.manifest.name, revision.voice is not None, time.monotonic() - began)

    async def _consider(self, entry: Entry, *, trial: bool) -> None:
        """An entry of a scan: keep what there is, or let the entry take its place."""
        old = self._versions.by_key.get(entry.key)
        if old is not None and old.entry.mark == entry.mark:
            old.entry, old.changed = entry, None
            return
        if entry.path in self._refused:
            return
        revision = Revision(entry)
        in_use = any(r.voice is not None for r in self._versions.of(entry.manifest.name))
        if in_use:
            try:
                await self._loaded(revision)
            except Busy:  # no memory for both: it takes the place untried
                pass
            except BaseException:  # the service stops
                self._retire(revision)
                raise
        elif trial:  # not at the start, where there may be many
            await self._check(revision)
        if revision.refused is not None:
            self._refused[entry.path] = entry.mark, revision.refused
            if old is not None and old.voice is not None:
                old.changed = revision.refused
                return
        self._versions.by_key[entry.key] = revision
        if old is not None:
            self._retire(old)

    async def _check(self, revision: Revision) -> None:
        """Read it, its networks included, without loading it."""
        entry = revision.entry

        def reason() -> str | None:
            try:
                Addon.open(entry.path)
                if entry.vocoder is not None:
                    Addon.open(entry.vocoder)
            except PolyvoxError as error:
                return str(error)
            return None

        revision.refused = await self._in_thread(reason)
        if revision.refused is not None:
            revision.refused_at = time.monotonic()
            log.warning("refused: %s", revision.refused)

    def _retire(self, revision: Revision) -> None:
        revision.gone = True
        self._retired.add(revision)
        if revision.loading is not None:
            revision.loading.add_done_callback(lambda _: self._clear(revision))
        self._clear(revision)

    def _clear(self, revision: Revision) -> None:
        if revision.gone and not revision.users and revision.loading is None:
            self._retired.discard(revision)
            self._unload(revision)

    def _release(self, revision: Revision) -> None:
        revision.users -= 1
        revision.used = time.monotonic()
        self._clear(revision)

    def _idle(self) -> list[Revision]:
        """What may be unloaded, the longest unused first."""
        pinned = {self._versions.meant(name) for name in self._settings.pinned}
        return sorted(
            (r for r in self._all() if r.voice is not None and not r.users and r not in pinned and not r.changed),
            key=lambda r: r.used,
        )

    def _make_room(self, revision: Revision) -> None:
        needed = revision.memory or revision.entry.size
        needed += sum(r.memory or r.entry.size for r in self._all() if r.loading is not None)
        for other in self._idle():
            if self.memory + needed <= self._budget:
                break
            self._unload(other)
        if self.memory + needed > self._budget and self.loaded:  # one alone may be larger than the budget
            raise Busy(
                f"there is no memory for voice '{revision.entry.manifest.name}' while the others are in use",
                retry_after=5,
            )

    def _unload(self, revision: Revision) -> None:
        voice, revision.voice = revision.voice, None
        if voice is not None:
            log.info("unloaded %s", revision.entry.label)
            self._threads.submit(self._loader.unload, voice)
            self.on_unload(revision.entry.manifest.name)
