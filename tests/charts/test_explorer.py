"""What the explorer sends to the browser, and what a selection means."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from skimage.measure import points_in_poly

from core.charts import explorer


def unpack(packed: bytes) -> tuple[dict, dict]:
    """As explorer.js does."""
    length = int.from_bytes(packed[:4], "little")
    header, place = json.loads(packed[4 : 4 + length]), 4 + length
    assert place % 4 == 0, "the columns are aligned"
    n, columns = header["n"], {}
    for name in ("x", "y", "colour"):
        columns[name] = np.frombuffer(packed, "<f4", n, place)
        place += 4 * n
    columns["selected"] = np.frombuffer(packed, np.uint8, n, place)
    columns["pixels"] = np.frombuffer(packed, np.uint8, offset=place + n)
    return header, columns


def test_a_pack_holds_what_was_packed():
    rng = np.random.default_rng(0)
    points, labels = explorer.fitted(rng.normal(size=(37, 2))), rng.integers(0, 3, 37)
    pictures = rng.integers(0, 256, (37, 8, 8, 3), dtype=np.uint8)
    selected = labels == 1
    colour = explorer.colour_by(labels.astype(str), dark=False)
    packed = explorer.pack(points, colour, selected=selected, texts=[f"<b>{k}</b>" for k in range(37)], thumbnails=pictures)
    header, columns = unpack(packed)
    assert np.array_equal(np.stack([columns["x"], columns["y"]], 1), points)
    assert columns["colour"].tolist() == labels.tolist()
    assert columns["selected"].astype(bool).tolist() == selected.tolist() and header["marked"]
    assert columns["pixels"].tobytes() == pictures.tobytes() and header["thumbnail"] == {"height": 8, "width": 8, "channels": 3}
    assert header["texts"][5] == "<b>5</b>"
    assert [entry["title"] for entry in header["legend"]] == ["0", "1", "2"]


def test_points_that_are_the_same_have_the_same_version():
    points, colour = np.zeros((4, 2), np.float32), explorer.colour_by(["a", "b", "a", "b"], dark=False)
    first, moved = (unpack(explorer.pack(place, colour))[0]["version"] for place in (points, points + 0.5))
    chosen = unpack(explorer.pack(points, colour, selected=np.array([True, False, False, False])))[0]["version"]
    assert first == chosen != moved


def test_what_is_too_much_to_hover_over_is_left_out():
    n = explorer.HOVER_POINTS + 1
    colour = explorer.colour_by(np.zeros(n, int), dark=True)
    pictures = np.zeros((n, 28, 28), np.uint8)
    header, columns = unpack(explorer.pack(np.zeros((n, 2), np.float32), colour, texts=["x"] * n, thumbnails=pictures[:, ::4, ::4]))
    assert header["texts"] is None and header["thumbnail"] == {"height": 7, "width": 7, "channels": 1}
    header, columns = unpack(explorer.pack(np.zeros((n, 2), np.float32), colour, thumbnails=pictures))
    assert header["thumbnail"] == {"height": 14, "width": 14, "channels": 1} and len(columns["pixels"]) == n * 14 * 14
    wide = np.broadcast_to(np.uint8(0), (n, 20, 20, 3))
    header, columns = unpack(explorer.pack(np.zeros((n, 2), np.float32), colour, thumbnails=wide))
    assert header["thumbnail"] is None and len(columns["pixels"]) == 0


@pytest.mark.parametrize("dark", [False, True])
def test_columns_have_the_colours_that_suit_them(dark):
    words = explorer.colour_by(pd.Series(["cat", None, "dog", "cat"]), dark)
    assert words.kind == "category" and [title for title, _ in words.legend] == ["cat", "dog", "none"]
    assert words.place.tolist() == [0, 2, 1, 0]
    numbers = explorer.colour_by(np.array([0.0, 5.0, 10.0, np.nan, np.inf]), dark)
    assert numbers.kind == "value" and numbers.place.tolist() == [0, 0.5, 1, 0, 1]
    assert [title for title, _ in numbers.legend] == ["0", "10"]
    assert len(set(explorer.colour_by([str(k) for k in range(10)], dark).colours)) == 10
    assert explorer.colour_by(np.arange(1000), dark).kind == "value"
    explorer.colour_by(np.full(3, np.nan), dark)


def test_fitted_points_keep_their_proportions():
    points = explorer.fitted(np.array([[0, 0], [10, 0], [10, 5], [np.nan, 1]]))
    np.testing.assert_allclose(points[:3], [[-0.95, -0.475], [0.95, -0.475], [0.95, 0.475]], rtol=1e-6)
    assert points[3].tolist() == [0, 0]
    assert explorer.fitted(np.full((3, 2), np.inf)).tolist() == [[0, 0]] * 3


def test_inside_agrees_with_a_library():
    rng = np.random.default_rng(1)
    points = rng.uniform(-1, 1, (2000, 2))
    angles = np.sort(rng.uniform(0, 2 * np.pi, 25))
    star = np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(0.2, 0.9, (25, 1))
    assert np.array_equal(explorer.inside(points, star.tolist()), points_in_poly(points, star))


@pytest.mark.parametrize("polygon", [[], [[0, 0], [1, 1]], [[0, 0], [1, float("nan")], [1, 1]], [[0, 0, 0]] * 4])
def test_what_is_no_polygon_selects_nothing(polygon):
    assert not explorer.inside(np.zeros((3, 2)), polygon).any()
