"""The service while it runs: clients that leave or stall, stopping, what the log and the traces say."""

import asyncio
import gzip
import http.server
import io
import json
import logging
import threading
import time

import pytest

import polyvox
import tiny

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx2")

from polyvox.service import logs, tracing  # noqa: E402
from serving import SPEECH, WIDE, all_of, asking, connected, logged, metric, serving, settings, until  # noqa: E402

TEXT = "Hello there, how are you?"
KEY = "a-key-that-nobody-guesses"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("voices")
    tiny.acoustic(made / "tim")
    tiny.vocoder(made / "tom")
    return made


@pytest.fixture(scope="module")
def served(folder):
    with serving(settings(folder)) as running:
        yield running


# --- leaving -----------------------------------------------------------------------------------------------------


def test_who_leaves_frees_the_work(served, caplog):
    cancelled = 'polyvox_streams_total{kind="realtime",outcome="cancelled",voice="tim"}'
    before = metric(served, cancelled)
    with caplog.at_level(logging.INFO, "polyvox"):
        with connected(served) as connection:
            connection.sendall(asking(WIDE, "x-request-id: leaver"))
            assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
            assert metric(served, "polyvox_streams ") == 1
        until(lambda: metric(served, "polyvox_streams ") == 0)
        until(lambda: metric(served, cancelled) != before)
        said = logged(caplog, "speech", "leaver")
    assert said["outcome"] == "left"
    assert said["characters"] == len(WIDE["input"])
    assert said["audio_s"] < 100  # of 140


def test_who_leaves_before_the_first_audio_frees_the_work_too(folder, tmp_path, registered):
    reached, go_on = threading.Event(), threading.Event()
    waiting = []

    @registered("Waits")
    class Waits(polyvox.StreamableBlock):
        def stream(self, tensors, upstream):
            if waiting:
                reached.set()
                go_on.wait(20)
            yield from upstream

    tiny.vocoder(tmp_path / "tom")
    tiny.acoustic(tmp_path / "tim", stack=[*tiny.ARTICLE_STACK, {"type": "Waits"}])
    with serving(settings(tmp_path)) as slow:
        waiting.append(True)
        with connected(slow) as connection:
            connection.sendall(asking({"input": TEXT}))
            assert reached.wait(20)
            assert metric(slow, "polyvox_streams ") == 1
        # While the block still has its thread, nobody waits for it any more.
        until(lambda: metric(slow, "polyvox_streams ") == 0)
        go_on.set()
        until(lambda: metric(slow, 'polyvox_streams_total{kind="realtime",outcome="cancelled",voice="tim"}') == 1)


def test_who_reads_nothing_stops_the_computing_and_is_cut_in_the_end(folder, caplog):
    with (
        serving(settings(folder, streams={"stall": 0.5, "ahead": 1})) as strict,
        caplog.at_level(logging.INFO, "polyvox"),
        connected(strict) as connection,
    ):
        connection.sendall(asking(WIDE, "x-request-id: sleeper"))
        said = logged(caplog, "speech", "sleeper")
        assert said["outcome"] == "failed"
        assert said["audio_s"] < 100
        assert metric(strict, "polyvox_streams ") == 0
        # What it has not read goes too, with the connection: nobody would ever ask for it.
        until(lambda: not strict.server.server_state.connections)
        assert not all_of(connection).endswith(b"0\r\n\r\n")


def test_who_reads_as_it_hears_is_not_taken_for_one_who_reads_nothing(folder):
    """Though less is read than the system would hold of its own accord, for longer than the service has patience."""
    with serving(settings(folder, streams={"stall": 1.5})) as strict, connected(strict) as connection:
        connection.sendall(asking(WIDE))
        end = time.monotonic() + 5
        while time.monotonic() < end:
            assert connection.recv(65_536)
            time.sleep(0.02)
        assert metric(strict, "polyvox_streams ") == 1


@pytest.mark.parametrize("closing", ["an answer without an end", "an idle connection"])
def test_what_is_not_read_yet_is_kept_for_as_long_as_the_client_reads_on(folder, closing):
    """It is the end of what somebody hears, at the speed of listening."""
    from polyvox.service.connections import protocol

    class Transport:
        left, closed, aborted = [900, 500, 100, 100], False, False
        asked = 0

        def get_write_buffer_size(self):
            self.asked += 1
            return self.left[min(self.asked, len(self.left)) - 1]

        def is_closing(self):
            return self.closed

        def close(self):
            self.closed = True

        def abort(self):
            self.aborted = True

        def get_extra_info(self, name):
            return None

    async def test():
        wanted = settings(folder, streams={"stall": 0.05})
        loop, transport = asyncio.get_running_loop(), Transport()
        connection = object.__new__(protocol(wanted))
        connection.loop, connection.transport = loop, transport
        if closing == "an idle connection":
            connection.timeout_keep_alive_handler()
        else:
            transport.close()
            connection._answered()
        await asyncio.sleep(0.12)
        assert transport.closed
        assert not transport.aborted
        await asyncio.sleep(0.12)
        assert transport.aborted
        assert transport.asked == 4

    asyncio.run(test())


