"""Pictures of every page, empty, running and finished, in both themes: `python -m tests.browser.screenshots --out DIR`.

With --docs it takes those that the README and the documents show instead, one of every page.
"""

from __future__ import annotations

import argparse
import io
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from core.engine import Engine
from tests.browser.serving import ROOT, WIDTHS, Server, chromium, new_page, serving

PAPERS = ("lottery-ticket", "large-step-perceptron")
MODEL, DATA = "starter/digits-vit", "digits-8"
TALLEST = 4000  # pixels
SECRET = "of the operator"
DOCS = ROOT / "docs" / "images"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("screenshots"), help="the folder to write to (default: screenshots)")
    parser.add_argument("--preset", default="quick", help="what the papers are run with before (default: quick)")
    parser.add_argument("--widths", nargs="+", default=["wide", "phone"], choices=WIDTHS, help="default: wide phone")
    parser.add_argument("--only", default="", help="only pages whose name has this in it")
    parser.add_argument("--docs", action="store_true", help=f"takes the pictures of the documents into {DOCS.relative_to(ROOT)}")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    looks = [(width, theme) for width in options.widths for theme in ("light", "dark")]
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        store = Path(folder) / "store.duckdb"
        runs = finished_runs(store, PAPERS[:1] if options.docs else PAPERS, options.preset)
        with serving(PROVING_GROUND_STORE=str(store), PROVING_GROUND_OPERATOR=SECRET) as server:
            if options.docs:
                for_the_documents(browser, server, runs)
                return
            for name, path in finished(runs).items():
                for width, theme in looks if options.only in name else ():
                    shoot(browser, server, path, width, theme, options.out / f"{name} {width} {theme}.png")
            if options.only in "running":
                for width, theme in looks:
                    shoot_running(browser, server, width, theme, options.out / f"running {width} {theme}.png")
        with serving(PROVING_GROUND_STORE=str(Path(folder) / "empty.duckdb"), PROVING_GROUND_REFERENCE=folder) as server:
            for name, path in EMPTY.items():
                for width, theme in looks if options.only in name else ():
                    shoot(browser, server, path, width, theme, options.out / f"{name} {width} {theme}.png")


def finished_runs(store: Path, papers: Sequence[str], preset: str) -> dict[str, str]:
    """Runs papers and tools into a store; their runs by slug."""
    runs: dict[str, str] = {}
    with Engine(store) as engine:

        def run(slug: str, preset: str = "quick", params: dict | None = None, inputs: dict[str, str] | None = None) -> None:
            runs[slug] = engine.submit(engine.make_spec(slug, preset, params, inputs=inputs))
            engine.wait(runs[slug])

        run("snapshot", params={"model": MODEL, "data": DATA})
        given = {"snapshot": runs["snapshot"]}
        run("snapshot", params={"model": MODEL, "data": DATA, "layer": "vit.encoder.layer.0"})
        against = runs["against"] = runs["snapshot"]
        runs["snapshot"] = given["snapshot"]
        run("comparison", inputs=given | {"against": against})
        run("calibration", inputs=given)
        run("geometry", inputs=given)
        run("pruning", params={"model": MODEL, "data": DATA})
        run("transductive-clustering", "smoke", inputs=given)
        for paper in papers:
            run(paper, preset)
    return runs


def finished(runs: dict[str, str]) -> dict[str, str]:
    """What is shot when everything has run, by the name of the file."""
    around = "-1,-1,1,-1,1,0,-1,0"  # the lower half of the points
    return {
        "gallery": "/",
        "runs": f"/runs?compare={runs[PAPERS[0]]}",
        **{paper: f"/method?paper={paper}&run={runs[paper]}" for paper in PAPERS},
        "features": f"/method?paper=transductive-clustering&run={runs['transductive-clustering']}",
        "no paper": "/method?paper=nothing",
        "models": "/models",
        "model": f"/model?model={MODEL}&snapshot={runs['snapshot']}",
        "embeddings": f"/embeddings?snapshot={runs['snapshot']}&around={around}",
        "side by side": f"/embeddings?snapshot={runs['snapshot']}&against={runs['against']}&part=Side+by+side",
        "calibration": f"/calibration?snapshot={runs['snapshot']}",
        "calibration measures": f"/calibration?snapshot={runs['snapshot']}&part=Measures",
        "pruning": f"/pruning?run={runs['pruning']}",
        "pruning masks": f"/pruning?run={runs['pruning']}&show=Masks",
        "pruning away": f"/pruning?run={runs['pruning']}&show=Take+away",
        "pruning papers": f"/pruning?run={runs['pruning']}&show=Papers",
        "dynamics": f"/dynamics?compare={runs[PAPERS[0]]}",
        "portrait": f"/dynamics?compare={runs[PAPERS[1]]}&show=Phase+portrait",
        "query": "/query",
        "stories": "/stories",
        "story": "/story?story=for-executives",
        "operator": "/operator",
    }


