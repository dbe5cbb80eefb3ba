"""What goes into a recorder comes out of its batches: values, types, order and the errors for what does not fit."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

import core.recorder
from core.recorder import SCALARS, Batch, Recorder


class Recording:
    """A recorder whose batches stay at hand."""

    def __init__(self, *seeds: int) -> None:
        self.batches: list[Batch] = []
        self.record = Recorder(self.batches.append, seeds)

    def all(self) -> list[Batch]:
        self.record.close()
        return self.batches

    def scalars(self) -> list[tuple]:
        """Rows (seed, series, name, step, value)."""
        tables = [batch.scalars for batch in self.all() if batch.scalars]
        rows = pa.Table.from_batches(tables).to_pylist()
        return [(row["seed"], row["series"], row["name"], row["step"], row["value"]) for row in rows]

    def arrays(self) -> dict[str, np.ndarray]:
        return {event.part: event.array for batch in self.all() for event in batch.arrays}

    def table(self, name: str) -> list[dict]:
        return [row for batch in self.all() for event in batch.tables if event.name == name for row in event.rows.to_pylist()]


@pytest.fixture
def one() -> Recording:
    return Recording(7)


@pytest.fixture
def two() -> Recording:
    return Recording(7, 9)


class TestScalars:
    def test_one_row_a_call_and_name(self, one):
        one.record.scalars(1, loss=0.5, accuracy=0.9)
        one.record.scalars(2, loss=0.25, accuracy=1.0)
        assert one.scalars() == [
            (7, "", "loss", 1, 0.5),
            (7, "", "accuracy", 1, 0.9),
            (7, "", "loss", 2, 0.25),
            (7, "", "accuracy", 2, 1.0),
        ]

    def test_different_calls_may_alternate(self, one):
        for step in range(3):
            one.record.scalars(step, loss=float(step))
            one.record.scalars(step, series="test", loss=10.0 * step)
        rows = one.scalars()
        assert [row for row in rows if row[1] == ""] == [(7, "", "loss", step, float(step)) for step in range(3)]
        assert [row for row in rows if row[1] == "test"] == [(7, "test", "loss", step, 10.0 * step) for step in range(3)]

    @pytest.mark.parametrize(
        "value",
        [3, 3.0, np.float32(3), np.array(3.0), np.array([3.0]), torch.tensor(3), torch.tensor([3.0]), torch.tensor(3.0).half()],
    )
    def test_numbers_of_every_library(self, one, value):
        one.record.scalars(1, value=value)
        assert one.scalars() == [(7, "", "value", 1, 3.0)]

    def test_a_tensor_that_is_trained_is_recorded_without_its_graph(self, one):
        weight = torch.tensor(2.0, requires_grad=True)
        one.record.scalars(1, loss=weight**2)
        assert one.scalars() == [(7, "", "loss", 1, 4.0)]

    def test_not_a_number_and_infinity_are_kept(self, one):
        one.record.scalars(1, a=math.nan, b=math.inf, c=-math.inf)
        values = [row[-1] for row in one.scalars()]
        assert math.isnan(values[0])
        assert values[1:] == [math.inf, -math.inf]

    @pytest.mark.parametrize("make", [torch.tensor, np.array])
    def test_what_is_changed_in_place_afterwards_stays_as_it_was(self, two, make):
        losses = make([1.0, 2.0])
        two.record.scalars(1, loss=losses)
        losses += 100
        assert [row[-1] for row in two.scalars()] == [1.0, 2.0]

    def test_seconds_count_from_the_start_of_the_cell(self, one, monkeypatch):
        ticks = iter([100.0, 100.5, 102.0, 103.0])
        monkeypatch.setattr(core.recorder, "FLUSH_SECONDS", 60.0)
        monkeypatch.setattr(core.recorder.time, "perf_counter", lambda: next(ticks))
        recording = Recording(7)
        recording.record.scalars(1, loss=1.0)
        recording.record.scalars(2, loss=1.0)
        assert recording.all()[0].scalars.column("seconds").to_pylist() == [0.5, 2.0]

    def test_the_columns_are_those_of_the_schema(self, two):
        two.record.scalars(1, loss=[1.0, 2.0], accuracy=1)
        assert two.all()[0].scalars.schema == SCALARS


class TestSeveralSeeds:
    @pytest.mark.parametrize("make", [list, np.array, torch.tensor])
    def test_one_value_a_seed_in_order(self, two, make):
        two.record.scalars(4, loss=make([1.0, 2.0]))
        assert two.scalars() == [(7, "", "loss", 4, 1.0), (9, "", "loss", 4, 2.0)]

    def test_one_value_for_all(self, two):
        two.record.scalars(4, rate=0.1, loss=torch.tensor(3.0))
        assert two.scalars() == [
            (7, "", "rate", 4, 0.1),
            (9, "", "rate", 4, 0.1),
            (7, "", "loss", 4, 3.0),
            (9, "", "loss", 4, 3.0),
        ]

    @pytest.mark.parametrize("make", [list, np.array, torch.tensor])
    def test_another_number_of_values_is_refused_at_the_call(self, two, make):
        with pytest.raises(ValueError, match="loss has 3 values; expected one, or one for each of the 2 seeds"):
            two.record.scalars(4, loss=make([1.0, 2.0, 3.0]))

    def test_results_one_a_seed_or_one_for_all(self, two):
        two.record.result(accuracy=torch.tensor([0.5, 0.75]), steps=10)
        (batch,) = two.all()
        assert [(event.seed, event.metric, event.value) for event in batch.results] == [
            (7, "accuracy", 0.5),
            (9, "accuracy", 0.75),
            (7, "steps", 10.0),
            (9, "steps", 10.0),
        ]

    def test_a_seed_s_own_recorder(self, two):
        two.record.seed(9).scalars(1, loss=4.0)
        two.record.seed(9).table("runs", {"x": 1})
        two.record.seed(9).mask(0, "layer", [True])
        (batch,) = two.all()
        assert batch.scalars.column("seed").to_pylist() == [9]
        assert batch.tables[0].seed == batch.arrays[0].seed == 9

    def test_arrays_and_tables_must_say_their_seed(self, two):
        with pytest.raises(ValueError, match=r"record\.seed\(seed\)"):
            two.record.table("runs", {"x": 1})
        with pytest.raises(ValueError, match=r"record\.seed\(seed\)"):
            two.record.matrix(0, "weights", np.eye(2))


class TestArrays:
    def test_embedding_in_32_bits(self, one):
        one.record.embedding(3, np.ones((2, 5)), torch.tensor([0, 1]), name="test")
        (batch,) = one.all()
        assert [(event.kind, event.name, event.step, event.part, event.array.dtype.name) for event in batch.arrays] == [
            ("embedding", "test", 3, "vectors", "float32"),
            ("embedding", "test", 3, "labels", "int32"),
        ]

    def test_predictions(self, one):
        one.record.predictions(0, torch.tensor([[1.0, -1.0]], requires_grad=True), [1])
        arrays = one.arrays()
        assert arrays["logits"].tolist() == [[1.0, -1.0]]
        assert arrays["labels"].tolist() == [1]

    def test_as_many_labels_as_vectors(self, one):
        with pytest.raises(ValueError, match="embedding at step 3: 2 vectors and 3 labels do not match"):
            one.record.embedding(3, np.ones((2, 5)), [0, 1, 2])

    def test_vectors_are_rows(self, one):
        with pytest.raises(ValueError, match=r"Expected vectors \(n, d\), got the shape \(5,\)"):
            one.record.embedding(3, np.ones(5), [0] * 5)

    def test_a_mask_is_boolean_in_any_shape(self, one):
        one.record.mask(1, "conv", torch.tensor([[[1.0, 0.0]]]))
        array = one.arrays()["mask"]
        assert array.dtype == bool
        assert array.tolist() == [[[True, False]]]

    def test_a_matrix_keeps_its_whole_numbers_and_halves_its_doubles(self, one):
        one.record.matrix(1, "counts", np.arange(3))
        assert one.arrays()["values"].dtype.kind == "i"
        one.record.matrix(1, "values", np.array([0.5, math.nan, math.inf]))
        array = one.arrays()["values"]
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, [0.5, math.nan, math.inf])

    @pytest.mark.parametrize("make", [torch.zeros, np.zeros])
    def test_an_array_is_copied(self, one, make):
        weights = make(3)
        one.record.matrix(0, "weights", weights)
        weights += 1
        assert one.arrays()["values"].tolist() == [0, 0, 0]

    def test_images_are_kept_with_8_bits(self, one):
        one.record.images(0, "digits", [[[0.0, 0.2, 1.0, 7.0, -1.0, math.nan]]])
        array = one.arrays()["pixels"]
        assert array.dtype == np.uint8
        assert array.tolist() == [[[0, 51, 255, 255, 0, 0]]]

    @pytest.mark.parametrize("shape", [(4, 4), (2, 4, 4, 1), (1, 2, 4, 4, 3)])
    def test_images_of_other_shapes_are_refused(self, one, shape):
        with pytest.raises(ValueError, match=r"expected \(n, height, width\) or \(n, height, width, 3\)"):
            one.record.images(0, "digits", np.zeros(shape))


class TestTables:
    def test_a_dict_a_list_and_a_frame_append(self, one):
        one.record.table("steps", {"method": "a", "steps": torch.tensor(3), "done": True})
        one.record.table("steps", [{"method": "b", "steps": np.int64(4), "done": False}])
        one.record.table("steps", pd.DataFrame({"method": ["c"], "steps": [5], "done": [True]}))
        assert one.table("steps") == [
            {"method": "a", "steps": 3, "done": True},
            {"method": "b", "steps": 4, "done": False},
            {"method": "c", "steps": 5, "done": True},
        ]

    def test_none_is_not_a_number(self, one):
        one.record.table("steps", {"steps": None})
        assert math.isnan(one.table("steps")[0]["steps"])

    @pytest.mark.parametrize("column", ["arm", "seed"])
    def test_arm_and_seed_come_by_themselves(self, one, column):
        with pytest.raises(ValueError, match=f"has a column {column}; every table gets arm and seed by itself"):
            one.record.table("steps", {column: 1})


class TestBatches:
    def test_nothing_recorded_hands_over_nothing(self, one):
        assert one.all() == []

    def test_close_hands_over_the_rest_once(self, one):
        one.record.scalars(1, loss=1.0)
        one.record.close()
        one.record.close()
        assert len(one.batches) == 1

    def test_calls_are_handed_over_after_a_while(self, monkeypatch):
        monkeypatch.setattr(core.recorder, "FLUSH_SECONDS", 10.0)
        clock = [0.0]
        monkeypatch.setattr(core.recorder.time, "perf_counter", lambda: clock[0])
        one = Recording(7)
        one.record.scalars(1, loss=1.0)
        clock[0] = 9.0
        one.record.scalars(2, loss=1.0)
        assert one.batches == []
        clock[0] = 10.5
        one.record.progress(3, 10)
        assert len(one.batches) == 1
        assert one.batches[0].progress == (3, 10)
        assert one.batches[0].scalars.num_rows == 2

    def test_many_calls_are_handed_over_at_once(self, one, monkeypatch):
        monkeypatch.setattr(core.recorder, "FLUSH_SECONDS", 60.0)
        monkeypatch.setattr(core.recorder, "FLUSH_CALLS", 100)
        for step in range(250):
            one.record.scalars(step, loss=1.0)
        assert [batch.scalars.num_rows for batch in one.all()] == [100, 100, 50]

    def test_a_batch_travels_between_processes(self, one):
        one.record.scalars(1, loss=1.0)
        one.record.mask(0, "layer", [True, False])
        one.record.table("steps", {"steps": 3})
        one.record.result(accuracy=0.5)
        one.record.progress(1, 1)
        (batch,) = one.all()
        copy = pickle.loads(pickle.dumps(batch))
        assert copy.scalars.equals(batch.scalars)
        assert copy.arrays[0].array.tolist() == [True, False]
        assert copy.tables[0].rows.equals(batch.tables[0].rows)
        assert (copy.results, copy.progress) == (batch.results, batch.progress)
