"""Charts on the pages: a view of a run as a Vega-Lite specification, computed once where the run has ended.

Kept functions are called with the names of their arguments, which Streamlit would otherwise look up every time.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Literal

import altair
import numpy as np
import pandas as pd
import pyarrow as pa
import streamlit as st
from altair.utils.data import to_values
from altair.utils.schemapi import disable_debug_mode

from app import engine
from core import report
from core.charts import Axis, interval, lines
from core.methods import registry
from core.methods.base import View

Specification = dict[str, Any]
Size = Literal["full", "card"]

LOOK_SECONDS = 0.9  # less than from one look at a run to the next

_tables: ContextVar[dict[int, tuple[str, pd.DataFrame]]] = ContextVar("tables")  # of the chart that is being written
disable_debug_mode()  # each part of a chart is checked against its schema while it is put together: the tests do that


def is_dark() -> bool:
    """Whether the visitor sees the dark theme."""
    return st.context.theme.type == "dark"


def draw(specification: Specification) -> None:
    """Shows a chart as wide as its place."""
    st.vega_lite_chart(specification, theme=None, width="stretch")


def of_chart(chart: Any) -> Specification:
    """The specification of a chart of core.charts, which is right by its tests: validating it again would take most of the time.

    Its rows become Arrow tables, as Streamlit would make them each time anew that a kept specification is drawn. They are called
    by their order and not by what is in them, so that new points go into the picture that a browser has.
    """
    tables: dict[int, tuple[str, pd.DataFrame]] = {}
    mine = _tables.set(tables)
    try:
        found = chart.to_dict(validate=False)
    finally:
        _tables.reset(mine)
    return found | {"datasets": {name: _arrow(rows) for name, rows in tables.values()}}


def _named_table(data: pd.DataFrame) -> dict[str, Any]:
    """What Altair writes in place of a chart's rows: their name, while `of_chart` is at work, else the rows."""
    tables = _tables.get(None)
    if tables is None:
        return to_values(data)
    return {"name": tables.setdefault(id(data), (f"rows-{len(tables)}", data))[0]}


altair.data_transformers.register("tables", _named_table)
altair.data_transformers.enable("tables")  # with any number of rows: what a chart may show is decided by the store's queries


def _arrow(rows: pd.DataFrame) -> bytes:
    table = pa.Table.from_pandas(rows.replace([np.inf, -np.inf], np.nan), preserve_index=False)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def with_rows(specification: Specification) -> Specification:
    """The same as any program reads it: rows instead of Arrow tables."""
    tables = {name: pa.ipc.open_stream(table).read_all() for name, table in specification["datasets"].items()}
    return specification | {"datasets": {name: table.to_pylist() for name, table in tables.items()}}


def of_words(words: str) -> Specification:
    """An empty picture with a word about why, in a grey that both themes carry."""
    text = {"type": "text", "text": words, "fontSize": 13, "color": "#7B8490", "font": "Source Sans, sans-serif"}
    config = {"background": "transparent", "view": {"stroke": "#7B849055"}}
    return {"height": 330, "data": {"values": [{}]}, "mark": text, "config": config, "description": words}


def of_live_view(run: str, slug: str, view: View) -> Specification | None:
    """The specification of a view of a run that is under way; None where nothing was recorded for it yet."""
    return _shared_view(run=run, slug=slug, view=view, dark=is_dark())


@st.cache_data(max_entries=100, ttl=LOOK_SECONDS, show_spinner=False)
def _shared_view(run: str, slug: str, view: View, dark: bool) -> Specification | None:
    """Made once for all who watch."""
    return _of_view(run, slug, view, dark)


def _of_view(run: str, slug: str, view: View, dark: bool, size: Size = "full", frame: Any = None) -> Specification | None:
    chart = report.figure(engine().store, run, view, method=registry.declared(slug), dark=dark, size=size, frame=frame)
    return None if chart is None else of_chart(chart)


def of_ended_view(run: str, finished: Any, slug: str, number: int, size: Size = "full", frame: Any = None) -> Specification | None:
    """The specification of the method's view of that number, kept; a run that is run again has another `finished`."""
    return _kept_view(run=run, finished=str(finished), slug=slug, number=number, size=size, frame=frame, dark=is_dark())


@st.cache_data(max_entries=1000, show_spinner=False)
def _kept_view(run: str, finished: str, slug: str, number: int, size: Size, frame: Any, dark: bool) -> Specification | None:
    return _of_view(run, slug, registry.declared(slug).views[number], dark, size, frame)


def of_lines(frame: pd.DataFrame, x: Axis, y: Axis, colour: str, facet: str = "") -> Specification:
    """The specification of core.charts.lines, kept."""
    return _kept_lines(frame=frame, x=x, y=y, colour=colour, facet=facet, dark=is_dark())


@st.cache_data(max_entries=50, show_spinner=False)
def _kept_lines(frame: pd.DataFrame, x: Axis, y: Axis, colour: str, facet: str, dark: bool) -> Specification:
    return of_chart(lines(frame, x, y, colour=colour, facet=facet, dark=dark))


def of_verdict(verdict: dict[str, Any]) -> Specification:
    """The effect and its interval as one line."""
    return _kept_verdict(verdict=verdict, dark=is_dark())


@st.cache_data(max_entries=1000, show_spinner=False)
def _kept_verdict(verdict: dict[str, Any], dark: bool) -> Specification:
    return of_chart(interval(pd.DataFrame([verdict]), size="card", dark=dark))
