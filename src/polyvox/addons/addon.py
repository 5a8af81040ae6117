"""Addon: one opened and checked addon, and its stack on a target."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from polyvox.addons.files import Files, check_path, open_files
from polyvox.addons.manifest import Manifest, parse
from polyvox.blocks import Parts, StreamableBlock, build
from polyvox.errors import AddonError, StackError
from polyvox.networks import Device, Network, Source, Target, load_network, on_device, target
from polyvox.networks.onnx_file import read_graph
from polyvox.tensors import Specs, TensorSpec
from polyvox.text import Symbols

MANIFEST = "addon.json"

Wrap = Callable[[Network], Network]


@dataclass(frozen=True)
class Addon:
    """An addon whose manifest and graphs were checked; nothing is loaded yet."""

    manifest: Manifest
    files: Files

    @classmethod
    def open(cls, path: str | Path) -> Addon:
        """Open and check a folder or an `.addon` file.

        Raises:
            AddonError: one sentence that names the file and the field.
        """
        files = open_files(Path(path))
        manifest = parse(files.text(MANIFEST), f"{files.where}/{MANIFEST}")
        addon = cls(manifest, files)
        for name in manifest.networks:
            addon.source(name)
        if manifest.text is not None:
            symbols = addon.symbols
            for field in ("start", "end", "between"):
                symbol = getattr(manifest.text, field)
                if symbol is not None and len(symbols.encode((symbol,))) != 1:
                    raise AddonError(
                        f"{addon.where}: field 'text.{field}': '{symbol}' is not in {manifest.text.symbols}"
                    )
        return addon

    @property
    def where(self) -> str:
        """The path of addon.json, for messages."""
        return f"{self.files.where}/{MANIFEST}"

    @cached_property
    def symbols(self) -> Symbols:
        """The symbol table."""
        assert self.manifest.text is not None
        name = self.manifest.text.symbols
        return Symbols.read(self.files.text(name), where=f"{self.files.where}/{name}")

    def source(self, name: str) -> Source:
        """A network's specification and graph, checked against each other.

        Raises:
            AddonError: they differ, or the graph reaches outside the addon.
        """
        declared = self.manifest.networks[name]
        data = self.files.read(declared.graph)
        where = f"{self.files.where}/{declared.graph}"
        graph = read_graph(data, where)
        spec = declared.spec(name)
        place = f"{self.where}: networks.{name}"
        for kind, there, said in (
            ("inputs", graph.inputs, spec.inputs),
            ("outputs", graph.outputs, spec.outputs),
        ):
            absent = [n for n in said if n not in there]
            extra = [n for n in there if n not in said] if kind == "inputs" else []
            if absent or extra:
                which = (
                    f"'{absent[0]}' is not in {declared.graph}"
                    if absent
                    else f"'{extra[0]}' of {declared.graph} is missing"
                )
                raise AddonError(f"{place}.{kind}: {which}, which has {', '.join(there)}")
            for tensor, wanted in said.items():
                value = there[tensor]
                if value.dtype != wanted.dtype or len(value.dims) - len(wanted.axes) not in (0, 1):
                    shape = ", ".join(str(d) for d in value.dims)
                    raise AddonError(
                        f"{place}.{kind}.{tensor}: declared {wanted}, but the graph has {value.dtype} [{shape}]"
                        " (a batch axis may stand in front)"
                    )
                offset = len(value.dims) - len(wanted.axes)
                for axis, dim in zip(wanted.axes, value.dims[offset:], strict=True):
                    if isinstance(axis, int) and isinstance(dim, int) and axis != dim:
                        raise AddonError(
                            f"{place}.{kind}.{tensor}: declared {wanted}, but the graph has {dim} for {axis}"
                        )
        for location in sorted(graph.external):
            self.files.size(str(PurePosixPath(declared.graph).parent / check_path(location, where)))
            if self.files.folder is None:
                raise AddonError(
                    f"{where}: keeps data in '{location}'; in an .addon file, data stands inside the graph"
                )
        folder = None
        if graph.external and self.files.folder is not None:
            folder = (self.files.folder / declared.graph).parent
            for location in graph.external:
                inside = (folder / location).resolve()
                if not inside.is_relative_to(self.files.folder.resolve()) or not inside.is_file():
                    raise AddonError(f"{where}: its data '{location}' is not in the addon")
        sizes = {axis: tuple(sorted(set(s))) for axis, s in declared.sizes.items()}
        return Source(spec, data, graph, where, folder, sizes)

    def inputs(self) -> Specs:
        """The tensors that the stack starts from: tokens, the speaker's number and controls."""
        known = {name: TensorSpec("float32", ()) for name in self.manifest.controls}
        known["speaker"] = TensorSpec("int64", ())
        if self.manifest.text is not None:
            known["tokens"] = TensorSpec("int64", ("tokens",))
        return Specs(known)

    def stack(self, on: str | Target = "cpu", wrap: Wrap | None = None, device: Device | None = None) -> Stack:
        """Load the networks that the stack names, and connect its blocks.

        Args:
            on: the target.
            wrap: put around every network that is loaded (for tracing, say).
            device: shared with other stacks: it decides whose call is next, runs those that wait together, and
                loads a network that several have once. None runs every call as it comes.

        Raises:
            StackError: the stack does not make a working integration layer.
            TargetError: the target is unknown or cannot run this addon.
        """
        loaded: dict[tuple[str, str], Network] = {}
        lock = threading.Lock()

        def load(name: str, other: str | None) -> Network:
            chosen = target(other) if other else target(on)
            with lock:
                if (name, chosen.name) not in loaded:
                    source = self.source(name)
                    if device is None:
                        network = load_network(source, chosen)
                    else:
                        network = on_device(source, chosen, device, f"{self.manifest.name}.{name}")
                    loaded[name, chosen.name] = wrap(network) if wrap else network
                return loaded[name, chosen.name]

        try:
            return Stack(self, self._connected(load), loaded)
        except BaseException:
            for network in loaded.values():
                network.close()
            raise

    def _connected(self, load: Callable[[str, str | None], Network]) -> StreamableBlock:
        """The stack's blocks, checked against each other; they have `load`ed their networks."""
        specs = {name: network.spec(name) for name, network in self.manifest.networks.items()}
        block = build(list(self.manifest.stack), Parts(specs, load, where=f"{self.where}: stack"))
        vocoder = self.manifest.kind == "vocoder"
        features = Specs({"mel": TensorSpec("float32", ("frames", self.manifest.features.bands))})
        made = block.specs(self.inputs(), features if vocoder else Specs())
        wanted = "mel" if self.manifest.kind == "acoustic" else "audio"
        expected = features["mel"] if wanted == "mel" else TensorSpec("float32", ("samples",))
        got = made.get(wanted)
        if got is None and not made.open:
            raise StackError(
                f"{self.where}: stack: its stream carries {', '.join(made) or 'nothing'};"
                f" an addon of kind '{self.manifest.kind}' must make '{wanted}'"
            )
        if got is not None and (got.dtype, got.axes[1:]) != (expected.dtype, expected.axes[1:]):
            raise StackError(f"{self.where}: stack: makes '{wanted}' as {got}, expected {expected}")
        return block

    @property
    def longest(self) -> int | None:
        """Most tokens of one utterance."""
        return self.manifest.text.max_tokens if self.manifest.text else None


@dataclass(frozen=True)
class Stack:
    """An addon's blocks on a target, ready to stream; shared by all utterances and threads."""

    addon: Addon
    block: StreamableBlock
    networks: dict[tuple[str, str], Network]

    def close(self) -> None:
        """Give back what the runtimes hold."""
        for network in self.networks.values():
            network.close()
