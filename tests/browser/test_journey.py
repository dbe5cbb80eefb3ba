"""A newcomer's way through the app, by clicks, in one story and its side roads."""

from __future__ import annotations

import re
import zipfile

import psutil
import pytest
from playwright.sync_api import Page, expect

from tests.browser.serving import WIDTHS, settled

PAPER = "The Lottery Ticket Hypothesis"
OUTCOME = re.compile("holds|does not hold|undecided|not testable here")
CLAIMS = 4


def choose_preset(page: Page, name: str) -> None:
    page.get_by_role("radio", name=re.compile(f"^{name}")).click()


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def main_picture(page: Page):
    return page.locator(".st-key-picture").get_by_test_id("stVegaLiteChart")


def expect_verdicts(page: Page) -> None:
    for number in range(1, CLAIMS + 1):
        expect(page.locator(f".st-key-claim-c{number}")).to_contain_text(OUTCOME)


@pytest.fixture
def link(visitor):
    """The address of a finished smoke run."""
    page = visitor("/method?paper=lottery-ticket&preset=smoke")
    again = page.get_by_role("button", name="Run again")
    expect(page.get_by_role("button", name=re.compile("^Run( again)?$"))).to_be_enabled()
    if not again.is_visible():
        press(page, "Run")
    expect(again).to_be_visible()
    return page.url


def test_a_newcomer_runs_the_lottery_ticket_and_comes_back_by_the_link(visitor):
    page = visitor("/")
    page.get_by_label("Search").fill("lottery")
    expect(page.locator("[class*=st-key-card-]")).to_have_count(1)
    assert "search=lottery" in page.url
    page.get_by_role("link", name=PAPER).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(PAPER)

    choose_preset(page, "Smoke")
    press(page, "Run")
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(main_picture(page)).to_be_visible()
    expect(page.get_by_role("button", name="Run again")).to_be_visible()
    expect_verdicts(page)
    address = page.url
    assert re.search("run=[0-9a-f]{12}", address)
    page.close()

    page = visitor(address)
    expect(page.get_by_role("heading", level=1)).to_contain_text(PAPER)
    expect(main_picture(page)).to_be_visible()
    expect_verdicts(page)
    expect(page.get_by_role("radio", name=re.compile("^Smoke"))).to_be_checked()


def test_runs_are_compared_and_deleted_only_after_asking(visitor, link):
    run = link.split("run=")[1]
    page = visitor("/runs")
    row = page.locator("[class*=st-key-row-]").filter(has_text=run)
    row.get_by_role("button", name="Compare").click()
    expect(page.locator(".st-key-comparison").get_by_test_id("stVegaLiteChart")).to_be_visible()
    assert f"compare={run}" in page.url

    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(row).to_be_visible()

    row.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete for good").click()
    expect(row).to_have_count(0)

    page = visitor(link)
    expect(page.get_by_role("alert")).to_contain_text(f"There is no run “{run}”")


def test_what_is_taken_away_holds_the_results(visitor, link, tmp_path):
    page = visitor(link)
    page.get_by_role("tab", name="Export and link").click()
    settled(page)
    with page.expect_download() as taken:
        press(page, "Data")
    taken.value.save_as(tmp_path / "data.zip")
    with zipfile.ZipFile(tmp_path / "data.zip") as archive:
        assert {"results.csv", "results.json", "scalars.parquet", "verdicts.parquet"} <= set(archive.namelist())
        assert archive.read("results.csv").count(b"\n") > 4
    with page.expect_download() as taken:
        press(page, "Page")
    assert PAPER in taken.value.path().read_text(encoding="utf-8")


def test_filters_are_in_the_link(visitor):
    page = visitor("/?family=Training+dynamics")
    expect(page.get_by_role("link", name="Logistic Regression")).to_be_visible()
    expect(page.get_by_role("link", name=PAPER)).to_have_count(0)
    page.get_by_role("button", name="Training dynamics").click()
    expect(page.get_by_role("link", name=PAPER)).to_be_visible()
    assert "family" not in page.url
    page.get_by_label("Search").fill("no paper has this word")
    expect(page.get_by_text("No paper matches")).to_be_visible()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/method?paper=lottery-tickets", "The link asks for the paper “lottery-tickets”"),
        ("/method", "The link names no paper"),
        ("/method?paper=lottery-ticket&run=000000000000", "There is no run “000000000000” of this paper"),
    ],
)
def test_a_wrong_link_is_said(visitor, address, sentence):
    page = visitor(address)
    expect(page.get_by_text(sentence)).to_be_visible()


