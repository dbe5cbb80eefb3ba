"""The papers that work on frozen features, each to be run on a snapshot from the snapshot's own page."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app import engine
from core import snapshots
from core.engine import Spec
from core.methods import registry
from core.methods.base import Method, ParameterError
from pages import wording

server = engine()
store = server.store
PRESET = "quick"


def section(snapshot: str) -> None:
    """A row for each paper that accepts features: run its quick preset on the snapshot, and open the run on the paper's page."""
    found = snapshots.read(store, snapshot)
    if found is None:
        st.caption("There is no complete snapshot; papers run on the features of one.")
        return
    st.markdown(f"Papers that work on frozen features, on **{wording.plain(found.title)}**, each with its quick preset.")
    classes = len(np.unique(found.labels[found.labels >= 0]))
    if classes < 2:
        what = "no item has a label" if not classes else "all labelled items are of one class"
        st.info(
            f"They need labels of at least two classes, but {what}. Make a snapshot of other data.", icon=":material/label_off:"
        )
        return
    if server.machine is None:
        st.caption("The workers are warming up; this takes a few seconds after a start.")
        return
    for method in registry.catalogue().values():
        if "features" in method.inputs:
            _row(method, snapshot)


def _row(method: Method, snapshot: str) -> None:
    try:
        spec = server.make_spec(method.slug, PRESET, inputs={"snapshot": snapshot})
    except ParameterError as error:
        st.warning(str(error), icon=":material/block:")
        return
    kept = store.run(spec.run)
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"on-snapshot-{method.slug}"):
        with st.container(width="stretch", gap="xsmall"):
            paper = {"paper": method.slug, "snapshot": snapshot}
            st.page_link("method.py", label=f"**{method.paper.title}**", icon="", query_params=paper)
            st.caption(method.paper.idea)
        if kept is None or kept["status"] not in (*wording.ACTIVE, "completed"):
            label = f"Run, {wording.duration(method.preset(PRESET).seconds)}"
            st.button(label, icon=":material/play_arrow:", key=f"run-{spec.run}", on_click=_submit, args=(spec,))
        if kept is not None:
            with st.container(width="content", gap="xsmall", horizontal_alignment="right"):
                st.markdown(wording.standing(kept["status"], store.verdicts(spec.run)["verdict"]))
                st.page_link(
                    "method.py",
                    label="Open the run",
                    icon=":material/open_in_new:",
                    query_params={"paper": method.slug, "run": spec.run},
                )


def _submit(spec: Spec) -> None:
    server.submit(spec, again=True)
