"""What a run works on instead of its own data: the names in a spec's inputs, checked and read from the store."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core import snapshots
from core.methods.base import Features, ParameterError

if TYPE_CHECKING:
    import pandas as pd

    from core.store import Store


def check(store: Store, inputs: Mapping[str, str]) -> None:
    """Looks whether the store has what the inputs name. Raises: ParameterError."""
    for run in (inputs[kind] for kind in ("snapshot", "against") if kind in inputs):
        if snapshots.read(store, run) is None:
            raise ParameterError(f"There is no complete snapshot {run!r}; it may have been deleted.")
    if "predictions" in inputs:
        _places_of_predictions(store, inputs["predictions"])
    if "upload" in inputs and store.upload(inputs["upload"]) is None:
        raise ParameterError(f"There is no upload {inputs['upload']!r}; it may have been deleted.")


def read(store: Store, inputs: Mapping[str, str], for_a_paper: bool) -> dict[str, Any]:
    """What the inputs name, as fields of core.methods.base.Inputs; features for a paper as `labelled` gives them.

    Raises: ParameterError where it is not there, or of no use.
    """
    check(store, inputs)
    given: dict[str, Any] = {}
    if "weights" in inputs:
        given["weights"] = inputs["weights"]
    if "snapshot" in inputs:
        given["features"] = _features(store, inputs["snapshot"])
    if "against" in inputs:
        given["against"] = _features(store, inputs["against"])
    if "predictions" in inputs:
        given["features"] = _predictions(store, inputs["predictions"])
    if "upload" in inputs:
        given["upload"] = store.upload_file(inputs["upload"])
    if for_a_paper and "features" in given:
        given["features"] = labelled(given["features"])
    return given


def _features(store: Store, run: str) -> Features:
    snapshot = snapshots.read(store, run)
    assert snapshot is not None  # it was checked
    return Features(snapshot.vectors, snapshot.labels, snapshot.classes, f"snapshot {run}", snapshot.logits, snapshot.targets)


def _predictions(store: Store, name: str) -> Features:
    place = _places_of_predictions(store, name).iloc[0]
    run = name.partition("/")[0]
    rows = store.arrays(run, "predictions", place["name"], place["arm"], int(place["seed"]), int(place["step"]))
    parts = rows.set_index("part")["array"]
    return Features(parts["logits"], parts["labels"], (), f"predictions {name}", parts["logits"], parts["labels"])


def _places_of_predictions(store: Store, name: str) -> pd.DataFrame:
    """The rows of the run's index of arrays that run/arm/seed/step/name means."""
    run, arm, seed, step, record = [*name.split("/", 4), *[""] * 5][:5]
    index = store.array_index(run)
    found = index[
        (index["kind"] == "predictions")
        & (index["arm"] == arm)
        & (index["seed"].astype(str) == seed)
        & (index["step"].astype(str) == step)
        & (index["name"] == record)
    ]
    if not {"logits", "labels"} <= set(found["part"]):
        raise ParameterError(f"There are no predictions {name!r}; the run may have been deleted.")
    return found


def labelled(features: Features) -> Features:
    """The items that have a label, as papers expect them: every class has items.

    Classes without any are left out, and the others numbered anew in their order.

    Raises:
        ParameterError: fewer than two classes are left.
    """
    import numpy as np

    known = features.labels >= 0
    present, labels = np.unique(features.labels[known], return_inverse=True)
    if len(present) < 2:
        found = "all labelled items are of one class" if len(present) else "no item has a label"
        raise ParameterError(f"Papers need items of at least two classes, but in {features.source} {found}. Choose other data.")
    names = features.classes
    classes = tuple(names[label] if label < len(names) else str(label) for label in present)
    logits, targets = (None if part is None else part[known] for part in (features.logits, features.targets))
    return dataclasses.replace(
        features, vectors=features.vectors[known], labels=labels, classes=classes, logits=logits, targets=targets
    )
