"""Parts are swapped in JSON and nowhere else: what docs/adding-a-model.md shows is run as it stands there."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import polyvox
from polyvox.addons import available, find
from polyvox.blocks import Probe
from polyvox.blocks.build import nested
from polyvox.errors import StackError, VoiceError
from polyvox.tracing import Trace
from polyvox.windows import Pace

DOCS = Path(__file__).resolve().parent.parent / "docs"
PACE = Pace(32, 1, 32)
"""Of one size, so that two voices make the same chunks."""
ENGLISH = "The harbour lay quiet, and a small boat went out over the grey water."
GERMAN = "Der Hafen lag still."


def sections():
    """The headings below "Swapping parts", and the text under each."""
    page = (DOCS / "adding-a-model.md").read_text("utf-8")
    _, *parts = re.split(r"^### (.*)\n", page.split("\n## Swapping parts\n")[1].split("\n## ")[0], flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


SECTIONS = sections()
JSON = re.compile(r"[Ii]n a\s+copy of `(\w+)`((?:(?!\n\n).)*):\n\n```json\n(.*?)^```", re.DOTALL | re.MULTILINE)


def copies(heading, folder):
    """Make the copies that a section describes; the last one's folder."""
    found = JSON.findall(SECTIONS[heading])
    assert len(found) == SECTIONS[heading].count("```json") > 0
    made = []
    for number, (source, said, text) in enumerate(found):
        name = re.search(r"in\s+the\s+folder\s+`(\w+)`", said)
        path = folder / (name[1] if name else f"mine{number}")
        shutil.copytree(find(source), path)
        manifest = json.loads((path / "addon.json").read_text("utf-8"))
        changed = json.loads(text)
        assert manifest.keys() >= changed.keys()
        (path / "addon.json").write_text(json.dumps({**manifest, **changed}), "utf-8")
        made.append(path)
    return made


def python_of(page, which=0):
    return re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[which]


@pytest.fixture(scope="module")
def kathleen():
    voice = polyvox.load("kathleen")
    yield voice, voice.say(ENGLISH, pace=PACE)
    voice.close()


def kerstin():
    if "kerstin" not in available():
        pytest.skip("kerstin is not in the library")
    voice = polyvox.load("kerstin")
    return voice, voice.say(GERMAN, pace=PACE)


def types(voice):
    return [type(block).__name__ for stack in voice.stacks for block in nested(stack.block)]


