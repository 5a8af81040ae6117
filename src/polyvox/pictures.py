"""Pictures: nested boxes as SVG or PNG, and timelines.

The boxes are laid out here into rectangles, texts and arrows, which need nothing; SVG is those as text. Only PNG and
timelines need matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape, quoteattr

from polyvox.errors import MissingExtraError

if TYPE_CHECKING:
    from polyvox.tracing import Span

INK, FAINT = "#1d2733", "#5b6875"
COLOURS = {
    "addon": ("#ffffff", "#9aa7b4"),
    "sequence": ("#e8f0fb", "#3f72af"),
    "stream": ("#e9f6ee", "#2f8f5b"),
}
"""Fill and edge of each kind of box."""

PAD, GAP, LINE, TITLE = 14.0, 26.0, 17.0, 20.0
WIDEST_LINE = 46
"""Characters after which a box's line is broken."""


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


@dataclass(frozen=True, slots=True)
class _Rect:
    x: float
    y: float
    width: float
    height: float
    fill: str
    edge: str


@dataclass(frozen=True, slots=True)
class _Text:
    x: float
    y: float
    text: str
    size: float = 12.0
    colour: str = INK
    bold: bool = False
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class _Arrow:
    points: tuple[tuple[float, float], ...]
    colour: str = FAINT


_Shape = _Rect | _Text | _Arrow


def _width(text: str, size: float = 12.0, *, bold: bool = False) -> float:
    """About how wide a sans-serif text is set: no font is at hand to measure, so a little generous."""
    return len(text) * size * (0.6 if bold else 0.55)


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


def _place(box: Box, x: float, y: float, width: float, height: float, shapes: list[_Shape]) -> None:
    fill, edge = COLOURS.get(box.kind, COLOURS["addon"])
    shapes.append(_Rect(x, y, width, height, fill, edge))
    at = y + PAD + 9
    shapes.append(_Text(x + PAD, at, box.title, 13, bold=True))
    if box.label:
        shapes.append(_Text(x + PAD + _width(box.title, 13, bold=True) + 8, at, box.label, 12, edge))
    for number, line in enumerate(_inner(box), 1):
        shapes.append(_Text(x + PAD, at + number * LINE + 2, line, 12, FAINT))
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


def _joined(tails: list[tuple[float, float]], heads: list[tuple[float, float]]) -> list[_Shape]:
    """Arrows from one rank to the next, along right angles."""
    arrows: list[_Shape] = []
    for x, y in tails:
        for to_x, to_y in heads:
            middle = (y + to_y) / 2
            bend = ((x, middle), (to_x, middle)) if abs(x - to_x) > 0.5 else ()
            arrows.append(_Arrow(((x, y), *bend, (to_x, to_y))))
    return arrows


def _layout(boxes: Sequence[Box]) -> tuple[float, float, list[_Shape]]:
    """Boxes from left to right, what goes in above the first, what comes out below the last."""
    shapes: list[_Shape] = []
    margin, arrow = 20.0, 46.0
    x, tallest = margin, max(_size(b)[1] for b in boxes)
    top = margin + arrow
    before: Box | None = None
    for box in boxes:
        width, height = _size(box)
        if before is not None:
            label = before.gives
            gap = _width(label, 12) + 34
            y = top + 34
            shapes.append(_Arrow(((x, y), (x + gap, y)), INK))
            shapes.append(_Text(x + gap / 2 - 3, y - 8, label, 12, anchor="middle"))
            x += gap
        _place(box, x, top, width, height, shapes)
        if before is None and box.takes:
            shapes.append(_Arrow(((x + width / 2, margin + 14), (x + width / 2, top)), INK))
            shapes.append(_Text(x + width / 2 + 12, margin + 28, box.takes, 12))
        if box is boxes[-1] and box.gives:
            end = top + height
            shapes.append(_Arrow(((x + width / 2, end), (x + width / 2, end + 34)), INK))
            shapes.append(_Text(x + width / 2 + 12, end + 24, box.gives, 12))
        before = box
        x += width
    bottom = top + tallest + arrow + 10
    at = margin
    for kind, meaning in (("sequence", "runs once over the whole"), ("stream", "runs chunk by chunk, on demand")):
        shapes.append(_Rect(at, bottom, 16, 12, *COLOURS[kind]))
        shapes.append(_Text(at + 23, bottom + 10, meaning, 11, FAINT))
        at += 40 + _width(meaning, 11)
    return max(x, at) + margin, bottom + 12 + margin, shapes


