"""The shelf: which versions there are, which one a request meets, what is in memory, and what is refused."""

from __future__ import annotations

import asyncio
import gc
import json
import shutil
import threading
import time
import weakref
from pathlib import Path

import pytest

import polyvox
import tiny
from polyvox.errors import TensorError
from polyvox.networks import Device
from polyvox.service import catalogue
from polyvox.service import shelf as shelf_module
from polyvox.service.errors import Busy, UnknownVoice, VoiceFailed
from polyvox.service.loading import Loaded, Loader
from polyvox.service.meter import Meter
from polyvox.service.settings import Settings, SettingsError
from polyvox.service.shelf import Shelf
from polyvox.voice import Voice

PATIENCE = 60


@pytest.fixture(autouse=True)
def only_ours(monkeypatch):
    """No shipped voices, nor those of the environment."""
    monkeypatch.setattr(shelf_module, "library_folders", lambda: [])


class Counting(Loader):
    """Counts what it loads, holds it up if it is told to, and says how much memory a voice takes."""

    def __init__(self, memory: int | None = None) -> None:
        super().__init__("cpu", None, Meter())
        self.loads: list[str] = []
        self.unloads = 0
        self.go = threading.Event()
        self.go.set()
        self.memory = memory

    def load(self, entry, cost):
        self.loads.append(entry.label)
        assert self.go.wait(PATIENCE)
        loaded = super().load(entry, cost)
        return Loaded(loaded.voice, self.memory or loaded.memory)

    def unload(self, voice):
        super().unload(voice)
        self.unloads += 1


def run(folder: Path | list[Path], test, *, takes: int | None = None, **voices) -> None:
    """Run `test(shelf, loader)` with a shelf that was started on the folder, and stopped afterwards."""
    folders = folder if isinstance(folder, list) else [folder]
    before = set(threading.enumerate())

    async def body() -> None:
        loader = Counting(takes)
        shelf = Shelf(Settings.model_validate({"voices": {"folders": folders, **voices}}), loader)
        await shelf.start()
        try:
            await test(shelf, loader)
        finally:
            await shelf.stop()
        assert not shelf.loaded

    asyncio.run(asyncio.wait_for(body(), PATIENCE))
    assert not set(threading.enumerate()) - before


@pytest.fixture
def folder(tmp_path):
    """`tim` 1.0.0 with its vocoder, and `tam`, which speaks German too."""
    tiny.vocoder(tmp_path / "tom")
    tiny.acoustic(tmp_path / "tim")
    tiny.speech(tmp_path / "tam", languages=["de", "en-GB"])
    return tmp_path


def newer(folder: Path, version: str = "2.0.0", **changes) -> Path:
    return tiny.acoustic(folder / f"tim-{version}", name="tim", version=version, **changes)


def broken(folder: Path, version: str = "2.0.0") -> Path:
    """A version that says it is one, but whose decoder is no network."""
    path = newer(folder, version)
    (path / "decoder.onnx").write_bytes(b"not a network")
    return path


def label(pick) -> str:
    return pick.revision.entry.label


def listed(shelf: Shelf) -> dict[str, str | None]:
    return {f"{v.name}@{v.version}{'*' if v.usual else ''}": v.refused for v in shelf.voices()}


# --- what there is, and who speaks -------------------------------------------------------------------------------


def test_versions_lie_side_by_side_and_a_name_means_the_newest(folder):
    newer(folder, "1.10.0")
    newer(folder, "1.9.0")
    tiny.archive(newer(folder, "1.2.0-rc.1"))
    shutil.rmtree(folder / "tim-1.2.0-rc.1")

    async def test(shelf, loader):
        assert label(shelf.choose("tim")) == "tim@1.10.0"
        assert label(shelf.choose("tim@1.9.0")) == "tim@1.9.0"
        assert label(shelf.choose("tim@1.2.0-rc.1")) == "tim@1.2.0-rc.1"
        assert list(listed(shelf)) == ["tam@1.0.0*", "tim@1.10.0*", "tim@1.9.0", "tim@1.2.0-rc.1", "tim@1.0.0"]
        async with shelf.borrow("tim@1.2.0-rc.1") as held:
            assert held.voice.say("abc").seconds > 0

    run(folder, test)


def test_versions_are_ordered_as_semantic_versioning_says():
    ordered = [
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0",
        "1.0.1+b-1",
    ]
    backwards = ordered[::-1]
    assert sorted(backwards, key=catalogue.newest) == ordered


