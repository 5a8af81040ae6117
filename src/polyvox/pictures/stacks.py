"""Several stacks side by side: equal blocks at the same height, and what they share once beneath all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from polyvox.pictures.boxes import SEQUENCE, STREAM, Box
from polyvox.pictures.shapes import COLOURS, FAINT, GAP, INK, LINE, PAD, TITLE, Arrow, Drawing, Rect, Shape, Text
from polyvox.pictures.shapes import width_of as _width

ALONE = "#fdeed3"
"""Fill of a block that only one of the stacks has."""
MARGIN, ENTRY = 20.0, 46.0
GUTTER, APART = 40.0, 64.0
"""Between columns, and between those that share nothing beneath."""
INSET, TIGHT = 10.0, 8.0
"""Between a box and those in it, and between boxes that no arrow joins."""
RIBBON = 0.22
"""How much of its colour a ribbon has."""


@dataclass
class Part:
    """A block in a column.

    Attributes:
        title: its type.
        label: what tells it from others of its type, such as its network.
        kind: what colours it, see `COLOURS`.
        row: parts of one row, of whichever column, stand at the same height. Rows ascend from a part to those in it
            and on to the next.
        key: parts with the same key in one row are the same block.
        alone: no other column has this block.
        follows: it reads what the part before it in the same box makes.
    """

    title: str
    label: str
    kind: str
    row: int
    key: str = ""
    lines: list[str] = field(default_factory=list)
    children: list[Part] = field(default_factory=list)
    alone: bool = False
    follows: bool = False

    def walk(self) -> Iterator[Part]:
        """This part and all within, from top to bottom."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass
class Column:
    """One stack; `takes` stands above it, `gives` beneath."""

    part: Part
    takes: str = ""
    gives: str = ""


@dataclass
class Beneath:
    """What the columns from `first` to `last` give to, drawn once, its blocks from left to right."""

    box: Box
    first: int
    last: int


def stacks(columns: Sequence[Column], beneath: Sequence[Beneath] = ()) -> Drawing:
    """Draw columns side by side, ribbons between equal blocks, and beneath each run of columns what they share."""
    rows = _Rows(columns)
    places, right = _across(columns, beneath)
    shapes: list[Shape] = []
    ribbons: dict[tuple[int, str], list[tuple[int, Rect]]] = {}
    leaves: list[tuple[Part, Rect]] = []
    for index, (column, (x, width)) in enumerate(zip(columns, places, strict=True)):
        for part, rect in _frames(column.part, index, x, width, rows):
            if part.children:
                _draw(part, rect, shapes)
            else:
                leaves.append((part, rect))
                if not part.alone:
                    ribbons.setdefault((part.row, part.key), []).append((index, rect))
    for ends in ribbons.values():
        for left, other in pairwise(ends):
            shapes += _ribbon(left, other, places)
    for part, rect in leaves:
        _draw(part, rect, shapes)
    for column, (x, width) in zip(columns, places, strict=True):
        middle = x + width / 2
        shapes.append(Arrow(((middle, MARGIN + 14), (middle, MARGIN + ENTRY)), INK))
        shapes.append(Text(middle + 12, MARGIN + 28, column.takes))
    for index, (column, (x, width)) in enumerate(zip(columns, places, strict=True)):
        for upper, lower in _flows(column.part, index, rows):
            shapes.append(Arrow(((x + width / 2, upper), (x + width / 2, lower))))
    bottom = _gifts(columns, beneath, places, rows.bottom, shapes)
    return Drawing(right + MARGIN, _legend(bottom, right, shapes) + 12 + MARGIN, shapes)


def _legend(y: float, right: float, shapes: list[Shape]) -> float:
    """What the colours mean, in as many lines as it needs; returns where the last one begins."""
    entries = (
        (*COLOURS["sequence"], 1.0, SEQUENCE),
        (*COLOURS["stream"], 1.0, STREAM),
        (ALONE, COLOURS["addon"][1], 1.0, "in this stack only"),
        (COLOURS["stream"][1], "", RIBBON, "the same block"),
    )
    x = MARGIN
    for fill, edge, opacity, meaning in entries:
        width = 40 + _width(meaning, 11)
        if x > MARGIN and x + width > right:
            x, y = MARGIN, y + 22
        shapes.append(Rect(x, y, 16, 12, fill, edge, opacity, radius=6 if edge else 0))
        shapes.append(Text(x + 23, y + 10, meaning, 11, FAINT))
        x += width
    return y


