"""Results as grids of seeds and rows, and comparisons paired on them, against numbers worked out by hand."""

from __future__ import annotations

import pandas as pd
import pytest

from core.methods.base import PairedRows, Results

NONE = pd.DataFrame({"arm": [], "seed": []})


def results(rows: list[tuple]) -> Results:
    return Results(NONE, {"rounds": pd.DataFrame(rows, columns=["arm", "seed", "round", "density", "score"])})


ROWS = [
    ("ours", 0, 1, 0.5, 10.0),
    ("ours", 0, 2, 0.2, 20.0),
    ("ours", 0, 3, 0.1, 40.0),
    ("ours", 1, 2, 0.2, 22.0),
    ("ours", 1, 3, 0.1, 44.0),
    ("theirs", 0, 2, 0.2, 10.0),
    ("theirs", 0, 3, 0.1, 30.0),
    ("theirs", 1, 2, 0.2, 11.0),
    ("theirs", 1, 3, 0.1, 33.0),
    ("theirs", 1, 4, 0.05, 99.0),
]


def test_a_grid_has_a_row_a_seed_and_a_column_an_entry():
    grid = results(ROWS).grid("rounds", "ours", "round", "score")
    assert grid.index.tolist() == [0, 1]
    assert grid.columns.tolist() == [1, 2, 3]
    assert grid.loc[1, 3] == 44
    assert grid.isna().loc[1, 1]
    assert results(ROWS).grid("rounds", "nobody", "round", "score").empty
    assert results(ROWS).grid("nothing", "ours", "round", "score").empty
    assert results(ROWS).grid("rounds", "ours", "round", "no such value").empty


class TestPairedRows:
    claim = PairedRows("rounds", "score", "ours", "theirs", smallest=5, column="round", within="density", low=0.1, high=0.2)

    def test_rows_that_both_have_within_the_range_are_averaged_over_for_each_seed(self):
        verdict = self.claim(results(ROWS))
        assert verdict.effect == pytest.approx(((10 + 10) / 2 + (11 + 11) / 2) / 2)
        assert (verdict.outcome, verdict.n, verdict.smallest) == ("holds", 2, 5)
        assert "ours 31.5, theirs 21" in verdict.detail
        assert "density from 0.1 to 0.2; higher is better" in verdict.detail

    def test_a_row_that_one_arm_did_not_reach_counts_for_neither(self):
        verdict = self.claim(results([row for row in ROWS if row[:3] != ("theirs", 1, 3)]))
        assert verdict.effect == pytest.approx(((10 + 10) / 2 + 11) / 2)

    def test_the_range_is_of_the_arm_s_own_rows(self):
        narrow = PairedRows("rounds", "score", "ours", "theirs", 5, "round", "density", low=0.15, high=0.2)
        ours, theirs = narrow.pair(results(ROWS))
        assert ours.columns.tolist() == theirs.columns.tolist() == [2]

    def test_relative_and_lower_is_the_share_saved(self):
        steps = PairedRows("rounds", "score", "theirs", "ours", 20, "round", "density", 0.1, 0.2, better="lower", relative=True)
        verdict = steps(results(ROWS))
        assert verdict.effect == pytest.approx(100 * (1 - 20 / 30))
        assert verdict.outcome == "holds"

    def test_a_seed_that_one_arm_lacks_does_not_count(self):
        verdict = self.claim(results([row for row in ROWS if row[:2] != ("theirs", 1)]))
        assert (verdict.outcome, verdict.n) == ("undecided", 1)

    def test_nothing_in_the_range_is_undecided_and_says_so(self):
        empty = PairedRows("rounds", "score", "ours", "theirs", 5, "round", "density", low=0.9)
        verdict = empty(results(ROWS))
        assert verdict.outcome == "undecided"
        assert verdict.detail == "ours and theirs share no row with density in the range."
