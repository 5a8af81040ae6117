"""Finds which word each phoneme of a phrase belongs to.

espeak reads phrases, not words: it joins some words into one group of phonemes ("of the") and makes
several groups of others. Every word read alone gives the pattern that its phonemes in the phrase resemble.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from unicodedata import combining

_STRESS = str.maketrans("", "", "ˈˌ")
# How many words espeak is expected to join into one group, and groups that one unexpected split makes.
_MAX_JOINED = 5
_MAX_SPLIT = 3
# How many units and groups together may lie between two that are the same, before all the rest is searched.
_MAX_STRETCH = 12
# How far from an even share the search looks, in groups.
_NEAR = 10
_INFINITE = 1 << 30

# The phonemes of one expected group, and the index of its word.
_Unit = tuple[str, int]


def align(groups: Sequence[str], alone: Sequence[Sequence[str]]) -> list[list[int]]:
    """Return for every symbol of every group the index of its word; never falling from left to right.

    `groups`: what the whole phrase became, without empty groups. `alone[i]`: the groups of word i read
    alone, none for a word that says nothing.
    """
    # A unit is one expected group; a word read as several groups is several units.
    units = [(_plain(unit), word) for word, parts in enumerate(alone) for unit in parts]
    if not units:
        return [[0] * len(group) for group in groups]
    if len(units) == len(groups):
        return _one_to_one(groups, units)
    # Most of a phrase is read as its words are alone: only the short stretches between need a search.
    plain = [_plain(group) for group in groups]
    owners: list[list[int]] = []
    row = column = 0
    while row < len(units) and column < len(groups):
        if units[row][0] == plain[column]:
            owners.append([units[row][1]] * len(groups[column]))
            row, column = row + 1, column + 1
            continue
        used, made = _until_same(units, plain, row, column)
        stretch = groups[column : column + made]
        owners += _search(stretch, units[row : row + used], units[max(row - 1, 0)][1])
        row, column = row + used, column + made
    return owners + [[units[max(row - 1, 0)][1]] * len(group) for group in groups[column:]]


def _until_same(units: Sequence[_Unit], plain: Sequence[str], row: int, column: int) -> tuple[int, int]:
    """Return the fewest units and groups, at least one of each, before the two are the same again."""
    for ahead in range(2, _MAX_STRETCH + 1):
        for made in range(1, ahead):
            used = ahead - made
            here, there = row + used, column + made
            if here < len(units) and there < len(plain) and units[here][0] == plain[there]:
                return used, made
            if here == len(units) and there == len(plain):
                return used, made
    return len(units) - row, len(plain) - column


def _plain(group: str) -> str:
    return group.translate(_STRESS)


def _one_to_one(groups: Sequence[str], units: Sequence[_Unit]) -> list[list[int]]:
    return [[word] * len(group) for group, (_, word) in zip(groups, units, strict=True)]


def _search(groups: Sequence[str], units: Sequence[_Unit], before: int) -> list[list[int]]:
    """Match groups to units at the least edit distance; `before` owns what no unit explains."""
    if not groups:
        return []
    if not units:
        return [[before] * len(group) for group in groups]
    plain = [_plain(group) for group in groups]
    rows, columns = len(units), len(groups)
    cost = [[_INFINITE] * (columns + 1) for _ in range(rows + 1)]
    step = [[(0, 0)] * (columns + 1) for _ in range(rows + 1)]
    cost[0][0] = 0

    def offer(row: int, column: int, used: int, made: int, price: int) -> None:
        total = cost[row][column] + price
        if total < cost[row + used][column + made]:
            cost[row + used][column + made] = total
            step[row + used][column + made] = (used, made)

    for row in range(rows + 1):
        near = row * columns // rows
        for column in range(max(0, near - _NEAR), min(columns, near + _NEAR) + 1):
            if cost[row][column] == _INFINITE:
                continue
            if row < rows:  # a word that the phrase swallows
                offer(row, column, 1, 0, 2 * len(units[row][0]) + 2)
            if column < columns:  # a group that no word explains
                offer(row, column, 0, 1, 2 * len(plain[column]) + 2)
            if row == rows or column == columns:
                continue
            joined = ""
            for used in range(1, min(_MAX_JOINED, rows - row) + 1):
                joined += units[row + used - 1][0]
                offer(row, column, used, 1, _distance(joined, plain[column]) + (used > 1))
            joined = plain[column]
            for made in range(2, min(_MAX_SPLIT, columns - column) + 1):
                joined += plain[column + made - 1]
                offer(row, column, 1, made, _distance(units[row][0], joined) + 1)

    owners: list[list[int]] = []
    row, column = rows, columns
    while row or column:
        used, made = step[row][column]
        mine = units[row - used : row]
        for place in range(column - 1, column - made - 1, -1):
            if used > 1:
                parts = _divide(tuple(unit for unit, _ in mine), groups[place])
                owners.append([mine[part][1] for part in parts])
            else:
                owner = mine[0][1] if mine else (units[row - 1][1] if row else before)
                owners.append([owner] * len(groups[place]))
        row, column = row - used, column - made
    return owners[::-1]


@lru_cache(maxsize=16384)
def _distance(one: str, other: str) -> int:
    """Return the edit distance of two strings."""
    previous = list(range(len(other) + 1))
    for row, symbol in enumerate(one, start=1):
        current = [row]
        for column, wanted in enumerate(other):
            change = previous[column] + (symbol != wanted)
            current.append(min(change, previous[column + 1] + 1, current[column] + 1))
        previous = current
    return previous[-1]


@lru_cache(maxsize=4096)
def _divide(units: tuple[str, ...], group: str) -> tuple[int, ...]:
    """Return for each symbol of `group` which unit it belongs to; each gets a symbol if there are enough."""
    size = len(group)
    cuts = [place for place in range(size + 1) if place in (0, size) or _may_cut(group, place)]
    if len(cuts) <= len(units):
        cuts = list(range(size + 1))
    least = 1 if len(cuts) > len(units) else 0
    # best[cut]: the least cost of the units so far ending at cut, and where each of them ended.
    best: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
    for unit in units:
        following: dict[int, tuple[int, tuple[int, ...]]] = {}
        for start, (cost, ends) in best.items():
            for end in cuts:
                if end - start < least:
                    continue
                total = cost + _distance(unit, _plain(group[start:end]))
                if end not in following or total < following[end][0]:
                    following[end] = (total, (*ends, end))
        best = following
    ends = best[size][1] if size in best else tuple(size for _ in units)
    owners: list[int] = []
    for part, end in enumerate(ends):
        owners.extend([part] * (end - len(owners)))
    return tuple(owners)


def _may_cut(group: str, place: int) -> bool:
    """Whether `group` may be divided before `place`: not behind a stress mark, not before a modifier."""
    return group[place - 1] not in "ˈˌ" and group[place] != "ː" and not combining(group[place])
