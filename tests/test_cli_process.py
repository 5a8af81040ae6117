"""The command line as a process: exit codes, pipes, signals, and how soon help comes."""

import json
import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import pytest
from click.testing import CliRunner

import polyvox
from polyvox.cli import COMMANDS, cli

TEXT = "Hello there, how are you? "


@pytest.fixture
def environment(tiny_folder):
    source = str(Path(polyvox.__file__).parents[1])  # this very package, wherever a process starts
    # Buffered as by default: what a closed pipe leaves in the buffer is half of what can go wrong.
    return {**os.environ, "POLYVOX_PATH": str(tiny_folder), "PYTHONPATH": source, "PYTHONUNBUFFERED": ""}


def command(*arguments):
    return [sys.executable, "-m", "polyvox", *arguments]


def test_module_speaks_from_a_pipe_and_to_one(environment, tmp_path):
    done = subprocess.run(
        command("say", "--voice", "tim", "-o", "out.wav"),
        cwd=tmp_path, env=environment, input=TEXT.encode(), capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == b""
    raw = subprocess.run(
        command("say", TEXT, "--voice", "tim", "-o", "-", "-q"),
        cwd=tmp_path, env=environment, capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    assert raw.stderr == b""
    with wave.open(str(tmp_path / "out.wav")) as file:
        assert raw.stdout == file.readframes(file.getnframes()) != b""


def test_a_mistake_is_one_line_and_1(environment, tmp_path):
    done = subprocess.run(
        command("say", "hi", "--voice", "nobody", "-o", "out.wav"),
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("polyvox: 'nobody' is no addon here")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_leaves_no_file_and_no_traceback(environment, tmp_path, number, code):
    text = tmp_path / "book.txt"
    text.write_text(TEXT * 60_000)
    folder = tmp_path / "out"
    folder.mkdir()
    running = subprocess.Popen(
        command("say", "-f", str(text), "--voice", "tim", "-o", str(folder / "out.wav")),
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not any(p.stat().st_size > 100_000 for p in folder.iterdir()):  # it is speaking
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.send_signal(number)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == code
    assert b"Traceback" not in errors
    assert errors.strip() == b""
    assert list(folder.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise there")
@pytest.mark.parametrize(
    "arguments", [("say", "--voice", "tim", "-o", "-", TEXT * 2000), ("inspect", "tim", "--json"), ("voices",)]
)
def test_a_reader_that_leaves_ends_it_quietly(environment, arguments):
    running = subprocess.Popen(command(*arguments), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert running.stdout is not None
    if arguments[0] == "say":
        assert len(running.stdout.read(2)) == 2
    running.stdout.close()
    assert running.stderr is not None
    errors = running.stderr.read()
    running.stderr.close()
    assert running.wait(timeout=60) == 141
    assert errors == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("arguments", [("say", "Hello there.", "--voice", "kathleen", "-o", "-"), ("voices",)])
def test_output_that_is_full_is_one_line_and_1(environment, arguments):
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "polyvox", *arguments],
            env=environment,
            stdout=full,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.decode() == "polyvox: standard output: No space left on device\n"


def test_version_and_help(environment):
    done = subprocess.run(command("--version"), env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"polyvox {polyvox.__version__}\n"
    done = subprocess.run(command("--help"), env=environment, capture_output=True, text=True, timeout=60)
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout


def test_help_imports_no_runtime(environment):
    script = (
        "import sys, json; from click.testing import CliRunner; from polyvox.cli import cli\n"
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0\n"
        "print(json.dumps([m for m in ('onnxruntime', 'matplotlib', 'soundfile', 'sounddevice') if m in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert json.loads(done.stdout) == [], done.stderr


def test_the_commands_own_modules_import_nothing_heavy(environment):
    """With the package itself stood in for, so that only what the command line imports counts."""
    script = (
        "import sys, types, pathlib\n"
        f"package = types.ModuleType('polyvox'); package.__path__ = [{str(next(iter(polyvox.__path__)))!r}]\n"
        "sys.modules['polyvox'] = package\n"
        "from click.testing import CliRunner; from polyvox.cli import cli\n"
        "assert CliRunner().invoke(cli, ['--help']).exit_code == 0\n"
        "print([m for m in ('numpy', 'pydantic', 'onnxruntime', 'polyvox.voice') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_helps_with_an_example(name):
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.stdout
    assert f"polyvox {name}" in result.stdout


def test_an_unknown_command_is_one_line_and_2():
    result = CliRunner().invoke(cli, ["sing"])
    assert result.exit_code == 2
    assert result.stderr == "polyvox: No such command 'sing'. (polyvox --help shows how)\n"


def test_shipped_voice_speaks(tmp_path):
    """Sound matters here: as many seconds as such a sentence takes, and neither silence nor noise at full scale."""
    path = tmp_path / "fox.wav"
    result = CliRunner().invoke(cli, ["say", "The quick brown fox jumps over the lazy dog.", "-o", str(path)])
    assert result.exit_code == 0, result.output
    with wave.open(str(path)) as file:
        assert file.getframerate() == 22050
        assert 1.5 < file.getnframes() / 22050 < 5
        import numpy as np

        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32768
    assert 0.01 < np.sqrt(np.mean(samples**2)) < 0.4


def test_speaking_leaves_nothing_in_the_users_cache(tmp_path):
    """ONNX Runtime's telemetry would."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "polyvox", "say", "Hello.", "-o", str(tmp_path / "hello.wav")]
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    assert [path.name for path in tmp_path.iterdir()] == ["hello.wav"]
