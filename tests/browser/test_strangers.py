"""Strangers at the real server.

What one may name, in files, models, runs and links, is shown as text: nothing of it runs, is drawn or is fetched. No address leads
to a file or breaks a page.
"""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from contextlib import suppress
from urllib.parse import quote

import numpy as np
import pytest
from playwright.sync_api import expect

from core import report
from core.data.digits import digits_images
from core.recorder import open_run
from core.store import Store
from tests.browser.serving import serving, settled
from tests.browser.snapshot_store import recorded

HOST = "stranger.invalid"
EVIL = (
    f'<img src="http://{HOST}/a.png" onerror="window.stolen = 1"><script>window.stolen = 1; alert(1)</script>'
    f"![b](http://{HOST}/b.png) [c](javascript:alert(1)) [d](http://{HOST}/d) :red[e] **f** `g` $h$ :material/home:"
)
SNAPSHOT, FAILED = "0123456789ab", "fa17ed000000"


@pytest.fixture(scope="module")
def strange(tmp_path_factory):
    """A server whose store has such text wherever a stranger can put any."""
    path = tmp_path_factory.mktemp("strange") / "store.duckdb"
    with suppress(RuntimeError), open_run(EVIL, {EVIL: EVIL}, store=path) as record:
        for step in range(5):
            record.scalars(step, series=EVIL, **{EVIL: step, f"second {EVIL}": step**2, "norm": step})
            record.matrix(step, EVIL, np.eye(4) * (step + 1))
        record.table("export", [{"folder": f"../../{EVIL}"}])
        raise RuntimeError(EVIL)
    images = digits_images()
    with recorded(path, SNAPSHOT, {"model": EVIL, "data": EVIL}) as recorder:
        recorder.embedding(0, images.pixels.flatten(1)[:60], images.labels[:60], name="features")
        recorder.predictions(0, np.eye(10)[images.labels[:60]], images.labels[:60])
        recorder.table("classes", [{"name": f"{number} {EVIL}"} for number in range(10)])
        recorder.table("items", [{"text": EVIL, EVIL: EVIL} for _ in range(60)])
    store = Store.open(path)
    with store.writing() as writer:
        writer.add_upload("d" * 16, f"{EVIL}.csv", "text", 3, b"not read here")
        spec = {"params": {}, "inputs": {"upload": "d" * 16}, "seeds": [0], "arms": ["dense"]}
        writer.add_run(FAILED, "lottery-ticket", "quick", spec, EVIL, [("dense", (0,))])
        writer.set_cell(FAILED, 0, "failed", 1.0, f"ValueError: {EVIL}\nTraceback {EVIL}")
        verdict = {"claim": "c1", "text": EVIL, "verdict": "undecided", "effect": 1.0, "low": 0.0, "high": 2.0, "n": 3}
        writer.set_verdicts(FAILED, [{**verdict, "smallest": 0.5, "unit": EVIL, "detail": EVIL}])
        writer.finish_run(FAILED, "failed", 1.0, EVIL)
        own = store.runs(slug="own").iloc[0]["run"]
    (path.parent / "page.html").write_text(report.page(store, FAILED), encoding="utf-8")
    store.close()
    with serving(PROVING_GROUND_STORE=str(path), PROVING_GROUND_WORKERS="1") as server:
        yield server, own, path.parent


def expect_only_text(page):
    """Nothing that a stranger named has become an element, and nothing of it has run."""
    assert page.evaluate("window.stolen") is None
    made = page.locator(f"[src*='{HOST}'], a[href*='{HOST}'], a[href^='javascript'], image[href*='{HOST}']")
    assert made.evaluate_all("found => found.map(one => one.parentElement.outerHTML)") == []
    assert page.locator("[data-testid=stException]").count() == 0


PLACES = {
    "runs": "/runs",
    "a failed run": f"/method?paper=lottery-ticket&run={FAILED}",
    "a paper of the link": "/method?paper={evil}",
    "a run of the link": "/method?paper=lottery-ticket&run={evil}",
    "curves": "/dynamics?compare={own}",
    "spectra": "/dynamics?compare={own}&show=Spectra",
    "norms": "/dynamics?compare={own}&show=Norms",
    "phase portraits": "/dynamics?compare={own}&show=Phase+portrait",
    "vectors of the link": "/embeddings?snapshot={evil}",
    "calibration": f"/calibration?snapshot={SNAPSHOT}",
    "predictions of the link": "/calibration?snapshot={evil}",
    "pruning": "/pruning?model={evil}&data={evil}",
    "a model of the link": "/model?model={evil}&revision={evil}",
}


@pytest.mark.parametrize("place", PLACES)
def test_a_page_shows_text(visitor, strange, place):
    server, own, _ = strange
    page = visitor(PLACES[place].replace("{evil}", quote(EVIL)).replace("{own}", own), at=server)
    page.on("dialog", lambda dialog: pytest.fail(f"a script of a stranger's has opened {dialog.message}"))
    shown = page.get_by_text("window.stolen = 1").or_(page.locator("input[value*='window.stolen']"))
    expect(shown.first).to_be_attached(timeout=15_000)
    page.wait_for_timeout(300)
    expect_only_text(page)


