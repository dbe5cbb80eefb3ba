"""The store: what is written is read back, downsampling loses no extreme, and each way of failing has one clear sentence."""

import math
import os
import subprocess
import sys

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from core.recorder import ArrayEvent
from core.store import Store, StoreError, default_path

CELLS = [("dense", [0]), ("ticket", [0, 1])]


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store.duckdb")
    yield store
    store.close()


def add_run(store, run="r1"):
    with store.writing() as writer:
        writer.add_run(run, "lottery-ticket", "quick", {"params": {"steps": 3}}, "cpu", CELLS)


def add_curve(store, values, *, run="r1", arm="dense", name="loss", steps=None, series=""):
    n = len(values)
    steps = np.arange(n) if steps is None else steps
    rows = pa.table(
        {
            "seed": pa.array([0] * n, pa.int64()),
            "series": pa.array([series] * n).dictionary_encode(),
            "name": pa.array([name] * n).dictionary_encode(),
            "step": pa.array(steps, pa.int64()),
            "seconds": np.asarray(steps, float) / 10,
            "value": np.asarray(values, float),
        }
    )
    with store.writing() as writer:
        writer.add_scalars(run, arm, rows)


def test_a_run_and_its_cells_are_read_back(store):
    add_run(store)
    with store.writing() as writer:
        writer.start_run("r1", {"cores": 2})
        writer.set_cell("r1", 1, "running")
        writer.set_progress("r1", 1, 5, 20)
        writer.set_cell("r1", 1, "failed", 1.5, "NaN loss")
        writer.finish_run("r1", "failed", 2.5, "1 of 2 cells failed")
    run = store.run("r1")
    assert (run["slug"], run["status"], run["seconds"], run["message"]) == ("lottery-ticket", "failed", 2.5, "1 of 2 cells failed")
    assert run["spec"] == {"params": {"steps": 3}}
    assert run["machine"] == {"cores": 2}
    cells = store.cells("r1")
    assert list(cells["arm"]) == ["dense", "ticket"]
    assert list(cells["status"]) == ["queued", "failed"]
    assert (cells["done"][1], cells["total"][1], cells["message"][1]) == (5, 20, "NaN loss")
    assert list(cells["seeds"][1]) == [0, 1]
    assert store.run("nothing") is None


def test_adding_a_run_again_replaces_all_that_it_recorded(store):
    add_run(store)
    add_curve(store, [1.0])
    add_run(store)
    assert store.scalar_names("r1") == []
    assert len(store.runs()) == 1


def test_deleting_a_run_leaves_the_others(store):
    for run in ("r1", "r2"):
        add_run(store, run)
        add_curve(store, [1.0, 2.0], run=run)
    with store.writing() as writer:
        writer.delete_run("r1")
    assert store.run("r1") is None
    assert list(store.curves("r2", "loss")["value"]) == [1.0, 2.0]


def test_a_failed_transaction_leaves_nothing(store):
    with pytest.raises(RuntimeError, match="halfway"), store.writing() as writer:
        writer.add_run("r1", "x", "quick", {}, "cpu", CELLS)
        raise RuntimeError("halfway")
    assert store.run("r1") is None


def test_not_finite_values_are_kept(store):
    add_run(store)
    add_curve(store, [1.0, math.nan, math.inf, -math.inf])
    values = store.curves("r1", "loss")["value"].to_numpy()
    np.testing.assert_array_equal(values, [1.0, math.nan, math.inf, -math.inf])


@pytest.mark.parametrize("log", [False, True])
def test_downsampling_keeps_ends_extremes_and_not_finite_points(store, log):
    values = np.sin(np.arange(100_000) / 500)
    values[77_777], values[33_333], values[44_444] = 1e6, -1e6, math.nan
    add_run(store)
    add_curve(store, values)
    add_curve(store, [5.0, 6.0], name="loss", series="short")
    curves = store.curves("r1", "loss", points=400, log=log)
    long = curves[curves["series"] == ""].set_index("step")["value"]
    assert len(long) <= 404
    assert long.index.is_monotonic_increasing
    assert (long[77_777], long[33_333]) == (1e6, -1e6)
    assert math.isnan(long[44_444])
    assert (long.index[0], long.index[-1]) == (0, 99_999)
    assert list(curves[curves["series"] == "short"]["value"]) == [5.0, 6.0]


