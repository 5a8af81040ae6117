"""Figures over many clips, with how sure they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from polyvox.tensors import Array

Statistic = Callable[[Array], float]


def mean(rows: Array) -> float:
    """Mean of rows [clips, 1]."""
    return float(rows[:, 0].mean())


def ratio(rows: Array) -> float:
    """Sum of the first column over the sum of the second, of rows [clips, 2]."""
    below = float(rows[:, 1].sum())
    return float(rows[:, 0].sum()) / below if below else float("nan")


def percentage(rows: Array) -> float:
    """`ratio` in percent."""
    return 100 * ratio(rows)


def correlation(rows: Array) -> float:
    """Pearson's correlation between the columns of rows [clips, 2]; NaN where a column does not vary."""
    a, b = (rows - rows.mean(axis=0)).T
    scale = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float(a @ b) / scale if scale > 0 else float("nan")


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure: its value, the 95% interval `low` to `high`, and over how many clips of how many sentences."""

    value: float
    low: float
    high: float
    clips: int
    sentences: int


def bootstrap(
    groups: Sequence[str],
    rows: Array,
    statistic: Statistic = mean,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Interval:
    """Percentile bootstrap (Efron, 1979; Efron and Tibshirani, 1993).

    Clips of one sentence are not independent of each other, so whole groups are drawn, with replacement.

    Args:
        groups: the sentence that each clip says.
        rows: [clips, columns], what `statistic` reads.
        statistic: from rows to one number.
        resamples: how many draws.
        seed: of the random draws.
    """
    names, owner = np.unique(np.asarray(groups), return_inverse=True)
    members = [np.flatnonzero(owner == g) for g in range(len(names))]
    random = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        drawn = random.integers(len(members), size=len(members))
        found.append(statistic(rows[np.concatenate([members[g] for g in drawn])]))
    low, high = np.nanpercentile(found, [2.5, 97.5]) if not np.all(np.isnan(found)) else (np.nan, np.nan)
    return Interval(statistic(rows), float(low), float(high), len(rows), len(names))
