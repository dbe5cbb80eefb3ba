"""Pruning of any model: what each criterion costs at each sparsity, its masks as pictures, and the pruned weights to take away.

`?run=` is the run that is shown; `?snapshot=` or `?model=&revision=&data=` what the controls start with where there is none.
"""

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from app import engine
from core import hub, report, snapshots
from core.charts import Axis, Key, bars, heatmap
from core.data.items import bundled
from core.engine import Progress, Spec
from core.methods import registry
from core.methods.base import ParameterError
from core.stories import PictureSlide
from pages import exports, following, pictures, pruned_weights, snapshot_methods, visitor, wording

SLUG = "pruning"
DENSE, MAGNITUDE, SAMPLE = "dense", "magnitude-global", "sample of all layers"
SHARED = ("model", "revision", "data", "config", "split", "column", "label")  # with a snapshot
FROM_URL = ("run", "snapshot", "model", "revision", "data")
PICTURED = 4  # masks beside each other
LAYERS = 12  # bars that fit without scrolling

server = engine()
store = server.store
tool = registry.declared(SLUG)
titles = {arm.name: arm.title for arm in tool.arms}
criteria = [arm.name for arm in tool.arms if arm.name != DENSE]


# --- what to prune ----------------------------------------------------------------------------------------------------


def shown() -> dict[str, Any] | None:
    """The run in the URL; one that is not there is said."""
    run = st.query_params.get("run")
    row = store.run(run) if run else None
    if run and (row is None or row["slug"] != SLUG):
        why = "It may have been deleted, or belong to another store."
        st.warning(f"There is no pruning run “{wording.plain(run)}”. {why}", icon=":material/link_off:")
        return None
    return row


def asked_for() -> tuple[str | None, ...]:
    """What of the address decides what the controls start with."""
    return tuple(st.query_params.get(name) for name in FROM_URL)


def beginning(row: dict[str, Any] | None) -> dict[str, Any]:
    """What the controls start with: a run's parameters, or what the address names over the quick preset."""
    values = vars(tool.make_params("quick")) | {"arms": criteria, "upload": ""}
    snapshot = snapshots.read(store, st.query_params.get("snapshot", ""))
    if row:
        spec = row["spec"]
        chosen = [arm for arm in spec["arms"] if arm != DENSE]
        return values | spec["params"] | {"arms": chosen, "upload": (spec.get("inputs") or {}).get("upload", "")}
    if snapshot:
        given = store.run(snapshot.run)["spec"].get("inputs") or {}
        same = {name: snapshot.params[name] for name in SHARED if name in snapshot.params}
        return values | same | {"upload": given.get("upload", "")}
    return values | {name: st.query_params[name] for name in ("model", "revision", "data") if name in st.query_params}


def controls(row: dict[str, Any] | None) -> Spec | None:
    """The controls, and the spec that they make; where there is none, says why."""
    if st.session_state.get("pruning/asked") != asked_for():
        filling = st.session_state.get("pruning/filling", 0) + 1  # controls that are filled anew need a new name
        st.session_state.update({"pruning/asked": asked_for(), "pruning/filling": filling, "pruning/start": beginning(row)})
    start, number = st.session_state["pruning/start"], st.session_state["pruning/filling"]

    def key(name: str) -> dict[str, Any]:
        return {"key": f"pruning/{number}/{name}"}

    values: dict[str, Any] = {}
    with st.grid("auto", min_column_width=280):
        starters = [one.name for one in hub.starters()]
        values["model"] = one_of("Model", starters, start["model"], "A starter, or a model of the Hub, owner/name.", **key("model"))
        data, upload = choose_data(values["model"], start, **key(f"data/{values['model']}"))
        values["sparsities"] = st.text_input("Sparsities (%)", ", ".join(map(str, start["sparsities"])), **key("sparsities"))
    chosen = st.pills(
        "Criteria", criteria, default=start["arms"], selection_mode="multi", format_func=titles.__getitem__, **key("arms")
    )
    with st.expander("Settings", icon=":material/tune:"), st.grid("auto", min_column_width=220):
        for name, spec in tool.params.items():
            if name not in ("model", "data", "sparsities"):
                own = name == "revision"  # a model's, and not the next one's
                value = "" if own and values["model"] != start["model"] else start[name]
                values[name] = setting(name, spec, value, **key(f"{name}/{values['model']}" if own else name))
        st.caption("  \n".join(f"**{arm.title}**: {arm.help}" for arm in tool.arms))
    inputs = {"upload": upload} if upload else {}
    return make_spec({**values, "data": data}, [*chosen], inputs)


