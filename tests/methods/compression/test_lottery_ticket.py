"""The lottery ticket's file: pruning by hand, what must be equal to the bit between rounds and arms, and its claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from core.measures.masks import density, nested
from core.methods.base import Inputs, ParameterError, Recorded, Results
from core.methods.compression import lottery_ticket
from core.methods.compression.lottery_ticket import (
    CLAIMS,
    Params,
    Setting,
    prune,
    prune_globally,
    pruning_rates,
    run,
    same_sign,
)
from core.recorder import Batch, Recorder
from models.mlp import mlp
from models.weights import connection_weights

SHORT = {"steps": 12, "every": 4, "prune": 0.5, "rounds": 2, "compare_every": 1, "batch_size": 30}


def masks_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in connection_weights(model).items()}


# --- pruning ----------------------------------------------------------------------------------------------------------


class TestPruning:
    def test_two_rounds_by_hand(self):
        weights = {"w": torch.tensor([0.1, -0.5, 0.3, -0.2, 0.4])}
        first = prune(weights, {"w": torch.ones(5, dtype=torch.bool)}, {"w": 0.4})
        assert first["w"].tolist() == [False, True, True, False, True]
        second = prune(weights, first, {"w": 0.4})
        assert second["w"].tolist() == [False, True, False, False, True]

    def test_the_paper_s_network_after_one_round(self):
        model = mlp((784, 300, 100, 10), initialisation="glorot-normal", generator=torch.Generator().manual_seed(0))
        masks = masks_of(model)
        assert sum(mask.numel() for mask in masks.values()) == 266_200
        pruned = prune(connection_weights(model), masks, pruning_rates(masks, 0.2))
        assert [int(mask.sum()) for mask in pruned.values()] == [188_160, 24_000, 900]
        assert sum(int(mask.sum()) for mask in pruned.values()) == 213_060
        assert density(pruned) == pytest.approx(0.8004, abs=5e-5)

    @pytest.mark.parametrize(("n", "rate", "gone"), [(10, 0.25, 2), (14, 0.25, 4), (3, 0.4, 1), (10, 0.0, 0)])
    def test_the_number_is_rounded_half_to_even(self, n, rate, gone):
        pruned = prune({"w": torch.arange(1.0, n + 1)}, {"w": torch.ones(n, dtype=torch.bool)}, {"w": rate})
        assert pruned["w"].tolist() == [False] * gone + [True] * (n - gone)

    def test_ties_go_by_index(self):
        pruned = prune({"w": torch.tensor([1.0, -1.0, 1.0, -1.0])}, {"w": torch.ones(4, dtype=torch.bool)}, {"w": 0.5})
        assert pruned["w"].tolist() == [False, False, True, True]

    def test_what_is_pruned_never_comes_back_however_large(self):
        weights, masks = {"w": torch.tensor([9.0, 1.0, 2.0, 3.0])}, {"w": torch.tensor([False, True, True, True])}
        assert prune(weights, masks, {"w": 0.34})["w"].tolist() == [False, False, True, True]

    def test_only_the_output_layer_has_half_the_rate(self):
        assert pruning_rates(masks_of(mlp((4, 3, 2, 2))), 0.2) == {
            "hidden1.weight": 0.2,
            "hidden2.weight": 0.2,
            "output.weight": 0.1,
        }

    def test_one_threshold_takes_from_the_layer_with_small_weights(self):
        weights = {"a": torch.tensor([[0.1, -0.2], [0.3, 5.0]]), "b": torch.tensor([1.0, -2.0, 0.25])}
        masks = {"a": torch.ones(2, 2, dtype=torch.bool), "b": torch.tensor([True, True, False])}
        pruned = prune_globally(weights, masks, 0.5)
        assert pruned["a"].tolist() == [[False, False], [False, True]]
        assert pruned["b"].tolist() == [True, True, False]

    def test_it_works_on_the_named_weights_of_any_module(self):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 4), nn.MultiheadAttention(4, 2))
        weights, masks = connection_weights(model), masks_of(model)
        assert len(masks) == 4
        for pruned in (prune(weights, masks, dict.fromkeys(masks, 0.25)), prune_globally(weights, masks, 0.25)):
            assert density(pruned) == pytest.approx(0.75, abs=0.01)
            assert nested(pruned, masks)


def test_same_sign_draws_from_the_layer_s_own_values():
    torch.manual_seed(0)
    weights = {"a": torch.randn(30, 20), "b": -torch.rand(7), "zeros": torch.zeros(3)}
    drawn = same_sign(weights, torch.Generator().manual_seed(1))
    for name, weight in weights.items():
        assert torch.equal(drawn[name].sign(), weight.sign())
        assert set(drawn[name].flatten().tolist()) <= set(weight.flatten().tolist())
    assert (drawn["a"] == weights["a"]).float().mean() < 0.05
    assert weights["a"].std().item() == pytest.approx(drawn["a"].std().item(), rel=0.1)


# --- arms, to the bit -------------------------------------------------------------------------------------------------


@dataclass
class Cell:
    """What one arm recorded, and the network's state at the start and end of each of its trainings."""

    arrays: list[Recorded] = field(default_factory=list)
    tables: dict[str, list[pd.DataFrame]] = field(default_factory=dict)
    scalars: list[pd.DataFrame] = field(default_factory=list)
    starts: list[dict[str, Tensor]] = field(default_factory=list)
    ends: list[dict[str, Tensor]] = field(default_factory=list)
    masks: list[dict[str, Tensor]] = field(default_factory=list)
    first_steps: list[int] = field(default_factory=list)

    def __call__(self, batch: Batch) -> None:
        self.arrays += [Recorded(a.kind, a.name, a.step, a.part, a.array) for a in batch.arrays]
        for table in batch.tables:
            self.tables.setdefault(table.name, []).append(table.rows.to_pandas())
        if batch.scalars:
            self.scalars.append(batch.scalars.to_pandas())

    @property
    def rounds(self) -> pd.DataFrame:
        return pd.concat(self.tables["rounds"], ignore_index=True)

    def curve(self, series: str) -> pd.DataFrame:
        rows = pd.concat(self.scalars)
        return rows[rows["series"] == series].reset_index(drop=True)[["name", "step", "value"]]


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.fixture
def play(monkeypatch):
    """Runs arms one after the other, each with what the earlier ones recorded."""

    def run_arms(*arms: str, seed: int = 0, **settings) -> dict[str, Cell]:
        params, cells = Params(**{**SHORT, **settings}), {}
        original = Setting.train_subnetwork
        for arm in arms:
            cell = cells[arm] = Cell()

            def watched(self, model, masks, record, *, series, start, after, cell=cell):
                cell.masks.append(dict(masks))
                cell.first_steps.append(start)
                seen = []

                def first(module, inputs):
                    if not seen and module.training:
                        seen.append(state(module))

                handle = model.register_forward_pre_hook(first)
                evaluations = original(self, model, masks, record, series=series, start=start, after=after)
                handle.remove()
                cell.starts += seen
                cell.ends.append(state(model))
                return evaluations

            monkeypatch.setattr(Setting, "train_subnetwork", watched)
            recorder = Recorder(cell, (seed,))
            run(arm, params, Inputs((seed,), "cpu", {name: done.arrays for name, done in cells.items()}), recorder)
            recorder.close()
        return cells

    return run_arms


