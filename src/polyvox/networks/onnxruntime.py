"""Networks on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from polyvox.errors import AddonError, TensorError
from polyvox.networks.joint import run_joint
from polyvox.networks.network import Network, NetworkSpec, filled
from polyvox.networks.stepping import PlainStepper, Saved, Stepper, changed_input, starting
from polyvox.tensors import Array, Tensors

SHAPE_DEPENDENT = ("MatMulAddFusion", "SkipLayerNormFusion")
"""Fusions that happen only where shapes are known. They save nothing measurable on these networks, and without them
a graph compiled to a fixed size rounds as the same graph of any size does, to the last bit."""
ANY_ROWS = 1 << 30


class OnnxNetwork(Network):
    """A graph in an ONNX Runtime session, with dynamic shapes or compiled to one fixed size per axis."""

    def __init__(
        self,
        spec: NetworkSpec,
        graph: bytes,
        where: str,
        *,
        threads: int = 1,
        dims: Mapping[str, int] | None = None,
        folder: Path | None = None,
        providers: tuple[str, ...] = ("CPUExecutionProvider",),
    ) -> None:
        """Load `graph`.

        Args:
            spec: what the addon says about the network.
            graph: the ONNX model.
            where: the file's name, for messages.
            threads: threads of one call. One is best: several calls at once use the cores better than one call.
            dims: sizes of the graph's symbolic dimensions (the batch included) to compile for; None is dynamic.
            folder: where the graph's external data lies, if it has any.
            providers: ONNX Runtime's execution providers, in order of preference.

        Raises:
            AddonError: the runtime refuses the graph.
        """
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # It plans memory anew for every size that it meets, and keeps all plans; a voice meets new sizes for days.
        # Eight streams at once grew by 260 MB in a minute, and went on; without plans by 200, and that was all.
        options.enable_mem_pattern = False
        for name, size in (dims or {}).items():
            options.add_free_dimension_override_by_name(name, size)
        if folder is not None:
            options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(folder))
        try:
            self._session: Any = ort.InferenceSession(
                graph, options, providers=list(providers), disabled_optimizers=list(SHAPE_DEPENDENT)
            )
        except Exception as error:  # the runtime has no common base class for its errors
            raise AddonError(f"{where}: ONNX Runtime cannot load it: {_first_line(error)}") from None
        self.spec = spec
        self._where = where
        # A graph with one more axis than the spec says has the batch in front.
        shapes = {i.name: i.shape for i in self._session.get_inputs()}
        self._batched = {name: len(shapes[name]) > len(s.axes) for name, s in spec.inputs.items()}
        shapes.update({o.name: o.shape for o in self._session.get_outputs()})
        self._strip = {name: len(shapes[name]) > len(s.axes) for name, s in spec.outputs.items()}
        self._outputs = list(spec.outputs)
        in_front = all(self._batched.values()) and all(self._strip.values())
        of_any_size = in_front and not any(isinstance(shapes[n][0], int) for n in (*spec.inputs, *spec.outputs))
        self._rows = ANY_ROWS if of_any_size else 1

    @property
    def where(self) -> str:
        """The graph's file."""
        return self._where

    @property
    def rows(self) -> int:
        """Any number, where the graph has a batch axis of any size in front of every input and output."""
        return self._rows

    def run(self, tensors: Tensors) -> dict[str, Array]:
        """Run the graph once."""
        feed: dict[str, Array] = {}
        sizes = self.measure(tensors)
        for name, spec in self.spec.inputs.items():
            # Masks and lengths come along only where `FixedShape` padded.
            given = name in tensors
            array = np.asarray(tensors[name]) if given else filled(spec, sizes, sizes)
            feed[name] = array[None] if self._batched[name] else array
        session = self._open()
        try:
            made = session.run(self._outputs, feed)
        except Exception as error:  # the runtime has no common base class for its errors
            raise TensorError(f"{self._where}: {_first_line(error)}") from None
        return {
            name: (array[0, ...] if self._strip[name] else array)
            for name, array in zip(self._outputs, map(np.asarray, made), strict=True)
        }

    def run_many(self, calls: Sequence[Tensors]) -> list[dict[str, Array]]:
        """One run where the graph has a batch axis of any size and the calls fit together."""
        return run_joint(self, calls)

    def run_batch(self, feed: Tensors) -> dict[str, Array]:
        """Run the graph once."""
        session = self._open()
        try:
            made = session.run(self._outputs, feed)
        except Exception as error:  # the runtime has no common base class for its errors
            raise TensorError(f"{self._where}: {_first_line(error)}") from None
        rows = len(next(iter(feed.values())))
        for name, array in zip(self._outputs, made, strict=True):
            if len(array) != rows:
                raise TensorError(f"{self._where}: made {len(array)} rows of '{name}' from a batch of {rows}")
        return dict(zip(self._outputs, made, strict=True))

    def stepper(self, tensors: Tensors) -> Stepper:
        """Steps with bound buffers."""
        feed, sizes = starting(self.spec, tensors, self._where)
        for name, spec in self.spec.inputs.items():
            if spec.fill is not None:
                feed[name] = np.asarray(tensors[name]) if name in tensors else filled(spec, sizes, sizes)
        shapes: dict[str, tuple[int, ...]] = {}
        for name, out in self.spec.outputs.items():
            if any(isinstance(a, str) and a not in sizes for a in out.axes):
                return PlainStepper(self, tensors)  # nobody knows how large a buffer it needs
            shapes[name] = tuple(sizes[a] if isinstance(a, str) else a for a in out.axes)
        return _BoundStepper(self._open(), self.spec, feed, shapes, self._batched, self._strip, self._where)

    def _open(self) -> Any:
        session = self._session
        if session is None:
            raise TensorError(f"{self._where}: its voice was closed")
        return session

    def close(self) -> None:
        """Free the session."""
        self._session = None


