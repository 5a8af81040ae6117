"""What an addon's architecture is, in words, told from the blocks of its stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyvox.addons import Manifest

WORDS = {
    "Upsampler": ("explicit durations",),
    "AttentionDecoder": ("attention", "autoregressive"),
    "AttentionGuard": ("attention", "autoregressive", "guarded"),
    "FlowDecoder": ("flow matching",),
    "Excitation": ("source and filter",),
    "PhaseRefiner": ("phase refined",),
}
"""Block type -> what having it makes of a model."""

WINDOWED = {"Decoder": "decoder", "Vocoder": "vocoder"}
"""Blocks that run a network over windows -> the role of the network that they take unless the stack names one."""

PLAIN = {
    *("SequenceBlockContainer", "Encoder", "Encoders", "ParallelEncoders"),
    *("StreamablePipeline", "StreamableStack", "Collect", "Emit", "Gain", "Probe", "Tempo"),
}
"""Blocks that any architecture may have; every other type that stands in no table is named as it is."""


def words(manifest: Manifest) -> list[str]:
    """The architecture, each word once, in the order of the stack: `explicit durations`, `windowed decoder`."""
    found = ["end to end"] if manifest.kind == "speech" else []
    for block in blocks(manifest.stack):
        kind = block["type"]
        if kind in WINDOWED:
            named = manifest.networks.get(str(block.get("network")))
            role = named.role if named else WINDOWED[kind]
            found.append(f"windowed {role.replace('_', ' ')}")
        elif kind not in PLAIN:
            found += WORDS.get(kind, (kind,))
    if any(network.state for network in manifest.networks.values()):
        found.append("autoregressive")
    return list(dict.fromkeys(found))


def blocks(stack: object) -> Iterator[Mapping[str, Any]]:
    """All blocks of a stack, those that hold others before those that they hold."""
    if isinstance(stack, list):
        for item in stack:
            yield from blocks(item)
    elif isinstance(stack, dict):
        if isinstance(stack.get("type"), str):
            yield stack
        for value in stack.values():
            yield from blocks(value)
