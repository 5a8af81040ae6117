"""Coexistence: what each voice costs by itself, and what it notices of the others in the same process.

    python benchmarks/coexistence.py
    python benchmarks/coexistence.py --voices kathleen path/to/another --json coexistence.json

Asked for: voices of any architecture speak side by side from one process, and loading one leaves the first audio of the
others alone. On two cores; one call uses one thread. Figures are medians with their quartiles.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import polyvox
from common import row, table
from polyvox.addons import open_addon, survey
from polyvox.addons.addon import Addon
from polyvox.addons.library import SHIPPED
from polyvox.networks import Device
from polyvox.windows import Pace

SHORT = {
    "en": "The harbour lay quiet in the cold grey morning.",
    "de": "Der Hafen lag still im kalten grauen Morgen.",
    "nl": "De haven lag stil in de koude grijze ochtend.",
}
LONG = {
    "en": "The harbour lay quiet in the morning, and a small boat went out over the grey water to the islands.",
    "de": "Der Hafen lag still am Morgen, und ein kleines Boot fuhr hinaus \u00fcber das graue Wasser zu den Inseln.",
    "nl": "De haven lag stil in de ochtend, en een kleine boot voer uit over het grijze water naar de eilanden.",
}
PACES = (7, 32, 200)
"""Frames a chunk, of the comparison with the whole."""
TARGETS = ("cpu", "cpu-fixed")
WORKERS = ("together", "together-shared")


def in_language(texts: dict[str, str], addon: Addon) -> str:
    """The text in the addon's first language, English if there is none."""
    return texts.get((addon.manifest.languages or ["en"])[0][:2], texts["en"])


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, quartiles, the worst one, and how many there were."""
    low, middle, high = np.percentile(values, [25, 50, 75])
    return {"median": float(middle), "q1": float(low), "q3": float(high), "worst": max(values), "n": len(values)}


def shown(found: dict[str, float], digits: int = 1) -> str:
    """`17.4 (17.1 to 18.0)`."""
    return f"{found['median']:.{digits}f} ({found['q1']:.{digits}f} to {found['q3']:.{digits}f})"


def first_audio(voice: polyvox.Voice) -> float:
    """Milliseconds from the call to the first chunk; the rest is cancelled."""
    text = in_language(SHORT, voice.addon)
    began = time.perf_counter()
    chunks = voice.stream(text)
    next(chunks)
    spent = time.perf_counter() - began
    chunks.close()
    return 1000 * spent


def factor(voice: polyvox.Voice) -> float:
    """The real-time factor of a sentence of about 6 s."""
    began = time.perf_counter()
    seconds = sum(chunk.seconds for chunk in voice.stream(in_language(LONG, voice.addon)))
    return (time.perf_counter() - began) / seconds


def memory() -> dict[str, float]:
    """MB of this process: resident, and of that its own alone (nothing where the system does not say)."""
    try:
        lines = Path("/proc/self/smaps_rollup").read_text("ascii").splitlines()[1:]
    except OSError:
        return {}
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    own = kilobytes["Private_Clean"] + kilobytes["Private_Dirty"]
    return {"rss": kilobytes["Rss"] / 1024, "uss": own / 1024}


def more(after: dict[str, float], before: dict[str, float]) -> dict[str, float]:
    """What was added."""
    return {name: after[name] - before[name] for name in after}


def apart(voice: polyvox.Voice) -> dict[str, float | None]:
    """Chunked against whole: the largest difference of full scale, and the difference's power against the speech's.

    Without a difference there are no decibels; where the lengths differ, there is neither.
    """
    text = in_language(LONG, voice.addon)
    whole = voice.say(text, whole=True).samples
    worst, noise = 0.0, 0.0
    for frames in PACES:
        said = voice.say(text, pace=Pace(frames, 1.0, frames)).samples
        if len(said) != len(whole):
            return {"max": None, "db": None}
        difference = said.astype(np.float64) - whole
        worst = max(worst, float(np.abs(difference).max(initial=0)))
        noise = max(noise, float(np.square(difference).sum()))
    power = float(np.square(whole.astype(np.float64)).sum())
    return {"max": worst, "db": 10 * float(np.log10(noise / power)) if noise else None}


def by_itself(name: str, target: str, repeat: int) -> dict[str, Any]:
    """All of one voice in this process, which should be fresh."""
    import onnxruntime  # noqa: F401 - its memory is nobody's in particular

    before = memory()
    began = time.perf_counter()
    voice = polyvox.load(name, target=target)
    loaded = time.perf_counter() - began
    after = memory()
    cold = first_audio(voice)
    firsts, factors = [], []
    factor(voice)
    for _ in range(repeat):
        firsts.append(first_audio(voice))
        factors.append(factor(voice))
    return {
        "load_s": loaded,
        "memory_loaded_mb": more(after, before),
        "memory_spoken_mb": more(memory(), before),
        "cold_first_audio_ms": cold,
        "first_audio_ms": summary(firsts),
        "real_time_factor": summary(factors),
        "chunked_whole": apart(voice),
    }


def all_together(names: Sequence[str], *, shared: bool) -> dict[str, float]:
    """Memory of all voices that spoke in this process, which should be fresh; on one device or not."""
    import onnxruntime  # noqa: F401 - its memory is nobody's in particular

    before = memory()
    device = Device() if shared else None
    voices = [polyvox.load(name, device=device) for name in names]
    for voice in voices:
        factor(voice)
    return more(memory(), before)


def in_a_fresh_process(names: Sequence[str], work: str, repeat: int, cores: Sequence[int]) -> dict[str, Any]:
    """`by_itself` or `all_together`, or what went wrong with it."""
    command = [sys.executable, __file__, "--worker", work, "--voices", *names, "--repeat", str(repeat)]
    command += ["--cores", *map(str, cores)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["died"])[-1]}
    return dict(json.loads(done.stdout))


@contextmanager
def beside(works: Sequence[Callable[[threading.Event], None]]) -> Iterator[None]:
    """Run these in threads of their own until the body is done; each is given the event that ends it."""
    done = threading.Event()
    threads = [threading.Thread(target=work, args=(done,)) for work in works]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def speaking(voice: polyvox.Voice, *, live: bool) -> Callable[[threading.Event], None]:
    """Speak without end: to somebody who listens in real time, or as fast as it goes."""
    text = in_language(LONG, voice.addon)

    def work(done: threading.Event) -> None:
        while not done.is_set():
            began, given = time.perf_counter(), 0.0
            for chunk in voice.stream(text):
                given += chunk.seconds
                ahead = given - (time.perf_counter() - began) - 0.2
                if done.is_set() or (live and ahead > 0 and done.wait(ahead)):
                    break

    return work


def computing(done: threading.Event) -> None:
    """Keep a core busy without Python's lock and without memory."""
    data = bytes(1 << 20)
    while not done.is_set():
        hashlib.sha256(data)


