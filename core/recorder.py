"""What a running method calls to record. The type of a record chooses its picture.

    record.scalars(step, loss=loss, accuracy=accuracy)        curves; `series` keeps several of one name apart
    record.embedding(step, vectors, labels)                   points, (n, d) and (n,)
    record.predictions(step, logits, labels)                  reliability diagrams, (n, classes) and (n,)
    record.mask(step, "layer name", mask)                     pruning masks, boolean, any shape
    record.matrix(step, "name", array)                        heat maps and histograms, any shape
    record.images(step, "name", array)                        (n, height, width) or (n, height, width, 3) in [0, 1]
    record.table("name", rows)                                a dict, a list of dicts or a data frame; later calls append
    record.result(accuracy=0.97)                              the metrics that claims look at
    record.progress(done, total)                              for the progress bar and the time left

Arrays and numbers may be torch tensors on any device, numpy arrays or Python numbers. NaN and infinity are kept.

A method that computes all seeds at once (BATCHED) passes scalars and results with a leading axis of the seeds, and records
everything else through `record.seed(seed)`, which is a recorder of that seed alone.

A training script of one's own records into the same store, whether the app is open or not:

    from core.recorder import open_run
    with open_run("my experiment", params={"lr": 0.1}) as record:
        record.scalars(step, loss=loss)
"""

from __future__ import annotations

import errno
import json
import math
import os
import platform
import shutil
import sys
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

FLUSH_SECONDS = 0.25
FLUSH_CALLS = 50_000
UNREAD_FILES, UNREAD_SECONDS = 40, 10.0  # of a spool: a file every so many seconds where so many wait for a reader

SCALARS = pa.schema(
    [
        ("seed", pa.int64()),
        ("series", pa.dictionary(pa.int32(), pa.string())),
        ("name", pa.dictionary(pa.int32(), pa.string())),
        ("step", pa.int64()),
        ("seconds", pa.float64()),
        ("value", pa.float64()),
    ]
)


@dataclass(frozen=True)
class ArrayEvent:
    """One recorded array. `seconds` counts from the start of the cell."""

    seed: int
    kind: str
    name: str
    step: int
    part: str
    seconds: float
    array: np.ndarray


@dataclass(frozen=True)
class TableEvent:
    """Rows to append to a named table."""

    seed: int
    name: str
    rows: pa.Table


@dataclass(frozen=True)
class ResultEvent:
    """One final metric of one seed."""

    seed: int
    metric: str
    value: float


@dataclass
class Batch:
    """What was recorded since the last flush, as it travels from the worker to the store."""

    scalars: pa.RecordBatch | None = None
    arrays: list[ArrayEvent] = field(default_factory=list)
    tables: list[TableEvent] = field(default_factory=list)
    results: list[ResultEvent] = field(default_factory=list)
    progress: tuple[int, int] | None = None


@dataclass
class Calls:
    """Buffered calls of `scalars` that name the same values for the same seeds: `values` holds one a name, call by call."""

    steps: list[int] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)


