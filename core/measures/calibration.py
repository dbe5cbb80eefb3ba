"""How far confidence is from accuracy: calibration errors by their estimators, proper scores, selective prediction.

Two forms of what a classifier said run through this file, as arrays or tensors:

    confidence, correct     (n,) the probability of the predicted class in [0, 1], and whether it was right; see `top_label`
    probabilities, labels   (n, classes) rows that sum to one, and (n,) integers

    probabilities = softmax(logits)
    confidence, correct = top_label(probabilities, labels)
    expected_calibration_error(confidence, correct, bins=15, binning="equal-mass")

The functions of confidence and correct also take one class's probability and whether an item is of that class. All computing is in
64 bits, as a softmax in 32 bits ties thousands of confidences at exactly 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from core.measures.statistics import wilson_interval

Binning = Literal["equal-width", "equal-mass"]


def softmax(logits: Any, temperature: float = 1.0) -> np.ndarray:
    """Probabilities (n, classes) of logits (n, classes), divided by a temperature first.

    >>> softmax([[0.0, 0.0], [0.0, np.log(3.0)]])
    array([[0.5 , 0.5 ],
           [0.25, 0.75]])
    """
    from scipy import special

    return special.softmax(as_array(logits) / temperature, axis=-1)


def top_label(probabilities: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Confidence (n,) of the predicted class and whether it is the label's (n,), as 0.0 and 1.0.

    >>> top_label([[0.2, 0.8], [0.6, 0.4]], [1, 1])
    (array([0.8, 0.6]), array([1., 0.]))
    """
    p = as_array(probabilities)
    return p.max(axis=1), (p.argmax(axis=1) == as_array(labels, int)).astype(float)


def as_array(values: Any, dtype: type = float) -> np.ndarray:
    """Arrays, lists, or tensors of any device as a 64-bit array."""
    return np.asarray(values.detach().cpu().to(dtype) if hasattr(values, "detach") else values, dtype=dtype)


# --- bins -------------------------------------------------------------------------------------------------------------


def bin_index(scores: Any, bins: int, binning: Binning = "equal-width") -> np.ndarray:
    """The bin of each score, from 0 to bins - 1.

    Equal width: bin b holds the scores in (b / bins, (b + 1) / bins], the first one 0 as well. Equal mass: the score of rank r
    of n goes to bin floor(r bins / n), equal scores in their order, so that bins differ by one score at most.

    >>> bin_index([0.0, 0.2, 0.21, 1.0], 5)
    array([0, 0, 1, 4])
    >>> bin_index([0.9, 0.1, 0.95, 0.99], 2, "equal-mass")
    array([0, 0, 1, 1])

    Raises:
        ValueError: no bins, or a binning that there is not.
    """
    c = as_array(scores)
    if bins < 1:
        raise ValueError(f"There are {bins} bins; at least one is needed.")
    if binning == "equal-width":
        return np.clip(np.ceil(c * bins).astype(int) - 1, 0, bins - 1)
    if binning == "equal-mass":
        index = np.empty(len(c), dtype=int)
        index[np.argsort(c, kind="stable")] = np.arange(len(c)) * bins // max(len(c), 1)
        return index
    raise ValueError(f"The binning is {binning!r}; there are equal-width and equal-mass.")


@dataclass(frozen=True)
class ReliabilityBins:
    """What a reliability diagram shows, one entry a bin; NaN where a bin is empty.

    Attributes:
        left, right: ends of the bin; of equal mass, its lowest and highest confidence.
        count: how many confidences it holds.
        confidence, accuracy: their means.
        low, high: Wilson's interval of the accuracy; 0 and 1 where the bin is empty.
    """

    left: np.ndarray
    right: np.ndarray
    count: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    low: np.ndarray
    high: np.ndarray


