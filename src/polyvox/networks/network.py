"""Network: the one thing that a block knows about a neural network, and what its specification says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from polyvox.errors import TensorError
from polyvox.networks.stepping import PlainStepper, Stepper
from polyvox.tensors import Array, Tensors, TensorSpec, check
from polyvox.windows import Context


@dataclass(frozen=True, slots=True)
class InputSpec(TensorSpec):
    """A network's input.

    `fill` says who makes it: None, the blocks do; "mask", the runtime does (1 where the axis holds data, 0 where it is
    padded); "length", the runtime does (the size of the axis before padding, in `of`).
    """

    fill: str | None = None
    of: str | None = None


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """How a network may be run over windows of one of its axes."""

    axis: str
    context: Context


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A network's name, role and tensors. Axes leave the batch out.

    `state` names the inputs that carry state, and for each the output that it is in the next step.
    """

    name: str
    role: str
    inputs: Mapping[str, InputSpec]
    outputs: Mapping[str, TensorSpec]
    stream: StreamSpec | None = None
    state: Mapping[str, str] = field(default_factory=dict)

    def wanted(self) -> dict[str, InputSpec]:
        """The inputs that blocks must provide."""
        return {name: spec for name, spec in self.inputs.items() if spec.fill is None}


class Network(ABC):
    """One exported graph with its parameters, known only by its named inputs and outputs.

    Networks are shared by all utterances and threads: `run` keeps nothing. Behaviour is added by wrapping.
    """

    spec: NetworkSpec

    @property
    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        """The sizes that each named axis is compiled to, ascending; an axis that is missing has any size."""
        return {}

    @property
    def where(self) -> str:
        """The network, for messages."""
        return f"network '{self.spec.name}'"

    @property
    def rows(self) -> int:
        """How many utterances one run can hold. Above 1, `fit` and `run_batch` work."""
        return 1

    @abstractmethod
    def run(self, tensors: Tensors) -> dict[str, Array]:
        """Compute the outputs of one utterance (or window) from at least the inputs that the spec names.

        Raises:
            TensorError: an input is missing, or has another type or shape than the spec says.
        """

    def run_many(self, calls: Sequence[Tensors]) -> list[dict[str, Array]]:
        """`run` for several utterances, at once where the runtime can; one that fails fails them all.

        Raises:
            TensorError: as `run` does.
        """
        return [self.run(tensors) for tensors in calls]

    def fit(self, rows: int, sizes: Mapping[str, int]) -> tuple[int, dict[str, int]]:
        """The rows and the sizes of the named axes of the smallest run that holds `rows` utterances of `sizes`.

        Raises:
            TensorError: none is so large.
        """
        return rows, dict(sizes)

    def run_batch(self, feed: Tensors) -> dict[str, Array]:
        """Run once with a batch axis in front of everything.

        Args:
            feed: every input, masks and lengths included, of rows and sizes that `fit` returned.

        Returns:
            Every output, [rows, ...]; arrays of its own.
        """
        raise NotImplementedError(f"{self.where} runs one utterance at a time")

    def measure(self, tensors: Tensors) -> dict[str, int]:
        """Check the inputs that blocks provide, and return the sizes of the named axes.

        Raises:
            TensorError: an input is missing, or has another type or shape than the spec says.
        """
        sizes: dict[str, int] = {}
        for name, spec in self.spec.inputs.items():
            if spec.fill is None:
                if name not in tensors:
                    raise TensorError(f"{self.where}: input '{name}' is missing; given are {sorted(tensors)}")
                check(name, tensors[name], spec, sizes, self.where)
        return sizes

    def stepper(self, tensors: Tensors) -> Stepper:
        """Begin to step through one utterance; the network must carry state.

        Args:
            tensors: the inputs of the first step. State that is missing is zero.

        Raises:
            TensorError: an input is missing, or has another type or shape than the spec says.
        """
        return PlainStepper(self, tensors)

    def close(self) -> None:  # noqa: B027 - most networks hold nothing that needs closing
        """Give back what the runtime holds."""


class Wrapper(Network):
    """A network that adds behaviour to another one. Extend `run`."""

    def __init__(self, inner: Network) -> None:
        self.inner = inner
        self.spec = inner.spec

    @property
    def sizes(self) -> Mapping[str, tuple[int, ...]]:
        """What the inner network is compiled to."""
        return self.inner.sizes

    def close(self) -> None:
        """Close the inner network."""
        self.inner.close()


def filled(spec: InputSpec, real: Mapping[str, int], padded: Mapping[str, int]) -> Array:
    """A mask or length input: `real` sizes are data, up to `padded` sizes is padding.

    Raises:
        TensorError: no given input has its axis.
    """
    axis = spec.of if spec.fill == "length" else spec.axes[0]
    assert isinstance(axis, str)
    if axis not in real:
        raise TensorError(f"the size of axis '{axis}' is unknown: an input with that axis is missing")
    if spec.fill == "length":
        return np.asarray(real[axis], dtype=spec.dtype)
    mask = np.zeros(padded[axis], dtype=spec.dtype)
    mask[: real[axis]] = 1
    return mask