def in_company(voices: dict[str, polyvox.Voice], repeat: int) -> dict[str, dict[str, Any]]:
    """First audio and real-time factor of each voice while the others are silent, are listened to, speak flat out."""
    found: dict[str, dict[str, Any]] = {}
    for name, voice in voices.items():
        others = [v for n, v in voices.items() if n != name]
        states: dict[str, list[Callable[[threading.Event], None]]] = {
            "silent": [],
            "listened to": [speaking(v, live=True) for v in others],
            "flat out": [speaking(v, live=False) for v in others],
        }
        spent: dict[str, tuple[list[float], list[float]]] = {state: ([], []) for state in states}
        first_audio(voice)
        # In turn, so that a slow moment of the machine meets all of them.
        for _ in range(repeat):
            for state, works in states.items():
                with beside(works):
                    time.sleep(0.1 * bool(works))
                    spent[state][0].append(first_audio(voice))
                    spent[state][1].append(factor(voice))
        found[name] = {
            state: {"first_audio_ms": summary(firsts), "real_time_factor": summary(factors)}
            for state, (firsts, factors) in spent.items()
        }
    return found


def while_loading(voices: dict[str, polyvox.Voice], names: Sequence[str], repeat: int) -> dict[str, Any]:
    """First audio of each voice while the next one is being loaded in another thread, and while none is.

    Each load is met at another moment of it; a first audio that was not over before the load was does not count. As a
    control, the same while the other thread only computes: what that costs is the cores', not the loading's.
    """
    found: dict[str, Any] = {}
    rng = random.Random(1)
    for index, (name, voice) in enumerate(voices.items()):
        other = names[(index + 1) % len(names)]
        began = time.perf_counter()
        polyvox.load(other).close()
        usual = time.perf_counter() - began
        quiet, busy, during, late = [], [], [], 0
        first_audio(voice)
        while len(during) < repeat and late < 5 * repeat:
            quiet.append(first_audio(voice))
            with beside([computing]):
                time.sleep(0.01)
                busy.append(first_audio(voice))
            begun, over = threading.Event(), threading.Event()

            def load(
                _: threading.Event, begun: threading.Event = begun, over: threading.Event = over, other: str = other
            ) -> None:
                begun.set()
                loaded = polyvox.load(other)
                over.set()
                loaded.close()

            with beside([load]):
                begun.wait()
                time.sleep(rng.random() * 0.9 * usual)
                spent = first_audio(voice)
                if over.is_set():
                    late += 1
                else:
                    during.append(spent)
        found[name] = {"loading": other, "load_s": usual, "none": summary(quiet), "computing": summary(busy)}
        found[name]["not_counted"] = late
        if during:
            found[name]["during"] = summary(during)
    return found


