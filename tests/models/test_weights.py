"""Which weights count as connections, and that masked ones stay at zero."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from models.mlp import mlp
from models.resnet import CifarResNet
from models.weights import Masked, connection_weights


class Conv1D(nn.Module):
    """GPT-2's linear layer, as transformers names it."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 6))
        self.bias = nn.Parameter(torch.zeros(6))


class TestConnectionWeights:
    def test_an_mlp_has_its_matrices_in_order(self):
        weights = connection_weights(mlp((784, 300, 100, 10)))
        assert {name: w.numel() for name, w in weights.items()} == {
            "hidden1.weight": 235_200,
            "hidden2.weight": 30_000,
            "output.weight": 1_000,
        }

    def test_convolutions_count_and_normalisation_does_not(self):
        weights = connection_weights(CifarResNet(20))
        assert len(weights) == 20
        assert list(weights)[-1] == "output.weight"
        assert all(w.ndim in (2, 4) for w in weights.values())

    def test_a_transformer_s_projections_count_and_its_embeddings_do_not(self):
        model = nn.ModuleDict(
            {
                "words": nn.Embedding(11, 8),
                "attention": nn.MultiheadAttention(8, 2),
                "apart": nn.MultiheadAttention(8, 2, kdim=4, vdim=4),
                "norm": nn.LayerNorm(8),
                "fused": Conv1D(),
                "head": nn.Linear(8, 11, bias=False),
            }
        )
        assert set(connection_weights(model)) == {
            "attention.in_proj_weight",
            "attention.out_proj.weight",
            "apart.q_proj_weight",
            "apart.k_proj_weight",
            "apart.v_proj_weight",
            "apart.out_proj.weight",
            "fused.weight",
            "head.weight",
        }
        model["head"].weight = model["words"].weight
        assert "head.weight" not in connection_weights(model), "tied to the embedding"

    def test_a_shared_layer_counts_once(self):
        layer = nn.Linear(3, 3)
        assert list(connection_weights(nn.Sequential(layer, nn.ReLU(), layer))) == ["0.weight"]

    def test_a_single_layer(self):
        layer = nn.Linear(3, 2)
        assert connection_weights(layer)["weight"] is layer.weight


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.1, fused=True),
        lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.1),
        lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
    ],
)
def test_masked_weights_stay_exactly_zero_and_the_others_move(make):
    torch.manual_seed(0)
    layer = nn.Linear(6, 5)
    start = layer.weight.detach().clone()
    mask = torch.rand(5, 6) < 0.5
    masked = Masked({"weight": layer.weight}, {"weight": mask})
    assert torch.equal(layer.weight.detach(), start * mask)
    optimiser = make(layer.parameters())
    for _ in range(5):
        optimiser.zero_grad()
        (layer(torch.randn(8, 6)) ** 2).mean().backward()
        masked.gradients()
        assert not layer.weight.grad[~mask].any()
        optimiser.step()
        masked.weights()
    assert not layer.weight[~mask].any()
    assert (layer.weight[mask] != start[mask]).all()
