"""The calibration tool on logits whose flaw is known, and through the engine on a snapshot's."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from core.engine import Engine
from core.lab import calibration
from core.lab.calibration import ARMS, Params, cross_fitted, run, usable
from core.measures.calibration import softmax
from core.measures.calibration_intervals import measures
from core.measures.calibrators import CALIBRATORS, TemperatureScaling
from core.methods import registry
from core.methods.base import Features, Inputs, ParameterError, Recorded
from core.recorder import Batch, Recorder

DRAW = np.random.default_rng(0)
TRUE = DRAW.normal(0, 1.5, (1200, 4))
TARGETS = np.array([DRAW.choice(4, p=p) for p in softmax(TRUE)])
LOGITS = 2.5 * TRUE
QUICK = Params(resamples=40)


def features(logits=LOGITS, targets=TARGETS) -> Features:
    return Features(np.zeros((len(targets), 2)), targets, (), "a test", logits, targets)


class Kept:
    """What one arm recorded."""

    def __init__(self, arm: str, given: Features, params: Params = QUICK, before: Kept | None = None) -> None:
        batches: list[Batch] = []
        recorder = Recorder(batches.append, (0,))
        recorded = {} if before is None else {"uncalibrated": before.recorded()}
        run(arm, params, Inputs((0,), recorded=recorded, features=given), recorder)
        recorder.close()
        self.arrays = [event for batch in batches for event in batch.arrays]
        self.results = {event.metric: event.value for batch in batches for event in batch.results}
        self.tables: dict[str, pd.DataFrame] = {}
        for batch in batches:
            for event in batch.tables:
                self.tables[event.name] = pd.concat([self.tables.get(event.name), event.rows.to_pandas()], ignore_index=True)

    def recorded(self) -> list[Recorded]:
        return [Recorded(event.kind, event.name, event.step, event.part, event.array) for event in self.arrays]

    def measure(self, name: str) -> pd.Series:
        return self.tables["measures"].set_index("measure").loc[name]

    @property
    def reading(self) -> str:
        return self.tables["reading"]["text"].iloc[0]


@pytest.fixture(scope="module")
def before() -> Kept:
    return Kept("uncalibrated", features())


@pytest.fixture(scope="module")
def after(before) -> Kept:
    return Kept("temperature", features(), before=before)


def test_it_declares_what_there_is():
    declared = registry.declared("calibration")
    assert [arm.name for arm in declared.arms] == list(CALIBRATORS)
    assert declared.inputs == ("features",)
    assert declared.paper == calibration.PAPER
    assert {"quick", "smoke"} <= set(declared.presets)


def test_an_overconfident_model_is_said_to_be_one_and_a_temperature_repairs_it(before, after):
    gap = 100 * before.measure("gap")
    ends = f"{gap['value']:.1f} points on average [{gap['low']:.1f}, {gap['high']:.1f}]"
    assert before.reading.startswith(f"Overconfident by {ends}; ECE is ")
    assert before.measure("gap")["low"] > 0.05
    assert after.measure("ece")["value"] < before.measure("ece")["value"] / 3
    assert after.measure("ece")["change_high"] < 0
    exported = json.loads(after.tables["calibrator"]["json"].iloc[0])
    assert exported["parameters"]["temperature"] == pytest.approx(2.5, abs=0.35)
    assert exported["fitted_on"] == {"items": 1200, "source": "a test"}
    ece = 100 * after.measure("ece")
    assert after.reading == (
        f"Temperature {exported['parameters']['temperature']:.2f} brings ECE from {100 * before.results['ece']:.1f}% to "
        f"{ece['value']:.1f}% [{ece['low']:.1f}, {ece['high']:.1f}]."
    )


def test_an_underconfident_model_is_said_to_be_one():
    kept = Kept("uncalibrated", features(TRUE / 3))
    gap = -100 * kept.measure("gap")
    ends = f"{gap['value']:.1f} points on average [{gap['high']:.1f}, {gap['low']:.1f}]"
    assert kept.reading.startswith(f"Underconfident by {ends}; ECE is ")


def test_a_calibrated_model_is_left_in_peace():
    honest = features(TRUE)
    first = Kept("uncalibrated", honest)
    assert first.reading.startswith("On average confidence fits accuracy (")
    assert "would come by chance alone" in first.reading
    second = Kept("temperature", honest, before=first)
    assert "a change that these items do not tell from none" in second.reading


def test_what_costs_accuracy_is_said():
    """Isotonic curves of 30 items with a label in a hundred wrong: predictions change for the worse."""
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 4, (400, 20))
    targets = logits.argmax(1)
    first = Kept("uncalibrated", features(logits, targets))
    second = Kept("histogram", features(logits, targets), before=first)
    assert first.results["accuracy"] == 1
    assert second.results["accuracy"] < 0.95
    assert "accuracy changes by −" in second.reading


@pytest.mark.parametrize("arm", [arm.name for arm in ARMS[1:]])
def test_every_calibrator_repairs_it_and_leaves_what_a_page_shows(arm, before):
    kept = Kept(arm, features(), Params(resamples=10), replace_draws(before, 10))
    assert kept.results["ece"] < 0.6 * before.results["ece"]
    assert kept.results["nll"] < before.results["nll"]
    assert set(kept.tables["measures"]["measure"]) == {measure.name for measure in measures()}
    assert set(kept.tables["reliability"]["binning"]) == {"equal-width", "equal-mass"}
    assert kept.tables["reliability"].groupby("binning")["count"].sum().tolist() == [1200, 1200]
    assert len(kept.tables["classes"]) == 4
    coverage = kept.tables["risk_coverage"]
    assert coverage["coverage"].is_monotonic_increasing
    assert coverage["risk"].iloc[-1] == pytest.approx(1 - kept.results["accuracy"])
    logits, labels = (event.array for event in kept.arrays if event.kind == "predictions")
    np.testing.assert_allclose(np.exp(logits).sum(1), 1, atol=1e-5)
    assert labels.tolist() == TARGETS.tolist()
    items = kept.tables["items"]
    np.testing.assert_allclose(items["confidence"], np.exp(logits).max(1), rtol=1e-5)


def replace_draws(kept: Kept, draws: int) -> Kept:
    """The same record with fewer draws."""
    shorter = object.__new__(Kept)
    shorter.arrays = [replace(event, array=event.array[:, :draws]) if event.name == "draws" else event for event in kept.arrays]
    return shorter


def test_no_item_is_scored_by_what_has_seen_it():
    """Labels drawn at random teach nothing: a calibrator that saw its items would fit them better than chance."""
    rng = np.random.default_rng(2)
    logits, targets = rng.normal(size=(600, 3)), rng.integers(0, 3, 600)
    p = cross_fitted("isotonic", logits, targets, 0)
    assert -np.log(p[np.arange(600), targets].clip(1e-12)).mean() > math.log(3) - 0.01
    half = np.random.default_rng(0).permutation(600) % 2
    expected = TemperatureScaling().fit(logits[half == 0], targets[half == 0]).predict(logits[half == 1])
    np.testing.assert_array_equal(cross_fitted("temperature", logits, targets, 0)[half == 1], expected)


def test_items_without_a_target_are_left_out_and_counted():
    targets = TARGETS.copy()
    targets[:7] = -1
    targets[7] = 4  # a class that the model does not know
    logits = LOGITS.copy()
    logits[8] = math.nan
    logits[9, 0] = -math.inf  # a probability of exactly zero is none of these
    found, kept, left_out = usable(features(logits, targets))
    assert (len(found), left_out) == (1191, 9)
    assert kept.tolist() == TARGETS[9:].tolist()
    assert np.isfinite(found).all()
    assert Kept("uncalibrated", features(logits, targets), Params(resamples=10)).results["left_out"] == 9


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "needs a model's logits"),
        (replace(features(), logits=None), "needs a model's logits"),
        (features(LOGITS[:, :1]), "only one class"),
        (features(LOGITS, np.full(1200, -1)), "0 items have a target"),
    ],
)
def test_what_cannot_be_calibrated_is_said(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        usable(given)


def test_a_map_with_too_many_parameters_is_left_out_with_the_reason():
    rng = np.random.default_rng(0)
    kept = Kept("matrix", features(rng.normal(size=(200, 101)), rng.integers(0, 101, 200)))
    assert kept.tables["not_fitted"]["reason"].iloc[0].startswith("101 classes make 10,302 parameters")
    assert "measures" not in kept.tables


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    with Engine(tmp_path_factory.mktemp("lab") / "store.duckdb", workers=2) as engine:
        yield engine


@pytest.fixture(scope="module")
def snapshot(engine):
    """A snapshot in two pieces, as core/lab/snapshot.py records it."""
    run, batches = "0123456789ab", []
    recorder = Recorder(batches.append, (0,))
    targets = TARGETS.copy()
    targets[:5] = -1
    for start in (0, 700):
        piece = slice(start, start + 700)
        recorder.embedding(start, TRUE[piece], TARGETS[piece], name="features")
        recorder.predictions(start, LOGITS[piece], targets[piece])
    recorder.close()
    with engine.store.writing() as writer:
        writer.add_run(run, "snapshot", "quick", {"params": {"model": "m", "data": "d"}}, "cpu", [("snapshot", (0,))])
        for batch in batches:
            for event in batch.arrays:
                writer.add_array(run, "snapshot", event)
        writer.finish_run(run, "completed", 1.0)
    return run


class TestThroughTheEngine:
    def calibrated(self, engine, **inputs) -> str:
        spec = engine.make_spec("calibration", "smoke", arms=["temperature"], inputs=inputs)
        run = engine.submit(spec)
        assert engine.wait(run, 120)
        assert engine.store.run(run)["status"] == "completed", engine.store.cells(run)["message"].tolist()
        return run

    def test_a_snapshot(self, engine, snapshot):
        run = self.calibrated(engine, snapshot=snapshot)
        results = engine.store.results(run).set_index("arm")
        assert set(results.index) == {"uncalibrated", "temperature"}, "the baseline comes along"
        assert results["left_out"].tolist() == [5, 5]
        assert results.loc["temperature", "ece"] < results.loc["uncalibrated", "ece"]
        table = engine.store.table(run, "measures").set_index(["arm", "measure"])
        assert table.loc[("temperature", "ece"), "change_high"] < 0
        assert engine.submit(engine.make_spec("calibration", "smoke", arms=["temperature"], inputs={"snapshot": snapshot})) == run

    def test_the_predictions_of_any_run(self, engine, snapshot):
        """Those of the calibrated arm, calibrated again: nothing is left to gain."""
        first = self.calibrated(engine, snapshot=snapshot)
        run = self.calibrated(engine, predictions=f"{first}/temperature/0/0/")
        results = engine.store.results(run).set_index("arm")
        assert results.loc["uncalibrated", "ece"] == pytest.approx(
            engine.store.results(first).set_index("arm").loc["temperature", "ece"], abs=1e-6
        )
        exported = engine.store.table(run, "calibrator").set_index("arm").loc["temperature", "json"]
        assert json.loads(exported)["parameters"]["temperature"] == pytest.approx(1, abs=0.1)

    @pytest.mark.parametrize("name", ["nothing", "0123456789ab/snapshot/0/9/", "a/b/c/d/e"])
    def test_predictions_that_are_not_there(self, engine, snapshot, name):
        with pytest.raises(ParameterError, match="no predictions"):
            engine.make_spec("calibration", "smoke", inputs={"predictions": name})
