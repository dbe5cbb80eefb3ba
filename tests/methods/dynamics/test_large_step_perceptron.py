"""Logistic regression with large steps and its perceptrons against values by hand, the paper's table, and invariances."""

from __future__ import annotations

import math
from itertools import islice, pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import softplus

from core.methods.base import Features, Inputs, Results, make_params
from core.methods.dynamics.large_step_perceptron import (
    ARMS,
    LIMIT,
    PAIRS,
    PRESETS,
    Params,
    Problem,
    decide_balanced,
    decide_imbalanced,
    decide_limit,
    decide_speed_and_loss,
    draw,
    error_weights,
    iterate_gap,
    iterates,
    plan,
    run,
    separate,
    two_blobs,
    worst_case,
)
from core.recorder import Recorder

TWO = torch.tensor([[1.0, -1.0], [1.0, 4.0]], dtype=torch.float64)
ALL = [arm.name for arm in ARMS]


def theta(z, arm, gamma, t):
    return next(islice(iterates(z, arm, gamma), t, None))


def loss(z, theta):
    return float(softplus(-z @ theta).mean())


def steps(z, arm, *gammas, cap=5000):
    found = separate(z, arm, torch.tensor(gammas or (1.0,), dtype=torch.float64), cap)
    assert found.separated.all()
    return found.steps.int().tolist()


def drawn(pair="3-8", imbalance=100, seed=0, majority=500):
    return draw(Problem("mnist-5k", majority, pair, imbalance, False), Inputs((seed,)))


class TestTwoSamples:
    @pytest.mark.parametrize("gamma", [0.01, 1.0, 10.0, 1000.0])
    def test_the_first_step_over_the_step_size_is_the_same_for_all_step_sizes(self, gamma):
        torch.testing.assert_close(theta(TWO, "lr-gd", gamma, 1) / gamma, torch.tensor([0.5, 0.75], dtype=torch.float64))

    def test_the_second_step_at_step_size_10(self):
        assert loss(TWO, theta(TWO, "lr-gd", 10.0, 1)) == pytest.approx(1.289444867146275, rel=1e-14)
        assert (theta(TWO, "lr-gd", 10.0, 2) / 10).tolist() == pytest.approx([0.96207091, 0.28792909], abs=5e-9)

    def test_growing_steps_lead_to_the_perceptron_over_an_exploding_loss(self):
        gamma = 1e5
        limit = theta(TWO, "batch-perceptron", 1.0, 2)
        assert limit.tolist() == [1.0, 0.25]
        torch.testing.assert_close(theta(TWO, "lr-gd", gamma, 2) / gamma, limit, rtol=1e-12, atol=0)
        assert loss(TWO, theta(TWO, "lr-gd", gamma, 1)) == pytest.approx(gamma * 0.25 / 2)  # the first sample's margin is -1/4
        assert loss(TWO, theta(TWO, "lr-gd", gamma, 2)) == 0

    @pytest.mark.parametrize("gamma", [0.1, 10.0])
    def test_the_normalized_method_s_first_step_is_twice_as_long(self, gamma):
        assert theta(TWO, "normalized-lr-gd", gamma, 1).tolist() == pytest.approx([gamma, 1.5 * gamma])

    @pytest.mark.parametrize(("gamma", "beta"), [(10.0, 2.1641699972477957), (100.0, 2.000000000027776)])
    def test_beta_after_the_first_step(self, gamma, beta):
        margins = TWO @ theta(TWO, "lr-gd", gamma, 1)
        factor = error_weights("normalized-lr-gd", margins, 1) / error_weights("lr-gd", margins, 1)
        assert factor.tolist() == pytest.approx([beta, beta], rel=1e-13)


class TestWorstCase:
    @pytest.mark.parametrize(
        ("n", "arm", "gammas", "expected"),
        [
            (10, "lr-gd", (100.0,), [4]),
            (10, "normalized-lr-gd", (100.0, 1.0), [2, 7]),
            (10, "batch-perceptron", (), [4]),
            (10, "normalized-batch-perceptron", (), [2]),
            (1000, "lr-gd", (100.0,), [308]),
            (1000, "normalized-lr-gd", (100.0, 10.0, 1.0, 0.1), [2, 2, 16, 157]),
            (1000, "batch-perceptron", (), [301]),
            (1000, "normalized-batch-perceptron", (), [2]),
        ],
    )
    def test_steps_of_table_1(self, n, arm, gammas, expected):
        assert steps(worst_case(n), arm, *gammas) == expected

    @pytest.mark.parametrize("n", [10, 1000])
    def test_the_batch_perceptron_s_first_iterate(self, n):
        assert theta(worst_case(n), "batch-perceptron", 1.0, 1).tolist() == pytest.approx([0.25, (n - 2) / (2 * n)])

    @pytest.mark.parametrize("n", [10, 100, 1000])
    def test_the_guarantees_hold(self, n):
        """R^2 = 1.25 and the largest margin is that of (1, 0), mu = 0.5."""
        bound = 1.25 / 0.5**2
        assert steps(worst_case(n), "batch-perceptron")[0] <= n * bound
        assert steps(worst_case(n), "normalized-batch-perceptron")[0] <= bound
        assert steps(worst_case(n), "perceptron")[0] <= bound
        for gamma in (0.1, 1.0, 100.0):
            limit = bound + 2 * math.log(2 * n - 1) / (gamma * 0.5**2)
            assert steps(worst_case(n), "normalized-lr-gd", gamma)[0] <= limit


