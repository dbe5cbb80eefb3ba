"""Frozen features as a split: every item once, standardised by the training part alone."""

from __future__ import annotations

import numpy as np
import torch

from core.data.frozen import frozen_split


def test_every_item_is_in_one_part_and_labels_stay_with_their_vectors():
    labels = np.arange(50) % 3
    vectors = np.stack([labels * 10.0 + 1, np.arange(50.0), np.full(50, 7.0)], axis=1)
    split = frozen_split(vectors, labels, ("a", "b", "c"))
    assert (len(split.train), len(split.test)) == (40, 10)
    torch.testing.assert_close(split.train.pixels.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(split.train.pixels.std(0, correction=0)[:2], torch.ones(2))
    assert (split.train.pixels[:, 2] == 0).all() and (split.test.pixels[:, 2] == 0).all()
    together = torch.cat([split.train.pixels, split.test.pixels])
    assert len(together[:, 1].unique()) == 50
    all_labels = torch.cat([split.train.labels, split.test.labels])
    for label in range(3):
        assert len(together[all_labels == label, 0].unique()) == 1
