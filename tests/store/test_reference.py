"""Reference results: written from runs, brought in with the store, kept behind a visitor's own, compared with a fresh run."""

import numpy as np
import pyarrow as pa
import pytest

from core.recorder import ArrayEvent
from core.store import Store, reference

VERDICT = {"text": "t", "effect": 1.0, "low": 0.5, "high": 1.5, "n": 3, "smallest": 0.5, "unit": "points", "detail": "d"}


def add_finished(store, run, slug, accuracy=0.5, verdict="holds", seconds=4.0):
    with store.writing() as writer:
        writer.add_run(run, slug, "standard", {"slug": slug}, "cpu", [("dense", [0])])
        writer.start_run(run, {"cores": 2, "commit": "abc"})
        curve = {"seed": [0] * 1000, "series": ["s"] * 1000, "name": ["loss"] * 1000, "step": range(1000)}
        writer.add_scalars(run, "dense", pa.table(curve | {"seconds": [0.0] * 1000, "value": np.linspace(1, 0, 1000)}))
        writer.add_array(run, "dense", ArrayEvent(0, "matrix", "hero", 0, "values", 0.0, np.eye(2, dtype=np.float32)))
        writer.add_array(run, "dense", ArrayEvent(0, "matrix", "other", 0, "values", 0.0, np.eye(2, dtype=np.float32)))
        writer.add_table(run, "dense", 0, "rounds", pa.table({"density": [1.0]}))
        writer.add_result(run, "dense", 0, "accuracy", accuracy)
        writer.set_verdicts(run, [VERDICT | {"claim": "c1", "verdict": verdict}])
        writer.finish_run(run, "completed", seconds)


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store.duckdb")
    yield store
    store.close()


@pytest.fixture
def folder(store, tmp_path, monkeypatch):
    """Reference results of one paper, which stores opened from now on bring in."""
    add_finished(store, "r1", "paper-a")
    folder = tmp_path / "reference"
    reference.write(store, {"r1": [("scalars", "loss"), ("matrix", "hero"), ("table", "rounds")]}, folder)
    monkeypatch.setattr("core.store.store.REFERENCE", folder)
    return folder


def test_a_new_store_shows_them(folder, tmp_path):
    store = Store.open(tmp_path / "new.duckdb")
    assert store.latest("paper-a") == "r1"
    row = store.run("r1")
    assert (row["origin"], row["status"], row["machine"]["commit"], row["seconds"]) == ("reference", "completed", "abc", 4.0)
    curve = store.curves("r1", "loss")
    assert reference.CURVE_POINTS / 4 < len(curve) <= reference.CURVE_POINTS + 2
    assert (curve["value"].iloc[0], curve["value"].iloc[-1], curve["series"].iloc[0]) == (1.0, 0.0, "s")
    assert list(store.arrays("r1", "matrix")["name"]) == ["hero"]
    assert list(store.table("r1", "rounds")["density"]) == [1.0]
    assert store.verdicts("r1")["verdict"][0] == "holds"
    assert list(store.cells("r1")["arm"]) == ["dense"]
    assert store.seconds_of("paper-a", "standard", "cpu") is None  # another machine's seconds say nothing here
    store.close()


def test_opening_again_brings_nothing_twice_and_new_ones_replace_old(folder, store, tmp_path):
    Store.open(tmp_path / "new.duckdb").close()
    again = Store.open(tmp_path / "new.duckdb")
    assert len(again.runs()) == 1
    assert len(again.curves("r1", "loss", points=10**6)) <= reference.CURVE_POINTS + 2
    again.close()
    add_finished(store, "r2", "paper-a", accuracy=0.7)
    reference.write(store, {"r2": []}, folder)
    newer = Store.open(tmp_path / "new.duckdb")
    assert list(newer.runs()["run"]) == ["r2"]
    newer.close()


def test_a_visitors_own_run_comes_first_and_stays(folder, tmp_path):
    new = Store.open(tmp_path / "new.duckdb")
    add_finished(new, "mine", "paper-a")
    assert new.latest("paper-a") == "mine"
    add_finished(new, "r1", "paper-a", accuracy=0.9)  # the same experiment, run here
    assert new.run("r1")["origin"] == "own"
    new.close()
    (folder / "runs.parquet").touch()
    again = Store.open(tmp_path / "new.duckdb")
    assert again.run("r1")["origin"] == "own"
    assert list(again.results("r1")["accuracy"]) == [0.9]
    again.close()


def test_papers_are_added_one_by_one(folder, store):
    add_finished(store, "r3", "paper-b")
    reference.write(store, {"r3": [("table", "rounds")]}, folder)
    tables = reference.read(folder)
    assert tables["runs"]["slug"].to_pylist() == ["paper-a", "paper-b"]
    assert set(tables["tables"]["run"].to_pylist()) == {"r1", "r3"}
    assert set(tables["scalars"]["run"].to_pylist()) == {"r1"}


def test_a_check_names_what_differs(folder, store):
    assert reference.differences(store, "paper-a", "r1", folder) == []
    add_finished(store, "r1", "paper-a", accuracy=0.5 + 1e-9)
    assert reference.differences(store, "paper-a", "r1", folder) == []
    add_finished(store, "r1", "paper-a", accuracy=0.6, verdict="undecided")
    assert reference.differences(store, "paper-a", "r1", folder) == [
        "paper-a c1: undecided; the reference says holds.",
        "paper-a dense, seed 0: accuracy is 0.6; the reference says 0.5.",
    ]
    add_finished(store, "r9", "paper-a")
    assert "is another experiment than its reference result r1" in reference.differences(store, "paper-a", "r9", folder)[0]
    assert reference.differences(store, "paper-c", "r1", folder) == ["paper-c has no reference result."]


def test_of_predictions_the_confidence_and_whether_it_is_right_are_kept(store, tmp_path, monkeypatch):
    from core.measures.calibration import softmax

    logits = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    labels = np.arange(50, dtype=np.int32) % 4
    add_finished(store, "r1", "paper-a")
    with store.writing() as writer:
        for part, array in (("logits", logits), ("labels", labels)):
            writer.add_array("r1", "dense", ArrayEvent(0, "predictions", "", 9, part, 0.0, array))
    folder = tmp_path / "reference"
    reference.write(store, {"r1": [("predictions", "")]}, folder)
    monkeypatch.setattr("core.store.store.REFERENCE", folder)
    new = Store.open(tmp_path / "new.duckdb")
    kept = new.arrays("r1", "predictions").set_index("part")["array"]
    new.close()
    assert set(kept.index) == {"confidence", "correct"}
    assert np.allclose(kept["confidence"], softmax(logits).max(axis=1), atol=5e-4)
    assert kept["correct"].tolist() == (logits.argmax(axis=1) == labels).tolist()
