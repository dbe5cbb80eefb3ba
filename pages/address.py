"""Values that a callback puts into the address.

Parts of a page that draw themselves anew every second send the address as the browser has it. Such a request may have left before a
change got there, and would undo it: what was written last is written again for a few seconds.
"""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

KEPT_SECONDS = 5.0

Values = dict[str, Any]  # strings, lists of them, or None for what is not there


def write(values: Values) -> None:
    """Puts values into the address, and takes those out that are None."""
    st.session_state["written"] = (_place(), time.monotonic(), {name: _read(name) for name in values}, values)
    _put(values)


def settle() -> None:
    """Writes again what a late request has undone; to be called before a page reads the address."""
    place, at, before, values = st.session_state.get("written", ("", 0.0, {}, {}))
    late = time.monotonic() - at < KEPT_SECONDS and place == _place()
    if late and all(_read(name) == value for name, value in before.items()):
        _put(values)


def _place() -> str:
    return (st.context.url or "").partition("?")[0]


def _read(name: str) -> Any:
    return st.query_params.get_all(name) or None


def _put(values: Values) -> None:
    for name, value in values.items():
        if value is None:
            st.query_params.pop(name, None)
        else:
            st.query_params[name] = value
