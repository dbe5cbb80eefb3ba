"""Calibration: is a classifier right as often as it says, and which post-hoc calibrator helps?

The predictions are those of a snapshot (?snapshot=) or of any run; the numbers are those of the tool core/lab/calibration.py.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import streamlit as st

from app import engine
from core import snapshots
from core.charts import Axis, Key, lines, reliability
from core.engine import Spec
from core.methods import registry
from core.methods.base import ParameterError
from pages import address, curves, exports, following, pictures, visitor, wording

SLUG = "calibration"
BASE = "uncalibrated"
MATRIX = ("matrix", "Dirichlet")  # a parameter for every pair of classes
MOST_CLASSES = 100  # that these are fitted for
TOP = "Predicted class"

server = engine()
store = server.store
tool = registry.declared(SLUG)
titles = {arm.name: arm.title for arm in tool.arms}


# --- what is looked at --------------------------------------------------------------------------------------------


def sources() -> dict[str, str]:
    """What has predictions, newest first: snapshots by their run, predictions of other runs as run/arm/seed/step/name."""
    runs = store.runs(**visitor.sees()).set_index("run", drop=False)
    found = {}
    for row in store.recorded("predictions", **visitor.sees()).itertuples():
        run = runs.loc[row.run]
        if run["slug"] == snapshots.SLUG:
            if run["status"] == "completed" and not row.name:
                found[row.run] = snapshots.read(store, row.run).title
        elif run["slug"] != SLUG and run["origin"] != "reference":  # reference results keep no logits
            what = [curves.title_of(run), *([row.arm] if row.arm != curves.OWN else []), f"seed {row.seed}", f"step {row.last}"]
            found[f"{row.run}/{row.arm}/{row.seed}/{row.last}/{row.name}"] = ", ".join(
                [*what, *filter(None, [row.name]), row.run[:4]]
            )
    return found


def choose_source(found: dict[str, str]) -> str:
    """One of these; the choice is in the URL."""
    linked = st.query_params.get("snapshot")
    if linked is not None and linked not in found:
        st.warning(
            f"There are no predictions “{wording.plain(linked)}” here. They may have been deleted, or belong to another store.",
            icon=":material/link_off:",
        )
    first = linked if linked in found else next(iter(found))
    if st.session_state.get("predictions_of") not in found or (linked in found and st.session_state["predictions_of"] != linked):
        st.session_state["predictions_of"] = first
    chosen = st.selectbox(
        "Predictions of", list(found), format_func=found.__getitem__, key="predictions_of",
        on_change=lambda: address.write({"snapshot": st.session_state["predictions_of"]}),
    )  # fmt: skip
    if linked != chosen:
        st.query_params["snapshot"] = chosen
    return chosen


def class_names(source: str, count: int) -> list[str]:
    """What the columns of the logits are called, each different."""
    snapshot = snapshots.read(store, source) if "/" not in source else None
    names = snapshot.outputs or snapshot.classes if snapshot else ()
    return [f"{k}: {names[k]}" if len(names) == count and names[k] != str(k) else str(k) for k in range(count)]


def shape_of(source: str) -> tuple[int, int]:
    """Items and classes."""
    run, arm, _, step, name = source.split("/", 4) if "/" in source else (source, None, None, None, "")
    index = store.array_index(run)
    index = index[(index["kind"] == "predictions") & (index["part"] == "logits") & (index["name"] == name)]
    if arm is not None:
        index = index[(index["arm"] == arm) & (index["step"] == int(step))]
    return sum(int(shape[0]) for shape in index["shape"]), int(index["shape"].iloc[0][1])


# --- from the controls to a run -----------------------------------------------------------------------------------


def make_spec(source: str, classes: int) -> Spec | None:
    """The spec of the controls; where there is none, says why."""
    with st.popover("Settings", icon=":material/tune:"):
        usual = [name for name in titles if name != BASE and (classes <= MOST_CLASSES or name not in MATRIX)]
        arms = st.pills(
            "Calibrators",
            usual,
            default=usual,
            selection_mode="multi",
            format_func=titles.__getitem__,
            key="calibrators",
            bind="query-params",
        )
        bins = st.number_input(
            "Bins", 2, 200, 15, key="ece_bins", bind="query-params", help="Of the ECE and of the classes' errors."
        )
        resamples = st.number_input(
            "Resamples", 10, 5000, 200, 50, key="resamples", bind="query-params", help="Of the bootstrap that gives the intervals."
        )
    own = vars(tool.make_params("quick"))
    values = {"bins": (int(bins), *(count for count in own["bins"][1:] if count != bins)), "resamples": int(resamples)}
    changed = {name: value for name, value in values.items() if value != own[name]}
    inputs = {"predictions" if "/" in source else "snapshot": source}
    try:
        return server.make_spec(SLUG, "quick", changed, [BASE, *arms], inputs=inputs)
    except ParameterError as error:
        st.warning(wording.plain(str(error)), icon=":material/block:")
        return None


# --- the result ---------------------------------------------------------------------------------------------------


@st.cache_data(max_entries=50, show_spinner=False)
def table(run: str, finished: str, name: str) -> pd.DataFrame:
    """A recorded table; a run that is run again has another `finished`."""
    return store.table(run, name)


@st.cache_data(max_entries=20, show_spinner=False)
def of_class(run: str, finished: str, arm: str, number: int) -> pd.DataFrame | None:
    """Each item's probability of a class as `confidence`, and whether it is of that class; None where it was too large to keep."""
    parts = store.arrays(run, "predictions", "", arm).set_index("part")["array"]
    if "logits" not in parts:
        return None
    return pd.DataFrame({"confidence": np.exp(parts["logits"][:, number]), "correct": parts["labels"] == number})


