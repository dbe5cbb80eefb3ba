"""How good vectors are as representations: how they spread, how alike two are, and how well simple classifiers do on them.

Measures of spread take tensors; alignment, uniformity and tolerance expect vectors of length 1 (torch.nn.functional.normalize).
Probes take tensors or arrays. Accuracies are shares, in [0, 1].
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize, one_hot

# --- spread ---------------------------------------------------------------------------------------------------------


def alignment(first: Tensor, second: Tensor) -> float:
    """Mean squared distance of positive pairs: smaller is better aligned (Wang and Isola 2020, eq. 1 with alpha 2).

    Args:
        first, second: (n, d) of length 1; row i of both is a pair.

    >>> alignment(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    2.0
    """
    return (first - second).square().sum(1).mean().item()


def uniformity(vectors: Tensor, t: float = 2.0) -> float:
    r"""$-\log$ of the mean of $e^{-t\lVert x-y\rVert^2}$ over pairs $x\neq y$: larger is more evenly spread over the sphere.

    It is Wang and Isola's (2020, eq. 3) uniformity loss with the opposite sign, 0 where all vectors are the same. Every pair counts
    once, none with itself; memory grows with the pairs: 200 MB for 10,000 vectors.

    Args:
        vectors: (n, d) of length 1.

    >>> uniformity(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
    8.0
    """
    exponents = -t * torch.pdist(vectors).square()  # (n (n - 1) / 2,)
    return math.log(len(exponents)) - exponents.logsumexp(0).item()


def tolerance(vectors: Tensor, labels: Tensor) -> float:
    """Mean similarity of two different vectors of one class, over all such pairs (Wang and Liu 2021, section 4.2).

    1 where each class is one point, wherever the points are. NaN where no class has two vectors.

    Args:
        vectors: (n, d) of length 1.
        labels: (n,) integers from 0.

    >>> round(tolerance(torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]), torch.tensor([0, 0, 1])), 6)
    0.6
    """
    members = one_hot(labels).to(vectors)  # (n, classes)
    sums = members.T @ vectors  # (classes, d): the squared length of a sum is the sum over all ordered pairs
    counts = members.sum(0)
    pairs = (counts * (counts - 1)).sum()
    return ((sums.square().sum() - vectors.square().sum()) / pairs).item()


def effective_rank(vectors: Tensor, of: Literal["singular values", "eigenvalues"] = "singular values") -> float:
    """How many directions the centred vectors use: exp of the entropy of a normalised spectrum (Roy and Vetterli 2007).

    Args:
        vectors: (n, d).
        of: the singular values of the centred vectors, or the eigenvalues of their covariance, which are those squared and
            give a smaller number.

    >>> round(effective_rank(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])), 6)
    2.0
    """
    values = torch.linalg.svdvals(vectors - vectors.mean(0))
    if of == "eigenvalues":
        values = values.square()
    shares = values / values.sum()
    return torch.special.entr(shares).sum().exp().item()


# --- two representations of the same items ------------------------------------------------------------------------------


def linear_cka(first: Tensor, second: Tensor) -> float:
    """Similarity of two representations of the same items, whatever their axes and scale (Kornblith et al. 2019, eq. 5).

    Args:
        first, second: (n, d) and (n, e); row i of both is one item. Columns are centred here.

    >>> round(linear_cka(torch.eye(3), 5 * torch.eye(3).flip(1)), 6)
    1.0
    """
    x, y = (vectors - vectors.mean(0) for vectors in (first, second))
    return ((x.T @ y).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())).item()


def neighbour_overlap(first: Tensor, second: Tensor, k: int = 10, queries: Tensor | None = None) -> Tensor:
    """Of each item's k nearest in one representation, the share that is also among its k nearest in the other.

    Nearness is Euclidean; of unit vectors it is that of the cosine. An item is not its own neighbour. For representations that
    have nothing to do with each other the expected share is k / (n - 1).

    Args:
        first, second: (n, d) and (n, e); row i of both is one item.
        k: at most n - 1 count.
        queries: (m,) indices of the items that are asked for; all by default.

    Returns:
        (m,) shares in [0, 1].

    >>> line = torch.tensor([[0.0], [1.0], [3.0], [6.0]])
    >>> neighbour_overlap(line, torch.tensor([[0.0], [5.0], [4.0], [7.0]]), k=1).tolist()
    [0.0, 0.0, 1.0, 0.0]
    """
    asked = torch.arange(len(first), device=first.device) if queries is None else queries
    k = min(k, len(first) - 1)
    shares = []
    for batch in asked.split(max(1, 4_000_000 // len(first))):
        nearest = []
        for vectors in (first, second):
            distances = torch.cdist(vectors[batch], vectors)  # (batch, n)
            distances[torch.arange(len(batch)), batch] = math.inf
            nearest.append(distances.topk(k, largest=False).indices)
        shares.append((nearest[0][:, :, None] == nearest[1][:, None, :]).any(2).double().mean(1))
    return torch.cat(shares)


def matched_neurons(first: Tensor, second: Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The best one-to-one matching of the columns of two representations, by the size of their correlation (Li et al. 2016).

    A column that never changes has a correlation of 0 with all others.

    Args:
        first, second: (n, d) and (n, e); row i of both is one item.

    Returns:
        columns of the first, those of the second that they match, and their correlations, each (min(d, e),), the most alike first.

    >>> values = torch.tensor([[1.0, 0.0], [2.0, 5.0], [3.0, 1.0]])
    >>> matched_neurons(values, -values.flip(1))
    (array([0, 1]), array([1, 0]), array([-1., -1.]))
    """
    from scipy.optimize import linear_sum_assignment

    x, y = (normalize((vectors - vectors.mean(0)).double(), dim=0) for vectors in (first, second))
    correlations = (x.T @ y).cpu().numpy()  # (d, e)
    rows, columns = linear_sum_assignment(np.abs(correlations), maximize=True)
    found = correlations[rows, columns].round(12)
    order = np.argsort(-np.abs(found), kind="stable")
    return rows[order], columns[order], found[order]


