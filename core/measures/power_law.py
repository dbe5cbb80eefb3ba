"""Power laws y = a x^b, fitted on log axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class PowerLaw:
    """y = coefficient * x^exponent, with the exponent's 95% interval (Student's, NaN for two points) and R^2 of the logarithms."""

    coefficient: float
    exponent: float
    low: float
    high: float
    r2: float

    def __call__(self, x: ArrayLike) -> np.ndarray:
        """The curve's values at x."""
        return self.coefficient * np.asarray(x, dtype=float) ** self.exponent


def fit_power_law(x: ArrayLike, y: ArrayLike) -> PowerLaw:
    """Least squares of log y on log x.

    Args:
        x, y: (n,) positive numbers, n >= 2.

    Raises:
        ValueError: fewer than two points, or values that are not positive.

    >>> law = fit_power_law([100, 200, 400], [6 * i**-0.2 for i in (100, 200, 400)])
    >>> round(law.coefficient, 9), round(law.exponent, 9), round(law.r2, 9)
    (6.0, -0.2, 1.0)
    """
    from scipy.stats import linregress, t

    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if len(x) < 2 or not ((x > 0).all() and (y > 0).all()):
        raise ValueError(f"A power law needs at least two points with positive values, not {len(x)} from {y.min()} on.")
    fit = linregress(np.log(x), np.log(y))
    half = float(t.ppf(0.975, len(x) - 2) * fit.stderr) if len(x) > 2 else float("nan")
    return PowerLaw(float(np.exp(fit.intercept)), float(fit.slope), fit.slope - half, fit.slope + half, float(fit.rvalue**2))


def first_crossing(x: ArrayLike, y: ArrayLike, target: float) -> float:
    """Where a falling curve first reaches `target`, linearly between its points; NaN where it never does.

    >>> round(first_crossing([160, 240], [2.6, 2.45], 2.5), 2)
    213.33
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    below = np.flatnonzero(y <= target)
    if not len(below):
        return float("nan")
    i = below[0]
    if i == 0 or y[i] == y[i - 1]:
        return float(x[i])
    return float(x[i - 1] + (y[i - 1] - target) / (y[i - 1] - y[i]) * (x[i] - x[i - 1]))
