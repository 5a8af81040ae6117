"""Several voices beside each other: blocks in the same place, blocks in common; as text, data and picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyvox.addons import Addon
from polyvox.cli.common import clean, count, megabytes, table
from polyvox.pictures import Beneath, Box, Column, Drawing, Part, stacks, tree
from polyvox.pictures.tree import BlockInfo

COLUMNS = 120
"""Characters of a line."""
NARROWEST = 26
"""Characters of a column; where more voices do not fit, they stand beneath."""


@dataclass(frozen=True)
class Shown:
    """A voice (or a vocoder alone): its own addon and blocks, and its vocoder's."""

    addon: Addon
    info: BlockInfo
    vocoder: tuple[Addon, BlockInfo] | None = None

    @property
    def parameters(self) -> int:
        """Parameters of its own addon's networks."""
        return sum(self.addon.source(name).graph.parameters for name in self.addon.manifest.networks)


@dataclass(frozen=True)
class Item:
    """A block on its way from a tree to a column."""

    info: BlockInfo
    depth: int
    follows: bool
    """Whether it reads what the block before it in the same block makes."""
    last: bool
    """Whether it is the last one of the block that holds it."""


def same_addon(one: Addon, other: Addon) -> bool:
    """Whether two addons are the same, wherever they lie."""
    return one.manifest == other.manifest and all(
        one.source(name).data == other.source(name).data for name in one.manifest.networks
    )


def flat(info: BlockInfo, depth: int = 0, *, follows: bool = False, last: bool = True) -> Iterator[Item]:
    """A tree's blocks from top to bottom."""
    yield Item(info, depth, follows, last)
    children = [child for rank in info.children for child in rank]
    for number, child in enumerate(children):
        flows = number > 0 and info.kind == "stream"
        yield from flat(child, depth + 1, follows=flows, last=number == len(children) - 1)


def _likeness(one: Item, other: Item) -> float:
    """How well two blocks stand in one row; not at all if it is 0."""
    a, b = one.info, other.info
    if a.kind != b.kind or bool(a.children) != bool(b.children):
        return 0.0
    away = 0.5 * abs(one.depth - other.depth)
    if a.type == b.type:
        return 6.0 - away
    return max(0.0, 1.0 + (2.0 if a.makes.keys() & b.makes.keys() else 0.0) - away)


def aligned(columns: Sequence[Sequence[Item]]) -> list[list[Item | None]]:
    """Rows with a cell for each column, so that as many equal blocks as possible stand in one row.

    Columns are added one by one by Needleman and Wunsch's alignment (1970); the order in each column stays.
    """
    rows: list[list[Item | None]] = [[item] for item in columns[0]]
    for done, column in enumerate(columns[1:], 1):
        likeness = [
            [max((_likeness(cell, item) for cell in row if cell is not None), default=0.0) for item in column]
            for row in rows
        ]
        best = [[0.0] * (len(column) + 1) for _ in range(len(rows) + 1)]
        for i in range(len(rows) - 1, -1, -1):
            for j in range(len(column) - 1, -1, -1):
                pair = likeness[i][j] + best[i + 1][j + 1] if likeness[i][j] else -1.0
                best[i][j] = max(pair, best[i + 1][j], best[i][j + 1])
        made: list[list[Item | None]] = []
        i = j = 0
        while i < len(rows) or j < len(column):
            both = i < len(rows) and j < len(column)
            if both and likeness[i][j] and best[i][j] == likeness[i][j] + best[i + 1][j + 1]:
                made.append([*rows[i], column[j]])
                i, j = i + 1, j + 1
            elif j == len(column) or (both and best[i][j] == best[i + 1][j]):
                made.append([*rows[i], None])
                i += 1
            else:
                made.append([*[None] * done, column[j]])
                j += 1
        rows = made
    return rows


