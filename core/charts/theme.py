"""How every chart looks: colours by role, axes, panels that wrap, one Vega-Lite configuration for light and for dark.

Charts are made for `st.altair_chart(chart, theme=None, width="stretch")`: the background is transparent, and the colours are
those of the theme that `dark` asks for.
"""

from __future__ import annotations

import json
import math
import re
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

Size = Literal["full", "card"]
Role = Literal["baseline", "method", "other", "level", "reference"]

FONT = '"Source Sans", "Source Sans 3", "Segoe UI", "Helvetica Neue", Arial, sans-serif'
SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross", "triangle-right", "triangle-left")
PANEL_WIDTH = 232  # of the plot: with its axis it fits a phone of 360 pixels
ONLY_WIDTH = 272  # of a square picture that stands alone
PANEL_MARGIN = 58  # axis labels and the gap beside a panel
PANEL_COLUMNS = "panel_columns"
CONTAINER_WIDTH = "(containerSize()[0] > 0 ? containerSize()[0] : max(width, 640))"
CARD_WIDTH = 290
NOTE_CHARACTERS = (100, 54)  # in a line of a footnote, on a wide page and on a phone
DIGITS = 7  # significant ones, in numbers sent to the browser


@dataclass(frozen=True)
class Palette:
    """Colours of one theme. `series` are told apart with every common colour vision, and stand out from the background.

    `levels` are the stops of a ramp for ordered values drawn as lines and points, `ramp` and `diverging` for areas.
    """

    background: str
    text: str
    muted: str
    line: str
    baseline: str
    accent: str
    series: tuple[str, ...]
    levels: tuple[str, ...]
    ramp: tuple[str, ...]
    diverging: tuple[str, ...]
    holds: str
    fails: str


LIGHT = Palette(
    background="#FFFFFF",
    text="#1B1F26",
    muted="#586170",
    line="#E0E3E8",
    baseline="#7B8490",
    accent="#1F5FA8",
    series=("#DE7B2E", "#8A2F62", "#0B5A2B", "#7A6C00", "#219ED5", "#4E1D86", "#D24B58", "#656EEF"),
    levels=("#E3A02F", "#D1495B", "#7A2A7F", "#1E1B5A"),
    ramp=("#F1F4F8", "#B5CDE6", "#5D93C7", "#1F5FA8", "#0B2A52"),
    diverging=("#9A3B05", "#E0955C", "#F1F1F1", "#7FA9D4", "#1F5FA8"),
    holds="#0B7A62",
    fails="#C2410C",
)
DARK = Palette(
    background="#12151A",
    text="#E8EAED",
    muted="#A6AEB9",
    line="#2C323B",
    baseline="#A6AEB9",
    accent="#6FA8EC",
    series=("#E8822F", "#C565AB", "#2A9873", "#E6C94A", "#86E6F4", "#8A72DC", "#D0FBAE", "#A1388D"),
    levels=("#6F52C8", "#D0568C", "#F29E4C", "#F7E78A"),
    ramp=("#1C222B", "#23456F", "#3F7FCC", "#86B7F0", "#E6F1FD"),
    diverging=("#F5A56B", "#A8602A", "#262B33", "#3A6EAD", "#8FC0F7"),
    holds="#3DB899",
    fails="#F08A5D",
)


def palette(dark: bool) -> Palette:
    """The colours of the dark or the light theme."""
    return DARK if dark else LIGHT


# --- keys: what a colour stands for -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A value of the colour column, its title in the legend, and its part in the comparison, which decides its colour."""

    value: Any
    title: str
    role: Role = "other"


