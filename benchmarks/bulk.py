"""First audio of a listener while bulk work takes all the processors that are left, with batching and without.

    python benchmarks/bulk.py                       # three minutes
    python benchmarks/bulk.py --streams 16 --voices kerstin

Bulk streams (`realtime: false`) of all voices read as fast as they can, one after another; beside them one listener at
a time asks each voice in turn. Both settings run in turn, so that a machine whose speed drifts is as fast for both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Sequence
from contextlib import suppress

from common import percentile, row, table
from serving.listeners import Line
from serving.server import Server, busy, saved, served, within
from serving.texts import MIX, SENTENCES

BATCHING = ("true", "false")


async def work(server: Server, voices: Sequence[str], number: int, made: list[float]) -> None:
    """One bulk client."""
    line = await Line.open(server.port)
    line.eager = True
    try:
        while True:
            voice = voices[number % len(voices)]
            number += 1
            heard = await line.ask(voice, " ".join(SENTENCES[voice] * 2), realtime=False)
            made[0] += heard.seconds
    finally:
        line.close()


async def measure(
    server: Server, voices: Sequence[str], streams: int, seconds: float
) -> tuple[dict[str, list[float]], float, float]:
    """First audio by voice; seconds of bulk audio in a second; processors that others took."""
    found: dict[str, list[float]] = {voice: [] for voice in voices}
    made = [0.0]
    bulk = [asyncio.create_task(work(server, MIX, i, made)) for i in range(streams)]
    line = await Line.open(server.port)
    line.eager = True
    try:
        await asyncio.sleep(2.0)
        loop = asyncio.get_running_loop()
        began, before, used, others = loop.time(), made[0], server.cpu(), busy()
        while loop.time() < began + seconds:
            for voice in voices:
                heard = await line.ask(voice, SENTENCES[voice][1])
                if heard.first is None:
                    raise SystemExit(f"{voice}: status {heard.status}")
                found[voice].append(heard.first - heard.asked)
                await asyncio.sleep(0.1)
        took = loop.time() - began
        return found, (made[0] - before) / took, (busy() - others - server.cpu() + used) / took
    finally:
        line.close()
        for task in bulk:
            task.cancel()
        for task in bulk:
            with suppress(asyncio.CancelledError):
                await task


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=8, help="bulk streams at once")
    parser.add_argument("--voices", nargs="+", default=list(MIX), help="who is listened to")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", help="where to write all that was found")
    args = parser.parse_args()
    print(f"load before: {os.getloadavg()[0]:.1f}\n")
    first: dict[str, dict[str, list[float]]] = {b: {v: [] for v in args.voices} for b in BATCHING}
    speeds: dict[str, list[float]] = {b: [] for b in BATCHING}
    most = 0.0
    pinned = json.dumps(list(dict.fromkeys(v.partition("/")[0] for v in MIX)))
    for _ in range(args.rounds):
        for batching in BATCHING:
            with served({"VOICES__PINNED": pinned, "COMPUTE__BATCHING": batching}) as server:
                found, speed, others = within(
                    server, args.seconds + 60, measure(server, args.voices, args.streams, args.seconds)
                )
            for voice, values in found.items():
                first[batching][voice] += values
            speeds[batching].append(speed)
            most = max(most, others)
    with table(
        f"beside {args.streams} bulk streams", "batching: first audio p50, p95, ms", "without", "p50 with / without"
    ):
        for voice in args.voices:
            halves = [percentile(first[b][voice], 0.5) for b in BATCHING]
            shown = [
                f"{1e3 * half:.0f}, {1e3 * percentile(first[b][voice], 0.95):.0f}"
                for b, half in zip(BATCHING, halves, strict=True)
            ]
            row(voice, *shown, f"{halves[0] / halves[1]:.2f}")
        rates = [percentile(speeds[b], 0.5) for b in BATCHING]
        row("bulk audio made in a second, s", *(f"{rate:.0f}" for rate in rates), f"{rates[0] / rates[1]:.2f}")
    print(f"\nothers took up to {most:.2f} processors, the clients among them")
    saved(args.json, {"first": first, "speeds": speeds})


if __name__ == "__main__":
    main()
