"""Measuring many files: in several processes, and with a cache that survives an interruption."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Protocol, TypeVar

from polyvox.quality import distances, instruments, pitch, words
from polyvox.quality.instruments import INSTRUMENTS, Measurement, Values

T = TypeVar("T")


class Track(Protocol):
    """Passes items on and shows how far they are; `tqdm.tqdm` is one."""

    def __call__(self, items: Iterable[T], title: str, total: int, /) -> Iterable[T]:
        """The same items, one by one."""


def untracked(items: Iterable[T], title: str, total: int, /) -> Iterable[T]:
    """Shows nothing."""
    return items


def digest(*parts: bytes | str | Path) -> str:
    """A short name for what the parts hold: bytes, text, files, or folders with all the files in them."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            found = sorted(part.rglob("*")) if part.is_dir() else [part]
            for file in found:
                if file.is_file() and file.suffix != ".pyc":
                    total.update(file.name.encode() + b"\0" + file.read_bytes())
        else:
            total.update(part.encode() if isinstance(part, str) else part)
    return total.hexdigest()[:10]


def measure(
    wanted: Iterable[Measurement], folder: Path, jobs: int, title: str, track: Track = untracked
) -> dict[Measurement, Values]:
    """Measure, taking from the cache what it has; each clip's results are kept as soon as they are there.

    Args:
        wanted: what to measure; every file lies below `folder`.
        folder: where the cache lies.
        jobs: processes; with 1, this one.
        title: for people, while it runs.
        track: shows how many clips are done.
    """
    code = digest(*(Path(str(module.__file__)) for module in (instruments, distances, words, pitch)))
    table = folder / f"measured-{code}.jsonl"
    known = _known(table)
    keys = {m: m.key(folder) for m in wanted}
    groups: dict[str, list[Measurement]] = defaultdict(list)
    for m, key in keys.items():
        if key not in known:
            groups[m.clip].append(m)
    work = list(groups.values())
    if work:
        table.parent.mkdir(parents=True, exist_ok=True)
        with table.open("a", encoding="utf-8") as out:
            out.write("\n")
            for group, values in zip(work, track(_run(work, jobs), title, len(work)), strict=True):
                found = {keys[m]: v for m, v in zip(group, values, strict=True)}
                known.update(found)
                out.write(json.dumps(found, ensure_ascii=False) + "\n")
                out.flush()
    return {m: known[key] for m, key in keys.items()}


def _known(table: Path) -> dict[str, Values]:
    known: dict[str, Values] = {}
    if table.exists():
        for line in table.read_text("utf-8").splitlines():
            try:
                known.update(json.loads(line))
            except ValueError:
                continue  # a line that an interruption cut short: its clip is measured again
    return known


def _one(group: list[Measurement]) -> list[Values]:
    return [INSTRUMENTS[m.instrument](m) for m in group]


def _run(work: list[list[Measurement]], jobs: int) -> Iterator[list[Values]]:
    if jobs <= 1:
        yield from map(_one, work)
        return
    with _one_thread_each(), ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(_one, work)


@contextlib.contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes started in here compute with one thread: two in one call gain nothing, and many clips wait."""
    name = "OMP_NUM_THREADS"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
