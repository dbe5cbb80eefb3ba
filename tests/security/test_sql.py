"""The SQL of strangers: what it must not read, and what it must not use up."""

from __future__ import annotations

import time

import pytest

from core.store import Store
from core.store.query import ANSWER_BYTES, QueryError

DOUBLED = "SELECT repeated AS text FROM (SELECT 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' AS repeated)"
for _ in range(26):  # 3 GB
    DOUBLED = f"SELECT text || text AS text FROM ({DOUBLED})"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store.open(tmp_path_factory.mktemp("sql") / "store.duckdb")
    with store.writing() as writer:
        writer.add_run("a", "paper", "quick", {"seeds": [0]}, "cpu", [("base", (0,))])
        writer.add_result("a", "base", 0, "accuracy", 0.5)
        writer.add_upload("digest", "secret.csv", "text", 1, b"somebody's data")
    yield store
    store.close()


@pytest.fixture(autouse=True)
def the_store_stays_usable(store):
    yield
    assert store.query("SELECT count(*) AS n FROM runs").rows["n"].tolist() == [1]
    with store.writing() as writer:
        writer.add_result("a", "base", 0, "accuracy", 0.5)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM owners",
        'SELECT visitor FROM "OWNERS"',
        "SELECT visitor FROM main.owners",
        "SELECT visitor FROM store.main.stories",
        "SELECT hex(file) FROM uploads",
        "SELECT (SELECT any_value(visitor) FROM owners)",
        "SELECT 1 FROM runs WHERE exists (FROM owners)",
        "SELECT 1 UNION ALL SELECT visitor FROM owners",
        "WITH owners AS (SELECT * FROM owners) SELECT * FROM owners",
        "SELECT * FROM (WITH owners AS (SELECT 1) FROM owners), owners",
        "WITH mine AS (FROM stories), stories AS (SELECT 1) SELECT * FROM mine",
        "WITH duckdb_settings AS (SELECT 1) SELECT * FROM duckdb_databases",
        "FROM about",
        "FROM shared",
    ],
)
def test_tables_of_others_are_not_read(store, statement):
    with pytest.raises(QueryError, match=r"There is no table .* to ask; there are: runs, cells"):
        store.query(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT \"current_setting\"('home_directory')",
        "SELECT current_setting/**/('temp_directory')",
        "SELECT main.current_setting('temp_directory')",
        "SELECT system.main.current_setting('temp_directory')",
        'SELECT * FROM "duckdb_settings"()',
        "SELECT * FROM duckdb_databases",
        "SELECT * FROM pragma_database_list",
        "SELECT * FROM pg_catalog.pg_settings",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM \"query\"('SELECT 1')",
        "SELECT * FROM query_table('owners')",
        "SELECT * FROM json_execute_serialized_sql('{}')",
        "SELECT json_serialize_plan('SELECT * FROM owners')",
        "SELECT getenv('HOME')",
        "SELECT getvariable('a')",
        "SELECT * FROM duckdb_logs",
        "SELECT current_query()",
        "SELECT write_log('a lie', level := 'error')",
        "SELECT * FROM truncate_duckdb_logs()",
        "SELECT * FROM checkpoint()",
        "SELECT * FROM enable_logging(storage = 'file')",
        "SELECT setval('curve_numbers', 5)",
        "SELECT * FROM pandas_scan(1)",
        "SELECT * FROM arrow_scan(1, 2, 3)",
        "SELECT * FROM python_map_function((FROM runs))",
        "SELECT * FROM read_csv_auto('/etc/passwd')",
        "SELECT * FROM read_blob('/etc/passwd')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM parquet_metadata('/etc/passwd')",
        "SELECT * FROM read_duckdb('other.duckdb')",
        "SELECT * FROM '/etc/passwd'",
        "SHOW TABLES",
        "SELECT * FROM (SHOW DATABASES)",
        "DESCRIBE owners",
        "SUMMARIZE uploads",
        "SELECT x FROM (SELECT list_transform([1], lambda x: getenv('HOME')) AS x)",
        "SELECT * FROM runs ORDER BY getenv('HOME')",
        "SELECT count(*) FILTER (getenv('HOME') = '/root') FROM runs",
        "SELECT sum(1) OVER (ORDER BY getenv('HOME')) FROM runs",
        "SELECT * FROM range(length(getenv('HOME')))",
    ],
)
def test_the_system_says_nothing_of_itself(store, statement):
    with pytest.raises(QueryError, match=r"There is no table|function .* cannot|write a SELECT"):
        store.query(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT repeat('x', 3000000000)",
        "SELECT lpad('x', 2000000000, 'y')",
        "SELECT printf('%1000000000d', 1)",
        "SELECT format('{:1000000000}', 1)",
        "SELECT replace(spec, 'a', 'b') FROM runs",
        "SELECT regexp_replace(slug, 'a', 'b') FROM runs",
        "SELECT levenshtein(slug, slug) FROM runs",
        "SELECT list_resize([1], 2000000000)",
        "SELECT range(1000000000000)",
        "SELECT generate_series(TIMESTAMP '1000-01-01', TIMESTAMP '3000-01-01', INTERVAL 1 SECOND)",
        "SELECT list_transform([1, 2], lambda x: x + 1)",
        "SELECT sleep_ms(60000)",
        "SELECT pg_sleep(60)",
        "SELECT " + "(" * 2000 + "1" + ")" * 2000,
        "SELECT " + "[" * 2000 + "1" + "]" * 2000,
        "SELECT " + "1+" * 4000 + "1",
        "SELECT 1 FROM " + "(SELECT 1 FROM " * 600 + "runs" + ")" * 600,
    ],
)
def test_what_blows_up_is_refused_at_once(store, statement):
    started = time.monotonic()
    with pytest.raises(QueryError):
        store.query(statement)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    "statement",
    [
        "WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x FROM t) SELECT count(*) FROM t",
        "WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x FROM t, range(2)) SELECT count(*) FROM t",
        "SELECT count(*) FROM range(1000000000000)",
        "SELECT count(*) FROM range(100000) a, range(100000) b, range(100000) c WHERE a.range * b.range = c.range",
        "SELECT a.range, b.range FROM range(100000) a, range(100000) b ORDER BY a.range * b.range % 77 LIMIT 1",
    ],
)
def test_what_never_ends_is_ended(store, statement):
    started = time.monotonic()
    with pytest.raises(QueryError, match=r"Ended"):
        store.query(statement, seconds=0.3)
    assert time.monotonic() - started < 10


