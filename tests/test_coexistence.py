"""Voices of any architecture in one process: each speaks to the bit as it does alone, whatever the others do."""

import itertools
import queue
import random
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import polyvox
import tiny
from company import (
    NAMES,
    PACES,
    TEXTS,
    Job,
    at_once,
    chunks,
    content,
    each_alone,
    jobs_of,
    load,
    make,
    poisoned,
    spoken,
)
from polyvox.errors import PolyvoxError, TensorError, TextError
from polyvox.windows import Pace


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("coexistence"))


@pytest.fixture(scope="module")
def alone(folder):
    return each_alone(folder)


@pytest.fixture(scope="module")
def voices(folder):
    """All of them, loaded into this one process."""
    loaded = {name: load(folder, name) for name in NAMES}
    yield loaded
    for voice in loaded.values():
        voice.close()


def test_the_shipped_voices_are_among_them(alone):
    assert {job.voice for job in alone} >= {"kathleen", "tim", "tam", "ada", "flo"}
    for job, got in alone.items():
        samples = np.concatenate([np.frombuffer(c[1], np.float32) for c in got])
        assert np.std(samples) > 0.005, job
        assert len(got) > 3 or job.pace is None


def test_all_at_once_are_what_each_is_alone(voices, alone):
    jobs = jobs_of(voices)
    rng = random.Random(4)
    for _ in range(3):
        # Another order, and other paces against each other, in each round.
        rng.shuffle(jobs)
        jobs = [Job(j.voice, j.text, j.speaker, PACES[(PACES.index(j.pace) + 1) % 4]) for j in jobs]
        for job, (got,) in at_once(voices, jobs):
            assert got == alone[job], job


def test_the_comparison_notices_a_block_that_shares_its_state(folder, tmp_path, registered):
    @registered("TestLeak")
    class Leak(polyvox.StreamableBlock):
        count = 0

        def stream(self, tensors, upstream):
            for chunk in upstream:
                self.count += 1  # of all utterances: what a block must not do
                yield {**chunk, "mel": chunk["mel"] * np.float32(1 + 1e-6 * self.count)}

    tiny.vocoder(tmp_path / "tom")
    path = tiny.acoustic(tmp_path / "leaky", stack=[*tiny.ARTICLE_STACK, {"type": "TestLeak"}])
    job = Job("leaky", TEXTS["en"], "ann", Pace(7, 1, 7))
    by_itself = spoken(polyvox.load(path), job)
    assert spoken(polyvox.load(path), job) == by_itself
    for _, results in at_once({"leaky": polyvox.load(path)}, [job] * 2, rounds=2):
        assert by_itself not in results[1:]


def while_others_speak(voices, alone, body, rounds=1):
    """Run `body` again and again while all voices speak; their speech must not change. Returns how often it ran."""
    jobs = jobs_of(voices)
    done, began = threading.Event(), threading.Event()
    count = 0

    def beside():
        nonlocal count
        try:
            while not done.is_set() or not count:
                body()
                count += 1
                began.set()
        finally:
            began.set()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(beside)
        began.wait(60)
        try:
            for job, results in at_once(voices, jobs, rounds):
                assert all(got == alone[job] for got in results), job
        finally:
            done.set()
        running.result(120)
    return count


def test_loading_and_closing_a_voice_changes_nothing_in_the_others(folder, voices, alone):
    turn = itertools.cycle(NAMES)

    def come_and_go():
        name = next(turn)
        voice = load(folder, name)
        job = next(j for j in alone if j.voice == name)
        stream = chunks(voice, job)
        assert content(next(stream)) == alone[job][0]
        stream.close()
        voice.close()

    assert while_others_speak(voices, alone, come_and_go, rounds=2) > 1


