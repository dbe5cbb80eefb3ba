"""A run that was exported comes back whole, and whatever is wrong with the file is one sentence, whoever made it."""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from core.data.uploads import Limits, UploadError
from core.engine.spec import make_spec
from core.imported import LIMITS, read_folder, read_zip
from core.recorder import Batch, Recorder
from core.store import RunIsHere, Store
from core.store.store import EXPORTS

SPEC = make_spec("lottery-ticket", "smoke", arms=["dense"], seeds=2)
RUN = SPEC.run


def fill(store: Store) -> None:
    """A run with everything that can be recorded, as the engine writes it."""
    with store.writing() as writer:
        writer.add_run(RUN, SPEC.slug, SPEC.preset, SPEC.content, "cpu", SPEC.cells())
        writer.start_run(RUN, {"cores": 2})
    for cell, (arm, seeds) in enumerate(SPEC.cells()):
        batches: list[Batch] = []
        record = Recorder(batches.append, seeds)
        draw = np.random.default_rng(seeds[0])
        for step in range(50):
            record.scalars(step, loss=float("nan") if step == 7 else 1 / (1 + step), accuracy=step / 50)
        record.scalars(0, series="a/b", loss=-1.0)
        record.embedding(3, draw.normal(size=(9, 4)), np.arange(9))
        record.predictions(3, draw.normal(size=(9, 3)), np.arange(9) % 3)
        record.mask(3, "layer 1", draw.random((5, 7)) < 0.5)
        record.matrix(3, "weight", draw.normal(size=(5, 7)))
        record.images(3, "inputs", draw.random((2, 8, 8)))
        record.table("a/b", [{"x": 1, "text": "ä, [b](c)", "flag": True}])
        record.table("a/b", [{"x": 2.5, "text": "", "flag": False, "late": 3}])
        record.table("a_b", {"x": 1 + seeds[0], "many": [1.0, 2.0]})
        record.result(accuracy=0.9, end=float("inf"))
        record.close()
        with store.writing() as writer:
            for batch in batches:
                writer.add_scalars(RUN, arm, batch.scalars)
                for array in batch.arrays:
                    writer.add_array(RUN, arm, array)
                for table in batch.tables:
                    writer.add_table(RUN, arm, table.seed, table.name, table.rows)
                for result in batch.results:
                    writer.add_result(RUN, arm, result.seed, result.metric, result.value)
            writer.set_progress(RUN, cell, 50, 50)
            writer.set_cell(RUN, cell, "completed", 1.5)
    verdict = {"claim": "c1", "text": "T < U", "verdict": "undecided", "effect": 1.0, "low": float("nan"), "high": 2.0}
    with store.writing() as writer:
        writer.set_verdicts(RUN, [verdict | {"n": 2, "smallest": 0.5, "unit": "%", "detail": "2 seeds."}])
        writer.finish_run(RUN, "completed", 3.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("export")
    store = Store.open(path / "store.duckdb")
    fill(store)
    store.export(RUN, path / "run")
    store.close()
    return path / "run"


@pytest.fixture
def files(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def store(tmp_path):
    store = Store.open(tmp_path / "store.duckdb")
    yield store
    store.close()


def zipped(files: dict[str, bytes], within: str = "") -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in files.items():
            archive.writestr(within + name, body)
    return sink.getvalue()


def bring_in(store: Store, content: bytes, replace: bool = False) -> None:
    export = read_zip("run.zip", content)
    with store.writing() as writer:
        writer.bring_in(export.tables, replace)


def parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def changed(files: dict[str, bytes], table: str, **columns) -> bytes:
    """The zip with these columns of a table put in place of its own: arrays, or one value for all rows."""
    rows = pq.read_table(pa.BufferReader(files[f"{table}.parquet"]))
    for name, values in columns.items():
        place = rows.schema.get_field_index(name)
        filled = values if isinstance(values, pa.Array) else pa.array([values] * len(rows), rows.schema.field(name).type)
        rows = rows.set_column(place, name, filled)
    return zipped(files | {f"{table}.parquet": parquet(rows)})


def test_the_round_trip_gives_equal_files(files, store, tmp_path):
    bring_in(store, zipped(files, within="a folder/"))
    written = store.export(RUN, tmp_path / "again")
    assert {path.name for path in written} == files.keys()
    for path in written:
        if path.suffix == ".parquet":
            first, again = pq.read_table(pa.BufferReader(files[path.name])), pq.read_table(path)
            if path.name == "runs.parquet":
                assert (first["origin"].to_pylist(), again["origin"].to_pylist()) == (["own"], ["imported"])
                first, again = (table.drop_columns(["origin"]) for table in (first, again))
            assert first.schema.equals(again.schema, check_metadata=True), path.name
            pd.testing.assert_frame_equal(first.to_pandas(), again.to_pandas())
    assert (tmp_path / "again" / "results.csv").read_bytes() == files["results.csv"]
    assert store.table_names(RUN) == ["a/b", "a_b"]
    assert store.curves(RUN, "loss")["value"].isna().sum() == 2
    assert store.arrays(RUN, "mask")["array"].iloc[0].dtype == bool
    assert store.run(RUN)["spec"] == json.loads(json.dumps(SPEC.content))


def test_a_run_that_is_here_stays_unless_asked(files, store):
    fill(store)
    with pytest.raises(RunIsHere, match=f"The run {RUN} is here already"):
        bring_in(store, zipped(files))
    assert store.run(RUN)["origin"] == "own"
    bring_in(store, zipped(files), replace=True)
    assert (store.run(RUN)["origin"], len(store.runs()), len(store.curves(RUN, "accuracy"))) == ("imported", 1, 100)
    with store.writing() as writer:
        writer.add_run(RUN, SPEC.slug, SPEC.preset, SPEC.content, "cpu", SPEC.cells())
    with pytest.raises(RunIsHere, match="under way"):
        bring_in(store, zipped(files), replace=True)


def test_a_run_that_had_not_ended_comes_in_as_interrupted(files, store):
    bring_in(store, changed(files, "runs", status="running"))
    assert store.run(RUN)["status"] == "interrupted"
    assert set(store.cells(RUN)["status"]) == {"completed"}


def test_a_result_of_one_s_own_counts_before_an_imported_one(files, store):
    bring_in(store, zipped(files))
    assert store.latest("lottery-ticket") == RUN
    with store.writing() as writer:
        writer.add_run("0" * 12, SPEC.slug, SPEC.preset, SPEC.content, "cpu", [])
        writer.finish_run("0" * 12, "completed", 1.0)
    assert store.latest("lottery-ticket") == "0" * 12
    assert store.seconds_of("lottery-ticket", "smoke", "cpu") == 1.0


def test_a_folder_may_hold_other_things(files, tmp_path):
    for name, body in (files | {"README.md": b"card", "notes.txt": b"mine"}).items():
        (tmp_path / name).write_bytes(body)
    assert read_folder(tmp_path).run == RUN


# --- whatever is wrong ------------------------------------------------------------------------------------------------


def refused(content: bytes, sentence: str, limits: Limits = LIMITS) -> None:
    with pytest.raises(UploadError, match=sentence) as raised:
        read_zip("run.zip", content, limits)
    said = str(raised.value)
    assert "\n" not in said and len(said) < 500 and re.search(r"[.)]$", said)


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        ({"../evil.parquet": b""}, "leads out of it"),
        ({"/etc/passwd": b""}, "leads out of it"),
        ({"C:\\evil.parquet": b""}, "leads out of it"),
        ({"evil.pkl": b""}, "'evil.pkl', which no export has"),
        ({"table x.parquet": b"PAR1"}, "damaged Parquet"),
        ({"sub/runs.parquet": b""}, "'runs.parquet' twice"),
        ({"table x.parquet": b"0" * 3_000_000}, "zip bomb"),
    ],
)
def test_members_are_those_of_an_export(files, extra, sentence):
    refused(zipped(files | extra), sentence)


