"""Tiny addons, generated in milliseconds: real ONNX graphs with random weights, for tests of everything around them.

    tiny.acoustic(folder / "tim")          text -> mel, the article's stack, vocoder "tom" beside it
    tiny.vocoder(folder / "tom")           mel -> audio
    tiny.speech(folder / "tam")            text -> audio, end to end
    tiny.edit(folder / "tim", lambda m: m["text"].update(pause=0.0))
    tiny.archive(folder / "tim")           -> folder / "tim.addon"
    tiny.voice(folder)                     -> a loaded polyvox.Voice of tim and tom

All graphs have a batch axis in front and multiply by their mask before and after every convolution, so that padding
behind the mask acts as the true edge, and their context is exactly what their manifest declares.
"""

from __future__ import annotations

import itertools
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from polyvox.blocks import Parts
from polyvox.networks import InputSpec, Network, NetworkSpec, StreamSpec
from polyvox.tensors import Array, Tensors, TensorSpec
from polyvox.windows import Context

BANDS = 8
HOP = 16
RATE = 8000
CHANNELS = 8
CONTEXT = 2
SYMBOLS = ["_", "^", "$", " ", *"abcdefghijklmnopqrstuvwxyz", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", *",.;:?!'-"]

FEATURES = {"kind": "mel", "sample_rate": RATE, "hop_length": HOP, "bands": BANDS, "f_max": RATE / 2}

ARTICLE_STACK: list[dict[str, Any]] = [
    {
        "type": "StreamablePipeline",
        "sequence_block": {"type": "Encoders"},
        "streamable_block": {
            "type": "StreamableStack",
            "stack": [{"type": "Upsampler"}, {"type": "Decoder"}],
        },
    }
]

_TYPES = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "int32": TensorProto.INT32}

Declared = tuple[str, Sequence[str | int]]
"""A dtype and axes, without the batch."""


