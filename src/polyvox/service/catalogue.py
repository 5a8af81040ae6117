"""Catalogue: which versions of which voices lie in the folders, from their addon.json alone; nothing is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyvox.addons import Manifest, find, read_manifest
from polyvox.addons.joining import check_join, joined_controls
from polyvox.errors import PolyvoxError, VoiceError

Mark = tuple[tuple[str, int, int], ...]
"""Names, sizes and times of an addon's files: equal while nobody touched them."""


@dataclass(frozen=True, slots=True)
class SpeakerInfo:
    """A speaker of a voice; the only speaker of a voice without names has the name None."""

    name: str | None
    languages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ControlInfo:
    """A scalar that a caller may set."""

    default: float
    minimum: float
    maximum: float
    unit: str = ""


@dataclass(frozen=True, slots=True)
class VoiceInfo:
    """A version of a voice, as callers see it. Nothing of it names a path of the host.

    Attributes:
        name, version: `name@version` asks for exactly this one.
        usual: whether `name` alone means this version (but for canaries).
        languages: BCP 47 tags of what its speakers speak.
        aliases: other names that lead to this version.
        architecture: the addon's kind and blocks, in a few words.
        size: bytes of its files, the vocoder's included.
        loaded: whether it is in memory.
        refused: why what lies in the folder now cannot be used, without paths; None where nothing is wrong.
    """

    name: str
    version: str
    usual: bool
    kind: str
    description: str
    license: str
    architecture: str
    sample_rate: int
    languages: tuple[str, ...]
    speakers: tuple[SpeakerInfo, ...]
    controls: Mapping[str, ControlInfo] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    size: int = 0
    loaded: bool = False
    refused: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A version of a voice in a folder.

    Attributes:
        place: its folder's place in the order of search; the first that has a name decides what the name means.
    """

    manifest: Manifest
    path: Path
    vocoder: Path | None
    vocoder_manifest: Manifest | None
    place: int
    mark: Mark

    @property
    def key(self) -> tuple[str, str]:
        """Name and version."""
        return self.manifest.name, self.manifest.version

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size, _ in self.mark)

    @property
    def label(self) -> str:
        """`name@version`."""
        return f"{self.manifest.name}@{self.manifest.version}"

    def info(self, **more: Any) -> VoiceInfo:
        """As callers see it."""
        manifest = self.manifest
        speakers: Sequence[str | None] = manifest.speakers or [None]
        blocks = [*_blocks(manifest.stack)]
        words = f"{manifest.kind}: {', '.join(dict.fromkeys(blocks))}"
        if self.vocoder_manifest is not None:
            words += f"; vocoder {self.vocoder_manifest.name}@{self.vocoder_manifest.version}"
        return VoiceInfo(
            manifest.name,
            manifest.version,
            kind=manifest.kind,
            description=manifest.description,
            license=manifest.license,
            architecture=words,
            sample_rate=manifest.features.sample_rate,
            languages=tuple(manifest.languages),
            speakers=tuple(SpeakerInfo(s, tuple(manifest.languages_of(s))) for s in speakers),
            controls={
                name: ControlInfo(c.default, c.minimum, c.maximum, c.unit)
                for name, c in joined_controls(manifest, self.vocoder_manifest).items()
            },
            size=self.size,
            **more,
        )


@dataclass(frozen=True, slots=True)
class Broken:
    """Something in a folder that cannot be a voice, and why."""

    path: Path
    mark: Mark
    reason: str


def scan(folders: Sequence[Path]) -> tuple[list[Entry], list[Broken]]:
    """All voices in the folders, in the order of search, each version once; and what is broken."""
    entries: dict[tuple[str, str], Entry] = {}
    broken: list[Broken] = []
    for place, folder in enumerate(folders):
        for path in _addons(folder):
            before = mark(path)
            try:
                entry = _entry(path, place, before, folders)
            except (PolyvoxError, OSError) as error:
                broken.append(Broken(path, before, str(error)))
                continue
            if entry is not None:
                entries.setdefault(entry.key, entry)
    return list(entries.values()), broken


def mark(path: Path) -> Mark:
    """The mark of a folder or a file; empty if it is gone."""
    try:
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        return tuple((str(p), (state := p.stat()).st_size, state.st_mtime_ns) for p in files)
    except OSError:
        return ()


def newest(version: str) -> tuple[Any, ...]:
    """A key that sorts versions as semantic versioning does (section 11 of its specification)."""
    numbers, _, rest = version.partition("+")[0].partition("-")
    parts = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in rest.split(".")] if rest else []
    return tuple(map(int, numbers.split("."))), not rest, parts


def without_paths(reason: str) -> str:
    """A message for callers: of a path, only the last part."""
    return re.sub(r"(?:[A-Za-z]:)?[^\s':,;]*[/\\]([^\s/\\':,;]+)", r"\1", reason)


def _addons(folder: Path) -> Iterator[Path]:
    try:
        found = sorted(folder.iterdir())
    except OSError:
        return
    for path in found:
        if path.name.startswith("."):
            continue
        if (path / "addon.json").is_file() or (path.suffix == ".addon" and path.is_file()):
            yield path


def _entry(path: Path, place: int, files: Mark, folders: Iterable[Path]) -> Entry | None:
    manifest = read_manifest(path)
    if manifest.kind == "vocoder":
        return None
    vocoder, other = None, None
    if manifest.kind == "acoustic":
        if manifest.vocoder is None:
            raise VoiceError(f"{path}: '{manifest.name}' names no vocoder")
        vocoder = _vocoder(manifest.vocoder, path.parent, folders)
        other = read_manifest(vocoder)
        files += mark(vocoder)
    check_join(manifest, other)
    return Entry(manifest, path, vocoder, other, place, files)


def _vocoder(name: str, beside: Path, folders: Iterable[Path]) -> Path:
    for folder in (beside, *folders):
        for path in (folder / name, folder / f"{name}.addon"):
            if path.is_file() or (path / "addon.json").is_file():
                return path
    return find(name)  # for its message


def _blocks(stack: object) -> Iterator[str]:
    """The types of the blocks that hold no others."""
    if isinstance(stack, list):
        for part in stack:
            yield from _blocks(part)
    elif isinstance(stack, dict):
        inner = [
            v for v in stack.values() if isinstance(v, dict) or (isinstance(v, list) and v and isinstance(v[0], dict))
        ]
        if inner:
            for part in inner:
                yield from _blocks(part)
        elif isinstance(stack.get("type"), str):
            yield stack["type"]
