r"""Features in two dimensions, to be looked at.

PCA keeps the two directions of the largest variance: distances in the picture are never longer than the true ones, and what
overlaps may be apart in other directions. UMAP and t-SNE place each item next to its nearest neighbours instead: groups in the
picture are groups of neighbours, while distances between groups, their sizes and their densities mean little. How far to trust a
picture is said by its kept neighbours: the share of an item's nearest in the features that are also its nearest in the picture.

Features of more than 50 dimensions are brought to 50 by PCA first, which changes little and is what makes both methods affordable.
Both run on one thread from a fixed seed, so that the same features give the same picture.

The libraries are umap-learn and openTSNE, since they were the fastest of those tried that run on any machine. Seconds on the one
thread that a worker has, for points of 50 dimensions:

| points | UMAP, first in a worker | UMAP, after that | t-SNE | PCA |
|---|---|---|---|---|
| 5,000 | 80 | 9 | 43 | 0.01 |
| 50,000 | – | 53 | 177 | 0.04 |

UMAP compiles itself the first time that a worker process uses it, which is most of the 80 seconds. This is why a page shows PCA
first and asks for the others.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.methods.base import Arm, Features, Inputs, Preset, param, tool

if TYPE_CHECKING:
    import numpy as np

    from core.recorder import Recorder

PAPER = tool("projection", "Features in two dimensions", "Which items a model finds alike, as a picture: PCA, UMAP or t-SNE.")

DIMENSIONS = 50  # that PCA leaves of more
LEAST = 5  # items
ASKED, NEAREST = 2000, 10  # items whose neighbours are compared, and how many each


@dataclass(frozen=True)
class Params:
    """What decides the picture."""

    metric: str = param("cosine", "Distance between features: the angle, or the straight line.", choices=("cosine", "euclidean"))
    neighbours: int = param(15, "UMAP: how many neighbours an item is placed by; more show coarser structure.", low=2, high=200)
    min_dist: float = param(0.1, "UMAP: how close points may come in the picture.", low=0.0, high=0.99)
    perplexity: float = param(30.0, "t-SNE: about how many neighbours an item is placed by.", low=2.0, high=200.0)


ARMS = (
    Arm("PCA", "PCA", "The two directions of the largest variance.", "baseline"),
    Arm("UMAP", "UMAP", "Neighbours stay neighbours, groups come apart.", "method"),
    Arm("t-SNE", "t-SNE", "Neighbours stay neighbours, in finer groups.", "method"),
)
PRESETS = {
    "quick": Preset(seconds=60.0, seeds=(0,)),
    "smoke": Preset(seconds=5.0, seeds=(0,), arms=("PCA",)),
}
CLAIMS = ()
VIEWS = ()
INPUTS = ("features",)

Tell = Callable[[int, int], None]


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Records the picture as points (n, 2), NaN where an item's features are not finite."""
    import numpy as np

    vectors, finite = prepared(inputs.features, params.metric)
    assert inputs.features is not None
    began = time.perf_counter()
    record.progress(0, 1)
    if arm == "PCA":
        points = principal(vectors, 2)
    elif arm == "UMAP":
        points = umap(vectors, params.neighbours, params.min_dist, inputs.seed, record.progress)
    else:
        points = tsne(vectors, params.perplexity, inputs.seed, record.progress)
    seconds = time.perf_counter() - began
    placed = np.full((len(finite), 2), np.nan, np.float32)
    placed[finite] = points
    record.embedding(0, placed, inputs.features.labels, name="projection")
    record.result(
        items=len(vectors),
        left_out=int((~finite).sum()),
        seconds=seconds,
        kept_neighbours=kept_neighbours(vectors, points, inputs.seed),
    )


def prepared(features: Features | None, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (m, at most DIMENSIONS) of the items whose features are finite, and which these are, (n,) bool.

    For the cosine they are brought to length 1 first: then the straight line tells the angle.

    Raises:
        ValueError: no features, or fewer than LEAST such items.
    """
    import numpy as np

    if features is None:
        raise ValueError("A projection needs features: choose a snapshot.")
    finite = np.isfinite(features.vectors).all(axis=1)
    if finite.sum() < LEAST:
        raise ValueError(f"{finite.sum()} items have finite features; a picture needs {LEAST} or more.")
    vectors = np.asarray(features.vectors[finite], dtype=np.float32)
    if metric == "cosine":
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return (principal(vectors, DIMENSIONS) if vectors.shape[1] > DIMENSIONS else vectors), finite


def principal(vectors: np.ndarray, count: int) -> np.ndarray:
    """(n, count) coordinates along the directions of the largest variance; of fewer directions the others are 0.

    A direction's sign is such that its largest entry is positive.
    """
    import numpy as np

    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, directions = np.linalg.eigh(centred.T @ centred)  # (d, d), the largest last
    directions = directions[:, ::-1][:, :count]
    directions *= np.sign(directions[np.abs(directions).argmax(axis=0), range(directions.shape[1])])
    found = np.zeros((len(vectors), count), np.float32)
    found[:, : directions.shape[1]] = centred @ directions
    return found


def umap(vectors: np.ndarray, neighbours: int, min_dist: float, seed: int, tell: Tell) -> np.ndarray:
    """(n, 2) by umap-learn, from a spectral layout; `tell` hears of its epochs."""
    import umap as library

    fit = library.UMAP(
        n_neighbors=min(neighbours, len(vectors) - 1), min_dist=min_dist, random_state=seed, n_jobs=1,
        tqdm_kwds={"disable": False, "file": Epochs(tell), "mininterval": 0.2, "bar_format": "{n_fmt}/{total_fmt}"},
    )  # fmt: skip
    return fit.fit_transform(vectors)


class Epochs:
    """Where umap-learn's progress bar is written: "12/500" is told as numbers."""

    def __init__(self, tell: Tell) -> None:
        self.tell = tell

    def write(self, text: str) -> None:
        """Takes what the bar writes."""
        if found := re.search(r"(\d+)/(\d+)", text):
            self.tell(int(found[1]), int(found[2]))

    def flush(self) -> None:
        """Nothing waits here."""


def tsne(vectors: np.ndarray, perplexity: float, seed: int, tell: Tell) -> np.ndarray:
    """(n, 2) by openTSNE, from the first two principal directions; `tell` hears of its 250 + 500 iterations.

    The perplexity is at most a third of the items, as the method needs it.
    """
    import numpy as np
    import openTSNE

    early, late = 250, 500
    phase = {"done": 0, "last": 0}

    def heard(iteration: int, error: float, embedding: Any) -> None:
        if iteration < phase["last"]:  # the second phase counts from the start
            phase["done"] = early
        phase["last"] = iteration
        tell(phase["done"] + iteration, early + late)

    fit = openTSNE.TSNE(
        perplexity=min(perplexity, (len(vectors) - 1) / 3), early_exaggeration_iter=early, n_iter=late, random_state=seed,
        n_jobs=1, callbacks=heard, callbacks_every_iters=10,
    )  # fmt: skip
    return np.asarray(fit.fit(vectors))


def kept_neighbours(vectors: np.ndarray, points: np.ndarray, seed: int) -> float:
    """The share of an item's NEAREST in the features that are also its NEAREST in the picture, mean over up to ASKED items."""
    import numpy as np
    import torch

    from core.measures.representation import neighbour_overlap

    asked = np.random.default_rng(seed).permutation(len(vectors))[:ASKED]
    first, second = (torch.from_numpy(np.ascontiguousarray(part, np.float32)) for part in (vectors, points))
    return float(neighbour_overlap(first, second, NEAREST, torch.from_numpy(asked)).mean())
