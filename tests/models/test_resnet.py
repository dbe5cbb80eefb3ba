"""The CIFAR ResNet against the numbers of its paper and a block computed by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.resnet import Block, CifarResNet


@pytest.mark.parametrize(("depth", "weight_layers", "parameters"), [(20, 20, 269_722), (32, 32, 464_154), (56, 56, 853_018)])
def test_depth_and_parameters(depth, weight_layers, parameters):
    """He et al. (2016), table 6: 0.27, 0.46 and 0.85 million."""
    model = CifarResNet(depth)
    assert sum(isinstance(module, (nn.Conv2d, nn.Linear)) for module in model.modules()) == weight_layers
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_feature_maps_halve_while_channels_double():
    model, shapes = CifarResNet(20).eval(), []
    for block in model.blocks:
        block.register_forward_hook(lambda module, inputs, output: shapes.append(tuple(output.shape[1:])))
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    assert shapes == [(16, 32, 32)] * 3 + [(32, 16, 16)] * 3 + [(64, 8, 8)] * 3


def test_a_block_with_convolutions_of_zeros_passes_its_input_on():
    block = Block(2, 4, stride=2).eval()
    nn.init.zeros_(block.convolution2.weight)
    x = torch.rand(1, 2, 6, 6)
    out = block(x)
    assert torch.equal(out[:, :2], x[:, :, ::2, ::2])
    assert not out[:, 2:].any()


def test_a_generator_fixes_the_values():
    first, same, other = (CifarResNet(8, generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    for a, b in zip(first.parameters(), same.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.convolution.weight, other.convolution.weight)
    assert not torch.equal(first.output.weight, other.output.weight)


def test_a_depth_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="depth of a CIFAR ResNet is 21; it must be 6 n \\+ 2"):
        CifarResNet(21)