def test_the_explorer_s_hover_and_the_tables_show_text(visitor, strange):
    server, *_ = strange
    page = visitor(f"/embeddings?snapshot={SNAPSHOT}&point=0", at=server)
    points = page.locator("canvas.points")
    expect(page.locator("[data-drawn]")).to_be_attached()
    box = points.bounding_box()
    tooltip = page.locator(".tooltip")
    for x in np.linspace(0.1, 0.9, 60):
        for y in (0.3, 0.4, 0.5, 0.6, 0.7):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if tooltip.is_visible():
            break
    expect(tooltip).to_contain_text("window.stolen = 1", timeout=15_000)
    assert tooltip.locator("img, script, a").count() == 0
    expect_only_text(page)


def test_the_sql_page_shows_text(visitor, strange):
    server, *_ = strange
    page = visitor("/query", at=server)
    box = page.get_by_role("textbox", name="Statement")
    box.fill(f"SELECT '{EVIL}' FROM nowhere")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("There is no table")
    box.fill(f"SELECT '{EVIL}' AS \"{EVIL.replace(chr(34), chr(34) * 2)}\", * FROM (SELECT title FROM runs)")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("title")
    expect_only_text(settled(page))


def test_the_stand_alone_page_shows_text(browser, strange):
    _, _, folder = strange
    page = browser.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.goto((folder / "page.html").as_uri())
    expect(page.get_by_text("window.stolen = 1").first).to_be_visible()
    expect_only_text(page)
    assert not [address for address in asked if not re.match(r"file:|data:|blob:", address)]
    page.close()


MANY = "9" * 4500
ODD = [
    f"/embeddings?snapshot={SNAPSHOT}&point={MANY}&around=nan,inf,-inf,1e999,0,0,1,1&on={MANY}&step={MANY}",
    f"/embeddings?snapshot={SNAPSHOT}&around=1,{MANY},x&colour=nan&neighbours=nan",
    "/dynamics?compare={own}&smoothing=nan&against=inf&log_x=maybe&curves=nan",
    f"/dynamics?compare={MANY}&show=Norms&compare=%00",
    f"/calibration?snapshot={SNAPSHOT}&bins=1e999&ece_bins=nan&resamples=-99999999999999999999",
    f"/runs?page={MANY}&compare=%00&curve=inf",
    "/runs?page=nan",
    f"/?year=nan&year=inf&search={MANY}",
    f"/method?paper=lottery-ticket&preset=nan&run=%00&view={MANY}&snapshot=..%2F..&weights=%2Fetc%2Fpasswd",
    "/method?paper=..%2F..%2Fetc%2Fpasswd",
    "/model?model=..%2F..%2Fetc%2Fpasswd&revision=..%2F..",
    "/model?model=%00%5C..%5C&revision=%00",
    "/pruning?run=%00&snapshot=..%2F..&model=%2Fetc%2Fpasswd",
    "/query?example=%00",
]


def test_odd_numbers_and_paths_in_an_address_break_no_page(visitor, strange):
    server, own, _ = strange
    page = visitor("/", at=server)
    for address in ODD:
        page.goto(address.replace("{own}", own))
        page.get_by_role("heading", level=1).wait_for()
        settled(page)
        assert page.locator("[data-testid=stException]").count() == 0, address
        assert page.get_by_text("root:").count() == 0


def answer_of(url):
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_every_answer_says_what_a_page_may_do_and_a_space_may_frame_it(strange):
    server, *_ = strange
    for path in ("/", "/healthz", "/exported/none", "/_stcore/health", "/runs"):
        _, headers, _ = answer_of(server.url + path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'self' data: blob:" in policy and "frame-ancestors 'self' https://huggingface.co" in policy
        assert headers["X-Frame-Options"] is None, "it would keep a Space's page from framing the app"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Access-Control-Allow-Origin"] is None


def test_a_page_cannot_ask_another_host(browser, strange):
    """Even where a stranger's words became an element, the browser would refuse what it asks for."""
    server, *_ = strange
    page = browser.new_page()
    page.goto(server.url)
    page.get_by_role("heading", level=1).wait_for()
    for element, directive in (("img", "img-src"), ("script", "script-src-elem"), ("iframe", "frame-src")):
        refused = page.evaluate(
            """([element, address]) => new Promise((found) => {
                const said = ({effectiveDirective, blockedURI}) => found([effectiveDirective, blockedURI]);
                document.addEventListener("securitypolicyviolation", said);
                document.body.append(Object.assign(document.createElement(element), {src: address}));
            })""",
            [element, f"http://{HOST}/{element}"],
        )
        assert refused[0] == directive and HOST in refused[1]
    page.close()


@pytest.mark.parametrize(
    "name", ["..", "%2e%2e%2f%2e%2e", "..%2F..%2Fetc%2Fpasswd", "%00", "%22%0d%0aSet-Cookie:a=b", "own", "9" * 5000]
)
def test_the_way_to_exported_files_leads_nowhere_else(strange, name):
    server, own, _ = strange
    status, headers, body = answer_of(f"{server.url}/exported/{own if name == 'own' else name}")
    assert status in (400, 404)
    assert headers["Set-Cookie"] is None or "a=b" not in headers["Set-Cookie"]
    assert b"root:" not in body and not body.startswith(b"PK")


@pytest.mark.parametrize(
    "path", ["/static/..%2f..%2fapp.py", "/app/static/app.py", "/app.py", "/.streamlit/config.toml", "/..%2f..%2fetc/passwd"]
)
def test_no_file_of_the_program_is_served(strange, path):
    _, _, body = answer_of(strange[0].url + path)
    assert b"starlette" not in body and b"showErrorDetails" not in body and b"root:" not in body
