"""Runs end as they should, whatever their cells do."""

import os
import signal
import sys
import time

import pytest

from core.engine import Engine
from core.methods.base import ParameterError
from core.methods.registry import UnknownMethod


def run(engine, **changes):
    spec = engine.make_spec("faults", **{"preset": "smoke", **changes})
    engine.submit(spec)
    assert engine.wait(spec.run, timeout=300), engine.progress(spec.run)
    return spec


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def test_a_run_is_kept_with_curves_results_and_verdicts(engine):
    spec = run(engine)
    row = engine.store.run(spec.run)
    assert row["status"] == "completed"
    assert row["message"] == ""
    assert row["machine"]["cores"] >= 1
    assert len(engine.store.curves(spec.run, "walk")) == 20 * 6
    results = engine.store.results(spec.run).set_index(["arm", "seed"])
    assert len(results) == 6
    verdicts = engine.store.verdicts(spec.run).set_index("claim")
    differences = [results.loc[("first", s), "end"] - results.loc[("base", s), "end"] for s in (0, 1)]
    assert verdicts.loc["c1", "effect"] == pytest.approx(sum(differences) / 2)
    assert verdicts.loc["c1", "n"] == 2
    assert verdicts.loc["c2", "verdict"] == "holds"
    progress = engine.progress(spec.run)
    assert (progress.status, progress.fraction) == ("completed", 1.0)
    assert [cell.status for cell in progress.cells] == ["completed"] * 6


def test_an_arm_reads_what_the_arm_before_it_recorded_with_the_same_seed(engine):
    results = engine.store.results(run(engine, arms=["second"]).run).set_index(["arm", "seed"])
    assert set(results.index.get_level_values("arm")) == {"first", "second"}
    assert results.loc[("second", 0), "kept"] == 4  # of 8, every second
    assert results.loc[("second", 1), "kept"] == 3  # of 8, every third


def test_seeds_are_paired_across_arms(engine):
    results = engine.store.results(run(engine).run).set_index(["arm", "seed"])["end"]
    assert results[("base", 0)] == results[("first", 0)] == results[("second", 0)]
    assert results[("base", 0)] != results[("base", 1)]


def test_the_same_spec_gives_the_kept_result_and_again_runs_it(engine):
    spec = run(engine, params={"steps": 21})
    finished = engine.store.run(spec.run)["finished"]
    assert engine.submit(spec) == spec.run
    assert engine.store.run(spec.run)["finished"] == finished
    engine.submit(spec, again=True)
    assert engine.wait(spec.run, timeout=300)
    assert engine.store.run(spec.run)["finished"] > finished
    assert len(engine.store.runs().query("run == @spec.run")) == 1


def test_numbers_do_not_depend_on_the_number_of_workers(engine, tmp_path):
    spec = run(engine, params={"steps": 50, "width": 300})
    with Engine(tmp_path / "other.duckdb", workers=1) as other:
        again = run(other, params={"steps": 50, "width": 300})
        assert again.run == spec.run
        ours, theirs = engine.store.curves(spec.run, "walk"), other.store.curves(spec.run, "walk")
        assert ours["value"].to_numpy().tobytes() == theirs["value"].to_numpy().tobytes()
        assert engine.store.results(spec.run).equals(other.store.results(spec.run))


def test_a_cell_that_raises_keeps_its_traceback_and_the_rest_goes_on(engine):
    spec = run(engine, arms=["base", "orphan"])
    progress = engine.progress(spec.run)
    by_arm = {(cell.arm, cell.seeds): cell for cell in progress.cells}
    assert by_arm[("base", (0,))].status == "completed"
    failed = by_arm[("raises", (1,))]
    assert failed.status == "failed"
    assert failed.message.startswith("FloatingPointError: the loss is NaN at step 10\nTraceback")
    assert by_arm[("orphan", (0,))].message == "raises, which orphan builds on, did not complete."
    row = engine.store.run(spec.run)
    assert (row["status"], row["message"]) == ("failed", "4 of 6 cells failed.")
    curves = engine.store.curves(spec.run, "walk")
    assert len(curves[curves["arm"] == "raises"]) == 2 * 11  # what was recorded before is kept


