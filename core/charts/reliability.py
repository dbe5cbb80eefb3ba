"""Reliability diagrams: how often predictions of a confidence are right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

from core.charts import theme
from core.charts.summary import bin_of, expected_calibration_error, mean_interval, wilson
from core.charts.theme import Key, Size

BINS = 15
QUARTERS = [0, 0.25, 0.5, 0.75, 1]
SMOOTH_POINTS = 101
LEAST_WEIGHT = 5  # predictions' worth under the kernel, for a smooth curve to be drawn

Binning = Literal["equal-width", "equal-mass", "smooth"]
WORDS = {"equal-width": "bins of equal width", "equal-mass": "bins of equal count"}


@dataclass(frozen=True)
class _Look:
    """How diagrams are drawn; `names` are what the axes across and up show."""

    width: int
    dark: bool
    size: Size
    names: tuple[str, str]
    smooth: bool


def reliability(
    frame: pd.DataFrame,
    *,
    panel: str = "arm",
    keys: Sequence[Key] = (),
    seed: str = "seed",
    bins: int = BINS,
    binning: Binning = "equal-width",
    width: float = 0.05,
    names: tuple[str, str] = ("Confidence", "Accuracy"),
    dark: bool = False,
    size: Size = "full",
    description: str = "",
) -> Any:
    """Accuracy against confidence in bins, or smoothed, with a histogram underneath; a panel a value of `panel`, its ECE above.

    Intervals are Wilson's at 95%, for the number of predictions that one seed has in the bin: seeds share their test data, so that
    pooling them makes no new samples.

    Args:
        frame: one row a prediction: `panel`, `seed`, confidence in [0, 1] and correct (boolean); rows without finite confidence are
            left out. Without a column `seed`, all rows are one seed's.
        binning: "smooth" draws a Gaussian kernel's mean of half-width `width`, and Wilson's interval of its effective count.
        names: of the axes, where the score is no confidence: ("Probability of cat", "Share of cat").
    """
    frame, tints = theme.named(frame, panel, keys or theme.keys_of(frame[panel]), dark)
    good = np.isfinite(frame["confidence"])
    frame, hidden = frame[good], int((~good).sum())
    frame = frame if seed in frame else frame.assign(**{seed: 0})
    shown = list(tints)[: 2 if size == "card" else None]
    side = theme.PANEL_WIDTH if len(shown) > 2 else theme.ONLY_WIDTH
    look = _Look(side, dark, size, names, binning == "smooth")
    charts = []
    for title in shown:
        rows = frame[frame["key"] == title]
        table = _smoothed(rows, seed, width) if look.smooth else _bins(rows, seed, bins, binning)
        diagram = _diagram(table, tints[title], look)
        if size == "full":
            above = alt.Title(title, subtitle=_above(rows, seed, bins, binning), anchor="start", offset=10, subtitlePadding=4)
            counts = _bins(rows, seed, bins if binning == "equal-width" else BINS, "equal-width")
            parts = (diagram, _counts(counts, tints[title], look))
            charts.append(theme.Joined("vconcat", parts, shared=("x",), spacing=8, title=above))
        else:
            charts.append(diagram)
    text = f"{description or f'Reliability diagrams: {names[1].lower()} against {names[0].lower()}'}. Panels: {', '.join(shown)}."
    joined = theme.panels(charts, width=side, shared=(), size=size)
    return theme.finished(joined, dark=dark, description=text, size=size, note=_note(binning, bins, width, hidden))


def _note(binning: Binning, bins: int, width: float, hidden: int) -> str:
    if binning == "smooth":
        note = f"Gaussian kernel, standard deviation {width:.3g}. Band: Wilson 95% for the kernel's effective count."
    else:
        note = f"Error bars: Wilson 95% for one seed's count. ECE over {bins} {WORDS[binning]}."
    return note + (f" {theme.counted(hidden, 'prediction', 'predictions')} without finite confidence left out." if hidden else "")


def _bins(rows: pd.DataFrame, seed: str, bins: int, binning: str) -> pd.DataFrame:
    """One row a bin that has predictions: confidence, accuracy, low, high, count (all seeds), start, end, share."""
    confidence, correct = rows["confidence"].to_numpy(float), rows["correct"].to_numpy(float)
    index = bin_of(confidence, bins, binning)
    seeds = max(rows[seed].nunique(), 1)
    counts = np.bincount(index, minlength=bins)
    right, total = (np.bincount(index, weights=values, minlength=bins) for values in (correct, confidence))
    found = []
    for i in np.flatnonzero(counts):
        low, high = wilson(right[i] / seeds, counts[i] / seeds)
        found.append((total[i] / counts[i], right[i] / counts[i], low, high, int(counts[i]), i / bins, (i + 1) / bins))
    table = pd.DataFrame(found, columns=["confidence", "accuracy", "low", "high", "count", "start", "end"])
    return table.assign(share=table["count"] / max(table["count"].sum(), 1))


def _smoothed(rows: pd.DataFrame, seed: str, width: float) -> pd.DataFrame:
    """The kernel's mean accuracy at evenly spaced confidences that have predictions near: as from `_bins`, without the shares."""
    confidence, correct = rows["confidence"].to_numpy(float), rows["correct"].to_numpy(float)
    seeds = max(rows[seed].nunique(), 1)
    images, outcomes = np.concatenate([confidence, -confidence, 2 - confidence]), np.tile(correct, 3)  # mirrored at both ends
    found = []
    for at in np.linspace(0, 1, SMOOTH_POINTS):
        near = np.abs(images - at) < 4 * width
        weight = np.exp(-(((images[near] - at) / width) ** 2) / 2)
        if weight.sum() > LEAST_WEIGHT:
            accuracy = float(weight @ outcomes[near] / weight.sum())
            effective = float(weight.sum() ** 2 / (weight**2).sum()) / seeds
            found.append((at, accuracy, *wilson(accuracy * effective, effective), int(near.sum())))
    return pd.DataFrame(found, columns=["confidence", "accuracy", "low", "high", "count"])


