"""Several utterances in one run: what fits together, stacking it, and taking the results apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from polyvox.errors import TensorError
from polyvox.tensors import Array, Tensors, TensorSpec

if TYPE_CHECKING:
    from polyvox.networks.network import InputSpec, Network, NetworkSpec


def pads(spec: NetworkSpec, *, stepping: bool = False) -> bool:
    """Whether utterances of different sizes may share a run: something tells the network where each one ends.

    That is an input with `fill` over every named axis. While `stepping`, blocks confine the attention with masks of
    their own, inputs whose name ends in "mask".
    """
    named = {a for s in spec.inputs.values() for a in s.axes if isinstance(a, str)}
    told = {s.of if s.fill == "length" else s.axes[0] for s in spec.inputs.values() if s.fill is not None}
    if stepping:
        told |= {s.axes[0] for n, s in spec.inputs.items() if n.endswith("mask") and len(s.axes) == 1}
    return named <= told


def shape(spec: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, ...]:
    """A tensor's shape where named axes have `sizes`."""
    return tuple(sizes[a] if isinstance(a, str) else a for a in spec.axes)


def padded(array: Array, shape: Sequence[int]) -> Array:
    """`array` with zeros behind it up to `shape`; itself if it has that shape."""
    if array.shape == tuple(shape):
        return array
    out = np.zeros(shape, dtype=array.dtype)
    out[tuple(slice(n) for n in array.shape)] = array
    return out


def fill(spec: InputSpec, tensors: Tensors, name: str, real: Mapping[str, int], wide: Mapping[str, int]) -> Array:
    """One input of one utterance, padded from its sizes `real` to `wide`."""
    from polyvox.networks.network import filled

    if spec.fill is not None and name not in tensors:
        return filled(spec, real, wide)
    return padded(np.asarray(tensors[name]), shape(spec, wide))


def trimmed(
    spec: NetworkSpec, made: Mapping[str, Array], real: Mapping[str, int], wide: Mapping[str, int]
) -> dict[str, Array]:
    """The outputs of one utterance without what padding made, as views.

    An output's axis is one of the inputs', or runs along with the streamed one at a fixed number of steps each.

    Raises:
        TensorError: an axis is neither.
    """
    if real == wide:
        return dict(made)
    steps, padding = (real[spec.stream.axis], wide[spec.stream.axis]) if spec.stream is not None else (0, 0)
    whole: dict[str, Array] = {}
    for name, out in spec.outputs.items():
        cuts = []
        for axis, size in zip(out.axes, made[name].shape, strict=True):
            if isinstance(axis, int):
                cuts.append(slice(None))
            elif axis in real:
                cuts.append(slice(real[axis]))
            elif padding and size % padding == 0:
                cuts.append(slice(size // padding * steps))
            else:
                raise TensorError(f"network '{spec.name}': axis '{axis}' of '{name}' cannot be trimmed")
        whole[name] = made[name][tuple(cuts)]
    return whole


def run_joint(network: Network, calls: Sequence[Tensors]) -> list[dict[str, Array]]:
    """Run calls together as far as the network can: all of one size, or padded where masks say so.

    Raises:
        TensorError: one of them, or the run, fails.
    """
    if len(calls) == 1 or network.rows == 1:
        return [network.run(tensors) for tensors in calls]
    sizes = [network.measure(tensors) for tensors in calls]
    wide = {axis: max(s[axis] for s in sizes) for axis in sizes[0]}
    if any(s != wide for s in sizes) and not pads(network.spec):
        return [network.run(tensors) for tensors in calls]
    done: list[dict[str, Array]] = []
    for first in range(0, len(calls), network.rows):
        last = min(first + network.rows, len(calls))
        done += _run(network, calls[first:last], sizes[first:last], wide)
    return done


def _run(
    network: Network, calls: Sequence[Tensors], sizes: Sequence[dict[str, int]], wide: Mapping[str, int]
) -> list[dict[str, Array]]:
    rows, wide = network.fit(len(calls), wide)
    feed: dict[str, Array] = {}
    for name, spec in network.spec.inputs.items():
        stack = [fill(spec, t, name, s, wide) for t, s in zip(calls, sizes, strict=True)]
        # Rows that a compiled batch leaves over compute the first call again: all zeros may be no number.
        feed[name] = np.stack(stack + [stack[0]] * (rows - len(stack)))
    made = network.run_batch(feed)
    return [trimmed(network.spec, {n: a[i, ...] for n, a in made.items()}, s, wide) for i, s in enumerate(sizes)]
