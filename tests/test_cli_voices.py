"""`polyvox voices` and `polyvox pack`."""

import json
import os
import shutil
import zipfile

import numpy as np
import pytest
from click.testing import CliRunner

import polyvox
import tiny
from polyvox.addons import Addon
from polyvox.cli import cli
from polyvox.cli.voices import leaves


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Addons of one's own, one of them broken; the current folder is another one."""
    folder = tmp_path / "own"
    tiny.acoustic(folder / "tim")
    tiny.vocoder(folder / "tom")
    tiny.acoustic(folder / "bad")
    (folder / "bad" / "decoder.onnx").write_bytes(b"no network")
    monkeypatch.setenv("POLYVOX_PATH", str(folder))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return folder


def run(*arguments):
    return CliRunner().invoke(cli, list(arguments))


def test_table_is_aligned_and_names_all(folder):
    result = run("voices")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    head, *rows = [line for line in lines if "is broken" not in line]
    place = {name: head.index(name) for name in head.split()}
    by_name = {row.split()[0]: row for row in rows}
    assert by_name["tim"][place["KIND"] :].startswith("acoustic  ")
    assert by_name["tim"][place["SPEAKERS"] :].startswith("ann, ben  ")
    assert by_name["tim"][place["VOCODER"] :].startswith("tom  ")
    assert by_name["tim"][place["FEATURES"] :].startswith("8 kHz, hop 16, 8 mel")
    assert by_name["tim"][place["STACK"] :] == "Encoders > Upsampler > Decoder"
    assert by_name["tom"][place["KIND"] :].startswith("vocoder   ")
    broken = [line for line in lines if "is broken" in line]
    assert len(broken) == 1
    assert broken[0].startswith("bad  is broken: ")
    assert "decoder.onnx" in broken[0]


def test_json(folder):
    found = {v["name"]: v for v in json.loads(run("voices", "--json").stdout)}
    assert found["tim"]["speakers"] == ["ann", "ben"]
    assert found["tim"]["controls"]["speed"]["maximum"] == 2.0
    assert found["tim"]["path"] == str(folder / "tim")
    assert found["tim"]["bytes"] == sum(p.stat().st_size for p in (folder / "tim").iterdir())
    assert "decoder.onnx" in found["bad"]["error"]
    assert found["kathleen"]["license"].startswith("CC")  # shipped


def test_terminal_codes_of_a_stranger_are_not_printed(folder):
    tiny.edit(folder / "tim", lambda m: m.update(license="\x1b[2Jfree"))
    stdout = run("voices").stdout
    assert "\x1b" not in stdout
    assert "[2Jfree" in stdout


def test_leaves_of_nested_stacks():
    assert list(leaves(tiny.ARTICLE_STACK)) == ["Encoders", "Upsampler", "Decoder"]
    assert list(leaves([{"type": "Gain", "settings": {"decibels": 3}}])) == ["Gain"]


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
