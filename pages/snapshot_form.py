"""Making a snapshot: what a model makes of data, asked for by a form, followed while it is computed, and where to look at it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import streamlit as st

from app import engine
from core import snapshots
from core.data.items import bundled
from core.data.uploads import Limits, UploadError, read_upload
from core.engine import Progress
from core.hub import ModelInfo, starters
from core.methods import registry
from core.methods.base import ParameterError
from core.store import StoreError
from pages import following, model_card, visitor, wording

LOOKS = {  # page, what it says on the link, its icon
    "embeddings.py": ("Embeddings", ":material/scatter_plot:"),
    "calibration.py": ("Calibration", ":material/straighten:"),
    "pruning.py": ("Pruning", ":material/grid_on:"),
}
SOURCES = ("Bundled data", "Data set of the Hub", "Upload")
server = engine()
store = server.store
MOST_ITEMS = int(min(100_000, server.limits.snapshot_items))
MOST_BYTES = int(min(Limits().upload_bytes, 1e6 * server.limits.upload_megabytes))


def section(info: ModelInfo) -> None:
    """The form, the snapshot that is being made, and those that were made of this model."""
    if snapshots.SLUG not in registry.tools():
        return
    st.subheader("Snapshot", anchor=False)
    run = st.query_params.get("snapshot", "")
    progress = server.progress(run) if run else None
    with st.container(border=True, key="snapshot"):
        if progress and progress.status in wording.ACTIVE:
            following.follow(run, partial(under_way, run))
        else:
            if progress:
                outcome(run, progress)
            form(info)
    earlier(info, run)


def form(info: ModelInfo) -> None:
    """What to compute on what, and the button."""
    st.markdown("Compute what this model makes of data: features, and its answers where it gives any.")
    source = st.segmented_control("Data", SOURCES, default=SOURCES[0], required=True, key="snapshot-source")
    given, inputs, ready = {SOURCES[0]: of_bundled, SOURCES[1]: of_hub, SOURCES[2]: of_upload}[source](info)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        items = st.number_input(
            "Items", 10, MOST_ITEMS, min(500, MOST_ITEMS), step=100, key="snapshot-items",
            help=f"How many, from the first on; {MOST_ITEMS:,} at most.",
        )  # fmt: skip

        layer = st.selectbox(
            "Layer", ["", *blocks(info)], format_func=lambda name: name or "The last, pooled", key="snapshot-layer",
            help="Whose output is kept as features.",
        )  # fmt: skip
    values = {"model": info.name, "revision": info.commit, "items": int(items), "layer": layer, **given}
    if server.machine is None:
        following.wait_for_workers()
        return
    try:
        spec = server.make_spec(snapshots.SLUG, "quick", values, inputs=inputs) if ready else None
    except ParameterError as error:
        st.warning(wording.plain(str(error)), icon=":material/block:")
        spec = None
    if following.run_button(spec, "Make the snapshot", icon=":material/photo_camera:", key="make-snapshot"):
        st.query_params["snapshot"] = spec.run
        st.rerun()
    if spec and spec.run != st.query_params.get("snapshot") and snapshots.read(store, spec.run):
        st.caption("This snapshot is here already.")
        links(spec.run)


def under_way(run: str, now: Progress) -> None:
    """How far the snapshot is."""
    following.bar(now, f"{100 * now.fraction:.0f}% of the items" if now.fraction else "Loading the model")
    following.cancel_button(run, key="cancel-snapshot")


Given = tuple[dict[str, Any], dict[str, str], bool]  # parameters, inputs, and whether that is all that is needed


def of_bundled(info: ModelInfo) -> Given:
    """A set that ships with the app, and which part of it."""
    sets = {one.name: one for one in bundled("images" if "image" in info.task else "text")}
    own = next((one.data for one in starters() if one.name == info.name), "")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox(
            "Set", list(sets), index=list(sets).index(own) if own in sets else 0, format_func=lambda name: sets[name].title,
            key="snapshot-bundled", help="What ships with the app.",
        )  # fmt: skip
        parts = sets[name].parts
        split = st.selectbox("Part", list(parts), format_func=lambda part: f"{part}, {parts[part]:,} items", key=f"snapshot-{name}")
    return {"data": name, **({} if split == "test" else {"split": split})}, {}, True


def of_hub(info: ModelInfo) -> Given:
    """A data set by its id; only as much of it is downloaded as is asked for."""
    names = ("config", "split", "column", "label")
    with st.grid("auto", min_column_width=170):
        data = st.text_input("Data set", key="snapshot-data", placeholder="owner/name").strip()
        values = {name: st.text_input(name.capitalize(), key=f"snapshot-{name}", help=HELP[name]).strip() for name in names}
    return {"data": data, **{name: value for name, value in values.items() if value}}, {}, bool(data)


HELP: Mapping[str, str] = {
    "config": "The subset, where the data set has several.",
    "split": "Such as train or test; empty for test.",
    "column": "The column with the images or texts; empty to find it.",
    "label": "The column with the labels; empty to find it.",
}


def of_upload(info: ModelInfo) -> Given:
    """A file of one's own, or one that was uploaded before."""
    file = st.file_uploader(
        f"File, up to {model_card.size(MOST_BYTES)}",
        key="snapshot-file",
        max_upload_size=math.ceil(MOST_BYTES / 1e6),
        help="A row an item (CSV, Parquet), or a zip of images in a folder a class.",
    )
    if file is not None:
        digest = kept_upload(file.name, file.getvalue())
        return {}, {"upload": digest} if digest else {}, digest is not None
    kept = store.uploads(visitor.name())
    if kept.empty:
        st.caption("Nothing has been uploaded yet. The file stays in this app's own store.")
        return {}, {}, False
    named = {row.digest: f"{row.name}, {row.rows:,} of {row.kind}" for row in kept.itertuples()}
    chosen = st.selectbox("Or one from before", list(named), index=None, format_func=named.__getitem__, key="snapshot-upload")
    return {}, {"upload": chosen} if chosen else {}, chosen is not None


