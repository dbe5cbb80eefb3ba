"""Random changes of images: what each leaves alone, what it moves where, and that draws differ by image and repeat by seed."""

from __future__ import annotations

import pytest
import torch

from core.data.augmentation import (
    add_noise,
    colour_jitter,
    colour_view,
    crop,
    drop_colour,
    drop_features,
    flip_and_shift,
    grey_view,
    mirror,
    move_grid,
    scale_pixels,
    view_of,
)
from core.training import generator


@pytest.fixture
def colours() -> torch.Tensor:
    return torch.rand(64, 3, 12, 16, generator=torch.Generator().manual_seed(0))


def source(seed: int = 0) -> torch.Generator:
    return generator("augmentation", seed)


def blobs(height: int = 33, width: int = 33, row: float = 0.0, column: float = 0.0) -> torch.Tensor:
    """256 images of one Gaussian blob off the centre by shares of half the side, (256, 1, height, width)."""
    rows = torch.linspace(-1, 1, height)[:, None] - row
    columns = torch.linspace(-1, 1, width) - column
    return torch.exp(-20 * (rows**2 + columns**2)).expand(256, 1, -1, -1)


def centres(pixels: torch.Tensor) -> torch.Tensor:
    """Centre of mass of each image, (n, 2) as row and column in pixels from the middle."""
    _, _, height, width = pixels.shape
    weights = pixels[:, 0] / pixels[:, 0].sum((1, 2), keepdim=True)
    rows, columns = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
    return torch.stack([(weights.sum(2) * rows).sum(1), (weights.sum(1) * columns).sum(1)], dim=1)


@pytest.mark.parametrize("change", [grey_view, colour_view, flip_and_shift])
def test_a_seed_fixes_the_changes_and_images_differ_in_theirs(change, colours):
    same = colours[:1].expand(8, -1, -1, -1)
    changed = change(same, source())
    assert changed.shape == same.shape
    assert torch.equal(changed, change(same, source()))
    assert len({image.numpy().tobytes() for image in changed}) > 4
    assert not torch.equal(changed, change(same, source(1)))


class TestMoveGrid:
    def test_nothing_asked_for_changes_nothing(self, colours):
        torch.testing.assert_close(move_grid(colours, source()), colours)

    def test_shifts_fill_their_range_and_keep_the_size(self):
        shifts = centres(move_grid(blobs(), source(), shift=0.15)) / 33
        assert shifts.abs().max() <= 0.1501
        assert shifts.abs().max(0).values.min() > 0.14
        assert shifts.mean(0).abs().max() < 0.015  # its standard error is 0.005

    @pytest.mark.parametrize(("height", "width"), [(33, 33), (25, 49)])
    def test_turns_keep_the_distance_from_the_middle_in_pixels(self, height, width):
        before = centres(blobs(height, width, column=0.4))[0, 1]
        after = centres(move_grid(blobs(height, width, column=0.4), source(), degrees=30))
        torch.testing.assert_close(after.norm(dim=1), before.expand(256), rtol=0.02, atol=0)
        angles = torch.atan2(after[:, 0], after[:, 1]).rad2deg()
        assert 28 < angles.abs().max() < 30.5

    def test_a_larger_grid_shows_a_smaller_image(self):
        sides = move_grid(blobs(), source(), scale=0.25).sum((1, 2, 3)).rsqrt() * blobs()[0].sum().sqrt()
        assert 0.74 < sides.min() < 0.77
        assert 1.23 < sides.max() < 1.26


class TestCrop:
    def test_the_whole_area_is_the_image(self, colours):
        torch.testing.assert_close(crop(colours, source(), area=(1, 1), aspect=(1, 1)), colours)

    def test_it_shows_nothing_from_outside(self):
        assert crop(torch.ones(256, 1, 16, 16), source()).min() > 0.999

    def test_a_quarter_of_the_area_spans_half_of_each_axis(self):
        ramp = torch.linspace(0, 1, 32).expand(256, 1, 32, 32)
        cut = crop(ramp, source(), area=(0.25, 0.25), aspect=(1, 1))[..., 1:-1]
        slopes = (cut[..., -1] - cut[..., 0]) / (ramp[..., -2] - ramp[..., 1])
        torch.testing.assert_close(slopes, torch.full_like(slopes, 0.5), rtol=0, atol=0.02)
        assert cut.mean((1, 2, 3)).std() > 0.1  # in different places


