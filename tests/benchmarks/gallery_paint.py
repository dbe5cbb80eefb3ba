"""How long a visitor waits: for the gallery, beside an empty Streamlit app in the same browser, and for a run's first points."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser

from core.methods.registry import catalogue
from tests.benchmarks.measurement import Measurement
from tests.browser.serving import Server, chromium, new_page, serving

ROUNDS = 7
EMPTY_APP = "import streamlit as st\n\nst.title('Nothing')\n"


def measure() -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "empty.py"
        script.write_text(EMPTY_APP, encoding="utf-8")
        store = str(Path(folder) / "store.duckdb")
        with serving(PROVING_GROUND_STORE=store) as ours, serving(script, "/_stcore/health") as empty, chromium() as browser:
            wait_until_idle(browser, ours)
            yield painting(browser, ours, empty)
            yield first_point(browser, ours)


def painting(browser: Browser, ours: Server, empty: Server) -> Measurement:
    """New visitors take turns; the gallery is painted when its last card is there, the empty app when its title is."""
    taken: dict[str, list[float]] = {"ours": [], "empty": []}
    for _ in range(ROUNDS):
        taken["empty"].append(seconds_until(browser, empty, "h1"))
        taken["ours"].append(seconds_until(browser, ours, f"[class*=st-key-card-] >> nth={len(catalogue()) - 1}"))
    gallery, nothing = statistics.median(taken["ours"]), statistics.median(taken["empty"])
    ratio = gallery / nothing
    return Measurement("Gallery painted", f"{gallery:.2f} s", "at most 1.5 x an empty app", ratio <= 1.5, f"{nothing:.2f} s", ratio)


def seconds_until(browser: Browser, server: Server, selector: str) -> float:
    page = new_page(browser, server)
    started = time.perf_counter()
    page.goto("/")
    page.locator(selector).wait_for()
    taken = time.perf_counter() - started
    page.context.close()
    return taken


def first_point(browser: Browser, server: Server) -> Measurement:
    """From the click on Run to the first picture with data, with warm workers; the middle of three runs, each left to its end."""
    taken = []
    for seeds in ("1", "3", "4"):
        page = new_page(browser, server)
        page.goto("/method?paper=lottery-ticket&preset=smoke")
        page.get_by_text("Settings").click()
        page.get_by_role("spinbutton", name="Seeds").fill(seeds)
        page.get_by_role("spinbutton", name="Seeds").press("Enter")
        page.get_by_text(f"with {seeds} seed").and_(page.get_by_text("Not run yet")).wait_for()
        started = time.perf_counter()
        page.get_by_role("button", name="Run", exact=True).click()
        page.locator(".st-key-picture").get_by_test_id("stVegaLiteChart").wait_for()
        taken.append(time.perf_counter() - started)
        page.get_by_role("button", name="Run again").wait_for()
        page.context.close()
    middle = statistics.median(taken)
    return Measurement("Run pressed to first point", f"{middle:.2f} s", "below 2 s once warm", middle < 2)


def wait_until_idle(browser: Browser, server: Server) -> None:
    """The workers are warm, and have stopped to keep the cores busy."""
    page = new_page(browser, server)
    page.goto("/method?paper=lottery-ticket")
    page.get_by_role("button", name="Run", exact=True).and_(page.locator(":enabled")).wait_for()
    page.context.close()