def kept_upload(name: str, content: bytes) -> str | None:
    """Keeps an uploaded file in the store; its digest, or None with the reason said."""
    try:
        read = read_upload(name, content, Limits(upload_bytes=MOST_BYTES))
        me = visitor.name()
        if store.upload(read.digest) is None or (me and me not in store.owners(read.digest)):
            with store.writing() as writer:
                writer.add_upload(read.digest, name, read.kind, read.rows, read.file)
                if me:
                    writer.add_owner(read.digest, me)
    except (UploadError, StoreError) as error:
        st.warning(wording.plain(str(error)), icon=":material/block:")
        return None
    classes = f" in {len(read.classes)} classes" if read.classes else ", without labels"
    st.caption(f"{wording.plain(name)}: {read.rows:,} of {read.kind}{classes}")
    return read.digest


def blocks(info: ModelInfo) -> list[str]:
    """Names of the numbered blocks, whose outputs are worth a look."""
    names: dict[str, None] = {}
    for tensor in info.tensors:
        parts = tensor.name.split(".")
        for place, part in enumerate(parts[:-1]):
            if part.isdecimal():
                names[".".join(parts[: place + 1])] = None
                break
    return list(names)


def outcome(run: str, progress: Progress) -> None:
    """How the snapshot in the link has ended."""
    if progress.status == "completed":
        made = snapshots.read(store, run)
        st.markdown(f"{wording.badge('completed', 'ready')} {wording.plain(made.title) if made else ''}")
        links(run)
    else:
        st.markdown(wording.badge(progress.status))
        following.failures(progress)


def links(run: str) -> None:
    """Where a snapshot can be looked at."""
    with st.container(horizontal=True):
        for page, (title, icon) in LOOKS.items():
            if (Path(__file__).parent / page).exists():
                st.page_link(page, label=title, icon=icon, query_params={"snapshot": run})


def earlier(info: ModelInfo, shown: str) -> None:
    """Snapshots of this model that are kept."""
    kept = [
        snapshot
        for snapshot in snapshots.every(store, **visitor.sees())
        if snapshot.params.get("model") == info.name and snapshot.run != shown
    ]
    if kept:
        with st.expander(f"Earlier snapshots of this model ({len(kept)})"):
            for snapshot in kept:
                st.caption(f"{wording.plain(snapshot.title)} · {snapshot.created:%-d %b %Y, %H:%M} UTC")
                links(snapshot.run)
