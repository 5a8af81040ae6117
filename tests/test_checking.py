"""`polyvox check`: what it says of sound addons and of broken ones."""

import tiny
from polyvox.checking import check, difference, measured_context
from polyvox.networks import load_network, target


def verdicts(path):
    return {f.check: f.ok for f in check(path)}


def test_a_sound_voice_passes(tmp_path):
    tiny.vocoder(tmp_path / "tom")
    tiny.acoustic(tmp_path / "tim")
    found = verdicts(tmp_path / "tim")
    assert [name for name, ok in found.items() if ok is False] == []
    assert {"manifest", "stack", "context of decoder", "speed"} <= set(found)
    assert any(name.startswith("chunked") for name in found)
    assert any(name.startswith("fixed") for name in found)


def test_a_sound_vocoder_passes(tmp_path):
    tiny.vocoder(tmp_path / "tom")
    found = verdicts(tmp_path / "tom")
    assert [name for name, ok in found.items() if ok is False] == []
    assert found["length"]


def test_a_context_declared_too_small_fails(tmp_path):
    tiny.vocoder(tmp_path / "tom")
    tiny.acoustic(tmp_path / "tim")
    tiny.edit(tmp_path / "tim", lambda m: m["networks"]["decoder"]["stream"].update(left=1))
    found = {f.check: f for f in check(tmp_path / "tim")}
    assert found["context of decoder"].ok is False
    assert "1+2" in found["context of decoder"].detail
    assert any(f.ok is False for name, f in found.items() if name.startswith("chunked"))


def test_a_broken_manifest_is_one_finding(tmp_path):
    tiny.acoustic(tmp_path / "tim")
    tiny.edit(tmp_path / "tim", lambda m: m.update(kind="song"))
    (finding,) = check(tmp_path / "tim")
    assert finding.ok is False
    assert "kind" in finding.detail


def test_measured_context_is_the_declared_one_of_the_tiny_decoder(tmp_path):
    from polyvox.addons import open_addon

    tiny.acoustic(tmp_path / "tim")
    network = load_network(open_addon(tmp_path / "tim").source("decoder"), target("cpu"))
    assert measured_context(network) == (tiny.CONTEXT, tiny.CONTEXT)


def test_other_lengths_and_nan_are_infinitely_far():
    import numpy as np

    assert difference(np.zeros(3), np.zeros(4)) == float("inf")
    assert difference(np.full(3, np.nan), np.zeros(3)) == float("inf")
    assert difference(np.zeros(3), np.array([0, 0.5, 0])) == 0.5
