"""The engine: admission, limits, streams beside each other, what goes wrong, and the end. With tiny voices."""

from __future__ import annotations

import asyncio
import gc
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tiny
from polyvox.errors import MissingExtraError, PolyvoxError, TargetError
from polyvox.service import engine as engine_module
from polyvox.service import shelf as shelf_module
from polyvox.service import stream as stream_module
from polyvox.service.admission import Admission
from polyvox.service.costs import Cost
from polyvox.service.engine import Engine, Request, Speaking
from polyvox.service.errors import (
    BadRequest,
    Busy,
    Gone,
    Limited,
    ServiceError,
    Stopping,
    TooLong,
    UnknownVoice,
    VoiceFailed,
)
from polyvox.service.settings import Settings
from polyvox.service.stream import RESTING, Stream
from polyvox.speech import Chunk

PATIENCE = 60
TEXT = "abc def ghi. jkl mno, pqr stu. vwx yz!"
LONG = " ".join(["Abc def ghi jkl mno pqr."] * 200)
"""Far more than a stream may be ahead."""


@pytest.fixture(autouse=True)
def only_ours(monkeypatch):
    """No shipped voices, nor those of the environment."""
    monkeypatch.setattr(shelf_module, "library_folders", lambda: [])


def settings(folder: Path, **changes) -> Settings:
    tables = {"voices": {"folders": [folder], "default": "tim"}, "compute": {"slots": 1}}
    for name, value in changes.items():
        tables[name] = {**tables.get(name, {}), **value} if isinstance(value, dict) else value
    return Settings.model_validate(tables)


def run(folder: Path, test, **changes) -> None:
    """Run `test(engine)` with an engine that was started, and is stopped afterwards and leaves nothing."""
    before = set(threading.enumerate())

    async def body() -> None:
        engine = Engine(settings(folder, **changes))
        await engine.start()
        try:
            await test(engine)
        finally:
            await engine.stop(0)
        assert not engine._open
        assert not engine._clients
        assert not engine.shelf.loaded
        assert asyncio.all_tasks() == {asyncio.current_task()}

    async def limited() -> None:
        async with asyncio.timeout(PATIENCE):
            await body()

    asyncio.run(limited())
    gc.collect()
    assert not set(threading.enumerate()) - before


async def heard(speaking: Speaking) -> np.ndarray:
    return np.concatenate([np.zeros(0, np.float32), *[chunk.samples async for chunk in speaking]])


async def say(engine: Engine, text: str = TEXT, **options) -> np.ndarray:
    async with await engine.open(Request(text, **options)) as speaking:
        return await heard(speaking)


def rates(engine: Engine, rate: float) -> None:
    """Let every voice cost so much."""
    for revision in engine.shelf._versions:
        revision.cost = fixed(rate)


def fixed(rate: float, first: float = 0.0) -> Cost:
    cost = Cost()
    cost._cpu, cost._audio, cost.first = rate * 1e9, 1e9, first
    return cost


# --- speaking ----------------------------------------------------------------------------------------------------


def test_a_stream_says_all_of_its_text_and_tells_what_it_took(tiny_folder, voice):
    async def test(engine: Engine) -> None:
        async with await engine.open(Request(TEXT, speaker="ben", controls={"speed": 1.5})) as speaking:
            assert (speaking.voice, speaking.version, speaking.speaker) == ("tim", "1.0.0", "ben")
            assert (speaking.language, speaking.sample_rate) == ("en-US", tiny.RATE)
            first = await speaking.first()
            assert first is not None
            assert first is await speaking.first()
            chunks = [chunk async for chunk in speaking]
            assert chunks[0] is first
            assert await speaking.first() is None
            timing = speaking.timing
            assert timing.audio == pytest.approx(sum(c.seconds for c in chunks))
            assert timing.first_audio is not None
            assert min(timing.compute, timing.text, timing.networks) > 0
        wanted = voice.say(TEXT, speaker="ben", speed=1.5)
        assert np.allclose(np.concatenate([c.samples for c in chunks]), wanted.samples, atol=1e-5)
        assert [w.text for c in chunks for w in c.words] == [w.text for w in wanted.words]

    run(tiny_folder, test)