def one_of(label: str, options: list[str], value: str, help: str, key: str) -> str:
    """One of the options, or whatever a person types."""
    options = options if not value or value in options else [value, *options]
    index = options.index(value) if value in options else 0
    return st.selectbox(label, options, index=index, accept_new_options=True, help=help, key=key) or ""


def choose_data(model: str, start: dict[str, Any], key: str) -> tuple[str, str]:
    """The name of a data set, at first the one that a starter was made for, and the digest of an upload where one was chosen."""
    uploads = {f"upload: {row.name}": row.digest for row in store.uploads(visitor.name()).itertuples(index=False)}
    own = next((one.data for one in hub.starters() if one.name == model), "")
    value = start["data"] if model == start["model"] or not own else own
    value = next((label for label, digest in uploads.items() if digest == start["upload"]), value)
    offered = [*(one.name for one in bundled()), *uploads]
    picked = one_of("Data", offered, value, "Bundled, uploaded, or a data set of the Hub, owner/name.", key)
    return ("", uploads[picked]) if picked in uploads else (picked, "")


def setting(name: str, spec: Any, value: Any, key: str) -> Any:
    """The control of a parameter that most visitors leave alone."""
    label, help = name.replace("_", " ").capitalize(), f"{spec.help} Allowed: {spec.allowed}."
    if spec.choices:
        return st.selectbox(label, spec.choices, index=spec.choices.index(value), help=help, key=key)
    if spec.kind is int:
        return st.number_input(label, int(spec.low), int(spec.high), value, help=help, key=key)
    return st.text_input(label, value, help=help, key=key)


def make_spec(values: dict[str, Any], arms: list[str], inputs: dict[str, str]) -> Spec | None:
    """The spec of the controls; where there is none, says why."""
    try:
        if not arms:
            raise ParameterError("Choose at least one criterion.")
        own = vars(tool.make_params("quick"))
        parsed = {name: tool.params[name].parse(value) for name, value in values.items()}
        changed = {name: value for name, value in parsed.items() if value != own[name]}
        return server.make_spec(SLUG, "quick", changed, [arm for arm in criteria if arm in arms], inputs=inputs)
    except ParameterError as error:
        st.warning(wording.plain(str(error)), icon=":material/block:")
        return None


def show_run(run: str) -> None:
    """Makes a run the one that the page and its link show; the controls stay as they are."""
    for name in FROM_URL:
        st.query_params.pop(name, None)
    st.query_params["run"] = run
    st.session_state["pruning/asked"] = asked_for()


def run_panel(row: dict[str, Any] | None) -> dict[str, Any] | None:
    """The controls and one button; returns the run to show, which is another one where the button was pressed."""
    with st.container(border=True, key="run-panel"):
        if server.machine is None:
            following.wait_for_workers()
            return row
        spec = controls(row)
        with st.container(horizontal=True, vertical_alignment="center"):
            if following.run_button(spec, "Prune", "Run again", key="prune"):
                show_run(spec.run)
                return store.run(spec.run)
            if spec and row and row["run"] != spec.run:
                st.caption("Below is the run in the link; its model, data or settings differ from the controls.")
    return row


# --- what it costs ----------------------------------------------------------------------------------------------------


def watch(run: str, now: Progress) -> None:
    """How far the run is, and its accuracies so far."""
    following.bar(now, following.cells_done(now, "arm"))
    with st.container(key="live"):
        chart = report.figure(store, run, tool.views[0], method=tool, dark=pictures.is_dark())
        if chart is None:
            with st.container(key="blank"):
                pictures.draw(pictures.of_words("The first points appear when the dense model has been measured"))
        else:
            with st.container(key="picture"):
                pictures.draw(pictures.of_chart(chart))


