"""Labelled images and what papers do with any set of them: shuffle, average, standardise, put side by side, make long-tailed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images.

    Attributes:
        pixels: (n, channels, height, width) float32, in [0, 1] unless standardised.
        labels: (n,) int64, indices into `classes`.
        classes: names of the classes.
    """

    pixels: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: Any) -> Images:
        """The chosen images, in that order: a slice, indices, or a boolean mask, as tensor, array or list."""
        if not isinstance(chosen, slice):
            chosen = torch.as_tensor(chosen, device=self.labels.device)
        return replace(self, pixels=self.pixels[chosen], labels=self.labels[chosen])

    def to(self, device: str | torch.device) -> Images:
        return replace(self, pixels=self.pixels.to(device), labels=self.labels.to(device))


@dataclass(frozen=True)
class Split:
    """Images to train on and images to test on."""

    train: Images
    test: Images

    def standardised(self) -> Split:
        """Both parts minus the mean of the training pixels, divided by their standard deviation: one number each for all pixels."""
        deviation, mean = torch.std_mean(self.train.pixels, correction=0)
        return Split(*(replace(part, pixels=(part.pixels - mean) / deviation) for part in (self.train, self.test)))

    def with_validation(self, n: int, seed: int) -> Parts:
        """Holds out the first n training images of numpy's RandomState(seed).permutation; the rest keep that order."""
        mixed = split_at(shuffled(self.train, seed), n)
        return Parts(train=mixed.test, validation=mixed.train, test=self.test)


@dataclass(frozen=True)
class Parts:
    """Images to train on, to decide on (early stopping, settings) and to test on."""

    train: Images
    validation: Images
    test: Images

    def to(self, device: str | torch.device) -> Parts:
        return Parts(self.train.to(device), self.validation.to(device), self.test.to(device))


def shuffled(images: Images, seed: int) -> Images:
    """All images in the order of numpy's RandomState(seed).permutation; papers cut their parts out of it by `take`."""
    return images.take(np.random.RandomState(seed).permutation(len(images)))


def split_at(images: Images, n: int) -> Split:
    """The first n to train on, the rest to test on."""
    return Split(images.take(slice(n)), images.take(slice(n, None)))


def averaged(images: Images) -> Images:
    """Half the side: each pixel the average of 2 x 2."""
    return replace(images, pixels=avg_pool2d(images.pixels, 2))


def pairs(images: Images, n: int, seed: int) -> Images:
    """n pictures of two random images side by side, drawn with replacement, of len(classes) squared classes.

    Left images are drawn first, then right ones, with numpy's RandomState(seed).choice; the label is
    len(classes) * left + right, and its name joins the two.
    """
    draw = np.random.RandomState(seed)
    left, right = (images.take(draw.choice(len(images), n)) for _ in range(2))
    return Images(
        torch.cat([left.pixels, right.pixels], dim=3),  # (n, channels, height, 2 width)
        len(images.classes) * left.labels + right.labels,
        tuple(f"{a}{b}" for a in images.classes for b in images.classes),
    )


def long_tailed(images: Images, imbalance: float, order: Sequence[int], seed: int) -> Images:
    """A subset whose classes fall off exponentially: the class of rank r keeps floor(n * imbalance^(-r / (classes - 1))).

    n is the size of the smallest class, so that every class can give what its rank asks. Which images are kept is drawn with
    numpy's RandomState(seed), class by class in the order of rank.

    Args:
        imbalance: head over tail, e.g. 100.
        order: the classes from the most to the least frequent.
    """
    labels = images.labels.numpy()
    n = np.bincount(labels, minlength=len(order)).min()
    draw = np.random.RandomState(seed)
    kept = [
        draw.permutation(np.flatnonzero(labels == label))[: int(n * imbalance ** (-rank / (len(order) - 1)))]
        for rank, label in enumerate(order)
    ]
    return images.take(np.concatenate(kept))
