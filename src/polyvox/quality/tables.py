"""Tables of figures, which are not printed without the rows that give them a meaning. Numpy only."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from polyvox.errors import QualityError
from polyvox.quality.intervals import Interval, Statistic, bootstrap, correlation, mean, percentage, ratio

NATURAL = "recording"
ANOTHER = "another take of it"
GRIFFIN_LIM = "Griffin-Lim, 60 iterations"
FORMANT = "espeak-ng formant voice"


@dataclass(frozen=True, slots=True)
class Figure:
    """One column: from the values `keys` of every clip to a number.

    Attributes:
        name: its name in the JSON file.
        title: the column's title, with the unit and which way is better.
        keys: which values of a clip it reads.
        statistic: from rows of them to one number.
        decimals: how many are printed.
    """

    name: str
    title: str
    keys: tuple[str, ...]
    statistic: Statistic = mean
    decimals: int = 2


_DNSMOS = Figure("dnsmos", "DNSMOS ↑", ("dnsmos",))
COPY = (
    Figure("pesq", "PESQ-WB ↑", ("pesq",)),
    Figure("stoi", "STOI ↑", ("stoi",), decimals=3),
    Figure("mcd", "MCD, dB ↓", ("mcd",)),
    Figure("f0", "F0 error, cents ↓", ("f0",), decimals=0),
    Figure("voicing", "voicing error, % ↓", ("voicing",), decimals=1),
    _DNSMOS,
)
SPOKEN = (
    _DNSMOS,
    Figure("mcd", "MCD, dB ↓", ("mcd",)),
    Figure("f0_correlation", "F0 correlation ↑", ("f0_correlation",)),
    Figure("length", "length / recording's", ("seconds", "natural_seconds"), ratio),
    Figure("length_correlation", "length correlation ↑", ("seconds", "natural_seconds"), correlation, 3),
)
WORDS = Figure("word_errors", "word errors, % ↓", ("errors", "words"), percentage, 1)


@dataclass
class Table:
    """Rows of figures; `anchors` are the rows without which the others say nothing."""

    name: str
    figures: tuple[Figure, ...]
    anchors: tuple[str, ...]
    rows: dict[str, dict[str, Interval]] = field(default_factory=dict)

    def add(
        self, row: str, sentences: Sequence[str], clips: Sequence[Mapping[str, float | None]], seed: int = 0
    ) -> None:
        """Add a row: every clip's values, and the sentence that each clip says. A clip without a value is left out."""
        found: dict[str, Interval] = {}
        for figure in self.figures:
            kept = [i for i, c in enumerate(clips) if all(c.get(k) is not None for k in figure.keys)]
            if kept:
                values = np.array([[clips[i][k] for k in figure.keys] for i in kept], dtype=np.float64)
                found[figure.name] = bootstrap([sentences[i] for i in kept], values, figure.statistic, seed=seed)
        self.rows[row] = found

    def check(self) -> None:
        """Refuse a table that cannot be read.

        Raises:
            QualityError: an anchor row, or one of its figures, is missing.
        """
        for anchor in self.anchors:
            missing = [f.title for f in self.figures if f.name not in self.rows.get(anchor, {})]
            if missing:
                what = f"has no {missing[0]}" if anchor in self.rows else "is missing"
                raise QualityError(f"table '{self.name}' is not printed: its anchor row '{anchor}' {what}")

    def markdown(self) -> str:
        """The table, each figure with its 95% interval below it."""
        self.check()
        lines = ["| | clips | " + " | ".join(f.title for f in self.figures) + " |"]
        lines.append("| --- " + "| ---: " * (len(self.figures) + 1) + "|")
        for name, clips, cells in self.cells():
            said = (value + (f"<br><sub>{interval}</sub>" if interval else "") for value, interval in cells)
            lines.append(f"| {name} | {clips} | " + " | ".join(said) + " |")
        return "\n".join(lines)

    def cells(self) -> Iterator[tuple[str, int, list[tuple[str, str]]]]:
        """Row by row: its name, over how many clips, and every figure and its interval as they are printed."""
        self.check()
        for name, row in self.rows.items():
            clips = max((interval.clips for interval in row.values()), default=0)
            yield name, clips, [_cell(row.get(f.name), f.decimals) for f in self.figures]

    def json(self) -> dict[str, dict[str, dict[str, float | int | None]]]:
        """Every figure of every row with its interval, as JSON has it; what is no number is None."""
        self.check()
        return {
            row: {
                name: {
                    "value": _number(interval.value),
                    "low": _number(interval.low),
                    "high": _number(interval.high),
                    "clips": interval.clips,
                    "sentences": interval.sentences,
                }
                for name, interval in figures.items()
            }
            for row, figures in self.rows.items()
        }

    def counts(self) -> str:
        """How many clips each figure of the anchor rows stands on, where they differ."""
        self.check()
        row = self.rows[self.anchors[0]]
        most = max(row.values(), key=lambda interval: interval.clips)
        fewer = [
            f"{f.title.rstrip(' ↑↓')} on {row[f.name].clips}" for f in self.figures if row[f.name].clips < most.clips
        ]
        return f"{most.clips} clips of {most.sentences} sentences" + (f"; {', '.join(fewer)}" if fewer else "")


def _number(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 5)


def _cell(interval: Interval | None, decimals: int) -> tuple[str, str]:
    """A figure, and its interval where that says more."""
    if interval is None or math.isnan(interval.value):
        return "–", ""
    low, high = f"{interval.low:.{decimals}f}", f"{interval.high:.{decimals}f}"
    return f"{interval.value:.{decimals}f}", "" if low == high else f"{low} to {high}"