def status_line(row: dict[str, Any]) -> None:
    """What was pruned on what, how the run ended, and what went wrong."""
    spec = row["spec"]["params"]
    data = spec["data"] or "an upload"
    origin = "imported · " if row["origin"] == "imported" else ""
    facts = f"{origin}{wording.plain(spec['model'])} on {wording.plain(data)} · {row['created']:%-d %b %Y, %H:%M} UTC"
    took = "" if pd.isna(row["seconds"]) else f" · {wording.duration(row['seconds'])} on {wording.plain(row['device'])}"
    st.markdown(f"{wording.badge(row['status'])} :small[:gray[{facts}{took}]]")
    following.failures(server.progress(row["run"]))


def costs(run: str, finished: Any) -> None:
    """Accuracy, loss, calibration and disagreement against the share that was removed."""
    dense = store.results(run).query("arm == @DENSE")
    if len(dense):
        row = dense.iloc[0]
        with st.container(horizontal=True):
            st.metric("Accuracy, dense", percent(row.get("accuracy")))
            st.metric("Calibration error, dense", percent(row.get("ece")))
            st.metric("Weights that can go", f"{int(row['weights']):,}", help=f"Of {int(row['parameters']):,} parameters in all.")
            what = "Items that no criterion saw; of a language model, tokens."
            st.metric("Measured on", f"{int(row['measured']):,}", help=what)
    views = {view.title: view for view in tool.views}
    name = st.segmented_control(
        "Picture", list(views), default=tool.views[0].title, required=True, label_visibility="collapsed", key="cost",
        bind="query-params",
    )  # fmt: skip
    picture = pictures.of_ended_view(run, finished, SLUG, list(views).index(name))
    with st.container(key="picture"):
        pictures.draw(picture or pictures.of_words("Nothing was recorded for this picture"))
    if picture is None:
        st.caption(views[name].caption)
    else:
        exports.chart_menu(picture, f"pruning {run} {name.lower()}", views[name].caption, PictureSlide(run, [*views].index(name)))


def percent(value: float | None) -> str:
    """A share with its sign; a dash where it could not be measured."""
    return "–" if value is None or pd.isna(value) else f"{value:.1f}%"


# --- masks ------------------------------------------------------------------------------------------------------------


def choose_sparsity(sweep: pd.DataFrame, name: str) -> int:
    """The slider over the sparsities that were run."""
    found = sorted(int(percent) for percent in sweep["sparsity"].unique() if percent > 0)
    if len(found) == 1:
        return found[0]
    return st.select_slider(
        "Sparsity", found, value=found[-1], format_func=lambda percent: f"{percent}%", key=f"{name}-sparsity", bind="query-params"
    )


def choose_criterion(present: list[str], name: str) -> str:
    """One of the criteria that were run."""
    return st.segmented_control(
        "Criterion", present, default=present[0], format_func=titles.__getitem__, required=True, key=f"{name}-criterion",
        bind="query-params",
    )  # fmt: skip