def keys_of(values: Iterable[Any], reference: Sequence[Any] = ()) -> list[Key]:
    """Keys for a column that nobody declared: numbers (or words around one number) are levels in order, words are others.

    Args:
        reference: values drawn against the levels, such as a limit; they come last.

    >>> [(key.title, key.role) for key in keys_of(["width 64", "width 8", "infinite"], reference=["infinite"])]
    [('width 8', 'level'), ('width 64', 'level'), ('infinite', 'reference')]
    """
    found = [value for value in pd.Series(values).unique().tolist() if not _missing(value)]
    plain = [value for value in found if value not in reference]
    numbers = [_number_within(value) for value in plain]
    words = {around for around, _ in numbers}
    ordered = len(words) == 1 and None not in words and len(plain) > 1
    if ordered:
        plain = [plain[i] for i in np.argsort([number for _, number in numbers], kind="stable")]
    keys = [Key(value, label(value), "level" if ordered else "other") for value in plain]
    return keys + [Key(value, label(value), "reference" if ordered else "other") for value in found if value in reference]


def colours(keys: Sequence[Key], dark: bool) -> dict[str, str]:
    """Title to colour: baseline grey, the method in the accent colour, others in a fixed order, levels along a ramp."""
    chosen = palette(dark)
    levels = blend(chosen.levels, sum(key.role == "level" for key in keys))
    has_roles = any(key.role in ("baseline", "method") for key in keys)
    others = chosen.series if has_roles else (chosen.accent, *chosen.series, chosen.baseline)
    schemes: dict[str, Sequence[str]] = {
        "baseline": [chosen.baseline],
        "method": [chosen.accent],
        "other": others,
        "level": levels,
        "reference": [chosen.text, chosen.muted, chosen.baseline],
    }
    found: dict[str, str] = {}
    counts = Counter[str]()
    for key in keys:
        scheme = schemes[key.role]
        found[key.title] = scheme[counts[key.role] % len(scheme)]
        counts[key.role] += 1
    return found


def blend(stops: Sequence[str], count: int) -> list[str]:
    """`count` colours spread evenly over a ramp of hexadecimal stops.

    >>> blend(["#000000", "#FFFFFF"], 3)
    ['#000000', '#808080', '#ffffff']
    """
    channels = np.array([[int(stop[i : i + 2], 16) for i in (1, 3, 5)] for stop in stops])
    at = np.linspace(0, 1, count) if count > 1 else np.full(count, 0.5)
    mixed = np.stack([np.interp(at, np.linspace(0, 1, len(stops)), channel) for channel in channels.T], axis=1)
    return ["#" + "".join(f"{int(value + 0.5):02x}" for value in colour) for colour in mixed]


def named(
    frame: pd.DataFrame, colour: str, keys: Sequence[Key], dark: bool, also: Iterable[Any] = ()
) -> tuple[pd.DataFrame, dict[str, str]]:
    """The rows that have a key, with the column `key` of titles; and the colours of the titles that occur or are those of `also`.

    Colours are given before unused keys are dropped, so that an arm has the same colour in every chart.
    """
    titles = {key.value: key.title for key in keys}
    frame = frame.assign(key=frame[colour].map(titles))
    frame = frame[frame["key"].notna()]
    present = set(frame["key"].unique()) | {titles[value] for value in also if value in titles}
    return frame, {title: tint for title, tint in colours(keys, dark).items() if title in present}


