"""OpenAI's speech API, by OpenAI's own client, against the real service: uvicorn, the engine, tiny voices."""

import asyncio
import base64
import io
import json
import logging

import numpy as np
import pytest

import polyvox
import tiny
from polyvox.audio import Resampler, pcm16

pytest.importorskip("fastapi")
openai = pytest.importorskip("openai")
av = pytest.importorskip("av")
httpx = pytest.importorskip("httpx2")

from serving import LONG, logged, serving, settings, until  # noqa: E402

TEXT = "Hello there, how are you? It is a fine day, is it not?"
WIDE = {"sample_rate": 48000}
"""With `LONG` it is more audio than the buffers between server and client take."""
KEY = "a-key-that-nobody-guesses"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """`tim` (ann, ben) and an old version of it, `tam`, and `rob`, whose stream breaks in its second chunk."""
    made = tmp_path_factory.mktemp("voices")
    tiny.acoustic(made / "tim")
    tiny.vocoder(made / "tom")
    tiny.acoustic(made / "old", name="tim", version="0.9.0")
    tiny.speech(made / "tam")
    tiny.acoustic(made / "rob", stack=[*tiny.ARTICLE_STACK, {"type": "BreaksLater"}])
    return made


@pytest.fixture(scope="module")
def served(folder):
    from polyvox.blocks import registry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_types", dict(registry._types))

        @registry.block("BreaksLater")
        class BreaksLater(polyvox.StreamableBlock):
            loaded = False  # the service lets a voice speak before it trusts it

            def stream(self, tensors, upstream):
                for number, chunk in enumerate(upstream):
                    if number == 1 and self.loaded:
                        raise polyvox.errors.TensorError("a secret of the host")
                    yield chunk

        aliases = {"alice": "tim/ann", "bob": "tim/ben", "nova": "tam"}
        with serving(settings(folder, voices={"aliases": aliases, "pinned": ["rob"]})) as running:
            BreaksLater.loaded = True
            yield running


@pytest.fixture(scope="module")
def client(served):
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def tim(folder):
    voice = polyvox.load(folder / "tim")
    yield voice
    voice.close()


def speak(client, **changes):
    said = {"model": "tts-1", "voice": "tim", "input": TEXT, "response_format": "pcm", **changes}
    extra = {n: said.pop(n) for n in ("language", "speaker", "realtime", "sample_rate") if n in said}
    return client.audio.speech.create(**said, extra_body=extra)


def samples(data):
    """Of raw 16-bit audio."""
    return np.frombuffer(data, "<i2") / 32767


def same(heard, spoken, tolerance=2e-3):
    """Chunks are cut elsewhere than in `say`, and 16 bits round."""
    assert len(heard) == len(spoken)
    np.testing.assert_allclose(heard, np.clip(spoken, -1, 1), atol=tolerance)


def at(spoken, rate):
    resampler = Resampler(tiny.RATE, rate)
    return np.concatenate([resampler.process(spoken), resampler.finish()])


def decoded(data):
    """Samples and rate of any container."""
    parts = []
    with av.open(io.BytesIO(data)) as container:
        for frame in container.decode(audio=0):
            made = frame.to_ndarray()
            whole = made.dtype.kind == "i"
            parts.append(made[0] / np.iinfo(made.dtype).max if whole else made[0])
            rate = frame.sample_rate
    return np.concatenate(parts), rate


def events(data):
    lines = data.decode().split("\n\n")
    assert lines.pop() == ""
    assert all(line.startswith("data: ") for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]


# --- formats -----------------------------------------------------------------------------------------------------


def test_pcm_is_at_24_khz(client, tim):
    answer = speak(client)
    assert answer.response.headers["content-type"] == "audio/pcm;rate=24000"
    same(samples(answer.content), at(tim.say(TEXT).samples, 24000))


