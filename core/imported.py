"""A run that was exported elsewhere: its files, as Store.export wrote them, checked until they can come into this store.

    export = read_zip("run.zip", content)      or read_folder(path)
    with store.writing() as writer:
        writer.bring_in(export.tables)

An export is a stranger's file. Nothing of it is written to disk or run, sizes are checked before and while it is unpacked, every
column has a type, a range and a length that it must keep, and a run's name must be the hash of the experiment that it describes.
Whatever is wrong is an UploadError with one sentence.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.data.uploads import LITTER, Limits, UploadError, check_path, shown, size, unpacked
from core.engine.spec import INPUT_KINDS, identity
from core.methods import registry
from core.methods.base import Method, ParameterError
from core.store.arrays import encode_table
from core.store.store import TABLE_NAME

if TYPE_CHECKING:
    import pyarrow as pa

OWN = "own"  # the slug of a script's run, which no hash names
LIMITS = Limits(members=5_000, rows=20_000_000)
TOGETHER = 1 << 16  # rows of a table without long texts that are read at once
ARRAY_BYTES = 500_000_000  # of one array, unpacked
ARRAYS_BYTES = 4_000_000_000  # of all
NAME, TEXT = 200, 200_000  # characters
ROWS = {"runs": 100, "cells": 100_000, "arrays": 200_000, "results": 1_000_000, "verdicts": 1_000}  # else what Limits say
DEPTH = 3  # of lists and structs in a table's column
BESIDE = re.compile(r"results\.(csv|json)|README\.md|\.gitattributes")  # what an export also has, and is not read
FREE = re.compile(r"table [^/]{1,200}\.parquet")
STATUS = "completed|failed|cancelled|interrupted|queued|running"
VERDICT = "holds|does not hold|undecided|not testable here"
NUMBERS = "bool|u?int(8|16|32|64)|float(16|32|64)|complex(64|128)"  # what an array may hold
MARKUP = r"\]\(|://|[\x00-\x1f\x7f]"  # what would make a link of a name, or a line of its own
DIMENSIONS = {  # of the parts of an array by its kind; any where none is named
    ("embedding", "vectors"): (2,), ("embedding", "labels"): (1,), ("predictions", "logits"): (2,), ("predictions", "labels"): (1,),
    ("predictions", "confidence"): (1,), ("predictions", "correct"): (1,), ("mask", "mask"): None, ("matrix", "values"): None,
    ("images", "pixels"): (3, 4),
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """What a column holds.

    Attributes:
        kind: text, whole, number, time, wholes (a list), or bytes.
        most: characters of a text, or the largest whole number.
        least: the smallest whole number.
        optional: whether it may be empty.
        pattern: that every text must match.
    """

    kind: str
    most: int = 2**31 - 1
    least: int = 0
    optional: bool = False
    pattern: str = ""


NAMED, LONG, RUN = Column("text", NAME), Column("text", TEXT), Column("text", NAME, pattern="[0-9a-f]{12}")
SLUG, STATE = Column("text", NAME, pattern="[a-z0-9-]+"), Column("text", NAME, pattern=STATUS)
SMALL, LARGE, STEP, NUMBER = Column("whole"), Column("whole", 2**62), Column("whole", 2**62, -(2**62)), Column("number")
SECONDS, MOMENT = Column("number", optional=True), Column("time", optional=True)
COLUMNS: Mapping[str, Mapping[str, Column]] = {
    "runs": {
        "run": RUN, "slug": SLUG, "preset": SLUG, "spec": LONG, "origin": NAMED, "status": STATE, "created": Column("time"),
        "started": MOMENT, "finished": MOMENT, "seconds": SECONDS, "device": NAMED, "machine": Column("text", TEXT, optional=True),
        "message": LONG,
    },
    "cells": {
        "run": RUN, "cell": SMALL, "arm": NAMED, "seeds": Column("wholes"), "status": STATE, "done": LARGE, "total": LARGE,
        "seconds": SECONDS, "message": LONG,
    },
    "scalars": {
        "run": RUN, "arm": NAMED, "seed": SMALL, "series": NAMED, "name": NAMED, "step": STEP, "seconds": NUMBER, "value": NUMBER,
    },
    "arrays": {
        "run": RUN, "arm": NAMED, "seed": SMALL, "kind": NAMED, "name": NAMED, "step": STEP, "part": NAMED, "seconds": NUMBER,
        "dtype": Column("text", NAME, pattern=NUMBERS), "shape": Column("wholes"), "data": Column("bytes"),
    },
    "results": {"run": RUN, "arm": NAMED, "seed": SMALL, "metric": NAMED, "value": NUMBER},
    "verdicts": {
        "run": RUN, "claim": NAMED, "text": LONG, "verdict": Column("text", NAME, pattern=VERDICT), "effect": NUMBER,
        "low": NUMBER, "high": NUMBER, "n": SMALL, "smallest": NUMBER, "unit": NAMED, "detail": LONG,
    },
}  # fmt: skip
FILES = {f"{table}.parquet" for table in COLUMNS}


@dataclass(frozen=True)
class Export:
    """A run ready to come in.

    Attributes:
        run: its name.
        slug, preset: of what it is a run.
        tables: the store's tables, as Writer.bring_in takes them.
    """

    run: str
    slug: str
    preset: str
    tables: dict[str, pa.Table]


def read_zip(name: str, content: bytes, limits: Limits = LIMITS) -> Export:
    """The run in a zip, which a page's Export made. Raises: UploadError."""
    if len(content) > limits.upload_bytes:
        raise UploadError(f"{name} has {size(len(content))}; at most {size(limits.upload_bytes)} can be imported.")
    if content[:4] != b"PK\x03\x04":
        raise UploadError(f"{name} is no zip file. Choose one that Export has made.")
    if content.count(b"PK\x01\x02") > limits.members:  # how the entry of each member begins: counted before they are read
        raise UploadError(f"{name} has more than {limits.members:,} files, which is the most that an export has.")
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
        raise UploadError(f"{name} is a damaged zip file. Export the run anew.") from error
    files: dict[str, bytes] = {}
    with archive:
        members = [one for one in archive.infolist() if not one.is_dir() and not set(one.filename.split("/")) & set(LITTER)]
        for member in members:
            file = check_path(name, member).name  # in whatever folder: a packed one is an export, too
            if file in files:
                raise UploadError(f"{name} has the file {shown(file)} twice. Export the run anew.")
            if not BESIDE.fullmatch(file) and not FREE.fullmatch(file) and file not in FILES:
                raise UploadError(
                    f"{name} has the file {shown(member.filename)}, which no export has. Choose one that Export has made."
                )
            left = limits.unpacked_bytes - sum(map(len, files.values()))
            files[file] = b"" if BESIDE.fullmatch(file) else unpacked(name, archive, member, left, limits)
    return _read(name, files, limits)