def test_the_first_folder_that_has_a_name_decides_what_it_means(folder, tmp_path_factory):
    own = tmp_path_factory.mktemp("own")
    tiny.acoustic(own / "tim", version="0.5.0")

    async def test(shelf, loader):
        assert label(shelf.choose("tim")) == "tim@0.5.0"
        assert label(shelf.choose("tim@1.0.0")) == "tim@1.0.0"

    run([own, folder], test)  # the vocoder is found in the other folder


def test_what_callers_are_told_of_a_voice(folder):
    async def test(shelf, loader):
        tim = next(v for v in shelf.voices() if v.name == "tim")
        assert (tim.version, tim.usual, tim.kind, tim.license, tim.sample_rate) == (
            "1.0.0", True, "acoustic", "CC0-1.0", tiny.RATE,
        )  # fmt: skip
        assert [s.name for s in tim.speakers] == ["ann", "ben"]
        assert tim.controls["speed"].maximum == 2.0
        assert tim.architecture == "acoustic: Encoders, Upsampler, Decoder; vocoder tom@1.0.0"
        assert tim.aliases == ("alloy", "nova")
        assert not tim.loaded
        assert str(folder) not in repr(shelf.voices())

    run(folder, test, default="tam", aliases={"alloy": "tim", "nova": "tim/ben"})


def test_aliases_stand_for_voices_versions_and_speakers(folder):
    newer(folder)

    async def test(shelf, loader):
        pick = shelf.choose("nova")
        assert (label(pick), pick.speaker) == ("tim@1.0.0", "ben")
        assert label(shelf.choose("tim")) == "tim@1.0.0"  # a name may be held at a version
        assert label(shelf.choose("tim@2.0.0")) == "tim@2.0.0"

    run(folder, test, aliases={"nova": "tim@1.0.0/ben", "tim": "tim@1.0.0"})


def test_a_voice_is_chosen_by_language_and_speaker(folder):
    async def test(shelf, loader):
        assert label(shelf.choose()) == "tim@1.0.0"
        assert label(shelf.choose(language="de-AT")) == "tam@1.0.0"
        assert shelf.choose(language="de-AT").language == "de"
        assert label(shelf.choose(language="en-GB")) == "tam@1.0.0"
        assert label(shelf.choose(language="en")) == "tim@1.0.0"  # both do: the default
        assert shelf.choose(speaker="ben").speaker == "ben"
        assert shelf.choose("tim").speaker == "ann"
        assert shelf.choose("tam").speaker is None
        assert shelf.choose("tim/ben").speaker == "ben"

    run(folder, test, default="tim")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"voice": "tym"}, "there is no voice 'tym'; there are tam, tim"),
        ({"voice": "tim@9.9.9"}, "voice 'tim' has no version '9.9.9'; there are 1.0.0"),
        ({"voice": "tim", "speaker": "eve"}, "voice 'tim' has no speaker 'eve'; it has ann, ben"),
        ({"voice": "tim/ann", "speaker": "ben"}, "voice 'tim/ann' names another speaker than 'ben'"),
        ({"voice": "tim", "language": "nl"}, "voice 'tim' does not speak 'nl'; the languages are en-US"),
        ({"language": "nl"}, "no voice here speaks 'nl'; the languages are en-US, de, en-GB"),
        ({"speaker": "eve"}, "no voice here has a speaker 'eve'; there are ann, ben"),
        ({"voice": "../../etc/passwd"}, "there is no voice '../../etc/passwd'; there are tam, tim"),
        ({"voice": "x" * 5000}, f"there is no voice '{'x' * 64}'; there are tam, tim"),
    ],
)
def test_what_is_not_there_is_one_sentence_with_what_is(folder, asked, expected):
    async def test(shelf, loader):
        with pytest.raises(UnknownVoice) as caught:
            shelf.choose(**asked)
        assert str(caught.value) == expected
        assert caught.value.status == 404

    run(folder, test, default="tim")


def test_canaries_get_their_share_and_an_id_always_meets_the_same_version(folder):
    newer(folder)
    newer(folder, "1.5.0")

    async def test(shelf, loader):
        met = [label(shelf.choose("tim", id=str(i))) for i in range(400)]
        assert 0.15 < met.count("tim@1.0.0") / len(met) < 0.35
        assert 0.15 < met.count("tim@1.5.0") / len(met) < 0.35
        assert met == [label(shelf.choose("tim", id=str(i))) for i in range(400)]
        assert len({label(shelf.choose("tim")) for _ in range(100)}) == 3  # without one, by chance
        assert label(shelf.choose("tim@2.0.0", id="1")) == "tim@2.0.0"

    run(folder, test, canaries={"tim": {"9.0.0": 0.0, "1.0.0": 0.25, "1.5.0": 0.25}})


