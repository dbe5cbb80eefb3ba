"""Pictures of every page at every width in both themes, to be looked at: `python -m tests.browser.screenshots --out DIR`."""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Browser, Page

from tests.browser.serving import WIDTHS, Server, chromium, new_page, serving

PAPERS = ("lottery-ticket", "large-step-perceptron")
RUN_PATIENCE = 600_000  # milliseconds
TALLEST = 4000  # pixels


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("screenshots"), help="the folder to write to (default: screenshots)")
    parser.add_argument("--preset", default="quick", help="what the papers are run with before (default: quick)")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        chromium() as browser,
        serving(PROVING_GROUND_STORE=str(Path(folder) / "store.duckdb")) as server,
    ):
        runs = [finished_run(browser, server, paper, options.preset) for paper in PAPERS]
        for name, path in addresses(runs).items():
            for width in WIDTHS:
                for theme in ("light", "dark"):
                    shoot(browser, server, path, width, theme, options.out / f"{name} {width} {theme}.png")


def addresses(runs: Sequence[str]) -> dict[str, str]:
    """What is shot, by the name of the file."""
    methods = {paper: f"/method?paper={paper}&run={run}" for paper, run in zip(PAPERS, runs, strict=True)}
    return {"gallery": "/", "runs": f"/runs?compare={runs[0]}", "no paper": "/method?paper=nothing", **methods}


def finished_run(browser: Browser, server: Server, paper: str, preset: str) -> str:
    """Runs a paper as a visitor does; returns the run."""
    page = new_page(browser, server)
    page.goto(f"/method?paper={paper}&preset={preset}")
    page.get_by_role("button", name=re.compile("^Run$")).click()
    page.get_by_role("button", name="Run again").wait_for(timeout=RUN_PATIENCE)
    run = page.url.split("run=")[1]
    page.context.close()
    return run


def shoot(browser: Browser, server: Server, path: str, width: str, theme: str, file: Path) -> None:
    """One page from top to bottom."""
    page = new_page(browser, server, width, theme)
    page.goto(path)
    settle(page)
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": WIDTHS[width][0], "height": min(height, TALLEST)})
    settle(page)
    page.screenshot(path=file)
    page.context.close()


def settle(page: Page) -> None:
    """Waits until the script has run and nothing is still to be drawn."""
    page.get_by_role("heading", level=1).wait_for()
    page.wait_for_function(SETTLED)
    page.wait_for_timeout(700)  # charts fade in


SETTLED = """() => document.querySelector('[data-test-script-state=notRunning]') !== null
  && document.querySelectorAll('[data-testid=stSkeleton], [data-testid=stAppSkeleton]').length === 0"""


if __name__ == "__main__":
    main()
