"""How far features and classifiers have collapsed: class means, within-class variation, and the distance to a given geometry.

Functions take any leading batch axes. Features are rows: (..., n, d), with labels (n,) shared by the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor


def class_means(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Mean features of each class, (..., classes, d); NaN where a class has no sample.

    >>> class_means(torch.tensor([[1.0], [3.0], [5.0]]), torch.tensor([0, 0, 1]), 2).tolist()
    [[2.0], [5.0]]
    """
    members = torch.nn.functional.one_hot(labels, classes).to(features.dtype)  # (n, classes)
    return (members.mT @ features) / members.sum(0)[:, None]


def within_class_variation(features: Tensor, labels: Tensor, classes: int, cutoff: float = 1e-6) -> Tensor:
    """NC1 (Papyan, Han and Donoho 2020): tr(Sigma_W Sigma_B^+) / classes, (...); 0 where every feature equals its class mean.

    Sigma_W averages over samples, Sigma_B over the class means around the mean of all samples. The pseudo-inverse takes singular
    values below `cutoff` times the largest as zero: the rank is at most classes - 1.
    """
    means = class_means(features, labels, classes)
    within = features - means[..., labels, :]
    between = means - features.mean(-2, keepdim=True)
    sigma_w = within.mT @ within / features.shape[-2]
    sigma_b = between.mT @ between / classes
    return (sigma_w @ torch.linalg.pinv(sigma_b, rtol=cutoff, hermitian=True)).diagonal(dim1=-2, dim2=-1).sum(-1) / classes


def geometry_distance(matrix: Tensor, geometry: Tensor) -> Tensor:
    """Frobenius distance of two matrices (..., a, b) after each is divided by its own norm: 0 where they agree up to scale.

    >>> round(geometry_distance(torch.eye(4, dtype=torch.float64), simplex(4).double()).item(), 12)
    0.517638090205
    """
    return torch.linalg.matrix_norm(unit(matrix) - unit(geometry))


def unit(matrix: Tensor) -> Tensor:
    """A matrix (..., a, b) divided by its Frobenius norm."""
    return matrix / torch.linalg.matrix_norm(matrix, keepdim=True)


def simplex(classes: int) -> Tensor:
    """Gram matrix of a simplex equiangular tight frame up to scale: I - 1 1' / classes."""
    return torch.eye(classes, dtype=torch.float64) - 1 / classes
