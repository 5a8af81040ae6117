"""Charts: who worked when, and what an attention decoder attended to. They need matplotlib."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyvox.pictures.shapes import FAINT, INK, matplotlib, plain

if TYPE_CHECKING:
    from polyvox.tracing import Span

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
    plt = matplotlib("drawing a timeline")
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
    top.set_yticks(range(len(lanes)), [plain(name) for name in lanes], fontsize=10)
    top.set_ylim(len(lanes) - 0.4, -0.6)
    top.set_xlim(0, end * 1.015)
    if title:
        top.set_title(plain(title), loc="left", fontsize=12, color=INK, pad=10)
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
    plt = matplotlib("drawing an alignment")
    frames, tokens = attention.shape
    figure, axes = plt.subplots(figsize=(min(16, 3 + frames / 60), min(14, 2 + tokens / 8)), dpi=120)
    axes.imshow(attention.T, origin="lower", aspect="auto", interpolation="nearest", cmap="magma", vmin=0, vmax=1)
    axes.set_yticks(range(tokens), [plain(s) for s in symbols], fontsize=6)
    axes.tick_params(colors=FAINT, length=0)
    axes.set_xlabel("frames", color=FAINT, fontsize=9)
    for frame, kind in enumerate([] if faults is None else faults.tolist()):
        if kind:
            axes.axvline(frame, color="#ff5050", lw=1.2)
    if title:
        axes.set_title(plain(title), loc="left", fontsize=10, color=INK)
    figure.savefig(path, format="png", facecolor="white", bbox_inches="tight")
    plt.close(figure)
