"""Every picture in both themes and both sizes: it is valid Vega-Lite, it compiles, it has an alternative text and no background."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import vl_convert
from altair.utils.schemapi import validate_jsonschema
from altair.vegalite.v6.schema.core import load_schema

from core import charts
from core.charts import Axis, Key
from core.charts.theme import PANEL_COLUMNS

RNG = np.random.default_rng(0)
KEYS = [Key("a", "Baseline", "baseline"), Key("b", "Method", "method")]
CURVES = pd.DataFrame(
    {"arm": arm, "seed": seed, "step": step, "loss": RNG.random() + 0.1, "part": part}
    for arm in "ab" for seed in (0, 1) for step in range(1, 40) for part in "pq"
)  # fmt: skip
ARRAYS = pd.DataFrame({"panel": ["one", "two"], "row": ["one", "two"], "array": list(RNG.random((2, 6, 9, 9)))})
PREDICTIONS = pd.DataFrame({"arm": ["a", "b"] * 200, "seed": 0, "confidence": RNG.random(400), "correct": RNG.random(400) < 0.5})
VERDICTS = pd.DataFrame(
    [("c1", "It works", "holds", 1.0, 0.5, 1.5, 3, 0.2, "points", "")],
    columns=["claim", "text", "verdict", "effect", "low", "high", "n", "smallest", "unit", "detail"],
)
EMBEDDING = pd.DataFrame({"panel": ["p", "q"] * 50, "x": RNG.random(100), "y": RNG.random(100), "label": RNG.integers(0, 10, 100)})
STEP, LOSS = Axis("step", log=True), Axis("loss", log=True)
PICTURES = {
    "lines": lambda **look: charts.lines(CURVES, STEP, LOSS, keys=KEYS, rule="a", **look),
    "panels": lambda **look: charts.lines(CURVES, STEP, LOSS, keys=KEYS, facet="part", dashed=["a"], **look),
    "stack": lambda **look: charts.stack([charts.lines(CURVES, STEP, LOSS, keys=KEYS, **look) for _ in range(2)], **look),
    "points": lambda **look: charts.points(CURVES, STEP, LOSS, keys=KEYS, shape="part", facet="part", fit=True, **look),
    "scaling": lambda **look: charts.scaling(CURVES, STEP, LOSS, keys=KEYS, **look),
    "bars": lambda **look: charts.bars(CURVES, LOSS, x="part", keys=KEYS, **look),
    "heatmap": lambda **look: charts.heatmap(ARRAYS, **look),
    "mask": lambda **look: charts.mask(ARRAYS.assign(array=[array > 0.5 for array in ARRAYS["array"]]), **look),
    "histogram": lambda **look: charts.histogram(ARRAYS, **look),
    "phase": lambda **look: charts.phase(CURVES, STEP, Axis("seed"), LOSS, best="max", **look),
    "images": lambda **look: charts.images(ARRAYS, **look),
    "reliability": lambda **look: charts.reliability(PREDICTIONS, keys=KEYS, **look),
    "reliability, smooth": lambda **look: charts.reliability(PREDICTIONS, keys=KEYS, binning="smooth", **look),
    "trajectory": lambda **look: charts.trajectory(
        CURVES.assign(accuracy=1 - CURVES["loss"]), Axis("loss"), Axis("accuracy"), STEP, panel="arm", keys=KEYS, **look
    ),
    "embedding": lambda **look: charts.embedding(EMBEDDING, panel="panel", **look),
    "interval": lambda **look: charts.interval(VERDICTS, **look),
}


@pytest.mark.parametrize("size", ["full", "card"])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_valid_and_compiles(name, dark, size):
    spec = PICTURES[name](dark=dark, size=size).to_dict()
    assert spec["config"]["background"] == "transparent"
    assert len(spec["description"]) > 20
    vega = vl_convert.vegalite_to_vega(spec)
    assert vega["description"] == spec["description"]
    if "concat" in spec:
        assert vega["layout"]["columns"] == {"signal": PANEL_COLUMNS}
        assert any(signal["name"] == PANEL_COLUMNS for signal in vega["signals"])
        spec = spec | {"columns": 2}  # the one thing beyond the schema
    validate_jsonschema(json.loads(json.dumps(spec)), load_schema())


def test_colours_change_with_the_theme_and_nothing_else_does():
    light, dark = (json.dumps(PICTURES["lines"](dark=dark).to_dict()["layer"]) for dark in (False, True))
    assert light != dark
    for one, other in zip(charts.colours(KEYS, False).values(), charts.colours(KEYS, True).values(), strict=True):
        light = light.replace(one, other)
    assert light.replace("#FFFFFF", "#12151A") == dark


def test_a_live_picture_is_the_same_specification_with_other_data():
    """Streamlit swaps rows into a view that stands, and builds a new one, which flickers, where anything else changed."""

    def without_data(frame: pd.DataFrame) -> str:
        spec = charts.lines(frame, Axis("step"), Axis("loss"), keys=KEYS).to_dict()
        for layer in spec["layer"]:
            layer.pop("data", None)
        return json.dumps({name: part for name, part in spec.items() if name not in ("datasets", "data")})

    assert without_data(CURVES[CURVES["step"] < 38]) == without_data(CURVES)
