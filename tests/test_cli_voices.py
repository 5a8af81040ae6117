"""`polyvox voices` and `polyvox pack`."""

import json
import os
import re
import shutil
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

import polyvox
import tiny
import tiny_attention
import tiny_speakers
from polyvox.addons import Addon, library, parse, read_manifest
from polyvox.blocks import registry
from polyvox.cli import architecture, cli, speeds


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache folder of its own, not there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Addons of one's own, one of them broken; the current folder is another one."""
    folder = tmp_path / "own"
    tiny.acoustic(folder / "tim")
    tiny.vocoder(folder / "tom")
    tiny.acoustic(folder / "bad")
    (folder / "bad" / "decoder.onnx").write_bytes(b"no network")
    monkeypatch.setenv("POLYVOX_PATH", str(folder))
    monkeypatch.setattr(library, "SHIPPED", tmp_path / "shipped")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


def run(*arguments):
    return CliRunner().invoke(cli, list(arguments))


def figures(stdout):
    """Each addon's cells by column, and what stands below it."""
    head, *lines = stdout.split("\n\n")[0].splitlines()
    columns = [(m[0].strip(), m.start(), m.end()) for m in re.finditer(r"\S+(?: \S+)*", head)]
    found = {}
    name = ""
    for line in lines:
        if "  is broken" in line or " measured" in line:
            continue
        if line.startswith("    "):
            found[name]["below"] = f"{found[name].get('below', '')} {line.strip()}".strip()
        else:
            name = line.split()[0]
            # Cells touch their column's name on at least one side.
            cells = [(m[0], m.start(), m.end()) for m in re.finditer(r"\S+(?: \S+)*", line)]
            found[name] = {c: t for t, a, b in cells for c, first, last in columns if a < last and first < b}
    return found


def test_table_is_aligned_and_names_all(folder):
    result = run("voices")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert max(map(len, [line for line in lines if "is broken" not in line])) <= 120
    made = figures(result.stdout)
    assert made["tim"] == {
        "NAME": "tim",
        "VERSION": "1.0.0",
        "KIND": "acoustic",
        "LANGUAGES": "en-US",
        "LICENCE": "CC0-1.0",
        "SIZE": "0.0 MB",
        "PARAMETERS": made["tim"]["PARAMETERS"],
        "REAL-TIME FACTOR": "-",
        "below": "explicit durations, windowed decoder; 8 kHz, hop 16, 8 mel; through tom; speakers ann, ben",
    }
    assert int(made["tim"]["PARAMETERS"]) > 500
    assert made["tom"]["KIND"] == "vocoder"
    assert "REAL-TIME FACTOR" not in made["tom"]
    broken = [line for line in lines if "is broken" in line]
    assert len(broken) == 1
    assert broken[0].startswith("bad  is broken: ")
    assert "decoder.onnx" in broken[0]
    assert lines[-1].startswith("-: not measured here yet; 'polyvox voices --measure'")


def test_the_speakers_languages_are_shown_where_there_are_several(folder):
    tiny_speakers.acoustic(folder / "low")
    assert figures(run("voices").stdout)["low"]["below"].endswith("; speakers nat (nl), guy (nl-BE)")
    found = {v["name"]: v for v in json.loads(run("voices", "--json").stdout)}
    assert found["low"]["speaker_languages"] == {"nat": ["nl"], "guy": ["nl-BE"]}
    assert found["tim"]["speaker_languages"] == {"ann": ["en-US"], "ben": ["en-US"]}


def test_many_long_words_stay_within_the_width(folder):
    tiny.acoustic(folder / "many", speakers=[f"speaker-of-the-{i}th-row-in-the-choir" for i in range(300)])
    stdout = run("voices").stdout
    assert max(len(line) for line in stdout.splitlines() if "is broken" not in line) <= 120
    assert "choir and 297 more" in figures(stdout)["many"]["below"]


def test_json(folder):
    found = {v["name"]: v for v in json.loads(run("voices", "--json").stdout)}
    assert found["tim"]["speakers"] == ["ann", "ben"]
    assert found["tim"]["controls"]["speed"]["maximum"] == 2.0
    assert found["tim"]["path"] == str(folder / "tim")
    assert found["tim"]["bytes"] == sum(p.stat().st_size for p in (folder / "tim").iterdir())
    assert "decoder.onnx" in found["bad"]["error"]
    assert found["tim"]["architecture"] == ["explicit durations", "windowed decoder"]
    assert found["tim"]["blocks"] == [
        *("StreamablePipeline", "Encoders", "StreamableStack", "Upsampler", "Decoder"),
    ]


