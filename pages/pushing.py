"""Sending something to the Hub, asked first."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.hub import HubError
from core.hub.push import TOKENS, has_own_token
from pages import wording


@st.dialog("Push to the Hub?", width="medium")
def ask(words: str, name: str, send: Callable[[str, str, bool], str]) -> None:
    """Asks where to, whether everybody may see it, and for a token, which is used once and kept nowhere.

    Args:
        words: what will be sent. name: of the repository, as a proposal.
        send: gets the repository (owner/name), the token, and whether it is private; returns the address.
    """
    st.markdown(words)
    with st.form("push-form", border=False):
        repository = st.text_input("Repository", placeholder=f"your-name/{name}", help="owner/name")
        said = "The token in HF_TOKEN is used where this is empty." if has_own_token() else f"One that may write, from {TOKENS}."
        token = st.text_input("Token", type="password", autocomplete="off", help=f"{said} It is used once, and kept nowhere.")
        public = st.toggle("Everybody may see it", value=False)
        pressed = st.form_submit_button("Push", type="primary", icon=":material/cloud_upload:")
    if pressed:
        try:
            with st.spinner("Sending the files to the Hub"):
                address = send(repository.strip(), token, not public)
        except HubError as error:
            st.error(wording.plain(str(error)), icon=":material/error:")
        else:
            st.success(f"It is at [{wording.plain(address)}]({address}).", icon=":material/check:")
