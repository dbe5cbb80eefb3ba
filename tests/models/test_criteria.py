"""Scores of weights on real architectures of transformers, against autograd and against sums by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from core.measures import masks
from models import criteria
from models.weights import by_output, connection_weights
from tests.models.architectures import ALL, answer_of, gpt2, vit


@pytest.fixture(params=ALL, ids=lambda make: make.__name__)
def subject(request):
    torch.manual_seed(0)
    network, inputs = request.param()
    return network.eval(), inputs


def test_what_may_be_pruned_of_each(subject):
    network, _ = subject
    names = set(connection_weights(network))
    assert names == {
        name
        for name, value in network.named_parameters()
        if value.ndim >= 2
        and not any(
            part in name
            for part in (
                "embeddings.word",
                "embeddings.position",
                "embeddings.token",
                "wte",
                "wpe",
                "embed_tokens",
                "cls_token",
                "position_emb",
            )
        )
    }


def test_saliency_is_weight_times_gradient(subject):
    network, inputs = subject
    found = criteria.saliency(network, connection_weights(network), iter([inputs]), answer_of(network))
    logits, targets = answer_of(network)(inputs)
    cross_entropy(logits, targets).backward()
    for name, weight in connection_weights(network).items():
        by_hand = by_output(network, name, (weight * weight.grad).detach().abs())
        torch.testing.assert_close(found[name], by_hand, rtol=1e-4, atol=1e-8)
    assert any(score.any() for score in found.values())


def test_saliency_does_not_depend_on_how_items_are_batched():
    torch.manual_seed(0)
    network, inputs = vit()
    answer = answer_of(network.eval())
    targets = torch.arange(6) % 5
    whole = criteria.saliency(network, connection_weights(network), iter([inputs]), answer)

    def answer_part(part):
        return network(pixel_values=inputs["pixel_values"][part]).logits, targets[part]

    parts = criteria.saliency(network, connection_weights(network), iter([slice(0, 4), slice(4, 6)]), answer_part)
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name], rtol=1e-4, atol=1e-8)
    assert all(parameter.requires_grad for parameter in network.parameters())


class TestWanda:
    def test_two_linear_layers_by_hand(self):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        batches = [torch.randn(5, 4), torch.randn(2, 4)]
        found = criteria.wanda(network, connection_weights(network), iter(batches), lambda x: (network(x), None))
        x = torch.cat(batches)
        torch.testing.assert_close(found["0.weight"], network[0].weight.abs().detach() * x.norm(dim=0))
        torch.testing.assert_close(found["2.weight"], network[2].weight.abs().detach() * network[0](x).relu().detach().norm(dim=0))
        assert not network[0]._forward_pre_hooks

    @pytest.mark.parametrize(
        "layer",
        [
            nn.Conv2d(4, 6, 3, stride=2, padding=1),
            nn.Conv2d(4, 6, 3, groups=2, bias=False),
            nn.Conv1d(4, 6, 2),
        ],
    )
    def test_a_convolution_is_the_linear_layer_on_its_windows(self, layer):
        torch.manual_seed(0)
        x = torch.randn(3, 4, 8, 8) if isinstance(layer, nn.Conv2d) else torch.randn(3, 4, 8)
        found = criteria.squared_inputs(layer, x)
        if isinstance(layer, nn.Conv1d):
            windows = nn.functional.unfold(x[:, :, None], (1, 2)).square().sum((0, 2))
        else:
            windows = nn.functional.unfold(x, 3, stride=layer.stride, padding=layer.padding).square().sum((0, 2))
        of_group = windows.view(layer.groups, -1).repeat_interleave(6 // layer.groups, dim=0)
        torch.testing.assert_close(found, of_group, rtol=1e-4, atol=1e-5)

    def test_gpt_2_s_layer_is_a_linear_layer(self):
        network, inputs = gpt2()
        layer = network.transformer.h[0].mlp.c_fc
        seen = []
        layer.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        found = criteria.wanda(network.eval(), connection_weights(network), iter([inputs]), answer_of(network))
        by_hand = layer.weight.detach().abs().T * seen[0].detach().flatten(0, 1).norm(dim=0)
        torch.testing.assert_close(found["transformer.h.0.mlp.c_fc.weight"], by_hand)


def test_heads_go_as_wholes():
    network, _ = vit()
    rows = criteria.magnitude(network, connection_weights(network))
    units = criteria.unit_rows(network, rows)
    projections = {name for name, width in units.items() if width == 8}
    assert len(projections) == 2 * 3, "query, key and value of two layers, three heads of width 8"
    found = masks.by_unit(rows, units, 50)
    for name in projections:
        heads = found[name].view(3, -1)
        assert (heads.all(1) | ~heads.any(1)).all()


def test_saliency_needs_targets():
    network, inputs = vit()
    with pytest.raises(ValueError, match="no calibration item has a label"):
        criteria.saliency(
            network, connection_weights(network), iter([inputs]), lambda x: (network(**x).logits, -torch.ones(6).long())
        )
