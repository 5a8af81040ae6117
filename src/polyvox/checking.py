"""Checking an addon by running it: what `polyvox check` reports.

Chunked against whole, fixed shapes against dynamic ones, the context that networks declare against the context that
they use, and speed; with recordings, also the quality of what it says (`polyvox.quality`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from polyvox.addons import Addon, Stack
from polyvox.addons.library import open_addon
from polyvox.blocks import connect
from polyvox.errors import PolyvoxError
from polyvox.networks import Network
from polyvox.tensors import Array, Tensors, join
from polyvox.voice import Voice
from polyvox.windows import WHOLE, Pace

if TYPE_CHECKING:
    from polyvox.quality.gate import Gate
    from polyvox.quality.tables import Table

TOLERANCE = 1e-4
"""Largest difference between two ways of running one voice, of full scale."""

TEXTS = (
    "A.",
    "Good morning.",
    "The quick brown fox jumps over the lazy dog, and nobody knows why; it may be the weather, or the dog.",
)
CHUNKS = (1, 7, 24, 100)
"""Frames a chunk."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found: `ok` is None where there is only something to know; `table` is what it stands on."""

    check: str
    ok: bool | None
    detail: str
    figures: Mapping[str, float] = field(default_factory=dict)
    table: Table | None = None


def check(path: str | Path, vocoder: str | Path | None = None, gate: Gate | None = None) -> Iterator[Finding]:
    """Check an addon; findings come as they are made, and end early if nothing more can be run.

    Args:
        path: the addon, by name or path.
        vocoder: another vocoder than the one that the addon names.
        gate: recordings to measure its quality against, and limits; that comes last.
    """
    try:
        addon = open_addon(path)
    except PolyvoxError as error:
        yield Finding("manifest", False, str(error))
        return
    manifest = addon.manifest
    megabytes = addon.files.total() / 1e6
    yield Finding(
        "manifest", True, f"{manifest.name} {manifest.version}, {manifest.kind}, {megabytes:.1f} MB", {"mb": megabytes}
    )
    try:
        stack = addon.stack()
    except PolyvoxError as error:
        yield Finding("stack", False, str(error))
        return
    yield Finding("stack", True, f"its {len(stack.networks)} networks and their blocks fit together")
    yield from _contexts(stack)
    if manifest.kind == "vocoder":
        yield from _vocoder(addon, stack)
        if gate is not None:
            yield from _quality(gate.vocoder(addon))
        return
    try:
        voice = _voice(addon, vocoder, "cpu")
    except PolyvoxError as error:
        yield Finding("voice", False, str(error))
        return
    yield from _voice_findings(addon, vocoder, voice)
    if gate is not None:
        yield from _quality(gate.voice(voice))


