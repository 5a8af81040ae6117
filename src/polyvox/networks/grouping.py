"""Group: the steps of several utterances as one run, with their inputs side by side in memory."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from polyvox.networks.joint import shape
from polyvox.networks.network import Network
from polyvox.networks.stepping import Saved
from polyvox.tensors import Array

GATHERED = 2
"""Sets of rows whose fixed inputs are kept side by side, for when the same ones step together again."""


class Group:
    """Rows for utterances that step through one network: everything that goes in, [row, ...], padded to one size.

    A row stays where it is while its utterance lives. Rows that lie side by side run where they lie; of others, what
    changes is gathered for each run, and what does not for each new set. Outputs are arrays of their own.
    """

    def __init__(self, network: Network) -> None:
        """`network` must hold several rows (`Network.rows`)."""
        self._network = network
        self._lock = threading.Lock()
        self._sizes: dict[int, Mapping[str, int]] = {}  # by row
        self._wide: dict[str, int] = {}
        self._buffers: dict[str, Array] = {}
        self._capacity = 0
        self._left: deque[int] = deque()  # rows whose utterance is gone, but a run may still read
        self._running: list[int] = []
        self._gathered: dict[tuple[int, ...], dict[str, Array]] = {}

    def join(self, sizes: Mapping[str, int], fixed: Mapping[str, Array]) -> int:
        """Take a row, for an utterance whose named axes have `sizes` and with these inputs besides its state."""
        with self._lock:
            for row in [self._left.popleft() for _ in range(len(self._left))]:
                if row in self._running:
                    self._left.append(row)
                else:
                    del self._sizes[row]
            row = next(i for i in range(self._capacity + 1) if i not in self._sizes)
            self._sizes[row] = sizes
            self._fit()
            for name, buffer in self._buffers.items():
                buffer[row] = 0
                if name in fixed:
                    _write(buffer, row, fixed[name])
            self._gathered.clear()
            return row

    def leave(self, row: int) -> None:
        """Give the row back. Takes no lock: it is called when a stepper is collected, in any thread at any time."""
        self._left.append(row)

    def write(self, row: int, values: Mapping[str, Array]) -> None:
        """Change inputs of a row that is not running."""
        with self._lock:
            for name, value in values.items():
                _write(self._buffers[name], row, value)
                if name not in self._network.spec.state:
                    self._gathered.clear()

    def read(self, row: int, shapes: Mapping[str, tuple[int, ...]]) -> Saved:
        """Copies of the state of a row that is not running."""
        with self._lock:
            return {n: np.array(self._buffers[n][_part(row, wanted)]) for n, wanted in shapes.items()}

    def run(self, rows: Sequence[int]) -> dict[str, Array]:
        """One step of these rows, ascending.

        Returns:
            Every output, [rows, ...], padded as the inputs are.
        """
        network = self._network
        with self._lock:
            count, _ = network.fit(len(rows), self._wide)
            feed = self._feed((*rows, *[rows[-1]] * (count - len(rows))))
            self._running.extend(rows)
        try:
            made = network.run_batch(feed)
        except BaseException:
            with self._lock:
                self._done(rows)
            raise
        with self._lock:
            self._done(rows)
            at = _together(rows)
            for name, output in network.spec.state.items():
                # The group may have grown or shrunk since.
                buffer, new = self._buffers[name], made[output]
                width = tuple(slice(min(a, b)) for a, b in zip(buffer.shape[1:], new.shape[1:], strict=True))
                buffer[(at, *width)] = new[(slice(len(rows)), *width)]
        return made

    def _done(self, rows: Iterable[int]) -> None:
        for row in rows:
            self._running.remove(row)

    def _feed(self, rows: tuple[int, ...]) -> dict[str, Array]:
        at = _together(rows)
        if isinstance(at, slice):
            return {name: buffer[at] for name, buffer in self._buffers.items()}
        state = self._network.spec.state
        fixed = self._gathered.get(rows)
        if fixed is None:
            while len(self._gathered) >= GATHERED:
                del self._gathered[next(iter(self._gathered))]
            fixed = {n: b.take(at, axis=0) for n, b in self._buffers.items() if n not in state}
            self._gathered[rows] = fixed
        return {**fixed, **{n: self._buffers[n].take(at, axis=0) for n in state}}

    def _fit(self) -> None:
        """Make room for all rows; give some back where twice as much is there as is needed."""
        _, needed = self._network.fit(
            1, {axis: max(s[axis] for s in self._sizes.values()) for axis in next(iter(self._sizes.values()))}
        )
        rows = max(self._sizes) + 1
        now = self._wide
        wide = {a: n if n > now.get(a, 0) or 2 * n <= now[a] else now[a] for a, n in needed.items()}
        if wide == self._wide and self._capacity >= rows > self._capacity // 4:
            return
        self._wide, self._capacity = wide, 1 << (rows - 1).bit_length()
        for name, spec in self._network.spec.inputs.items():
            # A run that reads the old ones goes on with them.
            new = np.zeros((self._capacity, *shape(spec, wide)), dtype=spec.dtype)
            if name in self._buffers:
                old = self._buffers[name]
                both = tuple(slice(min(a, b)) for a, b in zip(old.shape, new.shape, strict=True))
                new[both] = old[both]
            self._buffers[name] = new
        self._gathered.clear()


def _write(buffer: Array, row: int, value: Array) -> None:
    buffer[_part(row, value.shape)] = value


def _part(row: int, shape: Sequence[int]) -> tuple[int | slice, ...]:
    return (row, *(slice(n) for n in shape))


def _together(rows: Sequence[int]) -> slice | list[int]:
    first = rows[0]
    if len(rows) == rows[-1] - first + 1 == len(set(rows)):
        return slice(first, first + len(rows))
    return list(rows)