def read_folder(folder: Path, limits: Limits = LIMITS) -> Export:
    """The run in a folder, which `python -m core export` wrote. Other files in it are passed over. Raises: UploadError."""
    paths = [path for path in sorted(folder.iterdir()) if path.name in FILES or FREE.fullmatch(path.name)]
    total = sum(path.stat().st_size for path in paths)
    if total > limits.unpacked_bytes:
        raise UploadError(f"The files in {folder} have {size(total)}; at most {size(limits.unpacked_bytes)} can be imported.")
    return _read(str(folder), {path.name: path.read_bytes() for path in paths}, limits)


def _read(name: str, files: Mapping[str, bytes], limits: Limits) -> Export:
    """All tables, each by itself and then together."""
    missing = sorted(FILES - files.keys())
    if missing:
        raise UploadError(f"{name} has no {missing[0]}, so it is no whole export of a run. Export the run anew.")
    budget = _Budget(limits.unpacked_bytes)
    tables = {table: _table(table, files[f"{table}.parquet"], columns, budget, limits) for table, columns in COLUMNS.items()}
    runs = tables["runs"].to_pylist()
    if len(runs) != 1:
        raise UploadError(f"runs.parquet has {len(runs)} runs; an export has one.")
    row = runs[0]
    for table, rows in tables.items():
        if len(rows) and rows["run"].unique().to_pylist() != [row["run"]]:
            raise UploadError(f"{table}.parquet has rows of another run than {row['run']}.")
    method = _declared(row["slug"])
    spec = _spec(row, method)
    seeds = _cells(tables["cells"].to_pylist(), spec)
    free = [_free(file, content, budget, limits) for file, content in files.items() if FREE.fullmatch(file)]
    tables["tables"] = _kept(row["run"], free)
    for table in ("scalars", "arrays", "results", "tables"):
        _check_places(table, tables[table], seeds)
    _check_arrays(tables["arrays"])
    return Export(row["run"], row["slug"], row["preset"], tables)


# --- what belongs together --------------------------------------------------------------------------------------------


def _declared(slug: str) -> Method | None:
    """The paper or tool; None of a script's own run, or of a paper that is not here."""
    try:
        return registry.declared(slug)
    except registry.UnknownMethod:
        return None


