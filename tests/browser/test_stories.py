"""A story from the first pin to the file that is taken away; what a reader of the link sees; and the tour to all of it."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from core.stories import shipped
from tests.browser.serving import PATIENCE, WIDTHS, new_page, serving, settled
from tests.test_stories import REFERENCE

PAPER = "/method?paper=lottery-ticket"
HEADLINE, NOTE = "Small is enough", "We need **{effect}%** of the weights.\n\n<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The app with the reference results that ship with it."""
    store = tmp_path_factory.mktemp("stories") / "store.duckdb"
    settings = {"PROVING_GROUND_REFERENCE": str(REFERENCE), "PROVING_GROUND_WORKERS": "1"}
    with serving(PROVING_GROUND_STORE=str(store), **settings) as server:
        yield server


def press(page: Page, name: str, number: int | None = None) -> None:
    place = page if number is None else page.locator(f".st-key-slide-{number}")
    place.get_by_role("button", name=name, exact=True).click()


def pin(page: Page, place: str, title: str = "") -> None:
    page.locator(place).get_by_role("button", name="Pin").first.click()
    dialog = page.get_by_role("dialog")
    if title:
        dialog.get_by_role("textbox", name="Title of the new story").fill(title)
    dialog.get_by_role("button", name="Pin").click()
    expect(dialog.get_by_text("of your story.")).to_be_visible()


def headings(page: Page):
    return page.locator("[class*=st-key-slide-] h3")


def expect_slide(deck: Page, number: int, of: int, heading: str) -> None:
    expect(deck.locator("#counter")).to_have_text(f"{number} of {of}")
    expect(deck.locator(".slide:visible h2")).to_have_text(heading)
    assert deck.url.endswith(f"#{number}")


def test_a_story_is_pinned_arranged_presented_shared_and_taken_away(visitor, app, browser, tmp_path):
    page = visitor(PAPER, at=app)
    expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()  # the workers are warm: the page is drawn for good
    pin(page, "[data-testid=stTabs]", title="For the board")
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    pin(page, ".st-key-claim-c1")
    page.get_by_role("link", name="Open the story").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("For the board")
    expect(headings(page)).to_have_text([re.compile("^Tickets stay up"), re.compile("^Tickets match")])
    expect(page.locator(".st-key-slide-0").get_by_test_id("stVegaLiteChart")).to_be_visible()
    address = page.url
    assert re.search(r"/story\?story=[0-9a-f]{20}$", address)

    press(page, "Write", 1)
    page.get_by_role("dialog").get_by_role("textbox", name="Headline").fill(HEADLINE)
    page.get_by_role("dialog").get_by_role("textbox", name="Note").fill(NOTE)
    press(page, "Save")
    expect(headings(page).nth(1)).to_have_text(HEADLINE)
    note = page.locator(".st-key-slide-1 .note")
    expect(note.locator("strong")).to_have_text(re.compile(r"^[\d.]+%$"))
    expect(note).to_contain_text("<img src=x")
    expect(note.locator("img")).to_have_count(0)

    press(page, "Up", 1)
    expect(headings(page)).to_have_text([HEADLINE, re.compile("^Tickets stay up")])
    press(page, "Add a slide of text")
    page.get_by_role("dialog").get_by_role("textbox", name="Headline").fill("What next")
    press(page, "Save")
    expect(headings(page)).to_have_count(3)
    press(page, "Remove", 2)
    press(page, "Keep it")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(headings(page)).to_have_count(3)

    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Present").click()
    deck = opened.value
    deck.on("pageerror", lambda error: pytest.fail(f"error in the deck: {error}"))
    present(deck)
    deck.keyboard.press("Escape")
    expect(deck.get_by_role("heading", level=1)).to_have_text("For the board")

    settled(page)
    with page.expect_download() as taken:
        press(page, "Take away")
    taken.value.save_as(tmp_path / "story.html")
    alone = browser.new_context(offline=True).new_page()
    alone.goto((tmp_path / "story.html").as_uri())
    present(alone)
    alone.keyboard.press("Escape")
    expect(alone.locator(".slide:visible h2")).to_have_text(HEADLINE)
    alone.context.close()

    reader = visitor(address.removeprefix(app.url), width="phone", theme="dark", at=app)
    expect(headings(reader).first).to_have_text(HEADLINE)
    press(page, "Delete")
    press(page, "Delete for good")
    expect(page.get_by_role("heading", level=1)).to_have_text("Stories")
    reader.reload()
    expect(reader.get_by_text("There is no such story here")).to_be_visible()


