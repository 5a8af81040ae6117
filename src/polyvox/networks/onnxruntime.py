"""Networks on ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polyvox.errors import AddonError, TensorError
from polyvox.networks.network import Network, NetworkSpec, filled
from polyvox.tensors import Array, Tensors, check

SHAPE_DEPENDENT = ("MatMulAddFusion", "SkipLayerNormFusion")
"""Fusions that happen only where shapes are known. They save nothing measurable on these networks, and without them
a graph compiled to a fixed size rounds as the same graph of any size does, to the last bit."""


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
        ranks = {i.name: len(i.shape) for i in self._session.get_inputs()}
        self._batched = {name: ranks[name] > len(s.axes) for name, s in spec.inputs.items()}
        ranks = {o.name: len(o.shape) for o in self._session.get_outputs()}
        self._strip = {name: ranks[name] > len(s.axes) for name, s in spec.outputs.items()}
        self._outputs = list(spec.outputs)

    def run(self, tensors: Tensors) -> dict[str, Array]:
        """Run the graph once."""
        feed: dict[str, Array] = {}
        sizes: dict[str, int] = {}
        for name, spec in self.spec.wanted().items():
            if name not in tensors:
                raise TensorError(f"{self._where}: input '{name}' is missing; given are {sorted(tensors)}")
            check(name, tensors[name], spec, sizes, self._where)
        for name, spec in self.spec.inputs.items():
            # Masks and lengths come along only where `FixedShape` padded.
            given = name in tensors
            array = np.asarray(tensors[name]) if given else filled(spec, sizes, sizes)
            feed[name] = array[None] if self._batched[name] else array
        try:
            made = self._session.run(self._outputs, feed)
        except Exception as error:  # the runtime has no common base class for its errors
            raise TensorError(f"{self._where}: {_first_line(error)}") from None
        return {
            name: (array[0, ...] if self._strip[name] else array)
            for name, array in zip(self._outputs, map(np.asarray, made), strict=True)
        }

    def close(self) -> None:
        """Free the session."""
        self._session = None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
