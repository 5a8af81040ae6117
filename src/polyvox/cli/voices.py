"""`polyvox voices`: the addons that the library knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from polyvox.cli import common

if TYPE_CHECKING:
    from polyvox.addons import Addon


@click.command(
    short_help="List the addons that can be had by name.", epilog="Example: POLYVOX_PATH=~/voices polyvox voices"
)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def voices(as_json: bool) -> None:
    """List the addons that can be had by name: the shipped ones, and those in the folders of POLYVOX_PATH.

    A voice is an acoustic addon joined to a vocoder, or a speech addon. A broken addon is listed with its error.
    """
    from polyvox.addons import Addon, survey

    known, broken = [], []
    for name, path, found in survey():
        if isinstance(found, Addon):
            known.append({"name": name, "path": str(path), **_facts(found)})
        else:
            broken.append({"name": name, "path": str(path), "error": str(found)})
    if as_json:
        common.print_json([*known, *broken])
        return
    if not known and not broken:
        click.echo("There are no addons here; POLYVOX_PATH names folders that hold some.")
    if known:
        rows = [
            (
                v["name"],
                v["version"],
                v["kind"],
                _short(v["languages"]),
                _short(v["speakers"]),
                v["license"],
                common.megabytes(v["bytes"]),
                v["contract"],
                v["vocoder"] or "-",
                " > ".join(v["blocks"]),
            )
            for v in known
        ]
        head = ("name", "version", "kind", "languages", "speakers", "licence", "size", "features", "vocoder", "stack")
        for line in common.table(head, rows, right=(6,)):
            click.echo(line)
    for entry in broken:
        click.echo(f"{common.clean(entry['name'])}  is broken: {common.clean(entry['error'])}")


def _facts(addon: Addon) -> dict[str, Any]:
    manifest = addon.manifest
    features = manifest.features
    return {
        "version": manifest.version,
        "kind": manifest.kind,
        "description": manifest.description,
        "languages": manifest.languages,
        "speakers": manifest.speakers,
        "styles": manifest.styles,
        "license": manifest.license,
        "bytes": addon.files.total(),
        "contract": f"{features.sample_rate / 1000:g} kHz, hop {features.hop_length}, {features.bands} {features.kind}",
        "features": features.model_dump(),
        "vocoder": manifest.vocoder,
        "controls": {name: control.model_dump() for name, control in manifest.controls.items()},
        "blocks": list(leaves(manifest.stack)),
    }


def leaves(stack: object) -> Iterator[str]:
    """The types of the blocks that hold no others, in order: what an architecture is, in short."""
    if isinstance(stack, list):
        for item in stack:
            yield from leaves(item)
    elif isinstance(stack, dict):
        inside = [name for value in stack.values() for name in leaves(value)]
        if inside:
            yield from inside
        elif isinstance(stack.get("type"), str):
            yield stack["type"]


def _short(names: list[str]) -> str:
    if not names:
        return "-"
    return ", ".join(names) if len(names) <= 3 else f"{', '.join(names[:2])} and {len(names) - 2} more"
