"""Measures of representations against values by hand, invariances, and scikit-learn."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors
from torch.nn.functional import normalize

from core.measures.representation import (
    alignment,
    effective_rank,
    few_shot_probe,
    linear_cka,
    linear_probe,
    matched_neurons,
    nearest_neighbour_accuracy,
    neighbour_overlap,
    tolerance,
    uniformity,
)


@pytest.fixture
def sphere() -> torch.Tensor:
    return normalize(torch.randn(40, 6, generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def rotation() -> torch.Tensor:
    return torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))[0]


@pytest.fixture
def clouds():
    """Three overlapping clouds: training vectors and labels, test vectors and labels."""
    draw = np.random.RandomState(0)
    labels = draw.randint(3, size=240)
    vectors = 1.5 * np.eye(3)[labels] @ draw.randn(3, 5) + draw.randn(240, 5)
    vectors, labels = torch.from_numpy(vectors).float(), torch.from_numpy(labels)
    return vectors[:160], labels[:160], vectors[160:], labels[160:]


class TestSpread:
    def test_uniformity_by_hand(self):
        assert uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]])) == pytest.approx(8)
        assert uniformity(torch.tensor([[1.0, 0.0], [0.0, 1.0]])) == pytest.approx(4)
        assert uniformity(torch.ones(5, 1)) == pytest.approx(0, abs=1e-6)
        three = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])  # squared distances 2, 2, 4
        assert uniformity(three, t=1) == pytest.approx(-math.log((2 * math.exp(-2) + math.exp(-4)) / 3))

    def test_tolerance_is_the_mean_over_pairs_of_one_class(self, sphere):
        labels = torch.arange(40) % 3
        pairs = [sphere[i] @ sphere[j] for i in range(40) for j in range(40) if i != j and labels[i] == labels[j]]
        assert tolerance(sphere, labels) == pytest.approx(float(torch.stack(pairs).mean()), abs=1e-6)

    def test_tolerance_is_one_where_each_class_is_a_point_wherever_it_is(self, sphere):
        labels = torch.arange(5).repeat(4)
        assert tolerance(sphere[:5][labels], labels) == pytest.approx(1)
        assert math.isnan(tolerance(sphere[:5], torch.arange(5)))

    def test_turning_all_vectors_changes_nothing(self, sphere, rotation):
        labels = torch.arange(40) % 3
        turned = sphere @ rotation
        assert uniformity(turned) == pytest.approx(uniformity(sphere), rel=1e-5)
        assert tolerance(turned, labels) == pytest.approx(tolerance(sphere, labels), rel=1e-4)
        assert effective_rank(turned) == pytest.approx(effective_rank(sphere), rel=1e-5)
        assert alignment(turned, turned.roll(1, 0)) == pytest.approx(alignment(sphere, sphere.roll(1, 0)), rel=1e-5)

    def test_alignment_of_antipodes_is_four(self, sphere):
        assert alignment(sphere, sphere) == 0
        assert alignment(sphere, -sphere) == pytest.approx(4)

    def test_effective_rank_by_hand(self):
        cross = torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])  # singular values as 3 to 1
        by_hand = math.exp(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))
        assert effective_rank(cross + 7) == pytest.approx(by_hand)
        by_hand = math.exp(-0.9 * math.log(0.9) - 0.1 * math.log(0.1))
        assert effective_rank(cross, of="eigenvalues") == pytest.approx(by_hand)

    def test_cka_ignores_axes_scale_and_place(self, sphere, rotation):
        assert linear_cka(sphere, 3 * sphere @ rotation + 1) == pytest.approx(1, abs=1e-5)
        corners = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
        assert linear_cka(corners, torch.tensor([[1.0], [0.0], [-1.0], [0.0]])) == pytest.approx(0.5**0.5)
        assert linear_cka(corners[:, :1], corners[:, 1:]) == pytest.approx(0)


class TestTwoRepresentations:
    def test_neighbours_are_those_of_scikit_learn(self, clouds):
        first, second = clouds[0], clouds[0][:, :2]
        nearest = [NearestNeighbors(n_neighbors=7).fit(part).kneighbors(return_distance=False) for part in (first, second)]
        theirs = [len(set(a) & set(b)) / 7 for a, b in zip(*nearest, strict=True)]
        assert neighbour_overlap(first, second, k=7).tolist() == pytest.approx(theirs)
        some = torch.tensor([5, 90, 3])
        assert neighbour_overlap(first, second, k=7, queries=some).tolist() == pytest.approx([theirs[i] for i in some])

    def test_turning_and_scaling_keep_all_neighbours_and_chance_keeps_few(self, sphere, rotation):
        assert neighbour_overlap(sphere, 3 * sphere @ rotation + 1).min() == 1
        draw = torch.Generator().manual_seed(2)
        one, other = torch.randn(600, 4, generator=draw), torch.randn(600, 4, generator=draw)
        assert neighbour_overlap(one, other, k=30).mean().item() == pytest.approx(30 / 599, abs=0.01)
        assert neighbour_overlap(sphere[:3], sphere[:3], k=10).tolist() == [1, 1, 1]

    def test_neurons_are_found_again_after_a_shuffle_and_a_change_of_signs(self, sphere):
        order, signs = torch.tensor([3, 0, 5, 1, 4, 2]), torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0])
        rows, columns, correlations = matched_neurons(sphere, 2 * (sphere * signs)[:, order] + 1)
        assert order[columns].tolist() == rows.tolist()
        assert correlations.tolist() == pytest.approx(signs[rows].tolist())

    def test_the_matching_is_the_best_of_all(self, sphere):
        first, second = sphere[:, :3], sphere @ torch.randn(6, 3, generator=torch.Generator().manual_seed(4))
        table = np.abs(np.corrcoef(first.T, second.T)[:3, 3:])
        best = max(sum(table[row, column] for row, column in enumerate(order)) for order in permutations(range(3)))
        assert np.abs(matched_neurons(first, second)[2]).sum() == pytest.approx(best)

    def test_a_neuron_that_never_changes_matches_with_zero(self):
        first = torch.tensor([[1.0, 7.0], [2.0, 7.0], [4.0, 7.0]])
        rows, columns, correlations = matched_neurons(first, first)
        assert (rows.tolist(), columns.tolist(), correlations.tolist()) == ([0, 1], [0, 1], [1, 0])


class TestClassifiers:
    def test_votes_weigh_by_similarity(self):
        train = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        query, labels = torch.tensor([[0.8, 0.6]]), torch.tensor([0, 1, 1])
        # two votes of exp(0.6 / T) against one of exp(0.8 / T): the one wins where 0.2 / T > log 2
        assert nearest_neighbour_accuracy(train, labels, query, torch.tensor([0]), k=3, temperature=0.28) == 1
        assert nearest_neighbour_accuracy(train, labels, query, torch.tensor([1]), k=3, temperature=0.30) == 1

    def test_it_is_scikit_learn_s_where_all_votes_count_alike(self, clouds):
        train, labels, test, test_labels = clouds
        theirs = KNeighborsClassifier(9, metric="cosine").fit(train, labels).score(test, test_labels)
        assert nearest_neighbour_accuracy(*clouds, k=9, temperature=1e6) == pytest.approx(theirs, abs=2 / 80)  # ties go either way

    def test_the_linear_probe_standardises_and_fits_all_labels(self, clouds):
        train, labels, test, test_labels = (part.numpy() for part in clouds)
        mean, deviation = train.mean(0), train.std(0)
        theirs = LogisticRegression(max_iter=1000).fit((train - mean) / deviation, labels)
        assert linear_probe(*clouds) == theirs.score((test - mean) / deviation, test_labels)
        shifted = [(part * torch.tensor([1, 10, 100, 1, 1]) + 5) if part.ndim == 2 else part for part in clouds]
        assert linear_probe(*shifted) == linear_probe(*clouds)

    def test_few_labels_do_worse_and_all_labels_do_as_the_linear_probe(self, clouds):
        assert few_shot_probe(*clouds, shots=1) < linear_probe(*clouds)
        assert few_shot_probe(*clouds, shots=160, draws=2) == pytest.approx(linear_probe(*clouds), abs=1 / 80)

    def test_a_direction_without_variance_does_no_harm(self, clouds):
        train, labels, test, test_labels = clouds
        with_constant = [torch.cat([part, torch.ones(len(part), 1)], 1) for part in (train, test)]
        assert linear_probe(with_constant[0], labels, with_constant[1], test_labels) == linear_probe(*clouds)

    def test_clear_classes_are_told_apart_by_every_classifier(self):
        vectors, labels = torch.eye(4).repeat(10, 1), torch.arange(4).repeat(10)
        for accuracy in (nearest_neighbour_accuracy, linear_probe, few_shot_probe):
            assert accuracy(vectors, labels, vectors, labels) == 1
