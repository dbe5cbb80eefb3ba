"""Convolutional networks: sizes of feature maps, initial values, and that training sees through them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.training import generator
from models.convnet import ConvNet, convolution_block


@pytest.mark.parametrize("side", [8, 13, 14, 28])
@pytest.mark.parametrize("options", [{}, {"stride": 2, "pooling": "none"}, {"pooling": "average"}, {"pooling": "none"}])
def test_the_feature_size_is_that_of_the_features(side, options):
    network = ConvNet((2, side, side + 1), (4, 6), 3, **options)
    images = torch.zeros(5, 2, side, side + 1)
    assert network.features(images).shape == (5, network.feature_size)
    assert network(images).shape == (5, 3)


def test_three_blocks_leave_one_pixel_of_fourteen():
    assert ConvNet((1, 14, 14), (32, 32, 32)).feature_size == 32


def test_without_outputs_the_network_gives_its_features():
    network, images = ConvNet((1, 8, 8), (4,)).eval(), torch.randn(3, 1, 8, 8)
    assert torch.equal(network(images), network.features(images))


def test_the_output_layer_works_on_the_features():
    network, images = ConvNet((1, 8, 8), (4, 5), 7).eval(), torch.randn(3, 1, 8, 8)
    expected = network.features(images) @ network.output.weight.T + network.output.bias
    torch.testing.assert_close(network(images), expected)


@pytest.mark.parametrize(("normalisation", "bias"), [("none", True), ("batch", False), ("group", False), ("instance", False)])
def test_a_convolution_has_a_bias_only_where_nothing_is_normalised(normalisation, bias):
    block = convolution_block(3, 32, normalisation=normalisation)
    assert (block[0].bias is not None) == bias
    if not bias:
        outputs = block[1](block[0](torch.randn(8, 3, 6, 6)))
        assert outputs.mean().abs() < 1e-4
        assert outputs.var().item() == pytest.approx(1, abs=0.05)


def test_a_block_can_take_a_whole_image_in_one_kernel():
    assert convolution_block(4, 9, kernel=(2, 4), padding=0)(torch.zeros(2, 4, 2, 4)).shape == (2, 9, 1, 1)


def test_a_generator_fixes_the_initial_values():
    first, again, other = (ConvNet((1, 8, 8), (4, 4), 3, generator=generator("weights", seed)) for seed in (0, 0, 1))
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.blocks[0][0].weight, other.blocks[0][0].weight)


def test_a_few_steps_learn_which_half_is_bright():
    images = 0.1 * torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(64) % 2
    images[labels == 1, :, :4] += 1
    images[labels == 0, :, 4:] += 1
    network = ConvNet((1, 8, 8), (8, 8), 2, generator=generator("weights", 0))
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(30):
        optimiser.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimiser.step()
    assert (network.eval()(images).argmax(1) == labels).all()
