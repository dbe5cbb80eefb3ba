"""A store that holds runs before the server opens it: a snapshot of real digits, or embeddings that a training recorded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from core.data.digits import digits_images
from core.recorder import Batch, Recorder
from core.store import Store

RUN = "0123456789ab"
TITLE = "starter/pixel_s on digits-8"


def write_snapshot(path: Path, classes: int = 10, run: str = RUN) -> None:
    """Adds the snapshot to the store at `path`, which is made where there is none: the first 900 digits of the first classes."""
    images = digits_images()
    chosen = np.flatnonzero(images.labels.numpy()[:900] < classes)
    with recorded(path, run, {"model": "starter/pixel_s", "data": "digits-8"}) as recorder:
        recorder.embedding(0, images.pixels.flatten(1)[chosen], images.labels[chosen], name="features")
        recorder.images(0, "thumbnails", images.pixels[chosen, 0])
        recorder.table("classes", [{"name": name} for name in images.classes[:classes]])


def write_training(path: Path, run: str, steps: tuple[int, ...]) -> None:
    """Adds a paper's run that recorded 90 points of three classes at these steps, the classes further apart at each."""
    labels = np.arange(90) % 3
    noise = np.random.default_rng(0).normal(size=(90, 8))
    with recorded(path, run, {}, "neural-collapse", "imbalanced") as recorder:
        for place, step in enumerate(steps):
            recorder.embedding(step, noise + 4 * place * np.eye(8)[labels], labels, name="network")


@contextmanager
def recorded(path: Path, run: str, params: dict[str, str], slug: str = "snapshot", arm: str = "snapshot") -> Iterator[Recorder]:
    """A recorder; what it was given is a complete run in the store at `path` afterwards."""
    batches: list[Batch] = []
    recorder = Recorder(batches.append, (0,))
    yield recorder
    recorder.close()
    spec = {"params": params, "inputs": {}, "seeds": [0], "arms": [arm]}
    store = Store.open(path)
    with store.writing() as writer:
        writer.add_run(run, slug, "quick", spec, "cpu", [(arm, (0,))])
        for batch in batches:
            for array in batch.arrays:
                writer.add_array(run, arm, array)
            for table in batch.tables:
                writer.add_table(run, arm, table.seed, table.name, table.rows)
        writer.finish_run(run, "completed", 1.0)
    store.close()