@pytest.mark.parametrize(
    ("voices", "field"),
    [
        ({"default": "tym"}, "voices.default"),
        ({"pinned": ["tim", "tym"]}, "voices.pinned"),
        ({"aliases": {"alloy": "tym"}}, "voices.aliases.alloy"),
    ],
)
def test_settings_that_name_no_voice_are_refused_at_the_start(folder, voices, field):
    async def test(shelf, loader):
        pytest.fail("it started")

    with pytest.raises(SettingsError, match=f"'{field}': there is no voice 'tym'; there are tam, tim"):
        run(folder, test, **voices)


def test_a_pinned_voice_that_is_broken_is_refused_at_the_start_and_a_default_one_is_not(tmp_path):
    tiny.vocoder(tmp_path / "tom")
    (tiny.acoustic(tmp_path / "tim") / "decoder.onnx").write_bytes(b"not a network")

    async def test(shelf, loader):
        assert "decoder.onnx" in listed(shelf)["tim@1.0.0*"]

    run(tmp_path, test)
    with pytest.raises(SettingsError, match=r"voices\.pinned"):
        run(tmp_path, test, pinned=["tim"])


def test_no_voices_at_all_is_one_sentence(tmp_path):
    async def test(shelf, loader):
        assert shelf.voices() == []
        with pytest.raises(UnknownVoice, match="there are no voices here"):
            shelf.choose()

    run(tmp_path, test)


# --- in memory ---------------------------------------------------------------------------------------------------


def test_a_voice_is_loaded_once_however_many_ask(folder):
    async def test(shelf, loader):
        loader.loads.clear()
        loader.go.clear()
        asking = [asyncio.ensure_future(shelf.take(shelf.choose("tim"))) for _ in range(8)]
        await asyncio.sleep(0)
        asking[0].cancel()  # whoever came first leaves
        loader.go.set()
        held = await asyncio.gather(*asking[1:])
        assert loader.loads == ["tim@1.0.0"]
        assert len({id(h.voice) for h in held}) == 1
        for each in held:
            each.release()
            each.release()

    run(folder, test, default="tam")


def test_loading_tells_what_the_voice_costs(folder):
    async def test(shelf, loader):
        async with shelf.borrow("tim") as held:
            assert held.cost._known
            assert held.cost.frames(1.0) is not None

    run(folder, test)


def test_what_was_unloaded_is_gone_from_memory_and_comes_back(folder):
    async def test(shelf, loader):
        async with shelf.borrow("tim") as held:
            voice = weakref.ref(held.voice)
            sessions = [
                weakref.ref(network._session) for stack in held.voice.stacks for network in stack.networks.values()
                for network in [getattr(network, "inner", network)]
            ]  # fmt: skip
            shelf.evict()
            assert voice() is not None  # in use
        del held
        shelf.evict()
        assert shelf.loaded == 0
        await shelf._in_thread(lambda: None)
        await shelf._in_thread(lambda: None)
        gc.collect()
        assert voice() is None
        assert sessions
        assert all(session() is None for session in sessions)
        async with shelf.borrow("tim") as held:
            assert held.voice.say("abc").seconds > 0

    run(folder, test, idle=0, default="tim")


def test_pinned_voices_stay(folder):
    async def test(shelf, loader):
        async with shelf.borrow("tam"):
            pass
        shelf.evict()
        assert [v.name for v in shelf.voices() if v.loaded] == ["tim"]

    run(folder, test, idle=0, pinned=["tim"])


def test_without_a_limit_idle_voices_stay(folder):
    async def test(shelf, loader):
        async with shelf.borrow("tam"), shelf.borrow("tim"):
            pass
        shelf.evict()
        assert shelf.loaded == 2

    run(folder, test)


def test_the_longest_unused_makes_room_for_another(folder):
    tiny.speech(folder / "tem")

    async def test(shelf, loader):
        async with shelf.borrow("tam"):
            pass
        async with shelf.borrow("tim"):
            pass
        async with shelf.borrow("tem"):
            assert {v.name for v in shelf.voices() if v.loaded} == {"tim", "tem"}
        assert shelf.memory == 800_000

    run_budget(folder, test, 400_000)


def run_budget(folder: Path, test, takes: int) -> None:
    """There is memory for a megabyte; the files of each voice are small, but in memory it takes more."""
    run(folder, test, takes=takes, default="tam", memory=1)


