"""The embedding explorer on a page: points drawn by WebGL in the browser, a selection back (see core/charts/explorer)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st

from core.charts import explorer

_component = st.components.v2.component(
    "embedding_explorer",
    html=(explorer.FOLDER / "explorer.html").read_text(encoding="utf-8"),
    css=(explorer.FOLDER / "explorer.css").read_text(encoding="utf-8"),
    js=(explorer.FOLDER / "bundle.js").read_text(encoding="utf-8") + "\n",
)


def draw(packed: bytes, key: str, on_selection: Callable[[], None]) -> None:
    """Shows packed points. `on_selection` is called when the visitor has selected; `selection_of` says what."""
    _component(data=packed, key=key, on_selection_change=on_selection)


def selection_of(key: str) -> dict[str, Any]:
    """{"polygon": [[x, y], ...]}, {"point": index}, or {} where nothing is selected."""
    state = st.session_state.get(key) or {}
    found = state.get("selection") if hasattr(state, "get") else getattr(state, "selection", None)
    return dict(found) if found else {}
