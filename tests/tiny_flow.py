"""Tiny flow models: a real one as an addon of ONNX graphs, and a velocity without a graph.

    tiny_flow.acoustic(folder / "flo")     text -> mel by flow matching, vocoder "tom" beside it
    tiny_flow.voice(folder)                -> a loaded polyvox.Voice of flo and tom

Like those of `tiny`, all graphs mask around every convolution and have exactly the context that they declare.
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from onnx import helper

import tiny
from polyvox.networks import InputSpec, StreamSpec
from polyvox.tensors import Array, Tensors, TensorSpec
from polyvox.windows import Context

BANDS, WIDTH, CONDITION = tiny.BANDS, 12, 6
LEFT, RIGHT = 4, 3
"""What one step of the flow looks at."""

FLOW = {"type": "FlowDecoder", "network": "velocity"}
STACK = [
    {
        "type": "StreamablePipeline",
        "sequence_block": {"type": "Encoders"},
        "streamable_block": {
            "type": "StreamableStack",
            "stack": [{"type": "Upsampler"}, {"type": "Decoder", "network": "guess"}, FLOW],
        },
    }
]


def stack(**fields: Any) -> list[dict[str, Any]]:
    """The stack, with these fields of its FlowDecoder; None stands for JSON's null."""
    (pipeline,) = STACK
    blocks = [*pipeline["streamable_block"]["stack"][:-1], {**FLOW, **fields}]
    return [{**pipeline, "streamable_block": {"type": "StreamableStack", "stack": blocks}}]


@lru_cache
def guess() -> bytes:
    """encoded [frames, 8] -> prior, spread [frames, 8], condition [frames, 6]; context 2 and 2."""
    nodes, weights = tiny._convolutions("encoded", "frames_mask", "hidden", [tiny.CHANNELS, 8, 8], seed=60)
    node = helper.make_node
    return tiny.graph(
        {"encoded": ("float32", ["frames", tiny.CHANNELS]), "frames_mask": ("float32", ["frames"])},
        {
            "prior": ("float32", ["frames", BANDS]),
            "spread": ("float32", ["frames", BANDS]),
            "condition": ("float32", ["frames", CONDITION]),
        },
        [
            *nodes,
            node("MatMul", ["hidden", "to_prior"], ["prior"]),
            node("MatMul", ["hidden", "to_spread"], ["wide"]),
            node("Sigmoid", ["wide"], ["spread"]),
            node("MatMul", ["hidden", "to_condition"], ["condition"]),
        ],
        {
            **weights,
            "to_prior": tiny._random(8, BANDS, seed=61),
            "to_spread": tiny._random(8, BANDS, seed=62),
            "to_condition": tiny._random(8, CONDITION, seed=63),
        },
    )


@lru_cache
def velocity() -> bytes:
    """state, prior, condition, time -> velocity [frames, 8]: depthwise convolutions over 4 frames left and 3 right."""
    node = helper.make_node
    entering = 2 * BANDS + CONDITION
    return tiny.graph(
        {
            "state": ("float32", ["frames", BANDS]),
            "prior": ("float32", ["frames", BANDS]),
            "condition": ("float32", ["frames", CONDITION]),
            "time": ("float32", []),
            "frames_mask": ("float32", ["frames"]),
        },
        {"velocity": ("float32", ["frames", BANDS])},
        [
            node("Unsqueeze", ["frames_mask", "one"], ["mask"]),
            node("Concat", ["state", "prior", "condition"], ["together"], axis=2),
            node("MatMul", ["together", "enter"], ["entered"]),
            node("Unsqueeze", ["time", "both"], ["now"]),
            node("Mul", ["now", "turn"], ["told"]),
            node("Add", ["entered", "told"], ["timed"]),
            node("Transpose", ["timed"], ["turned"], perm=[0, 2, 1]),
            node("Mul", ["turned", "mask"], ["a"]),
            node("Conv", ["a", "wide"], ["b"], group=WIDTH, pads=[2, 2]),
            node("Tanh", ["b"], ["c"]),
            node("Mul", ["c", "mask"], ["d"]),
            node("Conv", ["d", "lopsided"], ["e"], group=WIDTH, pads=[2, 1]),
            node("Transpose", ["e"], ["back"], perm=[0, 2, 1]),
            node("MatMul", ["back", "leave"], ["velocity"]),
        ],
        {
            "one": np.array([1]),
            "both": np.array([1, 2]),
            "enter": tiny._random(entering, WIDTH, seed=70, scale=1 / np.sqrt(entering)),
            "turn": tiny._random(WIDTH, seed=71, scale=2),
            "wide": tiny._random(WIDTH, 1, 5, seed=72),
            "lopsided": tiny._random(WIDTH, 1, 4, seed=73),
            "leave": tiny._random(WIDTH, BANDS, seed=74),
        },
    )


