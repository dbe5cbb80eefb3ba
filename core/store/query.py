"""A fence for the SQL of visitors: one statement that reads, no files, no network, no settings, limited in time, memory and size.

The database itself is locked when it is opened (core.store.database): nothing in it reaches files or the network, and no setting
can be changed any more. On top of that a visitor's statement runs in a read-only transaction, and only if it is a SELECT that
names nothing but TABLES and FUNCTIONS: DuckDB's own parser says what it names, so that neither quotes nor comments hide anything.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

CHARACTERS = 10_000
ANSWER_BYTES = 20_000_000
AT_ONCE = threading.BoundedSemaphore(2)  # statements; others wait
TABLES = ("runs", "cells", "curves", "scalars", "arrays", "tables", "results", "verdicts")
NODES = ("SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE")
HIDDEN = """SELECT table_name FROM duckdb_tables() WHERE table_name NOT IN (SELECT unnest(?))
UNION ALL SELECT view_name FROM duckdb_views() WHERE schema_name <> 'information_schema'"""
TABLE_FUNCTIONS = ("range", "unnest")
# Their time and memory grow with what they are given and no faster, which is not so of repeat, replace, printf or levenshtein.
NAMES = """
count count_star count_if sum fsum avg mean min max median mode stddev stddev_samp stddev_pop variance var_samp var_pop sem
quantile quantile_cont quantile_disc approx_quantile approx_count_distinct corr covar_samp covar_pop regr_slope regr_intercept
regr_r2 regr_count skewness kurtosis entropy mad product geomean bool_and bool_or first last any_value arg_min arg_max min_by
max_by list array_agg string_agg group_concat listagg histogram
row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value grouping
abs ceil ceiling floor round trunc sqrt cbrt exp ln log log2 log10 pow power sign greatest least mod add subtract multiply
divide isfinite isnan isinf pi sin cos tan asin acos atan atan2 sinh cosh tanh degrees radians
lower upper trim ltrim rtrim length len strlen left right substr substring strpos instr position contains starts_with ends_with
prefix suffix concat concat_ws split_part regexp_matches regexp_full_match regexp_extract translate octet_length
like_escape ilike_escape not_like_escape not_ilike_escape if nullif ifnull coalesce typeof
date_trunc date_part date_diff date_sub date_add datediff datetrunc datepart epoch epoch_ms strftime now today timezone year
month day hour minute second week dayofweek dayname monthname to_years to_months to_weeks to_days to_hours to_minutes to_seconds
json_extract json_extract_string json_keys json_array_length json_type
list_value list_contains list_extract list_element array_extract array_length struct_pack struct_extract row unnest
"""
FUNCTIONS = frozenset(NAMES.split())

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
        cursor: of the open store, used by nobody else meanwhile; `narrow` first says what the visitor sees.
        rows: at most so many come back.
        seconds: a statement that takes longer is ended.

    Raises:
        QueryError: not one SELECT, refused, wrong, too long, or with too large an answer.
    """
    check(cursor, statement)
    if not AT_ONCE.acquire(timeout=seconds):
        raise QueryError("Others are asking the store right now. Ask again in a moment.")
    timer = threading.Timer(seconds, cursor.interrupt)
    started = time.perf_counter()
    try:
        cursor.execute("BEGIN TRANSACTION READ ONLY")
        timer.start()
        found = cursor.sql(statement).limit(rows + 1)
        blobs = [name for name, kind in zip(found.columns, found.types, strict=True) if kind == duckdb.sqltypes.BLOB]
        frame = _received(found).to_pandas()
    except duckdb.InterruptException:
        raise QueryError(f"Ended after {seconds:g} seconds, the limit for one statement. Ask for less, or add a LIMIT.") from None
    except duckdb.OutOfMemoryException:
        raise QueryError("Ended: the statement needs more memory than the store has. Ask for less at once.") from None
    except duckdb.Error as error:
        raise QueryError(str(error).split("\n\n")[0]) from error
    except pa.ArrowException as error:
        raise QueryError(f"The answer has a type that cannot be shown; cast it to text. ({error})") from error
    finally:
        timer.cancel()
        if timer.ident:
            timer.join()
        cursor.execute("ROLLBACK")
        AT_ONCE.release()
    for name in blobs:
        frame[name] = frame[name].map(lambda value: value if value is None else f"{len(value):,} bytes")
    return Answer(frame.head(rows), len(frame) > rows, time.perf_counter() - started)


