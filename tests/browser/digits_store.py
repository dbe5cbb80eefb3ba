"""A store with real results on digits before the server opens it: a classifier's snapshot, and runs that a script recorded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from tests.browser.serving import ROOT
from tests.browser.snapshot_store import recorded

SNAPSHOT = "0d1617500000"
ITEMS, UNLABELLED = 1397, 5


def write_snapshot(path: Path) -> None:
    """A regression that has learned 100 digits by heart, on 1,397 others: as core/lab/snapshot.py records it, in two pieces."""
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    pixels, labels = data.data[order] / 16, data.target[order]
    model = LogisticRegression(C=1e4, max_iter=5000).fit(pixels[:100], labels[:100])
    rest, targets = pixels[400:], labels[400:].copy()
    targets[:UNLABELLED] = -1
    logits = np.log(np.maximum(model.predict_proba(rest), 1e-9))
    with recorded(path, SNAPSHOT, {"model": "starter/digits", "data": "digits-8"}) as recorder:
        for start in (0, 1000):
            piece = slice(start, start + 1000)
            recorder.embedding(start, rest[piece], labels[400:][piece], name="features")
            recorder.predictions(start, logits[piece], targets[piece])
        for table in ("classes", "outputs"):
            recorder.table(table, [{"name": name} for name in ("zero", "one", "two", "three", *"456789")])


def record_training(path: Path, title: str, *options: str) -> None:
    """The example script, as a person runs it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PROVING_GROUND_STORE": str(path)}
    script = ROOT / "examples" / "record_my_training.py"
    subprocess.run(
        [sys.executable, str(script), "--title", title, *options], env=environment, check=True, stdout=subprocess.DEVNULL
    )