class TestPixels:
    def test_mirroring_twice_is_nothing(self, colours):
        mirrored = mirror(colours, source(), probability=1)
        assert torch.equal(mirrored, colours.flip(3))
        share = (mirror(colours, source()) != colours).flatten(1).any(1).float().mean()
        assert 0.3 < share < 0.7  # 64 images: half of them, give or take three standard errors

    def test_brightness_is_one_number_an_image(self, colours):
        factors = scale_pixels(colours, source(), 0.3) / colours
        assert factors.flatten(1).std(1).max() < 1e-5
        assert 0.7 <= factors.min() < 0.75 and 1.25 < factors.max() <= 1.3

    def test_noise_has_its_deviation(self, colours):
        noise = add_noise(colours, source(), 0.05) - colours
        assert noise.std().item() == pytest.approx(0.05, rel=0.02)


def test_dropped_features_keep_their_mean():
    dropped = drop_features(torch.ones(200, 50), source(), share=0.2)
    assert set(dropped.unique().tolist()) == {0.0, 1.25}
    assert dropped.mean().item() == pytest.approx(1, abs=0.02)  # its standard error is 0.005


def test_the_view_suits_the_data(colours):
    assert view_of(torch.zeros(4, 9)) is drop_features
    assert view_of(colours) is colour_view
    assert view_of(colours[:, :1]) is grey_view


class TestColour:
    def test_hue_and_saturation_keep_the_grey_value(self):
        muted = 0.4 + 0.2 * torch.rand(64, 3, 6, 6, generator=source())  # far enough from 0 and 1 not to be cut off
        changed = colour_jitter(muted, source(), brightness=0, contrast=0, probability=1)
        assert (changed - muted).abs().max() > 0.02
        torch.testing.assert_close(drop_colour(changed, source(), 1), drop_colour(muted, source(), 1), atol=1e-5, rtol=0)

    def test_grey_images_have_no_colour_to_change(self):
        grey = torch.rand(16, 1, 6, 6, generator=source()).expand(-1, 3, -1, -1)
        changed = colour_jitter(grey, source(), probability=1)
        torch.testing.assert_close(changed[:, :1].expand(-1, 3, -1, -1), changed, atol=1e-3, rtol=0)

    def test_a_third_of_a_turn_sends_red_towards_green(self):
        """By hand in YIQ: the turn of the colour axes that takes the hue of red nearest to that of green or blue."""
        red = torch.tensor([0.5, 0.4, 0.4]).view(1, 3, 1, 1).expand(200, -1, 1, 1)
        changed = colour_jitter(red, source(), brightness=0, contrast=0, saturation=0, hue=0.5, probability=1)
        strongest = changed.argmax(1).flatten()
        assert set(strongest.tolist()) == {0, 1, 2}  # all hues are reached by half a turn either way
        distances = (changed - drop_colour(changed, source(), 1)).norm(dim=1)
        assert distances.max() < 0.2

    def test_nothing_asked_for_changes_nothing_but_rounding(self, colours):
        changed = colour_jitter(colours, source(), 0, 0, 0, 0, probability=1)
        torch.testing.assert_close(changed, colours, atol=1e-3, rtol=0)
        assert torch.equal(colour_jitter(colours, source(), probability=0), colours)

    def test_contrast_keeps_the_mean_grey_and_brightness_scales_it(self):
        muted = 0.4 + 0.2 * torch.rand(64, 3, 6, 6, generator=source())
        grey = drop_colour(muted, source(), 1).mean((1, 2, 3))
        contrasted = colour_jitter(muted, source(), 0, 0.4, 0, 0, probability=1)
        torch.testing.assert_close(drop_colour(contrasted, source(), 1).mean((1, 2, 3)), grey, atol=1e-4, rtol=0)
        factors = drop_colour(colour_jitter(muted, source(), 0.4, 0, 0, 0, probability=1), source(), 1).mean((1, 2, 3)) / grey
        assert 0.6 <= factors.min() < 0.7 and 1.3 < factors.max() <= 1.401

    def test_colours_stay_in_their_range(self, colours):
        changed = colour_view(colours, source())
        assert changed.min() >= 0 and changed.max() <= 1
