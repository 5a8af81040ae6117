"""The engine alone, without a network protocol: how many real-time listeners it keeps, by order and batching.

    python benchmarks/engine.py --streams 20 40 60 80 --seconds 20
    python benchmarks/engine.py --streams 200 --admission       # overload: who is refused asks again after a second

Each listener asks for a text, begins to play when its first chunk comes, takes each chunk a second before it needs it,
and asks for the next text when it has heard all. Admission is off unless asked for, so that what the threads can do
shows. `kept` means that no listener ran dry and that 95 of 100 had their first audio within 250 ms. `networks alone`
replays the network calls of such a stream in a loop, in as many threads as there are slots: nothing else is computed.
Its share is told twice: of listeners (each hears a second of audio a second) against what the loop makes, and of
processor time for a second of audio, which hardly changes where others use the machine too.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import threading
import time
from dataclasses import dataclass, field

import polyvox
from common import percentile, row, table
from polyvox.networks import Network, Wrapper
from polyvox.service.engine import Engine, Request
from polyvox.service.errors import Busy
from polyvox.service.settings import Settings
from polyvox.tensors import Array, Tensors
from polyvox.tracing import Trace
from polyvox.windows import Pace

SENTENCES = (
    "The harbour lay quiet in the morning, and a small boat went out over the grey water to the islands.",
    "Nobody had expected the letter, which came on a Tuesday.",
    "Please wait.",
    "Between the two hills runs a narrow road that the farmers have used for three hundred years.",
    "It was late when they came home, and the lamp was still burning in the window of the kitchen.",
)
LENGTHS = (1, 1, 2, 3, 6)
FIRST_AUDIO = 0.25


@dataclass
class Found:
    """What the listeners of one run met. In seconds."""

    first: list[float] = field(default_factory=list)
    silences: list[float] = field(default_factory=list)
    audio: float = 0.0
    refused: list[float] = field(default_factory=list)


async def listen(engine: Engine, name: str | None, text: str, found: Found, until: float) -> None:
    """One listener's one text."""
    asked = time.monotonic()
    try:
        opened = await engine.open(Request(text, voice=name))
    except Busy:
        found.refused.append(time.monotonic() - asked)
        await asyncio.sleep(1.0)
        return
    async with opened as speaking:
        await speaking.first()
        began = time.monotonic()
        found.first.append(began - asked)
        heard = 0.0
        async for chunk in speaking:
            late = time.monotonic() - (began + heard)
            if heard and late > 0.005 and len(chunk.samples):
                found.silences.append(late)
                began += late
            heard += chunk.seconds
            found.audio += chunk.seconds
            await asyncio.sleep(max(0.0, began + heard - 1.0 - time.monotonic()))
            if time.monotonic() > until:
                return
        await asyncio.sleep(max(0.0, began + heard - time.monotonic()))


async def listener(engine: Engine, name: str | None, seed: int, wait: float, found: Found, until: float) -> None:
    """One listener, text after text."""
    chance = random.Random(seed)
    await asyncio.sleep(wait)
    while time.monotonic() < until:
        text = " ".join(chance.choice(SENTENCES) for _ in range(chance.choice(LENGTHS)))
        await listen(engine, name, text, found, until)


async def measure(
    settings: Settings, name: str | None, streams: int, seconds: float, ramp: float, admission: bool = False
) -> tuple[Found, float]:
    """Run so many listeners; what they met after the first `ramp` seconds, and the processors used."""
    engine = Engine(settings)
    if not admission:
        engine.admission.check = lambda cost, streams: None  # type: ignore[method-assign]
    await engine.start()
    found, before = Found(), Found()
    began = time.monotonic()
    until = began + ramp + seconds
    tasks = [asyncio.create_task(listener(engine, name, i, ramp * i / streams, before, until)) for i in range(streams)]
    await asyncio.sleep(ramp)
    cpu, at = time.process_time(), time.monotonic()
    silences, firsts, audio, refused = len(before.silences), len(before.first), before.audio, len(before.refused)
    await asyncio.sleep(seconds)
    used = (time.process_time() - cpu) / (time.monotonic() - at)
    await asyncio.gather(*tasks)
    await engine.stop(0)
    found.silences, found.first = before.silences[silences:], before.first[firsts:]
    found.audio, found.refused = before.audio - audio, before.refused[refused:]
    return found, used