def test_a_worker_that_is_killed_fails_its_cell_alone(engine):
    spec = run(engine, arms=["base", "dies"], params={"pause": 0.05})
    statuses = {(cell.arm, *cell.seeds): cell.status for cell in engine.progress(spec.run).cells}
    assert statuses == {("base", 0): "completed", ("base", 1): "completed", ("dies", 0): "failed", ("dies", 1): "failed"}
    assert "ended unexpectedly" in engine.store.cells(spec.run).query("arm == 'dies'")["message"].iloc[0]
    assert engine.store.run(run(engine, params={"steps": 22}).run)["status"] == "completed"


def test_not_finite_values_do_not_stop_a_run(engine):
    spec = run(engine, arms=["nan"])
    values = engine.store.curves(spec.run, "walk").query("seed == 0")["value"].to_numpy()
    assert engine.store.run(spec.run)["status"] == "completed"
    assert values[-2] != values[-2]
    assert values[-1] == float("inf")


def test_a_claim_that_cannot_be_computed_says_so(engine):
    spec = run(engine, arms=["base", "strange"])
    row, verdicts = engine.store.run(spec.run), engine.store.verdicts(spec.run).set_index("claim")
    assert row["status"] == "failed"
    assert "ZeroDivisionError" in row["message"]
    assert verdicts.loc["c2", "verdict"] == "undecided"
    assert verdicts.loc["c2", "detail"].startswith("Could not be computed: ZeroDivisionError")


def test_cancelling_is_quick_and_keeps_what_was_recorded(engine):
    spec = engine.make_spec("faults", "smoke", {"steps": 100_000, "pause": 0.01})
    engine.submit(spec)
    wait_for(lambda: len(engine.store.curves(spec.run, "walk")) > 10)
    started = time.monotonic()
    engine.cancel(spec.run)
    assert time.monotonic() - started < 2
    assert engine.wait(spec.run, timeout=2)
    assert engine.store.run(spec.run)["status"] == "cancelled"
    assert set(engine.store.cells(spec.run)["status"]) == {"cancelled"}
    assert len(engine.store.curves(spec.run, "walk")) > 10
    assert engine.store.run(run(engine, params={"steps": 23}).run)["status"] == "completed"


def test_progress_and_time_left_are_said_while_it_runs(engine):
    spec = engine.make_spec("faults", "smoke", {"steps": 100, "pause": 0.02}, arms=["base"])
    engine.submit(spec)
    wait_for(lambda: 0.3 < engine.progress(spec.run).fraction < 1)
    progress = engine.progress(spec.run)
    assert progress.status == "running"
    assert 0 < progress.eta_seconds < 3
    engine.wait(spec.run)


def test_first_points_are_there_at_once_and_others_from_time_to_time(engine, monkeypatch):
    monkeypatch.setattr("core.engine.engine.WRITE_SECONDS", 3600)
    spec = engine.make_spec("faults", "smoke", {"steps": 100, "pause": 0.02}, arms=["base"], seeds=1)
    engine.submit(spec)
    wait_for(lambda: len(engine.store.curves(spec.run, "walk")) > 0)
    first = len(engine.store.curves(spec.run, "walk"))
    wait_for(lambda: engine.progress(spec.run).fraction > 0.5)
    assert len(engine.store.curves(spec.run, "walk")) == first < 50
    engine.wait(spec.run)
    assert len(engine.store.curves(spec.run, "walk")) == 100


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has processes that give way at once")
def test_workers_give_way_to_pages(engine):
    assert {os.sched_getscheduler(worker.process.pid) for worker in engine._pool} == {os.SCHED_IDLE}


def test_deleting_a_running_run_removes_it(engine):
    spec = engine.make_spec("faults", "smoke", {"steps": 90_000, "pause": 0.01})
    engine.submit(spec)
    wait_for(lambda: engine.progress(spec.run).status == "running")
    engine.delete(spec.run)
    assert engine.store.run(spec.run) is None
    assert engine.progress(spec.run) is None


def test_a_cell_over_its_limits_ends_with_a_message(tmp_path):
    with Engine(tmp_path / "store.duckdb", workers=2, cell_seconds=8, cell_bytes=1 * 2**30) as engine:
        hog = engine.make_spec("faults", "smoke", arms=["hog"], seeds=1)
        gulp = engine.make_spec("faults", "smoke", arms=["gulp"], seeds=1)
        hang = engine.make_spec("faults", "smoke", arms=["hangs"], seeds=1)
        ends = (
            (hog, "; the limit for one cell is 1.0 GB."),
            (gulp, "Ended as it asked for more memory; the limit for one cell is 1.0 GB."),
            (hang, "Ended after 8 seconds, the limit"),
        )
        for spec, _ in ends:
            engine.submit(spec)
        for spec, message in ends:
            assert engine.wait(spec.run, timeout=300)
            assert message in engine.store.cells(spec.run)["message"].iloc[0]
            assert engine.store.run(spec.run)["status"] == "failed"


