"""Encoder: one network run over whole tensors."""

from __future__ import annotations

from polyvox.blocks.block import SequenceBlock
from polyvox.blocks.registry import block
from polyvox.errors import StackError
from polyvox.networks import Network
from polyvox.tensors import Specs, Tensors, TensorSpec, fits


def check_inputs(network: Network, where: str, *sources: Specs) -> None:
    """Refuse a network whose inputs nobody makes or whose axes do not fit; earlier `sources` win.

    Raises:
        StackError: one sentence with the place, the tensor and what there is.
    """
    for name, wanted in network.spec.wanted().items():
        offered = next((s[name] for s in sources if name in s), None)
        if offered is None:
            if any(s.open for s in sources):
                continue
            there = sorted({n for s in sources for n in s})
            raise StackError(
                f"{where}: network '{network.spec.name}' reads '{name}', which nobody before it makes;"
                f" there are {', '.join(there) or 'no tensors'}"
            )
        if not fits(TensorSpec(wanted.dtype, wanted.axes), TensorSpec(offered.dtype, offered.axes)):
            raise StackError(f"{where}: network '{network.spec.name}' reads '{name}' as {wanted}, but it is {offered}")


@block("Encoder")
class Encoder(SequenceBlock):
    """One network of the addon, by name, run once over the whole utterance. `Encoders` makes these itself."""

    def __init__(self, network: Network) -> None:
        self.network = network

    def run(self, tensors: Tensors) -> Tensors:
        """The network's outputs."""
        return self.network.run(tensors)

    def specs(self, available: Specs) -> Specs:
        """The network's outputs."""
        check_inputs(self.network, self.where, available)
        return Specs(dict(self.network.spec.outputs))
