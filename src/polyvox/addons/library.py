"""The library: the addons that this process knows, loaded or not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from polyvox.addons.addon import MANIFEST, Addon
from polyvox.addons.files import open_files
from polyvox.addons.manifest import Manifest, parse
from polyvox.errors import AddonError, PolyvoxError, VoiceError

SEARCH_PATH = "POLYVOX_PATH"
"""Environment variable: folders with addons of your own, searched before the shipped ones."""

SHIPPED = Path(__file__).resolve().parent.parent / "voices"


def folders() -> list[Path]:
    """Where addons are searched by name, first match first."""
    own = [Path(p).expanduser() for p in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if p]
    return [*own, SHIPPED]


def _entries() -> Iterator[tuple[str, Path]]:
    for folder in folders():
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            if path.is_dir() and (path / MANIFEST).is_file():
                yield path.name, path
            elif path.suffix == ".addon" and path.is_file():
                yield path.stem, path


def available() -> dict[str, Path]:
    """The addons that can be had by name, and where each lies."""
    found: dict[str, Path] = {}
    for name, path in _entries():
        found.setdefault(name, path)
    return found


def find(name_or_path: str | Path, beside: Path | None = None) -> Path:
    """Where an addon lies.

    A text with a path separator or an ending `.addon`, or a Path, is a path; anything else is a name, searched
    `beside` another addon first.

    Raises:
        VoiceError: no addon has that name; the message lists those that are there.
    """
    if isinstance(name_or_path, Path) or os.sep in name_or_path or "/" in name_or_path:
        return Path(name_or_path)
    if name_or_path.endswith(".addon"):
        return Path(name_or_path)
    if beside is not None and name_or_path not in ("", ".", ".."):
        for candidate in (beside / name_or_path, beside / f"{name_or_path}.addon"):
            if candidate.is_file() or (candidate / MANIFEST).is_file():
                return candidate
    known = available()
    if name_or_path not in known:
        names = ", ".join(sorted(known)) or "none"
        raise VoiceError(f"'{name_or_path}' is no addon here; there are {names} (a path to one works too)")
    return known[name_or_path]


def open_addon(name_or_path: str | Path, beside: Path | None = None) -> Addon:
    """Open and check an addon by name or path."""
    return Addon.open(find(name_or_path, beside))


def read_manifest(path: Path) -> Manifest:
    """Parse the addon.json of a folder or an `.addon` file, and nothing else: its networks are not even read.

    Raises:
        AddonError: there is no addon, it holds what it must not hold, or its addon.json is wrong.
    """
    files = open_files(path)
    return parse(files.text(MANIFEST), f"{files.where}/{MANIFEST}")


def manifests() -> Iterator[tuple[str, Path, Manifest | AddonError]]:
    """What addon.json says of all addons that can be had by name; of a broken one, its error.

    In the order in which they are searched: the folders of POLYVOX_PATH as they stand there, then the shipped ones;
    by name within each.
    """
    for name, path in available().items():
        try:
            yield name, path, read_manifest(path)
        except AddonError as error:
            yield name, path, error


def survey() -> Iterator[tuple[str, Path, Addon | PolyvoxError]]:
    """All addons that can be had by name, opened; a broken one comes with its error."""
    for name, path in sorted(available().items()):
        try:
            yield name, path, Addon.open(path)
        except AddonError as error:
            yield name, path, error