def arguments() -> argparse.Namespace:
    """This benchmark's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voices", nargs="+", default=[], metavar="NAME|PATH", help="besides the shipped ones")
    parser.add_argument("--only", action="store_true", help="those in --voices and not the shipped ones")
    parser.add_argument("--repeat", type=int, default=20)
    parser.add_argument("--cores", type=int, nargs="+", default=[0, 1], help="the cores to run on (default: 0 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    parser.add_argument("--worker", metavar="TARGET", help=argparse.SUPPRESS)
    return parser.parse_args()


def chosen(args: argparse.Namespace) -> list[str]:
    """The voices to measure: the shipped ones that speak, then those asked for."""
    own = [
        name
        for name, path, addon in survey()
        if isinstance(addon, Addon) and addon.manifest.kind != "vocoder" and path.parent == SHIPPED
    ]
    return list(dict.fromkeys([*([] if args.only else own), *args.voices]))


def costs(name: str) -> dict[str, Any]:
    """What can be counted without loading: parameters and megabytes of a voice, and of its vocoder."""
    addon = open_addon(name)
    found: dict[str, Any] = {"vocoder": None}
    parts = {"": addon}
    if addon.manifest.vocoder is not None:
        parts["vocoder_"] = open_addon(addon.manifest.vocoder, Path(addon.files.where).parent)
        found["vocoder"] = addon.manifest.vocoder
    for prefix, part in parts.items():
        found[f"{prefix}parameters"] = sum(part.source(n).graph.parameters for n in part.manifest.networks)
        found[f"{prefix}megabytes"] = part.files.total() / 1e6
    return found


def busy(seconds: float = 2.0) -> float:
    """The share of all processors' time that others use while this process sleeps; where nothing tells, the load's."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))

    def read() -> tuple[int, int]:
        times = [int(value) for value in stat.read_text().split("\n", 1)[0].split()[1:9]]
        return sum(times), times[3] + times[4]

    (total, idle), _ = read(), time.sleep(seconds)
    later, later_idle = read()
    return 1 - (later_idle - idle) / max(1, later - total)


