"""Calibrators against scikit-learn, against the maps that made the data, and by hand."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
import torch
from scipy.special import expit
from scipy.stats import dirichlet
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from core.measures.calibration import negative_log_likelihood, softmax
from core.measures.calibrators import (
    CALIBRATORS,
    BetaCalibration,
    DirichletCalibration,
    HistogramBinning,
    IsotonicCalibration,
    MatrixScaling,
    PlattScaling,
    TemperatureScaling,
    Uncalibrated,
    VectorScaling,
    cross_validated,
)


def draw(logits: np.ndarray, seed: int = 7) -> np.ndarray:
    """Labels of the classes that these logits say."""
    below = np.cumsum(softmax(logits), axis=1) < np.random.default_rng(seed).uniform(size=(len(logits), 1))
    return below.sum(axis=1)


TRUE = np.random.default_rng(1).normal(0, 1.5, (4000, 4))
LABELS = draw(TRUE)
BIAS = np.array([1.0, 0.0, -0.5, -0.5])
LOGITS = 2.5 * TRUE


def distance(calibrator, truth=TRUE, logits=LOGITS):
    """Mean distance of the probabilities from the true ones."""
    return np.abs(calibrator.predict(logits) - softmax(truth)).mean()


@pytest.mark.parametrize("kind", CALIBRATORS.values(), ids=list(CALIBRATORS))
class TestAll:
    def test_rows_are_probabilities_even_of_extreme_logits(self, kind):
        calibrator = kind().fit(LOGITS, LABELS)
        for logits in (LOGITS[:100], 1e4 * LOGITS[:100], np.zeros((3, 4))):
            p = calibrator.predict(logits)
            assert p.shape == logits.shape
            assert (p >= 0).all()
            np.testing.assert_allclose(p.sum(1), 1)

    def test_what_is_too_sure_becomes_truer(self, kind):
        if kind is not Uncalibrated:
            assert distance(kind().fit(LOGITS, LABELS)) < 0.4 * distance(Uncalibrated())

    def test_the_level_of_logits_does_not_matter_and_tensors_serve(self, kind):
        shifted = torch.tensor(LOGITS[:500] + np.arange(500)[:, None])
        first = kind().fit(LOGITS[:500], LABELS[:500]).predict(LOGITS[:500])
        second = kind().fit(shifted, torch.tensor(LABELS[:500])).predict(shifted)
        np.testing.assert_allclose(second, first, atol=1e-4)

    def test_a_class_that_was_never_seen_is_no_obstacle(self, kind):
        seen = LABELS != 3
        p = kind().fit(LOGITS[seen], LABELS[seen]).predict(LOGITS)
        assert np.isfinite(p).all()

    def test_what_cannot_be_learned_from_is_refused(self, kind):
        with pytest.raises(ValueError, match="0 labels"):
            kind().fit(np.empty((0, 3)), [])
        with pytest.raises(ValueError, match="2 rows of logits and 3 labels"):
            kind().fit(np.zeros((2, 3)), [0, 1, 2])
        with pytest.raises(ValueError, match=r"\(2, 1\)"):
            kind().fit(np.zeros((2, 1)), [0, 0])


class TestTemperature:
    def test_it_finds_the_temperature_that_was_applied(self):
        """Its standard error on 4,000 items is below 0.05."""
        assert TemperatureScaling().fit(LOGITS, LABELS).temperature_ == pytest.approx(2.5, abs=0.15)

    def test_it_scales_with_the_logits(self):
        one, three = (TemperatureScaling().fit(scale * LOGITS, LABELS).temperature_ for scale in (1, 3))
        assert three == pytest.approx(3 * one)

    def test_no_other_temperature_is_likelier_and_no_prediction_changes(self):
        calibrator = TemperatureScaling().fit(LOGITS, LABELS)
        best = negative_log_likelihood(calibrator.predict(LOGITS), LABELS)
        for factor in (0.5, 0.99, 1.01, 2):
            assert negative_log_likelihood(softmax(LOGITS, factor * calibrator.temperature_), LABELS) > best
        assert (calibrator.predict(LOGITS).argmax(1) == LOGITS.argmax(1)).all()

    def test_it_ends_where_nothing_is_wrong_or_nothing_is_known(self):
        assert TemperatureScaling().fit([[2.0, 0.0]], [0]).temperature_ == pytest.approx(1e-3)
        assert TemperatureScaling().fit([[2.0, 0.0]], [1]).temperature_ == pytest.approx(1e3)

    def test_it_is_scikit_learn_s(self):
        inputs, labels = make_classification(600, n_informative=5, n_classes=3, random_state=0)
        model = LogisticRegression(C=100).fit(inputs[:100], labels[:100])
        theirs = CalibratedClassifierCV(FrozenEstimator(model), method="temperature").fit(inputs[100:], labels[100:])
        logits = model.decision_function(inputs[100:])
        ours = TemperatureScaling().fit(logits, labels[100:]).predict(logits)
        np.testing.assert_allclose(ours, theirs.predict_proba(inputs[100:]), atol=2e-4)


class TestAffineMaps:
    def test_vector_scaling_undoes_a_scale_and_a_bias_of_each_class(self):
        logits = (TRUE - TRUE.mean(1, keepdims=True) - BIAS) / np.array([0.5, 1, 1.5, 2])
        calibrator = VectorScaling().fit(logits, LABELS)
        assert distance(calibrator, logits=logits) < 0.02
        assert np.count_nonzero(calibrator.weight_) == 4

    def test_matrix_scaling_undoes_a_mixing_of_the_classes(self):
        mixing = np.eye(4) + 0.4 * np.roll(np.eye(4), 1, axis=1)
        logits = 2 * TRUE @ mixing.T + BIAS
        mixed, temperature = MatrixScaling().fit(logits, LABELS), TemperatureScaling().fit(logits, LABELS)
        assert distance(mixed, logits=logits) < 0.02
        assert distance(temperature, logits=logits) > 0.05

    def test_dirichlet_is_bayes_rule_where_predictions_are_dirichlet_distributed(self):
        """p given class k is Dirichlet(a_k), so the posterior is known."""
        concentrations = np.array([[6, 2, 1.0], [1, 4, 2], [1, 1, 3]])
        source = np.random.default_rng(0)
        labels = source.integers(0, 3, 6000)
        p = np.array([source.dirichlet(concentrations[label]) for label in labels]).clip(1e-9)
        p /= p.sum(1, keepdims=True)
        likelihood = np.stack([dirichlet.pdf(p.T, a) for a in concentrations], axis=1)
        posterior = likelihood / likelihood.sum(1, keepdims=True)
        calibrator = DirichletCalibration(1e-4).fit(np.log(p), labels)
        assert np.abs(calibrator.predict(np.log(p)) - posterior).mean() < 0.01

    def test_a_heavy_penalty_leaves_scales_alone(self):
        calibrator = MatrixScaling(1e6).fit(LOGITS, LABELS)
        off_diagonal = calibrator.weight_[~np.eye(4, dtype=bool)]
        assert max(np.abs(off_diagonal).max(), np.abs(calibrator.bias_).max()) < 1e-3
        np.testing.assert_allclose(calibrator.weight_.diagonal(), 0.4, atol=0.04)

    def test_the_fitted_map_is_where_the_slope_vanishes(self):
        """Any small change of any entry raises the penalised loss."""
        calibrator = MatrixScaling(0.1).fit(LOGITS, LABELS)

        def loss():
            off_diagonal = calibrator.weight_[~np.eye(4, dtype=bool)]
            penalty = 0.1 * ((off_diagonal**2).mean() + (calibrator.bias_**2).mean())
            return negative_log_likelihood(calibrator.predict(LOGITS), LABELS) + penalty

        best = loss()
        for entry in np.ndindex(4, 4):
            for change in (-0.02, 0.02):
                calibrator.weight_[entry] += change
                assert loss() > best
                calibrator.weight_[entry] -= change


class TestOneVersusRest:
    def test_platt_is_scikit_learn_s_sigmoid_on_two_classes(self):
        inputs, labels = make_classification(500, random_state=2)
        model = LogisticRegression(C=100).fit(inputs[:60], labels[:60])
        theirs = CalibratedClassifierCV(FrozenEstimator(model), method="sigmoid").fit(inputs[60:], labels[60:])
        odds = model.decision_function(inputs[60:])
        logits = np.column_stack([np.zeros_like(odds), odds])
        ours = PlattScaling().fit(logits, labels[60:]).predict(logits)
        np.testing.assert_allclose(ours, theirs.predict_proba(inputs[60:]), atol=2e-4)

    def test_beta_leaves_alone_what_is_calibrated(self):
        p = np.random.default_rng(0).uniform(0.01, 0.99, 20_000)
        odds = np.log(p / (1 - p))
        curve = (
            BetaCalibration().fit(np.column_stack([np.zeros_like(odds), odds]), draw(np.column_stack([0 * odds, odds]))).curves_[1]
        )
        assert (curve.a, curve.b) == pytest.approx((1, 1), abs=0.1)
        assert curve.c == pytest.approx(0, abs=0.1)

    def test_beta_undoes_a_curve_of_its_own_shape(self):
        """The truth is a sigmoid of 0.5 log p - 2 log(1 - p) + 0.3."""
        p = np.random.default_rng(0).uniform(0.01, 0.99, 20_000)
        truth = 0.5 * np.log(p) - 2 * np.log(1 - p) + 0.3
        labels = draw(np.column_stack([0 * truth, truth]))
        curve = BetaCalibration().fit(np.log(np.column_stack([1 - p, p])), labels).curves_[1]
        assert [curve.a, curve.b, curve.c] == pytest.approx([0.5, 2, 0.3], abs=0.1)

    def test_beta_never_falls(self):
        """The truth falls below one half: the term that would fall is left out."""
        odds = np.linspace(-6, 6, 4000)
        truth = np.abs(odds)
        logits = np.column_stack([np.zeros_like(odds), odds])
        curve = BetaCalibration().fit(logits, draw(np.column_stack([0 * truth, truth]))).curves_[1]
        assert (np.diff(curve(odds)) >= 0).all()

    def test_isotonic_pools_what_falls(self):
        """Outcomes 0, 1, 0, 1 by rising probability: the middle two become one half."""
        odds = np.array([-2.0, -1, 1, 2])
        curve = IsotonicCalibration().fit(np.column_stack([np.zeros(4), odds]), [0, 1, 0, 1]).curves_[1]
        np.testing.assert_allclose(curve(odds), [0, 0.5, 0.5, 1])
        np.testing.assert_allclose(curve(np.array([-9.0, 9.0])), [0, 1])

    def test_histogram_of_equal_width_by_hand(self):
        """Probabilities 0.1 and 0.2 in the first half, one of two right; 0.9 in the second, right."""
        p = np.array([0.1, 0.2, 0.9])
        logits = np.log(np.column_stack([1 - p, p]))
        calibrator = HistogramBinning(2, "equal-width").fit(logits, [0, 1, 1])
        np.testing.assert_allclose(calibrator.predict(logits)[:, 1], [0.5, 0.5, 1])

    def test_histogram_of_equal_mass_has_as_many_items_a_bin(self):
        calibrator = HistogramBinning(10).fit(LOGITS, LABELS)
        levels, counts = np.unique(calibrator.curves_[0](LOGITS[:, 0] - np.log(np.exp(LOGITS[:, 1:]).sum(1))), return_counts=True)
        assert len(levels) == 10
        assert (counts == 400).all()

    def test_an_empty_bin_says_its_middle(self):
        calibrator = HistogramBinning(4, "equal-width").fit(np.log([[0.1, 0.9]]), [1])
        np.testing.assert_allclose(calibrator.curves_[1](np.array([-3.0, -0.5, 0.5, 3.0])), [0.125, 0.375, 0.625, 1])

    @pytest.mark.parametrize("kind", [PlattScaling, IsotonicCalibration, BetaCalibration])
    def test_curves_rise_with_the_probability(self, kind):
        odds = np.linspace(-12, 12, 500)
        for curve in kind().fit(LOGITS, LABELS).curves_:
            levels = curve(odds)
            assert (np.diff(levels) >= 0).all()
            assert levels[0] < expit(-2) < expit(2) < levels[-1]


def by_formula(kind: str, parameters: dict, logits: np.ndarray) -> np.ndarray:
    """What a person computes who has the exported numbers and their formula, and nothing of ours."""
    z = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    q = np.exp(z)
    centred = logits - logits.mean(1, keepdims=True)
    if kind in ("uncalibrated", "temperature"):
        u = np.exp(logits / parameters.get("temperature", 1))
    elif kind == "vector":
        u = np.exp(np.array(parameters["weight"]) * centred + parameters["bias"])
    elif kind in ("matrix", "Dirichlet"):
        u = np.exp((centred if kind == "matrix" else z) @ np.array(parameters["weight"]).T + parameters["bias"])
    else:
        u = np.column_stack([of_class(kind, curve, q[:, k]) for k, curve in enumerate(parameters["curves"])])
    return u / u.sum(1, keepdims=True)


def of_class(kind: str, curve: dict, q: np.ndarray) -> np.ndarray:
    if kind == "isotonic":
        return np.interp(q, curve["x"], curve["y"])
    if kind == "histogram":
        return np.array(curve["levels"])[(np.array(curve["edges"]) < q[:, None]).sum(1)]
    if kind == "Platt":
        return expit(curve["slope"] * np.log(q / (1 - q)) + curve["intercept"])
    return expit(curve["a"] * np.log(q) - curve["b"] * np.log(1 - q) + curve["c"])


@pytest.mark.parametrize("kind", CALIBRATORS)
def test_the_numbers_and_the_formula_are_all_that_a_calibrator_is(kind):
    calibrator = CALIBRATORS[kind]().fit(LOGITS[:1000], LABELS[:1000])
    parameters = json.loads(json.dumps(calibrator.parameters()))
    new = LOGITS[1000:1500]
    np.testing.assert_allclose(by_formula(kind, parameters, new), calibrator.predict(new), atol=1e-6)
    assert calibrator.formula.startswith("p")


class TestChoice:
    def test_cross_validation_takes_the_penalty_that_generalises(self):
        """Of 80 items nothing can be learned about 12 off-diagonal entries that are truly zero."""
        candidates = [MatrixScaling(penalty) for penalty in (1e-6, 100.0)]
        chosen = cross_validated(candidates, LOGITS[:80], LABELS[:80])
        assert chosen.penalty == 100
        assert distance(chosen) < distance(MatrixScaling(1e-6).fit(LOGITS[:80], LABELS[:80]))

    def test_it_is_fitted_on_everything(self):
        chosen = cross_validated([TemperatureScaling()], LOGITS, LABELS)
        assert chosen.temperature_ == TemperatureScaling().fit(LOGITS, LABELS).temperature_


def test_no_calibrator_warns():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in CALIBRATORS.values():
            kind().fit(LOGITS, LABELS).predict(LOGITS)
