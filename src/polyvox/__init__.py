"""Polyvox serves text-to-speech models: one addon, streamed, on any target.

import polyvox

voice = polyvox.load("kathleen")
for chunk in voice.stream("Good morning.", speed=1.1):
    play(chunk.samples, chunk.sample_rate)
"""

from polyvox.blocks import SequenceBlock, StreamableBlock, block
from polyvox.errors import PolyvoxError
from polyvox.voice import Voice, load

__version__ = "0.1.0"

__all__ = ["PolyvoxError", "SequenceBlock", "StreamableBlock", "Voice", "__version__", "block", "load"]
