"""What several commands share: tables, figures for people, files that are whole or absent."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import click

from polyvox.errors import PolyvoxError
from polyvox.wording import clean as clean
from polyvox.wording import count as count


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def table(head: Sequence[str], rows: Sequence[Sequence[object]], right: Sequence[int] = ()) -> list[str]:
    """Aligned lines under a head in capitals; the columns in `right` are set to the right."""
    cells = [[name.upper() for name in head], *([clean(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def megabytes(size: float) -> str:
    """`12.3 MB`."""
    return f"{size / 1e6:.1f} MB"


def milliseconds(seconds: float) -> str:
    """`38 ms`; small times with more digits."""
    value = seconds * 1e3
    return f"{value:.0f} ms" if value >= 20 else f"{value:.1f} ms" if value >= 1 else f"{value:.2f} ms"


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """A file to write that appears at `path` when the body has succeeded, and not at all otherwise.

    Raises:
        PolyvoxError: the folder cannot be written to; that shows before the body runs.
    """
    if path.is_dir():
        raise PolyvoxError(f"{path}: is a folder, expected a file")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise PolyvoxError(f"{path}: cannot be written: {error.strerror or error}") from None
    temporary = Path(name)
    try:
        # Temporary files are private; a finished one has the permissions that any new file has.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        with os.fdopen(handle, "w+b") as file:
            yield file
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise PolyvoxError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)