def _quality(findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except PolyvoxError as error:
        yield Finding("quality", False, str(error))


# --- context -----------------------------------------------------------------------------------------------------


def _contexts(stack: Stack) -> Iterator[Finding]:
    for (name, _), network in stack.networks.items():
        if network.spec.stream is None:
            continue
        declared = network.spec.stream.context
        try:
            left, right = measured_context(network)
        except PolyvoxError as error:
            yield Finding(f"context of {name}", False, str(error))
            continue
        ok = left <= declared.left and right <= declared.right
        verdict = "covers" if ok else "does not cover"
        yield Finding(
            f"context of {name}",
            ok,
            f"declared {declared.left}+{declared.right} frames {verdict} the measured {left}+{right}",
            {"left": left, "right": right},
        )


def measured_context(network: Network, seed: int = 0) -> tuple[int, int]:
    """How many steps to the left and right an output of a streamed network depends on.

    One input step is changed, and the outputs that move are counted. A network that looks further than the length
    tried (twice the declared context and 64 steps) shows that length.
    """
    assert network.spec.stream is not None
    axis, context = network.spec.stream.axis, network.spec.stream.context
    length = 2 * (context.left + context.right) + 64
    middle = length // 2
    random = np.random.default_rng(seed)
    inputs = _noise(network, {axis: length}, random)
    before = network.run(inputs)
    moved = np.zeros(length, dtype=bool)
    for name, spec in network.spec.wanted().items():
        if axis not in spec.axes:
            continue
        changed = inputs[name].copy()
        place = tuple(middle if a == axis else slice(None) for a in spec.axes)
        changed[place] = changed[place] * 2 + 1
        after = network.run({**inputs, name: changed})
        for out, out_spec in network.spec.outputs.items():
            time_axis = next(i for i, a in enumerate(out_spec.axes) if isinstance(a, str))
            difference = np.abs(np.moveaxis(after[out].astype(np.float64) - before[out], time_axis, 0))
            rows = difference.reshape(length, -1).max(axis=1)
            moved |= rows > 1e-6 * max(1.0, float(np.abs(before[out]).max()))
    places = np.flatnonzero(moved)
    if not len(places):
        return 0, 0
    # An output to the right of the change looks to its left.
    return max(0, int(places[-1]) - middle), max(0, middle - int(places[0]))


def _noise(network: Network, sizes: Mapping[str, int], random: np.random.Generator) -> dict[str, Array]:
    inputs: dict[str, Array] = {}
    for name, spec in network.spec.wanted().items():
        shape = [a if isinstance(a, int) else sizes.get(a, 16) for a in spec.axes]
        if spec.dtype.startswith("int"):
            inputs[name] = np.ones(shape, dtype=spec.dtype)
        else:
            inputs[name] = (1 + np.abs(random.standard_normal(shape))).astype(spec.dtype)
    return inputs


# --- running a voice in different ways ---------------------------------------------------------------------------


def _voice(addon: Addon, vocoder: str | Path | None, target: str) -> Voice:
    wanted = vocoder or addon.manifest.vocoder
    beside = Path(addon.files.where).parent
    other = None if wanted is None else open_addon(wanted, None if vocoder else beside)
    return Voice(addon, other, target=target)


def difference(a: Array, b: Array) -> float:
    """Largest absolute difference; infinite where the lengths differ or something is not a number."""
    if a.shape != b.shape or not np.all(np.isfinite(a)):
        return float("inf")
    return float(np.max(np.abs(a - b), initial=0.0))


def _compare(name: str, runs: Mapping[str, Callable[[], Array]], reference: Array) -> Finding:
    worst, which = 0.0, ""
    for label, run in runs.items():
        try:
            found = difference(run(), reference)
        except PolyvoxError as error:
            return Finding(name, False, f"{label}: {error}")
        if found >= worst:
            worst, which = found, label
    if worst == float("inf"):
        return Finding(name, False, f"{which} makes another length, or no numbers", {"difference": worst})
    ok = worst <= TOLERANCE
    level = f"{20 * np.log10(worst):.0f} dB" if worst > 0 else "nothing"
    return Finding(
        name,
        ok,
        f"largest difference {worst:.1e} of full scale ({level}, {which}), {'within' if ok else 'above'} {TOLERANCE:g}",
        {"difference": worst},
    )


def _say(voice: Voice, text: str, pace: Pace | None = None) -> Array:
    return voice.say(text, pace=pace).samples


def _voice_findings(addon: Addon, vocoder: str | Path | None, voice: Voice) -> Iterator[Finding]:
    for text in TEXTS:
        whole = voice.say(text, whole=True).samples

        runs = {f"chunks of {s}": partial(_say, voice, text, Pace(s, 1.0, s)) for s in CHUNKS}
        runs["growing chunks"] = partial(_say, voice, text)
        yield _compare(f"chunked, {len(text)} characters", runs, whole)
    try:
        fixed = _voice(addon, vocoder, "cpu-fixed")
    except PolyvoxError as error:
        yield Finding("fixed shapes", False, str(error))
    else:
        for text in TEXTS:
            runs = {"cpu-fixed": partial(_say, fixed, text)}
            yield _compare(f"fixed shapes, {len(text)} characters", runs, _say(voice, text))
        fixed.close()
    yield _speed(voice)


def _speed(voice: Voice) -> Finding:
    text = TEXTS[-1]
    firsts, totals, seconds = [], [], 0.0
    for _ in range(5):
        began = time.perf_counter()
        chunks = voice.stream(text)
        first = next(chunks)
        firsts.append(time.perf_counter() - began)
        rest = list(chunks)
        totals.append(time.perf_counter() - began)
        seconds = sum(c.seconds for c in [first, *rest])
    milliseconds = 1000 * float(np.median(firsts))
    factor = float(np.median(totals)) / max(seconds, 1e-9)
    return Finding(
        "speed",
        None,
        f"first audio after {milliseconds:.0f} ms, real-time factor {factor:.3f} on one thread here",
        {"first_audio_ms": milliseconds, "real_time_factor": factor},
    )


# --- a vocoder by itself -----------------------------------------------------------------------------------------


def _vocoder(addon: Addon, stack: Stack) -> Iterator[Finding]:
    mel = _features(addon, 300)

    def speak(on: Stack, size: int) -> Array:
        chunks: list[Tensors] = []
        tensors = {n: np.asarray(c.default, dtype=np.float32) for n, c in addon.manifest.controls.items()}
        source = iter([{"mel": mel[i : i + 40]} for i in range(0, len(mel), 40)])
        stream = connect(on.block, tensors, source)
        while True:
            stream.ask(size)
            chunk = next(stream, None)
            if chunk is None:
                return join(chunks)["audio"]
            chunks.append(chunk)

    hop = addon.manifest.features.hop_length
    began = time.perf_counter()
    whole = speak(stack, WHOLE)
    spent = time.perf_counter() - began
    if len(whole) != len(mel) * hop:
        yield Finding("length", False, f"{len(mel)} frames make {len(whole)} samples, expected {len(mel) * hop}")
        return
    yield Finding("length", True, f"{len(mel)} frames make {len(whole)} samples")
    yield _compare("chunked", {f"chunks of {s}": partial(speak, stack, s * hop) for s in CHUNKS}, whole)
    try:
        fixed = addon.stack("cpu-fixed")
    except PolyvoxError as error:
        yield Finding("fixed shapes", False, str(error))
    else:
        yield _compare("fixed shapes", {"cpu-fixed": partial(speak, fixed, 24 * hop)}, whole)
        fixed.close()
    factor = spent / (len(whole) / addon.manifest.features.sample_rate)
    yield Finding("speed", None, f"real-time factor {factor:.3f} on one thread here", {"real_time_factor": factor})


def _features(addon: Addon, frames: int) -> Array:
    """Features that wander as speech does: smooth in time and over the bands, between silence and loud."""
    random = np.random.default_rng(0)
    bands = addon.manifest.features.bands
    rough = random.standard_normal((frames + 20, bands + 20))
    kernel = np.hanning(21)
    smooth = np.apply_along_axis(np.convolve, 0, rough, kernel / kernel.sum(), "valid")
    smooth = np.apply_along_axis(np.convolve, 1, smooth, kernel / kernel.sum(), "valid")
    features: Array = (-5.0 + 2.0 * smooth / smooth.std()).astype(np.float32)
    return features
