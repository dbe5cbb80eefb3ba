"""The sheet's facts: one pass uses no window twice, one epoch is one epoch, speed-ups, power laws and costs."""

import math
from itertools import islice

import numpy as np
import pandas as pd
import pytest
import torch

from core.data import text
from core.measures.power_law import first_crossing, fit_power_law
from core.methods.base import Inputs, ParameterError, Results
from core.methods.language_models import one_epoch as paper
from core.recorder import Recorder
from core.training import generator


def test_a_pass_makes_floor_of_windows_over_batch_updates_and_uses_no_window_twice():
    tokens = torch.arange(32 * 50)
    batches = list(islice(text.passes(tokens, 32, 16, generator("t", 0)), 4))
    starts = [int(window[0]) for inputs, _ in batches[:3] for window in inputs]
    assert len(set(starts)) == 48  # 50 windows are 3 batches of 16
    assert all(start % 32 == 0 for start in starts)
    assert all(int(window[0]) % 32 == int(batches[3][0][0, 0]) % 32 for window in batches[3][0])  # the next pass has one offset
    inputs, targets = batches[0]
    assert torch.equal(inputs[:, 1:], targets[:, :-1])


def test_prose_gives_816_iterations_of_512_characters():
    corpus = text.prose()
    assert corpus.train.numel() // 512 * 512 == corpus.train.numel()
    assert (len(corpus.train), len(corpus.test), corpus.vocabulary) == (417_792, 45_056, 96)
    counts = torch.bincount(corpus.train, minlength=96).double()
    share = counts[counts > 0] / counts.sum()
    assert -(share * share.log()).sum().item() == pytest.approx(3.25, abs=0.01)  # nats, of single characters


def test_code_is_ten_times_larger():
    corpus = text.code()
    assert 4_000_000 < len(corpus.train) < 6_000_000
    assert len(corpus.train) / len(corpus.test) == pytest.approx(9, abs=0.1)


def test_one_epoch_of_random_blocks_is_the_whole_text_and_a_fortieth_is_part_of_it():
    corpus = text.prose()
    assert torch.equal(text.random_blocks(corpus.train, 1.0), corpus.train)
    part = text.random_blocks(corpus.train, 1 / 40)
    assert len(part) == 20 * 512
    whole = {tuple(block.tolist()) for block in corpus.train.view(-1, 512)}
    assert all(tuple(block.tolist()) in whole for block in part.view(-1, 512))
    assert torch.equal(part, text.random_blocks(corpus.train, 1 / 40))


def small(arm, seed=0, **changes):
    usual = {"width": 16, "batch": 4, "rate": 5e-3, "iterations": 160, "evaluations": 3, "test_tokens": 1024, "costs": (2e7,)}
    params = paper.Params(**(usual | changes))
    batches = []
    record = Recorder(batches.append, (seed,))
    paper.run(arm, params, Inputs((seed,)), record)
    record.close()
    results = {event.metric: event.value for batch in batches for event in batch.results}
    return results, [row for batch in batches for event in batch.tables for row in event.rows.to_pylist()]


def test_arms_of_one_seed_differ_only_in_text_and_dropout(monkeypatch):
    once, _ = small("one-epoch")
    whole = text.random_blocks
    assert small("one-epoch-dropout", dropout=0.0)[0] == once
    monkeypatch.setattr(
        text, "random_blocks", lambda tokens, share: whole(tokens, 40 * share if share < 160 * 128 / len(tokens) else share)
    )  # as for one epoch
    assert small("epochs-40")[0] == once


def test_dropout_is_off_when_losses_are_measured():
    model = paper.network(paper.Params(width=16, dropout=0.5), 16, 0.5, text.prose(), Inputs((0,)))
    sample = text.evenly_spaced(text.prose().test, 32, 16)
    assert paper.loss_on(model, sample, "cpu") == paper.loss_on(model, sample, "cpu")


def test_the_trade_keeps_the_cost_and_halving_the_size_doubles_the_iterations():
    _, rows = small("sizes", widths=(8, 16, 24), rates=(1e-2,) * 3, costs=(1e8,))
    assert [row["parameters"] for row in rows] == [3_368, 9_808, 19_320]
    for row in rows:
        assert row["parameters"] * row["tokens"] == pytest.approx(1e8, rel=0.05)
    cost, ratio = 4e10, 5
    size, tokens = math.sqrt(cost / ratio), math.sqrt(cost * ratio)
    assert (size, tokens, tokens / size) == pytest.approx((89_442.72, 447_213.6, 5), rel=1e-7)


def test_power_law_of_exact_points():
    i = np.array([100, 200, 400, 800])
    law = fit_power_law(i, 6 * i**-0.2)
    assert (law.exponent, law.r2) == pytest.approx((-0.2, 1))
    assert 1 - law(400) / law(100) == pytest.approx(0.242141716744801, rel=1e-12)  # four times the iterations
    with pytest.raises(ValueError, match="at least two points with positive values"):
        fit_power_law([1, 2], [1, -1])


def test_the_interval_of_an_exponent_covers_it_in_95_of_100_draws():
    rng, x, hits = np.random.default_rng(0), np.geomspace(1, 100, 12), 0
    for _ in range(400):
        law = fit_power_law(x, 3 * x**-0.5 * np.exp(0.1 * rng.normal(size=12)))
        hits += law.low <= -0.5 <= law.high
    assert 0.92 < hits / 400 < 0.98


def test_first_crossing():
    assert first_crossing([160, 240], [2.6, 2.45], 2.5) == pytest.approx(213.3333333)
    assert math.isnan(first_crossing([160, 240], [2.6, 2.45], 2.4))
    assert first_crossing([160, 240], [2.6, 2.45], 2.6) == 160


