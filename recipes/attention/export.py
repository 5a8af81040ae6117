"""Stage 4: a checkpoint -> an addon: three ONNX networks, `symbols.txt`, `addon.json`.

    python -m recipes.attention.export --checkpoint work/attention/kerstin/last.pt --corpus work/kerstin \
        --out work/addons/kerstin --language de --license CC0-1.0 --data "what the recordings are"

The averaged weights are exported. Every network is compared with torch at several sizes, the postnet's windows with
its whole output, and padded runs with unpadded ones. With `--int8` the decoder's step holds its matrices as 8-bit
integers, each row with its own scale, and quantises what it multiplies them with as it comes.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recipes.attention.data import Corpus
from recipes.attention.model import Attentive, Config
from recipes.features import CONTRACT, HOP, SAMPLE_RATE
from recipes.onnx_tools import as_stored, check_context, check_network, export_network

VERSION = "0.1.0"
# In the order of `AttentionDecoder.forward`: what carries state, and what it is in the next step.
STATE = {
    "frame": "next_frame",
    "attended": "next_attended",
    "attended_cell": "next_attended_cell",
    "context": "next_context",
    "last_alignment": "alignment",
    "total": "next_total",
    "hidden": "next_hidden",
    "cell": "next_cell",
}
# network -> its inputs and outputs, in the order of `forward`.
SIGNATURES = {
    "encoder": (("tokens", "tokens_mask"), ("memory", "keys")),
    "attention_decoder": (
        ("memory", "keys", "attention_mask", *STATE),
        ("coarse", "features", "stop", *STATE.values()),
    ),
    "postnet": (("coarse", "features", "frames_mask"), ("mel",)),
}
ROLES = {"encoder": "encoder", "attention_decoder": "attention_decoder", "postnet": "decoder"}
CONTROLS = {"speed": {"default": 1.0, "minimum": 0.5, "maximum": 2.0, "unit": "times"}}
STACK = [
    {
        "type": "StreamablePipeline",
        "sequence_block": {"type": "Encoders"},
        "streamable_block": {
            "type": "StreamableStack",
            "stack": [
                {"type": "AttentionGuard", "decoder": {"type": "AttentionDecoder"}},
                {"type": "Probe", "name": "attention"},
                {"type": "Decoder"},
                {"type": "Tempo"},
            ],
        },
    }
]


def axes_of(name: str, network: str, config: Config) -> tuple[str | int, ...]:
    """The axes of a tensor without its batch axis."""
    rows: str | int = "frames" if network == "postnet" else config.reduction
    known: dict[str, tuple[str | int, ...]] = {
        "tokens": ("tokens",),
        "tokens_mask": ("tokens",),
        "memory": ("tokens", config.width),
        "keys": ("tokens", config.attention),
        "attention_mask": ("tokens",),
        "frame": (config.bands,),
        "attended": (config.attention_cell,),
        "attended_cell": (config.attention_cell,),
        "context": (config.width,),
        "alignment": ("tokens",),
        "last_alignment": ("tokens",),
        "total": ("tokens",),
        "hidden": (config.cell,),
        "cell": (config.cell,),
        "stop": (),
        "coarse": (rows, config.bands),
        "features": (rows, config.features),
        "frames_mask": ("frames",),
        "mel": ("frames", config.bands),
    }
    return known[name.removeprefix("next_")]


def load(checkpoint: Path) -> tuple[Attentive, list[str], Tensor, int]:
    """The averaged model of a checkpoint, its symbols, which of them training saw, and its step."""
    if not checkpoint.is_file():
        raise SystemExit(f"{checkpoint}: there is no such checkpoint")
    state = torch.load(checkpoint, weights_only=True)
    config = Config(**state["config"])
    model = Attentive(config, torch.ones(2, config.bands))
    model.load_state_dict(state["average"])
    return model.eval(), state["symbols"], state["seen"], state["step"]


@torch.no_grad()
def example(model: Attentive, rows: list[Tensor], steps: int = 12) -> dict[str, dict[str, Tensor]]:
    """The inputs of every network for token sequences `rows`, side by side, after some steps of speaking."""
    width = max(len(row) for row in rows)
    tokens = torch.stack([nn.functional.pad(row, (0, width - len(row))) for row in rows])
    mask = torch.stack([nn.functional.pad(torch.ones(len(row)), (0, width - len(row))) for row in rows])
    memory, keys = model.encoder(tokens, mask)
    state = [t.repeat(len(rows), 1) for t in model.attention_decoder.start(width)]
    coarse, features = [], []
    for _ in range(steps):
        some, more, _, *state = model.attention_decoder(memory, keys, mask, *state)
        coarse.append(some)
        features.append(more)
    frames = torch.ones(len(rows), steps * model.config.reduction)
    frames[1:, steps // 2 :] = 0
    return {
        "encoder": {"tokens": tokens, "tokens_mask": mask},
        "attention_decoder": {
            "memory": memory, "keys": keys, "attention_mask": mask, **dict(zip(STATE, state, strict=True)),
        },
        "postnet": {"coarse": torch.cat(coarse, 1), "features": torch.cat(features, 1), "frames_mask": frames},
    }  # fmt: skip


def _spec(name: str, network: str, config: Config) -> dict[str, object]:
    spec: dict[str, object] = {
        "dtype": "int64" if name == "tokens" else "float32",
        "axes": list(axes_of(name, network, config)),
    }
    return spec | ({"fill": "mask"} if name in ("tokens_mask", "frames_mask") else {})


def export_networks(model: Attentive, rows: list[Tensor], out: Path, *, int8: bool) -> dict[str, dict[str, object]]:
    """Write and check the networks; returns their entries of `addon.json`."""
    config, entries = model.config, {}
    together = example(model, rows)
    alone = [example(model, [row]) for row in (rows[0], rows[0][:1], torch.cat(rows * 20)[:600])]
    long = example(model, [rows[0]], steps=150)["postnet"]
    for name, (inputs, outputs) in SIGNATURES.items():
        module: nn.Module = getattr(model, name)
        axes = {tensor: ("batch", *axes_of(tensor, name, config)) for tensor in (*inputs, *outputs)}
        path = out / f"{name}.onnx"
        quantised = int8 and name == "attention_decoder"
        export_network(module, together[name], axes, path, half=not quantised)
        for sizes in alone:
            check_network(as_stored(module, half=not quantised), sizes[name], axes, path)
        if quantised:
            _quantise(path)
        entry: dict[str, object] = {
            "role": ROLES[name],
            "graph": path.name,
            "inputs": {tensor: _spec(tensor, name, config) for tensor in inputs},
            "outputs": {tensor: _spec(tensor, name, config) for tensor in outputs},
        }
        if name == "attention_decoder":
            entry["state"] = STATE
        if name == "postnet":
            whole = {n: t.numpy() for n, t in long.items()}
            error = check_context(path, whole, axes, axis="frames", left=config.context, right=config.context)
            print(f"postnet: windows with {config.context} frames on each side differ from the whole by {error:.1e}")
            entry["stream"] = {"axis": "frames", "left": config.context, "right": config.context, "hop": 1}
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB")
        entries[name] = entry
    return entries


def _quantise(path: Path) -> None:
    """Turn the matrices of a network into 8-bit integers, in place."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / path.name
        quantize_dynamic(path, made, per_channel=True, weight_type=QuantType.QInt8, op_types_to_quantize=["MatMul"])
        path.write_bytes(made.read_bytes())