def test_sizes_are_limited(files):
    content = zipped(files)
    refused(content, "at most .* can be imported", Limits(upload_bytes=1000))
    refused(content, "more than 3 files", Limits(members=3))
    refused(content, "202 rows; at most 10 are taken", Limits(rows=10))
    refused(content, "more than", Limits(unpacked_bytes=10_000))
    refused(b"no zip", "is no zip file")
    refused(content[: len(content) // 2], "damaged zip file")
    refused(zipped({name: body for name, body in files.items() if name != "cells.parquet"}), "has no cells.parquet")


def test_a_value_that_a_parquet_file_holds_once_is_counted_in_every_row(files):
    rows = pa.table({"arm": ["dense"] * 3000, "seed": [0] * 3000, "text": ["x" * 10_000] * 3000})
    content = zipped(files | {"table big.parquet": parquet(rows)})
    assert len(content) < 100_000
    refused(content, "unpacks to more than 20 MB", Limits(unpacked_bytes=20_000_000))


def cut(array: np.ndarray, **more) -> dict:
    return {"dtype": array.dtype.name, "shape": list(array.shape), "data": zlib.compress(array.tobytes())} | more


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (cut(np.zeros((3, 3)), dtype="object"), "has 'object', which no export has"),
        (cut(np.zeros((3, 3)), dtype="V8"), "has 'V8'"),
        (cut(np.zeros((3, 3)), shape=[3, 4]), "does not unpack to the"),
        (cut(np.zeros(10_000_000), shape=[1]), "does not unpack to the"),  # more than it says
        (cut(np.zeros(1), shape=[2**31 - 1, 2**31 - 1]), "is too large"),
        (cut(np.zeros(1), shape=[1] * 9), "of 9 dimensions"),
        (cut(np.zeros(1), data=b"garbage"), "does not unpack to the"),
        (cut(np.zeros((3, 3)), kind="embedding", part="labels"), "of 2 dimensions"),
        (cut(np.zeros((3, 3)), kind="pickle", part="object"), "which no array of this kind has"),
        (cut(np.zeros((3, 3)), seed=9), "arm 'dense' with seed 9, which this run has not"),
        (cut(np.zeros((3, 3)), arm="other"), "arm 'other'"),
    ],
)
def test_an_array_is_what_it_says(files, row, sentence):
    schema = pq.read_schema(pa.BufferReader(files["arrays.parquet"]))
    whole = {"run": RUN, "arm": "dense", "seed": 0, "kind": "matrix", "name": "w", "step": 0, "part": "values", "seconds": 0.0}
    rows = pa.Table.from_pylist([whole | row], schema=schema)
    refused(zipped(files | {"arrays.parquet": parquet(rows)}), sentence)


