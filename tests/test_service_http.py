"""The HTTP side of the service as strangers meet it: keys, limits, errors, headers, probes, its description."""

import contextlib
import json
import socket
import time

import pytest

import tiny

pytest.importorskip("fastapi")
httpx = pytest.importorskip("httpx2")

from polyvox.service.errors import Unauthorised  # noqa: E402
from polyvox.service.keys import Client, Keys, bearer, digest  # noqa: E402
from polyvox.service.settings import SettingsError  # noqa: E402
from serving import SPEECH, WIDE, all_of, asking, connected, metric, serving, settings, until  # noqa: E402

TEXT = "Hello there, how are you?"
KEY, OTHER = "a-key-that-nobody-guesses", "one-more-of-those-keys"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("voices")
    tiny.acoustic(made / "tim")
    tiny.vocoder(made / "tom")
    return made


@pytest.fixture(scope="module")
def served(folder):
    with serving(settings(folder, limits={"request_bytes": 20_000})) as running:
        yield running


@pytest.fixture(scope="module")
def locked(folder):
    """A service that needs keys; one of them is kept as its digest."""
    keys = {"required": True, "clients": {"ann": KEY, "ben": digest(OTHER)}}
    with serving(settings(folder, keys=keys)) as running:
        yield running


# --- probes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_probes(served, method):
    for path, said in (("/healthz", {"status": "ok"}), ("/readyz", {"status": "ready"})):
        answer = httpx.request(method, served.url + path)
        assert answer.status_code == 200
        assert method == "HEAD" or answer.json() == said


