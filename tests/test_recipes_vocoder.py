"""The vocoder's recipe: its networks, and that what training hears is what serving makes."""

import numpy as np
import pytest

from polyvox.blocks import Excitation, PhaseRefiner

torch = pytest.importorskip("torch", reason="the recipes need torch")
pytest.importorskip("onnx", reason="the recipes need onnx")

from recipes.features import BANDS, CONTRACT, HOP, SAMPLE_RATE, log_mel, mel_filters  # noqa: E402
from recipes.onnx_tools import check_context, export_network  # noqa: E402
from recipes.vocoder.export import _compute_tables  # noqa: E402
from recipes.vocoder.model import (  # noqa: E402
    BINS,
    ExportedPitch,
    ExportedVocoder,
    PitchNetwork,
    Vocoder,
    VocoderSize,
)
from recipes.vocoder.refine import BALANCE, refine, to_hops, to_spectrum  # noqa: E402
from recipes.vocoder.source import continuous_f0, pulses  # noqa: E402

SMALL = VocoderSize(width=16, blocks=2, kernel=3, expansion=2)


def inputs(frames, batch=2):
    torch.manual_seed(0)
    return {
        "mel": torch.randn(batch, frames, BANDS) * 2 - 5,
        "f0": 100 + 100 * torch.rand(batch, frames),
        "harmonics": torch.randn(batch, frames, HOP),
        "noise": torch.randn(batch, frames, HOP),
        "frames_mask": torch.ones(batch, frames),
    }


def test_features_of_a_tone_lie_where_the_tone_does():
    time = np.arange(HOP * 40) / SAMPLE_RATE
    mel = log_mel(np.sin(2 * np.pi * 1000 * time).astype(np.float32))
    assert mel.shape == (40, BANDS)
    centre = (mel_filters() * np.linspace(0, SAMPLE_RATE / 2, 513)).sum(1) / mel_filters().sum(1)
    assert abs(centre[mel[20].argmax()] - 1000) < 60
    assert log_mel(np.zeros(HOP * 3, np.float32)).max() == pytest.approx(np.log(CONTRACT["floor"]))


def test_the_dft_as_matrix_products_is_the_dft():
    made = inputs(9)
    model = Vocoder(SMALL)
    exported = ExportedVocoder(SMALL)
    exported.load_state_dict(model.state_dict(), strict=False)
    with torch.no_grad():
        for one, other in zip(exported(**made), model(**made), strict=True):
            torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-3)


def test_analysis_and_synthesis_give_the_signal_back():
    model = Vocoder(SMALL)
    signal = torch.randn(1, 12, HOP)
    again = to_hops(to_spectrum(signal, model.window), model.window)
    torch.testing.assert_close(again[:, 3:-3], signal[:, 3:-3], atol=1e-5, rtol=0)


def test_padding_behind_the_mask_is_the_utterance_s_edge():
    model, made = Vocoder(SMALL).eval(), inputs(30, batch=1)
    with torch.no_grad():
        alone = model(**{name: tensor[:, :20] for name, tensor in made.items()})
        made["frames_mask"][:, 20:] = 0
        padded = model(**made)
    for one, other in zip(padded, alone, strict=True):
        torch.testing.assert_close(one[:, :20], other, atol=1e-4, rtol=0)
    # What lies behind the mask may not sound: its magnitude is nothing.
    assert padded[2][:, 20:].abs().max() == 0


def test_the_exported_vocoder_keeps_its_context(tmp_path):
    axes = {
        "mel": ("batch", "frames", BANDS),
        "f0": ("batch", "frames"),
        "harmonics": ("batch", "frames", HOP),
        "noise": ("batch", "frames", HOP),
        "frames_mask": ("batch", "frames"),
        **dict.fromkeys(("real", "imag", "magnitude"), ("batch", "frames", BINS)),
    }
    path, made = tmp_path / "vocoder.onnx", inputs(60)
    export_network(ExportedVocoder(SMALL), made, axes, path, edit=_compute_tables, exact=("cos", "sin"))
    assert path.stat().st_size < 400_000, "the tables of the DFT are in the file"
    one = {name: tensor[:1].numpy() for name, tensor in made.items()}
    context = SMALL.context
    check_context(path, one, axes, axis="frames", left=context, right=context)
    with pytest.raises(AssertionError):
        check_context(path, one, axes, axis="frames", left=context - 1, right=context, tolerance=1e-9)


def test_pitch_is_the_same_to_the_last_bit_in_every_window(tmp_path):
    import onnxruntime

    torch.manual_seed(0)
    model = ExportedPitch(32, 5, 2)
    mel = torch.randn(1, 200, BANDS)
    axes = {"mel": ("batch", "frames", BANDS), "frames_mask": ("batch", "frames"), "f0": ("batch", "frames")}
    export_network(model, {"mel": mel, "frames_mask": torch.ones(1, 200)}, axes, tmp_path / "pitch.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "pitch.onnx")

    def run(first, last):
        part = mel[:, first:last].numpy()
        return session.run(None, {"mel": part, "frames_mask": np.ones(part.shape[:2], np.float32)})[0][0]

    whole, side = run(0, 200), model.context
    for first, last in ((0, 40), (10, 33), (57, 141), (100, 200)):
        np.testing.assert_array_equal(run(first, last)[side:-side], whole[first + side : last - side])


def test_exported_pitch_is_the_pitch():
    model, exported = PitchNetwork(32, 5, 2), ExportedPitch(32, 5, 2)
    exported.load_state_dict(model.state_dict())
    mel, mask = torch.randn(2, 30, BANDS), torch.ones(2, 30)
    torch.testing.assert_close(exported(mel, mask), model(mel, mask), atol=1e-3, rtol=1e-5)


def test_serving_makes_the_pulses_of_training():
    f0 = (150 + 60 * np.sin(np.arange(50) / 5)).astype(np.float32)
    trained = pulses(torch.from_numpy(f0)[None], torch.zeros(1))[0].numpy()
    block = Excitation(SAMPLE_RATE, HOP)
    chunks = list(block.stream({}, iter([{"f0": f0[:20]}, {"f0": f0[20:]}])))
    served = np.concatenate([chunk["harmonics"] for chunk in chunks])
    assert np.abs(served - trained).max() < 2e-2 * np.abs(trained).max()
    assert np.corrcoef(served.ravel(), trained.ravel())[0, 1] > 0.9999


def test_serving_refines_as_training_does():
    torch.manual_seed(0)
    spectrum, magnitude = torch.randn(1, 20, BINS, dtype=torch.complex64) / 9, torch.rand(1, 20, BINS) / 9
    trained = refine(spectrum, magnitude, Vocoder(SMALL).window, 3).flatten().numpy()
    block = PhaseRefiner(2 * (BINS - 1), HOP, iterations=3, balance=BALANCE)
    chunk = {"real": spectrum.real, "imag": spectrum.imag, "magnitude": magnitude}
    chunk = {name: tensor[0].numpy() for name, tensor in chunk.items()}
    served = np.concatenate([c["audio"] for c in block.stream({}, iter([chunk]))])
    np.testing.assert_allclose(served, trained, atol=1e-6)
    assert np.abs(served).max() > 0.005


def test_unvoiced_frames_take_pitch_from_their_neighbours():
    found = continuous_f0(np.array([0, 100, 0, 400, 0], np.float32))
    np.testing.assert_allclose(found, [100, 100, 200, 400, 400], rtol=1e-6)
    assert continuous_f0(np.zeros(3, np.float32)).tolist() == [150.0] * 3
