"""RankMixup's losses by hand, by what they reduce to and by what must not matter; its claims on made-up results."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import cross_entropy, one_hot

from core.measures.calibration import expected_calibration_error, softmax, top_label
from core.methods import registry
from core.methods.base import Features, Inputs, Results
from core.methods.classification.rankmixup import (
    Objective,
    Setting,
    beats_mixup,
    calibrates,
    coefficients,
    margin_ranking_loss,
    misordered,
    mix,
    mixed_cross_entropy,
    ndcg_loss,
    needs_several,
    no_overconfidence,
    train_with,
)
from models.resnet18 import ResNet18

METHOD = registry.load("rankmixup")


def logits_of_confidence(confidence, classes: int = 4) -> torch.Tensor:
    """Logits whose softmax has this maximum, the rest shared out evenly."""
    p = torch.as_tensor(confidence, dtype=torch.float64)[..., None]
    return torch.cat([p, ((1 - p) / (classes - 1)).expand(*p.shape[:-1], classes - 1)], dim=-1).log()


def column(values) -> torch.Tensor:
    """One image's values for its M mixtures, (M, 1)."""
    return torch.tensor(values, dtype=torch.float64)[:, None]


class TestMixtures:
    images = torch.tensor([[0.0, 0.0], [4.0, 8.0], [1.0, 1.0]])
    labels = torch.tensor([0, 1, 0])
    partners = torch.tensor([[1, 2, 0], [2, 1, 0]])
    shares = torch.tensor([[0.25], [0.9]])

    def test_each_is_its_share_of_the_image_and_the_rest_of_its_partner(self):
        mixtures = mix(self.images, self.shares, self.partners)
        assert mixtures.shape == (2, 3, 2)
        torch.testing.assert_close(mixtures[0, 0], torch.tensor([3.0, 6.0]))
        torch.testing.assert_close(mixtures[1], torch.tensor([[0.1, 0.1], [4.0, 8.0], [0.9, 0.9]]))

    def test_the_coefficient_is_the_largest_entry_of_the_mixed_label(self):
        targets = one_hot(self.labels, 2).float()
        mixed = mix(targets, self.shares, self.partners)
        torch.testing.assert_close(coefficients(self.labels, self.shares, self.partners), mixed.amax(-1))

    def test_their_cross_entropy_is_that_of_mixed_labels(self):
        logits = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(0))
        targets = mix(one_hot(self.labels, 2).float(), self.shares, self.partners)
        expected = cross_entropy(logits.flatten(0, 1), targets.flatten(0, 1))
        torch.testing.assert_close(mixed_cross_entropy(logits, self.labels, self.shares, self.partners), expected)

    def test_shares_of_beta_2_2_leave_the_purer_part_eleven_sixteenths(self):
        setting = Setting(METHOD.make_params("smoke", {"epochs": 1000}), Inputs((0,)))
        shares = setting.shares(2.0)
        purer = torch.maximum(shares, 1 - shares)
        assert shares.shape == (2000, 3, 1)
        assert float(purer.mean()) == pytest.approx(0.6875, abs=3 * float(purer.std()) / math.sqrt(6000))


class TestMarginRanking:
    @pytest.mark.parametrize(("mixed", "loss"), [(2.5, 1.5), (0.5, 0.0), (1.5, 0.5)])
    def test_the_hinge_by_hand(self, mixed, loss):
        raw, of_mixture = torch.tensor([[3.0, -1.0]]), torch.tensor([[-2.0, mixed]])
        assert float(margin_ranking_loss(raw, of_mixture, torch.tensor([0.7]), margin=2.0)) == loss

    def test_mixtures_of_one_class_do_not_count(self):
        raw, mixed = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
        assert margin_ranking_loss(raw, mixed, torch.ones(5)) == 0
        half = torch.tensor([1.0, 1.0, 0.6, 0.6, 0.6])
        only = margin_ranking_loss(raw[2:], mixed[2:], half[2:])
        torch.testing.assert_close(margin_ranking_loss(raw, mixed, half), only * 3 / 5)

    def test_factorised_takes_the_mean_of_the_mask_times_that_of_the_hinge(self):
        """Hinges 1.5 and 0.5, the second masked."""
        raw, mixed = torch.tensor([[3.0, 0.0], [3.0, 0.0]]), torch.tensor([[2.5, 0.0], [1.5, 0.0]])
        coefficient = torch.tensor([0.7, 1.0])
        assert float(margin_ranking_loss(raw, mixed, coefficient)) == 0.75
        assert float(margin_ranking_loss(raw, mixed, coefficient, factorised=True)) == 0.5 * 1.0