def test_a_curve_that_diverged_gives_no_more_than_a_chart_can_show(store):
    values = np.full(100_000, math.nan)
    values[:1000], values[50_000], values[60_000] = 1.0, math.inf, -math.inf
    add_run(store)
    add_curve(store, values)
    curve = store.curves("r1", "loss", points=400).set_index("step")["value"]
    assert len(curve) <= 404
    assert curve.loc[:999].eq(1.0).all()
    assert curve.loc[1000:].isna().sum() > 150
    assert (curve[50_000], curve[60_000]) == (math.inf, -math.inf)


def test_curves_can_be_drawn_against_seconds(store):
    add_run(store)
    add_curve(store, [1.0, 2.0])
    assert list(store.curves("r1", "loss", x="seconds")["seconds"]) == [0.0, 0.1]
    with pytest.raises(ValueError, match="allowed: step, seconds"):
        store.curves("r1", "loss", x="value; DROP TABLE runs")


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.array([True, False, True, True, False, False, True, True, True]).reshape(3, 3),
        np.array([[1, 2]], dtype=np.int32),
        np.array(3.5, dtype=np.float32),
        np.zeros((0, 4), dtype=np.float32),
        np.array([math.nan, math.inf], dtype=np.float32),
    ],
    ids=["float", "mask", "int", "scalar", "empty", "not finite"],
)
def test_arrays_are_read_back_exactly(store, array):
    add_run(store)
    with store.writing() as writer:
        writer.add_array("r1", "ticket", ArrayEvent(1, "matrix", "w", 7, "values", 0.5, array))
    found = store.arrays("r1", "matrix", "w", "ticket", 1, 7)["array"][0]
    assert found.dtype == array.dtype
    np.testing.assert_array_equal(found, array)
    index = store.array_index("r1")
    assert (index["kind"][0], index["step"][0], tuple(index["shape"][0])) == ("matrix", 7, array.shape)
    assert store.arrays("r1", "matrix", arm="dense").empty


def test_later_calls_append_to_a_table_and_may_bring_columns(store):
    add_run(store)
    with store.writing() as writer:
        writer.add_table("r1", "ticket", 0, "rounds", pa.table({"density": [1.0], "note": ["a"]}))
        writer.add_table("r1", "ticket", 1, "rounds", pa.table({"density": [0.2], "extra": [3]}))
    table = store.table("r1", "rounds")
    assert list(table.columns) == ["arm", "seed", "density", "note", "extra"]
    assert list(table["density"]) == [1.0, 0.2]
    assert list(table["seed"]) == [0, 1]
    assert store.table_names("r1") == ["rounds"]
    assert store.table("r1", "nothing").empty


def test_results_are_wide_with_nan_where_an_arm_has_none(store):
    add_run(store)
    with store.writing() as writer:
        writer.add_result("r1", "dense", 0, "accuracy", 0.5)
        writer.add_result("r1", "ticket", 0, "accuracy", math.nan)
        writer.add_result("r1", "ticket", 0, "density", 0.2)
    results = store.results("r1").set_index(["arm", "seed"])
    assert results.loc[("dense", 0), "accuracy"] == 0.5
    assert math.isnan(results.loc[("dense", 0), "density"])
    assert math.isnan(results.loc[("ticket", 0), "accuracy"])
    assert results.loc[("ticket", 0), "density"] == 0.2


def test_what_a_crash_left_unfinished_is_interrupted(tmp_path):
    store = Store.open(tmp_path / "s.duckdb")
    add_run(store)
    with store.writing() as writer:
        writer.start_run("r1", {})
        writer.set_cell("r1", 0, "completed", 1.0)
        writer.set_cell("r1", 1, "running")
    store.close()
    store = Store.open(tmp_path / "s.duckdb")
    assert store.run("r1")["status"] == "interrupted"
    assert list(store.cells("r1")["status"]) == ["completed", "interrupted"]
    store.close()


