"""`/v1/stream`, by the `websockets` package's client, against the real service: uvicorn, the engine, tiny voices."""

import contextlib
import itertools
import json
import re
import socket
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

import polyvox
import tiny
from polyvox.audio import pcm16

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("websockets")

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from serving import serving, settings

TEXT = "Hello there, how are you? It is a fine day, is it not? Yes."
LONG = "All work and no play makes a dull day, as they say. " * 60
KEY = "a-key-that-nobody-guesses"
GUIDE = Path(__file__).parent.parent / "docs" / "websocket.md"

chunks_made = itertools.count()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`tim` (ann, ben), `tam`, `slow`, which counts its chunks and takes its time, and `rob`, who breaks down."""
    made = tmp_path_factory.mktemp("voices")
    tiny.acoustic(made / "tim")
    tiny.vocoder(made / "tom")
    tiny.speech(made / "tam")
    tiny.acoustic(made / "slow", stack=[*tiny.ARTICLE_STACK, {"type": "Slow"}])
    tiny.acoustic(made / "rob", stack=[*tiny.ARTICLE_STACK, {"type": "Breaks"}])
    return made


@pytest.fixture(scope="module")
def blocks():
    from polyvox.blocks import registry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_types", dict(registry._types))

        @registry.block("Slow")
        class Slow(polyvox.StreamableBlock):
            def stream(self, tensors, upstream):
                for chunk in upstream:
                    next(chunks_made)
                    time.sleep(0.002)
                    yield chunk

        @registry.block("Breaks")
        class Breaks(polyvox.StreamableBlock):
            def stream(self, tensors, upstream):
                for number, chunk in enumerate(upstream):
                    if number == 1:
                        raise polyvox.errors.TensorError("a secret of the host")
                    yield chunk

        yield


@pytest.fixture(scope="module")
def served(folder, blocks):
    aliases = {"bob": "tim/ben"}
    limits = {"text": 20_000, "streams_per_client": 200}
    with serving(settings(folder, voices={"aliases": aliases}, limits=limits)) as running:
        yield running


@pytest.fixture(scope="module")
def tim(folder, blocks):
    voice = polyvox.load(folder / "tim")
    yield voice
    voice.close()


class Client:
    """Says JSON, and sorts what comes."""

    def __init__(self, socket):
        self.socket = socket

    def say(self, kind, **fields):
        self.socket.send(json.dumps({"type": kind, **fields}))

    def next(self):
        """The next event, a dictionary, or frame of audio, bytes."""
        received = self.socket.recv(timeout=60)
        return received if isinstance(received, bytes) else json.loads(received)

    def until(self, *kinds):
        """All that comes up to the first event of these kinds, it included."""
        found = []
        while True:
            found.append(self.next())
            if isinstance(found[-1], dict) and found[-1]["type"] in kinds:
                return found

    def speak(self, text, id=None, **start):
        """One whole utterance; its events, and its audio."""
        self.say("start", id=id, **start)
        self.say("text", text=text)
        self.say("end")
        found = self.until("done", "error", "cancelled")
        return events(found), audio(found)


def events(found):
    return [each for each in found if isinstance(each, dict)]


def audio(found):
    return b"".join(each for each in found if isinstance(each, bytes))


def of(kind, found):
    return [each for each in events(found) if each["type"] == kind]


@pytest.fixture
def client(served):
    with connect(f"ws://127.0.0.1:{served.port}/v1/stream") as made:
        client = Client(made)
        assert client.next() == {"type": "ready", "protocol": 1, "characters": 20_000, "utterances": 16}
        yield client


def eventually(true):
    for _ in range(600):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it never came true")


# --- speech ------------------------------------------------------------------------------------------------------


def test_text_in_pieces_is_spoken_as_the_whole(client, tim):
    # Bulk is in no hurry, so that no sentence is cut, whenever its pieces come.
    client.say("start", id="one", realtime=False, phonemes=True)
    for character in TEXT:
        client.say("text", text=character)
    client.say("end")
    found = client.until("done")
    whole = tim.say(TEXT)
    started, done = found[0], found[-1]
    assert started == {
        "type": "started", "id": "one", "voice": "tim", "version": "1.0.0", "speaker": "ann", "language": "en-US",
        "format": "pcm", "media_type": "audio/pcm;rate=8000", "sample_rate": 8000,
    }  # fmt: skip
    made = np.frombuffer(audio(found), "<i2").astype(int)
    expected = np.frombuffer(pcm16(whole.samples), "<i2").astype(int)
    assert len(made) == len(expected)
    assert np.abs(made - expected).max() <= 1
    assert (done["id"], done["characters"], done["bytes"]) == ("one", len(TEXT), len(audio(found)))
    assert done["seconds"] == pytest.approx(whole.seconds, abs=1e-3)
    for kind, expected in (("words", whole.words), ("phonemes", whole.phonemes)):
        told = [each for event in of("timings", found) for each in event.get(kind, [])]
        assert [(t["text"], t["first"], t["last"]) for t in told] == [(t.text, t.first, t.last) for t in expected]
        assert [t["start"] for t in told] == pytest.approx([t.start for t in expected], abs=1e-3)
        assert [t["end"] for t in told] == pytest.approx([t.end for t in expected], abs=1e-3)
    assert all(word["text"] == TEXT[word["first"] : word["last"]] for e in of("timings", found) for word in e["words"])


def test_audio_comes_before_the_text_is_whole(client):
    client.say("start", id="early")
    client.say("text", text="This is a sentence. And the next")
    found = client.until("first_audio")
    assert found[0]["type"] == "started"
    assert audio(found)
    assert set(found[-1]["stages"]) == {"waiting", "text", "networks", "signal"}
    client.say("text", text=" one.")
    client.say("end")
    done = client.until("done")[-1]
    assert done["characters"] == 37


def test_a_flush_speaks_what_there_is(client):
    client.say("start", id="flushed", realtime=False)
    client.say("text", text="No end of it")
    client.say("flush")
    client.until("first_audio")
    client.say("text", text=" and more")
    client.say("end")
    assert client.until("done")[-1]["clauses"] == 2


def test_words_have_their_places_in_the_whole_text_behind_a_cut(client):
    client.say("start", id="cut", realtime=False)
    parts = ["Well then, ", "go to the market ", "and come back."]
    found = []
    for number, part in enumerate(parts):
        client.say("text", text=part)
        client.say("flush")
        if number == 0:
            found += client.until("first_audio")
    client.say("end")
    found += client.until("done")
    text = "".join(parts)
    words = [word for event in of("timings", found) for word in event["words"]]
    assert [w["text"] for w in words] == re.findall(r"\w+", text)
    assert all(text[w["first"] : w["last"]] == w["text"] for w in words)
    starts = [w["start"] for w in words]
    assert starts == sorted(starts)
    assert words[-1]["end"] <= found[-1]["seconds"] + 1e-3


def test_utterances_follow_one_another_with_other_voices_and_speeds(client, tim):
    plans = [
        ("a", {"voice": "tim", "speed": 1.0}), ("b", {"voice": "bob", "speed": 0.5}),
        ("c", {"voice": "tam"}), ("d", {"speaker": "ben", "format": "wav", "controls": {"brightness": 0.5}}),
    ]  # fmt: skip
    for name, plan in plans:
        client.say("start", id=name, **plan)
        client.say("text", text=TEXT)
        client.say("end")
    found = [client.until("done") for _ in plans]
    assert [each[-1]["id"] for each in found] == ["a", "b", "c", "d"]
    # A frame of audio belongs to the utterance that started last.
    assert [[e["id"] for e in of("started", each)] for each in found] == [["a"], ["b"], ["c"], ["d"]]
    assert [e["speaker"] for each in found for e in of("started", each)] == ["ann", "ben", None, "ben"]
    assert len(audio(found[1])) > 1.4 * len(audio(found[0]))
    assert audio(found[3])[:4] == b"RIFF"
    assert all(each[-1]["bytes"] == len(audio(each)) for each in found)


@pytest.mark.parametrize(
    ("format", "rate", "magic"), [("mp3", 24000, b"\xff"), ("opus", 24000, b"OggS"), ("flac", 8000, b"fLaC")]
)
def test_compressed_formats(client, format, rate, magic):
    pytest.importorskip("av")
    found, data = client.speak(TEXT, format=format, sample_rate=rate)
    assert data.startswith(magic)
    assert of("started", found)[0]["sample_rate"] == rate


def test_resampled_pcm(client, tim):
    pytest.importorskip("av")
    found, data = client.speak(TEXT, realtime=False, sample_rate=24000)
    assert len(data) == 2 * 3 * len(tim.say(TEXT).samples)
    assert of("started", found)[0]["media_type"] == "audio/pcm;rate=24000"


def test_frames_are_short(client):
    client.say("start", sample_rate=8000)
    client.say("text", text=LONG)
    client.say("end")
    frames = [each for each in client.until("done") if isinstance(each, bytes)]
    assert max(map(len, frames)) <= 2 * 8000 * 0.25


def test_nothing_to_say_is_no_error(client):
    found, data = client.speak("  ... \n")
    assert [e["type"] for e in found] == ["done"]
    assert data == b""
    assert found[0]["seconds"] == 0


def test_what_the_voice_has_no_symbols_for_is_left_out_with_a_warning(client, tim):
    client.say("start", id="mixed", realtime=False)
    found = []
    for part, sign in (("Yes. ", "timings"), ("你好。", "warning"), (" No.", "timings")):
        client.say("text", text=part)
        client.say("flush")
        found += client.until(sign)
    client.say("end")
    done = client.until("done")[-1]
    assert [w["text"] for e in of("timings", found) for w in e["words"]] == ["Yes", "No"]
    assert [e["id"] for e in of("warning", found)] == ["mixed"]
    assert of("warning", found)[0]["message"].startswith("left out: ")
    assert done["characters"] == 12


def test_halves_of_surrogate_pairs(client):
    client.say("start", realtime=False)
    for part in ("Hi ", "\ud83d", "\ude00", " you", "\ud83d"):
        client.say("text", text=part)
    client.say("end")
    found = client.until("done")
    words = [w for e in of("timings", found) for w in e["words"]]
    assert [(w["text"], w["first"]) for w in words] == [("Hi", 0), ("you", 5)]


# --- silence -----------------------------------------------------------------------------------------------------


def test_a_cancel_is_silence_and_no_further_computing(client, served):
    client.say("start", id="long", voice="slow")
    client.say("text", text=LONG * 5)
    client.until("first_audio")
    client.say("cancel", id="long")
    rest = client.until("cancelled", "done")
    assert rest[-1]["type"] == "cancelled"
    assert rest[-1]["id"] == "long"
    before = next(chunks_made)
    # Its text is not over for a client that has not noticed yet; it is dropped, up to the end or the next start.
    client.say("text", text="More of it.")
    found, data = client.speak("Next one.", id="next")
    assert [e["type"] for e in found][-1] == "done"
    assert {e["id"] for e in found} == {"next"}
    assert data
    assert next(chunks_made) == before + 1


def test_a_cancel_of_what_waits(client):
    client.say("start", id="a", voice="slow")
    client.say("text", text=LONG)
    client.say("end")
    for name in ("b", "c"):
        client.say("start", id=name)
        client.say("text", text="Short.")
        client.say("end")
    client.until("first_audio")
    client.say("cancel", id="b")
    client.say("cancel", id="nobody")  # done a moment ago, for all we know
    found = events(client.until("done"))
    assert [(e["type"], e["id"]) for e in found if e["type"] in ("done", "cancelled")] == [("done", "a")]
    found = client.until("done")
    assert [(e["type"], e["id"]) for e in events(found) if e["type"] in ("done", "cancelled")] == [
        ("cancelled", "b"), ("done", "c"),
    ]  # fmt: skip


def test_a_cancel_of_everything(client):
    for name in ("a", "b"):
        client.say("start", id=name, voice="slow")
        client.say("text", text=LONG)
        client.say("end")
    client.until("first_audio")
    client.say("cancel")
    found = [client.until("cancelled", "done")[-1] for _ in range(2)]
    assert [(e["type"], e["id"]) for e in found] == [("cancelled", "a"), ("cancelled", "b")]
    assert client.speak("Again.", id="a")[1]


def streams(served):
    """Streams of the engine that are not over."""
    return served.call(lambda: len(served.engine._scheduler.streams()))


def test_a_client_that_leaves_is_not_computed_for(served):
    before = next(chunks_made)
    with connect(f"ws://127.0.0.1:{served.port}/v1/stream", max_queue=None) as left:
        client = Client(left)
        client.say("start", voice="slow")
        client.say("text", text=LONG * 5)
        client.until("first_audio")
    eventually(lambda: streams(served) == 0)
    assert next(chunks_made) - before < 1000  # of many thousands


def test_a_client_that_does_not_read_is_not_computed_for(served):
    """What is made is what the sockets hold, and some seconds."""
    made = socket.create_connection(("127.0.0.1", served.port))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    with connect(f"ws://127.0.0.1:{served.port}/v1/stream", sock=made, max_queue=1, ping_interval=None) as deaf:
        client = Client(deaf)
        client.say("start", voice="slow", speed=0.5, sample_rate=48000)
        client.say("text", text=(LONG * 7)[:19_000])
        client.say("end")
        client.until("first_audio")
        first = next(chunks_made)
        seen = [-1]

        def still():
            seen.append(next(chunks_made))
            time.sleep(0.3)
            return seen[-1] - seen[-2] == 1  # our own

        eventually(still)
        without_reading = seen[-1] - first
        client.until("done")
        print(without_reading, next(chunks_made) - first)
        assert without_reading < (next(chunks_made) - first) / 2
    eventually(lambda: streams(served) == 0)


# --- mistakes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "nested too deeply|not JSON"),
        ("[]", "expected a JSON object whose 'type' is one of auth, start, text, flush, end, cancel, found []"),
        ('{"type": "sing"}', "found 'sing'"),
        ('{"type": ["start"]}', "expected a JSON object whose 'type'"),
        ('{"type": "text"}', "'text' needs the field 'text'"),
        ('{"type": "text", "text": 5}', "field 'text': .*, found 5"),
        ('{"type": "start", "voise": "tim"}', "'start' has no field 'voise'"),
        ('{"type": "start", "speed": "fast"}', "field 'speed': .* found 'fast'"),
        ('{"type": "start", "speed": NaN}', "field 'speed': .* finite"),
        ('{"type": "start", "format": "midi"}', "field 'format': .* found 'midi'"),
        ('{"type": "start", "sample_rate": 1e9}', "field 'sample_rate'"),
        ('{"type": "start", "id": "a b"}', "field 'id'"),
        ('{"type": "start", "voice": "nobody"}', "no voice 'nobody'"),
        ('{"type": "start", "voice": "../../etc/passwd"}', "voice"),
        ('{"type": "start", "speaker": "carl"}', "'carl'"),
        ('{"type": "start", "language": "fi"}', "'fi'"),
        ('{"type": "text", "text": "a"}', "'text' belongs to an utterance, and none is open"),
        ('{"type": "flush"}', "none is open"),
        ('{"type": "end"}', "none is open"),
        (b"\x00\x01", "this one is binary"),
    ],
)
def test_a_wrong_message_is_one_sentence_and_the_connection_goes_on(client, message, said):
    client.socket.send(message)
    error = client.next()
    assert error["type"] == "error"
    assert error["id"] is None
    assert re.search(re.escape(said) if "[" in said else said, error["message"])
    assert "\n" not in error["message"]
    assert "/etc" not in error["message"].replace("../../etc/passwd", "")
    assert client.speak("Fine.", id="after")[1]


def test_an_utterance_that_fails_fails_alone(client):
    found, _ = client.speak(LONG, id="broken", voice="rob")
    assert (found[-1]["type"], found[-1]["id"], found[-1]["code"]) == ("error", "broken", "voice_failed")
    assert "secret" not in found[-1]["message"]
    found, data = client.speak("Fast.", id="fast", speed=9)
    assert (found[-1]["type"], found[-1]["id"], found[-1]["param"]) == ("error", "fast", "speed")
    assert data == b""
    assert client.speak("Fine.", id="fine")[1]


def test_text_behind_a_failure_is_dropped_up_to_its_end(client):
    client.say("start", id="fast", speed=9)
    client.say("text", text="One sentence. And")
    assert client.until("error")[-1]["id"] == "fast"
    for _ in range(200):
        client.say("text", text=" more")
    client.say("end")
    assert client.speak("Fine.", id="fine")[1]


def test_a_second_start_waits_for_the_end_of_the_first(client):
    client.say("start", id="a")
    client.say("start", id="b")
    error = client.until("error")[-1]
    assert error["message"] == "utterance 'a' still takes text; send 'end' or 'cancel' before another 'start'"
    client.say("text", text="Still here.")
    client.say("end")
    assert client.until("done")[-1]["id"] == "a"


def test_an_id_is_one_utterance_at_a_time(client):
    client.say("start", id="a", voice="slow")
    client.say("text", text=LONG)
    client.say("end")
    client.say("start", id="a")
    assert client.until("error")[-1]["message"] == "utterance 'a' is not done yet"
    client.say("cancel")
    client.until("cancelled")


def test_too_many_utterances(client):
    for number in range(17):
        client.say("start", id=f"n{number}", voice="slow")
        client.say("text", text=LONG)
        client.say("end")
    errors = of("error", client.until("error"))
    assert errors[0]["code"] == "too_many_utterances"
    client.say("cancel")
    for _ in range(16):
        client.until("cancelled")


def test_a_text_that_is_too_long(client):
    client.say("start", id="long", realtime=False)
    client.say("text", text="Yes. ")
    client.say("text", text="a" * 20_000)
    error = client.until("error")[-1]
    assert (error["id"], error["code"]) == ("long", "text_too_long")
    client.say("end")
    assert client.until("done")[-1]["characters"] == 5


def test_a_message_that_is_too_large_ends_the_connection(served):
    with connect(f"ws://127.0.0.1:{served.port}/v1/stream") as made:
        client = Client(made)
        client.say("text", text="a" * (1 << 20))
        with pytest.raises(ConnectionClosed) as closed:
            client.until("done")
        assert closed.value.rcvd.code == 1009


def test_rubbish_without_end_ends_the_connection(client):
    for _ in range(100):
        client.socket.send("rubbish")
    with pytest.raises(ConnectionClosed) as closed:
        client.until("done")
    assert closed.value.rcvd.code == 1008


WORDS = st.sampled_from(
    ["auth", "start", "text", "flush", "end", "cancel", "type", "id", "a", "voice", "tim", "slow", ""]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.dictionaries(
    st.sampled_from(
        ["id", "voice", "speaker", "speed", "controls", "format", "sample_rate", "text", "key", "words", "x"]
    ),
    VALUES,
    max_size=3,
)
SANE = st.sampled_from(
    [
        {"type": "start"}, {"type": "start", "id": "a"}, {"type": "start", "speed": 2.0, "words": False},
        {"type": "flush"},
        {"type": "text", "text": "Oh, well. "}, {"type": "text", "text": "Dr. X is 3."}, {"type": "end"},
        {"type": "cancel"}, {"type": "cancel", "id": "a"}, {"type": "text", "text": "\ud83d"},
    ]
)  # fmt: skip
MESSAGES = st.one_of(
    SANE.map(json.dumps),
    st.tuples(WORDS, FIELDS).map(lambda pair: json.dumps({**pair[1], "type": pair[0]})),
    VALUES.map(json.dumps),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.binary(max_size=20),
)


@examples(max_examples=60, deadline=None)
@given(st.lists(MESSAGES, max_size=12))
def test_no_message_whatsoever_breaks_the_service(served, messages):
    with connect(f"ws://127.0.0.1:{served.port}/v1/stream") as made:
        client = Client(made)
        for message in messages:
            made.send(message)
        client.say("cancel")
        client.say("end")
        client.say("start", id="proof")
        client.say("text", text="Here.")
        client.say("end")
        while True:
            found = client.until("done", "error")
            assert found[-1].get("code") not in ("failed", "voice_failed")
            if found[-1]["type"] == "done" and found[-1]["id"] == "proof":
                break
        assert audio(found)


# --- who may -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def keyed(folder, blocks):
    keys = {"required": True, "clients": {"alice": KEY, "bert": KEY[::-1]}}
    wanted = settings(folder, keys=keys, limits={"idle_connection": 0.5}, cors={"origins": ["https://ours.example"]})
    with serving(wanted) as running:
        yield running


def opened(served, **options):
    return connect(f"ws://127.0.0.1:{served.port}/v1/stream", **options)


def test_a_key_in_the_header(keyed):
    with opened(keyed, additional_headers={"Authorization": f"Bearer {KEY}"}) as made:
        client = Client(made)
        assert client.next()["type"] == "ready"
        assert client.speak("Hello.")[1]


def test_a_key_in_the_first_message(keyed):
    with opened(keyed) as made:
        client = Client(made)
        client.say("auth", key=KEY)
        assert client.next()["type"] == "ready"
        client.say("auth", key=KEY)
        assert client.speak("Hello.")[1]
        client.say("auth", key=KEY[::-1])
        assert client.next()["code"] == "forbidden"


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ({"type": "auth", "key": "wrong"}, "the key is not one of this service's"),
        ({"type": "auth", "key": "\ud83d"}, None),
        ({"type": "start"}, "a key is needed"),
        ({"type": "auth"}, "'auth' needs the field 'key'"),
    ],
)
def test_no_key_no_speech(keyed, first, said):
    with opened(keyed) as made:
        client = Client(made)
        made.send(json.dumps(first))
        error = client.next()
        assert error["type"] == "error"
        assert said is None or said in error["message"]
        with pytest.raises(ConnectionClosed) as closed:
            client.next()
        assert closed.value.rcvd.code == 1008


def test_a_wrong_key_in_the_header_opens_nothing(keyed):
    with pytest.raises(InvalidStatus) as refused, opened(keyed, additional_headers={"Authorization": "Bearer wrong"}):
        pass
    assert refused.value.response.status_code == 401
    assert json.loads(refused.value.response.body)["error"]["code"] == "invalid_api_key"


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://ours.example.evil", "http://[", "file://"])
def test_pages_of_other_origins_open_nothing(served, keyed, origin):
    for each in (served, keyed):
        with pytest.raises(InvalidStatus) as refused, opened(each, origin=origin):
            pass
        assert refused.value.response.status_code == 403


def test_our_own_page_and_the_origins_of_the_settings_may(served, keyed):
    with opened(served, origin=f"http://127.0.0.1:{served.port}") as made:
        assert Client(made).next()["type"] == "ready"
    with opened(keyed, origin="https://ours.example", additional_headers={"Authorization": f"Bearer {KEY}"}) as made:
        assert Client(made).next()["type"] == "ready"
    with pytest.raises(InvalidStatus), opened(served, origin="https://ours.example"):
        pass


def test_an_idle_connection_is_closed(keyed):
    with opened(keyed, additional_headers={"Authorization": f"Bearer {KEY}"}) as made:
        client = Client(made)
        assert client.next()["type"] == "ready"
        assert client.next()["code"] == "idle"
        with pytest.raises(ConnectionClosed) as closed:
            client.next()
        assert closed.value.rcvd.code == 1000


def test_the_service_ends_while_somebody_speaks(folder, blocks):
    before = set(threading.enumerate())
    with serving(settings(folder, grace=0)) as running, opened(running) as made:
        client = Client(made)
        client.say("start", voice="slow")
        client.say("text", text=LONG * 5)
        client.until("first_audio")
        running.loop.call_soon_threadsafe(running.server.stop)
        with pytest.raises(ConnectionClosed):
            client.until("done")
    eventually(lambda: not set(threading.enumerate()) - before)


# --- the guide ---------------------------------------------------------------------------------------------------


def test_the_guides_client_runs(served, tmp_path, monkeypatch):
    programs = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
    assert programs
    monkeypatch.chdir(tmp_path)
    for program in programs:
        assert "ws://127.0.0.1:8080/" in program
        code = program.replace("127.0.0.1:8080", f"127.0.0.1:{served.port}").replace("kathleen", "tim")
        exec(compile(code, "docs/websocket.md", "exec"), {"__name__": "__main__"})
    assert (tmp_path / "speech.pcm").stat().st_size > 1000


def test_the_guide_knows_every_message_and_field():
    from polyvox.service import messages

    text = GUIDE.read_text(encoding="utf-8")
    for kind, adapter in messages._TYPES.items():
        assert f"`{kind}`" in text
        for name in adapter.json_schema()["properties"]:
            assert name == "type" or f"`{name}`" in text, (kind, name)


def test_what_was_begun_is_finished_when_the_service_ends(folder, blocks):
    """Also where it has nothing to speak at that moment, because its text is still being written."""
    with serving(settings(folder, grace=30)) as running, opened(running) as made:
        client = Client(made)
        client.say("start", id="a")
        client.say("text", text="One sentence. And")
        client.until("timings")
        eventually(lambda: not running.call(lambda: running.engine._open))
        running.loop.call_soon_threadsafe(running.server.stop)
        eventually(lambda: not running.call(lambda: running.engine.ready))
        client.say("text", text=" another one.")
        client.say("end")
        assert client.until("done", "error")[-1]["type"] == "done"
        client.say("start", id="b")
        client.say("text", text="No more of it.")
        client.say("end")
        with contextlib.suppress(ConnectionClosed):  # it may be gone already
            assert client.until("done", "error")[-1]["code"] == "stopping"


def test_what_was_begun_goes_on_when_others_have_come(folder, blocks):
    with (
        serving(settings(folder, limits={"streams": 1})) as running,
        opened(running) as first,
        opened(running) as other,
    ):
        one, two = Client(first), Client(other)
        one.say("start", id="a")
        one.say("text", text="One sentence. And")
        one.until("timings")
        eventually(lambda: not running.call(lambda: running.engine._open))
        two.say("start", id="b", voice="slow")
        two.say("text", text=LONG)
        two.say("end")
        two.until("first_audio")
        one.say("text", text=" another one.")
        one.say("end")
        assert one.until("done", "error")[-1]["type"] == "done"
        found, _ = one.speak("A third one.", id="c")
        assert found[-1]["code"] == "busy"


def test_a_client_that_never_reads_is_left_and_cut(folder, blocks, monkeypatch):
    monkeypatch.setattr("polyvox.service.connections.CLOSING", 0.2)
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with serving(settings(folder, streams={"stall": 0.3})) as running:
        made.connect(("127.0.0.1", running.port))
        url = f"ws://127.0.0.1:{running.port}/v1/stream"
        with connect(url, sock=made, max_queue=1, close_timeout=0.1) as deaf:
            Client(deaf).say("start", voice="slow", speed=0.5, sample_rate=48000)
            for _ in range(4):
                Client(deaf).say("text", text=LONG)
            Client(deaf).say("end")
            eventually(lambda: running.call(lambda: len(running.server.server_state.connections)))
            eventually(lambda: not running.call(lambda: len(running.server.server_state.connections)))
        assert streams(running) == 0
