"""The fully connected network: names, counts, initial values."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.mlp import mlp


def test_layers_and_parameters():
    model = mlp((784, 300, 100, 10))
    names = [name for name, _ in model.named_parameters()]
    assert names == ["hidden1.weight", "hidden1.bias", "hidden2.weight", "hidden2.bias", "output.weight", "output.bias"]
    assert sum(p.numel() for p in model.parameters()) == 266_200 + 410
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 10)


def test_no_activation_after_the_last_layer():
    assert [type(module) for module in mlp((2, 3, 4), activation=nn.Tanh)] == [nn.Flatten, nn.Linear, nn.Tanh, nn.Linear]
    assert [type(module) for module in mlp((2, 4))] == [nn.Flatten, nn.Linear]


@pytest.mark.parametrize(("initialisation", "variance"), [("glorot-normal", 2 / (400 + 900)), ("he-normal", 2 / 400)])
def test_normal_weights_and_no_biases(initialisation, variance):
    model = mlp((400, 900, 10), initialisation=initialisation, generator=torch.Generator().manual_seed(0))
    weights = model.hidden1.weight.detach()
    assert weights.var() == pytest.approx(variance, rel=0.02)
    assert abs(weights.mean()) < 5 * (variance / weights.numel()) ** 0.5
    kurtosis = (weights**4).mean() / (weights**2).mean() ** 2
    assert kurtosis == pytest.approx(3, abs=0.1), "normal, not uniform"
    assert not model.hidden1.bias.any()


def test_torch_s_own_values_are_uniform_within_one_over_the_root_of_the_inputs():
    model = mlp((400, 900, 10), generator=torch.Generator().manual_seed(0))
    for values in (model.hidden1.weight.detach(), model.hidden1.bias.detach()):
        assert values.abs().max() <= 1 / 20
        assert values.var() == pytest.approx(1 / 400 / 3, rel=0.1)


def test_a_generator_fixes_the_values():
    first, same, other = (mlp((5, 4, 3), generator=torch.Generator().manual_seed(seed)) for seed in (0, 0, 1))
    assert torch.equal(first.hidden1.weight, same.hidden1.weight)
    assert not torch.equal(first.hidden1.weight, other.hidden1.weight)