def loudness(samples):
    """Of every 256 samples, in dB above a floor."""
    frames = samples[: len(samples) // 256 * 256].reshape(-1, 256)
    return 10 * np.log10(np.square(frames).mean(axis=1) + 1e-6)


def test_every_swap_of_the_page_is_run_here():
    here = Path(__file__).read_text("utf-8")
    assert len(SECTIONS) == 6
    for heading in SECTIONS:
        assert here.count(f'"{heading}"') >= 1, heading


def test_the_copy_is_made_as_the_page_says(tmp_path):
    page = (DOCS / "adding-a-model.md").read_text("utf-8").split("\n## Swapping parts\n")[1]
    command = re.search(r"^```bash\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)[1]
    command = command.replace("python -c", f"{sys.executable} -c")
    subprocess.run(["bash", "-euc", command], cwd=tmp_path, check=True, timeout=60)
    assert polyvox.load(tmp_path / "mine").name == "kathleen"


def test_another_vocoder(tmp_path, kathleen):
    _, own = kathleen
    quick, mine = copies("Another vocoder", tmp_path)
    traces = [Trace(), Trace()]
    polyvox.load("kathleen", trace=traces[0]).say(ENGLISH, pace=PACE)
    voice = polyvox.load(mine, trace=traces[1])
    assert voice.vocoder.manifest.name == "quick"
    said = voice.say(ENGLISH, pace=PACE)
    assert said.words == own.words
    assert said.samples.shape == own.samples.shape
    # Other phases, the same speech.
    assert np.abs(said.samples - own.samples).max() > 0.01
    assert np.corrcoef(loudness(said.samples), loudness(own.samples))[0, 1] > 0.97
    # And what the page says of what is to come.
    first = [next(s.details["mel"][0] for s in t.spans if s.name == "vocoder" and "mel" in s.details) for t in traces]
    assert first[0] - first[1] == 27
    # Without a file that changes, and refused where the features differ.
    given = polyvox.load("kathleen", vocoder=quick).say(ENGLISH, pace=PACE)
    np.testing.assert_array_equal(given.samples, said.samples)
    manifest = json.loads((quick / "addon.json").read_text("utf-8"))
    manifest["features"]["f_max"] = 7600.0
    (quick / "addon.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(VoiceError, match=r"f_max \(8000.0 and 7600.0\)"):
        polyvox.load(mine)


def test_encoders_at_the_same_time(tmp_path, kathleen):
    _, own = kathleen
    (mine,) = copies("Encoders at the same time", tmp_path)
    voice = polyvox.load(mine)
    assert "ParallelEncoders" in types(voice)
    np.testing.assert_array_equal(voice.say(ENGLISH, pace=PACE).samples, own.samples)


def test_a_look_inside(tmp_path, kathleen, monkeypatch, capsys):
    _, own = kathleen
    (mine,) = copies("A look inside", tmp_path)
    seen = {"frames": 0, "mel": 0}
    chunks = 0

    def listen(name, chunk):
        nonlocal chunks
        chunks += 1
        seen[name] += len(chunk["encoded" if name == "frames" else "mel"])

    monkeypatch.setattr(Probe, "listeners", [listen])
    exec(compile(python_of(SECTIONS["A look inside"]), "page", "exec"), {})
    np.testing.assert_array_equal(polyvox.load(mine).say(ENGLISH, pace=PACE).samples, own.samples)
    frames = len(own.samples) // 256
    assert seen == {"frames": frames, "mel": frames}
    assert chunks > 8
    assert re.search(r"^mel \{.*'mel': \(\d+, 80\)", capsys.readouterr().out, re.MULTILINE)


def test_an_effect_at_the_end(tmp_path, kathleen, registered):
    _, own = kathleen
    exec(compile(python_of((DOCS / "adding-a-block.md").read_text("utf-8")), "page", "exec"), {})
    (trembling,) = copies("An effect at the end", tmp_path)
    said = polyvox.load("kathleen", vocoder=trembling).say(ENGLISH, pace=PACE)
    wave = 1 - 0.5 * (0.5 + 0.5 * np.sin(2 * np.pi * 5 / 22050 * np.arange(len(own.samples))))
    np.testing.assert_allclose(said.samples, own.samples * 10 ** (-6 / 20) * wave, atol=1e-6)


def test_a_stage_in_place_of_a_decoder(tmp_path, kathleen):
    _, own = kathleen
    (mine,) = copies("A sequence-to-sequence stage in place of a decoder", tmp_path)
    trace = Trace()
    voice = polyvox.load(mine, trace=trace)
    trace.restart()
    chunks = list(voice.stream(ENGLISH, pace=PACE))
    said = polyvox.speech.Speech.join(chunks, voice.sample_rate)
    np.testing.assert_allclose(said.samples, own.samples, atol=1e-4)
    assert said.words == own.words
    calls = [span.name for span in trace.spans]
    assert calls.count("decoder") == 1
    assert len(chunks) > 8
    assert calls.count("vocoder") > 8


def test_an_attention_decoder_in_another_stack(tmp_path):
    voice, own = kerstin()
    plain, staged = copies("An attention decoder in another stack", tmp_path)
    unguarded = polyvox.load(plain)
    assert "AttentionGuard" not in types(unguarded)
    assert "AttentionGuard" in types(voice)
    said = unguarded.say(GERMAN, pace=PACE)
    assert np.std(said.samples) > 0.005
    if len(said.samples) == len(own.samples):  # attention needed no guard
        np.testing.assert_allclose(said.samples, own.samples, atol=1e-4)
        assert said.words == own.words
    trace = Trace()
    with_stage = polyvox.load(staged, trace=trace)
    assert types(with_stage).count("StreamablePipeline") == 2
    trace.restart()
    said = with_stage.say(GERMAN, pace=PACE)
    np.testing.assert_allclose(said.samples, own.samples, atol=1e-4)
    assert (said.words, said.warnings) == (own.words, own.warnings)
    assert [span.name for span in trace.spans].count("postnet") == 1


def test_a_stack_that_cannot_work_is_refused_with_its_place(tmp_path):
    (mine,) = copies("Encoders at the same time", tmp_path)
    manifest = json.loads((mine / "addon.json").read_text("utf-8"))
    manifest["stack"][0]["streamable_block"]["stack"].pop(0)
    (mine / "addon.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(StackError, match=re.escape("stack[0].streamable_block.stack[0]") + ".*'encoded'"):
        polyvox.load(mine)
