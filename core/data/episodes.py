"""Few-shot tasks: a few labelled items of some classes (the support), and others of the same classes to recognise (the queries)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.data.images import Images, Parts


@dataclass(frozen=True, eq=False)
class Episodes:
    """Tasks of one size, as indices into a data set.

    Attributes:
        classes: (tasks, ways) labels of the data set; a task knows them as 0 to ways - 1.
        support: (tasks, ways, shots) indices of labelled items.
        queries: (tasks, queries) indices of the items to recognise, way after way.
        query_labels: (tasks, queries) the way that each query belongs to.
    """

    classes: Tensor
    support: Tensor
    queries: Tensor
    query_labels: Tensor

    def __len__(self) -> int:
        return len(self.support)

    @property
    def ways(self) -> int:
        return self.support.shape[1]

    @property
    def support_labels(self) -> Tensor:
        """(tasks, ways * shots): the ways of the support's items, flattened."""
        tasks, ways, shots = self.support.shape
        return torch.arange(ways, device=self.support.device).repeat_interleave(shots).expand(tasks, -1)

    def of(self, items: Tensor) -> tuple[Tensor, Tensor]:
        """The support (tasks, ways * shots, ...) and the queries (tasks, queries, ...) among the items (n, ...) of the data set."""
        return items[self.support.flatten(1)], items[self.queries]

    def batches(self, size: int) -> Iterator[Episodes]:
        """All tasks, at most `size` at once."""
        for start in range(0, len(self), size):
            yield Episodes(*(part[start : start + size] for part in self._parts()))

    def to(self, device: str | torch.device) -> Episodes:
        return Episodes(*(part.to(device) for part in self._parts()))

    def _parts(self) -> list[Tensor]:
        return [getattr(self, field.name) for field in fields(self)]


def draw_episodes(
    labels: Any,
    *,
    tasks: int,
    ways: int,
    shots: int,
    queries: int,
    rng: np.random.Generator,
    concentration: float | None = None,
) -> Episodes:
    """Draws tasks: for each, `ways` classes, and of each class different items for the support and the queries.

    >>> episodes = draw_episodes([0, 0, 0, 1, 1, 1, 2, 2, 2], tasks=4, ways=2, shots=1, queries=2, rng=np.random.default_rng(0))
    >>> episodes.support.shape, episodes.queries.shape
    (torch.Size([4, 2, 1]), torch.Size([4, 4]))

    Args:
        labels: (n,) integers.
        queries: of each class; a task has ways * queries of them.
        concentration: without it, all classes of a task have as many queries. With it, a task's ways * queries are shared out among
            its classes in proportions from a symmetric Dirichlet distribution (Veilleux et al. 2021): the smaller the
            concentration, the less even; a class may then have no query at all.

    Raises:
        ValueError: fewer classes than ways, or a class with too few items.
    """
    labels = np.asarray(labels)
    classes, starts, sizes = np.unique(np.sort(labels), return_index=True, return_counts=True)
    if len(classes) < ways:
        raise ValueError(f"Tasks of {ways} ways need as many classes; there are {len(classes)}.")
    chosen = rng.random((tasks, len(classes))).argsort(axis=1)[:, :ways]
    if concentration is None:
        counts = np.full((tasks, ways), queries)
    else:
        counts = rng.multinomial(ways * queries, rng.dirichlet(np.full(ways, concentration), tasks))
    needed, smallest = shots + int(counts.max()), int(sizes[chosen].min())
    if needed > smallest:
        raise ValueError(f"Tasks take up to {needed} items of a class, but one has {smallest}. Ask for fewer shots or queries.")
    places = starts[chosen][:, :, None] + different(sizes[chosen], needed, rng)
    items = np.argsort(labels, kind="stable")[places]  # (tasks, ways, needed)
    asked = np.arange(needed - shots) < counts[:, :, None]
    way = np.broadcast_to(np.arange(ways)[:, None], asked.shape)
    parts = (classes[chosen], items[:, :, :shots], items[:, :, shots:][asked].reshape(tasks, -1), way[asked].reshape(tasks, -1))
    return Episodes(*(torch.from_numpy(np.ascontiguousarray(part)) for part in parts))


def different(sizes: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """For each of `sizes` (...) so many different whole numbers below it, (..., count), in random order (Floyd's algorithm)."""
    drawn = np.full((*sizes.shape, count), -1)
    for place in range(count):
        last = sizes - count + place
        number = rng.integers(0, last + 1)
        drawn[..., place] = np.where((drawn == number[..., None]).any(-1), last, number)
    return rng.permuted(drawn, axis=-1)


def split_classes(items: Images, *, ways: int, rng: np.random.Generator) -> Parts:
    """Splits classes by chance: 64% to train on, 16% to choose settings by, 20% novel; at least `ways` of each of the latter two.

    Where classes are few, those to train on are also those to choose by; novel classes are never anything else.

    Args:
        items: images, or frozen features in their place.

    Returns:
        train, validation, and as test the novel classes; labels are as they were.

    Raises:
        ValueError: fewer classes than known and novel tasks of so many ways need.
    """
    classes = items.labels.unique()
    order = classes[torch.from_numpy(rng.permutation(len(classes)))]
    novel, validation = (max(ways, round(share * len(classes))) for share in (0.2, 0.16))
    known = order[novel:]
    if len(known) < ways:
        raise ValueError(f"{len(classes)} classes cannot be split for tasks of {ways} ways, which take {2 * ways}; lower the ways.")
    base, chosen_by = (known[validation:], known[:validation]) if len(known) >= 2 * validation else (known, known)
    return Parts(*(items.take(torch.isin(items.labels, part)) for part in (base, chosen_by, order[:novel])))
