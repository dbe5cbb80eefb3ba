"""The papers that work on a model, on the features in a snapshot or on its weights; each to be run from the model's pages."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app import engine
from core import snapshots
from core.methods import registry
from core.methods.base import Method, ParameterError
from pages import following, wording

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
        following.wait_for_workers()
        return
    for method in registry.catalogue().values():
        if "features" in method.inputs:
            _row(method, {"snapshot": snapshot})


def weights_section(reference: str) -> None:
    """The same for papers that accept a model's weights: `reference` is owner/name@revision or starter/name, on this machine."""
    methods = [method for method in registry.catalogue().values() if "weights" in method.inputs]
    if not methods or server.machine is None:
        return
    st.markdown(f"Papers that work on weights, on those of **{wording.plain(reference)}**.")
    for method in methods:
        _row(method, {"weights": reference})


def _row(method: Method, inputs: dict[str, str]) -> None:
    try:
        spec = server.make_spec(method.slug, PRESET, inputs=inputs)
    except ParameterError as error:
        st.warning(wording.plain(str(error)), icon=":material/block:")
        return
    kept = store.run(spec.run)
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"on-{next(iter(inputs))}-{method.slug}"):
        with st.container(width="stretch", gap="xsmall"):
            paper = {"paper": method.slug, **inputs}
            st.page_link("method.py", label=f"**{method.paper.title}**", icon="", query_params=paper)
            st.caption(method.paper.idea)
        label = f"Run, {wording.duration(method.preset(PRESET).seconds)}"
        if following.run_button(spec, label, key=f"run-{spec.run}", kind="secondary"):
            st.rerun()
        if kept is not None:
            with st.container(width="content", gap="xsmall", horizontal_alignment="right"):
                st.markdown(wording.standing(kept["status"], store.verdicts(spec.run)["verdict"]))
                st.page_link(
                    "method.py",
                    label="Open the run",
                    icon=":material/open_in_new:",
                    query_params={"paper": method.slug, "run": spec.run},
                )