def spec(**more) -> str:
    return json.dumps(json.loads(json.dumps(SPEC.content)) | more)


@pytest.mark.parametrize(
    ("table", "columns", "sentence"),
    [
        ("runs", {"spec": spec(seeds=[0, 1, 2])}, "its name must be the hash of it"),
        ("runs", {"spec": spec(params={"prune": "much"})}, "its name must be the hash"),
        ("runs", {"spec": "{"}, "is no JSON"),
        ("runs", {"spec": "[" * 100_000}, "is no JSON"),
        ("runs", {"spec": "[]"}, "is not that of a run"),
        ("runs", {"spec": json.dumps({"params": {}, "arms": ["own"], "seeds": [0]}), "slug": "own"}, "is not that of a run of own"),
        ("runs", {"machine": '"x"'}, "is not that of a run"),
        ("runs", {"status": "triumphant"}, "has 'triumphant', which no export has"),
        ("runs", {"run": "../../etc/x"}, "has '../../etc/x'"),
        ("runs", {"device": "![x](https://example.org/x.png)"}, "which no export has"),
        ("runs", {"message": "x" * 300_000}, "a text of 300,000 characters; at most 200,000"),
        ("runs", {"created": None}, "has an empty place"),
        ("scalars", {"name": "[press](https://example.org)"}, "which no export has"),
        ("scalars", {"run": "0" * 12}, f"rows of another run than {RUN}"),
        ("scalars", {"seed": -1}, "a number that is not from 0 to"),
        ("cells", {"arm": "other"}, "cells in cells.parquet are not those"),
        ("cells", {"cell": 0}, "cells in cells.parquet are not those"),
        ("verdicts", {"verdict": "proven"}, "has 'proven'"),
        ("results", {"value": pa.array(["much"] * 4)}, "has the type string"),
        ("results", {"arm": "none"}, "arm 'none' with seed 0"),
    ],
)
def test_every_column_is_checked(files, table, columns, sentence):
    refused(changed(files, table, **columns), sentence)


def test_columns_and_rows_are_those_of_an_export(files):
    runs = pq.read_table(pa.BufferReader(files["runs.parquet"]))
    refused(zipped(files | {"runs.parquet": parquet(runs.drop_columns(["spec"]))}), "columns of runs.parquet .*'spec'")
    refused(zipped(files | {"runs.parquet": parquet(pa.concat_tables([runs, runs]))}), "has 2 runs; an export has one")
    table = pq.read_table(pa.BufferReader(files["table a_b.parquet"]))
    refused(zipped(files | {"table c.parquet": parquet(table.drop_columns(["arm"]))}), "columns of 'table c.parquet'")
    deep = pa.array([[[[[1]]]]] * len(table))
    refused(zipped(files | {"table c.parquet": parquet(table.append_column("deep", deep))}), "which is not taken")
    refused(zipped(files | {"table c.parquet": files["table a_b.parquet"]}), "has two tables 'a/b'")
    other = table.set_column(0, "arm", pc.replace_substring(table["arm"], "dense", "x"))
    refused(zipped(files | {"table c.parquet": parquet(other.replace_schema_metadata())}), "arm 'x'")


def test_the_parameters_of_a_known_paper_are_checked(files):
    """The name is the right hash, and the page would still have controls that cannot show it."""
    from core.engine.spec import identity

    content = json.loads(spec(params=SPEC.content["params"] | {"prune": 7.0}))
    run = identity(content)
    renamed = {
        f"{table}.parquet": parquet(rows.set_column(0, "run", pa.array([run] * len(rows), pa.string())))
        for table in EXPORTS
        if table != "tables"
        for rows in [pq.read_table(pa.BufferReader(files[f"{table}.parquet"]))]
    }
    refused(changed(files | renamed, "runs", spec=json.dumps(content)), "are not those of lottery-ticket: prune is 7.0; allowed")
