r"""How far a classifier's confidence can be trusted, before and after post-hoc calibration.

A model is calibrated when, among all predictions of confidence $c$, the share $c$ is right. The tool takes the logits of a snapshot
(or the predictions of any run) and measures how far that holds, by every estimator in use, each with a bootstrap interval: binned
errors depend on the number of bins, and are never zero by chance alone.

$$\mathrm{ECE} = \sum_b \frac{n_b}{n}\,\bigl|\mathrm{acc}(b) - \mathrm{conf}(b)\bigr|$$

Each arm is a calibrator. No item is scored by a calibrator that has seen it: items are split into two halves at random, and each
half is calibrated by what was fitted on the other. What is exported is fitted on all of them.

Items without a target among the model's classes are left out, and counted.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from core.measures import calibration_intervals
from core.measures.calibration import (
    Binning,
    expected_calibration_error,
    reliability_bins,
    risk_coverage,
    top_label,
)
from core.measures.calibration_intervals import Measure, Resampled, measures
from core.measures.calibrators import CALIBRATORS, Calibrator, TemperatureScaling, cross_validated
from core.methods.base import Arm, Features, Inputs, Lines, Preset, Reliability, param, tool
from core.recorder import Recorder

PAPER = tool(
    "calibration",
    "Calibration of a classifier",
    "Whether a model is right as often as it says, and which post-hoc calibrator helps.",
)

LEAST = 20  # items with a target
LARGEST = 20_000_000  # numbers in an arm's recorded predictions
PENALTIES = (0.01, 0.3)
MOST_CLASSES = {"matrix": 100, "Dirichlet": 100}
CURVE_POINTS = 200


@dataclass(frozen=True)
class Params:
    """What the measures are made with."""

    bins: tuple[int, ...] = param(
        (15, 10, 20, 50), "Numbers of bins of the ECE; the first is that of diagrams and classes.", low=1, high=200
    )
    resamples: int = param(200, "Resamples of the bootstrap.", low=10, high=5000)


AFTER = ("uncalibrated",)
ARMS = (
    Arm("uncalibrated", "Uncalibrated", "The softmax as it is.", "baseline"),
    Arm("temperature", "Temperature scaling", "Logits over one number; no prediction changes.", "method", AFTER),
    Arm("vector", "Vector scaling", "A scale and a bias a class.", "method", AFTER),
    Arm("matrix", "Matrix scaling", "A full affine map of the logits, its penalty by cross-validation.", "method", AFTER),
    Arm("Dirichlet", "Dirichlet", "A full affine map of the log-probabilities, its penalty by cross-validation.", "method", AFTER),
    Arm("Platt", "Platt scaling", "A sigmoid of each class's log-odds.", "method", AFTER),
    Arm("isotonic", "Isotonic", "A rising step curve a class.", "method", AFTER),
    Arm("histogram", "Histogram binning", "The share of outcomes in 15 bins of equal count a class.", "method", AFTER),
    Arm("beta", "Beta", "A sigmoid of both log-probabilities of a class.", "method", AFTER),
)
PRESETS = {
    "quick": Preset(seconds=20.0, seeds=(0,)),
    "smoke": Preset(seconds=5.0, seeds=(0,), params={"resamples": 20}),
}
CLAIMS = ()
VIEWS = (
    Reliability(
        title="Reliability", caption="On the diagonal, predictions are right as often as they say. Below it, overconfident."
    ),
    Lines(
        title="Risk and coverage",
        caption="Errors among the most confident predictions, against how many are kept. Lower is better.",
        table="risk_coverage",
        x="coverage",
        y="risk",
        x_title="Share of predictions kept",
        y_title="Errors among them",
        x_format="%",
        y_format=".1%",
    ),
)
INPUTS = ("features",)


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Fits, cross-fitted, and measures one calibrator."""
    logits, targets, left_out = usable(inputs.features)
    classes = logits.shape[1]
    if classes > MOST_CLASSES.get(arm, classes):
        reason = (
            f"{classes} classes make {classes * (classes + 1):,} parameters; this map is fitted up to {MOST_CLASSES[arm]} classes."
        )
        record.table("not_fitted", [{"reason": reason}])
        record.result(items=len(targets), left_out=left_out)
        return
    probabilities = cross_fitted(arm, logits, targets, inputs.seed)
    found = calibration_intervals.resampled(
        probabilities, targets, params.bins, params.resamples, inputs.seed, progress=record.progress
    )
    before = _recorded(inputs, params) if arm != "uncalibrated" else None
    calibrator = fitted(arm, logits, targets)
    record.table("measures", [_row(measure, found, before) for measure in measures(params.bins)])
    record.table("reading", [{"text": in_words(found, before, arm, calibrator, params.bins[0])}])
    record.table("calibrator", [{"json": json.dumps(exported(arm, calibrator, inputs, len(targets)))}])
    record_curves(record, probabilities, targets, params.bins[0])
    if probabilities.size <= LARGEST:
        record.predictions(0, np.log(np.maximum(probabilities, 1e-12)), targets)
    if before is None:
        record.matrix(0, "draws", np.array([found.draws[measure.name] for measure in measures(params.bins)]))
        record.matrix(0, "values", np.array([found.value[measure.name] for measure in measures(params.bins)], dtype=float))
    record.result(items=len(targets), left_out=left_out, **found.value)


