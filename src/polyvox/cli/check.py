"""`polyvox check`: run an addon in every way and compare."""

from __future__ import annotations

import json
import sys

import click


@click.command(epilog="Example: polyvox check kathleen")
@click.argument("addon")
@click.option("--vocoder", help="Another vocoder than the one that the addon names, by name or path.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
def check(addon: str, vocoder: str | None, as_json: bool) -> None:
    """Check ADDON, a name or a path: manifest, stack, declared context, chunked against whole, fixed against dynamic.

    Exits with 1 if a check fails.
    """
    from polyvox.checking import check as run_checks

    findings = []
    for finding in run_checks(addon, vocoder):
        findings.append(finding)
        if not as_json:
            sign = {True: "ok  ", False: "FAIL", None: "    "}[finding.ok]
            click.echo(f"{sign}  {finding.check}: {finding.detail}")
    if as_json:
        rows = [
            {"check": f.check, "ok": f.ok, "detail": f.detail, "figures": {k: _plain(v) for k, v in f.figures.items()}}
            for f in findings
        ]
        click.echo(json.dumps(rows, indent=2))
    if any(f.ok is False for f in findings):
        sys.exit(1)


def _plain(value: float) -> float | str:
    """JSON has no infinity."""
    return value if abs(value) != float("inf") else "infinite"