def test_the_paper_preset_says_why_it_cannot_run_here(visitor):
    page = visitor("/method?paper=lottery-ticket")
    choose_preset(page, "Paper · ")
    expect(page.get_by_role("alert")).to_contain_text("needs cuda; this machine has: cpu")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()


def test_a_setting_out_of_bounds_is_said_and_undone(visitor):
    page = visitor("/method?paper=large-step-perceptron")
    page.get_by_text("Settings").click()
    box = page.get_by_role("textbox", name="Gammas")
    expect(box).to_have_value("0.1, 1, 10, 100, 1000")
    box.fill("0.1, many")
    box.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("allowed: a list, each a number")
    press(page, "Back to the preset")
    expect(box).to_have_value("0.1, 1, 10, 100, 1000")
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()


def test_a_run_can_be_cancelled_and_its_page_stays_still_while_it_runs(visitor):
    page = visitor("/method?paper=lottery-ticket&preset=quick")
    press(page, "Run")
    expect(main_picture(page)).to_be_visible()
    page.evaluate(WATCH_FOR_JUMPS)
    expect(page.get_by_text(re.compile("[1-9] of 12 cells done"))).to_be_visible()
    page.wait_for_function("window.heights.length > 20")
    heights = page.evaluate("window.heights")
    assert max(heights) - min(heights) < 2, "the claims moved while the picture was drawn anew"
    press(page, "Cancel")
    expect(page.get_by_text("cancelled")).to_be_visible()
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()


WATCH_FOR_JUMPS = """() => {
  window.heights = [];
  const look = () => {
    const tabs = [...document.querySelectorAll("[role=tab]")].find(tab => tab.textContent === "Source file");
    window.heights.push(tabs.getBoundingClientRect().top + document.querySelector("[data-testid=stMain]").scrollTop);
    requestAnimationFrame(look);
  };
  look();
}"""


def test_a_worker_that_dies_ends_its_cell_with_a_message_and_not_the_app(visitor, server):
    page = visitor("/method?paper=lottery-ticket&preset=quick")
    page.get_by_text("Settings").click()
    page.get_by_role("spinbutton", name="Seeds").fill("1")
    page.get_by_role("spinbutton", name="Seeds").press("Enter")
    expect(page.get_by_text("with 1 seed on cpu. Not run yet")).to_be_visible()
    press(page, "Run")
    expect(page.get_by_text("of 4 cells done")).to_be_visible()
    expect(main_picture(page)).to_be_visible()
    busiest = max(psutil.Process(server.pid).children(), key=lambda worker: worker.cpu_percent(0.5))
    busiest.kill()
    expect(page.get_by_role("alert").filter(has_text="The worker process ended unexpectedly")).to_be_visible()
    expect(page.get_by_text("failed").first).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/method?paper=large-step-perceptron", "/runs"])
def test_no_page_is_wider_than_the_window(visitor, path):
    page = visitor(path)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    for width, height in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollWidth <= innerWidth", timeout=10_000)


def test_on_a_phone_the_way_to_the_runs_is_in_the_menu(visitor):
    page = visitor("/", "phone")
    page.get_by_test_id("stExpandSidebarButton").click()
    page.get_by_role("link", name="Runs").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Runs")


def test_charts_follow_the_dark_theme(visitor, link):
    page = visitor(link, theme="dark")
    expect(main_picture(page)).to_be_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor") == "rgb(18, 21, 26)"
    labels = page.locator(".st-key-picture svg .role-axis-label text").first
    expect(labels).to_have_attribute("fill", re.compile("#A6AEB9", re.I))


def test_the_web_process_never_loads_torch(server, link):
    with open(f"/proc/{server.pid}/maps") as maps:
        assert "libtorch" not in maps.read()
