"""Reading and writing runs. Readers get data frames with at most what a chart can show; see schema.sql for the tables."""

from __future__ import annotations

import json
import math
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from core.store import spool
from core.store.arrays import decode_array
from core.store.database import MEMORY, connect, refused
from core.store.query import TABLES, Answer, answer, narrow
from core.store.reference import REFERENCE
from core.store.writer import Writer

if TYPE_CHECKING:
    import pandas as pd

WHOLE = ("runs", "cells", "arrays", "tables", "results", "verdicts")
EXPORTS = {table: f"SELECT * FROM {table} WHERE run = $run ORDER BY rowid" for table in WHOLE} | {
    "scalars": """SELECT run, arm, seed, series, name, step, seconds, value FROM scalars JOIN curves USING (curve)
                  WHERE run = $run ORDER BY arm, seed, series, name, step"""
}
TABLE_NAME = b"proving-ground table"  # in the metadata of a table's file: its name, whatever the file is called
RUN_COLUMNS = "run, slug, preset, origin, status, created, started, finished, seconds, device, spec, machine, message"
STORY_COLUMNS = "story, title, visitor, slides, created, changed"


# What a visitor sees of a shared app: its own, what is shared, reference results, and what a link names. "" sees everything.
SEEN = """($visitor = '' OR origin = 'reference' OR run IN (FROM shared) OR list_contains($linked, run)
           OR run IN (SELECT item FROM owners WHERE visitor = $visitor))"""

LOG_BYTES = 16 * 2**20  # of changes that are not in the file yet