@pytest.mark.parametrize(("format", "kind"), [("wav", "audio/wav"), ("flac", "audio/flac")])
def test_lossless_formats_are_what_the_voice_says(client, tim, format, kind):
    answer = speak(client, response_format=format)
    assert answer.response.headers["content-type"] == kind
    heard, rate = decoded(answer.content)
    assert rate == tiny.RATE
    same(heard, tim.say(TEXT).samples)


@pytest.mark.parametrize(
    ("format", "kind", "late"),
    [("mp3", "audio/mpeg", 1105), ("aac", "audio/aac", 1024), ("opus", "audio/ogg; codecs=opus", 0)],
)
def test_lossy_formats_sound_like_what_the_voice_says(client, tim, format, kind, late):
    answer = speak(client, response_format=format)
    assert answer.response.headers["content-type"] == kind
    heard, rate = decoded(answer.content)
    spoken = tim.say(TEXT).samples
    spoken = spoken if rate == tiny.RATE else at(spoken, rate)
    heard = heard[late : late + len(spoken)]
    assert len(heard) == len(spoken)
    # The tiny voices make noise, of which codecs keep little more; one sample off it would be 0.3.
    assert np.corrcoef(heard, spoken)[0, 1] > 0.8


def test_webm_for_browsers(served, tim):
    body = {"input": TEXT, "voice": "tim", "response_format": "webm"}
    answer = httpx.post(f"{served.url}/v1/audio/speech", json=body)
    assert answer.headers["content-type"] == "audio/webm; codecs=opus"
    heard, rate = decoded(answer.content)
    assert len(heard) / rate == pytest.approx(tim.say(TEXT).seconds, abs=0.1)


def test_mp3_unless_asked_otherwise(client):
    answer = client.audio.speech.create(model="tts-1", voice="tim", input=TEXT)
    assert answer.response.headers["content-type"] == "audio/mpeg"


@pytest.mark.parametrize("format", ["pcm", "wav"])
def test_any_sample_rate(client, tim, format):
    heard = samples(speak(client, response_format=format, sample_rate=16000).content[0 if format == "pcm" else 44 :])
    same(heard, at(tim.say(TEXT).samples, 16000))


# --- streams -----------------------------------------------------------------------------------------------------


def test_streaming_gives_the_same_bytes(client):
    whole = speak(client, response_format="wav").content
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="tim", input=TEXT, response_format="wav"
    ) as answer:
        pieces = list(answer.iter_bytes())
    assert len(pieces) > 1
    same(samples(b"".join(pieces)[44:]), samples(whole[44:]))


def test_the_first_bytes_come_before_the_last_are_made(client, served):
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="tim", input=LONG, response_format="wav", extra_body=WIDE
    ) as answer:
        pieces = answer.iter_bytes()
        next(pieces)
        assert running(served) == 1
        assert sum(map(len, pieces)) > 10_000_000
    assert running(served) == 0


def running(served):
    """Streams that are open in the engine."""
    text = httpx.get(f"{served.url}/metrics").text
    return int(float(next(line.split()[1] for line in text.splitlines() if line.startswith("polyvox_streams "))))


def test_many_at_once_with_the_asynchronous_client(served, tim):
    texts = [f"{TEXT} {name} said so." for name in ("Ann", "Ben", "Cas", "Dot", "Eve", "Fay", "Gus", "Hal")]

    async def main():
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0) as client:

            async def one(text):
                async with client.audio.speech.with_streaming_response.create(
                    model="tts-1", voice="tim", input=text, response_format="wav"
                ) as answer:
                    return b"".join([piece async for piece in answer.iter_bytes()])

            return await asyncio.gather(*map(one, texts))

    for text, data in zip(texts, asyncio.run(main()), strict=True):
        same(samples(data[44:]), tim.say(text).samples)


