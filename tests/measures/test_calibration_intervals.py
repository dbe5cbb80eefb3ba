"""Measures with their intervals: the numbers are those of the single functions, the intervals cover what they should."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.measures import calibration
from core.measures.calibration import softmax, top_label
from core.measures.calibration_intervals import measures, resampled

DRAW = np.random.default_rng(3)
TRUE = DRAW.normal(0, 1.5, (4000, 4))
LABELS = np.array([DRAW.choice(4, p=p) for p in softmax(TRUE)])
SURE = softmax(2 * TRUE)[:800]  # twice as sure as it should be
HONEST = softmax(TRUE)[:800]
Y = LABELS[:800]


@pytest.fixture(scope="module")
def sure():
    return resampled(SURE, Y, resamples=60)


@pytest.fixture(scope="module")
def honest():
    return resampled(HONEST, Y, resamples=60)


def test_there_is_one_of_each_and_nothing_else(sure):
    names = [measure.name for measure in measures()]
    assert len(set(names)) == len(names)
    assert set(names) == sure.value.keys() == sure.draws.keys()
    assert all(draws.shape == (60,) for draws in sure.draws.values())


def test_values_are_those_of_the_single_functions(sure):
    expected = calibration.summary(SURE, Y)
    for name in ("accuracy", "confidence", "ece", "ece_equal_mass", "ece_classwise", "mce", "ks", "nll", "brier", "auroc", "aurc"):
        assert sure.value[name] == pytest.approx(expected[name]), name
    assert sure.value["gap"] == pytest.approx(expected["confidence"] - expected["accuracy"])
    assert sure.value["ece_smooth"] == pytest.approx(expected["ece_smooth"], abs=2e-3)  # on fewer cells
    c, h = top_label(SURE, Y)
    assert sure.value["ece_kernel"] == pytest.approx(calibration.kernel_calibration_error(c, h), abs=2e-3)
    assert sure.value["ece_50"] == pytest.approx(calibration.expected_calibration_error(c, h, 50))
    parts = calibration.brier_decomposition(SURE, Y)
    for name in ("reliability", "resolution", "uncertainty"):
        assert sure.value[f"brier_{name}"] == pytest.approx(getattr(parts, name)), name


def test_a_draw_is_the_measure_of_the_items_drawn():
    """Ten items, one resample, drawn again by hand with the same stream."""
    p, y = SURE[:10], Y[:10]
    drawn = np.random.default_rng(5).integers(0, 10, 10)
    found = resampled(p, y, resamples=1, random_state=5)
    expected = calibration.summary(p[drawn], y[drawn])
    for name in ("accuracy", "ece", "ece_equal_mass", "ece_classwise", "mce", "ks", "nll", "brier", "aurc"):
        assert found.draws[name][0] == pytest.approx(expected[name]), name


def test_an_interval_is_around_its_value_and_errors_are_never_negative(sure, honest):
    for found in (sure, honest):
        for measure in measures():
            value, low, high = found.interval(measure.name)
            assert low <= value + 1e-9 and value <= high + 1e-9, measure.name
            assert low >= 0 or measure.name == "gap"


def test_the_interval_of_a_mean_is_the_normal_one():
    found = resampled(SURE, Y, resamples=300)
    value, low, high = found.interval("accuracy")
    half = 1.96 * math.sqrt(value * (1 - value) / len(Y))
    assert (value - low, high - value) == pytest.approx((half, half), rel=0.2)


def test_the_same_items_are_drawn_so_that_differences_are_pairs(sure, honest):
    """Of a map that changes no prediction, the accuracy differs by nothing, whatever was drawn; overconfidence does."""
    assert sure.interval("accuracy", minus=honest) == pytest.approx((0, 0, 0))
    difference, low, high = sure.interval("gap", minus=honest)
    assert low > 0
    apart = high - low
    together = np.ptp(np.percentile(sure.draws["gap"], [2.5, 97.5]))
    assert apart < together / 2
    assert difference == pytest.approx(sure.value["gap"] - honest.value["gap"])


def test_what_comes_by_chance_is_what_a_calibrated_model_shows(sure, honest):
    """An honest model's errors are of the size of chance, an overconfident one's beyond."""
    for name in ("ece", "ece_50", "ece_equal_mass", "mce", "ks", "ece_smooth", "ece_kernel"):
        assert honest.value[name] < 2 * honest.by_chance[name], name
        assert sure.value[name] > (1.1 if name == "mce" else 1.5) * sure.by_chance[name], name
    assert honest.by_chance["ece_50"] > honest.by_chance["ece_10"], "more bins, more chance"


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Overconfidence in 40 samples of 200 items, against that of all 4,000."""
    everything = softmax(2 * TRUE)
    c, h = top_label(everything, LABELS)
    covered = 0
    for sample in range(40):
        chosen = np.random.default_rng(sample).integers(0, 4000, 200)
        _, low, high = resampled(everything[chosen], LABELS[chosen], bins=(5,), resamples=40).interval("gap")
        covered += low <= (c - h).mean() <= high
    assert covered >= 34


def test_it_says_how_far_it_is():
    told = []
    resampled(SURE[:50], Y[:50], resamples=10, progress=lambda done, total: told.append(done / total))
    assert told == sorted(told)
    assert 0 < told[0] < 0.1 and told[-1] > 0.9 and max(told) <= 1


def test_all_right_has_no_auroc_and_no_interval():
    found = resampled(np.tile([0.9, 0.1], (30, 1)), np.zeros(30, int), resamples=10)
    assert all(math.isnan(end) for end in found.interval("auroc"))


def test_nothing_is_refused():
    with pytest.raises(ValueError, match="no items"):
        resampled(np.empty((0, 3)), np.empty(0, int))
