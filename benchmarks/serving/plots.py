"""A plot of listeners against first audio and underruns, the modes side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Measured(Protocol):
    """What is drawn of one number of listeners."""

    mode: str
    listeners: int
    seconds: float
    first_p95: float
    underruns: int


def plot(points: Sequence[Measured], path: Path) -> None:
    """Draw and write it; needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (first, dry) = pyplot.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for mode, marker in zip(dict.fromkeys(p.mode for p in points), "osD^v*", strict=False):
        of_mode = sorted((p for p in points if p.mode == mode), key=lambda p: p.listeners)
        numbers = [p.listeners for p in of_mode]
        first.plot(numbers, [1e3 * min(p.first_p95, 60.0) for p in of_mode], marker=marker, ms=4, label=mode)
        rates = [60 * p.underruns / p.seconds / p.listeners for p in of_mode]
        dry.plot(numbers, rates, marker=marker, ms=4)
    first.axhline(250, color="grey", lw=0.8, ls="--")
    first.set_yscale("log")
    first.set_yticks([25, 50, 100, 250, 500, 1000, 2000, 5000, 10000])
    first.yaxis.set_major_formatter("{x:g}")
    first.minorticks_off()
    first.set_ylabel("first audio, 95th percentile, ms")
    dry.set_yscale("symlog", linthresh=0.1)
    dry.set_ylim(bottom=0)
    dry.set_ylabel("underruns a listener and minute")
    for axes in (first, dry):
        axes.set_xlabel("listeners")
        axes.grid(alpha=0.3)
    first.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    pyplot.close(figure)
