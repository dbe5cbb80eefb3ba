"""The download as a run of the engine: it completes, is cancelled in the middle, goes on, and says what is wrong."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from core.hub.download import PAUSES
from tests.hub_server import Fault, HubServer, engine_on, sha256

WEIGHTS = save({"layer.weight": np.random.default_rng(0).normal(size=(1000, 500)).astype(np.float32)})  # 2 MB
CONFIG = json.dumps({"architectures": ["BertModel"]}).encode()
FILES = {"config.json": CONFIG, "tokenizer.json": b"{}", "model.safetensors": WEIGHTS}


@pytest.fixture(scope="module")
def server():
    with HubServer() as server:
        server.add("tiny/encoder", FILES, kind="models", pipeline_tag="feature-extraction")
        server.add("tiny/cut", FILES, kind="models", pipeline_tag="feature-extraction")
        server.add("tiny/slow", FILES, kind="models", pipeline_tag="feature-extraction")
        server.add("tiny/pickled", {"config.json": CONFIG, "pytorch_model.bin": b"x"}, kind="models")
        yield server


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("hub")


@pytest.fixture(scope="module")
def engine(server, home, tmp_path_factory):
    with engine_on(server, home, tmp_path_factory.mktemp("engine") / "store.duckdb") as engine:
        yield engine


def submit(engine, model):
    return engine.submit(engine.make_spec("download", "quick", {"model": model}))


def cached(home, model) -> Path:
    return home / "hub" / f"models--{model.replace('/', '--')}"


def wait_for_bytes(partial: Path, size: int, engine, run: str) -> None:
    deadline = time.monotonic() + 60
    while not (partial.exists() and partial.stat().st_size > size and engine.progress(run).fraction > 0.1):
        assert time.monotonic() < deadline, engine.progress(run)
        time.sleep(0.02)


def test_a_download_completes_and_says_what_came(engine, home):
    run = submit(engine, "tiny/encoder")
    assert engine.wait(run, timeout=120)
    assert engine.store.run(run)["status"] == "completed", engine.progress(run)
    metrics = engine.store.results(run).iloc[0]
    assert metrics["bytes"] == sum(map(len, FILES.values()))
    assert metrics["bytes_here_before"] == 0
    files = engine.store.table(run, "files").set_index("name")["bytes"]
    assert dict(files) == {name: len(body) for name, body in FILES.items()}
    (snapshot,) = (cached(home, "tiny/encoder") / "snapshots").iterdir()
    assert (snapshot / "model.safetensors").read_bytes() == WEIGHTS


def test_a_cancelled_download_goes_on_where_it_was(engine, server, home):
    server.faults["model.safetensors"] = [Fault(pause=0.15)]
    run = submit(engine, "tiny/slow")
    partial = cached(home, "tiny/slow") / "blobs" / f"{sha256(WEIGHTS)}.incomplete"
    wait_for_bytes(partial, 400_000, engine, run)
    assert engine.progress(run).cells[0].eta_seconds > 0
    engine.cancel(run)
    assert engine.store.run(run)["status"] == "cancelled"
    there = partial.stat().st_size
    assert there < len(WEIGHTS)

    assert submit(engine, "tiny/slow") == run, "the same again is the same run"
    assert engine.wait(run, timeout=120)
    assert engine.store.run(run)["status"] == "completed", engine.progress(run)
    assert ("model.safetensors", f"bytes={there}-") in server.ranges
    assert engine.store.results(run).iloc[0]["bytes_here_before"] == there + len(CONFIG) + len(b"{}")
    (snapshot,) = (cached(home, "tiny/slow") / "snapshots").iterdir()
    assert (snapshot / "model.safetensors").read_bytes() == WEIGHTS


def test_a_download_onto_a_full_disk_says_so_and_goes_on_when_there_is_space(server, small_disk, tmp_path):
    home = small_disk.folder / "hub"
    with engine_on(server, home, tmp_path / "store.duckdb") as engine:
        server.faults["model.safetensors"] = [Fault(pause=0.15)]
        run = submit(engine, "tiny/encoder")
        partial = cached(home, "tiny/encoder") / "blobs" / f"{sha256(WEIGHTS)}.incomplete"
        wait_for_bytes(partial, 300_000, engine, run)
        small_disk.fill()
        assert engine.wait(run, timeout=120)
        said = engine.progress(run).cells[0].message.partition("\n")[0]
        assert re.fullmatch(
            r"HubError: The disk with the cache \S+ is full\. Free some space, or set HF_HOME to another disk, "
            r"and try again: it goes on from what is already here\.",
            said,
        )
        there = partial.stat().st_size
        small_disk.free()
        assert submit(engine, "tiny/encoder") == run
        assert engine.wait(run, timeout=120)
        assert engine.store.run(run)["status"] == "completed", engine.progress(run)
        assert ("model.safetensors", f"bytes={there}-") in server.ranges
        (snapshot,) = (cached(home, "tiny/encoder") / "snapshots").iterdir()
        assert (snapshot / "model.safetensors").read_bytes() == WEIGHTS


def test_a_hub_that_goes_away_in_the_middle_is_said_and_the_download_goes_on_when_it_is_back(engine, server, home):
    cut = len(WEIGHTS) // 5
    gone = [Fault(status=503)] * len(PAUSES)  # as often as it is tried again
    server.faults["model.safetensors"] = [Fault(cut_after=cut), *gone]
    run = submit(engine, "tiny/cut")
    assert engine.wait(run, timeout=120)
    said = engine.progress(run).cells[0].message.partition("\n")[0]
    assert said.startswith(f"HubError: {server.url} has a problem of its own (error 503): try again: it goes on from what")
    partial = cached(home, "tiny/cut") / "blobs" / f"{sha256(WEIGHTS)}.incomplete"
    there = partial.stat().st_size
    assert 0 < there <= cut
    submit(engine, "tiny/cut")
    assert engine.wait(run, timeout=120)
    assert engine.store.run(run)["status"] == "completed", engine.progress(run)
    assert ("model.safetensors", f"bytes={there}-") in server.ranges
    (snapshot,) = (cached(home, "tiny/cut") / "snapshots").iterdir()
    assert (snapshot / "model.safetensors").read_bytes() == WEIGHTS


def test_what_cannot_be_had_is_said(engine):
    run = submit(engine, "tiny/pickled")
    assert engine.wait(run, timeout=120)
    said = engine.progress(run).cells[0].message.partition("\n")[0]
    assert said.startswith(
        "HubError: tiny/pickled has its weights only as pytorch_model.bin, which can run code when it is opened."
    )
