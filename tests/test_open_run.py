"""A person's own script records into the store: with and without the app, through crashes, and without our code in its way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from core.engine import Engine
from core.recorder import UNREAD_FILES, open_run, spool_folder
from core.store import Store, default_path, spool

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "record_my_training.py"
SLOW = """
import sys, time
from core.recorder import open_run
with open_run("slow") as record:
    for step in range(10_000):
        record.scalars(step, loss=1 / (step + 1))
        print(step, flush=True)
        time.sleep(0.02)
"""


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "store.duckdb"


def start(path: Path, *command: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PROVING_GROUND_STORE": str(path)}
    return subprocess.Popen([sys.executable, *command], env=environment, cwd=path.parent, stdout=subprocess.PIPE, text=True)


def run_example(path: Path, title: str) -> None:
    process = start(path, str(EXAMPLE), "--title", title, "--steps", "100")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert title in said


def only(store: Store) -> dict:
    (run,) = store.runs("own")["run"]
    return store.run(run)


def until(condition, seconds: float = 60):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return found


def expect_the_example(store: Store, title: str) -> None:
    row = only(store)
    assert (row["status"], row["spec"]["title"], row["spec"]["params"]) == ("completed", title, {"lr": 0.1, "steps": 100})
    run = row["run"]
    assert store.scalar_names(run) == ["gradient_norm", "loss", "test_accuracy"]
    loss = store.curves(run, "loss")
    assert loss["step"].tolist() == list(range(101))
    assert loss["value"].iloc[-10:].mean() < 0.5 * loss["value"].iloc[0]
    assert store.results(run)["test_accuracy"].iloc[0] > 0.8
    weights = store.arrays(run, "matrix", "first layer")
    assert weights["step"].tolist() == [0, 50, 100]
    assert weights["array"].iloc[0].shape == (32, 64)
    logits, labels = (store.stacked(run, "predictions", "", part) for part in ("logits", "labels"))
    assert (logits.argmax(1) == labels).mean() == pytest.approx(store.results(run)["test_accuracy"].iloc[0])


def test_the_example_runs_without_the_app_and_is_there_when_the_store_is_opened(path):
    run_example(path, "Mine, alone")
    assert not path.exists(), "the script opens no store"
    store = Store.open(path)
    expect_the_example(store, "Mine, alone")
    store.close()
    assert list(spool.folder_of(path).iterdir()) == []
    store = Store.open(path)
    expect_the_example(store, "Mine, alone")  # and nothing came twice
    store.close()


def test_the_example_runs_while_the_app_holds_the_store(path):
    with Engine(path, workers=1) as engine:
        run_example(path, "Mine, beside the app")
        until(lambda: len(engine.store.runs("own", "completed")))
        expect_the_example(engine.store, "Mine, beside the app")


def test_a_run_is_seen_growing_and_a_killed_one_keeps_what_it_had(path):
    with Engine(path, workers=1) as engine:
        process = start(path, "-c", SLOW)
        run = until(lambda: next(iter(engine.store.runs("own", "running")["run"]), None))
        until(lambda: "loss" in engine.store.scalar_names(run))
        first = len(engine.store.curves(run, "loss"))
        until(lambda: len(engine.store.curves(run, "loss")) > first)
        said = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        said = max(said, *(int(line) for line in process.stdout))
        process.wait()
        row = until(lambda: len(engine.store.runs("own", "interrupted"))) and engine.store.run(run)
        assert "killed" in row["message"]
        steps = engine.store.curves(run, "loss", points=10**6)["step"].tolist()
        assert steps == list(range(len(steps))), "none is missing in between, none twice"
        assert said - len(steps) < 2 / 0.02, "at most what the last second recorded is lost"


def test_a_run_goes_on_when_the_app_restarts(path):
    with open_run("long", store=path) as record:
        record.scalars(0, loss=1.0)
        record.flush()
        store = Store.open(path)
        run = only(store)["run"]
        assert only(store)["status"] == "running"
        store.close()
        record.scalars(1, loss=0.5)
        record.flush()
        store = Store.open(path)
        assert only(store)["status"] == "running", "opening marks what a crash left as interrupted; this one lives"
        record.scalars(2, loss=0.25)
    store.take_in()
    assert only(store)["status"] == "completed"
    assert store.curves(run, "loss")["value"].tolist() == [1.0, 0.5, 0.25]
    store.close()


def test_files_that_a_crash_left_behind_are_not_taken_twice(path, monkeypatch):
    """The app ends between the commit and the removal of the files."""
    with open_run("twice", store=path) as record:
        record.scalars(0, loss=1.0)
        record.flush()
        monkeypatch.setattr(Path, "unlink", lambda self: (_ for _ in ()).throw(OSError("crash")))
        store = Store.open(path)
        monkeypatch.undo()
        assert list(spool.folder_of(path).glob("*/*.arrow")), "the file is still there"
        record.scalars(1, loss=0.5)
    store.take_in()
    assert store.curves(only(store)["run"], "loss")["step"].tolist() == [0, 1]
    store.close()


def test_every_kind_of_record_arrives_as_it_was(path):
    mask = np.arange(12).reshape(3, 4) % 2 == 0
    with open_run("all", {"schedule": ("a", 1), "path": Path("x")}, seeds=(3, 5), store=path) as record:
        record.scalars(7, loss=[0.1, float("nan")])
        record.result(score=[1.0, 2.0])
        one = record.seed(5)
        one.mask(7, "layer", mask)
        one.matrix(7, "m", np.eye(3))
        one.embedding(7, np.ones((2, 3)), [0, 1], name="e")
        one.images(7, "i", np.zeros((2, 4, 4)))
        one.table("t", [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}])
    store = Store.open(path)
    row = only(store)
    run = row["run"]
    assert row["spec"]["params"] == {"schedule": ["a", 1], "path": "x"}
    assert row["spec"]["seeds"] == [3, 5]
    curves = store.curves(run, "loss")
    assert curves["seed"].tolist() == [3, 5]
    assert curves["value"].iloc[0] == 0.1 and np.isnan(curves["value"].iloc[1])
    assert store.results(run).set_index("seed")["score"].to_dict() == {3: 1.0, 5: 2.0}
    np.testing.assert_array_equal(store.arrays(run, "mask")["array"].iloc[0], mask)
    np.testing.assert_array_equal(store.arrays(run, "matrix")["array"].iloc[0], np.eye(3))
    assert store.stacked(run, "embedding", "e", "vectors").tolist() == [[1, 1, 1], [1, 1, 1]]
    assert store.stacked(run, "images", "i", "pixels").dtype == np.uint8
    assert store.table(run, "t")["b"].tolist() == ["x", "y"]
    store.close()


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("no"), "failed"), (KeyboardInterrupt(), "cancelled"), (SystemExit(0), "completed")]
)
def test_how_a_script_ends_is_how_its_run_ends(path, error, status):
    with pytest.raises(type(error)), open_run("ends", store=path) as record:
        record.scalars(0, loss=1.0)
        raise error
    store = Store.open(path)
    assert only(store)["status"] == status
    assert ("no" in only(store)["message"]) == (status == "failed")
    assert len(store.curves(only(store)["run"], "loss")) == 1
    store.close()


def test_a_run_that_is_deleted_in_the_app_stays_deleted_and_the_script_goes_on(path):
    with Engine(path, workers=1) as engine, open_run("gone", store=path) as record:
        record.scalars(0, loss=1.0)
        record.flush()
        run = until(lambda: next(iter(engine.store.runs("own")["run"]), None))
        engine.delete(run)
        with pytest.warns(UserWarning, match="deleted in the app"):
            record.scalars(1, loss=1.0)
            record.flush()
        record.scalars(2, loss=1.0)
        record.flush()
        engine.store.take_in()
        assert engine.store.runs("own").empty
        assert list(spool.folder_of(path).iterdir()) == []


def test_a_damaged_spool_is_set_aside_and_the_others_come(path, caplog):
    for title in ("broken", "sound"):
        with open_run(title, store=path) as record:
            record.scalars(0, loss=1.0)
    for folder in spool.folder_of(path).iterdir():
        if json.loads((folder / "run.json").read_text())["title"] == "broken":
            (folder / "00000001.arrow").write_bytes(b"no arrow")
    store = Store.open(path)
    assert only(store)["spec"]["title"] == "sound"
    assert "cannot be read" in caplog.text
    store.close()


def test_files_nobody_reads_become_fewer(path):
    with open_run("alone", store=path) as record:
        usual = record.flush_seconds
        for step in range(UNREAD_FILES + 1):
            record.scalars(step, loss=1.0)
            record.flush()
        assert record.flush_seconds > 10 * usual
        store = Store.open(path)
        record.scalars(step + 1, loss=1.0)
        record.flush()
        assert record.flush_seconds == usual
        store.close()


@pytest.mark.parametrize(
    "environment",
    [{"PROVING_GROUND_STORE": "~/mine.duckdb"}, {"XDG_DATA_HOME": "/data"}, {"HOME": "/home/somebody"}],
)
def test_scripts_and_the_store_agree_where_to_wait(environment, monkeypatch):
    for name in ("PROVING_GROUND_STORE", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert spool_folder() == spool.folder_of(default_path())


def test_the_recorder_asks_for_nothing_of_ours():
    code = "import sys, core.recorder; print(*(name for name in sys.modules if name.startswith(('core.', 'duckdb', 'torch'))))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["core.recorder"]


def test_a_full_disk_warns_the_script_and_nothing_is_lost_when_there_is_space(small_disk):
    path = small_disk.folder / "store.duckdb"
    with open_run("full", store=path) as record:
        record.scalars(0, loss=1.0)
        record.flush()
        small_disk.fill()
        with pytest.warns(UserWarning, match=r"is full: what is recorded waits"):
            for step in range(1, 4):
                record.scalars(step, loss=1.0)
                record.flush()
        small_disk.free()
        record.scalars(4, loss=1.0)
    store = Store.open(path)
    assert only(store)["status"] == "completed"
    assert store.curves(only(store)["run"], "loss")["step"].tolist() == [0, 1, 2, 3, 4]
    store.close()


def test_a_script_that_ends_on_a_full_disk_is_told_what_is_lost(small_disk):
    path = small_disk.folder / "store.duckdb"
    with pytest.warns(UserWarning) as warned, open_run("full", store=path) as record:
        record.scalars(0, loss=1.0)
        record.flush()
        small_disk.fill()
        record.scalars(1, loss=1.0)
    assert str(warned[-1].message).endswith("is still full: what was recorded last is lost.")
    small_disk.free()
    store = Store.open(path)
    assert only(store)["status"] == "interrupted"
    assert store.curves(only(store)["run"], "loss")["step"].tolist() == [0]
    store.close()


def test_the_app_that_has_no_space_takes_a_script_over_when_it_has(small_disk):
    path = small_disk.folder / "store.duckdb"
    with Engine(path, workers=1) as engine:
        with pytest.warns(UserWarning, match="full"), open_run("big", store=path) as record:
            record.matrix(0, "noise", np.random.default_rng(0).normal(size=(1000, 1000)))
            record.flush()
            small_disk.fill()
        time.sleep(1)  # the app has tried, or is trying
        small_disk.free()
        run = until(lambda: next(iter(engine.store.runs("own")["run"]), None))
        until(lambda: engine.store.run(run)["status"] != "running")
        assert engine.store.arrays(run, "matrix")["array"].iloc[0].shape == (1000, 1000)
