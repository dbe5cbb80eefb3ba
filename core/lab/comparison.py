r"""How alike two models see the same items: two snapshots of one data set, of different models or layers.

- Linear CKA: whether both tell the same pairs of items apart, whatever the axes and the scale (Kornblith et al. 2019), with centred
  features $X, Y$ as $\lVert X^\top Y\rVert_F^2 / (\lVert X^\top X\rVert_F\,\lVert Y^\top Y\rVert_F)$;
- common neighbours: the share of an item's nearest by the cosine in one that are also its nearest in the other;
- matched neurons: each feature of one paired with one of the other so that their correlations are largest (Li et al. 2016). Unlike
  the other two this depends on the axes: it says whether single neurons, not only spaces, are the same.

Each also has a value by chance, found by giving the items of one the features of others: with few items and many features, CKA and
matched correlations are far from 0 even there.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from core.measures.representation import linear_cka, matched_neurons, neighbour_overlap
from core.measures.statistics import t_interval
from core.methods.base import Arm, Features, Inputs, Preset, param, tool

if TYPE_CHECKING:
    from core.recorder import Recorder

PAPER = tool("comparison", "Two models on the same items", "How alike two models, or two layers, see the same items.")

LEAST = 10  # items
ASKED = 4000  # items whose neighbours are compared
NEURONS = 1024  # of each model, those that vary most
PAIRS = 50  # matched neurons that are listed
SHUFFLES = 5  # for the value by chance


@dataclass(frozen=True)
class Params:
    """What the measures are made with."""

    neighbours: int = param(10, "How many nearest items count as neighbours.", low=1, high=200)
    items: int = param(20_000, "Of more items, a random sample of so many is measured.", low=LEAST, high=200_000)


ARMS = (Arm("measures", "Measures", "All three, and what they would be by chance.", "baseline"),)
PRESETS = {
    "quick": Preset(seconds=20.0, seeds=(0,)),
    "smoke": Preset(seconds=3.0, seeds=(0,), params={"items": 300}),
}
CLAIMS = ()
VIEWS = ()
INPUTS = ("features", "two-models")


@dataclass(frozen=True)
class Measure:
    """One row of the table.

    Attributes:
        unit: "%" for shares in [0, 1], "" otherwise.
        chance: its value where the items of one are shuffled.
        meaning: a sentence for the reader.
        items: how many it was taken on.
        low, high: 95% interval over items; NaN where there is none.
    """

    name: str
    title: str
    value: float
    unit: str
    chance: float
    meaning: str
    items: int
    low: float = float("nan")
    high: float = float("nan")


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Records the measures, each asked item's common neighbours, and the neurons that match best."""
    first, second, finite = usable(inputs.features, inputs.against)
    draw = np.random.default_rng(inputs.seed)
    chosen = np.sort(draw.permutation(len(first))[: params.items])
    first, second = first[chosen], second[chosen]
    shuffles = [torch.from_numpy(draw.permutation(len(first))) for _ in range(SHUFFLES)]
    record.progress(0, 3)
    found = [similarity(first, second, shuffles)]
    record.progress(1, 3)
    asked = np.sort(draw.permutation(len(first))[:ASKED])
    shares = neighbour_overlap(
        normalize(first, dim=1), normalize(second, dim=1), params.neighbours, torch.from_numpy(asked)
    ).numpy()
    found.append(common_neighbours(shares, min(params.neighbours, len(first) - 1), len(first)))
    overlap = np.full(len(finite), np.nan, np.float32)
    overlap[np.flatnonzero(finite)[chosen[asked]]] = shares
    record.matrix(0, "overlap", overlap)
    record.progress(2, 3)
    measure, pairs = neurons(first, second, shuffles)
    found.append(measure)
    record.table("neurons", pairs)
    record.table("measures", [dataclasses.asdict(one) for one in found])
    record.result(items=len(first), left_out=int((~finite).sum()), **{one.name: one.value for one in found})
    record.progress(3, 3)