EMPTY = {
    f"empty {page}": f"/{page}" for page in ("", "runs", "models", "embeddings", "calibration", "pruning", "dynamics", "query")
} | {"empty method": "/method?paper=rankmixup"}


def shoot(browser: Browser, server: Server, path: str, width: str, theme: str, file: Path) -> None:
    """One page from top to bottom."""
    page = opened(browser, server, path, width, theme)
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": WIDTHS[width][0], "height": min(height, TALLEST)})
    settle(page)
    page.screenshot(path=file)
    page.context.close()


def opened(browser: Browser, server: Server, path: str, width: str = "wide", theme: str = "light") -> Page:
    """A page when all of it is there; the operator's with its secret."""
    page = new_page(browser, server, width, theme)
    page.goto(path)
    settle(page)
    if path == "/operator":
        page.get_by_role("textbox", name="Secret").fill(SECRET)
        page.get_by_role("button", name="Enter").click()
        page.get_by_text("Queue").wait_for()
        settle(page)
    return page


def shoot_running(browser: Browser, server: Server, width: str, theme: str, file: Path) -> None:
    """A paper's page while it runs."""
    page = new_page(browser, server, width, theme)
    page.goto("/method?paper=lottery-ticket&preset=standard")
    page.get_by_role("button", name=re.compile("^Run$")).click()
    page.locator(".st-key-picture").wait_for()
    page.wait_for_timeout(3000)
    page.screenshot(path=file)
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name=re.compile("^Run$")).wait_for()
    page.context.close()


def for_the_documents(browser: Browser, server: Server, runs: dict[str, str]) -> None:
    """One picture of every page, in 256 colours."""
    pages = {
        "gallery": "/",
        "method": f"/method?paper={PAPERS[0]}&run={runs[PAPERS[0]]}",
        "models": "/models",
        "model": f"/model?model={MODEL}&snapshot={runs['snapshot']}",
        "embeddings": f"/embeddings?snapshot={runs['snapshot']}&around=-1,-1,0,-1,0,0,-1,0",  # a cluster
        "calibration": f"/calibration?snapshot={runs['snapshot']}",
        "pruning": f"/pruning?run={runs['pruning']}",
        "dynamics": f"/dynamics?compare={runs[PAPERS[0]]}",
        "runs": f"/runs?compare={runs[PAPERS[0]]}",
        "query": "/query?example=0",
        "stories": "/stories",
        "story": "/story?story=for-executives",
        "operator": "/operator",
    }
    DOCS.mkdir(parents=True, exist_ok=True)
    for name, path in pages.items():
        page = opened(browser, server, path)
        picture = Image.open(io.BytesIO(page.screenshot()))
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(DOCS / f"{name}.png", optimize=True)
        page.context.close()


def settle(page: Page) -> None:
    """Waits until the script has run and nothing is still to be drawn."""
    page.get_by_role("heading", level=1).wait_for()
    page.wait_for_function(SETTLED)
    page.get_by_text("The workers are warming up").first.wait_for(state="hidden")
    page.wait_for_timeout(700)  # charts fade in


SETTLED = """() => document.querySelector('[data-test-script-state=notRunning]') !== null
  && document.querySelectorAll('[data-testid=stSkeleton], [data-testid=stAppSkeleton]').length === 0"""


if __name__ == "__main__":
    main()
