"""`polyvox serve`: the voice service."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from polyvox.cli import common
from polyvox.errors import MissingExtraError, PolyvoxError

if TYPE_CHECKING:
    from polyvox.service.settings import Settings
    from polyvox.service.shelf import VoiceInfo

EXTRA = "serve"
PACKAGES = {
    "fastapi": "fastapi",
    "uvicorn": "uvicorn",
    "httptools": "httptools",
    "websockets": "websockets",
    "av": "av",
    "prometheus_client": "prometheus-client",
    "wyoming": "wyoming",
}
"""Module -> what installs it, in the order in which they are missed."""

LISTED = 5
"""Names that a line of `--check` lists."""


@click.command(
    short_help="Serve voices over HTTP, WebSocket and Wyoming.",
    epilog="Example: polyvox serve --port 8080 --voice kathleen",
)
@click.option("--host", help="The address to listen on; 127.0.0.1 unless given. Any that is not loopback needs keys.")
@click.option("--port", type=click.IntRange(0, 65535), help="The TCP port; 8080 unless given, 0 takes a free one.")
@click.option("--config", "config", type=click.Path(path_type=Path), help="A TOML file of settings.")
@click.option("--voice", "voices", multiple=True, help="Load this voice at the start and keep it. Repeatable.")
@click.option("--wyoming-port", type=click.IntRange(0, 65535), help="The port of Wyoming; 10200 unless given.")
@click.option("--check", is_flag=True, help="Check the settings and every voice, say what would be served, and end.")
def serve(
    host: str | None,
    port: int | None,
    config: Path | None,
    voices: tuple[str, ...],
    wyoming_port: int | None,
    check: bool,
) -> None:
    """Serve voices: OpenAI's speech API, a WebSocket for text in pieces, Wyoming for Home Assistant, and a page.

    Without settings it serves the addons of POLYVOX_PATH and the shipped ones on 127.0.0.1:8080. Settings come from a
    TOML file; environment variables such as POLYVOX_SERVE__PORT go before it, and options before those.
    """
    require()
    from polyvox.service.settings import Settings

    said = {"HOST": host, "PORT": port, "WYOMING__PORT": wyoming_port}
    if voices:
        said["VOICES__PINNED"] = json.dumps(voices)
    settings = Settings.load(config, {**os.environ, **_variables(said)})
    if check:
        _check(settings)
        return
    from polyvox.service.server import run

    run(settings, click.echo)


def require() -> None:
    """Refuse if a package is missing.

    Raises:
        MissingExtraError: the extra is not installed; the message says how to.
    """
    for module, package in PACKAGES.items():
        if find_spec(module) is None:
            raise MissingExtraError(package, EXTRA, "the voice service")


def _variables(said: Mapping[str, object]) -> Mapping[str, str]:
    """The options as the variables that say the same, so that one place judges them all."""
    return {f"POLYVOX_SERVE__{name}": str(value) for name, value in said.items() if value is not None}


def _check(settings: Settings) -> None:
    """Load every voice once and say what would be served.

    Raises:
        PolyvoxError: something of it cannot be.
    """
    import asyncio

    from polyvox.service.engine import Engine
    from polyvox.service.keys import Keys

    Keys.of(settings)

    async def survey() -> tuple[list[tuple[object, ...]], list[str]]:
        engine = Engine(settings)
        await engine.start()
        rows: list[tuple[object, ...]] = []
        try:
            for info in engine.voices():
                try:
                    async with engine.shelf.borrow(f"{info.name}@{info.version}"):
                        pass
                except PolyvoxError:
                    continue
                names = ", ".join(info.aliases) or "-"
                rows.append((info.name, info.version, _short(info.languages), _speakers(info), names))
            wrong = list(dict.fromkeys(engine.shelf.refused().values()))
        finally:
            await engine.stop(0)
        return rows, wrong

    rows, wrong = asyncio.run(survey())
    for line in common.table(("voice", "version", "languages", "speakers", "aliases"), rows):
        click.echo(line)
    number = len(settings.keys.clients)
    keys = f"{number} key{'' if number == 1 else 's'}" if settings.keys_required else "no key needed"
    click.echo(f"HTTP at {_address(settings.host, settings.port)}, {keys}")
    if settings.wyoming.enabled:
        click.echo(f"Wyoming at {_address(settings.wyoming_host, settings.wyoming.port)}, which knows no keys")
    if not rows:
        wrong.append("there is no voice to serve")
    for reason in wrong:
        click.echo(f"broken: {common.clean(reason)}", err=True)
    if wrong:
        raise PolyvoxError(f"{len(wrong)} thing{'s are' if len(wrong) > 1 else ' is'} wrong with what would be served")


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _short(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) or "-"


def _speakers(info: VoiceInfo) -> str:
    return _short([speaker.name for speaker in info.speakers if speaker.name is not None])
