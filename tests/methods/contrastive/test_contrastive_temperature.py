"""The losses by hand, their gradients and limits; which negatives are hard; what the claims make of known results."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import normalize

from core.data import Images, Split
from core.methods.base import Features, Inputs, Results
from core.methods.contrastive import contrastive_temperature
from core.methods.contrastive.contrastive_temperature import (
    Params,
    best_by_others,
    contrastive_loss,
    dilemma,
    entropy,
    hard_losses_keep_uniformity,
    hard_losses_ran,
    hardest,
    hardness_is_the_key,
    read,
    relative_penalty,
    reverse_u,
    run,
    split_pairs,
    temperature,
)
from core.recorder import Batch, Recorder
from core.training import generator
from models.encoder import encoder_and_head

POSITIVE, NEGATIVES = torch.tensor(0.8, dtype=torch.float64), torch.tensor([0.5, 0.2, -0.1], dtype=torch.float64)


@pytest.fixture
def similarities() -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    first, second = (normalize(torch.randn(16, 4, generator=draw, dtype=torch.float64)) for _ in range(2))
    return first @ second.T


class TestLosses:
    def test_one_anchor_by_hand(self):
        assert contrastive_loss(POSITIVE, NEGATIVES, 0.5).item() == pytest.approx(0.700770417824, abs=1e-12)
        assert contrastive_loss(POSITIVE, NEGATIVES, math.inf).item() == pytest.approx(-0.6)
        assert contrastive_loss(POSITIVE, hardest(NEGATIVES, 1 / 3), math.inf).item() == pytest.approx(-0.3)
        assert contrastive_loss(POSITIVE, hardest(NEGATIVES, 1 / 3), 0.5).item() == pytest.approx(0.437487950486, abs=1e-12)

    def test_pulls_as_hard_as_it_pushes_and_shares_the_push_by_the_relative_penalty(self):
        positive, negatives = POSITIVE.clone().requires_grad_(), NEGATIVES.clone().requires_grad_()
        contrastive_loss(positive, negatives, 0.5).backward()
        assert positive.grad.item() == pytest.approx(-1.007594254086, abs=1e-12)
        np.testing.assert_allclose(negatives.grad, [0.544643821, 0.298906867, 0.164043566], atol=1e-9)
        torch.testing.assert_close(negatives.grad, -positive.grad * relative_penalty(NEGATIVES, 0.5))

    @pytest.mark.parametrize(("tau", "nats"), [(0.1, 0.207022028), (0.5, 0.988549802), (1.0, 1.069272969), (math.inf, math.log(3))])
    def test_the_entropy_of_the_penalty_by_hand(self, tau, nats):
        assert entropy(relative_penalty(NEGATIVES, tau)).item() == pytest.approx(nats, abs=1e-9)

    def test_the_entropy_falls_with_the_temperature_for_every_anchor(self, similarities):
        _, negatives = split_pairs(similarities)
        entropies = torch.stack([entropy(relative_penalty(negatives, tau)) for tau in (0.05, 0.2, 1.0, 5.0, math.inf)])
        assert (entropies.diff(dim=0) > 0).all()

    def test_a_vanishing_temperature_is_the_triplet_loss(self, similarities):
        near = torch.tensor([0.5, 0.2], dtype=torch.float64)
        assert 0.001 * contrastive_loss(torch.tensor(0.3, dtype=torch.float64), near, 0.001) == pytest.approx(0.2, abs=1e-9)
        positive, negatives = split_pairs(similarities)
        triplet = (negatives.amax(1) - positive).clamp(min=0)
        torch.testing.assert_close(1e-4 * contrastive_loss(positive, negatives, 1e-4), triplet, atol=2e-4, rtol=0)

    def test_a_growing_temperature_is_the_simple_loss_up_to_scale_and_constant(self, similarities):
        positive, negatives = split_pairs(similarities)
        tau, m = 1e4, negatives.shape[1]
        rescaled = tau * (m + 1) / m * (contrastive_loss(positive, negatives, tau) - math.log(m + 1))
        torch.testing.assert_close(rescaled, contrastive_loss(positive, negatives, math.inf), atol=1e-3, rtol=0)


class TestPairs:
    def test_negatives_are_a_row_without_its_diagonal(self, similarities):
        positive, negatives = split_pairs(torch.stack([similarities, similarities.T]))
        for direction, matrix in enumerate((similarities, similarities.T)):
            for anchor in range(16):
                assert positive[direction, anchor] == matrix[anchor, anchor]
                assert torch.equal(negatives[direction, anchor], matrix[anchor, [k for k in range(16) if k != anchor]])

    def test_hard_negatives_are_each_anchor_s_own_most_similar(self, similarities):
        """Not the most similar of the whole batch, and never the positive, however similar it is."""
        similarities = similarities + 5 * torch.eye(16)
        similarities[0] -= 3  # an anchor far from everything keeps as many as the others
        _, negatives = split_pairs(similarities)
        chosen = hardest(negatives, 0.25)
        assert chosen.shape == (16, 4)
        torch.testing.assert_close(chosen.sort().values, negatives.sort().values[:, -4:])
        assert chosen.max() < 1.1

    def test_at_least_one_is_kept_and_at_most_all(self, similarities):
        positive, negatives = split_pairs(similarities)
        assert hardest(negatives, 0.001).shape == (16, 1)
        assert torch.equal(contrastive_loss(positive, hardest(negatives, 1.0), 0.5), contrastive_loss(positive, negatives, 0.5))


def test_the_head_s_last_normalisation_keeps_an_untrained_embedding_from_pointing_one_way():
    """Without it images have a similarity in common, which losses that see near negatives alone do not undo."""
    images = torch.rand(256, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    encoder, head = encoder_and_head((1, 8, 8), generator=generator("weights", 0))
    with torch.no_grad():
        outputs = head[:-1](encoder(images))
        centred, bare = normalize(head[-1](outputs)), normalize(outputs)
    mean_similarity = [float(split_pairs(vectors @ vectors.T)[1].mean()) for vectors in (centred, bare)]
    assert abs(mean_similarity[0]) < 0.05
    assert mean_similarity[1] > 0.15


# --- claims ---------------------------------------------------------------------------------------------------------


def results(**metrics: dict[str, list[float]]) -> Results:
    """Of arms by metric, a value a seed: results(few_shot={"tau-0.2": [0.9, 0.9]})."""
    arms = {arm for values in metrics.values() for arm in values}
    rows = [
        {"arm": arm, "seed": seed} | {metric: values[arm][seed] for metric, values in metrics.items() if arm in values}
        for arm in sorted(arms)
        for seed in range(len(next(values[arm] for values in metrics.values() if arm in values)))
    ]
    return Results(pd.DataFrame(rows), {})


def around(mean: float) -> list[float]:
    """Three seeds with that mean and a standard deviation of 0.001."""
    return [mean - 0.001, mean, mean + 0.001]


def test_arms_know_their_temperature():
    assert [temperature(arm) for arm in ("tau-0.05", "hard-1.0")] == [0.05, 1.0]
    assert math.isinf(temperature("simple")) and math.isinf(temperature("hard-simple"))


EVEN = {"tau-0.05": around(2.0), "tau-0.1": around(2.7), "tau-0.2": around(2.6), "tau-1.0": around(2.2), "simple": around(1.5)}
TOLERANT = {"tau-0.05": around(0.9), "tau-0.1": around(0.58), "tau-0.2": around(0.62), "tau-1.0": around(0.71)}
SCORES = {"tau-0.05": around(0.85), "tau-0.2": around(0.89), "tau-0.5": around(0.88), "tau-1.0": around(0.87)}
ORDINARY = {"tau-0.1": around(2.7), "tau-0.2": around(9), "tau-0.5": around(2.4), "tau-1.0": around(2.2)}


class TestDilemma:
    def test_it_holds_from_a_tenth_on_and_reports_the_weaker_half(self):
        verdict = dilemma(results(uniformity=EVEN, tolerance=TOLERANT))
        assert verdict.outcome == "holds"
        assert (verdict.effect, verdict.unit, verdict.n) == (
            pytest.approx(0.5),
            "uniformity",
            3,
        )  # 2.5 times the least; 0.13 is 2.6

    def test_it_fails_by_the_half_that_fails(self):
        verdict = dilemma(results(uniformity=EVEN, tolerance=TOLERANT | {"tau-1.0": around(0.6)}))
        assert (verdict.outcome, verdict.unit) == ("does not hold", "tolerance")

    def test_it_fails_where_the_order_is_lost_between(self):
        verdict = dilemma(results(uniformity=EVEN | {"simple": around(3)}, tolerance=TOLERANT))
        assert verdict.outcome == "does not hold"  # Spearman of 2.7, 2.6, 2.2, 3: 0.2


class TestAccuracy:
    def test_the_middle_must_beat_both_ends(self):
        verdict = reverse_u(results(few_shot=SCORES))
        assert (verdict.outcome, verdict.unit) == ("holds", "points")
        assert verdict.effect == pytest.approx(2)
        assert reverse_u(results(few_shot=SCORES | {"tau-1.0": around(0.9)})).outcome == "does not hold"

    def test_the_best_is_chosen_on_the_other_seeds(self):
        """Two equal columns of noise: the best of each seed itself would gain, the choice of the others does not."""
        noise = pd.DataFrame(np.random.RandomState(0).randn(400, 2))
        assert noise.max(axis=1).mean() > 0.45
        assert abs(best_by_others(noise).mean()) < 0.15  # three standard errors

    def test_hardness_is_what_the_simple_loss_lacks(self):
        scores = SCORES | {"simple": around(0.84), "hard-simple": around(0.87)}
        verdict = hardness_is_the_key(results(few_shot=scores))
        assert verdict.outcome == "holds" and verdict.effect == pytest.approx(3)
        assert hardness_is_the_key(results(few_shot=scores | {"hard-simple": around(0.85)})).outcome == "does not hold"


class TestHardRange:
    def test_ranges_are_compared_over_shared_temperatures(self):
        flat = results(uniformity=ORDINARY | {"hard-0.1": around(2.7), "hard-1.0": around(2.8)})
        assert hard_losses_ran(flat) == ""
        verdict = hard_losses_keep_uniformity(flat)
        assert verdict.outcome == "holds" and verdict.effect == pytest.approx(0.5 / 2 - 0.1)
        steep = results(uniformity=ORDINARY | {"hard-0.1": around(2.7), "hard-1.0": around(2.3)})
        assert hard_losses_keep_uniformity(steep).outcome == "does not hold"

    def test_one_shared_temperature_is_no_range(self):
        assert "1 temp" in hard_losses_ran(results(uniformity=ORDINARY | {"hard-0.1": around(2.7)}))


# --- runs -----------------------------------------------------------------------------------------------------------


def test_arms_of_a_seed_start_alike_and_see_the_same_views(run_again):
    """Before the first update the positives of all arms are equally similar; then the losses part them."""
    recording = run_again("contrastive-temperature", arms=("simple", "tau-0.2", "hard-simple"), seeds=(0,))
    curves = recording.store.curves(recording.run, "positive").pivot(index="step", columns="arm", values="value")
    assert curves.loc[0].nunique() == 1
    assert curves.loc[7].nunique() == 3


def test_colour_images_are_embedded_by_the_larger_network(monkeypatch):
    """What the paper preset does, on a few images of noise."""
    images = Images(torch.rand(24, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(24) % 2, ("even", "odd"))
    monkeypatch.setattr(contrastive_temperature, "load", lambda name: Split(images, images.take(slice(12))))
    batches: list[Batch] = []
    recorder = Recorder(batches.append, (0,))
    run("tau-0.2", Params(network="resnet-18", steps=1, batch_size=12), Inputs((0,)), recorder)
    recorder.close()
    shapes = {array.array.shape for batch in batches for array in batch.arrays if array.part == "vectors"}
    assert shapes == {(12, 128)}


def test_it_runs_on_frozen_features_and_says_where_there_are_too_few():
    labels = np.arange(120) % 3
    vectors = np.eye(3)[labels] @ np.random.RandomState(0).randn(3, 12) + 0.3 * np.random.RandomState(1).randn(120, 12)
    features = Features(vectors.astype(np.float32), labels, ("a", "b", "c"), "a test")
    batches: list[Batch] = []
    recorder = Recorder(batches.append, (0,))
    params = Params(steps=30, batch_size=64, every=10)
    run("hard-0.5", params, Inputs((0,), features=features), recorder)
    recorder.close()
    metrics = {result.metric: result.value for batch in batches for result in batch.results}
    assert metrics["knn"] > 0.9  # three clouds, far apart
    with pytest.raises(ValueError, match="batch_size is 128; there are only 96 items"):
        read(Params(batch_size=128), Inputs((0,), features=features))
