"""The service with three times the listeners that it can keep.

    python benchmarks/overload.py                   # five minutes
    python benchmarks/overload.py --minutes 1 --voices mix

Asked for: admitted streams without an underrun, the rest refused in under 20 ms, memory flat, and all as before within
2 s after it ends.

`polyvox serve` as it is shipped, in a process of its own; all listeners in one other, on the same processors (see
benchmarks/serve.py for what a listener does). Who is refused asks again after a second, as `retry-after` says at least.
First so many listeners come that some are refused: how many hear something then is the capacity. Then come three times
as many.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from common import percentile, row, table
from serving.listeners import FIRST_AUDIO, Crowd, Line, between
from serving.server import Server, busy, saved, served, setting, within
from serving.texts import MIX, SENTENCES

TIMES = 3
SPARE = 300.0
"""Seconds for the search of the capacity and for the end, after which something hangs."""
SOON = 2.0
"""Seconds after which all has to be as before."""


@dataclass
class Result:
    """What was met. Seconds and megabytes."""

    capacity: float = 0.0
    listeners: int = 0
    seconds: float = 0.0
    heard: float = 0.0
    first: list[float] = field(default_factory=list)
    silences: list[float] = field(default_factory=list)
    when: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    finished: int = 0
    cut: int = 0
    odd: list[int] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    server: float = 0.0
    clients: float = 0.0
    others: float = 0.0
    recovery: float = 0.0
    recovered: list[float] = field(default_factory=list)
    threads: tuple[int, int] = (0, 0)
    files: tuple[int, int] = (0, 0)
    left: float = 0.0
    complaints: list[str] = field(default_factory=list)


async def capacity(server: Server, voices: Sequence[str], start: int) -> float:
    """How many hear something at once where some are refused, on average."""
    crowd = Crowd(server.port, voices, seed=7)
    try:
        await crowd.grow(start, 4.0)
        while len(crowd.found.refused) < 20:
            await crowd.grow(max(4, len(crowd) // 8), 2.0)
        await asyncio.sleep(3.0)
        heard, began = crowd.found.audio, time.monotonic()
        await asyncio.sleep(8.0)
        return (crowd.found.audio - heard) / (time.monotonic() - began)
    finally:
        await crowd.leave()


async def recovery(server: Server, voices: Sequence[str], result: Result) -> None:
    """Ask ten times a second: when was the last answer that was late or none?"""
    began = time.monotonic()
    bad = 0.0
    asks = []

    async def ask(at: float) -> float:
        nonlocal bad
        line = await Line.open(server.port)
        line.eager = True
        try:
            voice = voices[len(asks) % len(voices)]
            heard = await line.ask(voice, SENTENCES[voice][1])
            first = 99.0 if heard.first is None else heard.first - heard.asked
        except ConnectionError:
            first = 99.0
        finally:
            line.close()
        if first > FIRST_AUDIO:
            bad = max(bad, at + min(first, 0.1))
        return first

    while (at := time.monotonic() - began) < 5.0:
        asks.append(asyncio.create_task(ask(at)))
        await asyncio.sleep(0.1)
    result.recovered = list(await asyncio.gather(*asks))
    result.recovery = bad


async def overload(server: Server, voices: Sequence[str], seconds: float, start: int, times: float) -> Result:
    """All of it."""
    result = Result()
    result.capacity = await capacity(server, voices, start)
    await asyncio.sleep(2.0)
    before = server.threads(), server.files()
    result.listeners = round(times * result.capacity)
    crowd = Crowd(server.port, voices, seed=11)
    began, cpu, own = time.monotonic(), server.cpu(), time.process_time()
    all_of_it = busy()
    await crowd.grow(result.listeners, 5.0)
    while time.monotonic() < began + seconds:
        result.memory.append(server.rss())
        await asyncio.sleep(1.0)
    took = time.monotonic() - began
    result.seconds = took
    result.server, result.clients = (server.cpu() - cpu) / took, (time.process_time() - own) / took
    result.others = (busy() - all_of_it) / took - result.server - result.clients
    met = between(crowd, began, time.monotonic())
    found = crowd.found
    result.first, result.silences, result.refused, result.cut = met.first, met.silences, met.refused, met.cut
    result.finished, result.odd, result.heard = found.finished, [s for _, s in found.odd], found.audio / took
    result.when = [round(at - began, 1) for at, _ in found.silences]
    await crowd.leave()
    await recovery(server, voices, result)
    await asyncio.sleep(1.0)
    result.threads, result.files = (before[0], server.threads()), (before[1], server.files())
    result.left = server.metrics()["polyvox_streams"]
    result.complaints = server.complaints()
    return result


def flat(memory: Sequence[float]) -> tuple[float, float]:
    """Means of the second and of the last quarter: what is there once it is warm, and in the end."""
    quarter = max(1, len(memory) // 4)
    return sum(memory[quarter : 2 * quarter]) / quarter, sum(memory[-quarter:]) / quarter


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--voices", choices=["kathleen", "mix"], default="kathleen")
    parser.add_argument("--start", type=int, default=40, help="listeners to begin the search for the capacity with")
    parser.add_argument("--times", type=float, default=TIMES, help="how many times the capacity")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the server, as streams.longest=0.02")
    parser.add_argument("--json", help="where to write all that was found")
    args = parser.parse_args()
    voices = MIX if args.voices == "mix" else (args.voices,)
    pinned = list(dict.fromkeys(v.partition("/")[0] for v in voices))
    print(f"load before: {os.getloadavg()[0]:.1f}\n")
    with served({"VOICES__PINNED": json.dumps(pinned), **dict(map(setting, args.set))}) as server:
        seconds = 60 * args.minutes
        result = within(server, seconds + SPARE, overload(server, voices, seconds, args.start, args.times))
    warm, last = flat(result.memory)
    ms = [1e3 * s for s in result.refused] or [0.0]
    late = sum(s > FIRST_AUDIO for s in result.first)
    with table(f"overload, {args.voices}, {result.seconds:.0f} s", "found", "asked for"):
        row("listeners who hear, at capacity", round(result.capacity), "-")
        row("listeners who ask", result.listeners, f"{args.times:g} times that")
        row("listeners who hear, under overload", round(result.heard), "-")
        row("admitted streams that ended", result.finished, "-")
        row("underruns of admitted streams", f"{len(result.silences)}, {sum(result.silences):.2f} s", "0")
        row("admitted streams that were cut", result.cut, "0")
        row("other answers than 200 and 503", len(result.odd), "0")
        first = result.first or [99.0]
        row("first audio, p50 and p95, ms", f"{1e3 * percentile(first, 0.5):.0f}, {1e3 * percentile(first, 0.95):.0f}",
            "p95 under 250")  # fmt: skip
        row("streams with a later first audio", f"{late} of {len(result.first)}", "-")
        row("refusals", len(result.refused), "-")
        row("refused in, p50, p99 and most, ms",
            f"{percentile(ms, 0.5):.1f}, {percentile(ms, 0.99):.1f}, {max(ms):.1f}", "under 20")  # fmt: skip
        row("memory, warm and in the end, MB", f"{warm:.0f}, {last:.0f}", "flat")
        row("all as before after, s", f"{result.recovery:.1f}", f"under {SOON:g}")
        row("streams left", int(result.left), "0")
        row("threads and files, before and after", f"{result.threads}, {result.files}", "equal")
        row("errors in the log", len(result.complaints), "0")
        row("processors of server, of clients and of others",
            f"{result.server:.2f}, {result.clients:.2f}, {result.others:.2f}", "-")  # fmt: skip
    for line in result.complaints[:5]:
        print(line)
    saved(args.json, asdict(result))


if __name__ == "__main__":
    main()
