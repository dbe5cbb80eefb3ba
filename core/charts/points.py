"""Dots: a scatter with fitted lines, power laws with their bands, embeddings in two dimensions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core.charts import theme
from core.charts.lines import split
from core.charts.summary import t_975
from core.charts.theme import Axis, Key, Size

DOTS = {"full": 2400, "card": 300}  # in one picture: a browser takes seconds for more
SEGMENT_COLUMNS = ["x", "y", "x2", "y2"]


def points(
    frame: pd.DataFrame,
    x: Axis,
    y: Axis,
    *,
    colour: str = "arm",
    keys: Sequence[Key] = (),
    shape: str = "",
    shape_keys: Sequence[Key] = (),
    facet: str = "",
    facet_keys: Sequence[Key] = (),
    fit: bool = False,
    segments: pd.DataFrame | None = None,
    dark: bool = False,
    size: Size = "full",
    description: str = "",
) -> Any:
    """Dots, one a row, coloured and shaped by `colour` (shaped by `shape` where it is given).

    Args:
        fit: a straight line per colour, by least squares on the axes' own scales; on two log axes the legend gives its slope.
        segments: lines over the dots, with columns x, y, x2, y2, and the one that `facet` names.

    Returns:
        a layered chart, or panels of them that wrap.
    """
    frame, tints = theme.named(frame, colour, keys or theme.keys_of(frame[colour]), dark)
    good = x.allowed(frame[x.field]) & y.allowed(frame[y.field])
    frame, hidden = frame[good], int((~good).sum())
    if fit and not facet and x.log and y.log:
        slopes = {key: fit_line(x.scaled(rows[x.field]), y.scaled(rows[y.field])).slope for key, rows in frame.groupby("key")}
        titles = {key: f"{key}, slope {theme.label(round(slope, 2))}" for key, slope in slopes.items() if math.isfinite(slope)}
        frame = frame.assign(key=[titles.get(key, key) for key in frame["key"]])
        tints = {titles.get(key, key): tint for key, tint in tints.items()}
    frame = frame.assign(shape=frame[shape].map(theme.label)) if shape else frame
    shapes = [key.title for key in shape_keys or theme.keys_of(frame[shape])] if shape else list(tints)
    parts = split(frame, facet, facet_keys, size)
    limit = DOTS[size] // max(len(parts), 1)
    charts = []
    for title, rows in parts:
        drawn = sampled(rows, x.field, y.field, limit)
        layers = [_dots(drawn, x, y, colour, tints, shape, shapes, size)]
        if fit:
            layers.append(_fits(rows, x, y, tints, size))
        if segments is not None and len(segments):
            own = segments[segments[facet].isin(set(rows[facet]))] if facet in segments else segments
            layers.append(_segments(own, x, y, dark, size))
        charts.append(theme.framed(theme.Layered(layers), _height(size, len(parts)), title))
    text = description or f"Dots of {y.heading(frame[y.field])} against {x.heading(frame[x.field])}"
    text = f"{text}. Colours and shapes: {', '.join(tints)}." + (
        " Lines are least-squares fits on the axes' scales." if fit else ""
    )
    note = "" if hidden == 0 else f"{theme.counted(hidden, 'row is', 'rows are')} not finite, or not on a log axis, and left out. "
    note += f"At most {limit:,} dots are drawn in a panel, chosen evenly." if any(len(rows) > limit for _, rows in parts) else ""
    chart = charts[0] if len(charts) == 1 else theme.panels(charts, size=size, shared=("x", "y", "color", "shape"))
    return theme.finished(chart, dark=dark, description=text, size=size, note=note.strip())


def scaling(
    frame: pd.DataFrame,
    x: Axis,
    y: Axis,
    *,
    colour: str = "arm",
    keys: Sequence[Key] = (),
    held_out: str = "",
    dark: bool = False,
    size: Size = "full",
    description: str = "",
) -> Any:
    """A power law per colour on two log axes: its line with the 95% band of the mean, and its exponent in the legend.

    Args:
        held_out: a boolean column; its rows are drawn as rings and not fitted, and the line reaches to them in dashes.
    """
    x, y = replace(x, log=True), replace(y, log=True)
    frame, tints = theme.named(frame, colour, keys or theme.keys_of(frame[colour]), dark)
    frame = frame[x.allowed(frame[x.field]) & y.allowed(frame[y.field])]
    frame = pd.DataFrame(
        {"x": frame[x.field], "y": frame[y.field], "key": frame["key"], "held": frame[held_out].astype(bool) if held_out else False}
    )
    laws, titles = [], {}
    for key, rows in frame.groupby("key", sort=False):
        fitted = rows[~rows["held"]]
        line = fit_line(np.log(fitted["x"]), np.log(fitted["y"]))
        if math.isfinite(line.slope):
            titles[key] = (
                f"{key}, exponent {line.slope:.2f} [{line.slope - line.margin:.2f}, {line.slope + line.margin:.2f}]".replace(
                    "-", "−"
                )
            )
            laws.append(_law(line, fitted["x"].max(), rows["x"]).assign(key=titles[key]))
    frame = frame.assign(key=[titles.get(key, key) for key in frame["key"]])
    tints = {titles.get(key, key): tint for key, tint in tints.items()}
    law = pd.concat(laws) if laws else pd.DataFrame({name: [] for name in ("x", "y", "low", "high", "beyond", "key")})
    legend = theme.legend_of(list(tints), size, symbolType="stroke")
    tint, fill = theme.colour_of(tints, legend), theme.fill_of(tints, legend)
    across, up = theme.x_channel(x, frame["x"], size), theme.y_channel(y, frame["y"], size)
    base = alt.Chart(theme.compact(law)).encode(x=across)
    layers = [
        base.mark_area(opacity=0.16).encode(y=theme.y_channel(y, frame["y"], size, "low"), y2=alt.Y2("high:Q"), fill=fill),
        base.transform_filter("!datum.beyond").mark_line(strokeWidth=2).encode(y=up, color=tint),
        base.transform_filter("datum.beyond").mark_line(strokeWidth=2, strokeDash=[5, 4]).encode(y=up, color=tint),
    ]
    hints = [alt.Tooltip("key:N", title="Law"), theme.tooltip("x", x.name, x.format, 6), theme.tooltip("y", y.name, y.format)]
    for held in (False, True):
        rows = theme.compact(sampled(frame[frame["held"] == held], "x", "y", DOTS[size]))
        dots = alt.Chart(rows).mark_point(filled=not held, size=90 if held else 42, strokeWidth=2, opacity=1)
        layers += [dots.encode(x=across, y=up, color=tint, tooltip=hints)] if len(rows) else []
    text = f"{description or f'{y.name} against {x.name}, both on log scales'}. Power laws with 95% bands: {'; '.join(tints)}."
    text += " Rings are held out of the fits." if held_out else ""
    note = "Rings are held out of the fits; dashes extend the lines to them." if held_out else ""
    return theme.finished(theme.framed(theme.Layered(layers), _height(size, 1)), dark=dark, description=text, size=size, note=note)


def embedding(
    frame: pd.DataFrame,
    *,
    panel: str = "",
    keys: Sequence[Key] = (),
    dark: bool = False,
    size: Size = "full",
    description: str = "",
) -> Any:
    """Vectors in two dimensions, a panel per value of `panel`, coloured and shaped by label; both axes of a panel have one unit.

    Args:
        frame: one row a vector: x, y (see `project`), label, and `panel`. keys: what the labels are called.
    """
    keys = keys or [Key(value, theme.label(value)) for value in sorted(frame["label"].unique())]
    frame, tints = theme.named(frame, "label", keys, dark)
    frame = frame[np.isfinite(frame["x"]) & np.isfinite(frame["y"])]
    parts = [(str(title), rows) for title, rows in frame.groupby(panel, sort=False)] if panel else [("", frame)]
    parts = parts[: 2 if size == "card" else None]
    width = theme.PANEL_WIDTH if len(parts) > 1 else 300
    limit = DOTS[size] // max(len(parts), 1)
    charts = []
    for title, rows in parts:
        drawn = sampled(rows, "x", "y", limit)
        reach = max(np.ptp(rows["x"]), np.ptp(rows["y"]), 1e-9) * 0.53
        middle = [(rows[axis].max() + rows[axis].min()) / 2 for axis in ("x", "y")]
        ends = [[theme.round_to(centre - reach), theme.round_to(centre + reach)] for centre in middle]
        across = alt.X("x:Q", axis=None, scale=alt.Scale(domain=ends[0], nice=False))
        up = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=ends[1], nice=False))
        chart = _marks(drawn, tints, list(tints), size, 26 if len(drawn) < 500 else 14).encode(x=across, y=up)
        if size == "full":
            chart = chart.encode(tooltip=[alt.Tooltip("key:N", title="Label")])
            chart.view = alt.ViewConfig(stroke=theme.palette(dark).line, cornerRadius=4)
        charts.append(theme.framed(chart, width if size == "full" else 104, title, size))
    text = f"{description or 'Vectors in their first two principal directions'}. Colours and shapes: {', '.join(tints)}."
    note = f"At most {limit:,} vectors are drawn in a panel, chosen evenly." if any(len(rows) > limit for _, rows in parts) else ""
    joined = theme.panels(charts, width=width, shared=("color", "shape"), size=size)
    return theme.finished(joined, dark=dark, description=text, size=size, note=note)


def project(vectors: np.ndarray, onto: np.ndarray | None = None) -> tuple[np.ndarray, float]:
    """Vectors in the first two principal directions of `onto` (else of their own), and the share of their variance there.

    Args:
        vectors: (n, d). onto: (m, d). A direction's sign is such that its largest entry is positive.

    Returns:
        (n, 2) coordinates and a share in [0, 1].
    """
    vectors = np.asarray(vectors, dtype=float)
    reference = vectors if onto is None else np.asarray(onto, dtype=float)
    reference = reference[np.isfinite(reference).all(1)]
    if len(reference) == 0:
        return np.full((len(vectors), 2), math.nan), math.nan
    centre = reference.mean(0)
    _, directions = np.linalg.eigh((reference - centre).T @ (reference - centre))
    directions = directions[:, ::-1][:, :2]
    directions = directions * np.sign(directions[np.abs(directions).argmax(0), range(directions.shape[1])])
    centred = vectors - centre
    plane = np.zeros((len(vectors), 2))
    plane[:, : directions.shape[1]] = centred @ directions
    spread = np.nansum((centred - np.nanmean(centred, 0)) ** 2)
    return plane, float(np.nansum((plane - np.nanmean(plane, 0)) ** 2) / spread) if spread > 0 else 1.0


@dataclass(frozen=True)
class Line:
    """A least-squares line: y = centre_y + slope (x - centre_x). `margin` is half of the slope's 95% interval."""

    centre_x: float
    centre_y: float
    slope: float
    margin: float
    noise: float  # residual standard deviation
    spread: float  # sum of squared deviations of x
    n: int

    def at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The line at x, and half of the 95% interval of the mean there (NaN where two points or fewer leave none)."""
        half = (
            t_975(self.n - 2) * self.noise * np.sqrt(1 / self.n + (x - self.centre_x) ** 2 / self.spread)
            if self.n > 2
            else math.nan
        )
        return self.centre_y + self.slope * (x - self.centre_x), half * np.ones_like(x)


def fit_line(x: np.ndarray | pd.Series, y: np.ndarray | pd.Series) -> Line:
    """Least squares; the slope is NaN for fewer than two different x."""
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    spread = float(((x - x.mean()) ** 2).sum()) if len(x) else 0.0
    if spread <= 1e-12 * max(1.0, float((x**2).sum()) if len(x) else 0.0):
        return Line(math.nan, math.nan, math.nan, math.nan, math.nan, spread, len(x))
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / spread)
    residual = y - y.mean() - slope * (x - x.mean())
    noise = math.sqrt(float((residual**2).sum()) / (len(x) - 2)) if len(x) > 2 else math.nan
    margin = t_975(len(x) - 2) * noise / math.sqrt(spread) if len(x) > 2 else math.nan
    return Line(float(x.mean()), float(y.mean()), slope, margin, noise, spread, len(x))


def sampled(frame: pd.DataFrame, x: str, y: str, limit: int) -> pd.DataFrame:
    """At most about `limit` rows: the lowest and highest of each axis, and the others spread evenly over the order of the rows."""
    if len(frame) <= limit:
        return frame
    ends = [frame[axis].to_numpy().argmin() for axis in (x, y)] + [frame[axis].to_numpy().argmax() for axis in (x, y)]
    even = np.random.default_rng(0).permutation(len(frame))[: max(limit - 4, 1)]
    return frame.iloc[np.unique(np.concatenate([ends, even]))]


def _dots(
    rows: pd.DataFrame, x: Axis, y: Axis, colour: str, tints: dict[str, str], shape: str, shapes: Sequence[str], size: Size
) -> alt.Chart:
    drawn = pd.DataFrame({"x": rows[x.field], "y": rows[y.field], "key": rows["key"]})
    if shape:
        drawn["shape"] = rows["shape"]
    if "seed" in rows:
        drawn["seed"] = rows["seed"]
    marks = _marks(drawn, tints, shapes, size, 52 if len(drawn) <= 200 else 24, shape.replace("_", " "))
    hints = [alt.Tooltip("key:N", title=colour.replace("_", " ").capitalize())]
    hints += [alt.Tooltip("shape:N", title=shape.replace("_", " ").capitalize())] if shape else []
    hints += [theme.tooltip("x", x.name, x.format, 6), theme.tooltip("y", y.name, y.format, 6)]
    hints += [alt.Tooltip("seed:Q", title="Seed")] if "seed" in drawn else []
    chart = marks.encode(x=theme.x_channel(x, rows[x.field], size), y=theme.y_channel(y, rows[y.field], size))
    return chart.encode(tooltip=hints) if size == "full" else chart


def _marks(rows: pd.DataFrame, tints: dict[str, str], shapes: Sequence[str], size: Size, area: int, title: str = "") -> alt.Chart:
    """Marks coloured by `key` and shaped by it too (one legend needs one field), or by `shape` with a legend of that title."""
    legend = theme.legend_of(list(tints), size)
    scale = alt.Scale(domain=list(shapes), range=[theme.SHAPES[i % len(theme.SHAPES)] for i in range(len(shapes))])
    below = theme.legend_of(list(shapes), size, title, orient="bottom", offset=8)  # beside the other it would not fit a phone
    marks = alt.Chart(theme.compact(rows)).mark_point(filled=True, size=area if size == "full" else 14, opacity=0.75)
    shape = alt.Shape("shape:N", scale=scale, legend=below) if title else alt.Shape("key:N", scale=scale, legend=legend)
    return marks.encode(color=theme.colour_of(tints, legend), shape=shape)


def _fits(rows: pd.DataFrame, x: Axis, y: Axis, tints: dict[str, str], size: Size) -> alt.Chart:
    ends = []
    for key, group in rows.groupby("key", sort=False):
        line = fit_line(x.scaled(group[x.field]), y.scaled(group[y.field]))
        if math.isfinite(line.slope):
            at = np.array([group[x.field].min(), group[x.field].max()], dtype=float)
            ends.append(pd.DataFrame({"x": at, "y": y.unscaled(line.at(x.scaled(at))[0]), "key": key}))
    lines = pd.concat(ends) if ends else pd.DataFrame({"x": [], "y": [], "key": []})
    chart = alt.Chart(theme.compact(lines)).mark_line(strokeWidth=2)
    return chart.encode(
        x=theme.x_channel(x, rows[x.field], size),
        y=theme.y_channel(y, rows[y.field], size),
        color=theme.colour_of(tints, theme.legend_of(list(tints), size)),
    )


def _segments(rows: pd.DataFrame, x: Axis, y: Axis, dark: bool, size: Size) -> alt.Chart:
    drawn = theme.compact(rows[SEGMENT_COLUMNS].astype(float))
    chart = alt.Chart(drawn).mark_rule(color=theme.palette(dark).text, strokeWidth=1.6, clip=True)
    across, up = theme.x_channel(x, drawn["x"], size), theme.y_channel(y, drawn["y"], size)
    return chart.encode(x=across, y=up, x2=alt.X2("x2:Q"), y2=alt.Y2("y2:Q"))


def _law(line: Line, last: float, x: pd.Series) -> pd.DataFrame:
    """The fitted line with its band, and what reaches beyond the last fitted x."""
    pieces = []
    spans = [(x.min(), last, False)] + ([(last, x.max(), True)] if x.max() > last else [])
    for low, high, beyond in spans:
        at = np.linspace(math.log(low), math.log(high), 40)
        y, half = line.at(at)
        ends = {"y": np.exp(y), "low": np.exp(y - half), "high": np.exp(y + half)}
        pieces.append(pd.DataFrame({"x": np.exp(at), **ends, "beyond": beyond}))
    return pd.concat(pieces)


def _height(size: Size, count: int) -> int:
    return 116 if size == "card" else 320 if count == 1 else 210
