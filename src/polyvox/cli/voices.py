"""`polyvox voices`: the addons that the library knows, and how fast they are here."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from polyvox.cli import common

if TYPE_CHECKING:
    from polyvox.addons import Addon, Manifest
    from polyvox.cli.speeds import Speed, Speeds

WIDTH = 120
"""Columns of the table."""
HEAD = ("name", "version", "kind", "languages", "licence", "size", "parameters", "real-time factor")
TO_MEASURE = (
    "-: not measured here yet; 'polyvox voices --measure' speaks a sentence with each voice and keeps the figure."
)


@click.command(
    short_help="List the addons that can be had by name.",
    epilog="Examples: POLYVOX_PATH=~/voices polyvox voices; polyvox voices --measure",
)
@click.option("--measure", is_flag=True, help="Speak a sentence in each language of each voice, and keep how fast.")
@click.option("--target", default="cpu", show_default=True, help="The target that the real-time factors are of.")
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
def voices(measure: bool, target: str, as_json: bool) -> None:
    """List the addons that can be had by name: the shipped ones, and those in the folders of POLYVOX_PATH.

    A voice is an acoustic addon joined to a vocoder, or a speech addon. The real-time factor is what --measure found on
    this machine: seconds of work for a second of speech. A broken addon is listed with its error.
    """
    from polyvox.addons import Addon, survey
    from polyvox.cli.speeds import Speeds
    from polyvox.networks import target as known_target

    known_target(target)  # refuses an unknown one
    speeds = Speeds()
    known, broken = [], []
    for name, path, found in survey():
        if isinstance(found, Addon):
            known.append(
                {"name": name, "path": str(path), **_facts(found), **_speed(found, path, target, speeds, measure)}
            )
        else:
            broken.append({"name": name, "path": str(path), "error": str(found)})
    if as_json:
        common.print_json([*known, *broken])
        return
    if not known and not broken:
        click.echo("There are no addons here; POLYVOX_PATH names folders that hold some.")
    if known:
        rows = [_row(v) for v in known]
        head, *lines = common.table(HEAD, rows, right=(5, 6, 7))
        click.echo(head)
        for line, v in zip(lines, known, strict=True):
            click.echo(line)
            details = common.clean("; ".join(_details(v)))
            click.echo(textwrap.fill(details, WIDTH, initial_indent="    ", subsequent_indent="    "))
    for entry in broken:
        click.echo(f"{common.clean(entry['name'])}  is broken: {common.clean(entry['error'])}")
    for v in known:
        if "problem" in v:
            click.echo(f"{common.clean(v['name'])}  {common.clean(v['problem'])}")
    if any(row[-1] == "-" for row in (rows if known else [])):
        click.echo(f"\n{TO_MEASURE}")


def _row(v: dict[str, Any]) -> tuple[str, ...]:
    return (
        v["name"],
        v["version"],
        v["kind"],
        _short(v["languages"]),
        v["license"],
        common.megabytes(v["bytes"]),
        common.count(v["parameters"]),
        "" if v["kind"] == "vocoder" else _factor(v["real_time_factors"]),
    )


def _details(v: dict[str, Any]) -> list[str]:
    """What stands below an addon's line."""
    found = [", ".join(v["architecture"]), v["contract"]]
    if v["vocoder"]:
        found.append(f"through {v['vocoder']}")
    if v["speakers"]:
        tell = len(v["languages"]) > 1
        each = [f"{s} ({', '.join(v['speaker_languages'][s])})" if tell else s for s in v["speakers"]]
        found.append(f"{'speaker' if len(each) == 1 else 'speakers'} {_short(each)}")
    return [part for part in found if part]


def _facts(addon: Addon) -> dict[str, Any]:
    from polyvox.cli import architecture

    manifest = addon.manifest
    features = manifest.features
    return {
        "version": manifest.version,
        "kind": manifest.kind,
        "description": manifest.description,
        "languages": manifest.languages,
        "speakers": manifest.speakers,
        "speaker_languages": {speaker: manifest.languages_of(speaker) for speaker in manifest.speakers},
        "styles": manifest.styles,
        "license": manifest.license,
        "bytes": addon.files.total(),
        "parameters": sum(addon.source(name).graph.parameters for name in manifest.networks),
        "contract": f"{features.sample_rate / 1000:g} kHz, hop {features.hop_length}, {features.bands} {features.kind}",
        "features": features.model_dump(),
        "vocoder": manifest.vocoder,
        "controls": {name: control.model_dump() for name, control in manifest.controls.items()},
        "architecture": architecture.words(manifest),
        "blocks": [block["type"] for block in architecture.blocks(manifest.stack)],
    }


def _speed(addon: Addon, path: Path, target: str, speeds: Speeds, measure: bool) -> dict[str, Any]:
    """The real-time factors that are known of a voice, after measuring them if that is wished."""
    from polyvox.cli import speeds as measuring
    from polyvox.errors import PolyvoxError

    manifest = addon.manifest
    if manifest.kind == "vocoder":
        return {}
    try:
        vocoder = _vocoder(manifest, path)
        if not measure:
            return {"real_time_factors": [speed.json() for speed in speeds.of(addon, vocoder, target)]}
        if sys.stderr.isatty():
            click.echo(f"\r\033[Kmeasuring {common.clean(manifest.name)}", nl=False, err=True)
        found: list[Speed] = list(measuring.measure(path, target))
    except PolyvoxError as error:
        return {"real_time_factors": [], **({"problem": f"was not measured: {error}"} if measure else {})}
    finally:
        if measure and sys.stderr.isatty():
            click.echo("\r\033[K", nl=False, err=True)
    made: dict[str, Any] = {"real_time_factors": [speed.json() for speed in found]}
    try:
        speeds.keep(addon, vocoder, target, found)
    except PolyvoxError as error:
        made["problem"] = f"was measured, but the figure is not kept: {error}"
    return made


def _vocoder(manifest: Manifest, path: Path) -> Addon | None:
    from polyvox.addons import open_addon

    return None if manifest.vocoder is None else open_addon(manifest.vocoder, path.parent)


def _factor(speeds: Sequence[dict[str, Any]]) -> str:
    """`0.045`, or from the fastest to the slowest language; `-` if nothing is known."""
    factors = sorted({f"{speed['factor']:.3f}" for speed in speeds}, key=float)
    return "-" if not factors else factors[0] if len(factors) == 1 else f"{factors[0]} to {factors[-1]}"


def _short(names: Sequence[str]) -> str:
    if not names:
        return "-"
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
