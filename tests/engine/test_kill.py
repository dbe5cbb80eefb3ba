"""SIGKILL at random moments, to the app or to its workers: the store always opens, and what a reader was shown is there."""

import os
import random
import signal
import subprocess
import sys
import time

from core.store import Store

APP = """
import sys, time
from core.engine import Engine
with Engine(sys.argv[1], workers=1) as engine:
    spec = engine.make_spec("faults", "smoke", {"steps": 100000, "pause": 0.002})
    engine.submit(spec)
    while True:
        print("pids", *(worker.process.pid for worker in engine._pool), flush=True)
        row, curves = engine.store.run(spec.run), engine.store.curves(spec.run, "walk", points=10**6)
        print("shown", spec.run, row["status"], len(curves), flush=True)
        time.sleep(0.02)
"""
SESSIONS = 7  # in each a worker is killed, then the one in its place, then the app: 21 kills


def test_what_a_reader_was_shown_survives_a_kill(tmp_path):
    rng = random.Random(0)
    path = tmp_path / "store.duckdb"
    log = tmp_path / "log"
    shown_with_rows = 0
    for _ in range(SESSIONS):
        with log.open("w") as out:
            app = subprocess.Popen([sys.executable, "-c", APP, str(path)], stdout=out)
        killed = set()
        for _ in range(2):
            wait_for_another(log, killed, app)
            time.sleep(rng.uniform(0, 1.5))
            (worker,) = pids(log)
            os.kill(worker, signal.SIGKILL)  # the app must outlive it
            killed.add(worker)
        time.sleep(rng.uniform(0.1, 1.5))
        assert app.poll() is None
        app.send_signal(signal.SIGKILL)
        app.wait()
        shown = words(log, "shown")
        store = Store.open(path)
        if shown:
            run, _, rows = shown[-1]
            kept = store.run(run)
            assert kept is not None
            assert kept["status"] in ("interrupted", "failed")
            assert len(store.curves(run, "walk", points=10**6)) >= int(rows)
            shown_with_rows += int(rows) > 0
        store.close()
        wait_until_gone(killed | set(pids(log)))
    assert shown_with_rows >= SESSIONS // 2


def words(log, first):
    """The other words of the complete lines that begin with `first`."""
    lines = log.read_text().split("\n")[:-1]
    return [line.split()[1:] for line in lines if line.startswith(first)]


def pids(log):
    """The workers, as the app saw them last."""
    lines = words(log, "pids")
    return [int(pid) for pid in lines[-1]] if lines else []


def wait_for_another(log, killed, app):
    """Until there is a worker that is none of those."""
    end = time.monotonic() + 300
    while not set(pids(log)) - killed:
        assert app.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)


def wait_until_gone(pids):
    """Workers end by themselves when the app is gone, also in the middle of a computation."""
    end = time.monotonic() + 30
    while any(alive(pid) for pid in pids):
        assert time.monotonic() < end, "a worker outlived its app"
        time.sleep(0.05)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
