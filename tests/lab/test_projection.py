"""Projections against their libraries and against scikit-learn, on real digits, and through the engine on a snapshot."""

from __future__ import annotations

import math
import warnings

import numpy as np
import openTSNE
import pytest
import umap as umap_learn
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from core.engine import Engine
from core.lab.projection import NEAREST, Params, kept_neighbours, prepared, principal, run, tsne, umap
from core.methods import registry
from core.methods.base import Features, Inputs
from core.recorder import Batch, Recorder
from tests.browser.snapshot_store import RUN, write_snapshot

PIXELS, DIGITS = load_digits(return_X_y=True)
PIXELS, DIGITS = PIXELS[:400].astype(np.float32), DIGITS[:400]


def features(vectors=PIXELS, labels=DIGITS) -> Features:
    return Features(vectors, labels, tuple("0123456789"), "a test")


def recorded(arm: str, given: Features | None, **params) -> tuple[np.ndarray, dict[str, float], list[tuple[int, int]]]:
    """Points, results and progress of a run."""
    batches: list[Batch] = []
    recorder = Recorder(batches.append, (0,))
    recorder.flush_seconds = 0  # all progress is seen
    run(arm, Params(**params), Inputs((0,), features=given), recorder)
    recorder.close()
    arrays = {event.part: event.array for batch in batches for event in batch.arrays if event.name == "projection"}
    assert arrays["labels"].tolist() == given.labels.tolist()
    results = {event.metric: event.value for batch in batches for event in batch.results}
    return arrays["vectors"], results, [batch.progress for batch in batches if batch.progress]


class TestPictures:
    def test_pca_is_scikit_learn_s_up_to_signs(self):
        points, results, _ = recorded("PCA", features(), metric="euclidean")
        reduced = PCA(50, svd_solver="full").fit_transform(PIXELS.astype(float))
        theirs = PCA(2, svd_solver="full").fit_transform(reduced)
        signs = np.sign((points * theirs).sum(axis=0))
        assert points * signs == pytest.approx(theirs, abs=1e-3)
        assert results["items"] == 400 and results["left_out"] == 0

    def test_umap_is_the_library_s_on_the_prepared_vectors(self):
        vectors, _ = prepared(features(), "cosine")
        heard = []
        ours = umap(vectors, 10, 0.2, 3, lambda *done: heard.append(done))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = umap_learn.UMAP(n_neighbors=10, min_dist=0.2, random_state=3).fit_transform(vectors)
        assert ours == pytest.approx(theirs)
        assert heard[-1] == (500, 500) and [done for done, _ in heard] == sorted(done for done, _ in heard)

    def test_tsne_is_the_library_s_on_the_prepared_vectors(self):
        vectors, _ = prepared(features(), "cosine")
        heard = []
        ours = tsne(vectors, 20, 3, lambda *done: heard.append(done))
        theirs = openTSNE.TSNE(perplexity=20, random_state=3).fit(vectors)
        assert ours == pytest.approx(np.asarray(theirs))
        assert heard[-1] == (750, 750) and [done for done, _ in heard] == sorted(done for done, _ in heard)

    def test_umap_and_tsne_keep_more_neighbours_than_pca(self):
        kept = {arm: recorded(arm, features())[1]["kept_neighbours"] for arm in ("PCA", "UMAP", "t-SNE")}
        assert kept["UMAP"] > kept["PCA"] + 0.1 and kept["t-SNE"] > kept["PCA"] + 0.1
        assert kept["t-SNE"] > 0.4


class TestPreparing:
    def test_the_cosine_forgets_lengths_and_the_straight_line_does_not(self):
        longer = features(PIXELS * np.linspace(1, 9, 400, dtype=np.float32)[:, None])
        assert recorded("PCA", longer)[0] == pytest.approx(recorded("PCA", features())[0], abs=1e-5)
        one, other = (recorded("PCA", given, metric="euclidean")[0] for given in (longer, features()))
        assert not np.allclose(one, other, atol=1)

    def test_fifty_dimensions_keep_nearly_all_distances(self):
        wide = np.random.default_rng(0).normal(size=(60, 40)) @ np.random.default_rng(1).normal(size=(40, 300))
        vectors, _ = prepared(features(wide, DIGITS[:60]), "euclidean")  # rank 40: nothing is lost
        assert vectors.shape == (60, 50)
        distances = [np.linalg.norm(part[:, None] - part[None], axis=2) for part in (wide, vectors)]
        assert distances[1] == pytest.approx(distances[0], rel=1e-4, abs=1e-3)

    def test_items_without_finite_features_have_no_place(self):
        holes = PIXELS.copy()
        holes[[3, 7], 5] = np.nan, np.inf
        points, results, _ = recorded("PCA", features(holes))
        assert np.flatnonzero(np.isnan(points).any(axis=1)).tolist() == [3, 7]
        assert results["left_out"] == 2 and results["items"] == 398
        rest = np.delete(PIXELS, [3, 7], axis=0)
        assert np.delete(points, [3, 7], axis=0) == pytest.approx(recorded("PCA", features(rest, np.delete(DIGITS, [3, 7])))[0])

    def test_few_items_are_placed_by_as_many_neighbours_as_there_are(self):
        for arm in ("UMAP", "t-SNE"):
            points, _, _ = recorded(arm, features(PIXELS[:8], DIGITS[:8]))
            assert np.isfinite(points).all()

    def test_what_cannot_be_projected_is_said(self):
        with pytest.raises(ValueError, match="choose a snapshot"):
            prepared(None, "cosine")
        with pytest.raises(ValueError, match="4 items have finite features; a picture needs 5"):
            prepared(features(PIXELS[:4], DIGITS[:4]), "cosine")

    def test_one_direction_leaves_the_second_coordinate_zero(self):
        assert principal(np.arange(6, dtype=np.float32)[:, None], 2)[:, 1].tolist() == [0] * 6


def test_kept_neighbours_are_those_of_scikit_learn():
    points = principal(PIXELS, 2)
    nearest = [NearestNeighbors(n_neighbors=NEAREST).fit(part).kneighbors(return_distance=False) for part in (PIXELS, points)]
    theirs = np.mean([len(set(a) & set(b)) / NEAREST for a, b in zip(*nearest, strict=True)])
    assert kept_neighbours(PIXELS, points, 0) == pytest.approx(theirs, abs=0.005)  # equal distances go either way
    assert math.isclose(kept_neighbours(PIXELS, PIXELS, 0), 1)


def test_the_engine_projects_a_snapshot_and_keeps_the_picture(tmp_path):
    assert registry.declared("projection").inputs == ("features",)
    write_snapshot(tmp_path / "store.duckdb")
    with Engine(tmp_path / "store.duckdb", workers=1) as engine:
        spec = engine.make_spec("projection", "quick", arms=["PCA"], inputs={"snapshot": RUN})
        assert engine.wait(engine.submit(spec), 300)
        index = engine.store.array_index(spec.run)
        assert engine.store.run(spec.run)["status"] == "completed"
        assert [list(shape) for shape in index["shape"]] == [[900, 2], [900]]
        assert set(index["name"]) == {"projection"}
