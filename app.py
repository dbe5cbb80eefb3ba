"""The web app: `streamlit run app.py` starts the engine, then serves the pages.

The engine belongs to the server and not to a visitor: its workers warm up before the first page is asked for, and end with it.
"""

from __future__ import annotations

import gc
import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

import streamlit as st
from anyio import to_thread
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from core import exported, stories
from core.engine import Engine
from core.methods import registry
from core.store import StoreError, default_path
from core.stories import deck
from pages.visitor import Cookie


@st.cache_resource(show_spinner=False, on_release=Engine.close)
def engine() -> Engine:
    """The server's one engine, started. Raises: StoreError with the sentence to show."""
    started = Engine(default_path())
    started.start()
    return started


class Troubles(logging.Handler):
    """The last warnings and errors of this process, for the operator."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: deque[str] = deque(maxlen=200)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@st.cache_resource(show_spinner=False)
def troubles() -> Troubles:
    """The server's one, taking notes."""
    handler = Troubles()
    logging.getLogger().addHandler(handler)
    return handler


def note(error: Exception) -> None:
    """Keeps what went wrong on a page for the operator."""
    logging.getLogger("pages").error("A page met an error.", exc_info=error)


def start() -> None:
    """Starts the engine, and reads what the first page needs."""
    troubles()
    engine()
    registry.catalogue()
    import_module("core.report")  # and with it the library of charts
    gc.freeze()  # what is here by now stays, and no collection of garbage need go through it


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """Starts the engine with the server. A store that cannot be opened is said here and on every page, and tried again there."""
    try:
        await to_thread.run_sync(start)
    except StoreError as error:
        print(f"\n  {error}\n", flush=True)
    yield
    await to_thread.run_sync(engine.clear)


def healthz(request: Request) -> JSONResponse:
    """200 while the engine can take runs, else 503 with the reason."""
    try:
        engine()
    except StoreError as error:
        return JSONResponse({"status": "unavailable", "reason": str(error)}, status_code=503)
    return JSONResponse({"status": "ok"})


def take_away(request: Request) -> Response:
    """The files that a run wrote into core.exported's folder, as a zip that is made while it is sent; 404 where they have gone."""
    try:
        store, run = engine().store, request.path_params["run"]
    except StoreError as error:
        return PlainTextResponse(str(error), status_code=503)
    table = store.table(run, "export")
    folder = exported.find(table["folder"].iloc[-1]) if len(table) else None
    if folder is None:
        return PlainTextResponse("These files are not here, or not any more. They can be made again on the page.", status_code=404)
    headers = {"Content-Disposition": f'attachment; filename="{run}.zip"'}
    return StreamingResponse(exported.zipped(folder), media_type="application/zip", headers=headers)


SENT = {
    "Content-Security-Policy": "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "connect-src 'self' data: blob: ws: wss:; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self' https://huggingface.co",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "X-Content-Type-Options": "nosniff",
}


class Headers:
    """Middleware that tells browsers what pages may do: load from this server only, and be framed by it or by a Space's page."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SENT.items():
                    headers.setdefault(name, value)
            await send(message)

        await self.app(scope, receive, send_with_headers if scope["type"] == "http" else send)


def present(request: Request) -> Response:
    """A story, a slide at a time; a page apart from the app, whose scripts can reach nothing of it. 404 where there is none."""
    try:
        store = engine().store
    except StoreError as error:
        return PlainTextResponse(str(error), status_code=503)
    story = stories.read(store, request.path_params["story"])
    if story is None:
        return PlainTextResponse("There is no such story here. It may have been deleted.", status_code=404)
    headers = {"Content-Security-Policy": "sandbox allow-scripts allow-popups", "X-Content-Type-Options": "nosniff"}
    dark = request.query_params.get("theme") == "dark"
    return HTMLResponse(deck.page(store, story, dark=dark, back=f"../story?story={story.story}"), headers=headers)


MIDDLEWARE = [Middleware(Headers), Middleware(Cookie)]
ROUTES = [Route("/healthz", healthz), Route("/exported/{run}", take_away), Route("/present/{story}", present)]
app = st.App("pages/navigation.py", lifespan=lifespan, routes=ROUTES, middleware=MIDDLEWARE, on_script_error=note)
