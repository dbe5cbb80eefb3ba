"""Pruning masks: boolean tensors, True where a weight survives. A network's masks map the name of each weight to its mask."""

from __future__ import annotations

import math
from collections.abc import Mapping

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
