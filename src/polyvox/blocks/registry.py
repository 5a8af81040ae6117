"""Block types by name: Polyvox's own, those registered in this process, and those of installed packages."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TypeVar

from polyvox.blocks.block import SequenceBlock, StreamableBlock
from polyvox.errors import StackError

ENTRY_POINTS = "polyvox.blocks"

BlockType = type[SequenceBlock] | type[StreamableBlock]
T = TypeVar("T", bound=BlockType)

_types: dict[str, BlockType] = {}


def block(name: str) -> Callable[[T], T]:
    """Register a block type under the name that stacks use: `@polyvox.block("Sparkle")`.

    Raises:
        StackError: the class extends neither abstraction, or another class has the name.
    """

    def register(cls: T) -> T:
        add(name, cls)
        return cls

    return register


def add(name: str, cls: object) -> None:
    """Register `cls` under `name`; the same class again (a reloaded module's too) is no error."""
    if not (isinstance(cls, type) and issubclass(cls, SequenceBlock | StreamableBlock)):
        raise StackError(f"block '{name}': {cls!r} extends neither SequenceBlock nor StreamableBlock")
    if issubclass(cls, SequenceBlock) and issubclass(cls, StreamableBlock):
        raise StackError(f"block '{name}': {cls.__name__} extends both abstractions, expected one")
    other = _types.get(name)
    if other is not None and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
        raise StackError(f"block '{name}' is registered already, by {other.__module__}.{other.__qualname__}")
    _types[name] = cls


def find(name: str, where: str) -> BlockType:
    """The block type called `name`, from an installed package if need be.

    Raises:
        StackError: there is none; the message names the place, `where`, and the types there are.
    """
    if name not in _types:
        for point in entry_points(group=ENTRY_POINTS):
            if point.name == name:
                try:
                    cls = point.load()
                except Exception as error:
                    raise StackError(f"{where}: block '{name}' of {point.value} cannot be imported: {error}") from error
                add(name, cls)
    if name not in _types:
        raise StackError(f"{where}: '{name}' is no block type; there are {', '.join(names())}")
    return _types[name]


def names(kind: BlockType | None = None) -> list[str]:
    """The names of all block types, or of one kind (installed packages' are not imported to see their kind)."""
    if kind is not None:
        return sorted(n for n, cls in _types.items() if issubclass(cls, kind))
    return sorted({*_types, *(point.name for point in entry_points(group=ENTRY_POINTS))})