def svg(boxes: Sequence[Box]) -> str:
    """The boxes as one SVG picture: plain shapes and texts on white, without scripts, fonts or links."""
    width, height, shapes = _layout(boxes)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    for s in shapes:
        if isinstance(s, _Rect):
            out.append(
                f'<rect x="{s.x:.1f}" y="{s.y:.1f}" width="{s.width:.1f}" height="{s.height:.1f}" rx="6"'
                f' fill="{s.fill}" stroke="{s.edge}" stroke-width="1.2"/>'
            )
        elif isinstance(s, _Arrow):
            # The tip is a shape of its own: not every viewer colours markers.
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in s.points)
            out.append(f'<polyline points="{line}" fill="none" stroke="{s.colour}" stroke-width="1.4"/>')
            tip = " ".join(f"{x:.1f},{y:.1f}" for x, y in _tip(s))
            out.append(f'<polygon points="{tip}" fill="{s.colour}"/>')
        else:
            bold = ' font-weight="bold"' if s.bold else ""
            anchor = "" if s.anchor == "start" else f" text-anchor={quoteattr(s.anchor)}"
            out.append(
                f'<text x="{s.x:.1f}" y="{s.y:.1f}" font-size="{s.size:g}" fill="{s.colour}"{bold}{anchor}'
                f' xml:space="preserve">{escape(s.text)}</text>'
            )
    return "\n".join([*out, "</svg>", ""])


def _tip(arrow: _Arrow) -> list[tuple[float, float]]:
    (x0, y0), (x, y) = arrow.points[-2:]
    length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5 or 1.0
    dx, dy = (x - x0) / length, (y - y0) / length
    return [(x, y), (x - 8 * dx - 3.5 * dy, y - 8 * dy + 3.5 * dx), (x - 8 * dx + 3.5 * dy, y - 8 * dy - 3.5 * dx)]


def _matplotlib(purpose: str) -> Any:
    try:
        import matplotlib
    except ImportError:
        raise MissingExtraError("matplotlib", "plot", purpose) from None
    matplotlib.use("Agg")  # files only: works without a display
    import matplotlib.pyplot as plt

    return plt


