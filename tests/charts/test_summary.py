"""What charts say about many values, against numbers made by hand or by other libraries."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from core.charts.summary import expected_calibration_error, over_seeds, thin, wilson
from core.charts.theme import Axis
from core.measures.statistics import t_interval

X, Y, LOG_Y = Axis("step"), Axis("loss"), Axis("loss", log=True)


def curves(*seeds: dict[float, float]) -> pd.DataFrame:
    return pd.DataFrame([{"seed": seed, "step": x, "loss": y} for seed, curve in enumerate(seeds) for x, y in curve.items()])


def test_the_band_is_the_t_interval():
    mean = over_seeds(curves({0: 1.0, 1: 4.0}, {0: 2.0, 1: 4.5}, {0: 4.0, 1: 6.0}), X, Y).mean
    for row, values in zip(mean.itertuples(), ([1, 2, 4], [4, 4.5, 6]), strict=True):
        assert (row.y, row.low, row.high) == pytest.approx(t_interval(values), abs=1e-5)
        assert row.n == 3


def test_on_a_log_axis_mean_and_band_are_of_the_logarithms():
    (row,) = over_seeds(curves({0: 1.0}, {0: 10.0}, {0: 100.0}), X, LOG_Y).mean.itertuples()
    assert row.y == pytest.approx(10)
    assert row.low == pytest.approx(10 ** t_interval([0, 1, 2])[1], rel=1e-4)


def test_one_seed_has_no_band():
    mean = over_seeds(curves({0: 1.0, 1: 2.0}), X, Y).mean
    assert list(mean["y"]) == [1, 2] and mean["low"].isna().all()


def test_a_wide_interval_is_drawn_cut_but_kept_in_full():
    mean = over_seeds(curves({0: 0.0, 1: 1.0}, {0: 0.0, 1: 2.0}), X, Y).mean
    last = mean.iloc[-1]
    assert last["high"] == pytest.approx(t_interval([1, 2])[2], abs=1e-4)  # 7.85
    assert last["top"] == 3.0  # the data's end, and half of its range


def test_a_value_that_is_not_finite_leaves_a_gap_and_a_mark():
    found = over_seeds(curves({0: 1.0, 1: 2.0, 2: np.nan, 3: np.nan, 4: 5.0}, {0: 1.0, 1: 2.0, 2: 3.0, 3: np.inf, 4: 5.0}), X, Y)
    assert list(found.mean["x"]) == [0, 1, 4]
    assert found.mean["piece"].nunique() == 2
    assert found.breaks[["x", "reason", "seeds", "n"]].values.tolist() == [
        [2.0, "not a number (NaN)", 1, 2],
        [3.0, "infinite", 1, 2],
    ]
    assert found.single.empty  # no seed has ended


def test_zero_has_no_place_on_a_log_axis():
    found = over_seeds(curves({0: 1.0, 1: 0.0, 2: 0.1}), X, LOG_Y)
    assert list(found.mean["x"]) == [0, 2]
    assert list(found.breaks["reason"]) == ["zero or less: not on a log axis"]


def test_seeds_recorded_at_different_steps_are_read_between_their_points():
    mean = over_seeds(curves({0: 0.0, 2: 2.0, 4: 4.0}, {0: 10.0, 1: 11.0, 4: 14.0}), X, Y).mean
    assert list(mean["x"]) == [0, 1, 2, 4]
    assert list(mean["y"]) == pytest.approx([5, 6, 7, 9])


def test_where_a_seed_has_ended_the_others_go_on_alone():
    found = over_seeds(curves({0: 1.0, 1: 1.0}, {0: 3.0, 1: 3.0, 2: 9.0, 3: 9.0}), X, Y)
    assert list(found.mean["x"]) == [0, 1] and list(found.mean["y"]) == [2, 2]
    assert found.single[["x", "y", "seed"]].values.tolist() == [[1, 3, 1], [2, 9, 1], [3, 9, 1]]


def test_rows_of_one_seed_at_one_step_are_averaged_first():
    frame = pd.DataFrame({"seed": [0, 0, 1], "step": [5, 5, 5], "loss": [1.0, 3.0, 4.0]})
    (row,) = over_seeds(frame, X, Y).mean.itertuples()
    assert row.y == 3.0 and row.n == 2


def test_thinning_keeps_ends_and_extremes():
    rng = np.random.default_rng(0)
    x, y = np.arange(100_000.0), rng.normal(size=100_000)
    y[[31_415, 92_653]] = 50, -60
    kept = thin(x, y, 300)
    assert len(kept) <= 300 and (np.diff(kept) > 0).all()
    assert {0, 31_415, 92_653, 99_999} <= set(kept)
    assert list(thin(x[:5], y[:5], 300)) == [0, 1, 2, 3, 4]


def test_a_long_curve_is_sent_short_with_its_spike():
    loss = {float(step): 1.0 for step in range(20_000)} | {7_777.0: 99.0}
    mean = over_seeds(curves(loss), X, Y).mean
    assert len(mean) <= 300 and mean["y"].max() == 99.0


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (8, 10), (50, 50), (3, 1000)])
def test_wilson(successes, trials):
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_by_hand():
    z2 = 1.959963985**2
    assert wilson(0, 10) == pytest.approx((0, z2 / (10 + z2)), abs=1e-12)  # 0.2775
    assert wilson(0, 0) == (0, 1)


def test_expected_calibration_error_by_hand():
    confidence, correct = np.array([0.95, 0.85, 0.75, 0.65, 0.55, 0.92]), np.array([1, 1, 0, 1, 0, 1])
    assert expected_calibration_error(confidence, correct, bins=5) == pytest.approx(0.205)
    assert expected_calibration_error(confidence, correct, bins=1) == pytest.approx(abs(confidence.mean() - correct.mean()))
    assert expected_calibration_error(np.array([0.2]), np.array([0]), bins=5) == pytest.approx(0.2)  # 0.2 is in (0, 0.2]
    assert math.isnan(expected_calibration_error(np.array([]), np.array([])))