def _spec(row: Mapping[str, Any], method: Method | None) -> dict[str, Any]:
    """The experiment, in the form that pages read. Raises: UploadError where it has another, or another name."""
    faulty = UploadError(f"The spec in runs.parquet is not that of a run of {row['slug']}.")
    try:
        spec, machine = json.loads(row["spec"]), json.loads(row["machine"] or "null")
    except (ValueError, RecursionError):
        raise UploadError("The spec or the machine in runs.parquet is no JSON.") from None
    if not isinstance(spec, dict) or not isinstance(spec.get("params"), dict) or not isinstance(machine, (dict, type(None))):
        raise faulty
    if not _is_list(spec.get("arms"), str) or not _is_list(spec.get("seeds"), int) or not 1 <= len(spec["seeds"]) <= 1000:
        raise faulty
    given = spec.get("inputs", {})
    if not isinstance(given, dict) or not _is_list([*given.values()], str) or not set(given) <= {*INPUT_KINDS, "upload", "weights"}:
        raise faulty
    if row["slug"] == OWN:
        if not isinstance(spec.get("title"), str) or len(spec["title"]) > NAME:
            raise faulty
        return spec
    if spec.get("slug") != row["slug"] or identity(spec) != row["run"]:
        raise UploadError(f"The run {row['run']} is not that of the experiment in runs.parquet: its name must be the hash of it.")
    if method:
        _check_params(spec, method)
    return spec


def _is_list(values: Any, kind: type) -> bool:
    """Whether it is a list of whole numbers, or of short texts."""
    return isinstance(values, list) and all(type(one) is kind and len(str(one)) <= NAME for one in values)


def _check_params(spec: Mapping[str, Any], method: Method) -> None:
    """Arms and parameters must be the method's. One that a paper of another version has is passed over, as pages do."""
    strange = set(spec["arms"]) - {arm.name for arm in method.arms}
    if strange:
        raise UploadError(
            f"{method.slug} has no arm {shown(min(strange))} here. Import the run where the paper has the same version."
        )
    needed = {"model", "revision", "data"} & set(method.params) if method.slug in registry.tools() else set()
    try:
        for name, parameter in method.params.items():
            if name in spec["params"]:
                parameter.parse(spec["params"][name])
            elif name in needed:
                raise ParameterError(f"{name} is missing.")
    except ParameterError as error:
        raise UploadError(f"The parameters in runs.parquet are not those of {method.slug}: {str(error)[:NAME]}") from None


def _cells(cells: list[dict[str, Any]], spec: Mapping[str, Any]) -> dict[str, set[int]]:
    """The seeds of every arm."""
    seeds: dict[str, set[int]] = {}
    for cell in cells:
        seeds.setdefault(cell["arm"], set()).update(cell["seeds"])
    numbers = {cell["cell"] for cell in cells}
    if len(numbers) < len(cells) or not set(seeds) <= set(spec["arms"]) or not set().union(*seeds.values()) <= set(spec["seeds"]):
        raise UploadError("The cells in cells.parquet are not those of the experiment in runs.parquet.")
    return seeds


def _check_places(table: str, rows: pa.Table, seeds: Mapping[str, set[int]]) -> None:
    """Every row is of an arm and a seed that the run has."""
    found = rows.group_by(["arm", "seed"]).aggregate([])
    for arm, seed in zip(found["arm"].to_pylist(), found["seed"].to_pylist(), strict=True):
        if seed not in seeds.get(arm, ()):
            raise UploadError(f"{table}.parquet has rows of arm {shown(arm)} with seed {seed}, which this run has not.")


