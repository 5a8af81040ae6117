"""Log-mel features by contract, and Griffin-Lim, which turns them back."""

import numpy as np
import pytest

from polyvox.addons.manifest import Features
from polyvox.errors import QualityError
from polyvox.quality.griffin_lim import griffin_lim
from polyvox.quality.mel import Mel

CONTRACTS = {
    "polyvox": Features(),
    "16 kHz": Features(sample_rate=16000, hop_length=200, bands=40, fft=1024, window=800, f_min=50.0, f_max=7600.0),
    "centred": Features(sample_rate=24000, hop_length=300, bands=100, f_max=12000.0, centered=True),
    "energy": Features(power=2.0, mel_scale="htk", norm="none", log="log10", floor=1e-10),
    "odd": Features(hop_length=255, log="none", floor=0.0),
}


def sweep(contract, frames=60):
    """A gliding tone with two harmonics, float32 [frames * hop]."""
    time = np.arange(frames * contract.hop_length) / contract.sample_rate
    phase = 2 * np.pi * (200 * time + 150 * time**2)
    return (0.2 * sum(np.sin(k * phase) / k for k in (1, 2, 3))).astype(np.float32)


def test_the_default_contract_is_the_recipes_own_features():
    pytest.importorskip("tqdm")
    features = pytest.importorskip("recipes.features")
    audio = np.random.default_rng(0).standard_normal(40 * 256).astype(np.float32) * sweep(Features(), 40)
    mel = Mel(Features.model_validate(features.CONTRACT))
    assert mel.contract == Features()
    assert np.array_equal(mel.filters, features.mel_filters())
    assert np.array_equal(mel.window, features.window())
    assert np.array_equal(mel.features(audio), features.log_mel(audio))


@pytest.mark.parametrize("name", CONTRACTS)
def test_frames_and_samples_are_the_same_stretch_of_time(name):
    contract = CONTRACTS[name]
    mel = Mel(contract)
    audio = sweep(contract, 25)
    audio[: 12 * contract.hop_length] = 0
    made = mel.features(audio)
    assert made.shape == (25, contract.bands)
    assert made.dtype == np.float32
    energy = np.linalg.norm(mel.magnitude(made), axis=1)
    # The tone begins with frame 12, give or take what a window hears of its neighbours.
    reach = -(-contract.fft // (2 * contract.hop_length)) + 1
    assert energy[: 12 - reach].max() < 1e-2 * energy[12 + reach :].min()
    begins = np.flatnonzero(energy > 0.3 * energy[14:20].mean())[0]
    assert abs(begins - 12) <= 1


@pytest.mark.parametrize("name", CONTRACTS)
def test_bands_stand_where_the_contract_says(name):
    contract = CONTRACTS[name]
    hz = 1500.0
    tone = np.sin(2 * np.pi * hz * np.arange(30 * contract.hop_length) / contract.sample_rate).astype(np.float32)
    spectrum = Mel(contract).magnitude(Mel(contract).features(tone))[15]
    loudest = np.argmax(spectrum) * contract.sample_rate / contract.fft
    assert loudest == pytest.approx(hz, rel=0.06)


def test_htk_s_scale():
    edges = Mel(CONTRACTS["energy"]).filters
    centres = edges.argmax(axis=1) * 22050 / 1024
    mels = 2595 * np.log10(1 + centres[40:] / 700)
    assert np.diff(mels) == pytest.approx(np.full(39, np.diff(mels).mean()), rel=0.5)
    assert 0.8 < edges.max(axis=1)[40:].min() <= 1


@pytest.mark.parametrize("name", CONTRACTS)
def test_griffin_lim_gives_the_features_back(name):
    contract = CONTRACTS[name]
    mel = Mel(contract)
    audio = sweep(contract)
    wanted = mel.features(audio)
    made = griffin_lim(wanted, mel)
    assert made.shape == audio.shape
    assert made.dtype == np.float32
    assert np.array_equal(made, griffin_lim(wanted, mel))
    again, wanted = mel.magnitude(mel.features(made))[3:-3], mel.magnitude(wanted)[3:-3]
    assert np.linalg.norm(again - wanted) < 0.25 * np.linalg.norm(wanted)


@pytest.mark.parametrize("change", [{"hop_length": 1025}, {"window": 2048}, {"window": 128}])
def test_windows_that_leave_gaps_are_refused(change):
    with pytest.raises(QualityError, match="expected hop <= window <= FFT"):
        Mel(Features(**change))
