"""The examples run."""

import importlib.util
import runpy
from pathlib import Path

import numpy as np

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def test_a_stream_is_stopped_in_the_middle(capsys):
    runpy.run_path(str(EXAMPLES / "stream.py"))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) >= 2
    assert "This" in lines[0] + lines[1]
    assert not any("never" in line for line in lines)


def test_sparkle_joins_to_the_same_in_any_chunks():
    spec = importlib.util.spec_from_file_location("sparkle", EXAMPLES / "sparkle/polyvox_sparkle.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    audio = np.random.default_rng(0).standard_normal(900).astype(np.float32)

    def speak(size):
        chunks = iter([{"audio": audio[i : i + size]} for i in range(0, 900, size)])
        return np.concatenate([c["audio"] for c in module.Sparkle(samples=100).stream({}, chunks)])

    whole = speak(900)
    np.testing.assert_allclose(whole[100:], audio[100:] + 0.3 * audio[:-100], atol=1e-6)
    for size in (1, 7, 99, 100, 101, 450):
        np.testing.assert_allclose(speak(size), whole, atol=1e-6)
