"""`polyvox serve` as a process: starts, speaks, stops without cutting anybody off; says what is wrong in one line."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import polyvox
import tiny
from polyvox.cli import cli

pytest.importorskip("fastapi")
pytest.importorskip("wyoming")
httpx = pytest.importorskip("httpx2")

from serving import WIDE, asking, until  # noqa: E402

TEXT = "Hello there, how are you?"
KEY = "a-key-that-nobody-guesses"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("voices")
    tiny.acoustic(made / "tim")
    tiny.vocoder(made / "tom")
    return made


@pytest.fixture
def environment(folder):
    source = [str(Path(polyvox.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("POLYVOX_", "OTEL_"))}
    return {
        **kept,
        "POLYVOX_PATH": str(folder),
        "PYTHONPATH": os.pathsep.join(source),
        "POLYVOX_SERVE__VOICES__DEFAULT": "tim",
    }


@contextlib.contextmanager
def serving(environment, *arguments):
    """A process that serves, and its address."""
    command = [sys.executable, "-m", "polyvox", "serve", "--port", "0", "--wyoming-port", "0", *arguments]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.fullmatch(r"polyvox serves \d+ voices? at (http://127\.0\.0\.1:\d+), Wyoming at (tcp://\S+)\n", line)
        assert found, line + (process.communicate()[1] if not line else "")
        yield process, found[1]
    finally:
        process.kill()
        process.communicate()


def end(process):
    """Its exit code, and what it said since its first line."""
    output, errors = process.communicate(timeout=60)
    return process.returncode, output, errors


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_starts_without_settings_speaks_and_stops(environment, number):
    with serving(environment) as (process, url):
        answer = httpx.post(f"{url}/v1/audio/speech", json={"input": TEXT, "voice": "tim"})
        assert answer.status_code == 200
        assert len(answer.content) > 500
        assert httpx.get(f"{url}/readyz").status_code == 200
        process.send_signal(number)
        code, output, errors = end(process)
    assert code == 0  # to stop when told to is no failure
    assert output == ""
    assert "Traceback" not in errors
    assert re.search(r" info    speech request_id=\w+ outcome=done voice=tim@1\.0\.0 ", errors)
    assert TEXT not in errors


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_running_stream_finishes_and_a_new_one_is_refused(environment):
    with serving(environment) as (process, url), httpx.stream("POST", f"{url}/v1/audio/speech", json=WIDE) as answer:
        pieces = answer.iter_bytes()
        received = len(next(pieces))
        process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{url}/readyz").status_code == 503)
        refused = httpx.post(f"{url}/v1/audio/speech", json={"input": TEXT})
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) >= 1
        process.send_signal(signal.SIGTERM)  # as supervisors do, to the process and to its group
        received += sum(map(len, pieces))
        code, _, errors = end(process)
    assert received > 10_000_000
    assert code == 0
    assert "Traceback" not in errors


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_sigint_after_that_stops_at_once(environment):
    with serving(environment) as (process, url), socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        slow.sendall(asking(WIDE))
        assert slow.recv(100).startswith(b"HTTP/1.1 200 ")
        process.send_signal(signal.SIGTERM)
        until(lambda: httpx.get(f"{url}/readyz").status_code == 503)
        process.send_signal(signal.SIGINT)
        code, _, errors = end(process)
    assert code == 0
    assert "Traceback" not in errors


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_told_to_stop_while_it_loads_it_stops_when_it_has(environment):
    command = [sys.executable, "-m", "polyvox", "serve", "--port", "0", "--wyoming-port", "0", "--voice", "kathleen"]
    environment["POLYVOX_SERVE__LOG__LEVEL"] = "debug"
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert "starting" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    code, output, errors = end(process)
    assert (code, output) == (0, "")
    assert "Traceback" not in errors


def test_settings_come_from_a_file_the_environment_and_options(environment, tmp_path):
    file = tmp_path / "polyvox.toml"
    file.write_text(
        f'host = "192.0.2.1"\n[log]\nformat = "json"\n[keys]\nrequired = true\nclients = {{ ann = "{KEY}" }}\n'
        '[voices]\naliases = { alice = "tim/ben" }\n',
        "utf-8",
    )
    environment["POLYVOX_SERVE__LIMITS__TEXT"] = "30"
    with serving(environment, "--config", str(file), "--host", "127.0.0.1", "--voice", "tim") as (process, url):
        assert httpx.get(f"{url}/v1/models").status_code == 401
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {KEY}"}) as client:
            answer = client.post("/v1/audio/speech", json={"input": TEXT, "voice": "alice"})
            assert (answer.status_code, answer.headers["x-polyvox-speaker"]) == (200, "ben")
            assert client.post("/v1/audio/speech", json={"input": TEXT * 2}).json()["error"]["code"] == "text_too_long"
        process.terminate()
        _, _, errors = end(process)
    lines = [json.loads(line) for line in errors.splitlines()]
    assert [line.get("client") for line in lines if line["message"] == "request"] == [None, "ann", "ann"]
    assert KEY not in errors


def failing(environment, *arguments, **more):
    done = subprocess.run(
        [sys.executable, "-m", "polyvox", "serve", *arguments],
        env={**environment, **more}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "more", "sentence"),
    [
        (("--host", "0.0.0.0"), {}, "settings: keys are needed on '0.0.0.0', but keys.clients has none; add one"),
        (("--config", "no.toml"), {}, "no.toml: cannot be read: No such file or directory"),
        (("--voice", "nobody"), {}, "settings: field 'voices.pinned': there is no voice 'nobody'; there are tim"),
        ((), {"POLYVOX_SERVE__PROT": "1"}, "POLYVOX_SERVE__PROT: field 'prot' is unknown; did you mean 'port'?"),
        (
            ("--host", "192.0.2.1"),
            {"POLYVOX_SERVE__INSECURE": "true"},
            "cannot listen at 192.0.2.1:8080: cannot ",
        ),
    ],
)
def test_what_cannot_be_served_is_one_line(environment, arguments, more, sentence):
    errors = failing(environment, *arguments, **more)
    assert errors.startswith(f"polyvox: {sentence}")
    assert errors.count("\n") == 1


@pytest.mark.parametrize("protocol", ["HTTP", "Wyoming"])
def test_an_address_that_is_taken_is_one_sentence(environment, protocol):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ports = (port, "0") if protocol == "HTTP" else ("0", port)
        errors = failing(environment, "--port", ports[0], "--wyoming-port", ports[1])
    *_, last = errors.splitlines()
    assert last.startswith("polyvox: cannot listen ")
    assert f"127.0.0.1:{port}: " in last
    assert last.endswith("address already in use")
    assert "Traceback" not in errors


def check(*arguments, environ=None):
    return CliRunner().invoke(cli, ["serve", "--check", *arguments], env=environ)


def test_check_says_what_would_be_served(folder):
    result = check(environ={"POLYVOX_PATH": str(folder), "POLYVOX_SERVE__VOICES__ALIASES": '{alice = "tim/ann"}'})
    assert result.exit_code == 0, result.output
    assert re.search(r"^tim +1\.0\.0 +en-US +ann, ben +alice$", result.stdout, re.MULTILINE)
    assert re.search(r"^kathleen ", result.stdout, re.MULTILINE)
    assert "HTTP at 127.0.0.1:8080, no key needed\nWyoming at 127.0.0.1:10200, which knows no keys\n" in result.stdout
    there = {"POLYVOX_SERVE__KEYS__CLIENTS": f'{{ann = "{KEY}"}}', "POLYVOX_SERVE__HOST": "::"}
    keyed = check("--port", "9000", environ=there)
    assert "HTTP at [::]:9000, 1 key\n" in keyed.stdout


def test_check_loads_every_voice_and_fails_if_one_is_broken(tmp_path):
    tiny.vocoder(tmp_path / "tom")
    tiny.acoustic(tmp_path / "tim")
    # What addon.json says is fine; only loading it shows that its network is none.
    (tiny.acoustic(tmp_path / "bad") / "decoder.onnx").write_bytes(b"nonsense")
    result = check(environ={"POLYVOX_PATH": str(tmp_path)})
    assert result.exit_code == 1
    assert re.search(r"^tim ", result.stdout, re.MULTILINE)
    assert not re.search(r"^bad ", result.stdout, re.MULTILINE)
    broken, last = result.stderr.splitlines()
    assert broken.startswith("broken: ")
    assert "decoder.onnx" in broken
    assert last == "polyvox: 1 thing is wrong with what would be served"


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ("[limits]\ntexts = 3", "field 'limits.texts' is unknown; did you mean 'text'?"),
        ("port = 'x'", "field 'port': "),
        ("port =", "not TOML: "),
        ("[keys]\nclients = { ann = 'sha256:1234567890' }", "settings: field 'keys.clients.ann': expected 'sha256:'"),
        ("[voices]\ndefault = 'nobody'", "settings: field 'voices.default': there is no voice 'nobody'"),
    ],
)  # fmt: skip
def test_check_of_wrong_settings(tmp_path, folder, settings, sentence):
    file = tmp_path / "polyvox.toml"
    file.write_text(settings, "utf-8")
    result = check("--config", str(file), environ={"POLYVOX_PATH": str(folder)})
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_missing_extra_is_one_sentence(monkeypatch):
    from polyvox.cli import serve

    real = serve.find_spec
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "uvicorn" else real(name))
    result = check()
    assert result.exit_code == 1
    assert result.stderr == (
        "polyvox: the voice service needs the package 'uvicorn', which is not installed: pip install 'polyvox[serve]'\n"
    )
