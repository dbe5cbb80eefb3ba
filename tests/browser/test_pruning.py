"""Pruning as a visitor does it: a starter to 90%, its masks, and its files, in which nine of ten weights are zero."""

from __future__ import annotations

import io
import json
import re
import zipfile
from urllib.parse import urljoin

import pytest
from playwright.sync_api import Page, expect
from safetensors.numpy import load_file

from tests.browser.serving import WIDTHS

MODEL = "starter/digits-vit"
RUN_PATIENCE = 300_000  # milliseconds; three arms load the model each, and the machine may be busy


def tab(page: Page, name: str) -> None:
    page.get_by_role("tab", name=name).click()


def picture(page: Page, key: str):
    return page.locator(f".st-key-{key}").get_by_test_id("stVegaLiteChart")


@pytest.fixture(scope="module")
def link(browser, server):
    """The address of a finished run with two criteria at 50 and 90%."""
    context = browser.new_context(base_url=server.url, viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(f"/pruning?model={MODEL}&data=digits-8")
    box = page.get_by_role("textbox", name="Sparsities")
    expect(box).to_have_value("50, 70, 80, 90, 95")
    box.fill("50, 90")
    box.press("Enter")
    for criterion in ("magnitude, by layer", "random", "saliency", "channels"):  # leaves magnitude and Wanda
        page.get_by_role("button", name=criterion, exact=True).click()
    page.get_by_role("button", name="Prune").click()
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_role("button", name="Run again")).to_be_visible(timeout=RUN_PATIENCE)
    yield page.url
    context.close()


def test_the_costs_and_masks_of_a_run_are_there_by_its_link(visitor, link):
    assert re.search("run=[0-9a-f]{12}", link)
    page = visitor(link)
    expect(picture(page, "picture")).to_be_visible()
    expect(page.get_by_text("Accuracy, dense")).to_be_visible()
    page.get_by_role("radio", name="Disagreement").click()
    expect(page.get_by_text("Predictions that differ from the dense model's")).to_be_visible()
    expect(page.get_by_role("textbox", name="Sparsities")).to_have_value("50, 90")

    tab(page, "Masks")
    expect(picture(page, "masks")).to_be_visible()
    expect(page.get_by_text(re.compile("outputs × .* inputs"))).to_be_visible()
    tab(page, "Layers")
    expect(picture(page, "layers")).to_be_visible()
    tab(page, "Overlap")
    expect(page.get_by_text("By chance")).to_be_visible()
    tab(page, "Classes")
    expect(picture(page, "classes")).to_be_visible()
    tab(page, "Papers")
    expect(page.get_by_text("Papers that work on weights, on those of")).to_be_visible()
    page.get_by_role("link", name="The Lottery Ticket Hypothesis").click()
    expect(page.get_by_text("on weights starter/digits-vit")).to_be_visible()
    assert "weights=starter%2Fdigits-vit" in page.url or "weights=starter/digits-vit" in page.url


def test_the_pruned_weights_that_are_taken_away_are_nine_tenths_zeros(visitor, link, tmp_path):
    page = visitor(link)
    tab(page, "Take away")
    page.get_by_role("button", name="Prepare the files").click()
    download = page.get_by_role("link", name="Download (zip)")
    expect(download).to_be_visible()
    answer = page.request.get(urljoin(page.url, download.get_attribute("href")))
    assert answer.status == 200 and "attachment" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.body())) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    weights = load_file(tmp_path / "model.safetensors")
    pruned = {name: value for name, value in weights.items() if (value == 0).mean() > 0.1}
    assert len(pruned) > 4 and all(value.ndim >= 2 for value in pruned.values())
    zeros = sum((value == 0).sum() for value in pruned.values()) / sum(value.size for value in pruned.values())
    assert zeros == pytest.approx(0.9, abs=0.02)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["ViTForImageClassification"]

    page.get_by_text("Model card").click()
    expect(page.get_by_text("pruned to 90% zeros")).to_be_visible()
    assert page.request.get(urljoin(page.url, "exported/000000000000")).status == 404


def test_a_push_asks_first_and_says_why_it_cannot_be(visitor, link):
    page = visitor(link)
    tab(page, "Take away")
    prepare = page.get_by_role("button", name="Prepare the files")
    push = page.get_by_role("button", name="Push to the Hub")
    expect(prepare.or_(push)).to_be_visible()
    if prepare.is_visible():
        prepare.click()
    push.click()
    dialog = page.get_by_role("dialog")
    token = dialog.get_by_role("textbox", name="Token")
    expect(token).to_have_attribute("type", "password")
    dialog.get_by_role("textbox", name="Repository").fill("somebody/pruned")
    dialog.get_by_role("button", name="Push", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("A push needs a token that may write")
    token.fill("not a token")
    dialog.get_by_role("button", name="Push", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("is no token")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/pruning?run=000000000000", "There is no pruning run “000000000000”"),
        ("/pruning?model=starter/none", "There is no starter model"),
    ],
)
def test_a_wrong_link_is_said(visitor, address, sentence):
    page = visitor(address)
    if "model=" in address:
        page.get_by_role("button", name="Prune").click()
    expect(page.get_by_role("alert").filter(has_text=sentence).first).to_be_visible()


def test_the_page_is_never_wider_than_the_window(visitor, link):
    page = visitor(link)
    for name in ("Costs", "Masks", "Layers", "Overlap", "Classes", "Take away"):
        tab(page, name)
        for width, height in WIDTHS.values():
            page.set_viewport_size({"width": width, "height": height})
            page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollWidth <= innerWidth", timeout=10_000)
