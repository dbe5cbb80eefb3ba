"""scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, and the splits of them that several papers share."""

from __future__ import annotations

from functools import cache

import torch

from core.data.images import Images, Split, pairs, shuffled, split_at

TRAIN = 1297


@cache
def digits_images() -> Images:
    """All 1,797: pixels (1797, 1, 8, 8) in steps of 1/16 within [0, 1], in the order of the file."""
    from sklearn.datasets import load_digits

    data = load_digits()
    return Images(
        torch.from_numpy(data.images).float().div(16).unsqueeze(1), torch.from_numpy(data.target).long(), tuple("0123456789")
    )


@cache
def digits8() -> Split:
    """DIGITS8 of the contrastive papers: permuted by RandomState(12345); 1,297 to train, 500 to test."""
    return split_at(shuffled(digits_images(), 12345), TRAIN)


@cache
def digits8_standardised() -> Split:
    """The digits of the compression papers: permuted by RandomState(1234), 1,297 to train and 500 to test, standardised."""
    return split_at(shuffled(digits_images(), 1234), TRAIN).standardised()


@cache
def digit_pairs(n: int, test: int = 2000) -> Split:
    """Two digits side by side, 100 classes: pixels (n, 1, 8, 16), standardised.

    Training pairs are drawn by RandomState(0) from the 1,297 training digits of RandomState(1234), test pairs by RandomState(99)
    from the other 500. Shared by the distillation, quantization and feature-norm papers.
    """
    split = split_at(shuffled(digits_images(), 1234), TRAIN)
    return Split(pairs(split.train, n, seed=0), pairs(split.test, test, seed=99)).standardised()