def equal_where_alive(state: dict[str, Tensor], other: dict[str, Tensor], masks: dict[str, Tensor]) -> bool:
    """Survivors and everything that is not pruned are the same to the bit, and what is pruned is zero."""
    return all(torch.equal(values, other[name] * masks[name] if name in masks else other[name]) for name, values in state.items())


class TestTicket:
    def test_with_nothing_pruned_every_round_is_the_dense_run_again(self, play):
        cells = play("dense", "ticket", prune=0.0)
        assert all(mask.all() for masks in cells["ticket"].masks for mask in masks.values())
        dense = cells["dense"].curve("dense")
        assert len(dense) == 4 * 3
        for series in ("nearest to 16%", "round 2"):
            pd.testing.assert_frame_equal(cells["ticket"].curve(series), dense, check_exact=True)
        assert all(torch.equal(cells["dense"].ends[0][name], values) for name, values in cells["ticket"].ends[1].items())

    @pytest.mark.parametrize("settings", [{}, {"optimiser": "sgd", "learning_rate": 0.05}, {"scope": "global"}])
    def test_survivors_and_biases_start_where_the_dense_network_started(self, play, settings):
        cells = play("dense", "ticket", weight_decay=0.01, **settings)
        origin = cells["dense"].starts[0]
        assert torch.equal(origin["hidden1.weight"], Setting(Params(**SHORT), Inputs((0,))).network().hidden1.weight)
        assert len(cells["ticket"].starts) == 2
        for start, masks in zip(cells["ticket"].starts, cells["ticket"].masks, strict=True):
            assert equal_where_alive(start, origin, masks)

    def test_masked_weights_are_exactly_zero_after_adam_with_weight_decay(self, play):
        ticket = play("dense", "ticket", weight_decay=0.1)["ticket"]
        for end, masks in zip(ticket.ends, ticket.masks, strict=True):
            assert all(not end[name][~mask].any() for name, mask in masks.items())
            assert all((end[name][mask] != 0).all() for name, mask in masks.items())

    def test_masks_are_nested_and_follow_the_weights_that_were_trained(self, play):
        cells = play("dense", "ticket")
        first, second = cells["ticket"].masks
        assert nested(second, first)
        rates = pruning_rates(first, SHORT["prune"])
        everything = {name: torch.ones_like(mask) for name, mask in first.items()}
        assert all(torch.equal(m, first[n]) for n, m in prune(cells["dense"].ends[0], everything, rates).items())
        assert all(torch.equal(m, second[n]) for n, m in prune(cells["ticket"].ends[0], first, rates).items())

    def test_densities_are_recorded_round_by_round(self, play):
        ticket = play("dense", "ticket", prune=0.2)["ticket"]
        assert ticket.rounds["round"].tolist() == [1, 2]
        assert ticket.rounds["density"].tolist() == pytest.approx([213_060 / 266_200, (150_528 + 19_200 + 810) / 266_200])
        masks = [a for a in ticket.arrays if a.kind == "mask" and a.name == "hidden1.weight"]
        assert [(a.step, int(a.array.sum())) for a in masks] == [(0, 235_200), (1, 188_160), (2, 150_528)]
        layers = pd.concat(ticket.tables["layers"])
        assert layers[layers["layer"] == "output.weight"]["density"].tolist() == pytest.approx([0.9, 0.81])

    def test_the_map_of_surviving_inputs_is_the_first_layer_s(self, play):
        ticket = play("dense", "ticket")["ticket"]
        maps = {a.step: a.array for a in ticket.arrays if a.name == "surviving inputs"}
        assert maps[0].shape == (28, 28)
        assert (maps[0] == 1).all()
        counts = ticket.masks[1]["hidden1.weight"].sum(0).view(28, 28).numpy()
        np.testing.assert_allclose(maps[2], counts / counts.mean(), rtol=1e-5)
        survivors = {a.step: a.array for a in ticket.arrays if a.name == "initial values of survivors"}
        assert [len(survivors[step]) for step in (0, 1, 2)] == [235_200, 117_600, 58_800]

    def test_late_rewinding_goes_back_to_an_early_step(self, play):
        cells = play("dense", "ticket", rewind=5)
        early = {a.name: torch.tensor(a.array) for a in cells["dense"].arrays if a.kind == "matrix" and a.step == 5}
        assert not torch.equal(early["hidden1.weight"], cells["dense"].starts[0]["hidden1.weight"])
        for start, masks in zip(cells["ticket"].starts, cells["ticket"].masks, strict=True):
            assert equal_where_alive(start, early, masks)
        assert cells["ticket"].first_steps == [5, 5]
        assert cells["ticket"].curve("nearest to 16%")["step"].unique().tolist() == [5, 8, 12]

    def test_late_rewinding_without_pruning_is_the_end_of_the_dense_run_but_for_the_fresh_optimiser(self, play):
        """With plain gradients (no momentum to lose) even that is the same; here the data and the order are."""
        cells = play("dense", "ticket", rewind=4, prune=0.0)
        dense, ticket = cells["dense"].curve("dense"), cells["ticket"].curve("round 2")
        at_rewind = dense[(dense["step"] == 4) & (dense["name"] != "training_loss")]["value"].tolist()
        assert ticket[(ticket["step"] == 4) & (ticket["name"] != "training_loss")]["value"].tolist() == at_rewind

    def test_rewinding_past_the_end_is_refused(self):
        with pytest.raises(ParameterError, match="rewind is 12; it must be smaller than steps, which is 12"):
            run("dense", Params(**SHORT, rewind=12), Inputs((0,)), Recorder(lambda batch: None, (0,)))

    def test_holding_out_all_images_is_refused(self):
        with pytest.raises(ParameterError, match="validation is 3980; that leaves no batch of the 4000 training images"):
            run("dense", Params(**SHORT, validation=3980), Inputs((0,)), Recorder(lambda batch: None, (0,)))


