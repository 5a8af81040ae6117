"""`polyvox inspect`: an addon's blocks and networks as text or picture, and what one speech costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from polyvox.cli import common
from polyvox.errors import PolyvoxError, VoiceError

if TYPE_CHECKING:
    from polyvox.addons import Addon, Stack
    from polyvox.pictures import Drawing
    from polyvox.pictures.tree import BlockInfo

PANGRAM = "The quick brown fox jumps over the lazy dog."


@click.command(
    short_help="Show the blocks and networks of addons, and what a speech costs.",
    epilog="Examples: polyvox inspect kathleen --picture kathleen.svg; polyvox inspect kathleen --trace spoken;"
    " polyvox inspect kathleen kerstin --picture stacks.svg",
)
@click.argument("names", metavar="ADDON...", nargs=-1, required=True)
@click.option("--vocoder", metavar="NAME|PATH", help="Another vocoder than the one that the addon names.")
@click.option("--target", default="cpu", show_default=True, help="Where and how to run.")
@click.option("--picture", metavar="FILE", help="Draw the blocks: .svg or .png.")
@click.option(
    "--trace",
    "prefix",
    is_flag=False,
    flag_value="trace",
    metavar="[PREFIX]",
    help="Speak once and write PREFIX.png, a timeline, and PREFIX.perfetto.json for ui.perfetto.dev."
    " PREFIX is `trace` unless given.",
)
@click.option("--alignment", metavar="FILE", help="Draw what an attention voice attends to when it speaks: .png.")
@click.option("--text", default=PANGRAM, show_default=True, help="What to speak for --trace and --alignment.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def inspect(
    names: tuple[str, ...],
    vocoder: str | None,
    target: str,
    picture: str | None,
    prefix: str | None,
    alignment: str | None,
    text: str,
    as_json: bool,
) -> None:
    """Show how ADDON, a name or a path, is put together: its blocks, and for an acoustic addon its vocoder's too.

    Several voices, or several vocoders, are shown side by side, with what they share.
    """
    from polyvox.addons import open_addon

    if picture is not None and Path(picture).suffix.lower() not in (".svg", ".png"):
        raise PolyvoxError(f"{picture}: unknown format of pictures; known are .svg, .png")
    if len(names) > 1:
        for option, given in (("--trace", prefix), ("--alignment", alignment)):
            if given is not None:
                raise PolyvoxError(f"{option} is of one addon, and {len(names)} were given")
        _compare(names, vocoder, target, picture, as_json=as_json)
        return
    opened = open_addon(names[0])
    addons = [opened, *_vocoder(opened, vocoder)]
    shown = [(each, _described(each, target)) for each in addons]
    report: dict[str, Any] = {"addons": [_json(each, info) for each, info in shown]}
    if not as_json:
        for number, (each, info) in enumerate(shown):
            if number:
                click.echo()
            _print(each, info)
        if opened.manifest.kind == "acoustic" and len(addons) == 1:
            click.echo(f"\n{opened.manifest.name} names no vocoder; --vocoder shows it with one.")
    if picture is not None:
        _draw(Path(picture), shown)
        report["picture"] = picture
    if prefix is not None:
        report["trace"] = _trace(addons, target, prefix, text, quiet=as_json)
    if alignment is not None:
        _alignment(opened, target, text, Path(alignment))
        report["alignment"] = alignment
    if as_json:
        common.print_json(report)
        return
    if picture is not None:
        click.echo(f"\n{picture}: the blocks")
    if alignment is not None:
        click.echo(f"\n{alignment}: what it attended to")


def _described(addon: Addon, target: str) -> BlockInfo:
    from polyvox.pictures import tree

    stack: Stack = addon.stack(target)
    try:
        return tree.describe(stack)
    finally:
        stack.close()


def _compare(names: tuple[str, ...], vocoder: str | None, target: str, picture: str | None, *, as_json: bool) -> None:
    """Show several voices, or several vocoders, side by side."""
    from polyvox.addons import open_addon
    from polyvox.cli import beside

    opened = [open_addon(name) for name in names]
    kinds = [a.manifest.kind == "vocoder" for a in opened]
    if any(kinds) and not all(kinds):
        odd, other = opened[kinds.index(True)].manifest.name, opened[kinds.index(False)].manifest.name
        raise VoiceError(
            f"'{odd}' is a vocoder and '{other}' is none; show voices beside voices, vocoders beside vocoders"
        )
    known: list[tuple[Addon, BlockInfo]] = []

    def described(addon: Addon) -> tuple[Addon, BlockInfo]:
        found = next((k for k in known if beside.same_addon(k[0], addon)), None)
        if found is None:
            known.append(found := (addon, _described(addon, target)))
        return found

    voices = []
    for addon in opened:
        wanted = vocoder if addon.manifest.kind == "acoustic" else None
        if vocoder is not None and addon.manifest.kind == "vocoder":
            _vocoder(addon, vocoder)
        own = described(addon)
        used = [described(a) for a in _vocoder(addon, wanted)]
        voices.append(beside.Shown(addon, own[1], used[0] if used else None))
    comparison = beside.Comparison(voices)
    if picture is not None:
        _write_picture(Path(picture), comparison.drawing())
    if as_json:
        report = {"addons": [_json(each, info) for each, info in known], "comparison": comparison.json()}
        common.print_json({**report, "picture": picture} if picture is not None else report)
        return
    for line in comparison.lines():
        click.echo(line)
    if picture is not None:
        click.echo(f"\n{picture}: the blocks")


def _vocoder(addon: Addon, wanted: str | None) -> list[Addon]:
    from polyvox.addons import open_addon

    if addon.manifest.kind != "acoustic":
        if wanted is not None:
            raise VoiceError(f"'{addon.manifest.name}' is of kind '{addon.manifest.kind}', which takes no vocoder")
        return []
    if wanted is not None:
        return [open_addon(wanted)]
    if addon.manifest.vocoder is None:
        return []
    return [open_addon(addon.manifest.vocoder, Path(addon.files.where).parent)]


def _size(addon: Addon, name: str) -> int:
    source = addon.source(name)
    return len(source.data) + sum(addon.files.size(location) for location in source.graph.external)


def _json(addon: Addon, info: BlockInfo) -> dict[str, Any]:
    manifest = addon.manifest
    networks = {
        name: {
            **network.model_dump(exclude_none=True, exclude_defaults=True),
            "parameters": addon.source(name).graph.parameters,
            "bytes": _size(addon, name),
        }
        for name, network in manifest.networks.items()
    }
    return {
        "name": manifest.name,
        "version": manifest.version,
        "kind": manifest.kind,
        "path": addon.files.where,
        "blocks": info.json(),
        "networks": networks,
    }


def _print(addon: Addon, info: BlockInfo) -> None:
    from polyvox.pictures import tree

    manifest = addon.manifest
    facts = [manifest.kind, ", ".join(manifest.languages), manifest.license, common.megabytes(addon.files.total())]
    click.echo(common.clean(f"{manifest.name} {manifest.version}  ({'; '.join(f for f in facts if f)})"))
    if manifest.description:
        click.echo(common.clean(manifest.description))
    click.echo()
    for line in tree.lines(info):
        click.echo(line)
    click.echo()
    rows = []
    for name, network in manifest.networks.items():
        spec = network.spec(name)
        stream = spec.stream
        rows.append(
            (
                name,
                network.role,
                ", ".join(tree.shape(n, s) for n, s in spec.wanted().items()),
                ", ".join(tree.shape(n, s) for n, s in spec.outputs.items()),
                f"{stream.context.left}+{stream.context.right} {stream.axis}" if stream else "-",
                common.count(addon.source(name).graph.parameters),
                f"{_size(addon, name) / 1e6:.1f}",
            )
        )
    head = ("network", "role", "inputs", "outputs", "context", "parameters", "MB")
    for line in common.table(head, rows, right=(5, 6)):
        click.echo(line)


def _draw(path: Path, shown: list[tuple[Addon, BlockInfo]]) -> None:
    from polyvox import pictures
    from polyvox.pictures import tree

    _write_picture(path, pictures.boxes([tree.addon_box(each, info) for each, info in shown]))


def _write_picture(path: Path, drawing: Drawing) -> None:
    from polyvox import pictures

    with common.whole_file(path) as file:
        if path.suffix.lower() == ".svg":
            file.write(pictures.svg(drawing).encode())
        else:
            pictures.png(drawing, file)


def _alignment(addon: Addon, target: str, text: str, path: Path) -> None:
    """Speak the first utterance of `text` and draw its attention."""
    import numpy as np

    from polyvox import pictures
    from polyvox.blocks import connect
    from polyvox.tensors import join
    from polyvox.text import front_end, utterances

    settings = addon.manifest.text
    if settings is None:
        raise VoiceError(f"'{addon.manifest.name}' is a vocoder, which attends to nothing")
    speaker = front_end(settings.frontend, settings.language)
    part = next(
        utterances(
            text, speaker, addon.symbols, max_tokens=settings.max_tokens,
            start=settings.start, end=settings.end, between=settings.between,
        )
    )  # fmt: skip
    given = {n: np.asarray(c.default, dtype=np.float32) for n, c in addon.manifest.controls.items()}
    stack = addon.stack(target)
    try:
        made = join(list(connect(stack.block, {**given, "tokens": part.tokens, "speaker": np.asarray(0)})))
    finally:
        stack.close()
    if "attention" not in made:
        raise VoiceError(f"'{addon.manifest.name}' has no attention to draw; its stack has no AttentionDecoder")
    with common.whole_file(path) as file:
        pictures.alignment(made["attention"], file, part.symbols, part.text, made.get("attention_fault"))


def _trace(addons: list[Addon], target: str, prefix: str, text: str, *, quiet: bool) -> dict[str, Any]:
    from polyvox import pictures
    from polyvox.cli import stages
    from polyvox.tracing import Trace
    from polyvox.voice import Voice

    if addons[0].manifest.kind == "vocoder":
        raise VoiceError(f"'{addons[0].manifest.name}' is a vocoder, which speaks no text; trace an acoustic addon")
    if addons[0].manifest.kind == "acoustic" and len(addons) == 1:
        raise VoiceError(f"'{addons[0].manifest.name}' names no vocoder; give one with --vocoder")
    trace = Trace()
    voice = Voice(*addons, target=target, trace=trace)
    try:
        stages.speak(voice, text)  # the first speech warms caches up and is no measure
        spoken = stages.speak(voice, text, trace=trace)
    finally:
        voice.close()
    found = stages.stages(trace, spoken.took)
    picture, events = Path(f"{prefix}.png"), Path(f"{prefix}.perfetto.json")
    share = {s.name: f"{1e3 * s.seconds:.1f} ms, {100 * s.share:.0f} %" for s in found}
    title = (
        f"{voice.name} on {target}: {spoken.audio:.2f} s of speech in {1e3 * spoken.took:.0f} ms,"
        f" {100 * found[-1].share:.0f} % of it the framework's own"
    )
    with common.whole_file(events) as events_file, common.whole_file(picture) as picture_file:
        events_file.write(json.dumps(trace.perfetto()).encode())
        pictures.timeline(trace.spans, picture_file, title, share)
    if not quiet:
        click.echo(f"\nOne speech of {spoken.audio:.2f} s: {common.clean(text)}\n")
        for line in common.table(stages.HEAD, stages.rows(found), right=(1, 2, 3, 4)):
            click.echo(line)
        click.echo(
            f"\nfirst audio after {common.milliseconds(spoken.first)}, all after {common.milliseconds(spoken.took)},"
            f" real-time factor {spoken.factor:.3f}"
        )
        click.echo(f"{picture}: the timeline\n{events}: for https://ui.perfetto.dev")
    return {
        "text": text,
        "seconds": round(spoken.audio, 4),
        "ms": round(1e3 * spoken.took, 3),
        "first_audio_ms": round(1e3 * spoken.first, 3),
        "real_time_factor": round(spoken.factor, 4),
        "stages": [s.json() for s in found],
        "files": [str(picture), str(events)],
    }
