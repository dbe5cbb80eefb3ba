"""The sheet's facts about the closed form, the measures, and the model that they describe."""

import math

import pytest
import torch

from core.measures.neural_collapse import class_means, geometry_distance, simplex, within_class_variation
from core.methods.theory.neural_collapse import (
    Model,
    difficulty,
    frame_lengths,
    free_features,
    minimum,
    objective,
    threshold,
)

torch.manual_seed(0)


def test_distance_of_the_identity_from_orthogonal_frame_and_simplex():
    identity = torch.eye(4, dtype=torch.float64)
    assert geometry_distance(identity, identity).item() == 0
    assert geometry_distance(identity, simplex(4)).item() == pytest.approx(math.sqrt(2 - 2 * math.sqrt(3 / 4)), abs=1e-14)
    assert geometry_distance(7 * identity, identity).item() == pytest.approx(0, abs=1e-15)


def test_lengths_for_one_layer_by_hand():
    a = frame_lengths((8, 2), 1, 0.01, 0.01)
    assert a.tolist() == pytest.approx([2.72842712474619, 1.314213562373095], abs=1e-13)
    n_lambda = 10 * 0.01
    means = a.sqrt() / (a + n_lambda)
    assert (a / (a + n_lambda).square()).sqrt().tolist() == pytest.approx(means.tolist())
    assert means.square().tolist() == pytest.approx([0.3410533905932737, 0.6571067811865474], abs=1e-13)
    product = a / (a + n_lambda)
    assert product.tolist() == pytest.approx([0.9646446609406726, 0.9292893218813452], abs=1e-13)
    assert product.square().tolist() == pytest.approx((a * means.square()).tolist())
    counts = torch.tensor([8.0, 2.0], dtype=torch.float64)
    assert (0.01 * a).tolist() == pytest.approx((0.01 * counts * means.square()).tolist())  # layers are balanced


@pytest.mark.parametrize(("layers", "expected"), [(1, 1.0), (2, 0.5), (3, 0.5291336839893998)])
def test_threshold(layers, expected):
    assert threshold(layers) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("layers", [1, 2, 3, 6])
def test_lengths_solve_the_equation_and_vanish_beyond_the_threshold(layers):
    decay, counts = 1e-3, (200, 100, 50, 50)
    a = frame_lengths(counts, layers, decay, decay)
    x = (a / (400 * decay)) ** (1 / layers)
    right = layers * x ** (layers - 1) / (x**layers + 1).square()
    b = difficulty(counts, layers, decay, decay)
    assert right.tolist() == pytest.approx([b / n for n in counts], rel=1e-9)
    assert a[0] > a[1] > a[2] == a[3] > 0
    for decay, lives in ((0.9, True), (1.1, False)):  # of the decay at which the smallest class is on the threshold
        edge = decay_at_threshold(counts, layers) * decay
        assert (frame_lengths(counts, layers, edge, edge)[-1] > 0) == lives


def decay_at_threshold(counts, layers):
    low, high = 1e-8, 1.0
    for _ in range(200):
        middle = math.sqrt(low * high)
        dead = difficulty(counts, layers, middle, middle) / min(counts) >= threshold(layers)
        low, high = (low, middle) if dead else (middle, high)
    return low


def test_equal_counts_have_equal_lengths():
    a = frame_lengths((100,) * 4, 3, 1e-3, 1e-3)
    assert torch.equal(a, a[0].expand(4))


@pytest.mark.parametrize(
    ("counts", "layers", "decay", "least"), [((12, 6, 3), 3, 0.002, 0.0189155914210487), ((8, 2), 1, 0.01, 0.04142640687119285)]
)
def test_the_closed_form_is_a_stationary_point_with_the_minimum_value(counts, layers, decay, least):
    k, d, n = len(counts), 8, sum(counts)
    assert minimum(counts, layers, decay, decay) == pytest.approx(least, rel=1e-12)
    a = frame_lengths(counts, layers, decay, decay)
    s = a ** (1 / (2 * layers))
    bases = [torch.linalg.qr(torch.randn(d, d, dtype=torch.float64))[0][:, :k] for _ in range(layers)] + [
        torch.eye(k, dtype=torch.float64)
    ]
    heads = [(bases[j + 1] @ torch.diag(s) @ bases[j].T)[None].requires_grad_() for j in range(layers)]
    labels = torch.arange(k).repeat_interleave(torch.tensor(counts))
    lengths = a.sqrt() / (a + n * decay)
    features = (bases[0] * lengths).T[labels][None].requires_grad_()
    model = Model([features, *heads], lambda: features, heads, None)
    value = objective(model, labels, k, decay, decay).sum()
    assert value.item() == pytest.approx(least, rel=1e-12)
    for gradient in torch.autograd.grad(value, model.parameters):
        assert gradient.abs().max() < 1e-15


def test_class_means_and_collapse():
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    means = torch.randn(3, 5, dtype=torch.float64)
    assert torch.equal(class_means(means[labels], labels, 3), means)
    assert within_class_variation(means[labels], labels, 3).item() == pytest.approx(0, abs=1e-15)


def test_variation_does_not_change_with_scale_and_rotation_but_does_with_other_maps():
    labels = torch.arange(4).repeat_interleave(10)
    features = torch.randn(40, 6, dtype=torch.float64) + 3 * torch.randn(4, 6, dtype=torch.float64)[labels]
    reference = within_class_variation(features, labels, 4).item()
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))[0]
    assert within_class_variation(5 * features @ rotation + 2, labels, 4).item() == pytest.approx(reference, rel=1e-9)
    stretched = features @ torch.diag(torch.tensor([1.0, 1, 1, 1, 10, 10], dtype=torch.float64))
    assert within_class_variation(stretched, labels, 4).item() != pytest.approx(reference, rel=0.05)
    both = within_class_variation(torch.stack([features, stretched]), labels, 4)
    assert both[0].item() == pytest.approx(reference)


def test_seeds_side_by_side_start_as_each_alone():
    together = free_features((3, 2), 4, 2, True, (0, 1), "cpu")
    alone = free_features((3, 2), 4, 2, True, (1,), "cpu")
    for both, one in zip(together.parameters, alone.parameters, strict=True):
        assert torch.equal(both[1:], one)
    assert together.product().shape == (2, 2, 4)


def test_a_bias_gets_no_decay():
    model = free_features((3, 2), 4, 1, True, (0,), "cpu")
    labels = torch.tensor([0, 0, 0, 1, 1])
    before = objective(model, labels, 2, 1.0, 1.0)
    with torch.no_grad():
        assert model.bias is not None
        model.bias += 1
    after = objective(model, labels, 2, 1.0, 1.0)
    logits = model.logits(model.features()) - 1
    target = torch.nn.functional.one_hot(labels, 2).double()
    change = ((logits + 1 - target).square() - (logits - target).square()).sum() / (2 * 5)
    assert (after - before).item() == pytest.approx(change.item())