class TestOtherArms:
    def test_reinit_has_the_ticket_s_masks_and_other_weights(self, play):
        cells = play("dense", "ticket", "reinit")
        origin = cells["dense"].starts[0]["hidden1.weight"]
        draws = []
        for number, (start, masks) in enumerate(zip(cells["reinit"].starts, cells["reinit"].masks, strict=True)):
            assert all(torch.equal(mask, cells["ticket"].masks[number][name]) for name, mask in masks.items())
            alive = start["hidden1.weight"][masks["hidden1.weight"]]
            assert (alive != origin[masks["hidden1.weight"]]).float().mean() > 0.999
            assert alive.std() == pytest.approx((2 / (784 + 300)) ** 0.5, rel=0.02), "the initial distribution, not the survivors'"
            assert not start["hidden1.bias"].any()
            draws.append(start["hidden1.weight"])
        both = cells["reinit"].masks[1]["hidden1.weight"]
        assert (draws[0][both] != draws[1][both]).float().mean() > 0.999, "every round is drawn anew"

    def test_the_random_mask_keeps_counts_and_initial_values(self, play):
        cells = play("dense", "ticket", "random-mask")
        for start, masks, found in zip(cells["random-mask"].starts, cells["random-mask"].masks, cells["ticket"].masks, strict=True):
            assert [int(mask.sum()) for mask in masks.values()] == [int(mask.sum()) for mask in found.values()]
            assert all(not torch.equal(mask, found[name]) for name, mask in masks.items())
            assert equal_where_alive(start, cells["dense"].starts[0], masks)

    def test_same_sign_has_the_ticket_s_masks_and_initial_signs(self, play):
        cells = play("dense", "ticket", "same-sign")
        origin = cells["dense"].starts[0]["hidden1.weight"]
        for start, masks, found in zip(cells["same-sign"].starts, cells["same-sign"].masks, cells["ticket"].masks, strict=True):
            mask = masks["hidden1.weight"]
            assert torch.equal(mask, found["hidden1.weight"])
            assert torch.equal(start["hidden1.weight"][mask].sign(), origin[mask].sign())
            assert (start["hidden1.weight"][mask] != origin[mask]).float().mean() > 0.99

    def test_one_shot_prunes_the_dense_network_only(self, play):
        cells = play("dense", "ticket", "one-shot")
        trained = cells["dense"].ends[0]["hidden1.weight"].abs()
        for start, masks, found in zip(cells["one-shot"].starts, cells["one-shot"].masks, cells["ticket"].masks, strict=True):
            mask = masks["hidden1.weight"]
            assert int(mask.sum()) == int(found["hidden1.weight"].sum())
            assert trained[mask].min() >= trained[~mask].max()
            assert equal_where_alive(start, cells["dense"].starts[0], masks)
        assert not torch.equal(cells["one-shot"].masks[1]["hidden1.weight"], cells["ticket"].masks[1]["hidden1.weight"])

    def test_fine_tuning_goes_on_from_the_trained_weights(self, play):
        cells = play("dense", "fine-tune")
        tuned = cells["fine-tune"]
        assert equal_where_alive(tuned.starts[0], cells["dense"].ends[0], tuned.masks[0])
        assert equal_where_alive(tuned.starts[1], tuned.ends[0], tuned.masks[1])

    def test_arms_with_the_ticket_s_masks_train_at_every_so_many_rounds(self, play):
        cells = play("dense", "ticket", "reinit", "random-mask", "one-shot", rounds=4, compare_every=2, steps=2, every=2)
        assert cells["ticket"].rounds["round"].tolist() == [1, 2, 3, 4]
        for arm in ("reinit", "random-mask", "one-shot"):
            assert cells[arm].rounds["round"].tolist() == [2, 4]
            assert cells[arm].rounds["density"].tolist() == cells["ticket"].rounds["density"].tolist()[1::2]


