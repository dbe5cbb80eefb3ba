"""A pruned model to take away: its files as one zip, or pushed to the Hub."""

from __future__ import annotations

from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from app import engine
from core import exported
from core.engine import Spec
from core.hub.push import push
from core.methods import registry
from core.methods.base import ParameterError
from pages import following, pushing, wording

SLUG = "pruned-weights"

server = engine()
store = server.store


def section(row: dict[str, Any], present: list[str], sweep: pd.DataFrame) -> None:
    """The choice of a criterion and a sparsity, the preparation of the files, and what can be done with them.

    Args:
        row: a run of the tool pruning. present: the criteria that it has. sweep: its table of that name.
    """
    titles = {arm.name: arm.title for arm in registry.declared("pruning").arms}
    st.markdown(
        "**The pruned model**: safetensors with exact zeros, configuration and tokeniser, and a card with the measurements."
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        criterion = st.selectbox(
            "Criterion", present, format_func=titles.__getitem__, key="take-criterion", bind="query-params", width=240
        )
        sparsities = sorted(int(percent) for percent in sweep["sparsity"].unique() if percent > 0)
        sparsity = st.selectbox(
            "Sparsity (%)", sparsities, index=len(sparsities) - 1, key="take-sparsity", bind="query-params", width=160
        )
    spec = _spec(row, criterion, sparsity)
    if spec is None:
        return
    folder = _folder(spec.run)
    if folder is not None:
        _ready(spec.run, folder, f"{row['spec']['params']['model'].rpartition('/')[2]}-pruned-{sparsity}")
        return
    following.run_button(spec, "Prepare the files", "Prepare the files again", icon=":material/inventory_2:", key="prepare")
    now = server.progress(spec.run)
    if now and now.status in wording.ACTIVE:
        following.follow(spec.run, lambda now: following.bar(now, "Writing the files"))
    elif now and now.status == "completed":
        st.caption("The files were removed since they were made.")
    elif now:
        following.failures(now)


def _spec(row: dict[str, Any], criterion: str, sparsity: int) -> Spec | None:
    tool, given = registry.declared(SLUG), row["spec"]["params"]
    own = vars(tool.make_params("quick"))
    wanted = {**{name: given[name] for name in own if name in given}, "criterion": criterion, "sparsity": sparsity}
    try:
        changed = {name: value for name, value in wanted.items() if value != own[name]}
        return server.make_spec(SLUG, "quick", changed, device=row["device"], inputs=row["spec"].get("inputs"))
    except ParameterError as error:
        st.warning(wording.plain(str(error)), icon=":material/block:")
        return None


def _folder(run: str) -> Any:
    """Where the files of a complete run are; None where there are none, or not any more."""
    kept = store.run(run)
    table = store.table(run, "export") if kept and kept["status"] == "completed" else ()
    return exported.find(table["folder"].iloc[-1]) if len(table) else None


def _ready(run: str, folder: Any, name: str) -> None:
    """What the files are, and the two ways to take them away."""
    files = store.table(run, "files")
    size = files["bytes"].sum()
    st.caption(f"{wording.count(len(files), 'file')}, {size / 1e6:.1f} MB before compression. They are kept for a day.")
    with st.container(horizontal=True):
        st.link_button("Download (zip)", f"exported/{run}", icon=":material/download:", type="primary")
        if st.button("Push to the Hub", icon=":material/cloud_upload:", key="push"):
            words = "This makes a new model repository with the files and the card. A repository that exists is never changed."
            pushing.ask(words, name, partial(push, folder))
    with st.expander("Model card"):
        st.code((folder / "README.md").read_text(encoding="utf-8"), language="markdown", wrap_lines=True)
