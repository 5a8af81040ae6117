"""`polyvox check`: run an addon in every way and compare."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from polyvox.cli import common

if TYPE_CHECKING:
    from polyvox.quality.gate import Gate
    from polyvox.quality.tables import Table

T = TypeVar("T")
BAR = 24
"""Characters of the progress bar."""


@click.command(short_help="Run an addon in every way and compare.", epilog="Example: polyvox check kathleen")
@click.argument("addon")
@click.option("--vocoder", metavar="NAME|PATH", help="Another vocoder than the one that the addon names.")
@click.option(
    "--reference",
    metavar="FOLDER",
    type=click.Path(path_type=Path),
    help="Recordings and texts to measure its quality against.",
)
@click.option("--split", help="Which split of the reference; `dev` where it has splits.")
@click.option("--limit", type=click.IntRange(1), help="Measure on so many clips, spread evenly; 60 unless given.")
@click.option("--limits", multiple=True, metavar="KEY=VALUE", help="Another quality limit: `--limits dnsmos=0.1`.")
@click.option("--speaker", help="Which of the voice's speakers the reference is of.")
@click.option("--jobs", type=click.IntRange(1), help="Processes that measure; one a core unless given.")
@click.option(
    "--keep", metavar="FOLDER", type=click.Path(path_type=Path), help="Keep the audio that was measured, to listen to."
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(addon: str, vocoder: str | None, reference: Path | None, as_json: bool, **measuring: Any) -> None:
    """Check ADDON, a name or a path: manifest, stack, declared context, chunked against whole, fixed against dynamic.

    With --reference, a folder of recordings and texts, it is also measured against them: a table with its anchors,
    and how far it may stay behind. A vocoder: dnsmos=0.2 (below the recordings') and pesq=0 (above Griffin-Lim's).
    A voice: dnsmos=0.3, word-errors=5 (points above the recordings') and length=15 (percent).

    Exits with 1 if a check fails.
    """
    from polyvox.checking import check as run_checks

    if reference is None:
        unused = [name for name, value in measuring.items() if value]
        if unused:
            raise click.UsageError(f"--{unused[0]} needs --reference")
    gate = None if reference is None else _gate(reference, **measuring)
    findings = []
    for finding in run_checks(addon, vocoder, gate):
        findings.append(finding)
        if not as_json:
            sign = {True: "ok  ", False: "FAIL", None: "    "}[finding.ok]
            click.echo(f"{sign}  {finding.check}: {common.clean(finding.detail)}")
            if finding.table is not None:
                click.echo("\n" + "\n".join(_lines(finding.table)) + "\n")
    if as_json:
        rows = []
        for f in findings:
            figures = {k: _plain(v) for k, v in f.figures.items()}
            row = {"check": f.check, "ok": f.ok, "detail": f.detail, "figures": figures}
            rows.append(row if f.table is None else {**row, "table": f.table.json()})
        common.print_json(rows)
    if any(f.ok is False for f in findings):
        sys.exit(1)


def _gate(
    reference: Path,
    split: str | None,
    limit: int | None,
    limits: tuple[str, ...],
    speaker: str | None,
    jobs: int | None,
    keep: Path | None,
) -> Gate:
    from polyvox.quality.gate import Gate

    chosen = {}
    for entry in limits:
        name, _, value = entry.partition("=")
        try:
            chosen[name] = float(value)
        except ValueError:
            raise click.UsageError(f"--limits {entry}: expected KEY=VALUE with a number, such as dnsmos=0.1") from None
    return Gate.open(
        reference,
        split=split,
        limit=limit,
        limits=chosen,
        jobs=jobs or os.cpu_count() or 1,
        speaker=speaker,
        keep=keep,
        track=_track,
    )


def _track(items: Iterable[T], title: str, total: int, /) -> Iterator[T]:
    """Pass items on, with a progress bar on standard error if that is a terminal."""
    shown = sys.stderr.isatty()
    try:
        for done, item in enumerate(items):
            if shown:
                full = BAR * done // total
                bar = "#" * full + "." * (BAR - full)
                click.echo(f"\r\033[K[{bar}] {done}/{total} {common.clean(title)}", nl=False, err=True)
            yield item
    finally:
        if shown:
            click.echo("\r\033[K", nl=False, err=True)


def _lines(table: Table) -> list[str]:
    """The table for a terminal: every figure with its 95% interval below it."""
    heads = [textwrap.wrap(figure.title, 13) for figure in table.figures]
    depth = max(len(head) for head in heads)
    columns = [["", *[""] * (depth - 1)], ["clips", *[""] * (depth - 1)]]
    columns += [[*head, *[""] * (depth - len(head))] for head in heads]
    for name, clips, cells in table.cells():
        columns[0] += [common.clean(name.replace("`", "")), ""]
        columns[1] += [str(clips), ""]
        for column, (value, interval) in zip(columns[2:], cells, strict=True):
            column += [value, interval]
    widths = [max(map(len, column)) for column in columns]
    aligned = [
        [cell.ljust(width) if i == 0 else cell.rjust(width) for cell in column]
        for i, (column, width) in enumerate(zip(columns, widths, strict=True))
    ]
    return ["  ".join(line).rstrip() for line in zip(*aligned, strict=True) if any(cell.strip() for cell in line)]


def _plain(value: float) -> float | str:
    """JSON has no infinity."""
    return value if abs(value) != float("inf") else "infinite"