def label(value: Any) -> str:
    """A value as a legend writes it: numbers short and with a true minus."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        whole = int(value)
        return (f"{whole:,}" if abs(whole) >= 10_000 else str(whole)).replace("-", "−")
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}".replace("-", "−")
    return str(value)


def colour_of(tints: Mapping[str, str], legend: alt.Legend | None) -> alt.Color:
    """The colour channel of the column `key`."""
    return alt.Color("key:N", scale=alt.Scale(domain=list(tints), range=list(tints.values())), legend=legend)


def fill_of(tints: Mapping[str, str], legend: alt.Legend | None) -> alt.Fill:
    """The fill channel of the column `key`: with the legend of the lines over the areas, it becomes one with theirs."""
    return alt.Fill("key:N", scale=alt.Scale(domain=list(tints), range=list(tints.values())), legend=legend)


def legend_of(titles: Sequence[str], size: Size, title: str | None = None, **options: Any) -> alt.Legend | None:
    """A legend above the chart that wraps as the chart gets narrow; none on a card or for a single entry."""
    if size == "card" or len(titles) < 2:
        return None
    entry = 44 + 6.5 * max(len(text) for text in titles)
    columns = alt.ExprRef(f"max(1, floor(({CONTAINER_WIDTH} - 60) / {entry:.0f}))")
    return alt.Legend(title=title, columns=columns, symbolLimit=60, labelLimit=420, columnPadding=16, symbolOpacity=1, **options)


# --- axes ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Axis:
    """A quantity on an axis. `format` is d3's; `domain` fixes the ends, as frames of a slider need it."""

    field: str
    title: str = ""
    log: bool = False
    reverse: bool = False
    format: str = ""
    domain: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.format == "%":  # d3 would write 93.000000%
            object.__setattr__(self, "format", ".0%")

    @property
    def name(self) -> str:
        """What the axis shows, in words, without the scale, which `heading` adds."""
        words = re.sub(r"\s*\(log( scale)?\)$", "", self.title) or self.field.replace("_", " ")
        return words[0].upper() + words[1:] if re.match(r"[a-z][a-z-]+( |$)", words) else words

    def allowed(self, values: Any) -> np.ndarray:
        """Which values the axis can show."""
        numbers = np.asarray(values, dtype=float)
        return np.isfinite(numbers) & (numbers > 0) if self.log else np.isfinite(numbers)

    def scaled(self, values: Any) -> np.ndarray:
        """Values on the axis's own scale, where its ticks are even."""
        numbers = np.asarray(values, dtype=float)
        return np.log(numbers) if self.log else numbers

    def unscaled(self, values: Any) -> np.ndarray:
        """The inverse of `scaled`."""
        numbers = np.asarray(values, dtype=float)
        return np.exp(np.minimum(numbers, 700.0)) if self.log else numbers

    def heading(self, values: Any) -> str:
        """The axis title; a log axis says so, and what it cannot show."""
        if not self.log:
            return self.name
        numbers = np.asarray(values, dtype=float)
        return f"{self.name} (log scale, 0 not shown)" if (numbers == 0).any() else f"{self.name} (log scale)"


def x_channel(axis: Axis, values: Any, size: Size, field: str = "x", labelled: bool = True) -> alt.X:
    """The horizontal channel; `values` are what it will show, for its ticks."""
    options: dict[str, Any] = _ticks(axis, values, size, few=True)
    options["labelOverlap"] = "greedy"
    numbers = np.asarray(values, dtype=float)
    if len(numbers) and not axis.log and (numbers == np.round(numbers)).all():
        options["tickMinStep"] = 1  # no half steps
    if not labelled:
        options |= {"labels": False, "ticks": False}
    heading = None if size == "card" or not labelled else axis.heading(values)
    return alt.X(f"{field}:Q", title=heading, scale=_scale(axis), axis=alt.Axis(**options))


def y_channel(axis: Axis, values: Any, size: Size, field: str = "y") -> alt.Y:
    """The vertical channel; its title stands above the axis, where it takes no width from the picture."""
    options: dict[str, Any] = _ticks(axis, values, size)
    if size == "full":
        options |= {
            "titleAngle": 0,
            "titleAlign": "left",
            "titleAnchor": "end",
            "titleX": 0,
            "titleY": -10,
            "titleBaseline": "bottom",
        }
    heading = None if size == "card" else axis.heading(values)
    return alt.Y(f"{field}:Q", title=heading, scale=_scale(axis), axis=alt.Axis(**options))


def tooltip(field: str, title: str, format: str = "", digits: int = 4) -> alt.Tooltip:
    """A number in a tooltip: in its axis's format, else with so many significant digits."""
    return alt.Tooltip(f"{field}:Q", title=title, format=format or f",.{digits}~r")


def _scale(axis: Axis) -> alt.Scale:
    options: dict[str, Any] = {"type": "log" if axis.log else "linear", "zero": False, "nice": False, "padding": 8}
    if axis.log:
        options.pop("zero")
    if axis.domain is not None:
        options |= {"domain": list(axis.domain), "nice": False}
    if axis.reverse:
        options["reverse"] = True
    return alt.Scale(**options)


