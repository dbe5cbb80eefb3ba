"""Means of arms beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core.charts import theme
from core.charts.lines import split
from core.charts.summary import drawn_ends, mean_interval
from core.charts.theme import Axis, Key, Size

LANE, CARD_LANE, LABEL = 22, 14, 20  # pixels: of a bar, of a bar on a card, of the name above the bars


def bars(
    frame: pd.DataFrame,
    y: Axis,
    *,
    x: str = "arm",
    x_keys: Sequence[Key] = (),
    colour: str = "arm",
    keys: Sequence[Key] = (),
    facet: str = "",
    facet_keys: Sequence[Key] = (),
    seed: str = "seed",
    dark: bool = False,
    size: Size = "full",
    description: str = "",
) -> Any:
    """The mean of y over seeds with its 95% t-interval and a dot a seed, in rows that leave room for long names.

    Bars start at zero where zero is near enough to compare with; else there are no bars, only means on a scale of their own.

    Args:
        frame: the columns of y, `x` (a row of the picture), `colour`, `facet` and `seed`; several rows of one seed are averaged.
    """
    keys = keys or theme.keys_of(frame[colour])
    frame, tints = theme.named(frame, colour, keys, dark)
    categories = {key.value: key.title for key in (keys if x == colour else x_keys or theme.keys_of(frame[x]))}
    good = y.allowed(frame[y.field])
    frame, hidden = frame.assign(row=frame[x].map(categories))[good], int((~good).sum())
    frame = frame[frame["row"].notna()]
    order = [title for title in dict.fromkeys(categories.values()) if title in set(frame["row"])]
    from_zero = bool(len(frame)) and (frame[y.field].min() < 0 < frame[y.field].max() or _near_zero(frame[y.field]))
    parts = split(frame, facet, facet_keys, size)
    charts = []
    for title, rows in parts:
        chart = _panel(rows, y, order, tints, x != colour, from_zero, seed, dark, size)
        charts.append(theme.framed(chart, chart.height, title))
    text = description or f"{y.name} by {x.replace('_', ' ')}"
    text = f"{text}: mean over seeds with its 95% t-interval and a dot a seed, for {', '.join(order)}."
    note = f"{theme.counted(hidden, 'value is', 'values are')} not finite, and left out." if hidden else ""
    chart = charts[0] if len(charts) == 1 else theme.panels(charts, size=size, shared=("x", "color"))
    return theme.finished(chart, dark=dark, description=text, size=size, note=note)


def _near_zero(values: pd.Series) -> bool:
    least, most = np.abs(values).min(), np.abs(values).max()
    return bool(least <= 0.5 * most)


def _panel(
    frame: pd.DataFrame,
    y: Axis,
    order: list[str],
    tints: dict[str, str],
    grouped: bool,
    from_zero: bool,
    seed: str,
    dark: bool,
    size: Size,
) -> Any:
    seeds = frame.groupby(["row", "key", seed], sort=False)[y.field].mean().rename("y").reset_index().rename(columns={seed: "seed"})
    rows = []
    for (row, key), values in seeds.groupby(["row", "key"], sort=False)["y"]:
        mean, low, high = mean_interval(values.to_numpy())
        bottom, top = drawn_ends(low, high, frame[y.field].min(), frame[y.field].max())
        ends = {"low": float(low), "high": float(high), "bottom": float(bottom), "top": float(top), "zero": 0.0}
        rows.append({"row": row, "key": key, "y": float(mean), "n": len(values), **ends})
    means = pd.DataFrame(rows, columns=["row", "key", "y", "low", "high", "bottom", "top", "n", "zero"])
    legend = theme.legend_of(list(tints), size) if grouped else None
    tint, full = theme.colour_of(tints, legend), size == "full"
    lanes = len(tints) if grouped else 1
    lane, label = (LANE if full else CARD_LANE), LABEL if full else 0
    step = lane * lanes + label + (8 if full else 2)
    share = (step - lane * lanes) / step  # of a row: its label, above the bars
    row = alt.Y("row:N", sort=order, title=None, axis=None, scale=alt.Scale(paddingInner=share, paddingOuter=0))
    offset = alt.YOffset("key:N", sort=list(tints), scale=alt.Scale(paddingInner=0.2)) if grouped else alt.Undefined
    across = _across(y, from_zero, size)
    hints = [
        alt.Tooltip("row:N", title="Row"),
        alt.Tooltip("key:N", title="Colour"),
        theme.tooltip("y", f"Mean: {y.name}", y.format),
        theme.tooltip("low", "95% interval, from", y.format),
        theme.tooltip("high", "to", y.format),
        alt.Tooltip("n:Q", title="Seeds"),
    ]
    base = alt.Chart(theme.compact(means)).encode(y=row, yOffset=offset)
    layers = []
    if from_zero:
        layers.append(
            base.mark_bar(opacity=0.32, cornerRadiusEnd=2).encode(x=across, x2=alt.X2("zero:Q"), color=tint, tooltip=hints)
        )
    if means["low"].notna().any():
        layers.append(
            base.mark_rule(strokeWidth=2.4 if full else 1.6).encode(
                x=alt.X("bottom:Q", title=across["title"]), x2=alt.X2("top:Q"), color=tint
            )
        )
    dots = alt.Chart(theme.compact(seeds)).mark_point(size=26 if full else 12, strokeWidth=1.4, filled=False, opacity=0.9)
    layers.append(dots.encode(y=row, yOffset=offset, x=across, color=tint))
    layers.append(
        base.mark_tick(thickness=3.4 if full else 2.4, size=lane - 4, opacity=1).encode(x=across, color=tint, tooltip=hints)
    )
    if full:
        ink = theme.palette(dark).text
        number = base.mark_text(align="right", dx=52, color=ink).encode(x=alt.XValue("width"))
        layers.append(number.encode(text=alt.Text("y:Q", format=y.format or ".4~r")))
        above = alt.Chart(pd.DataFrame({"row": order})).mark_text(align="left", baseline="bottom", dy=-3, color=ink)
        layers.append(above.encode(x=alt.XValue(0), y=alt.Y("row:N", sort=order, bandPosition=0), text=alt.Text("row:N")))
    return theme.framed(theme.Layered(layers), step * max(len(order), 1) - (step - lane * lanes))


def _across(y: Axis, from_zero: bool, size: Size) -> alt.X:
    axis = alt.Axis(grid=True, domain=False, ticks=False, tickCount=4, format=y.format or alt.Undefined)
    scale = alt.Scale(zero=from_zero, nice=from_zero, padding=0 if from_zero else 14)
    return alt.X("y:Q", title=y.name if size == "full" else None, scale=scale, axis=axis)
