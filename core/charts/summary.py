"""What a chart says about many values: means with intervals, curves over seeds, fewer points without losing extremes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from core.charts.theme import Axis

# Student's t at 97.5% for 1 to 30 degrees of freedom.
T_975 = (
    12.706205, 4.302653, 3.182446, 2.776445, 2.570582, 2.446912, 2.364624, 2.306004, 2.262157, 2.228139,
    2.200985, 2.178813, 2.160369, 2.144787, 2.131450, 2.119905, 2.109816, 2.100922, 2.093024, 2.085963,
    2.079614, 2.073873, 2.068658, 2.063899, 2.059539, 2.055529, 2.051831, 2.048407, 2.045230, 2.042272,
)  # fmt: skip
Z_975 = 1.959963985


def t_975(freedom: int) -> float:
    """The 97.5% quantile of Student's t; beyond the table by its expansion around the normal (Abramowitz and Stegun 26.7.5).

    >>> round(t_975(2), 4), round(t_975(60), 4)
    (4.3027, 2.0003)
    """
    if freedom <= len(T_975):
        return T_975[freedom - 1]
    z = Z_975
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def mean_interval(values: np.ndarray, axis: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and 95% t-interval over the seeds; the interval is NaN where there is one seed.

    >>> [round(float(number), 3) for number in mean_interval(np.array([1.0, 2.0, 3.0]))]
    [2.0, -0.484, 4.484]
    """
    n = values.shape[axis]
    mean = values.mean(axis)
    if n < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = t_975(n - 1) * values.std(axis, ddof=1) / math.sqrt(n)
    return mean, mean - half, mean + half


