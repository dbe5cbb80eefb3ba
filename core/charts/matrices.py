"""Arrays as pictures: heat maps, pruning masks, histograms of entries, and phase diagrams over two parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

from core.charts import theme
from core.charts.lines import split
from core.charts.theme import Axis, Key, Size

CELLS = 64  # a side of a picture
CELLS_IN_ALL = 9000  # in all panels together
PANELS = {"full": 12, "card": 3}
NUMBERED = 10  # a side of a picture whose cells are labelled with their numbers


def heatmap(
    frame: pd.DataFrame,
    *,
    panel: str = "panel",
    array: str = "array",
    x_title: str = "Column",
    y_title: str = "Row",
    value_title: str = "Value",
    diverging: bool = False,
    limits: tuple[float, float] | None = None,
    format: str = "",
    note: str = "",
    dark: bool = False,
    size: Size = "full",
    description: str = "",
) -> Any:
    """Matrices as coloured cells on one colour scale, a panel a row of `frame`; large ones by means over blocks, as a note says.

    Args:
        frame: columns `panel` (the panel's title) and `array` (numbers or booleans; any shape, see `as_matrix`).
        diverging: colours around zero. limits: the ends of the colour scale, else those of the data. note: goes before others.
    """
    shown = frame.iloc[evenly(len(frame), PANELS[size])]
    side = int(min(CELLS, np.sqrt(CELLS_IN_ALL / max(len(shown), 1)))) if size == "full" else 32
    matrices = [as_matrix(value) for value in shown[array]]
    cells = [cells_of(matrix, side) for matrix in matrices]
    values = np.concatenate([rows["value"] for rows in cells])
    finite = values[np.isfinite(values)]
    scale = _colour_scale(finite, diverging, limits, dark)
    title = None if size == "card" else value_title
    colour = alt.Color("value:Q", title=title, scale=scale, legend=_gradient(format) if size == "full" else None)
    width = theme.panel_width(len(shown))
    numbered = size == "full" and len(shown) == 1 and max(matrices[0].shape) <= NUMBERED
    charts = []
    for name, matrix, rows in zip(shown[panel], matrices, cells, strict=True):
        ink = _ink(rows["value"], scale) if numbered else None
        chart = _cells(theme.compact(rows), colour, x_title, y_title, value_title, format, size, ink)
        charts.append(theme.framed(chart, _picture_height(matrix.shape, width, size), str(name), size))
    reduced = [matrix.shape for matrix in matrices if max(matrix.shape) > side]
    notes = [note] if note else []
    notes += [f"Matrices of more than {side} rows or columns are shown as means over blocks."] if reduced else []
    notes += [f"{len(shown)} of {len(frame)} panels are shown, evenly chosen."] if len(shown) < len(frame) else []
    notes += (
        [f"{theme.counted(len(values) - len(finite), 'grey cell is', 'grey cells are')} not finite."]
        if len(finite) < len(values)
        else []
    )
    text = f"{description or f'Heat map of {value_title}'}. Panels: {'; '.join(map(str, shown[panel]))}. {' '.join(notes)}".strip()
    joined = theme.panels(charts, width=width, shared=("color",), size=size)
    return theme.finished(joined, dark=dark, description=text, size=size, note=" ".join(notes))


def mask(
    frame: pd.DataFrame,
    *,
    panel: str = "panel",
    array: str = "array",
    dark: bool = False,
    size: Size = "full",
    description: str = "",
) -> Any:
    """Boolean masks of any shape as the share that survives in each cell; a panel's title ends with the share of the whole."""
    shares = [f"{title} · {100 * np.mean(value):.3g}% left" for title, value in zip(frame[panel], frame[array], strict=True)]
    return heatmap(
        frame.assign(**{panel: shares}), panel=panel, array=array, value_title="Surviving share", limits=(0.0, 1.0), format=".0%",
        x_title="Input", y_title="Output", dark=dark, size=size, description=description or "Pruning masks",
    )  # fmt: skip


def histogram(
    frame: pd.DataFrame,
    *,
    panel: str = "panel",
    array: str = "array",
    colour: str = "",
    keys: Sequence[Key] = (),
    bins: int = 48,
    x_title: str = "Value",
    dark: bool = False,
    size: Size = "full",
    description: str = "",
) -> Any:
    """Distributions of arrays' entries on shared bins, a panel a value of `panel`; arrays of one panel and colour are pooled."""
    frame = frame.assign(**{panel: frame[panel].astype(str)})
    frame, tints = theme.named(frame.assign(_all="all"), colour or "_all", keys if colour else [Key("all", "all", "method")], dark)
    titles = list(dict.fromkeys(frame[panel]))
    titles = [titles[i] for i in evenly(len(titles), PANELS[size])]
    entries = {
        (title, key): np.concatenate([np.asarray(value, dtype=float).ravel() for value in rows[array]])
        for (title, key), rows in frame[frame[panel].isin(titles)].groupby([panel, "key"], sort=False)
    }
    finite = np.concatenate([values[np.isfinite(values)] for values in entries.values()])
    hidden = sum(int((~np.isfinite(values)).sum()) for values in entries.values())
    edges = np.histogram_bin_edges(finite, bins=bins)
    charts = []
    for title in titles:
        rows = pd.concat([_steps(entries[title, key], edges).assign(key=key) for key in tints if (title, key) in entries])
        height = (190 if len(titles) > 1 else 260) if size == "full" else 100
        charts.append(theme.framed(_distribution(rows, tints, x_title, size), height, title if len(titles) > 1 else "", size))
    note = f"{theme.counted(hidden, 'entry is', 'entries are')} not finite, and left out." if hidden else ""
    text = f"{description or f'Histograms of {x_title}'}. Panels: {'; '.join(titles)}. {note}".strip()
    chart = charts[0] if len(charts) == 1 else theme.panels(charts, size=size)
    return theme.finished(chart, dark=dark, description=text, size=size, note=note)


def phase(
    frame: pd.DataFrame,
    x: Axis,
    y: Axis,
    value: Axis,
    *,
    facet: str = "",
    facet_keys: Sequence[Key] = (),
    best: str = "",
    diverging: bool = False,
    dark: bool = False,
    size: Size = "full",
    description: str = "",
) -> Any:
    """A quantity over a grid of two parameters: a cell is the mean over its rows (seeds), its edges lie between neighbours.

    Args:
        best: "min" or "max" rings the best cell of each column.
    """
    frame = frame[x.allowed(frame[x.field]) & y.allowed(frame[y.field])]
    parts = split(frame, facet, facet_keys, size)
    means = [rows.groupby([x.field, y.field], as_index=False)[value.field].mean() for _, rows in parts]
    finite = np.concatenate([rows[value.field].to_numpy(float) for rows in means])
    scale = _colour_scale(finite[np.isfinite(finite)], diverging, value.domain, dark)
    title = None if size == "card" else value.name
    colour = alt.Color("value:Q", title=title, scale=scale, legend=_gradient(value.format) if size == "full" else None)
    width = theme.panel_width(len(parts))
    charts = []
    for (name, _), rows in zip(parts, means, strict=True):
        chart = _grid(rows, x, y, value, colour, best, dark, size)
        charts.append(theme.framed(chart, width * 0.85 if size == "full" else 100, name, size))
    text = f"{description or f'{value.name} over {x.name} and {y.name}'}." + (f" Rings: {best} of each column." if best else "")
    joined = theme.panels(charts, width=width, size=size)
    note = f"Rings mark the {'lowest' if best == 'min' else 'highest'} cell of each column." if best else ""
    return theme.finished(joined, dark=dark, description=text, size=size, note=note)


def as_matrix(array: Any) -> np.ndarray:
    """Any array in two dimensions: a vector is one row; beyond two, all axes after the first are laid side by side."""
    values = np.asarray(array, dtype=float)
    return values.reshape(1, -1) if values.ndim < 2 else values.reshape(values.shape[0], -1)


def cells_of(matrix: np.ndarray, side: int = CELLS) -> pd.DataFrame:
    """A matrix as cells of at most side x side: rows top to bottom (y, to y2) and left to right (x, to x2), value the block's mean.

    Entry (i, j) is a cell around x = j, y = i, from j - 0.5 to j + 0.5.
    Entries that are not finite are left out of a mean; a block without any other has the value NaN.
    """
    rows, columns = (_edges(length, side) for length in matrix.shape)
    good = np.isfinite(matrix)
    sums, counts = (_blocks(part, rows, columns) for part in (np.where(good, matrix, 0.0), good.astype(float)))
    with np.errstate(invalid="ignore", divide="ignore"):
        means = sums / counts
    top, left = np.meshgrid(np.arange(len(rows) - 1), np.arange(len(columns) - 1), indexing="ij")
    return pd.DataFrame({
        "x": columns[left.ravel()] - 0.5, "x2": columns[left.ravel() + 1] - 0.5, "y": rows[top.ravel()] - 0.5,
        "y2": rows[top.ravel() + 1] - 0.5, "value": means.ravel(),
    })  # fmt: skip


def evenly(count: int, limit: int) -> list[int]:
    """At most `limit` of `count` positions, spread evenly, first and last among them.

    >>> evenly(10, 4), evenly(3, 4)
    ([0, 3, 6, 9], [0, 1, 2])
    """
    return list(range(count)) if count <= limit else np.linspace(0, count - 1, limit).round().astype(int).tolist()


def _edges(length: int, side: int) -> np.ndarray:
    return np.unique(np.round(np.linspace(0, length, min(length, side) + 1)).astype(int))


def _blocks(matrix: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    return np.add.reduceat(np.add.reduceat(matrix, rows[:-1], axis=0), columns[:-1], axis=1)


def _colour_scale(finite: np.ndarray, diverging: bool, limits: tuple[float, float] | None, dark: bool) -> alt.Scale:
    chosen = theme.palette(dark)
    low, high = limits or ((float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0))
    if diverging:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    if low == high:
        low, high = low - 0.5, high + 0.5
    stops = chosen.diverging if diverging else chosen.ramp
    return alt.Scale(domain=[theme.round_to(end) for end in np.linspace(low, high, len(stops))], range=list(stops), clamp=True)


def _gradient(format: str) -> alt.Legend:
    return alt.Legend(gradientLength=180, gradientThickness=10, titleOrient="top", format=format or ".3~r", tickCount=4, offset=14)


def _ink(values: pd.Series, scale: alt.Scale) -> list[str]:
    """Black or white for the numbers on cells, whichever stands out from the cell."""
    ends, stops = np.array(scale["domain"], dtype=float), scale["range"]
    channels = np.array([[int(stop[i : i + 2], 16) / 255 for i in (1, 3, 5)] for stop in stops])
    mixed = np.stack([np.interp(np.nan_to_num(values.to_numpy(float)), ends, channel) for channel in channels.T], axis=1)
    return ["#1B1F26" if brightness > 0.3 else "#FFFFFF" for brightness in (mixed**2.2) @ [0.2126, 0.7152, 0.0722]]


def _cells(
    rows: pd.DataFrame,
    colour: alt.Color,
    x_title: str,
    y_title: str,
    value_title: str,
    format: str,
    size: Size,
    ink: list[str] | None,
) -> Any:
    ends = {name: [float(rows[name].min()), float(rows[f"{name}2"].max())] for name in ("x", "y")}
    axis = alt.Axis(grid=False, domain=False, tickCount=4, tickMinStep=1, format="d") if size == "full" else None
    titles = (x_title, y_title) if size == "full" else (None, None)
    across = alt.X("x:Q", title=titles[0], axis=axis, scale=alt.Scale(domain=ends["x"], nice=False))
    down = alt.Y("y:Q", title=titles[1], axis=axis, scale=alt.Scale(domain=ends["y"], nice=False, reverse=True))
    whole = len(rows) == (ends["x"][1] - ends["x"][0]) * (ends["y"][1] - ends["y"][0])
    rows = rows.assign(row=_span(rows, "y", whole), column=_span(rows, "x", whole))
    hints = [
        alt.Tooltip("row:N", title=y_title),
        alt.Tooltip("column:N", title=x_title),
        theme.tooltip("value", value_title, format),
    ]
    reach = rows.assign(
        **{f"{name}2": rows[f"{name}2"] + 0.15 * (rows[f"{name}2"] - rows[name]) for name in ("x", "y")}
    )  # the next cell covers the seam
    chart = (
        alt.Chart(reach)
        .mark_rect(clip=True, invalid="show")
        .encode(x=across, x2=alt.X2("x2:Q"), y=down, y2=alt.Y2("y2:Q"), color=colour)
    )
    chart = chart.encode(tooltip=hints) if size == "full" else chart
    if ink is None:
        return theme.Layered([chart])
    middle = rows.assign(x=(rows["x"] + rows["x2"]) / 2, y=(rows["y"] + rows["y2"]) / 2, ink=ink)[rows["value"].notna()]
    largest = rows["value"].abs().max()
    text = alt.Text("value:Q", format=format or (".2f" if largest < 10 else ".1f" if largest < 100 else ".2~s"))
    numbers = [
        alt.Chart(part).mark_text(fontSize=9.5, color=tint).encode(x=across, y=down, text=text)
        for tint, part in middle.groupby("ink")
    ]
    return theme.Layered([chart, *numbers])


def _span(rows: pd.DataFrame, name: str, whole: bool) -> list[str]:
    """The entries of each cell, as its tooltip says them."""
    first, last = (rows[name] + 0.5).astype(int), (rows[f"{name}2"] - 0.5).astype(int)
    return [f"{low}" if whole else f"{low} to {high}" for low, high in zip(first, last, strict=True)]


def _picture_height(shape: tuple[int, ...], width: int, size: Size) -> float:
    """Cells as square as a height between a strip and a portrait allows."""
    if size == "card":
        return 104
    return float(np.clip(width * shape[0] / shape[1], 56, 1.4 * width))


def _steps(values: np.ndarray, edges: np.ndarray) -> pd.DataFrame:
    counts, _ = np.histogram(values[np.isfinite(values)], bins=edges)
    share = counts / max(counts.sum(), 1)
    return pd.DataFrame(
        {"x": edges, "x2": np.append(edges[1:], edges[-1]), "y": np.append(share, share[-1]), "count": np.append(counts, 0)}
    )


def _distribution(rows: pd.DataFrame, tints: dict[str, str], x_title: str, size: Size) -> alt.Chart:
    legend = theme.legend_of(list(tints), size)
    across, up = (Axis("x", x_title), Axis("y", "Share of entries", format=".0%"))
    hints = [
        alt.Tooltip("key:N", title="Colour"),
        theme.tooltip("x", "From"),
        theme.tooltip("x2", "to"),
        alt.Tooltip("count:Q", title="Entries"),
    ]
    area = alt.Chart(theme.compact(rows)).mark_area(interpolate="step-after", fillOpacity=0.22, line={"strokeWidth": 1.6})
    x_of, y_of = theme.x_channel(across, rows["x"], size), theme.y_channel(up, rows["y"], size)
    y_of["scale"] = alt.Scale(zero=True, nice=False)
    area = area.encode(x=x_of, y=y_of, color=theme.colour_of(tints, legend))
    return area.encode(y=y_of.stack(None), tooltip=hints) if size == "full" else area.encode(y=y_of.stack(None))


def _grid(rows: pd.DataFrame, x: Axis, y: Axis, value: Axis, colour: alt.Color, best: str, dark: bool, size: Size) -> Any:
    cells = rows.rename(columns={value.field: "value"})
    for axis, name in ((x, "x"), (y, "y")):
        edges = _between(np.unique(rows[axis.field].to_numpy(float)), axis)
        at = np.searchsorted(np.unique(rows[axis.field].to_numpy(float)), rows[axis.field].to_numpy(float))
        cells = cells.assign(**{name: edges[at], f"{name}2": edges[at + 1], f"{name}0": rows[axis.field].astype(float)})
    across, up = theme.x_channel(x, rows[x.field], size), theme.y_channel(y, rows[y.field], size)
    for channel, axis, name in ((across, x, "x"), (up, y, "y")):
        ends = [float(cells[name].min()), float(cells[f"{name}2"].max())]
        kind: Literal["log", "linear"] = "log" if axis.log else "linear"
        channel["scale"] = alt.Scale(type=kind, domain=ends, nice=False, reverse=axis.reverse)
    hints = [
        theme.tooltip("x0", x.name, x.format, 6),
        theme.tooltip("y0", y.name, y.format, 6),
        theme.tooltip("value", value.name, value.format),
    ]
    chart = alt.Chart(theme.compact(cells[["x", "x2", "y", "y2", "x0", "y0", "value"]])).mark_rect(
        stroke=theme.palette(dark).background, strokeWidth=1, invalid="show"
    )
    layers = [
        chart.encode(
            x=across, x2=alt.X2("x2:Q"), y=up, y2=alt.Y2("y2:Q"), color=colour, tooltip=hints if size == "full" else alt.Undefined
        )
    ]
    if best:
        sign = 1 if best == "min" else -1
        chosen = cells.loc[(sign * cells["value"]).groupby(cells["x0"]).idxmin().dropna()]
        ring = alt.Chart(theme.compact(chosen[["x0", "y0"]])).mark_point(
            size=70, strokeWidth=2, color=theme.palette(dark).text, filled=False
        )
        layers.append(ring.encode(x=alt.X("x0:Q"), y=alt.Y("y0:Q")))
    return theme.Layered(layers)


def _between(values: np.ndarray, axis: Axis) -> np.ndarray:
    """Edges of cells around sorted values, half-way to the neighbours on the axis's own scale."""
    at = axis.scaled(values)
    if len(at) == 1:
        return axis.unscaled(np.array([at[0] - 0.5, at[0] + 0.5]))
    middles = (at[1:] + at[:-1]) / 2
    return axis.unscaled(np.concatenate([[2 * at[0] - middles[0]], middles, [2 * at[-1] - middles[-1]]]))
