"""A run to take away: buttons for its data and its stand-alone page."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import Any, Literal

import streamlit as st

from core import report
from core.store import Store


def data_button(store: Store, run: str, slug: str, label: str) -> None:
    """Everything that the run recorded, as one zip file; made when it is pressed."""
    st.download_button(
        label,
        lambda: zipped(store, run),
        f"{slug} {run}.zip",
        "application/zip",
        key=f"data-{run}",
        icon=":material/download:",
        help="Everything that was recorded, as Parquet; the results also as CSV and JSON.",
        on_click="ignore",
    )


def page_button(store: Store, run: str, slug: str, label: str) -> None:
    """The run's pictures and verdicts as one HTML file that needs no server; made when it is pressed."""
    st.download_button(
        label,
        lambda: report.page(store, run),
        f"{slug} {run}.html",
        "text/html",
        key=f"page-{run}",
        icon=":material/html:",
        help="The pictures and the verdicts in one file that opens in any browser.",
        on_click="ignore",
    )


def picture_button(make: Callable[[], Any], run: str, slug: str, kind: Literal["png", "svg"]) -> None:
    """The chart that `make` returns as a file; made and drawn when it is pressed."""
    st.download_button(
        f"Picture ({kind.upper()})",
        lambda: report.image(make(), kind),
        f"{slug} {run}.{kind}",
        "image/png" if kind == "png" else "image/svg+xml",
        key=f"{kind}-{run}",
        icon=":material/image:",
        help="The picture that is shown above.",
        on_click="ignore",
    )


def zipped(store: Store, run: str) -> bytes:
    """The run's files in one."""
    buffer = BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in store.export(run, folder):
            archive.write(path, path.name)
    return buffer.getvalue()
