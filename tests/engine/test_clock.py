"""The machine's clock jumps while a run is under way: times of day are odd then, and nothing else is."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from core.store import writer


@pytest.mark.parametrize("days", [1, -1, -20_000])
def test_a_run_goes_on_when_the_clock_jumps(engine, monkeypatch, days):
    real = time.time
    spec = engine.make_spec("faults", "smoke", {"steps": 150, "pause": 0.01}, arms=["base"], seeds=2)
    began = time.monotonic()
    engine.submit(spec, again=True)
    end = time.monotonic() + 120
    while not 0.1 < engine.progress(spec.run).fraction < 1:
        assert time.monotonic() < end, engine.progress(spec.run)
        time.sleep(0.02)
    monkeypatch.setattr(time, "time", lambda: real() + 86400 * days)
    monkeypatch.setattr(writer, "_now", lambda: datetime.now(UTC).replace(tzinfo=None) + timedelta(days=days))
    progress = engine.progress(spec.run)
    if progress.status == "running":
        assert progress.eta_seconds < 120
    assert engine.wait(spec.run, timeout=120)
    row = engine.store.run(spec.run)
    assert (row["status"], row["message"]) == ("completed", "")
    assert 0 < row["seconds"] <= time.monotonic() - began
    assert (row["finished"] < row["created"]) == (days < 0)
    assert engine.store.curves(spec.run, "walk", x="seconds")["seconds"].between(0, time.monotonic() - began).all()
    assert spec.run in set(engine.store.runs()["run"])
    assert engine.store.latest("faults") is not None
    assert engine.store.seconds_of("faults", "smoke", spec.device) > 0