def _ticks(axis: Axis, values: Any, size: Size, few: bool = False) -> dict[str, Any]:
    """Ticks of a log axis: at its values where there are few, else at decades, or at 1, 2, 5 within them."""
    options: dict[str, Any] = {"tickCount": 3} if size == "card" else {} if few else {"tickCount": 5}
    if axis.format:
        options["format"] = axis.format
    if not axis.log:
        return options
    shown = np.asarray(values, dtype=float)
    shown = np.unique(shown[axis.allowed(shown)])
    if len(shown) == 0:
        return options
    short = axis.format or all(0.001 <= value < 10_000 and round_to(value, 3) == round_to(value) for value in shown)
    options["values"] = (
        [round_to(value) for value in shown] if few and len(shown) <= 8 and short else log_ticks(shown[0], shown[-1])
    )
    if size == "card" and len(options["values"]) > 4:
        options["values"] = options["values"][:: math.ceil(len(options["values"]) / 4)]
    if not axis.format:
        options["labelExpr"] = LOG_LABEL
    return options


# 0.001 to 9999 as they are, then 10k, 1M, 1B; beyond both ends, decades as powers of ten and the rest in scientific notation.
LOG_LABEL = (
    "datum.value >= 0.001 && datum.value < 10000 ? format(datum.value, '.4~r') : "
    "datum.value >= 10000 && datum.value < 1e12 ? replace(format(datum.value, '.3~s'), 'G', 'B') : "
    "abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) < 1e-9 ? "
    "'10' + replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace("
    "toString(round(log(datum.value) / LN10)), /-/g, '⁻'), /0/g, '⁰'), /1/g, '¹'), /2/g, '²'), /3/g, '³'), /4/g, '⁴'), "
    "/5/g, '⁵'), /6/g, '⁶'), /7/g, '⁷'), /8/g, '⁸'), /9/g, '⁹') : format(datum.value, '.2~g')"
)


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks from `low` to `high`, both positive: 1, 2, 5 within a decade or so, 1 and 3 within three decades, decades beyond.

    >>> log_ticks(3, 30), log_ticks(0.05, 2), log_ticks(0.05, 900)
    ([5.0, 10.0, 20.0], [0.1, 0.3, 1.0], [0.1, 1.0, 10.0, 100.0])
    """
    ratio = high / low
    steps = (1, 2, 5) if ratio < 12 else (1, 3) if ratio < 1200 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [round_to(step * 10.0**power) for power in powers for step in steps]
    inside = [tick for tick in ticks if low <= tick * (1 + 1e-9) and tick <= high * (1 + 1e-9)]
    return inside[:: math.ceil(len(inside) / 7)] if len(inside) >= 2 else [round_to(low), round_to(high)]


# --- putting charts together ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Joined:
    """Charts beside or above each other, with what Altair's own charts of charts lack.

    Panels of a `concat` wrap: Vega-Lite takes only a constant number of columns, Vega also a signal, which the compiler passes
    through. And Altair copies every part several times, which for a dozen panels takes seconds.
    """

    kind: Literal["concat", "hconcat", "vconcat"]
    charts: tuple[Any, ...]
    shared: tuple[str, ...] = ()
    spacing: Any = 20
    width: int | None = None  # of every part
    wraps: bool = False
    title: Any = None
    description: str = ""
    config: dict[str, Any] | None = None

    def to_dict(self, *args: Any, context: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
        """The Vega-Lite specification."""
        top, context = context is None, context or {"datasets": {}, "top_level": False}
        parts = [part.to_dict(validate=False, context=context) for part in self.charts]
        params = {param["name"]: param for part in parts for param in part.pop("params", [])}
        for part in parts:
            for name in ("config", "autosize", "description", "$schema"):
                part.pop(name, None)
            if self.width is not None and "vconcat" not in part:
                part["width"] = self.width
        spec = {self.kind: parts, "spacing": self.spacing, "resolve": {"scale": dict.fromkeys(self.shared, "shared")}}
        if self.wraps and self.width is not None:
            columns = f"max(1, floor(({CONTAINER_WIDTH} + 16) / {self.width + PANEL_MARGIN}))"
            params[PANEL_COLUMNS] = {"name": PANEL_COLUMNS, "expr": columns}
            spec["columns"] = {"signal": PANEL_COLUMNS}
        if self.title is not None:
            spec["title"] = self.title.to_dict()
        if params:
            spec["params"] = list(params.values())
        if top:
            nested = any(isinstance(chart, Joined) for chart in self.charts)  # which Vega cannot fit to a width
            fits = "fit-x" if self.kind == "vconcat" and not nested else "pad"
            spec |= {"$schema": alt.SCHEMA_URL, "description": self.description, "autosize": {"type": fits, "contains": "padding"}}
            spec |= {"config": self.config or {}, "datasets": context["datasets"]}
        return spec


@dataclass
class Layered:
    """Charts over one another, as alt.layer puts them together.

    That copies and hashes each of them, which was a third of the time of curves that are drawn anew every second.
    """

    layers: Sequence[Any]
    height: float | None = None
    title: Any = None
    description: str = ""
    autosize: Any = None
    config: dict[str, Any] | None = None

    def to_dict(self, *args: Any, context: dict[str, Any] | None = None, **kwargs: Any) -> dict[str, Any]:
        """The Vega-Lite specification."""
        top, context = context is None, context or {"datasets": {}, "top_level": False}
        spec: dict[str, Any] = {"layer": [layer.to_dict(validate=False, context=context) for layer in self.layers]}
        spec |= {"height": self.height} if self.height is not None else {}
        spec |= {"title": self.title.to_dict()} if self.title is not None else {}
        if top:
            spec |= {"$schema": alt.SCHEMA_URL, "description": self.description, "autosize": self.autosize.to_dict()}
            spec |= {"config": self.config or {}, "datasets": context["datasets"]}
        return spec


def panels(
    charts: Sequence[Any], width: int = PANEL_WIDTH, shared: Sequence[str] = ("x", "y", "color"), size: Size = "full"
) -> Joined:
    """Panels of one width with shared scales, as many in a row as fit; on a card all in one row."""
    if size == "card":
        return Joined("hconcat", tuple(charts), tuple(shared), spacing=12, width=(CARD_WIDTH - 34) // len(charts) - 8)
    return Joined("concat", tuple(charts), tuple(shared), spacing={"row": 26, "column": 24}, width=width, wraps=True)


def panel_width(count: int) -> int:
    """How wide the plots of square pictures are, which cannot stretch: the smaller, the more there are."""
    return ONLY_WIDTH if count <= 1 else PANEL_WIDTH if count <= 3 else 168


def counted(number: int, one: str, many: str) -> str:
    """A number with the words that go with it.

    >>> counted(1, "row is", "rows are"), counted(1200, "row is", "rows are")
    ('1 row is', '1,200 rows are')
    """
    return f"{number:,} {one if number == 1 else many}"


def footnote(note: str, dark: bool) -> alt.Title:
    """A remark below a picture, on what it leaves out or how it was reduced."""
    wide, narrow = (json.dumps(textwrap.wrap(note, characters)) for characters in NOTE_CHARACTERS)
    text = alt.ExprRef(f"{CONTAINER_WIDTH} >= 600 ? {wide} : {narrow}")
    return alt.Title(
        text, orient="bottom", anchor="start", fontSize=11.5, fontWeight="normal", offset=10, color=palette(dark).muted
    )


def framed(chart: Any, height: float, title: str = "", size: Size = "full") -> Any:
    """The chart with the height of its plot, and the title of a panel."""
    chart.height = height
    if title and size == "full":
        chart.title = alt.Title(title, anchor="start", frame="group", offset=8)
    return chart


def finished(chart: Any, *, dark: bool, description: str, size: Size = "full", note: str = "") -> Any:
    """The chart with the house's configuration and its alternative text."""
    title = footnote(note, dark) if note and size == "full" else None
    config = configuration(dark, size, joined=isinstance(chart, Joined))
    if isinstance(chart, Joined):
        return replace(chart, title=title, description=description, config=config)
    chart.description = description
    chart.autosize = alt.AutoSizeParams(type="fit-x", contains="padding")  # heights are of the plot: legends come on top
    chart.config = config
    if title is not None:
        chart.title = title
    return chart


