"""What a streamed network is given of a window, and what is kept of what it makes."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from polyvox.errors import StackError, TensorError
from polyvox.networks import Network
from polyvox.tensors import Array, Rows, Specs, Tensors, TensorSpec
from polyvox.windows import Planner, Window


class StreamedNetwork:
    """A network with a stream axis, as blocks that run it over windows need it: fed, checked and trimmed.

    In a stream time is the first axis; a network may have it anywhere (`mel [80, frames]`).
    """

    def __init__(self, network: Network, where: str, own: Collection[str] = ()) -> None:
        """Look at what the network declares.

        Args:
            network: must declare `stream`.
            where: the block's place in the JSON, for messages.
            own: inputs that the block makes itself, and that come neither from upstream nor from the tensors.

        Raises:
            StackError: it cannot be run over windows.
        """
        spec = network.spec
        if spec.stream is None:
            raise StackError(
                f"{where}: network '{spec.name}' cannot be streamed, it lacks the field 'stream'"
                " (axis, left, right, hop)"
            )
        self.network = network
        self.axis, self.context = spec.stream.axis, spec.stream.context
        self.streamed = {
            n: s.axes.index(self.axis) for n, s in spec.wanted().items() if self.axis in s.axes and n not in own
        }
        """The inputs that come from upstream, and which of their axes is time."""
        self.static = [n for n in spec.wanted() if n not in self.streamed and n not in own]
        """The inputs that come from the tensors."""
        self.made: dict[str, int] = {}
        """The outputs, and which of their axes is time."""
        if not self.streamed and not own:
            raise StackError(f"{where}: no input of network '{spec.name}' has its stream axis '{self.axis}'")
        for name, out in spec.outputs.items():
            named = [i for i, axis in enumerate(out.axes) if isinstance(axis, str)]
            if len(named) != 1:
                raise StackError(
                    f"{where}: output '{name}' of network '{spec.name}' is {out}; a streamed network's"
                    " outputs need exactly one named axis, that of time"
                )
            self.made[name] = named[0]
        try:
            self.planner = Planner(self.context, tuple(network.sizes.get(self.axis, ())))
        except ValueError as error:
            raise StackError(f"{where}: network '{spec.name}': {error}") from None

    def feed(self, window: Window, rows: Rows, tensors: Tensors, where: str) -> dict[str, Array]:
        """The network's inputs for a window, except the block's own.

        Raises:
            TensorError: one of them is not a finite number somewhere.
        """
        feed: dict[str, Array] = {name: tensors[name] for name in self.static if name in tensors}
        for name, axis in self.streamed.items():
            feed[name] = self.placed(name, rows.cut(name, window.start, window.stop), axis, window.start, where)
        return feed

    def placed(self, name: str, array: Array, axis: int, start: int, where: str) -> Array:
        """An input's rows from frame `start` on, with time as axis number `axis`.

        Raises:
            TensorError: they are not finite numbers.
        """
        frame = not_finite(array)
        if frame is not None:
            raise TensorError(
                f"{where}: input '{name}' of network '{self.network.spec.name}' is not a finite number at"
                f" {self.axis.removesuffix('s')} {start + frame}"
            )
        return np.moveaxis(array, 0, axis) if axis else array

    def kept(self, made: Tensors, window: Window, where: str) -> dict[str, Array]:
        """The outputs for the frames that the window keeps, time first.

        Raises:
            TensorError: the network made another number of steps than its `hop` says.
        """
        kept: dict[str, Array] = {}
        for name, axis in self.made.items():
            array = np.moveaxis(made[name], axis, 0) if axis else made[name]
            expected = (window.stop - window.start) * self.context.hop
            if len(array) != expected:
                raise TensorError(
                    f"{where}: network '{self.network.spec.name}' made {len(array)} steps of '{name}' from"
                    f" {window.stop - window.start} {self.axis}, expected {expected} (hop {self.context.hop})"
                )
            kept[name] = array[window.kept(self.context.hop)]
        return kept

    def offered(self, upstream: Specs) -> Specs:
        """What comes from upstream, with time where the network has it."""
        moved: dict[str, TensorSpec] = {}
        for name, axis in self.streamed.items():
            if axis and name in upstream and len(upstream[name].axes) > axis:
                first, *others = upstream[name].axes
                moved[name] = TensorSpec(upstream[name].dtype, (*others[:axis], first, *others[axis:]))
        return upstream.plus(moved) if moved else upstream

    def outputs(self) -> Specs:
        """What the network makes, time first."""
        outputs = self.network.spec.outputs
        return Specs({name: time_first(outputs[name], axis) for name, axis in self.made.items()})


def time_first(spec: TensorSpec, axis: int) -> TensorSpec:
    """A network's tensor whose time is axis number `axis`, as a stream carries it."""
    axes = list(spec.axes)
    axes.insert(0, axes.pop(axis))
    return TensorSpec(spec.dtype, tuple(axes))


def not_finite(array: Array) -> int | None:
    """The first step at which floats are no finite numbers, if there is one."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return None
    return int(np.argwhere(~np.isfinite(array))[0][0])
