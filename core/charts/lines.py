"""Curves: the mean over seeds with its interval, alone, in panels, or stacked over a shared x axis."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from core.charts import theme
from core.charts.summary import Curves, mean_interval, over_seeds
from core.charts.theme import Axis, Key, Size

POINTS = {"full": 300, "card": 80}
MARKED = 24  # curves of at most so many x values show them as dots
DASHES = ([1, 0], [5, 4])
BREAK_ROW = 11  # pixels between the crosses of different curves


@dataclass(frozen=True)
class _Layers:
    """What one panel shows: rows of all its curves, and the horizontal rules."""

    mean: pd.DataFrame
    single: pd.DataFrame
    breaks: pd.DataFrame
    rules: pd.DataFrame


def lines(
    frame: pd.DataFrame,
    x: Axis,
    y: Axis,
    *,
    colour: str = "arm",
    keys: Sequence[Key] = (),
    facet: str = "",
    facet_keys: Sequence[Key] = (),
    dashed: Sequence[Any] = (),
    rule: Any = None,
    seed: str = "seed",
    dark: bool = False,
    size: Size = "full",
    legend: Sequence[Any] = (),
    labelled: bool = True,
    description: str = "",
) -> Any:
    """Curves with the mean over seeds and its 95% t-interval as a band.

    Where a value is not finite (or not positive, on a log axis) in any seed, the mean has a gap, and a cross at the top says
    where it starts. Where only some seeds have got so far, each is drawn by itself, thinly.

    Args:
        frame: one row a point: the columns of x, y, `colour`, `facet` and `seed`.
        keys: what the values of `colour` are called and stand for, in the legend's order; rows of other values are left out.
        dashed, rule: values of `colour` drawn in dashes; drawn as a horizontal line at their mean over x.
        legend: values of `colour` that the legend has even without data here, as charts of one `stack` need.
        labelled: whether the x axis has labels and a title.

    Returns:
        a layered chart, or panels of them that wrap.
    """
    keys = keys or theme.keys_of(frame[colour], reference=dashed)
    frame, tints = theme.named(frame, colour, keys, dark, also=legend)
    recorded = set(frame.loc[y.allowed(frame[y.field]), "key"].unique())
    titles = {key.value: key.title for key in keys}
    listed = recorded | {titles[value] for value in legend if value in titles}
    frame, tints = frame[frame["key"].isin(recorded)], {title: tint for title, tint in tints.items() if title in listed}
    dashes = {titles[value] for value in dashed if value in titles}
    look = _Look(x, y, tints, titles.get(rule), dashes, dark, size, labelled, _legend_title(keys, colour))
    parts = split(frame, facet, facet_keys, size)
    charts = []
    for number, (title, rows) in enumerate(parts):
        chart = _panel(_summarise(rows, look, seed), look, f"hover_{number}_{re.sub(r'[^a-zA-Z0-9]', '_', y.field)}")
        charts.append(theme.framed(chart, _height(size, len(parts)), title))
    named = ", ".join(tints)
    text = description or f"Lines of {y.heading(frame[y.field])} against {x.heading(frame[x.field])}"
    text = f"{text}. {f'One line each for {named}: ' if named else ''}mean over seeds, band: 95% t-interval."
    chart = charts[0] if len(charts) == 1 else theme.panels(charts, size=size)
    return theme.finished(chart, dark=dark, description=text, size=size)


def stack(charts: Sequence[Any], *, dark: bool = False, size: Size = "full", description: str = "") -> Any:
    """Charts made by `lines` one above the other with one x axis and one legend; show it with width="stretch"."""
    for chart in charts:
        if not isinstance(chart, theme.Joined):  # panels keep their height
            chart.height = 190 if size == "full" else 120 // len(charts)
    joined = theme.Joined("vconcat", tuple(charts), ("x", "color", "fill", "strokeDash"), spacing=26 if size == "full" else 8)
    text = description or " Below it: ".join(chart.description for chart in charts)
    return theme.finished(joined, dark=dark, description=text, size=size)


def split(frame: pd.DataFrame, facet: str, keys: Sequence[Key], size: Size, limit: int = 12) -> list[tuple[str, pd.DataFrame]]:
    """The rows of each panel with its title, in order; a card has the first two or three at most."""
    if not facet:
        return [("", frame)]
    keys = keys or theme.keys_of(frame[facet])
    parts = []
    for key in keys:
        rows = frame[frame[facet] == key.value]
        if len(rows):
            number = key.role == "level" and not isinstance(key.value, str)
            parts.append((f"{facet.replace('_', ' ').capitalize()} {key.title}" if number else key.title, rows))
    return parts[: 2 if size == "card" else limit]


@dataclass(frozen=True)
class _Look:
    """How a chart's panels are drawn; `colours` by title, in the legend's order."""

    x: Axis
    y: Axis
    colours: dict[str, str]
    rule: str | None
    dashed: set[str]
    dark: bool
    size: Size
    labelled: bool
    legend_title: str | None


def _summarise(frame: pd.DataFrame, look: _Look, seed: str) -> _Layers:
    x, y = look.x, look.y
    curves: dict[str, Curves] = {
        key: over_seeds(rows, x, y, seed, POINTS[look.size]) for key, rows in frame.groupby("key", sort=False) if key != look.rule
    }
    mean, single, breaks = (
        _joined({key: getattr(found, name) for key, found in curves.items()}) for name in ("mean", "single", "breaks")
    )
    ruled = frame[frame["key"] == look.rule]
    each = y.scaled(ruled[y.allowed(ruled[y.field])].groupby(seed)[y.field].mean())
    rules = pd.DataFrame({"key": [], "y": [], "low": [], "high": []})
    if len(each):
        centre, low, high = (float(y.unscaled(end)) for end in mean_interval(each))
        rules = pd.DataFrame({"key": [look.rule], "y": [centre], "low": [low], "high": [high]})
    return _Layers(mean, single, breaks, rules)


def _joined(frames: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """The rows of all curves, with the column `key`."""
    some = {key: frame for key, frame in frames.items() if len(frame)}
    if not some:
        return pd.DataFrame({column: [] for column in ("key", "x", "y", "low", "bottom", "top", "piece")})
    keys = np.repeat(list(some), [len(frame) for frame in some.values()])
    return pd.concat(list(some.values()), ignore_index=True).assign(key=keys)


def _panel(layers: _Layers, look: _Look, hover: str) -> Any:
    alone = layers.mean.groupby(["key", "piece"])["x"].transform("size") == 1
    mean, single, size = theme.compact(layers.mean.assign(alone=alone)), theme.compact(layers.single), look.size
    x_values = pd.concat([mean["x"], single["x"], layers.breaks["x"]])
    y_values = pd.concat([mean["y"], mean["bottom"].dropna(), mean["top"].dropna(), single["y"], layers.rules["y"]])
    across = theme.x_channel(look.x, x_values, size, labelled=look.labelled)
    up = theme.y_channel(look.y, y_values, size)
    tints = {title: tint for title, tint in look.colours.items() if title != look.rule}
    legend = theme.legend_of(list(tints), size, look.legend_title, symbolType="stroke")
    colour = theme.colour_of(tints, legend)
    base = alt.Chart(mean).encode(x=across, y=up, color=colour, detail=alt.Detail("piece:N"))
    line = base.mark_line(strokeWidth=2.2 if size == "full" else 1.8, strokeCap="round", strokeJoin="round")
    if look.dashed:
        dashes = alt.Scale(domain=list(tints), range=[DASHES[title in look.dashed] for title in tints])
        line = line.encode(strokeDash=alt.StrokeDash("key:N", scale=dashes, legend=legend))
    drawn: list[Any] = []
    if mean["low"].notna().any():
        band = (
            alt.Chart(mean)
            .mark_area(opacity=0.16)
            .encode(x=across, fill=theme.fill_of(tints, legend), detail=alt.Detail("piece:N"))
        )
        drawn.append(band.encode(y=theme.y_channel(look.y, y_values, size, "bottom"), y2=alt.Y2("top:Q")))
    drawn.append(line)
    if len(single):
        thin = alt.Chart(single).mark_line(strokeWidth=1, opacity=0.6)
        drawn.append(thin.encode(x=across, y=up, color=colour, detail=[alt.Detail("seed:N"), alt.Detail("piece:N")]))
    drawn += _rules(layers.rules, up, look) + _breaks(layers.breaks, across, look)
    return theme.Layered(drawn + _dots(mean, across, up, colour, look, hover))


def _dots(mean: pd.DataFrame, across: alt.X, up: alt.Y, colour: alt.Color, look: _Look, hover: str) -> list[alt.Chart]:
    """Dots at the values of x where there are few, else at lone points and under the pointer; with the numbers on hover."""
    few = mean["x"].nunique() <= MARKED
    if look.size == "card":
        chosen = mean if few else mean[mean["alone"]]
        return (
            [alt.Chart(chosen).mark_point(filled=True, size=18, opacity=1).encode(x=across, y=up, color=colour)]
            if len(chosen)
            else []
        )
    x, y = look.x, look.y
    near = alt.selection_point(name=hover, nearest=True, on="pointerover", clear="pointerout", empty=False)
    pointed = alt.when(near | alt.datum.alone).then(alt.value(1)).otherwise(alt.value(0))
    visible = alt.OpacityValue(1) if few else alt.OpacityValue(**pointed)
    hints = [
        alt.Tooltip("key:N", title="Curve"),
        theme.tooltip("x", x.name, x.format, digits=6),
        theme.tooltip("y", f"{'Geometric mean' if y.log else 'Mean'}: {y.name}", y.format),
        theme.tooltip("low", "95% interval, from", y.format),
        theme.tooltip("high", "to", y.format),
        alt.Tooltip("n:Q", title="Seeds"),
    ]
    # Named, because Altair would name it after its data, and Streamlit would build the view anew with every new point.
    dots = alt.Chart(mean, name=f"view_of_{hover}").mark_point(filled=True, size=44)
    return [dots.encode(x=across, y=up, color=colour, opacity=visible, tooltip=hints).add_params(near)]


def _rules(rules: pd.DataFrame, up: alt.Y, look: _Look) -> list[alt.Chart]:
    """A horizontal line over the whole width with its interval, and its name at the right end."""
    if rules.empty:
        return []
    tint = look.colours[str(look.rule)]
    base = alt.Chart(theme.compact(rules)).encode(y=up)
    drawn = [base.mark_rule(color=tint, strokeWidth=1.6, strokeDash=[2, 3])]
    if rules["low"].notna().all():
        drawn.insert(0, base.mark_rect(color=tint, opacity=0.12).encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q")))
    if look.size == "full":
        words: dict[str, Any] = {"align": "right", "baseline": "bottom", "dy": -4, "dx": -2, "fontSize": 12}
        at, paper = base.encode(x=alt.XValue("width"), text=alt.Text("key:N")), theme.palette(look.dark).background
        drawn += [at.mark_text(**words, stroke=paper, strokeWidth=3, color=paper), at.mark_text(**words, color=tint)]
    return drawn


def _breaks(breaks: pd.DataFrame, across: alt.X, look: _Look) -> list[alt.Chart]:
    """Crosses at the top of the picture, a row a curve."""
    hints = [
        alt.Tooltip("key:N", title="Curve"),
        alt.Tooltip("reason:N", title="From here"),
        alt.Tooltip("seeds:Q", title="Seeds"),
        alt.Tooltip("n:Q", title="of"),
        theme.tooltip("x", look.x.name, look.x.format, digits=6),
    ]
    size = 40 if look.size == "full" else 20
    cross: dict[str, Any] = {"shape": "M-1,-1L1,1M-1,1L1,-1", "size": size, "strokeWidth": 2, "filled": False, "opacity": 1}
    drawn = []
    for row, title in enumerate(look.colours):
        rows = breaks[breaks["key"] == title]
        if len(rows):
            chart = alt.Chart(theme.compact(rows)).mark_point(**cross, color=look.colours[title])
            chart = chart.encode(x=across, y=alt.YValue(6 + BREAK_ROW * row))
            drawn.append(chart.encode(tooltip=hints) if look.size == "full" else chart)
    return drawn


def _height(size: Size, count: int) -> int:
    if size == "card":
        return 116 if count == 1 else 100
    return 300 if count == 1 else 190


def _legend_title(keys: Sequence[Key], colour: str) -> str | None:
    bare = all(key.role == "level" and not isinstance(key.value, str) for key in keys)
    return colour.replace("_", " ") if bare else None
