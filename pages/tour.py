"""The tour: three steps on the gallery for who comes for the first time, until they have seen it; a link brings it back."""

from __future__ import annotations

import streamlit as st

SEEN = "tour=seen"
STEPS = (
    (
        "Read a result",
        "What a paper claims, what happened here, and a verdict with its interval for each claim.",
        ("method.py", "A result to read", {"paper": "lottery-ticket"}),
    ),
    (
        "Press Run",
        "A minute at most. Watch the curves grow, then change a parameter and run again.",
        ("method.py", "A quick one to run", {"paper": "large-step-perceptron", "preset": "quick"}),
    ),
    (
        "Tell it to others",
        "Pin pictures and verdicts to a story, write what they mean, and present it.",
        ("story.py", "A story to look at", {"story": "for-executives"}),
    ),
)


def strip() -> None:
    """The three steps, or the link to them. That they were seen is kept in the browser, and nothing else is."""
    if "tour" not in st.session_state:
        st.session_state["tour"] = st.query_params.get("tour") == "on" or st.context.cookies.get("tour") != "seen"
    if not st.session_state["tour"]:
        st.button("Show the tour", icon=":material/tour:", type="tertiary", on_click=_set, args=(True,))
        if st.session_state.pop("tour/just seen", False):
            remember = f'document.cookie = "{SEEN}; path=/; max-age=31536000; SameSite=Lax"'
            st.html(f"<script>{remember}</script>", unsafe_allow_javascript=True)
        return
    with st.container(border=True, key="tour"):
        columns = st.columns(len(STEPS), gap="medium")
        for number, (title, text, (page, label, query)) in enumerate(STEPS):
            with columns[number]:
                st.markdown(f"**{number + 1}. {title}**")
                st.markdown(text)
                st.page_link(page, label=label, query_params=query, icon=":material/arrow_forward:")
        st.button("Got it", icon=":material/check:", on_click=_set, args=(False,))


def _set(shown: bool) -> None:
    st.session_state["tour"] = shown
    st.session_state["tour/just seen"] = not shown
    st.query_params.pop("tour", None)