def test_the_shipped_ones_are_listed_too(folder, monkeypatch):
    monkeypatch.undo()
    found = {v["name"]: v for v in json.loads(run("voices", "--json").stdout)}
    assert found["kathleen"]["license"].startswith("CC")
    assert found["kathleen"]["parameters"] > 1e6


def test_terminal_codes_of_a_stranger_are_not_printed(folder):
    tiny.edit(folder / "tim", lambda m: m.update(license="\x1b[2Jfree"))
    stdout = run("voices").stdout
    assert "\x1b" not in stdout
    assert "[2Jfree" in stdout


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        (tiny.ARTICLE_STACK, ["explicit durations", "windowed decoder"]),
        (tiny_attention.STACK, ["attention", "autoregressive", "guarded"]),
        ([{"type": "Upsampler"}, {"type": "FlowDecoder"}], ["explicit durations", "flow matching"]),
        ([{"type": "Decoder", "network": "prosody"}, {"type": "Vocoder"}], ["windowed encoder", "windowed vocoder"]),
        ([{"type": "Collect"}, {"type": "Gain", "decibels": 3}, {"type": "Sparkle"}, {"type": "Sparkle"}], ["Sparkle"]),
    ],
)
def test_an_architecture_is_told_from_the_blocks(folder, stack, expected):
    manifest = parse(json.dumps({**tiny.manifest(folder / "tim"), "stack": stack}), "here")
    assert architecture.words(manifest) == expected


def test_every_block_has_words_or_needs_none():
    own = {n for n in registry.names() if registry.find(n, "here").__module__.startswith("polyvox.")}
    assert own - {*architecture.WORDS, *architecture.WINDOWED, *architecture.PLAIN} == set()


def test_an_architecture_tells_of_kinds_and_of_state(folder):
    tiny.speech(folder / "tam")
    tiny_attention.acoustic(folder / "ada")
    tiny.edit(folder / "ada", lambda m: m.update(stack=[{"type": "Stepper"}]))
    words = {name: architecture.words(read_manifest(folder / name)) for name in ("tam", "ada")}
    assert words["tam"] == ["end to end", "explicit durations", "windowed decoder"]
    assert words["ada"] == ["Stepper", "autoregressive"]


def test_speed_is_measured_once_and_kept(folder, cache, monkeypatch):
    tiny_speakers.acoustic(folder / "low")
    result = run("voices", "--measure", "--json")
    assert result.exit_code == 0, result.output
    measured = {v["name"]: v for v in json.loads(result.stdout)}
    assert [(f["language"], f["speaker"], f["target"]) for f in measured["low"]["real_time_factors"]] == [
        ("nl", "nat", "cpu"),
        ("nl-BE", "guy", "cpu"),
    ]
    for found in measured["low"]["real_time_factors"]:
        assert found["factor"] > 0
        assert found["seconds"] > 0
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["measured"])
    assert "real_time_factors" not in measured["tom"]
    assert [p.name for p in (cache / "polyvox").iterdir()] == ["speeds.json"]
    monkeypatch.setattr(polyvox.Voice, "stream", lambda *_, **__: pytest.fail("it speaks"))
    again = {v["name"]: v for v in json.loads(run("voices", "--json").stdout)}
    assert again == measured
    shown = figures(run("voices").stdout)
    assert shown["tim"]["REAL-TIME FACTOR"] == f"{measured['tim']['real_time_factors'][0]['factor']:.3f}"
    assert figures(run("voices", "--target", "cpu-fixed").stdout)["tim"]["REAL-TIME FACTOR"] == "-"


def factors(name, *arguments):
    return next(v for v in json.loads(run("voices", "--json", *arguments).stdout) if v["name"] == name)[
        "real_time_factors"
    ]


def test_a_figure_is_forgotten_when_anything_changes_that_it_depends_on(folder, cache, monkeypatch):
    run("voices", "--measure")
    known = factors("tim")
    assert len(known) == 1
    with monkeypatch.context() as other:
        other.setattr(speeds, "processor", lambda: "Another 9000")
        assert factors("tim") == []
    with monkeypatch.context() as other:
        other.setattr(polyvox, "__version__", "99.0.0")
        assert factors("tim") == []
    assert factors("tim") == known
    os.utime(folder / "tom" / "vocoder.onnx", (1e9, 2e9))
    assert factors("tim") == []
    run("voices", "--measure")
    assert len(factors("tim")) == 1
    tiny.edit(folder / "tim", lambda m: m.update(version="1.0.1"))
    assert factors("tim") == []
    run("voices", "--measure")
    kept = json.loads((cache / "polyvox" / "speeds.json").read_text())["speeds"]
    assert [e["key"]["voice"]["version"] for e in kept if e["key"]["voice"]["name"] == "tim"] == ["1.0.1"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"format": 1, "speeds": 3}', '{"format": 1, "speeds": [3, {"key": {}}, {"speed": {}}]}']
)
def test_a_damaged_cache_is_as_none(folder, cache, text):
    (cache / "polyvox").mkdir(parents=True)
    (cache / "polyvox" / "speeds.json").write_text(text)
    assert factors("tim") == []
    assert len(factors("tim", "--measure")) == 1
    assert len(factors("tim")) == 1


