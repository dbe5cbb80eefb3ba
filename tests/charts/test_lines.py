"""Curves: axes, colours, dashes, rules, panels, gaps, and how much is sent to the browser."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import vl_convert

from core.charts import Axis, Key, colours, keys_of, lines, stack
from tests.charts.specs import marks, rows, scales

KEYS = [Key("dense", "Dense", "baseline"), Key("ticket", "Ticket", "method"), Key("reinit", "Reinit")]
DENSITY = Axis("density", "weights left", log=True, reverse=True, format=".0%")
ACCURACY = Axis("accuracy", "test accuracy", format=".1%")


@pytest.fixture
def rounds() -> pd.DataFrame:
    cases = [("dense", 0.93), ("ticket", 0.92), ("reinit", 0.90)]
    return pd.DataFrame(
        {"arm": arm, "seed": seed, "density": density, "accuracy": level + seed / 100}
        for arm, level in cases
        for seed in range(3)
        for density in (1.0, 0.4, 0.16)
    )


def test_axes_are_log_and_reversed_and_named(rounds):
    spec = lines(rounds, DENSITY, ACCURACY, keys=KEYS).to_dict()
    assert {(scale["type"], scale.get("reverse")) for scale in scales(spec, "x")} == {("log", True)}
    (line,) = marks(spec, "line")
    assert line["encoding"]["x"]["title"] == "Weights left (log scale)"
    assert line["encoding"]["x"]["axis"]["values"] == [0.16, 0.4, 1.0]
    assert line["encoding"]["y"]["title"] == "Test accuracy"


def test_colours_are_by_role_in_the_declared_order(rounds):
    spec = lines(rounds, DENSITY, ACCURACY, keys=KEYS, dark=True).to_dict()
    (line,) = marks(spec, "line")
    scale = line["encoding"]["color"]["scale"]
    assert dict(zip(scale["domain"], scale["range"], strict=True)) == colours(KEYS, dark=True)


def test_a_rule_is_the_mean_over_x_and_no_line(rounds):
    spec = lines(rounds, DENSITY, ACCURACY, keys=KEYS, rule="dense").to_dict()
    (rule,) = marks(spec, "rule")
    (row,) = rows(spec, rule)
    assert row["y"] == pytest.approx(0.94) and row["key"] == "Dense"
    (line,) = marks(spec, "line")
    assert line["encoding"]["color"]["scale"]["domain"] == ["Ticket", "Reinit"]
    assert any(row["key"] == "Dense" for text in marks(spec, "text") for row in rows(spec, text))


def test_dashes_and_reference_colour():
    frame = pd.DataFrame({"curve": ["γ = 10", "γ = 1", "limit"] * 2, "seed": 0, "step": [1] * 3 + [2] * 3, "loss": range(1, 7)})
    spec = lines(frame, Axis("step"), Axis("loss"), colour="curve", dashed=["limit"]).to_dict()
    (line,) = marks(spec, "line")
    assert line["encoding"]["color"]["scale"]["domain"] == ["γ = 1", "γ = 10", "limit"]
    assert line["encoding"]["strokeDash"]["scale"]["range"] == [[1, 0], [1, 0], [5, 4]]
    assert line["encoding"]["color"]["scale"]["range"][2] == "#1B1F26"  # as text is


def test_a_quantity_that_an_arm_did_not_record_is_not_in_its_legend(rounds):
    frame = rounds.assign(accuracy=rounds["accuracy"].where(rounds["arm"] != "reinit"))
    (line,) = marks(lines(frame, DENSITY, ACCURACY, keys=KEYS).to_dict(), "line")
    assert line["encoding"]["color"]["scale"]["domain"] == ["Dense", "Ticket"]


def test_a_gap_has_a_cross_that_says_why():
    frame = pd.DataFrame({"arm": "ticket", "seed": 0, "step": range(6), "loss": [3.0, 2, np.inf, np.nan, 1, 1]})
    spec = lines(frame, Axis("step"), Axis("loss"), keys=KEYS).to_dict()
    (line,) = marks(spec, "line")
    assert [row["x"] for row in rows(spec, line)] == [0, 1, 4, 5]
    assert line["encoding"]["detail"]["field"] == "piece"
    (cross,) = [mark for mark in marks(spec, "point") if mark["mark"].get("shape", "").startswith("M")]
    (row,) = rows(spec, cross)
    assert (row["x"], row["reason"], row["key"]) == (2, "infinite", "Ticket")
    assert cross["encoding"]["y"]["value"] < 20  # pixels from the top


def test_panels_stand_in_order_with_their_titles(rounds):
    frame = pd.concat([rounds.assign(width=width) for width in (64, 8)])
    spec = lines(frame, DENSITY, ACCURACY, keys=KEYS, facet="width").to_dict()
    assert [panel["title"]["text"] for panel in spec["concat"]] == ["Width 8", "Width 64"]
    assert spec["resolve"]["scale"] == {"x": "shared", "y": "shared", "color": "shared"}


def test_a_stack_has_one_x_axis_and_one_legend():
    frame = pd.DataFrame(
        {"curve": ["a", "b"] * 3, "seed": 0, "step": [1, 1, 2, 2, 3, 3], "up": [1.0, 2] * 3, "down": [np.nan, 1.0] * 3}
    )
    keys = keys_of(frame["curve"])
    parts = [
        lines(frame, Axis("step"), Axis(name), colour="curve", keys=keys, legend=["a", "b"], labelled=name == "down")
        for name in ("up", "down")
    ]
    spec = stack(parts).to_dict()
    above, below = spec["vconcat"]
    assert spec["resolve"]["scale"]["x"] == "shared" and spec["autosize"]["type"] == "fit-x"
    domains = [marks(part, "line")[0]["encoding"]["color"]["scale"]["domain"] for part in (above, below)]
    assert domains == [["a", "b"], ["a", "b"]]  # though one has only "b"
    assert marks(above, "line")[0]["encoding"]["x"]["axis"]["labels"] is False
    assert "labels" not in marks(below, "line")[0]["encoding"]["x"]["axis"]


def test_panels_can_be_stacked_too(rounds):
    frame = pd.concat([rounds.assign(width=width) for width in (64, 8)])
    parts = [lines(frame, DENSITY, ACCURACY, keys=KEYS, facet="width") for _ in range(2)]
    spec = stack(parts).to_dict()
    assert [len(part["concat"]) for part in spec["vconcat"]] == [2, 2]
    assert [param["name"] for param in spec["params"]].count("panel_columns") == 1
    assert spec["autosize"]["type"] == "pad"
    vl_convert.vegalite_to_vega(spec)


def test_a_card_has_no_words_beside_its_ticks(rounds):
    spec = lines(rounds, DENSITY, ACCURACY, keys=KEYS, rule="dense", size="card").to_dict()
    for line in marks(spec, "line"):
        assert line["encoding"]["color"]["legend"] is None
        assert line["encoding"]["x"]["title"] is None and line["encoding"]["y"]["title"] is None
    assert not marks(spec, "text")
    assert marks(spec, "rule")  # the rule itself stays


def test_little_is_sent_however_much_was_recorded():
    steps = np.arange(30_000)
    frame = pd.concat(
        pd.DataFrame({"arm": arm, "seed": seed, "step": steps, "loss": np.sin(steps / 900) + seed})
        for arm in ("dense", "ticket", "reinit")
        for seed in range(3)
    )
    full, card = (lines(frame, Axis("step"), Axis("loss"), keys=KEYS, size=size).to_dict() for size in ("full", "card"))
    (line,) = marks(full, "line")
    assert len(rows(full, line)) <= 900
    assert max(row["y"] for row in rows(full, line)) == pytest.approx(2.0, abs=1e-6)
    assert len(json.dumps(full)) < 250_000 and len(json.dumps(card)) < 60_000