class TestInvariances:
    @pytest.mark.parametrize("arm", list(LIMIT))
    def test_scaled_data_with_steps_scaled_back_take_the_same_way(self, arm):
        z, _ = drawn("4-9", 20)
        c, gamma = 4.0, torch.tensor([0.5, 4.0], dtype=torch.float64)  # powers of two leave rounding as it is
        plain, scaled = separate(z, arm, gamma, 2000), separate(c * z, arm, gamma / c**2, 2000)
        assert plain.separated.all()
        assert torch.equal(plain.steps, scaled.steps)
        torch.testing.assert_close(scaled.theta, plain.theta / c)

    @pytest.mark.parametrize("arm", list(LIMIT))
    def test_copies_of_all_samples_change_nothing(self, arm):
        z, _ = drawn(imbalance=20, majority=100)
        assert steps(z.repeat(3, 1), arm, 0.1, 1.0, 10.0) == steps(z, arm, 0.1, 1.0, 10.0)

    def test_copies_of_one_class_cost_plain_averaging_more(self):
        few, many = worst_case(100), worst_case(1000)
        assert steps(many, "lr-gd", 100.0)[0] > 5 * steps(few, "lr-gd", 100.0)[0]
        assert steps(many, "normalized-lr-gd", 100.0) == steps(few, "normalized-lr-gd", 100.0)

    @pytest.mark.parametrize("gamma", [0.1, 10.0])
    def test_no_normalized_step_is_longer_than_the_longest_sample_allows(self, gamma):
        z, _ = drawn()
        longest = float(z.norm(dim=1).max())
        moves = [float((b - a).norm()) for a, b in pairwise(iterates(z, "normalized-lr-gd", gamma))]
        assert len(moves) > 5
        assert max(moves) <= gamma * longest * (1 + 1e-12)


class TestFastForm:
    @pytest.mark.parametrize("arm", ALL)
    @pytest.mark.parametrize(
        ("pair", "imbalance", "majority"), [("3-8", 100, 500), ("7-9", 20, 500), ("0-1", 1, 500), ("3-8", 1, 50)]
    )
    def test_it_takes_the_plain_form_s_steps_on_images(self, arm, pair, imbalance, majority):
        z, _ = drawn(pair, imbalance, majority=majority)
        gammas = (1.0, 10.0, 1000.0) if arm in LIMIT else (1.0,)
        found = separate(z, arm, torch.tensor(gammas, dtype=torch.float64), 2000)
        for gamma, count, peak, last in zip(gammas, found.steps, found.peak_loss, found.theta, strict=True):
            way = list(iterates(z, arm, gamma))
            assert int(count) == len(way) - 1
            torch.testing.assert_close(last, way[-1], rtol=1e-6, atol=1e-6 * gamma)
            if arm in LIMIT:
                assert float(peak) == pytest.approx(max(loss(z, theta) for theta in way[1:-1]), rel=1e-6)
            assert (z @ way[-1] > 0).all() and not (z @ way[-2] > 0).all()

    def test_without_a_gram_matrix_too(self):
        """With n > 2 d the two products are cheaper."""
        z, _ = drawn("0-1", 1)
        z = z[:, torch.linspace(0, z.shape[1] - 1, 200).long()]
        assert len(z) > 2 * z.shape[1]
        assert steps(z, "lr-gd", 10.0) == [len(list(iterates(z, "lr-gd", 10.0))) - 1]

    def test_at_the_cap_it_says_so(self):
        z, _ = drawn()
        found = separate(z, "lr-gd", torch.tensor([0.1, 10.0], dtype=torch.float64), 200)
        assert found.steps.tolist()[0] == 200 and found.separated.tolist() == [False, True]
        torch.testing.assert_close(found.theta[0], theta(z, "lr-gd", 0.1, 200))

    def test_theta_zero_solves_nothing(self):
        assert min(steps(torch.eye(3, dtype=torch.float64), arm)[0] for arm in ALL) == 1

    def test_the_watch_sees_each_step_size_off(self):
        z, _ = drawn()
        gammas, seen = torch.tensor([1.0, 100.0], dtype=torch.float64), {}

        def watch(step, at_work, alpha, margins):
            torch.testing.assert_close(alpha @ z @ z.T, margins)
            seen.update({i: (step, bool((m > 0).all())) for i, m in zip(at_work.tolist(), margins, strict=True)})

        found = separate(z, "lr-gd", gammas, 2000, watch)
        assert seen == {i: (int(count), True) for i, count in enumerate(found.steps)}

    def test_the_gap_to_the_perceptron_shrinks_as_steps_grow(self):
        z, _ = drawn(imbalance=1)
        gaps = [iterate_gap(z, gamma) for gamma in (1.0, 10.0, 1000.0)]
        assert gaps[0] > gaps[1] > gaps[2]
        assert gaps[2] < 1e-3