def test_metrics_count_what_was_spoken(served):
    assert httpx.post(served.url + SPEECH, json={"input": TEXT}).status_code == 200
    answer = httpx.get(f"{served.url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert metric(served, 'polyvox_first_audio_seconds_count{voice="tim"}') >= 1
    assert 'polyvox_first_audio_seconds_count{voice="tim"}' in answer.text


def test_metrics_can_be_off(folder):
    with serving(settings(folder, metrics=False)) as quiet:
        assert httpx.get(f"{quiet.url}/metrics").status_code == 404
        assert httpx.post(quiet.url + SPEECH, json={"input": TEXT}).status_code == 200


# --- request ids and headers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("own", ["abc-123", "9f.x_y:z", "a" * 128])
def test_a_harmless_request_id_is_kept(served, own):
    for answer in (
        httpx.get(f"{served.url}/healthz", headers={"x-request-id": own}),
        httpx.get(f"{served.url}/nothing", headers={"x-request-id": own}),
        httpx.post(served.url + SPEECH, json={"input": TEXT}, headers={"x-request-id": own}),
    ):
        assert answer.headers["x-request-id"] == own


@pytest.mark.parametrize("own", ["", "a b", "a" * 129, "<script>", "-x", 'a"b', "ä"])
def test_any_other_is_replaced(served, own):
    answer = httpx.get(f"{served.url}/healthz", headers={b"x-request-id": own.encode()})
    assert len(answer.headers["x-request-id"]) == 32
    assert answer.headers["x-request-id"].isalnum()


def test_every_answer_has_the_headers_that_keep_browsers_safe(served):
    for answer in (
        httpx.get(f"{served.url}/healthz"),
        httpx.get(f"{served.url}/nothing"),
        httpx.get(f"{served.url}/v1/models"),
        httpx.post(served.url + SPEECH, json={"input": TEXT}),
        httpx.post(served.url + SPEECH, json={}),
    ):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "server" not in answer.headers


def test_a_stream_is_not_held_back_by_proxies(served):
    answer = httpx.post(served.url + SPEECH, json={"input": TEXT})
    assert answer.headers["x-accel-buffering"] == "no"
    assert answer.headers["server-timing"].startswith("first-audio;dur=")


def test_no_address_redirects(served):
    assert httpx.get(f"{served.url}/v1/models/").status_code == 404
    assert httpx.get(f"{served.url}/docs").status_code == 404  # it would load scripts from elsewhere


PREFLIGHT = {
    "origin": "https://example.org",
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type,authorization",
}


def test_other_origins_are_shut_out(served):
    asked = httpx.options(served.url + SPEECH, headers=PREFLIGHT)
    assert asked.status_code == 405
    sent = httpx.post(served.url + SPEECH, json={"input": TEXT}, headers={"origin": "https://example.org"})
    for answer in (asked, sent):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_origins_can_be_let_in(folder):
    keys = {"required": True, "clients": {"ann": KEY}}
    with serving(settings(folder, cors={"origins": ["https://example.org"]}, keys=keys)) as shared:
        asked = httpx.options(shared.url + SPEECH, headers=PREFLIGHT)
        assert asked.status_code == 200  # a preflight has no key
        assert asked.headers["access-control-allow-origin"] == "https://example.org"
        refused = httpx.post(shared.url + SPEECH, json={}, headers={"origin": "https://example.org"})
        assert refused.status_code == 401
        assert refused.headers["access-control-allow-origin"] == "https://example.org"
        assert "x-request-id" in refused.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in refused.headers
        stranger = httpx.options(shared.url + SPEECH, headers={**PREFLIGHT, "origin": "https://example.com"})
        assert "access-control-allow-origin" not in stranger.headers


# --- keys --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json"])
def test_probes_and_the_description_need_no_key(locked, path):
    assert httpx.get(locked.url + path).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/tim", "/v1/audio/voices", "/v1/audio/models", "/metrics", "/nothing", "/v1/../x"]
)
def test_everything_else_needs_one(locked, path):
    answer = httpx.get(locked.url + path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")


@pytest.mark.parametrize("path", ["/page/../v1/models", "/page/%2e%2e/v1/models", "//v1/models", "/./metrics"])
def test_no_way_around_the_key(locked, path):
    with connected(locked) as connection:
        connection.sendall(asking(b"", "connection: close", path=path, method="GET"))
        assert all_of(connection)[9:12] in (b"401", b"404")


@pytest.mark.parametrize("key", [KEY, OTHER])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_key_opens(locked, key, scheme):
    answer = httpx.post(locked.url + SPEECH, json={"input": TEXT}, headers={"authorization": f"{scheme} {key}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("sent", [f"Basic {KEY}", KEY, "Bearer", f"Bearer {KEY}x", f"Bearer {digest(OTHER)}"])
def test_anything_else_does_not(locked, sent):
    assert httpx.get(f"{locked.url}/v1/models", headers={"authorization": sent}).status_code == 401


def test_a_stranger_is_refused_before_the_body_is_read(locked):
    with connected(locked) as connection:
        connection.sendall(asking(b"").replace(b"content-length: 0", b"content-length: 1000"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_all_keys_are_compared_and_in_constant_time(monkeypatch):
    compared = []
    from polyvox.service import keys

    real = keys.hmac.compare_digest
    monkeypatch.setattr(keys.hmac, "compare_digest", lambda a, b: compared.append(b) or real(a, b))
    three = Keys({"ann": KEY, "ben": OTHER, "cas": digest("k" * 16)})
    assert three.who(KEY) == Client("ann")
    assert three.who("k" * 16) == Client("cas")
    assert len(compared) == 6
    with pytest.raises(Unauthorised):
        three.who(digest("k" * 16))


def test_without_keys_the_address_is_the_client():
    assert Keys({}).who("whatever", "10.0.0.1") == Client("10.0.0.1")
    assert Keys({}).who(None) == Client("anonymous")
    assert Keys({"ann": KEY}, required=False).who(None, "::1") == Client("::1")


def test_keys_that_are_none_are_one_sentence():
    with pytest.raises(SettingsError, match=r"^settings: field 'keys.clients.ann' is empty$"):
        Keys({"ann": ""})
    with pytest.raises(SettingsError, match=r"^settings: field 'keys.clients.ann': expected 'sha256:' and 64 hex"):
        Keys({"ann": "sha256:123"})


@pytest.mark.parametrize(
    ("header", "token"), [(None, None), ("", None), ("Bearer x", "x"), ("BEARER  x ", "x"), ("Basic x", None)]
)
def test_bearer(header, token):
    assert bearer(header) == token


# --- limits and errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b"", "application/json", 400, "invalid_json"),
        (b"[]", "application/json", 400, "invalid_json"),
        (b'"x"', "application/json", 400, "invalid_json"),
        (b"null", "application/json", 400, "invalid_json"),
        (b"\xff\xfe", "application/json", 400, "invalid_json"),
        (b"[" * 15_000, "application/json", 400, "invalid_json"),
        (b"{}", "application/json", 400, "missing_field"),
        (b'{"input": 3}', "application/json", 400, "invalid_value"),
        (b'{"input": "\\ud800"}', "application/json", 400, "invalid_value"),
        (b'{"input": "x", "speed": NaN}', "application/json", 400, "invalid_value"),
        (b'{"input": "x", "speed": 1e999}', "application/json", 400, "invalid_value"),
        (b'{"input": "x", "speed": "1"}', "application/json", 400, "invalid_value"),
        (b'{"input": "x", "realtime": 1}', "application/json", 400, "invalid_value"),
        (b'{"input": "x", "speed": ' + b"9" * 5000 + b"}", "application/json", 400, "invalid_json"),
        (b'{"input": "x"}', "text/plain", 415, "unsupported_media_type"),
        (b"input=x", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"input": "' + b"x" * 30_000 + b'"}', "application/json", 413, "request_too_large"),
    ],
)
def test_a_wrong_body_is_a_sentence(served, data, kind, status, code):
    answer = httpx.post(served.url + SPEECH, content=data, headers={"content-type": kind})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["type"]) == (code, "invalid_request_error")
    assert "\n" not in error["message"]
    assert len(error["message"]) < 250


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/v1/../../etc/passwd", 404, "not_found"),
        ("GET", "/page/%2e%2e/page.py", 404, "not_found"),
        ("GET", SPEECH, 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/models/..%2F..%2Fetc", 404, None),
        ("GET", f"/v1/audio/voices?language={'x' * 300}", 400, "invalid_value"),
    ],
)
def test_a_wrong_address_is_a_sentence(served, method, path, status, code):
    answer = httpx.request(method, served.url + path)
    assert answer.status_code == status
    assert code in (None, answer.json()["error"]["code"])
    assert status != 405 or "allow" in answer.headers


def test_a_priority_that_is_none_is_refused(served):
    answer = httpx.post(served.url + SPEECH, json={"input": TEXT}, headers={"x-polyvox-priority": "urgent"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "x-polyvox-priority")


def test_a_body_that_says_it_is_too_large_is_not_read(served):
    with connected(served) as connection:
        asked = asking(b"", "connection: close").replace(b"content-length: 0", b"content-length: 99999999999")
        connection.sendall(asked)
        answer = all_of(connection)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"request_too_large"' in answer


def test_a_body_of_unknown_size_is_read_up_to_the_limit(served):
    def endless():
        for _ in range(1000):
            yield b" " * 1000

    answer = httpx.post(served.url + SPEECH, content=endless(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")


def test_a_head_without_an_end_is_cut(served):
    with connected(served) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\n")
        with contextlib.suppress(OSError):
            for number in range(1000):
                connection.sendall(f"x-{number}: {'x' * 1000}\r\n".encode())
        assert all_of(connection)[:13] in (b"HTTP/1.1 431 ", b"")  # b"": it was reset before it was read


def test_a_large_body_is_no_large_head(served, locked):
    with httpx.Client() as client:
        for _ in range(5):  # on one connection, more than a head may have
            assert client.request("GET", f"{served.url}/v1/models", content=b"x" * 19_000).status_code == 200
        body = {"input": TEXT, "padding": "x" * 500_000}
        headers = {"authorization": f"Bearer {KEY}"}
        assert client.post(locked.url + SPEECH, json=body, headers=headers).status_code == 200


def test_rubbish_is_refused_and_others_go_on(served):
    for data in (b"\x00\xff" * 100, b"GET\r\n\r\n", b"HELO there\r\n\r\n", b"\x16\x03\x01\x02\x00"):
        with connected(served) as connection:
            connection.sendall(data)
            assert all_of(connection)[:13] in (b"HTTP/1.1 400 ", b"")
    assert httpx.get(f"{served.url}/healthz").status_code == 200


def test_a_request_that_never_ends_is_closed(folder):
    with serving(settings(folder, limits={"idle_connection": 0.2})) as impatient:
        for data in (
            b"",
            b"GET /healthz HT",
            b"POST /v1/audio/speech HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n1",
        ):
            with connected(impatient) as connection:
                connection.sendall(data)
                assert all_of(connection) == b""
        with connected(impatient) as connection:  # and one that is done and asks no more
            connection.sendall(asking(b"", path="/healthz", method="GET"))
            assert all_of(connection).startswith(b"HTTP/1.1 200 ")


def test_a_stream_may_last_longer_than_that(folder):
    with (
        serving(settings(folder, limits={"idle_connection": 0.2})) as impatient,
        httpx.stream("POST", impatient.url + SPEECH, json=WIDE) as answer,
    ):
        pieces = answer.iter_bytes()
        received = len(next(pieces))
        time.sleep(0.5)
        assert received + sum(map(len, pieces)) > 10_000_000


def test_too_many_connections(folder):
    with serving(settings(folder, limits={"connections": 2})) as small, contextlib.ExitStack() as stack:
        for _ in range(2):
            connection = stack.enter_context(connected(small))
            connection.sendall(asking(b"", path="/healthz", method="GET"))
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        third = stack.enter_context(connected(small))
        refused = all_of(third)
        head, _, body = refused.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in head
        assert json.loads(body)["error"]["code"] == "busy"


def test_a_defect_is_a_500_that_tells_nothing(served, monkeypatch, caplog):
    async def broken(request):
        raise ZeroDivisionError("a secret of the host")

    monkeypatch.setattr(served.engine, "open", broken)
    answer = httpx.post(served.url + SPEECH, json={"input": TEXT})
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert answer.json()["error"]["type"] == "server_error"
    assert "secret" not in answer.text
    assert answer.headers["x-request-id"]
    record = until(lambda: next((r for r in caplog.records if r.message == "a defect"), None))
    assert record.exc_info


def test_answers_go_out_at_once(folder):
    """Of sockets that do not say that they are TCP asyncio does not turn Nagle's algorithm off: 40 ms an answer."""
    from polyvox.service.server import listen

    for made in listen("127.0.0.1", 0):
        with made:
            assert made.proto == socket.IPPROTO_TCP


# --- description -------------------------------------------------------------------------------------------------


def test_the_description_says_what_is(served, locked):
    described = httpx.get(f"{served.url}/openapi.json").json()
    speech = described["paths"][SPEECH]["post"]
    assert set(speech["responses"]) == {"200", "400", "401", "404", "413", "415", "429", "500", "503"}
    assert {"audio/mpeg", "audio/wav", "audio/pcm", "audio/flac"} <= set(speech["responses"]["200"]["content"])
    assert "retry-after" in speech["responses"]["503"]["headers"]
    assert described["components"]["schemas"]["SpeechRequest"]["properties"]["input"]["maxLength"] == 16384
    assert "422" not in json.dumps(described)
    assert "securitySchemes" not in described["components"]
    assert {"/healthz", "/readyz", "/metrics", "/v1/models", "/v1/audio/voices"} <= set(described["paths"])
    keyed = httpx.get(f"{locked.url}/openapi.json").json()
    assert keyed["components"]["securitySchemes"] == {"key": {"type": "http", "scheme": "bearer"}}
    assert keyed["paths"][SPEECH]["post"]["security"] == [{"key": []}]
    assert "security" not in keyed["paths"]["/healthz"]["get"]
    assert "401" in keyed["paths"]["/metrics"]["get"]["responses"]