def masks(run: str, layers: pd.DataFrame, sweep: pd.DataFrame, present: list[str]) -> None:
    """The masks of one layer as pictures, a criterion each."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        sizes = (layers["outputs"] * layers["inputs"]).groupby(layers["layer"], sort=False).first()
        layer = st.selectbox(
            "Layer", list(sizes.index), index=int(sizes.argmax()), key="mask-layer", bind="query-params", width=380
        )
        chosen = st.pills(
            "Criteria", present, default=present[:2], selection_mode="multi", format_func=titles.__getitem__, key="mask-criteria",
            bind="query-params",
        )[:PICTURED]  # fmt: skip
        sparsity = choose_sparsity(sweep, "mask")
    arrays = store.arrays(run, "matrix", layer, step=sparsity).set_index("arm")["array"]
    rows = layers[(layers["layer"] == layer) & (layers["sparsity"] == sparsity)].set_index("arm")
    drawn = [arm for arm in chosen if arm in arrays.index]
    if not drawn:
        st.info("Choose a criterion.", icon=":material/grid_on:")
        return
    frame = pd.DataFrame({
        "panel": [f"{titles[arm]} · {100 - rows.loc[arm, 'removed']:.3g}% left" for arm in drawn],
        "array": [arrays[arm] for arm in drawn],
    })  # fmt: skip
    first, shape = arrays[drawn[0]], rows.loc[drawn[0]]
    whole = first.shape == (shape["outputs"], shape["inputs"])
    block = "" if whole else ", averaged over blocks"
    chart = heatmap(
        frame, value_title="Surviving share", limits=(0.0, 1.0), format=".0%", x_title=f"Input{block}", y_title=f"Output{block}",
        dark=pictures.is_dark(), description=f"Masks of {layer} at {sparsity}% sparsity",
    )  # fmt: skip
    picture = pictures.of_chart(chart)
    with st.container(key="masks"):
        pictures.draw(picture)
    size = f"{int(shape['outputs']):,} outputs × {int(shape['inputs']):,} inputs"
    grid = f"{first.shape[0]} × {first.shape[1]}"
    cells = "each cell is one weight" if whole else f"each of {grid} cells is the share left of its block"
    exports.chart_menu(picture, f"masks {run} {layer} {sparsity}", f"{size}; {cells}.")


def by_layer(run: str, layers: pd.DataFrame, sweep: pd.DataFrame, present: list[str]) -> None:
    """How much of each layer went."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        criterion = choose_criterion(present, "layers")
        sparsity = choose_sparsity(sweep, "layers")
    rows = layers[(layers["arm"] == criterion) & (layers["sparsity"] == sparsity)]
    keys = [Key(criterion, titles[criterion], "method")]
    names = [Key(name, name, "level") for name in rows["layer"]]
    rows = rows.assign(left=100 - rows["removed"])
    chart = bars(
        rows, Axis("left", "weights left (%)", format=".1f"), x="layer", x_keys=names, colour="arm", keys=keys,
        dark=pictures.is_dark(), description=f"Share left of each layer by {titles[criterion]}",
    )  # fmt: skip
    picture = pictures.of_chart(chart)
    with st.container(height=560 if len(rows) > LAYERS else "content", border=False, key="layers"):
        pictures.draw(picture)
    exports.chart_menu(picture, f"layers {run} {criterion} {sparsity}")


def overlaps(run: str, sweep: pd.DataFrame, present: list[str]) -> None:
    """How alike the masks of two criteria are, for all pairs."""
    sparsity = choose_sparsity(sweep, "overlap")
    found = store.arrays(run, "mask", SAMPLE, step=sparsity).set_index("arm")["array"]
    arms = [arm for arm in present if arm in found.index]
    table = pd.DataFrame({arm: [jaccard(found[arm], found[other]) for other in arms] for arm in arms}, index=arms)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        first = st.selectbox("One mask", arms, format_func=titles.__getitem__, key="overlap-first", bind="query-params", width=240)
        second = st.selectbox(
            "Another", arms, index=min(1, len(arms) - 1), format_func=titles.__getitem__, key="overlap-second",
            bind="query-params", width=240,
        )  # fmt: skip
        kept = [found[arm].mean() for arm in (first, second)]
        chance = kept[0] * kept[1] / (kept[0] + kept[1] - kept[0] * kept[1])
        st.metric("Overlap", f"{table.loc[second, first]:.1%}", help="Kept by both, of what either keeps (Jaccard).")
        st.metric("By chance", f"{chance:.1%}", help="What two independent random masks of these densities have.")
    named = table.rename(index=titles, columns=titles).style.format("{:.1%}")
    st.dataframe(named, alt="Overlap of every two criteria's masks")
    count, whole = len(found.iloc[0]), store.results(run).query("arm == @DENSE")["weights"].iloc[0]
    which = f"all {count:,} weights" if count == whole else f"the same {count:,} weights, drawn at random from {whole:,.0f}"
    st.caption(f"Surviving in both over surviving in either, on {which}.")


