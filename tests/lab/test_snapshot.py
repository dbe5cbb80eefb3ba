"""Snapshots of the starters on data that ships with the app: what is recorded, in what order, and what the model itself says."""

from __future__ import annotations

import numpy as np
import pytest

from core import snapshots
from core.engine import Engine


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with Engine(tmp_path_factory.mktemp("engine") / "store.duckdb", workers=1) as engine:
        yield engine


def snapshot(engine, **params):
    run = engine.submit(engine.make_spec("snapshot", "quick", params))
    assert engine.wait(run, timeout=180)
    assert engine.store.run(run)["status"] == "completed", engine.progress(run)
    return snapshots.read(engine.store, run), engine.store.results(run).iloc[0]


def test_a_classifier_of_images(engine):
    found, metrics = snapshot(engine, model="starter/mnist-resnet", data="mnist-5k", items=120)
    assert found.title == "starter/mnist-resnet on mnist-5k"
    assert found.vectors.shape == (120, 64)
    assert found.thumbnails.shape == (120, 28, 28)
    assert found.classes == found.outputs == tuple("0123456789")
    np.testing.assert_array_equal(found.labels, found.targets)
    assert len(found.items) == 120
    assert metrics["accuracy"] == (found.logits.argmax(axis=1) == found.labels).mean() > 0.9
    assert metrics["items"] == 120
    assert metrics["items_per_second"] == pytest.approx(120 / metrics["seconds"])
