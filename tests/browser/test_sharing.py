"""What is taken away, brought back, pushed and linked to: one run's way out of the app and in again, as a visitor goes it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.serving import serving, settled
from tests.hub_server import HubServer

PAPER = "transductive-clustering"
TOKEN = "hf_secretsecretsecret"


@pytest.fixture(scope="module")
def hub():
    with HubServer() as hub:
        yield hub


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("sharing")


@pytest.fixture(scope="module")
def lab(place, hub):
    store = place / "store.duckdb"
    settings = {"HF_ENDPOINT": hub.url, "HF_TOKEN": "", "PROVING_GROUND_WORKERS": "1"}
    with serving(PROVING_GROUND_STORE=str(store), log=place / "log", **settings) as server:
        yield server


@pytest.fixture
def link(visitor, lab):
    """The address of a finished smoke run, whose first picture has a slider."""
    page = visitor(f"/method?paper={PAPER}&preset=smoke", at=lab)
    again = page.get_by_role("button", name="Run again")
    expect(page.get_by_role("button", name=re.compile("^Run( again)?$"))).to_be_enabled()
    if not again.is_visible():
        page.get_by_role("button", name="Run", exact=True).click()
    expect(again).to_be_visible()
    address = settled(page).url
    page.close()
    return address


def taken(page, name: str) -> bytes:
    with page.expect_download() as file:
        page.get_by_role("button", name=name, exact=True).click()
    return file.value.path().read_bytes()


def slider(page, name: str):
    return page.get_by_test_id("stSlider").filter(has_text=name).get_by_role("slider")


def test_a_chart_is_taken_away_as_pictures_and_as_numbers(visitor, lab, link):
    page = visitor(link, at=lab)
    expect(page.locator(".st-key-picture").get_by_test_id("stVegaLiteChart")).to_be_visible()
    page.get_by_role("button", name="Take away").click()
    expect(page.get_by_role("button", name="PNG", exact=True)).to_be_visible()
    settled(page)
    assert Image.open(io.BytesIO(taken(page, "PNG"))).width > 700
    assert taken(page, "SVG").startswith(b"<svg")
    numbers = pd.read_csv(io.BytesIO(taken(page, "CSV")))
    assert {"panel", "key", "First direction", "Second direction"} <= set(numbers)
    pd.testing.assert_frame_equal(numbers, pd.read_parquet(io.BytesIO(taken(page, "Parquet"))), check_dtype=False)


def test_a_link_brings_back_what_was_set(visitor, lab, link):
    page = visitor(link, at=lab)
    handle = slider(page, "Iteration")
    last = handle.get_attribute("aria-valuetext")
    handle.press("ArrowLeft")
    page.wait_for_url(re.compile("frame-0="))
    page.get_by_role("tab", name="Source file").click()
    page.wait_for_url(re.compile("frame-0=.*about=|about=.*frame-0="))
    shown = handle.get_attribute("aria-valuetext")
    assert shown != last
    other = visitor(page.url, at=lab)
    expect(slider(other, "Iteration")).to_have_attribute("aria-valuetext", shown)
    expect(other.get_by_role("tab", name="Source file")).to_have_attribute("aria-selected", "true")

    run = re.search("run=([0-9a-f]{12})", link)[1]
    page.goto(f"/dynamics?compare={run}")
    page.get_by_text("Log y").click()
    slider(page, "Smoothing").press("End")
    page.wait_for_url(re.compile("smoothing=0.99"))
    other = visitor(settled(page).url, at=lab)
    expect(slider(other, "Smoothing")).to_have_attribute("aria-valuetext", "0.99")
    expect(other.get_by_role("switch", name="Log y")).to_be_checked()

    page.goto("/query")
    page.get_by_role("textbox", name="Statement").fill("SELECT 6 * 7 AS answer, 'a&b=c' AS text")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.wait_for_url(re.compile("statement-1="))
    other = visitor(settled(page).url, at=lab)
    expect(other.get_by_role("textbox", name="Statement")).to_have_value("SELECT 6 * 7 AS answer, 'a&b=c' AS text")
    expect(other.get_by_text("1 row in")).to_be_visible()


def test_a_run_is_pushed_with_a_token_that_stays_nowhere(visitor, lab, link, hub, place):
    page = visitor(f"{link}&about=Export+and+link", at=lab)
    page.get_by_role("button", name="Push as a data set").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Repository", exact=True).fill("owner/run")
    dialog.get_by_label("Token", exact=True).fill(TOKEN)
    dialog.get_by_role("button", name="Push", exact=True).click()
    expect(dialog.get_by_text("It is at")).to_contain_text("/datasets/owner/run")
    files = hub.repositories["datasets", "owner/run"].revisions["main"]
    assert {"README.md", "runs.parquet", "verdicts.parquet", "scalars.parquet"} <= files.keys()
    assert not [name for name, body in files.items() if TOKEN.encode() in body]
    assert TOKEN not in page.url + page.locator("body").inner_text()
    kept = [file for file in place.rglob("*") if file.is_file()]
    assert {"log", "store.duckdb"} <= {file.name for file in kept}
    assert not [file for file in kept if TOKEN.encode() in file.read_bytes()]


def test_an_exported_run_is_imported_once_and_replaced_only_when_asked(visitor, lab, link, place):
    run = re.search("run=([0-9a-f]{12})", link)[1]
    page = visitor(f"{link}&about=Export+and+link", at=lab)
    (place / "run.zip").write_bytes(taken(page, "Data"))
    verdicts = page.locator("[class*=st-key-claim-]").all_inner_texts()
    page.goto("/runs")
    row = page.locator(f".st-key-row-{run}")
    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
    expect(row).to_have_count(0)

    bring_in(settled(page), place / "run.zip")
    expect(row).to_contain_text("imported · smoke preset")
    page.goto(link)
    expect(page.get_by_text("Below is a result that was imported")).to_be_visible()
    expect(page.locator(".st-key-picture").get_by_test_id("stVegaLiteChart")).to_be_visible()
    assert page.locator("[class*=st-key-claim-]").all_inner_texts() == verdicts

    page.goto("/runs")
    bring_in(settled(page), place / "run.zip")
    expect(page.get_by_role("alert")).to_contain_text(f"The run {run} is here already")
    page.get_by_text("Replace a run that is here", exact=True).click()
    expect(page.get_by_text(f"Run {run} is here.")).to_be_visible()

    (place / "bad.zip").write_bytes(b"PK\x03\x04 and nothing more")
    page.goto("/runs")
    bring_in(settled(page), place / "bad.zip")
    expect(page.get_by_role("alert")).to_contain_text("bad.zip is a damaged zip file")


def bring_in(page, file: Path) -> None:
    page.get_by_role("button", name="Import").click()
    page.locator("input[type=file]").set_input_files(file)