def keys_of(arms: list[str]) -> list[Key]:
    """The baseline in grey, one calibrator in the accent colour."""
    return [Key(arm, titles[arm], "baseline" if arm == BASE else "method" if len(arms) == 2 else "other") for arm in arms]


def diagram(run: str, finished: str, arm: str, names: list[str]) -> None:
    """The chosen diagram before and after a calibrator."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        way = st.segmented_control(
            "Diagram",
            ["equal width", "equal count", "smooth"],
            default="equal width",
            required=True,
            key="diagram",
            bind="query-params",
        )
        bins = st.slider("Bins", 2, 50, 15, key="bins", bind="query-params", width=220, disabled=way == "smooth")
        of = st.selectbox("Of", [TOP, *names], key="class", bind="query-params", width=240)
    arms = list(dict.fromkeys([BASE, arm]))
    words = ("Confidence", "Accuracy") if of == TOP else (f"Probability of {of}", f"Share of {of}")
    if of == TOP:
        items = table(run, finished, "items")
        frame = items[items["arm"].isin(arms)][["arm", "confidence", "correct"]]
    else:
        parts = [of_class(run, finished, one, names.index(of)) for one in arms]
        if any(part is None for part in parts):
            st.info(
                "These predictions are too many to keep for each class; the table of classes has their errors.",
                icon=":material/database:",
            )
            return
        frame = pd.concat([part.assign(arm=one) for one, part in zip(arms, parts, strict=True)])
    binning = {"equal width": "equal-width", "equal count": "equal-mass", "smooth": "smooth"}[way]
    errors = table(run, finished, "measures").query("measure == 'ece_smooth'").set_index("arm")["value"]
    width = float(np.clip(errors.get(BASE, 0.05), 0.02, 0.1))
    chart = reliability(frame, keys=keys_of(arms), bins=bins, binning=binning, width=width, names=words, dark=pictures.is_dark())
    picture = pictures.of_chart(chart)
    with st.container(key="picture"):
        pictures.draw(picture)
    exports.chart_menu(
        picture,
        f"reliability {run} {arm}",
        "On the dashed line, predictions are right as often as they say; below it they claim too much. Pale dots rest on fewer "
        "than 10 predictions. Underneath: how many predictions have that confidence.",
    )


def measures_table(run: str, finished: str) -> None:
    """Every measure for every calibrator, with its interval."""
    rows = table(run, finished, "measures")
    arms = [name for name in titles if name in set(rows["arm"])]
    base = rows[rows["arm"] == BASE].set_index("measure")
    shown = pd.DataFrame({"Measure": base["title"]})
    for arm in arms:
        own = rows[rows["arm"] == arm].set_index("measure")
        shown[titles[arm]] = [said(own.loc[name]) for name in base.index]
    shown["By chance"] = [f"{100 * value:.2f}%" if np.isfinite(value) else "" for value in base["by_chance"]]
    shown["Estimator"] = base["estimator"]
    config = {"Measure": st.column_config.TextColumn(pinned=True, width=165)}
    st.dataframe(shown, hide_index=True, height="content", column_config=config, alt="All measures of all calibrators")
    st.caption(
        "Value with its bootstrap 95% interval; an arrow where the change from uncalibrated, on the same items, has an interval "
        "without zero. By chance: what predictions of these confidences would show on average if they were perfectly calibrated."
    )


def said(row: pd.Series) -> str:
    """ "4.9% [4.0, 5.7] ↓"."""
    scale, sign = (100.0, "%") if row["unit"] == "%" else (1.0, "")
    digits = 2 if row["unit"] == "%" else 3
    value, low, high, least, most = (scale * row[name] for name in ("value", "low", "high", "change_low", "change_high"))
    if not np.isfinite(value):
        return "–"
    text = f"{value:.{digits}f}{sign}" + (f" [{low:.{digits}f}, {high:.{digits}f}]" if np.isfinite(low) else "")
    return (text + (" ↓" if most < 0 else " ↑" if least > 0 else "")).replace("-", "−")


def classes_table(run: str, finished: str, arm: str, names: list[str]) -> None:
    """Each class before and after."""
    rows = table(run, finished, "classes")
    before, after = (rows[rows["arm"] == one].set_index("class") for one in (BASE, arm))
    shown = pd.DataFrame({
        "Class": [names[k] for k in before.index], "Items": before["items"], "Recall": 100 * before["recall"],
        "Mean probability": 100 * before["probability"], "Share of items": 100 * before["share"],
        "Error before": 100 * before["error"], "Error after": 100 * after["error"],
    })  # fmt: skip
    percent = st.column_config.NumberColumn(format="%.1f%%")
    finer = st.column_config.NumberColumn(format="%.2f%%", help="ECE of the class's probability, bins of equal width")
    config = dict.fromkeys(("Recall", "Mean probability", "Share of items"), percent) | dict.fromkeys(
        ("Error before", "Error after"), finer
    )
    st.dataframe(
        shown.sort_values("Error before", ascending=False), hide_index=True, column_config=config, alt="Calibration of every class"
    )
    st.caption(f"Before: uncalibrated. After: {titles[arm]}. The class-wise ECE is the mean over all {len(names)} classes.")


def risk(run: str, finished: str, arm: str) -> None:
    """Errors among the most confident predictions."""
    rows = table(run, finished, "risk_coverage")
    arms = list(dict.fromkeys([BASE, arm]))
    chart = lines(
        rows[rows["arm"].isin(arms)],
        Axis("coverage", "Share of predictions kept, the most confident first", format=".0%"),
        Axis("risk", "Errors among them", format=".1%"),
        keys=keys_of(arms),
        dark=pictures.is_dark(),
    )
    picture = pictures.of_chart(chart)
    pictures.draw(picture)
    words = "Lower is better: where the curve is flat at the left, the most confident predictions are hardly ever wrong."
    exports.chart_menu(picture, f"risk and coverage {run} {arm}", words)


def take_away(run: str, finished: str, arm: str, names: list[str]) -> None:
    """The calibrator as JSON, the data, the page."""
    rows = table(run, finished, "calibrator").set_index("arm")["json"]
    with st.container(horizontal=True):
        if arm in rows:
            kept = json.loads(rows[arm]) | {"classes": names}
            st.download_button(
                f"{titles[arm]} (JSON)", json.dumps(kept, indent=1), f"calibrator {arm} {run}.json", "application/json",
                key="calibrator-json", icon=":material/download:", on_click="ignore",
                help="The calibrator's numbers, fitted on all items, and the formula that applies them.",
            )  # fmt: skip
        exports.data_button(store, run, SLUG, "Data")
        exports.page_button(store, run, SLUG, "Page")
        exports.push_button(store, run, SLUG)
    if arm in rows:
        st.markdown("How the file's numbers make probabilities:")
        st.code(kept["formula"], language=None, wrap_lines=True)


def result(run: str, source: str) -> None:
    """What was found, in a sentence, in pictures and in numbers."""
    finished = str(store.run(run)["finished"])
    readings = table(run, finished, "reading").set_index("arm")["text"]
    fitted = [name for name in titles if name in readings and name != BASE]
    facts = store.results(run).iloc[0]
    with st.container(border=True, key="reading"):
        st.markdown(f"#### {wording.plain(readings[BASE])}")
        arm = BASE
        if fitted:
            arm = st.segmented_control(
                "Calibrator", fitted, default=fitted[0], required=True, format_func=titles.__getitem__, key="calibrator",
                bind="query-params", label_visibility="collapsed", wrap=True,
            )  # fmt: skip
            st.markdown(wording.plain(readings[arm]))
        left = (
            f" {wording.count(int(facts['left_out']), 'item')} without a target among the model's classes left out."
            if facts["left_out"]
            else ""
        )
        st.caption(
            f"{int(facts['items']):,} items.{left} Calibrators are scored on the half that they were not fitted on; "
            "intervals are bootstrap 95%."
        )
    if "not_fitted" in store.table_names(run):
        for row in table(run, finished, "not_fitted").itertuples():
            st.info(f"{titles[row.arm]} was left out: {wording.plain(row.reason)}", icon=":material/block:")
    names = class_names(source, int(table(run, finished, "classes")["class"].max()) + 1)
    tabs = st.tabs(["Reliability", "Measures", "Classes", "Risk and coverage", "Take away"], key="part", bind="query-params")
    with tabs[0]:
        if tabs[0].open:
            diagram(run, finished, arm, names)
    with tabs[1]:
        measures_table(run, finished)
    with tabs[2]:
        classes_table(run, finished, arm, names)
    with tabs[3]:
        risk(run, finished, arm)
    with tabs[4]:
        take_away(run, finished, arm, names)


# --- the page -----------------------------------------------------------------------------------------------------

st.title("Calibration", anchor=False)
st.markdown("Is the model right as often as it says? And which calibrator, fitted afterwards, makes its confidence honest?")
found = sources()
if not found:
    st.markdown("No predictions are kept yet. Take a snapshot of a classifier on labelled data, and they are here.")
    st.page_link("models.py", label="Open Models", icon=":material/hub:")
    st.stop()
source = choose_source(found)
items, classes = shape_of(source)
if server.machine is None:
    following.wait_for_workers()
    st.stop()
with st.container(horizontal=True, vertical_alignment="center"):
    spec = make_spec(source, classes)
    following.run_button(spec, "Measure calibration", key="measure")
    st.caption(f"{items:,} items, {classes:,} classes")
now = server.progress(spec.run) if spec else None
if now and now.status in wording.ACTIVE:
    following.follow(spec.run, lambda now: following.bar(now, following.cells_done(now, "calibrator")))
elif now and now.status == "completed":
    result(spec.run, source)
elif now:
    st.markdown(wording.badge(now.status))
    following.failures(now)
