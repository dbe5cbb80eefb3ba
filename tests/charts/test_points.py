"""Dots, fitted lines, power laws and projections, against closed forms and scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import linregress

from core.charts import Axis, Key, embedding, points, project, scaling
from core.charts.points import fit_line, sampled
from tests.charts.specs import marks, note, rows

KEYS = [Key("lr", "LR+GD", "baseline"), Key("norm", "Normalised", "method")]
RATIO, STEPS = Axis("ratio", log=True), Axis("steps", log=True)


def power_laws() -> pd.DataFrame:
    at = np.array([1.0, 4, 16, 64])
    return pd.concat(
        pd.DataFrame({"arm": arm, "seed": 0, "ratio": at, "steps": 3 * at**slope}) for arm, slope in (("lr", 0.5), ("norm", 0.0))
    )


def test_a_fit_on_log_axes_is_a_power_law_and_the_legend_has_its_exponent():
    spec = points(power_laws(), RATIO, STEPS, keys=KEYS, fit=True).to_dict()
    (line,) = marks(spec, "line")
    ends = {row["x"]: row["y"] for row in rows(spec, line) if row["key"].startswith("LR")}
    assert ends == pytest.approx({1.0: 3.0, 64.0: 24.0})
    assert line["encoding"]["color"]["scale"]["domain"] == ["LR+GD, slope 0.5", "Normalised, slope 0"]


def test_least_squares():
    rng = np.random.default_rng(1)
    x = rng.normal(size=40)
    y = 2 - 3 * x + rng.normal(size=40)
    line, expected = fit_line(x, y), linregress(x, y)
    assert line.slope == pytest.approx(expected.slope)
    assert line.margin == pytest.approx(2.024394 * expected.stderr, rel=1e-4)  # t at 38 degrees of freedom
    middle, half = line.at(np.array([x.mean()]))
    assert middle[0] == pytest.approx(y.mean()) and half[0] == pytest.approx(2.024394 * line.noise / np.sqrt(40), rel=1e-4)
    assert np.isnan(fit_line([1.0, 1.0], [1.0, 2.0]).slope)


def test_rows_off_the_axes_are_left_out_and_counted():
    frame = pd.concat([power_laws(), pd.DataFrame({"arm": ["lr"] * 3, "ratio": [0.0, 1.0, np.nan], "steps": [1.0, np.inf, 1.0]})])
    spec = points(frame, RATIO, STEPS, keys=KEYS).to_dict()
    (dots,) = marks(spec, "point")
    assert len(rows(spec, dots)) == 8
    assert "3 rows are not finite" in note(spec)


def test_dots_differ_in_colour_and_in_shape():
    (dots,) = marks(points(power_laws(), RATIO, STEPS, keys=KEYS).to_dict(), "point")
    assert dots["encoding"]["color"]["field"] == dots["encoding"]["shape"]["field"] == "key"  # one field: one legend
    assert dots["encoding"]["shape"]["scale"]["range"] == ["circle", "square"]


def test_shapes_mean_the_same_in_every_panel():
    frame = power_laws().assign(kind=["a", "b", "b", "b"] * 2, part=["p", "q"] * 4)
    spec = points(frame, RATIO, STEPS, keys=KEYS, shape="kind", facet="part").to_dict()
    assert {tuple(dots["encoding"]["shape"]["scale"]["domain"]) for dots in marks(spec, "point")} == {("a", "b")}


def test_segments_go_to_their_panel():
    lines = pd.DataFrame({"x": [1.0, 2], "y": [1.0, 2], "x2": [3.0, 4], "y2": [3.0, 4], "part": ["p", "q"]})
    frame = power_laws().assign(part=["p", "q"] * 4)
    spec = points(frame, Axis("ratio"), Axis("steps"), keys=KEYS, facet="part", segments=lines).to_dict()
    assert [[row["x2"] for row in rows(spec, rule)] for rule in marks(spec, "rule")] == [[3], [4]]


def test_sampling_keeps_extremes_and_is_the_same_every_time():
    frame = pd.DataFrame({"x": np.random.default_rng(0).normal(size=50_000), "y": np.random.default_rng(1).normal(size=50_000)})
    few = sampled(frame, "x", "y", 1000)
    assert len(few) <= 1000 and few.equals(sampled(frame, "x", "y", 1000))
    for axis in ("x", "y"):
        assert (few[axis].min(), few[axis].max()) == (frame[axis].min(), frame[axis].max())


def test_a_held_out_point_is_not_fitted():
    n = np.array([1e3, 1e4, 1e5, 1e6])
    frame = pd.DataFrame({"arm": "norm", "n": n, "loss": 5 * n**-0.3, "held": n > 5e5})
    frame.loc[3, "loss"] = 99.0
    spec = scaling(frame, Axis("n"), Axis("loss"), keys=KEYS, held_out="held").to_dict()
    line = next(line for line in marks(spec, "line") if "encoding" in line)
    assert line["encoding"]["color"]["scale"]["domain"] == ["Normalised, exponent −0.30 [−0.30, −0.30]"]
    law = rows(spec, line)
    assert {row["beyond"] for row in law if row["x"] > 1.01e5} == {True}
    assert law[-1]["x"] == pytest.approx(1e6) and law[-1]["y"] == pytest.approx(5 * 1e6**-0.3, rel=1e-5)
    filled, rings = marks(spec, "point")
    assert [len(rows(spec, dots)) for dots in (filled, rings)] == [3, 1]
    assert rings["mark"]["filled"] is False


def test_projection_is_the_leading_singular_directions():
    rng = np.random.default_rng(2)
    vectors = rng.normal(size=(60, 5)) * [5, 3, 1, 1, 0.5] + 7
    plane, share = project(vectors)
    centred = vectors - vectors.mean(0)
    _, singular, directions = np.linalg.svd(centred, full_matrices=False)
    assert np.abs(plane) == pytest.approx(np.abs(centred @ directions[:2].T))
    assert share == pytest.approx((singular[:2] ** 2).sum() / (singular**2).sum())
    again, _ = project(vectors[::-1])
    assert again[::-1] == pytest.approx(plane)  # no flip of sign


def test_projection_onto_others_and_of_one_dimension():
    line = np.linspace(-1, 1, 5)[:, None]
    plane, share = project(line)
    assert plane[:, 0] == pytest.approx(line[:, 0]) and (plane[:, 1] == 0).all() and share == pytest.approx(1)
    far, _ = project(np.array([[10.0, 0.0]]), onto=np.array([[0.0, 0], [2, 0], [1, 0.1], [1, -0.1]]))
    assert far[0] == pytest.approx([9, 0])


def test_an_embedding_has_one_unit_on_both_axes():
    frame = pd.DataFrame({"x": [0.0, 10, 5], "y": [0.0, 1, 0], "label": [0, 1, 10]})
    (dots,) = marks(embedding(frame).to_dict(), "point")
    across, up = (dots["encoding"][axis]["scale"]["domain"] for axis in ("x", "y"))
    assert across[1] - across[0] == pytest.approx(up[1] - up[0])
    assert dots["encoding"]["color"]["scale"]["domain"] == ["0", "1", "10"]
