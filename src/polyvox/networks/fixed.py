"""FixedShape: a network compiled to a few sizes stands in for one of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from polyvox.errors import TensorError
from polyvox.networks.network import Network, NetworkSpec, filled
from polyvox.networks.stepping import Saved, Stepper, starting
from polyvox.tensors import Array, Tensors, check


class FixedShape(Network):
    """Pads each input up to the smallest compiled size that holds it, says so in the masks, and trims the outputs.

    Streamed blocks ask only for windows of a compiled size, so there padding is for utterances shorter than the
    smallest window alone.
    """

    def __init__(self, compiled: Mapping[tuple[int, ...], Network], axes: Sequence[str]) -> None:
        """Wrap.

        Args:
            compiled: a network for each combination of sizes, in the order of `axes`.
            axes: the named axes that are compiled.
        """
        self._compiled = dict(compiled)
        self._axes = tuple(axes)
        self.spec = next(iter(self._compiled.values())).spec
        self._sizes = {a: tuple(sorted({k[i] for k in self._compiled})) for i, a in enumerate(self._axes)}
        missing = [k for k in product(*self._sizes.values()) if k not in self._compiled]
        if missing:
            raise ValueError(f"no network is compiled for {dict(zip(self._axes, missing[0], strict=True))}")

    @property
    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        """The compiled sizes of each axis."""
        return self._sizes

    def run(self, tensors: Tensors) -> dict[str, Array]:
        """Pad, run, trim."""
        real: dict[str, int] = {}
        for name, spec in self.spec.wanted().items():
            if name not in tensors:
                raise TensorError(f"network '{self.spec.name}': input '{name}' is missing; given are {sorted(tensors)}")
            check(name, tensors[name], spec, real, f"network '{self.spec.name}'")
        compiled, padded, feed = self._padded(tensors, real)
        made = compiled.run(feed)
        # An output's axis is one of the inputs', or runs along with the streamed one at `hop` steps each.
        trimmed = dict(real)
        if self.spec.stream is not None:
            axis = self.spec.stream.axis
            steps, padding = real[axis], padded[axis]
        for name, out in self.spec.outputs.items():
            cuts = []
            for axis_name, size in zip(out.axes, made[name].shape, strict=True):
                if isinstance(axis_name, int):
                    cuts.append(slice(None))
                elif axis_name in trimmed:
                    cuts.append(slice(trimmed[axis_name]))
                elif self.spec.stream is not None and size % padding == 0:
                    cuts.append(slice(size // padding * steps))
                else:
                    raise TensorError(f"network '{self.spec.name}': axis '{axis_name}' of '{name}' cannot be trimmed")
            made[name] = made[name][tuple(cuts)]
        return made

    def _padded(self, tensors: Tensors, real: Mapping[str, int]) -> tuple[Network, dict[str, int], dict[str, Array]]:
        """The network compiled for the smallest sizes that hold `real`, those sizes, and its inputs."""
        padded = dict(real)
        for axis in self._axes:
            size = real.get(axis, 0)
            fit = next((s for s in self._sizes[axis] if s >= size), None)
            if fit is None:
                raise TensorError(
                    f"network '{self.spec.name}': {size} {axis} exceed the largest compiled size,"
                    f" {self._sizes[axis][-1]}"
                )
            padded[axis] = fit
        feed: dict[str, Array] = {}
        for name, spec in self.spec.inputs.items():
            if spec.fill is not None:
                feed[name] = filled(spec, real, padded)
            else:
                feed[name] = _pad(tensors[name], [padded[a] if isinstance(a, str) else a for a in spec.axes])
        return self._compiled[tuple(padded[a] for a in self._axes)], padded, feed

    def stepper(self, tensors: Tensors) -> Stepper:
        """Pads once, and trims after every step; the state stays padded."""
        feed, real = starting(self.spec, tensors, f"network '{self.spec.name}'")
        compiled, padded, filled_up = self._padded(feed, real)
        return _PaddedStepper(compiled.stepper(filled_up), self.spec, real, padded)

    def close(self) -> None:
        """Close all compiled networks."""
        for network in self._compiled.values():
            network.close()


class _PaddedStepper(Stepper):
    def __init__(self, inner: Stepper, spec: NetworkSpec, real: Mapping[str, int], padded: Mapping[str, int]) -> None:
        self._inner, self._spec = inner, spec
        self._padded = padded
        self._cuts = {
            name: tuple(slice(real[a]) if isinstance(a, str) else slice(None) for a in out.axes)
            for name, out in spec.outputs.items()
        }

    def step(self, changed: Tensors | None = None) -> Tensors:
        wide = {
            name: _pad(value, [self._padded[a] if isinstance(a, str) else a for a in self._spec.inputs[name].axes])
            for name, value in (changed or {}).items()
        }
        made = self._inner.step(wide)
        return {name: made[name][cut] for name, cut in self._cuts.items()}

    def save(self) -> Saved:
        return self._inner.save()

    def restore(self, saved: Saved) -> None:
        self._inner.restore(saved)


def _pad(array: Array, shape: Sequence[int]) -> Array:
    if array.shape == tuple(shape):
        return array
    out = np.zeros(shape, dtype=array.dtype)
    out[tuple(slice(n) for n in array.shape)] = array
    return out