def test_closing_interrupts_what_runs_and_leaves_no_worker(tmp_path):
    path = tmp_path / "store.duckdb"
    engine = Engine(path, workers=2).start()
    spec = engine.make_spec("faults", "smoke", {"steps": 90_000, "pause": 0.01})
    engine.submit(spec)
    wait_for(lambda: engine.progress(spec.run).status == "running")
    workers = [worker.process for worker in engine._pool]
    engine.close()
    assert all(process.poll() is not None for process in workers)
    with Engine(path, workers=2) as engine:
        assert engine.store.run(spec.run)["status"] == "interrupted"
        engine.submit(spec)  # can be run again
        wait_for(lambda: engine.progress(spec.run).status == "running")


def test_a_worker_killed_from_outside_is_replaced(engine):
    spec = engine.make_spec("faults", "smoke", {"steps": 200, "pause": 0.01}, arms=["base"])
    engine.submit(spec)
    wait_for(lambda: engine.progress(spec.run).status == "running")
    os.kill(next(worker for worker in engine._pool if worker.task).process.pid, signal.SIGKILL)
    assert engine.wait(spec.run, timeout=300)
    assert sorted(cell.status for cell in engine.progress(spec.run).cells) == ["completed", "failed"]
    wait_for(lambda: sum(worker.warm for worker in engine._pool) == 2, seconds=300)


def test_specs_are_checked_before_anything_runs(engine):
    with pytest.raises(UnknownMethod, match="did you mean faults"):
        engine.make_spec("fault")
    with pytest.raises(ParameterError, match="steps is 0; allowed: a whole number from 1 to"):
        engine.make_spec("faults", "smoke", {"steps": 0})
    with pytest.raises(ParameterError, match="no parameter 'colour'; there are: steps, pause, width"):
        engine.make_spec("faults", "smoke", {"colour": "red"})
    with pytest.raises(ParameterError, match="no preset 'huge'; there are: smoke"):
        engine.make_spec("faults", "huge")
    with pytest.raises(ParameterError, match="no arm 'third'"):
        engine.make_spec("faults", "smoke", arms=["third"])
    with pytest.raises(ParameterError, match=r"seeds is \[1, 1\]; allowed: different whole numbers"):
        engine.make_spec("faults", "smoke", seeds=[1, 1])
    with pytest.raises(ParameterError, match="device is 'tpu'; this machine has: "):
        engine.make_spec("faults", "smoke", device="tpu")
    if "cuda" not in engine.machine.devices:
        with pytest.raises(ParameterError, match="needs cuda; this machine has: cpu"):
            engine.make_spec("faults", "paper")


def test_a_runs_identity_is_its_content(engine):
    spec = engine.make_spec("faults", "smoke")
    assert engine.make_spec("faults", "smoke").run == spec.run
    assert engine.make_spec("faults", "quick", seeds=2).run == spec.run  # the preset's name decides no number
    assert engine.make_spec("faults", "smoke", {"steps": "20"}).run == spec.run
    changed = [{"params": {"steps": 21}}, {"seeds": 3}, {"seeds": [1, 0]}, {"arms": ["base"]}]
    assert len({spec.run, *(engine.make_spec("faults", "smoke", **change).run for change in changed)}) == 5


def test_the_command_line_of_a_spec_names_what_differs(engine):
    assert engine.make_spec("faults", "smoke").command == "python -m core run faults --preset smoke --device cpu"
    changed = engine.make_spec("faults", "smoke", {"steps": 21}, arms=["second"], seeds=[5])
    assert changed.command == "python -m core run faults --preset smoke --seeds 5, --arms first,second --set steps=21 --device cpu"


def test_more_seeds_than_the_preset_has_go_on_counting(engine):
    assert engine.make_spec("faults", "smoke", seeds=4).seeds == (0, 1, 2, 3)
    assert engine.make_spec("faults", "smoke", seeds=1).seeds == (0,)