def png(boxes: Sequence[Box], path: str | Path | Any) -> None:
    """The same picture as `svg`, as a PNG file (a path or a file open for writing).

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    plt = _matplotlib("drawing PNG files")
    from matplotlib.patches import FancyBboxPatch, Polygon

    width, height, shapes = _layout(boxes)
    figure = plt.figure(figsize=(width / 96, height / 96), dpi=192)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    for order, s in enumerate(shapes):
        if isinstance(s, _Rect):
            style = "round,pad=0,rounding_size=6"
            axes.add_patch(
                FancyBboxPatch((s.x, s.y), s.width, s.height, style, fc=s.fill, ec=s.edge, lw=0.9, zorder=order)
            )
        elif isinstance(s, _Arrow):
            axes.plot(*zip(*s.points, strict=True), color=s.colour, lw=1.05, zorder=order, solid_joinstyle="miter")
            axes.add_patch(Polygon(_tip(s), fc=s.colour, ec="none", zorder=order))
        else:
            where = {"start": "left", "middle": "center"}[s.anchor]
            weight = "bold" if s.bold else "normal"
            # 96 pixels are 72 points; DejaVu, matplotlib's font, runs wider than Helvetica.
            points = s.size * 0.75 * 0.9
            axes.text(s.x, s.y, _plain(s.text), fontsize=points, color=s.colour, weight=weight, ha=where, zorder=order)
    figure.savefig(path, format="png", facecolor="white")
    plt.close(figure)


def _plain(text: str) -> str:
    """A dollar sign would begin a formula."""
    return text.replace("$", r"\$")


PALETTE = ("#3f72af", "#e08b3d", "#2f8f5b", "#8a5fbf", "#3aa0a8", "#b08a2e", "#6b7785", "#7ba23f")


def timeline(
    spans: Sequence[Span], path: str | Path | Any, title: str = "", rate: Mapping[str, str] | None = None
) -> None:
    """Who worked when: lanes for the text, the networks and signal stages; below, how much audio the listener had.

    Args:
        spans: a trace's; those on the tracks `text`, `networks` and `signal` are work, marks on the track `chunks` with
            the detail `seconds` are audio handed to the listener.
        path: a path or a file open for writing.
        title: stands above.
        rate: what to say beside a lane, by its name, such as its share.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    plt = _matplotlib("drawing a timeline")
    work = [s for s in spans if s.track != "chunks"]
    chunks = [s for s in spans if s.track == "chunks" and s.details.get("seconds")]
    lanes = list(dict.fromkeys(s.name for s in sorted(work, key=lambda s: (s.track != "text", s.start))))
    end = max((s.end for s in spans), default=0.0) * 1e3 or 1.0
    figure, (top, low) = plt.subplots(
        2, 1, sharex=True, figsize=(11, 2.6 + 0.42 * len(lanes)), dpi=150,
        gridspec_kw={"height_ratios": [max(1.0, 0.42 * len(lanes)), 1.5], "hspace": 0.08}, layout="constrained",
    )  # fmt: skip
    for lane, name in enumerate(lanes):
        bars = [(s.start * 1e3, max((s.end - s.start) * 1e3, end / 1500)) for s in work if s.name == name]
        top.broken_barh(bars, (lane - 0.34, 0.68), facecolors=PALETTE[lane % len(PALETTE)], edgecolor="white", lw=0.4)
        if rate and name in rate:
            top.annotate(
                rate[name], (1, lane), xycoords=("axes fraction", "data"), xytext=(8, 0), textcoords="offset points",
                va="center", fontsize=9, color=FAINT,
            )  # fmt: skip
    top.set_yticks(range(len(lanes)), [_plain(name) for name in lanes], fontsize=10)
    top.set_ylim(len(lanes) - 0.4, -0.6)
    top.set_xlim(0, end * 1.015)
    if title:
        top.set_title(_plain(title), loc="left", fontsize=12, color=INK, pad=10)
    _audio(low, chunks, end)
    for axes in (top, low):
        axes.grid(axis="x", color="#e6eaee", lw=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(colors=FAINT, length=0)
        for side in axes.spines.values():
            side.set_visible(False)
        if chunks:
            axes.axvline(chunks[0].end * 1e3, color="#c0504d", lw=1.3, ls=(0, (4, 3)))
    top.tick_params(axis="y", colors=INK)
    figure.savefig(path, format="png", facecolor="white")
    plt.close(figure)


def _audio(axes: Any, chunks: Iterable[Span], end: float) -> None:
    """How many seconds of audio the listener had been given by then."""
    times, amounts, total = [0.0], [0.0], 0.0
    for chunk in chunks:
        total += chunk.details["seconds"]
        times.append(chunk.end * 1e3)
        amounts.append(total)
    axes.step([*times, end], [*amounts, total], where="post", color=INK, lw=1.4)
    axes.fill_between([*times, end], [*amounts, total], step="post", color="#dfe6ee")
    axes.plot(times[1:], amounts[1:], "o", color=INK, ms=4)
    axes.set_ylim(0, (total or 1.0) * 1.25)
    axes.set_ylabel("audio given, s", color=FAINT, fontsize=9)
    axes.set_xlabel("ms since the text was given", color=FAINT, fontsize=9)
    if len(times) > 1:
        late = times[1] > 0.6 * end
        axes.annotate(
            f"first audio after {times[1]:.0f} ms", (times[1], total * 1.12), xytext=(-6 if late else 6, 0),
            textcoords="offset points", ha="right" if late else "left", va="center", color="#c0504d", fontsize=9,
        )  # fmt: skip


def alignment(
    attention: Any, path: str | Path | Any, symbols: Sequence[str], title: str = "", faults: Any = None
) -> None:
    """What an attention decoder attended to: frames from left to right, tokens from bottom to top.

    Args:
        attention: [frames, tokens], a row's sum is 1.
        path: a path or a file open for writing.
        symbols: the tokens' symbols, for the axis.
        title: stands above.
        faults: [frames], not 0 where a guard left a fault: marked.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    plt = _matplotlib("drawing an alignment")
    frames, tokens = attention.shape
    figure, axes = plt.subplots(figsize=(min(16, 3 + frames / 60), min(14, 2 + tokens / 8)), dpi=120)
    axes.imshow(attention.T, origin="lower", aspect="auto", interpolation="nearest", cmap="magma", vmin=0, vmax=1)
    axes.set_yticks(range(tokens), [_plain(s) for s in symbols], fontsize=6)
    axes.tick_params(colors=FAINT, length=0)
    axes.set_xlabel("frames", color=FAINT, fontsize=9)
    for frame, kind in enumerate([] if faults is None else faults.tolist()):
        if kind:
            axes.axvline(frame, color="#ff5050", lw=1.2)
    if title:
        axes.set_title(_plain(title), loc="left", fontsize=10, color=INK)
    figure.savefig(path, format="png", facecolor="white", bbox_inches="tight")
    plt.close(figure)
