"""Frozen features of a pretrained model as data to train on."""

from __future__ import annotations

from typing import Any

import torch

from core.data.images import Images, Split, shuffled, split_at


def frozen_split(vectors: Any, labels: Any, classes: tuple[str, ...]) -> Split:
    """Features (n, d) and labels (n,) as a Split whose `pixels` are the vectors, each column standardised on the training part.

    Permuted by RandomState(12345); the first four fifths to train, the rest to test. A column without variance becomes zero.
    """
    items = Images(torch.as_tensor(vectors, dtype=torch.float32), torch.as_tensor(labels, dtype=torch.int64), classes)
    split = split_at(shuffled(items, 12345), len(items) * 4 // 5)
    deviation, mean = torch.std_mean(split.train.pixels, dim=0, correction=0)
    deviation = torch.where(deviation > 0, deviation, 1)
    train, test = (Images((part.pixels - mean) / deviation, part.labels, classes) for part in (split.train, split.test))
    return Split(train, test)