def usable(features: Features | None, against: Features | None) -> tuple[Tensor, Tensor, np.ndarray]:
    """Features (m, d) and (m, e) of the items that are finite in both, and which these are, (n,) bool.

    Raises:
        ValueError: no two snapshots of the same items, or too few items, in words.
    """
    if features is None or against is None:
        raise ValueError("A comparison needs two snapshots of the same items.")
    n, m = len(features.vectors), len(against.vectors)
    if n != m:
        raise ValueError(f"One snapshot has {n:,} items and the other {m:,}; a comparison needs the same items in both.")
    if not np.array_equal(features.labels, against.labels):
        raise ValueError("The items of the two snapshots have different labels; a comparison needs the same items in both.")
    finite = np.isfinite(features.vectors).all(axis=1) & np.isfinite(against.vectors).all(axis=1)
    if finite.sum() < LEAST:
        raise ValueError(f"{finite.sum()} items have finite features in both; a comparison needs {LEAST} or more.")
    first, second = (torch.from_numpy(np.asarray(one.vectors[finite], dtype=np.float32)) for one in (features, against))
    for vectors, whose in ((first, features.source), (second, against.source)):
        if not (vectors != vectors[0]).any():
            raise ValueError(f"In {whose} all items have the same features; choose another layer.")
    return first, second, finite


def similarity(first: Tensor, second: Tensor, shuffles: list[Tensor]) -> Measure:
    """Linear CKA. It does not change when both are rotated, so that of more features than items the items' own axes serve."""
    x, y = (narrowed(vectors.double()) for vectors in (first, second))
    chance = float(np.mean([linear_cka(x, y[order]) for order in shuffles]))
    return Measure(
        "cka", "Linear CKA", linear_cka(x, y), "", chance,
        f"Whether both tell the same items apart: 1 for the same geometry up to rotation and scale; {chance:.2f} by chance.",
        len(first),
    )  # fmt: skip


def narrowed(vectors: Tensor) -> Tensor:
    """Vectors (n, d) around their mean, in n axes that keep all their inner products where d is larger than n."""
    centred = vectors - vectors.mean(0)
    if centred.shape[1] <= len(centred):
        return centred
    values, axes = torch.linalg.eigh(centred @ centred.T)
    return axes * values.clamp(min=0).sqrt()


def common_neighbours(shares: np.ndarray, k: int, items: int) -> Measure:
    """The mean share (m,) of common neighbours among `items` items."""
    mean, low, high = t_interval(shares.tolist())
    chance = k / (items - 1)
    return Measure(
        "neighbour_overlap", "Common neighbours", mean, "%", chance,
        f"Of an item's {k} nearest by the cosine in one, the share that is also among its {k} nearest in the other; "
        f"{chance:.1%} by chance.",
        len(shares), max(low, 0.0), min(high, 1.0),
    )  # fmt: skip


def neurons(first: Tensor, second: Tensor, shuffles: list[Tensor]) -> tuple[Measure, list[dict[str, Any]]]:
    """How well single neurons match, and the best PAIRS of them, by their columns."""
    (x, of_first), (y, of_second) = most_varying(first), most_varying(second)
    rows, columns, correlations = matched_neurons(x, y)
    chance = float(np.mean([np.abs(matched_neurons(x, y[order])[2]).mean() for order in shuffles]))
    narrower = min(x.shape[1], y.shape[1])
    limited = f" Of each, the {NEURONS:,} that vary most." if max(first.shape[1], second.shape[1]) > NEURONS else ""
    measure = Measure(
        "matched_neurons", "Matched neurons", float(np.abs(correlations).mean()), "", chance,
        f"Mean size of the correlation of {narrower:,} neurons, each with its own partner in the other; {chance:.2f} by chance."
        + limited,
        len(first),
    )  # fmt: skip
    best = zip(of_first[rows][:PAIRS], of_second[columns][:PAIRS], correlations[:PAIRS], strict=True)
    return measure, [{"first": int(row), "second": int(column), "correlation": float(value)} for row, column, value in best]


def most_varying(vectors: Tensor) -> tuple[Tensor, np.ndarray]:
    """At most NEURONS columns, those of the largest variance, and which these are."""
    kept = vectors.var(0).argsort(descending=True, stable=True)[:NEURONS].sort().values
    return vectors[:, kept], kept.numpy()
