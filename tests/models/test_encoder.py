"""Encoders of the contrastive papers: layers counted by hand, one pair of networks a seed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.training import generator
from models.encoder import encoder_and_head


def outputs_of(network: nn.Module, kind: type) -> list[int]:
    """Channels or units of the layers of a kind, in order."""
    name = "out_channels" if kind is nn.Conv2d else "out_features"
    return [getattr(layer, name) for layer in network.modules() if isinstance(layer, kind)]


@pytest.mark.parametrize(
    ("shape", "widths", "flattened"),
    [((1, 8, 8), [16, 32], 128), ((1, 14, 14), [16, 32, 64], 256), ((3, 32, 32), [16, 32, 64, 128], 512)],
)
def test_images_are_halved_until_two_by_two(shape, widths, flattened):
    encoder, head = encoder_and_head(shape, generator=generator("weights", 0))
    assert outputs_of(encoder, nn.Conv2d) == widths
    assert outputs_of(encoder, nn.Linear) == [64]
    assert encoder.output.in_features == flattened
    assert head(encoder(torch.zeros(2, *shape))).shape == (2, 64)


def test_frozen_features_get_two_linear_layers_and_large_images_a_resnet():
    encoder, _ = encoder_and_head((30,), generator=generator("weights", 0))
    assert outputs_of(encoder, nn.Linear) == [128, 64]
    encoder, head = encoder_and_head((3, 32, 32), "resnet-18", generator=generator("weights", 0))
    assert head(encoder(torch.zeros(2, 3, 32, 32))).shape == (2, 128)


def test_a_seed_fixes_both():
    def weights(seed):
        networks = encoder_and_head((1, 8, 8), generator=generator("weights", seed))
        return torch.cat([parameter.flatten() for network in networks for parameter in network.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))
