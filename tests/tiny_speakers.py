"""A tiny addon with two speakers, each of a language of its own, as `tiny` makes them.

tiny_speakers.acoustic(folder / "low")      nat (nl) and guy (nl-BE), vocoder "tom" beside it
tiny_speakers.library(folder)               low, ger (de, attention), tim (en-US) and tom
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

import tiny
import tiny_attention

SPEAKERS = {"nat": ["nl"], "guy": ["nl-BE"]}


@lru_cache
def decoder() -> bytes:
    """encoded [frames, 8], speaker [] -> mel [frames, 8]: each speaker with a bias of its own; context 2 and 2."""
    nodes, weights = tiny._convolutions(
        "placed", "frames_mask", "mel", [tiny.CHANNELS, tiny.CHANNELS, tiny.BANDS], seed=20
    )
    return tiny.graph(
        {
            "encoded": ("float32", ["frames", tiny.CHANNELS]),
            "speaker": ("int64", []),
            "frames_mask": ("float32", ["frames"]),
        },
        {"mel": ("float32", ["frames", tiny.BANDS])},
        [
            helper.make_node("Gather", ["table", "speaker"], ["own"]),
            helper.make_node("Unsqueeze", ["own", "one"], ["bias"]),
            helper.make_node("Add", ["encoded", "bias"], ["placed"]),
            *nodes,
        ],
        {**weights, "table": tiny._random(2, tiny.CHANNELS, seed=60), "one": np.array([1])},
    )


def acoustic(folder: Path, **changes: Any) -> Path:
    """An acoustic addon that speaks with two voices; `changes` replace fields of addon.json."""
    tiny.acoustic(
        folder, languages=["nl", "nl-BE"], speakers=list(SPEAKERS), speaker_languages=SPEAKERS, controls={
            "speed": tiny._SPEED
        },
    )  # fmt: skip
    inputs = {
        "encoded": {"dtype": "float32", "axes": ["frames", tiny.CHANNELS]},
        "speaker": {"dtype": "int64", "axes": []},
        "frames_mask": tiny.mask("frames"),
    }
    tiny.edit(folder, lambda m: (m["networks"]["decoder"].update(inputs=inputs), m.update(changes)))
    (folder / "decoder.onnx").write_bytes(decoder())
    return folder


def library(folder: Path) -> Path:
    """A folder of voices in three languages, all of which speak through `tom`."""
    tiny.vocoder(folder / "tom")
    tiny.acoustic(folder / "tim")
    tiny_attention.acoustic(folder / "ger", languages=["de"], speakers=["gerda"])
    acoustic(folder / "low")
    return folder