def test_memory_is_limited(tmp_path):
    """With a limit that a test may fill: a doubled string, and a list of all that a join gives."""
    store = Store.open(tmp_path / "small.duckdb", memory="300MB")
    for statement in (DOUBLED, "SELECT list(a.range) FROM range(100000) a, range(100000) b"):
        with pytest.raises(QueryError, match="needs more memory"):
            store.query(statement)
    assert store.query("SELECT 1 AS one").rows["one"].tolist() == [1]
    store.close()


def test_the_bytes_of_an_answer_are_limited_and_not_only_its_rows(store):
    text = "x" * 5000
    with pytest.raises(QueryError, match="The answer has more than 20 MB"):
        store.query(f"SELECT '{text}' || '{text[:4000]}' || range AS text FROM range(10000)", rows=10_000)
    assert store.query(f"SELECT '{text}' || range AS text FROM range(1000)").rows["text"].str.len().sum() < ANSWER_BYTES


def test_a_name_of_ones_own_may_be_anything_that_is_not_in_the_store(store):
    found = store.query(
        "WITH RECURSIVE mine AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM mine WHERE n < 3) SELECT sum(n) AS s FROM mine"
    )
    assert found.rows["s"].tolist() == [6]
    assert store.query("WITH runs AS (SELECT 'mine' AS run) SELECT run FROM runs").rows["run"].tolist() == ["mine"]


def test_the_page_shows_only_what_may_be_asked(store):
    assert set(store.schema()["table"]) == {"runs", "cells", "curves", "scalars", "arrays", "tables", "results", "verdicts"}
