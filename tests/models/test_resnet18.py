"""ResNet-18 for small images: the published number of parameters, the sizes of its maps, weights that a seed fixes."""

from __future__ import annotations

import torch

from core.training import generator
from models.resnet18 import ResNet18


def test_it_has_as_many_parameters_as_published_implementations_for_cifar():
    assert sum(parameter.numel() for parameter in ResNet18(10).parameters()) == 11_173_962


def test_it_halves_the_side_three_times_and_averages_the_rest():
    model = ResNet18(width=4)
    assert model.blocks(model.convolution(torch.zeros(2, 3, 32, 32))).shape == (2, 32, 4, 4)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 32)


def test_a_generator_fixes_its_weights():
    first, again, other = (list(ResNet18(2, width=2, generator=generator("weights", seed)).parameters()) for seed in (0, 0, 1))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
