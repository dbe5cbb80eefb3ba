"""From a snapshot of real digits: draw around points, and see which they are."""

from __future__ import annotations

import io
import re
from base64 import b64decode
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from core.data.digits import digits_images
from tests.browser.serving import serving
from tests.browser.snapshot_store import RUN, write_snapshot, write_training

OTHER, TRAINING = "ba9876543210", "7ea171230000"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    store = tmp_path_factory.mktemp("embeddings") / "store.duckdb"
    for run in (RUN, OTHER):
        write_snapshot(store, run=run)
    write_training(store, TRAINING, (0, 100, 200))
    with serving(PROVING_GROUND_STORE=str(store), PROVING_GROUND_WORKERS="1") as server:
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
        page.mouse.move(*place, steps=4)
    page.mouse.up()


def test_a_lasso_selects_what_it_surrounds_and_the_link_keeps_it(visitor, lab):
    page = visitor(f"/embeddings?snapshot={RUN}", at=lab)
    box = drawn(page)
    expect(page.get_by_text("Draw around points")).to_be_visible()
    expect(page.get_by_role("button", name="Measure the features")).to_be_visible()  # the workers are warm
    page.get_by_role("button", name="Lasso").click()
    said = page.get_by_text(re.compile(r"\d+ items? selected of 900"))
    for _ in range(3):  # a busy browser has lost a gesture now and then; a person draws again
        drag(page, box, [(0.3, 0.3), (0.7, 0.3), (0.7, 0.7), (0.3, 0.7), (0.3, 0.32)])
        with suppress(AssertionError):
            expect(said).to_be_visible(timeout=15_000)
            break
    expect(said).to_be_visible()
    count = int(said.inner_text().split()[0])
    assert 0 < count < 900
    assert "around=" in page.url
    items = page.get_by_test_id("stDataFrame").first
    expect(items.locator("th")).to_have_text(["row", "picture", "label"])
    row, picture, label = items.locator("td").all_text_contents()[:3]
    digits = digits_images()
    pixels = np.asarray(Image.open(io.BytesIO(b64decode(picture.removeprefix("data:image/png;base64,")))))
    assert np.array_equal(pixels, np.round(255 * digits.pixels[int(row), 0].numpy())), "the item's own picture"
    assert label == str(digits.labels[int(row)].item())
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
    expect(page.locator("[data-testid=stTable]").last).to_be_visible(timeout=120_000)


def test_without_anything_to_look_at_the_page_says_what_to_do(visitor):
    page = visitor("/embeddings?snapshot=nothing")
    expect(page.get_by_role("heading", name="Embeddings")).to_be_visible()
    expect(page.get_by_role("link", name="Choose a model").or_(page.get_by_text("There is nothing called")).first).to_be_visible()


def test_a_point_has_its_neighbours_beside_it(visitor, lab):
    page = visitor(f"/embeddings?snapshot={RUN}&point=3", at=lab)
    drawn(page)
    expect(page.get_by_text("1 item selected of 900")).to_be_visible()
    expect(page.get_by_text("Nearest by the angle between vectors")).to_be_visible()
    neighbours = page.get_by_test_id("stDataFrame").nth(1)
    expect(neighbours.locator("th")).to_have_text(["row", "picture", "cosine", "label"])
    vectors = digits_images().pixels[:900].flatten(1).numpy()
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors[3]
    first = np.argsort(-cosines)[1]
    found = neighbours.locator("td").all_text_contents()
    assert int(found[0]) == first and float(found[2]) == pytest.approx(cosines[first], abs=1e-3)


def test_what_is_selected_beside_is_selected_everywhere_and_both_are_compared(visitor, lab):
    page = visitor(f"/embeddings?snapshot={RUN}&against={OTHER}&part=Side+by+side", at=lab)
    drawn(page)
    page.get_by_role("button", name="Measure how alike they are").click()
    expect(page.get_by_text("Neurons that match best")).to_be_visible(timeout=180_000)
    beside = page.locator(".frame").nth(2)
    beside.get_by_role("button", name="Box").click()
    beside.locator("canvas.points").scroll_into_view_if_needed()
    drag(page, beside.locator("canvas.points").bounding_box(), [(0.3, 0.3), (0.5, 0.5), (0.7, 0.7)])
    said = page.get_by_text(re.compile(r"\d+ items? selected of 900"))
    expect(said).to_be_visible()
    assert f"on={OTHER}" in page.url or f"on={RUN}" in page.url
    count = said.inner_text()
    again = visitor(page.url.removeprefix(lab.url), at=lab)
    expect(again.get_by_text(count)).to_be_visible()


def test_another_projection_is_computed_and_replaces_the_first(visitor, lab):
    page = visitor(f"/embeddings?snapshot={RUN}&projection=t-SNE&perplexity=10", at=lab)
    drawn(page)
    expect(page.locator("canvas.points").first).to_have_attribute("aria-label", re.compile("^PCA of 900 items"))
    page.get_by_role("button", name="Compute t-SNE").click()
    expect(page.get_by_text(re.compile(r"t-SNE keeps \d\d% of an item's 10 nearest neighbours"))).to_be_visible(timeout=240_000)
    expect(page.locator("canvas.points").first).to_have_attribute("aria-label", re.compile("^t-SNE of 900 items"))


def test_the_points_of_a_training_move_from_step_to_step(visitor, lab):
    page = visitor(f"/embeddings?snapshot={TRAINING}/imbalanced/0/network", at=lab)
    drawn(page, points=90)
    assert "step=200" in page.url
    canvas = page.locator("canvas.points")
    canvas.evaluate("canvas => { canvas.mine = true; }")
    slider = page.get_by_role("slider", name="Step")
    slider.focus()
    slider.press("ArrowLeft")
    page.wait_for_url(re.compile("step=100"))
    assert canvas.evaluate("canvas => canvas.mine"), "the same picture goes on: its points move"
    expect(page.get_by_role("heading", name="Embeddings")).to_be_visible()
    again = visitor(page.url.removeprefix(lab.url), at=lab)
    expect(again.get_by_role("slider", name="Step")).to_have_attribute("aria-valuetext", "100")


def test_the_page_of_runs_leads_to_a_snapshot_s_own_page(visitor, lab):
    page = visitor("/runs?paper_is=snapshot", at=lab)
    row = page.locator(f".st-key-row-{RUN}")
    expect(row).to_contain_text("starter/pixel_s on digits-8")
    row.get_by_role("link", name="A snapshot of a model").click()
    drawn(page)
    assert f"snapshot={RUN}" in page.url
