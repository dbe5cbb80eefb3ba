"""The look: colours that everybody can tell apart, roles that keep their colour, axes that say what they are."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from core.charts import Axis, Key, colours, keys_of, lines
from core.charts.summary import t_975
from core.charts.theme import DARK, LIGHT, PANEL_MARGIN, PANEL_WIDTH, blend, log_ticks, named, palette, round_to, x_channel

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
VISIONS = {
    "ordinary": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
ARMS = [Key("dense", "Dense", "baseline"), Key("ticket", "Ticket", "method"), Key("reinit", "Reinit"), Key("shuffled", "Shuffled")]
THEMES = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


def linear(colour: str) -> np.ndarray:
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    cones = [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
    lab = [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
    return np.array(lab) @ np.cbrt(np.array(cones) @ np.clip(rgb, 0, 1))


def contrast(one: str, other: str) -> float:
    dark, light = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


@THEMES
@pytest.mark.parametrize("vision", VISIONS)
def test_series_are_told_apart_by_every_eye(theme, vision):
    seen = {colour: oklab(np.array(VISIONS[vision]) @ linear(colour)) for colour in (theme.baseline, theme.accent, *theme.series)}
    nearest = min(np.linalg.norm(seen[one] - seen[other]) for one, other in itertools.combinations(seen, 2))
    assert nearest > 0.06  # a just noticeable difference is about 0.02


@THEMES
def test_lines_and_words_stand_out_from_the_page(theme):
    assert min(contrast(colour, theme.background) for colour in (theme.baseline, theme.accent, *theme.series)) > 2.95
    assert min(contrast(colour, theme.background) for colour in (theme.text, theme.muted, theme.holds)) > 4.5
    assert contrast(theme.fails, theme.background) > 4.5


@THEMES
def test_levels_and_areas_get_steadily_lighter_or_darker(theme):
    for stops in (theme.levels, theme.ramp):
        lightness = [oklab(linear(colour))[0] for colour in blend(stops, 9)]
        assert (np.diff(lightness) > 0).all() or (np.diff(lightness) < 0).all()


def test_roles_decide_colours():
    for dark in (False, True):
        chosen, found = palette(dark), colours(ARMS, dark)
        assert found["Dense"] == chosen.baseline and found["Ticket"] == chosen.accent
        assert (found["Reinit"], found["Shuffled"]) == chosen.series[:2]


def test_an_arm_keeps_its_colour_where_others_are_missing():
    frame = pd.DataFrame({"arm": ["shuffled", "ticket", "unknown"], "y": [1, 2, 3]})
    kept, tints = named(frame, "arm", ARMS, dark=False)
    assert list(tints) == ["Ticket", "Shuffled"]
    assert tints == {title: colours(ARMS, False)[title] for title in tints}
    assert list(kept["key"]) == ["Shuffled", "Ticket"]
    assert list(named(frame, "arm", ARMS, False, also=["dense"])[1]) == ["Dense", "Ticket", "Shuffled"]


def test_numbers_are_levels_in_order_and_words_are_not():
    assert [key.title for key in keys_of(["γ = 10", "γ = 0.1", "γ = 1", "γ = 100"])] == ["γ = 0.1", "γ = 1", "γ = 10", "γ = 100"]
    assert {key.role for key in keys_of([64, 8, 16])} == {"level"}
    assert [key.value for key in keys_of([64, 8, 16])] == [8, 16, 64]
    assert {key.role for key in keys_of(["plain", "mixed"])} == {"other"}
    assert {key.role for key in keys_of(["layer 1", "head 2"])} == {"other"}
    assert keys_of([1.0, np.nan])[0].title == "1"


def test_unnamed_categories_use_the_accent_first():
    found = colours(keys_of(["a", "b"]), dark=False)
    assert list(found.values()) == [LIGHT.accent, LIGHT.series[0]]
    assert len(set(colours([Key(i, str(i)) for i in range(10)], False).values())) == 10


def test_a_log_axis_says_so_and_what_it_leaves_out():
    axis = Axis("steps", "steps to separate", log=True)
    assert axis.heading([1, 10]) == "Steps to separate (log scale)"
    assert axis.heading([0, 10]) == "Steps to separate (log scale, 0 not shown)"
    assert Axis("w", "weights left (log)", log=True).heading([1]) == "Weights left (log scale)"
    assert Axis("w", "kNN accuracy").heading([1]) == "kNN accuracy"
    channel = x_channel(axis, np.array([1, 10, 100]), "full").to_dict()
    assert channel["scale"]["type"] == "log" and channel["axis"]["values"] == [1, 10, 100]
    assert list(axis.allowed([0, -1, 2, np.inf, np.nan])) == [False, False, True, False, False]


def test_ticks_of_a_log_axis_stay_inside_it():
    for low, high in ((0.7, 9), (3, 800), (1e-9, 1e9), (2, 2.1)):
        ticks = log_ticks(low, high)
        assert 2 <= len(ticks) <= 7
        assert low * (1 - 1e-9) <= ticks[0] < ticks[-1] <= high * (1 + 1e-9)


def test_a_percent_format_writes_no_decimals():
    assert Axis("a", format="%").format == ".0%"


def test_panels_are_one_a_row_on_a_phone_and_three_on_a_desk():
    def columns(width: int) -> int:
        return max(1, (width + 16) // (PANEL_WIDTH + PANEL_MARGIN))

    assert (columns(328), columns(720), columns(1000)) == (1, 2, 3)
    frame = pd.DataFrame({"arm": "ticket", "seed": 0, "step": [0, 1] * 2, "loss": [1.0, 2] * 2, "part": ["a", "a", "b", "b"]})
    spec = lines(frame, Axis("step"), Axis("loss"), facet="part").to_dict()
    assert spec["columns"] == {"signal": "panel_columns"}
    (wrap,) = [param["expr"] for param in spec["params"] if param["name"] == "panel_columns"]
    assert f"/ {PANEL_WIDTH + PANEL_MARGIN}))" in wrap and "containerSize()" in wrap


def test_student_quantiles():
    assert max(abs(t_975(freedom) - t.ppf(0.975, freedom)) for freedom in range(1, 500)) < 1e-4


def test_numbers_keep_their_digits():
    assert [round_to(value) for value in (0.123456789, 1234567.0, -2.5e-12, 0.0)] == [0.1234568, 1234567.0, -2.5e-12, 0.0]
