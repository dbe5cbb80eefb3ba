"""The command line as a person and as a script use it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from core.__main__ import main
from core.methods import registry

PAPERS = Path(__file__).parent / "engine" / "papers"


def core(*words, store=None):
    where = ["--store", str(store)] if store else []
    return subprocess.run(
        [sys.executable, "-m", "core", *words, *where],
        capture_output=True,
        text=True,
        env=os.environ | {"PROVING_GROUND_PAPERS": str(PAPERS)},
        cwd=Path(__file__).parents[1],
    )


@pytest.fixture
def called(monkeypatch, capsys, tmp_path):
    """The same without a process of its own: `called("list")`."""
    monkeypatch.setenv("PROVING_GROUND_PAPERS", str(PAPERS))
    monkeypatch.setenv("PROVING_GROUND_STORE", str(tmp_path / "store.duckdb"))
    caches = (registry.paths, registry.catalogue, registry.load)

    def call(*words):
        try:
            code = main(words)
        except SystemExit as end:
            code = end.code
        return subprocess.CompletedProcess(words, code, *capsys.readouterr())

    for cache in caches:
        cache.cache_clear()
    yield call
    for cache in caches:
        cache.cache_clear()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store") / "store.duckdb"


@pytest.fixture(scope="module")
def finished(store):
    """A run of the tests' paper as JSON."""
    done = core("run", "faults", "--preset", "smoke", "--json", "--set", "steps=5", store=store)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_list_names_every_paper_with_its_parts():
    papers = {paper["slug"]: paper for paper in json.loads(core("list", "--json").stdout)}
    assert {"lottery-ticket", "large-step-perceptron"} <= papers.keys()
    ticket = papers["lottery-ticket"]
    assert (ticket["family"], ticket["arxiv"]) == ("compression", "1803.03635")
    assert {"smoke", "quick", "standard", "paper"} <= set(ticket["presets"])
    assert {"ticket", "reinit"} <= set(ticket["arms"])
    assert [claim["id"] for claim in ticket["claims"]] == ["c1", "c2", "c3", "c4"]
    assert "lottery-ticket" in core("list").stdout


def test_show_explains_a_paper(called):
    shown = called("show", "faults")
    assert shown.returncode == 0
    assert "steps = 20" in shown.stdout
    assert "Allowed: a whole number from 1 to 1e+06" in shown.stdout
    details = json.loads(called("show", "faults", "--json").stdout)
    assert details["params"][0]["name"] == "steps"


def test_run_prints_one_object_with_results_and_verdicts(finished):
    assert (finished["slug"], finished["preset"], finished["device"], finished["status"]) == ("faults", "smoke", "cpu", "completed")
    assert finished["seconds"] > 0
    assert {(row["arm"], row["seed"]) for row in finished["results"]} == {
        (a, s) for a in ("base", "first", "second") for s in (0, 1)
    }
    assert isinstance(finished["results"][0]["metrics"]["end"], float)
    verdict = finished["verdicts"][0]
    assert {"claim", "text", "verdict", "effect", "low", "high", "n"} <= verdict.keys()
    assert (verdict["claim"], verdict["n"]) == ("c1", 2)


def test_the_same_run_is_shown_from_the_store_in_words(finished, store):
    again = core("run", "faults", "--preset", "smoke", "--set", "steps=5", store=store)
    assert again.returncode == 0
    assert f"run {finished['run']}: completed in {finished['seconds']:.1f} s" in again.stdout
    assert "at this scale" in again.stdout
    assert "95% interval" in again.stdout


def test_runs_lists_and_export_writes(finished, store, tmp_path):
    rows = json.loads(core("runs", "--json", store=store).stdout)
    assert (rows[0]["run"], rows[0]["status"]) == (finished["run"], "completed")
    assert finished["run"] in core("runs", "--paper", "faults", store=store).stdout
    done = core("export", finished["run"], "--out", str(tmp_path / "out"), store=store)
    assert done.returncode == 0
    assert len(pd.read_parquet(tmp_path / "out" / "scalars.parquet")) == 5 * 6
    assert json.loads((tmp_path / "out" / "results.json").read_text())["run"] == finished["run"]


def test_a_run_is_imported_elsewhere_from_a_folder_or_a_zip(finished, store, tmp_path):
    core("export", finished["run"], "--out", str(tmp_path / "out"), store=store)
    done = core("import", str(tmp_path / "out"), store=tmp_path / "other.duckdb")
    assert done.returncode == 0, done.stderr
    assert f"faults, preset smoke, is here as run {finished['run']}." in done.stdout
    shown = core("run", "faults", "--preset", "smoke", "--set", "steps=5", "--json", store=tmp_path / "other.duckdb")
    assert json.loads(shown.stdout)["results"] == finished["results"]
    archive = shutil.make_archive(str(tmp_path / "run"), "zip", tmp_path / "out")
    again = core("import", archive, store=tmp_path / "other.duckdb")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    assert "is here already. --replace puts this one in its place" in again.stderr
    again = core("import", archive, "--replace", "--json", store=tmp_path / "other.duckdb")
    assert json.loads(again.stdout)["run"] == finished["run"]
    nothing = core("import", str(tmp_path / "nothing.zip"), store=tmp_path / "other.duckdb")
    assert (nothing.returncode, nothing.stderr.count("\n")) == (2, 1)


def test_a_failed_cell_gives_exit_code_1_and_says_why(store):
    failed = core("run", "faults", "--preset", "smoke", "--arms", "base,raises", "--seeds", "1", "--json", store=store)
    assert failed.returncode == 1
    assert json.loads(failed.stdout)["status"] == "failed"
    assert "FloatingPointError: the loss is NaN at step 10" in failed.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", "lottery-tickets"], "There is no paper 'lottery-tickets'; did you mean lottery-ticket"),
        (["run", "faults", "--preset", "huge"], "no preset 'huge'; there are: smoke, quick, standard, paper"),
        (["run", "faults", "--set", "steps=0"], "steps is '0'; allowed: a whole number from 1 to"),
        (["run", "faults", "--set", "steps"], "'steps' is not of the form name=value"),
        (["run", "faults", "--seeds", "none"], "'none' is no number of seeds"),
        (["run", "faults", "--workers", "0"], "'0' is no whole number of at least 1"),
        (["run", "faults", "--arms", "third"], "no arm 'third'; there are: base, first"),
        (["show", "nothing"], "There is no paper 'nothing'"),
        (["dance"], "invalid choice: 'dance'"),
        ([], "required: command"),
    ],
)
def test_wrong_arguments_give_exit_code_2_and_one_line(called, words, said):
    done = called(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_device_that_is_not_there_is_named(store):
    done = core("run", "faults", "--device", "tpu", store=store)
    assert done.returncode == 2
    assert "device is 'tpu'; this machine has: " in done.stderr


def test_an_unknown_run_and_a_damaged_store_have_one_line_each(store, tmp_path):
    done = core("export", "nothing", "--out", str(tmp_path), store=store)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "There is no run 'nothing'" in done.stderr
    (tmp_path / "bad.duckdb").write_text("no database")
    done = core("runs", store=tmp_path / "bad.duckdb")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "is damaged or no DuckDB file" in done.stderr


@pytest.mark.parametrize("words", [[], ["list"], ["show"], ["run"], ["runs"], ["export"], ["import"]])
def test_every_command_has_help(called, words):
    done = called(*words, "--help")
    assert done.returncode == 0
    assert "usage: python -m core" in done.stdout
