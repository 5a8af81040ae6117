"""Batching and deadlines: what running calls of several streams as one is worth, and what scheduling them costs.

    python benchmarks/batching.py [--attention work/addons/kerstin] [--only cost]

Tables without "streams" are CPU time of one thread on one core; the others are wall time on all cores, with the
settings compared taking turns.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import numpy as np

import polyvox
from common import percentile, row, table, text_of
from polyvox.addons import open_addon
from polyvox.networks import Batched, Device, Network, NetworkSpec, Stepper, deadline, load_network, target
from polyvox.tensors import Array, Tensors, TensorSpec

BATCHES = (1, 2, 4, 8)
GERMAN = "Der Hafen lag am Morgen still, und ein kleines Boot fuhr über das graue Wasser zu den Inseln hinaus."


def inputs(network: Network, size: int) -> dict[str, Array]:
    """Plausible inputs of one utterance whose named axes have `size`."""
    random = np.random.default_rng(0)
    made: dict[str, Array] = {}
    for name, spec in network.spec.wanted().items():
        shape = [size if isinstance(axis, str) else axis for axis in spec.axes]
        if spec.dtype == "int64":
            made[name] = random.integers(1, 20, shape)
        elif name == "speed" or name.endswith("mask"):
            made[name] = np.ones(shape, np.float32)
        else:
            made[name] = np.abs(0.3 * random.standard_normal(shape)).astype(np.float32)
    return made


def least(work: Callable[[], object], repeat: int) -> float:
    """The least CPU seconds of `work`: what it costs when nothing disturbs it."""
    work()
    spent = []
    for _ in range(repeat):
        began = time.thread_time()
        work()
        spent.append(time.thread_time() - began)
    return min(spent)


def one_core(core: int | None) -> None:
    """Run on one core, or on all."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1) if core is None else {core})


def cost(attention: Path | None, repeat: int) -> None:
    """What a call costs among others."""
    networks = [
        ("kathleen", "text_encoder", (20, 60, 140)),
        ("kathleen", "duration_predictor", (20, 60, 140)),
        ("kathleen", "prosody_predictor", (20, 60, 140)),
        ("kathleen", "decoder", (60, 300, 796)),
        ("universal", "pitch", (48, 300)),
        ("universal", "vocoder", (59, 86, 300, 822)),
    ]
    if attention is not None:
        networks += [
            (str(attention), "encoder", (20, 60, 140)),
            (str(attention), "attention_decoder", (20, 60, 140)),
            (str(attention), "postnet", (52, 300)),
        ]
    print("\nMilliseconds a call when so many run as one, stacking and taking apart included:\n")
    with table("network", "steps", *(f"{b} at once" for b in BATCHES), "8 against 1", "saved a call, in steps of it"):
        for addon, name, sizes in networks:
            network = load_network(open_addon(addon).source(name), target("cpu"))
            found: dict[tuple[int, int], float] = {}
            for size in sizes:
                call = inputs(network, size)
                for batch in BATCHES:
                    calls = [call] * batch
                    times = max(3, min(repeat, round(repeat * 200 / size / batch)))
                    found[size, batch] = least(lambda n=network, c=calls: n.run_many(c), times) / batch
            per_step = (found[sizes[-1], 1] - found[sizes[0], 1]) / (sizes[-1] - sizes[0])
            for size in sizes:
                saved = found[size, 1] - min(found[size, b] for b in BATCHES[1:])
                row(
                    f"{Path(addon).name} {name}",
                    size,
                    *(f"{1000 * found[size, b]:.3f}" for b in BATCHES),
                    f"{found[size, 8] / found[size, 1]:.2f}",
                    f"{saved / per_step:.1f}" if per_step > 1e-6 else "any",
                )
            network.close()


class Nothing(Network):
    """Computes nothing: what is left is what surrounds it."""

    def __init__(self) -> None:
        self.spec = NetworkSpec("nothing", "encoder", {}, {"y": TensorSpec("float32", ())})
        self._made = {"y": np.zeros((), np.float32)}

    def run(self, tensors: Tensors) -> dict[str, Array]:
        """Nothing."""
        return self._made


