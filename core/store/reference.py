"""Reference results: runs that ship with the program as Parquet, so that the first visit already shows pictures and verdicts.

`python -m core reproduce` makes them. A table of the store is a file; of what a run recorded only what its first picture needs is
kept: curves thinned, and of logits the confidence in the predicted class and whether it is right.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from core.store.arrays import decode_array, encode_array

if TYPE_CHECKING:
    from core.store.store import Store

REFERENCE = Path(os.environ.get("PROVING_GROUND_REFERENCE") or Path(__file__).parents[1] / "reference")
TABLES = ("runs", "cells", "scalars", "arrays", "tables", "results", "verdicts")
CURVE_POINTS = 120
TOLERANCE = 1e-6  # relative, between two machines that should agree


def digest(folder: Path) -> str:
    """Of the files' contents; empty where there are none."""
    files = [folder / f"{name}.parquet" for name in TABLES]
    if not all(file.exists() for file in files):
        return ""
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]


def read(folder: Path) -> dict[str, pa.Table]:
    """The tables of a folder."""
    return {name: pq.read_table(folder / f"{name}.parquet") for name in TABLES}


def names(folder: Path) -> set[str]:
    """The runs of a folder; none where it has no reference results."""
    return set(pq.read_table(folder / "runs.parquet", columns=["run"])["run"].to_pylist()) if digest(folder) else set()


def write(store: Store, runs: Mapping[str, Iterable[tuple[str, str]]], folder: Path) -> None:
    """Adds runs to a folder in place of what it has of the same papers.

    Args:
        runs: for each run the records to keep, as core.methods.base.shown_by gives them.
    """
    fresh = {name: [rows] for name, rows in _select(store, runs).items()}
    if digest(folder):
        papers = pa.concat_tables(fresh["runs"])["slug"]
        kept = read(folder)
        others = kept["runs"].filter(pc.invert(pc.is_in(kept["runs"]["slug"], papers.combine_chunks())))["run"].combine_chunks()
        for name, rows in kept.items():
            fresh[name].append(rows.filter(pc.is_in(rows["run"], others)))
    folder.mkdir(parents=True, exist_ok=True)
    for name, parts in fresh.items():
        rows = pa.concat_tables(parts, promote_options="default")
        order = [(column, "ascending") for column in ("slug", "run") if column in rows.column_names]
        pq.write_table(rows.sort_by(order), folder / f"{name}.parquet", compression="zstd", compression_level=19)


def differences(store: Store, slug: str, run: str, folder: Path) -> list[str]:
    """What a run found otherwise than the folder's result of the same paper: verdicts and metrics, a sentence each."""
    kept = read(folder)
    mine = kept["runs"].filter(pc.equal(kept["runs"]["slug"], slug))
    if not len(mine):
        return [f"{slug} has no reference result."]
    reference = mine["run"][0].as_py()
    said = []
    if reference != run:
        said.append(
            f"{slug} is another experiment than its reference result {reference}: its file, parameters, seeds or device changed."
        )
    verdicts = _of_run(kept["verdicts"], reference).to_pandas().set_index("claim")["verdict"]
    for row in store.verdicts(run).itertuples():
        if verdicts.get(row.claim) != row.verdict:
            said.append(f"{slug} {row.claim}: {row.verdict}; the reference says {verdicts.get(row.claim)}.")
    index = ["arm", "seed", "metric"]
    results = _of_run(kept["results"], reference).to_pandas().set_index(index)["value"]
    found = store.results(run).melt(["arm", "seed"], var_name="metric").dropna().set_index(index)["value"]
    for key in results.dropna().index.union(found.index):
        ours, theirs = found.get(key), results.get(key)
        if ours is None or theirs is None or abs(ours - theirs) > TOLERANCE * max(abs(ours), abs(theirs)):
            arm, seed, metric = key
            said.append(f"{slug} {arm}, seed {seed}: {metric} is {ours}; the reference says {theirs}.")
    return said


def _select(store: Store, runs: Mapping[str, Iterable[tuple[str, str]]]) -> dict[str, pa.Table]:
    parts: dict[str, list[pa.Table]] = {name: [] for name in TABLES}
    for run, records in runs.items():
        wanted = set(records)
        for name in ("runs", "cells", "results", "verdicts"):
            parts[name].append(store.rows_of_run(name, run))
        curves = [name for kind, name in wanted if kind == "scalars"]
        parts["scalars"].append(pa.concat_tables([_thinned(store, run, name) for name in curves] or [NO_SCALARS]))
        tables, arrays = store.rows_of_run("tables", run), store.rows_of_run("arrays", run)
        parts["tables"].append(
            tables.filter(pa.array([("table", name) in wanted for name in tables["name"].to_pylist()], pa.bool_()))
        )
        keys = zip(arrays["kind"].to_pylist(), arrays["name"].to_pylist(), strict=True)
        parts["arrays"].append(_smaller(arrays.filter(pa.array([key in wanted for key in keys], pa.bool_()))))
    chosen = {name: pa.concat_tables(rows) for name, rows in parts.items()}
    runs_table = chosen["runs"]
    column = runs_table.schema.get_field_index("origin")
    chosen["runs"] = runs_table.set_column(column, "origin", pa.array(["reference"] * len(runs_table), pa.string()))
    return chosen


NO_SCALARS = pa.table(
    {
        "run": pa.array([], pa.string()),
        "arm": pa.array([], pa.string()),
        "seed": pa.array([], pa.int64()),
        "series": pa.array([], pa.string()),
        "name": pa.array([], pa.string()),
        "step": pa.array([], pa.int64()),
        "seconds": pa.array([], pa.float64()),
        "value": pa.array([], pa.float64()),
    }
)


def _smaller(arrays: pa.Table) -> pa.Table:
    """With `confidence` and `correct` (n,) in place of the logits and labels of predictions."""
    rows = arrays.to_pylist()
    labels = {_place(row): decode_array(row["dtype"], row["shape"], row["data"]) for row in rows if row["part"] == "labels"}
    kept = []
    for row in rows:
        if row["kind"] != "predictions":
            kept.append(row)
        elif row["part"] == "logits":
            logits = decode_array(row["dtype"], row["shape"], row["data"])
            confidence = 1 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)  # of the largest
            correct = logits.argmax(axis=1) == labels[_place(row)]
            for part, array in (("confidence", confidence.astype(np.float16)), ("correct", correct)):
                dtype, shape, data = encode_array(array)
                kept.append(row | {"part": part, "dtype": dtype, "shape": shape, "data": data})
    return pa.Table.from_pylist(kept, schema=arrays.schema)


def _place(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What logits and their labels have in common."""
    return tuple(row[name] for name in ("run", "arm", "seed", "kind", "name", "step"))


def _thinned(store: Store, run: str, name: str) -> pa.Table:
    curves = store.curves(run, name, points=CURVE_POINTS, log=True).assign(run=run, name=name, seconds=0.0)
    return pa.Table.from_pandas(curves[NO_SCALARS.column_names], schema=NO_SCALARS.schema, preserve_index=False)


def _of_run(rows: pa.Table, run: str) -> pa.Table:
    return rows.filter(pc.equal(rows["run"], run))