def test_where_all_memory_is_in_use_another_voice_is_refused_for_now(folder):
    tiny.speech(folder / "tem")

    async def test(shelf, loader):
        async with shelf.borrow("tam"), shelf.borrow("tim"):
            with pytest.raises(Busy, match="no memory for voice 'tem'") as caught:
                await shelf.take(shelf.choose("tem"))
            assert caught.value.retry_after
        async with shelf.borrow("tem"):
            pass

    run_budget(folder, test, 600_000)


def test_one_voice_alone_may_be_larger_than_the_budget(folder):
    async def test(shelf, loader):
        shelf._budget = 1.0
        shelf.evict()
        async with shelf.borrow("tim") as held:
            assert held.voice.say("abc").seconds > 0

    run(folder, test)


# --- addons come and go ------------------------------------------------------------------------------------------


def test_a_new_version_takes_over_and_whoever_speaks_with_the_old_one_goes_on(folder):
    async def test(shelf, loader):
        old = await shelf.take(shelf.choose("tim"))
        chunks = old.voice.stream("abc def ghi. jkl mno pqr.")
        next(chunks)
        newer(folder)
        await shelf.rescan()
        assert loader.loads[-1] == "tim@2.0.0"  # loaded before anybody asks
        async with shelf.borrow("tim") as new:
            assert new.entry.label == "tim@2.0.0"
            assert new.voice is not old.voice
        assert sum(c.seconds for c in chunks) > 0
        old.release()
        assert listed(shelf) == {"tim@2.0.0*": None, "tim@1.0.0": None, "tam@1.0.0*": None}

    run(folder, test, default="tim")


def test_a_new_version_that_is_broken_is_refused_with_its_reason_and_the_old_one_goes_on(folder):
    async def test(shelf, loader):
        path = broken(folder)
        await shelf.rescan()
        assert label(shelf.choose("tim")) == "tim@1.0.0"
        reason = listed(shelf)["tim@2.0.0"]
        assert reason is not None
        assert "decoder.onnx" in reason
        assert str(folder) not in reason
        assert str(path) in "".join(shelf.refused())
        with pytest.raises(VoiceFailed, match="voice 'tim' cannot be loaded") as caught:
            await shelf.take(shelf.choose("tim@2.0.0"))
        assert "onnx" not in str(caught.value)
        loads = len(loader.loads)
        await shelf.rescan()
        assert len(loader.loads) == loads  # not tried again while nobody touches it
        shutil.rmtree(path)
        newer(folder)
        await shelf.rescan()
        assert label(shelf.choose("tim")) == "tim@2.0.0"

    run(folder, test, default="tim")


def test_a_new_version_of_a_voice_that_nobody_uses_is_read_before_it_takes_over(folder):
    async def test(shelf, loader):
        broken(folder)
        await shelf.rescan()
        assert label(shelf.choose("tim")) == "tim@1.0.0"
        assert "tim@2.0.0" not in loader.loads
        newer(folder, "3.0.0")
        await shelf.rescan()
        assert label(shelf.choose("tim")) == "tim@3.0.0"

    run(folder, test, default="tam")


def test_at_the_start_the_next_best_version_takes_the_place_of_a_broken_one(folder):
    broken(folder)

    async def test(shelf, loader):
        async with shelf.borrow("tim") as held:
            assert held.entry.label == "tim@1.0.0"
        assert label(shelf.choose("tim")) == "tim@1.0.0"

    run(folder, test, default="tam")


def test_changed_files_of_the_same_version_are_loaded_and_the_old_ones_go_when_nobody_uses_them(folder):
    async def test(shelf, loader):
        old = await shelf.take(shelf.choose("tim"))
        voice = weakref.ref(old.voice)
        tiny.edit(folder / "tim", lambda m: m.update(description="another"))
        await shelf.rescan()
        async with shelf.borrow("tim") as new:
            assert new.entry.manifest.description == "another"
            assert old.voice.say("abc").seconds > 0
            assert shelf.loaded == 2
        old.release()
        assert shelf.loaded == 1
        await shelf._in_thread(lambda: None)
        await shelf._in_thread(lambda: None)
        gc.collect()
        assert voice() is None

    run(folder, test, default="tim")