def print_tables(report: dict[str, Any]) -> None:
    """All of it."""
    voices = report["voices"]
    print(
        f"{report['machine']}; cores {report['cores']}; {report['others_busy']:.0%} of the processors' time in use by"
        " others before the start"
    )
    if report["others_busy"] > 0.05:
        print("Something else was running: these times are too long. The last tables need two cores with nothing else.")
    print()
    with table("voice", "parameters, M", "of them its vocoder's", "MB on disk", "of them its vocoder's"):
        for name, v in voices.items():
            c = v["costs"]
            own, other = c["parameters"] / 1e6, c.get("vocoder_parameters", 0) / 1e6
            disk, shared = c["megabytes"], c.get("vocoder_megabytes", 0.0)
            row(name, f"{own + other:.1f}", f"{other:.1f}", f"{disk + shared:.1f}", f"{shared:.1f}")
    print("\nEach in a fresh process; memory is what it adds to polyvox and ONNX Runtime, its vocoder included:\n")
    columns = ("first audio, ms", "first of all, ms", "real-time factor", "chunked - whole", "dB")
    with table("voice", "target", "load, s", "MB loaded (own)", "MB after speaking (own)", *columns):
        for name, v in voices.items():
            for target in TARGETS:
                a = v["alone"][target]
                if "error" in a:
                    row(name, target, a["error"], *[""] * 7)
                    continue
                kept = [
                    f"{a[m]['rss']:.0f} ({a[m]['uss']:.0f})" if a[m] else "not known"
                    for m in ("memory_loaded_mb", "memory_spoken_mb")
                ]
                largest, level = a["chunked_whole"]["max"], a["chunked_whole"]["db"]
                row(
                    name, target, f"{a['load_s']:.2f}", *kept, shown(a["first_audio_ms"]),
                    f"{a['cold_first_audio_ms']:.1f}", shown(a["real_time_factor"], 4),
                    "lengths differ" if largest is None else f"{largest:.1e}", "-" if level is None else f"{level:.0f}",
                )  # fmt: skip
    together = report["together"]
    print("\nMemory of all in one process, each having spoken, MB (own):")
    for work, meaning in zip(WORKERS, ("each with a vocoder of its own", "on one device, a vocoder once"), strict=True):
        used = together["memory_mb"][work]
        amount = f"{used['rss']:.0f} ({used['uss']:.0f})" if "rss" in used else used.get("error", "not known")
        print(f"- {meaning}: {amount}")
    print(f"\nAll loaded; {together['others']}:\n")
    states = ("silent", "listened to", "flat out")
    with table("voice", "first audio alone, ms", *(f"others {s}" for s in states)):
        for name, found in together["company"].items():
            base = voices[name]["alone"]["cpu"]
            first = shown(base["first_audio_ms"]) if "error" not in base else ""
            row(name, first, *(shown(found[s]["first_audio_ms"]) for s in states))
    print()
    with table("voice", "real-time factor alone", *(f"others {s}" for s in states)):
        for name, found in together["company"].items():
            base = voices[name]["alone"]["cpu"]
            first = shown(base["real_time_factor"], 4) if "error" not in base else ""
            row(name, first, *(shown(found[s]["real_time_factor"], 4) for s in states))
    print("\nFirst audio while another voice is being loaded:\n")
    head = (
        "none, ms",
        "one computing instead, ms",
        "one loading, ms",
        "loading against none",
        "worst of none, loading",
    )
    with table("voice", "loading", *head):
        for name, found in together["loading"].items():
            times = [shown(found["none"]), shown(found["computing"])]
            if "during" not in found:
                row(name, found["loading"], *times, "loads too fast to meet", "", "")
                continue
            none, during = found["none"], found["during"]
            worst = f"{none['worst']:.1f}, {during['worst']:.1f}"
            row(name, found["loading"], *times, shown(during), f"{during['median'] / none['median']:.2f}", worst)


def main() -> None:
    """Measure and print."""
    args = arguments()
    if hasattr(os, "sched_setaffinity"):
        args.cores = sorted(set(args.cores) & os.sched_getaffinity(0)) or sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, args.cores)
    if args.worker:
        if args.worker in WORKERS:
            made: dict[str, Any] = all_together(args.voices, shared=args.worker == WORKERS[1])
        else:
            made = by_itself(args.voices[0], args.worker, args.repeat)
        print(json.dumps(made))
        return
    names = chosen(args)
    others_busy = busy()
    voices: dict[str, Any] = {
        name: {
            "costs": costs(name),
            "alone": {t: in_a_fresh_process([name], t, args.repeat, args.cores) for t in TARGETS},
        }
        for name in names
    }
    loaded = {name: polyvox.load(name) for name in names}
    # A voice that is alone keeps itself company.
    company = {**loaded} if len(loaded) > 1 else {**loaded, "another of it": polyvox.load(names[0])}
    for voice in loaded.values():
        factor(voice)
    together = {
        "memory_mb": {work: in_a_fresh_process(names, work, args.repeat, args.cores) for work in WORKERS},
        "others": "the others" if len(loaded) > 1 else "one voice, loaded twice",
        "company": {n: f for n, f in in_company(company, args.repeat).items() if n in loaded},
        "loading": while_loading(loaded, names, args.repeat),
    }
    report = {
        "machine": f"{platform.processor() or platform.machine()}, Python {platform.python_version()}",
        "cores": args.cores,
        "repeat": args.repeat,
        "others_busy": others_busy,
        "voices": voices,
        "together": together,
    }
    print_tables(report)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
