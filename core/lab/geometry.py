r"""The geometry of a model's features: how they spread over their space, how they group, and how well the groups fit the classes.

Without labels:

- uniformity, $-\log\,\mathbb{E}\,e^{-2\lVert x-y\rVert^2}$ over pairs on the unit sphere: higher is more even (Wang and
  Isola 2020);
- effective rank, $\exp H(\sigma/\lVert\sigma\rVert_1)$ of the singular values: how many directions are in use (Roy and Vetterli
  2007);
- k-means on the unit sphere, with as many clusters as classes, or 10 where there are no labels.

With labels:

- k nearest neighbours, each item by the votes of the others: what is there without any training (Wu et al. 2018);
- alignment, $\mathbb{E}\lVert x-y\rVert^2$ over pairs of one class on the unit sphere: lower is closer (Wang and Isola 2020);
- neural collapse (Papyan et al. 2020): NC1, variation within classes over that between them; NC2, how far class means are from
  equal lengths and equal angles; NC4, the share of items whose nearest class mean is their own. NC3 needs a classifier's weights;
- how well clusters fit the classes.

Every measure says how many items it was taken on. Of many items a random sample from the seed is measured, and those that compare
all pairs take a smaller one; clusters are learned on the sample and recorded for every item.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from core.measures.clustering import (
    adjusted_rand_index,
    clustering_accuracy,
    contingency,
    normalised_mutual_information,
)
from core.measures.neural_collapse import class_means, geometry_distance, simplex, within_class_variation
from core.measures.representation import effective_rank, tolerance, uniformity
from core.measures.retrieval import neighbour_votes
from core.measures.statistics import wilson_interval
from core.methods.base import Arm, Features, Inputs, Preset, param, tool
from core.recorder import Recorder

PAPER = tool(
    "geometry",
    "Geometry of features",
    "How a model's features spread, how they group, and how well the groups fit the classes.",
)

LEAST = 5  # items
PAIRED = 4000  # items whose pairs are all compared: uniformity
SILHOUETTE = 2000  # items of the silhouette, whose distances are all computed
WITHOUT_LABELS = 10  # clusters
STARTS, MANY = 4, 100  # of k-means; with more clusters than MANY, one start


@dataclass(frozen=True)
class Params:
    """What the measures are made with."""

    neighbours: int = param(20, "How many neighbours vote on an item's class.", low=1, high=200)
    clusters: int = param(0, "Clusters of k-means; 0: as many as classes, or 10 without labels.", low=0, high=1000)
    items: int = param(20_000, "Of more items, a random sample of so many is measured.", low=LEAST, high=200_000)


ARMS = (Arm("measures", "Measures", "All that the features and the labels allow.", "baseline"),)
PRESETS = {
    "quick": Preset(seconds=10.0, seeds=(0,)),
    "smoke": Preset(seconds=3.0, seeds=(0,), params={"items": 300}),
}
CLAIMS = ()
VIEWS = ()
INPUTS = ("features",)


@dataclass(frozen=True)
class Measure:
    """One row of the table.

    Attributes:
        unit: "%" for shares in [0, 1], "" otherwise.
        better: "higher", "lower", or "" where neither is better in itself.
        meaning: a sentence for the reader, with the value that chance or a perfect representation has.
        items: how many it was taken on.
        low, high: 95% interval over items; NaN where there is none.
    """

    name: str
    title: str
    value: float
    unit: str
    better: str
    meaning: str
    items: int
    low: float = math.nan
    high: float = math.nan


def run(arm: str, params: Params, inputs: Inputs, record: Recorder) -> None:
    """Measures the features, and clusters them."""
    features = usable(inputs.features)
    chosen = sample(len(features.vectors), params.items, inputs.seed)
    vectors = torch.from_numpy(features.vectors)
    unit = normalize(vectors, dim=1)
    labels, names = present_classes(features)
    count = min(params.clusters or len(names) or WITHOUT_LABELS, len(np.unique(features.vectors[chosen], axis=0)))
    steps = 4 if names else 2
    record.progress(0, steps)
    found = list(spread(vectors[chosen], unit[chosen], inputs.seed))
    record.progress(1, steps)
    clusters = clustered(unit.numpy(), chosen, count, inputs.seed)
    found += [silhouette("silhouette_clusters", "Silhouette of the clusters", unit, clusters, chosen, inputs.seed)]
    record.matrix(0, "clusters", clusters)
    record.progress(2, steps)
    if names:
        known = chosen[labels[chosen] >= 0]
        found += with_labels(vectors[known], unit[known], torch.from_numpy(labels[known]), params.neighbours)
        record.progress(3, steps)
        found += [silhouette("silhouette_classes", "Silhouette of the classes", unit, labels, known, inputs.seed)]
        found += fit(labels[labels >= 0], clusters[labels >= 0])
    record.table("clusters", composition(clusters, labels, names))
    record.table("measures", [dataclasses.asdict(measure) for measure in found])
    record.result(
        items=len(vectors),
        measured=len(chosen),
        labelled=int((labels >= 0).sum()),
        classes=len(names),
        clusters=count,
        **{measure.name: measure.value for measure in found},
    )
    record.progress(steps, steps)


def usable(features: Features | None) -> Features:
    """The features as float32.

    Raises:
        ValueError: none, too few items, some not finite, or all the same, in words.
    """
    if features is None:
        raise ValueError("Geometry needs features: choose a snapshot.")
    vectors = np.asarray(features.vectors, dtype=np.float32)
    if len(vectors) < LEAST:
        raise ValueError(f"There are {len(vectors)} items; geometry needs {LEAST} or more.")
    broken = int((~np.isfinite(vectors).all(axis=1)).sum())
    if broken:
        raise ValueError(f"{broken} of {len(vectors)} items have features that are not finite; the model overflowed on them.")
    if (vectors == vectors[0]).all():
        raise ValueError("All items have the same features, so that nothing can be measured; choose another layer.")
    return dataclasses.replace(features, vectors=vectors, labels=np.asarray(features.labels, dtype=np.int64))


def sample(items: int, most: int, seed: int) -> np.ndarray:
    """Indices of all items, or of `most` of them at random, in order."""
    return np.arange(items) if items <= most else np.sort(np.random.default_rng(seed).choice(items, most, replace=False))


def present_classes(features: Features) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels (n,) of the classes that have items, numbered anew, -1 where there is none, and their names.

    With fewer than two classes there is nothing to tell apart: all labels are -1, and there are no names.
    """
    present = np.unique(features.labels[features.labels >= 0])
    labels = np.full(len(features.labels), -1)
    if len(present) < 2:
        return labels, ()
    known = features.labels >= 0
    labels[known] = np.searchsorted(present, features.labels[known])
    return labels, tuple(features.classes[label] if label < len(features.classes) else str(label) for label in present)


