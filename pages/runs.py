"""Everything that ran: filter, open, compare curves, cancel, delete after asking, export."""

import json
from typing import Any

import pandas as pd
import streamlit as st

from app import engine
from core import imported
from core.charts import Axis
from core.data.uploads import UploadError
from core.methods import registry
from core.store import RunIsHere, StoreError
from pages import curves, exports, following, inputs, pictures, visitor, wording

PAGE_LENGTH = 20

server = engine()
store = server.store


def filters(runs: pd.DataFrame) -> pd.DataFrame:
    """Draws the filters, whose state is in the URL; returns the runs that pass."""
    with st.container(horizontal=True):
        slugs = st.multiselect("Paper", sorted(runs["slug"].unique()), key="paper_is", bind="query-params", width=360)
        present = [status for status in wording.STATUSES if status in set(runs["status"])]
        statuses = st.pills("Status", present, selection_mode="multi", key="status_is", bind="query-params")
        presets = st.pills("Preset", list(runs["preset"].unique()), selection_mode="multi", key="preset_is", bind="query-params")
    for column, wanted in (("slug", slugs), ("status", statuses), ("preset", presets)):
        if wanted:
            runs = runs[runs[column].isin(wanted)]
    return runs


def row(run: Any) -> None:
    """One run: what it is, how it stands, and what can be done with it."""
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"row-{run.run}"):
        with st.container(width=520, gap="xsmall"):
            heading(run)
            what = "own script" if run.slug == curves.OWN else f"{run.preset} preset"
            what = {"reference": "reference result · ", "imported": "imported · "}.get(run.origin, "") + what
            facts = f"{what} · {run.created:%-d %b %Y, %H:%M} UTC · {run.run}"
            facts = wording.plain(facts) if run.origin == "imported" else facts
            took = "" if pd.isna(run.seconds) else f" · {wording.duration(run.seconds)} on {wording.plain(run.device)}"
            st.caption(facts + took)
        with st.container(width=260):
            if run.status in wording.ACTIVE and run.slug != curves.OWN:
                following.follow(run.run, lambda now: following.bar(now, now.status.capitalize()))
            else:
                st.markdown(wording.standing(run.status, following.outcomes(run.run, run.finished)))
        with st.container(horizontal=True, horizontal_alignment="right", width="stretch"):
            actions(run)


def heading(run: Any) -> None:
    """The run's title, a link to where it is shown, and what a tool or a script of a person's own worked on."""
    spec = json.loads(run.spec)
    page, query = place_of(run, spec)
    st.page_link(page, label=f"**{wording.plain(curves.title_of(run))}**", query_params=query, icon="")
    params = spec["params"]
    if run.slug == curves.OWN and params:
        st.caption(wording.plain(", ".join(f"{name} = {value}" for name, value in params.items())))
    made = " on ".join(filter(None, [params.get("model"), params.get("data")])) if run.slug in registry.tools() else ""
    given = inputs.described(store, spec.get("inputs"))
    if made or given:
        st.caption(" ".join(filter(None, [wording.plain(made), given])))


