"""A fence for the SQL of visitors: one statement that reads, no files, no network, no settings, limited in time and rows.

The database itself is locked when it is opened (core.store.database): nothing in it reaches files or the network, and no setting
can be changed any more. On top of that a visitor's statement runs in a read-only transaction, and only if it is a SELECT.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    import pandas as pd

CHARACTERS = 10_000
SYSTEM = re.compile(r"\b(duckdb_\w+|pragma_\w+|which_secret|current_setting|query|query_table)\s*\(", re.IGNORECASE)

OF_RUNS = ("runs", "cells", "curves", "arrays", "tables", "results", "verdicts", "shared")
HIDDEN = ("owners", "uploads", "stories")

EXAMPLES = {
    "Papers and how their claims fared": """SELECT slug, preset, verdict, count(*) AS claims
FROM runs JOIN verdicts USING (run)
GROUP BY ALL ORDER BY slug, preset, verdict""",
    "The widest intervals": """SELECT slug, preset, claim, effect, low, high, n
FROM runs JOIN verdicts USING (run)
WHERE isfinite(low) AND isfinite(high)
ORDER BY (high - low) / abs(effect) DESC LIMIT 20""",
    "Mean and deviation of every metric over seeds": """SELECT slug, preset, arm, metric,
       avg(value) AS mean, stddev_samp(value) AS deviation, count(*) AS n
FROM runs JOIN results USING (run)
WHERE isfinite(value)
GROUP BY ALL ORDER BY ALL""",
    "Where the time went": """SELECT slug, preset, arm, sum(cells.seconds) AS seconds
FROM runs JOIN cells USING (run)
GROUP BY ALL ORDER BY seconds DESC NULLS LAST""",
    "How much every run recorded": """SELECT slug, preset, name, count(*) AS points
FROM runs JOIN curves USING (run) JOIN scalars USING (curve)
GROUP BY ALL ORDER BY points DESC LIMIT 50""",
}


class QueryError(ValueError):
    """A statement that cannot be answered. The message says why and what to do."""


@dataclass(frozen=True)
class Answer:
    """`rows` of the answer, cut where there were more; bytes are shown by their number only."""

    rows: pd.DataFrame
    cut: bool
    seconds: float


def answer(cursor: duckdb.DuckDBPyConnection, statement: str, rows: int, seconds: float) -> Answer:
    """Runs one statement of a visitor's.

    Args:
        cursor: of the open store, used by nobody else meanwhile.
        rows: at most so many come back.
        seconds: a statement that takes longer is ended.

    Raises:
        QueryError: not one SELECT, refused, wrong, or too long.
    """
    check(cursor, statement)
    timer = threading.Timer(seconds, cursor.interrupt)
    started = time.perf_counter()
    cursor.execute("BEGIN TRANSACTION READ ONLY")
    timer.start()
    try:
        found = cursor.sql(statement).limit(rows + 1)
        blobs = [name for name, kind in zip(found.columns, found.types, strict=True) if kind == duckdb.sqltypes.BLOB]
        frame = found.to_arrow_table().to_pandas()
    except duckdb.InterruptException:
        raise QueryError(f"Ended after {seconds:g} seconds, the limit for one statement. Ask for less, or add a LIMIT.") from None
    except duckdb.Error as error:
        raise QueryError(str(error).split("\n\n")[0]) from error
    finally:
        timer.cancel()
        timer.join()
        cursor.execute("ROLLBACK")
    for name in blobs:
        frame[name] = frame[name].map(lambda value: value if value is None else f"{len(value):,} bytes")
    return Answer(frame.head(rows), len(frame) > rows, time.perf_counter() - started)


def narrow(cursor: duckdb.DuckDBPyConnection, statement: str, visitor: str) -> None:
    """Lays over the cursor's tables what a visitor of a shared app sees of them; whose runs are whose, and stories, are not seen.

    Raises:
        QueryError: the statement reaches around that, naming a table with its schema.
    """
    check(cursor, statement)
    ((tree,),) = cursor.execute("SELECT json_serialize_sql(?)", [statement]).fetchall()
    parsed = json.loads(tree)
    if parsed["error"] or any(node.get("schema_name") or node.get("catalog_name") for node in _nodes(parsed)):
        raise QueryError("Name tables plainly, without a schema, and write a plain SELECT.")
    ((database,),) = cursor.execute("SELECT current_database()").fetchall()
    whole = f'"{database}".main'
    cursor.execute(
        f"""CREATE TEMP TABLE seen AS SELECT run FROM {whole}.runs WHERE origin = 'reference' OR run IN (FROM {whole}.shared)
            OR run IN (SELECT item FROM {whole}.owners WHERE visitor = ?)""",
        [visitor],
    )
    for table in OF_RUNS:
        cursor.execute(f"CREATE TEMP VIEW {table} AS SELECT * FROM {whole}.{table} WHERE run IN (FROM seen)")
    cursor.execute(f"CREATE TEMP VIEW scalars AS SELECT * FROM {whole}.scalars WHERE curve IN (SELECT curve FROM curves)")
    for table in HIDDEN:
        cursor.execute(f"CREATE TEMP VIEW {table} AS SELECT * FROM {whole}.{table} WHERE false")


def _nodes(tree: object) -> Iterator[dict[str, Any]]:
    """Every object of a JSON document."""
    if isinstance(tree, dict):
        yield tree
    for value in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from _nodes(value)


def check(cursor: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Raises: QueryError unless it is one SELECT that asks the system itself for nothing."""
    if len(statement) > CHARACTERS:
        raise QueryError(f"The statement has {len(statement):,} characters; at most {CHARACTERS:,} are read.")
    try:
        statements = cursor.extract_statements(statement)
    except duckdb.Error as error:
        raise QueryError(str(error).split("\n\n")[0]) from error
    if len(statements) != 1:
        raise QueryError(f"There are {len(statements)} statements; write one." if statements else "There is nothing to run.")
    if statements[0].type != duckdb.StatementType.SELECT:
        kind = statements[0].type.name.replace("_", " ")
        raise QueryError(f"This is a {kind} statement; the store answers questions only: write a SELECT.")
    system = SYSTEM.search(statement)
    if system:
        raise QueryError(f"The function {system[1]} asks for the system's own affairs, which are not shown here.")