@pytest.mark.parametrize("batching", [False, True])
@pytest.mark.parametrize("order", ["deadline", "turn", "arrival"])
def test_streams_beside_each_other_say_what_each_says_alone(tiny_folder, monkeypatch, batching, order):
    # Chunks of one size, for the bits of a sum depend on how it was cut.
    monkeypatch.setattr(stream_module.Ear, "ask", lambda self: 32)
    wanted = [
        Request(f"{word} abc def ghi. {word}!", voice=name, controls={"speed": speed})
        for name in ("tim/ann", "tim/ben", "tam")
        for word, speed in (("jkl mno", 1.0), ("pqr", 0.7), ("stu vwx yz abc def", 1.3), ("a", 1.0))
    ]

    async def test(engine: Engine) -> None:
        async def one(request: Request) -> np.ndarray:
            async with await engine.open(request) as speaking:
                return await heard(speaking)

        alone = [await one(request) for request in wanted]
        together = await asyncio.gather(*(one(request) for request in wanted * 2))
        for before, after in zip(alone * 2, together, strict=True):
            assert len(before)
            if batching:
                assert np.allclose(before, after, atol=1e-5)
            else:
                assert np.array_equal(before, after)

    run(tiny_folder, test, compute={"batching": batching, "slots": 2, "workers": 4, "order": order, "headroom": 10})


def test_a_client_that_takes_nothing_is_not_computed_for(tiny_folder):
    async def test(engine: Engine) -> None:
        async with await engine.open(Request(LONG)) as speaking:
            await speaking.first()
            stream = speaking._stream
            await say(engine, realtime=False)  # bulk comes last: the other has all that it may have
            assert stream.state == RESTING
            assert stream.made <= 2.0
            assert stream.timing.audio == stream.made

    run(tiny_folder, test, streams={"ahead": 2.0}, compute={"slots": 1, "workers": 1})


def test_cancelling_ends_the_iteration_and_frees_the_voice_and_the_place(tiny_folder):
    async def test(engine: Engine) -> None:
        speaking = await engine.open(Request(LONG, client="bob"))
        await speaking.first()
        revision = engine.shelf.choose().revision
        assert revision.users == 1
        speaking.cancel()
        speaking.cancel()
        assert not engine._clients
        assert [chunk async for chunk in speaking] == []
        assert await speaking.first() is None
        await speaking.aclose()
        await asyncio.sleep(0)
        assert revision.users == 0
        made = speaking.timing.audio
        await say(engine)
        assert speaking.timing.audio == made

    run(tiny_folder, test)


def test_who_is_forgotten_is_not_computed_for(tiny_folder):
    async def test(engine: Engine) -> None:
        speaking = await engine.open(Request(LONG))
        await speaking.first()
        stream = speaking._stream
        del speaking
        gc.collect()
        await asyncio.sleep(0)
        await engine._scheduler.closed(stream)
        assert not engine._open

    run(tiny_folder, test)


def test_a_client_that_leaves_while_a_voice_is_loaded_holds_nothing(tiny_folder, monkeypatch):
    go, loads = threading.Event(), threading.Semaphore(0)

    async def test(engine: Engine) -> None:
        load = engine.shelf._loader.load

        def slow(entry, cost):
            loads.release()
            assert go.wait(PATIENCE)
            return load(entry, cost)

        monkeypatch.setattr(engine.shelf._loader, "load", slow)
        asking = asyncio.ensure_future(engine.open(Request(TEXT, voice="tam")))
        assert await asyncio.to_thread(loads.acquire, timeout=PATIENCE)
        assert len(engine._open) == 1
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not engine._open
        go.set()
        assert len(await say(engine, voice="tam"))
        assert engine.shelf.choose("tam").revision.users == 0

    run(tiny_folder, test)
    go.set()


