"""Few-shot tasks: what every draw must satisfy, and that draws are fair."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.data.episodes import different, draw_episodes, split_classes
from core.data.images import Images

SIZES = (40, 25, 31, 60, 28, 33)
LABELS = np.random.default_rng(0).permutation(np.repeat(np.array([7, 1, 4, 9, 0, 12]), SIZES))  # in no order, with gaps


def draw(tasks: int = 50, seed: int = 0, **options):
    settings = {"ways": 4, "shots": 3, "queries": 5} | options
    return draw_episodes(LABELS, tasks=tasks, rng=np.random.default_rng(seed), **settings)


def test_items_are_of_the_task_s_classes_and_none_comes_twice():
    episodes = draw()
    labels = torch.from_numpy(LABELS)
    assert (labels[episodes.support] == episodes.classes[:, :, None]).all()
    assert (labels[episodes.queries] == episodes.classes.gather(1, episodes.query_labels)).all()
    items = torch.cat([episodes.support.flatten(1), episodes.queries], dim=1)
    assert all(len(row.unique()) == 4 * 8 for row in items)
    assert all(len(row.unique()) == 4 for row in episodes.classes)


def test_even_tasks_have_as_many_queries_of_every_class_in_order():
    episodes = draw()
    assert torch.equal(episodes.query_labels, torch.arange(4).repeat_interleave(5).expand(50, -1))
    assert torch.equal(episodes.support_labels, torch.arange(4).repeat_interleave(3).expand(50, -1))


def test_every_item_is_as_likely_as_the_others_of_its_class():
    """In tasks of one way, whose class is the one of 40 items."""
    episodes = draw(tasks=6000, ways=1, shots=3, queries=1)
    for items in (episodes.support.flatten(1), episodes.queries):
        rows = episodes.classes[:, 0] == 7
        counts = torch.bincount(items[rows].flatten(), minlength=len(LABELS))[LABELS == 7].double()
        expected = items[rows].numel() / 40
        chi = ((counts - expected) ** 2 / expected).sum()
        assert chi < 73  # the 99.9% quantile of chi-squared with 39 degrees of freedom
    shares = torch.bincount(episodes.classes.flatten(), minlength=13)[[7, 1, 4, 9, 0, 12]] / 6000
    assert (shares - 1 / 6).abs().max() < 0.02


def test_uneven_tasks_share_out_their_queries_as_a_dirichlet_distribution_says():
    """Of 10 queries and 2 classes with concentration c, the first gets 5 with variance 25/(2c+1) + what the multinomial adds."""
    episodes = draw(tasks=20_000, ways=2, shots=1, queries=5, concentration=2.0)
    first = (episodes.query_labels == 0).sum(1).double()
    share_variance = 0.25 / (2 * 2.0 + 1)
    expected = 10 * (0.25 - share_variance) + 100 * share_variance
    assert first.mean().item() == pytest.approx(5, abs=0.06)
    assert first.var().item() == pytest.approx(expected, rel=0.04)
    assert first.min() == 0
    assert (torch.from_numpy(LABELS)[episodes.queries] == episodes.classes.gather(1, episodes.query_labels)).all()


def test_a_seed_fixes_the_tasks():
    first, again, other = draw(), draw(), draw(seed=1)
    assert torch.equal(first.queries, again.queries) and torch.equal(first.support, again.support)
    assert not torch.equal(first.queries, other.queries)


def test_batches_hold_every_task_once():
    episodes = draw(tasks=7)
    parts = list(episodes.batches(3))
    assert [len(part) for part in parts] == [3, 3, 1]
    assert torch.equal(torch.cat([part.queries for part in parts]), episodes.queries)


def test_items_are_looked_up_task_by_task():
    episodes = draw(tasks=2)
    support, queries = episodes.of(torch.arange(len(LABELS))[:, None])
    assert torch.equal(support[..., 0], episodes.support.flatten(1))
    assert torch.equal(queries[..., 0], episodes.queries)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ways": 7}, "need as many classes; there are 6"),
        ({"shots": 20, "queries": 6}, "up to 26 items of a class, but one has 25"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        draw(tasks=200, **options)


def test_different_numbers_are_different_and_in_random_order():
    sizes = np.array([[3, 5], [4, 3]])
    drawn = different(np.broadcast_to(sizes, (3000, 2, 2)), 3, np.random.default_rng(0))
    assert (np.diff(np.sort(drawn, axis=-1), axis=-1) > 0).all()
    assert (drawn < sizes[..., None]).all() and (drawn >= 0).all()
    orders, counts = np.unique(drawn[:, 0, 0], axis=0, return_counts=True)
    assert len(orders) == 6 and counts.min() > 420  # 500 each, standard deviation 20


def items(classes: int, each: int = 3) -> Images:
    return Images(torch.randn(classes * each, 2), torch.arange(classes).repeat(each), tuple(map(str, range(classes))))


def test_classes_are_split_64_16_20_without_overlap():
    parts = split_classes(items(100), ways=5, rng=np.random.default_rng(0))
    found = [set(part.labels.tolist()) for part in (parts.train, parts.validation, parts.test)]
    assert [len(part) for part in found] == [64, 16, 20]
    assert len(set.union(*found)) == 100
    assert sum(len(part) for part in (parts.train, parts.validation, parts.test)) == 300


def test_few_classes_are_novel_or_known_and_known_ones_serve_twice():
    parts = split_classes(items(10), ways=5, rng=np.random.default_rng(0))
    known, novel = set(parts.train.labels.tolist()), set(parts.test.labels.tolist())
    assert len(novel) == 5 and len(known) == 5 and not known & novel
    assert set(parts.validation.labels.tolist()) == known


def test_too_few_classes_say_how_many_ways_take():
    with pytest.raises(ValueError, match="9 classes cannot be split for tasks of 5 ways, which take 10"):
        split_classes(items(9), ways=5, rng=np.random.default_rng(0))
