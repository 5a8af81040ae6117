"""All voices of the package and tiny ones of every architecture, and what each gives by itself, to the bit."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import numpy_helper

import polyvox
import tiny
import tiny_attention
import tiny_flow
from polyvox.addons import Addon
from polyvox.addons.library import SHIPPED
from polyvox.windows import Pace

TEXTS = {
    "en": "Good morning. The harbour lay quiet, and a small boat went out.",
    "de": "Guten Morgen. Der Hafen lag still, und ein kleines Boot fuhr hinaus.",
    "nl": "Goedemorgen. De haven lag stil, en een kleine boot voer uit.",
}
PACES = [Pace(7, 1, 7), Pace(32, 1, 32), Pace(50, 1, 50), None]
"""Of one size throughout, so that chunks do not depend on the clock; None is the whole at once."""


def shipped():
    """The shipped addons that speak, by name: a new one joins these tests by being there."""
    opened = {path.name: Addon.open(path) for path in sorted(SHIPPED.iterdir()) if (path / "addon.json").is_file()}
    return {name: addon for name, addon in opened.items() if addon.manifest.kind != "vocoder"}


@dataclass(frozen=True)
class Job:
    voice: str
    text: str
    speaker: str | None
    pace: Pace | None


def chunks(voice, job):
    return voice.stream(job.text, speaker=job.speaker, pace=job.pace, whole=job.pace is None)


def content(chunk):
    """All that a listener gets, for comparing to the bit."""
    return chunk.position, chunk.samples.tobytes(), chunk.words, chunk.phonemes, chunk.warnings


def spoken(voice, job):
    return [content(chunk) for chunk in chunks(voice, job)]


def jobs_of(voices):
    """Every voice and speaker, at two paces each, the paces mixed over the voices."""
    paces = itertools.cycle(PACES)
    return [
        Job(name, TEXTS.get((voice.addon.manifest.languages or ["en"])[0][:2], TEXTS["en"]), speaker, pace)
        for name, voice in voices.items()
        for speaker in voice.addon.manifest.speakers or [None]
        for pace in itertools.islice(paces, 2)
    ]


def at_once(voices, jobs, rounds=1):
    """What each job gives when all of them speak at the same time, round after round in another order."""
    start = threading.Barrier(len(jobs))

    def work(job):
        start.wait(60)
        return [spoken(voices[job.voice], job) for _ in range(rounds)]

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(zip(jobs, pool.map(work, jobs), strict=True))


def make(folder):
    """The tiny addons."""
    tiny.vocoder(folder / "tom")
    tiny.acoustic(folder / "tim")
    tiny.speech(folder / "tam")
    tiny_attention.acoustic(folder / "ada")
    tiny_flow.acoustic(folder / "flo")
    return folder


def load(folder, name, device=None):
    """A shipped or a tiny voice; `name@target` on another target."""
    name, _, target = name.partition("@")
    path = SHIPPED / name if name in shipped() else folder / name
    return polyvox.load(path, target=target or "cpu", device=device)


NAMES = [*shipped(), "tim", "tam", "ada", "flo", "tim@cpu-fixed", "ada@cpu-fixed"]


def each_alone(folder):
    """What each job gives, at every pace, from a voice loaded and speaking with no other at work."""
    found = {}
    for name in NAMES:
        voice = load(folder, name)
        for job in jobs_of({name: voice}):
            for pace in PACES:
                job = Job(job.voice, job.text, job.speaker, pace)
                if job not in found:
                    found[job] = spoken(voice, job)
        voice.close()
    return found


def poisoned(folder, name, **broken):
    """A copy of a tiny voice in whose networks some weights are no numbers: `network="weight"`, all or one row."""
    made = {"tim": tiny.acoustic, "tam": tiny.speech, "ada": tiny_attention.acoustic}[name](folder / name)
    tiny.vocoder(folder / "tom")
    for network, (weight, row) in broken.items():
        model = onnx.load(made / f"{network}.onnx")
        tensor = next(t for t in model.graph.initializer if t.name == weight)
        values = numpy_helper.to_array(tensor).copy()
        values[row] = np.nan
        tensor.CopyFrom(numpy_helper.from_array(values, weight))
        onnx.save(model, made / f"{network}.onnx")
    return made