class TestNDCG:
    raw = logits_of_confidence([0.9])
    mixed = logits_of_confidence([[0.7], [0.8], [0.95]])
    coefficient = column([0.6, 0.9, 0.75])

    def test_by_hand(self):
        """By falling coefficient the mixtures have the confidences 0.8, 0.95, 0.7."""
        dcg = 0.9 + 0.8 / math.log2(3) + 0.95 / 2 + 0.7 / math.log2(5)
        ideal = 1 + 0.9 / math.log2(3) + 0.75 / 2 + 0.6 / math.log2(5)
        assert (dcg, ideal) == pytest.approx((2.1812173935, 2.2012427131), abs=1e-9)
        assert float(ndcg_loss(self.raw, self.mixed, self.coefficient)) == pytest.approx(0.0090972792, abs=1e-9)

    def test_confidences_that_match_their_coefficients_cost_nothing(self):
        coefficient = torch.rand(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) / 2 + 0.5
        loss = ndcg_loss(logits_of_confidence(torch.full((6,), 1 - 1e-12)), logits_of_confidence(coefficient), coefficient)
        assert float(loss) == pytest.approx(0, abs=1e-9)

    def test_too_much_confidence_is_punished(self):
        certain = torch.tensor(1 - 1e-12, dtype=torch.float64)
        raw, mixed = logits_of_confidence(certain.expand(1)), logits_of_confidence(certain.expand(3, 1))
        discounts = [1 / math.log2(1 + rank) for rank in (2, 3, 4)]
        ideal = 1 + np.dot(sorted([0.6, 0.9, 0.75], reverse=True), discounts)
        assert float(ndcg_loss(raw, mixed, self.coefficient)) == pytest.approx(1 - ideal / (1 + sum(discounts)))

    def test_the_order_in_which_mixtures_come_does_not_matter(self):
        loss = ndcg_loss(self.raw, self.mixed, self.coefficient)
        for order in ([2, 0, 1], [1, 2, 0], [2, 1, 0]):
            torch.testing.assert_close(ndcg_loss(self.raw, self.mixed[order], self.coefficient[order]), loss)

    @pytest.mark.parametrize("confidence", [0.6, 0.99])
    def test_the_gradient_is_that_of_finite_differences_on_either_side_of_the_ideal(self, confidence):
        generator = torch.Generator().manual_seed(0)
        mixed = logits_of_confidence(torch.full((3, 5), confidence)) + 0.1 * torch.randn(3, 5, 4, generator=generator)
        raw, mixed = logits_of_confidence(torch.full((5,), confidence)).requires_grad_(), mixed.double().requires_grad_()
        coefficient = torch.rand(3, 5, dtype=torch.float64, generator=generator) / 2 + 0.5
        assert torch.autograd.gradcheck(lambda r, m: ndcg_loss(r, m, coefficient), (raw, mixed))
        gradient = torch.autograd.grad(ndcg_loss(raw, mixed, coefficient), raw)[0][:, 0]
        assert (gradient < 0).all() if confidence == 0.6 else (gradient > 0).all()


