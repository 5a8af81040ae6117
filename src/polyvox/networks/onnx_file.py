"""Reading what matters of an ONNX file without a runtime: its inputs and outputs, and where its data lies.

An addon comes from a stranger, so its graphs are looked at before any runtime parses them: data outside the addon,
custom operators and absurd shapes are refused here. The file is protocol buffers; the few field numbers needed are
those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3), stable since ONNX 1.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from polyvox.errors import AddonError

# TensorProto.DataType -> numpy name, the types that tensors between blocks may have.
_DTYPES = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 10: "float16", 11: "float64"}
# Operator sets that every ONNX runtime has; any other domain means a custom operator, that is: code.
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml"}
_MAX_DEPTH = 32
_MAX_ELEMENTS = 1 << 40


@dataclass(frozen=True, slots=True)
class Value:
    """A graph's input or output: element type, and per axis a size, a name, or None if unknown."""

    dtype: str
    dims: tuple[int | str | None, ...]


@dataclass(slots=True)
class Graph:
    """What a graph reads and makes, and the files beside it that hold its data."""

    inputs: dict[str, Value] = field(default_factory=dict)
    outputs: dict[str, Value] = field(default_factory=dict)
    external: set[str] = field(default_factory=set)
    domains: set[str] = field(default_factory=set)
    parameters: int = 0


class _Malformed(Exception):
    pass


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise _Malformed
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """The fields of one message: number, and an integer or the bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise _Malformed
        if at + size > len(data):
            raise _Malformed
        yield number, data[at : at + size]
        at += size


def _messages(data: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in _fields(data):
        if number == wanted and isinstance(value, memoryview):
            yield value


def _text(data: memoryview) -> str:
    return bytes(data).decode("utf-8", "replace")


def _value_info(data: memoryview) -> tuple[str, Value]:
    name, dtype = "", "unknown"
    dims: list[int | str | None] = []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, memoryview):
            name = _text(value)
        elif number == 2 and isinstance(value, memoryview):  # TypeProto
            for tensor in _messages(value, 1):  # .tensor_type
                for field_number, part in _fields(tensor):
                    if field_number == 1 and isinstance(part, int):
                        dtype = _DTYPES.get(part, f"type {part}")
                    elif field_number == 2 and isinstance(part, memoryview):  # .shape
                        for dim in _messages(part, 1):
                            size: int | str | None = None
                            for dim_number, dim_value in _fields(dim):
                                if dim_number == 1 and isinstance(dim_value, int):
                                    size = dim_value
                                elif dim_number == 2 and isinstance(dim_value, memoryview):
                                    size = _text(dim_value) or None
                            dims.append(size)
    return name, Value(dtype, tuple(dims))


def _tensor(data: memoryview, graph: Graph, *, weight: bool) -> None:
    size = 1
    for number, value in _fields(data):
        if number == 1:  # dims, packed or not
            if isinstance(value, int):
                size *= value
            else:
                at = 0
                while at < len(value):
                    dim, at = _varint(value, at)
                    size *= dim
            if size > _MAX_ELEMENTS:
                raise _Malformed
        elif number == 13 and isinstance(value, memoryview):  # external_data: StringStringEntryProto
            entry = {n: _text(v) for n, v in _fields(value) if isinstance(v, memoryview)}
            if entry.get(1) == "location":
                graph.external.add(entry.get(2, ""))
    if weight:
        graph.parameters += size


def _sparse_tensor(data: memoryview, graph: Graph) -> None:
    for number, value in _fields(data):
        if number in (1, 2) and isinstance(value, memoryview):  # values, indices
            _tensor(value, graph, weight=False)


def _attribute(data: memoryview, graph: Graph, depth: int) -> None:
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number in (5, 10):  # t, tensors
            _tensor(value, graph, weight=False)
        elif number in (6, 11):  # g, graphs
            _graph(value, graph, depth + 1)
        elif number in (22, 23):  # sparse_tensor, sparse_tensors
            _sparse_tensor(value, graph)


def _node(data: memoryview, graph: Graph, depth: int) -> None:
    for number, value in _fields(data):
        if number == 7 and isinstance(value, memoryview):
            graph.domains.add(_text(value))
        elif number == 5 and isinstance(value, memoryview):
            _attribute(value, graph, depth)


def _graph(data: memoryview, graph: Graph, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise _Malformed
    weights: set[str] = set()
    for number, value in _fields(data):
        if not isinstance(value, memoryview):
            continue
        if number == 1:
            _node(value, graph, depth)
        elif number == 5:
            _tensor(value, graph, weight=True)
            weights.update(_text(name) for name in _messages(value, 8))
        elif number == 15:  # sparse_initializer
            _sparse_tensor(value, graph)
        elif number in (11, 12) and depth == 0:
            name, info = _value_info(value)
            (graph.inputs if number == 11 else graph.outputs)[name] = info
    for name in weights & graph.inputs.keys():  # old exporters list weights as inputs too
        del graph.inputs[name]


def read_graph(data: bytes, where: str) -> Graph:
    """Look into an ONNX model.

    Raises:
        AddonError: it is not an ONNX model, or needs operators that are not ONNX's own; `where` names the file.
    """
    graph = Graph()
    found = False
    try:
        for number, value in _fields(memoryview(data)):
            if not isinstance(value, memoryview):
                continue
            if number == 7:  # ModelProto.graph
                _graph(value, graph, 0)
                found = True
            elif number == 25:  # ModelProto.functions: nodes (7) inside
                for node in _messages(value, 7):
                    _node(node, graph, 0)
    except _Malformed:
        found = False
    if not found or not graph.outputs:
        raise AddonError(f"{where}: not an ONNX model")
    foreign = sorted(graph.domains - _DOMAINS)
    if foreign:
        raise AddonError(f"{where}: uses operators of '{foreign[0]}'; an addon may only use ONNX's own operators")
    return graph