class Recorded(Wrapper):
    """Keeps the calls of a network."""

    def __init__(self, inner: Network, calls: list[tuple[Network, Tensors]]) -> None:
        super().__init__(inner)
        self._calls = calls

    def run(self, tensors: Tensors) -> dict[str, Array]:
        """Run and keep."""
        self._calls.append((self.inner, {n: tensors[n].copy() for n in self.spec.inputs if n in tensors}))
        return self.inner.run(tensors)


class Recorder(Trace):
    """A trace that keeps calls."""

    calls: list[tuple[Network, Tensors]]

    def wrap(self, network: Network, name: str | None = None) -> Network:
        """With its calls kept."""
        return Recorded(network, self.calls)


def alone(name: str, slots: int, seconds: float) -> tuple[float, float]:
    """What the networks alone make: seconds of audio a second, and a processor second."""
    recorder = Recorder()
    recorder.calls = []
    voice = polyvox.load(name, trace=recorder)
    audio = voice.say(" ".join(SENTENCES), pace=Pace(32, 8.0, 256)).seconds
    rounds = [0] * slots
    until = time.monotonic() + seconds

    def run(index: int) -> None:
        while time.monotonic() < until:
            for network, tensors in recorder.calls:
                network.run(tensors)
            rounds[index] += 1

    threads = [threading.Thread(target=run, args=(i,)) for i in range(slots)]
    began, cpu = time.monotonic(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = sum(rounds) * audio
    return made / (time.monotonic() - began), made / (time.process_time() - cpu)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voice", default="kathleen")
    parser.add_argument("--streams", type=int, nargs="+", default=[20, 40, 60, 80])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--ramp", type=float, default=8.0)
    parser.add_argument("--modes", nargs="+", default=["deadline+batching", "deadline", "turn", "arrival"])
    parser.add_argument("--admission", action="store_true", help="refuse streams that cannot be kept")
    parser.add_argument("--set", nargs="*", default=[], help="settings, as streams.longest=0.02")
    args = parser.parse_args()
    slots = Settings().slots
    makes, makes_cpu = alone(args.voice, slots, 5.0)
    print(
        f"networks alone: {makes:.0f} s of audio a second on {slots} slots, {makes_cpu:.0f} s a processor second;"
        f" load before: {os.getloadavg()[0]:.1f}\n"
    )
    columns = (
        "mode",
        "listeners",
        "kept",
        "ran dry",
        "first audio p50, ms",
        "p95, ms",
        "processors",
        "of networks alone",
        "of their processor time",
        "refused",
    )
    with table(*columns):
        for mode in args.modes:
            order, _, batching = mode.partition("+")
            for streams in args.streams:
                environ = {
                    "POLYVOX_SERVE__COMPUTE__ORDER": order,
                    "POLYVOX_SERVE__COMPUTE__BATCHING": str(bool(batching)),
                    "POLYVOX_SERVE__LIMITS__STREAMS": "10000",
                    "POLYVOX_SERVE__LIMITS__STREAMS_PER_CLIENT": "10000",
                    "POLYVOX_SERVE__METRICS": "false",
                }
                for each in args.set:
                    place, _, value = each.partition("=")
                    environ[f"POLYVOX_SERVE__{place.upper().replace('.', '__')}"] = value
                settings = Settings.load(None, environ)
                found, used = asyncio.run(
                    measure(settings, args.voice, streams, args.seconds, args.ramp, args.admission)
                )
                p95 = percentile(found.first, 0.95)
                row(
                    mode,
                    streams,
                    "yes" if not found.silences and p95 < FIRST_AUDIO else "no",
                    f"{len(found.silences)} times, {sum(found.silences):.1f} s",
                    round(1000 * percentile(found.first, 0.5)),
                    round(1000 * p95),
                    round(used, 2),
                    f"{streams / makes:.0%}",
                    f"{found.audio / args.seconds / used / makes_cpu:.0%}",
                    f"{len(found.refused)}, at most {1000 * max(found.refused, default=0):.0f} ms",
                )


if __name__ == "__main__":
    main()
