"""A model's symbol table: which symbol has which token id."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from polyvox.errors import AddonError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_log = logging.getLogger(__name__)


class Symbols:
    """The symbols of one model; a symbol's token id is its place in the table.

    Raises `AddonError`, naming `where` and the line, for an empty or a repeated symbol.
    """

    def __init__(self, symbols: Sequence[str], *, where: str = "symbols") -> None:
        if not symbols:
            raise AddonError(f"{where}: the symbol table is empty")
        self._ids: dict[str, int] = {}
        for line, symbol in enumerate(symbols, start=1):
            if not symbol:
                raise AddonError(f"{where}, line {line}: a symbol is expected, the line is empty")
            if symbol in self._ids:
                first = self._ids[symbol] + 1
                raise AddonError(f"{where}, line {line}: {symbol!r} is already the symbol of line {first}")
            self._ids[symbol] = line - 1
        self._reported: set[str] = set()

    @classmethod
    def read(cls, text: str, *, where: str) -> Symbols:
        """Read a table from the text of its file: one symbol a line, line N holding token id N - 1.

        `where` names the file in errors. The space symbol is a line that holds one space.
        """
        lines = [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]
        if lines and not lines[-1]:
            lines.pop()  # the end of the last line, not a line of its own
        return cls(lines, where=where)

    def __len__(self) -> int:
        return len(self._ids)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def id(self, symbol: str) -> int | None:
        """Return the token id of `symbol`; None, and one logged warning a symbol, where it has none."""
        number = self._ids.get(symbol)
        if number is None and symbol not in self._reported:
            self._reported.add(symbol)
            _log.warning("the model has no symbol %r (U+%04X); it is left out", symbol, ord(symbol[:1] or "\0"))
        return number

    def encode(self, symbols: Iterable[str]) -> npt.NDArray[np.int64]:
        """Return the token ids, int64 `[tokens]`; unknown symbols are left out and logged once each."""
        import numpy as np

        ids = (self.id(symbol) for symbol in symbols)
        return np.array([number for number in ids if number is not None], dtype=np.int64)
