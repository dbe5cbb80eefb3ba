"""Masks: counts by hand, and what pruning may never do."""

from __future__ import annotations

import math

import pytest
import torch

from core.measures import masks
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


class TestMasksOfAWantedSparsity:
    @pytest.fixture
    def layers(self):
        source = torch.Generator().manual_seed(0)
        return {name: torch.rand(shape, generator=source) for name, shape in (("a", (7, 5)), ("b", (3, 9)), ("c", (4, 4)))}

    @pytest.mark.parametrize("percent", [1, 33, 50, 90, 99])
    @pytest.mark.parametrize("rule", [masks.globally, masks.by_layer, masks.by_row])
    def test_the_whole_loses_exactly_its_share(self, layers, rule, percent):
        found = rule(layers, percent)
        total = sum(layer.numel() for layer in layers.values())
        gone = sum(int((~mask).sum()) for mask in found.values())
        assert abs(gone - percent * total / 100) <= 0.5
        assert {name: mask.shape for name, mask in found.items()} == {name: layer.shape for name, layer in layers.items()}

    def test_selection_is_the_sort_with_ties(self):
        scores = torch.randint(0, 5, (40,), generator=torch.Generator().manual_seed(1)).float()
        for count in range(41):
            sorted_out = masks.drop_lowest(scores, torch.ones(40, dtype=torch.bool), count)
            assert torch.equal(masks.without_lowest(scores, count), sorted_out)

    def test_one_ranking_for_all_takes_from_the_layer_of_small_scores(self):
        found = masks.globally({"small": torch.tensor([1.0, 2.0]), "large": torch.tensor([3.0, 4.0])}, 50)
        assert not found["small"].any() and found["large"].all()

    def test_each_row_loses_its_own_lowest(self):
        found = masks.by_row({"a": torch.tensor([[1.0, 2.0, 3.0, 4.0], [40.0, 30.0, 20.0, 10.0]])}, 50)
        assert found["a"].tolist() == [[False, False, True, True], [True, True, False, False]]

    def test_rows_of_one_layer_differ_by_one_at_most(self, layers):
        for mask in masks.by_row(layers, 33).values():
            assert mask.sum(1).max() - mask.sum(1).min() <= 1

    def test_whole_units_go_and_one_always_stays(self):
        weights = {"heads": torch.tensor([[1.0, 1], [1, 1], [3, 3], [3, 3]]), "rows": torch.tensor([[5.0, 0], [0, 1]])}
        found = masks.by_unit(weights, {"heads": 2, "rows": 1}, 50)
        assert found["heads"].tolist() == [[False, False], [False, False], [True, True], [True, True]]
        assert found["rows"].tolist() == [[True, True], [False, False]]
        assert all(mask.any() for mask in masks.by_unit(weights, {"heads": 2, "rows": 1}, 99).values())

    def test_shares_of_blocks_average_to_the_density(self):
        mask = torch.rand(130, 70, generator=torch.Generator().manual_seed(2)) < 0.3
        shares = masks.surviving_shares(mask, side=64)
        assert shares.shape == (64, 64)
        heights, widths = (torch.tensor([n * (i + 1) // 64 - n * i // 64 for i in range(64)]) for n in (130, 70))
        assert (shares * heights[:, None] * widths).sum().item() == pytest.approx(int(mask.sum()), abs=1e-2)
        assert torch.equal(masks.surviving_shares(mask[:64, :10]), mask[:64, :10].float())
