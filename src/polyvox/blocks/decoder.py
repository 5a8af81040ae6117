"""Decoder and Vocoder: networks run over windows of a stream."""

from __future__ import annotations

from polyvox.blocks.build import Parts
from polyvox.blocks.encoder import check_inputs
from polyvox.blocks.registry import block
from polyvox.blocks.streamed import StreamedNetwork
from polyvox.blocks.windowed import WindowedBlock
from polyvox.errors import StackError
from polyvox.tensors import Array, Rows, Specs, Tensors
from polyvox.windows import Window


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
        self._streamed = StreamedNetwork(self.network, parts.where)
        self.context, self.planner = self._streamed.context, self._streamed.planner
        self._keep = set(keep or ())
        self.leader = next(iter(self._streamed.streamed))

    def transform(self, window: Window, rows: Rows, tensors: Tensors) -> Tensors:
        """The network's outputs for the window's kept frames, and what passes through."""
        made = self.network.run(self._streamed.feed(window, rows, tensors, self.where))
        chunk: dict[str, Array] = {
            name: rows.cut(name, window.first, window.last)
            for name in rows.names()
            if name not in self._streamed.streamed or name in self._keep
        }
        chunk.update(self._streamed.kept(made, window, self.where))
        return chunk

    def specs(self, tensors: Specs, upstream: Specs) -> Specs:
        """The network's outputs, and what passes through."""
        read = self._streamed.streamed.keys()
        for name in read:
            if name not in upstream and name in tensors and not upstream.open:
                raise StackError(
                    f"{self.where}: network '{self.network.spec.name}' streams over '{name}', but that is"
                    f" {tensors[name]} of a sequence block; a stream of {', '.join(upstream) or 'nothing'} comes"
                )
        check_inputs(self.network, self.where, self._streamed.offered(upstream), tensors)
        return upstream.without(read - self._keep).plus(self._streamed.outputs())


@block("Vocoder")
class Vocoder(Decoder):
    """A windowed decoder from mel to audio: a Decoder whose network has the role `vocoder`."""

    role = "vocoder"
