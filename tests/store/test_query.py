"""What a visitor's SQL can do, and all that it cannot."""

from __future__ import annotations

import threading
import time

import pytest

from core.store import Store
from core.store.query import EXAMPLES, QueryError


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store.duckdb")
    with store.writing() as writer:
        for number in range(20):
            writer.add_run(f"run{number}", "paper", "quick", {"seeds": [0]}, "cpu", [("base", (0,))])
            writer.add_result(f"run{number}", "base", 0, "accuracy", number / 20)
    yield store
    store.close()


def test_it_answers_a_question(store):
    found = store.query("SELECT slug, count(*) AS n, max(value) AS best FROM runs JOIN results USING (run) GROUP BY slug")
    assert found.rows.to_dict("records") == [{"slug": "paper", "n": 20, "best": 0.95}]
    assert not found.cut


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_is_answered(store, example):
    assert len(store.query(EXAMPLES[example]).rows.columns) >= 3


def test_an_answer_may_be_empty_or_cut(store):
    assert list(store.query("SELECT run, slug FROM runs WHERE slug = 'none'").rows) == ["run", "slug"]
    found = store.query("FROM runs", rows=7)
    assert len(found.rows) == 7 and found.cut
    assert not store.query("FROM runs LIMIT 7", rows=7).cut


def test_bytes_come_by_their_number(store):
    assert store.query("SELECT 'abc'::BLOB AS data, 1 AS one").rows.to_dict("records") == [{"data": "3 bytes", "one": 1}]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM runs",
        "DROP TABLE runs",
        "INSERT INTO runs SELECT * FROM runs",
        "UPDATE runs SET slug = 'x'",
        "CREATE TABLE mine AS SELECT 1",
        "CREATE TEMP TABLE mine AS SELECT 1",
        "WITH gone AS (DELETE FROM runs RETURNING *) SELECT * FROM gone",
        "EXPLAIN ANALYZE DELETE FROM runs",
        "SELECT nextval('curve_numbers')",
        "SELECT 1; DROP TABLE runs",
        "BEGIN; SELECT 1",
        "COMMIT",
        "ATTACH 'other.duckdb'",
        "COPY runs TO 'runs.csv'",
        "EXPORT DATABASE 'out'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/*')",
        "SELECT * FROM read_parquet('https://example.org/x.parquet')",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 1",
        "SET lock_configuration = false",
        "RESET ALL",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "SELECT * FROM duckdb_databases()",
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_secrets()",
        "SELECT current_setting('home_directory')",
        "SELECT getenv('HOME')",
        "SELECT * FROM query('SELECT 1')",
        "SELECT * FROM store",  # a variable of Python's
        "PREPARE mine AS SELECT 1",
        "VACUUM",
        "CHECKPOINT",
        "",
        "SELEC 1",
        "SELECT 1 /* " + "x" * 20_000 + " */",
    ],
)
def test_it_refuses_what_is_no_question(store, statement, tmp_path):
    before = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(QueryError) as refused:
        store.query(statement)
    assert len(str(refused.value)) > 10
    assert len(store.runs()) == 20
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert store.query("SELECT 1 AS one").rows["one"].tolist() == [1], "the next question is answered"


def test_it_ends_what_takes_too_long(store):
    started = time.monotonic()
    with pytest.raises(QueryError, match=r"Ended after 0\.3 seconds"):
        store.query("SELECT count(*) FROM range(100000000) AS a, range(100000) AS b", seconds=0.3)
    assert time.monotonic() - started < 5


def test_a_long_question_does_not_hold_up_the_writer(store):
    def ask():
        with pytest.raises(QueryError):
            store.query("SELECT count(*) FROM range(100000000) a, range(100000) b", seconds=2)

    asked = threading.Thread(target=ask)
    asked.start()
    time.sleep(0.3)
    started = time.monotonic()
    with store.writing() as writer:
        writer.add_result("run0", "base", 0, "late", 1.0)
    waited = time.monotonic() - started
    asked.join()
    assert waited < 1.5


@pytest.mark.parametrize("table", ["runs", "main.runs", '"runs"', "(FROM runs)"])
def test_a_visitor_of_a_shared_app_asks_only_what_it_sees(store, table):
    with store.writing() as writer:
        for run in ("mine", "others", "shown"):
            writer.add_run(run, "x", "quick", {"params": {}}, "cpu", [("a", (0,))])
            writer.add_result(run, "a", 0, "accuracy", 1.0)
        writer.add_owner("mine", "me")
        writer.add_owner("others", "somebody")
        writer.set_shared("shown", True)
    seen = store.query(f"SELECT DISTINCT run FROM {table} WHERE slug = 'x' ORDER BY run", visitor="me").rows["run"]
    assert list(seen) == ["mine", "shown"]
    assert list(store.query("SELECT run FROM results WHERE metric = 'accuracy' ORDER BY 1", visitor="me").rows["run"]) == [
        "mine",
        "shown",
    ]


@pytest.mark.parametrize("table", ["owners", "shared", "stories", "uploads", "seen", "store.main.runs", "temp.seen"])
def test_whose_runs_are_whose_is_nobodys_to_ask(store, table):
    with pytest.raises(QueryError):
        store.query(f"FROM {table}", visitor="me")
