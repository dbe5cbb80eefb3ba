"""The disk of the store is full: a run says so in one sentence, what was shown stays, and once there is space all goes on."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

from core.engine import Engine
from core.recorder import ArrayEvent
from core.store import Store, StoreError

FULL = r"The disk with the store \S+ is full\. Free some space on it, then try again\."


def until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.parametrize("leave", [0, 20_000], ids=["at once", "a little later"])
def test_a_run_ends_with_one_sentence_and_others_run_when_there_is_space(small_disk, leave):
    path = small_disk.folder / "store.duckdb"
    with Engine(path, workers=2) as engine:
        spec = engine.make_spec("faults", "smoke", {"steps": 100_000, "pause": 0.0005})
        engine.submit(spec)
        until(lambda: len(engine.store.curves(spec.run, "walk")) > 10)
        small_disk.fill(leave)
        shown = len(engine.store.curves(spec.run, "walk", points=10**6))
        assert engine.wait(spec.run, timeout=120)
        progress = engine.progress(spec.run)
        assert progress.status == "failed"
        assert re.fullmatch(FULL, progress.message)
        assert {cell.message for cell in progress.cells} == {progress.message}
        assert len(engine.store.curves(spec.run, "walk", points=10**6)) >= shown
        with pytest.raises(StoreError, match=FULL):
            engine.submit(engine.make_spec("faults", "smoke", seeds=300))

        small_disk.free()
        until(lambda: engine.store.run(spec.run)["status"] == "failed")
        assert set(engine.store.cells(spec.run)["status"]) == {"failed"}
        another = engine.make_spec("faults", "smoke")
        engine.submit(another)
        assert engine.wait(another.run, timeout=120)
        assert engine.store.run(another.run)["status"] == "completed"
        engine.submit(spec)  # and the one that failed can be run again
        until(lambda: engine.progress(spec.run).status == "running")


def test_a_run_is_cancelled_and_deleted_on_a_full_disk(small_disk):
    with Engine(small_disk.folder / "store.duckdb", workers=2) as engine:
        spec = engine.make_spec("faults", "smoke", {"steps": 100_000, "pause": 0.01})
        engine.submit(spec)
        until(lambda: engine.progress(spec.run).fraction > 0)
        small_disk.fill()
        engine.cancel(spec.run)
        assert engine.progress(spec.run).status in ("cancelled", "failed")  # whichever came first
        assert all(worker.task is None for worker in engine._pool)
        small_disk.free()
        engine.delete(spec.run)
        assert engine.store.run(spec.run) is None


def test_a_store_that_was_filled_to_the_brim_is_read_at_once_and_written_when_there_is_space(small_disk):
    """DuckDB's own checkpoint, failing for want of space, would end the database until the app is started anew."""
    path = small_disk.folder / "store.duckdb"
    small_disk.fill(leave=40_000_000)
    store = Store.open(path)
    written, noise = 0, np.random.default_rng(0)
    with pytest.raises(StoreError, match=FULL):
        while written < 100:
            with store.writing() as writer:
                values = noise.integers(0, 256, 1_000_000, np.uint8)
                writer.add_array("run", "arm", ArrayEvent(0, "matrix", "noise", written, "values", 0.0, values))
            written += 1
    assert 16 < written < 40, "more than one checkpoint's worth"
    assert len(store.array_index("run")) == written
    small_disk.free()
    with store.writing() as writer:
        writer.add_run("later", "faults", "smoke", {}, "cpu", [("arm", [0])])
    store.close()
    store = Store.open(path)
    assert len(store.array_index("run")) == written
    assert store.run("later")["status"] == "interrupted"
    store.close()


def test_a_store_is_not_opened_on_a_full_disk_and_is_when_there_is_space(small_disk):
    path = small_disk.folder / "store.duckdb"
    small_disk.fill()
    with pytest.raises(StoreError, match=FULL):
        Store.open(path)
    small_disk.free()
    Store.open(path).close()
