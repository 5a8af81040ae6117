"""Stepping: running a network again and again, its state going back in each time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from polyvox.errors import TensorError
from polyvox.tensors import Array, Tensors, check

if TYPE_CHECKING:
    from polyvox.networks.network import Network, NetworkSpec

Saved = Mapping[str, Array]
"""The state of a stepper at one moment, by the names of the network's inputs."""


class Stepper(ABC):
    """One utterance's way through a network that carries its state (`NetworkSpec.state`).

    It belongs to one stream and one thread at a time; the network behind it is shared.
    """

    @abstractmethod
    def step(self, changed: Tensors | None = None) -> Tensors:
        """Run the network once and put its state back in.

        Args:
            changed: inputs that are other than the last time, of the same shape.

        Returns:
            All outputs. They are valid until the next step: copy what you keep.

        Raises:
            TensorError: the runtime fails, or an input has another shape than at first.
        """

    @abstractmethod
    def save(self) -> Saved:
        """A copy of the state as it is now."""

    @abstractmethod
    def restore(self, saved: Saved) -> None:
        """Go back to where `save` was called; any number of times."""


def starting(spec: NetworkSpec, tensors: Tensors, where: str) -> tuple[dict[str, Array], dict[str, int]]:
    """What goes into the first step: every input but masks and lengths, and the sizes of the named axes.

    State that `tensors` does not hold is zero.

    Raises:
        TensorError: an input is missing or has another type or shape than the spec says.
    """
    sizes: dict[str, int] = {}
    feed: dict[str, Array] = {}
    absent = []
    for name, wanted in spec.wanted().items():
        if name in tensors:
            check(name, tensors[name], wanted, sizes, where)
            feed[name] = np.asarray(tensors[name])
        elif name in spec.state:
            absent.append(name)
        else:
            raise TensorError(f"{where}: input '{name}' is missing; given are {sorted(tensors)}")
    for name in absent:
        wanted = spec.inputs[name]
        strange = [a for a in wanted.axes if isinstance(a, str) and a not in sizes]
        if strange:
            raise TensorError(f"{where}: state '{name}' is {wanted}, and no given input says how many {strange[0]}")
        shape = [sizes[a] if isinstance(a, str) else a for a in wanted.axes]
        feed[name] = np.zeros(shape, dtype=wanted.dtype)
    return feed, sizes


def changed_input(buffer: Array, name: str, value: Array, where: str) -> None:
    """Write a changed input into its buffer.

    Raises:
        TensorError: it has another shape than the buffer.
    """
    if value.shape != buffer.shape:
        raise TensorError(
            f"{where}: input '{name}' has shape {list(value.shape)} now, expected {list(buffer.shape)} as at first"
        )
    np.copyto(buffer, value)


class PlainStepper(Stepper):
    """Steps by `Network.run`: for runtimes and wrappers that have nothing better."""

    def __init__(self, network: Network, tensors: Tensors) -> None:
        self._network = network
        self._where = f"network '{network.spec.name}'"
        self._feed, _ = starting(network.spec, tensors, self._where)
        # Masks and lengths that a wrapper made go along.
        self._feed.update({n: tensors[n] for n, s in network.spec.inputs.items() if s.fill and n in tensors})

    def step(self, changed: Tensors | None = None) -> Tensors:
        """One run."""
        for name, value in (changed or {}).items():
            if value.shape != self._feed[name].shape:
                changed_input(self._feed[name], name, value, self._where)
            self._feed[name] = value.copy()
        made = self._network.run(self._feed)
        for name, output in self._network.spec.state.items():
            self._feed[name] = made[output]
        return made

    def save(self) -> Saved:
        """The state's arrays: nobody writes into them."""
        return {name: self._feed[name] for name in self._network.spec.state}

    def restore(self, saved: Saved) -> None:
        """Put them back."""
        self._feed.update(saved)