def test_a_residual_network_is_pruned_by_one_threshold_and_its_normalisation_is_rewound(play, monkeypatch):
    colour = lottery_ticket.load("digits-8")
    monkeypatch.setattr(lottery_ticket, "load", lambda name: colour)
    settings = {"network": "resnet-20", "scope": "global", "optimiser": "sgd", "learning_rate": 0.1, "augment": True}
    cells = play("dense", "ticket", steps=3, every=3, batch_size=8, rounds=1, warm_up=2, decays=(0.5,), **settings)
    (masks,) = cells["ticket"].masks
    assert len(masks) == 20
    assert density(masks) == pytest.approx(0.5, abs=1e-4)
    assert len({round(float(mask.float().mean()), 2) for mask in masks.values()}) > 3, "layers differ"
    trained = cells["dense"].ends[0]
    threshold = min(trained[name].abs()[mask].min() for name, mask in masks.items())
    assert all(trained[name].abs()[~mask].max() <= threshold for name, mask in masks.items() if not mask.all())
    origin = {name: value for name, value in cells["dense"].starts[0].items() if value.is_floating_point()}
    start = {name: value for name, value in cells["ticket"].starts[0].items() if value.is_floating_point()}
    assert not torch.equal(trained["normalisation.running_mean"], origin["normalisation.running_mean"])
    assert equal_where_alive(start, origin, masks)