def test_latest_and_seconds_look_at_completed_runs(store):
    for run, status, seconds in (("r1", "completed", 4.0), ("r2", "completed", 5.0), ("r3", "failed", 6.0)):
        add_run(store, run)
        with store.writing() as writer:
            writer.finish_run(run, status, seconds)
    assert store.latest("lottery-ticket") == "r2"
    assert store.seconds_of("lottery-ticket", "quick", "cpu") == 5.0
    assert store.seconds_of("lottery-ticket", "standard", "cpu") is None
    assert store.latest("large-step-perceptron") is None


def test_an_export_can_be_read_without_us(store, tmp_path):
    add_run(store)
    add_curve(store, [1.0, 2.0])
    with store.writing() as writer:
        writer.add_table("r1", "ticket", 0, "a/b", pa.table({"x": [1.0]}))
        writer.add_result("r1", "dense", 0, "accuracy", 0.5)
    store.export("r1", tmp_path / "out")
    assert list(pd.read_parquet(tmp_path / "out" / "scalars.parquet")["value"]) == [1.0, 2.0]
    assert list(pd.read_parquet(tmp_path / "out" / "table a_b.parquet")["x"]) == [1.0]
    assert list(pd.read_csv(tmp_path / "out" / "results.csv")["accuracy"]) == [0.5]
    with pytest.raises(KeyError, match="no run 'r9'"):
        store.export("r9", tmp_path / "out")


def test_threads_read_while_one_writes(store):
    from concurrent.futures import ThreadPoolExecutor

    add_run(store)
    seen = []

    def read(_):
        return len(store.curves("r1", "loss"))

    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            reads = [pool.submit(read, i) for i in range(4)]
            add_curve(store, np.arange(10.0), steps=np.arange(10) + len(seen) * 10)
            seen.extend(read.result() for read in reads)
    assert read(0) == 200


def test_a_newer_store_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "s.duckdb"
    Store.open(path).close()
    with duckdb.connect(str(path)) as connection:
        connection.execute("UPDATE about SET version = 99")
    with pytest.raises(StoreError, match=r"has version 99; this program knows up to \d+"):
        Store.open(path)


@pytest.mark.parametrize("content", [b"this is no database" * 1000, b"x"])
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "s.duckdb"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="is damaged or no DuckDB file") as caught:
        Store.open(path)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content  # nothing is lost


def test_somebody_elses_database_is_refused(tmp_path):
    path = tmp_path / "s.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    with pytest.raises(StoreError, match="something else"):
        Store.open(path)


def test_a_file_held_by_another_process_is_refused_in_one_sentence(store):
    code = "import sys; from core.store import *\ntry: Store.open(sys.argv[1])\nexcept StoreError as error: print(error)"
    other = subprocess.run([sys.executable, "-c", code, str(store.path)], capture_output=True, text=True, check=True)
    assert "in use by another process" in other.stdout
    assert other.stdout.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        Store.open(tmp_path / "file" / "s.duckdb")


def test_the_path_comes_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PROVING_GROUND_STORE", str(tmp_path / "x.duckdb"))
    assert default_path() == tmp_path / "x.duckdb"
    monkeypatch.delenv("PROVING_GROUND_STORE")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert os.fspath(default_path()) == str(tmp_path / "proving-ground" / "store.duckdb")


def test_runs_on_somebody_s_snapshot_are_not_a_paper_s_latest_result(store):
    for run, inputs in (("own", {}), ("on-snapshot", {"snapshot": "0123456789ab"})):
        with store.writing() as writer:
            writer.add_run(run, "lottery-ticket", "quick", {"inputs": inputs}, "cpu", [("dense", (0,))])
            writer.finish_run(run, "completed", {"own": 4.0, "on-snapshot": 9.0}[run])
    assert store.latest("lottery-ticket") == "own"
    assert store.seconds_of("lottery-ticket", "quick", "cpu") == 4.0
