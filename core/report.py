"""A run as pictures: a view and a store give a chart, and a run gives one HTML page that stands alone.

figure(store, run, view)      the chart of a view; None where nothing was recorded yet
frames(store, run, view)      what its slider moves over
image(chart, "png")           a chart as a file
drawn(specification)          the numbers that a chart draws
page(store, run)              verdicts, pictures, results and provenance as one HTML file that needs no network
"""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from core import charts, tool_report
from core.charts import Axis, Key
from core.charts.matrices import evenly
from core.charts.summary import mean_interval
from core.charts.theme import CONTAINER_WIDTH, Size, palette
from core.methods import registry
from core.methods.base import (
    Bars,
    Embedding,
    Heatmap,
    Histogram,
    Images,
    Lines,
    Method,
    Points,
    Reliability,
    Stack,
    View,
)

if TYPE_CHECKING:
    from core.store import Store

CURVE_POINTS = {"full": 400, "card": 120}
ARRAYS = 12  # panels of arrays at most
TEMPLATE = Path(__file__).with_name("report.html")
X_TITLES = {"step": "step", "seconds": "seconds since the start"}


@dataclass(frozen=True)
class _Source:
    """One run and how its pictures are asked for."""

    store: Store
    run: str
    method: Method
    dark: bool
    size: Size
    frame: Any

    @property
    def look(self) -> dict[str, Any]:
        return {"dark": self.dark, "size": self.size}

    def keys(self, column: str, values: pd.Series, dashed: Sequence[str] = (), rule: str = "") -> list[Key]:
        """The legend of a column: arms as the method declares them, anything else as it comes."""
        if column == "arm":
            return arm_keys(self.method)
        keys = charts.keys_of(values, [value for value in values.unique() if str(value) in (*dashed, rule)])
        return [replace(key, role="reference") if str(key.value) == rule else key for key in keys]


def figure(
    store: Store,
    run: str,
    view: View,
    *,
    method: Method | None = None,
    dark: bool = False,
    size: Size = "full",
    frame: Any = None,
) -> Any | None:
    """The chart of a view; None where nothing was recorded for it yet.

    Args:
        method: the run's, where the caller has it. frame: the slider's value, by default the last; see `frames`.
    """
    method = method or registry.declared(_row(store, run)["slug"])
    source = _Source(store, run, method, dark, size, frame)
    match view:
        case Stack():
            return _stack(source, view)
        case Lines():
            return _lines(source, view, _curve_rows(source, view))
        case Points():
            return _points(source, view)
        case Bars():
            return _bars(source, view)
        case Heatmap():
            return _heatmap(source, view)
        case Histogram():
            return _histogram(source, view)
        case Images():
            return _images(source, view)
        case Reliability():
            return _reliability(source, view)
        case Embedding():
            return _embedding(source, view)
    raise TypeError(f"{type(view).__name__} is no view that a report can draw.")


def frames(store: Store, run: str, view: View) -> list[Any]:
    """The values that a view's slider moves over, in order; empty where it has none."""
    if isinstance(view, Points) and view.frame:
        rows = _where(store.table(run, view.table), view.where)
        return sorted(rows[view.frame].dropna().unique().tolist()) if view.frame in rows else []
    if isinstance(view, Embedding):
        return sorted(_where(_index(store, run, "embedding", view.name), view.where)["step"].unique().tolist())
    return []


def arm_keys(method: Method) -> list[Key]:
    """The arms in their order: the first is the baseline, the first of role "method" the method, all others are others."""
    first = next((arm.name for arm in method.arms if arm.role == "method"), None)
    baseline = method.arms[0].name
    return [
        Key(arm.name, arm.title, "method" if arm.name == first else "baseline" if arm.name == baseline else "other")
        for arm in method.arms
    ]