def usable(features: Features | None) -> tuple[np.ndarray, np.ndarray, int]:
    """Logits (n, classes), targets (n,), and how many items were left out because they have no target.

    Raises:
        ValueError: no logits, fewer than two classes or too few items, in words.
    """
    if features is None or features.logits is None or features.targets is None:
        raise ValueError(
            "Calibration needs a model's logits: choose a snapshot of a classifier, or a run that recorded predictions."
        )
    logits, targets = np.asarray(features.logits, dtype=float), np.asarray(features.targets, dtype=int)
    classes = logits.shape[1]
    if classes < 2:
        raise ValueError("The predictions tell only one class apart; calibration needs two or more.")
    known = (targets >= 0) & (targets < classes) & ~np.isnan(logits).any(axis=1) & (logits < math.inf).all(axis=1)
    if known.sum() < LEAST:
        raise ValueError(f"{known.sum()} items have a target among the model's classes; calibration needs {LEAST} or more.")
    kept = logits[known]
    lowest = np.where(np.isfinite(kept), kept, math.inf).min(axis=1, keepdims=True)
    return np.maximum(kept, lowest - 30), targets[known], int((~known).sum())  # a probability of exactly 0 has no logarithm


def fitted(arm: str, logits: np.ndarray, targets: np.ndarray) -> Calibrator:
    """The calibrator of an arm, learned from these items."""
    kind = CALIBRATORS[arm]
    if arm in ("matrix", "Dirichlet"):
        return cross_validated([kind(penalty) for penalty in PENALTIES], logits, targets, folds=2)  # type: ignore[call-arg]
    return kind().fit(logits, targets)


def cross_fitted(arm: str, logits: np.ndarray, targets: np.ndarray, seed: int) -> np.ndarray:
    """Probabilities (n, classes): of each random half by the calibrator fitted on the other."""
    half = np.random.default_rng(seed).permutation(len(targets)) % 2
    probabilities = np.empty(logits.shape)
    for one in (0, 1):
        seen = half != one
        probabilities[~seen] = fitted(arm, logits[seen], targets[seen]).predict(logits[~seen])
    return probabilities


def exported(arm: str, calibrator: Calibrator, inputs: Inputs, items: int) -> dict[str, Any]:
    """The calibrator for a file: its formula in words, and its numbers."""
    assert inputs.features is not None
    return {
        "calibrator": arm,
        "formula": calibrator.formula,
        "parameters": calibrator.parameters(),
        "fitted_on": {"items": items, "source": inputs.features.source},
    }