@pytest.mark.parametrize("damage", ["manifest", "network"])
def test_a_voice_in_memory_goes_on_though_its_files_are_broken_now(folder, damage):
    whole = (folder / "tim" / "addon.json").read_text()

    async def test(shelf, loader):
        if damage == "manifest":
            (folder / "tim" / "addon.json").write_text("{")
        else:
            (folder / "tim" / "decoder.onnx").write_bytes(b"half")
        await shelf.rescan()
        loads = len(loader.loads)
        await shelf.rescan()
        assert len(loader.loads) == loads  # not tried again while nobody touches it
        async with shelf.borrow("tim") as held:
            assert held.voice.say("abc").seconds > 0
        shelf.evict()  # it could not be loaded again
        assert shelf.loaded == 1
        reason = listed(shelf)["tim@1.0.0*"]
        assert ("addon.json" if damage == "manifest" else "decoder.onnx") in reason
        assert shelf.refused()
        (folder / "tim" / "addon.json").write_text(json.dumps({**json.loads(whole), "version": "1.0.1"}))
        (folder / "tim" / "decoder.onnx").write_bytes(tiny.decoder())
        await shelf.rescan()
        assert listed(shelf) == {"tam@1.0.0*": None, "tim@1.0.1*": None}
        assert not shelf.refused()

    run(folder, test, default="tim", idle=0)


def test_an_addon_that_is_gone_cannot_be_asked_for_and_whoever_speaks_with_it_goes_on(folder):
    async def test(shelf, loader):
        held = await shelf.take(shelf.choose("tim"))
        shutil.rmtree(folder / "tim")
        await shelf.rescan()
        with pytest.raises(UnknownVoice):
            shelf.choose("tim")
        assert held.voice.say("abc").seconds > 0
        assert shelf.loaded == 1
        held.release()
        assert shelf.loaded == 0

    run(folder, test, default="tim")


def test_a_changed_vocoder_is_another_voice(folder):
    async def test(shelf, loader):
        tiny.edit(folder / "tom", lambda m: m.update(version="1.1.0"))
        await shelf.rescan()
        async with shelf.borrow("tim") as held:
            assert held.voice.vocoder.manifest.version == "1.1.0"

    run(folder, test, default="tim")


def test_an_addon_without_its_vocoder_is_refused(folder):
    shutil.rmtree(folder / "tom")

    async def test(shelf, loader):
        assert [v.name for v in shelf.voices()] == ["tam"]
        assert "'tom' is no addon here" in "".join(shelf.refused().values())

    run(folder, test)


def test_superseded_versions_are_unloaded_though_nothing_else_is(folder, monkeypatch):
    monkeypatch.setattr(shelf_module, "SUPERSEDED", 0.0)

    async def test(shelf, loader):
        newer(folder)
        await shelf.rescan()
        assert shelf.loaded == 2
        shelf.evict()
        assert [v.version for v in shelf.voices() if v.loaded] == ["2.0.0"]

    run(folder, test, default="tim")


def test_a_voice_that_failed_is_tried_again_after_a_while(folder, monkeypatch):
    """Not every failure is the addon's: there may have been no memory."""
    real = polyvox.load

    def failing(*args, **options):
        raise MemoryError

    async def test(shelf, loader):
        monkeypatch.setattr(polyvox, "load", failing)
        with pytest.raises(VoiceFailed):
            await shelf.take(shelf.choose("tim"))
        monkeypatch.setattr(polyvox, "load", real)
        with pytest.raises(VoiceFailed):
            await shelf.take(shelf.choose("tim"))
        monkeypatch.setattr(shelf_module, "AGAIN", 0.0)
        async with shelf.borrow("tim") as held:
            assert held.voice.say("abc").seconds > 0

    run(folder, test, default="tam")


def test_a_voice_that_fails_its_trial_is_refused(folder, monkeypatch):
    """It can be loaded, but not speak."""

    def failing(self, text, **options):
        raise TensorError("nan")

    async def test(shelf, loader):
        with monkeypatch.context() as patch:
            patch.setattr(Voice, "stream", failing)
            newer(folder)
            await shelf.rescan()
        assert listed(shelf)["tim@2.0.0"] == "nan"
        assert label(shelf.choose("tim")) == "tim@1.0.0"
        assert shelf.loaded == 1

    run(folder, test, default="tim")


def test_voices_share_a_device(folder):
    device = Device(1)

    async def body() -> None:
        shelf = Shelf(Settings.model_validate({"voices": {"folders": [folder]}}), Loader("cpu", device, Meter()))
        await shelf.start()
        async with shelf.borrow("tim") as held:
            held.voice.say("abc")
        assert device.usage()["tim.decoder"].calls > 0
        assert len(device.networks)
        await shelf.stop()
        assert not len(device.networks)

    asyncio.run(asyncio.wait_for(body(), PATIENCE))


def test_the_time_of_last_use_is_when_it_was_given_back(folder):
    async def test(shelf, loader):
        held = await shelf.take(shelf.choose("tim"))
        revision = held.revision
        revision.used = 0.0
        held.release()
        assert time.monotonic() - revision.used < PATIENCE

    run(folder, test)