def image(chart: Any, kind: Literal["png", "svg"] = "png", *, dark: bool = False, width: int = 720, scale: float = 2.0) -> bytes:
    """A chart, or its specification, as a file on the page's background, drawn `width` pixels wide."""
    import vl_convert

    spec = sized(chart if isinstance(chart, dict) else chart.to_dict(), width) | {"background": palette(dark).background}
    if kind == "svg":
        return vl_convert.vegalite_to_svg(spec).encode()
    return vl_convert.vegalite_to_png(spec, scale=scale)


def sized(spec: dict[str, Any], width: int) -> dict[str, Any]:
    """A chart's specification for a width that is known beforehand, where no browser will tell it."""
    spec = json.loads(json.dumps(spec).replace(CONTAINER_WIDTH, str(width)))
    for part in spec.get("vconcat", [] if "concat" in spec or "hconcat" in spec else [spec]):
        part["width"] = width
    return spec


def drawn(specification: Mapping[str, Any]) -> pd.DataFrame:
    """What a chart draws, a row a mark: the columns of its data that have a place, a colour or a tooltip, in the axes' words.

    Panels are told apart by the column `panel`, and data that different marks draw by the column `drawn as`.
    """
    found: dict[tuple[str, str], _Drawn] = {}
    _collect(specification, "", "", found)
    frames = []
    for (name, panel), part in found.items():
        rows = pd.DataFrame(specification["datasets"][name])
        fields = [field for field in sorted(part.fields, key=_order) if field in rows]
        if not fields or rows.empty:
            continue
        titles = {field: title for field, title in part.titles.items() if title and title not in fields}
        shown = rows[fields].rename(columns=titles)
        shown.insert(0, "drawn as", ", ".join(part.marks))
        shown.insert(0, "panel", panel)
        frames.append(shown)
    if not frames:
        return pd.DataFrame()
    whole = pd.concat(frames, ignore_index=True)
    alike = [column for column in ("panel", "drawn as") if whole[column].nunique() == 1 and (column != "panel" or not panel)]
    mixed = [column for column in whole if whole[column].map(type).nunique() > 1 and whole[column].dtype == object]
    texts = {column: whole[column].map(str, na_action="ignore") for column in mixed}  # which Parquet keeps
    return whole.assign(**texts).drop(columns=alike)


@dataclass
class _Drawn:
    """What is drawn of a data set: fields in their order, what the axes call them, and by which marks."""

    fields: dict[str, None] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    marks: dict[str, None] = field(default_factory=dict)


HIDDEN = ("detail", "opacity", "url", "order")  # channels that show no number
SCALE = re.compile(r" \(log scale.*\)$")


def _collect(node: Mapping[str, Any], name: str, panel: str, found: dict[tuple[str, str], _Drawn]) -> None:
    """Goes through a specification's parts; each has its data from itself or from what it is in."""
    name = (node.get("data") or {}).get("name", name)
    title = node.get("title") or ""
    if isinstance(title, Mapping):
        title = title.get("text") if title.get("orient") != "bottom" else ""  # else it is a footnote
    panel = title if isinstance(title, str) and title else panel
    if "mark" in node and name:
        part = found.setdefault((name, panel), _Drawn())
        mark = node["mark"]
        part.marks[mark if isinstance(mark, str) else mark["type"]] = None
        for channel, shown in node.get("encoding", {}).items():
            for one in shown if isinstance(shown, list) else [shown]:
                if "field" in one and channel not in HIDDEN:
                    part.fields[one["field"]] = None
                    if channel in ("x", "y") and one["field"] == channel and one.get("title"):
                        part.titles[channel] = SCALE.sub("", one["title"])
    for kind in ("layer", "concat", "hconcat", "vconcat"):
        for inner in node.get(kind, ()):
            _collect(inner, name, panel, found)


def _order(field: str) -> int:
    """What it is of, then where it is, then the rest."""
    first = ("key", "row", "column", "shape", "x", "y")
    return first.index(field) if field in first else len(first)