class Recorder:
    """Buffers records and hands them to `sink` as batches, a few times a second and at `close`."""

    def __init__(self, sink: Callable[[Batch], None], seeds: Sequence[int]) -> None:
        self.flush_seconds = FLUSH_SECONDS
        self._sink = sink
        self._seeds = tuple(seeds)
        self._started = self._flushed = time.perf_counter()
        self._scalars: dict[tuple[tuple[int, ...], str, tuple[str, ...]], Calls] = {}  # by seeds, series and names
        self._batch = Batch()
        self._views = {seed: SeedRecorder(self, (seed,)) for seed in self._seeds}

    def seed(self, seed: int) -> SeedRecorder:
        """The recorder of one seed, for methods that compute all seeds at once."""
        return self._views[seed]

    def scalars(self, step: int, *, series: str = "", **values: Any) -> None:
        """Records named numbers at a step; with several seeds, numbers for all or one per seed in order."""
        self._record_scalars(self._seeds, step, series, values)

    def embedding(self, step: int, vectors: Any, labels: Any, *, name: str = "") -> None:
        """Records vectors (n, d) with integer labels (n,)."""
        self._only().embedding(step, vectors, labels, name=name)

    def predictions(self, step: int, logits: Any, labels: Any, *, name: str = "") -> None:
        """Records logits (n, classes) with integer labels (n,)."""
        self._only().predictions(step, logits, labels, name=name)

    def mask(self, step: int, layer: str, mask: Any) -> None:
        """Records a boolean mask of any shape: True survives."""
        self._only().mask(step, layer, mask)

    def matrix(self, step: int, name: str, array: Any) -> None:
        """Records a numeric array of any shape."""
        self._only().matrix(step, name, array)

    def images(self, step: int, name: str, array: Any) -> None:
        """Records images (n, height, width) or (n, height, width, 3), values in [0, 1]; kept with 8 bits."""
        self._only().images(step, name, array)

    def table(self, name: str, rows: Mapping[str, Any] | Iterable[Mapping[str, Any]] | pd.DataFrame) -> None:
        """Appends rows to a named table; a column may be a number, text or a bool."""
        self._only().table(name, rows)

    def result(self, **metrics: Any) -> None:
        """Records final metrics; with several seeds, one number for all or one per seed in order."""
        self._record_results(self._seeds, metrics)

    def progress(self, done: int, total: int) -> None:
        """Says how far the cell is, in any unit."""
        self._batch.progress = (int(done), int(total))
        self._maybe_flush(time.perf_counter())

    def flush(self) -> None:
        """Hands over what is buffered."""
        self._flushed = time.perf_counter()
        batch, self._batch = self._batch, Batch()
        scalars, self._scalars = self._scalars, {}
        if scalars:
            groups = [_columns(*key, calls, self._started) for key, calls in scalars.items()]
            batch.scalars = pa.concat_batches(groups)
        if batch.scalars or batch.arrays or batch.tables or batch.results or batch.progress:
            self._sink(batch)

    close = flush

    def _only(self) -> SeedRecorder:
        if len(self._seeds) != 1:
            raise ValueError(f"This cell runs the seeds {self._seeds} at once: record arrays and tables through record.seed(seed).")
        return self._views[self._seeds[0]]

    def _record_scalars(self, seeds: tuple[int, ...], step: int, series: str, values: dict[str, Any]) -> None:
        now = time.perf_counter()
        for name, value in values.items():
            if type(value) is not float:
                values[name] = _held(value, len(seeds), name)
        key = (seeds, series, tuple(values))
        calls = self._scalars.get(key)
        if calls is None:
            calls = self._scalars[key] = Calls()
        calls.steps.append(step)
        calls.moments.append(now)
        calls.values.extend(values.values())
        if now - self._flushed > self.flush_seconds or len(calls.steps) >= FLUSH_CALLS:
            self.flush()

    def _record_results(self, seeds: tuple[int, ...], metrics: Mapping[str, Any]) -> None:
        for metric, value in metrics.items():
            for seed, number in zip(seeds, _per_seed(value, len(seeds), metric), strict=True):
                self._batch.results.append(ResultEvent(seed, metric, number))
        self._maybe_flush(time.perf_counter())

    def _record_array(self, seed: int, kind: str, name: str, step: int, part: str, array: np.ndarray) -> None:
        now = time.perf_counter()
        self._batch.arrays.append(ArrayEvent(seed, kind, name, int(step), part, now - self._started, array))
        self._maybe_flush(now)

    def _record_table(self, seed: int, name: str, rows: pa.Table) -> None:
        self._batch.tables.append(TableEvent(seed, name, rows))
        self._maybe_flush(time.perf_counter())

    def _maybe_flush(self, now: float) -> None:
        if now - self._flushed > self.flush_seconds:
            self.flush()


