"""Papers on the features of a snapshot: run from their page, keep what they work on, and give it up when told to."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.serving import serving
from tests.browser.snapshot_store import RUN, TITLE, write_snapshot


@pytest.fixture(scope="module")
def at(tmp_path_factory):
    path = tmp_path_factory.mktemp("snapshots") / "store.duckdb"
    write_snapshot(path)
    with serving(PROVING_GROUND_STORE=str(path), PROVING_GROUND_WORKERS="1") as server:
        yield server


def test_a_paper_runs_on_a_snapshot_and_its_page_keeps_it(visitor, at):
    page = visitor(f"/method?paper=transductive-clustering&preset=smoke&snapshot={RUN}", at=at)
    chip = page.get_by_text(f"on snapshot {TITLE}")
    expect(chip).to_be_visible()
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("button", name="Run again")).to_be_visible()
    own = re.search("run=([0-9a-f]{12})", page.url)[1]

    page = visitor(f"/method?paper=transductive-clustering&run={own}", at=at)  # the link alone brings it back
    expect(page.get_by_role("button", name="Run again")).to_be_visible()
    expect(chip.first).to_be_visible()
    page.get_by_role("tab", name="Command line").click()
    expect(page.get_by_text(f"--input snapshot={RUN}")).to_be_visible()

    page.get_by_role("radio", name=re.compile("^Quick")).click()
    expect(page.get_by_text("Not run yet: press Run")).to_be_visible()
    expect(page.get_by_text(f"on snapshot {TITLE}")).to_be_visible()
    page.get_by_role("button", name="Use the paper's own data").click()
    expect(page.get_by_text(f"on snapshot {TITLE}")).to_have_count(0)
    expect(page.get_by_text("--input")).to_have_count(0)
    assert "snapshot" not in page.url


def test_a_snapshot_that_is_gone_is_said(visitor, at):
    page = visitor("/method?paper=transductive-clustering&snapshot=000000000000", at=at)
    expect(page.get_by_role("alert")).to_contain_text("There is no complete snapshot '000000000000'")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()


def test_the_gallery_keeps_showing_the_paper_s_own_experiment(visitor, at):
    page = visitor(f"/method?paper=large-step-perceptron&preset=smoke&snapshot={RUN}", at=at)
    page.get_by_role("button", name="Run", exact=True).click()
    expect(page.get_by_role("button", name="Run again")).to_be_visible()
    page = visitor("/?search=logistic+regression", at=at)
    card = page.locator("[class*=st-key-card-]")
    expect(card).to_have_count(1)
    expect(card.get_by_text("Smoke preset")).to_have_count(0)
