"""`polyvox check --reference`, end to end, on a corpus that the shipped voice speaks. Needs the extra `quality`."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import polyvox
import tiny
from polyvox.cli import cli
from polyvox.quality.requirements import PACKAGES
from polyvox.quality.tables import FORMANT, GRIFFIN_LIM, NATURAL

for module in PACKAGES:
    pytest.importorskip(module)

# About 2.3 s each: DNSMOS hears 9 s, and of shorter audio the fewest windows when it is repeated four times.
SENTENCES = ["Three birds sat quietly upon the roof.", "Nobody came home on the old boat."]
SENTENCES.append(SENTENCES[0])


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three clips of two sentences, so that one has another take."""
    folder = tmp_path_factory.mktemp("corpus") / "spoken"
    (folder / "wavs").mkdir(parents=True)
    voice = polyvox.load("kathleen")
    for n, text in enumerate(SENTENCES):
        voice.say(text, speed=1.03 if n == 2 else 1.0).save(folder / "wavs" / f"c{n}.wav")
    voice.close()
    lines = [f"c{n}|{text}|{text}" for n, text in enumerate(SENTENCES)]
    (folder / "metadata.csv").write_text("\n".join(lines), "utf-8")
    return folder


@pytest.fixture(autouse=True)
def only_quality(monkeypatch):
    """The other checks have their own tests; and a change of the package's code while they run is no matter."""
    from polyvox import checking
    from polyvox.quality import systems

    monkeypatch.setattr(systems, "_code", lambda: "code")
    for name in ("_contexts", "_voice_findings", "_vocoder"):
        monkeypatch.setattr(checking, name, lambda *_: iter(()))


def run(*arguments):
    result = CliRunner().invoke(cli, ["check", *map(str, arguments), "--jobs", "1"])
    return result.exit_code, result.stdout, result.stderr


def test_a_voice_that_is_the_recorded_one_passes(corpus, tmp_path):
    code, out, err = run("kathleen", "--reference", corpus, "--json", "--keep", tmp_path / "kept")
    assert code == 0, out + err
    findings = {f["check"]: f for f in json.loads(out)}
    assert {name: f["ok"] for name, f in findings.items() if name.startswith("quality")} == {
        "quality": None,
        "quality: dnsmos": True,
        "quality: word-errors": True,
        "quality: length": True,
    }
    table = findings["quality"]["table"]
    ours = "`kathleen` with `universal`"
    assert list(table) == [NATURAL, "another take of it", GRIFFIN_LIM, ours, FORMANT]
    assert table[ours]["dnsmos"]["clips"] == 3
    assert table[ours]["dnsmos"]["sentences"] == 2
    assert table[NATURAL]["mcd"]["value"] == 0
    # Two of the three clips are what the voice says again, the third is a little faster.
    assert table[ours]["mcd"]["value"] < table["another take of it"]["mcd"]["value"]
    assert table[ours]["mcd"]["value"] < table[GRIFFIN_LIM]["mcd"]["value"] < table[FORMANT]["mcd"]["value"]
    assert table[ours]["length"]["value"] == pytest.approx(1, abs=0.02)
    assert len(list((tmp_path / "kept").rglob("c0.wav"))) == 4
    # What is kept is not made or measured again.
    measured = next((tmp_path / "kept").glob("measured-*.jsonl"))
    before = measured.read_bytes()
    assert run("kathleen", "--reference", corpus, "--json", "--keep", tmp_path / "kept")[1] == out
    assert measured.read_bytes() == before


def test_the_table_of_the_vocoder_for_a_terminal(corpus):
    code, out, err = run("universal", "--reference", corpus, "--limit", 1)
    assert code == (1 if "FAIL" in out else 0)
    assert "from recorded features, on 1 clips of 1 sentences (spoken has 3 clips)" in out
    lines = out.splitlines()
    head = next(i for i, line in enumerate(lines) if "PESQ-WB" in line)
    assert max(map(len, lines[head:])) <= 125
    assert any(line.startswith("Griffin-Lim, 60 iterations") for line in lines[head:])
    assert "  quality: pesq: PESQ-WB " in out
    assert err == ""  # no progress bar where nobody watches


def test_addons_of_other_contracts_are_measured_and_bad_ones_fail(corpus, tiny_folder, tmp_path):
    def forty_bands(manifest):
        manifest["features"].update(bands=40, log="log10", mel_scale="htk", hop_length=tiny.HOP, window=400, fft=512)
        manifest["networks"]["vocoder"]["inputs"]["mel"]["axes"][1] = 40

    tiny.edit(tiny.vocoder(tmp_path / "tum"), forty_bands)
    (tmp_path / "tum" / "vocoder.onnx").write_bytes(tiny.vocoder_network(40))
    code, out, err = run(tmp_path / "tum", "--reference", corpus, "--limit", 1)
    assert code == 1, err
    assert "FAIL  quality: pesq: " in out
    # Eight bands say so little that Griffin-Lim finds no pitch in them.
    code, out, err = run(tiny_folder / "tom", "--reference", corpus, "--limit", 1)
    assert code == 1, err
    assert "is not printed: its anchor row 'Griffin-Lim, 60 iterations' has no F0 error" in out
    code, out, err = run(
        tiny_folder / "tam", "--reference", corpus, "--limit", 1, "--limits", "length=1000", "--limits", "dnsmos=5"
    )
    assert code == 1, err
    assert "ok    quality: length: " in out
    assert "ok    quality: dnsmos: " in out
    assert "FAIL  quality: word-errors: " in out


def test_what_goes_wrong_on_the_way_is_a_finding(corpus, tmp_path, tiny_folder):
    soundfile = pytest.importorskip("soundfile")
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    (tmp_path / "a.txt").write_text("One.")
    for addon in ("universal", "kathleen"):
        code, out, _ = run(addon, "--reference", tmp_path)
        assert code == 1
        assert f"FAIL  quality: {tmp_path / 'a.wav'}: holds only silence" in out
    code, out, _ = run("universal", "--reference", corpus, "--limits", "length=3")
    assert code == 1
    assert "FAIL  quality: 'length' is no limit of a vocoder; there are dnsmos, pesq" in out
    code, out, _ = run(tiny_folder / "tim", "--reference", corpus, "--speaker", "eve")
    assert code == 1
    assert "has no speaker 'eve'; it has ann, ben" in out


def test_nothing_is_left_behind(corpus, tiny_folder, tmp_path, monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tiny.acoustic(tmp_path / "mine" / "tim")
    run(tiny_folder / "tim", "--reference", corpus, "--speaker", "eve")
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
