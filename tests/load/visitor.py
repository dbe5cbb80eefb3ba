"""A visitor without a browser: a real session of the app over its WebSocket, which says what Streamlit's own page would say.

It asks for a page by name when it comes and by the page's hash when it clicks, presses buttons, and lets fragments that draw
themselves anew (run_every) do so. Twenty of them cost what their sessions cost the server, and not what twenty browsers would.
"""

from __future__ import annotations

import asyncio
import time
import urllib.request
from contextlib import suppress
from urllib.parse import urlsplit

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

PATIENCE = 60.0  # seconds for a page


class Visitor:
    """One session; use it with `async with`.

    Attributes:
        errors: what a person would have seen go wrong: tracebacks on a page, pages that are not there, a lost connection.
        buttons: ids of the buttons that can be pressed, by their labels.
        query: of the page's address, as the page itself has changed it.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.errors: list[str] = []
        self.buttons: dict[str, str] = {}
        self.query = ""
        self._pages: dict[str, str] = {}  # hashes by the path of the address
        self._here = ""
        self._timers: list[asyncio.Task[None]] = []
        self._finished = asyncio.Event()

    async def __aenter__(self) -> Visitor:
        def first_answer() -> list[str]:
            with urllib.request.urlopen(self.url, timeout=PATIENCE) as answer:
                return answer.headers.get_all("Set-Cookie") or []

        cookies = [cookie.split(";")[0] for cookie in await asyncio.to_thread(first_answer)]
        self._socket = await websockets.connect(
            self.url.replace("http", "ws", 1) + "/_stcore/stream",
            subprotocols=[websockets.Subprotocol("streamlit")],
            additional_headers={"Cookie": "; ".join(cookies)} if cookies else {},
            max_size=None,
            open_timeout=PATIENCE,
        )
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop_timers()
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        await self._socket.close()

    async def open(self, address: str) -> float:
        """Goes to a page, such as "/method?paper=lottery-ticket"; returns the seconds until it is drawn."""
        parts = urlsplit(address)
        self._here, self.query = parts.path.strip("/"), parts.query
        return await self._ask(self._rerun())

    async def press(self, label: str) -> float:
        """Presses a button of the page; returns the seconds until it is drawn anew. Raises: KeyError where there is none."""
        message = self._rerun()
        message.rerun_script.widget_states.widgets.add(id=self.buttons[label], trigger_value=True)
        return await self._ask(message)

    def _rerun(self) -> BackMsg:
        message = BackMsg()
        state = message.rerun_script
        state.query_string = self.query
        if self._here in self._pages:
            state.page_script_hash = self._pages[self._here]
        else:
            state.page_name = self._here
        state.context_info.url = f"{self.url}/{self._here}"
        state.context_info.timezone, state.context_info.locale, state.context_info.color_scheme = "UTC", "en-GB", "light"
        return message

    async def _ask(self, message: BackMsg) -> float:
        self._stop_timers()
        self.buttons.clear()
        self._finished.clear()
        started = time.perf_counter()
        try:
            await self._socket.send(message.SerializeToString())
            await asyncio.wait_for(self._finished.wait(), PATIENCE)
        except TimeoutError:
            self.errors.append(f"/{self._here}: not drawn within {PATIENCE:g} seconds")
        except websockets.ConnectionClosed:
            self.errors.append(f"/{self._here}: the connection was lost")
        return time.perf_counter() - started

    async def _read(self) -> None:
        try:
            async for data in self._socket:
                self._hear(ForwardMsg.FromString(data))
        except websockets.ConnectionClosedError:
            self.errors.append(f"/{self._here}: the connection was lost")
            self._finished.set()

    def _hear(self, message: ForwardMsg) -> None:
        match message.WhichOneof("type"):
            case "new_session" if not message.metadata.run.fragment_ids:  # the whole page is drawn anew
                self._stop_timers()
                self.buttons.clear()
            case "navigation":
                self._pages = {page.url_pathname: page.page_script_hash for page in message.navigation.app_pages}
                default = next((page for page in message.navigation.app_pages if page.is_default), None)
                self._pages |= {"": default.page_script_hash} if default else {}
            case "delta":
                self._see(message.delta.new_element)
            case "page_info_changed":
                self.query = message.page_info_changed.query_string
            case "page_not_found":
                self.errors.append(f"/{self._here}: page not found")
            case "auto_rerun":
                again = message.auto_rerun
                self._timers.append(asyncio.create_task(self._again(again.fragment_id, again.interval)))
            case "script_finished":
                if message.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                    self.errors.append(f"/{self._here}: the script could not be compiled")
                if message.script_finished in (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_WITH_COMPILE_ERROR):
                    self._finished.set()

    def _see(self, element: object) -> None:
        kind = element.WhichOneof("type")  # type: ignore[attr-defined]
        if kind == "exception":
            error = element.exception  # type: ignore[attr-defined]
            self.errors.append(f"/{self._here}: {error.type}: {error.message}")
        elif kind == "button":
            button = element.button  # type: ignore[attr-defined]
            if not button.disabled:
                self.buttons[button.label] = button.id

    async def _again(self, fragment: str, seconds: float) -> None:
        """Asks for a fragment every so often, as the browser does."""
        while True:
            await asyncio.sleep(seconds)
            message = self._rerun()
            message.rerun_script.fragment_id, message.rerun_script.is_auto_rerun = fragment, True
            with suppress(websockets.ConnectionClosed):
                await self._socket.send(message.SerializeToString())

    def _stop_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
