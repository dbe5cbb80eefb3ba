"""Curves of several runs: names that differ, and smoothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pages import curves


def frame(values, seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame({"run": "r", "arm": "a", "seed": seed, "series": "", "step": range(len(values)), "value": values})


def test_smoothing_is_the_moving_average_without_the_bias_of_its_start():
    """After 1, 3: weights 0.8 and 1 of the newest, divided by their sum."""
    found = curves.smoothed(frame([1.0, 3.0, 5.0]), 0.8)["value"].tolist()
    assert found == pytest.approx([1, (0.8 * 1 + 3) / 1.8, (0.64 * 1 + 0.8 * 3 + 5) / 2.44])


def test_no_weight_changes_nothing_and_a_constant_stays_itself():
    assert curves.smoothed(frame([1.0, 3.0]), 0)["value"].tolist() == [1, 3]
    np.testing.assert_allclose(curves.smoothed(frame([7.0] * 50), 0.99)["value"], 7)


def test_curves_are_smoothed_each_by_itself():
    both = pd.concat([frame([1.0, 1.0]), frame([5.0, 5.0], seed=1)])
    assert curves.smoothed(both, 0.9)["value"].tolist() == pytest.approx([1, 1, 5, 5])


def test_what_is_not_finite_stays_a_gap_and_poisons_nothing():
    found = curves.smoothed(frame([1.0, np.nan, np.inf, 1.0]), 0.9)["value"].to_numpy()
    assert np.isnan(found[1]) and np.isinf(found[2])
    assert found[[0, 3]].tolist() == pytest.approx([1, 1])


def test_runs_get_names_that_tell_them_apart():
    created = pd.Timestamp("2026-01-02 03:04")
    runs = pd.DataFrame([
        {"run": "aaaa1", "slug": "own", "preset": "script", "created": created, "spec": '{"title": "mine"}'},
        {"run": "bbbb2", "slug": "own", "preset": "script", "created": created, "spec": '{"title": "mine"}'},
        {"run": "cccc3", "slug": "lottery-ticket", "preset": "quick", "created": created, "spec": "{}"},
    ])  # fmt: skip
    assert curves.names_of(runs) == {
        "aaaa1": "mine, 2 Jan 03:04, aaaa", "bbbb2": "mine, 2 Jan 03:04, bbbb", "cccc3": "lottery-ticket, quick, 2 Jan 03:04"
    }  # fmt: skip
    titles = [curves.title_of(run) for run in runs.itertuples()]
    assert titles[0] == "mine" and "Lottery Ticket" in titles[2]