def test_a_row_of_the_rounds_is_read_off_the_evaluations():
    def row(losses: Sequence[float], target: float) -> dict:
        cell = Cell()
        recorder = Recorder(cell, (0,))
        evaluations = [lottery_ticket.Evaluation(10 * i, loss, 90.0 + i) for i, loss in enumerate(losses)]
        lottery_ticket.record_round(recorder, 3, {"w": torch.tensor([True, False])}, evaluations, target)
        recorder.close()
        return cell.rounds.iloc[0].to_dict()

    stopped = row([2.0, 0.5, 0.7, 0.5], target=0.7)
    assert (stopped["early_stop"], stopped["accuracy"], stopped["final_accuracy"]) == (10, 91, 93), "the first least loss"
    assert (stopped["steps_to_dense"], bool(stopped["reached"])) == (10, True)
    never = row([2.0, 1.5], target=1.0)
    assert (never["steps_to_dense"], bool(never["reached"])) == (10, False), "counts with all its steps"


# --- claims -----------------------------------------------------------------------------------------------------------


def decide(claim: str, rows: pd.DataFrame):
    (found,) = (one for one in CLAIMS if one.id == claim)
    return found.decide(Results(pd.DataFrame({"arm": [], "seed": []}), {"rounds": rows}))


def table(**arms: dict[int, Sequence[float]]) -> pd.DataFrame:
    """Rows from arm -> round -> values by seed; densities 100, 40.1, 16.1, 6.5, 2.6%."""
    densities = (1.0, 0.401, 0.161, 0.065, 0.026)
    return pd.DataFrame(
        [
            {
                "arm": arm.replace("_", "-"),
                "seed": seed,
                "round": number,
                "density": densities[number],
                "accuracy": value,
                "final_accuracy": value,
                "steps_to_dense": value,
                "reached": value < 300,
            }
            for arm, rounds in arms.items()
            for number, values in rounds.items()
            for seed, value in enumerate(values)
        ]
    )


