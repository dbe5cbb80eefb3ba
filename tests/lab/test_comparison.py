"""Comparisons whose answer is known, and through the engine on two snapshots."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

from core.engine import Engine
from core.lab import comparison
from core.lab.comparison import Params, run, usable
from core.measures.representation import linear_cka
from core.methods import registry
from core.methods.base import Features, Inputs, ParameterError
from core.recorder import Batch, Recorder
from tests.browser.snapshot_store import RUN, write_snapshot

PIXELS, DIGITS = load_digits(return_X_y=True)
PIXELS, DIGITS = PIXELS[:300].astype(np.float32), DIGITS[:300]
DRAW = np.random.default_rng(0)
ROTATION = np.linalg.qr(DRAW.normal(size=(64, 64)))[0].astype(np.float32)
NOISE = DRAW.normal(size=(300, 64)).astype(np.float32)


def features(vectors=PIXELS, labels=DIGITS) -> Features:
    return Features(vectors, labels, tuple("0123456789"), "a test")


class Compared:
    """What one comparison recorded."""

    def __init__(self, first=PIXELS, second=PIXELS, **params) -> None:
        batches: list[Batch] = []
        recorder = Recorder(batches.append, (0,))
        run("measures", Params(**params), Inputs((0,), features=features(first), against=features(second)), recorder)
        recorder.close()
        self.results = {event.metric: event.value for batch in batches for event in batch.results}
        self.tables: dict[str, pd.DataFrame] = {event.name: event.rows.to_pandas() for batch in batches for event in batch.tables}
        (self.overlap,) = [event.array for batch in batches for event in batch.arrays]

    def row(self, name: str) -> pd.Series:
        return self.tables["measures"].set_index("name").loc[name]


class TestKnownAnswers:
    def test_a_model_is_like_itself_in_every_measure(self):
        same = Compared()
        assert same.results["cka"] == pytest.approx(1, abs=1e-6)
        assert same.results["neighbour_overlap"] == 1
        varying = (PIXELS.std(axis=0) > 0).mean()  # the corners of the pictures are always empty
        assert same.results["matched_neurons"] == pytest.approx(varying, abs=1e-6)

    def test_a_rotation_keeps_the_space_and_mixes_the_neurons(self):
        turned = Compared(second=3 * PIXELS @ ROTATION)
        assert turned.results["cka"] == pytest.approx(1, abs=1e-5)
        assert turned.results["neighbour_overlap"] > 0.999
        assert turned.results["matched_neurons"] < 0.6

    def test_shuffled_neurons_are_found_again(self):
        order = DRAW.permutation(64)
        pairs = Compared(second=-2 * PIXELS[:, order] + 1).tables["neurons"]
        alive = pairs[pairs["correlation"] < 0]
        assert len(alive) == comparison.PAIRS
        assert (order[alive["second"]] == alive["first"]).all()
        assert alive["correlation"].to_numpy() == pytest.approx(-1, abs=1e-6)

    def test_noise_is_as_alike_as_by_chance(self):
        unrelated = Compared(second=NOISE)
        assert Compared(second=NOISE, items=60).row("cka")["chance"] > unrelated.row("cka")["chance"] + 0.05, "few items look alike"
        for name, margin in (("cka", 0.02), ("neighbour_overlap", 0.02), ("matched_neurons", 0.02)):
            row = unrelated.row(name)
            assert row["value"] == pytest.approx(row["chance"], abs=margin), name
        row = unrelated.row("neighbour_overlap")
        assert row["low"] <= row["chance"] <= row["high"] or abs(row["value"] - row["chance"]) < 0.01

    def test_more_features_than_items_change_nothing(self):
        wide = (PIXELS @ DRAW.normal(size=(64, 700))).astype(np.float32)
        import torch

        expected = linear_cka(torch.from_numpy(wide).double(), torch.from_numpy(PIXELS).double())
        assert Compared(wide).results["cka"] == pytest.approx(expected, abs=1e-9)


class TestItems:
    def test_each_item_has_its_own_share_and_those_that_are_not_finite_have_none(self):
        broken = PIXELS.copy()
        broken[17, 3] = np.nan
        found = Compared(second=broken)
        assert np.flatnonzero(np.isnan(found.overlap)).tolist() == [17]
        assert found.results["left_out"] == 1 and found.results["items"] == 299
        half = Compared(second=np.where(np.arange(300)[:, None] < 150, PIXELS, NOISE))
        assert half.overlap[:150].mean() > half.overlap[150:].mean() + 0.3

    def test_of_many_a_sample_is_measured(self):
        found = Compared(items=120)
        assert found.results["items"] == 120 and np.isfinite(found.overlap).sum() == 120
        assert found.row("neighbour_overlap")["chance"] == pytest.approx(10 / 119)

    def test_only_the_neurons_that_vary_most_are_matched(self, monkeypatch):
        monkeypatch.setattr(comparison, "NEURONS", 5)
        found = Compared()
        assert set(found.tables["neurons"]["first"]) == set(np.argsort(-PIXELS.var(axis=0))[:5])
        assert "Of each, the 5 that vary most." in found.row("matched_neurons")["meaning"]

    @pytest.mark.parametrize(
        ("against", "words"),
        [
            (None, "two snapshots"),
            (features(PIXELS[:9], DIGITS[:9]), "300 items and the other 9"),
            (features(labels=DIGITS[::-1]), "different labels"),
            (features(np.ones((300, 4), np.float32)), "all items have the same features"),
            (features(np.full((300, 4), np.nan, np.float32)), "0 items have finite features in both"),
        ],
    )
    def test_what_cannot_be_compared_is_said(self, against, words):
        with pytest.raises(ValueError, match=words):
            usable(features(), against)


def test_the_engine_compares_two_snapshots(tmp_path):
    other = "ba9876543210"
    assert registry.declared("comparison").inputs == ("features", "two-models")
    for run_name in (RUN, other):
        write_snapshot(tmp_path / "store.duckdb", run=run_name)
    with Engine(tmp_path / "store.duckdb", workers=1) as engine:
        spec = engine.make_spec("comparison", "smoke", inputs={"snapshot": RUN, "against": other})
        assert engine.wait(engine.submit(spec), 300)
        assert engine.store.run(spec.run)["status"] == "completed", engine.store.cells(spec.run)["message"].tolist()
        assert engine.store.results(spec.run)["cka"].iloc[0] == pytest.approx(1, abs=1e-5)
        assert spec.run != engine.make_spec("comparison", "smoke", inputs={"snapshot": other, "against": RUN}).run
        with pytest.raises(ParameterError, match="no complete snapshot 'nothing'"):
            engine.make_spec("comparison", "smoke", inputs={"snapshot": RUN, "against": "nothing"})