def record_curves(record: Recorder, probabilities: np.ndarray, targets: np.ndarray, bins: int) -> None:
    """Tables for diagrams: each item's top label, bins, classes, risk against coverage."""
    confidence, correct = top_label(probabilities, targets)
    predicted = probabilities.argmax(axis=1)
    record.table("items", _frame(confidence=confidence, correct=correct.astype(bool), predicted=predicted, target=targets))
    binnings: tuple[Binning, ...] = ("equal-width", "equal-mass")
    for binning in binnings:
        found = reliability_bins(confidence, correct, bins, binning)
        filled = found.count > 0
        record.table(
            "reliability", _frame(**{name: values[filled] for name, values in vars(found).items()}).assign(binning=binning)
        )
    rows = []
    for k in range(probabilities.shape[1]):
        own = targets == k
        rows.append({
            "class": k, "items": int(own.sum()), "predicted": int((predicted == k).sum()),
            "recall": float((predicted[own] == k).mean()) if own.any() else math.nan,
            "probability": float(probabilities[:, k].mean()), "share": float(own.mean()),
            "error": expected_calibration_error(probabilities[:, k], own, bins),
        })  # fmt: skip
    record.table("classes", rows)
    coverage, risk = risk_coverage(confidence, correct)
    at = np.unique(np.linspace(0, len(coverage) - 1, CURVE_POINTS).round().astype(int))
    record.table("risk_coverage", _frame(coverage=coverage[at], risk=risk[at]))


def in_words(found: Resampled, before: Resampled | None, arm: str, calibrator: Calibrator, bins: int) -> str:
    """One sentence on what was found; it claims no more than the intervals do."""
    if before is None:
        gap, low, high = (100 * end for end in found.interval("gap"))
        if low <= 0 <= high:
            first = f"On average confidence fits accuracy ({_signed(gap)} points, [{_signed(low)}, {_signed(high)}])"
        else:
            ends = (low, high) if gap > 0 else (-high, -low)
            word = "Overconfident" if gap > 0 else "Underconfident"
            first = f"{word} by {abs(gap):.1f} points on average [{ends[0]:.1f}, {ends[1]:.1f}]"
        ece, low, high = (100 * end for end in found.interval("ece"))
        chance = 100 * found.by_chance["ece"]
        return f"{first}; ECE is {ece:.1f}% [{low:.1f}, {high:.1f}] ({bins} bins), and {chance:.1f}% would come by chance alone."
    name = f"temperature {calibrator.temperature_:.2f}" if isinstance(calibrator, TemperatureScaling) else dict(_TITLES)[arm]
    ece, low, high = (100 * end for end in found.interval("ece"))
    change, least, most = (100 * end for end in found.interval("ece", minus=before))
    words = f"{name} brings ECE from {100 * before.value['ece']:.1f}% to {ece:.1f}% [{low:.1f}, {high:.1f}]"
    if least <= 0 <= most:
        words += (
            f", a change that these items do not tell from none ({_signed(change)} points, [{_signed(least)}, {_signed(most)}])"
        )
    lost, worst, best = (100 * end for end in found.interval("accuracy", minus=before))
    if not worst <= 0 <= best:
        words += f"; accuracy changes by {_signed(lost)} points [{_signed(worst)}, {_signed(best)}]"
    return f"{words[0].upper()}{words[1:]}."


_TITLES = tuple((arm.name, arm.title if arm.name in ("Platt", "Dirichlet") else arm.title.lower()) for arm in ARMS)


def _row(measure: Measure, found: Resampled, before: Resampled | None) -> dict[str, Any]:
    """A measure for the table; differences are to the uncalibrated on the same items."""
    value, low, high = found.interval(measure.name)
    change, least, most = found.interval(measure.name, minus=before) if before else (math.nan,) * 3
    return {
        "measure": measure.name, "title": measure.title, "estimator": measure.estimator, "unit": measure.unit,
        "better": measure.better, "value": value, "low": low, "high": high, "change": change, "change_low": least,
        "change_high": most, "by_chance": found.by_chance.get(measure.name, math.nan),
    }  # fmt: skip


def _recorded(inputs: Inputs, params: Params) -> Resampled:
    """What the uncalibrated arm found on the same resamples."""
    kept, names = inputs.arrays("uncalibrated", "matrix"), [measure.name for measure in measures(params.bins)]
    return Resampled(
        {name: float(value) for name, value in zip(names, kept["values"], strict=True)},
        dict(zip(names, kept["draws"], strict=True)),
        {},
    )


def _frame(**columns: np.ndarray) -> Any:
    import pandas as pd

    return pd.DataFrame(columns)


def _signed(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")