class _BoundStepper(Stepper):
    """The network's inputs and outputs are bound to buffers once; a step moves nothing but what changed.

    State has two buffers, one that a step reads and one that it writes; the next step reads and writes them the
    other way round.
    """

    def __init__(
        self,
        session: Any,
        spec: NetworkSpec,
        feed: Mapping[str, Array],
        shapes: Mapping[str, tuple[int, ...]],
        batched: Mapping[str, bool],
        strip: Mapping[str, bool],
        where: str,
    ) -> None:
        self._session, self._where = session, where
        # The steppers own what they bind: a caller may change its arrays.
        self._inputs = {n: np.array(a, order="C") for n, a in feed.items() if n not in spec.state}
        self._state = [{n: np.array(feed[n], order="C") for n in spec.state} for _ in range(2)]
        feeds = {output: name for name, output in spec.state.items()}
        self._outputs: list[dict[str, Array]] = []
        self._bindings: list[Any] = []
        plain = {n: np.empty(s, spec.outputs[n].dtype) for n, s in shapes.items() if n not in feeds}
        for turn in range(2):
            binding = session.io_binding()
            for name, array in {**self._inputs, **self._state[turn]}.items():
                shape = (1, *array.shape) if batched[name] else array.shape
                binding.bind_input(name, "cpu", 0, array.dtype, shape, array.ctypes.data)
            made = {n: self._state[1 - turn][feeds[n]] if n in feeds else plain[n] for n in spec.outputs}
            for name, array in made.items():
                if array.shape != shapes[name]:
                    raise TensorError(
                        f"{where}: state '{feeds[name]}' has shape {list(array.shape)},"
                        f" but comes out of '{name}' as {list(shapes[name])}"
                    )
                shape = (1, *array.shape) if strip[name] else array.shape
                binding.bind_output(name, "cpu", 0, array.dtype, shape, array.ctypes.data)
            self._outputs.append(made)
            self._bindings.append(binding)
        self._turn = 0

    def step(self, changed: Tensors | None = None) -> Tensors:
        """One run over the bound buffers."""
        if changed:
            for name, value in changed.items():
                changed_input(self._inputs[name], name, value, self._where)
        turn = self._turn
        try:
            self._session.run_with_iobinding(self._bindings[turn])
        except Exception as error:  # the runtime has no common base class for its errors
            raise TensorError(f"{self._where}: {_first_line(error)}") from None
        self._turn = 1 - turn
        return self._outputs[turn]

    def save(self) -> Saved:
        """Copies of what the next step would read."""
        return {name: array.copy() for name, array in self._state[self._turn].items()}

    def restore(self, saved: Saved) -> None:
        """Copy them back."""
        for name, array in self._state[self._turn].items():
            np.copyto(array, saved[name])


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
