"""Random changes of image batches, drawn from a generator so that a seed fixes them.

Every function takes pixels (n, channels, height, width) and a generator, and changes each image by draws of its own. The generator
is on the CPU, so that a seed gives the same changes on every device.

    grey images     grey_view: turn, scale and shift (move_grid), brightness (scale_pixels), noise (add_noise)
    colour images   colour_view: crop, mirror, colour_jitter, drop_colour; flip_and_shift where labels are learnt
    frozen features drop_features; view_of chooses
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad


def flip_and_shift(pixels: Tensor, generator: torch.Generator, padding: int = 4) -> Tensor:
    """The usual CIFAR augmentation: each image mirrored with probability 1/2 and cropped at random after padding with zeros.

    Args:
        pixels: (n, channels, height, width).
        generator: on the CPU, so that a seed gives the same changes on every device.
        padding: the largest shift, in pixels.
    """
    n, _, height, width = pixels.shape
    mirrored = torch.rand(n, generator=generator) < 0.5
    down, right = torch.randint(0, 2 * padding + 1, (2, n, 1), generator=generator)
    rows = down + torch.arange(height)  # (n, height)
    columns = right + torch.arange(width)  # (n, width)
    columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    rows, columns = rows.to(pixels.device), columns.to(pixels.device)
    image = torch.arange(n, device=pixels.device)
    padded = pad(pixels, [padding] * 4).movedim(1, -1)  # channels last, so that one gather takes whole pixels
    return padded[image[:, None, None], rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


# --- views for contrastive learning: two draws of one image are a positive pair ---------------------------------------

View = Callable[[Tensor, torch.Generator], Tensor]


def view_of(items: Tensor) -> View:
    """The usual view of grey images (n, 1, height, width), colour images (n, 3, height, width), or frozen features (n, d)."""
    if items.ndim == 2:
        return drop_features
    return colour_view if items.shape[1] == 3 else grey_view


def grey_view(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """The view of small grey images that the contrastive papers share (AUG of their sheets)."""
    moved = move_grid(pixels, generator, degrees=30, scale=0.25, shift=0.15)
    return add_noise(scale_pixels(moved, generator, 0.3), generator, 0.05)


def colour_view(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """The view of colour images of Chen et al. (2020) for CIFAR: crop, mirror, colour jitter, sometimes grey; no blur."""
    changed = mirror(crop(pixels, generator), generator)
    return drop_colour(colour_jitter(changed, generator), generator)


def move_grid(
    pixels: Tensor, generator: torch.Generator, *, degrees: float = 0.0, scale: float = 0.0, shift: float = 0.0
) -> Tensor:
    """Turned, scaled and shifted by resampling (bilinear, zeros outside).

    Args:
        degrees: the largest turn, either way.
        scale: the sampling grid's side is 1 - scale to 1 + scale times the image's: a larger grid shows a smaller image.
        shift: the largest shift along each axis, as a share of the side.
    """
    turn, grow, right, down = _uniform(4, pixels, generator)
    angle = math.radians(degrees) * turn
    side = 1 + scale * grow
    aspect = pixels.shape[2] / pixels.shape[3]  # the grid runs from -1 to 1 along both axes, whatever their lengths
    return _resample(
        pixels,
        (side * angle.cos(), -side * angle.sin() * aspect, 2 * shift * right),
        (side * angle.sin() / aspect, side * angle.cos(), 2 * shift * down),
    )


def crop(
    pixels: Tensor,
    generator: torch.Generator,
    area: tuple[float, float] = (0.2, 1.0),
    aspect: tuple[float, float] = (3 / 4, 4 / 3),
) -> Tensor:
    """A part of each image, resampled to the image's own size.

    Args:
        area: least and largest share of the image's area, drawn uniformly.
        aspect: least and largest ratio of width to height, drawn uniformly on a log scale. A part that would stick out is cut
            at the image's side.
    """
    of_area, of_aspect, across, down = (0.5 + draw / 2 for draw in _uniform(4, pixels, generator))
    share = (area[0] + (area[1] - area[0]) * of_area).sqrt()
    ratio = (math.log(aspect[0]) + math.log(aspect[1] / aspect[0]) * of_aspect).exp().sqrt()
    width, height = (share * ratio).clamp(max=1), (share / ratio).clamp(max=1)
    none = torch.zeros_like(width)
    middle = (1 - width) * (2 * across - 1), (1 - height) * (2 * down - 1)
    return _resample(pixels, (width, none, middle[0]), (none, height, middle[1]), outside="border")


def drop_features(vectors: Tensor, generator: torch.Generator, share: float = 0.2) -> Tensor:
    """A view of frozen features (n, d): each number is zero with this probability, the others are divided by what is left."""
    kept = torch.rand(vectors.shape, generator=generator) >= share
    return vectors * kept.to(vectors) / (1 - share)


def mirror(pixels: Tensor, generator: torch.Generator, probability: float = 0.5) -> Tensor:
    """Left and right exchanged."""
    return torch.where(_chosen(pixels, generator, probability), pixels.flip(3), pixels)


def scale_pixels(pixels: Tensor, generator: torch.Generator, by: float) -> Tensor:
    """Multiplied by a number from 1 - by to 1 + by; not cut off at 1."""
    return pixels * (1 + by * _uniform(1, pixels, generator)[0].view(-1, 1, 1, 1))


def add_noise(pixels: Tensor, generator: torch.Generator, deviation: float) -> Tensor:
    """Independent normal noise on every pixel; not cut off."""
    return pixels + deviation * torch.randn(pixels.shape, generator=generator).to(pixels.device)


def colour_jitter(
    pixels: Tensor,
    generator: torch.Generator,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    probability: float = 0.8,
) -> Tensor:
    """Brightness, then contrast about the image's mean grey, then saturation and hue, cut off to [0, 1] after each.

    Hue turns the two colour axes of YIQ, which keeps the grey value; 1 is a full turn.

    Args:
        pixels: (n, 3, height, width).
        brightness, contrast, saturation: multiplied by a number from 1 - x to 1 + x.
        hue: the largest turn, either way.
        probability: that an image is changed at all.
    """
    brighter, steeper, richer, turn = (draw.view(-1, 1, 1, 1) for draw in _uniform(4, pixels, generator))
    changed = (pixels * (1 + brightness * brighter)).clamp(0, 1)
    mean = _grey(changed).mean((2, 3), keepdim=True)
    changed = (mean + (changed - mean) * (1 + contrast * steeper)).clamp(0, 1)
    changed = _turn_colours(changed, 1 + saturation * richer, 2 * math.pi * hue * turn).clamp(0, 1)
    return torch.where(_chosen(pixels, generator, probability), changed, pixels)


def drop_colour(pixels: Tensor, generator: torch.Generator, probability: float = 0.2) -> Tensor:
    """Only the grey value in all three channels."""
    return torch.where(_chosen(pixels, generator, probability), _grey(pixels).expand_as(pixels), pixels)


YIQ = ((0.299, 0.587, 0.114), (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112))
"""Grey value and two colour axes as sums of red, green and blue."""


def _turn_colours(pixels: Tensor, grow: Tensor, angle: Tensor) -> Tensor:
    """The colour axes of YIQ scaled and turned by (n, 1, 1, 1) numbers, in red, green and blue again."""
    to_yiq = torch.tensor(YIQ, device=pixels.device)
    grey, i, q = torch.einsum("dc,nchw->dnhw", to_yiq, pixels).unsqueeze(2)  # each (n, 1, height, width)
    cos, sin = grow * angle.cos(), grow * angle.sin()
    turned = torch.cat([grey, cos * i - sin * q, sin * i + cos * q], dim=1)
    return torch.einsum("cd,ndhw->nchw", to_yiq.inverse(), turned)


def _grey(pixels: Tensor) -> Tensor:
    """The grey value of colour images, (n, 1, height, width)."""
    return torch.einsum("c,nchw->nhw", torch.tensor(YIQ[0], device=pixels.device), pixels).unsqueeze(1)


def _resample(pixels: Tensor, across: tuple[Tensor, ...], down: tuple[Tensor, ...], outside: str = "zeros") -> Tensor:
    """Each image at the points that the rows of its affine map, three (n,) numbers each, give for the grid of [-1, 1]."""
    maps = torch.stack([torch.stack(across, 1), torch.stack(down, 1)], dim=1)  # (n, 2, 3)
    grid = affine_grid(maps, list(pixels.shape), align_corners=False)
    return grid_sample(pixels, grid, mode="bilinear", padding_mode=outside, align_corners=False)


def _uniform(count: int, pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Numbers in [-1, 1], (count, n)."""
    return (2 * torch.rand(count, len(pixels), generator=generator) - 1).to(pixels.device)


def _chosen(pixels: Tensor, generator: torch.Generator, probability: float) -> Tensor:
    """Which images are changed, (n, 1, 1, 1)."""
    return (torch.rand(len(pixels), generator=generator) < probability).view(-1, 1, 1, 1).to(pixels.device)
