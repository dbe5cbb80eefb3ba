"""Every measure of calibration with its estimator's name and a bootstrap interval, computed together.

    before = resampled(softmax(logits), labels)
    before.value["ece"], before.interval("ece"), before.by_chance["ece"]
    after.interval("ece", minus=before)

Items are drawn with replacement, the same items for the same number of items and `random_state`, so that two sets of predictions
of the same items are compared pair by pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from core.measures.calibration import (
    area_under_risk_coverage,
    as_array,
    bin_index,
    confidence_auroc,
    expected_calibration_error,
    kernel_calibration_error,
    kolmogorov_smirnov_error,
    smooth_calibration_error,
    top_label,
)

BINS = (15, 10, 20, 50)
KERNEL_POINTS = 501
SMOOTH_CELLS = 1024

OfTopLabel = Callable[[np.ndarray, np.ndarray], float]


@dataclass(frozen=True)
class Measure:
    """What a number is: its short name, a title, the estimator in words, what it is given in, and which way is better."""

    name: str
    title: str
    estimator: str
    unit: str = "%"  # shown as a hundredfold; otherwise as it is
    better: str = "lower"  # higher, or "" where neither is


def measures(bins: Sequence[int] = BINS) -> list[Measure]:
    """All measures in the order they are shown; the first number of bins is that of the diagrams, and of those by class."""
    first, *others = bins
    return [
        Measure("accuracy", "Accuracy", "share of right predictions", better="higher"),
        Measure("confidence", "Mean confidence", "mean probability of the predicted class", better=""),
        Measure("gap", "Overconfidence", "mean confidence minus accuracy; negative is underconfident", better=""),
        Measure("ece", f"ECE, {first} bins", f"top label, {first} bins of equal width, mean gap (Naeini et al. 2015)"),
        *(Measure(f"ece_{count}", f"ECE, {count} bins", f"top label, {count} bins of equal width, mean gap") for count in others),
        Measure("ece_equal_mass", "ECE, equal mass", f"top label, {first} bins of equal count (adaptive; Nixon et al. 2019)"),
        Measure("ece_smooth", "Smooth ECE", "top label, Gaussian kernel of its own width (Blasiok and Nakkiran 2024)"),
        Measure("ece_kernel", "Kernel ECE", "top label, triweight kernel density (Zhang et al. 2020)"),
        Measure("mce", "MCE", f"top label, largest gap of {first} bins of equal width"),
        Measure("ks", "KS error", "top label, largest cumulated gap, no bins (Gupta et al. 2021)"),
        Measure("ece_classwise", "Class-wise ECE", f"mean over classes, {first} bins of equal width (Kull et al. 2019)"),
        Measure("nll", "NLL", "mean negative log-likelihood", "nats"),
        Measure("brier", "Brier score", "squared distance from one-hot, summed over classes", ""),
        Measure("brier_reliability", "Brier: reliability", f"squared gap of {first} bins a class (Murphy 1973)", ""),
        Measure("brier_resolution", "Brier: resolution", "how far the bins' shares lie from the class's", "", "higher"),
        Measure("brier_uncertainty", "Brier: uncertainty", "what the classes' shares alone leave", "", ""),
        Measure(
            "auroc", "AUROC of confidence", "chance that a right prediction has more confidence than a wrong one", "%", "higher"
        ),
        Measure("aurc", "AURC", "mean risk over all coverages (Geifman et al. 2019)"),
    ]


@dataclass(frozen=True)
class Resampled:
    """All measures of one set of predictions.

    Attributes:
        value: by name, on all items.
        draws: by name, (resamples,) values on resampled items.
        by_chance: for top-label errors, the mean that predictions of these very confidences would show if they were calibrated,
            as outcomes are random: what an error must exceed to mean anything.
    """

    value: Mapping[str, float]
    draws: Mapping[str, np.ndarray]
    by_chance: Mapping[str, float]

    def interval(self, name: str, minus: Resampled | None = None, level: float = 0.95) -> tuple[float, float, float]:
        """Value, low and high; with `minus`, of the difference to what it has on the same items.

        The percentiles of the draws, moved by what resampling adds on average: repeated items raise binned errors, and plain
        percentiles would often lie above the value. NaN where fewer than half of the draws are numbers.
        """
        value = self.value[name] - (minus.value[name] if minus else 0.0)
        draws = self.draws[name] - (minus.draws[name] if minus else 0.0)
        draws = draws[np.isfinite(draws)]
        if not math.isfinite(value) or len(draws) < max(len(self.draws[name]) / 2, 2):
            return value, math.nan, math.nan
        tail = 100 * (1 - level) / 2
        low, high = (float(end) for end in value + np.percentile(draws, [tail, 100 - tail]) - draws.mean())
        if not minus and name != "gap":
            low = max(low, 0.0)
        return value, low, high


def top_label_errors(bins: Sequence[int]) -> dict[str, OfTopLabel]:
    """The errors that are functions of confidence and correctness."""
    first, *others = bins

    def of_bins(count: int) -> OfTopLabel:
        return lambda c, h: expected_calibration_error(c, h, count)

    return {
        "ece": of_bins(first),
        **{f"ece_{count}": of_bins(count) for count in others},
        "ece_equal_mass": lambda c, h: expected_calibration_error(c, h, first, "equal-mass"),
        "ece_smooth": lambda c, h: smooth_calibration_error(c, h, SMOOTH_CELLS),
        "ece_kernel": lambda c, h: kernel_calibration_error(c, h, KERNEL_POINTS),
        "mce": lambda c, h: expected_calibration_error(c, h, first, norm=math.inf),
        "ks": kolmogorov_smirnov_error,
    }


def resampled(
    probabilities: np.ndarray,
    labels: np.ndarray,
    bins: Sequence[int] = BINS,
    resamples: int = 200,
    random_state: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Resampled:
    """Every measure on all items and on `resamples` resamples of them.

    Args:
        probabilities: (n, classes). labels: (n,) integers. progress: is told how many of how many parts are done.

    Raises:
        ValueError: no items.
    """
    p, y = as_array(probabilities), as_array(labels, int)
    if not len(y):
        raise ValueError("There are no items to measure calibration on.")
    confidence, correct = top_label(p, y)
    rng = np.random.default_rng(random_state)
    n, parts = len(y), 2 * resamples + 1
    counts = np.empty((n, resamples + 1))  # how often each item is drawn; the last column is all items once
    for draw in range(resamples):
        counts[:, draw] = np.bincount(rng.integers(0, n, n), minlength=n)
    counts[:, resamples] = 1
    order = np.argsort(confidence, kind="stable")  # resamples of sorted items are sorted
    p, y, c, h, counts = p[order], y[order], confidence[order], correct[order], counts[order]
    found = {**_means(p, y, c, h, counts), **_by_class(p, y, counts, bins[0])}
    errors = top_label_errors(bins)
    ordered: dict[str, OfTopLabel] = {**errors, "auroc": confidence_auroc, "aurc": area_under_risk_coverage}
    found |= {name: np.empty(resamples + 1) for name in ordered}
    for draw in range(resamples + 1):
        chosen = np.repeat(np.arange(n), counts[:, draw].astype(int))
        for name, error in ordered.items():
            found[name][draw] = error(c[chosen], h[chosen])
        progress(draw + 1, parts)
    chance = {name: np.empty(max(resamples // 2, 1)) for name in errors}
    for draw in range(len(chance["ece"])):
        outcomes = (rng.uniform(size=n) < c).astype(float)
        for name, error in errors.items():
            chance[name][draw] = error(c, outcomes)
        progress(resamples + 1 + 2 * draw, parts)
    return Resampled(
        {name: float(draws[-1]) for name, draws in found.items()},
        {name: draws[:-1] for name, draws in found.items()},
        {name: float(draws.mean()) for name, draws in chance.items()},
    )


def _means(p: np.ndarray, y: np.ndarray, c: np.ndarray, h: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    """What is a mean over items, for every column of counts."""
    own = p[np.arange(len(y)), y]
    items = {
        "accuracy": h,
        "confidence": c,
        "gap": c - h,
        "nll": -np.log(np.maximum(own, 1e-12)),
        "brier": (p**2).sum(axis=1) - 2 * own + 1,
    }
    return {name: values @ counts / len(y) for name, values in items.items()}


def _by_class(p: np.ndarray, y: np.ndarray, counts: np.ndarray, bins: int) -> dict[str, np.ndarray]:
    """Class-wise ECE and Murphy's parts of the Brier score, for every column of counts; one class at a time in memory."""
    from scipy.sparse import csr_array

    (n, classes), draws = p.shape, counts.shape[1]
    names = ("ece_classwise", "brier_reliability", "brier_resolution", "brier_uncertainty")
    sums = {name: np.zeros(draws) for name in names}
    for k in range(classes):
        outcome, index, items = (y == k).astype(float), bin_index(p[:, k], bins), np.arange(n)
        size, score, right = (  # (bins, draws) each
            csr_array((values, (index, items)), shape=(bins, n)) @ counts for values in (np.ones(n), p[:, k], outcome)
        )
        base = right.sum(axis=0) / n
        filled = np.maximum(size, 1)
        sums["ece_classwise"] += np.abs(score - right).sum(axis=0) / n / classes
        sums["brier_reliability"] += ((score - right) ** 2 / filled).sum(axis=0) / n
        sums["brier_resolution"] += (size * (right / filled - base) ** 2).sum(axis=0) / n
        sums["brier_uncertainty"] += base * (1 - base)
    return sums