def overhead(attention: Path | None, repeat: int) -> None:
    """What an uncontended call costs more."""

    def microseconds(call: Callable[[], object]) -> float:
        def many() -> None:
            for _ in range(1000):
                call()

        return 1000 * least(many, repeat)

    print("\nMicroseconds that a call costs more on a device that nobody else uses:\n")
    with table("call", "bare", "on a device", "more"):
        nothing = Nothing()
        batched = Batched(nothing, Device(1))
        feed: Tensors = {}
        bare, scheduled = microseconds(lambda: nothing.run(feed)), microseconds(lambda: batched.run(feed))
        row("a network that computes nothing", f"{bare:.2f}", f"{scheduled:.2f}", f"{scheduled - bare:.2f}")
        if attention is not None:
            network = load_network(open_addon(attention).source("attention_decoder"), target("cpu"))
            start = inputs(network, 60)
            bare_steps, steps = network.stepper(start), Batched(network, Device(1)).stepper(start)
            one: list[float] = []
            other: list[float] = []
            for _ in range(repeat):
                one.append(least(lambda: [bare_steps.step() for _ in range(50)], 3))
                other.append(least(lambda: [steps.step() for _ in range(50)], 3))
            a, b = 1e6 / 50 * min(one), 1e6 / 50 * min(other)
            row("a step of the attention decoder", f"{a:.1f}", f"{b:.1f}", f"{b - a:.1f}")


