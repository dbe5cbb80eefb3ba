"""The geometry tool against scikit-learn and values by hand, on real digits, and through the engine on a snapshot."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import normalized_mutual_info_score, silhouette_score
from sklearn.model_selection import LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from core.engine import Engine
from core.lab.geometry import usable
from core.measures.statistics import wilson_interval
from core.methods import registry
from core.methods.base import Features, Inputs, make_params
from core.recorder import Batch, Recorder
from tests.browser.snapshot_store import RUN, write_snapshot

PIXELS, DIGITS = load_digits(return_X_y=True)
PIXELS, DIGITS = PIXELS[:300].astype(np.float32), DIGITS[:300]
UNIT = PIXELS / np.linalg.norm(PIXELS, axis=1, keepdims=True)
WITH_LABELS = {
    "knn",
    "alignment",
    "nc1",
    "nc2_lengths",
    "nc2_angles",
    "nc4",
    "silhouette_classes",
    "nmi",
    "ari",
    "clustering_accuracy",
}
WITHOUT = {"uniformity", "effective_rank", "silhouette_clusters"}


def features(vectors=PIXELS, labels=DIGITS, classes=tuple("0123456789")) -> Features:
    return Features(vectors, labels, classes, "a test")


class Kept:
    """What a run recorded."""

    def __init__(self, given: Features, **params) -> None:
        batches: list[Batch] = []
        recorder = Recorder(batches.append, (0,))
        method = registry.load("geometry")
        method.run("measures", make_params(method.params_class, params), Inputs((0,), features=given), recorder)
        recorder.close()
        self.results = {event.metric: event.value for batch in batches for event in batch.results}
        (self.clusters,) = [event.array for batch in batches for event in batch.arrays]
        tables = {event.name: event.rows.to_pandas() for batch in batches for event in batch.tables}
        self.measures: pd.DataFrame = tables["measures"].set_index("name")
        self.composition: pd.DataFrame = tables["clusters"]


@pytest.fixture(scope="module")
def digits() -> Kept:
    return Kept(features())


def test_it_declares_what_there_is():
    declared = registry.declared("geometry")
    assert (declared.inputs, [arm.name for arm in declared.arms]) == (("features",), ["measures"])


def test_every_measure_has_a_row_a_result_and_its_number_of_items(digits):
    assert set(digits.measures.index) == WITH_LABELS | WITHOUT
    assert digits.measures["value"].to_dict() == pytest.approx({name: digits.results[name] for name in digits.measures.index})
    assert set(digits.measures["items"]) == {300, 10}  # NC2 is of the class means
    assert digits.measures["meaning"].str.endswith(".").all()
    assert {name: digits.results[name] for name in ("items", "measured", "labelled", "classes", "clusters")} == {
        "items": 300, "measured": 300, "labelled": 300, "classes": 10, "clusters": 10,
    }  # fmt: skip


def test_neighbours_and_class_means_are_those_of_scikit_learn(digits):
    voters = KNeighborsClassifier(20, metric="cosine", weights=lambda distances: np.exp(-distances / 0.07))
    right = cross_val_predict(voters, PIXELS, DIGITS, cv=LeaveOneOut()) == DIGITS
    row = digits.measures.loc["knn"]
    assert row["value"] == pytest.approx(right.mean(), abs=1 / 300)  # float32 may break a tie the other way
    assert (row["low"], row["high"]) == pytest.approx(wilson_interval(round(300 * row["value"]), 300))
    assert f"most frequent class gives {np.bincount(DIGITS).max() / 300:.1%}" in row["meaning"]
    assert digits.results["nc4"] == pytest.approx(NearestCentroid().fit(PIXELS, DIGITS).score(PIXELS, DIGITS))


def test_alignment_and_uniformity_are_means_over_pairs(digits):
    first, second = np.triu_indices(300, 1)
    squared = np.square(UNIT[first] - UNIT[second]).sum(axis=1)
    assert digits.results["alignment"] == pytest.approx(squared[DIGITS[first] == DIGITS[second]].mean(), abs=1e-6)
    assert digits.results["uniformity"] == pytest.approx(-np.log(np.exp(-2 * squared).mean()), abs=1e-5)


def test_clusters_are_of_every_item_and_their_measures_follow_from_them(digits):
    clusters = digits.clusters
    assert clusters.shape == (300,) and clusters.dtype == np.int32
    sizes = np.bincount(clusters)
    assert len(sizes) == 10 and (np.diff(sizes) <= 0).all(), "the largest first"
    assert digits.composition["items"].tolist() == sizes.tolist()
    for k, row in digits.composition.iterrows():
        counts = np.bincount(DIGITS[clusters == k], minlength=10)
        assert (row["share"], counts[int(row["class"])]) == (pytest.approx(counts.max() / counts.sum()), counts.max())
    assert digits.results["nmi"] == pytest.approx(normalized_mutual_info_score(DIGITS, clusters))
    assert digits.results["nmi"] > 0.6
    assert digits.results["silhouette_clusters"] == pytest.approx(silhouette_score(UNIT, clusters), abs=1e-5)
    assert digits.results["silhouette_classes"] == pytest.approx(silhouette_score(UNIT, DIGITS), abs=1e-5)


def test_the_same_seed_gives_the_same(digits):
    again = Kept(features())
    assert again.clusters.tolist() == digits.clusters.tolist()
    assert again.results == digits.results


def test_a_collapsed_representation_is_found_to_be_one():
    """Four classes at the corners of a simplex, turned and moved away from the origin."""
    labels = np.arange(80) % 4
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0]
    corners = (np.eye(4) - 1 / 4) @ turn[:4]
    kept = Kept(features(corners[labels] + 1e-4 * np.random.default_rng(1).normal(size=(80, 6)), labels))
    assert kept.results["nc1"] == pytest.approx(0, abs=1e-4)
    assert kept.results["nc2_lengths"] == pytest.approx(0, abs=1e-3)
    assert kept.results["nc2_angles"] == pytest.approx(0, abs=1e-3)
    assert kept.results["effective_rank"] == pytest.approx(3, abs=0.05)
    for name in ("knn", "nc4", "nmi", "ari", "clustering_accuracy"):
        assert kept.results[name] == pytest.approx(1), name
    moved = Kept(features(corners[labels] + 5 + 1e-4 * np.random.default_rng(1).normal(size=(80, 6)), labels))
    assert moved.results["nc2_angles"] == pytest.approx(0, abs=1e-3), "class means are taken around the mean of all"


@pytest.mark.parametrize("labels", [np.full(300, -1), np.zeros(300, int)])
def test_without_two_classes_only_measures_without_labels_are_taken(labels):
    kept = Kept(features(labels=labels, classes=()))
    assert set(kept.measures.index) == WITHOUT
    assert (kept.results["classes"], kept.results["labelled"], kept.clusters.max() + 1) == (0, 0, 10)
    assert kept.composition.columns.tolist() == ["cluster", "items"]


def test_items_without_a_label_are_clustered_and_not_scored():
    labels = DIGITS.copy()
    labels[:30] = -1
    labels[DIGITS == 4] = -1  # a class without any item
    kept = Kept(features(labels=labels))
    known = labels >= 0
    assert kept.results["labelled"] == known.sum() == kept.measures.loc["knn", "items"]
    assert kept.results["classes"] == kept.results["clusters"] == 9
    assert len(kept.clusters) == 300
    assert kept.results["nmi"] == pytest.approx(normalized_mutual_info_score(labels[known], kept.clusters[known]))
    assert kept.results["nc4"] == pytest.approx(
        NearestCentroid().fit(PIXELS[known], labels[known]).score(PIXELS[known], labels[known])
    )
    assert set(kept.composition["class"]) <= set("012356789")


def test_a_sample_is_measured_and_all_are_clustered(digits):
    kept = Kept(features(), items=120, clusters=7)
    assert (kept.results["measured"], kept.results["items"], kept.clusters.max() + 1) == (120, 300, 7)
    assert len(kept.clusters) == 300
    assert kept.measures.loc["uniformity", "items"] == 120
    assert kept.results["uniformity"] == pytest.approx(digits.results["uniformity"], abs=0.05)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "choose a snapshot"),
        (features(PIXELS[:4], DIGITS[:4]), "4 items; geometry needs 5"),
        (features(np.where(np.arange(300)[:, None] < 2, np.nan, PIXELS)), "2 of 300 items have features that are not finite"),
        (features(np.ones((300, 3))), "All items have the same features"),
    ],
)
def test_what_cannot_be_measured_is_said(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        usable(given)


def test_the_engine_measures_a_snapshot(tmp_path):
    write_snapshot(tmp_path / "store.duckdb")
    with Engine(tmp_path / "store.duckdb", workers=1) as engine:
        run = engine.submit(engine.make_spec("geometry", "smoke", inputs={"snapshot": RUN}))
        assert engine.wait(run, 120)
        assert engine.store.run(run)["status"] == "completed", engine.store.cells(run)["message"].tolist()
        assert engine.store.results(run)["knn"].iloc[0] > 0.8
        assert len(engine.store.stacked(run, "matrix", "clusters", "values")) == 900
