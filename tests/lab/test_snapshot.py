"""Snapshots of starters and of a model of a Hub: what is recorded, in what order, that the model says so, and that it repeats."""

from __future__ import annotations

import json
import math
from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from PIL import Image
from scipy.special import log_softmax, softmax

from core import hub, snapshots
from core.data.items import items
from core.data.uploads import read_upload
from core.lab import snapshot
from core.lab.snapshot import Extraction, Params, Thumbnails, leading, matched, record_leading
from core.methods.base import Inputs, ParameterError
from core.recorder import Batch, Recorder
from models.hub import load
from tests.hub_server import HubServer, engine_on


class Recorded:
    """What a run recorded: arrays by (kind, name, part) with their steps, tables, results, and how far it said it was."""

    def __init__(self) -> None:
        self.pieces = defaultdict(list)
        self.tables = defaultdict(list)
        self.results: dict[str, float] = {}
        self.progress: list[tuple[int, int]] = []
        self.recorder = Recorder(self._take, (0,))
        self.recorder.flush_seconds = 0

    def _take(self, batch: Batch) -> None:
        for event in batch.arrays:
            self.pieces[event.kind, event.name, event.part].append((event.step, event.array))
        for table in batch.tables:
            self.tables[table.name].append(table.rows.to_pandas())
        self.results |= {result.metric: result.value for result in batch.results}
        self.progress += [batch.progress] if batch.progress else []

    def array(self, *key: str) -> np.ndarray:
        return np.concatenate([array for _, array in sorted(self.pieces[key], key=lambda item: item[0])])

    def table(self, name: str) -> pd.DataFrame:
        return pd.concat(self.tables[name], ignore_index=True)


def run(upload: bytes | None = None, **params) -> Recorded:
    recorded = Recorded()
    torch.set_num_threads(1)
    snapshot.run("snapshot", Params(**params), Inputs((0,), upload=upload), recorded.recorder)
    recorded.recorder.close()
    return recorded


# --- whole snapshots ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Hub with a small model on it."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = transformers.ViTConfig(image_size=8, patch_size=4, hidden_size=8, num_hidden_layers=2, num_attention_heads=2)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(folder)
    with HubServer() as server:
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        server.add("tiny/vit", files, kind="models", pipeline_tag="image-classification")
        yield server


@pytest.fixture(scope="module")
def engine(server, tmp_path_factory):
    with engine_on(server, tmp_path_factory.mktemp("hub"), tmp_path_factory.mktemp("engine") / "store.duckdb") as engine:
        yield engine


def kept(engine, **params):
    """A snapshot as pages read it, and its results."""
    run = engine.submit(engine.make_spec("snapshot", "quick", params))
    assert engine.wait(run, timeout=300)
    assert engine.store.run(run)["status"] == "completed", engine.progress(run)
    return snapshots.read(engine.store, run), engine.store.results(run).iloc[0]


def test_a_classifier_of_images_as_pages_read_it(engine):
    found, metrics = kept(engine, model="starter/mnist-resnet", data="mnist-5k", items=120)
    assert found.title == "starter/mnist-resnet on mnist-5k"
    assert found.vectors.shape == (120, 64)
    assert found.thumbnails.shape == (120, 28, 28)
    assert found.classes == found.outputs == tuple("0123456789")
    np.testing.assert_array_equal(found.labels, found.targets)
    assert len(found.items) == 120
    assert metrics["accuracy"] == (found.logits.argmax(axis=1) == found.labels).mean() > 0.9
    assert metrics["items"] == 120
    assert metrics["items_per_second"] == pytest.approx(120 / metrics["seconds"])


