"""How well the nearest neighbours of an item share its class: recall at k, R-precision, MAP@R (Musgrave et al. 2020).

    matches, relevant = ranked_matches(vectors, labels)
    recall_at_k(matches, relevant, 1), mean_average_precision_at_r(matches, relevant)

One ranking serves all measures. An item with no other of its class has no answer: every measure leaves it out of its mean.
`neighbour_votes` predicts instead: the class that an item's neighbours vote for.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import normalize

Similarity = Literal["euclidean", "cosine"]


def ranked_matches(
    vectors: Tensor,
    labels: Tensor,
    *,
    depth: int | None = None,
    similarity: Similarity = "euclidean",
    queries: Tensor | None = None,
    query_labels: Tensor | None = None,
    batch_size: int = 1024,
) -> tuple[Tensor, Tensor]:
    """Ranks the items for each query, nearest first, and says which are of the query's class.

    Args:
        vectors, labels: (n, d) and (n,), what is searched.
        depth: how many neighbours to rank; without it, as many as the most frequent class has, enough for MAP@R.
        queries, query_labels: (m, d) and (m,); without them every item is a query, and never its own neighbour.

    Returns:
        matches: (m, depth) boolean.
        relevant: (m,) R, how many items of its class a query can find.
    """
    searching_itself = queries is None
    if queries is None or query_labels is None:
        queries, query_labels = vectors, labels
    if similarity == "cosine":  # on the unit sphere the order is the same
        vectors, queries = normalize(vectors, dim=1), normalize(queries, dim=1)
    limit = len(vectors) - searching_itself
    depth = min(depth or int(labels.unique(return_counts=True)[1].max()), limit)
    matches = []
    for start in range(0, len(queries), batch_size):
        distances = torch.cdist(queries[start : start + batch_size], vectors, compute_mode="donot_use_mm_for_euclid_dist")
        if searching_itself:
            row = torch.arange(len(distances), device=distances.device)
            distances[row, start + row] = torch.inf
        nearest = distances.topk(depth, dim=1, largest=False).indices
        matches.append(labels[nearest] == query_labels[start : start + batch_size, None])
    values, counts = labels.unique(return_counts=True)
    relevant = ((query_labels[:, None] == values) * counts).sum(1) - int(searching_itself)
    return torch.cat(matches), relevant.clamp(min=0)


def recall_at_k(matches: Tensor, relevant: Tensor, k: int) -> float:
    """The share of queries with an item of their class among the k nearest (the convention of metric learning).

    >>> recall_at_k(torch.tensor([[True, False], [False, True]]), torch.tensor([1, 1]), 1)
    0.5
    """
    _expect_depth(matches, k)
    return matches[relevant > 0, :k].any(1).double().mean().item()


def r_precision(matches: Tensor, relevant: Tensor) -> float:
    """The share of a query's R nearest that are of its class, mean over queries."""
    within = _within_r(matches, relevant)
    answerable = relevant > 0
    return ((matches & within).sum(1)[answerable] / relevant[answerable].double()).mean().item()


def mean_average_precision_at_r(matches: Tensor, relevant: Tensor) -> float:
    """MAP@R: the mean over a query's R nearest of the precision so far where one is of its class, else 0; mean over queries.

    >>> mean_average_precision_at_r(torch.tensor([[True, False], [False, True]]), torch.tensor([2, 2]))
    0.375
    """
    within = _within_r(matches, relevant)
    rank = torch.arange(1, matches.shape[1] + 1, device=matches.device)
    precision = matches.cumsum(1) / rank.double()  # (m, depth)
    answerable = relevant > 0
    return ((precision * (matches & within)).sum(1)[answerable] / relevant[answerable]).mean().item()


def neighbour_votes(vectors: Tensor, labels: Tensor, k: int = 20, temperature: float = 0.07, batch_size: int = 1024) -> Tensor:
    """The class that each item's k most similar others vote for, a vote weighing exp(cosine / temperature) (Wu et al. 2018).

    No item votes for itself, so that the share that fits the labels is a leave-one-out accuracy. It needs no training.

    Args:
        vectors: (n, d), of any length but 0.
        labels: (n,) integers from 0.
        k: at most n - 1 count.

    Returns:
        (n,) labels.

    >>> directions = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> neighbour_votes(directions, torch.tensor([0, 0, 1, 2]), k=1).tolist()
    [0, 0, 2, 1]
    """
    unit = normalize(vectors, dim=1)
    classes = int(labels.max()) + 1
    voted = []
    for start in range(0, len(unit), batch_size):
        cosines = unit[start : start + batch_size] @ unit.T  # (batch, n)
        row = torch.arange(len(cosines), device=cosines.device)
        cosines[row, start + row] = -torch.inf
        similarities, nearest = cosines.topk(min(k, len(unit) - 1), dim=1)
        weights = ((similarities - 1) / temperature).exp()  # at most 1, so that a small temperature cannot overflow
        voted.append(weights.new_zeros(len(cosines), classes).scatter_add_(1, labels[nearest], weights).argmax(1))
    return torch.cat(voted)


def _within_r(matches: Tensor, relevant: Tensor) -> Tensor:
    _expect_depth(matches, int(relevant.max()))
    return torch.arange(matches.shape[1], device=matches.device) < relevant[:, None]


def _expect_depth(matches: Tensor, depth: int) -> None:
    if matches.shape[1] < depth:
        raise ValueError(f"{depth} neighbours are needed, {matches.shape[1]} were ranked; ask ranked_matches for more depth.")
