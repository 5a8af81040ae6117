"""Writing networks as ONNX: named tensors, a leading batch axis, weights at half size, checked against torch.

    export_network(
        decoder,
        inputs={"mel": torch.randn(2, 40, 80), "frames_mask": torch.ones(2, 40)},
        axes={
            "mel": ("batch", "frames", 80),
            "frames_mask": ("batch", "frames"),
            "audio": ("batch", "samples"),
        },
        path=out / "decoder.onnx",
    )

Names in `axes` that are not inputs are the outputs, in the order in which `forward` returns them; an axis
that is a string is dynamic. The graphs hold standard operators only, so that every runtime can read them.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

OPSET = 17
# Smaller tensors (biases, scales) stay float32: they weigh nothing and keep their precision.
HALF_FROM = 1024

Axes = Mapping[str, tuple[str | int, ...]]
Tensors = Mapping[str, torch.Tensor]


def convolve_rows(convolution: nn.Conv1d, x: torch.Tensor) -> torch.Tensor:
    """A convolution over time as a matrix product with the frames as rows, [batch, frames, in] -> [.., out].

    For exported graphs: runtimes compute a convolution over few frames by another path than one over many, which
    rounds differently.
    """
    width, channels, kernel = convolution.weight.shape
    frames = x.shape[1]
    padded = nn.functional.pad(x, (0, 0, kernel // 2, kernel // 2))
    rows = torch.cat([padded[:, i : i + frames] for i in range(kernel)], dim=2)
    weight = convolution.weight.permute(2, 1, 0).reshape(kernel * channels, width)
    assert convolution.bias is not None
    return rows @ weight + convolution.bias


def as_stored(module: nn.Module, *, half: bool = True, exact: Collection[str] = ()) -> nn.Module:
    """A copy of `module` with its weights rounded as the file holds them, so that comparisons can be strict."""
    module = copy.deepcopy(module).cpu().float().eval()
    if half:
        with torch.no_grad():
            for name, tensor in (*module.named_parameters(), *module.named_buffers()):
                if name not in exact and tensor.dtype == torch.float32 and tensor.numel() >= HALF_FROM:
                    tensor.copy_(tensor.half().float())
    return module


def export_network(
    module: nn.Module,
    inputs: Tensors,
    axes: Axes,
    path: Path,
    *,
    half: bool = True,
    opset: int = OPSET,
    tolerance: float = 1e-4,
    edit: Callable[[onnx.ModelProto], None] | None = None,
    exact: Collection[str] = (),
) -> dict[str, np.ndarray]:
    """Write `module` to `path` and check that ONNX Runtime computes what torch computes.

    Args:
        module: its `forward` takes the tensors of `inputs` in that order and returns the outputs in `axes`.
        inputs: example tensors, batch axis first. Sizes of dynamic axes should be above 1.
        axes: for every input and output its axes: a name (dynamic) or a size.
        path: the `.onnx` file.
        half: store large weights as float16, cast to float32 in the graph (runtimes fold the cast at load).
        opset: the ONNX operator set.
        tolerance: largest difference allowed, relative to the output's largest magnitude.
        exact: weights that are not rounded.
        edit: changes the graph before weights are halved; with it, nothing is folded by the exporter.

    Returns:
        ONNX Runtime's outputs for `inputs`.
    """
    module = as_stored(module, half=half, exact=exact)
    outputs = [name for name in axes if name not in inputs]
    dynamic = {name: {i: axis for i, axis in enumerate(names) if isinstance(axis, str)} for name, names in axes.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad(), warnings.catch_warnings():
        # The TorchScript exporter is deprecated, but its graphs are smaller; its warnings are about tracing.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=outputs,
            dynamic_axes={name: named for name, named in dynamic.items() if named},
            opset_version=opset,
            do_constant_folding=edit is None,
            dynamo=False,
        )
    graph = onnx.load(str(path))
    _declare_axes(graph, axes)
    if edit is not None:
        edit(graph)
    if half:
        _halve(graph, exact)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, str(path))
    return check_network(module, inputs, axes, path, tolerance=tolerance)


def check_network(
    module: nn.Module, inputs: Tensors, axes: Axes, path: Path, *, tolerance: float = 1e-4
) -> dict[str, np.ndarray]:
    """Compare the file with the torch module, at sizes that may differ from those it was exported with.

    Args:
        module: as stored in the file (`as_stored`).
        inputs: example tensors, batch axis first.
        axes: as in `export_network`.
        path: the file.
        tolerance: largest difference allowed, relative to the output's largest magnitude.

    Returns:
        ONNX Runtime's outputs.

    Raises:
        AssertionError: an output differs, and by how much.
    """
    names = [name for name in axes if name not in inputs]
    found = run_network(path, {name: tensor.numpy() for name, tensor in inputs.items()})
    with torch.no_grad():
        expected = module.eval()(*inputs.values())
    expected = expected if isinstance(expected, tuple) else (expected,)
    for name, tensor in zip(names, expected, strict=True):
        want = tensor.numpy()
        assert found[name].shape == want.shape, f"{path.name}: {name} {found[name].shape}, torch {want.shape}"
        scale = max(1.0, float(np.abs(want).max(initial=0)))
        error = float(np.abs(found[name] - want).max(initial=0)) / scale
        assert error <= tolerance, f"{path.name}: {name} differs from torch by {error:.2g}"
    return found


def check_context(
    path: Path,
    inputs: Mapping[str, np.ndarray],
    axes: Axes,
    *,
    axis: str,
    left: int,
    right: int,
    hop: int = 1,
    tolerance: float = 1e-5,
) -> float:
    """Check that windows with `left` and `right` steps of context give exactly the inner part of the whole.

    Args:
        path: the network.
        inputs: one long example, batch axis first, without padding.
        axes: as in `export_network`; every input with `axis` is cut along it. An output may call its axis
            differently (`samples`): outputs are cut on axis 1, and have `hop` steps for every input step.
        axis: the name of the streamed axis.
        left: context before a window.
        right: context after it.
        hop: output steps for one input step.
        tolerance: largest difference allowed, relative to the output's largest magnitude.

    Returns:
        The largest difference found.
    """
    cut = {name: axes[name].index(axis) for name in inputs if axis in axes[name]}
    length = next(inputs[name].shape[i] for name, i in cut.items())
    whole = run_network(path, inputs)
    size, worst = max(1, (length - left - right) // 3), 0.0
    # At the start, in the middle, at the end: the true edges are the network's own.
    for first in (0, (length - size) // 2, length - size):
        begin, end = max(0, first - left), min(length, first + size + right)
        window = {
            name: np.take(value, range(begin, end), axis=cut[name]) if name in cut else value
            for name, value in inputs.items()
        }
        for name, part in run_network(path, window).items():
            inner = part[:, (first - begin) * hop : (first - begin + size) * hop]
            want = whole[name][:, first * hop : (first + size) * hop]
            worst = max(worst, float(np.abs(inner - want).max() / max(1.0, np.abs(want).max())))
    assert worst <= tolerance, f"{path.name}: windows with {left}+{right} of context differ by {worst:.2g}"
    return worst


def run_network(path: Path, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Run an ONNX file once on one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    known = {node.name for node in session.get_inputs()}
    feeds = {name: value for name, value in inputs.items() if name in known}
    return dict(zip(names, session.run(names, feeds), strict=True))


def _declare_axes(graph: onnx.ModelProto, axes: Axes) -> None:
    """Write the axes' names and sizes into the graph's inputs and outputs: the exporter forgets some."""
    present = {value.name for value in graph.graph.input}
    missing = [name for name in axes if name not in present | {v.name for v in graph.graph.output}]
    if missing:
        raise AssertionError(f"inputs that no output depends on: {', '.join(missing)}")
    for value in (*graph.graph.input, *graph.graph.output):
        shape = value.type.tensor_type.shape
        del shape.dim[:]
        for axis in axes[value.name]:
            dim = shape.dim.add()
            if isinstance(axis, str):
                dim.dim_param = axis
            else:
                dim.dim_value = axis


def _halve(model: onnx.ModelProto, exact: Collection[str]) -> None:
    """Store large float32 initialisers as float16, each with a Cast back to float32 under its old name."""
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.name in exact or tensor.data_type != TensorProto.FLOAT or values.size < HALF_FROM:
            continue
        name, small = tensor.name, f"{tensor.name}.float16"
        with np.errstate(over="ignore"):
            halved = values.astype(np.float16)
        if not np.isfinite(halved).all():
            continue
        tensor.CopyFrom(numpy_helper.from_array(halved, small))
        casts.append(helper.make_node("Cast", [small], [name], name=f"{name}.float32", to=TensorProto.FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*casts, *nodes])
