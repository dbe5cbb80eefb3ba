"""Embeddings: what lies beside what. A snapshot's features, or vectors that a run recorded while it trained, to be explored.

?snapshot= names a snapshot, or run/arm/seed/name of recorded vectors; what is selected, coloured and searched is in the URL too.
"""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app import engine
from core import snapshots
from core.charts import explorer as charts
from core.charts import project
from core.methods import registry
from core.methods.base import ParameterError
from pages import address, curves, explorer, exports, following, pictures, snapshot_methods, visitor, wording

SHOWN = 200  # rows of a table of items
NEIGHBOURS = 12
COMMON = "common neighbours"
PROJECTIONS = ("PCA", "UMAP", "t-SNE")

server = engine()
store = server.store


@dataclass(frozen=True)
class Source:
    """Vectors to look at, with all that is known of each.

    Attributes:
        steps: of vectors recorded during training; empty for a snapshot.
        columns: (n) rows; what points can be coloured by.
        texts: what hover shows.
    """

    name: str
    vectors: np.ndarray
    columns: pd.DataFrame
    texts: list[str]
    thumbnails: np.ndarray | None = None
    steps: tuple[int, ...] = ()
    snapshot: snapshots.Snapshot | None = None


# --- what is looked at --------------------------------------------------------------------------------------------


def sources() -> dict[str, str]:
    """Snapshots by their run, then vectors that runs recorded as run/arm/seed/name; newest first."""
    found = {
        snapshot.run: f"{snapshot.title} · {snapshot.created:%-d %b %H:%M}" for snapshot in snapshots.every(store, **visitor.sees())
    }
    runs = store.runs(**visitor.sees()).set_index("run", drop=False)
    for row in store.recorded("embedding", **visitor.sees()).itertuples():
        run = runs.loc[row.run]
        if run["slug"] not in registry.tools():
            title = f"{curves.title_of(run)}, {row.arm}, seed {row.seed}"
            found[f"{row.run}/{row.arm}/{row.seed}/{row.name}"] = f"{title}, {row.name}" if row.name else title
    return found


def choose(found: dict[str, str], label: str, parameter: str) -> str:
    """One of these; the choice is in the URL."""
    linked = st.query_params.get(parameter)
    if linked is not None and linked not in found:
        st.warning(f"There is nothing called “{wording.plain(linked)}” here. It may have been deleted, or belong to another store.")
    key = f"chosen-{parameter}"
    if linked in found and st.session_state.get(key) != linked:
        st.session_state[key] = linked

    def remember() -> None:
        address.write({parameter: st.session_state[key]})

    chosen = st.selectbox(label, list(found), format_func=found.__getitem__, key=key, on_change=remember)
    if linked != chosen:
        st.query_params[parameter] = chosen
    return chosen


@st.cache_resource(show_spinner="Reading the vectors …", max_entries=4)
def load(name: str, step: int | None) -> Source:
    """The vectors of a snapshot, or those that a run recorded at a step (the last one for None)."""
    if "/" not in name:
        return of_snapshot(snapshots.read(store, name))
    run, arm, seed, record = name.split("/", 3)
    index = store.array_index(run)
    mine = (index["kind"] == "embedding") & (index["arm"] == arm) & (index["seed"] == int(seed)) & (index["name"] == record)
    steps = tuple(sorted({int(at) for at in index[mine]["step"]}))
    parts = store.arrays(run, "embedding", record, arm, int(seed), steps[-1] if step is None else step).set_index("part")["array"]
    labels = parts["labels"]
    return Source(name, parts["vectors"], pd.DataFrame({"label": labels}), [f"label {label}" for label in labels], steps=steps)


