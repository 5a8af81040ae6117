"""stack -> blocks.

A block's JSON fields are the arguments of its constructor, and the constructor's annotations say what they may be:
another block, a list of blocks, a network by name, or plain data. So a new block needs a class and a name, no more.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import UnionType
from typing import Any

from polyvox.blocks.block import Block, SequenceBlock, StreamableBlock
from polyvox.blocks.registry import BlockType, find, names
from polyvox.errors import StackError, TargetError
from polyvox.networks import Network, NetworkSpec
from polyvox.networks import target as find_target

MAX_DEPTH = 64
COMMON = {"type", "target"}
"""Fields that every block has."""


@dataclass(frozen=True)
class Parts:
    """What an addon offers to the blocks of its stack; a constructor argument annotated `Parts` is given it."""

    network_specs: Mapping[str, NetworkSpec] = field(default_factory=dict)
    load: Callable[[str, str | None], Network] | None = None
    """Loads a network by name, for a target's name or None for the one chosen at load."""
    target: str | None = None
    """The target that the block's JSON chose."""
    where: str = "stack"
    """The block's place in the JSON, for messages."""

    def network(self, name: str) -> Network:
        """Load a network by name.

        Raises:
            StackError: the addon has none of that name.
        """
        if name not in self.network_specs or self.load is None:
            raise StackError(f"{self.where}: network '{name}' is not in the addon; it has {self._list()}")
        return self.load(name, self.target)

    def with_role(self, *roles: str) -> list[str]:
        """The names of the networks with one of these roles."""
        return [name for name, spec in self.network_specs.items() if spec.role in roles]

    def only(self, name: str | None, role: str) -> Network:
        """The network called `name`, or the only one with `role`.

        Raises:
            StackError: there is none, or several and no name.
        """
        if name is not None:
            return self.network(name)
        found = self.with_role(role)
        if len(found) != 1:
            count = "none" if not found else f"{len(found)}: {', '.join(found)}"
            raise StackError(
                f"{self.where}: expected one network with role '{role}', found {count};"
                f" name one in the field 'network' (the addon has {self._list()})"
            )
        return self.network(found[0])

    def _list(self) -> str:
        return ", ".join(self.network_specs) or "no networks"


def build(stack: Sequence[Any], parts: Parts) -> StreamableBlock:
    """Build the blocks of a stack; a list of several is a StreamableStack.

    Raises:
        StackError: one sentence that names the place in the JSON and the valid choices.
    """
    from polyvox.blocks.containers import StreamableStack

    if not isinstance(stack, Sequence) or isinstance(stack, str) or not stack:
        raise StackError(f"{parts.where}: expected a list of at least one block, got {_show(stack)}")
    blocks = [_block(item, StreamableBlock, parts, f"{parts.where}[{i}]", 0) for i, item in enumerate(stack)]
    streamable = typing.cast("list[StreamableBlock]", blocks)
    return streamable[0] if len(streamable) == 1 else StreamableStack(streamable)


def nested(block: Block) -> Iterator[Block]:
    """The block itself and all blocks within it."""
    yield block
    for held in vars(block).values():
        for part in held if isinstance(held, list | tuple) else [held]:
            if isinstance(part, SequenceBlock | StreamableBlock):
                yield from nested(part)


def _show(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _block(data: Any, kind: BlockType, parts: Parts, where: str, depth: int) -> Block:
    if depth > MAX_DEPTH:
        raise StackError(f"{where}: blocks are nested deeper than {MAX_DEPTH}")
    if not isinstance(data, Mapping) or not isinstance(data.get("type"), str):
        raise StackError(f"{where}: expected a block, an object with the field 'type', got {_show(data)}")
    cls = find(data["type"], f"{where}.type")
    if not issubclass(cls, kind):
        is_a = SequenceBlock if issubclass(cls, SequenceBlock) else StreamableBlock
        raise StackError(
            f"{where}.type: '{data['type']}' is a {is_a.__name__}, expected a {kind.__name__}: {', '.join(names(kind))}"
        )
    if not isinstance(data.get("target"), str | None):
        raise StackError(f"{where}.target: expected the name of a target, got {_show(data['target'])}")
    if data.get("target") is not None:
        try:
            find_target(data["target"])
        except TargetError as error:
            raise StackError(f"{where}.target: {error}") from None
    arguments = _arguments(cls, data, replace(parts, where=where, target=data.get("target", parts.target)), depth)
    try:
        made = cls(**arguments)
    except (ValueError, TypeError, ArithmeticError) as error:
        raise StackError(f"{where}: block '{data['type']}': {error}") from error
    made.where = where
    return made


def _arguments(cls: BlockType, data: Mapping[str, Any], parts: Parts, depth: int) -> dict[str, Any]:
    signature = inspect.signature(cls.__init__) if "__init__" in _defined(cls) else inspect.Signature()
    parameters = {n: p for n, p in signature.parameters.items() if n != "self"}
    try:
        hints = typing.get_type_hints(cls.__init__) if parameters else {}
    except NameError as error:
        raise StackError(
            f"{parts.where}: block '{data['type']}': an annotation of its constructor cannot be resolved: {error}"
        ) from None
    injected = {n for n in parameters if hints.get(n) is Parts}
    fields = {
        n: p for n, p in parameters.items() if n not in injected and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    unknown = [n for n in data if n not in fields and n not in COMMON]
    if unknown and not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        choices = ", ".join([*fields, *sorted(COMMON)])
        raise StackError(f"{parts.where}.{unknown[0]}: '{data['type']}' has no such field; it has {choices}")
    arguments: dict[str, Any] = dict.fromkeys(injected, parts)
    for name, parameter in fields.items():
        if name in data:
            arguments[name] = _argument(data[name], hints.get(name, Any), parts, f"{parts.where}.{name}", depth)
        elif parameter.default is inspect.Parameter.empty:
            raise StackError(f"{parts.where}: '{data['type']}' lacks the field '{name}'")
    arguments.update({n: v for n, v in data.items() if n in unknown})
    return arguments


def _defined(cls: type) -> set[str]:
    return {name for base in cls.__mro__ if base is not object for name in vars(base)}


def _argument(value: Any, hint: Any, parts: Parts, where: str, depth: int) -> Any:
    options = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, UnionType) else (hint,)
    if value is None and type(None) in options:
        return None
    for option in options:
        if option in (SequenceBlock, StreamableBlock):
            return _block(value, option, parts, where, depth + 1)
        if option is Network:
            if not isinstance(value, str):
                raise StackError(f"{where}: expected the name of a network, got {_show(value)}")
            return replace(parts, where=where).network(value)
        items = typing.get_args(option)
        if items and items[0] in (SequenceBlock, StreamableBlock):
            if not isinstance(value, list) or not value:
                raise StackError(f"{where}: expected a list of at least one block, got {_show(value)}")
            return [_block(v, items[0], parts, f"{where}[{i}]", depth + 1) for i, v in enumerate(value)]
    return _plain(value, hint, where)


def _plain(value: Any, hint: Any, where: str) -> Any:
    """Check plain data against an annotation, with pydantic."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    if hint is Any or hint is inspect.Parameter.empty:
        return value
    try:
        return TypeAdapter(hint, config=ConfigDict(strict=True, arbitrary_types_allowed=True)).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        raise StackError(f"{where}: {first['msg']}, got {_show(value)}") from None
