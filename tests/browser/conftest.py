"""One server and one browser for all tests; every visitor is new, and whatever breaks on a page fails the test."""

from __future__ import annotations

from collections import defaultdict

import pytest
from playwright.sync_api import expect

from tests.browser.serving import PATIENCE, chromium, new_page, serving, settled

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    store = tmp_path_factory.mktemp("app") / "store.duckdb"
    with serving(PROVING_GROUND_STORE=str(store)) as server:
        yield server


@pytest.fixture(scope="session")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def rooms(browser):
    """Browsers of visitors that have left, by server, width and theme; one that knows the app needs half the time for a page."""
    return defaultdict(list)


@pytest.fixture
def visitor(browser, server, rooms):
    """A function that opens a page as a new visitor: `visitor("/runs", width="phone", theme="dark")`."""
    visits, surprises = [], []

    def visit(path="/", width="wide", theme="light", at=server):
        room = rooms[at.url, width, theme]
        page = room.pop() if room else new_page(browser, at, width, theme)
        heard = {
            "pageerror": lambda error: surprises.append(f"error in the page: {error}"),
            "request": lambda request: is_ours(request.url, at.url) or surprises.append(f"leaves the machine: {request.url}"),
        }
        for event, listener in heard.items():
            page.on(event, listener)
        visits.append((room, page, page.viewport_size, heard))
        page.goto(path)
        page.get_by_role("heading", level=1).wait_for()
        return settled(page)

    yield visit
    for room, page, size, heard in visits:
        if page.is_closed() or page.context.pages != [page]:
            page.context.close()
            continue
        page.evaluate("localStorage.clear(), sessionStorage.clear()")
        page.goto("about:blank")
        page.context.clear_cookies()
        page.set_viewport_size(size)
        for event, listener in heard.items():
            page.remove_listener(event, listener)
        room.append(page)
    assert not surprises


def is_ours(url, server):
    return url.startswith((server, server.replace("http", "ws"), "data:", "blob:"))
