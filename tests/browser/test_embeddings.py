"""From a snapshot of real digits: draw around points, and see which they are."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.browser.serving import serving
from tests.browser.snapshot_store import RUN, write_snapshot


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    store = tmp_path_factory.mktemp("embeddings") / "store.duckdb"
    write_snapshot(store)
    with serving(PROVING_GROUND_STORE=str(store)) as server:
        yield server


def drawn(page, points=900):
    """Waits until the points are there, and returns the box of the canvas."""
    page.locator(f".frame[data-drawn='{points}']").first.wait_for()
    return page.locator("canvas.points").first.bounding_box()


def drag(page, box, corners):
    """A path over the canvas, its corners as shares of its sides."""
    places = [(box["x"] + across * box["width"], box["y"] + down * box["height"]) for across, down in corners]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=12)
    page.mouse.up()


def test_a_lasso_selects_what_it_surrounds_and_the_link_keeps_it(visitor, lab):
    page = visitor(f"/embeddings?snapshot={RUN}", at=lab)
    box = drawn(page)
    expect(page.get_by_text("Draw around points")).to_be_visible()
    page.get_by_role("button", name="Lasso").click()
    drag(page, box, [(0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7), (0.3, 0.32)])
    said = page.get_by_text(re.compile(r"\d+ items? selected of 900"))
    expect(said).to_be_visible()
    count = int(said.inner_text().split()[0])
    assert 0 < count < 900
    assert "around=" in page.url
    again = visitor(page.url.removeprefix(lab.url), at=lab)
    expect(again.get_by_text(f"{count} items selected of 900")).to_be_visible()


def test_a_search_selects_and_a_colour_stays_in_the_link(visitor, lab):
    page = visitor(f"/embeddings?snapshot={RUN}", at=lab)
    drawn(page)
    page.get_by_role("textbox", name="Search").fill("label: 7")
    page.get_by_role("textbox", name="Search").press("Enter")
    expect(page.get_by_text(re.compile(r"\d+ items selected of 900"))).to_be_visible()
    expect(page.locator(".legend")).to_contain_text("7")
    assert "colour=label" in page.url


def test_features_are_measured_when_asked_for(visitor, lab):
    page = visitor(f"/embeddings?snapshot={RUN}", at=lab)
    drawn(page)
    page.get_by_role("button", name="Measure the features").click()
    expect(page.get_by_role("button", name="Measure the features")).to_have_count(0)
    expect(page.locator("[data-testid=stDataFrame]").last).to_be_visible(timeout=120_000)


def test_without_anything_to_look_at_the_page_says_what_to_do(visitor):
    page = visitor("/embeddings?snapshot=nothing")
    expect(page.get_by_role("heading", name="Embeddings")).to_be_visible()
    expect(page.get_by_role("link", name="Choose a model").or_(page.get_by_text("There is nothing called")).first).to_be_visible()
