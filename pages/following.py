"""A run on a page: the button that starts it, its progress until it has ended, and what went wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

import streamlit as st

from app import engine
from core.engine import CellProgress, LimitError, Progress, Spec
from core.store import StoreError
from pages import visitor, wording

Draw = Callable[[Progress], None]
SENTENCE = re.compile("(ValueError|ParameterError|UnknownData|UploadError|HubError|HubDataError|ExportError): ")  # made to be read


@st.fragment(run_every=1)
def wait_for_workers() -> None:
    """Holds a page's controls back while the workers import what they need, a few seconds after the server's start."""
    st.caption("The workers are warming up; this takes a few seconds after a start.")
    if engine().machine is not None:
        st.rerun()


def run_button(
    spec: Spec | None,
    label: str,
    again: str = "",
    icon: str = ":material/play_arrow:",
    *,
    key: str,
    kind: Literal["primary", "secondary"] = "primary",
) -> bool:
    """One thing to press: `label`, Cancel while the spec's run is under way, `again` where it is complete (nothing without one).

    A press is a note that is answered here, when all controls have been read: the spec of the page as it was before may be
    another one, where a person moves a control and presses the button at once.

    Args:
        spec: of the controls; None disables the button.
        key: of this page alone: a press that is left behind on a page must not be answered on another.

    Returns:
        Whether the spec has just been queued, or its kept result asked for.
    """
    queued = _answer_press(spec, key)
    kept = engine().store.run(spec.run) if spec else None
    now = engine().progress(spec.run) if spec and kept else None  # which knows of ends that a full disk keeps from the store
    status = now.status if now else ""
    if status in wording.ACTIVE:
        cancel_button(spec.run, key=f"cancel/{key}")
    elif status == "completed" and kept["origin"] == "own":
        if again:
            st.button(again, icon=":material/replay:", key=f"again/{key}", on_click=_note, args=(key, True))
    else:
        more: dict[str, Any] = {"disabled": spec is None, "on_click": _note, "args": (key, False)}
        st.button(label, icon=icon, type=kind, key=key, **more)
    return queued


def _answer_press(spec: Spec | None, key: str) -> bool:
    again = st.session_state.pop(f"pressed/{key}", None)
    if spec is None or again is None:
        return False
    kept = engine().store.run(spec.run)
    complete = kept is not None and kept["status"] == "completed" and kept["origin"] == "own"
    try:
        engine().submit(spec, again=again or not complete, visitor=visitor.name())
    except LimitError as error:
        st.warning(str(error), icon=":material/hourglass_top:")
        return False
    except StoreError as error:
        st.error(str(error), icon=":material/error:")
        return False
    return True


def cancel_button(run: str, key: str) -> None:
    """Ends a run; only who asked for it can."""
    me = visitor.name()
    if may_end(run):
        st.button("Cancel", icon=":material/stop:", key=key, on_click=engine().cancel, args=(run, me))


def may_end(run: str) -> bool:
    """Whether the visitor may end or delete a run."""
    me = visitor.name()
    return not me or me in engine().store.owners(run)


def _note(key: str, again: bool) -> None:
    st.session_state[f"pressed/{key}"] = again


def follow(run: str, draw: Draw) -> None:
    """Draws a run, again every second while it is under way; when it has ended, the whole page is drawn anew.

    That happens once: a timer that fires again while the page is being drawn must not begin it anew.
    """
    active = _is_active(engine().progress(run))
    if active:
        st.session_state[f"followed/{run}"] = True
    st.fragment(_follow, run_every=1 if active else None)(run, draw)


def _follow(run: str, draw: Draw) -> None:
    now = engine().progress(run)
    if now is None:
        st.info("This run has been deleted.", icon=":material/delete:")
    elif _is_active(now) or not st.session_state.pop(f"followed/{run}", False):
        draw(now)
    else:
        st.rerun()


def _is_active(now: Progress | None) -> bool:
    return now is not None and now.status in wording.ACTIVE


def outcomes(run: str, finished: Any) -> list[str]:
    """The verdicts of an ended run, in the order of its claims."""
    return _kept_outcomes(run=run, finished=str(finished))


@st.cache_data(max_entries=1000, show_spinner=False)
def _kept_outcomes(run: str, finished: str) -> list[str]:
    """Of a run that is run again, `finished` is another."""
    return list(engine().store.verdicts(run)["verdict"])


def bar(now: Progress, words: str) -> None:
    """How far a run is, with how long is left."""
    queued = now.status == "queued"
    st.progress(now.fraction, text="Waiting for a free worker" if queued else f"{words}{wording.left(now.eta_seconds)}")


def cells_done(now: Progress, noun: str) -> str:
    """ "3 of 12 cells done"."""
    ended = sum(cell.status not in wording.ACTIVE for cell in now.cells)
    return f"{ended} of {wording.count(len(now.cells), noun)} done"


def failures(now: Progress) -> None:
    """What went wrong, each thing once: whose it is where there are several cells, and the traceback on demand."""
    failed = [cell for cell in now.cells if cell.status == "failed" and cell.message]
    raised = [cell for cell in failed if "\n" in cell.message]  # not what only builds on another
    counted = [now.message] if len(now.cells) > 1 or "\n" in now.message or not failed else []
    for message in filter(None, dict.fromkeys([*counted, *(cell.message for cell in raised or failed)])):
        said, _, traceback = message.partition("\n")
        st.error(wording.plain(SENTENCE.sub("", said, count=1)), title=_whose(now.cells, message), icon=":material/error:")
        if traceback.strip():
            with st.expander("Traceback"):
                st.code(traceback.strip(), language=None)


def _whose(cells: tuple[CellProgress, ...], message: str) -> str | None:
    mine = [cell for cell in cells if cell.message == message]
    return "; ".join(f"{cell.arm}, seed {', '.join(map(str, cell.seeds))}" for cell in mine) or None if len(cells) > 1 else None
