"""Runs that scripts of people's own record (core.recorder.open_run) wait in a folder beside the store; here they come in.

A run's folder holds

    run.json           title, params, seeds, created, machine
    00000001.arrow     what was recorded, file by file; rows with the columns kind, seed, name, step, part, seconds, dtype, shape,
                       value, data
    end.json           status, seconds, message, once it has ended
    lock               held by the script while it lives

The run's one cell counts in `done` the files that were taken over, so that none comes twice, whatever crashes when.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from core.store.store import Store
    from core.store.writer import Writer

SLUG = "own"
ARM = "own"
FILES_AT_ONCE = 200  # of one run in one transaction
log = logging.getLogger(__name__)


def folder_of(store: Path) -> Path:
    """Where runs for a store wait; core.recorder.spool_folder says the same."""
    return store.with_name(f"{store.name}.spool")


def take_in(store: Store) -> None:
    """Brings in what scripts have recorded since the last time, and how their runs ended. A damaged run is left and logged."""
    for folder in _waiting(folder_of(store.path)):
        try:
            while _take_in_run(store, folder):
                pass
        except (FileNotFoundError, ValueError, KeyError, pa.ArrowException):
            if folder.exists():  # else it was deleted meanwhile
                log.exception("The run that waits in %s cannot be read, and is set aside.", folder)
                folder.rename(folder.with_name(f".damaged-{folder.name}"))
        except OSError:
            log.exception("The run that waits in %s could not be read; it stays there.", folder)


def drop(store: Path, run: str) -> None:
    """Removes what waits of a run that is deleted; its script drops the rest."""
    shutil.rmtree(folder_of(store) / run, ignore_errors=True)


def _waiting(parent: Path) -> Iterator[Path]:
    if parent.is_dir():
        yield from sorted(path for path in parent.iterdir() if path.is_dir() and not path.name.startswith("."))


def _take_in_run(store: Store, folder: Path) -> bool:
    """One transaction of a run; whether there is more."""
    run, alive = folder.name, _is_held(folder / "lock")  # looked at before the files, so that none is written after them
    files = sorted(folder.glob("*.arrow"))
    row = store.run(run)
    taken = 0 if row is None else int(store.cells(run)["done"].iloc[0])
    fresh = [file for file in files if int(file.stem) > taken][:FILES_AT_ONCE]
    over = not alive and not [file for file in files if int(file.stem) > taken + len(fresh)]
    if row is not None and row["status"] == "running" and not fresh and not over:
        return False
    with store.writing() as writer:
        if row is None:
            _begin(writer, run, json.loads((folder / "run.json").read_text(encoding="utf-8")))
        elif row["status"] != "running":
            writer.resume_run(run)
        for file in fresh:
            _add(writer, run, file)
            writer.set_progress(run, 0, int(file.stem), 0)
        if over:
            end = _end(folder)
            writer.set_cell(run, 0, end.status, end.seconds, end.message)
            writer.finish_run(run, end.status, end.seconds, end.message)
    if over:
        shutil.rmtree(folder)
    else:
        for file in fresh:
            file.unlink()
    return not over and bool(fresh)


@dataclass(frozen=True)
class _End:
    status: str
    seconds: float | None
    message: str = ""


def _end(folder: Path) -> _End:
    path = folder / "end.json"
    if not path.exists():
        return _End("interrupted", None, "The script ended without a word: it was killed, or the machine stopped.")
    return _End(**json.loads(path.read_text(encoding="utf-8")))


def _is_held(lock: Path) -> bool:
    """Whether the script lives: the system lets go of its lock when it ends, however it ends."""
    import fcntl

    file = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _begin(writer: Writer, run: str, about: dict[str, Any]) -> None:
    machine = about["machine"]
    spec = {
        "slug": SLUG, "title": about["title"], "params": about["params"], "arms": [ARM], "seeds": about["seeds"],
        "device": machine["host"],
    }  # fmt: skip
    writer.add_run(run, SLUG, "script", spec, machine["host"], [(ARM, about["seeds"])])
    writer.start_run(run, machine)
    writer.set_cell(run, 0, "running")


def _add(writer: Writer, run: str, file: Path) -> None:
    for piece in pa.ipc.open_file(pa.py_buffer(file.read_bytes())).read_all().to_pylist():
        match piece["kind"]:
            case "scalars":
                writer.add_scalars(run, ARM, pa.ipc.open_stream(piece["data"]).read_all())
            case "table":
                writer.add_table(run, ARM, piece["seed"], piece["name"], pa.ipc.open_stream(piece["data"]).read_all())
            case "result":
                writer.add_result(run, ARM, piece["seed"], piece["name"], piece["value"])
            case _:
                array = np.frombuffer(piece["data"], piece["dtype"]).reshape(piece["shape"])
                facts = {name: piece[name] for name in ("seed", "kind", "name", "step", "part", "seconds")}
                writer.add_array(run, ARM, _Array(**facts, array=array))


@dataclass(frozen=True)
class _Array:
    """What Writer.add_array takes."""

    seed: int
    kind: str
    name: str
    step: int
    part: str
    seconds: float
    array: np.ndarray
