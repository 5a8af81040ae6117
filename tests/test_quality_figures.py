"""The arithmetic of the quality tables, on made-up data. Numpy only."""

import math
from itertools import pairwise

import numpy as np
import pytest

from polyvox.errors import QualityError
from polyvox.quality.distances import (
    f0_correlation,
    f0_error,
    mel_cepstral_distortion,
    mel_cepstrum,
    speech_frames,
    time_warp,
    voicing_error,
)
from polyvox.quality.intervals import bootstrap, correlation, percentage, ratio
from polyvox.quality.tables import COPY, GRIFFIN_LIM, NATURAL, SPOKEN, WORDS, Table
from polyvox.quality.words import bigram_model, spoken_words, word_errors


def test_mel_cepstrum_finds_the_coefficients_of_a_warped_cosine_series():
    omega = np.linspace(0, np.pi, 2001)
    warped = omega + 2 * np.arctan2(0.42 * np.sin(omega), 1 - 0.42 * np.cos(omega))
    amplitude = np.exp(0.7 + 0.5 * np.cos(warped) - 0.2 * np.cos(3 * warped))
    found = mel_cepstrum(np.square(amplitude)[None], order=4)
    assert found[0] == pytest.approx([0.7, 0.5, 0, -0.2, 0], abs=1e-4)


def test_distortion_of_equal_frames_is_zero_and_of_others_the_rms_difference_in_decibels():
    random = np.random.default_rng(0)
    a = random.standard_normal((5, 25))
    assert mel_cepstral_distortion(a, a) == pytest.approx(np.zeros(5))
    louder = a.copy()
    louder[:, 0] += 3
    assert mel_cepstral_distortion(a, louder) == pytest.approx(np.zeros(5))
    # 10 dB times cos(w) more: its RMS over the spectrum is 10 / sqrt(2) dB.
    other = a.copy()
    other[:, 1] += math.log(10) / 2
    assert mel_cepstral_distortion(a, other) == pytest.approx(np.full(5, 5 * math.sqrt(2)))


def test_time_warp_undoes_a_shift():
    random = np.random.default_rng(0)
    a = random.standard_normal((40, 6))
    later = np.concatenate([np.repeat(a[:1], 7, axis=0), a])
    i, j = time_warp(a, later)
    assert np.abs(a[i] - later[j]).max() == 0
    assert (i[0], j[0], i[-1], j[-1]) == (0, 0, 39, 46)
    steps = {(int(b[0] - a[0]), int(b[1] - a[1])) for a, b in pairwise(zip(i, j, strict=True))}
    assert steps <= {(0, 1), (1, 0), (1, 1)}


def test_time_warp_is_the_cheapest_of_all_paths():
    random = np.random.default_rng(1)
    a, b = random.standard_normal((4, 2)), random.standard_normal((5, 2))
    cost = np.linalg.norm(a[:, None] - b[None], axis=2)

    def cheapest(i, j):
        before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        return cost[i, j] + min((cheapest(*c) for c in before if min(c) >= 0), default=0)

    i, j = time_warp(a, b)
    assert cost[i, j].sum() == pytest.approx(cheapest(3, 4))


def test_f0_figures():
    a = np.array([0.0, *np.linspace(100, 200, 20), 0])
    assert f0_error(a, a * 2) == pytest.approx(1200)
    assert f0_correlation(a, a**1.5) == pytest.approx(1)
    assert f0_correlation(a, np.where(a > 0, 1e4, 0) / np.maximum(a, 1)) == pytest.approx(-1)
    b = a.copy()
    b[0], b[5] = 90, 0
    assert voicing_error(a, b) == pytest.approx(100 * 2 / 22)
    assert f0_error(a, np.zeros(22)) is None
    assert f0_correlation(a, np.zeros(22)) is None


def test_speech_frames_leave_out_pauses():
    audio = np.concatenate([np.full(256, 100), np.full(256, 10_000), np.full(300, 1000)]).astype(np.int16)
    assert speech_frames(audio, 256, below=30).tolist() == [False, True, True]


def test_bootstrap_holds_the_mean_is_seeded_and_draws_whole_sentences():
    random = np.random.default_rng(0)
    rows = 5 + random.standard_normal((200, 1))
    found = bootstrap([str(i) for i in range(200)], rows)
    assert found.low < rows.mean() < found.high
    assert found.value == pytest.approx(rows.mean())
    # The interval of a mean is 2 * 1.96 standard errors wide.
    assert found.high - found.low == pytest.approx(2 * 1.96 * rows.std() / math.sqrt(200), rel=0.15)
    assert found == bootstrap([str(i) for i in range(200)], rows)
    # Ten equal takes of each sentence say no more than one.
    takes = bootstrap([str(i) for i in range(200)] * 10, np.tile(rows, (10, 1)))
    assert takes.high - takes.low == pytest.approx(found.high - found.low, rel=0.15)
    assert (takes.clips, takes.sentences) == (2000, 200)


