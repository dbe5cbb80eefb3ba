"""Post-hoc calibrators: fitted on the logits of held-out items, they turn a classifier's logits into better probabilities.

    calibrator = TemperatureScaling().fit(validation_logits, validation_labels)
    probabilities = calibrator.predict(test_logits)

Every calibrator has `fit(logits, labels)`, which returns itself, and `predict(logits)`, which gives probabilities (n, classes):
rows sum to one. Logits are (n, classes) arrays or tensors of two classes or more; log-probabilities serve as well. Labels are (n,)
integers. What was learned ends in an underscore, as in scikit-learn.

Three kinds: one number for all (temperature; no prediction changes), an affine map of the logits (vector, matrix, Dirichlet), and
a binary calibrator for each class against the rest, whose outputs are divided by their sum (Platt, isotonic, histogram, beta).

A fitted calibrator is a few numbers: `parameters()` gives them for JSON, and `formula` says in one sentence how to apply them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import numpy as np

from core.measures.calibration import Binning, as_array, bin_index, negative_log_likelihood


class Calibrator:
    """What all calibrators share.

    Attributes:
        formula: how to get probabilities p from logits with `parameters()`, for a person who has nothing but these.
    """

    formula: str

    def fit(self, logits: Any, labels: Any) -> Self:
        """Learns from held-out items. Raises: ValueError where there are none, or logits and labels do not match."""
        z, y = _log_probabilities(logits), as_array(labels, int)
        if not len(y) or len(z) != len(y):
            raise ValueError(f"A calibrator needs items with labels; there are {len(z)} rows of logits and {len(y)} labels.")
        self._fit(z, y)
        return self

    def predict(self, logits: Any) -> np.ndarray:
        """Probabilities (n, classes)."""
        return self._predict(_log_probabilities(logits))

    def parameters(self) -> dict[str, Any]:
        """What was learned, as numbers and lists for JSON."""
        raise NotImplementedError

    def _fit(self, z: np.ndarray, y: np.ndarray) -> None:
        raise NotImplementedError

    def _predict(self, z: np.ndarray) -> np.ndarray:
        raise NotImplementedError


class Uncalibrated(Calibrator):
    """The softmax as it is: what the others are held against."""

    formula = "p = softmax(logits)"

    def parameters(self) -> dict[str, Any]:
        return {}

    def _fit(self, z: np.ndarray, y: np.ndarray) -> None:
        pass

    def _predict(self, z: np.ndarray) -> np.ndarray:
        return np.exp(z)


# --- one number -------------------------------------------------------------------------------------------------------


class TemperatureScaling(Calibrator):
    """softmax(logits / T) with the T of the least negative log-likelihood (Guo et al. 2017).

    The likelihood is concave in 1/T, so its slope has one root, found to rounding. Where even the coldest T gains (no held-out
    item is wrong), T stays at the end of [0.001, 1000].

    >>> logits = [[4.0, 0.0]] * 4
    >>> calibrator = TemperatureScaling().fit(logits, [0, 0, 0, 1])
    >>> round(calibrator.temperature_, 4), calibrator.predict(logits)[0].round(4)
    (3.641, array([0.75, 0.25]))
    """

    formula = "p = softmax(logits / temperature)"
    temperature_: float

    def parameters(self) -> dict[str, Any]:
        return {"temperature": self.temperature_}

    def _fit(self, z: np.ndarray, y: np.ndarray) -> None:
        from scipy.optimize import brentq
        from scipy.special import softmax

        def slope(log_temperature: float) -> float:
            """Of the mean negative log-likelihood in 1/T: it rises with 1/T."""
            scaled = softmax(z * np.exp(-log_temperature), axis=1)
            return float(((scaled * z).sum(axis=1) - z[np.arange(len(y)), y]).mean())

        coldest, hottest = np.log([1e-3, 1e3])
        if slope(coldest) <= 0:
            best = coldest
        elif slope(hottest) >= 0:
            best = hottest
        else:
            best = brentq(slope, coldest, hottest)
        self.temperature_ = float(np.exp(best))

    def _predict(self, z: np.ndarray) -> np.ndarray:
        from scipy.special import softmax

        return softmax(z / self.temperature_, axis=1)


# --- affine maps ------------------------------------------------------------------------------------------------------


class MatrixScaling(Calibrator):
    """softmax(W logits + b) with a full matrix, fitted from the identity (Guo et al. 2017).

    Logits enter with a mean of zero over the classes, as a softmax cannot tell their level. The mean negative log-likelihood is
    penalised, as Kull et al. 2019 found necessary, by `penalty` times the mean square of the entries of W off the diagonal plus
    that of b ("ODIR"); `cross_validated` chooses among penalties.

    Attributes:
        weight_: W (classes, classes). bias_: b (classes,).
    """

    formula = (
        "p = softmax(weight @ z + bias), z = logits minus their mean over the classes; weight[i][j] is from class j to class i"
    )
    weight_: np.ndarray
    bias_: np.ndarray

    def __init__(self, penalty: float = 0.01) -> None:
        self.penalty = penalty

    def parameters(self) -> dict[str, Any]:
        return {"weight": self.weight_.tolist(), "bias": self.bias_.tolist()}

    def _inputs(self, z: np.ndarray) -> np.ndarray:
        return z - z.mean(axis=1, keepdims=True)

    def _free(self, classes: int) -> np.ndarray:
        """Which entries of [W, b] are learned, (classes, classes + 1)."""
        return np.ones((classes, classes + 1), dtype=bool)

    def _penalised(self, classes: int) -> np.ndarray:
        """The weight of each squared entry of [W, b] in the loss."""
        off_diagonal = (1 - np.eye(classes)) / (classes * (classes - 1))
        return self.penalty * np.column_stack([off_diagonal, np.full(classes, 1 / classes)])

    def _fit(self, z: np.ndarray, y: np.ndarray) -> None:
        from scipy.optimize import minimize
        from scipy.special import log_softmax

        n, classes = z.shape
        inputs = np.column_stack([self._inputs(z), np.ones(n)])
        free, penalised = self._free(classes), self._penalised(classes)
        start = np.eye(classes, classes + 1)
        one_hot = np.eye(classes)[y]

        def loss(entries: np.ndarray) -> tuple[float, np.ndarray]:
            map_ = start.copy()
            map_[free] = entries
            log_p = log_softmax(inputs @ map_.T, axis=1)
            slope = (np.exp(log_p) - one_hot).T @ inputs / n + 2 * penalised * map_
            return float(-log_p[np.arange(n), y].mean() + (penalised * map_**2).sum()), slope[free]

        found = minimize(loss, start[free], jac=True, method="L-BFGS-B", options={"maxiter": 1000})
        start[free] = found.x
        self.weight_, self.bias_ = start[:, :-1], start[:, -1]

    def _predict(self, z: np.ndarray) -> np.ndarray:
        from scipy.special import softmax

        return softmax(self._inputs(z) @ self.weight_.T + self.bias_, axis=1)


class VectorScaling(MatrixScaling):
    """softmax(w * logits + b) with a scale and a bias a class: a diagonal matrix (Guo et al. 2017)."""

    formula = "p = softmax(weight * z + bias), z = logits minus their mean over the classes, class by class"

    def parameters(self) -> dict[str, Any]:
        return {"weight": np.diag(self.weight_).tolist(), "bias": self.bias_.tolist()}

    def __init__(self, penalty: float = 0.0) -> None:
        super().__init__(penalty)

    def _free(self, classes: int) -> np.ndarray:
        return np.eye(classes, classes + 1, dtype=bool) | (np.arange(classes + 1) == classes)


class DirichletCalibration(MatrixScaling):
    """softmax(W log p + b): what is right if each class's probability vectors were Dirichlet distributed (Kull et al. 2019)."""

    formula = "p = softmax(weight @ z + bias), z = log softmax(logits); weight[i][j] is from class j to class i"

    def _inputs(self, z: np.ndarray) -> np.ndarray:
        return z


