"""What the stand-alone page of a lab tool's run has beside its views: charts and tables, as the tool's own page shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from core import charts, snapshots
from core.charts import Key

if TYPE_CHECKING:
    from core.store import Store

DENSE, BASE = "dense", "uncalibrated"


@dataclass(frozen=True)
class Section:
    """A chart or a table with its heading and what is to be known of it."""

    title: str
    caption: str
    content: Any  # a chart, or a data frame


def subject(params: Mapping[str, Any]) -> str:
    """What a tool worked on: "starter/digits-vit on digits-8"; empty where its inputs say it."""
    return " on ".join(filter(None, [params.get("model"), params.get("data")]))


def sections(store: Store, run: str, slug: str, titles: Mapping[str, str]) -> list[Section]:
    """The sections of a run; none of what has no such page. `titles`: of its arms."""
    make = SECTIONS.get(slug)
    return list(make(store, run, titles)) if make else []


def _snapshot(store: Store, run: str, titles: Mapping[str, str]) -> Iterator[Section]:
    """Points, reliability, classes, and what was measured on the features."""
    found = snapshots.read(store, run)
    if found is None:
        return
    names = np.array([*found.classes, "no label"], dtype=object)  # the last stands for -1
    labels = np.where((found.labels >= 0) & (found.labels < len(found.classes)), found.labels, -1)
    plane, share = charts.project(found.vectors)
    frame = pd.DataFrame({"x": plane[:, 0], "y": plane[:, 1], "label": names[labels]})
    keys = [Key(name, str(name)) for name in names if name in set(frame["label"])]
    caption = f"{len(frame):,} items in the two directions of largest variance, which hold {share:.0%} of it."
    yield Section("Embeddings", caption, charts.embedding(frame, keys=keys, description="Features of the snapshot"))
    counts = pd.Series(names[labels]).value_counts()
    classes = pd.DataFrame([{"class": name, "items": counts[name]} for name in dict.fromkeys(names) if name in counts])
    if found.logits is not None and found.targets is not None:
        logits, targets = found.logits.astype(float), found.targets
        known = np.asarray(targets >= 0)
        shares = np.exp(logits - logits.max(1, keepdims=True))
        confidence, correct = shares.max(1) / shares.sum(1), logits.argmax(1) == targets
        if known.any():
            frame = pd.DataFrame({"panel": "Predictions", "confidence": confidence, "correct": correct})[known]
            caption = "On the dashed line, predictions are right as often as they say; below it they claim too much."
            yield Section("Reliability", caption, charts.reliability(frame, panel="panel", description="Reliability of the model"))
            right = pd.DataFrame({"class": names[labels], "accuracy (%)": 100.0 * correct})[known]
            classes = classes.merge(right.groupby("class", as_index=False).mean(), how="left")
    yield Section("Classes", "", classes)
    for other in store.runs("geometry", "completed")["run"]:
        if (store.run(other) or {})["spec"].get("inputs") == {"snapshot": run}:
            yield Section("Measures of the features", "With 95% intervals over items.", _measures(store.table(other, "measures")))
            return


def _measures(rows: pd.DataFrame) -> pd.DataFrame:
    shown = [_estimate(row) for row in rows.to_dict("records")]
    return pd.DataFrame({"measure": rows["title"], "value": shown, "what it says": rows["meaning"]})


def _estimate(row: Mapping[str, Any]) -> str:
    """ "4.9% [4.0, 5.7]"."""
    scale, sign, digits = (100.0, "%", 2) if row["unit"] == "%" else (1.0, "", 3)
    value, low, high = (scale * row[name] for name in ("value", "low", "high"))
    if not np.isfinite(value):
        return "–"
    ends = f" [{low:.{digits}f}, {high:.{digits}f}]" if np.isfinite(low) else ""
    return f"{value:.{digits}f}{sign}{ends}".replace("-", "−")


def _calibration(store: Store, run: str, titles: Mapping[str, str]) -> Iterator[Section]:
    """What was found in words, every measure of every calibrator, and the classes before."""
    readings, rows, classes = (store.table(run, name) for name in ("reading", "measures", "classes"))
    arms = [arm for arm in titles if len(readings) and arm in set(readings["arm"])]
    if not arms:
        return
    said = readings.set_index("arm")["text"]
    yield Section("What was found", "", pd.DataFrame({"": [titles[arm] for arm in arms], "in words": [said[arm] for arm in arms]}))
    own = {arm: rows[rows["arm"] == arm].set_index("measure") for arm in arms}
    order = next(iter(own.values()))
    shown = {titles[arm]: [_estimate(own[arm].loc[name]) for name in order.index] for arm in arms}
    table = pd.DataFrame({"measure": order["title"], **shown, "estimator": order["estimator"]})
    yield Section("Measures", "With bootstrap 95% intervals; calibrators are scored on items that they were not fitted on.", table)
    before = classes[classes["arm"] == BASE]
    columns = {"recall": "recall (%)", "probability": "mean probability (%)", "share": "share of items (%)", "error": "error (%)"}
    percent = (100 * before[[*columns]]).rename(columns=columns)
    yield Section("Classes, uncalibrated", "", pd.concat([before[["class", "items"]], percent], axis=1))


def _pruning(store: Store, run: str, titles: Mapping[str, str]) -> Iterator[Section]:
    """The masks of the largest layer, what is left of every layer, and the classes, at the highest sparsity."""
    layers, classes = store.table(run, "layers"), store.table(run, "by_class")
    if layers.empty:
        return
    sparsity = int(layers["sparsity"].max())
    rows = layers[layers["sparsity"] == sparsity]
    largest = rows.loc[(rows["outputs"] * rows["inputs"]).idxmax(), "layer"]
    found = store.arrays(run, "matrix", largest, step=sparsity)
    masks = pd.DataFrame({"panel": [titles[arm] for arm in found["arm"]], "array": found["array"]})
    picture = charts.heatmap(
        masks, value_title="Surviving share", limits=(0.0, 1.0), format=".0%", x_title="Input", y_title="Output",
        description=f"Masks of {largest} at {sparsity}% sparsity",
    )  # fmt: skip
    yield Section(f"Masks at {sparsity}% sparsity", f"The layer {largest}, the largest.", picture)
    left = rows.assign(left=100 - rows["removed"]).pivot_table(index="layer", columns="arm", values="left", sort=False)
    yield Section("Weights left of every layer (%)", f"At {sparsity}% sparsity.", left.rename(columns=titles).reset_index())
    if len(classes):
        chosen = classes[(classes["arm"] == DENSE) | (classes["sparsity"] == sparsity)]
        by_class = chosen.pivot_table(index=["class", "items"], columns="arm", values="accuracy", sort=False)
        yield Section("Accuracy of every class (%)", f"At {sparsity}% sparsity.", by_class.rename(columns=titles).reset_index())


SECTIONS: Mapping[str, Callable[[Store, str, Mapping[str, str]], Iterator[Section]]] = {
    "snapshot": _snapshot,
    "calibration": _calibration,
    "pruning": _pruning,
}
