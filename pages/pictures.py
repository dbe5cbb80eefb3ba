"""Charts on the pages: a view of a run as a Vega-Lite specification, computed once where the run has ended."""

from __future__ import annotations

from typing import Any, Literal

import altair
import pandas as pd
import pyarrow as pa
import streamlit as st
from altair.utils.schemapi import disable_debug_mode

from app import engine
from core import report
from core.charts import Axis, interval, lines
from core.methods import registry
from core.methods.base import View

Specification = dict[str, Any]
Size = Literal["full", "card"]

LOOK_SECONDS = 0.9  # less than from one look at a run to the next

altair.data_transformers.disable_max_rows()  # what a chart may show is decided by the store's queries
disable_debug_mode()  # each part of a chart is checked against its schema while it is put together: the tests do that


def is_dark() -> bool:
    """Whether the visitor sees the dark theme."""
    return st.context.theme.type == "dark"


def draw(specification: Specification) -> None:
    """Shows a chart as wide as its place."""
    st.vega_lite_chart(specification, theme=None, width="stretch")


def of_chart(chart: Any) -> Specification:
    """The specification of a chart of core.charts, which is right by its tests: validating it again would take most of the time.

    Its rows become Arrow tables, as Streamlit would make them each time anew that a kept specification is drawn.
    """
    found = chart.to_dict(validate=False)
    tables = {name: pa.Table.from_pandas(pd.DataFrame(rows)) for name, rows in found.get("datasets", {}).items()}
    return found | {"datasets": tables}


def with_rows(specification: Specification) -> Specification:
    """The same as any program reads it: rows instead of Arrow tables."""
    return specification | {"datasets": {name: table.to_pylist() for name, table in specification["datasets"].items()}}


def of_words(words: str) -> Specification:
    """An empty picture with a word about why, in a grey that both themes carry."""
    text = {"type": "text", "text": words, "fontSize": 13, "color": "#7B8490", "font": "Source Sans, sans-serif"}
    config = {"background": "transparent", "view": {"stroke": "#7B849055"}}
    return {"height": 330, "data": {"values": [{}]}, "mark": text, "config": config, "description": words}


def of_live_view(run: str, slug: str, view: View) -> Specification | None:
    """The specification of a view of a run that is under way; None where nothing was recorded for it yet."""
    return _shared_view(run, slug, view, is_dark())


@st.cache_data(max_entries=100, ttl=LOOK_SECONDS, show_spinner=False)
def _shared_view(run: str, slug: str, view: View, dark: bool) -> Specification | None:
    """Made once for all who watch."""
    return _of_view(run, slug, view, dark)


def _of_view(run: str, slug: str, view: View, dark: bool, size: Size = "full", frame: Any = None) -> Specification | None:
    chart = report.figure(engine().store, run, view, method=registry.declared(slug), dark=dark, size=size, frame=frame)
    return None if chart is None else of_chart(chart)


def of_ended_view(run: str, finished: Any, slug: str, number: int, size: Size = "full", frame: Any = None) -> Specification | None:
    """The specification of the method's view of that number, kept; a run that is run again has another `finished`."""
    return _kept_view(run, str(finished), slug, number, size, frame, is_dark())


@st.cache_data(max_entries=1000, show_spinner=False)
def _kept_view(run: str, finished: str, slug: str, number: int, size: Size, frame: Any, dark: bool) -> Specification | None:
    return _of_view(run, slug, registry.declared(slug).views[number], dark, size, frame)


def of_lines(frame: pd.DataFrame, x: Axis, y: Axis, colour: str, facet: str = "") -> Specification:
    """The specification of core.charts.lines, kept."""
    return _kept_lines(frame, x, y, colour, facet, is_dark())


@st.cache_data(max_entries=50, show_spinner=False)
def _kept_lines(frame: pd.DataFrame, x: Axis, y: Axis, colour: str, facet: str, dark: bool) -> Specification:
    return of_chart(lines(frame, x, y, colour=colour, facet=facet, dark=dark))


def of_verdict(verdict: dict[str, Any]) -> Specification:
    """The effect and its interval as one line."""
    return _kept_verdict(verdict, is_dark())


@st.cache_data(max_entries=1000, show_spinner=False)
def _kept_verdict(verdict: dict[str, Any], dark: bool) -> Specification:
    return of_chart(interval(pd.DataFrame([verdict]), size="card", dark=dark))