def test_events_hold_the_audio_and_end_with_its_usage(client, tim):
    answer = speak(client, response_format="wav", stream_format="sse")
    assert answer.response.headers["content-type"] == "text/event-stream; charset=utf-8"
    *deltas, done = events(answer.content)
    assert {e["type"] for e in deltas} == {"speech.audio.delta"}
    assert len(deltas) > 1
    data = b"".join(base64.b64decode(e["audio"]) for e in deltas)
    assert data[:4] == b"RIFF"
    spoken = tim.say(TEXT)
    same(samples(data[44:]), spoken.samples)
    made = round(20 * spoken.seconds)
    usage = {"input_tokens": len(TEXT), "output_tokens": made, "total_tokens": len(TEXT) + made}
    assert done == {"type": "speech.audio.done", "usage": usage}


# --- who speaks, and how -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "speaker"),
    [
        ({"voice": "tim"}, "ann"),
        ({"voice": {"id": "tim"}}, "ann"),
        ({"voice": "tim/ben"}, "ben"),
        ({"voice": "tim@1.0.0/ben"}, "ben"),
        ({"voice": "bob"}, "ben"),
        ({"voice": "tim", "speaker": "ben"}, "ben"),
        ({"voice": "alloy"}, "ann"),  # OpenAI's, which stands for the default voice here
        ({"voice": "alloy", "language": "en"}, "ann"),
        ({"model": "tim", "voice": "ben"}, "ben"),
        ({"model": "tim@1.0.0", "voice": "ben"}, "ben"),
        ({"model": "tim", "voice": "alloy"}, "ann"),
        ({"model": "bob", "voice": "echo"}, "ben"),
        ({"model": "gpt-4o-mini-tts-2025-12-15", "voice": "bob"}, "ben"),
    ],
)
def test_who_speaks(client, tim, asked, speaker):
    answer = speak(client, sample_rate=tiny.RATE, **asked)
    assert answer.response.headers["x-polyvox-voice"] == "tim@1.0.0"
    assert answer.response.headers["x-polyvox-speaker"] == speaker
    same(samples(answer.content), tim.say(TEXT, speaker=speaker).samples)


@pytest.mark.parametrize("asked", [{"voice": "nova"}, {"model": "nova", "voice": "fable"}, {"voice": "tam"}])
def test_an_alias_goes_before_openai_s_voices(client, asked):
    assert speak(client, **asked).response.headers["x-polyvox-voice"] == "tam@1.0.0"


def test_speed(client, tim):
    answer = speak(client, sample_rate=tiny.RATE, speed=2.0)
    assert "x-polyvox-note" not in answer.response.headers
    same(samples(answer.content), tim.say(TEXT, speed=2.0).samples)


@pytest.mark.parametrize(("asked", "taken"), [(4.0, 2.0), (0.25, 0.5)])
def test_a_speed_beyond_the_voice_s_is_its_nearest_and_says_so(client, tim, asked, taken):
    answer = speak(client, sample_rate=tiny.RATE, speed=asked)
    assert answer.response.headers["x-polyvox-note"] == f"speed {taken:g}, as voice tim has 0.5 to 2"
    same(samples(answer.content), tim.say(TEXT, speed=taken).samples)


def test_a_voice_with_one_speed_ignores_another_and_says_so(served):
    from dataclasses import replace

    from polyvox.service.openai import nearest_speed

    fixed = replace(served.engine.voices()[0], name="rigid", controls={})
    assert nearest_speed(1.0, fixed) == nearest_speed(None, fixed) == (None, None)
    assert nearest_speed(2.0, fixed) == (None, "voice rigid has one speed; speed 2 is ignored")


def test_instructions_are_ignored_and_that_is_said(client, tim):
    answer = speak(client, sample_rate=tiny.RATE, instructions="Speak like a pirate.")
    assert answer.response.headers["x-polyvox-note"] == "instructions are ignored"
    same(samples(answer.content), tim.say(TEXT).samples)


def test_unknown_fields_are_ignored_and_null_is_absent(served):
    body = {
        "input": TEXT, "model": None, "voice": None, "speed": None, "response_format": None, "stream_format": None,
        "instructions": None, "language": None, "speaker": None, "realtime": None, "sample_rate": None,
        "lang_code": "a", "volume_multiplier": 1.0,
    }  # fmt: skip
    answer = httpx.post(f"{served.url}/v1/audio/speech", json=body)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "audio/mpeg"
    assert answer.headers["x-polyvox-voice"] == "tim@1.0.0"


