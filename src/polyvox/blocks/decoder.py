"""Decoder and Vocoder: networks run over windows of a stream."""

from __future__ import annotations

import numpy as np

from polyvox.blocks.build import Parts
from polyvox.blocks.encoder import check_inputs
from polyvox.blocks.registry import block
from polyvox.blocks.windowed import WindowedBlock
from polyvox.errors import StackError, TensorError
from polyvox.tensors import Array, Rows, Specs, Tensors
from polyvox.windows import Planner, Window


@block("Decoder")
class Decoder(WindowedBlock):
    """Runs a network over windows with context to the left and right; the chunks joined equal the whole output.

    The network's inputs that have the streamed axis come from the upstream, the others from the tensors that
    sequence blocks made. Upstream tensors that the network does not read pass through, and so do those in `keep`.
    """

    role = "decoder"
    own_work = False

    def __init__(self, parts: Parts, network: str | None = None, keep: list[str] | None = None) -> None:
        """Set up.

        Args:
            parts: the addon's networks.
            network: which one; not needed if only one has this block's role.
            keep: tensors to pass through although the network reads them.
        """
        self.network = parts.only(network, self.role)
        spec = self.network.spec
        if spec.stream is None:
            raise StackError(
                f"{parts.where}: network '{spec.name}' cannot be streamed, it lacks the field"
                " 'stream' (axis, left, right, hop)"
            )
        self.axis, self.context = spec.stream.axis, spec.stream.context
        self._streamed = {n: s.axes.index(self.axis) for n, s in spec.wanted().items() if self.axis in s.axes}
        self._static = [n for n in spec.wanted() if n not in self._streamed]
        self._made: dict[str, int] = {}
        if not self._streamed:
            raise StackError(f"{parts.where}: no input of network '{spec.name}' has its stream axis '{self.axis}'")
        for name, out in spec.outputs.items():
            named = [i for i, axis in enumerate(out.axes) if isinstance(axis, str)]
            if len(named) != 1:
                raise StackError(
                    f"{parts.where}: output '{name}' of network '{spec.name}' is {out}; a streamed network's"
                    " outputs need exactly one named axis, that of time"
                )
            self._made[name] = named[0]
        self._keep = set(keep or ())
        self.leader = next(iter(self._streamed))
        try:
            self.planner = Planner(self.context, tuple(self.network.sizes.get(self.axis, ())))
        except ValueError as error:
            raise StackError(f"{parts.where}: network '{spec.name}': {error}") from None

    def transform(self, window: Window, rows: Rows, tensors: Tensors) -> Tensors:
        """The network's outputs for the window's kept frames, and what passes through."""
        feed: dict[str, Array] = {name: tensors[name] for name in self._static if name in tensors}
        for name, axis in self._streamed.items():
            array = rows.cut(name, window.start, window.stop)
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                frame = window.start + int(np.argwhere(~np.isfinite(array))[0][0])
                raise TensorError(
                    f"{self.where}: input '{name}' of network '{self.network.spec.name}' is not a finite number at"
                    f" {self.axis.removesuffix('s')} {frame}"
                )
            feed[name] = np.moveaxis(array, 0, axis) if axis else array
        made = self.network.run(feed)
        chunk: dict[str, Array] = {
            name: rows.cut(name, window.first, window.last)
            for name in rows.names()
            if name not in self._streamed or name in self._keep
        }
        for name, axis in self._made.items():
            array = np.moveaxis(made[name], axis, 0) if axis else made[name]
            expected = (window.stop - window.start) * self.context.hop
            if len(array) != expected:
                raise TensorError(
                    f"{self.where}: network '{self.network.spec.name}' made {len(array)} steps of '{name}' from"
                    f" {window.stop - window.start} {self.axis}, expected {expected} (hop {self.context.hop})"
                )
            chunk[name] = array[window.kept(self.context.hop)]
        return chunk

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """The network's outputs, and what passes through."""
        for name in self._streamed:
            if name not in upstream and name in tensors and not upstream.open:
                raise StackError(
                    f"{self.where}: network '{self.network.spec.name}' streams over '{name}', but that is"
                    f" {tensors[name]} of a sequence block; a stream of {', '.join(upstream) or 'nothing'} comes"
                )
        check_inputs(self.network, self.where, upstream, tensors)
        return upstream.without(self._streamed.keys() - self._keep).plus(self._outputs())

    def _outputs(self) -> Specs:
        spec = self.network.spec
        moved = {}
        for name, axis in self._made.items():
            axes = list(spec.outputs[name].axes)
            axes.insert(0, axes.pop(axis))
            moved[name] = type(spec.outputs[name])(spec.outputs[name].dtype, tuple(axes))
        return Specs(moved)


@block("Vocoder")
class Vocoder(Decoder):
    """A windowed decoder from mel to audio: a Decoder whose network has the role `vocoder`."""

    role = "vocoder"
