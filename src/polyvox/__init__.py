"""Polyvox serves text-to-speech models: one addon, streamed, on any target.

import polyvox

voice = polyvox.load("kathleen")
for chunk in voice.stream("Good morning.", speed=1.1):
    play(chunk.samples, chunk.sample_rate)
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyvox.blocks import SequenceBlock, StreamableBlock, block
    from polyvox.choosing import Choice, choose
    from polyvox.errors import PolyvoxError
    from polyvox.voice import Voice, load

__version__ = "0.1.0"

# ONNX Runtime reports its use to its maker, and keeps what it has not sent in the user's cache. What a service says is
# nobody else's business: it is off, unless somebody has decided about it before. It is read when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "Choice",
    "PolyvoxError",
    "SequenceBlock",
    "StreamableBlock",
    "Voice",
    "__version__",
    "block",
    "choose",
    "load",
]

# Imported when first used, so that `polyvox --help` waits for none of them.
_HOMES = {
    "Choice": "polyvox.choosing",
    "PolyvoxError": "polyvox.errors",
    "SequenceBlock": "polyvox.blocks",
    "StreamableBlock": "polyvox.blocks",
    "Voice": "polyvox.voice",
    "block": "polyvox.blocks",
    "choose": "polyvox.choosing",
    "load": "polyvox.voice",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'polyvox' has no attribute '{name}'")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