def test_a_model_of_the_hub_is_downloaded_first(engine, server):
    params = {"model": "tiny/vit", "data": "digits-8", "layer": "vit.encoder.layer.0"}
    found, metrics = kept(engine, **params, items=30)
    assert found.vectors.shape == (30, 8)
    assert found.outputs == ("LABEL_0", "LABEL_1")
    assert (found.targets == -1).all()
    assert "accuracy" not in metrics
    assert server.downloads.count("model.safetensors") == 1
    again, _ = kept(engine, **params, items=40)
    assert server.downloads.count("model.safetensors") == 1
    np.testing.assert_allclose(again.vectors[:30], found.vectors, atol=1e-4)


def test_pieces_are_in_order_and_whole(monkeypatch):
    whole = run(model="starter/mnist-resnet", data="mnist-5k", items=70)
    monkeypatch.setattr(snapshot, "PIECE", 32)
    pieces = run(model="starter/mnist-resnet", data="mnist-5k", items=70)
    assert [step for step, _ in pieces.pieces["embedding", "features", "vectors"]] == [0, 32, 64]
    assert pieces.table("items")["item"].tolist() == list(range(70))
    for key in (("embedding", "features", "labels"), ("images", "thumbnails", "pixels"), ("predictions", "", "labels")):
        np.testing.assert_array_equal(pieces.array(*key), whole.array(*key))
    np.testing.assert_allclose(pieces.array("predictions", "", "logits"), whole.array("predictions", "", "logits"), atol=1e-4)
    assert pieces.progress[-1] == (70, 70)
    assert len(pieces.tables["classes"]) == len(pieces.tables["outputs"]) == 1


def test_the_same_again_is_the_same_to_the_bit():
    first, second = (run(model="starter/digits-vit", data="digits-8", items=60, layer="vit.layers.1") for _ in range(2))
    assert first.pieces.keys() == second.pieces.keys()
    for key in first.pieces:
        np.testing.assert_array_equal(first.array(*key), second.array(*key))


@pytest.mark.parametrize(
    "starter", [one for one in hub.starters() if one.task.endswith("classification")], ids=lambda one: one.name
)
def test_a_starter_is_as_good_on_its_held_out_part_as_its_card_says(starter):
    recorded = run(model=starter.name, data=starter.data, items=2000, split="test")
    assert recorded.results["accuracy"] == pytest.approx(starter.accuracy, abs=0.003)  # the processor rounds pixels to 8 bits


def test_digits_of_another_size_go_to_any_model():
    recorded = run(model="starter/mnist-resnet", data="digits-8", items=100, layer="resnet.encoder.stages.0")
    assert recorded.array("embedding", "features", "vectors").shape == (100, 16)
    assert recorded.array("images", "thumbnails", "pixels").shape == (100, 8, 8)
    assert recorded.results["accuracy"] > 0.2


def test_a_classifier_of_texts():
    recorded = run(model="starter/names-bert", data="names-12", items=300)
    told = recorded.table("items")
    assert list(told) == ["item", "text", "english", "kind"]
    logits, labels = recorded.array("predictions", "", "logits"), recorded.array("embedding", "features", "labels")
    np.testing.assert_array_equal(recorded.array("predictions", "", "labels"), labels)
    assert recorded.results["accuracy"] == pytest.approx((logits.argmax(axis=1) == labels).mean())
    model = load("starter/names-bert")
    alone = model.features_and_logits(model.preprocess(told["text"].tolist()[:1]))
    np.testing.assert_allclose(logits[0], alone[1][0].numpy(), atol=1e-3)
    np.testing.assert_allclose(recorded.array("embedding", "features", "vectors")[0], alone[0][0].numpy(), atol=1e-3)


def test_a_language_model_on_characters():
    recorded = run(model="starter/prose-llama", data="prose", items=400)
    told, logits = recorded.table("items"), recorded.array("predictions", "", "logits")
    targets, names = recorded.array("predictions", "", "labels"), recorded.table("outputs")["name"]
    assert logits.shape == (400, 96)
    assert len(recorded.array("embedding", "features", "vectors")) == len(told) == 400
    assert names[targets].tolist() == told["token"].tolist()
    assert names[logits.argmax(axis=1)].tolist() == told["predicted"].tolist()
    assert recorded.results["accuracy"] == (logits.argmax(axis=1) == targets).mean() > 0.3
    assert told["text"].str.len().between(1, snapshot.TAIL).all()
    whole = items("prose", n=400).texts
    assert all(any(text + token in passage for passage in whole) for text, token in told[["text", "token"]].to_numpy()[:20])


