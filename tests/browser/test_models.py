"""Finding a model, looking into it, downloading it: by clicks, with a Hub of our own on the loopback interface."""

from __future__ import annotations

import io
import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from safetensors.numpy import save

from tests.browser.serving import ROOT, WIDTHS, serving
from tests.hub_server import Fault, HubServer

NUMBERS = np.random.default_rng(0)
CARD = b"""---
license: mit
---
# A tiny transformer
It has <b>two</b> blocks. ![a picture](https://example.org/picture.png)

<img src="https://example.org/other.png" onerror="document.title='stolen'">

| data | accuracy |
|---|---|
| digits | 97% |
"""


def model(size: int) -> dict[str, bytes]:
    shapes = {f"encoder.layer.{number}.dense.weight": (size, size) for number in range(6)} | {"classifier.weight": (10, size)}
    config = {
        "architectures": ["ViTForImageClassification"],
        "model_type": "vit",
        "id2label": {str(i): f"digit {i}" for i in range(10)},
    }
    return {
        "README.md": CARD,
        "config.json": json.dumps(config).encode(),
        "model.safetensors": save({name: NUMBERS.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}),
        "pytorch_model.bin": b"a pickle",
    }


@pytest.fixture(scope="module")
def a_hub():
    about = {"kind": "models", "pipeline_tag": "image-classification", "library_name": "transformers", "tags": ["license:mit"]}
    with HubServer() as hub:
        hub.add("tiny/vit-digits", model(400), **about, downloads=12_345)
        hub.add("tiny/vit-other", model(8), **about, downloads=7)
        hub.add("tiny/bert", model(8), kind="models", pipeline_tag="text-classification", downloads=99)
        starter = (ROOT / "models" / "starters" / "digits-vit").iterdir()
        hub.add("small/digits", {path.name: path.read_bytes() for path in starter if path.name != "provenance.json"}, **about)
        hub.add("tiny/pickled", {"config.json": b'{"a": 1}', "pytorch_model.bin": b"x"}, kind="models")
        yield hub


@pytest.fixture(scope="module")
def at(a_hub, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    settings = {"HF_ENDPOINT": a_hub.url, "HF_HOME": str(folder / "hub"), "PROVING_GROUND_WORKERS": "1"}
    with serving(PROVING_GROUND_STORE=str(folder / "store.duckdb"), **settings) as server:
        yield server


def rows(page: Page):
    return page.locator("[class*=st-key-row-]")


def press(page: Page, name: str | re.Pattern[str]) -> None:
    page.get_by_role("button", name=name).click()


def test_a_model_is_found_looked_at_and_downloaded(visitor, a_hub, at):
    page = visitor("/models", at=at)
    expect(rows(page).first).to_contain_text("tiny/vit-digits")
    page.get_by_label("Search").fill("vit")
    page.get_by_label("Search").press("Enter")
    expect(rows(page)).to_have_count(2)
    expect(rows(page).first).to_contain_text("Image classification · 964 thousand parameters · mit · 12 thousand downloads")
    assert "search=vit" in page.url
    page.get_by_role("link", name="tiny/vit-digits").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("tiny/vit-digits")
    assert "/model?model=tiny" in page.url
    expect(page.get_by_text("Image classification · transformers · licence mit · 964 thousand parameters")).to_be_visible()
    expect(page.get_by_text("fits")).to_be_visible()
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()

    a_hub.faults["model.safetensors"] = [Fault(pause=0.25), Fault(pause=0.05)]
    press(page, "Download 3.9 MB")
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_text(re.compile(r"\d(\.\d)? MB of 3.9 MB, about \d+ s left"))).to_be_visible()
    press(page, "Cancel")
    press(page, re.compile(r"Go on, \d\.\d MB left"))
    expect(page.get_by_text("on this machine")).to_be_visible()
    assert any(asked.startswith("bytes=") and not asked.startswith("bytes=0-") for _, asked in a_hub.ranges)
    assert "pytorch_model.bin" not in a_hub.downloads


def test_from_the_hub_to_a_cluster_a_calibrator_and_pruned_weights(visitor, a_hub, at):
    """The whole way with a real model; once it is downloaded, the network is not needed any more."""
    page = visitor("/models?search=digits", at=at)
    page.get_by_role("link", name="small/digits").click()
    press(page, re.compile(r"^Download \d"))
    expect(page.get_by_text("on this machine")).to_be_visible()
    asked = len(a_hub.requests)
    press(page, "Make the snapshot")
    expect(page.get_by_text("small/digits on mnist-5k")).to_be_visible()
    run = re.search("snapshot=([0-9a-f]{12})", page.url)[1]

    page.get_by_role("main").get_by_role("link", name="Embeddings").click()
    page.locator(".frame[data-drawn='500']").wait_for()
    press(page, "Box")
    box = page.locator("canvas.points").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] / 4)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    expect(page.get_by_text(re.compile(r"[1-9]\d* items? selected of 500"))).to_be_visible()
    picture = page.get_by_test_id("stDataFrame").first.locator("td").nth(1)
    assert picture.text_content().startswith("data:image/png;base64,")

    page.goto(f"/calibration?snapshot={run}&resamples=20&calibrators=temperature")
    press(page, "Measure calibration")
    expect(page.locator(".st-key-reading")).to_contain_text("brings ECE from", timeout=120_000)
    page.get_by_role("tab", name="Take away").click()
    expect(page.get_by_role("button", name="Temperature scaling (JSON)")).to_be_visible()

    page.goto(f"/pruning?snapshot={run}")
    page.get_by_role("textbox", name="Sparsities").fill("90")
    page.get_by_role("textbox", name="Sparsities").press("Enter")
    for criterion in ("magnitude, by layer", "random", "saliency", "Wanda", "channels"):
        page.get_by_role("button", name=criterion, exact=True).click()
    press(page, "Prune")
    expect(page.get_by_role("button", name="Run again")).to_be_visible(timeout=120_000)
    page.get_by_role("tab", name="Masks").click()
    expect(page.locator(".st-key-masks").get_by_test_id("stVegaLiteChart")).to_be_visible()
    page.get_by_role("tab", name="Take away").click()
    press(page, "Prepare the files")
    expect(page.get_by_role("link", name="Download (zip)")).to_be_visible(timeout=120_000)
    assert len(a_hub.requests) == asked


