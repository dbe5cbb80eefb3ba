"""Bars, matrices, images, reliability diagrams and verdicts: the numbers behind each picture."""

from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from core.charts import Axis, Key, bars, heatmap, histogram, images, interval, mask, phase, reliability
from core.charts.images import png_url
from core.charts.matrices import as_matrix, cells_of
from core.charts.summary import wilson
from core.measures.statistics import t_interval
from tests.charts.specs import marks, note, rows

KEYS = [Key("ce", "Cross-entropy", "baseline"), Key("mrl", "MRL", "method")]


def test_bars_show_mean_interval_and_every_seed():
    frame = pd.DataFrame({"arm": ["ce"] * 3 + ["mrl"] * 3, "seed": [0, 1, 2] * 2, "ece": [0.10, 0.12, 0.20, 0.02, 0.03, 0.01]})
    spec = bars(frame, Axis("ece", "ECE"), keys=KEYS).to_dict()
    (bar,) = marks(spec, "bar")
    (first, second) = rows(spec, bar)
    assert (first["y"], first["low"], first["high"]) == pytest.approx(t_interval([0.10, 0.12, 0.20]), abs=1e-6)
    assert (first["row"], second["row"], second["n"]) == ("Cross-entropy", "MRL", 3)
    (dots,) = marks(spec, "point")
    assert sorted(row["y"] for row in rows(spec, dots)) == [0.01, 0.02, 0.03, 0.1, 0.12, 0.2]


def test_bars_start_at_zero_or_are_not_drawn():
    far = pd.DataFrame({"arm": ["ce", "mrl"], "seed": 0, "accuracy": [0.93, 0.95]})
    spec = bars(far, Axis("accuracy"), keys=KEYS).to_dict()
    assert not marks(spec, "bar") and marks(spec, "tick")[0]["encoding"]["x"]["scale"]["zero"] is False
    near = far.assign(accuracy=[0.3, 0.95])
    (bar,) = marks(bars(near, Axis("accuracy"), keys=KEYS).to_dict(), "bar")
    assert bar["encoding"]["x"]["scale"]["zero"] is True


def test_blocks_are_means():
    matrix = np.arange(16.0).reshape(4, 4)
    matrix[0, 0] = np.nan
    cells = cells_of(matrix, side=2)
    assert cells.values.tolist() == [
        [-0.5, 1.5, -0.5, 1.5, (1 + 4 + 5) / 3],
        [1.5, 3.5, -0.5, 1.5, 4.5],
        [-0.5, 1.5, 1.5, 3.5, 10.5],
        [1.5, 3.5, 1.5, 3.5, 12.5],
    ]
    assert np.isnan(cells_of(np.full((2, 2), np.inf))["value"]).all()


def test_a_large_matrix_keeps_its_mean_and_says_that_it_was_reduced():
    matrix = np.random.default_rng(0).normal(size=(1000, 777))
    cells = cells_of(matrix)
    area = (cells["x2"] - cells["x"]) * (cells["y2"] - cells["y"])
    assert len(cells) == 64 * 64 and area.sum() == matrix.size
    assert (cells["value"] * area).sum() / area.sum() == pytest.approx(matrix.mean())
    spec = heatmap(pd.DataFrame({"panel": ["W"], "array": [matrix]})).to_dict()
    assert "means over blocks" in note(spec)


def test_any_shape_becomes_a_matrix():
    assert as_matrix(np.zeros(5)).shape == (1, 5)
    assert as_matrix(np.zeros((8, 3, 5, 5))).shape == (8, 75)
    assert as_matrix(np.ones((2, 3), bool)).dtype == float


def test_panels_share_one_colour_scale_and_say_which_were_left_out():
    frame = pd.DataFrame({"panel": [f"Round {i}" for i in range(20)], "array": [np.full((3, 3), float(i)) for i in range(20)]})
    spec = heatmap(frame).to_dict()
    domains = {tuple(rect["encoding"]["color"]["scale"]["domain"]) for rect in marks(spec, "rect")}
    ((low, *_, high),) = domains
    assert (low, high) == (0, 19)
    assert len(spec["concat"]) == 12 and "12 of 20 panels" in note(spec)


def test_diverging_colours_are_even_around_zero():
    (rect,) = marks(heatmap(pd.DataFrame({"panel": [""], "array": [np.array([[-1.0, 3]])]}), diverging=True).to_dict(), "rect")
    assert rect["encoding"]["color"]["scale"]["domain"] == [-3, -1.5, 0, 1.5, 3]


def test_a_mask_shows_surviving_shares():
    alive = np.zeros((200, 128), bool)
    alive[:100, ::4] = True
    spec = mask(pd.DataFrame({"panel": ["hidden"], "array": [alive]})).to_dict()
    assert spec["concat"][0]["title"]["text"] == "hidden · 12.5% left"
    (rect,) = marks(spec, "rect")
    assert rect["encoding"]["color"]["scale"]["domain"][::4] == [0, 1]
    shares = [row["value"] for row in rows(spec, rect)]
    assert min(shares) == 0 and max(shares) == 0.5  # blocks of two columns


def test_histograms_share_bins_and_sum_to_one():
    frame = pd.DataFrame({"panel": ["a", "b"], "array": [np.array([0.0, 1, 1, np.nan]), np.linspace(0, 10, 50)]})
    spec = histogram(frame, bins=10).to_dict()
    first, second = (rows(spec, area) for area in marks(spec, "area"))
    assert [row["x"] for row in first] == [row["x"] for row in second] == list(range(11))
    assert sum(row["y"] for row in first[:-1]) == pytest.approx(1) and sum(row["count"] for row in second) == 50
    assert "1 entry is not finite" in note(spec)