def test_speed_up_of_a_curve_against_itself_is_one_and_unreached_is_nan():
    curve = pd.DataFrame({"iteration": [10, 20, 40], "test_loss": [3.0, 2.5, 2.2]})
    assert paper.speed_up(curve, curve) == 1.0
    assert math.isnan(paper.speed_up(curve, curve.assign(test_loss=[3.0, 2.9, 2.8])))
    overfitted = pd.DataFrame({"iteration": [10, 20, 40], "test_loss": [3.0, 2.5, 2.7]})
    assert paper.speed_up(overfitted, curve) == 1.0  # its best is at 20


def losses(arm, values, iterations=(82, 200, 400, 600, 816)):
    rows = [
        {"arm": arm, "seed": s, "iteration": i, "test_loss": x + 0.001 * s}
        for s in (0, 1, 2)
        for i, x in zip(iterations, values, strict=True)
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("many", "outcome"),
    [
        ([2.8, 2.7, 2.5, 2.6, 2.7], "holds"),  # its best at 400, which one epoch has at 200
        ([2.8, 2.6, 2.12, 2.2, 2.3], "does not hold"),  # 0.02 nat are too little
        ([2.8, 2.3, 2.4, 2.5, 2.6], "does not hold"),  # 0.2 nat, but sooner there than one epoch
        ([2.8, 2.6, 2.0, 2.1, 2.2], "does not hold"),  # one epoch never gets there
    ],
)
def test_one_epoch_wins_only_where_it_is_clearly_better_and_sooner(many, outcome):
    once = losses("one-epoch", [2.8, 2.5, 2.3, 2.2, 2.1])
    verdict = paper.decide_epochs(Results(pd.DataFrame(), {"test losses": pd.concat([once, losses("epochs-40", many)])}))
    assert verdict.outcome == outcome
    assert verdict.effect == pytest.approx(min(many) - 2.1)
    assert ("3 of 3 seeds never get there" in verdict.detail) == (min(many) < 2.1)


@pytest.mark.parametrize(("ten", "outcome"), [(2.3, "holds"), (2.7, "does not hold")])
def test_the_gain_must_grow_with_the_epochs(ten, outcome):
    rows = [
        losses("one-epoch", [2.8, 2.5, 2.3, 2.2, 2.1]),
        losses("epochs-10", [2.9, 2.8, 2.75, ten, ten + 0.1]),
        losses("epochs-40", [2.8, 2.7, 2.5, 2.6, 2.7]),
    ]
    assert paper.decide_epochs(Results(pd.DataFrame(), {"test losses": pd.concat(rows)})).outcome == outcome


def test_the_honest_competitor_is_the_better_of_both():
    rows = [losses("epochs-40", [2.8, 2.7, 2.5, 2.6, 2.7]), losses("epochs-40-dropout", [2.9, 2.7, 2.4, 2.4, 2.5])]
    found = paper.honest(Results(pd.DataFrame(), {"test losses": pd.concat(rows)}), 40)
    assert found[0]["test_loss"].min() == 2.4


@pytest.mark.parametrize(
    ("gap", "cost", "outcome"), [(0.01, 0.1, "holds"), (0.2, 0.1, "does not hold"), (0.01, 0.005, "does not hold")]
)
def test_nothing_overfits_only_with_a_small_gap_and_harmful_dropout(gap, cost, outcome):
    rows = [
        {"arm": arm, "seed": seed, "gap": gap + 0.001 * seed, "test_loss": 2 + extra + 0.001 * seed * extra, "best_test_loss": 2.0}
        for arm, extra in (("one-epoch", 0.0), ("one-epoch-dropout", cost))
        for seed in range(3)
    ]
    assert paper.decide_overfitting(Results(pd.DataFrame(rows), {})).outcome == outcome


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ([2.4, 2.0, 2.01, 2.3, 2.4], "holds"),
        ([2.4, 2.0, 2.2, 2.3, 2.4], "does not hold"),  # the rule of thumb is 0.2 nat off
        ([2.4, 2.35, 2.36, 2.37, 2.38], "does not hold"),  # the largest is as good
    ],
)
def test_the_rule_of_thumb_must_find_the_bottom_of_a_real_u(values, outcome):
    sizes, cost = [10_000, 30_000, 44_721, 100_000, 300_000], 1e10  # sqrt(cost / 5) is 44,721
    rows = [
        {"arm": "sizes", "seed": seed, "cost": "1e+10", "parameters": size, "tokens": cost / size, "test_loss": loss + 0.001 * seed}
        for seed in range(3)
        for size, loss in zip(sizes, values, strict=True)
    ]
    assert paper.decide_sizes(Results(pd.DataFrame(), {"sizes": pd.DataFrame(rows)})).outcome == outcome
    assert paper.decide_sizes(Results(pd.DataFrame(), {"sizes": pd.DataFrame(rows[:2])})).outcome == "not testable here"


def test_more_iterations_than_one_pass_has_are_refused():
    with pytest.raises(ParameterError, match="one pass over the corpus makes 3264"):
        small("one-epoch", iterations=4000)


def test_a_width_that_no_heads_share_out_is_refused():
    with pytest.raises(ParameterError, match="A width of 50 cannot be shared out among 3 heads"):
        small("one-epoch", width=50)


def test_a_power_law_is_one_and_a_bent_curve_is_not():
    i = np.geomspace(82, 816, 10)
    straight, bent = 6 * i**-0.2, 2 + np.exp(-i / 100)
    for values, outcome in ((straight, "holds"), (bent, "does not hold")):
        rows = losses("one-epoch", values, i)
        assert paper.decide_power_law(Results(pd.DataFrame(), {"test losses": rows})).outcome == outcome
