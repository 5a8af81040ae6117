"""Tensors: named arrays of ONE utterance, what is known about them, and cutting and joining them along time.

Nothing here has a batch axis: that is a matter between a network and its runtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from polyvox.errors import TensorError

Array = NDArray[Any]
Tensors = Mapping[str, Array]
"""A mapping from name to array: `tokens [tokens]`, `mel [frames, 80]`, `audio [samples]`, `speed []`."""

Axis = str | int
"""A named axis has any size, the same for all tensors that name it; a number is a fixed size."""

DTYPES = ("float32", "float16", "float64", "int64", "int32", "bool")


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """What is known of one tensor before it exists."""

    dtype: str
    axes: tuple[Axis, ...]

    def __str__(self) -> str:
        return f"{self.dtype} [{', '.join(map(str, self.axes))}]"


@dataclass(frozen=True, slots=True)
class Specs(Mapping[str, TensorSpec]):
    """The tensors that a place in the stack has; `open` when a block there did not say what it makes."""

    known: Mapping[str, TensorSpec] = field(default_factory=dict)
    open: bool = False

    def __getitem__(self, name: str) -> TensorSpec:
        return self.known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.known)

    def __len__(self) -> int:
        return len(self.known)

    def plus(self, more: Mapping[str, TensorSpec]) -> Specs:
        """These and `more`, which wins where names meet."""
        return Specs({**self.known, **more}, self.open or (isinstance(more, Specs) and more.open))

    def without(self, names: Iterable[str]) -> Specs:
        """These except `names`."""
        gone = set(names)
        return Specs({n: s for n, s in self.known.items() if n not in gone}, self.open)


def fits(wanted: TensorSpec, offered: TensorSpec) -> bool:
    """Whether an `offered` tensor can be read where `wanted` is declared: same type, rank and fixed sizes."""
    if wanted.dtype != offered.dtype or len(wanted.axes) != len(offered.axes):
        return False
    return all(a == b for a, b in zip(wanted.axes, offered.axes, strict=True))


def check(name: str, array: Array, spec: TensorSpec, sizes: dict[str, int], where: str) -> None:
    """Check `array` against `spec`; `sizes` gathers the sizes of named axes over several calls.

    Raises:
        TensorError: other type, rank or size; the message names `where`.
    """
    if array.dtype != np.dtype(spec.dtype):
        raise TensorError(f"{where}: tensor '{name}' is {array.dtype}, expected {spec.dtype}")
    if array.ndim != len(spec.axes):
        raise TensorError(f"{where}: tensor '{name}' has shape {list(array.shape)}, expected {spec}")
    for size, axis in zip(array.shape, spec.axes, strict=True):
        expected = axis if isinstance(axis, int) else sizes.setdefault(axis, size)
        if size != expected:
            raise TensorError(
                f"{where}: tensor '{name}' has shape {list(array.shape)}, expected {spec} with {axis} = {expected}"
            )


def join(chunks: Sequence[Tensors]) -> dict[str, Array]:
    """Join chunks of one stream along time, the first axis; no chunks make no tensors.

    Raises:
        TensorError: the chunks do not all carry the same tensors.
    """
    if len(chunks) == 1:
        return dict(chunks[0])
    for chunk in chunks[1:]:
        if chunk.keys() != chunks[0].keys():
            raise TensorError(f"one stream carries {sorted(chunks[0])} in one chunk and {sorted(chunk)} in another")
    return {name: np.concatenate([c[name] for c in chunks]) for name in chunks[0]} if chunks else {}


def steps(chunk: Tensors) -> int:
    """How many time steps a chunk of a stream has, counted on its finest axis."""
    return max((len(a) for a in chunk.values() if a.ndim), default=0)


class Rows:
    """The part of a stream that is still needed: tensors by absolute step, first dropped, last appended.

    All tensors cover the same stretch of time; one whose rate is a multiple of the step's (audio beside frames)
    is cut by that multiple.
    """

    __slots__ = ("_arrays", "_name", "_pending", "start", "stop")

    def __init__(self, name: str) -> None:
        """`name` is the tensor whose rows are the steps."""
        self._name = name
        self._arrays: dict[str, Array] = {}
        self._pending: list[Tensors] = []
        self.start = 0
        self.stop = 0

    def append(self, chunk: Tensors, where: str) -> None:
        """Add the next chunk.

        Raises:
            TensorError: it lacks the tensor, or other tensors do not cover the same time.
        """
        if self._name not in chunk:
            raise TensorError(f"{where}: the stream carries {sorted(chunk)}, expected '{self._name}' among them")
        count = len(chunk[self._name])
        for name, array in chunk.items():
            if len(array) % count or not len(array) if count else len(array):
                raise TensorError(
                    f"{where}: '{name}' has {len(array)} steps beside {count} of '{self._name}' in one chunk"
                )
        if count:
            self._pending.append(chunk)
            self.stop += count

    def _settle(self) -> dict[str, Array]:
        if self._pending:
            self._arrays = join([self._arrays, *self._pending] if self._arrays else self._pending)
            self._pending.clear()
        return self._arrays

    def cut(self, name: str, first: int, last: int) -> Array:
        """The rows of one tensor for steps `first` to `last` (absolute), as a view."""
        arrays = self._settle()
        rate = len(arrays[name]) // len(arrays[self._name])
        return arrays[name][(first - self.start) * rate : (last - self.start) * rate]

    def names(self) -> list[str]:
        """The tensors held."""
        return list(self._settle())

    def drop(self, before: int) -> None:
        """Forget the steps before `before`."""
        if before > self.start:
            kept = {name: self.cut(name, before, self.stop) for name in self.names()}
            self._arrays, self.start = kept, before