def _check_arrays(rows: pa.Table) -> None:
    """Every array is as large as it says, and unpacks to no more than that."""
    total = 0
    for row in rows.to_batches(max_chunksize=1) if len(rows) else ():
        kind, part, name, dtype, shape = (row[column][0].as_py() for column in ("kind", "part", "name", "dtype", "shape"))
        what = f"The {kind} {shown(name)} in arrays.parquet"
        allowed = DIMENSIONS.get((kind, part), ())
        if (allowed is not None and len(shape) not in allowed) or len(shape) > 8:
            raise UploadError(f"{what} has a part {shown(part)} of {len(shape)} dimensions, which no array of this kind has.")
        count = 1
        for length in shape:
            count *= length
        expected = -(-count // 8) if dtype == "bool" else count * np.dtype(dtype).itemsize
        total += expected
        if expected > ARRAY_BYTES or total > ARRAYS_BYTES:
            raise UploadError(f"{what} is too large: an array may have {size(ARRAY_BYTES)}, and all together {size(ARRAYS_BYTES)}.")
        unpacker = zlib.decompressobj()
        try:
            data = unpacker.decompress(row["data"][0].as_buffer(), expected + 1)
        except zlib.error:
            data = b""
        if len(data) != expected or not unpacker.eof:
            raise UploadError(f"{what} does not unpack to the {size(expected)} that its shape says.")


# --- Parquet ----------------------------------------------------------------------------------------------------------


class _Budget:
    """How many bytes of memory all tables may still take."""

    def __init__(self, left: int) -> None:
        self.left = self.whole = left

    def take(self, count: int) -> None:
        self.left -= count
        if self.left < 0:
            raise UploadError(f"The export unpacks to more than {size(self.whole)}, which is the most that is taken.")


def _table(name: str, content: bytes, columns: Mapping[str, Column], budget: _Budget, limits: Limits) -> pa.Table:
    """One of the store's tables, every column checked."""
    import pyarrow as pa

    file = f"{name}.parquet"
    short = [key for key, column in columns.items() if column.kind == "text" and column.most <= NAME]
    long = any(column.kind in ("text", "bytes") and key not in short for key, column in columns.items())

    def expect(names: list[str]) -> None:
        if set(names) != set(columns) or len(names) != len(columns):
            odd = sorted(set(names) ^ set(columns)) or names
            raise UploadError(f"The columns of {file} are not those of an export: {shown(odd[0])} is missing, or too much.")

    def check(batch: pa.RecordBatch) -> pa.RecordBatch:
        arrays = [_checked(f"{key} in {file}", batch.column(key), column) for key, column in columns.items()]
        return pa.RecordBatch.from_arrays(arrays, names=list(columns))

    return _batches(file, content, expect, check, budget, limits, short, long)


def _batches(
    file: str,
    content: bytes,
    expect: Callable[[list[str]], None],
    check: Callable[[pa.RecordBatch], pa.RecordBatch],
    budget: _Budget,
    limits: Limits,
    short: Iterable[str] = (),
    long: bool = True,
) -> pa.Table:
    """A Parquet file, batch by batch: a value that the file holds once may stand in many rows.

    Args:
        short: columns that are read as indices into their different values. long: whether others may have long values.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(pa.BufferReader(content), read_dictionary=list(short))
        about = parquet.metadata
        expect(parquet.schema_arrow.names)
        most = min(limits.rows, ROWS.get(file.removesuffix(".parquet"), limits.rows))
        if about.num_rows > most:
            raise UploadError(f"{shown(file)} has {about.num_rows:,} rows; at most {most:,} are taken.")
        whole = sum(about.row_group(number).total_byte_size for number in range(about.num_row_groups))
        if whole > budget.left:
            budget.take(whole)
        rows = max(1, min(TOGETHER, limits.unpacked_bytes // max(whole, 1))) if long else TOGETHER
        pieces = []
        for batch in parquet.iter_batches(rows):
            batch.validate(full=True)
            pieces.append(check(batch))
            budget.take(pieces[-1].nbytes)
        return pa.Table.from_batches(pieces) if pieces else pa.Table.from_batches([check(_nothing(parquet.schema_arrow))])
    except UploadError:
        raise
    except (pa.ArrowException, OSError, MemoryError, ValueError, OverflowError) as error:
        raise UploadError(f"{shown(file)} is a damaged Parquet file. Export the run anew.") from error


def _nothing(schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in schema], schema=schema)


def _checked(what: str, values: pa.Array, column: Column) -> pa.Array:
    """A column in the type of its kind. Raises: UploadError."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    inner = values.type.value_type if types.is_dictionary(values.type) else values.type
    fits = {
        "text": lambda kind: types.is_string(kind) or types.is_large_string(kind),
        "bytes": lambda kind: types.is_binary(kind) or types.is_large_binary(kind),
        "whole": types.is_integer,
        "number": types.is_floating,
        "time": types.is_timestamp,
        "wholes": lambda kind: types.is_list(kind) and types.is_integer(kind.value_type),
    }[column.kind]
    if not fits(inner):
        raise UploadError(f"The column {what} has the type {inner}; an export has another.")
    if values.null_count and not column.optional:
        raise UploadError(f"The column {what} has an empty place.")
    if column.kind == "text":
        texts = values.dictionary if types.is_dictionary(values.type) else values
        longest = pc.max(pc.utf8_length(texts)).as_py() or 0
        if longest > column.most:
            raise UploadError(f"The column {what} has a text of {longest:,} characters; at most {column.most:,} are taken.")
        odd = pc.match_substring_regex(texts, MARKUP if column.most == NAME else r"\x00")
        if column.pattern:
            odd = pc.or_(odd, pc.invert(pc.match_substring_regex(texts, f"^(?:{column.pattern})$")))
        if pc.any(odd).as_py():
            raise UploadError(f"The column {what} has {shown(texts.filter(odd)[0].as_py())}, which no export has.")
        return values.cast(pa.string())
    if column.kind in ("whole", "wholes"):
        flat = values.flatten() if column.kind == "wholes" else values
        ends = pc.min_max(flat).as_py()
        outside = ends["min"] is not None and (ends["min"] < column.least or ends["max"] > column.most)
        if outside or (column.kind == "wholes" and flat.null_count):
            raise UploadError(f"The column {what} has a number that is not from {column.least:,} to {column.most:,}.")
    types_of = {
        "bytes": pa.binary(), "whole": pa.int64(), "number": pa.float64(), "time": pa.timestamp("us"),
        "wholes": pa.list_(pa.int64()),
    }  # fmt: skip
    return values.cast(types_of[column.kind])


# --- tables that a run has named itself -------------------------------------------------------------------------------


def _free(file: str, content: bytes, budget: _Budget, limits: Limits) -> tuple[str, pa.Table]:
    """Its name and its rows, with arm and seed in front."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import pyarrow.types as types

    def expect(names: list[str]) -> None:
        if names[:2] != ["arm", "seed"] or len(set(names)) != len(names) or len(names) > limits.columns:
            raise UploadError(f"The columns of {shown(file)} are not those of an export.")
        if max(map(len, names)) > NAME:
            raise UploadError(f"A column of {shown(file)} has a name of more than {NAME} characters.")

    def check(batch: pa.RecordBatch) -> pa.RecordBatch:
        for column in batch.schema:
            if not _is_plain(column.type, DEPTH):
                raise UploadError(
                    f"The column {shown(column.name)} of {shown(file)} has the type {column.type}, which is not taken."
                )
        columns = [column.dictionary_decode() if types.is_dictionary(column.type) else column for column in batch.columns]
        columns[:2] = (_checked(f"{key} in {shown(file)}", columns[at], kind) for at, (key, kind) in enumerate(places))
        return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)

    places = (("arm", NAMED), ("seed", SMALL))
    rows = _batches(file, content, expect, check, budget, limits)
    told = (pq.read_schema(pa.BufferReader(content)).metadata or {}).get(TABLE_NAME)
    name = file.removeprefix("table ").removesuffix(".parquet") if told is None else told.decode("utf-8", "replace")
    if len(name) > NAME or re.search(MARKUP, name):
        raise UploadError(f"The table in {shown(file)} has the name {shown(name)}, which is not taken.")
    return name, rows


def _is_plain(kind: pa.DataType, depth: int) -> bool:
    """Whether values of a type are numbers, texts, times, or lists and records of these."""
    import pyarrow.types as types

    if types.is_list(kind) or types.is_large_list(kind):
        return depth > 0 and _is_plain(kind.value_type, depth - 1)
    if types.is_struct(kind):
        return depth > 0 and all(_is_plain(field.type, depth - 1) for field in kind)
    if types.is_dictionary(kind):
        return _is_plain(kind.value_type, 0)
    return any(
        fits(kind)
        for fits in (
            types.is_integer, types.is_floating, types.is_boolean, types.is_string, types.is_large_string, types.is_null,
            types.is_timestamp, types.is_date, types.is_duration, types.is_binary, types.is_large_binary,
        )
    )  # fmt: skip


def _kept(run: str, free: Iterable[tuple[str, pa.Table]]) -> pa.Table:
    """Such tables as the store keeps them, a piece an arm and seed."""
    import pyarrow as pa
    import pyarrow.compute as pc

    rows, names = [], set()
    for name, table in free:
        if name in names:
            raise UploadError(f"The export has two tables {shown(name)}. Export the run anew.")
        names.add(name)
        found = table.select(["arm", "seed"]).group_by(["arm", "seed"], use_threads=False).aggregate([])
        for arm, seed in zip(found["arm"].to_pylist(), found["seed"].to_pylist(), strict=True):
            mine = table.filter(pc.and_(pc.equal(table["arm"], arm), pc.equal(table["seed"], seed)))
            piece = mine.drop_columns(["arm", "seed"])
            rows.append({"run": run, "arm": arm, "seed": seed, "name": name, "rows": encode_table(piece)})
    kinds = {"run": pa.string(), "arm": pa.string(), "seed": pa.int64(), "name": pa.string(), "rows": pa.binary()}
    return pa.Table.from_pylist(rows, schema=pa.schema(list(kinds.items())))
