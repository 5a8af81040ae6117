"""Targets: where and how networks run. A target is chosen at load, or for one block in the stack."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from polyvox.errors import TargetError
from polyvox.networks.batched import Batched
from polyvox.networks.fixed import FixedShape
from polyvox.networks.network import Network, NetworkSpec
from polyvox.networks.onnx_file import Graph
from polyvox.networks.onnxruntime import OnnxNetwork
from polyvox.networks.scheduling import Device


@dataclass(frozen=True, slots=True)
class Target:
    """A runtime, a device, and either dynamic shapes (`sizes` empty) or the sizes that each axis is compiled to.

    With fixed sizes, `batches` are the numbers of utterances that a network is compiled for, each a copy of its own.
    """

    name: str
    description: str
    runtime: str = "onnxruntime"
    threads: int = 1
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    batches: tuple[int, ...] = (1,)


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
    joint: dict[int, dict[tuple[int, ...], Network]] = {}
    batches = {1, *on.batches} if axes and _any_rows(source) else {1}
    for rows in sorted(batches):
        joint[rows] = {
            combination: OnnxNetwork(
                source.spec,
                source.data,
                source.where,
                threads=on.threads,
                dims=_dims(source, dict(zip(axes, combination, strict=True)), rows),
                folder=source.folder,
            )
            for combination in product(*(sizes[axis] for axis in axes))
        }
    compiled = joint.pop(1)
    return FixedShape(compiled, axes, joint) if axes else next(iter(compiled.values()))


def on_device(source: Source, on: Target, device: Device, name: str) -> Network:
    """The network on `device`, its calls batched with those of all who hold it; loaded if nobody does yet.

    Closing what is returned gives it back; the last one to do so closes the network.

    Args:
        source: the network. The same graph with the same declarations is the same network, wherever it lies.
        on: the target.
        device: where it runs, and what remembers it.
        name: what the device's `usage` calls it, if nobody has loaded it yet.

    Raises:
        TargetError: the target fixes axes and gives no sizes for one of this network's.
        AddonError: the runtime refuses the graph.
    """
    return device.networks.take(
        (_identity(source), repr(on)), lambda: Batched(load_network(source, on), device, name=name)
    )


def _identity(source: Source) -> Hashable:
    beside = []
    if source.folder is not None:
        for path in sorted((source.folder / name).resolve() for name in source.graph.external):
            state = path.stat()
            beside.append((str(path), state.st_size, state.st_mtime_ns))
    # Specifications hold mappings, which have no hash; what they print says all that is in them.
    return hashlib.sha256(source.data).digest(), tuple(beside), repr(source.spec), repr(source.sizes)


def _any_rows(source: Source) -> bool:
    """Whether the graph has a named batch axis in front of every input, and one that is no number at every output."""
    for specs, values in ((source.spec.inputs, source.graph.inputs), (source.spec.outputs, source.graph.outputs)):
        for name, spec in specs.items():
            dims = values[name].dims
            if len(dims) == len(spec.axes) or not isinstance(dims[0], str | None):
                return False
            if specs is source.spec.inputs and dims[0] is None:
                return False
    return True


def _dims(source: Source, sizes: Mapping[str, int], rows: int) -> dict[str, int]:
    """Sizes by the graph's own names of its dimensions; the batch in front is `rows`."""
    dims: dict[str, int] = {}
    for name, spec in source.spec.inputs.items():
        given = source.graph.inputs[name].dims
        axes: tuple[str | int, ...] = spec.axes
        if len(given) > len(axes):
            axes = ("", *axes)
        for dim, axis in zip(given, axes, strict=True):
            if isinstance(dim, str):
                dims[dim] = rows if axis == "" else sizes[axis] if isinstance(axis, str) else axis
    return dims