class Store:
    """An open store. Reading methods may be called from any thread."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, path: Path) -> None:
        self.path = path
        self._connection = connection
        self._threads = threading.local()
        self._write_lock = threading.Lock()

    @classmethod
    def open(cls, path: str | Path, memory: str = MEMORY) -> Store:
        """Opens or creates the store. Runs that a crash left unfinished become `interrupted`; reference results are brought in.

        Raises:
            StoreError: with one sentence that says why and what to do.
        """
        path = Path(path)
        store = cls(connect(path, memory), path)
        with store.writing() as writer:
            writer.interrupt_unfinished()
            writer.load_reference(REFERENCE)
        store.take_in()
        return store

    def take_in(self) -> None:
        """Brings in what scripts of people's own have recorded beside the store (core.recorder.open_run). Raises: StoreError."""
        spool.take_in(self)

    def drop_waiting(self, run: str) -> None:
        """Removes what such a script has recorded, and is not in the store yet."""
        spool.drop(self.path, run)

    def close(self) -> None:
        """Closes the file; what was committed stays."""
        self._connection.close()

    @contextmanager
    def writing(self) -> Iterator[Writer]:
        """One transaction: all of it is kept, or nothing. Raises: StoreError where the disk refuses."""
        with self._write_lock:
            cursor = self._cursor()
            try:
                cursor.execute("BEGIN")
                yield Writer(cursor)
                cursor.execute("COMMIT")
            except BaseException as error:
                with suppress(duckdb.Error):  # a failed COMMIT has rolled back by itself
                    cursor.execute("ROLLBACK")
                if isinstance(error, duckdb.Error):
                    raise refused(self.path, error) from error
                raise
            self._checkpoint(LOG_BYTES)

    def _checkpoint(self, above: int) -> None:
        """Brings the log of changes into the file, where it is longer than `above` bytes.

        DuckDB would do so by itself, but a checkpoint that fails half-way on a full disk ends the database until it is opened anew.
        So it is left for later where the disk has not the room for it: nothing is lost in the log.
        """
        log = self.path.with_name(f"{self.path.name}.wal")
        size = log.stat().st_size if log.exists() else 0
        if size > above and shutil.disk_usage(self.path.parent).free > 2 * size:
            with suppress(duckdb.Error):  # what is being read keeps its place until the next time
                self._cursor().execute("CHECKPOINT")

    # --- runs -------------------------------------------------------------------------------------------------------

    def runs(
        self, slug: str | None = None, status: str | None = None, visitor: str = "", linked: Sequence[str] = ()
    ) -> pd.DataFrame:
        """All runs that a visitor sees, newest first; `spec` and `machine` are JSON text."""
        return self._frame(
            f"""SELECT {RUN_COLUMNS} FROM runs WHERE ($slug IS NULL OR slug = $slug)
                AND ($status IS NULL OR status = $status) AND {SEEN} ORDER BY created DESC""",
            {"slug": slug, "status": status, "visitor": visitor, "linked": list(linked)},
        )

    def run(self, run: str) -> dict[str, Any] | None:
        """One run's row, with `spec` and `machine` decoded; None where there is none."""
        rows = self._rows(f"SELECT {RUN_COLUMNS} FROM runs WHERE run = $run", {"run": run})
        if not rows:
            return None
        found = dict(zip(RUN_COLUMNS.split(", "), rows[0], strict=True))
        return found | {"spec": json.loads(found["spec"]), "machine": json.loads(found["machine"] or "null")}

    def latest(self, slug: str, status: str = "completed", visitor: str = "", linked: Sequence[str] = ()) -> str | None:
        """The newest run of a paper on its own data that a visitor sees; else its reference result, else one that was imported."""
        rows = self._rows(
            f"""SELECT run FROM runs WHERE slug = $slug AND status = $status AND coalesce(spec->>'inputs', '{{}}') = '{{}}'
                AND {SEEN} ORDER BY origin = 'imported', origin = 'reference', finished DESC, created DESC LIMIT 1""",
            {"slug": slug, "status": status, "visitor": visitor, "linked": list(linked)},
        )
        return rows[0][0] if rows else None

    def owners(self, item: str) -> set[str]:
        """The visitors that asked for a run, or brought an upload."""
        return {visitor for (visitor,) in self._rows("SELECT visitor FROM owners WHERE item = $item", {"item": item})}

    def is_shared(self, run: str) -> bool:
        """Whether all visitors see a run."""
        return bool(self._rows("FROM shared WHERE run = $run", {"run": run}))

    def clean(self, days: float, size: float, busy: Sequence[str] = ()) -> list[str]:
        """Removes runs, uploads and stories older than so many days; above `size` bytes held, also a twentieth of the rest.

        The oldest go first. Reference results, and the runs in `busy`, stay. The file gives room back only after a while, so that
        more is not removed at once. Returns what was removed.
        """
        rows = self._rows(
            """SELECT item, kind, epoch(now()::TIMESTAMP - created) > $seconds FROM (
                 SELECT run AS item, 'run' AS kind, created FROM runs
                 WHERE origin <> 'reference' AND NOT list_contains($busy, run)
                 UNION ALL SELECT digest, 'upload', created FROM uploads
                 UNION ALL SELECT story, 'story', changed FROM stories) ORDER BY created""",
            {"busy": list(busy), "seconds": min(days * 86400, 1e15)},
        )
        old = sum(is_old for _, _, is_old in rows)
        too_much = -(-(len(rows) - old) // 20) if self.bytes_held() > size else 0
        for item, kind, _ in rows[: old + too_much]:
            with self.writing() as writer:
                {"run": writer.remove_run, "upload": writer.remove_upload, "story": writer.remove_story}[kind](item)
        return [item for item, _, _ in rows[: old + too_much]]

    def bytes_held(self) -> int:
        """Bytes of the file that hold something; what was removed leaves room in it for what comes."""
        with self._write_lock:
            self._checkpoint(0)
        ((_, _, block, _, used, *_),) = self._rows("FROM pragma_database_size()", {})
        return block * used

    def cells(self, run: str) -> pd.DataFrame:
        """The cells of a run: cell, arm, seeds, status, done, total, seconds, message."""
        return self._frame("SELECT * EXCLUDE (run) FROM cells WHERE run = $run ORDER BY cell", {"run": run})

    # --- what was recorded ------------------------------------------------------------------------------------------

    def scalar_names(self, run: str) -> list[str]:
        """The names of a run's curves."""
        return [name for (name,) in self._rows("SELECT DISTINCT name FROM curves WHERE run = $run ORDER BY name", {"run": run})]

    def curves(self, run: str, name: str, points: int = 400, x: str = "step", log: bool = False) -> pd.DataFrame:
        """The curves of one name, by x ("step" or "seconds"): arm, seed, series, x under its name, value.

        A curve of more than `points` points is cut along x (its logarithm with `log`) into points/2 bins that each keep their
        lowest and highest point, so that no spike is lost, and one NaN and infinity where it has any; its ends are kept too.
        """
        if x not in ("step", "seconds"):
            raise ValueError(f"x is {x!r}; allowed: step, seconds.")
        position = f"ln(1 + {x})" if log else x
        return self._frame(
            f"""
            WITH chosen AS (SELECT * FROM curves WHERE run = $run AND name = $name),
            extent AS (
                SELECT curve, count(*) AS n, min({position})::DOUBLE AS low, max({position})::DOUBLE AS high, min({x}) AS first,
                       max({x}) AS last
                FROM scalars WHERE curve IN (SELECT curve FROM chosen) GROUP BY curve),
            bins AS (
                SELECT curve, if(isfinite(value), 0, value) AS not_finite,
                       CASE {x} WHEN first THEN -1 WHEN last THEN $points
                                ELSE (({position} - low) / greatest(high - low, 1e-9) * ($points // 2 - 1))::INTEGER END AS bin,
                       [arg_min({x}, value), arg_max({x}, value)] AS places, [min(value), max(value)] AS extremes
                FROM scalars JOIN extent USING (curve) WHERE n > $points GROUP BY ALL),
            kept AS (
                SELECT curve, {x}, value FROM scalars JOIN extent USING (curve) WHERE n <= $points
                UNION
                SELECT curve, unnest(places), unnest(extremes) FROM bins)
            SELECT arm, seed, series, {x}, value FROM kept JOIN chosen USING (curve) ORDER BY arm, seed, series, {x}""",
            {"run": run, "name": name, "points": points},
        )

    def table_names(self, run: str) -> list[str]:
        """The names of a run's tables."""
        return [name for (name,) in self._rows("SELECT DISTINCT name FROM tables WHERE run = $run ORDER BY name", {"run": run})]

    def table(self, run: str, name: str) -> pd.DataFrame:
        """A recorded table with the columns arm and seed in front; empty where nothing was recorded."""
        return self._table(run, name).to_pandas()

    def _table(self, run: str, name: str) -> pa.Table:
        query = "SELECT arm, seed, rows FROM tables WHERE run = $run AND name = $name ORDER BY arm, seed, rowid"
        found = self._rows(query, {"run": run, "name": name})
        if not found:
            return pa.table({"arm": pa.array([], pa.string()), "seed": pa.array([], pa.int64())})
        arms, seeds, streams = zip(*found, strict=True)
        pieces = [pa.ipc.open_stream(rows).read_all() for rows in streams]
        alike = all(piece.schema.equals(pieces[0].schema) for piece in pieces)
        rows = pa.concat_tables(pieces, promote_options="none" if alike else "permissive")
        sizes = [len(piece) for piece in pieces]
        keys = [pa.array(np.repeat(arms, sizes), pa.string()), pa.array(np.repeat(seeds, sizes), pa.int64())]
        return pa.table([*keys, *rows.columns], names=["arm", "seed", *rows.column_names])

    def array_index(self, run: str) -> pd.DataFrame:
        """What arrays there are, without their data."""
        return self._frame(
            """SELECT arm, seed, kind, name, step, part, seconds, dtype, shape FROM arrays
               WHERE run = $run ORDER BY arm, seed, step, rowid""",
            {"run": run},
        )

    def recorded(self, kind: str, visitor: str = "", linked: Sequence[str] = ()) -> pd.DataFrame:
        """All arrays of a kind in the runs that a visitor sees, the newest first, without their data.

        The columns are run, arm, seed, name, first and last step.
        """
        return self._frame(
            f"""SELECT run, arm, seed, name, min(step) AS first, max(step) AS last
                FROM arrays JOIN runs USING (run) WHERE kind = $kind AND {SEEN} GROUP BY run, arm, seed, name, created
                ORDER BY created DESC, run, min(arrays.rowid)""",
            {"kind": kind, "visitor": visitor, "linked": list(linked)},
        )

    def arrays(
        self,
        run: str,
        kind: str,
        name: str | None = None,
        arm: str | None = None,
        seed: int | None = None,
        step: int | None = None,
    ) -> pd.DataFrame:
        """Recorded arrays, in order: arm, seed, kind, name, step, part, array."""
        import pandas as pd

        rows = self._rows(
            """SELECT arm, seed, kind, name, step, part, dtype, shape, data FROM arrays
               WHERE run = $run AND kind = $kind AND ($name IS NULL OR name = $name) AND ($arm IS NULL OR arm = $arm)
                 AND ($seed IS NULL OR seed = $seed) AND ($step IS NULL OR step = $step) ORDER BY arm, seed, step, rowid""",
            {"run": run, "kind": kind, "name": name, "arm": arm, "seed": seed, "step": step},
        )
        rows = [(*row[:6], decode_array(*row[6:])) for row in rows]
        return pd.DataFrame(rows, columns=["arm", "seed", "kind", "name", "step", "part", "array"])

    def stacked(self, run: str, kind: str, name: str, part: str) -> np.ndarray | None:
        """An array that was recorded in pieces, step by step, as one; None where there is none. Made for runs of one arm."""
        rows = self._rows(
            """SELECT dtype, shape, data FROM arrays WHERE run = $run AND kind = $kind AND name = $name AND part = $part
               ORDER BY step""",
            {"run": run, "kind": kind, "name": name, "part": part},
        )
        return np.concatenate([decode_array(*row) for row in rows]) if rows else None

    def results(self, run: str) -> pd.DataFrame:
        """The final metrics: one row per arm and seed, one column a metric."""
        import pandas as pd

        query = "SELECT arm, seed, metric, value FROM results WHERE run = $run ORDER BY arm, seed, rowid"
        found: dict[tuple[str, int], dict[str, float]] = {}
        metrics: dict[str, None] = {}
        for arm, seed, metric, value in self._rows(query, {"run": run}):
            cell = found.setdefault((arm, seed), {})
            metrics[metric] = None
            if metric not in cell or not math.isnan(value):
                cell[metric] = value
        rows = [{"arm": arm, "seed": seed, **cell} for (arm, seed), cell in found.items()]
        return pd.DataFrame(rows, columns=["arm", "seed", *metrics])

    def verdicts(self, run: str) -> pd.DataFrame:
        """The verdicts in the order of the claims: claim, text, verdict, effect, low, high, n, smallest, unit, detail."""
        return self._frame("SELECT * EXCLUDE (run) FROM verdicts WHERE run = $run ORDER BY rowid", {"run": run})

    def seconds_of(self, slug: str, preset: str, device: str) -> float | None:
        """How long the newest completed run of a preset on the paper's own data took on this machine."""
        rows = self._rows(
            """SELECT seconds FROM runs WHERE slug = $slug AND preset = $preset AND device = $device AND status = 'completed'
               AND origin = 'own' AND coalesce(spec->>'inputs', '{}') = '{}' ORDER BY finished DESC LIMIT 1""",
            {"slug": slug, "preset": preset, "device": device},
        )
        return rows[0][0] if rows else None

    # --- uploads ----------------------------------------------------------------------------------------------------

    def uploads(self, visitor: str = "") -> pd.DataFrame:
        """The data sets that a visitor uploaded, newest first: digest, name, kind, rows, bytes, created."""
        return self._frame(
            """SELECT digest, name, kind, rows, octet_length(file) AS bytes, created FROM uploads
               WHERE $visitor = '' OR digest IN (SELECT item FROM owners WHERE visitor = $visitor) ORDER BY created DESC""",
            {"visitor": visitor},
        )

    def upload(self, digest: str) -> dict[str, Any] | None:
        """One of these; None where there is none."""
        found = self.uploads()
        rows = found[found["digest"] == digest].to_dict("records")
        return rows[0] if rows else None

    def upload_file(self, digest: str) -> bytes:
        """The Parquet file of an upload. Raises: KeyError."""
        rows = self._rows("SELECT file FROM uploads WHERE digest = $digest", {"digest": digest})
        if not rows:
            raise KeyError(f"There is no upload {digest!r}.")
        return rows[0][0]

    # --- stories ----------------------------------------------------------------------------------------------------

    def story(self, story: str) -> dict[str, Any] | None:
        """One story: story, title, visitor, slides (decoded), created, changed; None where there is none."""
        found = self._stories("story = $value", story)
        return found[0] if found else None

    def stories(self, visitor: str) -> list[dict[str, Any]]:
        """A visitor's own stories, the last changed first."""
        return self._stories("visitor = $value", visitor)

    def _stories(self, condition: str, value: str) -> list[dict[str, Any]]:
        rows = self._rows(f"SELECT {STORY_COLUMNS} FROM stories WHERE {condition} ORDER BY changed DESC", {"value": value})
        found = [dict(zip(STORY_COLUMNS.split(", "), row, strict=True)) for row in rows]
        return [row | {"slides": json.loads(row["slides"])} for row in found]

    # --- questions of a visitor's ------------------------------------------------------------------------------------

    def query(self, statement: str, rows: int = 1000, seconds: float = 10, visitor: str = "") -> Answer:
        """The answer to one SELECT, fenced (core.store.query), on what a visitor sees. Raises: QueryError, to be shown."""
        cursor = self._connection.cursor()
        try:
            if visitor:
                narrow(cursor, visitor)
            return answer(cursor, statement, rows, seconds)
        finally:
            cursor.close()

    def schema(self) -> pd.DataFrame:
        """The columns of the tables that a visitor may ask: table, column, type."""
        return self._frame(
            """SELECT table_name AS "table", column_name AS "column", data_type AS type FROM duckdb_columns()
               WHERE table_name IN (SELECT unnest($tables)) AND NOT internal ORDER BY table_oid, column_index""",
            {"tables": TABLES},
        )

    def rows_of_run(self, table: str, run: str) -> pa.Table:
        """A table's rows of one run, as they are; `table` is a key of EXPORTS."""
        return self._arrow(EXPORTS[table], {"run": run})

    def export(self, run: str, folder: str | Path) -> list[Path]:
        """Writes a run as Parquet, a file a table, and the results also as CSV and JSON; core.imported reads it elsewhere.

        Raises:
            KeyError: no such run.
        """
        folder = Path(folder)
        row = self.run(run)
        if row is None:
            raise KeyError(f"There is no run {run!r}.")
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for table in EXPORTS:
            if table != "tables":  # written below in their own form
                pq.write_table(self.rows_of_run(table, run), folder / f"{table}.parquet", compression="zstd")
                written.append(folder / f"{table}.parquet")
        for name in self.table_names(run):
            path = folder / f"table {_file_name(name)}.parquet"
            if path in written:  # names that differ only in what a file's name cannot have
                path = folder / f"table {_file_name(name)} {len(written)}.parquet"
            rows = self._table(run, name)
            pq.write_table(rows.replace_schema_metadata({TABLE_NAME: name.encode()}), path, compression="zstd")
            written.append(path)
        results = self.results(run)
        results.to_csv(folder / "results.csv", index=False)
        summary = {
            **{key: value.isoformat() if isinstance(value, datetime) else value for key, value in row.items()},
            "results": _records(results),
            "verdicts": _records(self.verdicts(run)),
        }
        (folder / "results.json").write_text(json.dumps(summary, indent=2), encoding="utf-8")
        return [*written, folder / "results.csv", folder / "results.json"]

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """This thread's own cursor: DuckDB's connections are not shared between threads."""
        if not hasattr(self._threads, "cursor"):
            self._threads.cursor = self._connection.cursor()
        return self._threads.cursor

    def _rows(self, query: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
        return self._cursor().execute(query, params).fetchall()

    def _frame(self, query: str, params: dict[str, Any]) -> pd.DataFrame:
        return self._cursor().execute(query, params).df()

    def _arrow(self, query: str, params: dict[str, Any]) -> pa.Table:
        return self._cursor().sql(query, params=params).to_arrow_table()


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for JSON, which knows no NaN."""
    return json.loads(frame.to_json(orient="records", double_precision=15))


def _file_name(name: str) -> str:
    return "".join(character if character.isalnum() or character in "-_. " else "_" for character in name)[:60]
