"""Tiny attention models: a real one as an addon of ONNX graphs, and one without a graph that misbehaves on demand."""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

import tiny
from polyvox.networks import InputSpec, Network, NetworkSpec
from polyvox.tensors import Array, Tensors, TensorSpec

WIDTH, BANDS, PER_STEP = tiny.CHANNELS, tiny.BANDS, 2
STATE = {"frame": "next_frame", "position": "next_position"}
STACK = [
    {
        "type": "StreamablePipeline",
        "sequence_block": {"type": "Encoders"},
        "streamable_block": {"type": "AttentionGuard", "decoder": {"type": "AttentionDecoder"}, "hold": 60},
    }
]


@lru_cache
def encoder() -> bytes:
    """tokens -> memory [tokens, 8], place [tokens] (0, 1, 2 ...) and last [] (the last one's place)."""
    return tiny.graph(
        {"tokens": ("int64", ["tokens"]), "tokens_mask": ("float32", ["tokens"])},
        {"memory": ("float32", ["tokens", WIDTH]), "place": ("float32", ["tokens"]), "last": ("float32", [])},
        [
            helper.make_node("Gather", ["table", "tokens"], ["memory"]),
            helper.make_node("CumSum", ["tokens_mask", "one_axis"], ["count"]),
            helper.make_node("Sub", ["count", "one"], ["place"]),
            helper.make_node("ReduceSum", ["tokens_mask", "one_axis_1d"], ["many"], keepdims=0),
            helper.make_node("Sub", ["many", "one"], ["last"]),
        ],
        {
            "table": tiny._random(len(tiny.SYMBOLS), WIDTH, seed=50),
            "one_axis": np.int64(1),
            "one_axis_1d": np.array([1]),
            "one": np.float32(1),
        },
    )


@lru_cache
def step() -> bytes:
    """One step of two frames: attends round a position that moves on by 0.4 tokens a step, and feeds its frame back."""
    node = helper.make_node
    return tiny.graph(
        {
            "memory": ("float32", ["tokens", WIDTH]),
            "place": ("float32", ["tokens"]),
            "last": ("float32", []),
            "attention_mask": ("float32", ["tokens"]),
            "frame": ("float32", [BANDS]),
            "position": ("float32", [1]),
        },
        {
            "mel": ("float32", [PER_STEP, BANDS]),
            "stop": ("float32", []),
            "alignment": ("float32", ["tokens"]),
            "next_frame": ("float32", [BANDS]),
            "next_position": ("float32", [1]),
        },
        [
            node("Sub", ["place", "position"], ["away"]),
            node("Mul", ["away", "away"], ["square"]),
            node("Mul", ["square", "minus_two"], ["near"]),
            node("Sub", ["attention_mask", "one"], ["barred"]),
            node("Mul", ["barred", "far"], ["wall"]),
            node("Add", ["near", "wall"], ["scores"]),
            node("Softmax", ["scores"], ["alignment"], axis=-1),
            node("Unsqueeze", ["alignment", "axis_1"], ["alignment_3d"]),
            node("MatMul", ["alignment_3d", "memory"], ["context_3d"]),
            node("Squeeze", ["context_3d", "axis_1"], ["context"]),
            node("MatMul", ["context", "from_context"], ["a"]),
            node("MatMul", ["frame", "from_frame"], ["b"]),
            node("Add", ["a", "b"], ["c"]),
            node("Tanh", ["c"], ["next_frame"]),
            node("Unsqueeze", ["next_frame", "axis_1"], ["first"]),
            node("Mul", ["first", "half"], ["second"]),
            node("Concat", ["first", "second"], ["mel"], axis=1),
            node("Mul", ["alignment", "place"], ["weighted"]),
            node("ReduceSum", ["weighted", "axis_1"], ["where"], keepdims=1),
            node("Add", ["where", "rate"], ["next_position"]),
            node("Squeeze", ["next_position", "axis_1"], ["at"]),
            node("Sub", ["at", "last"], ["beyond"]),
            node("Mul", ["beyond", "sharp"], ["steep"]),
            node("Sigmoid", ["steep"], ["stop"]),
        ],
        {
            "one": np.float32(1),
            "minus_two": np.float32(-2),
            "far": np.float32(1e4),
            "half": np.float32(0.5),
            "rate": np.float32(0.4),
            "sharp": np.float32(8),
            "axis_1": np.array([1]),
            "from_context": tiny._random(WIDTH, BANDS, seed=51),
            "from_frame": tiny._random(BANDS, BANDS, seed=52, scale=0.3),
        },
    )


