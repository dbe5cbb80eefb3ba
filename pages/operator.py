"""For who runs a shared app, behind the secret in PROVING_GROUND_OPERATOR: queue, machine, disk, and what went wrong."""

import hmac
import os
import shutil
import time

import psutil
import streamlit as st

from app import engine, troubles
from core.limits import UNLIMITED
from pages import following, model_card, wording

WAIT = 1.0  # seconds after a wrong secret

server = engine()


def is_known() -> bool:
    """Asks for the secret, once a session."""
    secret = os.environ.get("PROVING_GROUND_OPERATOR", "")
    if not secret:
        st.markdown("This page is off. To use it, start the app with a secret in the variable `PROVING_GROUND_OPERATOR`.")
        return False
    if st.session_state.get("operator"):
        return True
    with st.form("secret", border=False):
        said = st.text_input("Secret", type="password")
        if st.form_submit_button("Enter") and said:
            if hmac.compare_digest(said.encode(), secret.encode()):
                st.session_state["operator"] = True
                st.rerun()
            time.sleep(WAIT)
            st.warning("That is not the secret.", icon=":material/block:")
    return False


@st.fragment(run_every=2)
def state() -> None:
    """The machine and the queue as they are now."""
    memory, disk = psutil.virtual_memory(), shutil.disk_usage(server.store.path.parent)
    file = server.store.path.stat().st_size
    with st.grid("auto", min_column_width=170):
        st.metric(f"Load, {wording.count(psutil.cpu_count() or 1, 'core')}", f"{psutil.getloadavg()[0]:.1f}")
        st.metric(f"Memory, of {model_card.size(memory.total)}", model_card.size(memory.used))
        st.metric("Memory of the app", model_card.size(psutil.Process().memory_info().rss))
        st.metric(f"Disk free, of {model_card.size(disk.total)}", model_card.size(disk.free))
        st.metric("Store", model_card.size(file))
        st.metric("Runs kept", f"{len(server.store.runs()):,}")
    st.subheader("Queue", anchor=False)
    queue = server.queue()
    if not queue:
        st.markdown("Nothing waits or runs.")
    for run, progress, asked in queue:
        row = server.store.run(run)
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"queued-{run}"):
            what = f"**{row['slug']}** · {row['preset']} · {run} · {f'visitor {asked[:6]}' if asked else 'no visitor'}"
            st.markdown(what, width=460)
            with st.container(width=300):
                following.bar(progress, following.cells_done(progress, "cell"))
            st.button("Cancel", icon=":material/stop:", key=f"stop-{run}", on_click=server.cancel, args=(run,))


def upkeep() -> None:
    """Clearing by the limits now, and not within ten minutes."""
    st.subheader("Upkeep", anchor=False)
    limits = server.limits
    if limits.keep_days == limits.store_gigabytes == UNLIMITED:
        st.caption("No limit of age or size is set: nothing is cleared.")
        return
    after = f"after {limits.keep_days:g} days" if limits.keep_days < UNLIMITED else ""
    beyond = f"the oldest beyond {limits.store_gigabytes:g} GB" if limits.store_gigabytes < UNLIMITED else ""
    what = " and ".join(filter(None, [after, beyond]))
    st.caption(f"Runs, uploads and stories are cleared: {what}. Reference results never.")
    if st.button("Clear now", icon=":material/mop:"):
        st.markdown(f"{wording.count(server.clean(), 'item')} cleared.")


def log() -> None:
    """The last warnings and errors, the newest first."""
    st.subheader("Troubles", anchor=False)
    lines = [*troubles().lines][::-1]
    if lines:
        st.code("\n".join(lines), language=None, height=400)
    else:
        st.markdown("Nothing went wrong since the start.")


st.title("Operator", anchor=False)
if is_known():
    state()
    upkeep()
    log()
