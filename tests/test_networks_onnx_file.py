"""Looking into ONNX files of strangers: whatever comes, it is understood or refused."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, SparseTensorProto, TensorProto, helper, numpy_helper

import tiny
from polyvox.errors import AddonError
from polyvox.networks.onnx_file import Value, read_graph


def model(nodes=None, weights=(), **fields) -> ModelProto:
    nodes = nodes or [helper.make_node("Mul", ["x", "w"], ["y"])]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", None, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", "t", 4])],
        list(weights) or [numpy_helper.from_array(np.ones(4, np.float32), "w")],
    )
    return helper.make_model(graph, **fields)


def external(location: str, name: str = "w") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", location
    return tensor


def read(made: ModelProto):
    return read_graph(made.SerializeToString(), "m.onnx")


def test_inputs_outputs_and_parameters_are_read():
    graph = read(model())
    assert graph.inputs == {"x": Value("float32", ("batch", None, 4))}
    assert graph.outputs == {"y": Value("float32", ("batch", "t", 4))}
    assert (graph.parameters, graph.external, graph.domains) == (4, set(), set())


def test_the_tiny_graphs_are_read():
    graph = read_graph(tiny.decoder(), "d")
    assert graph.inputs["encoded"] == Value("float32", ("batch", "frames", 8))
    assert graph.inputs["brightness"] == Value("float32", ("batch",))
    assert graph.parameters > 8 * 8 * 3 * 2


def test_weights_that_old_exporters_list_as_inputs_are_none():
    made = model()
    made.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [4]))
    assert list(read(made).inputs) == ["x"]


def test_types_that_tensors_cannot_have_are_shown_as_they_are():
    made = model()
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    assert read(made).inputs["x"].dtype == "type 8"


def in_subgraph(tensor=None, node=None):
    inner = helper.make_graph(
        [node or helper.make_node("Identity", ["w2"], ["z"])],
        "inner",
        [],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, [4])],
        [tensor] if tensor is not None else [],
    )
    return helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)


def sparse(location: str) -> SparseTensorProto:
    return SparseTensorProto(values=external(location), indices=TensorProto(data_type=7, dims=[4]), dims=[9])


def test_data_outside_the_file_is_found_wherever_it_hides():
    hidden = {
        "initializer": model(weights=[external("../a")]),
        "constant": model([helper.make_node("Constant", [], ["y"], value=external("../a"))]),
        "subgraph": model([in_subgraph(external("../a", "w2"))]),
    }
    for name, made in hidden.items():
        assert read(made).external == {"../a"}, name
    made = model()
    made.graph.sparse_initializer.append(sparse("../b"))
    assert read(made).external == {"../b"}
    made = model([helper.make_node("Constant", [], ["y"], sparse_value=sparse("../c"))])
    assert read(made).external == {"../c"}


def test_operators_of_other_domains_are_refused_wherever_they_hide():
    node = helper.make_node("Evil", ["x"], ["y"], domain="com.evil")
    function = model()
    function.functions.append(helper.make_function("local", "F", ["x"], ["y"], [node], [helper.make_opsetid("", 17)]))
    for made in (model([node]), model([in_subgraph(node=node)]), function):
        with pytest.raises(AddonError, match=r"m.onnx: uses operators of 'com.evil'; an addon may only"):
            read(made)
    allowed = helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml")
    assert read(model([allowed])).outputs


def test_absurd_shapes_are_refused():
    with pytest.raises(AddonError, match=r"m.onnx: not an ONNX model"):
        read(model(weights=[TensorProto(name="w", data_type=1, dims=[1 << 62] * 1000)]))


def field(number: int, payload: bytes) -> bytes:
    """A field of a protocol buffer that holds another message."""
    size, length = len(payload), b""
    while True:
        length += bytes([size & 0x7F | (0x80 if size > 0x7F else 0)])
        size >>= 7
        if not size:
            return bytes([number << 3 | 2]) + length + payload


@pytest.mark.parametrize("depth", [5, 1000])
def test_subgraphs_of_any_depth_end(depth):
    output = field(12, helper.make_tensor_value_info("y", 1, [4]).SerializeToString())
    graph = b""
    for _ in range(depth):
        graph = field(1, field(5, field(6, graph)))  # node, attribute, graph
    data = field(7, graph + output)
    if depth == 5:
        assert read_graph(data, "m.onnx").outputs
    else:
        with pytest.raises(AddonError, match="not an ONNX model"):
            read_graph(data, "m.onnx")


@pytest.mark.parametrize("data", [b"", b"\0", b"garbage", b"PK\x03\x04", b"\xff" * 100, b"\x3a\x00", b"\x3a\xff\x7f"])
def test_garbage_is_no_model(data):
    with pytest.raises(AddonError, match=r"m.onnx: not an ONNX model"):
        read_graph(data, "m.onnx")


def only_addon_errors(data: bytes) -> bool:
    try:
        read_graph(data, "m.onnx")
    except AddonError:
        return False
    return True


def test_every_prefix_of_a_model_is_fine_or_refused():
    made = model(weights=[external("a.bin"), numpy_helper.from_array(np.ones(2, np.float32), "v")])
    data = made.SerializeToString()
    fine = [only_addon_errors(data[:n]) for n in range(len(data) + 1)]
    assert fine[-1]
    # The graph is the last field but one: a file that ends inside it is refused.
    end = len(data) - len(field(8, made.opset_import[0].SerializeToString()))
    assert fine.index(True) == end


def test_every_flipped_byte_is_fine_or_refused():
    data = model([in_subgraph(external("../a", "w2"))]).SerializeToString()
    dice = random.Random(0)
    for place in range(len(data)):
        only_addon_errors(data[:place] + bytes([data[place] ^ (1 << dice.randrange(8))]) + data[place + 1 :])


@given(st.binary(max_size=200))
def test_any_bytes_are_fine_or_refused(data):
    only_addon_errors(data)
    only_addon_errors(b"\x3a" + bytes([len(data) & 0x7F]) + data)
