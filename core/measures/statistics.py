"""Estimates with intervals: what verdicts rest on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike


def t_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean with its two-sided Student interval, for independent values of roughly normal noise.

    Args:
        values: (n,) numbers, all finite.

    Returns:
        mean, low, high; low and high are NaN where n < 2, all three where n = 0 or a value is not finite.

    >>> mean, low, high = t_interval([1.0, 2.0, 3.0])
    >>> round(mean, 3), round(low, 3), round(high, 3)
    (2.0, -0.484, 4.484)
    """
    from scipy.stats import t

    x = np.asarray(values, dtype=float)
    if len(x) == 0 or not np.isfinite(x).all():
        return math.nan, math.nan, math.nan
    mean = float(x.mean())
    if len(x) < 2:
        return mean, math.nan, math.nan
    half = float(t.ppf(0.5 + confidence / 2, len(x) - 1)) * float(x.std(ddof=1)) / math.sqrt(len(x))
    return mean, mean - half, mean + half


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float], units: int, resamples: int = 1000, confidence: float = 0.95, random_state: int = 0
) -> tuple[float, float, float]:
    """A statistic with its percentile bootstrap interval, resampling whole units (seeds, problems) with replacement.

    Args:
        statistic: takes (m,) indices of units, with repeats, and gives a number; resamples where it gives NaN are left out.
        units: how many units there are.

    Returns:
        value on all units, low, high.
    """
    rng = np.random.default_rng(random_state)
    draws = np.array([statistic(rng.integers(0, units, units)) for _ in range(resamples)])
    tail = 100 * (1 - confidence) / 2
    low, high = np.nanpercentile(draws, [tail, 100 - tail])
    return float(statistic(np.arange(units))), float(low), float(high)


def wilson_interval(successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's interval of a proportion, low and high, of any shape; 0 and 1 where there are no trials.

    >>> low, high = wilson_interval([8, 0], [10, 0])
    >>> low.round(4), high.round(4)
    (array([0.4902, 0.    ]), array([0.9433, 1.    ]))
    """
    from scipy.stats import norm

    z2 = float(norm.ppf(0.5 + confidence / 2)) ** 2
    right, n = np.asarray(successes, dtype=float), np.asarray(trials, dtype=float)
    centre = (right + z2 / 2) / (n + z2)
    half = np.sqrt(z2 * (right * (n - right) / np.maximum(n, 1) + z2 / 4)) / (n + z2)
    return np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
