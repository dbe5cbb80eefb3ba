"""Reliability diagrams of every binning, and phase portraits: the numbers behind each picture."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from core.charts import Axis, Key, reliability, trajectory
from tests.charts.specs import marks, note, rows

KEYS = [Key("a", "Before", "baseline"), Key("b", "After", "method")]


def predictions(n: int = 1000) -> pd.DataFrame:
    """Overconfident by a tenth."""
    rng = np.random.default_rng(0)
    confidence = rng.uniform(0.4, 1, n)
    return pd.DataFrame({"arm": "a", "confidence": confidence, "correct": rng.random(n) < confidence - 0.1})


def dots(spec):
    (view,) = marks(spec, "point")
    return rows(spec, view)


def test_bins_of_equal_count_hold_as_many_predictions_each():
    frame = predictions()
    found = dots(reliability(frame, keys=KEYS, bins=8, binning="equal-mass").to_dict())
    assert [row["count"] for row in found] == [125] * 8
    ordered = frame.sort_values("confidence")
    assert found[0]["confidence"] == pytest.approx(ordered["confidence"][:125].mean())
    assert found[-1]["accuracy"] == pytest.approx(ordered["correct"][-125:].mean())


def test_the_ece_above_is_of_the_same_bins():
    frame = predictions()
    ordered = frame.sort_values("confidence").reset_index(drop=True)
    gaps = [abs(part["confidence"].mean() - part["correct"].mean()) for _, part in ordered.groupby(ordered.index // 125)]
    spec = reliability(frame, keys=KEYS, bins=8, binning="equal-mass").to_dict()
    assert spec["concat"][0]["title"]["subtitle"] == f"ECE {100 * np.mean(gaps):.3g}%"
    assert "8 bins of equal count" in note(spec)


def test_the_histogram_underneath_is_of_equal_width_whatever_the_bins():
    spec = reliability(predictions(), keys=KEYS, bins=8, binning="equal-mass").to_dict()
    (bars,) = marks(spec, "bar")
    found = rows(spec, bars)
    assert {round(row["end"] - row["start"], 4) for row in found} == {round(1 / 15, 4)}
    assert sum(row["count"] for row in found) == 1000


def test_a_smooth_curve_runs_a_tenth_below_the_diagonal_within_its_band():
    spec = reliability(predictions(4000), keys=KEYS, binning="smooth", width=0.05).to_dict()
    (line,) = [view for view in marks(spec, "line") if "strokeDash" not in view["mark"]]
    found = pd.DataFrame(rows(spec, line))
    inside = found[found["confidence"].between(0.5, 0.9)]
    assert (inside["accuracy"] - inside["confidence"] + 0.1).abs().max() < 0.05
    assert ((found["low"] <= found["accuracy"]) & (found["accuracy"] <= found["high"])).all()
    assert found["confidence"].min() > 0.2, "nothing is drawn where no prediction is near"
    assert "standard deviation 0.05" in note(spec)


def test_a_smooth_curve_of_one_confidence_is_the_share_of_right_ones():
    frame = pd.DataFrame({"arm": "a", "confidence": 0.8, "correct": np.arange(100) < 60})
    spec = reliability(frame, keys=KEYS, binning="smooth").to_dict()
    (line,) = [view for view in marks(spec, "line") if "strokeDash" not in view["mark"]]
    assert {row["accuracy"] for row in rows(spec, line)} == {0.6}


def test_axes_can_be_of_a_class():
    spec = reliability(predictions(), keys=KEYS, names=("Probability of cat", "Share of cat")).to_dict()
    (bars,) = marks(spec, "bar")
    assert bars["encoding"]["x"]["title"] == "Probability of cat"
    assert "share of cat against probability of cat" in spec["description"]


def path(n: int, seed: int = 0) -> pd.DataFrame:
    t = np.arange(n)
    return pd.DataFrame({"run": "r", "seed": seed, "step": t, "x": np.cos(t / 50), "y": np.sin(t / 50)})


class TestTrajectory:
    def test_every_moment_is_a_dot_coloured_by_its_time(self):
        spec = trajectory(path(50), Axis("x"), Axis("y"), Axis("step")).to_dict()
        (dots,) = marks(spec, "circle")
        found = pd.DataFrame(rows(spec, dots))
        assert found["t"].tolist() == list(range(50))
        assert found["x"].tolist() == pytest.approx(np.cos(found["t"] / 50))
        assert dots["encoding"]["color"]["field"] == "t"

    def test_a_ring_marks_the_start_of_each_seed(self):
        frame = pd.concat([path(50), path(50, 1).iloc[5:]])
        spec = trajectory(frame, Axis("x"), Axis("y"), Axis("step")).to_dict()
        (ring,) = marks(spec, "point")
        assert sorted((row["seed"], row["t"]) for row in rows(spec, ring)) == [(0, 0), (1, 5)]
        assert "Rings mark the start" in note(spec)

    def test_a_long_path_keeps_its_ends_and_its_turns(self):
        frame = path(5000)
        frame.loc[1234, "y"] = 9.0
        spec = trajectory(frame, Axis("x"), Axis("y"), Axis("step")).to_dict()
        (dots,) = marks(spec, "circle")
        times = [row["t"] for row in rows(spec, dots)]
        assert len(times) <= 242
        assert {0, 1234, 4999} <= set(times)

    def test_what_an_axis_cannot_show_is_left_out_and_said(self):
        frame = path(10)
        frame.loc[3, "y"] = np.nan
        spec = trajectory(frame, Axis("x"), Axis("y"), Axis("step")).to_dict()
        (dots,) = marks(spec, "circle")
        assert len(rows(spec, dots)) == 9
        assert "1 moment is not finite" in note(spec)
