"""What pictures are made of: rectangles, texts and arrows, and how these become SVG or PNG."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from polyvox.errors import MissingExtraError

INK, FAINT = "#1d2733", "#5b6875"
COLOURS = {
    "addon": ("#ffffff", "#9aa7b4"),
    "sequence": ("#e8f0fb", "#3f72af"),
    "stream": ("#e9f6ee", "#2f8f5b"),
}
"""Fill and edge of each kind of box."""

PAD, GAP, LINE, TITLE = 14.0, 26.0, 17.0, 20.0


@dataclass(frozen=True, slots=True)
class Rect:
    """A rectangle; `opacity` is that of its fill, and without an `edge` it has none."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    edge: str = ""
    opacity: float = 1.0
    radius: float = 6.0


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text that starts, has its middle or ends at x, on the base line y."""

    x: float
    y: float
    text: str
    size: float = 12.0
    colour: str = INK
    bold: bool = False
    anchor: str = "start"


@dataclass(frozen=True, slots=True)
class Arrow:
    """A line through points, with a tip at the last one."""

    points: tuple[tuple[float, float], ...]
    colour: str = FAINT


Shape = Rect | Text | Arrow


@dataclass(frozen=True, slots=True)
class Drawing:
    """Shapes, those behind first, on a white ground of this size in pixels."""

    width: float
    height: float
    shapes: list[Shape]


def width_of(text: str, size: float = 12.0, *, bold: bool = False) -> float:
    """About how wide a sans-serif text is set: no font is at hand to measure, so a little generous."""
    return len(text) * size * (0.6 if bold else 0.55)


def svg(drawing: Drawing) -> str:
    """One SVG picture: plain shapes and texts on white, without scripts, fonts or links."""
    width, height = drawing.width, drawing.height
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}"'
        f' viewBox="0 0 {width:.0f} {height:.0f}" font-family="Helvetica, Arial, sans-serif">',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
    ]
    for s in drawing.shapes:
        if isinstance(s, Rect):
            edge = f' stroke="{s.edge}" stroke-width="1.2"' if s.edge else ""
            opacity = "" if s.opacity == 1 else f' fill-opacity="{s.opacity:g}"'
            out.append(
                f'<rect x="{s.x:.1f}" y="{s.y:.1f}" width="{s.width:.1f}" height="{s.height:.1f}" rx="{s.radius:g}"'
                f' fill="{s.fill}"{opacity}{edge}/>'
            )
        elif isinstance(s, Arrow):
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


def _tip(arrow: Arrow) -> list[tuple[float, float]]:
    (x0, y0), (x, y) = arrow.points[-2:]
    length = ((x - x0) ** 2 + (y - y0) ** 2) ** 0.5 or 1.0
    dx, dy = (x - x0) / length, (y - y0) / length
    return [(x, y), (x - 8 * dx - 3.5 * dy, y - 8 * dy + 3.5 * dx), (x - 8 * dx + 3.5 * dy, y - 8 * dy - 3.5 * dx)]


def matplotlib(purpose: str) -> Any:
    """`matplotlib.pyplot`.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise MissingExtraError("matplotlib", "plot", purpose) from None
    matplotlib.use("Agg")  # files only: works without a display
    import matplotlib.pyplot as plt

    return plt


def png(drawing: Drawing, path: str | Path | Any) -> None:
    """The same picture as `svg`, as a PNG file (a path or a file open for writing).

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    plt = matplotlib("drawing PNG files")
    from matplotlib.colors import to_rgba
    from matplotlib.patches import FancyBboxPatch, Polygon

    width, height = drawing.width, drawing.height
    figure = plt.figure(figsize=(width / 96, height / 96), dpi=192)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    for order, s in enumerate(drawing.shapes):
        if isinstance(s, Rect):
            style = f"round,pad=0,rounding_size={max(s.radius, 0.01):g}"
            fill, edge = to_rgba(s.fill, s.opacity), s.edge or "none"
            axes.add_patch(FancyBboxPatch((s.x, s.y), s.width, s.height, style, fc=fill, ec=edge, lw=0.9, zorder=order))
        elif isinstance(s, Arrow):
            axes.plot(*zip(*s.points, strict=True), color=s.colour, lw=1.05, zorder=order, solid_joinstyle="miter")
            axes.add_patch(Polygon(_tip(s), fc=s.colour, ec="none", zorder=order))
        else:
            where = {"start": "left", "middle": "center", "end": "right"}[s.anchor]
            weight = "bold" if s.bold else "normal"
            # 96 pixels are 72 points; DejaVu, matplotlib's font, runs wider than Helvetica.
            points = s.size * 0.75 * 0.9
            axes.text(s.x, s.y, plain(s.text), fontsize=points, color=s.colour, weight=weight, ha=where, zorder=order)
    figure.savefig(path, format="png", facecolor="white")
    plt.close(figure)


def plain(text: str) -> str:
    """Text for matplotlib, where a dollar sign would begin a formula."""
    return text.replace("$", r"\$")
