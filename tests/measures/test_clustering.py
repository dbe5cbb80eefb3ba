"""Clustering measures: relabelling, constants, and matchings by trying all of them."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch

from core.measures.clustering import (
    adjusted_rand_index,
    clustering_accuracy,
    contingency,
    matched_clusters,
    normalised_mutual_information,
    purity,
)

MEASURES = (clustering_accuracy, purity, normalised_mutual_information, adjusted_rand_index)
LABELS = np.random.default_rng(0).integers(0, 4, 80)
CLUSTERS = np.where(np.random.default_rng(1).random(80) < 0.4, np.random.default_rng(2).integers(0, 4, 80), LABELS)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_relabelling_of_the_truth_is_perfect(measure):
    assert measure(LABELS, np.array([30, 5, 12, 7])[LABELS]) == pytest.approx(1.0)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_numbers_of_clusters_do_not_matter(measure):
    renamed = np.array([2, 0, 3, 1])[CLUSTERS]
    assert measure(LABELS, renamed) == pytest.approx(measure(LABELS, CLUSTERS))
    assert measure(torch.from_numpy(LABELS), torch.from_numpy(renamed)) == pytest.approx(measure(LABELS, CLUSTERS))


def test_one_cluster_gets_the_largest_class_right():
    largest = np.bincount(LABELS).max() / 80
    assert clustering_accuracy(LABELS, np.zeros(80, int)) == pytest.approx(largest)
    assert purity(LABELS, np.zeros(80, int)) == pytest.approx(largest)
    assert adjusted_rand_index(LABELS, np.zeros(80, int)) == normalised_mutual_information(LABELS, np.zeros(80, int)) == 0


def test_accuracy_is_the_best_of_all_matchings():
    counts = contingency(LABELS, CLUSTERS)
    best = max(sum(counts[k, order[k]] for k in range(4)) for order in permutations(range(4))) / 80
    assert clustering_accuracy(LABELS, CLUSTERS) == pytest.approx(best)
    stands_for = matched_clusters(LABELS, CLUSTERS)
    assert np.mean([stands_for[label] == cluster for label, cluster in zip(LABELS, CLUSTERS, strict=True)]) == pytest.approx(best)


def test_clusters_beyond_the_classes_are_wrong_but_pure():
    labels, clusters = np.repeat([0, 1], 10), np.repeat([0, 1, 2, 3], 5)
    assert clustering_accuracy(labels, clusters) == 0.5
    assert purity(labels, clusters) == 1.0
    assert len(matched_clusters(labels, clusters)) == 2


def test_chance_has_no_adjusted_agreement():
    rng = np.random.default_rng(3)
    found = [adjusted_rand_index(rng.integers(0, 5, 500), rng.integers(0, 5, 500)) for _ in range(20)]
    assert abs(np.mean(found)) < 0.005