def test_a_strange_entry_of_the_cache_is_passed_over(folder, cache):
    run("voices", "--measure")
    path = cache / "polyvox" / "speeds.json"
    data = json.loads(path.read_text())
    for entry in data["speeds"]:
        entry["speed"]["factor"] = "fast"
    path.write_text(json.dumps(data))
    assert factors("tim") == []


def test_a_cache_that_cannot_be_written_is_said_and_the_figure_shown(folder, cache):
    cache.parent.mkdir(exist_ok=True)
    cache.write_text("a file where the folder should be")
    result = run("voices", "--measure")
    assert result.exit_code == 0, result.output
    assert float(figures(result.stdout)["tim"]["REAL-TIME FACTOR"]) > 0
    assert "tim  was measured, but the figure is not kept: " in result.stdout


def test_a_voice_that_does_not_speak_is_said_and_the_others_are_measured(folder, cache):
    tiny.acoustic(folder / "alone", vocoder="ghost")
    result = run("voices", "--measure")
    assert result.exit_code == 0, result.output
    assert "alone  was not measured: 'ghost' is no addon here" in result.stdout
    made = figures(result.stdout)
    assert made["alone"]["REAL-TIME FACTOR"] == "-"
    assert float(made["tim"]["REAL-TIME FACTOR"]) > 0


def test_the_cache_s_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert speeds.folder() == tmp_path / ".cache" / "polyvox"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert speeds.folder() == tmp_path / ".cache" / "polyvox"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert speeds.folder() == tmp_path / "x" / "polyvox"


def test_an_unknown_target_is_one_sentence(folder):
    result = run("voices", "--target", "moon")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "'moon'" in result.stderr


def test_pack_makes_the_same_bytes_and_the_same_voice(folder):
    assert run("pack", str(folder / "tim"), "-o", "one.addon").exit_code == 0
    again = shutil.copytree(folder / "tim", folder / "copy")
    for path in again.iterdir():  # other times, other permissions
        os.utime(path, (1e9, 1e9))
        path.chmod(0o600)
    result = run("pack", str(again), "-o", "two.addon")
    assert result.exit_code == 0
    assert result.stderr.startswith("two.addon: 6 files, ")
    here = folder.parent / "here"
    assert (here / "one.addon").read_bytes() == (here / "two.addon").read_bytes()
    assert Addon.open(here / "one.addon").manifest.name == "tim"
    tiny.archive(folder / "tom", here / "tom.addon")
    packed = polyvox.load(here / "one.addon").say("Hello.").samples
    np.testing.assert_array_equal(packed, polyvox.load(folder / "tim").say("Hello.").samples)


def test_pack_takes_folders_in_folders_and_the_addons_name(folder):
    (folder / "tim" / "about").mkdir()
    (folder / "tim" / "about" / "more.md").write_text("x")
    result = run("pack", str(folder / "tim"), "-q")
    assert result.exit_code == 0
    assert result.output == ""
    with zipfile.ZipFile("tim.addon") as archive:
        assert "about/more.md" in archive.namelist()
        assert archive.namelist() == sorted(archive.namelist())


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["{own}/bad", "-o", "x.addon"], "not an ONNX model"),
        (["{own}/absent"], "is no folder"),
        (["{own}/tim", "-o", "x.zip"], "ends in .addon"),
        (["{own}/tim", "-o", "{own}/tim/x.addon"], "lies in the folder"),
        (["{own}/tim", "-o", "no/such/x.addon"], "cannot be written"),
    ],
)
def test_pack_refuses_in_one_sentence_and_leaves_no_file(folder, arguments, part):
    result = run("pack", *(a.format(own=folder) for a in arguments))
    assert result.exit_code == 1
    assert part in result.stderr
    assert result.stderr.startswith("polyvox: ")
    assert result.stderr.count("\n") == 1
    assert list((folder.parent / "here").iterdir()) == []
    assert len(list((folder / "tim").iterdir())) == 6


def test_pack_refuses_data_beside_the_graph(folder):
    import onnx

    path = folder / "tom" / "vocoder.onnx"
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    Addon.open(folder / "tom")  # a folder may
    result = run("pack", str(folder / "tom"))
    assert result.exit_code == 1
    assert "weights.bin" in result.stderr
    assert list((folder.parent / "here").iterdir()) == []