# --- one function a kind of view --------------------------------------------------------------------------------------


def _lines(
    source: _Source,
    view: Lines,
    frame: pd.DataFrame,
    keys: Sequence[Key] = (),
    legend: Sequence[Any] = (),
    labelled: bool = True,
) -> Any | None:
    if frame.empty:
        return None
    keys = keys or source.keys(view.colour, frame[view.colour], view.dashed, view.rule)
    known = {str(key.value): key.value for key in keys}
    return charts.lines(
        frame,
        Axis(view.x, view.x_title or X_TITLES.get(view.x, ""), view.log_x, view.reverse_x, view.x_format),
        Axis(view.y, view.y_title, view.log_y, format=view.y_format),
        colour=view.colour,
        keys=keys,
        facet=view.facet,
        facet_keys=source.keys(view.facet, frame[view.facet]) if view.facet else (),
        dashed=[known[str(value)] for value in view.dashed if str(value) in known],
        rule=known.get(view.rule),
        legend=legend,
        labelled=labelled,
        description=_text(view),
        **source.look,
    )


def _stack(source: _Source, view: Stack) -> Any | None:
    found = [(inner, _curve_rows(source, inner)) for inner in view.views]
    found = [(inner, rows) for inner, rows in found if not rows.empty]
    if not found:
        return None
    if len(found) == 1:
        return _lines(source, *found[0])
    values = pd.concat([rows[inner.colour] for inner, rows in found])
    dashed = tuple(dict.fromkeys(value for inner, _ in found for value in inner.dashed))
    keys = source.keys(found[0][0].colour, values, dashed, found[0][0].rule)
    legend, last = list(values.unique()), len(found) - 1
    parts = [_lines(source, *part, keys, legend, labelled=number == last) for number, part in enumerate(found)]
    return charts.stack(parts, description=_text(view), **source.look)


def _curve_rows(source: _Source, view: Lines) -> pd.DataFrame:
    if view.table:
        frame = source.store.table(source.run, view.table)
    else:
        points = CURVE_POINTS[source.size]
        frame = source.store.curves(source.run, view.y, points, view.x, view.log_x).rename(columns={"value": view.y})
    needed = [view.x, view.y, view.colour, *([view.facet] if view.facet else [])]
    return _where(frame, view.where) if set(needed) <= set(frame) else frame.iloc[:0]


def _points(source: _Source, view: Points) -> Any | None:
    frame = _where(source.store.table(source.run, view.table), view.where)
    if frame.empty or not {view.x, view.y, view.colour} <= set(frame):
        return None
    x, y = Axis(view.x, view.x_title, view.log_x), Axis(view.y, view.y_title, view.log_y)
    legends: dict[str, Any] = {  # of all frames, so that nothing changes its colour, shape or place as the slider moves
        "keys": _categories(source, view.colour, frame[view.colour]),
        "shape_keys": charts.keys_of(frame[view.shape]) if view.shape else (),
        "facet_keys": source.keys(view.facet, frame[view.facet]) if view.facet else (),
    }
    segments = _where(source.store.table(source.run, view.segments), view.where) if view.segments else pd.DataFrame()
    if view.frame:
        chosen = frame[view.frame].max() if source.frame is None else source.frame
        x, y = (replace(axis, domain=_ends(frame[axis.field], axis)) for axis in (x, y))  # the same for every frame
        frame = frame[frame[view.frame] == chosen]
        segments = segments[segments[view.frame] == chosen] if view.frame in segments else segments
        if frame.empty:
            return None
    return charts.points(
        frame,
        x,
        y,
        colour=view.colour,
        shape=view.shape,
        facet=view.facet,
        fit=view.fit,
        **legends,
        segments=segments,
        description=_text(view),
        **source.look,
    )


