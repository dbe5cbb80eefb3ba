"""Retrieval on a line by hand, and against torchmetrics query by query."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from torchmetrics.functional.retrieval import retrieval_hit_rate, retrieval_r_precision

from core.measures.retrieval import mean_average_precision_at_r, neighbour_votes, r_precision, ranked_matches, recall_at_k

LINE = torch.tensor([[0.0], [1.0], [2.2], [2.9], [5.0], [6.1]])
LABELS = torch.tensor([0, 0, 0, 1, 1, 1])


def random_items(n: int = 60, classes: int = 5) -> tuple[torch.Tensor, torch.Tensor]:
    source = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (n,), generator=source)
    return torch.randn(n, 4, generator=source) + labels[:, None], labels


def test_map_at_r_on_a_line_by_hand():
    """R is 2; the queries have 1, 1, 0.25, 0, 1 and 1."""
    matches, relevant = ranked_matches(LINE, LABELS)
    assert relevant.tolist() == [2] * 6
    one_by_one = [mean_average_precision_at_r(matches[i : i + 1], relevant[i : i + 1]) for i in range(6)]
    assert one_by_one == [1.0, 1.0, 0.25, 0.0, 1.0, 1.0]
    assert mean_average_precision_at_r(matches, relevant) == pytest.approx(0.7083333333333334)


def test_the_others_on_a_line_by_hand():
    matches, relevant = ranked_matches(LINE, LABELS)
    assert recall_at_k(matches, relevant, 1) == pytest.approx(4 / 6)  # 2.2 finds 2.9 and 2.9 finds 2.2
    assert recall_at_k(matches, relevant, 2) == pytest.approx(5 / 6)
    assert r_precision(matches, relevant) == pytest.approx((1 + 1 + 0.5 + 0 + 1 + 1) / 6)


def test_torchmetrics_agrees_query_by_query():
    vectors, labels = random_items()
    matches, relevant = ranked_matches(vectors, labels, depth=59)
    similarity = -torch.cdist(vectors, vectors)
    others = ~torch.eye(60, dtype=torch.bool)
    same = labels[:, None] == labels
    for measure, expected in (
        (r_precision(matches, relevant), retrieval_r_precision),
        (recall_at_k(matches, relevant, 4), lambda scores, target: retrieval_hit_rate(scores, target, top_k=4)),
    ):
        each = [expected(similarity[i][others[i]], same[i][others[i]]).item() for i in range(60)]
        assert measure == pytest.approx(sum(each) / 60, abs=1e-6)


def test_perfect_neighbours_score_one_and_scale_does_not_matter():
    labels = torch.arange(4).repeat(5)
    vectors = torch.eye(4)[labels] + 0.01 * torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    for similarity, scale in (("euclidean", 1.0), ("cosine", torch.rand(20, 1) + 0.5)):
        matches, relevant = ranked_matches(vectors * scale, labels, similarity=similarity)
        assert mean_average_precision_at_r(matches, relevant) == r_precision(matches, relevant) == 1.0


def test_queries_of_their_own_and_in_batches():
    vectors, labels = random_items()
    queries, query_labels = vectors[:7] + 0.05, labels[:7]
    matches, relevant = ranked_matches(vectors, labels, queries=queries, query_labels=query_labels, batch_size=3)
    assert relevant.tolist() == [int((labels == label).sum()) for label in query_labels]
    nearest = torch.cdist(queries, vectors).argsort(1)
    assert torch.equal(matches, (labels[nearest] == query_labels[:, None])[:, : matches.shape[1]])


def test_batches_do_not_change_who_is_left_out():
    vectors, labels = random_items()
    assert torch.equal(ranked_matches(vectors, labels, batch_size=7)[0], ranked_matches(vectors, labels)[0])


def test_an_item_alone_in_its_class_is_left_out():
    vectors, labels = torch.cat([LINE, torch.tensor([[100.0]])]), torch.cat([LABELS, torch.tensor([2])])
    matches, relevant = ranked_matches(vectors, labels)
    assert relevant.tolist() == [2] * 6 + [0]
    assert mean_average_precision_at_r(matches, relevant) == pytest.approx(0.7083333333333334)


def test_too_few_ranked_neighbours_are_refused():
    matches, relevant = ranked_matches(LINE, LABELS, depth=1)
    with pytest.raises(ValueError, match="2 neighbours are needed, 1 were ranked"):
        r_precision(matches, relevant)


def test_votes_are_those_of_scikit_learn_leaving_one_out():
    vectors, labels = random_items()
    voters = KNeighborsClassifier(7, metric="cosine", weights=lambda distances: np.exp(-distances / 0.07))
    theirs = cross_val_predict(voters, vectors.numpy(), labels.numpy(), cv=LeaveOneOut())
    assert neighbour_votes(vectors, labels, k=7).tolist() == theirs.tolist()
    assert neighbour_votes(vectors, labels, k=7, batch_size=11).tolist() == theirs.tolist()


def test_an_item_does_not_vote_for_itself_and_of_few_items_all_others_vote():
    assert neighbour_votes(torch.eye(3) + 1, torch.tensor([0, 1, 1]), k=20).tolist() == [1, 0, 0]