@pytest.mark.parametrize("loss", [lambda r, m, c: margin_ranking_loss(r, m[0], c[0]), ndcg_loss])
def test_the_level_of_all_logits_does_not_matter(loss):
    generator = torch.Generator().manual_seed(0)
    raw, mixed = (3 * torch.randn(size, dtype=torch.float64, generator=generator) for size in ((5, 4), (3, 5, 4)))
    coefficient = torch.rand(3, 5, dtype=torch.float64, generator=generator) / 2 + 0.5
    torch.testing.assert_close(loss(raw + 7, mixed + 7, coefficient), loss(raw, mixed, coefficient))


def test_misordered_counts_pairs_of_one_image():
    """In each image, one pair is wrong: of three, and of two where the mixtures have one coefficient."""
    confidence = torch.tensor([[0.8, 0.5], [0.9, 0.6], [0.7, 0.4]])
    coefficient = torch.tensor([[1.0, 1.0], [0.9, 0.8], [0.6, 0.8]])
    assert float(misordered(confidence, coefficient)) == pytest.approx(2 / 5)


@pytest.fixture(scope="module")
def setting(one_thread):
    return Setting(METHOD.make_params("smoke", {"epochs": 3}), Inputs((0,)))


class TestTraining:
    @pytest.mark.parametrize("arm", ["mrl", "ndcg", "mixture-ce"])
    def test_without_weight_it_is_plain_cross_entropy(self, arm, setting):
        plain, ours = (train_with(name, 0.0, setting, lambda step: None).model.state_dict() for name in ("ce", arm))
        for name, values in plain.items():
            torch.testing.assert_close(ours[name], values, rtol=0, atol=0)

    def test_one_mixture_is_the_first_of_several(self, setting):
        one, several = Objective("ndcg-one", 1.0, setting), Objective("ndcg", 1.0, setting)
        torch.testing.assert_close(one.shares, several.shares[:, :1])
        torch.testing.assert_close(one.partners, several.partners[:, :1])

    @pytest.mark.parametrize("arm", ["mrl", "ndcg", "mixture-ce"])
    def test_raw_and_mixed_images_go_through_normalisation_apart(self, arm, setting):
        model, batch = ResNet18(10, channels=1, width=4), setting.parts.train.take(setting.order[0])
        Objective(arm, 1.0, setting)(model, 0, batch.pixels, batch.labels)
        assert model.normalisation.num_batches_tracked == 2

    def test_shares_near_0_and_1_make_mixup_plain(self, setting):
        """With alpha 0.01 almost every mixture is an image as it was, though perhaps of another place in the batch."""
        objective, model = Objective("mixup", 0.01, setting), setting.untrained()
        batch = setting.parts.train.take(setting.order[0])
        whole = int((torch.minimum(objective.shares, 1 - objective.shares)[:, 0, 0] < 1e-6).nonzero()[0])
        mixed = objective(model, whole, batch.pixels, batch.labels)["cross_entropy"]
        torch.testing.assert_close(mixed, cross_entropy(model(batch.pixels), batch.labels))

    def test_parts_do_not_overlap(self, setting):
        parts = setting.parts
        rows = torch.cat([part.pixels.flatten(1) for part in (parts.train, parts.validation, parts.test)])
        assert len(rows) == 856
        assert len(rows.unique(dim=0)) == 856

    def test_held_out_mixtures_are_of_two_classes_and_evenly_spread(self, setting):
        assert 0.5 <= setting.coefficient.min() < setting.coefficient.max() < 1
        counts = torch.histc(setting.coefficient, 5, 0.5, 1)
        assert counts.min() > 0.9 * counts.mean()

    def test_paths_lead_from_an_image_of_one_class_half_way_to_one_of_the_next(self, setting):
        test = setting.parts.test
        zero, one = (test.pixels[test.labels == label][0] for label in (0, 1))
        assert setting.pairs == ["0 into 1", "2 into 3", "4 into 5"]
        torch.testing.assert_close(setting.paths[0, 0, 0], zero)
        torch.testing.assert_close(setting.paths[0, -1, 0], (zero + one) / 2)

    def test_the_best_weights_are_kept_where_asked(self, one_thread):
        """Of a training that ends after it has overshot; evaluated after every step, the last included."""
        accuracies = {}
        for keep_best in (False, True):
            changes = {"epochs": 6, "evaluations": 12, "keep_best": keep_best, "learning_rate": 1.5}
            setting = Setting(METHOD.make_params("smoke", changes), Inputs((0,)))
            model, validation = train_with("ce", 0.0, setting, lambda step: None).model, setting.parts.validation
            accuracies[keep_best] = float((model(validation.pixels).argmax(-1) == validation.labels).float().mean())
        assert accuracies[True] > accuracies[False]

    def test_features_are_mixed_as_images_are(self, one_thread):
        source = np.random.default_rng(0)
        labels = source.integers(0, 3, 600)
        features = Features(source.normal(labels[:, None], 1, (600, 20)), labels, ("a", "b", "c"), "made up")
        setting = Setting(METHOD.make_params("smoke"), Inputs((0,), features=features))
        assert [len(part) for part in (setting.parts.train, setting.parts.validation, setting.parts.test)] == [256, 100, 244]
        assert setting.untrained()(setting.parts.test.pixels).shape == (244, 3)
        assert setting.pairs == ["a into b"]
        assert float(setting.parts.train.pixels.mean()) == pytest.approx(0, abs=1e-5)  # standardised by what is trained on
        assert float(setting.parts.train.pixels.std()) == pytest.approx(1, abs=1e-5)

    def test_features_are_never_shifted(self):
        features = Features(np.random.default_rng(0).normal(size=(600, 20)), np.arange(600) % 3, ("a", "b", "c"), "made up")
        params = METHOD.make_params("smoke", {"augment": True})
        assert not Setting(params, Inputs((0,), features=features)).augments
        assert Setting(params, Inputs((0,))).augments

    def test_ways_lead_between_classes_that_are_there(self):
        labels = np.where(np.arange(600) % 3 == 1, 2, np.arange(600) % 3)  # none of the second class
        features = Features(np.random.default_rng(0).normal(size=(600, 20)), labels, ("a", "b", "c"), "made up")
        setting = Setting(METHOD.make_params("smoke"), Inputs((0,), features=features))
        assert setting.pairs == ["a into c"]
        assert setting.paths.shape[2] == 50