def configuration(dark: bool, size: Size = "full", joined: bool = False) -> dict[str, Any]:
    """The Vega-Lite configuration of the house; `joined` charts keep room for axis titles by themselves."""
    chosen = palette(dark)
    label_size = 12 if size == "full" else 11
    return {
        "background": "transparent",
        "font": FONT,
        "padding": {"left": 4, "right": 10, "top": 6, "bottom": 6} if size == "full" else 2,
        "view": {
            "stroke": None,
            "continuousWidth": 620 if size == "full" else CARD_WIDTH,
            "discreteWidth": 620 if size == "full" else CARD_WIDTH,
            "continuousHeight": 300 if size == "full" else 120,
        },
        "axis": {
            "labelColor": chosen.muted, "titleColor": chosen.muted, "gridColor": chosen.line, "domainColor": chosen.line,
            "tickColor": chosen.line, "labelFontSize": label_size, "titleFontSize": 12.5, "titleFontWeight": "normal",
            "labelPadding": 5, "titlePadding": 8, "labelLimit": 220, "tickSize": 4,
        },
        "axisX": {"grid": False},
        "axisY": {"domain": False, "ticks": False, "gridWidth": 1},
        "legend": {
            "orient": "top", "labelColor": chosen.text, "titleColor": chosen.muted, "labelFontSize": 12.5, "titleFontSize": 12,
            "titleFontWeight": "normal", "symbolStrokeWidth": 2.5, "symbolSize": 160, "offset": 12 if joined else 30,
            "rowPadding": 4, "titleOrient": "left", "symbolBaseFillColor": chosen.muted, "symbolBaseStrokeColor": chosen.muted,
        },
        "title": {"color": chosen.text, "subtitleColor": chosen.muted, "fontSize": 13, "fontWeight": 600},
        "mark": {"tooltip": None},
        "text": {"color": chosen.text, "fontSize": 12},
        "scale": {"invalid": {"color": {"value": chosen.baseline}, "fill": {"value": chosen.baseline}}},
        "range": {"ramp": list(chosen.ramp), "heatmap": list(chosen.ramp), "diverging": list(chosen.diverging)},
    }  # fmt: skip


