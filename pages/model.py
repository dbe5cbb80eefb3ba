"""One model: what it is, its layers and files, its card; the way to download it, and to make a snapshot of what it makes of data.

`?model=` and `?revision=` choose the model, `?snapshot=` the snapshot that is shown.
"""

from functools import partial

import streamlit as st

from app import engine
from core import hub
from core.engine import Progress, Spec
from core.hub import HubError, ModelInfo
from core.methods.base import ParameterError
from pages import following, model_card, snapshot_form, wording

server = engine()


@st.cache_data(ttl=600, max_entries=50, show_spinner=False)
def inspected(name: str, revision: str) -> ModelInfo:
    """What is known of a model. Raises: HubError."""
    return hub.inspect(name, revision)


def way_back() -> None:
    """To the list, as it was left."""
    kept = st.session_state.get("catalogue", {})
    st.page_link("models.py", label="All models", icon=":material/arrow_back:", query_params=kept)


def model_page(name: str, revision: str) -> None:
    """Everything about one model."""
    way_back()
    st.title(wording.plain(name), anchor=False)
    st.set_page_config(page_title=name)
    try:
        with st.spinner("Reading what the model is made of …"):
            info = inspected(name, revision)
    except HubError as error:
        icon = ":material/cloud_off:" if error.offline else ":material/error:"
        (st.info if error.offline else st.error)(wording.plain(str(error)), icon=icon)
        st.button("Try again", icon=":material/refresh:")
        return
    about(info)
    if info.obstacle:
        st.warning(wording.plain(info.obstacle), icon=":material/block:")
    elif get(info):
        snapshot_form.section(info)
    layers, files, card, configuration = st.tabs(["Layers", "Files", "Card", "Configuration"], key="about", bind="query-params")
    for tab, show in ((layers, show_layers), (files, show_files), (card, show_card), (configuration, show_configuration)):
        if tab.open:
            with tab:
                show(info)


def about(info: ModelInfo) -> None:
    """What it is in a line, and whether it fits this machine."""
    facts = [wording.plain(hub.TASKS.get(info.task, info.task)) if info.task else "task not named"]
    facts += [wording.plain(info.library)] if info.library else []
    facts += [f"licence {wording.plain(info.licence)}" if info.licence else "no licence named"]
    facts += [f"{model_card.amount(info.parameters)} parameters"] if info.parameters else []
    facts += [f"{len(info.labels)} classes"] if info.labels else []
    facts += [f"{model_card.amount(info.downloads)} downloads"] if info.downloads is not None else []
    facts += ["gated"] if info.gated else []
    st.markdown(" · ".join(facts))
    parts = []
    if info.parameters:
        needs = f"needs about {model_card.size(info.memory_bytes)} of the {model_card.size(server.model_bytes)} that a run may hold"
        fits = hub.fits(info, server.model_bytes)
        parts += [f":green-badge[:material/check: fits] {needs}" if fits else f":red-badge[:material/close: too large] {needs}"]
    if info.commit:
        where = f"revision {wording.plain(info.revision)} is commit {info.commit[:12]}"
        parts += [f"{where}, as it is on this machine" if info.local else where]
    st.caption(" · ".join(parts))


def show_layers(info: ModelInfo) -> None:
    """The tree of layers with their shapes and counts."""
    if not info.tensors:
        st.markdown("No safetensors file tells the layers.")
        return
    rows = [
        {
            "Layer": "\N{NO-BREAK SPACE}" * 4 * depth + layer.name + (f"  ({layer.count} alike)" if layer.count > 1 else ""),
            "Shape": " × ".join(map(str, layer.tensor.shape)) if layer.tensor else "",
            "Type": layer.tensor.dtype if layer.tensor else "",
            "Parameters": layer.parameters,
            "Share": 100 * layer.parameters / max(info.parameters, 1),
        }
        for depth, layer in info.layers.walk()
    ]
    st.dataframe(
        rows,
        hide_index=True,
        height=min(36 * (len(rows) + 1), 420),
        column_config={
            "Layer": st.column_config.TextColumn(width="medium"),
            "Parameters": st.column_config.NumberColumn(format="localized"),
            "Share": st.column_config.ProgressColumn(format="%.1f%%", min_value=0, max_value=100),
        },
        alt="The layers of the model with their shapes and parameters",
    )
    st.caption("From the headers of the safetensors files. Numbered layers that are alike are one entry, counted together.")


def show_files(info: ModelInfo) -> None:
    """Every file with its size, and whether it is fetched."""
    rows = [
        {"File": file.name, "Size": model_card.size(file.size), "Downloaded": file.wanted}
        for file in sorted(info.files, key=lambda file: -file.size)
    ]
    st.dataframe(
        rows, hide_index=True, column_config={"File": st.column_config.TextColumn(width="large")}, alt="Files of the model"
    )
    st.caption("Only safetensors and plain configuration and tokeniser files are downloaded: no pickle, no code.")


def show_card(info: ModelInfo) -> None:
    """The README, text of a stranger."""
    if not info.card.strip():
        st.markdown("This model has no card.")
        return
    st.markdown(model_card.as_markdown(info.card), width=820)


def show_configuration(info: ModelInfo) -> None:
    """config.json."""
    if info.config:
        st.json(dict(info.config), expanded=1)
    else:
        st.markdown("This model has no config.json.")


# --- getting it ---------------------------------------------------------------------------------------------------


def get(info: ModelInfo) -> bool:
    """Draws the way to the model's files; whether they are on this machine."""
    if hub.folder(info.name, info.commit or info.revision):
        if info.commit:
            st.markdown(":green-badge[:material/check: on this machine]")
        return True
    with st.container(border=True, key="download"):
        if server.machine is None:
            following.wait_for_workers()
            return False
        try:
            spec = server.make_spec("download", "quick", {"model": info.name, "revision": info.commit}, device="cpu")
        except ParameterError as error:
            st.warning(wording.plain(str(error)), icon=":material/block:")
            return False
        offer_download(info, spec)
    return False


def offer_download(info: ModelInfo, spec: Spec) -> None:
    """The button, with how far the download is, or what happened the last time."""
    total, here = sum(file.size for file in info.wanted), hub.held(info)
    label = f"Go on, {model_card.size(total - here)} left" if here else f"Download {model_card.size(total)}"
    fits = hub.fits(info, server.model_bytes)
    with st.container(horizontal=True, vertical_alignment="center"):
        following.run_button(spec if fits else None, label, label, icon=":material/download:", key="download-files")
        files = wording.count(len(info.wanted), "file")
        st.caption(
            f"{files} into the Hub's cache of this machine: safetensors and plain configuration."
            if fits
            else "Too large for a run on this machine. Choose a smaller model, or a machine with more memory."
        )
    now = server.progress(spec.run)
    if now and now.status in wording.ACTIVE:
        following.follow(spec.run, partial(watch_download, info))
    elif now and now.status == "failed":
        following.failures(now)


def watch_download(info: ModelInfo, progress: Progress) -> None:
    """How far it is."""
    total, here = sum(file.size for file in info.wanted), hub.held(info)
    words = f"{model_card.size(here)} of {model_card.size(total)}{wording.left(progress.eta_seconds)}"
    st.progress(min(here / max(total, 1), 1.0), text="Waiting for a free worker" if progress.status == "queued" else words)


chosen = st.query_params.get("model", "").strip()
if not chosen:
    st.title("There is no model here", anchor=False)
    st.markdown("The link names no model.")
    way_back()
    st.stop()
model_page(chosen, st.query_params.get("revision", "").strip())
