"""What a stack is made of: the tree of its blocks, as text, as data and as boxes to draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from polyvox.addons import Addon, Stack
from polyvox.blocks import Block, SequenceBlock, StreamableBlock, names
from polyvox.blocks.registry import find
from polyvox.networks import Network, NetworkSpec
from polyvox.pictures import Box
from polyvox.tensors import Specs, TensorSpec
from polyvox.windows import Context
from polyvox.wording import clean, count


@dataclass
class BlockInfo:
    """One block: what it is, what it reads, makes and lets pass, and the blocks in it.

    `children` is a list of ranks; the blocks of one rank do not depend on each other.
    """

    type: str
    kind: str
    networks: list[str] = field(default_factory=list)
    reads: dict[str, TensorSpec] = field(default_factory=dict)
    makes: dict[str, TensorSpec] = field(default_factory=dict)
    passes: list[str] = field(default_factory=list)
    contexts: list[tuple[int, int, int]] = field(default_factory=list)
    parameters: int = 0
    compiled: dict[str, tuple[int, ...]] = field(default_factory=dict)
    children: list[list[BlockInfo]] = field(default_factory=list)

    def json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "type": self.type,
            "kind": self.kind,
            "networks": self.networks,
            "reads": {n: str(s) for n, s in self.reads.items()},
            "makes": {n: str(s) for n, s in self.makes.items()},
            "passes": self.passes,
            "context": [{"left": left, "right": right, "hop": hop} for left, right, hop in self.contexts],
            "parameters": self.parameters,
            "compiled": {axis: list(sizes) for axis, sizes in self.compiled.items()},
            "blocks": [[child.json() for child in rank] for rank in self.children],
        }


class _Asked(Specs):
    """Specs that note which names a block asks for: what a block without a network reads."""

    __slots__ = ("names",)

    def __init__(self, specs: Specs, asked: dict[str, TensorSpec]) -> None:
        super().__init__(specs.known, specs.open)
        object.__setattr__(self, "names", asked)

    def __getitem__(self, name: str) -> TensorSpec:
        found = self.known[name]
        self.names[name] = found  # type: ignore[attr-defined]
        return found


def describe(stack: Stack) -> BlockInfo:
    """Look into a loaded stack. Blocks of packages that Polyvox does not know are described as well.

    How the tensors flow is learned by asking the blocks for their specs once more, and listening.
    """
    manifest = stack.addon.manifest
    heard: dict[int, tuple[dict[str, TensorSpec], Specs, Specs]] = {}
    blocks = list(_walk(stack.block, set()))
    features = Specs({"mel": TensorSpec("float32", ("frames", manifest.features.bands))})
    try:
        for block in blocks:
            _listen(block, heard)
        stack.block.specs(stack.addon.inputs(), features if manifest.kind == "vocoder" else Specs())
    finally:
        for block in blocks:
            vars(block).pop("specs", None)
    types = {find(name, ""): name for kind in (SequenceBlock, StreamableBlock) for name in names(kind)}
    parameters = {name: stack.addon.source(name).graph.parameters for name in manifest.networks}
    return _info(stack.block, heard, types, parameters, set())


def _walk(block: Block, seen: set[int]) -> Iterator[Block]:
    seen.add(id(block))
    yield block
    for rank in _ranks(block, seen):
        for child in rank:
            yield from _walk(child, seen)


def _ranks(block: Block, seen: set[int]) -> list[list[Block]]:
    """The blocks that a block holds in its attributes, each once: alone, in lists, or in lists of ranks."""
    ranks: list[list[Block]] = []
    mine: set[int] = set()

    def fresh(values: Sequence[object]) -> list[Block]:
        found: list[Block] = []
        for value in values:
            if isinstance(value, SequenceBlock | StreamableBlock) and id(value) not in seen | mine:
                mine.add(id(value))
                found.append(value)
        return found

    for value in vars(block).values():
        items = value if isinstance(value, list | tuple) else [value]
        for item in items:
            rank = fresh(item if isinstance(item, list | tuple) else [item])
            if rank:
                ranks.append(rank)
    return ranks


def _listen(block: Block, heard: dict[int, tuple[dict[str, TensorSpec], Specs, Specs]]) -> None:
    inner = block.specs

    def specs(*given: Specs, **named: Specs) -> Specs:
        asked: dict[str, TensorSpec] = {}
        upstream = named.get("upstream", given[-1] if given else Specs())
        made = inner(*(_Asked(g, asked) for g in given), **{n: _Asked(g, asked) for n, g in named.items()})
        made = Specs(made.known, made.open)
        heard[id(block)] = (dict(asked), upstream, made)
        return made

    # Of this one block, not of its class; `describe` takes it away again.
    vars(block)["specs"] = specs


def _networks(block: Block) -> list[Network]:
    found: dict[str, Network] = {}
    for value in vars(block).values():
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, Network):
                found.setdefault(item.spec.name, item)
    return list(found.values())


def _info(
    block: Block,
    heard: Mapping[int, tuple[dict[str, TensorSpec], Specs, Specs]],
    types: Mapping[type, str],
    parameters: Mapping[str, int],
    seen: set[int],
) -> BlockInfo:
    seen.add(id(block))
    kind = "sequence" if isinstance(block, SequenceBlock) else "stream"
    info = BlockInfo(types.get(type(block), type(block).__name__), kind)
    asked, upstream, made = heard.get(id(block), ({}, Specs(), Specs()))
    specs: list[NetworkSpec] = []
    for network in _networks(block):
        spec = network.spec
        specs.append(spec)
        info.networks.append(spec.name)
        info.parameters += parameters.get(spec.name, 0)
        info.compiled.update(network.sizes)
        if spec.stream is not None and kind == "stream":
            context = spec.stream.context
            info.contexts.append((context.left, context.right, context.hop))
    whole = getattr(block, "context", None)
    if info.contexts and isinstance(whole, Context):
        # A block that runs its network several times needs more than the network does.
        info.contexts = [(whole.left, whole.right, whole.hop)]
    info.children = [[_info(b, heard, types, parameters, seen) for b in rank] for rank in _ranks(block, seen)]
    inside = [child for rank in info.children for child in rank]
    if specs and (upstream.open or not asked):
        info.reads = {n: TensorSpec(i.dtype, i.axes) for s in specs for n, i in s.wanted().items()}
    elif specs or not inside:  # not what the block makes for its network itself, but what it reads beside
        info.reads = asked
    own = {n for s in specs for n in s.outputs}
    for name, spec_made in made.items():
        passed = kind == "stream" and upstream.get(name) == spec_made and name not in own
        if passed and not inside:
            info.passes.append(name)
        else:
            info.makes[name] = TensorSpec(spec_made.dtype, spec_made.axes)
    for child in inside:
        info.parameters += child.parameters
    return info


def shape(name: str, spec: TensorSpec) -> str:
    """`mel [frames, 80]`; a scalar is its name alone."""
    return f"{name} [{', '.join(map(str, spec.axes))}]" if spec.axes else name


def _shapes(tensors: Mapping[str, TensorSpec]) -> str:
    return ", ".join(shape(n, s) for n, s in tensors.items())


def named(info: BlockInfo) -> str:
    """A block's networks: `'pitch'`."""
    return " ".join(f"'{name}'" for name in info.networks)


