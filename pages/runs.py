"""Everything that ran: filter, open, compare curves, cancel, delete after asking, export."""

from typing import Any

import pandas as pd
import streamlit as st

from app import engine
from core.charts import Axis, lines
from core.methods import registry
from pages import exports, pictures, wording

PAGE_LENGTH = 20
COMPARABLE = 6  # more curves over each other cannot be told apart

server = engine()
store = server.store
papers = registry.catalogue()


def title_of(slug: str) -> str:
    """The paper's title, or its slug where its file has gone."""
    return papers[slug].paper.title if slug in papers else slug


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
            st.page_link("method.py", label=f"**{title_of(run.slug)}**", query_params={"paper": run.slug, "run": run.run}, icon="")
            facts = f"{run.preset} preset · {run.created:%-d %b %Y, %H:%M} UTC · {run.run}"
            st.caption(facts if pd.isna(run.seconds) else f"{facts} · {wording.duration(run.seconds)} on {run.device}")
        with st.container(width=260):
            if run.status in wording.ACTIVE:
                progress(run.run)
            else:
                st.markdown(wording.standing(run.status, store.verdicts(run.run)["verdict"]))
        with st.container(horizontal=True, horizontal_alignment="right", width="stretch"):
            actions(run)


def actions(run: Any) -> None:
    """The buttons of one run."""
    if run.status in wording.ACTIVE:
        st.button("Cancel", icon=":material/stop:", key=f"cancel-{run.run}", on_click=server.cancel, args=(run.run,))
        return
    chosen = run.run in st.query_params.get_all("compare")
    st.button(
        "Compared" if chosen else "Compare",
        icon=":material/check:" if chosen else ":material/stacked_line_chart:",
        key=f"compare-{run.run}",
        on_click=leave_out if chosen else take_in,
        args=(run.run,),
    )
    exports.data_button(store, run.run, run.slug, "Export")
    if st.button("Delete", icon=":material/delete:", key=f"delete-{run.run}"):
        ask_before_deleting(run.run, title_of(run.slug), run.preset)


def take_in(run: str) -> None:
    """Adds a run to the comparison, which is in the URL; the oldest of too many leaves it."""
    st.query_params["compare"] = [*st.query_params.get_all("compare"), run][-COMPARABLE:]


def leave_out(run: str) -> None:
    """Takes a run out of the comparison."""
    st.query_params["compare"] = [other for other in st.query_params.get_all("compare") if other != run]


@st.fragment(run_every=1)
def progress(run: str) -> None:
    """A bar that moves by itself until the run has ended."""
    now = server.progress(run)
    if now is None or now.status not in wording.ACTIVE:
        st.rerun()
    st.progress(now.fraction, text=f"{now.status.capitalize()}{wording.left(now.eta_seconds)}")


@st.dialog("Delete this run?")
def ask_before_deleting(run: str, title: str, preset: str) -> None:
    """Deletes only what a person confirms."""
    st.markdown(f"The {preset} run `{run}` of **{title}** and all that it recorded will be gone. This cannot be undone.")
    with st.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Keep it"):
            st.rerun()
        if st.button("Delete for good", type="primary", icon=":material/delete:"):
            server.delete(run)
            leave_out(run)
            st.rerun()


def comparison(runs: pd.DataFrame) -> None:
    """The curves of the chosen runs over each other."""
    chosen = runs[runs["run"].isin(st.query_params.get_all("compare"))]
    if chosen.empty:
        return
    named = {run.run: f"{run.slug}, {run.preset}, {run.created:%-d %b %H:%M}" for run in chosen.itertuples()}
    recorded = [set(store.scalar_names(run)) for run in named]
    names = sorted(set.intersection(*recorded)) or sorted(set.union(*recorded))
    if not names:
        st.info("These runs recorded no curves.", icon=":material/show_chart:")
        return
    with st.container(horizontal=True):
        name = st.pills("Curve", names, default=names[0], required=True, key="curve", bind="query-params")
        frame = pd.concat([store.curves(run, name).assign(run=title) for run, title in named.items()])
        series = list(frame["series"].unique())
        if len(series) > 1:
            part = st.selectbox(
                "Series", series, format_func=lambda name: name or "unnamed", key="series", bind="query-params", width=220
            )
            frame = frame[frame["series"] == part]
    chart = lines(frame, Axis("step"), Axis("value", name.replace("_", " ")), colour="run", facet="arm", dark=pictures.is_dark())
    with st.container(key="comparison"):
        pictures.draw(pictures.of_chart(chart))


st.title("Runs", anchor=False)
everything = store.runs()
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
