"""The sheet's facts: one pass uses no window twice, one epoch is one epoch, speed-ups, power laws and costs."""

import math
from itertools import islice

import numpy as np
import pandas as pd
import pytest
import torch

from core.data import text
from core.measures.power_law import first_crossing, fit_power_law
from core.methods.base import Inputs, Results
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
    params = paper.Params(
        **({"width": 16, "rate": 5e-3, "iterations": 12, "evaluations": 3, "test_tokens": 1024, "costs": (2e7,)} | changes)
    )
    batches = []
    record = Recorder(batches.append, (seed,))
    paper.run(arm, params, Inputs((seed,)), record)
    record.close()
    results = {event.metric: event.value for batch in batches for event in batch.results}
    return results, [row for batch in batches for event in batch.tables for row in event.rows.to_pylist()]


def test_arms_of_one_seed_differ_only_in_text_and_dropout(monkeypatch):
    once, _ = small("one-epoch")
    assert small("one-epoch-dropout", dropout=0.0)[0] == once
    monkeypatch.setattr(text, "random_blocks", lambda tokens, share: tokens)  # as for one epoch
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


def test_one_epoch_wins_only_where_it_is_clearly_better():
    once = losses("one-epoch", [2.8, 2.5, 2.3, 2.2, 2.1])
    for best, outcome in ((2.3, "holds"), (2.13, "does not hold")):
        many = losses("epochs-40", [2.8, 2.6, best, best + 0.1, best + 0.2])
        verdict = paper.decide_epochs(Results(pd.DataFrame(), {"test losses": pd.concat([once, many])}))
        assert verdict.outcome == outcome
        assert verdict.effect == pytest.approx(best - 2.1)


def test_a_power_law_is_one_and_a_bent_curve_is_not():
    i = np.geomspace(82, 816, 10)
    straight, bent = 6 * i**-0.2, 2 + np.exp(-i / 100)
    for values, outcome in ((straight, "holds"), (bent, "does not hold")):
        rows = losses("one-epoch", values, i)
        assert paper.decide_power_law(Results(pd.DataFrame(), {"test losses": rows})).outcome == outcome