def _above(rows: pd.DataFrame, seed: str, bins: int, binning: Binning) -> str:
    if binning == "smooth":
        return theme.counted(len(rows), "prediction", "predictions")
    return _ece([expected_calibration_error(one["confidence"], one["correct"], bins, binning) for _, one in rows.groupby(seed)])


def _ece(errors: list[float]) -> str:
    mean, low, high = (100 * float(end) for end in mean_interval(np.array(errors)))
    if len(errors) < 2:
        return f"ECE {mean:.3g}%"
    return f"ECE {mean:.3g}% [{max(low, 0):.3g}, {high:.3g}], {len(errors)} seeds"


def _diagram(table: pd.DataFrame, tint: str, look: _Look) -> Any:
    chosen, full = theme.palette(look.dark), look.size == "full"
    unit = alt.Scale(domain=[0, 1], nice=False)
    ticks = alt.Axis(format=".0%", values=QUARTERS, labels=full, grid=full, gridOpacity=0.6)
    across = alt.X("confidence:Q", title=None, scale=unit, axis=alt.Axis(labels=False, ticks=False, title=None, values=QUARTERS))
    lift = (
        {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "end", "titleX": 0, "titleY": -8, "titleBaseline": "bottom"}
        if full
        else {}
    )
    for name, value in lift.items():
        ticks[name] = value
    up = alt.Y("accuracy:Q", title=look.names[1] if full else None, scale=unit, axis=ticks)
    ideal = alt.Chart(pd.DataFrame({"confidence": [0, 1], "accuracy": [0, 1]})).mark_line(
        color=chosen.muted, strokeDash=[3, 3], strokeWidth=1.2
    )
    base = alt.Chart(theme.compact(table)).encode(x=across)
    line = base.mark_line(strokeWidth=2 if look.smooth else 1.4, color=tint, opacity=1 if look.smooth else 0.7).encode(y=up)
    interval_of = {"y": alt.Y("low:Q", scale=unit, title=up["title"]), "y2": alt.Y2("high:Q")}
    if look.smooth:
        layers = [ideal.encode(x=across, y=up), base.mark_area(opacity=0.2, color=tint).encode(**interval_of), line]
        if full:
            over = base.mark_point(filled=True, size=90, opacity=0, color=tint).encode(y=up, tooltip=_hints(look))
            layers.append(over)
        return alt.layer(*layers, width=look.width, height=look.width if full else 104)
    gap = base.mark_rule(strokeWidth=5, opacity=0.2, color=tint).encode(y=up, y2=alt.Y2("confidence:Q"))
    few = alt.when("datum.count < 10").then(alt.value(0.3)).otherwise(alt.value(1))  # they tell little
    seen = alt.OpacityValue(**few)
    interval = base.mark_rule(strokeWidth=1.6, color=tint).encode(opacity=seen, **interval_of)
    dots = base.mark_point(filled=True, size=46 if full else 22, color=tint).encode(
        y=up, opacity=seen, **({"tooltip": _hints(look)} if full else {})
    )
    layers = [ideal.encode(x=across, y=up), gap, line, interval, dots] if full else [ideal.encode(x=across, y=up), line, dots]
    return alt.layer(*layers, width=look.width, height=look.width if full else 104)


def _hints(look: _Look) -> list[alt.Tooltip]:
    return [
        theme.tooltip("confidence", look.names[0] if look.smooth else f"Mean {look.names[0].lower()}", ".1%"),
        theme.tooltip("accuracy", look.names[1], ".1%"),
        theme.tooltip("low", "95% interval, from", ".1%"),
        theme.tooltip("high", "to", ".1%"),
        alt.Tooltip("count:Q", title="Predictions near" if look.smooth else "Predictions", format=","),
    ]


def _counts(table: pd.DataFrame, tint: str, look: _Look) -> alt.Chart:
    unit = alt.Scale(domain=[0, 1], nice=False)
    axis = alt.Axis(format=".0%", values=QUARTERS, labelOverlap=False)
    across = alt.X("start:Q", title=look.names[0], scale=unit, axis=axis)
    up = alt.Y("share:Q", title=None, axis=alt.Axis(format=".0%", tickCount=2, grid=False), scale=alt.Scale(zero=True, nice=False))
    hints = [
        theme.tooltip("start", f"{look.names[0]} from", ".0%"),
        theme.tooltip("end", "to", ".0%"),
        alt.Tooltip("count:Q", title="Predictions", format=","),
    ]
    chart = alt.Chart(theme.compact(table)).mark_bar(opacity=0.45, color=tint, binSpacing=1)
    return chart.encode(x=across, x2=alt.X2("end:Q"), y=up, y2=alt.Y2Datum(0), tooltip=hints).properties(
        width=look.width, height=44
    )