def spread(vectors: Tensor, unit: Tensor, seed: int) -> Iterator[Measure]:
    """Measures without labels, of vectors (n, d) and the same at length 1."""
    pairs = unit[sample(len(unit), PAIRED, seed)]
    most = min(len(vectors) - 1, vectors.shape[1])
    yield Measure(
        "uniformity", "Uniformity", uniformity(pairs), "", "higher",
        "How evenly directions cover the sphere: 0 where all are the same, about 4 where they are random in a large space.",
        len(pairs),
    )  # fmt: skip
    yield Measure(
        "effective_rank", "Effective rank", effective_rank(vectors), "", "",
        f"How many directions the features use evenly, of the {most:,} that are possible.", len(vectors),
    )  # fmt: skip


def clustered(unit: np.ndarray, chosen: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Cluster (n,) of every item by k-means, fitted on the chosen ones; the largest cluster is 0."""
    from sklearn.cluster import KMeans

    means = KMeans(count, n_init=STARTS if count <= MANY else 1, random_state=seed).fit(unit[chosen])
    clusters = means.predict(unit)
    order = np.argsort(-np.bincount(clusters, minlength=count), kind="stable")
    return np.argsort(order)[clusters].astype(np.int32)


def silhouette(name: str, title: str, unit: Tensor, groups: np.ndarray, chosen: np.ndarray, seed: int) -> Measure:
    """How much nearer items are to their own group than to the nearest other, on up to SILHOUETTE of the chosen ones."""
    from sklearn.metrics import silhouette_score

    asked = chosen[sample(len(chosen), SILHOUETTE, seed)]
    several = 1 < len(np.unique(groups[asked])) < len(asked)
    value = float(silhouette_score(unit[asked].numpy(), groups[asked])) if several else math.nan
    meaning = "How much nearer an item is to its own group than to the nearest other: 1 for groups far apart, 0 where they overlap."
    return Measure(name, title, value, "", "higher", meaning, len(asked))


def with_labels(vectors: Tensor, unit: Tensor, labels: Tensor, neighbours: int) -> Iterator[Measure]:
    """Measures of labelled vectors (n, d), the same at length 1, and labels (n,) from 0."""
    present, labels = labels.unique(return_inverse=True)  # a sample may have missed a class
    n, classes = len(labels), len(present)
    likeliest = labels.bincount().max().item() / n
    chance = f"always naming the most frequent class gives {likeliest:.1%}"
    yield share(
        "knn", "Nearest neighbours", neighbour_votes(unit, labels, neighbours) == labels,
        f"Items whose {min(neighbours, n - 1)} most similar others vote for their class; {chance}.",
    )  # fmt: skip
    yield Measure(
        "alignment", "Alignment", 2 - 2 * tolerance(unit.double(), labels), "", "lower",
        "Mean squared distance on the sphere of two items of a class: 0 where each class is one direction, 2 for unrelated ones.",
        n,
    )  # fmt: skip
    if classes < 2:
        return
    wide = vectors.double()
    means = class_means(wide, labels, classes)
    nearest = torch.cdist(wide, means).argmin(1)
    centred = means - wide.mean(0)
    lengths = centred.norm(dim=1)
    yield Measure(
        "nc1", "NC1, within-class variation", within_class_variation(wide, labels, classes).item(), "", "lower",
        "Variation within classes over variation between them: 0 where every class is one point.", n,
    )  # fmt: skip
    yield Measure(
        "nc2_lengths", "NC2, equal lengths", (lengths.std(correction=0) / lengths.mean()).item(), "", "lower",
        "How much the lengths of class means differ, as their deviation over their mean: 0 where they are equal.", classes,
    )  # fmt: skip
    yield Measure(
        "nc2_angles", "NC2, equal angles", geometry_distance(normalize(centred) @ normalize(centred).T, simplex(classes)).item(),
        "", "lower", "How far the angles between class means are from a simplex's, all equal and the widest possible: 0 there.",
        classes,
    )  # fmt: skip
    yield share("nc4", "NC4, nearest class mean", nearest == labels, f"Items whose nearest class mean is their own; {chance}.")


def share(name: str, title: str, right: Tensor, meaning: str) -> Measure:
    """A proportion of items with Wilson's interval."""
    low, high = wilson_interval(int(right.sum()), len(right))
    return Measure(name, title, right.double().mean().item(), "%", "higher", meaning, len(right), float(low), float(high))


def fit(labels: np.ndarray, clusters: np.ndarray) -> Iterator[Measure]:
    """How well clusters (n,) fit labels (n,)."""
    measures: tuple[tuple[str, str, str, Callable[[Any, Any], float], str], ...] = (
        ("nmi", "Clusters: mutual information", "", normalised_mutual_information,
         "What a cluster says about the class, from 0 for nothing to 1 for the same groups; many clusters raise it by chance."),
        ("ari", "Clusters: Rand index", "", adjusted_rand_index,
         "Agreement on which pairs of items belong together, adjusted: 0 by chance, 1 for the same groups."),
        ("clustering_accuracy", "Clusters: accuracy", "%", clustering_accuracy,
         "Items in the cluster that stands for their class in the best one-to-one matching; the rest count as wrong."),
    )  # fmt: skip
    for name, title, unit, measure, meaning in measures:
        yield Measure(name, title, measure(labels, clusters), unit, "higher", meaning, len(labels))


def composition(clusters: np.ndarray, labels: np.ndarray, names: tuple[str, ...]) -> list[dict[str, Any]]:
    """A row a cluster: its items, and where there are labels its most frequent class and that class's share of the labelled."""
    sizes = np.bincount(clusters)
    rows: list[dict[str, Any]] = [{"cluster": k, "items": int(items)} for k, items in enumerate(sizes)]
    if not names:
        return rows
    known = labels >= 0
    for row in rows:
        row |= {"class": "", "share": math.nan}
    for k, counts in zip(np.unique(clusters[known]), contingency(labels[known], clusters[known]).T, strict=True):
        rows[k] |= {"class": names[counts.argmax()], "share": float(counts.max() / counts.sum())}
    return rows
