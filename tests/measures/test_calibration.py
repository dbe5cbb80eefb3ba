"""Calibration measures against torchmetrics, closed forms, their defining sums, and what must always hold of them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from netcal.metrics import ECE, MCE
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score
from torchmetrics.functional.classification import multiclass_calibration_error

from core.measures.calibration import (
    area_under_risk_coverage,
    bin_index,
    brier_decomposition,
    brier_score,
    classwise_calibration_error,
    confidence_auroc,
    expected_calibration_error,
    kernel_calibration_error,
    kolmogorov_smirnov_error,
    maximum_calibration_error,
    maximum_mean_calibration_error,
    negative_log_likelihood,
    over_confidence_error,
    reliability_bins,
    risk_coverage,
    smooth_calibration_error,
    softmax,
    summary,
    top_label,
    under_confidence_error,
)
from core.measures.statistics import wilson_interval

DRAW = np.random.default_rng(0)
TRUE = DRAW.normal(0, 1.5, (2000, 5))
LABELS = np.array([DRAW.choice(5, p=p) for p in softmax(TRUE)])
PROBABILITIES = softmax(2 * TRUE)  # twice as sure as it should be
CONFIDENCE, CORRECT = top_label(PROBABILITIES, LABELS)
EVERY_ERROR = [
    expected_calibration_error,
    maximum_calibration_error,
    kolmogorov_smirnov_error,
    maximum_mean_calibration_error,
    smooth_calibration_error,
    over_confidence_error,
    under_confidence_error,
]


class TestBinnedErrors:
    @pytest.mark.parametrize("bins", [5, 15, 40])
    @pytest.mark.parametrize(("norm", "name"), [(1, "l1"), (2, "l2"), (math.inf, "max")])
    def test_they_agree_with_torchmetrics(self, bins, norm, name):
        ours = expected_calibration_error(CONFIDENCE, CORRECT, bins, norm=norm)
        theirs = multiclass_calibration_error(torch.tensor(PROBABILITIES), torch.tensor(LABELS), 5, n_bins=bins, norm=name)
        assert ours == pytest.approx(float(theirs), abs=1e-6)

    @pytest.mark.parametrize("bins", [5, 15, 40])
    def test_they_agree_with_netcal(self, bins):
        """Their top label is of two columns or more; their bins are closed on the left, which no score here tells apart."""
        assert expected_calibration_error(CONFIDENCE, CORRECT, bins) == pytest.approx(ECE(bins).measure(PROBABILITIES, LABELS))
        assert maximum_calibration_error(CONFIDENCE, CORRECT, bins) == pytest.approx(MCE(bins).measure(PROBABILITIES, LABELS))
        by_count = ECE(bins, equal_intervals=False).measure(PROBABILITIES, LABELS)
        ours = expected_calibration_error(CONFIDENCE, CORRECT, bins, "equal-mass")
        assert ours == pytest.approx(by_count, abs=2e-3)  # where an item at an edge goes is left to each

    @pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
    def test_one_bin_leaves_the_gap_of_the_means(self, binning):
        gap = abs(CONFIDENCE.mean() - CORRECT.mean())
        assert expected_calibration_error(CONFIDENCE, CORRECT, 1, binning) == pytest.approx(gap)
        assert kolmogorov_smirnov_error(CONFIDENCE, CORRECT) >= gap - 1e-12

    @pytest.mark.parametrize("bins", [1, 3, 8, 15, 100])
    def test_halving_the_bins_never_lowers_it(self, bins):
        coarse, fine = (expected_calibration_error(CONFIDENCE, CORRECT, n) for n in (bins, 2 * bins))
        assert fine >= coarse - 1e-12

    @pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
    def test_over_and_under_confidence_add_up_to_it_and_the_largest_gap_bounds_it(self, binning):
        error = expected_calibration_error(CONFIDENCE, CORRECT, 15, binning)
        over = over_confidence_error(CONFIDENCE, CORRECT, 15, binning)
        under = under_confidence_error(CONFIDENCE, CORRECT, 15, binning)
        assert over + under == pytest.approx(error)
        assert over > 10 * under
        assert error <= maximum_calibration_error(CONFIDENCE, CORRECT, 15, binning)

    def test_classes_of_two_share_their_errors_alike(self):
        p = DRAW.uniform(0.001, 0.999, 500)
        both = np.column_stack([1 - p, p])
        y = (DRAW.uniform(size=500) < p**2).astype(int)
        one = expected_calibration_error(p, y, 10)
        assert classwise_calibration_error(both, y, 10) == pytest.approx(one)

    def test_uniform_predictions_of_balanced_classes_are_calibrated(self):
        p, y = np.full((60, 6), 1 / 6), np.arange(60) % 6
        assert classwise_calibration_error(p, y) == pytest.approx(0, abs=1e-12)
        assert negative_log_likelihood(p, y) == pytest.approx(math.log(6))
        assert brier_score(p, y) == pytest.approx(5 / 6)


class TestBins:
    def test_of_equal_width_they_are_closed_on_the_right_and_keep_zero(self):
        assert bin_index([0, 1e-9, 0.5, 0.5 + 1e-9, 1], 2).tolist() == [0, 0, 0, 1, 1]

    @pytest.mark.parametrize("bins", [1, 7, 100, 3000])
    def test_of_equal_mass_they_differ_by_one_at_most_even_where_all_scores_tie(self, bins):
        for scores in (CONFIDENCE, np.ones(2000)):
            counts = np.bincount(bin_index(scores, bins, "equal-mass"), minlength=bins)
            assert counts.max() - counts.min() <= 1

    def test_what_there_is_not_is_refused(self):
        with pytest.raises(ValueError, match="0 bins"):
            bin_index([0.5], 0)
        with pytest.raises(ValueError, match="'quantile'"):
            bin_index([0.5], 3, "quantile")

    @pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
    def test_a_diagram_holds_what_the_error_is_made_of(self, binning):
        diagram = reliability_bins(CONFIDENCE, CORRECT, 12, binning)
        filled = diagram.count > 0
        gap = np.abs(diagram.confidence - diagram.accuracy)[filled]
        assert (diagram.count[filled] * gap).sum() / 2000 == pytest.approx(
            expected_calibration_error(CONFIDENCE, CORRECT, 12, binning)
        )
        for ends in (diagram.left, diagram.confidence, diagram.right):
            assert (np.diff(ends[filled]) >= 0).all()
        assert (diagram.left <= diagram.confidence)[filled].all()
        assert (diagram.confidence <= diagram.right)[filled].all()

    def test_an_empty_bin_has_no_means_and_every_accuracy_is_possible(self):
        diagram = reliability_bins([0.9], [1], 2)
        assert np.isnan([diagram.confidence[0], diagram.accuracy[0]]).all()
        assert (diagram.low[0], diagram.high[0]) == (0, 1)

    @pytest.mark.parametrize(("successes", "trials"), [(0, 5), (3, 7), (50, 50), (123, 1000)])
    def test_the_interval_is_wilson_s(self, successes, trials):
        theirs = binomtest(successes, trials).proportion_ci(0.9, "wilson")
        assert wilson_interval(successes, trials, 0.9) == pytest.approx((theirs.low, theirs.high))


class TestErrorsWithoutBins:
    def test_the_kernel_of_mmce_sums_over_all_pairs(self):
        r = CORRECT - CONFIDENCE
        kernel = np.exp(-np.abs(CONFIDENCE[:, None] - CONFIDENCE) / 0.4)
        assert maximum_mean_calibration_error(CONFIDENCE, CORRECT) == pytest.approx(math.sqrt(r @ kernel @ r) / 2000)

    def test_ks_is_the_largest_partial_sum(self):
        """Residuals by confidence +0.4, -0.7, +0.2, over three items."""
        assert kolmogorov_smirnov_error([0.8, 0.6, 0.7], [1, 1, 0]) == pytest.approx(0.4 / 3)

    def test_a_single_confidence_has_one_gap_however_smoothed(self):
        confidence, correct = np.full(20, 0.93), np.repeat([1, 0], [15, 5])
        assert smooth_calibration_error(confidence, correct) == pytest.approx(0.18)
        assert kernel_calibration_error(confidence, correct) == pytest.approx(0.18, abs=1e-3)

    def test_smooth_error_is_the_width_at_which_the_smoothed_residual_has_that_mass(self):
        """The reflected Gaussian written out as its mirror images, and the integral by the midpoint rule."""
        c, h = CONFIDENCE[:300], CORRECT[:300]
        sigma = smooth_calibration_error(c, h)
        t = (np.arange(2000) + 0.5) / 2000
        images = np.concatenate([2 * k + sign * c for k in (-1, 0, 1) for sign in (-1, 1)])
        kernel = np.exp(-(((t[:, None] - images) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))
        mass = np.abs(kernel @ np.tile(h - c, 6) / 300).mean()
        assert mass == pytest.approx(sigma, abs=2e-3)

    def test_kernel_error_is_its_integral_written_out(self):
        c, h = CONFIDENCE[:200], CORRECT[:200]
        width = c.std() * 400**-0.2
        z = np.linspace(0, 1, 2001)
        kernels = sum(np.clip(1 - ((z[:, None] - at) / width) ** 2, 0, None) ** 3 for at in (c, -c, 2 - c)) * 35 / 32 / width
        gap = np.abs(z * kernels.sum(1) - kernels @ h) / 200
        assert kernel_calibration_error(c, h) == pytest.approx(np.trapezoid(gap, z))

    def test_calibrated_outcomes_have_little_error_and_overconfident_ones_theirs(self):
        c = DRAW.uniform(0.2, 1, 20_000)
        calibrated = (DRAW.uniform(size=20_000) < c).astype(float)
        overconfident = (DRAW.uniform(size=20_000) < c - 0.15).astype(float)
        for error in (smooth_calibration_error, kernel_calibration_error, kolmogorov_smirnov_error):
            assert error(c, calibrated) < 0.02
            assert error(c, overconfident) == pytest.approx(0.15, abs=0.02)


class TestProperScores:
    @pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
    @pytest.mark.parametrize("bins", [1, 4, 15])
    def test_the_parts_of_brier_add_up(self, bins, binning):
        parts = brier_decomposition(PROBABILITIES, LABELS, bins, binning)
        whole = parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins
        assert whole == pytest.approx(brier_score(PROBABILITIES, LABELS))

    def test_one_score_a_bin_needs_nothing_within(self):
        """Half say 0.7 and three of four are right, half say 0.3 and one of four is: Murphy's terms by hand, for two classes."""
        p = np.repeat([[0.3, 0.7], [0.7, 0.3]], 4, axis=0)
        y = [1, 1, 1, 0, 0, 0, 0, 1]
        assert brier_decomposition(p, y, 10) == pytest.approx((2 * 0.05**2, 2 * 0.25**2, 0.5, 0))

    def test_twice_as_sure_loses_reliability_and_leaves_uncertainty(self):
        honest, boastful = brier_decomposition(softmax(TRUE), LABELS), brier_decomposition(PROBABILITIES, LABELS)
        assert boastful.reliability > 5 * honest.reliability
        assert boastful.uncertainty == honest.uncertainty

    def test_no_probability_costs_infinity(self):
        assert negative_log_likelihood([[1.0, 0.0]], [1]) == pytest.approx(-math.log(1e-12))


