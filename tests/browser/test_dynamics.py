"""The page Dynamics on real trainings that a script of a person's own recorded, before the app was open and while it is."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from core.recorder import open_run
from tests.browser.digits_store import record_training
from tests.browser.serving import WIDTHS, serving


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("dynamics") / "store.duckdb"


@pytest.fixture(scope="module")
def lab(path):
    record_training(path, "Slow *and* steady", "--lr", "0.02", "--steps", "100")
    with serving(PROVING_GROUND_STORE=str(path), PROVING_GROUND_WORKERS="1") as server:
        record_training(path, "Fast", "--lr", "0.2", "--steps", "100")  # while the app holds the store
        yield server


def pick(page, name):
    page.get_by_role("combobox", name="Runs").click()
    page.get_by_role("option", name=re.compile(re.escape(name))).click()
    page.keyboard.press("Escape")


def charts(page):
    return page.locator(".st-key-picture").get_by_test_id("stVegaLiteChart")


def test_runs_of_ones_own_are_on_the_page_of_runs_and_lead_to_their_curves(visitor, lab):
    page = visitor("/runs", at=lab)
    row = page.locator("[class*=st-key-row-]").filter(has_text="Slow *and* steady")
    expect(row).to_contain_text("own script")
    expect(row).to_contain_text("lr = 0.02, steps = 100")
    expect(row).to_contain_text("completed")
    expect(row.get_by_role("button", name="Cancel")).to_have_count(0)
    row.get_by_role("link", name="Slow *and* steady").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Training dynamics")
    expect(charts(page)).to_have_count(1)
    expect(charts(page)).to_contain_text("Gradient norm")


def test_two_runs_over_each_other_and_the_link_brings_them_back(visitor, lab):
    page = visitor("/dynamics", at=lab)
    pick(page, "Slow *and* steady")
    expect(charts(page)).to_have_count(1)
    pick(page, "Fast")
    expect(charts(page)).to_contain_text("Slow *and* steady")
    expect(charts(page)).to_contain_text("Fast,")
    page.get_by_role("button", name="loss", exact=True).click()
    expect(charts(page)).to_have_count(2)
    page.locator("label").filter(has_text="Log y").click()
    expect(charts(page).last).to_contain_text("Loss (log scale)")
    address = page.url
    assert address.count("compare=") == 2 and "log_y=true" in address.lower()

    page = visitor(address, at=lab)
    expect(charts(page)).to_have_count(2)
    expect(charts(page).last).to_contain_text("Loss (log scale)")
    expect(charts(page).last).to_contain_text("Fast,")


def both(visitor, lab, more):
    """Both runs, by a link that a visitor made."""
    page = visitor("/dynamics", at=lab)
    pick(page, "Slow *and* steady")
    expect(charts(page)).to_have_count(1)
    pick(page, "Fast")
    expect(charts(page)).to_contain_text("Fast,")
    address = page.url
    return visitor(address + more, at=lab)


def test_spectra_norms_and_portraits(visitor, lab):
    page = both(visitor, lab, "&show=Spectra")
    expect(charts(page)).to_contain_text("no. 1")
    expect(page.get_by_text("The 8 largest singular values of “first layer” over the steps")).to_be_visible()
    page.get_by_role("radio", name="at steps").click()
    expect(charts(page)).to_contain_text("Number of the singular value")

    page.get_by_role("radio", name="Norms").click()
    expect(charts(page)).to_have_count(2)
    expect(charts(page).first).to_contain_text("Gradient norm")
    expect(charts(page).last).to_contain_text("Frobenius norm of first layer")

    page.get_by_role("radio", name="Phase portrait").click()
    expect(charts(page)).to_have_count(1)
    expect(charts(page)).to_contain_text("Rings mark the start")
    expect(charts(page).locator("svg .role-legend-title")).to_have_text("Step")
    expect(charts(page)).to_contain_text("Loss")


def test_a_run_grows_on_the_page_while_its_script_trains(visitor, lab, path):
    with open_run("Growing", store=path) as record:
        record.scalars(0, loss=1.0)
        record.flush()
        page = visitor("/runs", at=lab)
        row = page.locator("[class*=st-key-row-]").filter(has_text="Growing")
        for _ in range(20):
            if row.count():
                break
            page.wait_for_timeout(500)
            page.reload()
        expect(row).to_contain_text("running")
        expect(row.get_by_role("button", name="Cancel")).to_have_count(0)
        row.get_by_role("link", name="Growing").click()
        expect(charts(page)).to_have_count(1)
        for step in range(1, 60):
            record.scalars(step, loss=1 / (step + 1), other=float(step))
        record.flush()
        expect(page.get_by_role("button", name="other", exact=True)).to_be_visible()


def test_an_empty_store_says_how_to_begin(visitor, tmp_path):
    with serving(PROVING_GROUND_STORE=str(tmp_path / "empty.duckdb"), PROVING_GROUND_WORKERS="1") as server:
        page = visitor("/dynamics", at=server)
        expect(page.get_by_text("with open_run(")).to_be_visible()
        expect(page.get_by_role("link", name="Open the gallery")).to_be_visible()


def test_the_page_fits_every_width(visitor, lab):
    page = both(visitor, lab, "&show=Phase+portrait")
    expect(charts(page)).to_have_count(1)
    for width, height in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollWidth <= innerWidth", timeout=10_000)
