"""Folders of recordings and texts: three layouts, and everything that can be wrong with one."""

import numpy as np
import pytest

from polyvox.addons.manifest import Features
from polyvox.audio import save_audio
from polyvox.errors import QualityError
from polyvox.quality.mel import Mel

soundfile = pytest.importorskip("soundfile")

from polyvox.quality.reference import Corpus, Reference, read_folder  # noqa: E402

TEXTS = {"a1": "One two.", "a2": "Three, four.", "a3": "Five?", "a4": "Six."}


def record(path, seconds=0.6, rate=16000, level=0.1):
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = level * np.sin(np.arange(round(seconds * rate)) * 0.1).astype(np.float32)
    save_audio(path, tone, rate)


def recipes_layout(folder, splits=("train", "dev", "dev", "dev")):
    lines = ["id|split|duration_s|text"]
    for (name, text), split in zip(TEXTS.items(), splits, strict=True):
        record(folder / "audio" / f"{name}.flac")
        lines.append(f"{name}|{split}|0.6|{text}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n", "utf-8")
    return folder


def ljspeech_layout(folder):
    lines = []
    for name, text in TEXTS.items():
        record(folder / "wavs" / f"{name}.wav")
        lines.append(f"{name}|{text} raw|{text}")
    (folder / "metadata.csv").write_text("\n".join(lines), "utf-8")
    return folder


def pairs_layout(folder):
    for name, text in TEXTS.items():
        record(folder / f"{name}.wav")
        (folder / f"{name}.txt").write_text(f"{text}\n", "utf-8")
    (folder / "LICENSE.txt").write_text("CC0", "utf-8")
    return folder


@pytest.mark.parametrize("layout", [recipes_layout, ljspeech_layout, pairs_layout])
def test_every_layout_gives_ids_texts_and_audio(layout, tmp_path):
    clips = read_folder(layout(tmp_path))
    assert {c.id: c.text for c in clips} == TEXTS
    assert all(c.path.is_file() for c in clips)


def test_dev_is_measured_unless_another_split_is_asked_for(tmp_path):
    recipes_layout(tmp_path)
    chosen = Reference.open(tmp_path)
    assert [c.id for c in chosen.clips] == ["a2", "a3", "a4"]
    assert sorted(chosen.texts) == sorted(TEXTS.values())  # the language model hears of every sentence
    assert [c.id for c in Reference.open(tmp_path, "train").clips] == ["a1"]
    few = Reference.open(tmp_path, limit=2)
    assert [c.id for c in few.clips] == ["a2", "a3"]
    assert (few.available, few.name) == (3, tmp_path.name)


def test_layouts_without_splits_are_measured_on_everything(tmp_path):
    assert len(Reference.open(pairs_layout(tmp_path)).clips) == 4
    with pytest.raises(QualityError, match="no splits, so there is no 'dev'"):
        Reference.open(tmp_path, "dev")


def test_ljspeech_without_normalized_text(tmp_path):
    ljspeech_layout(tmp_path)
    (tmp_path / "metadata.csv").write_text("a1|One.|\na2|Two.\n", "utf-8")
    assert [c.text for c in read_folder(tmp_path)] == ["One.", "Two."]


def drop(name):
    return lambda folder: next(folder.rglob(name)).unlink()


def table(text):
    return lambda folder: (folder / "metadata.csv").write_text(text, "utf-8")


def overwrite(name, data):
    return lambda folder: next(folder.rglob(name)).write_bytes(data)


@pytest.mark.parametrize(
    ("layout", "spoil", "message"),
    [
        (recipes_layout, table(""), "lists no recordings"),
        (recipes_layout, table("id|split|duration_s|text\n"), "lists no recordings"),
        (recipes_layout, drop("a2.flac"), "no audio for 'a2': there is no audio/a2.wav"),
        (recipes_layout, table("id|text\na1|One."), "no column 'split'"),
        (recipes_layout, table("id|split|duration_s|text\na1|dev|One."), "expected 4 columns, not 'a1|dev|One.'"),
        (recipes_layout, table("id|split|duration_s|text\na1|dev|1|"), "text of 'a1' is missing"),
        (recipes_layout, table("id|split|duration_s|text\n../a1|dev|1|One."), "is no name of a recording"),
        (recipes_layout, table("id|split|duration_s|text\na1|dev|1|A.\na1|dev|1|B."), "two recordings called 'a1'"),
        (recipes_layout, table("id|split|duration_s|text\na1|train|1|A."), "no .* split 'dev'; there are train$"),
        (recipes_layout, overwrite("metadata.csv", b"\xff\xfe\xff"), "metadata.csv: cannot be read"),
        (recipes_layout, overwrite("a3.flac", b"no audio"), "a3.flac: cannot be read"),
        (recipes_layout, lambda f: record(f / "audio" / "a2.wav", 0.2), "a2.wav: is 0.20 s long, too short"),
        (ljspeech_layout, drop("a2.wav"), "no audio for 'a2': there is no wavs/a2.wav"),
        (ljspeech_layout, table("a1;One."), r"expected id\|text or id\|text\|normalized text, not 'a1;One.'"),
        (ljspeech_layout, table("a1||"), "text of 'a1' is missing"),
        (pairs_layout, drop("a2.txt"), "a2.wav: its text is missing; expected it in a2.txt"),
        (pairs_layout, lambda f: (f / "a2.txt").write_text(" \n"), "text of 'a2' is missing"),
        (pairs_layout, lambda f: [p.unlink() for p in f.glob("*.wav")], "lists no recordings"),
    ],
)
def test_what_is_wrong_is_one_sentence(layout, spoil, message, tmp_path):
    folder = tmp_path / "mine"
    layout(folder)
    spoil(folder)
    with pytest.raises(QualityError, match=message) as error:
        Reference.open(folder)
    assert str(tmp_path) in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_folder(tmp_path):
    with pytest.raises(QualityError, match="nowhere: is no folder"):
        Reference.open(tmp_path / "nowhere")


def test_recordings_follow_the_contract(tmp_path):
    pytest.importorskip("soxr")
    reference = Reference.open(pairs_layout(tmp_path))
    stereo = np.stack([np.full(16000, 0.5), np.zeros(16000)], axis=1)
    soundfile.write(reference.clips[0].path, stereo, 16000)
    contract = Features(sample_rate=8000, hop_length=100, bands=20, f_max=4000.0)
    corpus = Corpus(reference, tmp_path / "kept", Mel(contract))
    audio = corpus.natural(corpus.clips[0])
    assert (audio.dtype, len(audio)) == (np.float32, 8000)
    assert audio[4000] == pytest.approx(0.25, abs=1e-3)
    assert corpus.features(corpus.clips[1]).shape == (48, 20)
    assert not (tmp_path / "kept").exists()
    other = Corpus(reference, tmp_path / "kept", Mel(Features()))
    assert other.folder != corpus.folder


@pytest.mark.parametrize(
    ("samples", "what"), [(np.zeros(16000), "only silence"), (np.full(16000, np.nan), "no numbers")]
)
def test_files_without_sound_are_named(samples, what, tmp_path):
    reference = Reference.open(pairs_layout(tmp_path))
    soundfile.write(reference.clips[0].path, samples, 16000, subtype="FLOAT")
    pytest.importorskip("soxr")
    with pytest.raises(QualityError, match=rf"a1.wav: holds {what}"):
        Corpus(reference, tmp_path, Mel(Features())).natural(reference.clips[0])
