"""The projection head centres what it is given, and a seed fixes it."""

from __future__ import annotations

import torch

from core.training import generator
from models.projection import projection_head


def test_it_centres_what_all_points_the_same_way():
    """Features far from zero leave the head with mean zero and variance one in each direction."""
    torch.manual_seed(0)
    outputs = projection_head((64, 128, 16))(5 + torch.randn(256, 64))
    torch.testing.assert_close(outputs.mean(0), torch.zeros(16), atol=1e-5, rtol=0)
    torch.testing.assert_close(outputs.var(0, correction=0), torch.ones(16), atol=1e-3, rtol=0)


def test_its_parameters_are_two_matrices_and_one_normalisation():
    assert sum(parameter.numel() for parameter in projection_head((64, 128, 32)).parameters()) == 64 * 128 + 2 * 128 + 128 * 32


def test_a_generator_fixes_its_weights():
    first, again, other = (projection_head((3, 4, 2), generator=generator("weights", seed)).output.weight for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
