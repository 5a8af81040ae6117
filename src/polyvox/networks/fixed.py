"""FixedShape: a network compiled to a few sizes stands in for one of any size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product

from polyvox.errors import TensorError
from polyvox.networks.joint import padded, run_joint, shape, trimmed
from polyvox.networks.network import Network, NetworkSpec, filled
from polyvox.networks.stepping import Saved, Stepper, starting
from polyvox.tensors import Array, Tensors

Compiled = Mapping[tuple[int, ...], Network]
"""A network for each combination of sizes."""


class FixedShape(Network):
    """Pads each input up to the smallest compiled size that holds it, says so in the masks, and trims the outputs.

    Streamed blocks ask only for windows of a compiled size, so there padding is for utterances shorter than the
    smallest window alone.
    """

    def __init__(self, compiled: Compiled, axes: Sequence[str], joint: Mapping[int, Compiled] | None = None) -> None:
        """Wrap.

        Args:
            compiled: a network for each combination of sizes, in the order of `axes`.
            axes: the named axes that are compiled.
            joint: the same, compiled for several utterances at once, by how many.
        """
        self._compiled = dict(compiled)
        self._axes = tuple(axes)
        self._batches: dict[int, Compiled] = {
            1: self._compiled,
            **dict(sorted((joint or {}).items())),
        }
        self.spec = next(iter(self._compiled.values())).spec
        self._sizes = {a: tuple(sorted({k[i] for k in self._compiled})) for i, a in enumerate(self._axes)}
        for networks in self._batches.values():
            missing = [k for k in product(*self._sizes.values()) if k not in networks]
            if missing:
                raise ValueError(f"no network is compiled for {dict(zip(self._axes, missing[0], strict=True))}")

    @property
    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        """The compiled sizes of each axis."""
        return self._sizes

    @property
    def rows(self) -> int:
        """The largest compiled batch."""
        return max(self._batches)

    def run(self, tensors: Tensors) -> dict[str, Array]:
        """Pad, run, trim."""
        real = self.measure(tensors)
        _, wide = self.fit(1, real)
        made = self._at(1, wide).run(self._padded(tensors, real, wide))
        return trimmed(self.spec, made, real, wide)

    def run_many(self, calls: Sequence[Tensors]) -> list[dict[str, Array]]:
        """Pad each to one compiled size, and run as many at once as are compiled."""
        return run_joint(self, calls)

    def fit(self, rows: int, sizes: Mapping[str, int]) -> tuple[int, dict[str, int]]:
        """The smallest compiled batch and sizes."""
        batch = next((b for b in self._batches if b >= rows), None)
        if batch is None:
            raise TensorError(f"{self.where}: {rows} rows exceed the largest compiled batch, {self.rows}")
        wide = dict(sizes)
        for axis in self._axes:
            size = sizes.get(axis, 0)
            fit = next((s for s in self._sizes[axis] if s >= size), None)
            if fit is None:
                raise TensorError(
                    f"{self.where}: {size} {axis} exceed the largest compiled size, {self._sizes[axis][-1]}"
                )
            wide[axis] = fit
        return batch, wide

    def run_batch(self, feed: Tensors) -> dict[str, Array]:
        """Run the network that is compiled for the size of `feed`."""
        wide = {
            axis: feed[name].shape[1 + i]
            for name, spec in self.spec.inputs.items()
            for i, axis in enumerate(spec.axes)
            if isinstance(axis, str)
        }
        return self._at(len(feed[next(iter(self.spec.inputs))]), wide).run_batch(feed)

    def _at(self, rows: int, wide: Mapping[str, int]) -> Network:
        return self._batches[rows][tuple(wide[a] for a in self._axes)]

    def _padded(self, tensors: Tensors, real: Mapping[str, int], wide: Mapping[str, int]) -> dict[str, Array]:
        """All inputs of one utterance, padded from its sizes `real` to `wide`."""
        return {
            name: filled(spec, real, wide) if spec.fill is not None else padded(tensors[name], shape(spec, wide))
            for name, spec in self.spec.inputs.items()
        }

    def stepper(self, tensors: Tensors) -> Stepper:
        """Pads once, and trims after every step; the state stays padded."""
        feed, real = starting(self.spec, tensors, self.where)
        _, wide = self.fit(1, real)
        return _PaddedStepper(self._at(1, wide).stepper(self._padded(feed, real, wide)), self.spec, real, wide)

    def close(self) -> None:
        """Close all compiled networks."""
        for networks in self._batches.values():
            for network in networks.values():
                network.close()


class _PaddedStepper(Stepper):
    def __init__(self, inner: Stepper, spec: NetworkSpec, real: Mapping[str, int], wide: Mapping[str, int]) -> None:
        self._inner, self._spec, self._wide = inner, spec, wide
        self._cuts = {
            name: tuple(slice(real[a]) if isinstance(a, str) else slice(None) for a in out.axes)
            for name, out in spec.outputs.items()
        }

    def step(self, changed: Tensors | None = None) -> Tensors:
        inputs = self._spec.inputs
        wide = {name: padded(value, shape(inputs[name], self._wide)) for name, value in (changed or {}).items()}
        made = self._inner.step(wide)
        return {name: made[name][cut] for name, cut in self._cuts.items()}

    def save(self) -> Saved:
        return self._inner.save()

    def restore(self, saved: Saved) -> None:
        self._inner.restore(saved)