def figures(info: BlockInfo) -> list[str]:
    """Context, parameters and compiled sizes, in words."""
    found = [
        f"context {left}+{right} frames" + (f", hop {hop}" if hop > 1 else "") for left, right, hop in info.contexts
    ]
    if info.parameters and not info.children:
        found.append(f"{count(info.parameters)} parameters")
    if info.compiled:
        found.append("; ".join(f"{axis} compiled to {', '.join(map(str, s))}" for axis, s in info.compiled.items()))
    return found


def lines(info: BlockInfo) -> Iterator[str]:
    """The tree as text."""
    parts = [f"{info.type} {named(info)}".rstrip()]
    if not info.children:
        flow = f"{_shapes(info.reads)} -> {_shapes(info.makes)}".strip() if info.reads or info.makes else ""
        parts += [flow.removesuffix(" ->"), ", ".join(figures(info))]
    else:
        parts += [f"-> {_shapes(info.makes)}" if info.makes else "", f"{count(info.parameters)} parameters"]
    yield clean("  ".join(p for p in parts if p))
    children = [child for rank in info.children for child in rank]
    for number, child in enumerate(children, 1):
        last = number == len(children)
        for i, line in enumerate(lines(child)):
            yield (("└─ " if last else "├─ ") if i == 0 else ("   " if last else "│  ")) + line


def box(info: BlockInfo) -> Box:
    """The tree as nested boxes."""
    details: list[str] = []
    if not info.children:
        if info.reads:
            details.append(f"reads {_shapes(info.reads)}")
        if info.makes:
            details.append(f"makes {_shapes(info.makes)}")
        if info.passes:
            details.append(f"passes {', '.join(info.passes)}")
        details += figures(info)
    return Box(
        clean(info.type),
        clean(named(info)),
        info.kind,
        [clean(d) for d in details],
        [[box(child) for child in rank] for rank in info.children],
    )


def addon_box(addon: Addon, info: BlockInfo) -> Box:
    """A box around a whole addon's tree."""
    manifest = addon.manifest
    start = "mel" if manifest.kind == "vocoder" else "text"
    takes = f"mel [frames, {manifest.features.bands}]" if start == "mel" else "text → tokens [tokens]"
    gives = f"mel [frames, {manifest.features.bands}]" if manifest.kind == "acoustic" else "audio [samples]"
    title = f"{manifest.name} {manifest.version}"
    return Box(clean(title), f"{manifest.kind} addon", "addon", [], [[box(info)]], takes, gives)