def stepping(attention: Path, repeat: int) -> None:
    """Streams that do nothing but step, each in a thread."""
    print("\nMilliseconds of one core a step and stream, streams of 20 to 140 tokens that do nothing but step:\n")
    network = load_network(open_addon(attention).source("attention_decoder"), target("cpu"))
    device = Device(1)
    batched = Batched(network, device)
    with table("streams", "no device", "one at a time (most=1)", "together (most=8)", "calls a run"):
        for streams in (1, 2, 4, 8, 16):
            starts = [inputs(network, 20 + 120 * i // max(1, streams - 1)) for i in range(streams)]
            spent: dict[str, list[float]] = {"none": [], "one": [], "together": []}
            together: list[float] = []
            for _ in range(repeat):
                for setting, times in spent.items():
                    device.most = 8 if setting == "together" else 1
                    before = device.usage()[network.spec.name]
                    steppers = [(network if setting == "none" else batched).stepper(start) for start in starts]
                    times.append(at_once([lambda s=s: steps(s) for s in steppers]) / 100 / streams)
                    if setting == "together":
                        after = device.usage()[network.spec.name]
                        together.append((after.calls - before.calls) / (after.runs - before.runs))
            row(streams, *(f"{1000 * median(times):.3f}" for times in spent.values()), f"{median(together):.1f}")


def steps(stepper: Stepper) -> None:
    """100 steps."""
    for _ in range(100):
        stepper.step()


def at_once(works: Sequence[Callable[[], object]]) -> float:
    """Seconds until all are done, each in a thread of its own."""
    barrier = threading.Barrier(len(works) + 1)

    def run(work: Callable[[], object]) -> None:
        barrier.wait()
        work()

    with ThreadPoolExecutor(len(works)) as pool:
        futures = [pool.submit(run, work) for work in works]
        barrier.wait()
        began = time.perf_counter()
        for future in futures:
            future.result()
        return time.perf_counter() - began


SETTINGS = {
    "no device": None,
    "most=1": {"most": 1},
    "most=8": {"most": 8},
    "most=8, express=0": {"most": 8, "express": 0.0},
}


def load(name: str | Path, device: Device | None) -> polyvox.Voice:
    """A voice with the shipped vocoder."""
    return polyvox.load(name, vocoder="universal", device=device)


def throughput(attention: Path | None, repeat: int) -> None:
    """Whole streams."""
    print("\nSeconds of audio a second, streams that speak one sentence each without pausing:\n")
    device = Device()
    english, plain_english = load("kathleen", device), load("kathleen", None)
    texts = {"kathleen": [(plain_english, english, text_of(6))]}
    if attention is not None:
        german, plain_german = load(attention, device), load(attention, None)
        texts["attention"] = [(plain_german, german, GERMAN)]
        texts["both"] = [*texts["kathleen"], *texts["attention"]]
    with table("voice", "streams", *SETTINGS):
        for voice, choices in texts.items():
            for streams in (1, 2, 4, 8):
                made: dict[str, list[float]] = {setting: [] for setting in SETTINGS}
                for _ in range(repeat):
                    for setting, options in SETTINGS.items():
                        device.most, device.express = 8, 0.01
                        for option, value in (options or {}).items():
                            setattr(device, option, value)
                        speeches: list[polyvox.voice.Speech] = []
                        works = []
                        for i in range(streams):
                            plain, scheduled, text = choices[i % len(choices)]
                            speaker = plain if options is None else scheduled
                            works.append(lambda v=speaker, t=text, s=speeches: s.append(v.say(t)))
                        seconds = at_once(works)
                        made[setting].append(sum(s.seconds for s in speeches) / seconds)
                row(voice, streams, *(f"{median(values):.1f}" for values in made.values()))


def urgent(attention: Path | None, repeat: int) -> None:
    """One listener who waits, among streams that nobody listens to."""
    print("\nMilliseconds to the first audio of one listener's stream, among 6 streams of bulk work:\n")
    device = Device()
    bulk = load("kathleen", device)
    listened = {"kathleen": (load("kathleen", None), bulk, text_of(3))}
    if attention is not None:
        listened["attention"] = (load(attention, None), load(attention, device), GERMAN)
    bare_bulk = load("kathleen", None)
    settings: dict[str, dict[str, float] | None] = {
        "alone": {},
        "no device": None,
        "in order of arrival, express=0": {"by_deadline": False, "express": 0.0},
        "in order of arrival": {"by_deadline": False},
        "by deadline, express=0": {"express": 0.0},
        "by deadline": {},
    }
    with table("listener's voice", "", *settings):
        for name, (plain, scheduled, text) in listened.items():
            found: dict[str, list[float]] = {setting: [] for setting in settings}
            for setting, options in settings.items():
                device.by_deadline, device.express = True, 0.01
                for option, value in (options or {}).items():
                    setattr(device, option, value)
                over = threading.Event()

                def work(voice: polyvox.Voice, over: threading.Event = over) -> None:
                    while not over.is_set():
                        for _ in voice.stream(text_of(60)):
                            if over.is_set():
                                return

                with ThreadPoolExecutor(6) as pool:
                    busy = 0 if setting == "alone" else 6
                    futures = [pool.submit(work, bare_bulk if options is None else bulk) for _ in range(busy)]
                    time.sleep(1)
                    for _ in range(repeat):
                        began = time.perf_counter()
                        stream = (plain if options is None else scheduled).stream(text)
                        with deadline(time.monotonic() + 0.05):
                            next(stream)
                        found[setting].append(1000 * (time.perf_counter() - began))
                        stream.close()
                        time.sleep(0.02)
                    over.set()
                    for future in futures:
                        future.result()
            row(name, "median", *(f"{median(values):.0f}" for values in found.values()))
            row("", "95th percentile", *(f"{percentile(values, 0.95):.0f}" for values in found.values()))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attention", type=Path, default=Path("work/addons/kerstin"), help="an attention voice")
    parser.add_argument("--repeat", type=int, default=15)
    parser.add_argument("--core", type=int, default=0, help="the one core to run on (default: 0)")
    parser.add_argument("--only", choices=("cost", "overhead", "stepping", "throughput", "urgent"))
    args = parser.parse_args()
    attention = args.attention if args.attention.exists() else None
    one_core(args.core)
    if args.only in (None, "cost"):
        cost(attention, 3 * args.repeat)
    if args.only in (None, "overhead"):
        overhead(attention, args.repeat)
    if args.only in (None, "stepping") and attention is not None:
        stepping(attention, max(3, args.repeat // 3))
    one_core(None)
    if args.only in (None, "throughput"):
        throughput(attention, max(3, args.repeat // 3))
    if args.only in (None, "urgent"):
        urgent(attention, 2 * args.repeat)


if __name__ == "__main__":
    main()