class TestClaims:
    def test_c1_takes_the_smallest_density_within_half_a_point(self):
        verdict = decide("c1", table(dense={0: [94, 93]}, ticket={1: [94, 94], 2: [93.5, 92.6], 3: [93, 92]}))  # gaps -0.5, -0.4
        assert verdict.outcome == "holds"
        assert verdict.effect == pytest.approx(16.1)
        assert verdict.n == 2
        assert "-0.45 at 16.1%" in verdict.detail

    def test_c1_does_not_hold_where_a_quarter_of_the_weights_falls_short(self):
        verdict = decide("c1", table(dense={0: [94, 93]}, ticket={1: [94, 94], 2: [93.4, 92.4]}))
        assert (verdict.outcome, verdict.effect, verdict.low) == ("does not hold", pytest.approx(40.1), pytest.approx(40.1))

    def test_c1_is_decided_by_the_mean_and_needs_two_seeds(self):
        lucky = decide("c1", table(dense={0: [94, 93]}, ticket={1: [94, 94], 2: [93.4, 93.4]}))
        assert (lucky.outcome, lucky.effect, lucky.high) == ("holds", pytest.approx(16.1), pytest.approx(40.1))
        split = decide("c1", table(dense={0: [94, 93]}, ticket={1: [94, 94], 2: [92.4, 92.9]}))
        assert (split.outcome, split.effect) == ("does not hold", pytest.approx(40.1))
        assert decide("c1", table(dense={0: [94]}, ticket={2: [94]})).outcome == "undecided"
        assert decide("c1", table(ticket={2: [94]})).outcome == "undecided"

    @pytest.mark.parametrize(("claim", "against"), [("c2", "reinit"), ("c3", "random_mask")])
    def test_c2_and_c3_compare_between_five_and_ten_percent_only(self, claim, against):
        rows = table(ticket={2: [50, 50], 3: [92, 93, 92]}, **{against: {2: [90, 90], 3: [90.1, 91, 90]}})
        verdict = decide(claim, rows)
        assert verdict.outcome == "holds"
        assert verdict.effect == pytest.approx((1.9 + 2 + 2) / 3)
        worse = table(ticket={3: [90, 91, 90]}, **{against: {3: [90, 91, 90.1]}})
        assert decide(claim, worse).outcome == "does not hold"

    def test_c4_counts_steps_and_says_who_never_got_there(self):
        rows = table(ticket={1: [10, 10], 2: [150, 120], 3: [1, 1]}, reinit={1: [10, 10], 2: [300, 280], 3: [1, 1]})
        verdict = decide("c4", rows)
        assert (verdict.outcome, verdict.effect) == ("holds", pytest.approx((150 + 120) / (300 + 280)))
        assert "Never got there, and count as T: 0 ticket and 1 reinit runs." in verdict.detail
        assert decide("c4", table(ticket={2: [270, 271]}, reinit={2: [280, 280]})).outcome == "does not hold"

    def test_without_the_arms_nothing_is_decided(self):
        for claim in CLAIMS:
            assert decide(claim.id, table(ticket={3: [90, 91]})).outcome == "undecided"
            assert decide(claim.id, pd.DataFrame({"arm": [], "seed": []})).outcome == "undecided"


# --- the pretrained variant -------------------------------------------------------------------------------------------


class TestOnAHubModel:
    @pytest.fixture
    def given(self):
        return Inputs((0,), weights="starter/mnist-resnet")

    def test_rounds_start_from_the_pretrained_weights_and_a_new_head_is_another_draw(self, given):
        from models import hub

        setting = Setting(Params(**SHORT), given)
        first, other = setting.network().state_dict(), setting.network(draw=1).state_dict()
        pretrained = hub.load("starter/mnist-resnet").module.state_dict()
        different = {name for name, values in first.items() if not torch.equal(values, other[name])}
        assert different and all("classifier" in name for name in different), "only the head"
        body = {name.removeprefix("body."): values for name, values in first.items() if name not in different}
        assert len(body) > 10 and all(torch.equal(values, pretrained[name]) for name, values in body.items())

    def test_the_paper_s_claims_are_not_testable_on_it(self):
        metrics = pd.DataFrame({"arm": ["dense"], "seed": [0], "pretrained": [1.0]})
        for claim in CLAIMS:
            assert "pretrained variant" in claim.precondition(Results(metrics, {}))
            assert claim.precondition(Results(metrics.drop(columns="pretrained"), {})) == ""

    def test_a_model_too_large_to_be_kept_is_refused(self, given, monkeypatch):
        monkeypatch.setattr(lottery_ticket, "LARGEST", 10)
        with pytest.raises(ParameterError, match="at most 10 can be kept"):
            Setting(Params(**SHORT), given).network()