@pytest.mark.parametrize(
    ("changes", "realtime"),
    [({}, True), ({"realtime": False}, False), ({"extra_headers": {"x-polyvox-priority": "bulk"}}, False)],
)
def test_bulk_by_field_or_header(client, caplog, changes, realtime):
    headers = changes.pop("extra_headers", {})
    with caplog.at_level(logging.INFO, "polyvox"):
        answer = client.audio.speech.create(
            model="tts-1", voice="tim", input=TEXT, extra_headers=headers, extra_body=changes
        )
        said = logged(caplog, "speech", answer.response.headers["x-request-id"])
    assert said["realtime"] is realtime


# --- errors ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status", "param", "code", "sentence"),
    [
        ({"voice": "nobody"}, 404, "voice", "voice_unknown", "there is no voice 'nobody'"),
        ({"voice": {"id": "nobody"}}, 404, "voice", "voice_unknown", "there is no voice 'nobody'"),
        ({"voice": "tim/eve"}, 404, "speaker", "voice_unknown", "voice 'tim/eve' has no speaker 'eve'"),
        ({"speaker": "eve"}, 404, "speaker", "voice_unknown", "voice 'tim' has no speaker 'eve'"),
        ({"language": "nl"}, 404, "language", "voice_unknown", "voice 'tim' does not speak 'nl'"),
        ({"model": "kokoro"}, 404, "model", "model_not_found", "there is no model 'kokoro'; there are polyvox, tts-1"),
        ({"model": "tim", "voice": "tam"}, 400, "voice", "invalid_request", "voice 'tam' is not one of model 'tim'"),
        ({"voice": 3}, 400, "voice", "invalid_value", "field 'voice': expected a name, or an object with an 'id'"),
        ({"voice": ""}, 400, "voice", "invalid_value", "field 'voice': expected a name"),
        ({"input": ""}, 400, "input", "invalid_value", "field 'input': string should have at least 1 character"),
        ({"input": " \n"}, 400, "input", "text_unspeakable", ""),
        ({"input": "漢字"}, 400, "input", "text_unspeakable", ""),  # which only its front end finds out
        ({"input": "x" * 20000}, 400, "input", "text_too_long", ""),
        ({"speed": 4.5}, 400, "speed", "invalid_value", "field 'speed': input should be less than or"),
        ({"speed": 0.2}, 400, "speed", "invalid_value", "field 'speed': input should be greater than or"),
        ({"response_format": "ogg"}, 400, "response_format", "invalid_value", "field 'response_format': input should"),
        ({"stream_format": "tape"}, 400, "stream_format", "invalid_value", "field 'stream_format': input should be"),
        ({"sample_rate": 1}, 400, "sample_rate", "invalid_value", "field 'sample_rate': input should be greater"),
        ({"instructions": "x" * 5000}, 400, "instructions", "invalid_value", "field 'instructions': string should"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_sentence_in_openai_s_shape(client, changes, status, param, code, sentence):
    with pytest.raises(openai.APIStatusError) as caught:
        speak(client, **changes)
    error = caught.value
    assert isinstance(error, openai.NotFoundError if status == 404 else openai.BadRequestError)
    assert (error.status_code, error.param, error.code, error.type) == (status, param, code, "invalid_request_error")
    assert error.body["message"].startswith(sentence)
    assert "\n" not in error.body["message"]
    assert len(error.body["message"]) < 400
    assert error.request_id == error.response.headers["x-request-id"]


@pytest.mark.parametrize(
    "name",
    ["../tim", "/etc/passwd", "..", ".", "tim/../tim", "voices/tim", "tim\x00", "%2e%2e/tim", "file:///etc", "~"],
)
def test_a_voice_is_never_a_path(client, folder, name):
    for changes in ({"voice": name}, {"voice": str(folder / "tim")}, {"model": name}, {"model": f"{folder}/tim.addon"}):
        with pytest.raises(openai.NotFoundError) as caught:
            speak(client, **changes)
        assert str(folder) not in caught.value.message.replace(str(changes), "").replace(str(folder / "tim")[:64], "")


def test_keys(folder):
    with (
        serving(settings(folder, keys={"required": True, "clients": {"ann": KEY}})) as served,
        openai.OpenAI(base_url=f"{served.url}/v1", api_key="another-key-than-that", max_retries=0) as stranger,
    ):
        with pytest.raises(openai.AuthenticationError) as caught:
            speak(stranger)
        assert (caught.value.code, caught.value.status_code) == ("invalid_api_key", 401)
        assert caught.value.response.headers["www-authenticate"] == "Bearer"
        with stranger.with_options(api_key=KEY) as friend:
            assert speak(friend).content


def test_too_many_streams_of_one_client_is_429_and_goes_by(folder):
    limits = {"streams_per_client": 1}
    with (
        serving(settings(folder, limits=limits)) as served,
        openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0) as client,
    ):
        with client.audio.speech.with_streaming_response.create(
            model="tts-1", voice="tim", input=LONG, response_format="pcm", extra_body=WIDE
        ) as answer:
            pieces = answer.iter_bytes()  # kept: one that is dropped closes its answer
            next(pieces)
            with pytest.raises(openai.RateLimitError) as caught:
                speak(client)
            assert caught.value.code == "too_many_streams"
        # The first one's reader has left; the client comes again by itself until that has been noticed.
        with client.with_options(max_retries=5) as patient:
            assert speak(patient).content


def test_no_room_is_503_with_a_time_to_come_again(folder):
    with (
        serving(settings(folder, limits={"streams": 1})) as served,
        openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0) as client,
        client.audio.speech.with_streaming_response.create(
            model="tts-1", voice="tim", input=LONG, response_format="pcm", extra_body=WIDE
        ) as answer,
    ):
        pieces = answer.iter_bytes()  # kept: one that is dropped closes its answer
        next(pieces)
        with pytest.raises(openai.InternalServerError) as caught:
            speak(client)
        assert caught.value.status_code == 503
        assert caught.value.type == "overloaded_error"
        assert int(caught.value.response.headers["retry-after"]) >= 1