class SeedRecorder:
    """Records of one seed. Made by Recorder.seed."""

    def __init__(self, recorder: Recorder, seeds: tuple[int]) -> None:
        self._recorder = recorder
        self._seeds = seeds

    def scalars(self, step: int, *, series: str = "", **values: Any) -> None:
        self._recorder._record_scalars(self._seeds, step, series, values)

    def embedding(self, step: int, vectors: Any, labels: Any, *, name: str = "") -> None:
        points = _array(vectors, np.float32)
        self._arrays("embedding", name, step, vectors=_expect(points, 2, "vectors (n, d)"), labels=_array(labels, np.int32))

    def predictions(self, step: int, logits: Any, labels: Any, *, name: str = "") -> None:
        scores = _array(logits, np.float32)
        self._arrays("predictions", name, step, logits=_expect(scores, 2, "logits (n, classes)"), labels=_array(labels, np.int32))

    def mask(self, step: int, layer: str, mask: Any) -> None:
        self._arrays("mask", layer, step, mask=_array(mask, np.bool_))

    def matrix(self, step: int, name: str, array: Any) -> None:
        self._arrays("matrix", name, step, values=_array(array))

    def images(self, step: int, name: str, array: Any) -> None:
        pixels = _array(array, np.float32)
        if pixels.ndim not in (3, 4) or (pixels.ndim == 4 and pixels.shape[-1] != 3):
            raise ValueError(
                f"images {name!r} have the shape {pixels.shape}; expected (n, height, width) or (n, height, width, 3)."
            )
        self._arrays("images", name, step, pixels=np.round(255 * np.clip(np.nan_to_num(pixels), 0, 1)).astype(np.uint8))

    def table(self, name: str, rows: Mapping[str, Any] | Iterable[Mapping[str, Any]] | pd.DataFrame) -> None:
        if isinstance(rows, Mapping):
            rows = [rows]
        if hasattr(rows, "to_dict"):
            frame = pa.Table.from_pandas(rows, preserve_index=False)
        else:
            frame = pa.Table.from_pylist([{key: _plain(value) for key, value in row.items()} for row in rows])
        reserved = {"arm", "seed"} & set(frame.column_names)
        if reserved:
            raise ValueError(
                f"The table {name!r} has a column {', '.join(sorted(reserved))}; every table gets arm and seed by itself."
            )
        self._recorder._record_table(self._seeds[0], name, frame)

    def result(self, **metrics: Any) -> None:
        self._recorder._record_results(self._seeds, metrics)

    def _arrays(self, kind: str, name: str, step: int, **parts: np.ndarray) -> None:
        lengths = {part: len(array) for part, array in parts.items()} if len(parts) > 1 else {}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"{kind} at step {step}: {' and '.join(f'{n} {part}' for part, n in lengths.items())} do not match.")
        for part, array in parts.items():
            self._recorder._record_array(self._seeds[0], kind, name, step, part, array)


def _held(value: Any, seeds: int, name: str) -> Any:
    """A number now, or a copy that nobody changes until the flush: reading it from a GPU would stall the loop."""
    if hasattr(value, "detach"):
        _expect_per_seed(value.numel(), seeds, name)
        value = value.detach()
        return value.clone() if value.device.type != "cpu" or value.numel() > 1 else float(value)
    if hasattr(value, "__len__"):
        return _per_seed(value, seeds, name)
    return float(value)


def _per_seed(value: Any, seeds: int, name: str) -> np.ndarray:
    """A copy as (seeds,) numbers."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()
    numbers = np.array(value, dtype=float).reshape(-1)
    _expect_per_seed(len(numbers), seeds, name)
    return np.broadcast_to(numbers, (seeds,))


def _expect_per_seed(count: int, seeds: int, name: str) -> None:
    if count not in (1, seeds):
        raise ValueError(f"{name} has {count} values; expected one, or one for each of the {seeds} seeds.")


def _columns(seeds: tuple[int, ...], series: str, names: tuple[str, ...], calls: Calls, started: float) -> pa.RecordBatch:
    """One row a call, name and seed, in that order."""
    if all(type(value) is float for value in calls.values):
        numbers = np.repeat(np.array(calls.values, dtype=float), len(seeds))
    else:
        each = names * len(calls.steps)
        numbers = np.concatenate([_per_seed(value, len(seeds), name) for value, name in zip(calls.values, each, strict=True)])
    rows = len(names) * len(seeds)  # of one call
    index = np.repeat(np.arange(len(names), dtype=np.int32), len(seeds))
    columns = [
        np.tile(np.array(seeds, dtype=np.int64), len(calls.steps) * len(names)),
        pa.DictionaryArray.from_arrays(np.zeros(len(numbers), np.int32), [series]),
        pa.DictionaryArray.from_arrays(np.tile(index, len(calls.steps)), names),
        np.repeat(np.array(calls.steps, dtype=np.int64), rows),
        np.repeat(np.array(calls.moments) - started, rows),
        numbers,
    ]
    return pa.RecordBatch.from_arrays([pa.array(column) for column in columns], schema=SCALARS)


def _array(value: Any, dtype: Any = None) -> np.ndarray:
    """A copy in numpy, in 32 bits where none is asked for and it was floating."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()
    array = np.array(value, dtype=dtype)
    return array.astype(np.float32) if dtype is None and array.dtype.kind == "f" else array