def reliability_bins(
    confidence: Any, correct: Any, bins: int = 15, binning: Binning = "equal-width", level: float = 0.95
) -> ReliabilityBins:
    """Count, mean confidence and accuracy of every bin, with the accuracy's interval at the given level.

    >>> diagram = reliability_bins([0.9, 0.8, 0.7, 0.3], [1, 1, 0, 0], bins=2)
    >>> diagram.count, diagram.confidence.round(3), diagram.accuracy.round(3), diagram.low.round(3)
    (array([1, 3]), array([0.3, 0.8]), array([0.   , 0.667]), array([0.   , 0.208]))
    """
    c = as_array(confidence)
    index = bin_index(c, bins, binning)
    count, mean, accuracy = _means(index, bins, c, as_array(correct))
    if binning == "equal-width":
        left, right = np.arange(bins) / bins, np.arange(1, bins + 1) / bins
    else:
        left, right = np.full(bins, np.nan), np.full(bins, np.nan)
        np.fmin.at(left, index, c)
        np.fmax.at(right, index, c)
    low, high = wilson_interval(count * np.nan_to_num(accuracy), count, level)
    return ReliabilityBins(left, right, count, mean, accuracy, low, high)


def _means(index: np.ndarray, bins: int, scores: np.ndarray, outcomes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, mean score and mean outcome of each bin, (bins,) each, NaN where it is empty."""
    count = np.bincount(index, minlength=bins)
    filled = np.where(count, count, np.nan)
    sums = (np.bincount(index, weights=values, minlength=bins) for values in (scores, outcomes))
    mean_score, mean_outcome = (total / filled for total in sums)
    return count, mean_score, mean_outcome


# --- binned errors ----------------------------------------------------------------------------------------------------


def expected_calibration_error(
    confidence: Any, correct: Any, bins: int = 15, binning: Binning = "equal-width", norm: float = 1
) -> float:
    """ECE: the gap between accuracy and confidence of a bin, mean over the bins by how many items they hold.

    Args:
        norm: 1 is ECE (Naeini et al. 2015; Guo et al. 2017), 2 the root of the mean squared gap, infinity the largest gap.

    >>> confidence, correct = [0.95, 0.85, 0.75, 0.65, 0.55, 0.92], [1, 1, 0, 1, 0, 1]
    >>> round(expected_calibration_error(confidence, correct, bins=5), 6)
    0.205
    >>> round(expected_calibration_error(confidence, correct, bins=3, binning="equal-mass"), 6)
    0.155
    """
    share, gap = _gaps(confidence, correct, bins, binning)
    if not len(gap):
        return math.nan
    if math.isinf(norm):
        return float(np.abs(gap).max())
    return float((share * np.abs(gap) ** norm).sum() ** (1 / norm))


def maximum_calibration_error(confidence: Any, correct: Any, bins: int = 15, binning: Binning = "equal-width") -> float:
    """MCE: the largest gap between accuracy and confidence of a bin that is not empty (Naeini et al. 2015).

    >>> round(maximum_calibration_error([0.95, 0.85, 0.75, 0.65, 0.55, 0.92], [1, 1, 0, 1, 0, 1], bins=5), 6)
    0.55
    """
    return expected_calibration_error(confidence, correct, bins, binning, norm=math.inf)


def over_confidence_error(confidence: Any, correct: Any, bins: int = 15, binning: Binning = "equal-width") -> float:
    """The part of ECE that comes from bins with more confidence than accuracy; with `under_confidence_error` it adds up to ECE.

    Thulasidasan et al. 2019 (equation 8) weigh each bin by its confidence on top of this.

    >>> round(over_confidence_error([0.9, 0.8, 0.6, 0.6], [1, 0, 1, 1], bins=10), 6)
    0.2
    """
    share, gap = _gaps(confidence, correct, bins, binning)
    return float((share * np.maximum(gap, 0)).sum())


def under_confidence_error(confidence: Any, correct: Any, bins: int = 15, binning: Binning = "equal-width") -> float:
    """The part of ECE that comes from bins with less confidence than accuracy.

    >>> round(under_confidence_error([0.9, 0.8, 0.6, 0.6], [1, 0, 1, 1], bins=10), 6)
    0.225
    """
    share, gap = _gaps(confidence, correct, bins, binning)
    return float((share * np.maximum(-gap, 0)).sum())


def classwise_calibration_error(probabilities: Any, labels: Any, bins: int = 15, binning: Binning = "equal-width") -> float:
    """Class-wise (static) ECE: that of each class's probability, mean over the classes (Nixon et al. 2019; Kull et al. 2019).

    >>> round(classwise_calibration_error([[0.2, 0.8], [0.6, 0.4]], [1, 1], bins=1), 6)
    0.4
    """
    p, y = as_array(probabilities), as_array(labels, int)
    return float(np.mean([expected_calibration_error(p[:, k], y == k, bins, binning) for k in range(p.shape[1])]))


def _gaps(confidence: Any, correct: Any, bins: int, binning: Binning) -> tuple[np.ndarray, np.ndarray]:
    """Share of the items, and confidence minus accuracy, of the bins that are not empty."""
    c = as_array(confidence)
    count, mean, accuracy = _means(bin_index(c, bins, binning), bins, c, as_array(correct))
    filled = count > 0
    return count[filled] / max(len(c), 1), (mean - accuracy)[filled]


# --- errors without bins ----------------------------------------------------------------------------------------------


def kolmogorov_smirnov_error(confidence: Any, correct: Any) -> float:
    """KS error: the largest gap between cumulated outcomes and cumulated confidence, by rising confidence (Gupta et al. 2021).

    >>> round(kolmogorov_smirnov_error([0.95, 0.85, 0.75, 0.65, 0.55, 0.92], [1, 1, 0, 1, 0, 1]), 6)
    0.158333
    """
    c, h = as_array(confidence), as_array(correct)
    order = np.argsort(c, kind="stable")
    return float(np.abs(np.cumsum((h - c)[order])).max() / len(c)) if len(c) else math.nan


def maximum_mean_calibration_error(confidence: Any, correct: Any, width: float = 0.4) -> float:
    """MMCE: the root of the mean of r_i r_j exp(-|c_i - c_j| / width) over all pairs, r = correct - confidence (Kumar et al. 2018).

    The Laplace kernel factors along the sorted confidences, so it takes n log n steps and no n x n matrix.

    >>> round(maximum_mean_calibration_error([0.95, 0.85, 0.75, 0.65, 0.55, 0.92], [1, 1, 0, 1, 0, 1]), 6)
    0.120913
    """
    c, h = as_array(confidence), as_array(correct)
    order = np.argsort(c, kind="stable")
    c, r = c[order], (h - c)[order]
    rising = r * np.exp((c - 1) / width)
    below = np.cumsum(rising) - rising  # of each item, the sum over those before it
    total = (r**2).sum() + 2 * (r * np.exp((1 - c) / width) * below).sum()
    return math.sqrt(max(float(total), 0.0)) / len(c) if len(c) else math.nan


def smooth_calibration_error(confidence: Any, correct: Any, cells: int = 4096) -> float:
    r"""smECE: the residuals smoothed by a Gaussian reflected at 0 and 1, integrated in absolute value (Blasiok and Nakkiran 2024).

    With r(t) the smoothed density of correct - confidence, smECE_sigma is the integral of |r| over [0, 1], and smECE the one
    width at which smECE_sigma = sigma. It is consistent: within constants of the distance to the nearest calibrated prediction.
    Reflection at both ends is heat flowing in an insulated bar, which a cosine transform solves exactly, on `cells` cells here.

    >>> round(smooth_calibration_error([0.9] * 10, [1] * 7 + [0] * 3), 6)
    0.2
    """
    from scipy.fft import dct, idct
    from scipy.optimize import brentq

    c, h = as_array(confidence), as_array(correct)
    if not len(c):
        return math.nan
    cell = np.clip((c * cells).astype(int), 0, cells - 1)
    waves = dct(np.bincount(cell, weights=h - c, minlength=cells) / len(c))
    decay = (math.pi * np.arange(cells)) ** 2 / 2

    def error(sigma: float) -> float:
        return float(np.abs(idct(waves * np.exp(-decay * sigma**2))).sum())

    return float(brentq(lambda sigma: error(sigma) - sigma, 0.0, 1.0)) if error(0.0) > 0 else 0.0


def kernel_calibration_error(confidence: Any, correct: Any, points: int = 2001) -> float:
    r"""KDECE: the integral of |z - pi(z)| p(z) with density p and accuracy pi estimated by kernels (Zhang et al. 2020).

    The kernel is triweight, mirrored at 0 and 1, of half width std(confidence) (2 n)^(-1/5) and at least 0.001; the trapezium rule
    on evenly spaced points, at least eight to a half width, leaves out where the density is zero.
    """
    c, h = as_array(confidence), as_array(correct)
    if not len(c):
        return math.nan
    width = max(float(c.std()) * (2 * len(c)) ** -0.2, 1e-3)
    points = max(points, math.ceil(8 / width) + 1)
    mirrored = np.concatenate([c, -c, 2 - c])
    near = (mirrored > -width) & (mirrored < 1 + width)
    z = np.linspace(0, 1, points)
    density, right = _triweight(z, mirrored[near], np.stack([np.ones(len(mirrored)), np.tile(h, 3)], axis=1)[near], width).T
    accuracy = np.divide(right, density, out=z.copy(), where=density > 0)
    return float(np.trapezoid(np.abs(z - accuracy) * density / len(c), z))


def _triweight(z: np.ndarray, at: np.ndarray, weights: np.ndarray, width: float) -> np.ndarray:
    """Sums over points `at` (m,) of triweight kernels times weights (m, columns), on the rising z: (len(z), columns).

    Kernels are narrow, so each piece of z looks only at the points that reach it.
    """
    order = np.argsort(at)
    at, weights = at[order], weights[order]
    pieces = []
    for piece in np.array_split(z, max(len(z) // 50, 1)):
        reach = slice(*np.searchsorted(at, [piece[0] - width, piece[-1] + width]))
        u = (piece[:, None] - at[reach]) / width
        pieces.append(35 / (32 * width) * np.clip(1 - u**2, 0, None) ** 3 @ weights[reach])
    return np.concatenate(pieces)


# --- proper scores ----------------------------------------------------------------------------------------------------


def negative_log_likelihood(probabilities: Any, labels: Any) -> float:
    """Mean of -log of the label's probability, in nats; probabilities below 1e-12 count as that.

    >>> round(negative_log_likelihood([[0.5, 0.5], [0.25, 0.75]], [0, 0]), 6)
    1.039721
    """
    p, y = as_array(probabilities), as_array(labels, int)
    return float(-np.log(np.maximum(p[np.arange(len(y)), y], 1e-12)).mean())


def brier_score(probabilities: Any, labels: Any) -> float:
    """Mean squared distance of the probabilities from the label's one-hot vector, summed over classes: 0 to 2 (Brier 1950).

    >>> round(brier_score([[0.2, 0.8], [0.6, 0.4]], [1, 1]), 6)
    0.4
    """
    p = as_array(probabilities)
    return float(((p - _one_hot(labels, p.shape[1])) ** 2).sum(axis=1).mean())


class BrierParts(NamedTuple):
    """The Brier score is reliability - resolution + uncertainty + within_bins."""

    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float


def brier_decomposition(probabilities: Any, labels: Any, bins: int = 15, binning: Binning = "equal-width") -> BrierParts:
    """Murphy's parts of the Brier score, summed over classes, each class binned by its own probability.

    Reliability is the squared gap of the bins, resolution how far their accuracies lie from the class's share, uncertainty what the
    shares alone leave. Murphy (1973) needs one score a bin; what scores do within bins is the last part (Stephenson et al. 2008),
    so that the sum is exact.

    >>> parts = brier_decomposition([[0.2, 0.8], [0.6, 0.4]], [1, 1], bins=2)
    >>> [round(part, 6) for part in parts], round(parts.reliability - parts.resolution + parts.uncertainty + parts.within_bins, 6)
    ([0.4, 0.0, 0.0, 0.0], 0.4)
    """
    p = as_array(probabilities)
    outcomes = _one_hot(labels, p.shape[1])
    parts = np.zeros(4)
    for score, outcome in zip(p.T, outcomes.T, strict=True):
        index = bin_index(score, bins, binning)
        count, mean, accuracy = _means(index, bins, score, outcome)
        share, base = count / len(score), outcome.mean()
        gap, lift = np.nan_to_num(mean - accuracy), np.nan_to_num(accuracy - base)
        deviation, surprise = score - mean[index], outcome - accuracy[index]  # from the means of their bin
        within = (deviation**2 - 2 * deviation * surprise).mean()
        parts += [(share * gap**2).sum(), (share * lift**2).sum(), base * (1 - base), within]
    return BrierParts(*map(float, parts))


# --- does confidence tell right from wrong? ---------------------------------------------------------------------------


def confidence_auroc(confidence: Any, correct: Any) -> float:
    """The chance that a right prediction has more confidence than a wrong one, ties counting half; NaN without both kinds.

    >>> confidence_auroc([0.9, 0.8, 0.7, 0.6], [1, 0, 1, 0])
    0.75
    """
    from scipy.stats import rankdata

    h = as_array(correct)
    right, wrong = h.sum(), len(h) - h.sum()
    if not right or not wrong:
        return math.nan
    return float((rankdata(as_array(confidence)) @ h - right * (right + 1) / 2) / (right * wrong))  # Mann and Whitney's U


def risk_coverage(confidence: Any, correct: Any) -> tuple[np.ndarray, np.ndarray]:
    """Coverage (n,) = 1/n, 2/n, ..., 1, and the share of errors (n,) among that many most confident predictions.

    Predictions of equal confidence count as if in random order: their errors are spread evenly over them.

    >>> coverage, risk = risk_coverage([0.9, 0.8, 0.8, 0.6], [1, 0, 1, 0])
    >>> coverage, risk.round(3)
    (array([0.25, 0.5 , 0.75, 1.  ]), array([0.   , 0.25 , 0.333, 0.5  ]))
    """
    c, h = as_array(confidence), as_array(correct)
    order = np.argsort(-c, kind="stable")
    errors = np.concatenate([[0.0], np.cumsum(1 - h[order])])
    ends = np.concatenate([[0], np.flatnonzero(np.diff(c[order])) + 1, [len(c)]])
    kept = np.arange(1, len(c) + 1)
    return kept / len(c), np.interp(kept, ends, errors[ends]) / kept


def area_under_risk_coverage(confidence: Any, correct: Any) -> float:
    """AURC: the mean risk over all coverages; lower is better, and accuracy alone bounds it (Geifman et al. 2019).

    >>> round(area_under_risk_coverage([0.9, 0.8, 0.8, 0.6], [1, 0, 1, 0]), 6)
    0.270833
    """
    _, risk = risk_coverage(confidence, correct)
    return float(risk.mean())


def summary(probabilities: Any, labels: Any, bins: int = 15) -> dict[str, float]:
    """The measures of this file under short names, as methods record them.

    >>> measures = summary([[0.2, 0.8], [0.6, 0.4]], [1, 1])
    >>> [f"{name} {value:.3g}" for name, value in measures.items()][:4]
    ['accuracy 0.5', 'confidence 0.7', 'ece 0.4', 'ece_equal_mass 0.4']
    """
    confidence, correct = top_label(probabilities, labels)
    return {
        "accuracy": float(correct.mean()),
        "confidence": float(confidence.mean()),
        "ece": expected_calibration_error(confidence, correct, bins),
        "ece_equal_mass": expected_calibration_error(confidence, correct, bins, "equal-mass"),
        "ece_smooth": smooth_calibration_error(confidence, correct),
        "ece_classwise": classwise_calibration_error(probabilities, labels, bins),
        "mce": maximum_calibration_error(confidence, correct, bins),
        "ks": kolmogorov_smirnov_error(confidence, correct),
        "over_confidence": over_confidence_error(confidence, correct, bins),
        "under_confidence": under_confidence_error(confidence, correct, bins),
        "nll": negative_log_likelihood(probabilities, labels),
        "brier": brier_score(probabilities, labels),
        "auroc": confidence_auroc(confidence, correct),
        "aurc": area_under_risk_coverage(confidence, correct),
    }


def _one_hot(labels: Any, classes: int) -> np.ndarray:
    return np.eye(classes)[as_array(labels, int)]
