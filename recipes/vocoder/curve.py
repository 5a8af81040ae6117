"""Draw the vocoder's learning curve: PESQ of each speaker's dev clips against minutes of training.

    python -m recipes.vocoder.curve work/vocoder/curve.jsonl --out docs/voices/learning-curve.png

Several files are stages of one training, one after the other.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib as mpl

SUFFIX = "_pesq"


def stages(files: list[Path]) -> tuple[list[dict[str, float]], list[float]]:
    """All rows with minutes counted from the first stage's start, and where the later stages begin."""
    rows: list[dict[str, float]] = []
    starts: list[float] = []
    before = 0.0
    for file in files:
        own = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        rows += [{**row, "minute": before + row["minute"]} for row in own]
        before += own[-1]["minute"]
        starts.append(before)
    return rows, starts[:-1]


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, help="curve.jsonl of each stage")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    rows, starts = stages(args.files)
    figure, axes = plt.subplots(figsize=(8, 3.6), dpi=150, layout="constrained")
    for name in [n for n in rows[-1] if n.endswith(SUFFIX)]:
        points = [(r["minute"], r[name]) for r in rows if name in r]
        axes.plot(*zip(*points, strict=True), marker="o", ms=3, lw=1.4, label=name.removesuffix(SUFFIX))
    for start in starts:
        axes.axvline(start, color="#9aa5b1", lw=1, ls=(0, (4, 3)))
    axes.set_xlabel("minutes of training, one thread")
    axes.set_ylabel("PESQ-WB, 8 dev clips each")
    axes.grid(color="#e6eaee")
    axes.legend(frameon=False, ncols=4, loc="lower right")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out)


if __name__ == "__main__":
    main()