def _expect(array: np.ndarray, dimensions: int, what: str) -> np.ndarray:
    if array.ndim != dimensions:
        raise ValueError(f"Expected {what}, got the shape {array.shape}.")
    return array


def _plain(value: Any) -> Any:
    if hasattr(value, "item"):
        value = value.item()
    return math.nan if value is None else value


# --- a training script of one's own -------------------------------------------------------------------------------------

PIECES = pa.schema(
    [
        ("kind", pa.string()),  # scalars, table, result, or the kind of an array
        ("seed", pa.int64()),
        ("name", pa.string()),
        ("step", pa.int64()),
        ("part", pa.string()),
        ("seconds", pa.float64()),
        ("dtype", pa.string()),
        ("shape", pa.list_(pa.int64())),
        ("value", pa.float64()),  # of a result
        ("data", pa.large_binary()),  # an array row-major; scalars and tables as an Arrow stream
    ]
)
PIECE: dict[str, Any] = dict.fromkeys(PIECES.names)


@contextmanager
def open_run(
    title: str, params: Mapping[str, Any] | None = None, *, seeds: Sequence[int] = (0,), store: str | Path | None = None
) -> Iterator[Recorder]:
    """A recorder whose records appear in the app: on the pages Runs and Dynamics, under `title`, as they come.

    One process owns a store, and that is the app where it is open. So nothing is written to the store from here. Records go to a
    spool beside it, the folder `<store>.spool/<run>`, a numbered Arrow file a few times a second, and whoever has the store open
    takes them over: the app within a second, else the next program that opens the store. A file is written under another name
    first and taken over in the transaction that notes its number, so that a crash on either side loses at most what was recorded
    since the last file, and nothing comes twice. While the script lives it holds a lock on its folder; where the lock is gone
    without a word about the end, the run is `interrupted`. A run deleted in the app stays deleted: what still comes is dropped.

    Args:
        title: shown as it is. Two runs of one title stay two runs: nobody knows what decides a script's numbers.
        params: what the person wants to find again beside the curves; kept as JSON, anything else as its text.
        seeds: with several, record through `record.seed(seed)`; pages draw their mean and interval.
        store: the DuckDB file; default as everywhere: PROVING_GROUND_STORE, else the one in the user's data folder.

    A full disk does not end the script: it is warned, and records wait in its memory until there is space again.

    Raises:
        OSError: the spool's folder cannot be made or written.
    """
    started = time.perf_counter()
    spool = Spool.create(spool_folder(store), title, params or {}, seeds)
    recorder = Recorder(spool.write, seeds)
    spool.recorder = recorder
    status, message = "completed", ""
    try:
        yield recorder
    except BaseException as error:
        if not isinstance(error, SystemExit) or error.code:
            status = "cancelled" if isinstance(error, KeyboardInterrupt) else "failed"
            message = f"{type(error).__name__}: {error}"
        raise
    finally:
        recorder.close()
        spool.end(status, time.perf_counter() - started, message)


def spool_folder(store: str | Path | None = None) -> Path:
    """Where runs for a store wait for it; core.store.spool looks there."""
    named = store or os.environ.get("PROVING_GROUND_STORE")
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    path = Path(named).expanduser() if named else data / "proving-ground" / "store.duckdb"
    return path.with_name(f"{path.name}.spool")


