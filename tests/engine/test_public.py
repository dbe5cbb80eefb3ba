"""What visitors of a shared app may do: a fair queue, limits, one's own runs, and what is cleared."""

import dataclasses
import time
from pathlib import Path

import pytest

from core import limits
from core.engine import Engine, LimitError
from core.limits import PUBLIC, UNLIMITED, Limits
from core.methods.base import ParameterError
from core.store import Store, reference

SHIPPED = Path(__file__).parents[2] / "core" / "reference"
SLOW = {"steps": 100_000, "pause": 0.01}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """An engine of two workers that visitors share."""
    with Engine(tmp_path_factory.mktemp("shared") / "store.duckdb", workers=2, limits=PUBLIC) as engine:
        engine.wait_warm()
        with engine.store.writing() as writer:
            writer.load_reference(SHIPPED)
        yield engine


@pytest.fixture
def ask(shared):
    """A function that submits for a visitor; what it submitted is ended and removed afterwards."""
    asked = []

    def submit(visitor, seed, params=SLOW, again=False):
        spec = shared.make_spec("faults", "smoke", params, arms=["base"], seeds=[seed])
        asked.append(shared.submit(spec, again, visitor))
        return asked[-1]

    yield submit
    for run in asked:
        shared.delete(run)


def running(engine):
    return {run for run, progress, _ in engine.queue() if progress.status == "running"}


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def test_the_queue_is_fair(shared, ask):
    greedy = [ask("greedy", seed) for seed in (1, 2, 3)]
    wait_for(lambda: running(shared) == set(greedy[:2]))
    late = ask("late", 4)
    shared.cancel(greedy[0])
    wait_for(lambda: len(running(shared)) == 2)
    assert running(shared) == {greedy[1], late}, "who has nothing running comes before who waited longer"


def test_a_visitor_has_no_more_cells_than_allowed(shared, ask, monkeypatch):
    monkeypatch.setattr(shared, "limits", dataclasses.replace(PUBLIC, visitor_cells=1))
    runs = [ask("greedy", seed, {"steps": 60, "pause": 0.01}) for seed in (1, 2)]
    most = 0
    while not shared.wait(runs[1], 0.02):
        most = max(most, len(running(shared)))
    assert most == 1


def test_a_visitor_has_no_more_runs_than_allowed(shared, ask):
    for seed in (1, 2, 3):
        ask("greedy", seed)
    with pytest.raises(LimitError, match="3 runs of yours are under way, which is the most here"):
        ask("greedy", 4)
    assert ask("other", 4)
    assert ask("greedy", 1), "what is under way already can be asked for"


def test_only_who_asked_can_end_or_delete_a_run(shared, ask):
    run = ask("mine", 1)
    for act in (shared.cancel, shared.delete):
        with pytest.raises(LimitError, match="Only who asked"):
            act(run, "other")
    ask("second", 1)
    shared.cancel(run, "mine")
    assert shared.progress(run).status != "cancelled", "a second visitor waits for it"
    assert shared.store.owners(run) == {"second"}
    shared.cancel(run, "second")
    assert shared.progress(run).status == "cancelled"


def test_what_a_visitor_sees(shared, ask):
    run = ask("mine", 1, {"steps": 5})
    assert shared.wait(run, 60)
    seen = {visitor: set(shared.store.runs(visitor=visitor)["run"]) for visitor in ("mine", "other", "")}
    references = set(shared.store.runs().query("origin == 'reference'")["run"])
    assert references
    assert seen["mine"] == references | {run}
    assert seen["other"] == references
    assert run in seen[""]
    assert run in set(shared.store.runs(visitor="other", linked=[run])["run"])
    assert shared.store.latest("faults", visitor="other") is None
    with shared.store.writing() as writer:
        writer.set_shared(run, True)
    assert shared.store.latest("faults", visitor="other") == run
    with shared.store.writing() as writer:
        writer.set_shared(run, False)
    assert shared.store.latest("faults", visitor="other") is None


def test_nobodys_result_is_run_again_by_another(shared, ask):
    run = ask("mine", 1, {"steps": 5})
    assert shared.wait(run, 60)
    first = shared.store.run(run)["finished"]
    assert ask("other", 1, {"steps": 5}, again=True) == run
    assert shared.store.run(run)["finished"] == first
    assert shared.store.owners(run) == {"mine", "other"}