# --- what goes wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "kind", "param"),
    [
        (Request(TEXT, voice="nobody"), UnknownVoice, "voice"),
        (Request(TEXT, speaker="eve"), UnknownVoice, "speaker"),
        (Request(TEXT, language="nl"), UnknownVoice, "language"),
        (Request(TEXT, controls={"speed": 9.0}), BadRequest, "speed"),
        (Request(TEXT, controls={"speed": float("nan")}), BadRequest, "speed"),
        (Request(TEXT, controls={"pitch": 1.0}), BadRequest, "pitch"),
        (Request(""), BadRequest, "text"),
        (Request(" \n"), BadRequest, "text"),
        (Request("x" * 101), TooLong, "text"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_computed(tiny_folder, request_, kind, param):
    async def test(engine: Engine) -> None:
        with pytest.raises(kind) as caught:
            await engine.open(request_)
        assert caught.value.param == param
        assert caught.value.status in (400, 404)
        assert not engine._open

    run(tiny_folder, test, limits={"text": 100})


def test_a_speed_of_one_is_what_every_voice_has(tmp_path):
    tiny.vocoder(tmp_path / "tom")
    tiny.acoustic(tmp_path / "tim")
    tiny.edit(tmp_path / "tim", lambda m: m["networks"]["duration_predictor"]["inputs"])
    entry_controls = {"speed": 1.0}

    class Entry:
        class manifest:
            name, controls = "tim", {}

        vocoder_manifest = None

    assert engine_module._speakable(Entry, entry_controls) == {}
    with pytest.raises(BadRequest, match="has no control 'speed'"):
        engine_module._speakable(Entry, {"speed": 1.1})


def test_a_text_that_cannot_be_spoken_shows_before_any_audio(tiny_folder):
    async def test(engine: Engine) -> None:
        async with await engine.open(Request("...")) as speaking:
            with pytest.raises(BadRequest) as caught:
                await speaking.first()
            assert (caught.value.code, caught.value.param) == ("text_unspeakable", "text")
        assert not engine._open

    run(tiny_folder, test)


def test_a_voice_that_fails_fails_its_own_stream_and_tells_nothing_of_the_inside(tiny_folder, monkeypatch, caplog):
    speak = engine_module._speak

    def failing(voice, text, speaker, listener, controls) -> Iterator[Chunk]:
        made = speak(voice, text, speaker, listener, controls)
        for chunk in made:
            if text.startswith("boom"):
                yield chunk
                raise RuntimeError("/secret/path")
            yield chunk

    monkeypatch.setattr(engine_module, "_speak", failing)

    async def test(engine: Engine) -> None:
        good = await engine.open(Request(LONG))
        bad = await engine.open(Request(f"boom {TEXT}"))
        assert await bad.first() is not None
        with pytest.raises(VoiceFailed) as caught:
            await heard(bad)
        assert str(caught.value) == "voice 'tim' failed; the reason is in the service's log"
        assert "/secret/path" in caplog.text
        assert len(await heard(good))
        await bad.aclose()
        assert len(await say(engine))

    run(tiny_folder, test)


def test_a_voice_that_cannot_be_loaded_is_the_services_fault(tiny_folder, tmp_path):
    shutil.copytree(tiny_folder, tmp_path / "voices")
    (tmp_path / "voices" / "tam" / "generator.onnx").write_bytes(b"not a network")

    async def test(engine: Engine) -> None:
        with pytest.raises(VoiceFailed) as caught:
            await engine.open(Request(TEXT, voice="tam"))
        assert str(tmp_path) not in str(caught.value)
        assert not engine._open
        assert len(await say(engine))

    run(tmp_path / "voices", test)


def test_an_unknown_target_is_refused_before_anything_is_started(tiny_folder):
    with pytest.raises(TargetError):
        Engine(settings(tiny_folder, compute={"target": "abacus"}))


# --- admission ---------------------------------------------------------------------------------------------------


def test_beyond_capacity_a_stream_is_refused_at_once_and_the_running_ones_go_on(tiny_folder):
    async def test(engine: Engine) -> None:
        rates(engine, 0.4)  # of 0.85 processors: two
        running = [await engine.open(Request(LONG)) for _ in range(2)]
        with pytest.raises(Busy) as caught:
            await engine.open(Request(LONG))
        assert caught.value.status == 503
        assert 1 <= caught.value.retry_after <= 30
        assert engine.admission.load(engine._open) == pytest.approx(0.8)
        running[0].cancel()
        await running[0].aclose()
        async with await engine.open(Request(TEXT)) as third:
            assert len(await heard(third))
        assert len(await heard(running[1]))

    run(tiny_folder, test)


def test_bulk_is_admitted_beyond_capacity_up_to_its_own_limit(tiny_folder):
    async def test(engine: Engine) -> None:
        rates(engine, 0.8)
        running = await engine.open(Request(LONG))
        bulk = [await engine.open(Request(LONG, realtime=False)) for _ in range(3)]
        with pytest.raises(Busy, match="3 bulk streams"):
            await engine.open(Request(LONG, realtime=False))
        assert engine.admission.load(engine._open) == pytest.approx(0.8)
        assert len(await heard(running))
        for each in bulk:
            await each.aclose()

    run(tiny_folder, test, limits={"bulk": 3})


def test_a_voice_slower_than_real_time_is_admitted_where_nothing_runs(tiny_folder):
    async def test(engine: Engine) -> None:
        rates(engine, 5.0)
        assert len(await say(engine))
        async with await engine.open(Request(LONG)):
            with pytest.raises(Busy):
                await engine.open(Request(TEXT))

    run(tiny_folder, test)


def admission(slots: int = 2, **streams) -> Admission:
    return Admission(Settings.model_validate({"compute": {"slots": slots}, "streams": streams}))


def test_a_burst_of_starts_is_refused_though_the_average_is_low():
    judge = admission(2, first_audio_limit=0.25)
    starting = [Stream(cost=fixed(0.01, first=0.1)) for _ in range(4)]
    judge.check(fixed(0.01, first=0.1), starting)
    with pytest.raises(Busy, match="start at this moment"):
        judge.check(fixed(0.01, first=0.1), [*starting, Stream(cost=fixed(0.01, first=0.1))])
    for stream in starting:
        stream.timing.first_audio = 0.1
        stream.playing_since, stream.made = time.monotonic(), 0.4  # whose second chunk is as urgent
    with pytest.raises(Busy, match="start at this moment"):
        judge.check(fixed(0.01, first=0.1), [*starting, Stream(cost=fixed(0.01, first=0.1))])
    for stream in starting:
        stream.made = 3.0
    judge.check(fixed(0.01, first=0.1), [*starting, Stream(cost=fixed(0.01, first=0.1))])


def test_nobody_is_admitted_while_somebody_is_about_to_run_dry():
    judge = admission()
    stream = Stream(cost=fixed(0.01), expected=100.0)
    judge.check(fixed(0.01), [stream])
    now = time.monotonic()
    stream.playing_since, stream.made = now - 100.0, 100.1
    with pytest.raises(Busy, match="need all there is"):
        judge.check(fixed(0.01), [stream])
    stream.made = 110.0
    judge.check(fixed(0.01), [stream])
    stream.playing_since, stream.made = now - 0.3, 1.2  # it has only begun, and is on its way
    judge.check(fixed(0.01), [stream])
    stream.playing_since, stream.made, stream.buffered = now - 100.0, 50.0, 8.0  # it takes nothing of what there is
    judge.check(fixed(0.01), [stream])
    stream.buffered = 0.0
    stream.playing_since, stream.made = now - 100.0, 90.0
    stream.cost = fixed(0.9)  # a voice that is never ahead says nothing about the others
    judge.check(fixed(0.01), [stream])


def test_the_time_to_come_again_is_when_the_first_stream_may_be_made():
    judge = admission(1)
    streams = [Stream(cost=fixed(0.5), expected=e) for e in (100.0, 7.5)]
    with pytest.raises(Busy) as caught:
        judge.check(fixed(0.5), streams)
    assert caught.value.retry_after == 8
    streams[1].made = 7.2
    with pytest.raises(Busy) as caught:
        judge.check(fixed(0.5), streams)
    assert caught.value.retry_after == 1


def test_limits_of_one_client_and_of_all(tiny_folder):
    async def test(engine: Engine) -> None:
        bob = [await engine.open(Request(LONG, client="bob")) for _ in range(2)]
        with pytest.raises(Limited) as caught:
            await engine.open(Request(LONG, client="bob"))
        assert caught.value.status == 429
        eve = await engine.open(Request(LONG, client="eve"))
        with pytest.raises(Busy, match="3 streams are open"):
            await engine.open(Request(LONG, client="ann"))
        await heard(eve)  # taken to the end, it counts no more
        ann = await engine.open(Request(TEXT, client="ann"))
        for each in (*bob, eve, ann):
            await each.aclose()

    run(tiny_folder, test, limits={"streams": 3, "streams_per_client": 2}, compute={"headroom": 10})


def test_a_client_that_takes_nothing_for_too_long_is_cut(tiny_folder):
    async def test(engine: Engine) -> None:
        stalled, reading = await engine.open(Request(LONG)), await engine.open(Request(LONG))
        await stalled.first()
        await reading.first()
        reading._stream.last_taken += 100
        slow = Stream(cost=Cost())  # of which there is nothing to take yet
        slow.last_taken = 0.0
        engine._open[slow] = "slow"
        engine._cut_stalled(stalled._stream.last_taken + 120.5)
        assert list(engine._open) == [reading._stream, slow]
        del engine._open[slow]
        with pytest.raises(Gone):
            await heard(stalled)
        await reading.aclose()

    run(tiny_folder, test)


# --- versions, the end, what is counted --------------------------------------------------------------------------


def test_a_new_version_during_a_stream_breaks_nothing(tiny_folder, tmp_path):
    folder = tmp_path / "voices"
    shutil.copytree(tiny_folder, folder)

    async def test(engine: Engine) -> None:
        old = await engine.open(Request(LONG))
        await old.first()
        tiny.acoustic(folder / "tim-2", name="tim", version="2.0.0")
        await engine.shelf.rescan()
        new = await engine.open(Request(TEXT))
        assert (old.version, new.version) == ("1.0.0", "2.0.0")
        shutil.rmtree(folder / "tim")
        await engine.shelf.rescan()
        assert {v.version for v in engine.voices() if v.name == "tim"} == {"2.0.0"}
        assert len(await heard(new))
        assert sum(map(len, await asyncio.gather(heard(old)))) > 0
        await asyncio.gather(old.aclose(), new.aclose())
        await asyncio.sleep(0)
        assert engine.shelf.loaded == 1

    run(folder, test)


@pytest.mark.parametrize("change", ["another version", "other files of the same version"])
def test_who_speaks_in_a_place_speaks_on_though_its_files_go(tiny_folder, tmp_path, change):
    """As between two clauses of a text that is still being written."""
    folder = tmp_path / "voices"
    shutil.copytree(tiny_folder, folder)

    async def test(engine: Engine) -> None:
        place = engine.place()
        first = await engine.open(Request(TEXT), place)
        wanted = await heard(first)
        shutil.rmtree(folder / "tim")
        version = "2.0.0" if change == "another version" else "1.0.0"
        tiny.acoustic(folder / "tim-2", name="tim", version=version, speakers=["eve", "ben"])
        await engine.shelf.rescan()
        second = await engine.open(Request(TEXT, voice=f"{first.voice}@{first.version}"), place)
        assert np.array_equal(await heard(second), wanted)
        assert (second.version, second.speaker) == ("1.0.0", "ann")
        await asyncio.gather(first.aclose(), second.aclose())
        await asyncio.sleep(0)
        loaded = engine.shelf.loaded
        place.close()
        assert engine.shelf.loaded == loaded - 1
        async with await engine.open(Request(TEXT)) as other:
            assert (other.version, other.speaker) == (version, "eve")

    run(folder, test)


def test_stopping_lets_running_streams_finish_and_refuses_new_ones(tiny_folder):
    async def test(engine: Engine) -> None:
        assert engine.ready
        speaking = await engine.open(Request(LONG))
        stopping = asyncio.ensure_future(engine.stop(PATIENCE))
        await asyncio.sleep(0)
        assert not engine.ready
        with pytest.raises(Stopping) as caught:
            await engine.open(Request(TEXT))
        assert caught.value.retry_after
        wanted = len(await heard(speaking))
        await stopping
        assert wanted == len(await_length)

    await_length: list[float] = []

    async def alone(engine: Engine) -> None:
        await_length.extend(await say(engine, LONG))

    run(tiny_folder, alone)
    run(tiny_folder, test)


def test_when_the_grace_is_over_streams_are_cut_and_told_so(tiny_folder):
    async def test(engine: Engine) -> None:
        speaking = await engine.open(Request(LONG))
        await speaking.first()
        await engine.stop(0)
        with pytest.raises(Stopping):
            await heard(speaking)

    run(tiny_folder, test)


def test_stopping_while_a_voice_is_loaded_leaves_nothing(tiny_folder, monkeypatch):
    go, loads = threading.Event(), threading.Semaphore(0)

    async def test(engine: Engine) -> None:
        load = engine.shelf._loader.load

        def slow(entry, cost):
            loads.release()
            assert go.wait(PATIENCE)
            return load(entry, cost)

        monkeypatch.setattr(engine.shelf._loader, "load", slow)
        asking = asyncio.ensure_future(engine.open(Request(TEXT, voice="tam")))
        assert await asyncio.to_thread(loads.acquire, timeout=PATIENCE)
        stopping = asyncio.ensure_future(engine.stop(0))
        await asyncio.sleep(0)
        go.set()
        await stopping
        with pytest.raises(Stopping):
            await asking

    run(tiny_folder, test)


def test_nothing_is_spoken_before_the_start(tiny_folder):
    async def test() -> None:
        with pytest.raises(Stopping, match="starting"):
            await Engine(settings(tiny_folder)).open(Request(TEXT))

    asyncio.run(test())


def test_what_happens_is_counted(tiny_folder):
    async def test(engine: Engine) -> None:
        await say(engine)
        await say(engine, realtime=False)
        speaking = await engine.open(Request(LONG))
        await speaking.first()
        text = engine.metrics.text().decode()
        assert "polyvox_streams 1.0" in text
        await speaking.aclose()
        with pytest.raises(ServiceError):
            await engine.open(Request(TEXT, voice="nobody"))
        await asyncio.sleep(0)
        text = engine.metrics.text().decode()
        for line in (
            'polyvox_streams_total{kind="realtime",outcome="finished",voice="tim"} 1.0',
            'polyvox_streams_total{kind="bulk",outcome="finished",voice="tim"} 1.0',
            'polyvox_streams_total{kind="realtime",outcome="cancelled",voice="tim"} 1.0',
            'polyvox_first_audio_seconds_count{voice="tim"} 2.0',
            'polyvox_refused_total{reason="voice_unknown"} 1.0',
            'polyvox_voice_loads_total{outcome="loaded",voice="tim"} 1.0',
            "polyvox_voices_loaded 1.0",
            "polyvox_capacity 0.85",
            "polyvox_streams 0.0",
        ):
            assert line in text, line
        assert 'polyvox_network_calls_total{network="tim.decoder"}' in text
        assert 'polyvox_network_runs_total{calls="1",network="tim.decoder"}' in text

    run(tiny_folder, test)


def test_without_metrics_nothing_is_counted_and_no_package_is_needed(tiny_folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'polyvox\[serve\]'"):
        Engine(settings(tiny_folder))

    async def test(engine: Engine) -> None:
        assert len(await say(engine))
        assert engine.metrics.text() == b""

    run(tiny_folder, test, metrics=False)


def test_every_error_of_the_service_is_one_sentence_of_its_own():
    assert issubclass(ServiceError, PolyvoxError)
    assert (Busy("x").status, Limited("x").status, TooLong("x").code) == (503, 429, "text_too_long")
    assert BadRequest("x", code="y", param="z").param == "z"