class TestSelection:
    def test_it_is_scikit_learn_s_area(self):
        rounded = CONFIDENCE.round(1)
        for scores in (CONFIDENCE, rounded):
            assert confidence_auroc(scores, CORRECT) == pytest.approx(roc_auc_score(CORRECT, scores))

    def test_perfect_order_and_reversed_order(self):
        confidence, correct = np.linspace(1, 0.1, 10), np.repeat([1, 0], 5)
        assert confidence_auroc(confidence, correct) == 1
        assert confidence_auroc(1 - confidence, correct) == 0
        assert math.isnan(confidence_auroc(confidence, np.ones(10)))

    def test_risk_at_full_coverage_is_the_share_of_errors(self):
        coverage, risk = risk_coverage(CONFIDENCE, CORRECT)
        assert coverage[-1] == 1
        assert risk[-1] == pytest.approx(1 - CORRECT.mean())
        assert area_under_risk_coverage(CONFIDENCE, CORRECT) < risk[-1]

    def test_the_order_of_ties_does_not_matter(self):
        rounded, shuffle = CONFIDENCE.round(1), DRAW.permutation(2000)
        assert area_under_risk_coverage(rounded, CORRECT) == pytest.approx(
            area_under_risk_coverage(rounded[shuffle], CORRECT[shuffle])
        )

    def test_equal_confidence_has_the_same_risk_everywhere(self):
        _, risk = risk_coverage(np.ones(8), [1, 0, 0, 1, 0, 0, 0, 0])
        np.testing.assert_allclose(risk, 0.75)


