"""Wyoming, by the `wyoming` package's own client, against the engine with tiny voices."""

import asyncio
import contextlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import polyvox
import tiny
from polyvox.audio import pcm16

pytest.importorskip("fastapi")
pytest.importorskip("wyoming")

from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.client import AsyncTcpClient
from wyoming.error import Error
from wyoming.event import Event, async_read_event, async_write_event
from wyoming.info import Describe, Info
from wyoming.ping import Ping, Pong
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeStopped,
    SynthesizeVoice,
)

from polyvox.errors import PolyvoxError
from polyvox.service import wyoming
from polyvox.service.engine import Engine
from polyvox.service.keys import Keys
from serving import settings

TEXT = "Hello there, how are you? It is a fine day, is it not? Yes."
LONG = "All work and no play makes a dull day, as they say. " * 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`tim` (ann, who speaks English, and ben, who speaks French), and `tam`, who has no name."""
    made = tmp_path_factory.mktemp("voices")
    tiny.acoustic(made / "tim", languages=["en-US", "fr-FR"], speaker_languages={"ann": ["en-US"], "ben": ["fr-FR"]})
    tiny.vocoder(made / "tom")
    tiny.speech(made / "tam")
    return made


@contextlib.asynccontextmanager
async def serving(folder, **changes):
    """A running engine, and where Wyoming listens."""
    wanted = settings(folder, wyoming={"enabled": True, "port": 0}, **changes)
    engine = Engine(wanted)
    await engine.start()
    try:
        async with wyoming.serving(engine, wanted, Keys({})) as place:
            yield engine, place
    finally:
        await engine.stop(0)


def client(place):
    return AsyncTcpClient.from_uri(place, connect_timeout=30, read_timeout=60)


def run(coroutine):
    """Run it, and see that it leaves no task behind."""

    async def main():
        before = asyncio.all_tasks()
        result = await coroutine
        for _ in range(100):
            if asyncio.all_tasks() == before:
                break
            await asyncio.sleep(0.05)
        assert asyncio.all_tasks() == before
        return result

    return asyncio.run(main())


async def until(connection, *types):
    found = []
    while True:
        event = await connection.read_event()
        assert event is not None, [e.type for e in found]
        found.append(event)
        if any(kind.is_type(event.type) for kind in types):
            return found


async def spoken(connection):
    """The samples up to the end of the audio, and their rate."""
    found = await until(connection, AudioStop)
    start = AudioStart.from_event(found[0])
    chunks = [AudioChunk.from_event(event) for event in found[1:-1]]
    assert all((c.rate, c.width, c.channels) == (start.rate, 2, 1) for c in chunks)
    at = 0
    for chunk in chunks:
        assert abs(chunk.timestamp - 1e3 * at / chunk.rate) < 1
        at += chunk.samples
    return np.frombuffer(b"".join(c.audio for c in chunks), "<i2").astype(int), start.rate


def expected(folder, text, **how):
    voice = polyvox.load(folder / "tim")
    try:
        return np.frombuffer(pcm16(voice.say(text, **how).samples), "<i2").astype(int)
    finally:
        voice.close()


def same(made, wanted):
    assert len(made) == len(wanted)
    assert np.abs(made - wanted).max() <= 1


def test_home_assistant_finds_every_voice(folder):
    async def main():
        async with serving(folder) as (_, place), client(place) as connection:
            await connection.write_event(Describe().event())
            return Info.from_event((await until(connection, Info))[-1])

    (program,) = run(main()).tts
    assert program.supports_synthesize_streaming
    assert program.installed
    voices = {v.name: v for v in program.voices}
    # What ships is found beside what the settings name.
    assert {"tim", "tim/ann", "tim/ben", "tam", "kathleen"} <= set(voices)
    assert voices["tim"].languages == ["en-US"]  # of the speaker that the name alone means
    assert [s.name for s in voices["tim"].speakers] == ["ann", "ben"]
    assert voices["tim/ben"].languages == ["fr-FR"]
    assert voices["tam"].speakers is None
    assert all(v.installed and v.languages and v.version for v in program.voices)


def test_a_text_is_spoken(folder):
    async def main():
        async with serving(folder) as (_, place), client(place) as connection:
            await connection.write_event(Synthesize(text=TEXT).event())
            first = await spoken(connection)
            wanted = SynthesizeVoice(name="tim", speaker="ben")
            await connection.write_event(Synthesize(text=TEXT, voice=wanted).event())
            await connection.write_event(Synthesize(text=TEXT, voice=SynthesizeVoice(name="tim/ben")).event())
            await connection.write_event(Synthesize(text=TEXT, voice=SynthesizeVoice(language="fr")).event())
            return [first, *[await spoken(connection) for _ in range(3)]]

    found = run(main())
    assert {rate for _, rate in found} == {8000}
    same(found[0][0], expected(folder, TEXT))
    for samples, _ in found[1:]:
        same(samples, expected(folder, TEXT, speaker="ben"))


def test_a_text_that_is_still_being_written(folder):
    """As Home Assistant does it: the whole text comes once more, for servers that do not know streaming."""

    async def main():
        async with serving(folder) as (_, place), client(place) as connection:
            await connection.write_event(SynthesizeStart(voice=SynthesizeVoice(name="tim")).event())
            await connection.write_event(SynthesizeChunk(text="Hello there. And th").event())
            found = await until(connection, AudioChunk)  # before the text is whole
            await connection.write_event(SynthesizeChunk(text="en.").event())
            await connection.write_event(Synthesize(text="Hello there. And then.").event())
            await connection.write_event(SynthesizeStop().event())
            found += await until(connection, SynthesizeStopped)
            await connection.write_event(Synthesize(text="Last.").event())
            return found, await spoken(connection)

    found, last = run(main())
    kinds = [event.type for event in found]
    assert kinds[0] == "audio-start"
    assert kinds[-2:] == ["audio-stop", "synthesize-stopped"]
    assert set(kinds[1:-2]) == {"audio-chunk"}
    samples = np.frombuffer(b"".join(AudioChunk.from_event(e).audio for e in found[1:-2]), "<i2")
    assert len(samples) == len(expected(folder, "Hello there. And then."))
    same(last[0], expected(folder, "Last."))  # and the other was spoken once only


def test_nothing_to_say(folder):
    async def main():
        async with serving(folder) as (_, place), client(place) as connection:
            await connection.write_event(Synthesize(text=" ... ").event())
            return await spoken(connection)

    samples, rate = run(main())
    assert (len(samples), rate) == (0, 8000)


def test_events_that_are_not_for_us_are_ignored(folder):
    async def main():
        async with serving(folder) as (_, place), client(place) as connection:
            await connection.write_event(Event("run-satellite"))
            await connection.write_event(AudioChunk(rate=16000, width=2, channels=1, audio=b"\0" * 320).event())
            await connection.write_event(SynthesizeChunk(text="of nothing").event())
            await connection.write_event(SynthesizeStop().event())
            await connection.write_event(Ping().event())
            return await connection.read_event()

    assert Pong.is_type(run(main()).type)


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Synthesize(text="Hi.", voice=SynthesizeVoice(name="nobody")).event(), "no voice 'nobody'"),
        (Synthesize(text="Hi.", voice=SynthesizeVoice(name="tim", speaker="carl")).event(), "no speaker 'carl'"),
        (Synthesize(text="Hi.", voice=SynthesizeVoice(language="tlh")).event(), "'tlh'"),
        (Synthesize(text="<speak>Hi.</speak>", text_format="ssml").event(), "markup is not known here"),
        (Synthesize(text="a" * 20_000).event(), "longer than the 16384 characters"),
        (Event("synthesize", {"text": 5}), "'text': expected a text"),
        (Event("synthesize"), "'text': expected a text"),
        (Event("synthesize", {"text": "Hi.", "voice": "tim"}), "'voice': expected an object"),
        (Event("synthesize", {"text": "Hi.", "voice": {"name": 5}}), "'voice': 'name': expected a text"),
    ],
)
def test_a_mistake_is_one_sentence_and_the_end(folder, event, said, caplog):
    async def main():
        async with serving(folder) as (_, place), client(place) as connection:
            await connection.write_event(event)
            answer = await connection.read_event()
            return answer, await connection.read_event()

    answer, end = run(main())
    assert said in Error.from_event(answer).text
    assert end is None
    # Home Assistant keeps the sentence to itself: the operator finds it here.
    told = [r.fields for r in caplog.records if r.message == "refused"]
    assert [fields["code"] for fields in told] == [Error.from_event(answer).code]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"rubbish\n", "an event begins with a line that is a JSON object"),
        (b"[" * 100_000 + b"\n", "an event begins with a line that is a JSON object"),
        (b"\xff\xfe\n", "an event begins with a line that is a JSON object"),
        (b"{}\n", "a 'type' that is a text"),
        (b'{"type": "describe", "data": 5}\n', "'data' that are an object"),
        (b'{"type": "describe", "data_length": 1000000000}\n', "this service takes"),
        (b'{"type": "describe", "payload_length": -1}\n', "expected a number of bytes"),
        (b'{"type": "describe", "data_length": "5"}\n', "expected a number of bytes"),
        (b'{"type": "describe", "data_length": 4}\n[12]', "a JSON object"),
        (b"a" * (3 << 20), "bytes on its first line"),
    ],
)
def test_what_is_no_event_ends_the_connection(folder, data, said):
    async def main():
        async with serving(folder) as (_, place):
            reader, writer = await opened(place)
            writer.write(data)
            answer = await asyncio.wait_for(async_read_event(reader), 30)
            rest = await asyncio.wait_for(reader.read(), 30)
            writer.close()
            return answer, rest

    answer, rest = run(main())
    assert said in Error.from_event(answer).text
    assert rest == b""


async def opened(place):
    host, _, port = place.removeprefix("tcp://").rpartition(":")
    return await asyncio.open_connection(host, int(port))


def busy(engine):
    return len(engine._scheduler.streams())


async def eventually(true):
    for _ in range(600):
        if true():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never came true")


def test_a_client_that_leaves_is_not_computed_for(folder):
    async def main():
        async with serving(folder) as (engine, place), client(place) as other:
            for leave in ("close", "abort"):
                _, writer = await opened(place)
                await async_write_event(Synthesize(text=LONG).event(), writer)
                await eventually(lambda: busy(engine))
                getattr(writer.transport, leave)()
                await eventually(lambda: not busy(engine))
            await other.write_event(Synthesize(text=TEXT).event())
            return await spoken(other)

    same(run(main())[0], expected(folder, TEXT))


def test_too_many_connections(folder):
    async def main():
        async with serving(folder, limits={"connections": 1}) as (_, place), client(place) as first:
            await first.write_event(Ping().event())
            await first.read_event()
            async with client(place) as second:
                answer = await second.read_event()
            await first.write_event(Ping().event())
            return answer, await first.read_event()

    answer, pong = run(main())
    assert Error.from_event(answer).code == "busy"
    assert Pong.is_type(pong.type)


def test_an_idle_connection_is_closed(folder):
    async def main():
        async with serving(folder, limits={"idle_connection": 0.2}) as (_, place), client(place) as connection:
            answer = await connection.read_event()
            return answer, await connection.read_event()

    answer, end = run(main())
    assert "nothing happened for 0.2 s" in Error.from_event(answer).text
    assert end is None


def test_the_service_ends_while_somebody_speaks(folder):
    async def main():
        async with serving(folder) as (_, place):
            _, writer = await opened(place)
            await async_write_event(Synthesize(text=LONG).event(), writer)
        writer.close()

    run(main())


def test_an_address_that_is_taken(folder):
    async def main():
        async with serving(folder) as (engine, place):
            wanted = settings(folder, wyoming={"enabled": True, "port": int(place.rpartition(":")[2])})
            async with wyoming.serving(engine, wanted, Keys({})):
                pass

    with pytest.raises(PolyvoxError, match=r"^cannot listen for Wyoming at 127\.0\.0\.1:\d+: "):
        run(main())


def test_it_listens_on_loopback_only_where_keys_are_needed(folder):
    wanted = settings(folder, host="0.0.0.0", keys={"clients": {"alice": "a-key-that-nobody-guesses"}})
    assert wanted.wyoming_host == "127.0.0.1"


LINES = st.one_of(
    st.binary(max_size=30),
    st.dictionaries(
        st.sampled_from(["type", "data", "data_length", "payload_length"]),
        st.one_of(
            st.sampled_from(
                ["describe", "synthesize", "synthesize-start", "synthesize-chunk", "synthesize-stop", "ping"]
            ),
            st.dictionaries(
                st.sampled_from(["text", "voice", "text_format"]), st.sampled_from(["a", 5, None, {}]), max_size=3
            ),
            st.integers(-1, 5),
            st.none(),
        ),
        max_size=4,
    ).map(lambda data: json.dumps(data).encode()),
)


def test_no_bytes_whatsoever_break_it(folder):
    """One service; each example is a connection that says rubbish, and one beside it that is served all the same."""

    async def rubbish(place, lines):
        reader, writer = await opened(place)
        with contextlib.suppress(ConnectionError):
            writer.write(b"\n".join([*lines, b""]))
            writer.write_eof()
            async with asyncio.timeout(30):
                while await reader.read(1 << 16):
                    pass
        writer.transport.abort()
        async with client(place) as connection:
            await connection.write_event(Ping().event())
            event = await connection.read_event()
            assert event is not None
            assert Pong.is_type(event.type)

    async def main():
        loop = asyncio.get_running_loop()
        async with serving(folder) as (engine, place):

            @examples(max_examples=60, deadline=None)
            @given(st.lists(LINES, max_size=5))
            def check(lines):
                asyncio.run_coroutine_threadsafe(rubbish(place, lines), loop).result(60)

            await asyncio.to_thread(check)
            await eventually(lambda: not busy(engine))

    run(main())