def test_a_snapshot_of_a_starter_is_made_with_no_hub_and_opened(visitor, a_hub, at):
    page = visitor("/models?search=no+such+model", at=at)
    page.get_by_role("link", name="ResNet on MNIST").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("starter/mnist-resnet")
    asked = len(a_hub.requests)
    page.get_by_role("spinbutton", name="Items").fill("40")
    page.get_by_role("spinbutton", name="Items").press("Enter")
    press(page, "Make the snapshot")
    expect(page.get_by_text("starter/mnist-resnet on mnist-5k")).to_be_visible()
    assert re.search("snapshot=[0-9a-f]{12}", page.url)
    assert len(a_hub.requests) == asked
    page.get_by_role("main").get_by_role("link", name="Calibration").click()
    expect(page).to_have_url(re.compile("/calibration.*snapshot=[0-9a-f]{12}"))


def test_a_snapshot_of_an_upload(visitor, at, tmp_path):
    page = visitor("/model?model=starter/digits-vit", at=at)
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for number in range(12):
            buffer = io.BytesIO()
            Image.fromarray(NUMBERS.integers(0, 256, (8, 8), dtype=np.uint8)).save(buffer, "PNG")
            archive.writestr(f"{number % 2}/{number}.png", buffer.getvalue())
    page.get_by_role("radio", name="Upload").click()
    page.locator("input[type=file]").set_input_files(tmp_path / "mine.zip")
    expect(page.get_by_text("mine.zip: 12 of images in 2 classes")).to_be_visible()
    press(page, "Make the snapshot")
    expect(page.get_by_text("starter/digits-vit on an upload")).to_be_visible()
    expect(page.get_by_role("main").get_by_role("link", name="Embeddings")).to_be_visible()

    page = visitor("/model?model=starter/digits-vit", at=at)
    page.get_by_role("radio", name="Upload").click()
    page.locator("input[type=file]").set_input_files({"name": "bad.zip", "mimeType": "application/zip", "buffer": b"no zip"})
    expect(page.get_by_role("alert")).to_contain_text("bad.zip")
    expect(page.get_by_role("button", name="Make the snapshot")).to_be_disabled()


def test_a_card_is_shown_as_text_and_fetches_nothing(visitor, at):
    page = visitor("/model?model=tiny/vit-other", at=at)
    page.get_by_role("tab", name="Card").click()
    expect(page.get_by_role("heading", name="A tiny transformer")).to_be_visible()
    expect(page.get_by_text("It has two blocks. a picture")).to_be_visible()
    expect(page.get_by_role("cell", name="97%")).to_be_visible()
    assert page.locator("img[src*=example]").count() == 0
    page.get_by_role("tab", name="Files").click()
    expect(page.get_by_text("no pickle, no code")).to_be_visible()


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("/model?model=tiny/nothing", "There is no model tiny/nothing at"),
        ("/model?model=no//id", "is no id of a Hub model; it looks like owner/name."),
        ("/model?model=tiny/vit-other&revision=v9", "tiny/vit-other has no revision 'v9'."),
        ("/model?model=tiny/pickled", "tiny/pickled has its weights only as pytorch_model.bin"),
        ("/model?model=starter/nothing", "There is no starter model 'starter/nothing'"),
        ("/models?search=no+such+model", "No model matches."),
        ("/models?model=tiny/nothing", "There is no model tiny/nothing at"),
        ("/model", "The link names no model."),
        ("/model?model=![x](https://example.org/x.png)", "is no id of a Hub model; it looks like owner/name."),
    ],
)
def test_what_cannot_be_had_is_said(visitor, at, address, sentence):
    page = visitor(address, at=at)
    expect(page.get_by_text(sentence)).to_be_visible()
    expect(page.locator(".st-key-download")).to_have_count(0)


def test_filters_and_an_id_that_is_typed(visitor, at):
    page = visitor("/models?task=Text+classification", at=at)
    expect(rows(page)).to_have_count(1)
    expect(rows(page)).to_contain_text("tiny/bert")
    press(page, "By id")
    page.get_by_role("textbox", name="Model").fill("tiny/vit-other")
    page.get_by_role("textbox", name="Model").press("Tab")
    press(page, "Open")
    expect(page.get_by_role("heading", level=1)).to_have_text("tiny/vit-other")
    page.get_by_role("link", name="All models").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Models")
    expect(rows(page)).to_have_count(1)
    assert "task=" in page.url, "the list is as it was left"


def test_a_hub_in_trouble_is_said_and_asked_again(visitor, a_hub, at):
    a_hub.faults["api/models"] = [Fault(503)]
    page = visitor("/models?search=bert", at=at)
    expect(page.get_by_role("alert")).to_contain_text("has a problem of its own (error 503)")
    press(page, "Try again")
    expect(rows(page)).to_have_count(1)


@pytest.mark.parametrize("path", ["/models", "/model?model=tiny/vit-other"])
def test_no_page_is_wider_than_the_window(visitor, at, path):
    page = visitor(path, at=at)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)
    for width, height in WIDTHS.values():
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function("document.querySelector('[data-testid=stMain]').scrollWidth <= innerWidth", timeout=10_000)
