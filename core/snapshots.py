"""What a snapshot holds, for pages: a run of core/lab/snapshot.py, read from the store.

A snapshot is what a model makes of a data set, computed once: the features of a layer, logits, labels, and a thumbnail or a text of
every item. It was recorded in pieces of many items; here they are whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from core.store import Store

SLUG = "snapshot"


@dataclass(frozen=True)
class Snapshot:
    """One snapshot; what is large is read when it is asked for.

    Attributes:
        run: its identity.
        params: what it was made with: model, revision, layer, data, ...
        created: when, UTC.
    """

    store: Store
    run: str
    params: dict[str, Any]
    created: Any

    @property
    def title(self) -> str:
        """The model and the data, as a person would say it."""
        return f"{self.params['model']} on {self.params['data'] or 'an upload'}"

    @cached_property
    def vectors(self) -> np.ndarray:
        """(n, d) float32."""
        return self._features("vectors")

    @cached_property
    def labels(self) -> np.ndarray:
        """(n,) int32, indices into `classes`; -1 where an item has none."""
        return self._features("labels")

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Names of the data's classes; empty where the data have no labels."""
        return self._names("classes")

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Names of what the model tells apart, the columns of `logits`; empty where it gives no logits."""
        return self._names("outputs")

    @cached_property
    def logits(self) -> np.ndarray | None:
        """(n, outputs) float32; None where the model gives none, or where its classes are not those of the data."""
        return self.store.stacked(self.run, "predictions", "", "logits")

    @cached_property
    def targets(self) -> np.ndarray | None:
        """(n,) int32, indices into the columns of `logits`: the labels in the model's own order; -1 where it has no such class."""
        return self.store.stacked(self.run, "predictions", "", "labels")

    @cached_property
    def thumbnails(self) -> np.ndarray | None:
        """(n, height, width) or (n, height, width, 3) uint8; None where the items are no images."""
        return self.store.stacked(self.run, "images", "thumbnails", "pixels")

    @cached_property
    def items(self) -> pd.DataFrame:
        """A row an item: its text where it has one, and further columns of the data."""
        return self.store.table(self.run, "items").drop(columns=["arm", "seed"])

    def _features(self, part: str) -> np.ndarray:
        found = self.store.stacked(self.run, "embedding", "features", part)
        assert found is not None  # every complete snapshot has them
        return found

    def _names(self, table: str) -> tuple[str, ...]:
        return tuple(self.store.table(self.run, table)["name"]) if table in self.store.table_names(self.run) else ()


def read(store: Store, run: str) -> Snapshot | None:
    """A complete snapshot; None where there is none of that name."""
    row = store.run(run)
    if row is None or row["slug"] != SLUG or row["status"] != "completed":
        return None
    return Snapshot(store, run, row["spec"]["params"], row["created"])


def every(store: Store, visitor: str = "", linked: Sequence[str] = ()) -> list[Snapshot]:
    """All complete snapshots that a visitor sees, the newest first."""
    found = (read(store, run) for run in store.runs(SLUG, "completed", visitor, linked)["run"])
    return [snapshot for snapshot in found if snapshot]