def _bars(source: _Source, view: Bars) -> Any | None:
    frame = source.store.table(source.run, view.table) if view.table else source.store.results(source.run)
    frame = _where(frame, view.where)
    if frame.empty or not {view.y, view.x, view.colour} <= set(frame) or not np.isfinite(frame[view.y].astype(float)).any():
        return None
    return charts.bars(
        frame,
        Axis(view.y, view.y_title, format=view.y_format),
        x=view.x,
        x_keys=source.keys(view.x, frame[view.x]),
        colour=view.colour,
        keys=source.keys(view.colour, frame[view.colour]),
        facet=view.facet,
        facet_keys=source.keys(view.facet, frame[view.facet]) if view.facet else (),
        description=_text(view),
        **source.look,
    )


def _heatmap(source: _Source, view: Heatmap) -> Any | None:
    panels = _array_panels(source, "matrix", view.matrix, view)
    if panels.empty:
        return None
    rows, seeds = [], 0
    for panel, group in panels.groupby("panel", sort=False):
        arrays = [array for array in group["array"] if array.shape == group["array"].iloc[0].shape]
        seeds = max(seeds, len(arrays))
        rows.append({"panel": panel, "array": np.mean([np.asarray(array, dtype=float) for array in arrays], axis=0)})
    return charts.heatmap(
        pd.DataFrame(rows),
        x_title=view.x_title or "column",
        y_title=view.y_title or "row",
        value_title=view.value_title or view.matrix,
        diverging=view.diverging,
        note=f"Mean over {seeds} seeds." if seeds > 1 else "",
        description=_text(view),
        **source.look,
    )


def _histogram(source: _Source, view: Histogram) -> Any | None:
    panels = _array_panels(source, "matrix", view.matrix, view, by_arm=view.facet == "arm")
    if panels.empty:
        return None
    several = panels["arm"].nunique() > 1 and view.facet != "arm"
    return charts.histogram(
        panels,
        colour="arm" if several else "",
        keys=arm_keys(source.method),
        x_title=view.x_title or view.matrix,
        description=_text(view),
        **source.look,
    )


def _images(source: _Source, view: Images) -> Any | None:
    """A row an arm at its last step; of a lone arm, a row a step."""
    index = _where(_index(source.store, source.run, "images", view.images), view.where)
    index = index[index["seed"] == index["seed"].min()]
    arms = [key for key in arm_keys(source.method) if key.value in set(index["arm"])]
    if not arms:
        return None
    rows = []
    for key in arms:
        steps = sorted(index.loc[index["arm"] == key.value, "step"].unique())
        for step in steps if len(arms) == 1 else steps[-1:]:
            found = source.store.arrays(source.run, "images", view.images, key.value, int(index["seed"].iloc[0]), int(step))
            title = f"Step {step}" if len(arms) == 1 and len(steps) > 1 else key.title
            rows.append({"row": title, "array": found["array"].iloc[-1]})
    return charts.images(pd.DataFrame(rows), description=_text(view), **source.look)


def _reliability(source: _Source, view: Reliability) -> Any | None:
    index = _where(_index(source.store, source.run, "predictions", view.name), view.where)
    parts = []
    for (arm, seed), group in index.groupby(["arm", "seed"], sort=False):
        found = source.store.arrays(source.run, "predictions", view.name, arm, int(seed), int(group["step"].max()))
        kept = found.drop_duplicates("part", keep="last").set_index("part")["array"]
        if "logits" in kept and "labels" in kept:
            confidence, predicted = _confidence(kept["logits"])
            correct = predicted == kept["labels"]
        elif "confidence" in kept:  # a reference result
            confidence, correct = kept["confidence"].astype(float), kept["correct"]
        else:
            continue
        parts.append(pd.DataFrame({"arm": arm, "seed": seed, "confidence": confidence, "correct": correct}))
    if not parts:
        return None
    return charts.reliability(pd.concat(parts), keys=arm_keys(source.method), description=_text(view), **source.look)


