"""Classes as points: their means, distances to them, and the nearest one. Leading axes (...) are batches, such as tasks."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import normalize, one_hot


def centred_and_normalised(vectors: Tensor, mean: Tensor) -> Tensor:
    """Vectors (..., d) minus a mean (d,), then of length 1: the features of SimpleShot (Wang et al. 2019, "CL2N").

    The mean is that of the training classes, never of the vectors at hand.
    """
    return normalize(vectors - mean, dim=-1)


def class_means(vectors: Tensor, labels: Tensor, classes: int) -> Tensor:
    """The mean (..., classes, d) of each class's vectors; NaN where a class has none.

    >>> import torch
    >>> class_means(torch.tensor([[0.0], [2.0], [5.0]]), torch.tensor([0, 0, 1]), 2).flatten().tolist()
    [1.0, 5.0]

    Args:
        vectors: (..., n, d). labels: (..., n) from 0 to classes - 1.
    """
    members = one_hot(labels, classes).to(vectors).mT  # (..., classes, n)
    return members @ vectors / members.sum(-1, keepdim=True)


def squared_distances(vectors: Tensor, prototypes: Tensor) -> Tensor:
    """Squared Euclidean distances (..., n, k) of vectors (..., n, d) to prototypes (..., k, d).

    >>> import torch
    >>> squared_distances(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]])).tolist()
    [[25.0, 1.0]]
    """
    lengths = vectors.square().sum(-1, keepdim=True) + prototypes.square().sum(-1).unsqueeze(-2)
    return (lengths - 2 * vectors @ prototypes.mT).clamp(min=0)


def nearest_prototype(vectors: Tensor, prototypes: Tensor) -> Tensor:
    """The index (..., n) of the prototype nearest to each vector."""
    return squared_distances(vectors, prototypes).argmin(-1)
