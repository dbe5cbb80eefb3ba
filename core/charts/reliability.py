"""Reliability diagrams: how often predictions of a confidence are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core.charts import theme
from core.charts.summary import bin_of, expected_calibration_error, mean_interval, wilson
from core.charts.theme import Key, Size

BINS = 15
QUARTERS = [0, 0.25, 0.5, 0.75, 1]


def reliability(
    frame: pd.DataFrame,
    *,
    panel: str = "arm",
    keys: Sequence[Key] = (),
    seed: str = "seed",
    bins: int = BINS,
    dark: bool = False,
    size: Size = "full",
    description: str = "",
) -> Any:
    """Accuracy against confidence in bins of equal width, with counts underneath; a panel a value of `panel`, its ECE in the title.

    Intervals are Wilson's at 95%, for the number of predictions that one seed has in the bin: seeds share their test data, so that
    pooling them makes no new samples.

    Args:
        frame: one row a prediction: `panel`, `seed`, confidence in [0, 1] and correct (boolean); rows without finite confidence are
            left out. Without a column `seed`, all rows are one seed's.
    """
    frame, tints = theme.named(frame, panel, keys or theme.keys_of(frame[panel]), dark)
    good = np.isfinite(frame["confidence"])
    frame, hidden = frame[good], int((~good).sum())
    frame = frame if seed in frame else frame.assign(**{seed: 0})
    shown = list(tints)[: 2 if size == "card" else None]
    width = theme.PANEL_WIDTH if len(shown) > 1 else theme.ONLY_WIDTH
    charts = []
    for title in shown:
        rows = frame[frame["key"] == title]
        table = _bins(rows, seed, bins)
        diagram = _diagram(table, tints[title], width, dark, size)
        if size == "full":
            errors = [expected_calibration_error(one["confidence"], one["correct"], bins) for _, one in rows.groupby(seed)]
            above = alt.Title(title, subtitle=_ece(errors), anchor="start", offset=10, subtitlePadding=4)
            parts = (diagram, _counts(table, tints[title], width))
            charts.append(theme.Joined("vconcat", parts, shared=("x",), spacing=8, title=above))
        else:
            charts.append(diagram)
    note = f"Error bars: Wilson 95% for one seed's count. ECE over {bins} bins of equal width."
    note += f" {theme.counted(hidden, 'prediction', 'predictions')} without finite confidence left out." if hidden else ""
    text = f"{description or 'Reliability diagrams: accuracy against confidence'}. Panels: {', '.join(shown)}."
    joined = theme.panels(charts, width=width, shared=(), size=size)
    return theme.finished(joined, dark=dark, description=text, size=size, note=note)


def _bins(rows: pd.DataFrame, seed: str, bins: int) -> pd.DataFrame:
    """One row a bin that has predictions: confidence, accuracy, low, high, count (all seeds), start, end, gap."""
    index = bin_of(rows["confidence"].to_numpy(float), bins)
    seeds = max(rows[seed].nunique(), 1)
    counts = np.bincount(index, minlength=bins)
    right = np.bincount(index, weights=rows["correct"].to_numpy(float), minlength=bins)
    confidence = np.bincount(index, weights=rows["confidence"].to_numpy(float), minlength=bins)
    found = []
    for i in np.flatnonzero(counts):
        low, high = wilson(right[i] / seeds, counts[i] / seeds)
        found.append((confidence[i] / counts[i], right[i] / counts[i], low, high, int(counts[i]), i / bins, (i + 1) / bins))
    table = pd.DataFrame(found, columns=["confidence", "accuracy", "low", "high", "count", "start", "end"])
    return table.assign(share=table["count"] / max(table["count"].sum(), 1))


def _ece(errors: list[float]) -> str:
    mean, low, high = (100 * float(end) for end in mean_interval(np.array(errors)))
    if len(errors) < 2:
        return f"ECE {mean:.3g}%"
    return f"ECE {mean:.3g}% [{max(low, 0):.3g}, {high:.3g}], {len(errors)} seeds"


def _diagram(table: pd.DataFrame, tint: str, width: int, dark: bool, size: Size) -> Any:
    chosen = theme.palette(dark)
    full = size == "full"
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
    up = alt.Y("accuracy:Q", title="Accuracy" if full else None, scale=unit, axis=ticks)
    ideal = alt.Chart(pd.DataFrame({"confidence": [0, 1], "accuracy": [0, 1]})).mark_line(
        color=chosen.muted, strokeDash=[3, 3], strokeWidth=1.2
    )
    base = alt.Chart(theme.compact(table)).encode(x=across)
    hints = [
        theme.tooltip("confidence", "Mean confidence", ".1%"),
        theme.tooltip("accuracy", "Accuracy", ".1%"),
        theme.tooltip("low", "95% interval, from", ".1%"),
        theme.tooltip("high", "to", ".1%"),
        alt.Tooltip("count:Q", title="Predictions", format=","),
    ]
    gap = base.mark_rule(strokeWidth=5, opacity=0.2, color=tint).encode(y=up, y2="confidence:Q")
    seen = alt.when("datum.count < 10").then(alt.value(0.3)).otherwise(alt.value(1))  # few predictions tell little
    interval = base.mark_rule(strokeWidth=1.6, color=tint).encode(
        opacity=seen, y=alt.Y("low:Q", scale=unit, title=up["title"]), y2="high:Q"
    )
    dots = base.mark_point(filled=True, size=46 if full else 22, color=tint).encode(
        y=up, opacity=seen, **({"tooltip": hints} if full else {})
    )
    line = base.mark_line(strokeWidth=1.4, color=tint, opacity=0.7).encode(y=up)
    layers = [ideal.encode(x=across, y=up), gap, line, interval, dots] if full else [ideal.encode(x=across, y=up), line, dots]
    return alt.layer(*layers, width=width, height=width if full else 104)


def _counts(table: pd.DataFrame, tint: str, width: int) -> alt.Chart:
    unit = alt.Scale(domain=[0, 1], nice=False)
    across = alt.X("start:Q", title="Confidence", scale=unit, axis=alt.Axis(format=".0%", values=QUARTERS, labelOverlap=False))
    up = alt.Y("share:Q", title=None, axis=alt.Axis(format=".0%", tickCount=2, grid=False), scale=alt.Scale(zero=True, nice=False))
    hints = [
        theme.tooltip("start", "Confidence from", ".0%"),
        theme.tooltip("end", "to", ".0%"),
        alt.Tooltip("count:Q", title="Predictions", format=","),
    ]
    chart = alt.Chart(theme.compact(table)).mark_bar(opacity=0.45, color=tint, binSpacing=1)
    return chart.encode(x=across, x2="end:Q", y=up, y2=alt.Y2Datum(0), tooltip=hints).properties(width=width, height=44)
