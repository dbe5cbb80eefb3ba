"""Specifications as the browser gets them: rows as Arrow tables, under names that stay as points come."""

from __future__ import annotations

import io

import altair as alt
import numpy as np
import pandas as pd
import pyarrow as pa

from core.charts import Axis, lines
from pages import pictures


def curve(values: list[float]) -> pd.DataFrame:
    return pd.DataFrame({"arm": "a", "seed": 0, "step": range(len(values)), "loss": values})


def of_curve(values: list[float]) -> pictures.Specification:
    return pictures.of_chart(lines(curve(values), Axis("step"), Axis("loss")))


def test_new_points_change_the_tables_alone():
    """Streamlit keeps the picture where the specification is the same, and gives it the new rows."""
    before, after = of_curve([3.0, 2.0, 1.5]), of_curve([3.0, 2.0, 1.5, 1.2])
    assert before["datasets"] != after["datasets"]
    assert {name: part for name, part in before.items() if name != "datasets"} == {
        name: part for name, part in after.items() if name != "datasets"
    }


def test_a_frame_that_two_layers_draw_is_sent_once():
    rows = pd.DataFrame({"x": [1.0, 2.0]})
    chart = alt.layer(alt.Chart(rows).mark_line().encode(x=alt.X("x:Q")), alt.Chart(rows).mark_point().encode(x=alt.X("x:Q")))
    assert list(pictures.of_chart(chart)["datasets"]) == ["rows-0"]


def test_what_is_not_finite_is_empty():
    rows = pd.DataFrame({"x": [1.0, np.nan, np.inf, -np.inf], "word": ["a", None, "b", "c"]})
    found = pictures.of_chart(alt.Chart(rows).mark_point().encode(x=alt.X("x:Q")))
    table = pa.ipc.open_stream(io.BytesIO(found["datasets"]["rows-0"])).read_all()
    assert table["x"].to_pylist() == [1.0, None, None, None]
    assert pictures.with_rows(found)["datasets"]["rows-0"][0] == {"x": 1.0, "word": "a"}


def test_any_program_reads_the_same_rows():
    chart = lines(curve([3.0, 2.0, np.nan, 1.5]), Axis("step"), Axis("loss"))
    ours, plain = pictures.with_rows(pictures.of_chart(chart))["datasets"], chart.to_dict()["datasets"]
    assert list(ours.values()) == list(plain.values())
