"""The library: the addons that this process knows by name."""

import os
from pathlib import Path

import pytest

import polyvox
import tiny
from polyvox.addons import Addon, Manifest, available, find, library, manifests, open_addon, read_manifest, survey
from polyvox.errors import AddonError, VoiceError


@pytest.fixture
def shelf(tmp_path, monkeypatch):
    """A library of its own: `one` with tim and tom, `two` with another tim and an archive of tam."""
    one, two = tmp_path / "one", tmp_path / "two"
    tiny.acoustic(one / "tim", version="1.1.0")
    tiny.vocoder(one / "tom")
    tiny.acoustic(two / "tim", version="2.2.0")
    tiny.archive(tiny.speech(tmp_path / "tam"), two / "tam.addon")
    (two / "notes").mkdir()
    (two / "readme.txt").write_text("no addon")
    monkeypatch.setenv("POLYVOX_PATH", os.pathsep.join([str(one), "", str(tmp_path / "ghost"), str(two)]))
    monkeypatch.setattr(library, "SHIPPED", tmp_path / "shipped")
    return tmp_path


def test_addons_are_found_by_name_in_the_folders_of_the_path_first_match_first(shelf):
    assert available() == {
        "tim": shelf / "one" / "tim",
        "tom": shelf / "one" / "tom",
        "tam": shelf / "two" / "tam.addon",
    }
    assert open_addon("tim").manifest.version == "1.1.0"
    assert polyvox.load("tam").say("Hello").seconds > 0
    assert polyvox.load("tim").vocoder.manifest.name == "tom"


def test_the_shipped_addons_come_last(shelf):
    tiny.vocoder(shelf / "shipped" / "tom", version="9.9.9")
    tiny.vocoder(shelf / "shipped" / "new")
    assert available()["tom"] == shelf / "one" / "tom"
    assert available()["new"] == shelf / "shipped" / "new"


def test_without_the_variable_only_the_shipped_ones_are_there(shelf, monkeypatch):
    monkeypatch.delenv("POLYVOX_PATH")
    assert available() == {}
    with pytest.raises(VoiceError, match="'tim' is no addon here; there are none"):
        find("tim")


def test_a_home_folder_is_understood(shelf, monkeypatch):
    monkeypatch.setenv("HOME", str(shelf))
    monkeypatch.setenv("POLYVOX_PATH", "~/one")
    assert set(available()) == {"tim", "tom"}


@pytest.mark.parametrize("name", ["ghost", "", ".", "..", "notes", "readme.txt", "Tim"])
def test_an_unknown_name_lists_the_known_ones(shelf, name):
    with pytest.raises(VoiceError, match=r"is no addon here; there are tam, tim, tom \(a path to one works too\)"):
        find(name)
    with pytest.raises(VoiceError):
        find(name, shelf / "one")


def test_paths_are_paths(shelf, monkeypatch):
    assert find("./x") == Path("./x")
    assert find("x.addon") == Path("x.addon")
    assert find(Path("tim")) == Path("tim")
    with pytest.raises(AddonError, match="not found"):
        open_addon("./tim")
    monkeypatch.chdir(shelf / "one")
    assert open_addon("./tim").manifest.name == "tim"
    assert open_addon(Path("tim")).manifest.name == "tim"


def test_a_neighbour_is_preferred_to_the_library(shelf):
    assert find("tim", shelf / "two") == shelf / "two" / "tim"
    assert find("tam", shelf / "two") == shelf / "two" / "tam.addon"
    assert find("tom", shelf / "two") == shelf / "one" / "tom"
    tiny.vocoder(shelf / "two" / "tom", version="3.3.3")
    assert polyvox.load(shelf / "two" / "tim").vocoder.manifest.version == "3.3.3"
    assert polyvox.load("tim").vocoder.manifest.version == "1.0.0"


def test_a_survey_shows_the_broken_ones_too(shelf):
    (shelf / "one" / "tim" / "decoder.onnx").unlink()
    (shelf / "two" / "bad.addon").write_bytes(b"PK")
    found = {name: opened for name, _, opened in survey()}
    assert list(found) == ["bad", "tam", "tim", "tom"]
    assert isinstance(found["tam"], Addon)
    assert isinstance(found["bad"], AddonError)
    assert "decoder.onnx" in str(found["tim"])


def test_manifests_come_in_the_order_in_which_they_are_searched(shelf):
    tiny.acoustic(shelf / "shipped" / "abe")
    (shelf / "two" / "bad.addon").write_bytes(b"PK")
    found = {name: (path, manifest) for name, path, manifest in manifests()}
    assert list(found) == ["tim", "tom", "bad", "tam", "abe"]
    assert found["tim"][1].version == "1.1.0"
    assert found["tam"][0] == shelf / "two" / "tam.addon"
    assert isinstance(found["tam"][1], Manifest)
    assert isinstance(found["bad"][1], AddonError)


def test_a_manifest_is_read_without_its_networks_but_not_without_care(shelf):
    (shelf / "one" / "tim" / "decoder.onnx").write_bytes(b"no network")
    assert read_manifest(shelf / "one" / "tim").name == "tim"
    (shelf / "one" / "tim" / "run.py").write_text("print()")
    with pytest.raises(AddonError, match=r"holds 'run\.py'"):
        read_manifest(shelf / "one" / "tim")
    with pytest.raises(AddonError, match="not found"):
        read_manifest(shelf / "ghost")


def test_the_shipped_folder_is_inside_the_package():
    assert library.SHIPPED.parent == Path(polyvox.__file__).parent