def test_a_stream_that_fails_is_visibly_broken(client):
    with client.audio.speech.with_streaming_response.create(
        model="tts-1", voice="rob", input=TEXT, response_format="wav"
    ) as answer:
        assert answer.status_code == 200  # its first audio was good
        with pytest.raises((openai.APIConnectionError, httpx.RemoteProtocolError)):
            list(answer.iter_bytes())


def test_a_whole_answer_that_fails_is_asked_for_again_and_then_an_error(served, caplog):
    with (
        caplog.at_level(logging.INFO, "polyvox"),
        openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=1) as client,
    ):
        with pytest.raises(openai.APIConnectionError):
            speak(client, voice="rob")
        # The service logs what it did when it has done it, maybe after the client knows.
        until(lambda: len([r for r in caplog.records if r.message == "speech"]) == 2)
    said = [r.fields for r in caplog.records if r.message == "speech"]
    assert {f["outcome"] for f in said} == {"failed"}
    assert {f["error"] for f in said} == {"VoiceFailed"}  # not its sentence, which may quote the text
    assert len({f["request_id"] for f in said}) == 2
    assert "a defect" not in [r.message for r in caplog.records]


def test_events_say_what_went_wrong_before_they_break_off(served):
    body = {"input": TEXT, "voice": "rob", "response_format": "pcm", "stream_format": "sse"}
    received = []
    with httpx.stream("POST", f"{served.url}/v1/audio/speech", json=body) as answer:
        with pytest.raises(httpx.RemoteProtocolError):
            received.extend(answer.iter_bytes())
        assert answer.status_code == 200
    *deltas, last = events(b"".join(received))
    assert {e["type"] for e in deltas} == {"speech.audio.delta"}
    assert last["type"] == "error"
    assert last["error"]["code"] == "voice_failed"
    assert "secret" not in last["error"]["message"]


