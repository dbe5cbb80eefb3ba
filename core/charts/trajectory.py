"""Phase portraits: one quantity against another as time goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from core.charts import theme
from core.charts.lines import split
from core.charts.summary import thin
from core.charts.theme import Axis, Key, Size

POINTS = 240  # in one panel
PANELS = 12


def trajectory(
    frame: pd.DataFrame,
    x: Axis,
    y: Axis,
    time: Axis,
    *,
    panel: str = "run",
    keys: Sequence[Key] = (),
    seed: str = "seed",
    dark: bool = False,
    size: Size = "full",
    description: str = "",
) -> Any:
    """Paths of y against x, coloured by time; a ring marks each path's start, a panel a value of `panel`.

    Args:
        frame: one row a moment: the columns of x, y and time, `panel` and `seed`; each seed is a path of its own. Rows that an axis
            cannot show are left out, and said.
    """
    good = x.allowed(frame[x.field]) & y.allowed(frame[y.field]) & time.allowed(frame[time.field])
    frame, hidden = frame[good], int((~good).sum())
    parts = split(frame, panel, keys, size, PANELS)
    chosen = theme.palette(dark)
    scale = alt.Scale(range=list(chosen.levels), type="log" if time.log else "linear")
    legend = alt.Legend(gradientLength=180, gradientThickness=10, titleOrient="top", tickCount=4, offset=14)
    colour = alt.Color("t:Q", title=time.heading(frame[time.field]), scale=scale, legend=legend if size == "full" else None)
    width = theme.ONLY_WIDTH if len(parts) <= 2 else theme.panel_width(len(parts))
    charts = []
    for title, rows in parts:
        paths = [_path(path, x, y, time, name) for name, path in rows.groupby(seed, sort=True)]
        chart = _panel(theme.compact(pd.concat(paths, ignore_index=True)), x, y, time, colour, dark, size)
        charts.append(theme.framed(chart, 0.8 * width if size == "full" else 104, title, size))
    text = (
        f"{description or f'{y.name} against {x.name} over {time.name.lower()}'}. Panels: {', '.join(title for title, _ in parts)}."
    )
    note = "Rings mark the start; the colour is the time."
    note += (
        f" {theme.counted(hidden, 'moment is', 'moments are')} not finite, or not on a log axis, and left out." if hidden else ""
    )
    return theme.finished(theme.panels(charts, width=width, size=size), dark=dark, description=text, size=size, note=note)


def _path(rows: pd.DataFrame, x: Axis, y: Axis, time: Axis, seed: Any) -> pd.DataFrame:
    """A seed's moments in order, at most POINTS of them, its turns in y among them."""
    rows = rows.sort_values(time.field, kind="stable")
    kept = rows.iloc[thin(time.scaled(rows[time.field]), y.scaled(rows[y.field]), POINTS)]
    columns = {"x": kept[x.field], "y": kept[y.field], "t": kept[time.field]}
    return pd.DataFrame({name: values.to_numpy(float) for name, values in columns.items()}).assign(seed=seed)


def _panel(rows: pd.DataFrame, x: Axis, y: Axis, time: Axis, colour: alt.Color, dark: bool, size: Size) -> Any:
    chosen = theme.palette(dark)
    across, up = theme.x_channel(x, rows["x"], size), theme.y_channel(y, rows["y"], size)
    base = alt.Chart(rows).encode(x=across, y=up)
    hints = [
        theme.tooltip("t", time.name, digits=6),
        theme.tooltip("x", x.name, x.format),
        theme.tooltip("y", y.name, y.format),
        alt.Tooltip("seed:Q", title="Seed"),
    ]
    path = base.mark_line(strokeWidth=0.8, opacity=0.5, color=chosen.muted).encode(
        order=alt.Order("t:Q"), detail=alt.Detail("seed:N")
    )
    dots = base.mark_circle(size=34 if size == "full" else 12, opacity=1).encode(color=colour)
    first = rows.loc[rows.groupby("seed")["t"].idxmin()]
    ring = alt.Chart(first).mark_point(size=150, filled=False, strokeWidth=1.8, color=chosen.text, opacity=1).encode(x=across, y=up)
    return theme.Layered([path, dots.encode(tooltip=hints) if size == "full" else dots, ring])
