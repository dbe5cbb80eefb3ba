"""The page Calibration on a real classifier of digits, as a visitor uses it."""

from __future__ import annotations

import json
import re
import zipfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import expect

from tests.browser.digits_store import ITEMS, SNAPSHOT, UNLABELLED, write_snapshot
from tests.browser.serving import WIDTHS, serving, settled

ADDRESS = f"/calibration?snapshot={SNAPSHOT}&resamples=50"


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    path = tmp_path_factory.mktemp("calibration") / "store.duckdb"
    write_snapshot(path)
    with serving(PROVING_GROUND_STORE=str(path), PROVING_GROUND_WORKERS="2") as server:
        yield server


def measured(visitor, lab, address=ADDRESS):
    """The page with its numbers, which the first visitor waits for."""
    page = visitor(address, at=lab)
    reading = page.locator(".st-key-reading")
    button = page.get_by_role("button", name="Measure calibration")
    expect(reading.or_(button)).to_be_visible()
    if button.is_visible():
        button.click()
    expect(reading).to_be_visible(timeout=180_000)
    return page


def picture(page):
    return page.locator(".st-key-picture").get_by_test_id("stVegaLiteChart")


def test_from_a_snapshot_to_a_calibrator_in_a_file(visitor, lab, tmp_path):
    page = visitor("/calibration", at=lab)
    expect(page.get_by_role("combobox", name="Predictions of")).to_have_value("starter/digits on digits-8")
    page.close()
    page = measured(visitor, lab)
    reading = page.locator(".st-key-reading")
    expect(reading).to_contain_text(re.compile(r"Overconfident by \d+\.\d points on average \[\d"))
    expect(reading).to_contain_text(re.compile(r"Temperature \d\.\d\d brings ECE from \d+\.\d% to \d+\.\d% \[\d+\.\d, \d+\.\d\]"))
    expect(reading).to_contain_text(f"{ITEMS - UNLABELLED:,} items. {UNLABELLED} items without a target")
    expect(picture(page)).to_be_visible()
    for word in ("Uncalibrated", "Temperature scaling", "Accuracy", "Confidence"):
        expect(picture(page)).to_contain_text(word)

    page.get_by_role("tab", name="Take away").click()
    expect(page.get_by_role("button", name="Temperature scaling (JSON)")).to_be_visible()
    settled(page)
    with page.expect_download() as taken:
        page.get_by_role("button", name="Temperature scaling (JSON)").click()
    kept = json.loads(taken.value.path().read_text())
    assert kept["calibrator"] == "temperature"
    assert 1 < kept["parameters"]["temperature"] < 10
    assert kept["classes"][:2] == ["0: zero", "1: one"]
    said = float(re.search(r"Temperature (\d\.\d\d)", reading.inner_text())[1])
    assert np.isclose(said, kept["parameters"]["temperature"], atol=0.006)
    with page.expect_download() as taken:
        page.get_by_role("button", name="Page", exact=True).click()
    told = taken.value.path().read_text(encoding="utf-8")
    for words in (
        "Calibration of a classifier",
        "Risk and coverage",
        "Temperature scaling",
        "brings ECE from",
        "Classes, uncalibrated",
    ):
        assert words in told


def test_another_calibrator_another_diagram_and_a_class_are_in_the_link(visitor, lab):
    page = measured(visitor, lab)
    page.get_by_role("radio", name="Isotonic").click()
    expect(page.locator(".st-key-reading")).to_contain_text("Isotonic brings ECE from")
    page.get_by_role("radio", name="smooth").click()
    expect(picture(page)).to_contain_text("Gaussian kernel")
    page.get_by_role("combobox", name="Of", exact=True).click()
    page.get_by_role("option", name="3: three").click()
    expect(picture(page)).to_contain_text("Share of 3: three")
    address = page.url
    assert f"snapshot={SNAPSHOT}" in address and "diagram=smooth" in address and "calibrator=Isotonic" in address
    page.close()

    page = visitor(address, at=lab)
    expect(page.locator(".st-key-reading")).to_contain_text("Isotonic brings ECE from")
    expect(picture(page)).to_contain_text("Share of 3: three")
    expect(page.get_by_role("radio", name="smooth")).to_be_checked()


def test_the_measures_of_every_calibrator_name_their_estimators(visitor, lab):
    page = measured(visitor, lab, f"{ADDRESS}&part=Measures")
    table = page.get_by_test_id("stDataFrame").filter(visible=True)
    expect(table).to_be_visible()
    page.get_by_role("tab", name="Classes").click()
    expect(page.get_by_text("The class-wise ECE is the mean over all 10 classes")).to_be_visible()
    page.get_by_role("tab", name="Risk and coverage").click()
    expect(page.get_by_text("Share of predictions kept, the most confident first")).to_be_visible()


def test_the_numbers_on_the_page_are_those_of_the_store(visitor, lab, tmp_path):
    page = measured(visitor, lab, f"{ADDRESS}&part=Take+away")
    with page.expect_download() as taken:
        page.get_by_role("button", name="Data", exact=True).click()
    with zipfile.ZipFile(taken.value.path()) as archive:
        archive.extractall(tmp_path)
    measures = pq.read_table(tmp_path / "table measures.parquet").to_pandas().set_index(["arm", "measure"])
    assert set(measures.index.get_level_values("arm")) == {
        "uncalibrated", "temperature", "vector", "matrix", "Dirichlet", "Platt", "isotonic", "histogram", "beta"
    }  # fmt: skip
    gap = 100 * measures.loc[("uncalibrated", "gap"), "value"]
    expect(page.locator(".st-key-reading")).to_contain_text(f"Overconfident by {gap:.1f} points")
    items = pq.read_table(tmp_path / "table items.parquet").to_pandas()
    own = items[items["arm"] == "uncalibrated"]
    assert gap == pytest.approx(100 * (own["confidence"] - own["correct"]).mean())


def test_the_page_fits_every_width_and_the_dark(visitor, lab):
    page = measured(visitor, lab)
    for width, height in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollWidth <= innerWidth", timeout=10_000)
    page.close()
    page = visitor(ADDRESS, theme="dark", at=lab)
    expect(picture(page).locator("svg .role-axis-label text").first).to_have_attribute("fill", re.compile("#A6AEB9", re.I))


def test_a_link_to_nothing_is_said(visitor, lab):
    page = visitor("/calibration?snapshot=nothing", at=lab)
    expect(page.get_by_role("alert")).to_contain_text("There are no predictions “nothing” here")


def test_without_predictions_it_says_where_they_come_from(visitor, tmp_path):
    with serving(PROVING_GROUND_STORE=str(tmp_path / "empty.duckdb"), PROVING_GROUND_WORKERS="1") as server:
        page = visitor("/calibration", at=server)
        expect(page.get_by_text("No predictions are kept yet")).to_be_visible()
        expect(page.get_by_role("link", name="Open Models")).to_be_visible()
