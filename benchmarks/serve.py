"""The service as its clients meet it: how many real-time listeners it keeps over HTTP, by order and batching.

    python benchmarks/serve.py                      # a quarter of an hour; use nothing else on the machine
    python benchmarks/serve.py --quick              # two modes, one voice, short
    python benchmarks/serve.py --plot docs/images/serve.png --json serve.json

Asked for, on two cores: at least 1.5 times the listeners of a first-come-first-served pool, at least 60% of what the
networks alone could carry, and first audio over HTTP at most 25 ms above the library's own.

`polyvox serve` runs in a process of its own, and all listeners in one other, on the same processors; neither is pinned
unless `--server-cpus` says so. A listener asks for a text (`wav`, one connection, kept), begins to play when the first
audio comes, reads on so that it has one to two seconds in hand, hears to the end, and asks for the next text. It has an
underrun when what came has been heard and the answer is not over. Admission is taken out, so that what each mode can
do shows; benchmarks/overload.py has it in. `kept`: no underrun at all, and 95 of 100 had their first audio within
250 ms, those included that still wait. The greatest number that is kept is found by a ramp, then by halving.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import polyvox
from common import percentile, row, table
from serving.listeners import FIRST_AUDIO, Crowd, Line, Window, between
from serving.networks import alone
from serving.plots import plot
from serving.server import Server, busy, saved, served, setting, within
from serving.texts import MIX, SENTENCES

MODES: dict[str, dict[str, object]] = {
    "as shipped": {},
    "no batching": {"COMPUTE__BATCHING": "false"},
    "in turn, no batching": {"COMPUTE__BATCHING": "false", "COMPUTE__ORDER": "turn"},
    "first come, first served": {"COMPUTE__BATCHING": "false", "COMPUTE__ORDER": "arrival"},
}
POOL = "first come, first served"
ALL = ("kathleen", "mix", "idle")


@dataclass
class Point:
    """One number of listeners, for some seconds."""

    voices: str
    mode: str
    listeners: int
    seconds: float
    first_p50: float
    first_p95: float
    underruns: int
    silence: float
    server: float
    clients: float
    others: float
    kept: bool


@dataclass
class Pace:
    """How long things take, in seconds."""

    ramp: float
    settle: float
    measure: float
    budget: float


FULL, QUICK = Pace(20.0, 3.0, 10.0, 100.0), Pace(12.0, 2.0, 6.0, 40.0)


async def idle(server: Server, names: Sequence[str], repeat: int) -> list[tuple[str, float, float, float]]:
    """First audio of the library, over a kept connection and over a new one, one after another; medians."""
    found = []
    for name in names:
        base, _, speaker = name.partition("/")
        voice = polyvox.load(base)
        text = SENTENCES[name][1]
        own, kept, new = [], [], []
        line = await Line.open(server.port)
        line.eager = True
        for i in range(repeat + 3):
            began = time.monotonic()
            chunks = voice.stream(text, speaker=speaker or None)
            next(chunks)
            own.append(time.monotonic() - began)
            chunks.close()
            heard = await line.ask(name, text)
            assert heard.first is not None, heard
            kept.append(heard.first - heard.asked)
            began = time.monotonic()
            other = await Line.open(server.port)
            other.eager = True
            heard = await other.ask(name, text)
            assert heard.first is not None
            new.append(heard.first - began)
            other.close()
            if i < 3:
                own.clear(), kept.clear(), new.clear()
        line.close()
        voice.close()
        found.append((name, *(1e3 * percentile(each, 0.5) for each in (own, kept, new))))
    return found


class Search:
    """The greatest number of listeners that one server keeps."""

    def __init__(self, server: Server, label: str, mode: str, voices: Sequence[str], guess: float, pace: Pace) -> None:
        self._server, self._label, self._mode, self._voices = server, label, mode, voices
        self._guess, self._pace = guess, pace
        self._seed = 0
        self.points: list[Point] = []

    async def run(self) -> int:
        """Find it."""
        until = time.monotonic() + self._pace.budget
        low, high = 0, None
        at = max(1, round(0.8 * await self._ramp()))
        while time.monotonic() < until and (high is None or high - low > max(1, 0.04 * high)):
            kept = (await self._at(at)).kept
            low, high = (at, high) if kept else (low, at)
            # What the ramp found is a guess: up and down from there until both ends are known.
            at = max(at + 1, round(1.15 * at)) if high is None else (low + high) // 2 if low else round(0.85 * at)
            if at < 1:
                break
        return low

    def _crowd(self) -> Crowd:
        self._seed += 1
        return Crowd(self._server.port, self._voices, self._seed)

    async def _ramp(self) -> int:
        """More and more listeners, until one runs dry or waits."""
        crowd = self._crowd()
        step = max(1, round(self._guess / self._pace.ramp))
        await crowd.grow(max(1, round(0.3 * self._guess)), 3.0)
        try:
            while True:
                await crowd.grow(step, 1.0)
                now = time.monotonic()
                met = between(crowd, now - 2.0, now)
                if met.silences or met.cut or (len(met.first) > 5 and met.p95 > FIRST_AUDIO):
                    return len(crowd)
        finally:
            await self._gone(crowd)

    async def _at(self, listeners: int) -> Point:
        """So many listeners for a while; for less if they are not kept."""
        crowd, pace = self._crowd(), self._pace
        try:
            await crowd.grow(listeners, 4.0)
            await asyncio.sleep(pace.settle)
            start, cpu, own, others = time.monotonic(), self._server.cpu(), time.process_time(), busy()
            while (now := time.monotonic()) < start + pace.measure:
                await asyncio.sleep(0.25)
                if now > start + 0.5 * pace.measure and not between(crowd, start, now).kept:
                    break
            now = time.monotonic()
            met = between(crowd, start, now)
            took = now - start
            used = (self._server.cpu() - cpu) / took, (time.process_time() - own) / took
            point = self._point(listeners, met, took, (*used, (busy() - others) / took - sum(used)))
        finally:
            await self._gone(crowd)
        self.points.append(point)
        return point

    def _point(self, listeners: int, met: Window, took: float, used: tuple[float, float, float]) -> Point:
        half = percentile(met.first, 0.5) if met.first else float("inf")
        return Point(
            self._label, self._mode, listeners, took, half, met.p95, len(met.silences), sum(met.silences),
            *used, met.kept,
        )  # fmt: skip

    async def _gone(self, crowd: Crowd) -> None:
        await crowd.leave()
        await asyncio.sleep(0.5)


def show(point: Point) -> None:
    """One row."""
    row(
        point.voices,
        point.mode,
        point.listeners,
        "yes" if point.kept else "no",
        f"{point.underruns} times, {point.silence:.2f} s",
        round(1e3 * point.first_p50),
        round(1e3 * min(point.first_p95, 99)),
        f"{point.server:.2f}",
        f"{point.clients:.3f}",
        f"{point.others:.2f}",
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two modes, one voice, shorter")
    parser.add_argument("--only", nargs="+", choices=ALL, default=list(ALL), help="some of it")
    parser.add_argument("--modes", nargs="+", choices=list(MODES), help="some of the modes")
    parser.add_argument("--at", type=int, nargs="+", help="these numbers of listeners, instead of a search")
    parser.add_argument("--set", nargs="*", default=[], help="settings of all servers, as streams.longest=0.02")
    parser.add_argument("--server-cpus", type=int, nargs="+", help="pin the server to these processors")
    parser.add_argument("--json", help="where to write all that was found")
    parser.add_argument("--plot", help="where to draw it")
    args = parser.parse_args()
    pace = QUICK if args.quick else FULL
    cpus = set(args.server_cpus) if args.server_cpus else None
    given = dict(map(setting, args.set))
    slots = len(cpus or os.sched_getaffinity(0))
    print(f"{slots} slots; load before: {os.getloadavg()[0]:.1f}; the server is {'pinned' if cpus else 'not pinned'}\n")
    found: dict[str, object] = {}
    random.seed(1)

    if "idle" in args.only:
        names = ["kathleen"] if args.quick else [*MIX]
        with served({"VOICES__PINNED": '["kathleen"]', **given}, cpus=cpus) as server:
            rows = within(server, 300, idle(server, names, 10 if args.quick else 25))
        with table("first audio, ms", "library", "HTTP", "HTTP, new connection", "more than the library"):
            for name, own, kept, new in rows:
                row(name, round(own, 1), round(kept, 1), round(new, 1), round(kept - own, 1))
        print()
        found["idle"] = rows

    points: list[Point] = []
    best: dict[tuple[str, str], int] = {}
    carried: dict[str, tuple[float, float]] = {}
    for label in ("kathleen",) if args.quick else ("kathleen", "mix"):
        if label not in args.only:
            continue
        voices = MIX if label == "mix" else (label,)
        carried[label] = alone(voices, slots, 3.0 if args.quick else 6.0)
        modes = args.modes or ([*MODES] if label == "kathleen" and not args.quick else ["as shipped", POOL])
        for mode in modes:
            pinned = ", ".join(f'"{name}"' for name in dict.fromkeys(v.partition("/")[0] for v in voices))
            with served({"VOICES__PINNED": f"[{pinned}]", **given, **MODES[mode]}, guarded=False, cpus=cpus) as server:
                search = Search(server, label, mode, voices, 0.6 * carried[label][0], pace)
                if args.at:
                    for number in args.at:
                        within(server, 300, search._at(number))
                else:
                    best[label, mode] = within(server, 600, search.run())
                points += search.points

    if points:
        with table(
            "voices", "mode", "listeners", "kept", "ran dry", "first audio p50, ms", "p95, ms", "server, cores",
            "clients, cores", "others, cores",
        ):  # fmt: skip
            for point in sorted(points, key=lambda p: (p.voices, [*MODES].index(p.mode), p.listeners)):
                show(point)
        print()
    if best:
        with table("voices", "mode", "listeners kept", "against first come, first served", "of the networks alone"):
            for (label, mode), number in best.items():
                pool = best.get((label, POOL))
                row(
                    label,
                    mode,
                    number,
                    f"{number / pool:.2f}" if pool else "-",
                    f"{number / carried[label][0]:.0%}",
                )
        print()
        for label, (wall, cpu) in carried.items():
            print(f"networks alone, {label}: {wall:.0f} s of audio a second, {cpu:.0f} s a processor second")
    found["points"] = [asdict(p) for p in points]
    found["best"] = [[*key, value] for key, value in best.items()]
    found["alone"] = carried
    saved(args.json, found)
    if args.plot:
        plot([p for p in points if p.voices == "kathleen"] or points, Path(args.plot))


if __name__ == "__main__":
    main()
