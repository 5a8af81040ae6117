"""The two abstractions, the standard blocks, the registry, and stack -> blocks."""

from polyvox.blocks.attention import AttentionDecoder
from polyvox.blocks.attention_guard import AttentionGuard
from polyvox.blocks.block import Block, SequenceBlock, Stream, StreamableBlock, Upstream, connect
from polyvox.blocks.build import Parts, build
from polyvox.blocks.containers import (
    Encoders,
    ParallelEncoders,
    SequenceBlockContainer,
    StreamablePipeline,
    StreamableStack,
)
from polyvox.blocks.decoder import Decoder, Vocoder
from polyvox.blocks.effects import Collect, Emit, Gain, Probe
from polyvox.blocks.encoder import Encoder
from polyvox.blocks.excitation import Excitation
from polyvox.blocks.flow import FlowDecoder
from polyvox.blocks.refiner import PhaseRefiner
from polyvox.blocks.registry import block, names
from polyvox.blocks.tempo import Tempo
from polyvox.blocks.upsampler import Upsampler
from polyvox.blocks.windowed import WindowedBlock, time_own_work

__all__ = [
    "AttentionDecoder",
    "AttentionGuard",
    "Block",
    "Collect",
    "Decoder",
    "Emit",
    "Encoder",
    "Encoders",
    "Excitation",
    "FlowDecoder",
    "Gain",
    "ParallelEncoders",
    "Parts",
    "PhaseRefiner",
    "Probe",
    "SequenceBlock",
    "SequenceBlockContainer",
    "Stream",
    "StreamableBlock",
    "StreamablePipeline",
    "StreamableStack",
    "Tempo",
    "Upsampler",
    "Upstream",
    "Vocoder",
    "WindowedBlock",
    "block",
    "build",
    "connect",
    "names",
    "time_own_work",
]