# --- classifiers ------------------------------------------------------------------------------------------------------


def nearest_neighbour_accuracy(
    train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor, k: int = 20, temperature: float = 0.07
) -> float:
    """Accuracy of a vote of the k most similar training vectors, each weighing exp(cosine / temperature) (Wu et al. 2018).

    Args:
        train, test: (n, d) and (m, d), of any length.
        train_labels, test_labels: (n,) and (m,) integers from 0.
        k: at most n count.

    >>> axes = torch.eye(3)
    >>> nearest_neighbour_accuracy(axes, torch.tensor([0, 1, 2]), axes[:2], torch.tensor([0, 2]), k=1)
    0.5
    """
    known, asked = normalize(train), normalize(test)
    classes = int(train_labels.max()) + 1
    right = 0
    for vectors, labels in zip(asked.split(2048), test_labels.split(2048), strict=True):
        similarities, nearest = (vectors @ known.T).topk(min(k, len(known)))  # (m, k)
        weights = ((similarities - 1) / temperature).exp()  # at most 1, so that a small temperature cannot overflow
        votes = weights.new_zeros(len(vectors), classes).scatter_add_(1, train_labels[nearest], weights)
        right += int((votes.argmax(1) == labels).sum())
    return right / len(test)


def linear_probe(train: Any, train_labels: Any, test: Any, test_labels: Any, C: float = 1.0) -> float:
    """Accuracy of multinomial logistic regression on vectors standardised by the training vectors.

    Args:
        train, test: (n, d) and (m, d) tensors or arrays.
        train_labels, test_labels: (n,) and (m,) integers.
        C: scikit-learn's inverse strength of the L2 penalty.
    """
    train, test = standardised(_array(train), _array(test))
    return _fitted(train, _array(train_labels), C).score(test, _array(test_labels))


def few_shot_probe(
    train: Any, train_labels: Any, test: Any, test_labels: Any, shots: int = 5, draws: int = 5, C: float = 1.0
) -> float:
    """As linear_probe with only `shots` labels a class; mean accuracy over draws of which vectors are labelled.

    Draw r takes the first `shots` of each class in the order of numpy's RandomState(r).permutation: the same for every
    representation of the same data. All training vectors, labelled or not, standardise.

    Args:
        shots: a class that has fewer gives all it has.
    """
    train, test = standardised(_array(train), _array(test))
    train_labels, test_labels = _array(train_labels), _array(test_labels)
    scores = []
    for draw in range(draws):
        order = np.random.RandomState(draw).permutation(len(train))
        labelled = np.concatenate([order[train_labels[order] == label][:shots] for label in np.unique(train_labels)])
        scores.append(_fitted(train[labelled], train_labels[labelled], C).score(test, test_labels))
    return float(np.mean(scores))


def probes(train: Tensor, train_labels: Tensor, test: Tensor, test_labels: Tensor) -> dict[str, float]:
    """The three accuracies that the contrastive papers report, with their usual settings: knn, linear and few_shot."""
    return {
        "knn": nearest_neighbour_accuracy(train, train_labels, test, test_labels),
        "linear": linear_probe(train, train_labels, test, test_labels),
        "few_shot": few_shot_probe(train, train_labels, test, test_labels),
    }


def standardised(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both minus the mean of the training vectors, divided by their standard deviation where that is not zero, by column."""
    deviation = train.std(0)
    deviation[deviation == 0] = 1
    return (train - train.mean(0)) / deviation, (test - train.mean(0)) / deviation


def _fitted(vectors: np.ndarray, labels: np.ndarray, C: float) -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=C, max_iter=1000).fit(vectors, labels)


def _array(values: Any) -> np.ndarray:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
