"""How fast the store takes scalars, and how fast it gives a chart its data."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from core.recorder import SCALARS
from core.store import Store
from tests.benchmarks.measurement import Measurement

SEEDS = 5
NAMES = ("loss", "accuracy")
STEPS = 100_000  # of each curve: 5 seeds of 2 names are a million scalars
BATCH = 10_000  # steps of one batch: two workers that record 200,000 scalars a second send four times a second about as many


def measure() -> Iterator[Measurement]:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder) / "store.duckdb")
        yield writing(store)
        yield reading(store)
        store.close()


def writing(store: Store) -> Measurement:
    """Batches as the engine gets them, a transaction each."""
    batches = [batch(seed, first) for first in range(0, STEPS, BATCH) for seed in range(SEEDS)]
    with store.writing() as writer:
        writer.add_run("run", "paper", "quick", {}, "cpu", [("arm", (seed,)) for seed in range(SEEDS)])
    started = time.perf_counter()
    for scalars in batches:
        with store.writing() as writer:
            writer.add_scalars("run", "arm", scalars)
    rate = sum(len(scalars) for scalars in batches) / (time.perf_counter() - started)
    return Measurement("Scalars that the store writes", f"{rate:,.0f} a second", "at least 200,000", rate >= 200_000)


def batch(seed: int, first: int) -> pa.RecordBatch:
    """`BATCH` steps of every name, from step `first` on."""
    rows = BATCH * len(NAMES)
    noise = np.random.default_rng([seed, first])
    columns = [
        pa.array(np.full(rows, seed)),
        pa.DictionaryArray.from_arrays(np.zeros(rows, np.int32), [""]),
        pa.DictionaryArray.from_arrays(np.tile(np.arange(len(NAMES), dtype=np.int32), BATCH), NAMES),
        pa.array(np.repeat(np.arange(first, first + BATCH), len(NAMES))),
        pa.array(np.linspace(first, first + BATCH, rows)),
        pa.array(noise.normal(size=rows)),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=SCALARS)


def reading(store: Store, times: int = 20) -> Measurement:
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        curves = store.curves("run", "loss")
        taken.append(time.perf_counter() - started)
    assert len(curves) > SEEDS * 300
    middle = statistics.median(taken)
    return Measurement("A chart's data from a run of a million scalars", f"{1000 * middle:.1f} ms", "below 50 ms", middle < 0.05)
