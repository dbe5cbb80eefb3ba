"""How well a binary mask matches another: overlap, continuity, and what it misses. Masks are boolean arrays of any dimension."""

from __future__ import annotations

import numpy as np


def dice(predicted: np.ndarray, truth: np.ndarray) -> float:
    """2 |P and Y| / (|P| + |Y|); 1 where both are empty.

    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = predicted.sum() + truth.sum()
    return float(2 * (predicted & truth).sum() / total) if total else 1.0


def recall(predicted: np.ndarray, truth: np.ndarray) -> float:
    """Share of the truth that is found; NaN where the truth is empty."""
    return float((predicted & truth).sum() / truth.sum()) if truth.any() else float("nan")


def centre_line_dice(predicted: np.ndarray, truth: np.ndarray) -> float:
    """clDice (Shit et al. 2021): harmonic mean of the predicted centre line's share in the truth, and the true one's in P.

    0 where either mask is empty and the other is not; 1 where both are.
    """
    from skimage.morphology import skeletonize

    if not predicted.any() or not truth.any():
        return float(predicted.any() == truth.any())
    line, true_line = skeletonize(predicted).astype(bool), skeletonize(truth).astype(bool)
    precision, sensitivity = ((a & b).sum() / max(a.sum(), 1) for a, b in ((line, truth), (true_line, predicted)))
    return float(2 * precision * sensitivity / (precision + sensitivity)) if precision + sensitivity else 0.0


def components(mask: np.ndarray) -> int:
    """Connected components, diagonal neighbours included (26 in a volume).

    >>> components(np.eye(3, dtype=bool)), components(np.array([True, False, True]))
    (1, 2)
    """
    from scipy.ndimage import label

    return int(label(mask, np.ones((3,) * mask.ndim))[1])
