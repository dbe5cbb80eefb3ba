"""A shared app: visitors with runs of their own, what is said of its limits, and the operator's page."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.serving import serving, settled

SECRET = "only the operator knows"


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    store = tmp_path_factory.mktemp("public") / "store.duckdb"
    environment = {"PROVING_GROUND_PUBLIC": "1", "PROVING_GROUND_OPERATOR": SECRET, "PROVING_GROUND_RUN_SECONDS": "300"}
    with serving(PROVING_GROUND_STORE=str(store), **environment) as server:
        yield server


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def test_a_run_is_its_visitors_until_it_is_shared(visitor, app):
    mine = visitor("/method?paper=large-step-perceptron&preset=smoke", at=app)
    expect(mine.get_by_text("This app is shared by its visitors: 3 runs of yours at a time, 5 min a run")).to_be_visible()
    (cookie,) = [one for one in mine.context.cookies() if one["name"] == "proving-ground"]
    assert cookie["httpOnly"]
    press(mine, "Run")
    expect(mine.get_by_role("button", name="Run again")).to_be_visible(timeout=120_000)
    link, run = mine.url, re.search("run=([0-9a-f]{12})", mine.url)[1]

    other = visitor("/runs", at=app)
    expect(other.get_by_text(run)).to_have_count(0)
    other.goto(link.removeprefix(app.url))
    settled(other)
    expect(other.locator(".st-key-claim-c1 [data-testid=stMarkdownBadge], .st-key-claim-c1 span").first).to_be_visible()
    other.get_by_role("tab", name="Export and link").click()
    expect(other.get_by_text("Show this run to all visitors")).to_have_count(0)

    mine.get_by_role("tab", name="Export and link").click()
    mine.get_by_text("Show this run to all visitors").click()
    expect(mine.get_by_text("All visitors see it.")).to_be_visible()
    other.goto("/runs")
    row = other.locator("[class*=st-key-row-]").filter(has_text=run)
    expect(row).to_be_visible()
    expect(row.get_by_role("button", name="Delete")).to_have_count(0)
    mine.goto("/runs")
    expect(mine.locator("[class*=st-key-row-]").filter(has_text=run).get_by_role("button", name="Delete")).to_be_visible()

    other.goto("/query")
    other.get_by_role("textbox", name="Statement").fill("SELECT visitor FROM owners")
    press(other, "Ask")
    expect(other.get_by_text("0 rows")).to_be_visible()


def test_a_preset_that_is_too_long_is_said_before_it_is_run(visitor, app):
    page = visitor("/method?paper=large-step-perceptron&preset=standard", at=app)
    expect(page.get_by_role("alert")).to_contain_text("a run may take 300 here")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()


def test_the_operators_page_asks_for_the_secret(visitor, app):
    page = visitor("/operator", at=app)
    page.get_by_role("textbox", name="Secret").fill("a guess")
    press(page, "Enter")
    expect(page.get_by_text("That is not the secret.")).to_be_visible()
    expect(page.get_by_text("Queue")).to_have_count(0)
    page.get_by_role("textbox", name="Secret").fill(SECRET)
    press(page, "Enter")
    for words in ("Memory of the app", "Disk free, of", "Nothing waits or runs.", "Troubles"):
        expect(page.get_by_text(words)).to_be_visible()
    assert SECRET not in page.content()
    press(page, "Clear now")
    expect(page.get_by_text("0 items cleared.")).to_be_visible()


def test_without_a_secret_the_operators_page_is_off(visitor):
    expect(visitor("/operator").get_by_text("This page is off.")).to_be_visible()