def test_a_kept_connection_whose_client_reads_nothing_is_closed_too(folder):
    """Its answer was short enough for the buffers on the way, so that writing it did not have to wait."""
    wanted = settings(folder, streams={"stall": 0.5}, limits={"idle_connection": 0.2})
    with serving(wanted) as strict, connected(strict) as connection:
        connection.sendall(asking({"input": TEXT * 40, "response_format": "wav", "sample_rate": 48000}))
        until(lambda: strict.server.server_state.connections)
        until(lambda: not strict.server.server_state.connections)
        assert connection.fileno() > 0


def test_a_body_that_is_cut_has_no_end(served):
    """What a client sees of an answer that could not be completed; its other requests go on elsewhere."""
    from polyvox.service.errors import VoiceFailed

    with httpx.Client() as client:
        with client.stream("POST", served.url + SPEECH, json=WIDE) as answer:
            pieces = answer.iter_bytes()
            next(pieces)
            open_streams = list(served.engine._open)
            served.call(lambda: served.engine._scheduler.cancel(open_streams[0], VoiceFailed("it broke")))
            with pytest.raises(httpx.RemoteProtocolError):
                list(pieces)
        assert client.get(f"{served.url}/healthz").status_code == 200


# --- stopping ----------------------------------------------------------------------------------------------------


def test_running_streams_finish_and_new_ones_are_refused(folder):
    with serving(settings(folder, grace=30)) as served, httpx.Client() as reader:
        with reader.stream("POST", served.url + SPEECH, json=WIDE) as answer:
            pieces = answer.iter_bytes()
            received = len(next(pieces))
            served.loop.call_soon_threadsafe(served.server.stop)
            until(lambda: httpx.get(f"{served.url}/readyz").status_code == 503)
            assert httpx.get(f"{served.url}/readyz").json() == {"status": "not ready"}
            assert httpx.get(f"{served.url}/healthz").status_code == 200
            refused = httpx.post(served.url + SPEECH, json={"input": TEXT})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "stopping")
            assert int(refused.headers["retry-after"]) >= 1
            received += sum(map(len, pieces))
        assert received > 10_000_000
        until(lambda: served.server.should_exit)


def test_streams_that_outlast_the_grace_are_cut(folder):
    with serving(settings(folder, grace=0.3)) as served, connected(served) as connection:
        connection.sendall(asking(WIDE))
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        served.loop.call_soon_threadsafe(served.server.stop)
        until(lambda: served.server.should_exit)
        assert not all_of(connection).endswith(b"0\r\n\r\n")


def test_to_be_told_twice_is_to_stop_now(folder):
    with serving(settings(folder, grace=600)) as served, connected(served) as connection:
        connection.sendall(asking(WIDE))
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")
        served.loop.call_soon_threadsafe(served.server.stop)
        until(lambda: not served.engine.ready)
        served.loop.call_soon_threadsafe(served.server.stop)
        until(lambda: served.server.should_exit)


def test_nothing_is_left_behind(folder):
    before = set(threading.enumerate())
    with serving(settings(folder)) as served:
        for format in ("mp3", "wav"):
            assert httpx.post(served.url + SPEECH, json={"input": TEXT, "response_format": format}).status_code == 200
    assert not [t.name for t in set(threading.enumerate()) - before if t.is_alive()]


# --- logs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def logging_as_it_was():
    root, server = logging.getLogger(), logging.getLogger("uvicorn.error")
    levels = {name: logging.getLogger(name).level for name in (None, "polyvox", "polyvox.text", "uvicorn.error")}
    before = [*root.handlers], [*server.filters]
    yield
    root.handlers[:], server.filters[:] = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize("texts", [False, True])
