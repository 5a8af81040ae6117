"""`polyvox pack`: a folder with an addon -> one `.addon` file."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from polyvox.cli import common
from polyvox.errors import AddonError

if TYPE_CHECKING:
    from polyvox.addons import Addon

# The oldest time that a zip archive can hold: the same files make the same archive, whenever packed.
EPOCH = (1980, 1, 1, 0, 0, 0)


@click.command(short_help="Put an addon into one file.", epilog="Example: polyvox pack work/kathleen -o kathleen.addon")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="FILE", help="The file; NAME.addon with the addon's name unless given.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors.")
def pack(folder: Path, output: str | None, quiet: bool) -> None:
    """Check the addon in FOLDER and put it into one file, which works wherever the folder does.

    The same files always make the same bytes.
    """
    from polyvox.addons import Addon

    if not folder.is_dir():
        raise AddonError(f"{folder}: is no folder; expected one with an addon.json")
    addon = Addon.open(folder)
    path = Path(output) if output is not None else Path(f"{addon.manifest.name}.addon")
    if path.suffix != ".addon":
        raise AddonError(f"{path}: expected a name that ends in .addon")
    if path.resolve().is_relative_to(folder.resolve()):
        raise AddonError(f"{path}: lies in the folder that is packed; choose another place")
    _refuse_external(addon)
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir())
    with common.whole_file(path) as file:
        write(addon, names, file)
    if not quiet:
        click.echo(f"{path}: {len(names)} files, {common.megabytes(path.stat().st_size)}", err=True)


def write(addon: Addon, names: list[str], file: IO[bytes]) -> None:
    """Write the addon's files as an archive.

    They are stored, not compressed: weights hardly shrink, loading is quicker, and no version of a compressor makes
    other bytes.
    """
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3  # as on Unix, wherever this runs
            archive.writestr(entry, addon.files.read(name))


def _refuse_external(addon: Addon) -> None:
    for name in addon.manifest.networks:
        graph = addon.source(name).graph
        if graph.external:
            raise AddonError(
                f"{addon.where}: networks.{name} keeps data in '{min(graph.external)}';"
                " in an .addon file, data stands inside the graph"
            )
