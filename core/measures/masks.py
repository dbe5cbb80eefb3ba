"""Pruning masks: boolean tensors, True where a weight survives. A network's masks map the name of each weight to its mask."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor


def density(masks: Mapping[str, Tensor]) -> float:
    """The share of all entries that survive, over all masks together.

    >>> density({"a": torch.tensor([True, False]), "b": torch.tensor([[True, True], [False, False]])})
    0.5
    """
    total = sum(mask.numel() for mask in masks.values())
    return sum(int(mask.sum()) for mask in masks.values()) / total if total else math.nan


def layer_densities(masks: Mapping[str, Tensor]) -> dict[str, float]:
    """The share that survives of each mask."""
    return {name: density({name: mask}) for name, mask in masks.items()}


def overlap(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """Jaccard index of two networks' masks: surviving in both over surviving in either. NaN where nothing survives.

    Two independent random masks of density d have about d / (2 - d).

    >>> overlap({"a": torch.tensor([True, True, False])}, {"a": torch.tensor([True, False, True])})
    0.3333333333333333

    Raises:
        ValueError: masks of different names.
    """
    if first.keys() != second.keys():
        raise ValueError(f"Masks of different weights cannot overlap: {', '.join(sorted(first.keys() ^ second.keys()))}.")
    both = sum(int((first[name] & second[name]).sum()) for name in first)
    either = sum(int((first[name] | second[name]).sum()) for name in first)
    return both / either if either else math.nan


def nested(inner: Mapping[str, Tensor], outer: Mapping[str, Tensor]) -> bool:
    """Whether everything that survives in `inner` survives in `outer`.

    >>> nested({"a": torch.tensor([True, False])}, {"a": torch.tensor([True, True])})
    True
    """
    return inner.keys() == outer.keys() and not any((inner[name] & ~outer[name]).any() for name in inner)


def drop_lowest(scores: Tensor, mask: Tensor, count: int) -> Tensor:
    """The mask without the `count` survivors of the lowest score; of equal scores the lower index goes first; none comes back.

    >>> drop_lowest(torch.tensor([3.0, 1.0, 2.0, 0.0]), torch.tensor([True, True, True, False]), 1)
    tensor([ True, False,  True, False])

    Args:
        scores, mask: of the same shape.
    """
    alive = mask.flatten().nonzero().squeeze(1)
    lowest = scores.detach().flatten()[alive].argsort(stable=True)[:count]
    kept = mask.flatten().clone()
    kept[alive[lowest]] = False
    return kept.view_as(mask)


def shuffled(mask: Tensor, generator: torch.Generator) -> Tensor:
    """The entries of a mask in random places: as many survive.

    >>> int(shuffled(torch.tensor([[True, False], [True, False]]), torch.Generator().manual_seed(0)).sum())
    2
    """
    order = torch.randperm(mask.numel(), generator=generator)
    return mask.flatten()[order.to(mask.device)].view_as(mask)


# --- masks of a wanted sparsity ---------------------------------------------------------------------------------------


def removals(sizes: Sequence[int], percent: int) -> list[int]:
    """How many of each group's entries go, so that the groups differ as little as they can and all together lose exactly percent.

    The sums from the first group on are rounded, not the groups: rounding errors do not pile up over many small groups.

    >>> removals([3, 3, 3, 3], 50)
    [2, 1, 2, 1]
    """
    gone, seen, counts = 0, 0, []
    for size in sizes:
        seen += size
        wanted = (percent * seen + 50) // 100
        counts.append(wanted - gone)
        gone = wanted
    return counts


def without_lowest(scores: Tensor, count: int) -> Tensor:
    """The mask without exactly `count` entries of the lowest score; of equal scores the lower index goes first.

    The same as `drop_lowest` from a full mask, by selection instead of sorting: a hundred million scores take seconds.

    >>> without_lowest(torch.tensor([3.0, 1.0, 1.0, 2.0]), 1)
    tensor([ True, False,  True,  True])

    Args:
        scores: of any shape, without NaN.
    """
    flat = scores.detach().flatten()
    if not count:
        return torch.ones_like(scores, dtype=torch.bool)
    threshold = flat.kthvalue(count).values
    kept = flat > threshold
    spare = len(flat) - count - int(kept.sum())  # of the scores that equal the threshold, so many stay: the last ones
    if spare:
        kept[(flat == threshold).nonzero().squeeze(1)[-spare:]] = True
    return kept.view_as(scores)


def globally(scores: Mapping[str, Tensor], percent: int) -> dict[str, Tensor]:
    """One ranking for all layers: percent of all entries go, whichever their layer."""
    flat = torch.cat([score.flatten() for score in scores.values()])
    kept = without_lowest(flat, *removals([len(flat)], percent)).split([score.numel() for score in scores.values()])
    return {name: part.view_as(scores[name]) for name, part in zip(scores, kept, strict=True)}


def by_layer(scores: Mapping[str, Tensor], percent: int) -> dict[str, Tensor]:
    """A ranking for each layer, which loses percent of its entries."""
    counts = removals([score.numel() for score in scores.values()], percent)
    return {name: without_lowest(score, count) for (name, score), count in zip(scores.items(), counts, strict=True)}


def by_row(scores: Mapping[str, Tensor], percent: int) -> dict[str, Tensor]:
    """A ranking for each row of each layer's scores (outputs, inputs): every output loses percent of its inputs.

    Rows of one layer lose as many entries as each other, or one more.
    """
    counts = removals([score.shape[1] for score in scores.values() for _ in range(len(score))], percent)
    masks, first = {}, 0
    for name, score in scores.items():
        order = score.argsort(dim=1, stable=True)
        rank = torch.empty_like(order).scatter_(1, order, torch.arange(score.shape[1], device=order.device).expand_as(order))
        masks[name] = rank >= torch.tensor(counts[first : first + len(score)], device=rank.device)[:, None]
        first += len(score)
    return masks


def by_unit(weights: Mapping[str, Tensor], units: Mapping[str, int], percent: int) -> dict[str, Tensor]:
    """Whole units (consecutive rows of a layer's weights (outputs, inputs)) go, those of the smallest L2 norm, in each layer.

    What a layer loses too much or too little, the next makes up for, so that all together lose percent to within a unit, as far
    as every layer keeps one unit.

    Args:
        units: by layer, how many consecutive rows are one unit: 1 is a channel, a head's width is a head.
    """
    masks, seen, gone = {}, 0, 0
    for name, weight in weights.items():
        rows = units[name]
        norms = weight.detach().unflatten(0, (-1, rows)).flatten(1).norm(dim=1)  # (units,)
        size = weight.numel() // len(norms)
        seen += weight.numel()
        count = min(max(round((percent * seen / 100 - gone) / size), 0), len(norms) - 1)
        gone += count * size
        masks[name] = without_lowest(norms, count).repeat_interleave(rows)[:, None].expand(weight.shape).clone()
    return masks


def surviving_shares(mask: Tensor, side: int = 64) -> Tensor:
    """A mask (rows, columns) as the share that survives in each of at most side x side blocks; a smaller mask as it is, 0 and 1.

    Blocks differ in length by one at most. The mean of the blocks, each weighed by its entries, is the mask's density.

    >>> surviving_shares(torch.tensor([[True, True], [True, False]]), side=1)
    tensor([[0.7500]])
    """
    shares = mask.float()
    for dimension in (0, 1):
        length = mask.shape[dimension]
        if length > side:
            edges = [length * i // side for i in range(side + 1)]
            parts = shares.split([right - left for left, right in pairwise(edges)], dim=dimension)
            shares = torch.stack([part.mean(dim=dimension) for part in parts], dim=dimension)
    return shares
