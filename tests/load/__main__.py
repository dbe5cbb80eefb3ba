"""Many visitors at once while a paper runs: how long a page takes, what goes wrong, and whether the app's memory stays bounded.

The app starts on a free port of the loopback interface with a store of its own, in which a few things have run. Each visitor is a
real session over its WebSocket (tests.load.visitor) who looks at every page once, leaves, and is followed by a new one. One presses
Run wherever nothing runs, and one is a real browser. A page takes from the moment it is asked for until its script has finished; in
the browser, from the click until it is drawn and stands still.

Exit code 0; 1 where a page showed an error, the 95th percentile of all pages is a second or more, or memory grows without bound.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

import psutil

from core.engine import Engine
from core.methods import registry
from tests.browser.serving import Server, chromium, new_page, serving, settled
from tests.load.visitor import Visitor

MODEL, DATA = "starter/digits-vit", "digits-8"
PAPERS = ("lottery-ticket", "lazy-to-rich-grokking", "neural-collapse")
EMPTY = {
    "gallery": "/",
    "paper": "/method?paper=large-step-perceptron",
    "runs": "/runs",
    "models": "/models",
    "model": f"/model?model={MODEL}",
    "SQL": "/query",
}  # what needs nothing to have run
SLOWEST = 1.0  # seconds, for 95 of 100 pages
GROWTH = 4.0  # MB a minute over the second half of the time


@dataclass
class Measured:
    """Seconds of every page by its name (the first look at it, which fills caches, apart), memory as (seconds, MB)."""

    first: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    browser: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)

    @property
    def pages(self) -> list[float]:
        """Seconds of all pages that sessions asked for."""
        return [seconds for page in self.seconds.values() for seconds in page]

    @property
    def growth(self) -> float:
        """MB a minute, fitted to the second half, when all is there that is kept for everybody."""
        half = self.memory[len(self.memory) // 2 :]
        return 60 * statistics.linear_regression(*zip(*half, strict=True)).slope if len(half) > 1 else 0.0

    def failings(self) -> list[str]:
        """What makes the exit code 1, in words."""
        found = [f"{len(self.errors)} errors, the first: {self.errors[0]}"] if self.errors else []
        slow = percentile(self.pages, 95)
        found += [f"95 of 100 pages take up to {slow:.2f} s; allowed: below {SLOWEST:g} s"] if slow >= SLOWEST else []
        found += [f"memory grows by {self.growth:.1f} MB a minute; allowed: {GROWTH:g}"] if self.growth > GROWTH else []
        return found

    def table(self) -> Iterator[str]:
        """Lines to print."""
        yield f"{'page':<14}{'first':>8}{'answers':>9}{'median':>8}{'95%':>8}{'max':>8}   seconds"
        for name, seconds in [*self.seconds.items(), ("all", self.pages), ("in a browser", self.browser)]:
            first = f"{self.first[name]:.2f}" if name in self.first else ""
            if seconds:
                figures = statistics.median(seconds), percentile(seconds, 95), max(seconds)
                yield f"{name:<14}{first:>8}{len(seconds):>9}" + "".join(f"{figure:>8.2f}" for figure in figures)
        start, end = self.memory[0][1], self.memory[-1][1]
        yield f"memory: {start:.0f} MB at the start, {end:.0f} MB at the end, {self.growth:+.1f} MB a minute in the second half"
        yield f"errors: {len(self.errors)}"


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent do not exceed; 0 of none."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)] if values else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.load", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--visitors", type=int, default=20, help="how many at once (default: 20)")
    parser.add_argument("--seconds", type=float, default=120, help="for how long, at most 3600 (default: 120)")
    parser.add_argument("--pause", type=float, default=5, help="seconds that a visitor looks at a page, in the mean (default: 5)")
    parser.add_argument("--no-browser", action="store_true", help="without the visitor in Chromium")
    options = parser.parse_args(arguments)
    if not 1 <= options.visitors <= 200 or not 1 <= options.seconds <= 3600 or options.pause < 0:
        parser.error("visitors are from 1 to 200, seconds from 1 to 3600, pause is not below 0")
    measured = measure(options.visitors, options.seconds, options.pause, browser=not options.no_browser)
    print(*measured.table(), *(f"FAILED: {failing}" for failing in measured.failings()), sep="\n")
    return int(bool(measured.failings()))


def measure(visitors: int, seconds: float, pause: float, *, browser: bool = True, full: bool = True) -> Measured:
    """Starts the app and sends the visitors; without `full` into a store in which nothing has run."""
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store.duckdb"
        addresses = EMPTY | (prepared(store) if full else {})
        with serving(PROVING_GROUND_STORE=str(store)) as server:
            return asyncio.run(_visits(server, addresses, visitors, seconds, pause, browser))


def prepared(path: Path) -> dict[str, str]:
    """Fills a store; the addresses of what is in it, by the names of their pages."""
    with Engine(path) as engine:

        def run(slug: str, params: dict[str, str] | None = None, inputs: dict[str, str] | None = None) -> str:
            made = engine.submit(engine.make_spec(slug, "smoke", params, inputs=inputs))
            engine.wait(made)
            return made

        paper = run("lottery-ticket")
        snapshot = run("snapshot", {"model": MODEL, "data": DATA})
        run("calibration", inputs={"snapshot": snapshot})
        pruning = run("pruning", {"model": MODEL, "data": DATA})
        made = engine.store.runs().query("origin == 'own'")
        assert set(made["status"]) == {"completed"}, made[["slug", "message"]].to_string()
    return {
        "result": f"/method?paper=lottery-ticket&run={paper}",
        "comparison": f"/runs?compare={paper}",
        "embeddings": f"/embeddings?snapshot={snapshot}",
        "calibration": f"/calibration?snapshot={snapshot}",
        "pruning": f"/pruning?run={pruning}",
        "dynamics": f"/dynamics?compare={paper}",
    }


async def _visits(
    server: Server, addresses: dict[str, str], visitors: int, seconds: float, pause: float, browser: bool
) -> Measured:
    measured, over = Measured(), asyncio.Event()
    async with Visitor(server.url) as first:
        for name, address in addresses.items():
            measured.first[name] = await first.open(address)
    measured.errors += first.errors
    running = asyncio.create_task(_keep_running(server, addresses, measured, over))
    while "running" not in addresses and not running.done():
        await asyncio.sleep(0.1)
    tasks = [_visit(server, addresses, measured, over, pause, number) for number in range(visitors)]
    tasks += [_watch_memory(server, measured, over), _later(seconds, over)]
    tasks += [asyncio.to_thread(_browse, server, measured, over, pause)] if browser else []
    await asyncio.gather(running, *tasks)
    return measured


async def _later(seconds: float, over: asyncio.Event) -> None:
    await asyncio.sleep(seconds)
    over.set()


async def _unless(over: asyncio.Event, seconds: float) -> None:
    """Waits so long, or until it is over."""
    with suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), seconds)


async def _visit(
    server: Server, addresses: dict[str, str], measured: Measured, over: asyncio.Event, pause: float, number: int
) -> None:
    """One seat, on which one visitor follows another; each looks at every page once, in an order of their own."""
    chance = random.Random(number)
    await _unless(over, chance.uniform(0, pause))
    while not over.is_set():
        async with Visitor(server.url) as visitor:
            for name in chance.sample(list(addresses), len(addresses)):
                measured.seconds[name].append(await visitor.open(addresses[name]))
                await _unless(over, chance.uniform(0.4, 1.6) * pause)
                if over.is_set():
                    break
        measured.errors += visitor.errors


async def _keep_running(server: Server, addresses: dict[str, str], measured: Measured, over: asyncio.Event) -> None:
    """Presses Run at one paper after the other, and stays until it has ended; the page "running" is that of the run under way."""
    async with Visitor(server.url) as visitor:
        for paper in cycle(registry.declared(slug).slug for slug in PAPERS):  # which raises where there is none
            await visitor.open(f"/method?paper={paper}&preset=standard")
            for button in {"Run", "Run again"} & set(visitor.buttons):  # neither while the workers warm up
                await visitor.press(button)
                addresses["running"] = f"/method?{visitor.query}"
            while "Cancel" in visitor.buttons and not over.is_set():
                await _unless(over, 0.5)
            await _unless(over, 0.5)
            if over.is_set() or visitor.errors:
                break
        if "Cancel" in visitor.buttons:
            await visitor.press("Cancel")
    measured.errors += visitor.errors


async def _watch_memory(server: Server, measured: Measured, over: asyncio.Event) -> None:
    """The app's own process, without its workers, once a second."""
    process, started = psutil.Process(server.pid), time.monotonic()
    while not over.is_set():
        measured.memory.append((time.monotonic() - started, process.memory_info().rss / 2**20))
        await _unless(over, 1)


def _browse(server: Server, measured: Measured, over: asyncio.Event, pause: float) -> None:
    """Clicks through the pages of the navigation as a person does."""
    with chromium() as browser:
        page = new_page(browser, server)
        page.on("pageerror", lambda error: measured.errors.append(f"in the browser: {error}"))
        page.goto("/")
        settled(page)
        for name in cycle(("Models", "Embeddings", "Runs", "Pruning", "Calibration", "Dynamics", "SQL", "Gallery")):
            if over.is_set():
                break
            started = time.perf_counter()
            page.get_by_test_id("stTopNavLink").filter(has_text=name).click()
            page.wait_for_url(re.compile(r"/$" if name == "Gallery" else f"/{'query' if name == 'SQL' else name.lower()}"))
            page.get_by_role("heading", level=1).wait_for()
            settled(page)
            measured.browser.append(time.perf_counter() - started)
            if page.get_by_test_id("stException").count():
                measured.errors.append(f"in the browser: a traceback on {page.url}")
            page.wait_for_timeout(1000 * pause)


if __name__ == "__main__":
    raise SystemExit(main())