def of_snapshot(snapshot: snapshots.Snapshot) -> Source:
    """Everything that a snapshot says of its items."""
    n = len(snapshot.vectors)
    columns = pd.DataFrame(index=range(n))
    named = np.array([*(snapshot.classes or ()), None], dtype=object)
    if snapshot.classes:
        columns["label"] = named[snapshot.labels]
    logits = snapshot.logits
    if logits is not None:
        shifted = np.exp(logits - logits.max(1, keepdims=True))
        shares = shifted / shifted.sum(1, keepdims=True)
        outputs = np.array(snapshot.outputs or [str(k) for k in range(logits.shape[1])], dtype=object)
        columns["prediction"] = outputs[logits.argmax(1)] if len(outputs) == logits.shape[1] else logits.argmax(1)
        columns["confidence"] = shares.max(1).astype(float)
        known = snapshot.targets >= 0
        right = np.where(logits.argmax(1) == snapshot.targets, "right", "wrong")
        columns["correctness"] = np.where(known, right, None)
    items = snapshot.items
    for name in items.columns if len(items) == n else ():
        columns[name if name not in columns else f"{name} (data)"] = items[name].to_numpy()
    said = [name for name in ("text", "label", "prediction") if name in columns]
    texts = [
        "\n".join(f"{name}: {row[name]}" for name in said if row[name] is not None) for row in columns[said].to_dict("records")
    ]
    return Source(snapshot.run, snapshot.vectors, columns, texts, snapshot.thumbnails, snapshot=snapshot)


# --- where the points are -----------------------------------------------------------------------------------------


@st.cache_data(show_spinner=False, max_entries=16)
def principal(name: str, step: int | None) -> np.ndarray:
    """Points in two principal directions; those of a run's steps in the directions of its last, so that they can be followed."""
    source = load(name, step)
    last = load(name, None) if step is not None else source
    return charts.fitted(project(source.vectors, onto=last.vectors)[0])


def tool_run(slug: str, inputs: dict[str, str], arm: str, label: str, changed: dict[str, Any] | None = None) -> str | None:
    """The completed run of a tool on snapshots; where there is none, a button that asks for it, or its progress."""
    if server.machine is None:
        following.wait_for_workers()
        return None
    try:
        spec = server.make_spec(slug, "quick", changed, [arm], inputs=inputs)
    except ParameterError as error:
        st.warning(wording.plain(str(error)), icon=":material/block:")
        return None
    following.run_button(spec, label, key=f"ask-{slug}")
    now = server.progress(spec.run)
    if now and now.status == "completed":
        return spec.run
    if now and now.status in wording.ACTIVE:
        following.follow(spec.run, lambda now: following.bar(now, "Computing"))
    elif now:
        following.failures(now)
    return None


def placed(source: Source, step: int | None) -> tuple[np.ndarray, str]:
    """The points of the chosen projection, and its name; PCA until another is there."""
    if source.snapshot is None:
        return principal(source.name, step), "PCA"
    chosen = st.segmented_control(
        "Projection", PROJECTIONS, default="PCA", required=True, key="projection", bind="query-params",
        help="PCA shows directions of large variance. UMAP and t-SNE show neighbourhoods and take a minute or so; they are kept.",
    )  # fmt: skip
    if chosen != "PCA":
        run = tool_run("projection", {"snapshot": source.name}, chosen, f"Compute {chosen}", settings(chosen))
        if run:
            kept = store.results(run)["kept_neighbours"].iloc[0]
            st.caption(f"{chosen} keeps {kept:.0%} of an item's 10 nearest neighbours.")
            return charts.fitted(store.stacked(run, "embedding", "projection", "vectors")), chosen
    return principal(source.name, step), "PCA"


