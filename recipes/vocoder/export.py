"""Stage 4: a vocoder checkpoint -> the addon `universal`.

python -m recipes.vocoder.export --checkpoint work/vocoder/last.pt --out work/addons/universal
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from recipes.corpus import SAMPLE_RATE
from recipes.features import BANDS, CONTRACT, HOP, N_FFT
from recipes.onnx_tools import check_context, export_network
from recipes.vocoder.model import BINS, ExportedPitch, ExportedVocoder, VocoderSize
from recipes.vocoder.refine import BALANCE, ITERATIONS, RELAXATION


def load(checkpoint: Path) -> tuple[ExportedVocoder, ExportedPitch, int]:
    """The averaged networks of a checkpoint, ready to export, and the steps that made them."""
    saved = torch.load(checkpoint, weights_only=True)
    prefix = "module."
    weights = {n.removeprefix(prefix): w for n, w in saved["average"].items() if n.startswith(prefix)}
    vocoder, pitch = ExportedVocoder(VocoderSize(**saved["size"])), ExportedPitch()
    averaged = torch.nn.ModuleList([vocoder, pitch])
    missing, _ = averaged.load_state_dict(weights, strict=False)
    missing = [name for name in missing if name.split(".")[-1] not in ("cos", "sin")]
    if missing:
        raise SystemExit(f"{checkpoint}: lacks the weights {', '.join(missing[:3])}")
    return vocoder.eval(), pitch.eval(), saved["step"] + saved.get("before", 0)


def _compute_tables(model: onnx.ModelProto) -> None:
    """Replace the DFT's tables, which would be most of the file, by the few operators that make them.

    Runtimes fold these once, at load.
    """
    make = helper.make_node
    numbers = {"first": 0, "bins": N_FFT // 2 + 1, "one": 1, "size": N_FFT}
    constants = [numpy_helper.from_array(np.array(v, np.int64), f"dft.{n}") for n, v in numbers.items()]
    constants += [numpy_helper.from_array(np.array([a], np.int64), f"dft.axis{a}") for a in (0, 1)]
    constants.append(numpy_helper.from_array(np.array(2 * math.pi / N_FFT, np.float32), "dft.turn"))
    nodes = [
        make("Range", ["dft.first", "dft.size", "dft.one"], ["dft.n"]),
        make("Range", ["dft.first", "dft.bins", "dft.one"], ["dft.k"]),
        make("Unsqueeze", ["dft.n", "dft.axis1"], ["dft.column"]),
        make("Unsqueeze", ["dft.k", "dft.axis0"], ["dft.row"]),
        make("Mul", ["dft.column", "dft.row"], ["dft.outer"]),
        make("Mod", ["dft.outer", "dft.size"], ["dft.turns"]),
        make("Cast", ["dft.turns"], ["dft.float"], to=TensorProto.FLOAT),
        make("Mul", ["dft.float", "dft.turn"], ["dft.angle"]),
        make("Cos", ["dft.angle"], ["cos"]),
        make("Sin", ["dft.angle"], ["sin"]),
    ]
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in ("cos", "sin")]
    if len(kept) != len(model.graph.initializer) - 2:
        raise AssertionError("the exported vocoder has no tables 'cos' and 'sin'")
    others = list(model.graph.node)
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend([*kept, *constants])
    model.graph.node.extend([*nodes, *others])


def main() -> None:
    """Run the stage."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path("work/vocoder/last.pt"))
    parser.add_argument("--out", type=Path, default=Path("work/addons/universal"))
    parser.add_argument("--name", default="universal")
    parser.add_argument("--version", default="0.2.0")
    parser.add_argument("--iterations", type=int, default=ITERATIONS, help="iterations of phase refinement")
    parser.add_argument("--data", default="", help="what the recordings are, for people")
    args = parser.parse_args()
    vocoder, pitch, step = load(args.checkpoint)
    args.out.mkdir(parents=True, exist_ok=True)
    frames = 150
    torch.manual_seed(0)
    mel = torch.randn(2, frames, BANDS) * 2 - 5
    mask = torch.ones(2, frames)
    f0 = 100 + 100 * torch.rand(2, frames)
    hops = torch.randn(2, frames, HOP)
    pitch_axes = {"mel": ("batch", "frames", BANDS), "frames_mask": ("batch", "frames"), "f0": ("batch", "frames")}
    inputs = {"mel": mel, "frames_mask": mask}
    export_network(pitch, inputs, pitch_axes, args.out / "pitch.onnx")
    one = {name: tensor[:1].numpy() for name, tensor in inputs.items()}
    context = pitch.context
    check_context(args.out / "pitch.onnx", one, pitch_axes, axis="frames", left=context, right=context)
    axes = {
        "mel": ("batch", "frames", BANDS), "f0": ("batch", "frames"), "harmonics": ("batch", "frames", HOP),
        "noise": ("batch", "frames", HOP), "frames_mask": ("batch", "frames"),
        "real": ("batch", "frames", BINS), "imag": ("batch", "frames", BINS), "magnitude": ("batch", "frames", BINS),
    }  # fmt: skip
    inputs = {"mel": mel, "f0": f0, "harmonics": hops, "noise": hops.flip(0), "frames_mask": mask}
    export_network(
        vocoder, inputs, axes, args.out / "vocoder.onnx", tolerance=3e-4, edit=_compute_tables, exact=("cos", "sin")
    )
    one = {name: tensor[:1].numpy() for name, tensor in inputs.items()}
    wide = vocoder.size.context
    check_context(args.out / "vocoder.onnx", one, axes, axis="frames", left=wide, right=wide)

    def spec(*names: str | int) -> dict[str, object]:
        return {"dtype": "float32", "axes": list(names)}

    masked = {**spec("frames"), "fill": "mask"}
    manifest = {
        "format": 1, "name": args.name, "version": args.version, "kind": "vocoder", "license": "CC0-1.0",
        "description": "One vocoder for every voice: harmonic source and noise, shaped at frame rate, phase refined.",
        "data": f"{args.data or 'Unnamed corpora'}; trained for {step} steps by recipes/vocoder.",
        "features": CONTRACT,
        "networks": {
            "pitch": {
                "role": "pitch", "graph": "pitch.onnx",
                "inputs": {"mel": spec("frames", BANDS), "frames_mask": masked},
                "outputs": {"f0": spec("frames")},
                "stream": {"axis": "frames", "left": context, "right": context},
            },
            "vocoder": {
                "role": "vocoder", "graph": "vocoder.onnx",
                "inputs": {
                    "mel": spec("frames", BANDS), "f0": spec("frames"), "harmonics": spec("frames", HOP),
                    "noise": spec("frames", HOP), "frames_mask": masked,
                },
                "outputs": {name: spec("frames", BINS) for name in ("real", "imag", "magnitude")},
                "stream": {"axis": "frames", "left": wide, "right": wide},
            },
        },
        "stack": [
            {"type": "Decoder", "network": "pitch", "keep": ["mel"]},
            {"type": "Excitation", "sample_rate": SAMPLE_RATE, "hop": HOP, "rest_below": -4.5},
            {"type": "Vocoder", "keep": ["mel", "f0"]},
            {
                "type": "PhaseRefiner", "fft": N_FFT, "hop": HOP,
                "iterations": args.iterations, "relaxation": RELAXATION, "balance": BALANCE,
            },
        ],
    }  # fmt: skip
    (args.out / "addon.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
    size = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"{args.out}: step {step}, context {wide} frames, {size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
