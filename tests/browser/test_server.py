"""The server's beginning and end."""

from __future__ import annotations

import urllib.error
import urllib.request

import psutil
import pytest
from playwright.sync_api import expect

from core.store import Store
from tests.browser.serving import serving


def test_a_store_that_cannot_be_opened_is_said_on_every_page(visitor, tmp_path):
    path = tmp_path / "store.duckdb"
    path.write_bytes(b"no database" * 1000)
    with serving(health="/_stcore/health", PROVING_GROUND_STORE=str(path)) as server:
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(server.url + "/healthz", timeout=10)
        page = visitor("/runs", at=server)
        expect(page.get_by_role("heading", level=1)).to_contain_text("The store cannot be opened")
        expect(page.get_by_role("alert")).to_contain_text(str(path))

        path.unlink()
        page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("heading", level=1)).to_contain_text("Runs")


def test_the_server_ends_with_its_workers_and_the_store_keeps_the_run(visitor, tmp_path):
    path = tmp_path / "store.duckdb"
    with serving(PROVING_GROUND_STORE=str(path), PROVING_GROUND_WORKERS="1") as server:
        page = visitor("/method?paper=lottery-ticket&preset=quick", at=server)
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator(".st-key-picture").get_by_test_id("stVegaLiteChart")).to_be_visible()
        workers = psutil.Process(server.pid).children()
        assert workers
    assert not [worker for worker in workers if worker.is_running()]
    store = Store.open(path)
    run = store.runs(status="interrupted").iloc[0]
    assert len(store.curves(run["run"], "validation_loss")) > 0
    store.close()