def test_a_long_preset_and_a_large_snapshot_are_refused_with_the_limit(shared, monkeypatch):
    monkeypatch.setattr(shared, "limits", dataclasses.replace(PUBLIC, run_seconds=300))
    with pytest.raises(ParameterError, match="large-step-perceptron takes about 435 seconds; a run may take 300 here"):
        shared.make_spec("large-step-perceptron", "standard")
    with pytest.raises(ParameterError, match="items is 5,001; a snapshot may have 5,000 here"):
        shared.make_spec("snapshot", "quick", {"model": "starter/digits-vit", "data": "digits-8", "items": 5001})


def test_a_run_over_its_time_is_ended(shared, ask, monkeypatch):
    monkeypatch.setattr(shared, "limits", dataclasses.replace(PUBLIC, run_seconds=1))
    run = ask("mine", 1)
    assert shared.wait(run, 60)
    assert shared.progress(run).message == "Ended after 1 seconds, the limit for one run."


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store with the reference results that ship, and a run, an upload and a story of a visitor's."""
    monkeypatch.setattr(reference, "REFERENCE", SHIPPED)
    store = Store.open(tmp_path / "store.duckdb")
    with store.writing() as writer:
        writer.load_reference(SHIPPED)
        writer.add_run("mine", "faults", "smoke", {"params": {}}, "cpu", [("base", (0,))])
        writer.add_upload("digest", "file", "text", 1, b"file")
        writer.set_story("story", "A story", "me", [])
        writer.add_owner("mine", "me")
        writer.add_owner("digest", "me")
    yield store
    store.close()


def test_what_is_old_goes_and_reference_results_stay_or_come_back(store):
    before = set(store.runs()["run"])
    replaced = min(before - {"mine"})
    with store.writing() as writer:  # as a run of one's own takes the place of a reference result
        writer.add_run(replaced, "faults", "smoke", {"params": {}}, "cpu", [("base", (0,))])
    assert store.clean(days=1, size=UNLIMITED) == []
    assert sorted(store.clean(days=-1, size=UNLIMITED)) == sorted(["mine", "digest", "story", replaced])
    rows = store.runs().set_index("run")
    assert set(rows.index) == before - {"mine"}
    assert rows.loc[replaced, "origin"] == "reference"
    assert store.uploads().empty and store.story("story") is None
    assert not store.owners("mine") and not store.owners("digest")


def test_too_much_goes_little_by_little_and_what_runs_stays(store):
    with store.writing() as writer:
        for number in range(39):
            writer.add_run(f"run{number:02}", "faults", "smoke", {"params": {}}, "cpu", [("base", (0,))])
    assert store.clean(days=UNLIMITED, size=1, busy=["mine"]) == ["digest", "story", "run00"]
    assert "mine" in set(store.runs()["run"])


def test_an_app_with_one_user_has_no_limits(monkeypatch):
    assert limits.from_environment() == Limits()
    monkeypatch.setenv("PROVING_GROUND_RUN_SECONDS", "60")
    assert limits.from_environment() == Limits(run_seconds=60)


def test_a_space_is_public_unless_it_says_otherwise(monkeypatch):
    monkeypatch.setenv("SPACE_ID", "somebody/proving-ground")
    assert limits.from_environment() == PUBLIC
    monkeypatch.setenv("PROVING_GROUND_KEEP_DAYS", "7")
    assert limits.from_environment() == dataclasses.replace(PUBLIC, keep_days=7)
    monkeypatch.setenv("PROVING_GROUND_PUBLIC", "0")
    assert limits.from_environment().public is False


@pytest.mark.parametrize("text", ["many", "0", "-1", "nan"])
def test_a_limit_that_is_no_number_is_named(monkeypatch, text):
    monkeypatch.setenv("PROVING_GROUND_VISITOR_RUNS", text)
    with pytest.raises(ValueError, match="PROVING_GROUND_VISITOR_RUNS is "):
        limits.from_environment()


def test_every_limit_of_public_mode_is_finite():
    assert all(value < UNLIMITED for value in dataclasses.asdict(PUBLIC).values())
