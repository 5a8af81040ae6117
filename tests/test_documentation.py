"""The commands and examples of the README and docs/ are run as they stand there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import polyvox
from polyvox.addons import parse
from polyvox.blocks import registry

ROOT = Path(__file__).resolve().parent.parent


def blocks(path, language):
    """The fenced code of one language in a page."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / path).read_text("utf-8"), re.DOTALL | re.MULTILINE)


README_COMMANDS = [
    line
    for block in blocks("README.md", "bash")
    for line in block.splitlines()
    if not line.startswith(("pip ", "scripts/"))
]


def test_the_readme_begins_with_two_commands():
    first = blocks("README.md", "bash")[0].splitlines()
    assert first == ["pip install .", 'polyvox say "Any English text." -o hello.wav']


def test_the_readme_s_test_command_is_what_ci_runs():
    assert "scripts/check" in blocks("README.md", "bash")[-1]
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("scripts/check")


def test_the_performance_page_says_of_the_service_what_its_own_page_says():
    from benchmarks import report

    assert (ROOT / "docs/performance.md").read_text("utf-8").endswith(report.service())


@pytest.mark.parametrize("command", README_COMMANDS)
def test_commands_of_the_readme(command, tmp_path):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=tmp_path, env=environment, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()
    for name in re.findall(r"(?:-o|--timings|--picture|>) ([\w.]+\.\w+)", command):
        assert (tmp_path / name).stat().st_size > 300


@pytest.mark.parametrize("code", blocks("README.md", "python"))
def test_python_of_the_readme(code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    if "say(" in code:
        assert (tmp_path / "words.wav").stat().st_size > 10_000
        assert "('Words', " in capsys.readouterr().out


def test_the_block_of_the_readme_is_registered():
    exec(compile(blocks("README.md", "python")[-1], "README.md", "exec"), {"__name__": "readme"})
    softly = registry.find("Softly", "here")()
    made = list(softly.stream({}, iter([{"mel": np.zeros((3, 4), np.float32)}])))
    assert np.all(made[0]["mel"] == -0.5)


def test_the_block_of_the_guide_keeps_its_state_in_the_generator(registered):
    code = blocks("docs/adding-a-block.md", "python")[0]
    exec(compile(code, "adding-a-block.md", "exec"), {"__name__": "guide"})
    tremble = registry.find("Tremble", "here")(depth=0.5)
    audio = np.random.default_rng(0).standard_normal(1000).astype(np.float32)
    whole = np.concatenate([c["audio"] for c in tremble.stream({}, iter([{"audio": audio}]))])
    cut = [{"audio": audio[i : i + 70]} for i in range(0, 1000, 70)]
    chunked = np.concatenate([c["audio"] for c in tremble.stream({}, iter(cut))])
    np.testing.assert_allclose(chunked, whole, atol=1e-6)
    assert 0.4 < np.abs(whole).sum() / np.abs(audio).sum() < 0.9


def test_the_manifest_of_the_guide_is_valid():
    manifest = parse(blocks("docs/adding-a-model.md", "json")[0], "adding-a-model.md")
    assert manifest.networks["decoder"].stream is not None


def test_every_block_is_in_the_concepts():
    text = (ROOT / "docs/concepts.md").read_text("utf-8")
    own = [n for n in registry.names() if registry.find(n, "here").__module__.startswith("polyvox.")]
    missing = [name for name in own if f"| `{name}` |" not in text]
    assert not missing


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", ROOT / "recipes/README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_the_schema_in_the_package_is_json_schema():
    schema = json.loads((Path(polyvox.__file__).parent / "addons/addon.schema.json").read_text("utf-8"))
    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["additionalProperties"] is False
