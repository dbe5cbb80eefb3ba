"""One server and one browser for all tests; every visitor is new, and whatever breaks on a page fails the test."""

from __future__ import annotations

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


@pytest.fixture
def visitor(browser, server):
    """A function that opens a page as a new visitor: `visitor("/runs", width="phone", theme="dark")`."""
    contexts, surprises = [], []

    def visit(path="/", width="wide", theme="light", at=server):
        page = new_page(browser, at, width, theme)
        contexts.append(page.context)
        page.on("pageerror", lambda error: surprises.append(f"error in the page: {error}"))
        page.on("request", lambda request: is_ours(request.url, at.url) or surprises.append(f"leaves the machine: {request.url}"))
        page.goto(path)
        page.get_by_role("heading", level=1).wait_for()
        return settled(page)

    yield visit
    for context in contexts:
        context.close()
    assert not surprises


def is_ours(url, server):
    return url.startswith((server, server.replace("http", "ws"), "data:", "blob:"))
