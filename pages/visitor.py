"""Who looks at a page. In public mode a cookie tells visitors apart; else there is one visitor, "", who may do everything."""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Any

import streamlit as st
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core.limits import UNLIMITED, Limits, from_environment
from pages import wording

COOKIE = "proving-ground"
TOKEN = re.compile("[A-Za-z0-9_-]{22}")
YEAR = 365 * 86400


class Cookie:
    """Middleware that gives every browser a random token, which no script can read, and no other site gets."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        known = scope["type"] != "http" or TOKEN.fullmatch(Request(scope).cookies.get(COOKIE, ""))
        if known or not from_environment().public:
            await self.app(scope, receive, send)
            return
        forwarded = Request(scope).headers.get("x-forwarded-proto", scope["scheme"])
        # A Space stands in a frame of another site, where only a partitioned cookie is kept.
        place = "SameSite=None; Secure; Partitioned" if forwarded.startswith("https") else "SameSite=Lax"
        cookie = f"{COOKIE}={secrets.token_urlsafe(16)}; Max-Age={YEAR}; Path=/; HttpOnly; {place}"

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and "text/html" in MutableHeaders(scope=message).get("content-type", ""):
                MutableHeaders(scope=message).append("set-cookie", cookie)
            await send(message)

        await self.app(scope, receive, answer)


def name() -> str:
    """A digest of the visitor's token, so that what is kept lets nobody in; a browser without cookies is new every time."""
    if not from_environment().public:
        return ""
    token = st.context.cookies.get(COOKIE, "")
    if not TOKEN.fullmatch(token):
        token = st.session_state.setdefault("visitor", secrets.token_urlsafe(16))
    return hashlib.sha256(token.encode()).hexdigest()[:16]


def sees() -> dict[str, Any]:
    """What Store asks to know what the visitor sees: who it is, and the runs that the address names."""
    named = (value for parameter in st.query_params for value in st.query_params.get_all(parameter))
    return {"visitor": name(), "linked": [value.partition("/")[0] for value in named]}


def say_limits(limits: Limits) -> None:
    """What a visitor of a shared app may do, and what becomes of it, in a line at the foot of every page."""
    if not limits.public:
        return
    parts = []
    if limits.visitor_runs < UNLIMITED:
        parts += [f"{wording.count(int(limits.visitor_runs), 'run')} of yours at a time"]
    if limits.run_seconds < UNLIMITED:
        parts += [f"{wording.duration(limits.run_seconds)} a run"]
    if limits.snapshot_items < UNLIMITED:
        parts += [f"{limits.snapshot_items:,.0f} items a snapshot"]
    if limits.model_gigabytes < UNLIMITED:
        parts += [f"models up to {limits.model_gigabytes:g} GB"]
    if limits.upload_megabytes < UNLIMITED:
        parts += [f"uploads up to {limits.upload_megabytes:g} MB"]
    kept = f" for {limits.keep_days:g} days" if limits.keep_days < UNLIMITED else ""
    st.space("medium")
    st.caption(
        f"This app is shared by its visitors: {', '.join(parts)}. What you run is kept{kept}; only who has its link sees it, "
        "until you share it."
    )
