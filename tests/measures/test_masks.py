"""Masks: counts by hand, and what pruning may never do."""

from __future__ import annotations

import math

import pytest
import torch

from core.measures.masks import density, drop_lowest, layer_densities, nested, overlap, shuffled


def mask(*entries: int) -> torch.Tensor:
    return torch.tensor(entries, dtype=torch.bool)


class TestCounting:
    def test_density_weighs_layers_by_their_size(self):
        masks = {"a": mask(1, 1), "b": mask(1, 0, 0, 0, 0, 0)}
        assert density(masks) == 3 / 8
        assert layer_densities(masks) == {"a": 1.0, "b": 1 / 6}
        assert math.isnan(density({}))

    def test_overlap(self):
        first, second = {"a": mask(1, 1, 0), "b": mask(1)}, {"a": mask(0, 1, 1), "b": mask(1)}
        assert overlap(first, second) == overlap(second, first) == 2 / 4
        assert overlap(first, first) == 1
        assert overlap({"a": mask(1, 0)}, {"a": mask(0, 1)}) == 0
        assert math.isnan(overlap({"a": mask(0)}, {"a": mask(0)}))
        with pytest.raises(ValueError, match="different weights cannot overlap: b"):
            overlap(first, {"a": mask(1, 1, 1)})

    def test_random_masks_overlap_as_chance_says(self):
        torch.manual_seed(0)
        first, second = ({"a": torch.rand(200_000) < 0.2} for _ in range(2))
        assert overlap(first, second) == pytest.approx(0.2 / (2 - 0.2), abs=0.005)

    def test_nested(self):
        assert nested({"a": mask(0, 1)}, {"a": mask(1, 1)})
        assert not nested({"a": mask(1, 1)}, {"a": mask(0, 1)})
        assert not nested({"a": mask(0, 1)}, {"b": mask(1, 1)})


class TestDropLowest:
    def test_it_ranks_survivors_only(self):
        scores = torch.tensor([0.0, 5.0, 1.0, 2.0])
        assert drop_lowest(scores, mask(0, 1, 1, 1), 1).tolist() == [False, True, False, True]

    def test_of_equal_scores_the_lower_index_goes(self):
        assert drop_lowest(torch.ones(5), mask(1, 1, 1, 1, 1), 2).tolist() == [False, False, True, True, True]

    def test_none_and_all(self):
        alive = mask(1, 0, 1)
        assert torch.equal(drop_lowest(torch.rand(3), alive, 0), alive)
        assert not drop_lowest(torch.rand(3), alive, 2).any()

    def test_the_shape_and_the_given_mask_stay(self):
        alive = torch.ones(2, 3, dtype=torch.bool)
        dropped = drop_lowest(torch.tensor([[3.0, 2.0, 1.0], [4.0, 5.0, 6.0]]), alive, 2)
        assert dropped.tolist() == [[True, False, False], [True, True, True]]
        assert alive.all()

    def test_negative_scores_go_first(self):
        """A score need not be a magnitude: it may be the growth of one."""
        assert drop_lowest(torch.tensor([0.1, -0.5, 0.4, 0.0]), mask(1, 1, 1, 1), 2).tolist() == [True, False, True, False]


def test_shuffling_keeps_the_count_and_moves_the_places():
    torch.manual_seed(0)
    first = torch.rand(40, 50) < 0.3
    again, other = (shuffled(first, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert again.shape == first.shape
    assert again.sum() == other.sum() == first.sum()
    assert not torch.equal(again, other)
    assert torch.equal(again, shuffled(first, torch.Generator().manual_seed(1)))
    kept_by_chance = 0.3**2 + 0.7**2
    assert (again == first).float().mean() == pytest.approx(kept_by_chance, abs=0.05)