def _ribbon(left: tuple[int, Rect], right: tuple[int, Rect], places: Sequence[tuple[float, float]]) -> Iterator[Rect]:
    """Between two boxes of one row, behind the columns between theirs."""
    (first, one), (last, other) = left, right
    start = one.x + one.width
    for x, width in [*places[first + 1 : last], (other.x, 0.0)]:
        yield Rect(start, one.y, x - start, one.height, one.edge, opacity=RIBBON, radius=0)
        start = x + width


class _Rows:
    """Where each row begins and ends, and each box of each column."""

    def __init__(self, columns: Sequence[Column]) -> None:
        parts = [list(column.part.walk()) for column in columns]
        count = 1 + max(p.row for column in parts for p in column)
        self._ends: dict[tuple[int, int], int] = {}
        natural: dict[int, int] = {}
        for column in parts:
            for part in column:
                natural[part.row] = max(natural.get(part.row, 0), *(p.row for p in part.walk()))
        for index, column_ in enumerate(columns):
            self._close(column_.part, index, count - 1, natural)
        # How many boxes end one within the other beneath a row, the same in all columns.
        self._closing: dict[int, int] = {}
        depth = [0] * count
        for row in range(count - 1, -1, -1):
            for index, column in enumerate(parts):
                for part in column:
                    if part.row == row and part.children:
                        end = self._ends[index, row]
                        inside = [
                            self._closing[p.row]
                            for p in part.walk()
                            if p is not part and p.children and self._ends[index, p.row] == end
                        ]
                        self._closing[row] = max(self._closing.get(row, 1), 1 + max(inside, default=0))
                        depth[end] = max(depth[end], self._closing[row])
        self.tops, self._bottoms = [], []
        at = MARGIN + ENTRY
        for row in range(count):
            here = [p for column in parts for p in column if p.row == row]
            if row:
                before = [c for column in parts for c in column if any(p.row == row for p in c.children)]
                first = all(c.children[0].row == row for c in before)
                at += INSET * depth[row - 1] + (GAP if any(p.follows for p in here) else 0 if first else TIGHT)
            self.tops.append(at)
            at += max(map(_head, here), default=0.0)
            self._bottoms.append(at)
        self.bottom = at + INSET * depth[-1]

    def _close(self, part: Part, index: int, limit: int, natural: dict[int, int]) -> None:
        """Rows in which a part ends: where its partners end, if what comes next in its own column lets it."""
        end = self._ends[index, part.row] = limit if part.kind == "addon" else min(limit, natural[part.row])
        nexts = [*(child.row - 1 for child in part.children[1:]), end][: len(part.children)]
        for child, after in zip(part.children, nexts, strict=True):
            self._close(child, index, after, natural)

    def end(self, part: Part, index: int) -> float:
        """Where a part of a column ends."""
        if not part.children:
            return self._bottoms[part.row]
        return self._bottoms[self._ends[index, part.row]] + INSET * self._closing[part.row]


def _texts(part: Part) -> list[str]:
    return [*([part.label] if part.label else []), *part.lines]


def _head(part: Part) -> float:
    """How tall a part is above those in it, or as a whole if there are none."""
    return PAD + TITLE - 2 + LINE * len(_texts(part)) + (0 if part.children else 2)


def _wide(part: Part) -> float:
    texts = max([_width(part.title, 13, bold=True), *map(_width, _texts(part))]) + 2 * PAD
    return max(texts, max((_wide(child) for child in part.children), default=0.0) + 2 * INSET)


def _frames(part: Part, index: int, x: float, width: float, rows: _Rows) -> Iterator[tuple[Part, Rect]]:
    """The rectangles of a part and of all in it."""
    top = rows.tops[part.row]
    fill, edge = COLOURS[part.kind]
    yield part, Rect(x, top, width, rows.end(part, index) - top, ALONE if part.alone else fill, edge)
    for child in part.children:
        yield from _frames(child, index, x + INSET, width - 2 * INSET, rows)


def _draw(part: Part, rect: Rect, shapes: list[Shape]) -> None:
    shapes.append(rect)
    at = rect.y + PAD + 7
    shapes.append(Text(rect.x + PAD, at, part.title, 13, bold=True))
    for number, text in enumerate(_texts(part), 1):
        colour = rect.edge if part.label and number == 1 and part.kind != "addon" else FAINT
        shapes.append(Text(rect.x + PAD, at + number * LINE + 1, text, 12, colour))