def test_voices_whose_networks_break_touch_no_other(voices, alone, tmp_path):
    encoders = {"tim": "text_encoder", "tam": "text_encoder", "ada": "encoder"}
    bad = [
        polyvox.load(poisoned(tmp_path, name, **{e: ("table", tiny.SYMBOLS.index("q"))}))
        for name, e in encoders.items()
    ]
    wholes = [voice.say("Hello there.", whole=True) for voice in bad]
    turn = itertools.cycle(zip(bad, wholes, strict=True))

    def fail():
        # The first sentence is given before the second one fails.
        voice, whole = next(turn)
        stream = voice.stream("Hello there. A quiet quack.", pace=Pace(7, 1, 7))
        given = []
        with pytest.raises(TensorError):
            given.extend(stream)
        assert sum(len(c.samples) for c in given) >= len(whole.samples)
        assert list(stream) == []

    assert while_others_speak(voices, alone, fail) > 3
    for voice, whole in zip(bad, wholes, strict=True):
        np.testing.assert_array_equal(voice.say("Hello there.", whole=True).samples, whole.samples)
        voice.close()


def test_a_network_that_breaks_on_every_text(voices, alone, tmp_path):
    bad = polyvox.load(poisoned(tmp_path, "tim", decoder=("bias1", 0)))

    def fail():
        with pytest.raises(TensorError, match="'mel' of network 'vocoder' is not a finite number"):
            bad.say("Hello there.")

    assert while_others_speak(voices, alone, fail) > 3
    bad.close()


def test_bad_texts_to_the_same_voices_touch_no_speech(voices, alone):
    turn = itertools.cycle(itertools.product(voices.values(), ["", " ", "\u4f60\u597d"]))

    def fail():
        voice, text = next(turn)
        try:
            voice.say(text)
        except TextError:
            return
        assert text.strip()  # some front ends find something to say

    assert while_others_speak(voices, alone, fail) > 3


def test_bad_controls_and_speakers_to_the_same_voices_touch_no_speech(voices, alone):
    turn = itertools.cycle(voices.values())

    def fail():
        with pytest.raises(PolyvoxError, match="nobody"):
            next(turn).say("Hello", speaker="nobody")
        with pytest.raises(PolyvoxError, match="nothing"):
            next(turn).say("Hello", nothing=1.0)

    assert while_others_speak(voices, alone, fail) > 3


def test_streams_closed_early_from_other_threads(voices, alone):
    """One thread begins them, another ends them, while all voices speak: as a service cancels."""
    begun = queue.Queue()
    turn = itertools.cycle(alone)
    closed = []

    def close_them():
        while (stream := begun.get(timeout=60)) is not None:
            stream.close()
            closed.append(list(stream))

    closer = threading.Thread(target=close_them)
    closer.start()

    def begin():
        job = next(turn)
        stream = chunks(voices[job.voice], job)
        pulled = [content(c) for c in itertools.islice(stream, 2)]
        assert pulled == alone[job][:2]
        begun.put(stream)

    try:
        count = while_others_speak(voices, alone, begin)
    finally:
        begun.put(None)
        closer.join(60)
    assert len(closed) == count > 3
    assert not any(closed)


def test_closing_a_stream_that_is_being_pulled_is_refused_and_harms_nothing(tmp_path, registered):
    held, go_on = threading.Event(), threading.Event()

    @registered("TestHold")
    class Hold(polyvox.StreamableBlock):
        def stream(self, tensors, upstream):
            for chunk in upstream:
                held.set()
                go_on.wait(60)
                yield chunk

    tiny.vocoder(tmp_path / "tom")
    voice = polyvox.load(tiny.acoustic(tmp_path / "tim", stack=[*tiny.ARTICLE_STACK, {"type": "TestHold"}]))
    job = Job("tim", TEXTS["en"], None, Pace(7, 1, 7))
    stream = chunks(voice, job)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(next, stream)
        assert held.wait(60)
        with pytest.raises(ValueError, match="already executing"):
            stream.close()
        go_on.set()
        got = [content(first.result(60)), *map(content, stream)]
    assert got == spoken(voice, job)


def test_two_voices_of_one_addon_share_nothing_that_closing_takes_away(folder, alone):
    one, other = load(folder, "tim"), load(folder, "tim")
    job = next(j for j in alone if j.voice == "tim" and j.pace == Pace(7, 1, 7))
    stream = chunks(other, job)
    got = [content(next(stream))]
    one.close()
    got += map(content, stream)
    assert got == alone[job]
    other.close()