def present(deck: Page) -> None:
    """Goes through the story of the test by keyboard, and leaves it at the first slide."""
    first, second, third, last = HEADLINE, "Tickets stay up while the others sag", "What next", "Where this comes from"
    expect_slide(deck, 1, 4, first)
    expect(deck.locator(".slide:visible svg")).to_be_visible(timeout=PATIENCE)
    deck.keyboard.press("ArrowRight")
    expect_slide(deck, 2, 4, second)
    expect(deck.locator(".slide:visible [role='graphics-document']")).to_have_attribute(
        "aria-label", re.compile("^Tickets stay up")
    )
    deck.keyboard.press(" ")
    expect_slide(deck, 3, 4, third)
    deck.reload()
    expect_slide(deck, 3, 4, third)
    deck.keyboard.press("End")
    expect_slide(deck, 4, 4, last)
    expect(deck.get_by_role("button", name="Next slide")).to_be_disabled()
    deck.keyboard.press("ArrowRight")
    expect_slide(deck, 4, 4, last)
    deck.keyboard.press("ArrowLeft")
    expect_slide(deck, 3, 4, third)
    deck.keyboard.press("Home")
    expect_slide(deck, 1, 4, first)


def test_a_shipped_story_can_be_read_and_copied_but_not_changed(visitor, app):
    page = visitor("/stories", at=app)
    page.get_by_role("link", name=shipped.TITLES["students"]).click()
    expect(headings(page)).to_have_count(len(shipped.SLIDES["students"]))
    expect(page.get_by_role("button", name="Write")).to_have_count(0)
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)
    press(page, "Make a copy")
    expect(page.get_by_role("button", name="Write")).to_have_count(len(shipped.SLIDES["students"]))
    page.goto("/stories")
    expect(page.locator(".st-key-mine").get_by_role("link", name=shipped.TITLES["students"])).to_be_visible()


def test_a_deck_fits_every_width_in_both_themes_and_its_scripts_reach_nothing(browser, app):
    for width, theme, ground in (("wide", "light", "rgb(255, 255, 255)"), ("phone", "dark", "rgb(18, 21, 26)")):
        across, down = WIDTHS[width]
        page = new_page(browser, app, width)
        answer = page.goto(f"/present/for-executives?theme={theme}#2")
        assert answer.headers["content-security-policy"].startswith("sandbox allow-scripts")
        expect(page.locator(".slide:visible svg")).to_be_visible(timeout=PATIENCE)
        for number in range(len(shipped.SLIDES["executives"])):
            page.keyboard.press("Home" if number == 0 else "ArrowRight")
            assert page.evaluate("document.documentElement.scrollWidth") <= across
            if width == "wide":
                assert page.evaluate("document.documentElement.scrollHeight") <= down
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
        assert page.evaluate("origin") == "null"
        page.context.close()
    assert browser.new_page().goto(f"{app.url}/present/nothing").status == 404


def test_the_tour_is_shown_until_it_was_seen_and_again_when_asked_for(visitor, app):
    page = visitor("/", at=app)
    tour = page.locator(".st-key-tour")
    expect(tour.get_by_role("link")).to_have_count(3)
    press(page, "Got it")
    expect(tour).to_have_count(0)
    page.wait_for_function("document.cookie.includes('tour=seen')")
    page.reload()
    expect(page.get_by_role("button", name="Show the tour")).to_be_visible()
    expect(tour).to_have_count(0)
    press(page, "Show the tour")
    tour.get_by_role("link", name="A story to look at").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(shipped.TITLES["executives"])
