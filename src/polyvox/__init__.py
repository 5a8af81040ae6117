"""Polyvox serves text-to-speech models: one addon, streamed, on any target.

import polyvox

voice = polyvox.load("kathleen")
for chunk in voice.stream("Good morning.", speed=1.1):
    play(chunk.samples, chunk.sample_rate)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from polyvox.blocks import SequenceBlock, StreamableBlock, block
    from polyvox.errors import PolyvoxError
    from polyvox.voice import Voice, load

__version__ = "0.1.0"

__all__ = ["PolyvoxError", "SequenceBlock", "StreamableBlock", "Voice", "__version__", "block", "load"]

# Imported when first used, so that `polyvox --help` waits for none of them.
_HOMES = {
    "PolyvoxError": "polyvox.errors",
    "SequenceBlock": "polyvox.blocks",
    "StreamableBlock": "polyvox.blocks",
    "Voice": "polyvox.voice",
    "block": "polyvox.blocks",
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
