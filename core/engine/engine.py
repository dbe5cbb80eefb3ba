"""The engine's thread: queue, workers, the store's only writer, verdicts."""

from __future__ import annotations

import dataclasses
import logging
import math
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from core.engine import inputs as inputs_of_runs
from core.engine import spec as specs
from core.engine.local import Worker
from core.engine.machine import Machine, usable_cores
from core.engine.messages import Done, Failed, Hello, Judge, Judged, RunCell
from core.engine.spec import Spec
from core.limits import UNLIMITED, Limits, from_environment
from core.methods import registry
from core.methods.base import ParameterError, Recorded
from core.recorder import Batch
from core.snapshots import SLUG
from core.store import Store, StoreError, Writer

log = logging.getLogger(__name__)
T = TypeVar("T")

ENDED = ("completed", "failed", "cancelled", "interrupted")
CELLS_PER_GPU = 4
WORKER_TRIES = 3
MEMORY_CHECK_SECONDS = 0.5
TURN_SECONDS = 0.15
WRITE_SECONDS = 0.5  # from one time that records are written to the next; the first points of a cell are written at once
SPOOL_SECONDS = 0.5
FULL_DISK_SECONDS = 5.0  # until what could not be written is tried again
CLEAN_SECONDS = 600


@dataclass(frozen=True)
class CellProgress:
    """How far one cell is; `eta_seconds` is None where nothing can be said yet."""

    arm: str
    seeds: tuple[int, ...]
    status: str
    fraction: float
    eta_seconds: float | None
    message: str


@dataclass(frozen=True)
class Progress:
    """How far a run is."""

    status: str
    fraction: float
    eta_seconds: float | None
    seconds: float
    cells: tuple[CellProgress, ...]
    message: str = ""


@dataclass
class _Cell:
    number: int
    arm: str
    seeds: tuple[int, ...]
    after: tuple[int, ...] = ()  # numbers of the cells that must be complete
    status: str = "queued"
    done: int = 0
    total: int = 0
    seconds: float | None = None
    started: float | None = None
    device: str = ""
    message: str = ""
    has_points: bool = False

    @property
    def fraction(self) -> float:
        if self.status in ENDED:
            return 1.0
        return min(self.done / self.total, 1.0) if self.total else 0.0

    def remaining(self) -> float | None:
        """Seconds left of a running cell, at its speed so far."""
        if self.started is None or not 0 < self.fraction < 1:
            return None
        return (time.monotonic() - self.started) * (1 - self.fraction) / self.fraction


@dataclass
class _Run:
    spec: Spec
    cells: list[_Cell]
    visitor: str = ""  # who asked for it first; empty where the app has one user
    status: str = "queued"
    started: float | None = None
    seconds: float | None = None  # once ended
    message: str = ""
    judging: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    def progress(self, workers: int) -> Progress:
        cells = tuple(CellProgress(c.arm, c.seeds, c.status, c.fraction, c.remaining(), c.message) for c in self.cells)
        seconds = self.seconds or (time.monotonic() - self.started if self.started is not None else 0.0)
        done = sum(cell.fraction for cell in cells) / len(cells)
        eta = self._eta(workers) if self.status == "running" else None
        return Progress(self.status, done, eta, seconds, cells, self.message)

    def _eta(self, workers: int) -> float | None:
        """Work left over the workers, a cell that has not begun taken to last as long as its arm's others, or as the mean."""
        durations: dict[str, list[float]] = {}
        left: list[tuple[str, float | None]] = []
        for cell in self.cells:
            remaining = cell.remaining()
            if cell.status == "completed" and cell.seconds is not None:
                durations.setdefault(cell.arm, []).append(cell.seconds)
            elif remaining is not None and cell.started is not None:
                durations.setdefault(cell.arm, []).append(time.monotonic() - cell.started + remaining)
            if cell.status not in ENDED:
                left.append((cell.arm, remaining))
        if not durations:
            return None
        means = {arm: sum(values) / len(values) for arm, values in durations.items()}
        overall = sum(means.values()) / len(means)
        seconds = [means.get(arm, overall) if remaining is None else remaining for arm, remaining in left]
        return max([sum(seconds) / max(min(workers, len(seconds)), 1), *seconds], default=0.0)