class TestRecords:
    def test_temperature_scaling_changes_no_prediction_and_is_fitted_on_validation_images(self, smoke):
        recording = smoke("rankmixup")
        of = {
            arm: recording.store.arrays(recording.run, "predictions", arm=arm, seed=0).set_index("part")["array"]
            for arm in ("ce", "temperature")
        }
        metrics = recording.results().metrics.set_index(["arm", "seed"])
        temperature = metrics.loc[("ce", 0), "temperature"]
        np.testing.assert_allclose(of["temperature"]["logits"], of["ce"]["logits"] / temperature, rtol=1e-4)
        assert metrics.loc[("temperature", 0), "ece"] == pytest.approx(metrics.loc[("ce", 0), "ece_scaled"], abs=1e-5)
        assert metrics.loc[("temperature", 0), "temperature"] == pytest.approx(1, abs=1e-3)

    def test_what_is_reported_is_the_strength_that_was_chosen(self, smoke):
        results = smoke("rankmixup").results()
        metrics = results.metrics.set_index(["arm", "seed"])
        sweep = results.table("sweep").set_index(["arm", "seed", "strength"])["ece"]
        for arm in ("mixup", "mrl", "ndcg-one", "ndcg", "mixture-ce", "label-smoothing"):
            for seed in (0, 1):
                row = metrics.loc[(arm, seed)]
                assert row["ece"] == pytest.approx(sweep[arm, seed, row["strength"]], abs=1e-6)
        assert metrics.loc[("mixup", 0), "ece_same_shares"] == sweep["mixup", 0, 2.0]

    def test_recorded_predictions_have_the_reported_error(self, smoke):
        recording = smoke("rankmixup")
        arrays = recording.store.arrays(recording.run, "predictions", arm="ndcg", seed=1).set_index("part")["array"]
        error = expected_calibration_error(*top_label(softmax(arrays["logits"]), arrays["labels"]))
        metrics = recording.results().metrics.set_index(["arm", "seed"])
        assert metrics.loc[("ndcg", 1), "ece"] == pytest.approx(error, abs=1e-5)