def floats(*axes: str | int) -> dict[str, Any]:
    """The declaration of a float32 tensor."""
    return {"dtype": "float32", "axes": list(axes)}


def acoustic(folder: Path, **changes: Any) -> Path:
    """An acoustic addon whose mel is drawn by a flow; `changes` replace fields of addon.json."""
    bands, condition = floats("frames", BANDS), floats("frames", CONDITION)
    manifest = {
        **tiny._base(folder, "acoustic"),
        "languages": ["en-US"],
        "text": tiny._text(),
        "vocoder": "tom",
        "controls": {"speed": tiny._SPEED},
        "networks": {
            **tiny._encoders(),
            "guess": {
                "role": "decoder",
                "graph": "guess.onnx",
                "inputs": {"encoded": floats("frames", tiny.CHANNELS), "frames_mask": tiny.mask("frames")},
                "outputs": {"prior": bands, "spread": bands, "condition": condition},
                "stream": tiny._streamed(),
            },
            "velocity": {
                "role": "decoder",
                "graph": "velocity.onnx",
                "inputs": {
                    "state": bands,
                    "prior": bands,
                    "condition": condition,
                    "time": floats(),
                    "frames_mask": tiny.mask("frames"),
                },
                "outputs": {"velocity": bands},
                "stream": {"axis": "frames", "left": LEFT, "right": RIGHT, "hop": 1},
            },
        },
        "stack": STACK,
    }
    graphs = {
        "text_encoder": tiny.text_encoder(),
        "duration_predictor": tiny.duration_predictor(),
        "guess": guess(),
        "velocity": velocity(),
    }
    return tiny._write(folder, manifest, changes, graphs)


def voice(folder: Path, *, target: str = "cpu", **changes: Any):
    """The loaded voice of `acoustic` and the tiny vocoder, written to `folder` first."""
    import polyvox

    tiny.vocoder(folder / "tom")
    return polyvox.load(acoustic(folder / "flo", **changes), target=target)


def moving(
    left: int = 2,
    right: int = 1,
    *,
    prior: str | None = "mel",
    bias: str | None = None,
    turned: bool = False,
    sizes: tuple[int, ...] = (),
    inputs: Mapping[str, InputSpec] | None = None,
    outputs: Mapping[str, TensorSpec] | None = None,
    hop: int = 1,
) -> tiny.Counted:
    """A velocity of `state` [frames, 2] with exactly the context that it declares, zeros beyond its edges.

    Reads `prior` [frames, 2] and the scalar tensor `bias` too, if they are named. `turned` has time as the last axis
    of the state and the velocity. `inputs` and `outputs` add to what it declares or replace it.
    """
    weights = np.random.default_rng(left * 100 + right).uniform(-0.6, 1, left + right + 1).astype(np.float32)

    def run(tensors: Tensors) -> dict[str, Array]:
        x = tensors["state"].T if turned else tensors["state"]
        assert tensors["time"].shape == ()
        y = x * (1 + tensors["time"])
        if prior is not None:
            y = y - tensors[prior] / 2
        if bias is not None:
            y = y + tensors[bias]
        padded = np.concatenate([np.zeros((left, 2), np.float32), y, np.zeros((right, 2), np.float32)])
        made = np.tanh(sum(w * padded[k : k + len(x)] for k, w in enumerate(weights))).astype(np.float32)
        return {"velocity": made.T if turned else made}

    shape = (2, "frames") if turned else ("frames", 2)
    declared = {"state": InputSpec("float32", shape)}
    if prior is not None:
        declared[prior] = InputSpec("float32", ("frames", 2))
    if bias is not None:
        declared[bias] = InputSpec("float32", ())
    declared["time"] = InputSpec("float32", ())
    return tiny.Counted(
        "moving",
        run,
        {**declared, **(inputs or {})},
        {"velocity": TensorSpec("float32", shape)} if outputs is None else outputs,
        stream=StreamSpec("frames", Context(left, right, hop)),
        sizes={"frames": sizes} if sizes else None,
    )