# --- what there is -----------------------------------------------------------------------------------------------


def test_models(client):
    names = [model.id for model in client.models.list()]
    assert names[:4] == ["polyvox", "tts-1", "tts-1-hd", "gpt-4o-mini-tts"]
    assert {"tim", "tam", "rob", "alice", "bob", "nova"} <= set(names)
    assert len(names) == len(set(names))
    model = client.models.retrieve("tim")
    assert (model.id, model.object, model.owned_by) == ("tim", "model", "polyvox")
    assert model.created > 1_700_000_000
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("nobody")
    assert caught.value.code == "model_not_found"


def test_every_model_that_is_listed_speaks(client):
    for model in client.models.list():
        if model.id not in ("rob", "kathleen"):
            assert speak(client, model=model.id, voice="alloy").content


def test_voices(served, client):
    listed = httpx.get(f"{served.url}/v1/audio/voices").json()
    by_id = {voice["id"]: voice for voice in listed["voices"]}
    assert len(by_id) == len(listed["voices"])
    assert {"tim/ann", "tim/ben", "tam", "rob/ann", "rob/ben"} <= set(by_id)
    ben = by_id["tim/ben"]
    assert (ben["name"], ben["voice"], ben["speaker"], ben["version"]) == ("tim/ben", "tim", "ben", "1.0.0")
    assert ben["languages"] == ["en-US"]
    assert sorted(ben["aliases"]) == ["alice", "bob"]
    assert ben["controls"]["speed"] == {"default": 1.0, "minimum": 0.5, "maximum": 2.0, "unit": "times"}
    assert (ben["sample_rate"], ben["license"], ben["loaded"]) == (8000, "CC0-1.0", True)
    assert str(served.engine.settings.voices.folders[0]) not in json.dumps(listed)
    for name in by_id:
        if not name.startswith("rob"):
            assert speak(client, voice=name).content


def test_other_versions_speak_if_asked_for(client):
    assert speak(client, voice="tim@0.9.0").response.headers["x-polyvox-voice"] == "tim@0.9.0"
    with pytest.raises(openai.NotFoundError, match=r"voice 'tim' has no version '3\.0\.0'"):
        speak(client, voice="tim@3.0.0")


def test_a_voice_that_cannot_be_loaded_is_an_error_and_not_offered(folder, tmp_path):
    (tiny.acoustic(tmp_path / "bad", vocoder="tom") / "decoder.onnx").write_bytes(b"nonsense")
    wanted = settings(folder, voices={"folders": [str(folder), str(tmp_path)]})
    with (
        serving(wanted) as served,
        openai.OpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            speak(client, voice="bad")
        assert caught.value.code == "voice_failed"
        assert str(tmp_path) not in caught.value.message
        assert "bad" not in [m.id for m in client.models.list()]
        assert not [v for v in httpx.get(f"{served.url}/v1/audio/voices").json()["voices"] if v["voice"] == "bad"]
        assert speak(client).content


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("model=tim", {"tim/ann", "tim/ben"}),
        ("model=bob", {"tim/ann", "tim/ben"}),
        ("language=xx", set()),
        ("language=en&model=tam", {"tam"}),
    ],
)
def test_voices_of_a_language_or_model(served, query, names):
    listed = httpx.get(f"{served.url}/v1/audio/voices?{query}").json()
    assert {voice["id"] for voice in listed["voices"]} == names


def test_voices_of_no_model_are_404(served):
    answer = httpx.get(f"{served.url}/v1/audio/voices?model=nobody")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_models_as_open_webui_asks_for_them(served, client):
    listed = httpx.get(f"{served.url}/v1/audio/models").json()
    assert [m["id"] for m in listed["models"]] == [m.id for m in client.models.list()]


def test_pcm16_of_the_helper():
    assert samples(pcm16(np.array([0.5, -1.0], np.float32))) == pytest.approx([0.5, -1.0], abs=1e-4)