def test_an_upload_of_texts():
    upload = read_upload("x.csv", "text,label\nDeutschland,German\nEspaña,Spanish\nKlingon,other\n".encode())
    recorded = run(upload.file, model="starter/names-bert")
    assert recorded.table("items")["text"].tolist() == ["Deutschland", "España", "Klingon"]
    assert recorded.table("classes")["name"].tolist() == ["German", "Spanish", "other"]
    outputs = recorded.table("outputs")["name"].tolist()
    assert recorded.array("predictions", "", "labels").tolist() == [outputs.index("German"), outputs.index("Spanish"), -1]
    assert recorded.array("embedding", "features", "labels").tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "params, said",
    [
        ({"model": "", "data": "digits-8"}, "Which model"),
        ({"model": "starter/digits-vit", "data": "prose"}, "starter/digits-vit takes images, and prose has text"),
        ({"model": "starter/names-bert", "data": "digits-8"}, "starter/names-bert takes text, and digits-8 has images"),
        ({"model": "starter/digits-vit", "data": "digits-8", "split": "valid"}, "digits-8 has no split 'valid'"),
        ({"model": "starter/digits-vit", "data": "digits-8", "layer": "neck"}, "no layer 'neck'; there are: vit.layers.0"),
        ({"model": "starter/none", "data": "digits-8"}, "There is no starter model 'starter/none'"),
    ],
)
def test_what_cannot_be_done_is_said(params, said):
    with pytest.raises((ParameterError, ValueError, RuntimeError), match=said):
        run(**params)


# --- batches --------------------------------------------------------------------------------------------------------

