"""Weights drawn from a generator: torch's own distribution, the same for the same seed."""

from __future__ import annotations

import pytest
import torch

from core.training import generator
from models.initialisation import draw_weights


def test_drawn_weights_have_the_distribution_of_torch_s_own():
    torch.manual_seed(0)
    own = torch.nn.Conv2d(8, 400, 3)
    drawn = draw_weights(torch.nn.Conv2d(8, 400, 3), generator("weights", 0))
    for ours, theirs in zip(drawn.parameters(), own.parameters(), strict=True):
        assert ours.abs().max() <= 72**-0.5
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.1)  # 28,800 weights and 400 biases


def test_a_seed_fixes_them_and_normalisation_keeps_its_own():
    def layers(seed):
        return draw_weights(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)), generator("weights", seed))

    first, again, other = layers(0), layers(0), layers(1)
    assert torch.equal(first[0].weight, again[0].weight)
    assert torch.equal(first[0].bias, again[0].bias)
    assert not torch.equal(first[0].weight, other[0].weight)
    assert torch.equal(first[1].weight, torch.ones(4))