class TestProblems:
    def test_balanced_uses_all_images_and_leaves_none(self):
        z, left = drawn(imbalance=1)
        assert z.shape[0] == 1000 and left.shape == (0, z.shape[1])
        assert (z[:500] >= 0).all() and (z[500:] <= 0).all() and (z != 0).any(0).all()

    def test_a_seed_draws_nested_subsets_of_the_rare_class(self):
        def rare(imbalance, seed):
            z, left = drawn(imbalance=imbalance, seed=seed)
            assert len(z) + len(left) == 1000 and (left <= 0).all()
            return set(z[500:].sum(1).tolist())  # the sums tell images apart

        assert len(rare(100, 0)) == 5 and len(rare(5, 0)) == 100
        assert rare(100, 0) < rare(5, 0)
        assert not rare(100, 0) & rare(100, 1)

    def test_seeds_see_the_same_balanced_data(self):
        assert torch.equal(drawn(imbalance=1, seed=0)[0], drawn(imbalance=1, seed=1)[0])

    def test_the_seeds_of_standard_solve_every_balanced_pair_once_and_the_first_each(self):
        seeds = PRESETS["standard"].seeds
        pairs = [p.pair for seed in seeds for p in plan(Params(), Inputs((seed,))) if p.imbalance == 1]
        assert len(PAIRS) == 45
        assert sorted(pairs) == sorted([*PAIRS, *["3-8"] * (len(seeds) - 1)])

    def test_features_of_two_classes_take_the_images_place(self):
        draw_ = np.random.default_rng(0)
        labels = np.arange(60) % 2
        vectors = draw_.normal(size=(60, 8)) + 3 * labels[:, None] + 100
        inputs = Inputs((0,), features=Features(vectors.astype(np.float32), labels, ("a", "b"), "a model on data"))
        params = make_params(Params, PRESETS["smoke"].params)
        assert {p.pair for p in plan(params, inputs) if p.data == "a model on data"} == {"0-1"}
        z, _ = draw(plan(params, inputs)[0], inputs)
        assert z.shape == (60, 8)
        assert steps(z, "normalized-lr-gd", 1.0, 100.0)  # centred: without, the offset of 100 would have to be overcome

    def test_the_plane_is_separable_only_across_the_blobs(self):
        z, labels = two_blobs()
        assert (z[:, 0] > 0).all() and z.shape == (40, 2) and labels.sum() == 0
        assert ((z[:, 1] < 0).nonzero().flatten().tolist()) == [0, 1]  # the odd points, against the way of all others

    def test_curves_end_where_the_table_says(self):
        batches = []
        recorder = Recorder(batches.append, (0,))
        run("lr-gd", make_params(Params, PRESETS["smoke"].params), Inputs((0,)), recorder)
        recorder.close()
        curves = pd.concat([batch.scalars.to_pandas() for batch in batches if batch.scalars is not None])
        table = pd.concat([event.rows.to_pandas() for batch in batches for event in batch.tables if event.name == "separation"])
        row = table[(table["imbalance"] == 1) & (table["gamma"] == 10)].iloc[0]
        way = curves[curves["series"] == "γ = 10"].pivot(index="step", columns="name", values="value")
        assert row["separated"] and way.index[-1] == row["steps"]
        assert way["accuracy"].iloc[-1] == 1 and (way["accuracy"].iloc[:-1] < 1).all()
        assert way["mistakes"].iloc[-1] == 0 and math.isnan(way["loss"].iloc[-1])
        assert way["loss"].max() == pytest.approx(row["peak_loss"])
        assert way["cosine"].iloc[0] == pytest.approx(1)  # the first steps differ by a factor


def table(rows):
    """A separation table: arm, pair, imbalance, gamma, steps, peak loss, and the gap of the first iterates."""
    names = ["arm", "pair", "imbalance", "gamma", "steps", "peak_loss", "iterate_gap"]
    frame = pd.DataFrame(rows, columns=names).assign(data="d", majority=500, seed=0, worst_case=False)
    return Results(pd.DataFrame(), {"separation": frame.assign(separated=frame["steps"] < 1000)})


