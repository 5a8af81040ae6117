"""The shipped voices say today what they said when they were shipped: features, not bytes, so rounding may differ.

`python tests/test_golden.py` writes the file anew; do so only when a voice is meant to change.
"""

import json
from pathlib import Path

import numpy as np
import pytest

import polyvox
from polyvox.blocks import connect
from polyvox.errors import TensorError
from polyvox.tensors import join

FOLDER = Path(__file__).parent / "golden"
ENGLISH = ("Good morning.", "It costs $3.50, or so says Dr. Smith.", "Who would have thought it? Nobody, of course!")
GERMAN = ("Guten Morgen.", "Es kostet 3,50 €, sagt Dr. Schmidt.", "Wer hätte das gedacht? Niemand, natürlich!")
DUTCH = ("Goedemorgen.", "Het kost € 3,50, zegt dr. Smit.")
SPOKEN = {
    ("kathleen", "kathleen"): ENGLISH,
    ("kerstin", "kerstin"): GERMAN,
    ("lowlands", "nathalie"): DUTCH,
    ("lowlands", "flemishguy"): DUTCH,
}
TEXTS = ENGLISH


def coarse(values):
    """Means over stretches of 8 steps, and over 10 neighbouring columns if there are any."""
    values = values[: len(values) // 8 * 8]
    if values.ndim == 1:
        return values.reshape(-1, 8).mean(1)
    return values.reshape(len(values) // 8, 8, -1, 10).mean((1, 3))


def speak(name, speaker, text):
    """Coarse mel, F0 and level, and the words' ends, of each sentence of a text."""
    voice = polyvox.load(name)
    found = []
    for part in voice._utterances(text):
        tensors = voice._tensors(speaker, {})
        acoustic = connect(voice.stacks[0].block, {**tensors, "tokens": part.tokens})
        made = join(list(connect(voice.stacks[1].block, tensors, acoustic)))
        level = np.sqrt(np.mean(made["audio"].reshape(len(made["mel"]), -1) ** 2, axis=1))
        found.append(
            {
                "symbols": "".join(part.symbols),
                "frames": len(made["mel"]),
                "mel": np.round(coarse(made["mel"]), 2).tolist(),
                "f0": np.round(coarse(made["f0"]), 1).tolist(),
                "level": np.round(coarse(level), 4).tolist(),
            }
        )
    return found


@pytest.mark.parametrize(("name", "speaker", "text"), [(*who, text) for who, texts in SPOKEN.items() for text in texts])
def test_the_voice_is_what_it_was(name, speaker, text):
    was = json.loads((FOLDER / f"{speaker}.json").read_text("utf-8"))[text]
    now = speak(name, speaker, text)
    assert [part["symbols"] for part in now] == [part["symbols"] for part in was]
    assert [part["frames"] for part in now] == [part["frames"] for part in was]
    for one, other in zip(now, was, strict=True):
        np.testing.assert_allclose(one["mel"], other["mel"], atol=0.05)
        np.testing.assert_allclose(one["f0"], other["f0"], rtol=0.02)
        np.testing.assert_allclose(one["level"], other["level"], atol=0.01)


@pytest.fixture(scope="module")
def universal():
    from polyvox.addons import open_addon

    return open_addon("universal").stack()


def vocode(stack, mel):
    return join(list(connect(stack.block, {}, iter([{"mel": mel.astype(np.float32)}]))))["audio"]


def spoken_mel():
    voice = polyvox.load("kathleen")
    part = next(voice._utterances(TEXTS[1]))
    made = connect(voice.stacks[0].block, {**voice._tensors(None, {}), "tokens": part.tokens})
    return join(list(made))["mel"]


def test_features_of_silence_are_silent(universal):
    assert np.abs(vocode(universal, np.full((100, 80), np.log(1e-5)))).max() < 1e-3


@pytest.mark.parametrize("decibels", [-40, -20, 10])
def test_louder_features_are_as_much_louder(universal, decibels):
    mel = spoken_mel()
    shifted = vocode(universal, np.maximum(mel + decibels / 20 * np.log(10), np.log(1e-5)))
    change = 20 * np.log10(np.sqrt(np.mean(shifted**2)) / np.sqrt(np.mean(vocode(universal, mel) ** 2)))
    assert change == pytest.approx(decibels, abs=3)


def test_clipped_and_whispered_features_make_no_bursts(universal):
    mel = spoken_mel()
    peak = np.abs(vocode(universal, mel)).max()
    assert np.abs(vocode(universal, np.minimum(mel, -2))).max() < peak
    whispered = np.where(np.arange(80) < 20, np.maximum(mel - 3, np.log(1e-5)), mel)
    assert np.abs(vocode(universal, whispered)).max() < 1.5 * peak


@pytest.mark.parametrize("decibels", [30, 60, 400])
def test_features_louder_than_any_speech_stay_within_full_scale(universal, decibels):
    made = vocode(universal, spoken_mel() + decibels / 20 * np.log(10))
    assert np.isfinite(made).all()
    assert np.abs(made).max() <= 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_no_numbers_are_an_error(universal, value):
    mel = np.full((60, 80), -5.0)
    mel[30, 3] = value
    with pytest.raises(TensorError, match="input 'mel' of network 'pitch' is not a finite number at frame 30"):
        vocode(universal, mel)


if __name__ == "__main__":
    for (name, speaker), texts in SPOKEN.items():
        made = {text: speak(name, speaker, text) for text in texts}
        (FOLDER / f"{speaker}.json").write_text(json.dumps(made, ensure_ascii=False), "utf-8")
