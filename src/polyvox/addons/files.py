"""The files of an addon, a folder or one `.addon` file (a zip archive), read without trust."""

from __future__ import annotations

import stat
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath

from polyvox.errors import AddonError

MAX_FILES = 1000
MAX_BYTES = 4 << 30
"""Of all files of one addon, unpacked."""
MAX_TEXT = 4 << 20
"""Of addon.json and of text data."""
SUFFIXES = {".json", ".onnx", ".txt", ".md", ".bin", ".data", ".csv", ".png", ".svg", ".wav", ".flac", ".opus"}
"""What an addon may hold besides files without a suffix (LICENSE): data, nothing that anything would execute."""


def check_path(name: str, where: str) -> PurePosixPath:
    """Accept only a plain path downwards.

    Raises:
        AddonError: absolute, with `..`, with a backslash, a drive or a NUL.
    """
    path = PurePosixPath(name)
    bad = not name or path.is_absolute() or ".." in path.parts or any(c in name for c in "\\:\0")
    if bad or path == PurePosixPath("."):
        raise AddonError(f"{where}: the path {name!r} leaves the addon; expected one inside it, such as 'decoder.onnx'")
    return path


def check_suffix(path: PurePosixPath, where: str) -> None:
    """Refuse files that something might execute or unpickle."""
    if path.suffix.lower() not in SUFFIXES and path.suffix:
        raise AddonError(f"{where}: holds '{path}'; an addon holds only data: {', '.join(sorted(SUFFIXES))}")


class Files(ABC):
    """What an addon holds."""

    where: str
    """The addon's path, for messages."""

    folder: Path | None = None
    """The folder, if it is one."""

    @abstractmethod
    def size(self, name: str) -> int:
        """The bytes of a file; AddonError if it is missing or not inside."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of a file; AddonError if it is missing or not inside."""

    @abstractmethod
    def total(self) -> int:
        """The bytes of all files."""

    def text(self, name: str) -> str:
        """The content of a text file.

        Raises:
            AddonError: missing, too large, or not UTF-8.
        """
        if self.size(name) > MAX_TEXT:
            raise AddonError(f"{self.where}: '{name}' has {self.size(name)} bytes, expected at most {MAX_TEXT}")
        try:
            return self.read(name).decode("utf-8")
        except UnicodeDecodeError:
            raise AddonError(f"{self.where}: '{name}' is not UTF-8 text") from None


class FolderFiles(Files):
    """An addon in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.where = str(folder)
        self._root = folder.resolve()
        self._total = 0
        for count, path in enumerate(p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir()):
            if count >= MAX_FILES:
                raise AddonError(f"{folder}: holds more than {MAX_FILES} files")
            inside = PurePosixPath(path.relative_to(folder).as_posix())
            if "__pycache__" in inside.parts or inside.name.startswith("."):
                raise AddonError(f"{folder}: holds '{inside}', which is no part of an addon")
            check_suffix(inside, self.where)
            self._total += self._resolve(str(inside)).stat().st_size
        if self._total > MAX_BYTES:
            raise AddonError(f"{folder}: holds {self._total} bytes, expected at most {MAX_BYTES}")

    def _resolve(self, name: str) -> Path:
        try:
            path = (self._root / check_path(name, self.where)).resolve()
        except (OSError, RuntimeError):  # a link that points at itself
            raise AddonError(f"{self.where}: '{name}' is a link that leads nowhere") from None
        if not path.is_relative_to(self._root):
            raise AddonError(f"{self.where}: '{name}' is a link that leaves the addon")
        if not path.is_file():
            raise AddonError(f"{self.where}: the file '{name}' is missing")
        return path

    def size(self, name: str) -> int:
        """The bytes of a file."""
        return self._resolve(name).stat().st_size

    def read(self, name: str) -> bytes:
        """The content of a file."""
        try:
            return self._resolve(name).read_bytes()
        except OSError as error:
            raise AddonError(f"{self.where}: '{name}' cannot be read: {error.strerror or error}") from None

    def total(self) -> int:
        """The bytes of all files."""
        return self._total


class ArchiveFiles(Files):
    """An addon in one file. Nothing is unpacked to disk; every size is checked before it is read."""

    def __init__(self, path: Path) -> None:
        self.where = str(path)
        try:
            self._zip = zipfile.ZipFile(path)
        except Exception as error:  # damage shows as errors of a dozen kinds, without a common base
            raise AddonError(f"{path}: not an .addon file (a zip archive): {error}") from None
        entries = self._zip.infolist()
        if len(entries) > MAX_FILES:
            raise AddonError(f"{path}: holds {len(entries)} files, expected at most {MAX_FILES}")
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in entries:
            inside = check_path(entry.filename, self.where)
            if stat.S_ISLNK(entry.external_attr >> 16):
                raise AddonError(f"{path}: '{inside}' is a link; an archive may hold none")
            if entry.is_dir():
                continue
            check_suffix(inside, self.where)
            if str(inside) in self._entries:
                raise AddonError(f"{path}: holds '{inside}' twice")
            self._entries[str(inside)] = entry
        if self.total() > MAX_BYTES:
            raise AddonError(f"{path}: unpacks to {self.total()} bytes, expected at most {MAX_BYTES}")

    def _entry(self, name: str) -> zipfile.ZipInfo:
        entry = self._entries.get(str(check_path(name, self.where)))
        if entry is None:
            raise AddonError(f"{self.where}: the file '{name}' is missing")
        return entry

    def size(self, name: str) -> int:
        """The unpacked bytes of a file."""
        return self._entry(name).file_size

    def read(self, name: str) -> bytes:
        """The content of a file; never more than the archive's table says."""
        entry = self._entry(name)
        try:
            with self._zip.open(entry) as stream:
                data = stream.read(entry.file_size + 1)
        except Exception as error:  # as above: zlib's, lzma's, zipfile's own
            raise AddonError(f"{self.where}: '{name}' cannot be read: {error}") from None
        if len(data) != entry.file_size:
            raise AddonError(f"{self.where}: '{name}' has another size than the archive says")
        return data

    def total(self) -> int:
        """The unpacked bytes of all files."""
        return sum(entry.file_size for entry in self._entries.values())


def open_files(path: Path) -> Files:
    """Open a folder or an `.addon` file.

    Raises:
        AddonError: there is neither at `path`, or it holds what an addon must not hold.
    """
    if path.is_dir():
        return FolderFiles(path)
    if path.is_file():
        return ArchiveFiles(path)
    raise AddonError(f"{path}: not found; expected an addon, a folder or an .addon file")