def results(**arms: dict[str, list[float]]) -> Results:
    """Metrics by arm, a value for each seed, in percent."""
    rows = [
        {"arm": arm.replace("_", "-"), "seed": seed} | {name: values[seed] / 100 for name, values in metrics.items()}
        for arm, metrics in arms.items()
        for seed in range(3)
    ]
    return Results(pd.DataFrame(rows), {})


class TestClaims:
    ce: ClassVar = {"ece": [5.0, 5.2, 4.8], "accuracy": [90.0, 90, 90], "confidence": [95.0, 95, 95]}
    good: ClassVar = {"ece": [1.0, 1.1, 1.3], "accuracy": [90.1, 89.9, 90.0]}

    def test_better_calibration_at_the_same_accuracy_holds(self):
        verdict = calibrates(results(ce=self.ce, ndcg=self.good))
        assert (verdict.outcome, verdict.n) == ("holds", 3)
        assert verdict.effect == pytest.approx(11.6 / 3)
        assert "1.13%" in verdict.detail and "5.00%" in verdict.detail

    def test_better_calibration_that_costs_accuracy_does_not_hold(self):
        verdict = calibrates(results(ce=self.ce, ndcg=self.good | {"accuracy": [88.0, 88.1, 87.9]}))
        assert verdict.outcome == "does not hold"

    def test_half_a_point_is_no_point(self):
        assert calibrates(results(ce=self.ce, ndcg=self.good | {"ece": [4.5, 4.7, 4.3]})).outcome == "does not hold"

    def test_a_calibrated_baseline_leaves_nothing_to_repair(self):
        assert no_overconfidence(results(ce=self.ce)) == ""
        assert "0.50 points" in no_overconfidence(results(ce=self.ce | {"confidence": [90.5] * 3}))
        assert no_overconfidence(results(ndcg=self.good | {"confidence": [90.5] * 3})) == ""  # cross-entropy was not run

    def test_without_the_second_arm_it_is_undecided(self):
        verdict = needs_several(results(mrl={"ece": [2.0, 2.1, 2.3]}, ndcg=self.good))
        assert verdict.outcome == "undecided"
        assert "nan" not in verdict.detail

    @pytest.mark.parametrize(
        ("mixup", "same", "outcome"),
        [
            ([1.0, 1.0, 1.2], [8.0, 8.1, 8.3], "holds"),  # 0.07 points behind, certainly less than 0.3
            ([0.4, 0.5, 0.7], [8.0, 8.1, 8.3], "does not hold"),  # 0.6 points behind the best mixup
            ([1.0, 1.0, 1.2], [0.5, 0.6, 0.8], "does not hold"),  # behind mixup with the same shares
            ([0.2, 1.9, 1.3], [8.0, 8.1, 8.3], "undecided"),
        ],
    )
    def test_mixup_is_matched_at_its_best_and_beaten_at_the_same_shares(self, mixup, same, outcome):
        verdict = beats_mixup(results(mixup={"ece": mixup, "ece_same_shares": same}, ndcg=self.good))
        assert verdict.outcome == outcome

    @pytest.mark.parametrize(("one", "outcome"), [([4.0, 4.1, 4.3], "holds"), ([0.2, 0.3, 0.5], "does not hold")])
    def test_several_mixtures_must_beat_both(self, one, outcome):
        verdict = needs_several(results(mrl={"ece": [2.0, 2.1, 2.3]}, ndcg_one={"ece": one}, ndcg=self.good))
        assert verdict.outcome == outcome