class LimitError(RuntimeError):
    """A visitor asks for more than a visitor may have, or for what is another's. The message says so."""


class Engine:
    """Runs specs on this machine and keeps what they record.

    Args:
        store_path: the DuckDB file, which this process will own.
        workers: how many cells run side by side; default PROVING_GROUND_WORKERS, or one per core.
        cell_seconds, cell_bytes: a cell that takes longer or holds more memory is ended with a message;
            defaults PROVING_GROUND_CELL_SECONDS (2 hours) and PROVING_GROUND_CELL_GIGABYTES (80% of the memory over the workers).
        limits: what visitors may ask for; default those of the environment.

    Methods that take a `visitor` do for it what it may do; "" may do everything.

    Raises:
        StoreError: the store cannot be opened.
        ValueError: a limit in the environment is no number.
    """

    def __init__(
        self,
        store_path: str | Path,
        workers: int | None = None,
        cell_seconds: float | None = None,
        cell_bytes: int | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.limits = limits or from_environment()
        self.store = Store.open(store_path)
        self.workers = workers or int(os.environ.get("PROVING_GROUND_WORKERS", 0)) or usable_cores()
        self.cell_seconds = cell_seconds or float(os.environ.get("PROVING_GROUND_CELL_SECONDS", 7200))
        self.cell_bytes = cell_bytes or _default_cell_bytes(self.workers)
        self.machine: Machine | None = None
        self._warm = threading.Event()
        self._calls: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._waker, self._wake = Pipe(duplex=False)
        self._pool: list[Worker] = []
        self._runs: dict[str, _Run] = {}  # in the order of submission; ended ones stay while the engine lives
        self._batches: dict[str, list[tuple[_Cell, Batch]]] = {}
        self._unwritten: set[str] = set()  # runs whose end the store does not know
        self._written = self._memory_checked = self._taken_in = time.monotonic()
        self._cleaned = -math.inf
        self._early_deaths = 0
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="engine", daemon=True)

    # --- for pages and the command line: any thread -----------------------------------------------------------------

    def start(self) -> Engine:
        """Starts the workers; they are warm a few seconds later."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Ends what runs as `interrupted`, ends the workers, closes the store."""
        if self._thread.is_alive():
            self._call(self._shut_down)
            self._thread.join()
        self.store.close()

    def __enter__(self) -> Engine:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def make_spec(
        self,
        slug: str,
        preset: str = "quick",
        params: Mapping[str, Any] | None = None,
        arms: Sequence[str] | None = None,
        seeds: int | Sequence[int] | None = None,
        device: str | None = None,
        inputs: Mapping[str, str] | None = None,
    ) -> Spec:
        """A checked spec for this machine; without `device` on CUDA where there is one, else on the CPU.

        Raises:
            UnknownMethod, ParameterError: with the sentence to show.
        """
        spec = specs.make_spec(slug, preset, params, arms, seeds, inputs=inputs)
        inputs_of_runs.check(self.store, spec.inputs)
        machine = self.wait_warm()
        device = machine.devices[0] if device in (None, "auto") else device
        if device not in machine.devices:
            raise ParameterError(f"device is {device!r}; this machine has: {', '.join(machine.devices)}.")
        chosen = registry.declared(slug).preset(preset)
        if chosen.needs and chosen.needs not in machine.devices:
            raise ParameterError(
                f"The preset {preset!r} of {slug} needs {chosen.needs}; this machine has: {', '.join(machine.devices)}."
            )
        if chosen.seconds > self.limits.run_seconds:
            raise ParameterError(
                f"The preset {preset!r} of {slug} takes about {chosen.seconds:,.0f} seconds; a run may take "
                f"{self.limits.run_seconds:,.0f} here. Choose a smaller one, or run it on a machine of your own."
            )
        items = spec.params.get("items", 0)
        if slug == SLUG and items > self.limits.snapshot_items:
            raise ParameterError(f"items is {items:,}; a snapshot may have {self.limits.snapshot_items:,.0f} here.")
        return dataclasses.replace(spec, device=device)

    def wait_warm(self, timeout: float = 300) -> Machine:
        """The machine, as soon as a worker has looked at it."""
        if not self._warm.wait(timeout) or self.machine is None:
            raise StoreError("The workers did not start; the log of the server says why.")
        return self.machine

    def submit(self, spec: Spec, again: bool = False, visitor: str = "") -> str:
        """Queues a spec and returns its run. A completed run of the same spec is kept as it is, unless `again`.

        Raises:
            LimitError: the visitor has as much under way as a visitor may have.
        """
        return self._call(lambda: self._submit(spec, again, visitor))

    def cancel(self, run: str, visitor: str = "") -> None:
        """Ends a queued or running run; what it recorded stays. One that others asked for too goes on, without the visitor.

        Raises:
            LimitError: the visitor did not ask for it.
        """
        self._call(lambda: self._leave(run, visitor, self._cancel))

    def delete(self, run: str, visitor: str = "") -> None:
        """Cancels a run where needed and removes all that it recorded. One that others asked for too stays, without the visitor.

        Raises:
            LimitError: the visitor did not ask for it.
        """
        self._call(lambda: self._leave(run, visitor, self._delete))

    @property
    def model_bytes(self) -> float:
        """Of the memory that a model may need here."""
        return min(self.cell_bytes, 1e9 * self.limits.model_gigabytes)

    def under_way(self, visitor: str) -> int:
        """How many runs of a visitor wait or run."""
        return sum(active.visitor == visitor for active in list(self._runs.values()) if active.status not in ENDED)

    def queue(self) -> list[tuple[str, Progress, str]]:
        """Every run that waits or runs, in the order of submission: its name, how far it is, and the visitor that asked for it."""
        return [
            (run, active.progress(self.workers), active.visitor)
            for run, active in list(self._runs.items())
            if active.status not in ENDED
        ]

    def clean(self) -> int:
        """Removes runs and uploads beyond the limits, as is done every CLEAN_SECONDS; returns how many."""
        return self._call(self._clean)

    def wait(self, run: str, timeout: float | None = None) -> bool:
        """Waits until a run has ended; False where the time was too short."""
        active = self._runs.get(run)
        return active.ended.wait(timeout) if active else True

    def progress(self, run: str) -> Progress | None:
        """How far a run is; None where there is none."""
        active = self._runs.get(run)
        if active:
            return active.progress(self.workers)
        row = self.store.run(run)
        if row is None:
            return None
        cells = tuple(
            CellProgress(c.arm, tuple(c.seeds), c.status, 1.0 if c.status == "completed" else 0.0, None, c.message)
            for c in self.store.cells(run).itertuples()
        )
        seconds = row["seconds"] if row["seconds"] and not math.isnan(row["seconds"]) else 0.0
        return Progress(row["status"], 1.0, None, seconds, cells, row["message"])

    # --- the engine's thread ----------------------------------------------------------------------------------------

    def _call(self, action: Callable[[], T]) -> T:
        """Runs `action` on the engine's thread and returns what it returned or raised."""
        if not self._thread.is_alive():
            raise RuntimeError("The engine is not running.")
        future: Future[T] = Future()
        self._calls.put((future, action))
        self._wake.send_bytes(b".")
        return future.result(timeout=60)

    def _loop(self) -> None:
        while not self._closing:
            try:
                self._turn()
            except Exception:  # the engine outlives any surprise; what it concerned is in the log
                log.exception("The engine met an error and goes on.")
                time.sleep(0.1)

    def _turn(self) -> None:
        while len(self._pool) < self.workers and self._early_deaths < WORKER_TRIES:
            self._pool.append(Worker())
        ready = wait([self._waker, *(worker.connection for worker in self._pool)], timeout=TURN_SECONDS)
        if self._waker in ready:
            self._waker.recv_bytes()
        while not self._calls.empty():
            future, action = self._calls.get()
            try:
                future.set_result(action())
            except Exception as error:  # belongs to the caller
                future.set_exception(error)
        for worker in [w for w in self._pool if w.connection in ready]:
            self._hear(worker)
        now = time.monotonic()
        if now - self._written >= WRITE_SECONDS:
            self._write_batches()
        if now - self._memory_checked >= MEMORY_CHECK_SECONDS:
            self._enforce_limits()
        if now - self._taken_in >= SPOOL_SECONDS:
            self._taken_in = now
            self._catch_up()
        if now - self._cleaned >= CLEAN_SECONDS:
            self._clean()
        self._hand_out()

    def _catch_up(self) -> None:
        """Writes what the store has refused before, and takes in what scripts have recorded."""
        try:
            for run in tuple(self._unwritten):
                self._write_end(run)
            self.store.take_in()
        except StoreError as error:
            log.error("Tried again in %g seconds: %s", FULL_DISK_SECONDS, error)
            self._taken_in += FULL_DISK_SECONDS

    def _hear(self, worker: Worker) -> None:
        try:
            for message in worker.received():
                self._handle(worker, message)
        except (EOFError, OSError):
            self._bury(worker, "The worker process ended unexpectedly (killed from outside, or a crash in a native library).")

    def _handle(self, worker: Worker, message: Any) -> None:
        if isinstance(message, Hello):
            self.machine, worker.warm, self._early_deaths = message.machine, True, 0
            self._warm.set()
            return
        run, cell = worker.task
        if isinstance(message, Batch):
            if message.progress:
                cell.done, cell.total = message.progress
            self._batches.setdefault(run, []).append((cell, message))
            if message.scalars is not None and not cell.has_points:
                cell.has_points, self._written = True, -math.inf
        elif isinstance(message, Judged):
            worker.task = None
            self._finish(run, message)
        else:
            worker.task = None
            self._write_batches()
            if isinstance(message, Done):
                self._end_cell(run, cell, "completed", message.seconds)
            elif isinstance(message, Failed):
                self._end_cell(run, cell, "failed", time.monotonic() - worker.since, message.message)

    def _bury(self, worker: Worker, reason: str, status: str = "failed") -> None:
        """Ends a worker; a new one takes its place at the next turn."""
        if worker not in self._pool:  # its run was given up meanwhile
            return
        self._pool.remove(worker)
        worker.end()
        if not worker.warm:
            self._early_deaths += 1
            if self._early_deaths >= WORKER_TRIES:
                log.error("Workers end before they are warm; none is started any more.")
                self._warm.set()
        if worker.task is None:
            return
        run, cell = worker.task
        self._write_batches()
        if cell is None:
            self._finish(run, Judged([], reason))
        else:
            self._end_cell(run, cell, status, time.monotonic() - worker.since, reason)

    def _submit(self, spec: Spec, again: bool, visitor: str) -> str:
        run = spec.run
        active = self._runs.get(run)
        kept = self.store.run(run)
        again = again and self.store.owners(run) <= {visitor}  # nobody's result is taken away by another's press
        if (active and active.status not in ENDED) or (kept and kept["status"] == "completed" and not again):
            if visitor:
                with self.store.writing() as writer:
                    writer.add_owner(run, visitor)
            return run
        if visitor and self.under_way(visitor) >= self.limits.visitor_runs:
            raise LimitError(
                f"{self.under_way(visitor)} runs of yours are under way, which is the most here. Wait for one, or cancel it."
            )
        pairs = spec.cells()
        method = registry.declared(spec.slug)
        numbers = {pair: number for number, pair in enumerate(pairs)}
        cells = [
            _Cell(number, arm, seeds, tuple(numbers[(name, seeds)] for name in method.arm(arm).after))
            for number, (arm, seeds) in enumerate(pairs)
        ]
        with self.store.writing() as writer:
            writer.add_run(run, spec.slug, spec.preset, spec.content, spec.device, pairs)
            if visitor:
                writer.add_owner(run, visitor)
        self._unwritten.discard(run)
        self._runs.pop(run, None)  # so that a run that is run again queues at the end
        self._runs[run] = _Run(spec, cells, visitor)
        return run

    def _leave(self, run: str, visitor: str, end: Callable[[str], None]) -> None:
        """Ends a run in one of two ways; one that others have asked for too only loses the visitor as its owner."""
        owners = self.store.owners(run)
        if not visitor or owners == {visitor}:
            end(run)
        elif visitor not in owners:
            raise LimitError("Only who asked for a run can end or delete it.")
        else:
            with self.store.writing() as writer:
                writer.remove_owner(run, visitor)

    def _cancel(self, run: str) -> None:
        active = self._runs.get(run)
        if active is None or active.status in ENDED:
            return
        self._stop_cells(run, "cancelled")
        self._end_run(run, "cancelled")

    def _stop_cells(self, run: str, status: str) -> None:
        for worker in [w for w in self._pool if w.task and w.task[0] == run]:
            if worker.task and worker.task[1] is None:  # it is judging
                worker.task = None
            self._bury(worker, "", status)
        for cell in self._runs[run].cells:
            if cell.status not in ENDED:
                self._end_cell(run, cell, status)

    def _delete(self, run: str) -> None:
        self._cancel(run)
        with self.store.writing() as writer:
            writer.remove_run(run)
        self.store.drop_waiting(run)
        self._unwritten.discard(run)
        self._runs.pop(run, None)

    def _shut_down(self) -> None:
        for run, active in self._runs.items():
            if active.status not in ENDED:
                self._stop_cells(run, "interrupted")
                self._end_run(run, "interrupted")
        for worker in self._pool:
            worker.end()
        self._closing = True

    def _hand_out(self) -> None:
        """Gives what is ready to idle workers."""
        if self._early_deaths >= WORKER_TRIES and not self._pool:
            for run, active in self._runs.items():
                if active.status not in ENDED:
                    self._give_up(run, "No worker process could be started; the log says why.")
        idle = [worker for worker in self._pool if worker.idle]
        for run, active in list(self._runs.items()):
            if active.status not in ENDED and not active.judging and all(cell.status in ENDED for cell in active.cells) and idle:
                self._judge(run, idle.pop())
        while idle and (chosen := self._next()):
            self._begin(*chosen[:2], idle.pop(), chosen[2])

    def _next(self) -> tuple[str, _Cell, str] | None:
        """The run and cell to begin now, with its device: of the visitor with the fewest running cells the run submitted first."""
        busy = Counter(self._runs[worker.task[0]].visitor for worker in self._pool if worker.task)
        waiting = [(run, active) for run, active in self._runs.items() if active.status not in ENDED]
        for run, active in sorted(waiting, key=lambda item: busy[item[1].visitor]):
            if active.visitor and busy[active.visitor] >= self.limits.visitor_cells:
                continue
            for cell in active.cells:
                if cell.status == "queued" and self._ready(run, cell):
                    device = self._device(active.spec.device)
                    if device:
                        return run, cell, device
        return None

    def _ready(self, run: str, cell: _Cell) -> bool:
        """Whether all that a cell comes after is complete; it fails where that cannot come to be."""
        for before in (self._runs[run].cells[number] for number in cell.after):
            if before.status in ENDED and before.status != "completed":
                self._end_cell(run, cell, "failed", message=f"{before.arm}, which {cell.arm} builds on, did not complete.")
            if before.status != "completed":
                return False
        return True

    def _device(self, device: str) -> str | None:
        """The device for one more cell: the GPU with the fewest cells, or None while all are full."""
        if device != "cuda" or self.machine is None:
            return device
        busy = [0] * self.machine.gpus
        for worker in self._pool:
            if worker.task and worker.task[1] is not None and worker.task[1].device.startswith("cuda:"):
                busy[int(worker.task[1].device[5:])] += 1
        gpu = busy.index(min(busy))
        return f"cuda:{gpu}" if busy[gpu] < CELLS_PER_GPU else None

    def _begin(self, run: str, cell: _Cell, worker: Worker, device: str) -> None:
        active, machine = self._runs[run], self.machine
        assert machine is not None  # a worker is warm
        first = active.status == "queued"

        def write(writer: Writer) -> None:
            if first:
                writer.start_run(run, machine.as_dict())
            writer.set_cell(run, cell.number, "running")

        if not self._write(run, write):
            return
        if first:
            active.status, active.started = "running", time.monotonic()
        cell.status, cell.started, cell.device = "running", time.monotonic(), device
        recorded = {active.cells[number].arm: self._recorded(run, active.cells[number]) for number in cell.after}
        spec = active.spec
        try:
            given = inputs_of_runs.read(self.store, spec.inputs, for_a_paper=registry.declared(spec.slug).paper.family != "lab")
            worker.start(
                (run, cell), RunCell(spec.slug, cell.arm, spec.params, cell.seeds, device, recorded, given, self.cell_bytes)
            )
        except ParameterError as error:  # the snapshot has no classes to tell apart, or was deleted while the run was waiting
            self._end_cell(run, cell, "failed", message=str(error))
        except OSError:
            self._bury(worker, "The worker process ended before it could begin.")

    def _recorded(self, run: str, cell: _Cell) -> list[Recorded]:
        kinds = ("embedding", "predictions", "mask", "matrix")
        frames = [self.store.arrays(run, kind, arm=cell.arm) for kind in kinds]
        rows = [row for frame in frames for row in frame.itertuples() if row.seed in cell.seeds]
        return [Recorded(row.kind, row.name, int(row.step), row.part, row.array) for row in rows]

    def _write(self, run: str, action: Callable[[Writer], None]) -> bool:
        """One transaction for a run, which ends as failed where the store refuses it (a full disk); False then."""
        try:
            with self.store.writing() as writer:
                action(writer)
        except StoreError as error:
            self._give_up(run, str(error))
            return False
        return True

    def _write_batches(self) -> None:
        """Everything heard since the last time, one transaction a run."""
        self._written = time.monotonic()
        batches, self._batches = self._batches, {}
        for run, heard in batches.items():
            self._write(run, lambda writer, run=run, heard=heard: _add_batches(writer, run, heard))  # type: ignore[misc]

    def _give_up(self, run: str, reason: str) -> None:
        """A run that cannot go on ends as failed; the engine goes on."""
        log.error("Run %s ends: %s", run, reason)
        active = self._runs[run]
        for worker in [w for w in self._pool if w.task and w.task[0] == run]:
            worker.task = None  # so that burying it writes nothing
            self._bury(worker, reason)
        for cell in active.cells:
            if cell.status not in ENDED:
                cell.status, cell.message = "failed", reason
        self._unwritten.add(run)
        self._end_run(run, "failed", reason)

    def _enforce_limits(self) -> None:
        self._memory_checked = time.monotonic()
        for worker in [w for w in self._pool if w.task]:
            memory = worker.memory()
            if time.monotonic() - worker.since > self.cell_seconds:
                self._bury(worker, f"Ended after {self.cell_seconds:g} seconds, the limit for one cell.")
            elif memory > self.cell_bytes:
                held, limit = memory / 2**30, self.cell_bytes / 2**30
                self._bury(worker, f"Ended at {held:.1f} GB of memory; the limit for one cell is {limit:.1f} GB.")
        for run, active in list(self._runs.items()):
            took = time.monotonic() - active.started if active.started is not None and active.status not in ENDED else 0.0
            if took > self.limits.run_seconds:
                self._give_up(run, f"Ended after {self.limits.run_seconds:,.0f} seconds, the limit for one run.")

    def _clean(self) -> int:
        self._cleaned = time.monotonic()
        if self.limits.keep_days == self.limits.store_gigabytes == UNLIMITED:
            return 0
        busy = [run for run, active in self._runs.items() if active.status not in ENDED]
        removed = self.store.clean(self.limits.keep_days, self.limits.store_gigabytes * 1e9, busy)
        for run in removed:
            self._runs.pop(run, None)
            self._unwritten.discard(run)
        return len(removed)

    def _end_cell(self, run: str, cell: _Cell, status: str, seconds: float | None = None, message: str = "") -> None:
        cell.status, cell.seconds, cell.message = status, seconds, message
        self._write(run, lambda writer: writer.set_cell(run, cell.number, status, seconds, message))

    def _judge(self, run: str, worker: Worker) -> None:
        """Lets a worker decide the claims: that may need torch, which this process does not load."""
        active = self._runs[run]
        active.judging = True
        tables = {name: self.store.table(run, name) for name in self.store.table_names(run)}
        try:
            worker.start((run, None), Judge(active.spec.slug, self.store.results(run), tables))
        except OSError:
            self._bury(worker, "The worker process ended before it could decide the claims.")

    def _finish(self, run: str, judged: Judged) -> None:
        active = self._runs[run]
        failed = [cell for cell in active.cells if cell.status != "completed"]
        message = f"{len(failed)} of {len(active.cells)} cells failed." if failed else ""
        if judged.message:
            message = f"{message} The claims could not all be decided.\n{judged.message}".strip()
        if self._write(run, lambda writer: writer.set_verdicts(run, judged.verdicts)):
            self._end_run(run, "failed" if message else "completed", message)

    def _end_run(self, run: str, status: str, message: str = "") -> None:
        active = self._runs[run]
        active.seconds = time.monotonic() - active.started if active.started is not None else None
        active.status, active.message = status, message
        try:
            self._write_end(run)
        except StoreError as error:
            log.error("The end of run %s is written later: %s", run, error)
            self._unwritten.add(run)
        active.ended.set()

    def _write_end(self, run: str) -> None:
        """What became of a run, and of its cells where the store has missed that."""
        active = self._runs[run]
        with self.store.writing() as writer:
            for cell in active.cells if run in self._unwritten else ():
                writer.set_cell(run, cell.number, cell.status, cell.seconds, cell.message)
            writer.finish_run(run, active.status, active.seconds, active.message)
        self._unwritten.discard(run)


def _add_batches(writer: Writer, run: str, heard: list[tuple[_Cell, Batch]]) -> None:
    scalars: dict[str, list[pa.RecordBatch]] = {}
    progress: dict[int, tuple[int, int]] = {}
    for cell, batch in heard:
        if batch.scalars is not None:
            scalars.setdefault(cell.arm, []).append(batch.scalars)
        for array in batch.arrays:
            writer.add_array(run, cell.arm, array)
        for table in batch.tables:
            writer.add_table(run, cell.arm, table.seed, table.name, table.rows)
        for result in batch.results:
            writer.add_result(run, cell.arm, result.seed, result.metric, result.value)
        if batch.progress:
            progress[cell.number] = batch.progress
    for arm, batches in scalars.items():
        writer.add_scalars(run, arm, pa.Table.from_batches(batches))
    for number, (done, total) in progress.items():
        writer.set_progress(run, number, done, total)


def _default_cell_bytes(workers: int) -> int:
    import psutil

    gigabytes = float(os.environ.get("PROVING_GROUND_CELL_GIGABYTES", 0))
    return int(gigabytes * 2**30) or int(0.8 * psutil.virtual_memory().total / workers)