def test_statistics_over_clips():
    rows = np.array([[1.0, 10], [3, 10], [2, 20]])
    assert ratio(rows) == pytest.approx(0.15)
    assert percentage(rows) == pytest.approx(15)
    assert correlation(rows) == pytest.approx(np.corrcoef(rows.T)[0, 1])
    assert math.isnan(correlation(rows[:1]))


@pytest.mark.parametrize(
    ("heard", "errors"),
    [("a b c d", 0), ("a x c d", 1), ("a b c", 1), ("a b b c d", 1), ("", 4), ("d c b a", 4), ("b c d e", 2)],
)
def test_word_errors(heard, errors):
    assert word_errors(["a", "b", "c", "d"], heard.split()) == errors


def test_spoken_words_are_written_out():
    assert spoken_words("Mr Pike's wolf-dog, 'etc.'") == ["mister", "pike's", "wolf", "dog", "et", "cetera"]


def test_every_history_of_the_language_model_sums_to_one():
    model = bigram_model([["a", "b", "c"], ["a", "c"], ["b"]])
    head, _, rest = model.partition("\\1-grams:")
    ones, _, twos = rest.partition("\\2-grams:")
    single, backoff, pairs = {}, {}, {}
    for line in filter(None, ones.splitlines()):
        probability, word, *weight = line.split()
        single[word] = 10 ** float(probability)
        backoff[word] = 10 ** float(weight[0]) if weight else None
    for line in filter(None, twos.replace("\\end\\", "").splitlines()):
        probability, first, second = line.split()
        pairs[first, second] = 10 ** float(probability)
    assert f"ngram 1={len(single)}\nngram 2={len(pairs)}\n" in head
    assert backoff["</s>"] is None
    for history in ("<s>", "a", "b", "c"):
        total = sum(pairs.get((history, w), backoff[history] * single[w]) for w in ("a", "b", "c", "</s>"))
        assert total == pytest.approx(1, abs=1e-5)
    assert pairs["<s>", "a"] == pytest.approx((2 - 0.5) / 3, abs=1e-5)


CLIP = {"pesq": 4.6, "stoi": 1.0, "mcd": 0.0, "f0": 0.0, "voicing": 0.0, "dnsmos": 3.1}


def full_table():
    table = Table("t", COPY, (NATURAL, GRIFFIN_LIM))
    for row in (NATURAL, GRIFFIN_LIM, "ours"):
        table.add(row, ["x", "y"], [CLIP, {**CLIP, "pesq": 4.0}])
    return table


def test_table_prints_value_interval_and_count():
    ours = full_table().markdown().splitlines()[-1]
    assert ours.startswith("| ours | 2 | 4.30<br><sub>4.00 to 4.60</sub> | 1.000 |")


def test_clips_without_a_value_are_left_out_and_counted():
    table = Table("t", (*SPOKEN, WORDS), (NATURAL,))
    clip = {"dnsmos": 3.0, "mcd": 1.0, "f0_correlation": 1.0, "seconds": 2.0, "natural_seconds": 2.0}
    table.add(NATURAL, ["x", "y"], [{**clip, "errors": 1.0, "words": 4.0}, {**clip, "errors": None, "words": None}])
    assert table.rows[NATURAL]["word_errors"].value == 25
    assert table.counts() == "2 clips of 2 sentences; word errors, % on 1"


@pytest.mark.parametrize("broken", [NATURAL, GRIFFIN_LIM])
def test_table_without_an_anchor_is_refused_in_every_form(broken):
    for spoil in (lambda t: t.rows.pop(broken), lambda t: t.rows[broken].pop("dnsmos")):
        table = full_table()
        spoil(table)
        for form in (table.markdown, table.json, table.counts, lambda t=table: list(t.cells())):
            with pytest.raises(QualityError, match=f"table 't' is not printed: its anchor row '{broken}'"):
                form()


def test_json_has_no_nan():
    table = Table("t", SPOKEN, ())
    clip = {"dnsmos": 3.0, "mcd": 1.0, "f0_correlation": 1.0, "seconds": 2.0, "natural_seconds": 2.0}
    table.add("ours", ["x"], [clip])
    assert table.json()["ours"]["length_correlation"]["value"] is None
    assert [value for _, _, cells in table.cells() for value, _ in cells][-1] == "–"