def drawn_ends(low: np.ndarray, high: np.ndarray, least: float, most: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of intervals as they are drawn beside values from `least` to `most`.

    The interval of two seeds may be many times as wide as the data, and would flatten everything else: at most half of the data's
    range is drawn beyond it. Equal values leave an interval as it is.

    >>> [float(end[0]) for end in drawn_ends(np.array([-90.0]), np.array([1.5]), 0.0, 2.0)]
    [-1.0, 1.5]
    """
    reach = 0.5 * (most - least) or math.inf
    return np.maximum(low, least - reach), np.minimum(high, most + reach)


def wilson(successes: float, trials: float) -> tuple[float, float]:
    """Wilson's 95% interval of a proportion.

    >>> [round(end, 4) for end in wilson(8, 10)]
    [0.4902, 0.9433]
    """
    if trials == 0:
        return 0.0, 1.0
    share, z2 = successes / trials, Z_975**2
    centre = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z_975 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(0.0, centre - half), min(1.0, centre + half)


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15, binning: str = "equal-width") -> float:
    """ECE over bins as from `bin_of`: the mean gap between confidence and accuracy, weighted by count."""
    index = bin_of(confidence, bins, binning)
    counts = np.bincount(index, minlength=bins)
    gaps = np.abs(np.bincount(index, weights=confidence, minlength=bins) - np.bincount(index, weights=correct, minlength=bins))
    return float(gaps.sum() / counts.sum()) if counts.sum() else math.nan


def bin_of(confidence: np.ndarray, bins: int, binning: str = "equal-width") -> np.ndarray:
    """The bin (low, high] of each confidence in [0, 1]; with "equal-mass" by rank, equal confidences in their order.

    >>> bin_of([0.9, 0.1, 0.95, 0.99], 2).tolist(), bin_of([0.9, 0.1, 0.95, 0.99], 2, "equal-mass").tolist()
    ([1, 0, 1, 1], [0, 0, 1, 1])
    """
    c = np.asarray(confidence)
    if binning == "equal-width":
        return np.clip(np.ceil(c * bins).astype(int) - 1, 0, bins - 1)
    index = np.empty(len(c), dtype=int)
    index[np.argsort(c, kind="stable")] = np.arange(len(c)) * bins // max(len(c), 1)
    return index


def thin(x: np.ndarray, y: np.ndarray, points: int) -> np.ndarray:
    """Indices of at most about `points` of them: the first, the last, and the lowest and highest of each of points/2 bins of x.

    Args:
        x: (n,) ascending positions on the axis's own scale. y: (n,) finite values.
    """
    if len(x) <= points:
        return np.arange(len(x))
    bins = max(points // 2 - 1, 1)
    span = x[-1] - x[0] or 1.0
    bin = np.minimum(((x - x[0]) / span * bins).astype(int), bins - 1)
    by_value = np.lexsort((y, bin))
    starts = np.searchsorted(bin[by_value], np.unique(bin))
    ends = np.append(starts[1:], len(x)) - 1
    return np.unique(np.concatenate([[0, len(x) - 1], by_value[starts], by_value[ends]]))


# --- curves over seeds ------------------------------------------------------------------------------------------------

NO_SINGLE = pd.DataFrame({"x": [], "y": [], "seed": [], "piece": []})
NO_BREAKS = pd.DataFrame({"x": [], "reason": pd.Series([], dtype="str"), "seeds": [], "n": []})


@dataclass(frozen=True)
class Curves:
    """Curves of several seeds, as a picture needs them.

    Attributes:
        mean: x, y, low, high, bottom, top, n, piece: the mean over all seeds where every seed has a number; a new piece starts
            after a gap. The band is drawn from bottom to top: the interval, cut where it is far wider than the data.
        single: x, y, seed, piece: seeds where others are missing (they have ended, or have not got so far).
        breaks: x, reason, seeds, n: where a gap starts because a value is not finite, or not on a log axis.
    """

    mean: pd.DataFrame
    single: pd.DataFrame
    breaks: pd.DataFrame


def over_seeds(frame: pd.DataFrame, x: Axis, y: Axis, seed: str = "seed", points: int = 300) -> Curves:
    """The curves of one entry of the legend over its seeds.

    Where seeds were recorded at different x, each is read off at all of them by straight lines between its own points. On a log
    y axis, mean and interval are of the logarithms: a geometric mean. Several rows of one seed at one x are averaged first.
    """
    at, values, names = (frame[column].to_numpy() for column in (x.field, y.field, seed))
    at, values, shown = at.astype(float), values.astype(float), x.allowed(at)
    seeds = [(name, _curve(at[mine], values[mine])) for name in np.unique(names[shown]) for mine in [shown & (names == name)]]
    grid = np.unique(np.concatenate([places for _, (places, _) in seeds])) if seeds else np.empty(0)
    readings = [_read(*curve, grid, y) for _, curve in seeds]
    read = np.array([reading for reading, _ in readings]).reshape(len(seeds), len(grid))
    inside = np.array([within for _, within in readings], dtype=bool).reshape(len(seeds), len(grid))
    everywhere, finite = np.asarray(inside.all(axis=0)), np.isfinite(read)
    return Curves(
        _mean_of(grid, read, everywhere & finite.all(0), x, y, points),
        _single_of(grid, read, inside & finite & ~everywhere, everywhere, [name for name, _ in seeds], x, y, points),
        _breaks_of([curve for _, curve in seeds], y),
    )


def _curve(at: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One seed's x, ascending and once each, and its y; a mean with a value that is not finite is not finite."""
    order = np.argsort(at, kind="stable")
    at, values = at[order], values[order]
    first = np.flatnonzero(np.append(True, at[1:] != at[:-1]))
    if len(first) == len(at):
        return at, values
    with np.errstate(invalid="ignore"):  # infinities of both signs
        return at[first], np.add.reduceat(values, first) / np.diff(np.append(first, len(at)))


def _read(at: np.ndarray, values: np.ndarray, grid: np.ndarray, y: Axis) -> tuple[np.ndarray, np.ndarray]:
    """A curve on the grid, on the y axis's own scale, NaN beside points that cannot be shown; and where the curve reaches."""
    good = y.allowed(values)
    inside = (grid >= at[0]) & (grid <= at[-1])
    if not good.any():
        return np.full(len(grid), np.nan), inside
    reading = np.interp(grid, at[good], y.scaled(values[good]))
    before = np.clip(np.searchsorted(at, grid, side="right") - 1, 0, len(at) - 1)
    after = np.clip(np.searchsorted(at, grid, side="left"), 0, len(at) - 1)
    reading[~(good[before] & good[after])] = np.nan
    return reading, inside


def _mean_of(grid: np.ndarray, values: np.ndarray, shown: np.ndarray, x: Axis, y: Axis, points: int) -> pd.DataFrame:
    piece = _pieces(shown)
    at, numbers = grid[shown], values[:, shown]
    mean, low, high = mean_interval(numbers) if len(at) else (np.empty(0),) * 3
    least, most = (numbers.min(), numbers.max()) if len(at) else (0.0, 0.0)
    bottom, top = drawn_ends(low, high, least, most)
    kept = thin(x.scaled(at), mean, points) if len(at) else np.empty(0, dtype=int)
    ends = {"low": low, "high": high, "bottom": bottom, "top": top}
    columns = {"x": at[kept], "y": y.unscaled(mean[kept]), **{name: y.unscaled(end[kept]) for name, end in ends.items()}}
    return pd.DataFrame({**columns, "piece": piece[shown][kept], "n": len(values)})


def _single_of(
    grid: np.ndarray,
    values: np.ndarray,
    alone: np.ndarray,
    everywhere: np.ndarray,
    names: Sequence[int],
    x: Axis,
    y: Axis,
    points: int,
) -> pd.DataFrame:
    """Each seed beyond what all seeds share, with the shared point beside it so that the line joins."""
    pieces = []
    for name, row, own in zip(names, values, alone, strict=True):
        beside = np.zeros_like(own)
        beside[1:] |= own[:-1]
        beside[:-1] |= own[1:]
        own = own | (beside & everywhere & np.isfinite(row))
        if own.any():
            rows = pd.DataFrame({"x": grid[own], "y": y.unscaled(row[own]), "seed": name, "piece": _pieces(own)[own]})
            pieces.append(rows.iloc[thin(x.scaled(grid[own]), row[own], points)])
    return pd.concat(pieces, ignore_index=True) if pieces else NO_SINGLE


def _breaks_of(curves: Sequence[tuple[np.ndarray, np.ndarray]], y: Axis) -> pd.DataFrame:
    """The first x of each run of values that cannot be shown, over all seeds, with the reason and how many seeds break there."""
    found: list[tuple[float, str]] = []
    for at, values in curves:
        bad = ~y.allowed(values)
        starts = bad & ~np.concatenate([[False], bad[:-1]])
        found += [(float(at[i]), _reason(values[i])) for i in np.flatnonzero(starts)]
    if not found:
        return NO_BREAKS
    rows = pd.DataFrame(found, columns=["x", "reason"])
    return rows.groupby(["x", "reason"], as_index=False, sort=True).size().rename(columns={"size": "seeds"}).assign(n=len(curves))


def _reason(value: float) -> str:
    if math.isnan(value):
        return "not a number (NaN)"
    return "infinite" if math.isinf(value) else "zero or less: not on a log axis"


def _pieces(shown: np.ndarray) -> np.ndarray:
    """Numbers of the unbroken runs of True."""
    return np.cumsum(shown & ~np.concatenate([[False], shown[:-1]])) if len(shown) else np.empty(0, dtype=int)