NO_MEMORY = (MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory"), torch.OutOfMemoryError("out of memory"))


@pytest.mark.parametrize("error", NO_MEMORY)
def test_batches_are_halved_where_memory_ends(error, monkeypatch):
    model, images = load("starter/digits-vit"), items("digits-8", n=50).images
    expected, _ = Extraction(model)(images, lambda done: None)
    sizes, plain = [], model.features_and_logits

    def limited(batch, layer=""):
        sizes.append(len(batch))
        if len(batch) > 20:
            raise error
        return plain(batch, layer)

    monkeypatch.setattr(model, "features_and_logits", limited)
    done: list[int] = []
    features, logits = Extraction(model)(images, done.append)
    np.testing.assert_allclose(features, expected, atol=1e-5)
    assert logits.shape == (50, 10)
    assert sizes == [1, 50, 25, 12, 12, 12, 12, 2]
    assert done == [12, 24, 36, 48, 50]


def test_where_not_even_one_item_fits_it_is_said(monkeypatch):
    model, images = load("starter/digits-vit"), items("digits-8", n=4).images
    extract = Extraction(model)
    extract.size = 4

    def none(batch, layer=""):
        raise MemoryError

    monkeypatch.setattr(model, "features_and_logits", none)
    with pytest.raises(MemoryError):
        extract(images, lambda done: None)
    assert extract.size == 1


def test_other_errors_are_not_taken_for_memory_s(monkeypatch):
    model, images = load("starter/digits-vit"), items("digits-8", n=4).images
    monkeypatch.setattr(model, "features_and_logits", lambda *_: (_ for _ in ()).throw(RuntimeError("shapes differ")))
    with pytest.raises(RuntimeError, match="shapes differ"):
        Extraction(model)(images, lambda done: None)


# --- parts ----------------------------------------------------------------------------------------------------------


def test_classes_are_found_among_the_outputs():
    assert matched(("0", "1"), ("1", "0")).tolist() == [1, 0]
    assert matched(("a", "b"), ("LABEL_0", "LABEL_1")).tolist() == [0, 1]
    assert matched(("a", "b"), ("LABEL_0", "LABEL_1", "LABEL_2")).tolist() == [-1, -1]
    assert matched(("Tench", "great  white_shark"), ("tench, Tinca tinca", "great white shark, man-eater")).tolist() == [0, 1]
    assert matched((), ("a",)).tolist() == []


def test_thumbnails_have_one_shape():
    wide = Image.new("RGB", (200, 100), (255, 0, 0))
    assert Thumbnails([wide, wide]).of([wide]).shape == (1, 32, 64, 3)
    mixed = [wide, Image.new("L", (10, 30), 51)]
    pixels = Thumbnails(mixed).of(mixed)
    assert pixels.shape == (2, 64, 64, 3)
    np.testing.assert_allclose(pixels[1], 0.2)
    np.testing.assert_allclose(pixels[0, 0, 0], [1, 0, 0])
    small = Image.new("L", (5, 7), 255)
    assert Thumbnails([small]).of([small]).shape == (1, 7, 5)


@pytest.mark.parametrize("scale, columns_at_most", [(4.0, 8), (1.0, 224)])
def test_a_large_vocabulary_s_confidence_and_likelihood_are_kept(scale, columns_at_most):
    draw = np.random.default_rng(0)
    logits = scale * draw.normal(size=(200, 1000)).astype(np.float32)
    targets = draw.integers(0, 1000, 200)
    targets[:100] = logits[:100].argmax(axis=1)
    recorded = Recorded()
    names = record_leading([leading(logits[:120], targets[:120]), leading(logits[120:], targets[120:])], recorded.recorder)
    recorded.recorder.close()
    found, places = recorded.array("predictions", "", "logits"), recorded.array("predictions", "", "labels")
    assert found.shape == (200, len(names))
    assert len(names) - snapshot.KEPT_TOKENS <= columns_at_most
    likelihood = log_softmax(found.astype(float), axis=1)[np.arange(200), places]
    np.testing.assert_allclose(likelihood, log_softmax(logits.astype(float), axis=1)[np.arange(200), targets], atol=1e-4)
    np.testing.assert_allclose(softmax(found, axis=1).max(axis=1), softmax(logits, axis=1).max(axis=1), rtol=1e-3)
    np.testing.assert_array_equal(found.argmax(axis=1) == places, logits.argmax(axis=1) == targets)
    assert "items_of_inexact_confidence" not in recorded.results


def test_predictions_flatter_than_all_columns_are_counted():
    logits = np.zeros((3, 5000), np.float32)
    logits[0, 7] = 20.0
    recorded = Recorded()
    part = leading(logits, np.array([7, 7, 7]))
    assert part.columns > 4000
    assert math.isclose(part.others[1], math.log(5000 - snapshot.KEPT_TOKENS))
    names = record_leading([part], recorded.recorder)
    recorded.recorder.close()
    assert len(names) == snapshot.MOST_COLUMNS
    assert recorded.results["items_of_inexact_confidence"] == 2


def test_a_target_among_the_first_tokens_keeps_its_rank():
    part = leading(np.arange(100, 0, -1)[None].astype(np.float32).repeat(2, axis=0), np.array([3, 90]))
    assert part.targets.tolist() == [3, 31]
    assert part.logits[0].tolist() == list(range(100, 68, -1))
    assert part.logits[1, -1] == 10
    assert part.spread(4).shape == (2, 36)


def test_starters_ship_with_what_they_were_made_from():
    for one in hub.starters():
        said = json.loads((one.path / "provenance.json").read_text(encoding="utf-8"))
        assert said.keys() >= {"task", "data", "trained_on", "split", "seed", "accuracy", "date", "command", "commit", "licence"}
        assert f"{100 * said['accuracy']:.1f}%" in (one.path / "README.md").read_text(encoding="utf-8")
    assert sum(file.stat().st_size for one in hub.starters() for file in one.path.iterdir()) < 3_000_000