# --- each class against the rest --------------------------------------------------------------------------------------


class OneVersusRest(Calibrator):
    """A curve from each class's probability to a better one; rows are divided by their sum (Zadrozny and Elkan 2002).

    Attributes:
        curves_: for each class, a function from log-odds (n,) to probabilities (n,), a dataclass of its numbers.
    """

    curves_: list[Any]

    def parameters(self) -> dict[str, Any]:
        return {"curves": [curve.parameters() for curve in self.curves_]}

    def _fit(self, z: np.ndarray, y: np.ndarray) -> None:
        self.curves_ = [self._curve(odds, (y == k).astype(float)) for k, odds in enumerate(_log_odds(z).T)]

    def _predict(self, z: np.ndarray) -> np.ndarray:
        p = np.stack([curve(odds) for curve, odds in zip(self.curves_, _log_odds(z).T, strict=True)], axis=1)
        total = p.sum(axis=1, keepdims=True)
        return np.divide(p, total, out=np.full_like(p, 1 / p.shape[1]), where=total > 0)

    def _curve(self, odds: np.ndarray, outcome: np.ndarray) -> Any:
        raise NotImplementedError


def _logistic(inputs: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients and intercept of a logistic regression of targets in [0, 1] on inputs (n, columns), without a penalty."""
    from sklearn.linear_model import LogisticRegression

    n, columns = inputs.shape
    if not columns or target.min() == target.max():  # nothing to tell apart
        share = np.clip(target.mean(), 1e-12, 1 - 1e-12)
        return np.zeros(columns), float(np.log(share / (1 - share)))
    weight = np.concatenate([target, 1 - target])  # each item once as 1, once as 0, by its target
    used = weight > 0
    model = LogisticRegression(C=np.inf, max_iter=1000)
    model.fit(np.tile(inputs, (2, 1))[used], np.repeat([1, 0], n)[used], weight[used])
    return model.coef_[0], float(model.intercept_[0])


@dataclass(frozen=True)
class _Sigmoid:
    slope: float
    intercept: float

    def __call__(self, odds: np.ndarray) -> np.ndarray:
        from scipy.special import expit

        return expit(self.slope * odds + self.intercept)

    def parameters(self) -> dict[str, Any]:
        return {"slope": self.slope, "intercept": self.intercept}


class PlattScaling(OneVersusRest):
    """A sigmoid of each class's log-odds, its targets drawn in from 0 and 1 by the rule of succession (Platt 1999)."""

    formula = (
        "p[k] is proportional to 1 / (1 + exp(-(slope * log(q / (1 - q)) + intercept))) with the slope and intercept of class k "
        "and q = softmax(logits)[k]; p is divided by its sum over the classes"
    )

    def _curve(self, odds: np.ndarray, outcome: np.ndarray) -> _Sigmoid:
        positives = outcome.sum()
        negatives = len(outcome) - positives
        target = np.where(outcome == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        coefficients, intercept = _logistic(odds[:, None], target)
        return _Sigmoid(float(coefficients[0]), intercept)


@dataclass(frozen=True)
class _Beta:
    a: float
    b: float
    c: float

    def __call__(self, odds: np.ndarray) -> np.ndarray:
        from scipy.special import expit

        return expit(_both_logarithms(odds) @ np.array([self.a, self.b]) + self.c)

    def parameters(self) -> dict[str, Any]:
        return {"a": self.a, "b": self.b, "c": self.c}


def _both_logarithms(odds: np.ndarray) -> np.ndarray:
    """log q and -log(1 - q) of log-odds, (n, 2)."""
    return np.stack([-np.logaddexp(0, -odds), np.logaddexp(0, odds)], axis=1)


class BetaCalibration(OneVersusRest):
    """A sigmoid of a log p - b log(1 - p) + c with a, b >= 0, so that the curve never falls (Kull et al. 2017).

    A term whose coefficient comes out negative is left out, and the rest fitted again, as the paper does.
    """

    formula = (
        "p[k] is proportional to 1 / (1 + exp(-(a log(q) - b log(1 - q) + c))) with the a, b, c of class k and "
        "q = softmax(logits)[k]; p is divided by its sum over the classes"
    )

    def _curve(self, odds: np.ndarray, outcome: np.ndarray) -> _Beta:
        inputs, used = _both_logarithms(odds), [0, 1]
        while True:
            found, intercept = _logistic(inputs[:, used], outcome)
            falling = [column for column, coefficient in zip(used, found, strict=True) if coefficient < 0]
            if not falling:
                a, b = (float(found[used.index(column)]) if column in used else 0.0 for column in (0, 1))
                return _Beta(a, b, intercept)
            used = [column for column in used if column not in falling[:1]]


@dataclass(frozen=True)
class _Polyline:
    x: np.ndarray
    y: np.ndarray

    def __call__(self, odds: np.ndarray) -> np.ndarray:
        from scipy.special import expit

        return np.interp(expit(odds), self.x, self.y)

    def parameters(self) -> dict[str, Any]:
        return {"x": self.x.tolist(), "y": self.y.tolist()}


class IsotonicCalibration(OneVersusRest):
    """The rising step curve of least squared error (Zadrozny and Elkan 2002), by scikit-learn; straight between its steps."""

    formula = (
        "p[k] is proportional to the straight line between the points (x, y) of class k at q = softmax(logits)[k], flat beyond "
        "its ends; p is divided by its sum over the classes"
    )

    def _curve(self, odds: np.ndarray, outcome: np.ndarray) -> _Polyline:
        from scipy.special import expit
        from sklearn.isotonic import IsotonicRegression

        fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(expit(odds), outcome)
        return _Polyline(fitted.X_thresholds_, fitted.y_thresholds_)


@dataclass(frozen=True)
class _Steps:
    edges: np.ndarray
    levels: np.ndarray

    def __call__(self, odds: np.ndarray) -> np.ndarray:
        from scipy.special import expit

        return self.levels[np.searchsorted(self.edges, expit(odds))]

    def parameters(self) -> dict[str, Any]:
        return {"edges": self.edges.tolist(), "levels": self.levels.tolist()}


class HistogramBinning(OneVersusRest):
    """The share of outcomes among the held-out items of a bin (Zadrozny and Elkan 2001); an empty bin says its middle.

    Args:
        binning: equal mass by default, where the bins' edges lie midway between the neighbouring probabilities.
    """

    formula = (
        "p[k] is proportional to levels[i], where i counts the edges of class k that are below q = softmax(logits)[k]; "
        "p is divided by its sum over the classes"
    )

    def __init__(self, bins: int = 15, binning: Binning = "equal-mass") -> None:
        self.bins, self.binning = bins, binning

    def _curve(self, odds: np.ndarray, outcome: np.ndarray) -> _Steps:
        from scipy.special import expit

        score = expit(odds)
        edges = np.arange(1, self.bins) / self.bins
        if self.binning == "equal-mass":
            sorted_scores = np.sort(score)
            first = np.flatnonzero(np.diff(bin_index(sorted_scores, self.bins, self.binning))) + 1
            edges = (sorted_scores[first - 1] + sorted_scores[first]) / 2
        index = np.searchsorted(edges, score)  # bins (low, high]
        count = np.bincount(index, minlength=len(edges) + 1)
        middle = np.convolve(np.concatenate([[0.0], edges, [1.0]]), [0.5, 0.5], "valid")
        right = np.bincount(index, weights=outcome, minlength=len(edges) + 1)
        return _Steps(edges, np.divide(right, count, out=middle, where=count > 0))


CALIBRATORS: dict[str, type[Calibrator]] = {
    "uncalibrated": Uncalibrated,
    "temperature": TemperatureScaling,
    "vector": VectorScaling,
    "matrix": MatrixScaling,
    "Dirichlet": DirichletCalibration,
    "Platt": PlattScaling,
    "isotonic": IsotonicCalibration,
    "histogram": HistogramBinning,
    "beta": BetaCalibration,
}
AnyCalibrator = TypeVar("AnyCalibrator", bound=Calibrator)


def cross_validated(
    candidates: Sequence[AnyCalibrator], logits: Any, labels: Any, folds: int = 5, random_state: int = 0
) -> AnyCalibrator:
    """The candidate of the least negative log-likelihood on folds it was not fitted on, fitted on all items.

    Args:
        candidates: unfitted, e.g. [DirichletCalibration(10.0**power) for power in range(-4, 3)].
    """
    z, y = _log_probabilities(logits), as_array(labels, int)
    fold = np.random.default_rng(random_state).permutation(len(y)) % folds

    def loss(candidate: AnyCalibrator) -> float:
        losses = np.empty(folds)
        for one in range(folds):
            candidate.fit(z[fold != one], y[fold != one])
            losses[one] = negative_log_likelihood(candidate.predict(z[fold == one]), y[fold == one])
        return float(losses.mean())

    return min(candidates, key=loss).fit(z, y)


def _log_probabilities(logits: Any) -> np.ndarray:
    from scipy.special import log_softmax

    z = as_array(logits)
    if z.ndim != 2 or z.shape[1] < 2:
        raise ValueError(f"Logits have the shape {z.shape}; a calibrator needs (n, classes) with two classes or more.")
    return log_softmax(z, axis=1)


def _log_odds(z: np.ndarray) -> np.ndarray:
    """log p - log(1 - p) of log-probabilities (n, classes), with 1 - p summed up from the other classes, never rounded."""
    below = np.logaddexp.accumulate(z, axis=1)[:, :-1]
    above = np.logaddexp.accumulate(z[:, ::-1], axis=1)[:, ::-1][:, 1:]
    nothing = np.full((len(z), 1), -np.inf)
    return z - np.logaddexp(np.hstack([nothing, below]), np.hstack([above, nothing]))