class TestAll:
    @pytest.mark.parametrize("error", EVERY_ERROR)
    def test_sure_and_right_is_no_error(self, error):
        assert error(np.ones(50), np.ones(50)) == pytest.approx(0, abs=1e-12)

    @pytest.mark.parametrize("error", [*EVERY_ERROR, kernel_calibration_error])
    def test_sure_and_wrong_is_the_largest(self, error):
        expected = 0 if error is under_confidence_error else 1
        assert error(np.ones(50), np.zeros(50)) == pytest.approx(expected, abs=1e-3)

    @pytest.mark.parametrize("error", [*EVERY_ERROR, kernel_calibration_error, confidence_auroc])
    def test_the_order_of_items_does_not_matter(self, error):
        shuffle = DRAW.permutation(2000)
        assert error(CONFIDENCE[shuffle], CORRECT[shuffle]) == pytest.approx(error(CONFIDENCE, CORRECT))

    def test_tensors_are_as_good_as_arrays(self):
        of_arrays = summary(PROBABILITIES, LABELS)
        of_tensors = summary(torch.tensor(PROBABILITIES, requires_grad=True), torch.tensor(LABELS))
        assert of_tensors == of_arrays
        assert of_arrays["over_confidence"] + of_arrays["under_confidence"] == pytest.approx(of_arrays["ece"])

    def test_a_softmax_of_64_bits_keeps_apart_what_32_bits_tie(self):
        logits = torch.tensor([[18.0, 0.0], [20.0, 0.0]])
        assert torch.softmax(logits, 1)[:, 0].unique().numel() == 1
        first, second = softmax(logits)[:, 0]
        assert first < second < 1