def _received(found: duckdb.DuckDBPyRelation) -> pa.Table:
    """The rows, piece by piece. Raises: QueryError where they are too many bytes."""
    pieces: list[pa.RecordBatch] = []
    with found.to_arrow_reader(100) as reader:
        for piece in reader:
            pieces.append(piece)
            if sum(piece.nbytes for piece in pieces) > ANSWER_BYTES:
                raise QueryError(f"The answer has more than {ANSWER_BYTES / 1e6:.0f} MB. Ask for fewer rows, or for less of each.")
        return pa.Table.from_batches(pieces, reader.schema)


def narrow(cursor: duckdb.DuckDBPyConnection, visitor: str) -> None:
    """Lays over the cursor's tables what a visitor of a shared app sees of them: temporary views come before tables."""
    ((database,),) = cursor.execute("SELECT current_database()").fetchall()
    whole = f'"{database}".main'
    cursor.execute(
        f"""CREATE TEMP TABLE seen AS SELECT run FROM {whole}.runs WHERE origin = 'reference' OR run IN (FROM {whole}.shared)
            OR run IN (SELECT item FROM {whole}.owners WHERE visitor = ?)""",
        [visitor],
    )
    for table in TABLES:
        key, mine = ("curve", "SELECT curve FROM curves") if table == "scalars" else ("run", "FROM seen")
        cursor.execute(f"CREATE TEMP VIEW {table} AS SELECT * FROM {whole}.{table} WHERE {key} IN ({mine})")


def check(cursor: duckdb.DuckDBPyConnection, statement: str) -> None:
    """Raises: QueryError unless it is one SELECT from TABLES by FUNCTIONS."""
    if len(statement) > CHARACTERS:
        raise QueryError(f"The statement has {len(statement):,} characters; at most {CHARACTERS:,} are read.")
    try:
        statements = cursor.extract_statements(statement)
        if len(statements) != 1:
            raise QueryError(f"There are {len(statements)} statements; write one." if statements else "There is nothing to run.")
        if statements[0].type != duckdb.StatementType.SELECT:
            kind = statements[0].type.name.replace("_", " ")
            raise QueryError(f"This is a {kind} statement; the store answers questions only: write a SELECT.")
        ((text,),) = cursor.execute("SELECT json_serialize_sql(?)", [statement]).fetchall()
        parsed = json.loads(text)
    except duckdb.Error as error:
        raise QueryError(str(error).split("\n\n")[0]) from error
    except RecursionError:
        raise QueryError("The statement is nested too deeply. Write it with fewer levels.") from None
    if parsed["error"]:
        raise QueryError(parsed["error_message"])
    nodes = list(_nodes(parsed))
    named = {entry["key"].lower() for node in nodes for entry in node.get("cte_map", {}).get("map", ())}
    hidden = {name.lower() for (name,) in cursor.execute(HIDDEN, [TABLES]).fetchall()}
    for node in nodes:
        _check_node(node, named - hidden)


def _check_node(node: dict[str, Any], named: set[str]) -> None:
    """Raises: QueryError where a part of a statement is not let through. `named`: by its WITH, unlike anything in the database."""
    kind = str(node.get("type", ""))
    if kind == "BASE_TABLE":
        *schema, name = node["qualified_name"]["path"]
        if schema not in ([], ["main"]) or name.lower() not in named.union(TABLES):
            raise QueryError(f"There is no table {name!r} to ask; there are: {', '.join(TABLES)}.")
    elif kind == "SHOW_REF" or (kind.endswith("_NODE") and kind not in NODES):
        raise QueryError("Only what a SELECT computes is answered: write a SELECT.")
    elif kind == "TABLE_FUNCTION" and node["function"]["function_name"] not in TABLE_FUNCTIONS:
        raise QueryError(f"The function {node['function']['function_name']!r} cannot be asked here.")
    elif kind != "TABLE_FUNCTION" and "function_name" in node:
        name = node["function_name"]
        if any(character.isalpha() for character in name) and name not in FUNCTIONS:
            raise QueryError(f"The function {name!r} cannot be used here.")


def _nodes(parsed: Any) -> Iterator[dict[str, Any]]:
    """Every object of a parsed statement, but for the calls of table functions themselves."""
    waiting = [parsed]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield one
            call = one["function"] if one.get("type") == "TABLE_FUNCTION" else None
            waiting += [value for value in one.values() if value is not call]
            waiting += call["arguments"] if call else []
        elif isinstance(one, list):
            waiting += one
