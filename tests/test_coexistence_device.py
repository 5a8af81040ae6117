"""Voices that share a device: calls of several streams may run as one, and a vocoder is loaded once."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import polyvox
import tiny
from company import NAMES, Job, at_once, chunks, content, each_alone, jobs_of, load, make, poisoned, shipped, spoken
from polyvox.errors import TensorError
from polyvox.networks import Device
from polyvox.windows import Pace


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("coexistence"))


@pytest.fixture(scope="module")
def alone(folder):
    return each_alone(folder)


def close_to(got, expected, tolerance=3e-4):
    """The same chunks, words and warnings, and the same audio to rounding: calls that run as one round differently."""
    assert [(p, len(a), *rest) for p, a, *rest in got] == [(p, len(a), *rest) for p, a, *rest in expected]
    for (_, samples, *_), (_, others, *_) in zip(got, expected, strict=True):
        samples, others = (np.frombuffer(each, np.float32) for each in (samples, others))
        np.testing.assert_allclose(samples, others, atol=tolerance, rtol=0)


def feeds_itself(voice):
    return any(network.spec.state for stack in voice.stacks for network in stack.networks.values())


def test_all_at_once_are_what_each_is_alone(folder, alone):
    device = Device(1, longest=math.inf)  # one run at a time, and joined whatever waits
    voices = {name: load(folder, name, device) for name in NAMES}
    for job, (got,) in at_once(voices, [*jobs_of(voices)] * 2):
        if job.voice in shipped() and feeds_itself(voices[job.voice]):
            # What it hears of itself is rounded otherwise as well, and again at each step: the same words remain.
            words, expected = ([w.text for c in chunks for w in c[2]] for chunks in (got, alone[job]))
            assert words == expected
        else:
            close_to(got, alone[job])
    assert any(used.calls > used.runs for used in device.usage().values())
    for voice in voices.values():
        voice.close()


def test_the_vocoder_of_a_closed_voice_speaks_on_for_the_others(folder, alone):
    device = Device(1)
    one, other = load(folder, "tim", device), load(folder, "ada", device)
    job = next(j for j in alone if j.voice == "ada" and j.pace == Pace(7, 1, 7))
    stream = chunks(other, job)
    got = [content(next(stream))]
    one.close()
    got += map(content, stream)
    close_to(got, alone[job])
    other.close()


def test_a_call_that_breaks_does_not_break_those_it_runs_with(tmp_path):
    device = Device(1, longest=math.inf)
    bad = polyvox.load(poisoned(tmp_path, "tim", text_encoder=("table", tiny.SYMBOLS.index("q"))), device=device)
    good, broken = Job("tim", "Hello there, good people.", None, Pace(7, 1, 7)), "Quack quack, good people."
    expected = spoken(bad, good)
    start = threading.Barrier(8)

    def work(number):
        start.wait(60)
        for _ in range(5):
            if number % 2:
                with pytest.raises(TensorError):
                    bad.say(broken.lower())
            else:
                close_to(spoken(bad, good), expected)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert any(used.calls > used.runs for used in device.usage().values())
    bad.close()
