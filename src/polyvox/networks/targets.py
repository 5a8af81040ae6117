"""Targets: where and how networks run. A target is chosen at load, or for one block in the stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from polyvox.errors import TargetError
from polyvox.networks.fixed import FixedShape
from polyvox.networks.network import Network, NetworkSpec
from polyvox.networks.onnx_file import Graph
from polyvox.networks.onnxruntime import OnnxNetwork


@dataclass(frozen=True, slots=True)
class Target:
    """A runtime, a device, and either dynamic shapes (`sizes` empty) or the sizes that each axis is compiled to."""

    name: str
    description: str
    runtime: str = "onnxruntime"
    threads: int = 1
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("cpu", "ONNX Runtime on the CPU, shapes of any size"),
        Target(
            "cpu-fixed",
            "ONNX Runtime on the CPU, every axis compiled to fixed sizes: stands in for chips that need that",
            sizes={"tokens": (32, 64, 128, 256), "frames": (64, 128, 256, 512)},
        ),
    )
}


def target(name: str | Target) -> Target:
    """Find a target by name.

    Raises:
        TargetError: there is none of that name; the message lists those that are.
    """
    if isinstance(name, Target):
        return name
    if name not in TARGETS:
        raise TargetError(f"target '{name}' is unknown; there are {', '.join(TARGETS)}")
    return TARGETS[name]


@dataclass(frozen=True, slots=True)
class Source:
    """A network as its addon holds it: what is declared, the graph's bytes, what the graph itself says."""

    spec: NetworkSpec
    data: bytes
    graph: Graph
    where: str
    folder: Path | None = None
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def load_network(source: Source, on: Target) -> Network:
    """Load a network for a target, compiled for each size where the target asks for that.

    Raises:
        TargetError: the target fixes axes and gives no sizes for one of this network's.
        AddonError: the runtime refuses the graph.
    """
    if not on.sizes:
        return OnnxNetwork(source.spec, source.data, source.where, threads=on.threads, folder=source.folder)
    axes = sorted({a for s in source.spec.inputs.values() for a in s.axes if isinstance(a, str)})
    sizes = {**on.sizes, **source.sizes}
    missing = [axis for axis in axes if axis not in sizes]
    if missing:
        raise TargetError(
            f"target '{on.name}' has no sizes for axis '{missing[0]}' of network '{source.spec.name}';"
            f" it fixes {', '.join(on.sizes)}; addon.json can give sizes in networks.{source.spec.name}.sizes"
        )
    compiled: dict[tuple[int, ...], Network] = {}
    for combination in product(*(sizes[axis] for axis in axes)):
        dims = _dims(source, dict(zip(axes, combination, strict=True)))
        compiled[combination] = OnnxNetwork(
            source.spec, source.data, source.where, threads=on.threads, dims=dims, folder=source.folder
        )
    return FixedShape(compiled, axes) if axes else next(iter(compiled.values()))


def _dims(source: Source, sizes: Mapping[str, int]) -> dict[str, int]:
    """Sizes by the graph's own names of its dimensions; the batch in front is one."""
    dims: dict[str, int] = {}
    for name, spec in source.spec.inputs.items():
        given = source.graph.inputs[name].dims
        axes: tuple[str | int, ...] = spec.axes
        if len(given) > len(axes):
            axes = ("", *axes)
        for dim, axis in zip(given, axes, strict=True):
            if isinstance(dim, str):
                dims[dim] = 1 if axis == "" else sizes[axis] if isinstance(axis, str) else axis
    return dims