class Spool:
    """The folder of one run: `run.json`, numbered Arrow files of PIECES, `end.json`, and `lock`, held while the script lives."""

    recorder: Recorder

    def __init__(self, folder: Path, lock: int) -> None:
        self.folder = folder
        self._lock = lock
        self._number = 0
        self._gone = False
        self._waiting: deque[tuple[str, Any]] = deque()  # files that a full disk has not taken

    @classmethod
    def create(cls, parent: Path, title: str, params: Mapping[str, Any], seeds: Sequence[int]) -> Spool:
        """A new folder, there for readers only once it is whole and locked."""
        import fcntl

        run = uuid.uuid4().hex[:12]
        making = parent / f".{run}"
        making.mkdir(parents=True)
        lock = os.open(making / "lock", os.O_CREAT | os.O_RDWR)
        fcntl.flock(lock, fcntl.LOCK_EX)
        about = {
            "title": str(title), "params": dict(params), "seeds": [int(seed) for seed in seeds],
            "created": datetime.now(UTC).replace(tzinfo=None).isoformat(),
            "machine": {"host": platform.node(), "python": platform.python_version(), "script": sys.argv[0]},
        }  # fmt: skip
        (making / "run.json").write_text(json.dumps(about, default=str), encoding="utf-8")
        making.rename(parent / run)
        return cls(parent / run, lock)

    def write(self, batch: Batch) -> None:
        """The next file. Where nobody reads them, they become fewer and longer."""
        rows = list(_pieces(batch))
        if not rows:
            return
        self._number += 1
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, PIECES) as file:
            file.write_table(pa.Table.from_pylist(rows, schema=PIECES))
        self._put(f"{self._number:08d}.arrow", sink.getvalue())
        unread = (self.folder / f"{self._number - UNREAD_FILES:08d}.arrow").exists()
        self.recorder.flush_seconds = UNREAD_SECONDS if unread else FLUSH_SECONDS

    def end(self, status: str, seconds: float, message: str = "") -> None:
        """Says how the run ended, and lets go of it."""
        self._put("end.json", json.dumps({"status": status, "seconds": seconds, "message": message}).encode())
        if self._waiting:
            warnings.warn(f"The disk with {self.folder} is still full: what was recorded last is lost.", stacklevel=2)
        os.close(self._lock)

    def _put(self, name: str, content: Any) -> None:
        """A file that is there whole or not at all, after those that wait."""
        if self._gone:
            return
        self._waiting.append((name, content))
        try:
            while self._waiting:
                name, content = self._waiting[0]
                (self.folder / f"{name}.part").write_bytes(content)
                (self.folder / f"{name}.part").rename(self.folder / name)
                self._waiting.popleft()
        except FileNotFoundError:
            self._waiting.clear()
            shutil.rmtree(self.folder, ignore_errors=True)
            self._gone = True
            warnings.warn("The run was deleted in the app: what is recorded from here on is dropped.", stacklevel=2)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            if len(self._waiting) == 1:
                warnings.warn(f"The disk with {self.folder} is full: what is recorded waits in memory for space.", stacklevel=2)


def _pieces(batch: Batch) -> Iterator[dict[str, Any]]:
    """A batch as rows of PIECES."""
    if batch.scalars is not None:
        yield PIECE | {"kind": "scalars", "data": _stream(pa.Table.from_batches([batch.scalars]))}
    for event in batch.arrays:
        facts = {"kind": event.kind, "seed": event.seed, "name": event.name, "step": event.step, "part": event.part}
        raw = np.ascontiguousarray(event.array)
        yield PIECE | facts | {
            "seconds": event.seconds, "dtype": raw.dtype.name, "shape": list(event.array.shape), "data": raw.tobytes()
        }  # fmt: skip
    for table in batch.tables:
        yield PIECE | {"kind": "table", "seed": table.seed, "name": table.name, "data": _stream(table.rows)}
    for result in batch.results:
        yield PIECE | {"kind": "result", "seed": result.seed, "name": result.metric, "value": float(result.value)}


def _stream(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return sink.getvalue().to_pybytes()