def _flows(part: Part, index: int, rows: _Rows) -> Iterator[tuple[float, float]]:
    """From where to where the arrows between a column's parts go."""
    for before, child in pairwise(part.children):
        if child.follows:
            yield rows.end(before, index), rows.tops[child.row]
    for child in part.children:
        yield from _flows(child, index, rows)


def _across(columns: Sequence[Column], beneath: Sequence[Beneath]) -> tuple[list[tuple[float, float]], float]:
    """Each column's left edge and width, and where the last one ends."""
    places: list[tuple[float, float]] = []
    x = MARGIN
    runs = sorted(
        [(b.first, b.last, _breadth(b.box)) for b in beneath]
        + [(i, i, 0.0) for i in range(len(columns)) if not any(b.first <= i <= b.last for b in beneath)]
    )
    for number, (first, last, wanted) in enumerate(runs):
        x += (APART if beneath else GUTTER) if number else 0
        widths = [_wide(column.part) for column in columns[first : last + 1]]
        spare = max(0.0, wanted - sum(widths) - GUTTER * (len(widths) - 1)) / len(widths)
        for i, width in enumerate(widths):
            x += GUTTER if i else 0
            places.append((x, width + spare))
            x += width + spare
    return places, x


def _gifts(
    columns: Sequence[Column],
    beneath: Sequence[Beneath],
    places: Sequence[tuple[float, float]],
    bottom: float,
    shapes: list[Shape],
) -> float:
    """What comes out of the columns, and what takes it; returns where the legend goes."""
    lowest = bottom
    for b in beneath:
        left, right = places[b.first][0], places[b.last][0] + places[b.last][1]
        top = bottom + ENTRY
        height = _tall(b.box)
        _lie(b.box, left, top, right - left, height, shapes)
        lowest = max(lowest, top + height)
        if b.box.gives:
            middle = (left + right) / 2
            shapes.append(Arrow(((middle, top + height), (middle, top + height + 34)), INK))
            shapes.append(Text(middle + 12, top + height + 24, b.box.gives))
    for index, (column, (x, width)) in enumerate(zip(columns, places, strict=True)):
        if column.gives:
            taken = any(b.first <= index <= b.last for b in beneath)
            middle = x + width / 2
            shapes.append(Arrow(((middle, bottom), (middle, bottom + (ENTRY if taken else 34))), INK))
            shapes.append(Text(middle + 12, bottom + 24, column.gives))
    return lowest + ENTRY + 10


def _breadth(box: Box) -> float:
    """How wide a box is whose blocks lie from left to right."""
    head = _width(box.title, 13, bold=True) + (12 + _width(box.label) if box.label and box.children else 0)
    texts = max([head, *map(_width, _said(box))])
    inside = [_breadth(child) for rank in box.children for child in rank]
    return max([texts + 2 * PAD, sum(inside) + GAP * (len(inside) - 1) + 2 * INSET])


def _tall(box: Box) -> float:
    inside = [_tall(child) for rank in box.children for child in rank]
    return PAD + TITLE - 2 + LINE * len(_said(box)) + (max(inside) + INSET if inside else 2)


def _said(box: Box) -> list[str]:
    """The lines of a box: a label stands beside the title where others lie in the box, else beneath it."""
    return [*([box.label] if box.label and not box.children else []), *box.lines]


def _lie(box: Box, x: float, y: float, width: float, height: float, shapes: list[Shape]) -> None:
    fill, edge = COLOURS[box.kind]
    shapes.append(Rect(x, y, width, height, fill, edge))
    at = y + PAD + 7
    shapes.append(Text(x + PAD, at, box.title, 13, bold=True))
    if box.label and box.children:
        shapes.append(Text(x + PAD + _width(box.title, 13, bold=True) + 12, at, box.label, 12, FAINT))
    for number, line in enumerate(_said(box), 1):
        colour = edge if box.label and not box.children and number == 1 else FAINT
        shapes.append(Text(x + PAD, at + number * LINE + 1, line, 12, colour))
    inside = [child for rank in box.children for child in rank]
    if not inside:
        return
    widths = [_breadth(child) for child in inside]
    spare = (width - 2 * INSET - sum(widths) - GAP * (len(inside) - 1)) / len(inside)
    top = y + PAD + TITLE - 2 + LINE * len(_said(box))
    left = x + INSET
    for number, (child, wide) in enumerate(zip(inside, widths, strict=True)):
        if number:
            middle = top + (height - (top - y) - INSET) / 2
            shapes.append(Arrow(((left - GAP, middle), (left, middle))))
        _lie(child, left, top, wide + spare, height - (top - y) - INSET, shapes)
        left += wide + spare + GAP