def acoustic(folder: Path, **changes: Any) -> Path:
    """An acoustic addon that attends; `changes` replace fields of addon.json."""

    def floats(*axes: str | int) -> dict[str, Any]:
        return {"dtype": "float32", "axes": list(axes)}

    memory, place, last = floats("tokens", WIDTH), floats("tokens"), floats()
    manifest = {
        **tiny._base(folder, "acoustic"),
        "languages": ["en-US"],
        "text": tiny._text(),
        "vocoder": "tom",
        "networks": {
            "encoder": {
                "role": "encoder",
                "graph": "encoder.onnx",
                "inputs": {"tokens": {"dtype": "int64", "axes": ["tokens"]}, "tokens_mask": tiny.mask("tokens")},
                "outputs": {"memory": memory, "place": place, "last": last},
            },
            "speaker": {
                "role": "attention_decoder",
                "graph": "speaker.onnx",
                "inputs": {
                    "memory": memory,
                    "place": place,
                    "last": last,
                    "attention_mask": floats("tokens"),
                    "frame": floats(BANDS),
                    "position": floats(1),
                },
                "outputs": {
                    "mel": floats(PER_STEP, BANDS),
                    "stop": floats(),
                    "alignment": floats("tokens"),
                    "next_frame": floats(BANDS),
                    "next_position": floats(1),
                },
                "state": STATE,
            },
        },
        "stack": STACK,
    }
    return tiny._write(folder, manifest, changes, {"encoder": encoder(), "speaker": step()})


def voice(folder: Path, **options: Any):
    """The loaded voice of `acoustic` and the tiny vocoder, written to `folder` first."""
    import polyvox

    tiny.vocoder(folder / "tom")
    return polyvox.load(acoustic(folder / "ada"), **options)


Path_ = Callable[[float], float]
"""From where the attention was to where it wants to go."""


def well(at: float) -> float:
    """Moves on by half a token a step."""
    return at + 0.5


def skips(at: float) -> float:
    """Leaps from the 5th token to the 11th."""
    return 11.0 if 5 <= at < 6 else at + 0.5


def repeats(at: float) -> float:
    """Goes back from the 9th token to the 2nd, for ever."""
    return 2.0 if 9 <= at < 10 else at + 0.5


def stalls(at: float) -> float:
    """Stays on the 6th token, for ever."""
    return at if 6 <= at < 7 else at + 0.5


class Scripted(Network):
    """An attention decoder without a graph, whose attention goes where `path` says and whose mask confines it.

    encoded [tokens, 2], attention_mask [tokens], at [] -> mel [2, 2], stop, alignment, next_at. It stops half a token
    after the last one, at the place `early` if there is one, or `never`.
    """

    def __init__(self, path: Path_ = well, *, early: float | None = None, never: bool = False) -> None:
        self.path, self.early, self.never = path, early, never
        self.calls = 0
        self.lengths: list[int] = []
        tokens = TensorSpec("float32", ("tokens",))
        self.spec = NetworkSpec(
            "scripted",
            "attention_decoder",
            {
                "encoded": InputSpec("float32", ("tokens", 2)),
                "attention_mask": InputSpec("float32", ("tokens",)),
                "at": InputSpec("float32", ()),
            },
            {
                "mel": TensorSpec("float32", (PER_STEP, 2)),
                "stop": TensorSpec("float32", ()),
                "alignment": tokens,
                "next_at": TensorSpec("float32", ()),
            },
            state={"at": "next_at"},
        )

    def run(self, tensors: Tensors) -> dict[str, Array]:
        self.calls += 1
        encoded, mask = tensors["encoded"], tensors["attention_mask"]
        wanted = self.path(float(tensors["at"]))
        allowed = np.flatnonzero(mask)
        at = float(np.clip(wanted, allowed[0], allowed[-1] + 0.5))
        place = min(int(at), len(encoded) - 1)
        alignment = np.full(len(encoded), 0.001 / len(encoded), dtype=np.float32)
        alignment[place] += np.float32(0.999)
        done = wanted >= len(encoded) and not self.never
        stop = done or (self.early is not None and at >= self.early)
        mel = np.stack([encoded[place], encoded[place] * np.float32(at)])
        return {
            "mel": mel.astype(np.float32),
            "stop": np.asarray(stop, dtype=np.float32),
            "alignment": alignment,
            "next_at": np.asarray(at, dtype=np.float32),
        }


def encoded(tokens: int = 17, seed: int = 0) -> dict[str, Array]:
    """What `Scripted` reads."""
    return {"encoded": np.random.default_rng(seed).standard_normal((tokens, 2)).astype(np.float32)}