def jaccard(first: Any, second: Any) -> float:
    """Surviving in both over surviving in either; NaN where nothing survives."""
    either = (first | second).sum()
    return float((first & second).sum() / either) if either else float("nan")


def by_class(run: str, classes: pd.DataFrame, sweep: pd.DataFrame, present: list[str]) -> None:
    """Accuracy of each class before and after."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        criterion = choose_criterion(present, "classes")
        sparsity = choose_sparsity(sweep, "classes")
    before = classes[classes["arm"] == DENSE].assign(which="before")
    after = classes[(classes["arm"] == criterion) & (classes["sparsity"] == sparsity)].assign(which="after")
    keys = [Key("before", "dense", "baseline"), Key("after", f"{titles[criterion]}, {sparsity}%", "method")]
    names = [Key(name, name, "level") for name in before["class"]]
    chart = bars(
        pd.concat([before, after]), Axis("accuracy", "accuracy (%)", format=".0f"),
        x="class", x_keys=names, colour="which", keys=keys,
        dark=pictures.is_dark(), description="Accuracy by class before and after pruning",
    )  # fmt: skip
    picture = pictures.of_chart(chart)
    with st.container(height=560 if len(names) > LAYERS else "content", border=False, key="classes"):
        pictures.draw(picture)
    least, most = before["items"].min(), before["items"].max()
    words = f"{least} to {most} items a class: differences of a few points are chance."
    exports.chart_menu(picture, f"classes {run} {criterion} {sparsity}", words)


def result(row: dict[str, Any]) -> None:
    """Everything that a run found."""
    run = row["run"]
    sweep = store.table(run, "sweep")
    present = [arm for arm in criteria if arm in set(sweep["arm"])]
    costs_tab, mask_tab, layer_tab, overlap_tab, class_tab, away_tab, methods_tab = st.tabs(
        ["Costs", "Masks", "Layers", "Overlap", "Classes", "Take away", "Papers"], key="show", bind="query-params"
    )
    if costs_tab.open:
        with costs_tab:
            costs(run, row["finished"])
    if not present:
        return
    layers = store.table(run, "layers")
    if mask_tab.open:
        with mask_tab:
            masks(run, layers, sweep, present)
    if layer_tab.open:
        with layer_tab:
            by_layer(run, layers, sweep, present)
    if overlap_tab.open:
        with overlap_tab:
            overlaps(run, sweep, present)
    if class_tab.open:
        with class_tab:
            classes = store.table(run, "by_class")
            if classes.empty:
                st.info("There are no classes: the model predicts tokens, or the data have no labels.", icon=":material/label_off:")
            else:
                by_class(run, classes, sweep, present)
    if away_tab.open:
        with away_tab:
            pruned_weights.section(row, present, sweep)
            st.markdown("**What was measured**")
            with st.container(horizontal=True):
                exports.data_button(store, run, SLUG, "Data")
                exports.page_button(store, run, SLUG, "Page")
                exports.push_button(store, run, SLUG)
    if methods_tab.open:
        with methods_tab:
            papers(row)


def papers(row: dict[str, Any]) -> None:
    """The papers that work on features, on the newest snapshot of the same model."""
    model, revision = (row["spec"]["params"][name] for name in ("model", "revision"))
    snapshot_methods.weights_section(f"{model}@{revision}" if revision else model)
    found = [snapshot for snapshot in snapshots.every(store, **visitor.sees()) if snapshot.params["model"] == model]
    if found:
        snapshot_methods.section(found[0].run)
    else:
        st.info("Papers work on the features in a snapshot, and there is none of this model yet.", icon=":material/photo_camera:")


# --- the page ---------------------------------------------------------------------------------------------------------

st.title("Pruning", anchor=False)
st.markdown("Take weights out of a model, by six criteria, and see what it costs. Nothing is trained after it.")
row = run_panel(shown())
if row and row["status"] in wording.ACTIVE:
    following.follow(row["run"], partial(watch, row["run"]))
elif row:
    status_line(row)
    result(row)