def two_arms(plain, normalized, imbalance=100):
    both = {"lr-gd": plain, "normalized-lr-gd": normalized}
    return table([(arm, f"{k}", imbalance, 1.0, t, 1.0, 0.0) for arm, times in both.items() for k, t in enumerate(times)])


class TestVerdicts:
    @pytest.mark.parametrize(
        ("distances", "gap", "expected"),
        [([1, 2, 3, 4], 1e-4, "holds"), ([40, 50, 60, 70], 1e-4, "does not hold"), ([1, 2, 3, 4], 0.02, "does not hold"),
         ([1, 1, 90, 90], 1e-4, "undecided"), ([1], 1e-4, "undecided")],
    )  # fmt: skip
    def test_the_limit(self, distances, gap, expected):
        rows = [("lr-gd", f"{k}", 1, 1000.0, 100 + d, 1.0, gap) for k, d in enumerate(distances)]
        rows += [("batch-perceptron", f"{k}", 1, 1000.0, 100, 1.0, math.nan) for k in range(len(distances))]
        verdict = decide_limit(table(rows))
        assert verdict.outcome == expected
        assert verdict.effect == pytest.approx(np.median(distances))

    @pytest.mark.parametrize(
        ("slow", "peak", "expected"),
        [((300, 320, 340), 5.0, "holds"), ((300, 320, 340), 1.1, "does not hold"), ((100, 110, 120), 5.0, "does not hold"),
         ((100, 300, 900), 5.0, "undecided")],
    )  # fmt: skip
    def test_speed_and_loss(self, slow, peak, expected):
        rows = [("lr-gd", f"{k}", 1, 0.1, t, 1.0, 0.0) for k, t in enumerate(slow)]
        rows += [("lr-gd", f"{k}", 1, 10.0, 60, peak, 0.0) for k in range(len(slow))]
        verdict = decide_speed_and_loss(table(rows))
        assert verdict.outcome == expected
        assert verdict.effect == pytest.approx(math.prod(slow) ** (1 / len(slow)) / 60)

    def test_the_price_is_the_geometric_mean_of_the_quotients(self):
        verdict = decide_imbalanced(two_arms([40, 90, 160], [10, 10, 10]))
        assert verdict.outcome == "holds"
        assert verdict.effect == pytest.approx((4 * 9 * 16) ** (1 / 3))
        assert decide_imbalanced(two_arms([10, 11, 12], [10, 10, 10])).outcome == "does not hold"
        assert decide_imbalanced(two_arms([10, 20, 40], [10, 10, 10])).outcome == "undecided"

    @pytest.mark.parametrize(("power", "expected"), [(0.5, "holds"), (0.0, "does not hold")])
    def test_with_three_imbalances_the_price_must_grow(self, power, expected):
        parts = [two_arms([40 * (n / 100) ** power] * 3, [10, 10, 10], n).tables["separation"] for n in (1, 10, 100)]
        verdict = decide_imbalanced(Results(pd.DataFrame(), {"separation": pd.concat(parts, ignore_index=True)}))
        assert verdict.outcome == expected
        assert f"power {power:.2f}" in verdict.detail

    def test_only_a_quotient_near_one_is_no_price(self):
        for quotient, expected in ((1.1, "holds"), (3.0, "does not hold"), (0.4, "does not hold")):
            verdict = decide_balanced(two_arms([100 * quotient, 101 * quotient, 99 * quotient], [100, 100, 100], 1))
            assert verdict.outcome == expected
            assert verdict.effect == pytest.approx(quotient, rel=0.01)

    def test_a_problem_that_neither_method_solves_counts_for_nothing(self):
        verdict = decide_balanced(two_arms([100, 110, 1000], [100, 100, 1000], 1))
        assert verdict.n == 2

    def test_at_its_best_step_size_each_method_counts(self):
        rows = [("lr-gd", k, 100, gamma, t, 1.0, 0.0) for k in "ab" for gamma, t in ((0.1, 900), (10.0, 30))]
        rows += [("normalized-lr-gd", k, 100, gamma, t, 1.0, 0.0) for k in "ab" for gamma, t in ((0.1, 10), (10.0, 90))]
        assert decide_imbalanced(table(rows)).effect == pytest.approx(3)

    @pytest.mark.parametrize("decide", [decide_limit, decide_speed_and_loss, decide_imbalanced, decide_balanced])
    def test_without_the_runs_it_needs_nothing_is_decided(self, decide):
        assert decide(two_arms([10, 10], [10, 10], imbalance=20)).outcome == "not testable here"