# --- numbers ------------------------------------------------------------------------------------------------------------


def round_to(value: float, digits: int = DIGITS) -> float:
    """A number with so many significant digits.

    >>> round_to(3.14159265, 3)
    3.14
    """
    return float(f"{value:.{digits - 1}e}")


def compact(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows with floats of DIGITS significant digits, which are shorter in JSON; NaN where one is not finite.

    >>> compact(pd.DataFrame({"x": [np.pi * 1e5, -2e-9 / 3, np.inf]}))["x"].tolist()
    [314159.3, -6.666667e-10, nan]
    """
    floats = frame.select_dtypes("floating").columns
    return frame.assign(**{name: _rounded(frame[name].to_numpy(float)) for name in floats})


def _rounded(values: np.ndarray) -> np.ndarray:
    """As `round_to`, all at once: a whole number of DIGITS digits over or times an exact power of ten is the nearest float."""
    size = np.abs(values)
    usual = (size > 1e-15) & (size < 1e15)
    found = np.where(np.isfinite(values), values, np.nan)
    power = DIGITS - 1 - np.floor(np.log10(size[usual]))
    up, down = 10.0 ** np.maximum(power, 0), 10.0 ** np.maximum(-power, 0)
    found[usual] = np.round(values[usual] * up / down) * down / up
    for i in np.flatnonzero(~usual & np.isfinite(values) & (values != 0)):
        found[i] = round_to(values[i])
    return found


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and np.isnan(value))


def _number_within(value: Any) -> tuple[str | None, float]:
    """The words around a value's one number, and the number; None where it has none or several."""
    if isinstance(value, (bool, np.bool_)):
        return None, 0.0
    if isinstance(value, (int, float, np.integer, np.floating)):
        return "", float(value)
    parts = re.split(r"([-−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)", str(value))
    return ("{}".join(parts[::2]), float(parts[1].replace("−", "-"))) if len(parts) == 3 else (None, 0.0)
