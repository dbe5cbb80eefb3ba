"""What can be written, inside a transaction that Store.writing opens."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from core.store import reference
from core.store.arrays import encode_array, encode_table
from core.store.database import StoreError

UNFINISHED = ("queued", "running")


class RunIsHere(StoreError):
    """A run that would come in is there."""


class Writer:
    """Inserts and updates of one transaction."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor

    def add_run(
        self, run: str, slug: str, preset: str, spec: Mapping[str, Any], device: str, cells: Sequence[tuple[str, Sequence[int]]]
    ) -> None:
        """A queued run and its queued cells (arm, seeds); an earlier run of the same identity is replaced."""
        self.delete_run(run)
        self._cursor.execute(
            "INSERT INTO runs (run, slug, preset, spec, status, created, device) VALUES (?, ?, ?, ?, 'queued', ?, ?)",
            [run, slug, preset, json.dumps(spec), _now(), device],
        )
        for number, (arm, seeds) in enumerate(cells):
            self._cursor.execute(
                "INSERT INTO cells (run, cell, arm, seeds, status) VALUES (?, ?, ?, ?, 'queued')", [run, number, arm, list(seeds)]
            )

    def delete_run(self, run: str) -> None:
        """Removes a run and all that it recorded."""
        self._cursor.execute("DELETE FROM scalars WHERE curve IN (SELECT curve FROM curves WHERE run = ?)", [run])
        for table in ("verdicts", "results", "tables", "arrays", "curves", "cells", "runs"):
            self._cursor.execute(f"DELETE FROM {table} WHERE run = ?", [run])

    def remove_run(self, run: str) -> None:
        """Removes a run for good, and whose it was. Where a reference result was in its place, that comes back."""
        self.delete_run(run)
        for table, column in (("owners", "item"), ("shared", "run")):
            self._cursor.execute(f"DELETE FROM {table} WHERE {column} = ?", [run])
        if run in reference.names(reference.REFERENCE):
            self.load_reference(reference.REFERENCE, anew=True)

    def add_owner(self, item: str, visitor: str) -> None:
        """A visitor has asked for a run, or brought an upload."""
        self._cursor.execute("INSERT OR IGNORE INTO owners VALUES (?, ?)", [item, visitor])

    def remove_owner(self, item: str, visitor: str) -> None:
        """It is the visitor's no more."""
        self._cursor.execute("DELETE FROM owners WHERE item = ? AND visitor = ?", [item, visitor])

    def set_shared(self, run: str, shared: bool) -> None:
        """Whether all visitors see a run."""
        statement = "INSERT OR IGNORE INTO shared VALUES (?)" if shared else "DELETE FROM shared WHERE run = ?"
        self._cursor.execute(statement, [run])

    def remove_upload(self, digest: str) -> None:
        """Removes an uploaded data set, and whose it was."""
        self._cursor.execute("DELETE FROM uploads WHERE digest = ?", [digest])
        self._cursor.execute("DELETE FROM owners WHERE item = ?", [digest])

    def start_run(self, run: str, machine: Mapping[str, Any]) -> None:
        """The first of its cells has begun."""
        self._cursor.execute(
            "UPDATE runs SET status = 'running', started = ?, machine = ? WHERE run = ?", [_now(), json.dumps(machine), run]
        )

    def resume_run(self, run: str) -> None:
        """A run that was taken for interrupted goes on: its script lives."""
        self._cursor.execute("UPDATE runs SET status = 'running', finished = NULL WHERE run = ?", [run])
        self._cursor.execute("UPDATE cells SET status = 'running' WHERE run = ?", [run])

    def finish_run(self, run: str, status: str, seconds: float | None, message: str = "") -> None:
        """The run ended as `status`."""
        self._cursor.execute(
            "UPDATE runs SET status = ?, finished = ?, seconds = ?, message = ? WHERE run = ?",
            [status, _now(), seconds, message, run],
        )

    def set_cell(self, run: str, cell: int, status: str, seconds: float | None = None, message: str = "") -> None:
        """A cell's new status."""
        self._cursor.execute(
            "UPDATE cells SET status = ?, seconds = ?, message = ? WHERE run = ? AND cell = ?",
            [status, seconds, message, run, cell],
        )

    def set_progress(self, run: str, cell: int, done: int, total: int) -> None:
        """How far a cell is."""
        self._cursor.execute("UPDATE cells SET done = ?, total = ? WHERE run = ? AND cell = ?", [done, total, run, cell])

    def add_scalars(self, run: str, arm: str, scalars: pa.RecordBatch | pa.Table) -> None:
        """Appends curves: an Arrow batch with seed, series, name, step, seconds, value."""
        self._cursor.register("incoming", pa.table(scalars) if isinstance(scalars, pa.RecordBatch) else scalars)
        self._cursor.execute(
            """INSERT INTO curves (run, arm, seed, series, name)
               SELECT DISTINCT $run, $arm, seed, series, name FROM incoming
               WHERE NOT EXISTS (SELECT 1 FROM curves WHERE run = $run AND arm = $arm AND curves.seed = incoming.seed
                                 AND curves.series = incoming.series AND curves.name = incoming.name)""",
            {"run": run, "arm": arm},
        )
        self._cursor.execute(
            """INSERT INTO scalars SELECT curve, step, seconds, value
               FROM incoming JOIN curves USING (seed, series, name) WHERE run = ? AND arm = ?""",
            [run, arm],
        )
        self._cursor.unregister("incoming")

    def add_array(self, run: str, arm: str, event: Any) -> None:
        """Appends a recorded array (a core.recorder.ArrayEvent)."""
        dtype, shape, data = encode_array(event.array)
        row = [run, arm, event.seed, event.kind, event.name, event.step, event.part, event.seconds, dtype, shape, data]
        self._cursor.execute(f"INSERT INTO arrays VALUES ({', '.join('?' * len(row))})", row)

    def add_table(self, run: str, arm: str, seed: int, name: str, rows: pa.Table) -> None:
        """Appends rows to a named table."""
        self._cursor.execute("INSERT INTO tables VALUES (?, ?, ?, ?, ?)", [run, arm, seed, name, encode_table(rows)])

    def add_result(self, run: str, arm: str, seed: int, metric: str, value: float) -> None:
        """Appends one final metric."""
        self._cursor.execute("INSERT INTO results VALUES (?, ?, ?, ?, ?)", [run, arm, seed, metric, value])

    def set_verdicts(self, run: str, verdicts: Iterable[Mapping[str, Any]]) -> None:
        """Replaces the verdicts of a run."""
        self._cursor.execute("DELETE FROM verdicts WHERE run = ?", [run])
        for verdict in verdicts:
            columns = ("claim", "text", "verdict", "effect", "low", "high", "n", "smallest", "unit", "detail")
            self._cursor.execute(
                "INSERT INTO verdicts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [run, *(verdict[column] for column in columns)]
            )

    def add_upload(self, digest: str, name: str, kind: str, rows: int, file: bytes) -> None:
        """Keeps an uploaded data set, once: the same content has the same digest."""
        self._cursor.execute("INSERT OR IGNORE INTO uploads VALUES (?, ?, ?, ?, ?, ?)", [digest, name, kind, rows, _now(), file])

    def set_story(self, story: str, title: str, visitor: str, slides: Sequence[Mapping[str, Any]]) -> None:
        """Keeps a story, in place of an earlier one of that name by the same visitor; nobody else's is changed."""
        now = _now()
        self._cursor.execute(
            """INSERT INTO stories VALUES (?, ?, ?, ?, ?, ?)
               ON CONFLICT (story) DO UPDATE SET title = excluded.title, slides = excluded.slides, changed = excluded.changed
               WHERE stories.visitor = excluded.visitor""",
            [story, title, visitor, json.dumps(slides), now, now],
        )

    def delete_story(self, story: str, visitor: str) -> None:
        """Removes a story of this visitor's."""
        self._cursor.execute("DELETE FROM stories WHERE story = ? AND visitor = ?", [story, visitor])

    def remove_story(self, story: str) -> None:
        """Removes a story, whosever it is."""
        self._cursor.execute("DELETE FROM stories WHERE story = ?", [story])

    def load_reference(self, folder: Path, anew: bool = False) -> None:
        """Brings in the reference results of a folder, unless these very ones are there; own runs of the same identity stay."""
        digest = reference.digest(folder)
        ((loaded,),) = self._cursor.execute("SELECT reference FROM about").fetchall()
        if digest == loaded and not anew:
            return
        for (run,) in self._cursor.execute("SELECT run FROM runs WHERE origin = 'reference'").fetchall():
            self.delete_run(run)
        self._cursor.execute("UPDATE about SET reference = ?", [digest])
        if not digest:
            return
        tables = reference.read(folder)
        own = {run for (run,) in self._cursor.execute("SELECT run FROM runs").fetchall()}
        for name, rows in tables.items():
            tables[name] = rows.filter(pa.array([run not in own for run in rows["run"].to_pylist()], pa.bool_()))
        self._add_tables(tables)

    def bring_in(self, tables: Mapping[str, pa.Table], replace: bool = False) -> None:
        """Adds a whole run that was made elsewhere, table by table as core.imported reads them; it is marked as imported.

        Args:
            replace: whether it takes the place of a run of the same identity that is here.

        Raises:
            RunIsHere: there is such a run.
        """
        run = tables["runs"]["run"][0].as_py()
        here = self._cursor.execute("SELECT status FROM runs WHERE run = ?", [run]).fetchone()
        if here and (here[0] in UNFINISHED or not replace):
            raise RunIsHere(f"The run {run} is here already{', and under way' if here[0] in UNFINISHED else ''}.")
        self.delete_run(run)
        self._add_tables(tables)
        self._cursor.execute("UPDATE runs SET origin = 'imported' WHERE run = ?", [run])
        for table in ("runs", "cells"):
            self._cursor.execute(f"UPDATE {table} SET status = 'interrupted' WHERE run = ? AND status IN {UNFINISHED}", [run])

    def _add_tables(self, tables: Mapping[str, pa.Table]) -> None:
        for name in ("runs", "cells", "arrays", "tables", "results", "verdicts"):
            self._cursor.register("incoming", tables[name])
            self._cursor.execute(f"INSERT INTO {name} BY NAME SELECT * FROM incoming")
            self._cursor.unregister("incoming")
        scalars = tables["scalars"]
        for run, arm in {*zip(scalars["run"].to_pylist(), scalars["arm"].to_pylist(), strict=True)}:
            mine = pc.and_(pc.equal(scalars["run"], run), pc.equal(scalars["arm"], arm))
            self.add_scalars(run, arm, scalars.filter(mine).drop_columns(["run", "arm"]))

    def interrupt_unfinished(self) -> None:
        """Marks what a crash left unfinished."""
        for table in ("runs", "cells"):
            self._cursor.execute(f"UPDATE {table} SET status = 'interrupted' WHERE status IN {UNFINISHED}")


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