def test_phase_cells_end_half_way_on_their_axis():
    frame = pd.DataFrame(
        [{"d": d, "t": t, "seed": s, "error": d * t + s} for d in (0.01, 0.1, 1.0) for t in (1, 2) for s in (0, 1)]
    )
    spec = phase(frame, Axis("d", log=True), Axis("t"), Axis("error"), best="min").to_dict()
    (rect,) = marks(spec, "rect")
    cell = next(row for row in rows(spec, rect) if row["x0"] == 0.1 and row["y0"] == 2)
    assert (cell["x"], cell["x2"]) == pytest.approx((10**-1.5, 10**-0.5), rel=1e-5)
    assert (cell["y"], cell["y2"], cell["value"]) == pytest.approx((1.5, 2.5, 0.7))
    (ring,) = marks(spec, "point")
    assert [(row["x0"], row["y0"]) for row in rows(spec, ring)] == [(0.01, 1), (0.1, 1), (1, 1)]


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_an_image_is_a_png_of_its_pixels(shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    kind, data = png_url(pixels, side=7).split(",")
    assert kind == "data:image/png;base64"
    assert np.array_equal(np.array(Image.open(io.BytesIO(base64.b64decode(data)))), pixels)
    enlarged = np.array(Image.open(io.BytesIO(base64.b64decode(png_url(pixels / 255, side=21).split(",")[1]))))
    assert np.array_equal(enlarged, pixels.repeat(3, 0).repeat(3, 1))


def test_image_rows():
    frame = pd.DataFrame({"row": ["Before", "After"], "array": [np.zeros((20, 4, 4)), np.ones((3, 4, 4))]})
    spec = images(frame).to_dict()
    (grid,) = marks(spec, "image")
    shown = rows(spec, grid)
    assert [row["index"] for row in shown if row["title"] == "Before"] == [0, 3, 5, 8, 11, 14, 16, 19]
    assert "8 of 20 images" in note(spec)


def predictions() -> pd.DataFrame:
    one = pd.DataFrame(
        {"arm": "ce", "confidence": [0.9] * 10 + [0.5] * 10, "correct": [True] * 8 + [False] * 2 + [True] * 5 + [False] * 5}
    )
    return pd.concat([one.assign(seed=seed) for seed in (0, 1)])


def test_reliability_bins_counts_and_intervals():
    spec = reliability(predictions(), keys=KEYS, bins=10).to_dict()
    (panel,) = spec["concat"]
    assert panel["title"]["text"] == "Cross-entropy"
    assert panel["title"]["subtitle"] == "ECE 5% [5, 5], 2 seeds"
    (dots,) = marks(panel, "point")
    half, nine = rows(spec, dots)
    assert (half["confidence"], half["accuracy"], half["count"]) == (0.5, 0.5, 20)
    assert (nine["accuracy"], nine["count"], nine["start"], nine["end"]) == (0.8, 20, 0.8, 0.9)
    assert (nine["low"], nine["high"]) == pytest.approx(wilson(8, 10), abs=1e-6)  # of one seed: both saw the same images
    (counts,) = marks(panel, "bar")
    assert [row["share"] for row in rows(spec, counts)] == [0.5, 0.5]


def test_predictions_without_confidence_are_counted():
    frame = pd.concat([predictions(), pd.DataFrame({"arm": ["ce"], "seed": 0, "confidence": [np.nan], "correct": [False]})])
    assert "1 prediction without finite confidence" in note(reliability(frame, keys=KEYS).to_dict())


def verdicts() -> pd.DataFrame:
    columns = ["claim", "text", "verdict", "effect", "low", "high", "n", "smallest", "unit", "detail"]
    return pd.DataFrame(
        [
            ("c1", "Better", "holds", 2.0, 1.0, 4.0, 3, 0.5, "points", "a 3, b 1."),
            ("c2", "Faster", "does not hold", -30.0, -40.0, 10.0, 3, 20.0, "%", ""),
            ("c3", "Flatter", "not testable here", np.nan, np.nan, np.nan, 0, np.nan, "", "The baseline is at its ceiling: 99.8%."),
        ],
        columns=columns,
    )


def test_each_verdict_has_its_own_scale_and_says_its_numbers():
    spec = interval(verdicts()).to_dict()
    first, second, third = rows(spec, marks(spec, "text")[0])
    assert [first[name] for name in ("effect", "low", "high", "smallest")] == [0.5, 0.25, 1, 0.125]
    assert [second[name] for name in ("effect", "low", "high", "smallest")] == [-0.75, -1, 0.25, 0.5]
    assert third["effect"] is None and third["number"] == "no effect measured"
    assert first["number"] == "2 points [1, 4], n = 3" and first["brief"] == "2 points, n = 3"
    assert second["number"] == "−30% [−40, 10], n = 3"
    domains = {tuple(mark["encoding"]["x"]["scale"]["domain"]) for mark in marks(spec, "tick")}
    assert domains == {(-1.04, 1.04)}


def test_a_verdict_is_never_told_by_colour_alone():
    spec = interval(verdicts()).to_dict()
    texts = rows(spec, marks(spec, "text")[0])
    assert [row["head"] for row in texts] == ["c1 holds", "c2 does not hold", "c3 not testable here"]
    assert len({row["tint"] for row in texts}) == 3
    signs = [mark["encoding"]["shape"]["scale"] for mark in marks(spec, "point")]
    assert all(len(set(scale["range"])) == 4 for scale in signs)
