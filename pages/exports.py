"""What can be taken away: a run's data and its stand-alone page; a chart as a picture and as its numbers; a table."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pandas as pd
import streamlit as st

from core import dataset_card, report
from core.hub.push import push
from core.store import Store
from core.stories import PictureSlide
from pages import pictures, pins, pushing
from pages.pictures import Specification


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


def push_button(store: Store, run: str, slug: str) -> None:
    """The run's files with a card, as a data set of the visitor's own on the Hub; asked first."""

    def send(repository: str, token: str, private: bool) -> str:
        with tempfile.TemporaryDirectory() as folder:
            dataset_card.write(store, run, repository, Path(folder))
            return push(Path(folder), repository, token, private, "dataset", f"Run {run} of {slug}")

    help = "A data set of your own on the Hugging Face Hub, with a card; it can be imported again."
    if st.button("Push as a data set", icon=":material/cloud_upload:", key=f"push-{run}", help=help):
        words = (
            "This makes a new data set with everything that the run recorded, and a card. A data set that exists is never changed."
        )
        pushing.ask(words, f"{slug}-{run}", send)


def chart_menu(specification: Specification, name: str, caption: str = "", slide: PictureSlide | None = None) -> None:
    """Under a chart: its caption, and a menu to take it away as a picture or as its numbers; each made when it is pressed.

    Args:
        name: of the files; it tells the charts of a page apart.
        slide: what it can be pinned to a story as.
    """
    dark = pictures.is_dark()
    with _menu(name, caption, slide):
        _file(name, "PNG", "image/png", lambda: report.image(pictures.with_rows(specification), "png", dark=dark))
        _file(name, "SVG", "image/svg+xml", lambda: report.image(pictures.with_rows(specification), "svg", dark=dark))
        _frames(name, lambda: report.drawn(pictures.with_rows(specification)))


def table_menu(frame: pd.DataFrame, name: str, caption: str = "") -> None:
    """The same under a table."""
    with _menu(name, caption):
        _frames(name, lambda: frame)


@contextmanager
def _menu(name: str, caption: str, slide: PictureSlide | None = None) -> Iterator[None]:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(caption or " ", width="stretch")
        if slide:
            pins.button(slide)
        with (
            st.popover("Take away", icon=":material/download:", type="tertiary", key=f"take-{name}"),
            st.container(horizontal=True, gap="small"),
        ):
            yield


def _frames(name: str, frame: Callable[[], pd.DataFrame]) -> None:
    _file(name, "CSV", "text/csv", lambda: frame().to_csv(index=False).encode())
    _file(name, "Parquet", "application/vnd.apache.parquet", lambda: frame().to_parquet(index=False))


def _file(name: str, kind: str, mime: str, make: Callable[[], bytes]) -> None:
    st.download_button(kind, make, f"{name}.{kind.lower()}", mime, key=f"{kind}-{name}", on_click="ignore")


def zipped(store: Store, run: str) -> bytes:
    """The run's files in one."""
    buffer = BytesIO()
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in store.export(run, folder):
            archive.write(path, path.name)
    return buffer.getvalue()