class Comparison:
    """Voices beside each other. Those that share a vocoder stand together, else in the order given."""

    def __init__(self, voices: Sequence[Shown]) -> None:
        groups: list[list[Shown]] = []
        for voice in voices:
            for group in groups:
                mine, theirs = voice.vocoder, group[0].vocoder
                if mine is not None and theirs is not None and same_addon(mine[0], theirs[0]):
                    group.append(voice)
                    break
            else:
                groups.append([voice])
        self.voices = [voice for group in groups for voice in group]
        given = [voice.addon.manifest.name for voice in self.voices]
        self.labels = [
            clean(name if given.count(name) == 1 else f"{name} ({Path(voice.addon.files.where).resolve().name})")
            for name, voice in zip(given, self.voices, strict=True)
        ]
        """What the voices are called; those of one name carry their folder's as well."""
        self.rows = aligned([list(flat(voice.info)) for voice in self.voices])
        self.vocoders: list[tuple[Addon, BlockInfo, range]] = []
        at = 0
        for group in groups:
            if group[0].vocoder is not None:
                self.vocoders.append((*group[0].vocoder, range(at, at + len(group))))
            at += len(group)
        self.owners: dict[str, list[int]] = {}
        """The types of the blocks, and which voices have them."""
        for row in self.rows:
            for index, item in enumerate(row):
                if item is not None and index not in self.owners.setdefault(item.info.type, []):
                    self.owners[item.info.type].append(index)

    def names(self, which: Sequence[int]) -> str:
        """Voices in words."""
        return ", ".join(self.labels[i] for i in which)

    # --- as text -------------------------------------------------------------------------------------------------

    def lines(self) -> Iterator[str]:
        """A table of the voices, their trees side by side, what is shared: at most COLUMNS characters a line."""
        rows = []
        for label, voice in zip(self.labels, self.voices, strict=True):
            manifest = voice.addon.manifest
            used = voice.vocoder[0].manifest.name if voice.vocoder else "-"
            facts = (label, manifest.version, ", ".join(manifest.languages) or "-", manifest.license, used)
            rows.append((*facts, count(voice.parameters), megabytes(voice.addon.files.total())))
        head = ("name", "version", "languages", "licence", "vocoder", "parameters", "size")
        for line in table(head, rows, right=(5, 6)):
            yield _cut(line, COLUMNS)
        most = max(1, min(len(self.voices), (COLUMNS + 3) // (NARROWEST + 3)))
        for first in range(0, len(self.voices), most):
            yield ""
            yield from self._trees(range(first, min(first + most, len(self.voices))))
        for addon, info, users in self.vocoders:
            yield ""
            manifest = addon.manifest
            said = f"{self.names(users)}; {count(info.parameters)} parameters; {megabytes(addon.files.total())}"
            yield _cut(clean(f"{manifest.name} {manifest.version}, the vocoder of {said}"), COLUMNS)
            for item, prefix in zip(flat(info), _prefixes(info), strict=True):
                yield _cell(prefix, item.info, COLUMNS)
        yield ""
        yield "= stands before the same block as to its left"
        for which, types in self._shared():
            everyone = len(which) == len(self.voices)
            label = "in all" if everyone else f"only in {self.names(which)}" if len(which) == 1 else self.names(which)
            yield from _wrapped(f"{label}: ", types)

    def _trees(self, which: range) -> Iterator[str]:
        width = (COLUMNS - 3 * (len(which) - 1)) // len(which)
        prefixes = [iter(_prefixes(self.voices[i].info)) for i in which]
        heads = [f"{self.labels[i]} {clean(self.voices[i].addon.manifest.version)}" for i in which]
        yield "   ".join(_cut(h, width).ljust(width) for h in heads).rstrip()
        bars = [""] * len(which)
        for whole in self.rows:
            row = [whole[i] for i in which]
            if not any(row):
                continue
            line = ""
            for k, item in enumerate(row):
                if k:
                    # An equals sign between neighbours that are the same block.
                    before = next((c for c in reversed(row[:k]) if c is not None), None)
                    same = item is not None and before is not None and item.info.type == before.info.type
                    line += " = " if same else "   "
                if item is None:
                    line += bars[k].ljust(width)
                else:
                    prefix = next(prefixes[k])
                    line += _cell(prefix, item.info, width).ljust(width)
                    # Where a column has nothing to say, its lines go on.
                    bars[k] = _cut(_going_on(prefix, bool(item.info.children)), width)
            yield line.rstrip()

    def _shared(self) -> list[tuple[list[int], list[str]]]:
        found: dict[tuple[int, ...], list[str]] = {}
        for name, which in self.owners.items():
            found.setdefault(tuple(which), []).append(clean(name))
        for addon, _, users in self.vocoders:
            if len(users) > 1:
                found.setdefault(tuple(users), []).append(f"the vocoder {clean(addon.manifest.name)}")
        return [(list(which), types) for which, types in sorted(found.items(), key=lambda f: (-len(f[0]), f[0]))]

    # --- as data -------------------------------------------------------------------------------------------------

    def json(self) -> dict[str, Any]:
        """What is shared, as plain data. Columns are in the order of `voices`."""
        return {
            "voices": self.labels,
            "vocoders": [
                {"name": a.manifest.name, "version": a.manifest.version, "voices": [self.labels[i] for i in users]}
                for a, _, users in self.vocoders
            ],
            "rows": [
                [None if item is None else {"type": item.info.type, "networks": item.info.networks} for item in row]
                for row in self.rows
            ],
            "blocks": {name: [self.labels[i] for i in which] for name, which in self.owners.items()},
        }

    # --- as a picture --------------------------------------------------------------------------------------------

    def drawing(self) -> Drawing:
        """The picture: a column each, and their vocoders beneath."""
        columns = [self._column(index) for index in range(len(self.voices))]
        beneath = []
        for addon, info, users in self.vocoders:
            box = tree.addon_box(addon, info)
            box.children = [[_short(info)]]
            shared = f", shared by {self.names(users)}" if len(users) > 1 else ""
            box.label = clean(f"vocoder addon{shared}; {count(info.parameters)} parameters")
            beneath.append(Beneath(box, users[0], users[-1]))
        return stacks(columns, beneath)

    def _column(self, index: int) -> Column:
        voice = self.voices[index]
        manifest = voice.addon.manifest
        outer = tree.addon_box(voice.addon, voice.info)
        spoken = ", ".join(manifest.languages)
        speakers = manifest.speakers
        if len(speakers) > 1:
            spoken += f"; {', '.join(speakers[:3])}" + (" and more" if len(speakers) > 3 else "")
        facts = [
            f"{manifest.kind} addon" + (f", {spoken}" if spoken else ""),
            f"{count(voice.parameters)} parameters, {megabytes(voice.addon.files.total())}",
        ]
        root = Part(f"{self.labels[index]} {clean(manifest.version)}", "", "addon", 0, lines=[clean(f) for f in facts])
        path = [root]
        for number, row in enumerate(self.rows, 1):
            item = row[index]
            if item is None:
                continue
            info = item.info
            part = Part(
                clean(info.type), "" if info.children else clean(", ".join(info.networks)), info.kind, number,
                info.type,
                [] if info.children else [clean(line) for line in _details(info)],
                alone=len(self.owners[info.type]) == 1 and len(self.voices) > 1, follows=item.follows,
            )  # fmt: skip
            del path[item.depth + 1 :]
            path[-1].children.append(part)
            path.append(part)
        return Column(root, "mel" if manifest.kind == "vocoder" else "text", outer.gives)


def _details(info: BlockInfo) -> list[str]:
    """What a narrow box says of a block."""
    made = list(info.makes)
    lines: list[str] = []
    for start in range(0, min(len(made), 6), 2):
        more = ", ..." if start == 4 and len(made) > 6 else ","
        lines.append(("→ " if not start else "    ") + ", ".join(made[start : start + 2]) + more)
    if lines:
        lines[-1] = lines[-1].removesuffix(",")
    return lines + tree.figures(info)


def _short(info: BlockInfo) -> Box:
    lines = [] if info.children else _details(info)
    label = ", ".join(info.networks)
    children = [[_short(child) for child in rank] for rank in info.children]
    return Box(clean(info.type), clean(label), info.kind, [clean(line) for line in lines], children)


def _cell(prefix: str, info: BlockInfo, width: int) -> str:
    name = prefix + clean(f"{info.type} {' '.join(info.networks)}".rstrip())
    figure = f"  {count(info.parameters)}" if info.parameters and not info.children else ""
    return name + figure if len(name + figure) <= width else _cut(name, width)


def _prefixes(info: BlockInfo) -> list[str]:
    """The lines in front of each block of a tree, as `tree.lines` draws them."""
    found = [""]
    children = [child for rank in info.children for child in rank]
    for number, child in enumerate(children, 1):
        last = number == len(children)
        for i, prefix in enumerate(_prefixes(child)):
            found.append((("└─ " if last else "├─ ") if i == 0 else ("   " if last else "│  ")) + prefix)
    return found


def _going_on(prefix: str, inside: bool) -> str:
    """What stands in a column between a block and the next one of its tree."""
    line = prefix.replace("├─ ", "│  ").replace("└─ ", "   ")
    return (line + ("│" if inside else "")).rstrip()


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _wrapped(label: str, names: Sequence[str]) -> Iterator[str]:
    line = label
    for number, name in enumerate(names):
        piece = name + ("" if number == len(names) - 1 else ", ")
        if len(line) + len(piece.rstrip()) > COLUMNS and line.strip():
            yield _cut(line.rstrip(), COLUMNS)
            line = "    "
        line += piece
    yield _cut(line.rstrip(), COLUMNS)
