"""The server's beginning and end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psutil
import pytest
from playwright.sync_api import expect

from core.store import Store
from tests.browser.serving import ROOT, serving
from tests.load.visitor import Visitor
from tests.test_open_run import SLOW


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


def test_the_server_ends_with_its_workers_and_the_store_keeps_all(visitor, tmp_path):
    """SIGTERM while a run goes, visitors watch it, and a person's own script records."""
    path = tmp_path / "store.duckdb"
    script = [sys.executable, "-c", SLOW]
    with (
        serving(PROVING_GROUND_STORE=str(path), PROVING_GROUND_WORKERS="1") as server,
        subprocess.Popen(script, cwd=ROOT, env=os.environ | {"PROVING_GROUND_STORE": str(path)}, stdout=subprocess.DEVNULL) as own,
    ):
        page = visitor("/method?paper=lottery-ticket&preset=quick", at=server)
        page.get_by_role("button", name="Run", exact=True).click()
        expect(page.locator(".st-key-picture").get_by_test_id("stVegaLiteChart")).to_be_visible()
        with watching(server.url, page.url.removeprefix(server.url), 5):
            workers = psutil.Process(server.pid).children()
            assert workers
            os.kill(server.pid, signal.SIGTERM)
            psutil.Process(server.pid).wait(20)
        assert not [worker for worker in workers if worker.is_running()]
        store = Store.open(path)
        run = store.runs(status="interrupted").iloc[0]
        assert len(store.curves(run["run"], "validation_loss")) > 0
        (recording,) = store.runs("own", status="running")["run"]  # the script has not noticed
        own.kill()
        own.wait()
        store.take_in()
        assert store.run(recording)["status"] == "interrupted"
        steps = store.curves(recording, "loss", points=10**6)["step"].tolist()
        assert steps == list(range(len(steps))) and steps, "none is missing in between, none twice"
        store.close()


@contextmanager
def watching(url, address, count):
    """So many visitors who have a page open and see it change."""
    there, over = threading.Barrier(count + 1, timeout=60), threading.Event()

    async def watch():
        async with Visitor(url) as watcher:
            await watcher.open(address)
            assert not watcher.errors
            await asyncio.to_thread(there.wait)
            await asyncio.to_thread(over.wait)

    with ThreadPoolExecutor(count) as threads:
        ended = [threads.submit(asyncio.run, watch()) for _ in range(count)]
        try:
            there.wait()
            yield
        finally:
            over.set()
    for one in ended:
        one.result()