def place_of(run: Any, spec: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """The page that shows a run, and its address there."""
    given, params = spec.get("inputs") or {}, spec["params"]
    match run.slug:
        case curves.OWN:
            return "dynamics.py", {"compare": run.run}
        case "snapshot":
            return "embeddings.py", {"snapshot": run.run}
        case "geometry" | "projection" | "comparison":
            return "embeddings.py", given
        case "calibration":
            return "calibration.py", {"snapshot": given.get("snapshot") or given["predictions"]}
        case "pruning":
            return "pruning.py", {"run": run.run}
        case "pruned-weights":
            return "pruning.py", {"model": params["model"], "data": params["data"]}
        case "download":
            return "model.py", {"model": params["model"]}
    return "method.py", {"paper": run.slug, "run": run.run}


def actions(run: Any) -> None:
    """The buttons of one run. What a script of a person's own does cannot be ended from here."""
    if run.status in wording.ACTIVE and run.slug != curves.OWN:
        following.cancel_button(run.run, key=f"cancel-{run.run}")
        return
    chosen = run.run in curves.chosen()
    st.button(
        "Compared" if chosen else "Compare",
        icon=":material/check:" if chosen else ":material/stacked_line_chart:",
        key=f"compare-{run.run}",
        on_click=curves.leave_out if chosen else curves.take_in,
        args=(run.run,),
    )
    exports.data_button(store, run.run, run.slug, "Export")
    if (
        run.origin != "reference"
        and following.may_end(run.run)
        and st.button("Delete", icon=":material/delete:", key=f"delete-{run.run}")
    ):
        ask_before_deleting(run.run, curves.title_of(run), run.preset)


@st.dialog("Delete this run?")
def ask_before_deleting(run: str, title: str, preset: str) -> None:
    """Deletes only what a person confirms."""
    st.markdown(
        f"The {preset} run `{run}` of **{wording.plain(title)}** and all that it recorded will be gone. This cannot be undone."
    )
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it"):
            st.rerun()
        if st.button("Delete for good", type="primary", icon=":material/delete:"):
            try:
                server.delete(run, visitor.name())
            except StoreError as error:
                st.error(str(error), icon=":material/error:")
            else:
                curves.leave_out(run)
                st.rerun()


def comparison(runs: pd.DataFrame) -> None:
    """The curves of the chosen runs over each other."""
    chosen = runs[runs["run"].isin(curves.chosen())]
    if chosen.empty:
        return
    named = curves.names_of(chosen)
    names = curves.recorded(store, named)
    if not names:
        st.info("These runs recorded no curves.", icon=":material/show_chart:")
        return
    with st.container(horizontal=True):
        name = st.pills(
            "Curve", names, default=names[0], required=True, format_func=wording.option, key="curve", bind="query-params"
        )
        frame = curves.together(store, named, name)
        series = list(frame["series"].unique())
        if len(series) > 1:
            part = st.selectbox(
                "Series", series, format_func=lambda name: name or "unnamed", key="series", bind="query-params", width=220
            )
            frame = frame[frame["series"] == part]
    picture = pictures.of_lines(frame, Axis("step"), Axis("value", name.replace("_", " ")), "run", "arm")
    with st.container(key="comparison"):
        pictures.draw(picture)
    exports.chart_menu(picture, f"comparison of {name}")
    st.page_link(
        "dynamics.py", label="Look closer: smoothing, spectra, phase portraits", icon=":material/timeline:",
        query_params={"compare": list(named)},
    )  # fmt: skip


def importing() -> None:
    """A run that was exported elsewhere: chosen, checked, and brought in; one that is here is replaced only where that is asked."""
    with st.popover("Import", icon=":material/upload:", key="import"):
        st.markdown("A run that was exported here or elsewhere, as one zip file. It is marked as imported.")
        replace = st.toggle("Replace a run that is here", key="import-replace")
        file = st.file_uploader("Zip file", type="zip", key=f"import-{st.session_state.get('imports', 0)}")
        if file is None:
            return
        try:
            with st.spinner("Checking the file …"):
                export = imported.read_zip(file.name, file.getvalue())
            with store.writing() as writer:
                writer.bring_in(export.tables, replace and following.may_end(export.run))
                if visitor.name():
                    writer.add_owner(export.run, visitor.name())
        except RunIsHere as error:
            st.warning(f"{error} Turn on “Replace a run that is here” to put this one in its place.", icon=":material/block:")
        except (UploadError, StoreError) as error:
            st.warning(wording.plain(str(error)), icon=":material/block:")
        else:
            st.session_state["imports"] = st.session_state.get("imports", 0) + 1  # an uploader that is empty
            st.session_state["imported"] = export.run
            st.rerun()


with st.container(horizontal=True, vertical_alignment="center"):
    st.title("Runs", anchor=False, width="stretch")
    importing()
if arrived := st.session_state.pop("imported", None):
    st.toast(f"Run {arrived} is here.", icon=":material/check:")
everything = store.runs(**visitor.sees())
if everything.empty:
    st.markdown("Nothing has run yet. Choose a paper in the gallery and press Run; what it records is kept here.")
    st.page_link("gallery.py", label="Open the gallery", icon=":material/grid_view:")
    st.stop()
found = filters(everything)
comparison(everything)
if found.empty:
    st.info("No run matches. Take a filter off.", icon=":material/search_off:")
pages = max(1, -(-len(found) // PAGE_LENGTH))
first = (st.pagination(pages, key="page", bind="query-params") - 1) * PAGE_LENGTH if pages > 1 else 0
for run in found.iloc[first : first + PAGE_LENGTH].itertuples():
    row(run)