def graph(
    inputs: Mapping[str, Declared],
    outputs: Mapping[str, Declared],
    nodes: Sequence[NodeProto],
    weights: Mapping[str, Any],
    *,
    batch: bool = True,
) -> bytes:
    """An ONNX model; `batch` puts an axis in front of every input and output."""
    front: list[str | int] = ["batch"] if batch else []

    def info(name: str, tensor: Declared):
        return helper.make_tensor_value_info(name, _TYPES[tensor[0]], [*front, *tensor[1]])

    made = helper.make_graph(
        list(nodes),
        "tiny",
        [info(n, t) for n, t in inputs.items()],
        [info(n, t) for n, t in outputs.items()],
        [numpy_helper.from_array(np.asarray(w), n) for n, w in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model.SerializeToString()


def _random(*shape: int, seed: int, scale: float = 0.6) -> np.ndarray:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def _convolutions(
    source: str, mask: str, made: str, widths: Sequence[int], seed: int
) -> tuple[list[NodeProto], dict[str, Any]]:
    """Convolutions of kernel 3 with tanh over `source` [batch, time, widths[0]] -> `made`, masked around each."""
    nodes = [
        helper.make_node("Unsqueeze", [mask, "channel_axis"], ["mask_3d"]),
        helper.make_node("Transpose", [source], ["turned"], perm=[0, 2, 1]),
        helper.make_node("Mul", ["turned", "mask_3d"], ["layer0"]),
    ]
    weights: dict[str, Any] = {"channel_axis": np.array([1], dtype=np.int64)}
    for i, (before, after) in enumerate(itertools.pairwise(widths)):
        weights[f"kernel{i}"] = _random(after, before, 3, seed=seed + 2 * i, scale=1.2 / np.sqrt(3 * before))
        weights[f"bias{i}"] = _random(after, seed=seed + 2 * i + 1, scale=0.3)
        nodes += [
            helper.make_node("Conv", [f"layer{i}", f"kernel{i}", f"bias{i}"], [f"conv{i}"], pads=[1, 1]),
            helper.make_node("Tanh", [f"conv{i}"], [f"tanh{i}"]),
            helper.make_node("Mul", [f"tanh{i}", "mask_3d"], [f"layer{i + 1}"]),
        ]
    nodes.append(helper.make_node("Transpose", [f"layer{len(widths) - 1}"], [made], perm=[0, 2, 1]))
    return nodes, weights


def mask(axis: str) -> dict[str, Any]:
    """The declaration of a mask input."""
    return {"dtype": "float32", "axes": [axis], "fill": "mask"}


@lru_cache
def text_encoder() -> bytes:
    """tokens -> hidden, encoded [tokens, 8]."""
    nodes, weights = _convolutions("embedded", "tokens_mask", "hidden", [CHANNELS, CHANNELS], seed=10)
    return graph(
        {"tokens": ("int64", ["tokens"]), "tokens_mask": ("float32", ["tokens"])},
        {"hidden": ("float32", ["tokens", CHANNELS]), "encoded": ("float32", ["tokens", CHANNELS])},
        [
            helper.make_node("Gather", ["table", "tokens"], ["embedded"]),
            *nodes,
            helper.make_node("MatMul", ["hidden", "project"], ["encoded"]),
        ],
        {**weights, "table": _random(len(SYMBOLS), CHANNELS, seed=1), "project": _random(CHANNELS, CHANNELS, seed=2)},
    )


@lru_cache
def duration_predictor() -> bytes:
    """hidden, speed -> durations [tokens]: 1 to about 10 frames at speed 1, more when slower; padding has none."""
    return graph(
        {
            "hidden": ("float32", ["tokens", CHANNELS]),
            "speed": ("float32", []),
            "tokens_mask": ("float32", ["tokens"]),
        },
        {"durations": ("int64", ["tokens"])},
        [
            helper.make_node("MatMul", ["hidden", "project"], ["scores"]),
            helper.make_node("Sigmoid", ["scores"], ["share"]),
            helper.make_node("Mul", ["share", "ten"], ["frames"]),
            helper.make_node("Unsqueeze", ["speed", "last"], ["speed_2d"]),
            helper.make_node("Div", ["frames", "speed_2d"], ["slower"]),
            helper.make_node("Ceil", ["slower"], ["whole"]),
            helper.make_node("Mul", ["whole", "tokens_mask"], ["masked"]),
            helper.make_node("Cast", ["masked"], ["durations"], to=TensorProto.INT64),
        ],
        {"project": _random(CHANNELS, seed=3, scale=1.5), "ten": np.float32(10), "last": np.array([1])},
    )


@lru_cache
def prosody() -> bytes:
    """hidden -> energy [tokens]: which the article's stack does not use, but another may."""
    return graph(
        {"hidden": ("float32", ["tokens", CHANNELS])},
        {"energy": ("float32", ["tokens"])},
        [
            helper.make_node("MatMul", ["hidden", "project"], ["scores"]),
            helper.make_node("Tanh", ["scores"], ["energy"]),
        ],
        {"project": _random(CHANNELS, seed=4)},
    )


@lru_cache
def decoder() -> bytes:
    """encoded [frames, 8], token_position [frames], brightness [] -> mel [frames, 8]; context 2 and 2."""
    nodes, weights = _convolutions("placed", "frames_mask", "mel", [CHANNELS, CHANNELS, BANDS], seed=20)
    return graph(
        {
            "encoded": ("float32", ["frames", CHANNELS]),
            "token_position": ("float32", ["frames"]),
            "brightness": ("float32", []),
            "frames_mask": ("float32", ["frames"]),
        },
        {"mel": ("float32", ["frames", BANDS])},
        [
            helper.make_node("Unsqueeze", ["token_position", "last"], ["position"]),
            helper.make_node("Unsqueeze", ["brightness", "two"], ["bright"]),
            helper.make_node("Add", ["encoded", "position"], ["moved"]),
            helper.make_node("Add", ["moved", "bright"], ["placed"]),
            *nodes,
        ],
        {**weights, "last": np.array([2]), "two": np.array([1, 2])},
    )


@lru_cache
def vocoder_network(channels: int = BANDS, name: str = "mel") -> bytes:
    """mel [frames, 8] -> audio [samples], 16 samples a frame; context 2 and 2."""
    nodes, weights = _convolutions(name, "frames_mask", "folded", [channels, 12, HOP], seed=30)
    return graph(
        {name: ("float32", ["frames", channels]), "frames_mask": ("float32", ["frames"])},
        {"audio": ("float32", ["samples"])},
        [*nodes, helper.make_node("Reshape", ["folded", "flat"], ["audio"])],
        {**weights, "flat": np.array([0, -1])},
    )


def _encoders() -> dict[str, Any]:
    hidden = {"dtype": "float32", "axes": ["tokens", CHANNELS]}
    return {
        "text_encoder": {
            "role": "encoder",
            "graph": "text_encoder.onnx",
            "inputs": {"tokens": {"dtype": "int64", "axes": ["tokens"]}, "tokens_mask": mask("tokens")},
            "outputs": {"hidden": hidden, "encoded": hidden},
        },
        "duration_predictor": {
            "role": "encoder",
            "graph": "duration_predictor.onnx",
            "inputs": {"hidden": hidden, "speed": {"dtype": "float32", "axes": []}, "tokens_mask": mask("tokens")},
            "outputs": {"durations": {"dtype": "int64", "axes": ["tokens"]}},
        },
    }


def _streamed(hop: int = 1) -> dict[str, Any]:
    return {"axis": "frames", "left": CONTEXT, "right": CONTEXT, "hop": hop}


def _text() -> dict[str, Any]:
    return {"frontend": "characters", "language": "en-us", "symbols": "symbols.txt", "pause": 0.05}


_SPEED = {"default": 1.0, "minimum": 0.5, "maximum": 2.0, "unit": "times"}
_BRIGHTNESS = {"default": 0.0, "minimum": -1.0, "maximum": 1.0}


def _write(folder: Path, manifest: dict[str, Any], changes: dict[str, Any], graphs: Mapping[str, bytes]) -> Path:
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in graphs.items():
        (folder / f"{name}.onnx").write_bytes(data)
    if "text" in manifest:
        (folder / "symbols.txt").write_text("\n".join(SYMBOLS) + "\n", encoding="utf-8")
    (folder / "addon.json").write_text(json.dumps({**manifest, **changes}, indent=1), encoding="utf-8")
    return folder


def _base(folder: Path, kind: str) -> dict[str, Any]:
    return {
        "format": 1,
        "name": Path(folder).name,
        "version": "1.0.0",
        "kind": kind,
        "license": "CC0-1.0",
        "features": dict(FEATURES),
    }


def acoustic(folder: Path, **changes: Any) -> Path:
    """An acoustic addon with explicit durations and the article's stack; `changes` replace fields of addon.json."""
    manifest = {
        **_base(folder, "acoustic"),
        "languages": ["en-US"],
        "speakers": ["ann", "ben"],
        "text": _text(),
        "vocoder": "tom",
        "controls": {"speed": _SPEED, "brightness": _BRIGHTNESS},
        "networks": {
            **_encoders(),
            "prosody": {
                "role": "encoder",
                "graph": "prosody.onnx",
                "inputs": {"hidden": {"dtype": "float32", "axes": ["tokens", CHANNELS]}},
                "outputs": {"energy": {"dtype": "float32", "axes": ["tokens"]}},
            },
            "decoder": {
                "role": "decoder",
                "graph": "decoder.onnx",
                "inputs": {
                    "encoded": {"dtype": "float32", "axes": ["frames", CHANNELS]},
                    "token_position": {"dtype": "float32", "axes": ["frames"]},
                    "brightness": {"dtype": "float32", "axes": []},
                    "frames_mask": mask("frames"),
                },
                "outputs": {"mel": {"dtype": "float32", "axes": ["frames", BANDS]}},
                "stream": _streamed(),
            },
        },
        "stack": ARTICLE_STACK,
    }
    graphs = {
        "text_encoder": text_encoder(),
        "duration_predictor": duration_predictor(),
        "prosody": prosody(),
        "decoder": decoder(),
    }
    return _write(folder, manifest, changes, graphs)


def vocoder(folder: Path, **changes: Any) -> Path:
    """A vocoder addon: mel -> audio."""
    manifest = {
        **_base(folder, "vocoder"),
        "networks": {
            "vocoder": {
                "role": "vocoder",
                "graph": "vocoder.onnx",
                "inputs": {"mel": {"dtype": "float32", "axes": ["frames", BANDS]}, "frames_mask": mask("frames")},
                "outputs": {"audio": {"dtype": "float32", "axes": ["samples"]}},
                "stream": _streamed(HOP),
            }
        },
        "stack": [{"type": "Vocoder"}],
    }
    return _write(folder, manifest, changes, {"vocoder": vocoder_network()})


def speech(folder: Path, **changes: Any) -> Path:
    """A speech addon: text -> audio, end to end."""
    manifest = {
        **_base(folder, "speech"),
        "languages": ["en-US"],
        "text": _text(),
        "controls": {"speed": _SPEED},
        "networks": {
            **_encoders(),
            "generator": {
                "role": "decoder",
                "graph": "generator.onnx",
                "inputs": {
                    "encoded": {"dtype": "float32", "axes": ["frames", CHANNELS]},
                    "frames_mask": mask("frames"),
                },
                "outputs": {"audio": {"dtype": "float32", "axes": ["samples"]}},
                "stream": _streamed(HOP),
            },
        },
        "stack": ARTICLE_STACK,
    }
    graphs = {
        "text_encoder": text_encoder(),
        "duration_predictor": duration_predictor(),
        "generator": vocoder_network(CHANNELS, "encoded"),
    }
    return _write(folder, manifest, changes, graphs)


def manifest(folder: Path) -> dict[str, Any]:
    """What addon.json says."""
    return json.loads((folder / "addon.json").read_text(encoding="utf-8"))


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """Change an addon's addon.json in place."""
    data = manifest(folder)
    change(data)
    (folder / "addon.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
    return folder


def archive(folder: Path, path: Path | None = None) -> Path:
    """The addon of a folder as one `.addon` file, beside it unless told otherwise."""
    path = path or folder.with_name(f"{folder.name}.addon")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for inside in sorted(p for p in folder.rglob("*") if p.is_file()):
            file.write(inside, inside.relative_to(folder).as_posix())
    return path


def voice(folder: Path, **options: Any):
    """The loaded voice of `acoustic` and `vocoder`, written to `folder` first."""
    import polyvox

    vocoder(folder / "tom")
    return polyvox.load(acoustic(folder / "tim"), **options)


class Counted(Network):
    """A network without a graph: any function of tensors, counting its calls and the steps that it was given."""

    def __init__(
        self,
        name: str,
        run: Callable[[Tensors], dict[str, Array]],
        inputs: Mapping[str, InputSpec],
        outputs: Mapping[str, TensorSpec],
        *,
        role: str = "decoder",
        stream: StreamSpec | None = None,
        sizes: Mapping[str, tuple[int, ...]] | None = None,
    ) -> None:
        self.spec = NetworkSpec(name, role, inputs, outputs, stream)
        self.calls = 0
        self.lengths: list[int] = []
        self._run, self._sizes = run, dict(sizes or {})

    @property
    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        return self._sizes

    def run(self, tensors: Tensors) -> dict[str, Array]:
        self.calls += 1
        first = next(iter(self.spec.wanted()))
        self.lengths.append(len(tensors[first]))
        return self._run(tensors)


def blur(
    left: int = 3,
    right: int = 2,
    hop: int = 1,
    *,
    source: str = "mel",
    made: str = "mel",
    role: str = "decoder",
    sizes: tuple[int, ...] = (),
    bias: str | None = None,
) -> Counted:
    """A streamed network over `source` [frames, 2] with exactly the context that it declares, zeros beyond its edges.

    Makes `made` [frames, 2], or [frames * hop] if `hop` is above 1; adds the scalar tensor `bias` if there is one.
    """
    weights = np.random.default_rng(left * 100 + right).uniform(0.2, 1, left + right + 1).astype(np.float32)

    def run(tensors: Tensors) -> dict[str, Array]:
        x = tensors[source] + (tensors[bias] if bias else np.float32(0))
        padded = np.concatenate([np.zeros((left, 2), np.float32), x, np.zeros((right, 2), np.float32)])
        y = np.tanh(sum(w * padded[k : k + len(x)] for k, w in enumerate(weights)))
        if hop == 1:
            return {made: y}
        return {made: (y[:, :1] * np.linspace(0.1, 1, hop, dtype=np.float32)).reshape(-1)}

    inputs = {source: InputSpec("float32", ("frames", 2))}
    if bias:
        inputs[bias] = InputSpec("float32", ())
    output = TensorSpec("float32", ("frames", 2) if hop == 1 else ("samples",))
    stream = StreamSpec("frames", Context(left, right, hop))
    compiled = {"frames": sizes} if sizes else None
    return Counted("blur", run, inputs, {made: output}, role=role, stream=stream, sizes=compiled)


def parts(*networks: Network) -> Parts:
    """What an addon with these networks offers to its stack."""
    by_name = {n.spec.name: n for n in networks}
    return Parts({name: n.spec for name, n in by_name.items()}, lambda name, target: by_name[name])