def settings(projection: str) -> dict[str, Any]:
    """What the visitor changed of the projection's parameters."""
    tool = registry.declared("projection")
    usual = vars(tool.make_params("quick"))
    offered = {"UMAP": ("metric", "neighbours", "min_dist"), "t-SNE": ("metric", "perplexity")}[projection]
    titles = {"metric": "Distance", "neighbours": "Neighbours", "min_dist": "Least distance", "perplexity": "Perplexity"}
    values: dict[str, Any] = {}
    with st.popover("Settings", icon=":material/tune:"):
        for name in offered:
            known = tool.params[name]
            shared: dict[str, Any] = {"key": name, "bind": "query-params", "help": known.help}
            if known.choices:
                values[name] = st.segmented_control(titles[name], known.choices, default=usual[name], required=True, **shared)
            else:
                step = 1 if known.kind is int else 1.0 if usual[name] > 1 else 0.05
                values[name] = st.number_input(
                    titles[name], known.kind(known.low), known.kind(known.high), usual[name], step, **shared
                )
    return {name: value for name, value in values.items() if value != usual[name]}


# --- what is selected ---------------------------------------------------------------------------------------------


def remember_selection(key: str, on: str) -> None:
    """Puts a selection into the URL: a polygon as numbers, with the snapshot beside it was drawn on; or a point as its row."""
    found = explorer.selection_of(key)
    chosen: address.Values = dict.fromkeys(("around", "on", "point"))
    if "polygon" in found:
        corners = found["polygon"]
        every = max(1, len(corners) // 60)
        chosen["around"] = ",".join(f"{value:.3f}" for corner in corners[::every] for value in corner[:2])
        chosen["on"] = on or None
    elif "point" in found:
        chosen["point"] = str(int(found["point"]))
    address.write(chosen)


def selected(source: Source, points: np.ndarray, words: str, found: dict[str, str]) -> np.ndarray | None:
    """Which rows are selected by the URL's polygon or point, or found by the search; None where nothing is."""
    if words:
        return np.array([words.lower() in text.lower() for text in source.texts])
    point = st.query_params.get("point", "")
    if point.isdecimal() and len(point) < 10 and int(point) < len(points):
        return np.arange(len(points)) == int(point)
    on = st.query_params.get("on", "")
    if on in found and "/" not in on:
        points = principal(on, None)
    try:
        numbers = [float(value) for value in st.query_params.get("around", "").split(",") if value]
    except ValueError:
        return None
    polygon = np.reshape(numbers[: len(numbers) // 2 * 2], (-1, 2))
    return charts.inside(points, polygon.tolist()) if len(polygon) > 2 and len(points) == len(source.vectors) else None


@st.cache_data(show_spinner=False, max_entries=64)
def nearest(name: str, step: int | None, row: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows next to one by the angle between vectors, itself left out, and their cosines."""
    vectors = load(name, step).vectors
    lengths = np.linalg.norm(vectors, axis=1)
    cosines = vectors @ vectors[row] / np.maximum(lengths * lengths[row], 1e-12)
    cosines[row] = -np.inf
    order = np.argsort(-cosines)[:NEIGHBOURS]
    return order, cosines[order]


def table(source: Source, rows: np.ndarray, **further: Any) -> None:
    """Items as rows, with their pictures where there are any."""
    shown = source.columns.iloc[rows[:SHOWN]].copy()
    for name, values in further.items():
        shown.insert(0, name, values[:SHOWN])
    config: dict[str, Any] = {}
    if source.thumbnails is not None:
        shown.insert(0, "picture", [as_link(source.thumbnails[row]) for row in rows[:SHOWN]])
        config["picture"] = st.column_config.ImageColumn("picture", width="small")
    shown.insert(0, "row", rows[:SHOWN])
    st.dataframe(shown, hide_index=True, column_config=config, width="stretch", row_height=44 if config else None)
    if len(rows) > SHOWN:
        st.caption(f"The first {SHOWN} of {len(rows):,}.")


def as_link(pixels: np.ndarray) -> str:
    """An image as a data link."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return f"data:image/png;base64,{b64encode(buffer.getvalue()).decode()}"


def selection_panel(source: Source, step: int | None, mask: np.ndarray | None) -> None:
    """The selected items; of a single one also its neighbours."""
    if mask is None:
        st.caption("Draw around points with Lasso or Box, or click one: the items appear here.")
        return
    rows = np.flatnonzero(mask)
    st.markdown(f"**{wording.count(len(rows), 'item')}** selected of {len(mask):,}")
    if not len(rows):
        return
    if "label" in source.columns and len(rows) > 1:
        counts = source.columns["label"].iloc[rows].value_counts().head(5)
        st.caption(", ".join(f"{wording.plain(str(label))}: {count}" for label, count in counts.items()))
    table(source, rows)
    if len(rows) == 1:
        st.markdown("Nearest by the angle between vectors")
        near, cosines = nearest(source.name, step, int(rows[0]))
        table(source, near, cosine=cosines.astype(float).round(4))
    st.download_button(
        "Save the rows as CSV", lambda: source.columns.iloc[rows].to_csv(index_label="row").encode(), "selected.csv", "text/csv",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip


# --- the parts of the page ----------------------------------------------------------------------------------------


def colours_of(source: Source) -> tuple[str, Any]:
    """The column to colour by, and its values."""
    columns = {name: values for name, values in source.columns.items() if values.nunique(dropna=True) > 1}
    run = completed_geometry(source)
    if run:
        columns["cluster"] = pd.Series(store.arrays(run, "matrix", "clusters")["array"].iloc[0].astype(str))
    if not columns:
        return "", np.zeros(len(source.vectors), int)
    linked = st.query_params.get("colour")
    names = list(columns)
    chosen = st.selectbox("Colour", names, index=names.index(linked) if linked in names else 0, key="colour-by", width=200)
    st.query_params["colour"] = chosen
    return chosen, columns[chosen]


def completed_geometry(source: Source) -> str | None:
    """The run of the tool that measures this snapshot, where it is there."""
    if source.snapshot is None or server.machine is None:
        return None
    run = server.make_spec("geometry", "quick", inputs={"snapshot": source.name}).run
    row = store.run(run)
    return run if row and row["status"] == "completed" else None


def measures(source: Source) -> None:
    """How the features spread and group, in numbers."""
    run = tool_run("geometry", {"snapshot": source.name}, "measures", "Measure the features")
    if run:
        show_measures(store.table(run, "measures"), f"measures {run}")


def show_measures(rows: pd.DataFrame, name: str) -> None:
    """A table of measures as sentences; its numbers can be taken away as files of that name."""
    percent = rows["unit"] == "%"

    def said(value: float, share: bool) -> str:
        return "" if not np.isfinite(value) else f"{value:.1%}" if share else wording.number(value)

    shown = pd.DataFrame(
        {
            "measure": rows["title"].map(wording.plain),
            "value": [said(value, share) for value, share in zip(rows["value"], percent, strict=True)],
            "95% interval": [
                f"{said(low, share)} to {said(high, share)}" if np.isfinite(low) else ""
                for low, high, share in zip(rows["low"], rows["high"], percent, strict=True)
            ],
            "what it says": rows["meaning"].map(wording.plain),
        }
    )
    st.table(shown, border="horizontal", hide_index=True, alt="Measures with their values and what they say")
    exports.table_menu(rows.drop(columns=["arm", "seed"]), name)


def beside(source: Source, found: dict[str, str], mask: np.ndarray | None) -> None:
    """A second snapshot of the same items, the same selection in it, and how alike the two are."""
    n = len(source.vectors)
    others = {run: title for run, title in found.items() if "/" not in run and run != source.name}
    if not others:
        st.caption("Another snapshot of the same items, of another model or layer, can be compared with this one.")
        return
    other = load(choose(others, "Compare with", "against"), None)
    if len(other.vectors) != n:
        st.info(f"It has {len(other.vectors):,} items and this one {n:,}: they cannot be the same items.", icon=":material/rule:")
        return
    run = tool_run("comparison", {"snapshot": source.name, "against": other.name}, "measures", "Measure how alike they are")
    colours = ["label"] if "label" in source.columns else []
    colours += ["prediction", "correctness"] if {"prediction", "correctness"} <= set(source.columns) & set(other.columns) else []
    colours += [COMMON] if run else []
    by = (
        st.segmented_control("Colour of both", colours, default=colours[0], required=True, key="both", bind="query-params")
        if len(colours) > 1
        else None
    )
    left, right = st.columns(2)
    for side, part in ((left, source), (right, other)):
        with side:
            st.caption(wording.plain(part.snapshot.title))
            if by == COMMON:
                values: Any = store.arrays(run, "matrix", "overlap")["array"].iloc[0].astype(float)
            else:
                values = part.columns[by or "label"] if (by or "label") in part.columns else np.zeros(n, int)
            tint = charts.colour_by(values, pictures.is_dark())
            packed = charts.pack(
                principal(part.name, None), tint, selected=mask, texts=part.texts, thumbnails=part.thumbnails,
                dark=pictures.is_dark(), description=f"PCA of {n:,} items of {part.snapshot.title}",
            )  # fmt: skip
            explorer.draw(packed, f"beside-{part.name}", partial(remember_selection, f"beside-{part.name}", part.name))
    st.caption("What is selected in one picture is selected in all.")
    if run:
        alike(run)


def alike(run: str) -> None:
    """How alike two snapshots are, in numbers, and the neurons that match best."""
    show_measures(store.table(run, "measures"), f"likeness {run}")
    with st.expander("Neurons that match best", icon=":material/join_inner:"):
        pairs = store.table(run, "neurons").drop(columns=["arm", "seed"])
        names = {"first": "number in the first", "second": "number in the second"}
        st.dataframe(pairs.rename(columns=names), hide_index=True, alt="Matched neurons and their correlations")


def step_of(source: Source) -> int | None:
    """The training step to look at; it is in the URL."""
    if len(source.steps) < 2:
        return None
    linked = st.query_params.get("step", "")
    key = f"step/{source.name}"
    if key not in st.session_state:
        st.session_state[key] = next((step for step in source.steps if str(step) == linked), source.steps[-1])
    step = st.select_slider("Step", source.steps, key=key)
    st.query_params["step"] = str(step)
    return step


st.title("Embeddings", anchor=False)
found = sources()
if not found:
    st.markdown("There is nothing to look at yet: make a snapshot of a model, or run a paper that records embeddings.")
    st.page_link("models.py", label="Choose a model", icon=":material/hub:")
    st.stop()
name = choose(found, "Vectors of", "snapshot")
source = load(name, None)
step = step_of(source)
with st.container(horizontal=True, vertical_alignment="bottom"):
    points, projection = placed(source, step)
    colour, values = colours_of(source)
    words = st.text_input("Search", key="words", bind="query-params", placeholder="Words in the items", width=240)
if step is not None and step != source.steps[-1]:
    source = load(name, step)
mask = selected(source, points, words, found)
tint = charts.colour_by(values, pictures.is_dark())
view, side = st.columns([3, 2], gap="medium")
with view:
    said = f"{projection} of {len(points):,} items of {found[name]}, coloured by {colour or 'nothing'}"
    packed = charts.pack(
        points, tint, selected=mask, texts=source.texts, thumbnails=source.thumbnails, series=f"{name} {len(points)}",
        dark=pictures.is_dark(), description=said,
    )  # fmt: skip
    explorer.draw(packed, "explorer", partial(remember_selection, "explorer", ""))
with side:
    selection_panel(source, step, mask)
if source.snapshot is not None:
    tabs = st.tabs(["Measures", "Side by side", "Papers on these features", "Take away"], key="part", bind="query-params")
    with tabs[0]:
        measures(source)
    with tabs[1]:
        if tabs[1].open:
            beside(source, found, mask)
    with tabs[2]:
        snapshot_methods.section(source.name)
    with tabs[3], st.container(horizontal=True):
        exports.data_button(store, source.name, snapshots.SLUG, "Data")
        exports.page_button(store, source.name, snapshots.SLUG, "Page")
        exports.push_button(store, source.name, snapshots.SLUG)
