"""How well clusters found without labels agree with classes. Which cluster has which number never matters."""

from __future__ import annotations

from typing import Any

import numpy as np


def contingency(labels: Any, clusters: Any) -> np.ndarray:
    """Counts (classes, clusters) of items by true class and found cluster, both in the order of their sorted values.

    >>> contingency([0, 0, 1], [5, 7, 7]).tolist()
    [[1, 1], [0, 1]]
    """
    from sklearn.metrics.cluster import contingency_matrix

    return contingency_matrix(_integers(labels), _integers(clusters))


def matched_clusters(labels: Any, clusters: Any) -> dict[int, int]:
    """The cluster that stands for each class in the best one-to-one matching (Hungarian method), by the values of both.

    Where there are fewer clusters than classes, some classes have none; where there are more, some clusters stand for nothing.
    """
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(contingency(labels, clusters), maximize=True)
    classes, found = np.unique(_integers(labels)), np.unique(_integers(clusters))
    return {int(classes[row]): int(found[column]) for row, column in zip(rows, columns, strict=True)}


def clustering_accuracy(labels: Any, clusters: Any) -> float:
    """The share of items in the cluster that stands for their class in the best one-to-one matching; the other clusters are wrong.

    >>> clustering_accuracy([0, 0, 1, 1], [1, 1, 0, 2])
    0.75
    """
    from scipy.optimize import linear_sum_assignment

    counts = contingency(labels, clusters)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / counts.sum())


def purity(labels: Any, clusters: Any) -> float:
    """The share of items in the majority class of their cluster; it rises with the number of clusters.

    >>> purity([0, 0, 1, 1], [1, 1, 0, 2])
    1.0
    """
    counts = contingency(labels, clusters)
    return float(counts.max(axis=0).sum() / counts.sum())


def normalised_mutual_information(labels: Any, clusters: Any) -> float:
    """Mutual information of classes and clusters over the arithmetic mean of their entropies, in [0, 1]."""
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(_integers(labels), _integers(clusters)))


def adjusted_rand_index(labels: Any, clusters: Any) -> float:
    """Agreement on which pairs belong together, 0 for chance and 1 for the same partition (Hubert and Arabie 1985)."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(_integers(labels), _integers(clusters)))


def _integers(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
