"""One voice as nested boxes: each block inside the one that holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from polyvox.pictures.shapes import COLOURS, FAINT, GAP, INK, LINE, PAD, TITLE, Arrow, Drawing, Rect, Shape, Text
from polyvox.pictures.shapes import width_of as _width

WIDEST_LINE = 46
"""Characters after which a box's line is broken."""


SEQUENCE, STREAM = "runs once over the whole", "runs chunk by chunk, on demand"
"""What the colours mean."""


@dataclass
class Box:
    """A box with a title, lines, and boxes inside: ranks from top to bottom, each rank side by side."""

    title: str
    label: str
    kind: str
    lines: list[str] = field(default_factory=list)
    children: list[list[Box]] = field(default_factory=list)
    takes: str = ""
    gives: str = ""


def _broken(line: str) -> list[str]:
    """A line in pieces of at most about WIDEST_LINE characters, broken between tensors."""
    if len(line) <= WIDEST_LINE:
        return [line]
    pieces, current = [], ""
    for part in line.replace("], ", "],\0").replace("; ", ";\0").split("\0"):
        if current and len(current) + 1 + len(part) > WIDEST_LINE:
            pieces.append(current)
            current = "    " + part
        else:
            current = f"{current} {part}" if current else part
    return [*pieces, current]


def _inner(box: Box) -> list[str]:
    return [piece for line in box.lines for piece in _broken(line)]


def _size(box: Box) -> tuple[float, float]:
    head = _width(box.title, 13, bold=True) + (8 + _width(box.label) if box.label else 0)
    texts = _inner(box)
    width = max([head, *(_width(t) for t in texts)])
    height = PAD + TITLE + LINE * len(texts)
    for i, rank in enumerate(box.children):
        sizes = [_size(b) for b in rank]
        width = max(width, sum(w for w, _ in sizes) + PAD * (len(rank) - 1))
        height += max(h for _, h in sizes) + (GAP if i else 6)
    return width + 2 * PAD, height + (PAD if box.children else PAD / 2)


def _place(box: Box, x: float, y: float, width: float, height: float, shapes: list[Shape]) -> None:
    fill, edge = COLOURS.get(box.kind, COLOURS["addon"])
    shapes.append(Rect(x, y, width, height, fill, edge))
    at = y + PAD + 9
    shapes.append(Text(x + PAD, at, box.title, 13, bold=True))
    if box.label:
        shapes.append(Text(x + PAD + _width(box.title, 13, bold=True) + 8, at, box.label, 12, edge))
    for number, line in enumerate(_inner(box), 1):
        shapes.append(Text(x + PAD, at + number * LINE + 2, line, 12, FAINT))
    top = y + PAD + TITLE + LINE * len(_inner(box)) + 6
    above: list[tuple[float, float]] = []
    for rank in box.children:
        wanted = [_size(b) for b in rank]
        tall = max(h for _, h in wanted)
        # A rank fills the box: what is left over is shared.
        spare = (width - 2 * PAD - sum(w for w, _ in wanted) - PAD * (len(rank) - 1)) / len(rank)
        left = x + PAD
        heads, tails = [], []
        for child, (wide, _) in zip(rank, wanted, strict=True):
            _place(child, left, top, wide + spare, tall, shapes)
            heads.append((left + (wide + spare) / 2, top))
            tails.append((left + (wide + spare) / 2, top + tall))
            left += wide + spare + PAD
        shapes += _joined(above, heads)
        above = tails
        top += tall + GAP


def _joined(tails: list[tuple[float, float]], heads: list[tuple[float, float]]) -> list[Shape]:
    """Arrows from one rank to the next, along right angles."""
    arrows: list[Shape] = []
    for x, y in tails:
        for to_x, to_y in heads:
            middle = (y + to_y) / 2
            bend = ((x, middle), (to_x, middle)) if abs(x - to_x) > 0.5 else ()
            arrows.append(Arrow(((x, y), *bend, (to_x, to_y))))
    return arrows


def boxes(shown: Sequence[Box]) -> Drawing:
    """Boxes from left to right, what goes in above the first, what comes out below the last."""
    shapes: list[Shape] = []
    margin, arrow = 20.0, 46.0
    x, tallest = margin, max(_size(b)[1] for b in shown)
    top = margin + arrow
    before: Box | None = None
    for box in shown:
        width, height = _size(box)
        if before is not None:
            label = before.gives
            gap = _width(label, 12) + 34
            y = top + 34
            shapes.append(Arrow(((x, y), (x + gap, y)), INK))
            shapes.append(Text(x + gap / 2 - 3, y - 8, label, 12, anchor="middle"))
            x += gap
        _place(box, x, top, width, height, shapes)
        if before is None and box.takes:
            shapes.append(Arrow(((x + width / 2, margin + 14), (x + width / 2, top)), INK))
            shapes.append(Text(x + width / 2 + 12, margin + 28, box.takes, 12))
        if box is shown[-1] and box.gives:
            end = top + height
            shapes.append(Arrow(((x + width / 2, end), (x + width / 2, end + 34)), INK))
            shapes.append(Text(x + width / 2 + 12, end + 24, box.gives, 12))
        before = box
        x += width
    bottom = top + tallest + arrow + 10
    right = legend(margin, bottom, (("sequence", SEQUENCE), ("stream", STREAM)), shapes)
    return Drawing(max(x, right) + margin, bottom + 12 + margin, shapes)


def legend(x: float, y: float, entries: Sequence[tuple[str, str]], shapes: list[Shape]) -> float:
    """What the kinds of boxes mean, in one line from x on; returns where it ends."""
    for kind, meaning in entries:
        shapes.append(Rect(x, y, 16, 12, *COLOURS[kind]))
        shapes.append(Text(x + 23, y + 10, meaning, 11, FAINT))
        x += 40 + _width(meaning, 11)
    return x