def _embedding(source: _Source, view: Embedding) -> Any | None:
    """Each arm's first seed, in the principal directions of its last step: frames of the slider are seen from one side."""
    index = _where(_index(source.store, source.run, "embedding", view.name), view.where)
    parts = []
    for key in arm_keys(source.method):
        own = index[index["arm"] == key.value]
        if own.empty:
            continue
        seed, last = int(own["seed"].min()), int(own["step"].max())
        before = own.loc[own["step"] <= (last if source.frame is None else source.frame), "step"]
        vectors, labels = _vectors(source, view, key.value, seed, int(before.max()) if len(before) else int(own["step"].min()))
        onto, _ = _vectors(source, view, key.value, seed, last)
        plane, share = charts.project(vectors, onto)
        panel = f"{key.title} · {100 * share:.0f}% of the variance"
        parts.append(pd.DataFrame({"panel": panel, "x": plane[:, 0], "y": plane[:, 1], "label": labels}))
    if not parts:
        return None
    return charts.embedding(pd.concat(parts), panel="panel", description=_text(view), **source.look)


# --- what views are made of -------------------------------------------------------------------------------------------


def _where(frame: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """Only rows whose columns have the given value, or one of the given tuple of values."""
    for column, wanted in where.items():
        if column not in frame:
            return frame.iloc[:0]
        values = list(wanted) if isinstance(wanted, (tuple, list, set, frozenset)) else [wanted]
        frame = frame[frame[column].isin(values)]
    return frame


def _categories(source: _Source, column: str, values: pd.Series) -> list[Key]:
    """Whole numbers that colour dots are labels (of classes, clusters), not amounts, unless they are many."""
    keys = source.keys(column, values)
    whole = pd.api.types.is_integer_dtype(values) and len(keys) <= 10
    return [replace(key, role="other") if whole and key.role == "level" else key for key in keys]


def _index(store: Store, run: str, kind: str, name: str) -> pd.DataFrame:
    index = store.array_index(run)
    return index[(index["kind"] == kind) & (index["name"] == name)]


def _array_panels(source: _Source, kind: str, name: str, view: Heatmap | Histogram, by_arm: bool = True) -> pd.DataFrame:
    """Recorded arrays with their panel's title: by step (and arm, where there are several), or by arm or seed at the last step."""
    index = _where(_index(source.store, source.run, kind, name), view.where)
    titles = {key.value: key.title for key in arm_keys(source.method)}
    index = index[index["arm"].isin(titles)]
    if index.empty:
        return pd.DataFrame()
    if view.facet == "step":
        steps = sorted(index["step"].unique())
        steps = [steps[i] for i in evenly(len(steps), ARRAYS if source.size == "full" else 3)]
        index = index[index["step"].isin(steps)].sort_values("step", kind="stable")
    else:
        index = index[index["step"] == index.groupby(["arm", "seed"])["step"].transform("max")]
    order = {arm: number for number, arm in enumerate(titles)}
    index = index.assign(order=index["arm"].map(order)).sort_values(
        ["order", "step", "seed"] if by_arm else ["step", "order", "seed"], kind="stable"
    )
    several = by_arm and index["arm"].nunique() > 1
    rows = []
    for _, item in index.drop_duplicates(["arm", "seed", "step"]).iterrows():
        found = source.store.arrays(source.run, kind, name, item["arm"], int(item["seed"]), int(item["step"]))
        own = {"step": f"{view.facet_title or 'step'} {item['step']}", "seed": f"seed {item['seed']}", "arm": titles[item["arm"]]}[
            view.facet
        ]
        panel = f"{titles[item['arm']]}, {own}" if several and view.facet != "arm" else own
        rows.append(
            {"panel": panel[0].upper() + panel[1:], "arm": item["arm"], "seed": item["seed"], "array": found["array"].iloc[-1]}
        )
    return pd.DataFrame(rows)


def _vectors(source: _Source, view: Embedding, arm: str, seed: int, step: int) -> tuple[np.ndarray, np.ndarray]:
    found = source.store.arrays(source.run, "embedding", view.name, arm, seed, step)
    vectors, labels = (found.loc[found["part"] == part, "array"].iloc[-1] for part in ("vectors", "labels"))
    return vectors, labels


def _confidence(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest softmax probability of each row, and its class."""
    shifted = np.asarray(logits, dtype=float)
    shifted = np.exp(shifted - shifted.max(axis=1, keepdims=True))
    return shifted.max(axis=1) / shifted.sum(axis=1), shifted.argmax(axis=1)


def _ends(values: pd.Series, axis: Axis) -> tuple[float, float] | None:
    """The reach of all frames, with a margin on the axis's own scale."""
    scaled = axis.scaled(values[axis.allowed(values)])
    if len(scaled) == 0:
        return None
    margin = 0.05 * (scaled.max() - scaled.min()) or 0.5
    low, high = axis.unscaled(np.array([scaled.min() - margin, scaled.max() + margin]))
    return float(low), float(high)


def _text(view: View) -> str:
    return f"{view.title}. {view.caption}".rstrip(". ")


def _row(store: Store, run: str) -> dict[str, Any]:
    row = store.run(run)
    if row is None:
        raise KeyError(f"There is no run {run!r}.")
    return row


# --- a page that stands alone -----------------------------------------------------------------------------------------


def page(store: Store, run: str) -> str:
    """One HTML file with everything about a run that a reader needs to judge it; it asks no network for anything.

    Raises:
        KeyError: no such run.
    """
    row = _row(store, run)
    method = registry.declared(row["slug"])
    verdicts = store.verdicts(run)
    drawn: dict[str, Any] = {}
    if len(verdicts):
        drawn["verdicts"] = charts.interval(verdicts)
    pictures: list[str] = []
    for view in method.views:
        chart = figure(store, run, view, method=method)
        if chart is not None:
            drawn[f"picture-{len(pictures)}"] = chart
            words = f"<h3>{_safe(view.title)}</h3><p>{_safe(view.caption)}</p>"
            pictures.append(f"<section>{words}<div class=chart id=picture-{len(pictures)}></div></section>")
    paper, spec = method.paper, row["spec"]
    for section in tool_report.sections(store, run, paper.slug, {arm.name: arm.title for arm in method.arms}):
        words = f"<h3>{_safe(section.title)}</h3><p>{_safe(section.caption)}</p>"
        if isinstance(section.content, pd.DataFrame):
            pictures.append(f"<section>{words}{_frame(section.content)}</section>")
        else:
            name = f"picture-{len(pictures)}"
            drawn[name] = section.content
            pictures.append(f"<section>{words}<div class=chart id={name}></div></section>")
    specs = json.dumps({name: chart.to_dict() for name, chart in drawn.items()}, allow_nan=False).replace("<", "\\u003c")
    seeds = spec.get("seeds", [])
    published = paper.venue if re.search(r"\b(19|20)\d\d\b", paper.venue) else f"{paper.venue} {paper.year}"
    source = f'{_safe(paper.authors)} · {_safe(published)} · <a href="{_safe(paper.url)}">arXiv {_safe(paper.arxiv)}</a>'
    parts = {
        "title": _safe(paper.title),
        "paper": source if paper.arxiv else _safe(tool_report.subject(spec["params"])),
        "idea": _safe(paper.idea),
        "facts": _safe(
            f"{row['preset']} preset, {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}, {row['device']}, {row['status']}"
            + (", imported from elsewhere" if row["origin"] == "imported" else "")
        ),
        "verdicts": f"<h2>Claims, at this scale</h2>{_verdict_list(verdicts)}" if paper.arxiv else "",
        "pictures": "".join(pictures) or "<p>This run recorded nothing that can be drawn.</p>",
        "results": _results_table(store, run, method),
        "provenance": provenance(store, run, row),
        "specs": specs,
        "vega": vega_script(),
    }
    page = TEMPLATE.read_text(encoding="utf-8")
    for name, text in parts.items():
        page = page.replace(f"<!--{name}-->", text)
    return page


@cache
def vega_script() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]  # its stub forgets the default
    return bundle.replace("</script", "<\\/script")


def _verdict_list(verdicts: pd.DataFrame) -> str:
    if verdicts.empty:
        return "<p>No verdicts: the run has not ended, or has failed.</p>"
    items = [
        f"<li><b>{_safe(row.claim)} {_safe(row.verdict)}</b>: {_safe(row.text)} <span>{_safe(row.detail)}</span></li>"
        for row in verdicts.itertuples()
    ]
    return f"<div class=chart id=verdicts></div><ul class=verdicts>{''.join(items)}</ul>"


def _results_table(store: Store, run: str, method: Method) -> str:
    """Means of the recorded results over seeds with their 95% t-intervals, a row an arm."""
    results = store.results(run)
    metrics = [name for name in results if name not in ("arm", "seed")]
    if not metrics:
        return "<p>No results were recorded.</p>"
    head = "".join(f"<th>{_safe(name.replace('_', ' '))}</th>" for name in metrics)
    body = []
    for key in arm_keys(method):
        own = results[results["arm"] == key.value]
        if len(own):
            cells = "".join(f"<td>{_estimate(own[name].dropna().to_numpy(float))}</td>" for name in metrics)
            body.append(f"<tr><th>{_safe(key.title)}</th>{cells}</tr>")
    return f"<div class=wide><table><tr><th></th>{head}</tr>{''.join(body)}</table></div>"


def _frame(frame: pd.DataFrame) -> str:
    """A data frame, numbers with four digits."""
    head = "".join(f"<th>{_safe(name)}</th>" for name in frame)
    rows = ("".join(f"<td>{_number(value)}</td>" for value in row) for row in frame.itertuples(index=False))
    return f"<div class=wide><table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table></div>"


def _number(value: Any) -> str:
    if not isinstance(value, float):
        return _safe(value)
    return f"{value:.4g}".replace("-", "−") if math.isfinite(value) else "–"


def _estimate(values: np.ndarray) -> str:
    if len(values) == 0:
        return "–"
    mean, low, high = (float(end) for end in mean_interval(values))
    return f"{mean:.4g}{f' <small>[{low:.3g}, {high:.3g}]</small>' if math.isfinite(low) else ''}".replace("-", "−")


def provenance(store: Store, run: str, row: Mapping[str, Any]) -> str:
    """Everything that decided the numbers, and how it went."""
    spec, machine = dict(row["spec"]), row.get("machine") or {}
    cells = store.cells(run)
    states = ", ".join(f"{count} {status}" for status, count in cells["status"].value_counts().items())
    seconds = row.get("seconds")
    facts = {
        "Run": run,
        "Status": " ".join(filter(None, [row["status"], row["message"].partition("\n")[0]])),
        "Cells (arm x seed)": states or "none",
        "Started": row["started"],
        "Took": "" if seconds is None or not math.isfinite(seconds) else f"{seconds:.1f} s",
        "Device": row["device"],
        "Parameters": spec.pop("params", {}),
        **{name.capitalize(): value for name, value in spec.items() if name not in ("device", "overrides")},
        **{f"Machine: {name.replace('_', ' ')}": value for name, value in machine.items()},
    }
    rows = "".join(
        f"<tr><th>{_safe(name)}</th><td>{_value(value)}</td></tr>"
        for name, value in facts.items()
        if value not in (None, "", {}, [])
    )
    return f"<div class=wide><table>{rows}</table></div>"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "<br>".join(f"{_safe(name)} = {_value(inner)}" for name, inner in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_value, value))
    return _safe(value)


def _safe(value: Any) -> str:
    return html.escape(str(value))
