"""Intervals against closed forms of Student's quantiles, and against how often they hold what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.measures.statistics import bootstrap_interval, t_interval


class TestStudent:
    def test_two_values_by_the_tangent(self):
        """With one degree of freedom the quantile is tan(pi (p - 1/2)); the standard error of 1 and 3 is 1."""
        quantile = math.tan(math.pi * 0.475)
        assert t_interval([1.0, 3.0]) == pytest.approx((2.0, 2.0 - quantile, 2.0 + quantile))

    def test_three_values_by_the_closed_form(self):
        """With two degrees of freedom the quantile is (2p - 1) / sqrt(2p (1 - p)); the standard error of 1, 2, 3 is 1/sqrt(3)."""
        half = 0.95 / math.sqrt(2 * 0.975 * 0.025) / math.sqrt(3)
        assert t_interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2.0 - half, 2.0 + half))

    def test_confidence(self):
        """Half of all samples of two hold the mean between them: the quantile of one degree of freedom at 3/4 is 1."""
        assert t_interval([1.0, 3.0], confidence=0.5) == pytest.approx((2.0, 1.0, 3.0))

    def test_equal_values_leave_no_doubt(self):
        assert t_interval([0.25] * 5) == (0.25, 0.25, 0.25)

    def test_one_value_has_no_interval(self):
        mean, low, high = t_interval([2.0])
        assert mean == 2.0
        assert math.isnan(low)
        assert math.isnan(high)

    @pytest.mark.parametrize("values", [[], [1.0, math.nan, 2.0], [1.0, math.inf]])
    def test_nothing_and_what_is_not_finite_give_no_numbers(self, values):
        assert all(map(math.isnan, t_interval(values)))

    def test_it_holds_the_mean_as_often_as_it_says(self):
        """4,000 samples of five normal values: 95% within three standard errors (1.03 points)."""
        samples = np.random.default_rng(0).normal(3.0, 2.0, (4000, 5))
        held = [low <= 3.0 <= high for _, low, high in map(t_interval, samples)]
        assert np.mean(held) == pytest.approx(0.95, abs=3 * math.sqrt(0.95 * 0.05 / 4000))


class TestBootstrap:
    values = np.random.default_rng(1).exponential(2.0, 60)

    def mean(self, index: np.ndarray) -> float:
        return float(self.values[index].mean())

    def test_the_value_is_that_of_all_units(self):
        value, low, high = bootstrap_interval(self.mean, 60)
        assert value == self.values.mean()
        assert low < value < high

    def test_the_width_is_that_of_the_mean_s_normal_limit(self):
        """2 x 1.96 standard errors, of the plug-in variance; 4,000 resamples are within 6%."""
        _, low, high = bootstrap_interval(self.mean, 60, resamples=4000)
        assert high - low == pytest.approx(2 * 1.959964 * self.values.std() / math.sqrt(60), rel=0.06)

    def test_the_same_seed_gives_the_same_interval(self):
        assert bootstrap_interval(self.mean, 60, random_state=3) == bootstrap_interval(self.mean, 60, random_state=3)
        assert bootstrap_interval(self.mean, 60, random_state=3) != bootstrap_interval(self.mean, 60, random_state=4)

    def test_it_moves_and_stretches_with_the_statistic(self):
        plain = np.array(bootstrap_interval(self.mean, 60))
        moved = bootstrap_interval(lambda index: 10 + 3 * self.mean(index), 60)
        np.testing.assert_allclose(moved, 10 + 3 * plain)

    def test_whole_units_are_drawn_with_repeats(self):
        drawn = []
        bootstrap_interval(lambda index: drawn.append(index) or 0.0, 4, resamples=200)
        assert {len(index) for index in drawn} == {4}
        assert set(np.concatenate(drawn)) == {0, 1, 2, 3}
        assert any(len(set(index)) < 4 for index in drawn)

    def test_resamples_without_a_value_are_left_out(self):
        """A slope needs two different units; where a resample has one only, it is no evidence."""
        value, low, high = bootstrap_interval(lambda index: 2.0 if len(set(index)) > 1 else math.nan, 2)
        assert (value, low, high) == (2.0, 2.0, 2.0)

    def test_more_confidence_is_wider(self):
        _, low, high = bootstrap_interval(self.mean, 60, confidence=0.99)
        _, inner_low, inner_high = bootstrap_interval(self.mean, 60, confidence=0.8)
        assert low < inner_low < inner_high < high
