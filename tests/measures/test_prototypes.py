"""Prototypes against loops and scikit-learn."""

from __future__ import annotations

import torch
from sklearn.neighbors import NearestCentroid

from core.measures.prototypes import centred_and_normalised, class_means, nearest_prototype, squared_distances


def some(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_nearest_class_means_are_scikit_learn_s_nearest_centroids():
    train, test, labels = some(60, 5), some(40, 5, seed=1), torch.arange(4).repeat(15)
    expected = NearestCentroid().fit(train.numpy(), labels.numpy()).predict(test.numpy())
    assert nearest_prototype(test, class_means(train, labels, 4)).tolist() == expected.tolist()


def test_a_batch_is_like_each_of_it():
    vectors, labels = some(3, 12, 5), torch.stack([torch.randperm(12) % 4 for _ in range(3)])
    together = class_means(vectors, labels, 4)
    for one, mean in enumerate(together):
        torch.testing.assert_close(mean, torch.stack([vectors[one][labels[one] == k].mean(0) for k in range(4)]))
    torch.testing.assert_close(squared_distances(vectors, together)[1], squared_distances(vectors[1], together[1]))


def test_a_class_without_vectors_has_no_mean():
    assert class_means(some(3, 2), torch.tensor([0, 0, 2]), 3)[1].isnan().all()


def test_squared_distances_are_those_of_cdist_and_never_negative():
    vectors, prototypes = some(20, 6), some(4, 6, seed=1)
    torch.testing.assert_close(squared_distances(vectors, prototypes), torch.cdist(vectors, prototypes) ** 2)
    far = some(50, 6).float() + 1000
    assert squared_distances(far, far).min() >= 0


def test_features_have_length_one_about_a_given_mean():
    vectors, mean = some(9, 4) + 3, torch.full((4,), 3.0, dtype=torch.float64)
    found = centred_and_normalised(vectors, mean)
    torch.testing.assert_close(found.norm(dim=1), torch.ones(9, dtype=torch.float64))
    torch.testing.assert_close(found * (vectors - mean).norm(dim=1, keepdim=True), vectors - mean)