def test_logs_hold_the_text_only_if_told_to(folder, logging_as_it_was, texts):
    stream = io.StringIO()
    logs.configure("json", "debug", stream, texts=texts)
    secret = "Mister Miller lives there: æ."  # with a letter that the voice does not know, which is warned of
    with serving(settings(folder, log={"texts": texts})) as served:
        for body in (
            {"input": secret},
            {"input": secret, "stream_format": "sse"},
            {"input": secret, "voice": secret},
            {"input": secret, "speed": 99, "instructions": secret},
            {"input": secret * 5000},
        ):
            httpx.post(served.url + SPEECH, json=body, headers={"authorization": f"Bearer {KEY}"})
        httpx.get(f"{served.url}/v1/models/{secret}?q={secret}")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["status"] for line in lines if line["message"] == "request"] == [200, 200, 404, 400, 400, 404]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    assert ("Miller" in stream.getvalue()) is texts
    assert ("\\u00e6" in stream.getvalue()) is texts
    assert KEY not in stream.getvalue()
    speech = next(line for line in lines if line["message"] == "speech")
    request = next(line for line in lines if line["message"] == "request")
    assert speech["request_id"] == request["request_id"]
    assert (speech["voice"], speech["outcome"], speech["characters"]) == ("tim@1.0.0", "done", len(secret))
    assert request["path"] == SPEECH
    assert request["client"] == "127.0.0.1"


def test_plain_lines_stay_lines(logging_as_it_was):
    stream = io.StringIO()
    logs.configure("text", "info", stream)
    logger = logging.getLogger("polyvox.service.test")
    logs.event(
        logger,
        logging.INFO,
        "something",
        name="a\nb",
        seconds=1.23456,
        nothing=None,
        words="two words",
        bad=float("nan"),
    )
    logs.event(logger, logging.DEBUG, "unheard")
    (line,) = stream.getvalue().splitlines()
    assert line.endswith(' info    something name="a b" seconds=1.235 words="two words" bad=None')


def test_json_lines_hold_traces(logging_as_it_was):
    stream = io.StringIO()
    logs.configure("json", "info", stream)
    try:
        1 / 0  # noqa: B018
    except ZeroDivisionError:
        logging.getLogger("polyvox.service.test").exception("oh")
    (line,) = stream.getvalue().splitlines()
    assert "ZeroDivisionError" in json.loads(line)["trace"]


# --- traces ------------------------------------------------------------------------------------------------------


@pytest.fixture
def spans():
    sdk = pytest.importorskip("opentelemetry.sdk.trace")
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.start(provider)
    yield exporter
    tracing.stop()


def test_traces_are_of_requests_and_streams_and_hold_no_text(folder, spans):
    with serving(settings(folder)) as served:
        httpx.post(served.url + SPEECH, json={"input": TEXT, "response_format": "wav"})
        httpx.post(served.url + SPEECH, json={"input": "漢字"})
        httpx.get(f"{served.url}/healthz")
    made = spans.get_finished_spans()
    requests = [span for span in made if span.name == f"POST {SPEECH}"]
    good, bad = (span for span in made if span.name == "polyvox.speech")
    assert len(made) == 4  # and none of the probe
    assert {span.context.trace_id for span in requests} == {good.context.trace_id, bad.context.trace_id}
    assert good.attributes["polyvox.voice"] == "tim"
    assert good.attributes["polyvox.format"] == "wav"
    assert good.attributes["polyvox.characters"] == len(TEXT)
    assert good.attributes["polyvox.seconds"] > 0
    assert [event.name for event in good.events] == ["first audio"]
    assert (bad.status.is_ok, bad.status.description) == (False, "BadRequest")
    assert not bad.events  # its sentence may quote the text
    said = "".join(json.dumps(json.loads(span.to_json()), ensure_ascii=False) for span in made)
    assert TEXT not in said
    assert "漢字" not in said


def test_without_being_asked_for_nothing_is_traced(folder):
    assert not tracing.wanted({})
    assert tracing.telemetry()["tracing"] is False
    with tracing.span("x") as span:
        span.set(a=1)
        span.event("b")


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://x:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_the_environment_says_whether_to_trace(environ, wanted):
    assert tracing.wanted(environ) is wanted


def test_traces_go_where_the_environment_says(monkeypatch):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    received = []

    class Collector(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Collector) as collector:
        threading.Thread(target=collector.serve_forever).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
        tracing.start()
        assert tracing.telemetry()["tracing"] is True
        with tracing.span("polyvox.speech", voice="tim"):
            pass
        tracing.stop()
        collector.shutdown()
    ((path, data),) = received
    assert path == "/v1/traces"
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    assert b"polyvox.speech" in data
    assert b"polyvox.voice" in data


def test_traces_without_their_extra_are_one_sentence(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr(tracing, "find_spec", lambda name: None)
    with pytest.raises(polyvox.errors.MissingExtraError, match=r"pip install 'polyvox\[trace\]'"):
        tracing.start()
