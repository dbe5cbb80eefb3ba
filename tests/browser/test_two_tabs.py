"""Two tabs act on one run: each says what became of it."""

from __future__ import annotations

import re

from playwright.sync_api import Page, expect

from tests.browser.serving import settled


def button(page: Page, name: str):
    return page.get_by_role("button", name=name, exact=True)


def test_two_tabs_start_watch_cancel_and_delete_one_run(visitor):
    one, other = visitor("/method?paper=lottery-ticket&preset=quick"), visitor("/method?paper=lottery-ticket&preset=quick")
    for page in (one, other):
        page.get_by_text("Settings").click()
        page.get_by_role("spinbutton", name="Seeds").fill("2")
        page.get_by_role("spinbutton", name="Seeds").press("Enter")
        expect(page.get_by_text("with 2 seeds on cpu. Not run yet")).to_be_visible()
        expect(button(settled(page), "Run")).to_be_enabled()

    button(one, "Run").click()
    expect(button(one, "Cancel")).to_be_visible()
    button(other, "Run").click()  # which runs already
    expect(button(other, "Cancel")).to_be_visible()
    run = re.search("run=([0-9a-f]{12})", other.url)[1]
    assert run in one.url

    button(one, "Cancel").click()
    for page in (one, other):  # the other tab sees it by itself
        expect(page.get_by_text("cancelled").first).to_be_visible()
        expect(button(page, "Run")).to_be_enabled()

    runs, again = visitor("/runs"), visitor("/runs")
    for page in (runs, again):
        page.locator(f".st-key-row-{run}").get_by_role("button", name="Delete").click()
        expect(page.get_by_role("dialog")).to_be_visible()
    for page in (runs, again):  # the second deletes what is gone
        page.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
        expect(page.locator(f".st-key-row-{run}")).to_have_count(0)

    one.get_by_role("radio", name=re.compile("^Smoke")).click()  # a tab that still shows the deleted run
    expect(one.get_by_role("alert").filter(has_text=f"There is no run “{run}” of this paper")).to_be_visible()
    other.reload()
    expect(other.get_by_role("alert").filter(has_text=f"There is no run “{run}” of this paper")).to_be_visible()
    for page in (one, other, runs, again):
        expect(page.get_by_test_id("stException")).to_have_count(0)
