"""The gate's judgement, on made-up tables; and that the package is light and stands alone."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import polyvox
from polyvox.audio import save_audio
from polyvox.cli import cli
from polyvox.errors import MissingExtraError, QualityError
from polyvox.quality import gate, requirements
from polyvox.quality.gate import FROM_FEATURES, FROM_TEXT, Gate, judge
from polyvox.quality.tables import COPY, GRIFFIN_LIM, NATURAL, SPOKEN, WORDS, Table

COPIED = {"pesq": 4.6, "stoi": 1.0, "mcd": 0.0, "f0": 0.0, "voicing": 0.0, "dnsmos": 3.0}
SAID = {
    "dnsmos": 3.0,
    "mcd": 5.0,
    "f0_correlation": 0.5,
    "seconds": 2.0,
    "natural_seconds": 2.0,
    "errors": 1.0,
    "words": 50.0,
}


def copied(**ours):
    table = Table("t", COPY, (NATURAL, GRIFFIN_LIM))
    for row, values in ((NATURAL, COPIED), (GRIFFIN_LIM, {**COPIED, "pesq": 2.5}), ("ours", {**COPIED, **ours})):
        table.add(row, ["x"], [values])
    return table


def said(**ours):
    table = Table("t", (*SPOKEN, WORDS), (NATURAL, GRIFFIN_LIM))
    for row, values in ((NATURAL, SAID), (GRIFFIN_LIM, SAID), ("ours", {**SAID, **ours})):
        table.add(row, ["x"], [values])
    return table


def verdict(table, known, name, most=None):
    limit = known[name]
    return judge(table, "ours", name, limit, limit.most if most is None else most)


@pytest.mark.parametrize(
    ("name", "good", "bad", "detail"),
    [
        ("dnsmos", {"dnsmos": 2.81}, {"dnsmos": 2.79}, "DNSMOS 2.79, the recordings 3.00, at most 0.2 below allowed"),
        ("pesq", {"pesq": 2.51}, {"pesq": 2.5}, "PESQ-WB 2.50, Griffin-Lim 2.50, expected more than 0 above"),
    ],
)
def test_limits_of_vocoders(name, good, bad, detail):
    assert verdict(copied(**good), FROM_FEATURES, name).ok is True
    found = verdict(copied(**bad), FROM_FEATURES, name)
    assert (found.ok, found.check, found.detail) == (False, f"quality: {name}", detail)


@pytest.mark.parametrize(
    ("name", "good", "bad", "detail"),
    [
        ("dnsmos", {"dnsmos": 2.71}, {"dnsmos": 2.69}, "DNSMOS 2.69, the recordings 3.00, at most 0.3 below allowed"),
        (
            "word-errors",
            {"errors": 3.4},
            {"errors": 3.6},
            "7.2% of the words, the recordings 2.0%, at most 5 points above allowed",
        ),
        (
            "length",
            {"seconds": 2.29},
            {"seconds": 2.32},
            "total length is 1.16 of the recordings', at most 15% from it",
        ),
        ("length", {"seconds": 1.71}, {"seconds": 1.6}, "total length is 0.80 of the recordings', at most 15% from it"),
    ],
)
def test_limits_of_voices(name, good, bad, detail):
    assert verdict(said(**good), FROM_TEXT, name).ok is True
    found = verdict(said(**bad), FROM_TEXT, name)
    assert found.ok is False
    assert found.detail.startswith(detail)


def test_a_limit_can_be_moved():
    assert verdict(copied(dnsmos=2.5), FROM_FEATURES, "dnsmos", 0.6).ok is True
    assert verdict(copied(pesq=2.6), FROM_FEATURES, "pesq", 0.5).ok is False
    assert verdict(copied(dnsmos=2.95), FROM_FEATURES, "dnsmos", 0.01).figures["limit"] == 0.01


def test_a_figure_that_is_missing_fails_and_one_that_is_not_measured_is_only_said():
    found = verdict(said(dnsmos=None), FROM_TEXT, "dnsmos")
    assert (found.ok, found.detail) == (False, "DNSMOS of ours has no value")
    table = Table("t", SPOKEN, ())
    for row in (NATURAL, "ours"):
        table.add(row, ["x"], [SAID])
    assert verdict(table, FROM_TEXT, "word-errors").ok is None


@pytest.fixture
def pair(tmp_path):
    save_audio(tmp_path / "a.wav", 0.1 * np.sin(np.arange(16000) * 0.1).astype(np.float32), 16000)
    (tmp_path / "a.txt").write_text("One.")
    return tmp_path


@pytest.fixture
def installed(monkeypatch):
    """As if the extra were installed."""
    pytest.importorskip("soundfile")
    monkeypatch.setattr(requirements, "find_spec", lambda module: module)


def test_limits_that_cannot_be_are_refused(pair, installed):
    with pytest.raises(QualityError, match="'mos' is no limit; there are dnsmos, pesq, word-errors, length"):
        Gate.open(pair, limits={"mos": 1})
    for value in (float("nan"), float("inf"), -1):
        with pytest.raises(QualityError, match="'dnsmos' must be a number of at least 0"):
            Gate.open(pair, limits={"dnsmos": value})


def test_a_missing_extra_is_said_before_anything_runs(pair, monkeypatch):
    monkeypatch.setattr(requirements, "find_spec", lambda module: None if module == "pesq" else module)
    with pytest.raises(MissingExtraError, match=r"needs the package 'pesq'.*pip install 'polyvox\[quality\]'"):
        Gate.open(pair)
    result = CliRunner().invoke(cli, ["check", "universal", "--reference", str(pair)])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reference", "nowhere"], "nowhere: is no folder"),
        (["--reference", ".", "--limits", "dnsmos"], "--limits dnsmos: expected KEY=VALUE"),
        (["--reference", ".", "--limits", "dnsmos=little"], "expected KEY=VALUE with a number"),
        (["--reference", ".", "--limits", "mos=1"], "'mos' is no limit"),
        (["--split", "dev"], "--split needs --reference"),
        (["--limit", "3"], "--limit needs --reference"),
    ],
)
def test_what_is_wrong_with_the_command_is_one_line(arguments, message, pair, installed, monkeypatch):
    monkeypatch.chdir(pair)
    result = CliRunner().invoke(cli, ["check", "universal", *arguments])
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_the_help_says_the_defaults():
    said = " ".join(CliRunner().invoke(cli, ["check", "--help"]).stdout.split())
    for known in (FROM_FEATURES, FROM_TEXT):
        for name, limit in known.items():
            assert f"{name}={limit.most:g}" in said
    assert f"{gate.CLIPS} unless given" in said


def test_the_guide_says_the_defaults():
    page = (Path(__file__).parent.parent / "docs/voices.md").read_text("utf-8")
    for known in (FROM_FEATURES, FROM_TEXT):
        for name, limit in known.items():
            assert re.search(rf"\| `{name}` \| {re.escape(f'{limit.most:g}')} \|", page), name


def test_the_package_imports_no_recipes_and_the_gate_nothing_heavy():
    root = Path(polyvox.__file__).parent
    for path in root.rglob("*.py"):
        assert not re.search(r"^\s*(from|import) recipes\b", path.read_text("utf-8"), re.MULTILINE), path
    code = """
import sys
import polyvox.quality.gate
late = {"onnxruntime", "scipy", "soundfile", "soxr", "pesq", "pystoi", "pyworld", "pocketsphinx", "tqdm"}
assert not late & set(sys.modules), late & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