def step_cost(path: Path, inputs: dict[str, Tensor], runs: int = 200) -> float:
    """Milliseconds that one thread spends on one step."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feed = {name: tensor[:1].numpy() for name, tensor in inputs.items()}
    times = []
    for _ in range(runs):
        begun = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - begun)
    return sorted(times)[runs // 2] * 1000


def manifest(args: argparse.Namespace, step: int, networks: dict[str, dict[str, object]], longest: int) -> object:
    """`addon.json`."""
    name = args.name or args.out.name
    language = args.language.split("-")
    tag = "-".join([language[0], *(part.upper() for part in language[1:])])
    return {
        "format": 1,
        "name": name,
        "version": VERSION,
        "kind": "acoustic",
        "license": args.license,
        "description": f"{name}, {tag}: location-sensitive attention, frame by frame; guarded.",
        "data": f"{args.data or args.corpus.name}; trained for {step} steps by recipes/attention.",
        "languages": [tag],
        "speakers": [name],
        "text": {
            "frontend": "espeak",
            "language": args.language,
            "symbols": "symbols.txt",
            "start": "^",
            "end": "$",
            # Attention is at home at the lengths that it heard: longer sentences are split, at clauses where they
            # have any.
            "max_tokens": min(256, longest),
        },
        "features": CONTRACT,
        "vocoder": "universal",
        "controls": CONTROLS,
        "networks": networks,
        "stack": STACK,
    }


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, required=True, help="a checkpoint of recipes.attention.train")
    parser.add_argument("--corpus", type=Path, required=True, help="its corpus's work folder")
    parser.add_argument("--out", type=Path, required=True, help="the addon's folder")
    parser.add_argument("--name", help="the voice's name (default: the addon folder's name)")
    parser.add_argument("--language", default="de", help="espeak's name of the language (default: de)")
    parser.add_argument("--license", default="CC0-1.0", help="SPDX licence of the weights (default: CC0-1.0)")
    parser.add_argument("--data", default="", help="what the recordings are, for people")
    parser.add_argument("--int8", action="store_true", help="the decoder's matrices as 8-bit integers")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, symbols, seen, step = load(args.checkpoint)
    corpus = Corpus.load(args.corpus, model.config.reduction)
    with torch.no_grad():  # what training never heard sounds like nothing, not like noise
        model.encoder.embedding.weight[~seen] = 0
    args.out.mkdir(parents=True, exist_ok=True)
    rows = [item.tokens for item in corpus.dev[:3]]
    networks = export_networks(model, rows, args.out, int8=args.int8)
    (args.out / "symbols.txt").write_text("".join(f"{symbol}\n" for symbol in symbols), "utf-8")
    longest = int(np.quantile([len(item.tokens) for item in corpus.train], 0.99))
    written = json.dumps(manifest(args, step, networks, longest), ensure_ascii=False, indent=2)
    (args.out / "addon.json").write_text(written + "\n", "utf-8")
    cost = step_cost(args.out / "attention_decoder.onnx", example(model, [rows[0]])["attention_decoder"])
    factor = cost / 1000 / (model.config.reduction * HOP / SAMPLE_RATE)
    print(f"{args.out}: step {step}; one decoder step takes {cost:.2f} ms on one thread, real-time factor {factor:.3f}")


if __name__ == "__main__":
    main()
